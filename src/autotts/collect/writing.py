"""What was collected as a replay store, billed exactly."""

import math
from collections.abc import Sequence

from pydantic import JsonValue

from autotts.collect.asking import compared
from autotts.collect.branches import Collected, Finished
from autotts.collect.plan import Plan
from autotts.collect.questions import Item
from autotts.errors import StoreError
from autotts.inference.signals import NAMES
from autotts.stores import Branch, Recording, Store, build
from autotts.version import __version__


def to_store(collected: Collected, plan: Plan, items: Sequence[Item], *, model: str) -> Store:
    """The branches that are done with, as a store in memory. Questions without any are left out.

    Answers are compared in their normal form, so that 0.5 and 1/2 are one vote. A branch that a
    controller gave up has one interval more than was decoded, which nothing reads: what would have
    come is not known.

    Args:
        model: the store's name for the model.

    Raises:
        StoreError: no branch ended.
    """
    signals = _signals_of(collected)
    recordings = [
        Recording(
            item.question,
            item.gold,
            [_branch(collected.finished[q, n], plan, signals) for n in _ended(collected, plan, q)],
            id=item.id,
        )
        for q, item in enumerate(items)
        if _ended(collected, plan, q)
    ]
    if not recordings:
        raise StoreError("no branch has ended yet, so there is no store to write")
    exact = all(server.exact for server in collected.servers)
    dialects = sorted({server.dialect for server in collected.servers})
    chosen = f", what {plan.controller} read" if plan.controller else ""
    sampling: dict[str, JsonValue] = {
        **plan.model_dump(mode="json", exclude={"model", "dataset", "branches", "interval"}),
        "server_model": plan.model,
        "dialects": [*dialects],
        "token_exact": exact,
    }
    return build(
        recordings,
        model=model,
        dataset=plan.dataset,
        interval_tokens=plan.interval,
        billing="exact",
        tokens_counted="" if exact else "by the server, of text that it read again",
        sampling=sampling,
        source=f"collected by autotts {__version__} from {' and '.join(dialects)}{chosen}",
    )


def _ended(collected: Collected, plan: Plan, q: int) -> list[int]:
    return [n for n in range(plan.branches) if (q, n) in collected.finished]


def _signals_of(collected: Collected) -> list[str]:
    """The signals that some branch has, by their names."""
    given = {
        name for ended in collected.finished.values() for each in ended.signals for name in each
    }
    return [name for name in NAMES if name in given]


def _branch(ended: Finished, plan: Plan, signals: Sequence[str]) -> Branch:
    final, more = compared(ended.final), int(ended.given_up)
    return Branch(
        # What a branch ends on is its answer at the end of its last interval.
        probes=(*map(compared, ended.probes), final) if plan.probe else None,
        tokens=ended.tokens + more,
        final=final,
        signals={
            name: [
                *(given.get(name, -math.inf) for given in ended.signals),
                *[-math.inf] * more,
            ]
            for name in signals
        },
        used={
            "prompt_tokens": ended.prompt_tokens,
            "cached_tokens": ended.cached_tokens,
            "probe_tokens": ended.probe_tokens,
        },
    )
