"""Random stores that have all that not every recording has, and episodes over them."""

import numpy as np

from autotts.replay.task import Rules, Task, all_pairs
from autotts.stores import Pool
from autotts.stores.manifest import PricedModel
from bare_pools import store_of
from toy_env import Wide

INTERVAL = 100


def make_pool(
    seed: int, *, billing: str, ragged: bool = False, probes: bool = True, uneven: bool = False,
    models: int = 1, signals: int = 0,
    questions: int = 3, branches: int = 8, depth: int = 5, codes: int = 4,
) -> Pool:  # fmt: skip
    """A pool at random: branches end at any depth, and answers are any."""
    rng = np.random.default_rng(seed)
    shape = questions, branches
    there = rng.integers(1, branches + 1, questions) if ragged else np.full(questions, branches)
    exists = np.arange(branches) < there[:, None]
    lengths = np.where(exists, rng.integers(1, depth + 1, shape), 0).astype(np.int32)
    lengths[0, 0] = depth
    inside = np.arange(depth) < lengths[:, :, None]
    rests = rng.integers(1, INTERVAL + 1, shape)
    tokens = (lengths - (billing == "exact")) * INTERVAL + rests
    ends = None
    if uneven:
        held = rng.integers(0, 3 * INTERVAL, (*shape, depth))
        ends = np.where(inside, np.cumsum(held, axis=2), 0).astype(np.int32)
        tokens = ends.max(axis=2) + rests
    answers = rng.integers(0, codes, (*shape, depth))
    finals = rng.integers(0, codes, shape)
    makers = np.where(exists, rng.integers(0, models, shape), -1).astype(np.int32)
    prices = rng.integers(1, 30, models).tolist()
    return Pool(
        probes=np.where(inside, answers, -1).astype(np.int32) if probes else None,
        lengths=lengths,
        tokens=np.where(exists, tokens, 0).astype(np.int32),
        finals=np.where(exists, finals, -1).astype(np.int32),
        failed=np.full(questions, codes - 1, np.int32),
        n_codes=np.full(questions, codes, np.int32),
        interval=INTERVAL,
        billing=billing,  # type: ignore[arg-type]
        ends=ends,
        model=makers if models > 1 else None,
        models=tuple(
            PricedModel(name=f"toy {m}", price=price, price_text=str(price))
            for m, price in enumerate(prices)
            if models > 1
        ),
        signals={
            name: np.where(
                inside & (rng.random(inside.shape) < 0.9), rng.normal(size=inside.shape), -np.inf
            ).astype(np.float32)
            for name in ("entropy", "confidence")[:signals]
        },
    )


def make_task(pool: Pool, rules: Rules, *, seed: int, ceiling: int = 8, draws: int = 2) -> Task:
    """Episodes over a pool: every order is of the branches that there are."""
    rng = np.random.default_rng(seed)
    orders = np.full((len(pool.lengths), draws, pool.lengths.shape[1]), -1, np.int32)
    for q, there in enumerate(pool.n_branches.tolist()):
        for d in range(draws):
            orders[q, d, :there] = rng.permutation(there)
    orders = np.ascontiguousarray(orders[:, :, :ceiling])
    return Task(store_of(pool), orders, all_pairs(orders), rules)


def trajectories(task: Task, q: int, d: int) -> list[Wide]:
    """What an episode of a task draws from; answers are codes as text."""
    pool = task.pool
    rows = task.orders[q, d]
    found = []
    for i in rows[rows >= 0].tolist():
        inside = slice(0, int(pool.lengths[q, i]))
        probes = [0] * inside.stop if pool.probes is None else pool.probes[q, i, inside].tolist()
        ends = None if pool.ends is None else pool.ends[q, i, inside].tolist()
        total, final = int(pool.tokens[q, i]), str(pool.finals[q, i])
        model = 0 if pool.model is None else int(pool.model[q, i])
        signals = {name: values[q, i, inside].tolist() for name, values in pool.signals.items()}
        found.append(Wide([str(code) for code in probes], total, final, ends, model, signals))
    return found
