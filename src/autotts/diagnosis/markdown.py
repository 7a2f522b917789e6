"""Tables and numbers in Markdown."""

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table and an empty line."""
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n\n"


def thousands(tokens: float | None) -> str:
    """Tokens in thousands; "-" for none.

    >>> thousands(12_345)
    '12.3k'
    """
    return "-" if tokens is None else f"{tokens / 1000:.1f}k"
