"""What a collection will cost, before anything is spent."""

from dataclasses import dataclass
from math import ceil

from autotts.collect.plan import Plan

_PROMPT_TOKENS = 200
"""Of a question, where no server was asked."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens of a number of branches of one length.

    prompt_tokens: read in all, as each request for intervals or a probe sends the whole branch
        again.
    cached_tokens: what of that a server has in its cache of prefixes, if it keeps them.
    """

    branches: int
    tokens_each: int
    probes: int
    branch_tokens: int
    probe_tokens: int
    prompt_tokens: int
    cached_tokens: int

    @property
    def tokens(self) -> int:
        """Decoded in all."""
        return self.branch_tokens + self.probe_tokens


def estimate(
    plan: Plan, branches: int, tokens_each: float, *, prompt_tokens: int = _PROMPT_TOKENS
) -> Estimate:
    """What so many branches of a mean length cost.

    Args:
        tokens_each: tokens of a branch.
        prompt_tokens: of a question's prompt.
    """
    length = max(1, ceil(min(tokens_each, plan.max_tokens)))
    intervals = ceil(length / plan.interval)
    # The last interval ends on the final answer, which is no probe.
    probes = intervals - 1 if plan.probe else 0
    suffix = len(plan.probe) // 3
    step = plan.intervals_a_request
    before = [prompt_tokens + k * plan.interval for k in range(0, intervals, step)]
    read = sum(before) + sum(before[1 : probes + 1]) + probes * suffix
    fresh = prompt_tokens + (len(before) - 1) + probes * suffix
    return Estimate(
        branches=branches,
        tokens_each=length,
        probes=branches * probes,
        branch_tokens=branches * length,
        probe_tokens=branches * probes * plan.probe_tokens,
        prompt_tokens=branches * read,
        cached_tokens=branches * (read - fresh),
    )
