"""Reports from evaluations: of a results file, and of replayed episodes."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from autotts import control, programs
from autotts.diagnosis import findings
from autotts.discovery.run.trust import runs_with_our_rights
from autotts.errors import SpecError
from autotts.evaluation import Evaluation, Experiment, Local
from autotts.evaluation import evaluate as run
from autotts.evaluation.compare import curve_intervals
from autotts.evaluation.frontiers import Curve
from autotts.evaluation.objectives import mean_of
from autotts.evaluation.winner import Winner, winner_of
from autotts.files import read_regular
from autotts.programs import Spec
from autotts.replay.driver import Driver, Ran
from autotts.replay.task import Task, cells_of
from autotts.reports.conclusion import of_settings
from autotts.reports.model import (
    ALPHABET,
    MEAN,
    UNPROBED,
    Episode,
    Grid,
    GridRow,
    Line,
    Matrix,
    OnPart,
    Point,
    Report,
    Waste,
    unheard,
)
from autotts.reports.recordings import facts_of
from autotts.reports.tables import by_store, store_means
from autotts.stores import Store, StoreKey
from autotts.untrusted import parse_json

_MOST_RESULTS_BYTES = 2**28

SHOWN_BETAS = (0.5, 1.0)
"""Betas whose episodes a report shows step by step: the nearest that were run."""


AUDITED = 100
"""Of the episodes shown, how many are replayed blind: what looks ahead in 3 % of them is found."""

DIAGNOSED = 10
"""Draws whose episodes a report diagnoses."""

PARTS = {
    "needed": "needed",
    "after_settled": "after the vote was settled",
    "on_pruned": "on branches pruned later",
    "on_hopeless": "on hopeless questions",
}
VERDICTS = {
    "right": "right",
    "early": "stopped too early",
    "pruned": "pruned the right answer",
    "outvoted": "right answer outvoted",
    "unopened": "right answer not opened",
    "hopeless": "hopeless: no branch shows it",
}


def from_results(path: Path) -> Report:
    """The report of a file that `autotts evaluate --json` wrote: its table and curves.

    Raises:
        SpecError: it can't be read, or is something else.
    """
    rows, made_by, best = read_results(path)
    stores = by_store(rows)
    means = {MEAN: store_means(rows)} if len(stores) > 1 else {}
    groups: dict[str, Sequence[Mapping[str, Any]]] = {**means, **stores}
    lines = [
        Line(
            controller,
            store,
            tuple(_point(row) for row in found if row["controller"] == controller),
        )
        for store, found in groups.items()
        for controller in dict.fromkeys(row["controller"] for row in found)
    ]
    found = of_settings([line for line in lines if line.store == lines[0].store])
    return Report(
        path.stem,
        conclusion=found.words,
        best=found.best,
        made_by=made_by,
        facts=tuple(best.facts) if best else (),
        lines=tuple(lines),
    )


class _Row(BaseModel):
    """What a row of results must have; whatever else it has is let through."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
    model: str
    dataset: str
    controller: str
    name: str
    beta: float
    accuracy: float
    tokens: float
    sequential_tokens: float
    width: float
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    program_digest: str
    # What not all results have.
    cost: float = 0.0
    seconds: float = 0.0
    usd: float = 0.0


class _StoreMade(BaseModel):
    model: str
    dataset: str
    digest: str


class _MadeBy(BaseModel):
    model_config = ConfigDict(extra="allow")
    stores: list[_StoreMade]


class _Results(BaseModel):
    results: list[_Row] = Field(min_length=1)
    made_by: _MadeBy
    winner: Winner | None = None


