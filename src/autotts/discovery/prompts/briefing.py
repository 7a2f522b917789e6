"""What an explorer that reads is told: the task, the environment, the rules, the history.

The words are files in `prompts/`; this module fills in the numbers and keeps to a byte budget.
"""

import ast
import hashlib
import inspect
from collections.abc import Sequence
from importlib import resources
from string import Template

from autotts import votes
from autotts.control import env
from autotts.discovery.explorer import History, ProgramRules, SweepPoint, Trial, Turn
from autotts.evaluation.families import Judge
from autotts.evaluation.objectives import SPANS, UNITS, Objective
from autotts.text import head

HISTORY_BYTES = 24_000
_WORDS_BYTES = 1_200
"""What a proposal's own words may take in the history."""


def prompt(name: str, **values: object) -> str:
    """A prompt file with its blanks filled in.

    Raises:
        KeyError: a blank has no value.
    """
    text = resources.files("autotts.discovery.prompts").joinpath(f"{name}.md").read_text("utf-8")
    return Template(text).substitute(values)


def prompt_digest() -> str:
    """sha256 of all prompt files, for the record."""
    files = sorted(
        (file.name, file.read_bytes())
        for file in resources.files("autotts.discovery.prompts").iterdir()
        if file.name.endswith(".md")
    )
    return hashlib.sha256(b"".join(name.encode() + text for name, text in files)).hexdigest()


_JUDGED: dict[Judge, str] = {
    "mean": "",
    "worst": (
        "\nThe score is that of the family of models in which it is smallest: a program must hold"
        " on every family.\n"
    ),
    "regret": (
        "\nFrom the mean score is taken off the most by which, in any family of models, it is"
        " behind the best baseline there: a program must hold on every family.\n"
    ),
}


def task(
    rules: ProgramRules,
    betas: int = 11,
    objective: Objective = "tokens",
    judge: Judge = "mean",
) -> str:
    """The task, the environment and the rules.

    Args:
        betas: how many a sweep has.
        objective: what budgets count. judge: what figure is made of areas by store.
    """
    low, high = (f"{share:.0%}" for share in SPANS[objective])
    return "\n".join(
        [
            prompt("task", betas=betas, low=low, high=high, unit=UNITS[objective]) + _JUDGED[judge],
            prompt("environment", table=env.markdown(), votes=vocabulary()),
            prompt(
                "rules",
                knob=prompt("one_knob" if rules.one_knob else "free").strip(),
                slack=f"{rules.isotonic_slack:.0%}",
                cheapest=f"{rules.cheapest:.0%}",
                dearest=f"{rules.dearest:.0%}",
                ceiling=rules.ceiling,
                bytes=rules.max_source_bytes,
            ),
        ]
    )


