"""What earlier runs teach: best programs, what was learned, what failed, and what matters there.

A run's folder may be somebody else's. It is read as data, nothing of it is run, and every text is
cleaned and cut to a bounded length. Nothing of held-out stores is in it.
"""

from dataclasses import dataclass

from autotts.diagnosis.matters_text import matters_text
from autotts.discovery.explorer import Trial
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.state import RunState
from autotts.text import clean, counted, shorten

MOST_PROGRAMS = 3
"""Best programs of a run."""

_MOST_ENTRIES = 20
"""Entries of each other kind, the latest."""

_MOST_CHARACTERS = 600
_MATTERS_BYTES = 4 * 1024


@dataclass(frozen=True, slots=True)
class BestProgram:
    """One of the best programs of a run.

    score: what the run chose by, in percent. area: of its frontier, in percent.
    changed: what was new in it, in its explorer's words; `compared`: in the selection's.
    """

    trial: str
    score: float
    area: float | None
    accepted: bool
    changed: str
    compared: str


@dataclass(frozen=True, slots=True)
class Taught:
    """What a trial taught, or why it failed: its name, its idea, and the words."""

    trial: str
    idea: str
    words: str


@dataclass(frozen=True, slots=True)
class RunLessons:
    """What one run teaches.

    run: name of the run. stores: of its search, as model/dataset.
    by: what the best were chosen by. baselines: areas in percent.
    learned: by trial, in their explorers' words. failed: negative results, with the reason.
    matters: on its search stores, in Markdown; "" where that was not looked for.
    left_out: how many entries of `learned` and `failed` are not here, the earliest.

    Of stores and baselines too, a run of more than 20 shows the first 20.
    """

    run: str
    stores: tuple[str, ...]
    by: str
    baselines: dict[str, float]
    best: tuple[BestProgram, ...]
    learned: tuple[Taught, ...]
    failed: tuple[Taught, ...]
    matters: str
    left_out: int


def best_trials(folder: RunFolder, state: RunState) -> list[Trial]:
    """The best programs of a run by its own rule, no text twice; the earliest among equals."""
    found: dict[str, Trial] = {}
    for trial in sorted(state.eligible, key=lambda t: -(t.score(folder.settings.selection) or 0)):
        found.setdefault(trial.proposal.source, trial)
    return list(found.values())[:MOST_PROGRAMS]


def lessons_of(folder: RunFolder) -> RunLessons:
    """What a run teaches so far.

    Raises:
        RunError: its log is damaged.
    """
    settings, state = folder.settings, folder.state
    learned = [
        Taught(trial.name, bounded(trial.proposal.idea), bounded(trial.proposal.learned))
        for trial in state.trials
        if trial.proposal.learned.strip()
    ]
    failed = _failed(state)
    baselines = list(state.baselines)[:_MOST_ENTRIES]
    kept_learned, kept_failed = learned[-_MOST_ENTRIES:], failed[-_MOST_ENTRIES:]
    return RunLessons(
        run=bounded(settings.name),
        stores=tuple(
            bounded(f"{ref.model}/{ref.dataset}") for ref in settings.stores[:_MOST_ENTRIES]
        ),
        by=settings.selection,
        baselines={bounded(name): state.baselines[name].area for name in baselines},
        best=tuple(_best(state, t, settings.selection) for t in best_trials(folder, state)),
        learned=tuple(kept_learned),
        failed=tuple(kept_failed),
        matters=clean(matters_text(state.matters, _MATTERS_BYTES)) if state.matters else "",
        left_out=len(learned) - len(kept_learned) + len(failed) - len(kept_failed),
    )


def _best(state: RunState, trial: Trial, by: str) -> BestProgram:
    return BestProgram(
        trial=trial.name,
        score=trial.score(by) or 0.0,
        area=trial.area,
        accepted=trial.accepted,
        changed=bounded(trial.proposal.idea),
        compared=bounded("; ".join(state.words(trial))),
    )


def _failed(state: RunState) -> list[Taught]:
    """Rounds without a proposal, programs that were refused, and those that were not ahead."""
    found = [
        (number, Taught(str(number), "", bounded(f"no proposal: {failure.reason}")))
        for number, failure in state.failures.items()
    ]
    for trial in state.trials:
        why = "; ".join(f"refused: {error}" for error in trial.errors)
        if not why and not trial.accepted:
            why = "; ".join(state.words(trial))
        if why:
            taught = Taught(trial.name, bounded(trial.proposal.idea), bounded(why))
            found.append((trial.round, taught))
    return [taught for _, taught in sorted(found, key=lambda one: one[0])]


def bounded(text: str) -> str:
    """Somebody's words on one line, cleaned and cut to 600 characters."""
    return shorten(clean(" ".join(text.split())), _MOST_CHARACTERS)


def lessons_text(found: RunLessons) -> str:
    """All of it in Markdown, headings from the second level on."""
    return "\n".join(
        [
            f"## Run {found.run} on {', '.join(found.stores)}\n",
            *_section("Best programs", [_best_line(one, found.by) for one in found.best]),
            *_section(
                "Baselines", [f"{name}: area {area:.2f}" for name, area in found.baselines.items()]
            ),
            *_section("What the rounds taught", [_taught_line(one) for one in found.learned]),
            *_section("What failed", [_taught_line(one) for one in found.failed]),
            *([f"{counted(found.left_out, 'earlier entry')} left out.\n"] * bool(found.left_out)),
            _below(found.matters),
        ]
    )


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"### {title}\n", *(f"- {line}" for line in lines or ["none"]), ""]


def _best_line(one: BestProgram, by: str) -> str:
    area = "" if by == "area" or one.area is None else f", area {one.area:.2f}"
    state = "" if one.accepted else ", not accepted"
    compared = f" ({one.compared})" if one.compared else ""
    return f"round {one.trial}: {by} {one.score:.2f}{area}{state}: {one.changed}{compared}"


def _taught_line(one: Taught) -> str:
    idea = f" ({one.idea})" if one.idea else ""
    return f"round {one.trial}{idea}: {one.words}"


def _below(matters: str) -> str:
    return "\n".join(f"##{line}" if line.startswith("#") else line for line in matters.split("\n"))
