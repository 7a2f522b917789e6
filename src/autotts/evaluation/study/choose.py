"""Which beta to run: the most that a budget surely pays for, or the least that is surely accurate.

What a setting spends on questions that nobody has asked yet is known from those of the store, and
no better than they tell: a choice by means alone breaks its budget half the time. So a setting is
held to a bound, and the bounds are walked in an order that is fixed beforehand. For a budget it is
from beta 0 up, until the first setting whose upper bound is above the budget. Whatever the number
of settings, the budget is broken only if the bound of one of them fails, that of the first setting
that is too dear: one bound at 97.5 %, no correction for many (fixed-sequence testing, as in "Learn
then Test", Angelopoulos et al. 2021, https://arxiv.org/abs/2110.01052, section 3.2). For an
accuracy it is from beta 1 down, by lower bounds.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from autotts import programs
from autotts.errors import SpecError
from autotts.evaluation import statistics
from autotts.evaluation.design import design_of
from autotts.evaluation.objectives import SPANS, Objective, mean_of, spent
from autotts.evaluation.result import cut_widths, made_by
from autotts.evaluation.run import at_betas, opened
from autotts.evaluation.serving import doubts, require_served
from autotts.evaluation.settings import Execution, Experiment, explaining
from autotts.evaluation.statistics import FloatArray, Interval
from autotts.inference.speed import ServerSpeed
from autotts.programs import AnyController, Spec
from autotts.replay.driver import Driver, OnRan, Ran
from autotts.replay.task import cells_of
from autotts.stores import AnyStores, Store, gather
from autotts.text import percent

BETAS = tuple(k / 20 for k in range(21))
FEW_QUESTIONS = 30
"""With fewer, bounds are not to be relied on: costs are skewed, and the dearest questions rare."""
_WIDE = 0.05
"""Half the width of an interval of accuracy that is called narrow."""
_TAIL = 0.95

_AMOUNT = re.compile(r"\s*([0-9][0-9_,]*\.?[0-9]*(?:e[0-9]+)?)\s*([a-z]*)\s*", re.IGNORECASE)
UNITS: dict[str, Objective] = {
    "": "tokens",
    "token": "tokens",
    "tokens": "tokens",
    "sequential": "sequential",
    "cost": "cost",
    "s": "seconds",
    "usd": "usd",
}


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a question may cost on average.

    amount: in the unit of the objective.
    """

    amount: float
    objective: Objective = "tokens"

    def __post_init__(self) -> None:
        if self.objective not in SPANS:
            raise SpecError(f"objective {self.objective!r}: need one of {', '.join(SPANS)}")
        if not 0 < self.amount < np.inf:
            raise SpecError(f"a budget of {self.amount:g}: need more than 0")


@dataclass(frozen=True, slots=True)
class Priced:
    """A setting and what it buys, per question, as means with their 95 % intervals.

    accuracy: a share.
    spent: in the unit of the objective; spent_by_dearest: what the dearest 5 % of episodes spend
        at least.
    """

    beta: float
    accuracy: Interval
    spent: Interval
    spent_by_dearest: float
    tokens: Interval
    width: float


@dataclass(frozen=True, slots=True)
class BetaChoice:
    """The setting to run.

    target: what was asked for: the budget, or the accuracy.
    chosen: None where no setting does; `why` says it.
    assured: whether it is beyond what the store's questions leave open; else only as measured.
    settings: the whole sweep, by beta.
    remarks: how far to trust it, each a sentence.
    """

    controller: str
    store: str
    objective: Objective
    target: float
    by: str
    chosen: Priced | None
    assured: bool
    why: str
    settings: tuple[Priced, ...]
    remarks: tuple[str, ...]
    made_by: dict[str, Any]

    def record(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)


def parse_amount(text: str) -> Allowed:
    """A budget as people write it.

    >>> parse_amount("2000tokens")
    Allowed(amount=2000.0, objective='tokens')

    Raises:
        SpecError: it is none.
    """
    found = _AMOUNT.fullmatch(text)
    if not found or found[2].lower() not in UNITS:
        known = ", ".join(f"2000{unit}" for unit in UNITS if unit not in ("", "token"))
        raise SpecError(f"budget {text}: need a number with its unit, such as {known}")
    amount = float(found[1].replace(",", "").replace("_", ""))
    return Allowed(amount, UNITS[found[2].lower()])


