"""Any small store with any of the parts that not every recording has, by Hypothesis."""

import numpy as np
from hypothesis import strategies as st

from autotts.stores import (
    Branch,
    Pool,
    PricedModel,
    Recording,
    Spellings,
    Store,
    build,
    classified,
    spellings_of,
)  # fmt: skip

words = st.one_of(
    st.sampled_from(["ERR", "", "12", "12.0", "No"]),
    st.text(st.characters(codec="utf-8"), max_size=5),
)
texts = st.text(st.characters(codec="utf-8"), max_size=9)
names = st.text(st.sampled_from("abcXYZ_09"), min_size=1, max_size=9).map(lambda text: f"s{text}")
MODELS = (
    PricedModel(name="small", price=6, price_text="0.6", parameters={"billions": 0.6}),
    PricedModel(name="big", price=80, price_text="8.0"),
)


@st.composite
def any_stores(draw: st.DrawFn, *, everything: bool = False, served: bool = False) -> Store:
    """A store of at most 3 questions and 4 branches; with probes, of at most 5 intervals.

    Args:
        everything: with every part that a store can have; else with any of them.
        served: as one server could have given it, with one model and equal intervals.
    """

    def chosen() -> bool:
        return everything or draw(st.booleans())

    probed, uneven, spent = chosen(), not served and chosen(), chosen()
    signals = (
        draw(st.lists(names, min_size=everything, max_size=2, unique=True)) if chosen() else []
    )
    models = MODELS if not served and chosen() else ()
    weighted, grouped, named, several = chosen(), chosen(), chosen(), chosen()
    asked = draw(st.lists(texts, min_size=1 + everything, max_size=3, unique=True))
    fixed = None if chosen() else draw(st.integers(1, 4))

    def by_interval(values: st.SearchStrategy, depth: int) -> list:
        return draw(st.lists(values, min_size=depth, max_size=depth))

    def branch() -> Branch:
        depth, levels = draw(st.integers(1, 5)), st.floats(width=32, allow_nan=False)
        return Branch(
            probes=by_interval(words, depth) if probed else None,
            tokens=draw(st.integers(4_001, 5_000)),
            final=draw(words),
            ends=sorted(by_interval(st.integers(0, 900), depth)) if uneven else None,
            model=draw(st.integers(0, 1)) if models else 0,
            signals={name: by_interval(levels, depth) for name in signals},
            used={"prompt_tokens": draw(st.integers(0, 99)), "probe_tokens": 7} if spent else {},
        )

    recordings = [
        Recording(
            text,
            draw(st.lists(words, min_size=1, max_size=3)) if several else draw(words),
            [branch() for _ in range(fixed or draw(st.integers(1, 4)))],
            id=f"number {q}" if named else None,
            weight=draw(st.floats(0.01, 9.0)) if weighted else None,
            groups={"topic": draw(texts), "źródło": "a"} if grouped else {},
        )
        for q, text in enumerate(asked)
    ]
    store = build(
        recordings, model="m", dataset="d",
        interval_tokens=draw(st.integers(1, 1000)),
        billing=draw(st.sampled_from(["reference", "exact"])), models=models,
        cost_scale=1 if models else 0, price_unit="dollars per million tokens" if models else "",
        family=draw(st.sampled_from(["", "toys"])), sampling={"temperature": 0.7},
    )  # fmt: skip
    if not chosen():
        return store
    labels = [
        [text.strip().removesuffix(".0") for text in known] for known in spellings_of(store).answers
    ]
    return classified(store, labels, equality="math", judge="a test", unreadable=["", "No"])


def same(left: Store, right: Store) -> bool:
    """Whether two stores hold the same, files and paths apart."""
    fields = {"schema_version", "files", "columns"}
    told = [store.manifest.model_dump(exclude=fields) for store in (left, right)]
    names = [name for name in Store.__slots__ if name not in ("path", "manifest")]
    return told[0] == told[1] and all(_equal(getattr(left, n), getattr(right, n)) for n in names)


def _equal(left: object, right: object) -> bool:
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[k], right[k]) for k in left)
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, Pool | Spellings) and isinstance(right, Pool | Spellings):
        return all(_equal(getattr(left, n), getattr(right, n)) for n in left.__slots__)
    return left == right
