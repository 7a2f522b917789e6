"""The units of work of a collection: each stands alone, on whatever server or machine."""

from collections.abc import Iterator
from dataclasses import dataclass

from autotts.collect.plan import Plan

Place = tuple[int, int]
"""Question and branch."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One episode: a block of branches of one question, from `first` on."""

    question: int
    first: int
    branches: int

    @property
    def place(self) -> Place:
        """Of its first branch, which no other unit has."""
        return self.question, self.first


def branches_of_a_unit(plan: Plan) -> int:
    """A controller sees all branches of a question; what reads everything needs one at a time."""
    return plan.branches if plan.controller else 1


def units(plan: Plan, questions: int) -> Iterator[Unit]:
    """All of them, question by question, so that prompts stay in a server's cache."""
    block = branches_of_a_unit(plan)
    for q in range(questions):
        for first in range(0, plan.branches, block):
            yield Unit(q, first, block)