def vocabulary() -> str:
    """The functions of `autotts.votes`, a line each, from their own source."""
    tree = ast.parse(inspect.getsource(votes))
    lines = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            says = (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")
            names = ", ".join(argument.arg for argument in node.args.args)
            lines.append(f"- `{node.name}({names})`: {says}")
    return "\n".join(lines)


def history_text(history: History, *, traces: bool, max_bytes: int = HISTORY_BYTES) -> str:
    """What happened so far, the most useful first, in at most `max_bytes` bytes of UTF-8.

    The curves of the best program and of the baselines, a line for every proposal, what matters on
    the stores, the program that leads, lessons of earlier runs, then the proposals in detail from
    the latest backwards and the diagnoses of the baselines, for as long as they fit.

    Args:
        traces: whether diagnoses may be shown.
    """
    parts = [_baselines(history), _overview(history.trials, history.best)]
    if traces and history.matters:
        parts.append(_demoted(history.matters, 1))
    if history.best is not None:
        parts.append(_leader(history.best, traces))
    if traces and history.lessons:
        parts.append(f"## Lessons of earlier runs\n\n{_demoted(history.lessons, 1)}\n")
    details = [_detail(trial, traces and trial != history.best) for trial in history.trials[::-1]]
    if details:
        parts.append("## The proposals, latest first\n")
    told = history.diagnoses if traces else {}
    diagnoses = [f"## Baseline {name}\n\n{_demoted(d.digest)}" for name, d in told.items()]
    return _within([*parts, *details, *diagnoses], max_bytes)


def _within(parts: Sequence[str], max_bytes: int) -> str:
    """Parts in order for as long as they fit; the first that does not is cut, and it is said."""
    notice = "\n[... the rest is left out: the byte budget is spent]\n"
    text = ""
    for part in parts:
        longer = f"{text}{part}\n" if text else f"{part}\n"
        if len(longer.encode()) > max_bytes:
            room = max(0, max_bytes - len(notice.encode()))
            return head(longer, room) + notice[: max_bytes - room]
        text = longer
    return text


def _curve(points: Sequence[SweepPoint]) -> str:
    """A sweep on one line: share of SC@64's tokens and accuracy, by beta."""
    return ", ".join(f"{p.fraction:.1%}: {p.accuracy:.2f}" for p in points)


def _baselines(history: History) -> str:
    lines = ["# What was tried so far", ""]
    lines.append("Curves, by rising beta: share of SC@64's tokens spent, and accuracy in percent.")
    lines += [f"- baseline {name}: {_curve(points)}" for name, points in history.baselines.items()]
    return "\n".join(lines) + "\n"


def _overview(trials: Sequence[Trial], best: Trial | None) -> str:
    if not trials:
        return "No program has been proposed yet.\n"
    lines = ["| round | frontier area | state | idea |", "|---|---|---|---|"]
    for trial in trials:
        area = "-" if trial.area is None else f"{trial.area:.2f}"
        state = "refused" if trial.errors else "accepted" if trial.accepted else "not accepted"
        state += ", leads" if best is not None and trial.name == best.name else ""
        idea = _cut(" ".join(trial.proposal.idea.split()), 160).replace("|", "/")
        lines.append(f"| {trial.name} | {area} | {state} | {idea} |")
    return "\n".join(lines) + "\n"


def _leader(best: Trial, traces: bool) -> str:
    digest = f"\n{_demoted(best.digest)}" if traces and best.digest else ""
    return (
        f"## The program that leads: round {best.name}\n\n"
        f"Curve: {_curve(best.points)}\n{digest}\n"
        f"```python\n{best.proposal.source.strip()}\n```\n"
    )


def _detail(trial: Trial, traces: bool) -> str:
    proposal = trial.proposal
    lines = [f"### Round {trial.name}", ""]
    for title, text in (
        ("Idea", proposal.idea),
        ("Learned", proposal.learned),
        ("Expected effect", proposal.expected_effect),
    ):
        if text:
            lines.append(f"{title}: {_cut(text.strip(), _WORDS_BYTES)}")
    if trial.points:
        lines.append(f"Curve: {_curve(trial.points)}")
    lines += [f"Refused: {error}" for error in trial.errors]
    lines += [f"Remark: {remark}" for remark in trial.remarks]
    if traces and trial.digest:
        lines.append(_demoted(trial.digest))
    return "\n".join(lines) + "\n"


def _demoted(digest: str, levels: int = 3) -> str:
    """A digest's headings below those of the history."""
    below = "#" * levels
    return "\n".join(below + line if line.startswith("#") else line for line in digest.split("\n"))


def _cut(text: str, max_bytes: int) -> str:
    return text if len(text.encode()) <= max_bytes else head(text, max_bytes - 4) + " ..."


def briefing(turn: Turn, *, max_bytes: int = HISTORY_BYTES) -> str:
    """Task, environment, rules, history, and as much of the leader's traces as fits with it."""
    history = history_text(turn.history, traces=turn.traces, max_bytes=max_bytes)
    best = turn.history.best
    if turn.traces and best is not None:
        history += _whole_episodes(_demoted(best.traces), max_bytes - len(history.encode()))
    return f"{task(turn.rules, sweep_length(turn.history), turn.objective, turn.judge)}\n{history}"


def _whole_episodes(traces: str, max_bytes: int) -> str:
    """As many episodes of a round's traces as fit, none of them cut."""
    end = "\n```\n"
    whole = head(traces, max_bytes)
    return whole[: whole.rfind(end) + len(end)] if end in whole else ""


def sweep_length(history: History) -> int:
    """How many betas a sweep of this run has, as far as the history tells."""
    lengths = [len(points) for points in history.baselines.values()]
    return max(lengths, default=11)
