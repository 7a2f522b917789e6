"""`autotts plugins`: what installed packages add."""

from typing import Annotated

import typer

from autotts.cli.screen import console, say


def plugins(
    others: Annotated[
        bool, typer.Option("--others", help="Leave out what comes along with autotts.")
    ] = False,
) -> None:
    """List controllers, explorers, answer readers, importers and dialects that are installed.

    Nothing of them is run. `autotts init FOLDER --plugin` begins a package of your own, and
    `autotts.testing` has the checks for its tests.
    """
    from rich import box
    from rich.table import Table

    from autotts.plugins import GROUPS, published

    table = Table("name", "kind", "package", "defined in", box=box.SIMPLE)
    found = [plugin for group in GROUPS for plugin in published(group)]
    for plugin in found:
        if not (others and plugin.is_ours):
            table.add_row(
                plugin.name, plugin.kind, f"{plugin.package} {plugin.version}", plugin.target
            )
    if table.row_count:
        console().print(table)
    else:
        say("no other package adds anything; autotts init FOLDER --plugin begins one")
