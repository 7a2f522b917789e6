"""Live episodes as recordings: what was decoded, in the order in which it was opened.

A store of them, dealt in that order (`draws="recorded"`), is played by the same program as the
live episode was, request by request; so traces and diagnoses of replay are those of the episode.
"""

from collections.abc import Mapping, Sequence

from autotts.live.pool import GrowingPool
from autotts.stores import Branch, Recording


def recording_of(
    pool: GrowingPool,
    question: str,
    golds: str | Sequence[str],
    *,
    name: str | None = None,
    groups: Mapping[str, str] | None = None,
) -> Recording:
    """The branches of an episode that has ended.

    A branch that was given up has one interval more than was decoded, which nothing reads: what
    would have come is not known.

    Args:
        golds: the accepted answers.
        name: of the episode, unlike that of any other that is recorded with it.
        groups: what it was played under, see `served_under`.
    """
    branches = [_branch(pool, i) for i in range(pool.memory["n"])]
    return Recording(question, golds, branches, id=name, groups=groups or {})


def served_under(controller: str, beta: float, stop: str) -> dict[str, str]:
    """The groups of a live episode: what `drift` must know to replay the same on a store.

    Args:
        controller: its SPEC.
        stop: why it ended, a `Stop`.
    """
    return {"controller": controller, "beta": f"{beta:g}", "stop": stop}


def _branch(pool: GrowingPool, i: int) -> Branch:
    columns, answers = pool.columns, pool.answers
    ended = pool.ended(i)
    whole = int(columns["lengths"][0, i]) - 1 if ended else int(pool.memory.arrays["depth"][i])
    final = answers[int(columns["finals"][0, i])] if ended else answers[0]
    probes = None
    if "probes" in columns:
        shown = [answers[code] for code in columns["probes"][0, i, :whole].tolist()]
        probes = (*shown, final)
    tokens = int(columns["totals"][0, i]) if ended else whole * pool.interval + 1
    signals = {name: values[0, i, : whole + 1].tolist() for name, values in pool.signals.items()}
    return Branch(probes, tokens, final, signals=signals)
