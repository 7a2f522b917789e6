"""Budgets that hold whatever a server decodes and reads.

Control counts tokens that are decoded, and admits what a budget pays for at the most. Two things it
can't know before they happen, and they are settled here: what a branch takes that is finished, and
what servers read (a prompt, and before every interval the whole branch again), which costs money.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

from autotts.inference.branch import Decoding, Probing, ServedBranch
from autotts.inference.prices import TokenPrices
from autotts.inference.server import Context, Decoded


@dataclass(frozen=True, slots=True)
class CostLimit:
    """The most money that an episode may cost, by the prices of what is read and decoded.

    What a server still has of a branch can't be known before it is asked. So what a round reads is
    set aside as if it had nothing, and what it had is given back.
    """

    most: float
    prices: TokenPrices

    def of(self, decoded: Decoded) -> float:
        """What one reply cost."""
        return self.prices.of(
            decoded.prompt_tokens or 0, decoded.cached_tokens or 0, decoded.tokens
        )

    def reading(self, tokens: int) -> float:
        """Most that reading so many tokens costs."""
        return max(self.prices.of(tokens, 0, 0), self.prices.of(tokens, tokens, 0))

    def most_decoded(self, money: float, tokens: int) -> int:
        """How many of these tokens money pays for."""
        price = self.prices.of(0, 0, 1)
        return min(tokens, int(max(0.0, money) / price)) if price else tokens

    def going_on(
        self, branch: ServedBranch, how: Decoding, tokens: int, probing: Probing | None = None
    ) -> float:
        """Most that it costs to decode so many tokens more of a branch.

        Args:
            tokens: as many as there are left of the branch, if those are fewer.
            probing: how it is probed after each interval, if it is.
        """
        begin, tokens = most_tokens(branch.context), min(tokens, how.max_tokens - branch.tokens)
        calls = math.ceil(tokens / how.interval)
        longer = how.interval * calls * (calls - 1) // 2  # by an interval before each call
        read, written = calls * begin + longer, tokens
        if probing is not None:
            read += calls * (begin + how.interval + most_tokens(probing.suffix)) + longer
            written += calls * probing.max_tokens
        return self.reading(read) + self.prices.of(0, 0, written)

    def probe(self, branch: ServedBranch, probing: Probing) -> float:
        """Most that a probe of a branch costs."""
        read = most_tokens(branch.context) + most_tokens(probing.suffix)
        return self.reading(read) + self.prices.of(0, 0, probing.max_tokens)


def most_tokens(context: Context) -> int:
    """The tokens of a context; of a text, which only the server can count, its bytes."""
    return len(context.encode()) if isinstance(context, str) else len(context)


class InOrder:
    """A budget for branches that are finished side by side.

    Control charges them one after the other, each to its end, and cuts the one at which the budget
    ends. So a branch may go on as long as those before it can still take all that they might.
    """

    def __init__(self, left: float, bounds: Sequence[float]) -> None:
        """
        Args:
            left: what all may take. bounds: what each might.
        """
        self._left = left
        self._bounds = list(bounds)
        self._taken = [0.0] * len(bounds)
        self._open = set(range(len(bounds)))
        self._changed = asyncio.Event()

    async def room(self, k: int, more: float) -> float:
        """What branch k may take now: `more`, or less where it is to be cut."""
        while True:
            free = self._left - sum(self._bounds[:k]) - self._taken[k]
            if free >= more or min(self._open) == k:
                return max(0.0, min(free, more))
            await self._changed.wait()

    def take(self, k: int, taken: float) -> None:
        """Branch k took so much."""
        self._taken[k] += taken

    def settle(self, k: int) -> None:
        """Branch k takes no more."""
        self._bounds[k] = self._taken[k]
        self._open.remove(k)
        self._changed.set()
        self._changed = asyncio.Event()
