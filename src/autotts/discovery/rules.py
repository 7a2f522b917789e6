"""The rules of the search, as code: what a program must keep to, and why it does not, in words."""

import ast
import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autotts.discovery.explorer import ProgramRules, SweepPoint, Trial
from autotts.evaluation.frontiers import isotonic_violation

NEAR_STRUCTURE = 0.97
"""Similarity of two programs' shapes from which they are called nearly the same."""

NEAR_ACCURACY, NEAR_TOKENS = 0.15, 0.02
"""Accuracy (points) and tokens (share) within which two sweeps are called nearly the same."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that a program breaks, or nearly does.

    fatal: whether it can't be selected.
    """

    rule: str
    reason: str
    fatal: bool


def check_schedule(
    parameters: Sequence[Mapping[str, float]], betas: Sequence[float], rules: ProgramRules
) -> list[Breach]:
    """One knob: every parameter of the schedule is monotone in beta, and one of them moves.

    Args:
        parameters: what the schedule gives, by beta.
    """
    if not rules.one_knob:
        return []
    breaches = []
    moving = False
    for name in parameters[0]:
        values = np.array([float(p[name]) for p in parameters])
        steps = np.diff(values)
        moving = moving or bool(steps.any())
        if (steps > 0).any() and (steps < 0).any():
            turn = int(np.flatnonzero(np.sign(steps) == -np.sign(steps[steps != 0][0]))[0])
            breaches.append(
                Breach(
                    "monotone",
                    f"parameter {name} goes from {values[turn]:g} at beta {betas[turn]:g} to"
                    f" {values[turn + 1]:g} at beta {betas[turn + 1]:g} after it had gone the"
                    " other way; every parameter must only rise or only fall with beta",
                    fatal=True,
                )
            )
    if not moving:
        breaches.append(
            Breach(
                "one knob",
                "no parameter changes with beta; schedule(beta) must spend more for larger beta",
                fatal=True,
            )
        )
    return breaches


def check_curve(points: Sequence[SweepPoint], rules: ProgramRules) -> list[Breach]:
    """What the sweep must look like: tokens that do not fall, and a frontier that reaches."""
    if not rules.one_knob:
        return []
    breaches = []
    tokens = np.array([point.tokens for point in points])
    fall = float(isotonic_violation(tokens))
    if fall > 0:
        at = int(np.argmax(1 - tokens / np.maximum.accumulate(tokens)))
        bound = f"at most {rules.isotonic_slack:.0%} is let pass"
        breaches.append(
            Breach(
                "isotonic",
                f"tokens fall by {fall:.1%} towards beta {points[at].beta:g}, to {tokens[at]:,.0f};"
                f" larger beta must not spend less ({bound})",
                fatal=fall > rules.isotonic_slack,
            )
        )
    cheapest = min(point.fraction for point in points)
    dearest = max(point.fraction for point in points)
    for rule, found, wanted, broken in (
        ("cheapest", cheapest, f"at most {rules.cheapest:.0%}", cheapest > rules.cheapest),
        ("dearest", dearest, f"at least {rules.dearest:.0%}", dearest < rules.dearest),
    ):
        if broken:
            breaches.append(
                Breach(
                    "reach",
                    f"the {rule} setting spends {found:.1%} of SC@64's tokens; the frontier must"
                    f" reach {wanted}",
                    fatal=True,
                )
            )
    return breaches


def check_novelty(
    source: str, points: Sequence[SweepPoint], earlier: Sequence[Trial]
) -> list[Breach]:
    """Whether it differs from earlier programs, in structure or in behaviour.

    Another form of the same behaviour teaches nothing and is refused; the same structure with
    other constants is pointed out.
    """
    for other in earlier:
        if other.points and _same(points, other.points, 1e-9, 1e-9):
            alike = similarity(source, other.proposal.source)
            return [
                Breach(
                    "novelty",
                    f"it does exactly what round {other.name} does at every beta (their code is"
                    f" {alike:.0%} alike); propose something that behaves differently",
                    fatal=True,
                )
            ]
    for other in earlier:
        alike = similarity(source, other.proposal.source)
        if alike < NEAR_STRUCTURE:
            continue
        near = bool(other.points) and _same(points, other.points, NEAR_ACCURACY, NEAR_TOKENS)
        what = "behaves nearly the same" if near else "behaves differently"
        return [
            Breach(
                "novelty",
                f"its code is {alike:.0%} that of round {other.name} with other constants, and it"
                f" {what}",
                fatal=False,
            )
        ]
    return []


def _same(a: Sequence[SweepPoint], b: Sequence[SweepPoint], accuracy: float, tokens: float) -> bool:
    """Whether two sweeps agree at every beta: accuracy in points, tokens as a share."""
    return len(a) == len(b) and all(
        abs(x.accuracy - y.accuracy) <= accuracy and abs(x.tokens - y.tokens) <= tokens * y.tokens
        for x, y in zip(a, b, strict=True)
    )


def similarity(a: str, b: str) -> float:
    """How alike two programs are in structure, in [0, 1]: names and constants do not count.

    The share of runs of three syntax nodes that they have in common. Aligning the nodes would tell
    a little more, and take minutes for some programs.

    >>> similarity("x = a + 1", "total = count + 2")
    1.0
    """
    first, second = _runs(a), _runs(b)
    return 2 * (first & second).total() / max(1, first.total() + second.total())


@functools.lru_cache(maxsize=256)
def _runs(source: str) -> Counter[tuple[str, ...]]:
    """How often each run of three nodes occurs in a program, its two ends included."""
    shape = ["", "", *_shape(ast.parse(source)), "", ""]
    return Counter(zip(shape, shape[1:], shape[2:], strict=False))


def _shape(tree: ast.AST) -> Iterator[str]:
    """The kinds of a syntax tree's nodes in order; what is read of `env` or `np` keeps its name.

    `schedule` and docstrings are left out: what moves with beta shows in behaviour.
    """
    if isinstance(tree, ast.FunctionDef) and tree.name == "schedule":
        return
    if isinstance(tree, ast.Expr) and isinstance(tree.value, ast.Constant):
        return
    if isinstance(tree, ast.Attribute):
        parameter = isinstance(tree.value, ast.Name) and tree.value.id == "p"
        yield "parameter" if parameter else f".{tree.attr}"
    else:
        yield type(tree).__name__
    for child in ast.iter_child_nodes(tree):
        if not isinstance(child, ast.expr_context | ast.arguments):
            yield from _shape(child)