def read_results(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any], Winner | None]:
    """Results, what made them and the best of them, from a file of `autotts evaluate --json`.

    The file may be somebody else's: it is bounded, and of every value that is used its type is
    looked at.

    Raises:
        SpecError: it can't be read, or is something else.
    """
    try:
        content: Any = parse_json(
            read_regular(path, most_bytes=_MOST_RESULTS_BYTES, follow=True),
            most_bytes=_MOST_RESULTS_BYTES,
        )
        found = _Results.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:200]
        raise SpecError(
            f"{path} is no file of `autotts evaluate --json`: {where}: {first['msg']}"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise SpecError(
            f"{path} is no file of `autotts evaluate --json`: {type(error).__name__}: {error}"
        ) from error
    return content["results"], content["made_by"], found.winner


def evaluate_again(
    path: Path, stores: Sequence[Store], *, trust: bool = False, on_part: OnPart = unheard
) -> Evaluation:
    """The evaluation that a results file came from, replayed, for what the file doesn't hold.

    Args:
        trust: whether the file may name code that runs in this process.

    Raises:
        SpecError: the stores or the programs are not those that the file was made from, or it
            names code that wants `trust`.
    """
    rows, made_by, _ = read_results(path)
    wanted = {(s["model"], s["dataset"]): s["digest"] for s in made_by["stores"]}
    found = {store.key: store for store in stores}
    for key, digest in wanted.items():
        if key not in found or found[key].digest != digest:
            what = "is another" if key in found else "is missing; it takes all of its stores"
            raise SpecError(f"{path} was made on {'/'.join(key)} {digest[:12]}; that {what}")
    specs = []
    for text, beta, digest in dict.fromkeys(
        (row["controller"], row["beta"], row["program_digest"]) for row in rows
    ):
        if not trust and runs_with_our_rights(text):
            raise SpecError(
                f"{path} names {text}, which would run in this process with your rights; if you"
                " made this file, or trust who did, allow it: --yes, or trust=True in Python"
            )
        spec = programs.parse(text).at(beta)
        if spec.source.digest != digest:
            raise SpecError(f"{text} has changed since {path} was made: evaluate it again")
        specs.append(spec)
    names = [field.name for field in dataclasses.fields(Experiment)]
    try:
        told = {name: made_by[name] for name in names}
        experiment = TypeAdapter(Experiment).validate_python(told)
    except (KeyError, ValueError) as error:
        raise SpecError(f"{path}: made_by does not say how it was made: {error}") from error
    on_part("replaying the evaluation")
    return run([found[key] for key in wanted], specs, experiment=experiment)


def from_evaluation(
    evaluation: Evaluation, *, title: str, on_part: OnPart = unheard, page: bool = True
) -> Report:
    """The report of an evaluation, with its questions and some episodes step by step.

    Args:
        evaluation: traces need not be kept; the episodes that are shown are run once more.
        page: whether to add what a page shows beside figures; see `told`.
    """
    stores = list({id(one.store): one.store for one in evaluation.ran}.values())
    sweeps: dict[str, dict[float, Spec]] = {}
    for one in evaluation.ran:
        sweeps.setdefault(one.spec.text, {})[one.spec.beta] = one.spec
    with Local(evaluation.execution) as driver:
        again = replay_shown(
            stores,
            [list(s.values()) for s in sweeps.values()],
            evaluation.experiment,
            driver,
            on_part=on_part,
        )
        on_part("running the best on fresh draws")
        best = winner_of(evaluation, driver=driver)
    on_part("drawing intervals")
    lines = _lines(evaluation)
    found = of_settings(
        [line for line in lines if line.store == lines[0].store], evaluation.curves()
    )
    return Report(
        title,
        conclusion=found.words,
        best=found.best,
        program=next(one.spec.source.text for one in evaluation.ran if one.spec.text == found.best),
        made_by=evaluation.made_by(),
        facts=tuple(best.facts) if best else (),
        lines=tuple(lines),
        grids=tuple(
            grid_of(store, [_grid_row(one) for one in evaluation.ran if one.store is store])
            for store in stores
        ),
        matrices=tuple(
            matrix for task in evaluation.experiment.tasks(stores) for matrix in matrices_of(task)
        ),
        **told(again, stores, on_part=on_part, page=page),
    )


def told(
    ran: Sequence[Ran], stores: Sequence[Store], *, on_part: OnPart, page: bool
) -> dict[str, Any]:
    """The parts of a report that episodes shown again tell.

    Args:
        page: whether all episodes of a draw are written down, and the recordings described; else
            the one episode that figures show.
    """
    on_part("writing episodes down")
    if page:
        episodes = tuple(episode for one in ran for episode in episodes_of(one))
    else:
        episodes = (fullest_episode(ran),) if ran else ()
    on_part("diagnosing episodes")
    waste = tuple(waste_of(ran))
    facts = []
    for store in stores if page else ():
        on_part(f"describing {store.name}")
        facts.append(facts_of(store))
    return {"episodes": episodes, "waste": waste, "pools": tuple(facts)}


def replay_shown(
    stores: Sequence[Store],
    sweeps: Sequence[Sequence[Spec]],
    experiment: Experiment,
    driver: Driver,
    *,
    on_part: OnPart,
) -> list[Ran]:
    """Some episodes of controllers once more, with logs: a few betas, a few draws.

    Few are shown, so few are audited: `AUDITED` of somebody else's program.

    Args:
        sweeps: per controller, its SPEC at each beta.
    """
    tasks = []
    for whole in experiment.tasks(stores):
        questions, draws, _ = whole.orders.shape
        shown = range(min(draws, DIAGNOSED))
        tasks.append(whole.some(np.array([[q, d] for q in range(questions) for d in shown])))
    ran = []
    for sweep in sweeps:
        on_part(f"replaying episodes of {sweep[0].text}")
        nearest = {_nearest(sweep, beta).beta: _nearest(sweep, beta) for beta in SHOWN_BETAS}
        ran += driver.run(cells_of(tasks, nearest.values()), audit=AUDITED, keep_log=True)
    return ran


def _nearest(sweep: Sequence[Spec], beta: float) -> Spec:
    return min(sweep, key=lambda spec: abs(spec.beta - beta))


def _lines(evaluation: Evaluation) -> list[Line]:
    sequential = {
        (one.spec.text, one.store.model, one.store.dataset, one.spec.beta): mean_of(
            one, one.episodes.column("sequential_tokens")
        )
        for one in evaluation.ran
    }
    lines = []
    for name, curve in evaluation.curves().items():
        by_store = {
            store: np.array([sequential[name, *store, beta] for beta in curve.betas])
            for store in curve.stores
        }
        lines += lines_of(curve, by_store, seed=evaluation.experiment.seed)
    return lines


def lines_of(curve: Curve, sequential: Mapping[StoreKey, np.ndarray], *, seed: int) -> list[Line]:
    """A controller's curves with bands: the mean of the stores first, then each store.

    Args:
        sequential: per store, `[B]` mean sequential tokens.
        seed: of the bootstrap.
    """
    parts = {"/".join(store): [store] for store in curve.stores}
    if len(parts) > 1:
        parts = {MEAN: list(curve.stores)} | parts
    lines = []
    for store, keys in parts.items():
        part = Curve(
            curve.controller,
            curve.betas,
            {dataset: curve.questions[dataset] for _, dataset in keys},
            {key: curve.correct[key] for key in keys},
            {key: curve.tokens[key] for key in keys},
            curve.designs,
        )
        frame = curve_intervals(part, rng=np.random.default_rng(seed))
        # One question says nothing about others: bounds of 0 and 1 are no interval.
        single = min(len(ids) for ids in part.questions.values()) == 1
        points = tuple(
            Point(
                beta=row["beta"],
                accuracy=100 * row["accuracy"],
                tokens=row["tokens"],
                sequential_tokens=float(np.mean([sequential[key][b] for key in keys])),
                accuracy_low=None if single else 100 * row["accuracy_low"],
                accuracy_high=None if single else 100 * row["accuracy_high"],
            )
            for b, row in enumerate(frame.iter_rows(named=True))
        )
        lines.append(Line(curve.controller, store, points))
    return lines


def grid_of(store: Store, rows: Sequence[GridRow]) -> Grid:
    """The questions of a store with how controllers did on each."""
    gold = tuple(known[code] for known, code in zip(store.answers, store.gold, strict=True))
    hope = tuple((100 * store.shares_right).round(1).tolist())
    return Grid(store.name, tuple(store.questions()), gold, hope, tuple(rows))


def grid_row(controller: str, beta: float, correct: np.ndarray, tokens: np.ndarray) -> GridRow:
    """How a controller did on each question.

    Args:
        correct, tokens: `[Q, D]`.
    """
    right = np.round(100 * correct.mean(axis=1), 1)
    spent = np.round(tokens.mean(axis=1)).astype(int)
    return GridRow(controller, beta, tuple(right.tolist()), tuple(spent.tolist()))


def _grid_row(ran: Ran) -> GridRow:
    correct, tokens = (ran.task.by_question(values) for values in (ran.correct, ran.tokens))
    return grid_row(ran.spec.text, ran.spec.beta, correct, tokens)


def matrices_of(task: Task, *, draw: int = 0) -> list[Matrix]:
    """The branches of every question in one draw's order."""
    store = task.store
    found = []
    for q in range(len(store.gold)):
        order = task.orders[q, draw]
        order = order[order >= 0]
        ranks = answer_ranks(store, q)
        lengths = store.pool.lengths[q, order].tolist()
        if store.pool.probes is None:
            strings = tuple(UNPROBED * length for length in lengths)
        else:
            strings = tuple(
                "".join(ALPHABET[ranks[code]] for code in row[:length])
                for row, length in zip(store.pool.probes[q, order], lengths, strict=True)
            )
        by_rank = np.argsort(ranks)
        found.append(
            Matrix(
                store=store.name,
                question=q,
                draw=draw,
                answers=tuple(store.answers[q][code] for code in by_rank),
                gold=int(ranks[store.gold[q]]),
                probes=strings,
                finals="".join(ALPHABET[ranks[code]] for code in store.pool.finals[q, order]),
                tokens=tuple(store.pool.tokens[q, order].tolist()),
            )
        )
    return found


def answer_ranks(store: Store, q: int) -> np.ndarray:
    """`[C]` the rank of each answer of a question by how often it stands in the recordings.

    A final answer counts as many probes: it is what votes.
    """
    counts = np.zeros(int(store.pool.n_codes[q]), np.int64)
    for codes, votes in ((store.pool.probes, 1), (store.pool.finals, 20)):
        if codes is not None:
            counts += votes * np.bincount(codes[q][codes[q] >= 0], minlength=len(counts))
    ranks = np.empty(len(counts), np.int64)
    ranks[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    # More answers than characters: the rarest share the last one.
    return np.minimum(ranks, len(ALPHABET) - 1)


def episodes_of(ran: Ran, *, draw: int = 0) -> list[Episode]:
    """Episodes of one draw, step by step.

    Args:
        ran: with logs.
    """
    return [_episode(ran, e, steps) for e, steps in _steps_of_draw(ran, draw)]


def fullest_episode(ran: Sequence[Ran], *, draw: int = 0) -> Episode:
    """The episode of one draw with most to show: most branches pruned, then most rounds."""
    found = [(one, e, steps) for one in ran for e, steps in _steps_of_draw(one, draw)]
    return _episode(*max(found, key=lambda episode: _fullness(*episode)))


def _fullness(ran: Ran, e: int, steps: np.ndarray) -> tuple[int, int]:
    pruned = int((steps[:, control.STEP.index("kind")] == control.PRUNE).sum())
    return pruned, int(ran.episodes.column("rounds")[e])


def _steps_of_draw(ran: Ran, draw: int) -> list[tuple[int, np.ndarray]]:
    """Number and steps `[M, len(control.STEP)]` of each episode of a draw."""
    chosen = np.flatnonzero(ran.task.pairs[:, 1] == draw)
    steps = ran.steps_of(chosen)
    # By episode, in order; a table of them all would take longer than all else in a report.
    first, last = (
        np.searchsorted(steps[:, 0], range(len(chosen)), side) for side in ("left", "right")
    )
    spans = zip(chosen.tolist(), first.tolist(), last.tolist(), strict=True)
    return [(e, steps[a:b]) for e, a, b in spans]


def _episode(ran: Ran, e: int, steps: np.ndarray) -> Episode:
    """One episode, of steps `[M, len(control.STEP)]`."""
    q, draw = ran.task.pairs[e].tolist()
    code = int(ran.codes[e])
    width, rounds = (int(ran.episodes.column(name)[e]) for name in ("width", "rounds"))
    reads: list[list[int]] = [[] for _ in range(width)]
    ends = {control.FINISH: [0] * width, control.PRUNE: [0] * width}
    spent = [0] * (rounds + 1)
    for _, round_, kind, branch, _, _, tokens, _ in steps.tolist():
        if kind == control.NOTE:
            continue
        spent[round_] += tokens
        if kind in ends:
            ends[kind][branch] = round_
        if kind in (control.BRANCH, control.CONTINUE):
            reads[branch].append(round_)
    return Episode(
        store=ran.store.name,
        question=q,
        draw=draw,
        controller=ran.spec.text,
        beta=ran.spec.beta,
        answer=int(answer_ranks(ran.store, q)[code]) if code >= 0 else -1,
        correct=bool(ran.correct[e]),
        tokens=int(ran.tokens[e]),
        sequential_tokens=int(ran.episodes.column("sequential_tokens")[e]),
        rounds=rounds,
        reads=tuple(_read_runs(rounds_) for rounds_ in reads),
        finished=tuple(ends[control.FINISH]),
        pruned=tuple(ends[control.PRUNE]),
        spent=_runs(spent[1:]),
    )


def _runs(values: Sequence[int]) -> tuple[int, ...]:
    """(value, how often) of equal neighbours, flat."""
    runs: list[int] = []
    for value in values:
        if runs and runs[-2] == value:
            runs[-1] += 1
        else:
            runs += [value, 1]
    return tuple(runs)


def _read_runs(rounds: Sequence[int]) -> tuple[int, ...]:
    """(first round, intervals a round, rounds) of intervals read in these rounds, flat."""
    runs: list[int] = []
    for number, count in sorted(Counter(rounds).items()):
        if runs and runs[-3] + runs[-1] == number and runs[-2] == count:
            runs[-1] += 1
        else:
            runs += [number, count, 1]
    return tuple(runs)


def waste_of(ran: Sequence[Ran]) -> list[Waste]:
    """Where the tokens went, and what became of the episodes.

    Args:
        ran: with logs.
    """
    found = []
    for one in ran:
        row = findings.summarise(findings.findings_of([one])).row(0, named=True)
        found.append(
            Waste(
                one.spec.text,
                one.spec.beta,
                one.store.name,
                {words: row[part] for part, words in PARTS.items()},
                {
                    words: 100 * row["accuracy" if verdict == "right" else verdict]
                    for verdict, words in VERDICTS.items()
                },
                one.how.words,
            )
        )
    return found


def _point(row: Mapping[str, Any]) -> Point:
    return Point(
        beta=row["beta"],
        accuracy=row["accuracy"],
        tokens=row["tokens"],
        sequential_tokens=row["sequential_tokens"],
        accuracy_low=row.get("accuracy_low"),
        accuracy_high=row.get("accuracy_high"),
    )