def most_affordable(upper: np.ndarray, budget: float) -> int | None:
    """The last setting, from the first on, before one whose bound is above the budget.

    Args:
        upper: `[B]` upper bounds of what settings spend, by beta.
    """
    over = np.flatnonzero(upper > budget)
    last = int(over[0]) - 1 if len(over) else len(upper) - 1
    return last if last >= 0 else None


def least_accurate(lower: np.ndarray, accuracy: float) -> int | None:
    """The first setting, from the last down, after one whose bound is below an accuracy."""
    found = most_affordable(-lower[::-1], -accuracy)
    return None if found is None else len(lower) - 1 - found


def pick(
    settings: Sequence[Priced], budget: Allowed | None, accuracy: float | None
) -> tuple[int | None, bool, str]:
    """Which setting of a sweep to run, whether that is sure, and what there is to say of it.

    Args:
        settings: by beta, spending in the unit of the budget.
        budget, accuracy: one of them, as in `choose`.
    """
    if budget is not None:
        at = most_affordable(np.array([one.spent.high for one in settings]), budget.amount)
        return at, at is not None, "" if at is not None else _too_dear(settings[0], budget)
    assert accuracy is not None
    at = least_accurate(np.array([one.accuracy.low for one in settings]), accuracy)
    return (at, True, "") if at is not None else _as_measured(settings, accuracy)


@explaining
def choose(
    store: AnyStores,
    controller: AnyController,
    *,
    budget: Allowed | str | float | None = None,
    accuracy: float | None = None,
    betas: Sequence[float] = BETAS,
    server: ServerSpeed | None = None,
    experiment: Experiment | None = None,
    execution: Execution | None = None,
    driver: Driver | None = None,
    on_ran: OnRan | None = None,
) -> BetaChoice:
    """The beta to run a controller at, for a budget per question or for an accuracy.

    Args:
        store: one store, of questions like those that will be asked.
        controller: a SPEC that names no beta, or the path of a program.
        budget: mean per question, such as "2000tokens"; a number is of tokens. The largest beta
            that surely keeps to it is chosen.
        accuracy: a share; the smallest beta that surely has it is chosen. Where none surely has,
            the cheapest that has it as measured, and `assured` is False.
        betas: from which to choose.
        server: a server that was measured, for budgets in seconds or dollars.
        experiment, execution, driver, on_ran: as in `evaluate`.

    Raises:
        SpecError: neither a budget nor an accuracy was given, or both; the SPEC names a beta.
    """
    if (budget is None) == (accuracy is None):
        raise SpecError("choose by a budget or by an accuracy: give one of them")
    if accuracy is not None and not 0 < accuracy < 1:
        raise SpecError(f"accuracy {accuracy:g}: need a share between 0 and 1, such as 0.6")
    if isinstance(budget, str):
        budget = parse_amount(budget)
    elif isinstance(budget, int | float):
        budget = Allowed(budget)
    experiment, execution = experiment or Experiment(), execution or Execution()
    (spec,) = programs.as_specs([controller])
    if spec.fixed:
        raise SpecError(f"{spec.text} names its beta; leave it out to have one chosen")
    loaded = gather(store)
    if len(loaded) != 1:
        raise SpecError(
            f"{len(loaded)} stores: a beta is chosen on one; `data merge` joins several"
        )
    require_served(loaded, [spec])
    with opened(driver, execution) as chosen_driver:
        cells = cells_of(experiment.tasks(loaded), at_betas(spec, sorted(betas)))
        ran = chosen_driver.run(
            cells, audit=execution.audit, keep_log=server is not None, on_ran=on_ran
        )
    objective: Objective = budget.objective if budget else "tokens"
    settings = tuple(_priced(one, spent(one, objective, server), experiment.seed) for one in ran)
    at, assured, why = pick(settings, budget, accuracy)
    sources, hows = [spec.source], [one.how for one in ran]
    return BetaChoice(
        controller=spec.text,
        store=loaded[0].name,
        objective=objective,
        target=budget.amount if budget else float(accuracy or 0),
        by="budget" if budget else "accuracy",
        chosen=None if at is None else settings[at],
        assured=assured,
        why=why,
        settings=settings,
        remarks=tuple(_remarks(loaded[0], spec, ran, settings, at, budget)),
        made_by=made_by(loaded, sources, hows, experiment, execution),
    )


