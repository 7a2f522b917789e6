"""The header by which compiled code finds a pool: every question and draw, and nothing else."""

import numpy as np
import pytest

from attacks import toy
from autotts.engine.pool import PoolHeader
from autotts.replay import episodes
from autotts.replay.task import Rules


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("abstain", [False, True])
def test_a_state_is_pointed_at_the_question_and_the_draw(abstain):
    task = toy.make_cell(rules=Rules(abstain=abstain)).task
    memory = episodes.make_memory(task)
    for q, d in task.pairs.tolist():
        episodes.aim(memory, task, q, d)
        pool = task.pool
        assert memory["order_address"] == address(task.orders[q, d])
        assert memory["probes_address"] == address(pool.probes[q])
        assert memory["lengths_address"] == address(pool.lengths[q])
        assert memory["totals_address"] == address(pool.tokens[q])
        assert memory["finals_address"] == address(pool.finals[q])
        assert memory["failed"] == (pool.failed[q] if abstain else -1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"totals": None}, "a pool has"),
        ({"totals": np.zeros((6, 24), np.int64)}, "totals must be contiguous int32, got int64"),
        ({"finals": np.zeros((24, 6), np.int32).T}, "finals must be contiguous int32"),
    ],
)
def test_other_columns_are_refused(change, message):
    """Compiled code would read past them."""
    columns = {**episodes.pool_columns(toy.make_cell().task), **change}
    with pytest.raises(TypeError, match=message):
        PoolHeader(**{name: array for name, array in columns.items() if array is not None})
