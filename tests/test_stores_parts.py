"""Stores with the parts that not every recording has: in memory, and what each does to a digest."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from autotts.errors import StoreError
from autotts.stores import Branch, Manifest, PricedModel, Recording, Spellings, Store, build
from autotts.stores.manifest import header_of
from autotts.stores.schema import content_digest

MODELS = (
    PricedModel(name="small", price=6, price_text="0.6"),
    PricedModel(name="big", price=80, price_text="8"),
)


def plain() -> Store:
    """2 questions x 2 branches, up to 3 intervals of 100 tokens."""
    recordings = [
        Recording("1 + 1?", "2", [Branch(["3", "2"], 250, "2"), Branch(["3"], 90, "3")]),
        Recording("2 + 2?", "4", [Branch(["4", "4", "4"], 350, "4"), Branch(["5", "4"], 201, "4")]),
    ]
    return build(recordings, model="m", dataset="d", interval_tokens=100)


def with_pool(**parts: Any) -> Store:
    """The plain store with these parts of its pool, and the manifest that fits."""
    store = plain()
    update: dict[str, Any] = {"models": parts.get("models", ())}
    if "lengths" in parts:
        update["branches_in_all"] = int((parts["lengths"] > 0).sum())
    if "models" in parts:
        update["cost_scale"] = 1
    manifest = Manifest.model_validate(store.manifest.model_dump() | update)
    return replace(store, pool=replace(store.pool, **parts), manifest=manifest)


def ragged() -> dict[str, np.ndarray]:
    """Question 0 has one branch only."""
    pool = plain().pool
    return {
        "probes": np.where(
            [[[False], [True]], [[False], [False]]], -1, pool.require_probes()
        ).astype("i4"),
        "lengths": np.array([[2, 0], [3, 2]], np.int32),
        "tokens": np.array([[250, 0], [350, 201]], np.int32),
        "finals": np.array([[pool.finals[0, 0], -1], pool.finals[1]], np.int32),
    }


def ends(last: int = 350) -> np.ndarray:
    return np.array([[[40, 250, 0], [90, 0, 0]], [[0, 7, last], [100, 201, 0]]], np.int32)


def signal() -> np.ndarray:
    values = np.full((2, 2, 3), -np.inf, np.float32)
    values[0, 0, :2] = 0.5
    return values


def spellings() -> Spellings:
    """Question 0 was answered in three ways, two of which are one answer."""
    pool = plain().pool
    return Spellings(
        answers=(("3", "2", "2.0"), ("4", "5")),
        probes=pool.probes,
        finals=np.array([[2, 0], [0, 0]], np.int32),
        golds=((1,), (0,)),
        classes=(np.array([0, 1, 1], np.int32), np.array([0, 1], np.int32)),
    )


PARTS: dict[str, Callable[[], Store]] = {
    "ragged": lambda: with_pool(**ragged()),
    "no probes": lambda: with_pool(probes=None),
    "ends": lambda: with_pool(ends=ends()),
    "models": lambda: with_pool(models=MODELS, model=np.array([[0, 1], [1, 1]], np.int32)),
    "signals": lambda: with_pool(signals={"confidence": signal()}),
    "golds": lambda: replace(plain(), golds=((1, 0), (0,))),
    "ids": lambda: replace(plain(), ids=("a", "b")),
    "weights": lambda: replace(plain(), weights=np.array([0.5, 2.0])),
    "groups": lambda: replace(plain(), groups={"topic": ("sums", "sums")}),
    "used": lambda: replace(plain(), used={"prompt_tokens": np.full((2, 2), 30, np.int32)}),
    "recorded": lambda: replace(plain(), spellings=spellings()),
}


def test_every_part_makes_another_content() -> None:
    """No two have one digest, and all of them stay what they are: the digest has all there is."""
    digests = {name: content_digest(make()) for name, make in PARTS.items()}
    digests["plain"] = content_digest(plain())
    assert len(set(digests.values())) == len(digests)
    assert digests == {name: content_digest(make()) for name, make in PARTS.items()} | {
        "plain": plain().digest
    }


def test_the_digest_does_not_know_the_schema_version() -> None:
    store = plain()
    assert store.manifest.schema_version == 2
    fields = set(header_of(store.manifest))
    first = store.manifest.model_dump(include={*fields, "digest"}) | {"schema_version": 1}
    manifest = Manifest.model_validate(first)
    assert content_digest(replace(store, manifest=manifest)) == store.digest
    with pytest.raises(ValidationError, match="schema version 1 has no family"):
        Manifest.model_validate(first | {"family": "qwen3"})


def test_a_question_may_have_fewer_branches() -> None:
    store = with_pool(**ragged())
    assert store.pool.n_branches.tolist() == [1, 2]
    assert store.correct.tolist() == [[True, False], [True, True]]
    assert "100% of branches right" in repr(store)


def test_without_probes_a_pool_is_as_deep_as_its_longest_branch() -> None:
    pool = with_pool(probes=None).pool
    assert pool.depth == 3
    with pytest.raises(StoreError, match="without probes"):
        pool.require_probes()


def test_any_accepted_answer_is_right() -> None:
    store = replace(plain(), golds=((1, 0), (0,)))
    assert store.correct.all()
    codes = np.array([0, 1, -1, 1])
    assert store.accepts(codes, np.array([0, 0, 1, 1])).tolist() == [True, True, False, False]


def test_prices_are_whole_cost_units() -> None:
    assert PARTS["models"]().pool.prices.tolist() == [6, 80]
    assert plain().pool.prices.tolist() == [1]
    fields = {"models": MODELS, "cost_scale": 0}
    with pytest.raises(ValidationError, match=r"small: price 6 is not 0\.6 times ten to the 0"):
        Manifest.model_validate(plain().manifest.model_dump() | fields)


nan = signal()
nan[0, 0, 0] = np.nan
late = ragged()
late["lengths"] = late["lengths"][:, ::-1].copy()
WRONG: dict[str, tuple[Callable[[], Store], str]] = {
    "a hole": (lambda: with_pool(**late), "question 0, branch 0: length 0 is outside 1..3"),
    "tokens of no branch": (
        lambda: with_pool(**ragged() | {"tokens": plain().pool.tokens}),
        "question 0, branch 1: tokens 90 is outside 0..0",
    ),
    "an end beyond the tokens": (
        lambda: with_pool(ends=ends(last=351)),
        "question 1, branch 0, interval 2: tokens at the end 351 is outside 7..350",
    ),
    "an end that falls": (
        lambda: with_pool(ends=ends(last=6)),
        "question 1, branch 0, interval 2: tokens at the end 6 is outside 7..350",
    ),
    "models without numbers": (lambda: with_pool(models=MODELS), "2 models, and their numbers"),
    "an unknown model": (
        lambda: with_pool(models=MODELS, model=np.array([[0, 2], [1, 1]], np.int32)),
        "question 0, branch 1: model number 2 is outside 0..1",
    ),
    "no number in a signal": (
        lambda: with_pool(signals={"confidence": nan}),
        "question 0, branch 0, interval 0: signal confidence nan is outside -inf..inf",
    ),
    "a signal past the end": (
        lambda: with_pool(signals={"confidence": np.zeros((2, 2, 3), np.float32)}),
        "question 0, branch 0, interval 2: signal confidence",
    ),
    "a signal with a strange name": (
        lambda: with_pool(signals={"a b": signal()}),
        "signal 'a b': a name is letters",
    ),
    "another gold first": (
        lambda: replace(plain(), golds=((0, 1), (0,))),
        "question 0: accepted codes (0, 1)",
    ),
    "the same id": (lambda: replace(plain(), ids=("a", "a")), "two questions have the same id"),
    "no weight": (lambda: replace(plain(), weights=np.zeros(2)), "no question has a weight"),
    "a group too many": (
        lambda: replace(plain(), groups={"topic": ("sums",)}),
        "topic: 1 values for 2 questions",
    ),
    "other tokens": (
        lambda: replace(plain(), used={"tokens": np.zeros((2, 2), np.int32)}),
        "tokens: tokens are of prompt_tokens",
    ),
    "classes of other answers": (
        lambda: replace(plain(), spellings=replace(spellings(), finals=np.zeros((2, 2), np.int32))),
        "the pool's answers are not the classes of those recorded",
    ),
    "fewer branches than said": (
        lambda: replace(with_pool(**ragged()), manifest=plain().manifest),
        "the manifest says all branches, there are 3 of 2 x 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_parts_that_contradict_each_other_make_no_store(wrong: str) -> None:
    make, message = WRONG[wrong]
    with pytest.raises(StoreError) as caught:
        make()
    assert message in str(caught.value)
