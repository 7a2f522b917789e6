"""How commands and their options are listed: whole, on a terminal of any width."""

from typing import Any

import typer
from typer.core import TyperGroup

_MOST_CHARACTERS = 1_000


class WholeHelp(TyperGroup):
    """Commands with all that their first paragraph says; by itself the list cuts it."""

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                rows.append((name, command.get_short_help_str(_MOST_CHARACTERS)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def group(help: str, **more: Any) -> typer.Typer:
    """Commands under one name.

    Rich would put their options into boxes, which cut the longer names at 80 columns and keep the
    lines of a docstring as they are in its source.
    """
    whole: dict[str, Any] = {"cls": WholeHelp, "rich_markup_mode": None, "no_args_is_help": True}
    return typer.Typer(help=help, **whole, **more)
