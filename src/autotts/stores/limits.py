"""How large a store may be: what is refused before anything is allocated by it."""

from autotts.errors import StoreError

MOST_CODES = 2**20 - 1
"""Different answers of one question."""

MOST_INTERVALS = 2**15 - 1
"""Of a branch."""

MOST_TOKENS = 2**31 - 1
"""Of a branch, and of an interval."""

MOST_BRANCHES = 1 << 22
"""Questions times the branches of the one that has most."""

MOST_CELLS = 1 << 26
"""Branches times the intervals of the longest: what lies in memory, some 10 bytes each at worst."""

MOST_CELLS_IN_ALL = 1 << 27
"""The same times the columns that have a value for each interval."""


def require_shape(questions: int, branches: int, depth: int = 1, columns: int = 1) -> None:
    """Refuse a store that doesn't fit into memory.

    Args:
        branches: of the question that has most.
        depth: intervals of the longest branch.
        columns: with a value for each interval.

    Raises:
        StoreError: says the limit.
    """
    if questions * branches > MOST_BRANCHES:
        raise StoreError(
            f"{questions:,} questions x {branches:,} branches; a store has at most"
            f" {MOST_BRANCHES:,} branches in all"
        )
    cells = questions * branches * depth
    if depth > MOST_INTERVALS or cells > MOST_CELLS or cells * columns > MOST_CELLS_IN_ALL:
        raise StoreError(
            f"{questions * branches:,} branches of up to {depth:,} intervals, with {columns}"
            f" columns of values for each; at most {MOST_INTERVALS:,} intervals a branch,"
            f" {MOST_CELLS:,} in all and {MOST_CELLS_IN_ALL:,} values fit into memory"
        )