def _priced(ran: Ran, each: FloatArray, seed: int) -> Priced:
    def mean(values: np.ndarray) -> Interval:
        return statistics.mean_interval(
            ran.task.by_question(values), rng=np.random.default_rng(seed), design=design
        )

    correct, design = ran.task.by_question(ran.correct), design_of(ran.store, ran.task.cluster)
    return Priced(
        beta=ran.spec.beta,
        accuracy=statistics.accuracy_interval(
            correct, rng=np.random.default_rng(seed), design=design
        ),
        spent=mean(each),
        spent_by_dearest=float(np.quantile(each, _TAIL)),
        tokens=mean(ran.tokens),
        width=mean_of(ran, ran.episodes.column("width")),
    )


def _too_dear(cheapest: Priced, budget: Allowed) -> str:
    unit = words_of(budget.objective)
    spends = (
        f"beta {cheapest.beta:g}, the cheapest, spends {told(cheapest.spent.estimate)} {unit} a"
        f" question (95 %: up to {told(cheapest.spent.high)})"
    )
    if cheapest.spent.estimate > budget.amount:
        return f"the budget lies below the sweep: {spends}"
    return f"no beta surely keeps to the budget: {spends}"


def _as_measured(settings: Sequence[Priced], accuracy: float) -> tuple[int | None, bool, str]:
    """The cheapest setting that has an accuracy on the store's own questions."""
    having = [k for k, one in enumerate(settings) if one.accuracy.estimate >= accuracy]
    if not having:
        best = max(settings, key=lambda one: one.accuracy.estimate)
        return (
            None,
            False,
            (
                f"no beta has {accuracy:.1%}: the most accurate, {best.beta:g}, has"
                f" {best.accuracy.estimate:.1%}"
            ),
        )
    cheapest = min(having, key=lambda k: settings[k].spent.estimate)
    return (
        cheapest,
        False,
        (f"no beta surely has {accuracy:.1%}; this one has it on the store's own questions"),
    )


def _remarks(
    store: Store,
    spec: Spec,
    ran: Sequence[Ran],
    settings: Sequence[Priced],
    at: int | None,
    budget: Allowed | None,
) -> list[str]:
    """How far a choice can be trusted."""
    found = []
    questions = len(store.texts)
    if questions < FEW_QUESTIONS:
        found.append(
            f"{questions} questions are few: what others will cost may lie outside these intervals"
        )
    if at is not None:
        found += _of_interval(settings[at], questions)
        if budget is not None:
            found += _of_neighbours(settings, at, budget)
    found += [cut.words for cut in cut_widths(ran)]
    if doubt := doubts(store, spec):
        found.append(f"{spec.text} {doubt} in {store.name}")
    if budget is not None and budget.objective == "seconds":
        found.append(
            "seconds are of one question at a time; with others beside it, it takes longer"
        )
    if store.manifest.tokens_counted:
        found.append(f"the store's tokens were counted {store.manifest.tokens_counted}")
    if ran[0].how.words:
        found.append(f"{spec.text} was {ran[0].how.words}")
    return found


def _of_interval(chosen: Priced, questions: int) -> list[str]:
    half = (chosen.accuracy.high - chosen.accuracy.low) / 2
    if half <= _WIDE or not 0 < chosen.accuracy.estimate < 1:
        return []
    needed = int(np.ceil(questions * (half / _WIDE) ** 2))
    return [
        f"accuracy is known to within {percent(half, '.0f')} points; some {needed:,} questions"
        f" would tell it to within {percent(_WIDE, '.0f')}"
    ]


def _of_neighbours(settings: Sequence[Priced], at: int, budget: Allowed) -> list[str]:
    unit = words_of(budget.objective)
    if at == len(settings) - 1:
        return [
            f"the budget is above the sweep: the dearest setting spends at most"
            f" {told(settings[at].spent.high)} {unit}, and more money buys nothing more"
        ]
    after = settings[at + 1]
    found = [
        f"beta {after.beta:g} would spend {told(after.spent.estimate)} {unit} (95 %: up to"
        f" {told(after.spent.high)})"
    ]
    better = [s for s in settings[:at] if s.accuracy.estimate > settings[at].accuracy.estimate]
    if better:
        best = max(better, key=lambda one: one.accuracy.estimate)
        found.append(
            f"on these questions beta {best.beta:g} is more accurate, {best.accuracy.estimate:.1%},"
            f" for {told(best.spent.estimate)} {unit}"
        )
    return found


def told(value: float) -> str:
    """A figure in words: whole from a thousand on, else of four digits."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def words_of(objective: Objective) -> str:
    """What an amount is in."""
    words = {"sequential": "sequential tokens", "cost": "cost units", "usd": "dollars"}
    return words.get(objective, objective)
