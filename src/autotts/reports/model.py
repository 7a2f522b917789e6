"""What a report shows, whether it came from an evaluation or from a discovery run.

Plain values that turn into JSON as they are; accuracies in percent, tokens per question.
"""

import string
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from autotts.diagnosis.matters_text import Matters
from autotts.evaluation.objectives import Objective
from autotts.text import LETTERS

OnPart = Callable[[str], None]
"""Told, in a few words, which part of a report is being computed."""

MEAN = "mean of the stores"
"""The store of a line that averages all of them."""

HELD_OUT = "held out, mean of the stores"
"""The store of a line that averages the held-out ones, which were opened once, at the end."""


@dataclass(frozen=True, slots=True)
class Point:
    """A controller at one beta.

    accuracy_low, accuracy_high: None where there is no interval, as with a single question.
    """

    beta: float
    accuracy: float
    tokens: float
    sequential_tokens: float
    accuracy_low: float | None = None
    accuracy_high: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A controller's sweep over beta on one store, or on the mean of them."""

    controller: str
    store: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Round:
    """One proposal of a discovery run and what became of it.

    name: such as `3`, or `3.2` where a round has several.
    usd: None is unpriced.
    """

    name: str
    controller: str
    source: str
    idea: str = ""
    learned: str = ""
    expected_effect: str = ""
    errors: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    digest: str = ""
    accepted: bool = False
    best: bool = False
    area: float | None = None
    seconds: float | None = None
    usd: float | None = None
    model_tokens: int | None = None
    points: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class GridRow:
    """A controller at one beta, question by question.

    right: `[Q]` percent of draws answered right.
    tokens: `[Q]`.
    """

    controller: str
    beta: float
    right: tuple[float, ...]
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """The questions of a store, and how controllers did on each.

    texts, gold: `[Q]`.
    hope: `[Q]` percent of recorded branches that end right.
    """

    store: str
    texts: tuple[str, ...]
    gold: tuple[str, ...]
    hope: tuple[float, ...]
    rows: tuple[GridRow, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """The recorded branches of a question in the order of one draw: `[W]` each.

    answers: by code, the commonest first.
    gold: code of the true answer.
    probes: a branch's answers by interval, one character of `ALPHABET` each, or `UNPROBED`.
    finals: the final answers, in one string of such characters.
    tokens: total of each branch.
    """

    store: str
    question: int
    draw: int
    answers: tuple[str, ...]
    gold: int
    probes: tuple[str, ...]
    finals: str
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Episode:
    """What a controller did on a question, to be laid over its `Matrix`.

    answer: code in the matrix, -1 for none.
    reads: per branch opened, runs of (first round, intervals a round, rounds), flat.
    finished, pruned: the round in which each branch ended or was given up, 0 if never.
    spent: runs of (tokens a round, rounds), flat, from round 1 on.
    """

    store: str
    question: int
    draw: int
    controller: str
    beta: float
    answer: int
    correct: bool
    tokens: int
    sequential_tokens: int
    rounds: int
    reads: tuple[tuple[int, ...], ...]
    finished: tuple[int, ...]
    pruned: tuple[int, ...]
    spent: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Waste:
    """Where a controller's tokens went, and what became of its episodes.

    parts: tokens per question by part, in the order in which they are drawn; they add up.
    findings: percent of episodes by finding; they add up to 100.
    audit: what the audit of somebody else's program says of these figures, in words.
    """

    controller: str
    beta: float
    store: str
    parts: dict[str, float]
    findings: dict[str, float]
    audit: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """Named curves over one axis, in percent.

    log: whether the axis is.
    series: (x, y) by name.
    """

    title: str
    x_label: str
    y_label: str
    log: bool
    series: dict[str, tuple[tuple[float, float], ...]]


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """What a store itself says, whatever the controller.

    numbers: (name, value in words) in order.
    features: (feature of a branch, when it is known, AUC in words, its interval in words).
    """

    store: str
    numbers: tuple[tuple[str, str], ...]
    charts: tuple[Chart, ...] = ()
    features: tuple[tuple[str, str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on the page. An empty part is left out of it, and the page says what it needs.

    conclusion: what was found, in one sentence.
    best: the controller that it is about, and `program` its source.
    made_by: provenance, any JSON.
    facts: (name, value in words); no figure of the sentence is told another value here unsaid.
    matters: what a run found to matter on its search stores.
    objective: what a run was judged by; the frontier is drawn over it, and over tokens for costs.
    live: whether the page asks for news.
    """

    title: str
    conclusion: str = ""
    best: str = ""
    program: str = ""
    made_by: dict[str, Any] = field(default_factory=dict)
    facts: tuple[tuple[str, str], ...] = ()
    lines: tuple[Line, ...] = ()
    rounds: tuple[Round, ...] = ()
    grids: tuple[Grid, ...] = ()
    matrices: tuple[Matrix, ...] = ()
    episodes: tuple[Episode, ...] = ()
    waste: tuple[Waste, ...] = ()
    pools: tuple[PoolFacts, ...] = ()
    matters: Matters | None = None
    objective: Objective = "tokens"
    live: bool = False


def unheard(part: str) -> None:
    """Where nobody looks on."""


ALPHABET = (
    string.digits + LETTERS + "!#$%()*+,-./:;=?@[]^_`{|}~" + "".join(map(chr, range(0xA1, 0x800)))
)
"""Codes of answers as characters, one byte for the commonest; none that HTML or JSON escapes."""

UNPROBED = " "
"""Stands for an interval in recordings without probes."""


OnCurves = Callable[[Report], None]
"""Given a report as soon as its curves and questions are there, before its episodes."""
