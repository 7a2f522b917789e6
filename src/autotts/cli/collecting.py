"""How far a collection is, for whoever looks on."""

import contextlib
import datetime
import time
from typing import TYPE_CHECKING

from autotts.cli.screen import console, say

if TYPE_CHECKING:
    from rich.table import Table

    from autotts.collect import TokenPrices, Watched

_SECONDS_BETWEEN_LINES = 30.0


class CollectingDisplay(contextlib.AbstractContextManager["CollectingDisplay"]):
    """How far a collection is: live on a terminal, else a line every half minute."""

    def __init__(self, prices: "TokenPrices") -> None:
        from rich.live import Live

        self._prices = prices
        self._screen = console(err=True)
        self._live = Live(console=self._screen, auto_refresh=False, transient=True)
        self._said = 0.0
        self._shown: list[Watched] = []

    def __enter__(self) -> "CollectingDisplay":
        if self._screen.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        for watched in self._shown:
            say(self._line(watched), err=True)

    def show(self, watched: "Watched") -> None:
        if not any(watched is each for each in self._shown):
            self._shown.append(watched)  # another journal of the same store
        if self._screen.is_terminal:
            self._live.update(self._table(watched), refresh=True)
        elif (now := time.monotonic()) - self._said >= _SECONDS_BETWEEN_LINES:
            self._said = now
            say(self._line(watched), err=True)

    def _facts(self, watched: "Watched") -> dict[str, str]:
        found = watched.collected
        left = watched.seconds_left
        ended = len(found.finished)
        done = {"branches": f"{ended:,} of {watched.branches:,}"}
        if watched.units < watched.branches:
            done = {
                "questions": f"{found.units_done:,} of {watched.units:,}",
                "branches": f"{ended:,}",
            }
        facts = {
            **done,
            "tokens": f"{found.decoded:,}",
            "tokens/s": f"{watched.tokens_per_second:,.0f}",
            "probes": f"{found.probes:,}",
            "cached": f"{found.cached_tokens / max(1, found.prompt_tokens):.0%}",
            "asked again": f"{watched.retried:,}",
            "failed": f"{len(found.failed):,}",
        }
        if self._prices.prompt or self._prices.decoded:
            dollars = self._prices.of(found.prompt_tokens, found.cached_tokens, found.decoded)
            facts["dollars"] = f"{dollars:,.2f}"
        if left is not None:
            facts["left"] = str(datetime.timedelta(seconds=round(left)))
        return facts

    def _table(self, watched: "Watched") -> "Table":
        from rich.table import Table

        facts = self._facts(watched)
        table = Table(box=None, pad_edge=False)
        for name in facts:
            table.add_column(name, justify="right")
        table.add_row(*facts.values())
        return table

    def _line(self, watched: "Watched") -> str:
        return ", ".join(f"{name} {value}" for name, value in self._facts(watched).items())
