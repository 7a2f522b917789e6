"""Families of models, and how areas by store become the one figure that programs are judged by."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from autotts.evaluation.compare import AreasOf
from autotts.evaluation.frontiers import Curve
from autotts.evaluation.statistics import FloatArray
from autotts.stores import Store, StoreKey

Judge = Literal["mean", "worst", "regret"]
"""The mean, the area in the worst family, or the mean less the worst regret."""

FamilyWeight = Literal["stores", "equal"]
"""Whether every store counts once in a mean, or every family."""

_AREA: dict[Judge, str] = {
    "mean": "frontier area",
    "worst": "frontier area in its worst family",
    "regret": "frontier area less its worst regret",
}

_MAKERS = ("nvidia", "meta", "google", "microsoft", "openai", "ibm")
_SIZES = re.compile(
    r"\d[\d.]*[bmk]?|\d+x\d+b|tiny|mini|nano|small|base|medium|big|large|xl|xxl|huge"
)
_WORDS = re.compile(r"[^A-Za-z0-9.]+")
_UNNAMED = "unnamed"


def family_of(store: Store) -> str:
    """The family of a store's model: as its manifest says, else the first word of the name.

    "Qwen3-4B" is of "qwen3", "NVIDIA-Nemotron-Nano-9B-v2" of "nemotron". Names that only tell a
    size, such as "small" and "large", are taken for sizes of one model, whose family is "unnamed".
    """
    if store.manifest.family:
        return store.manifest.family
    words = [word.lower() for word in _WORDS.split(store.model.rpartition("/")[2]) if word]
    telling = [word for word in words if not _SIZES.fullmatch(word)]
    named = [word for word in telling if word not in _MAKERS]
    return (named or telling or [_UNNAMED])[0]


def area_name(judge: Judge) -> str:
    """What the figure is called that programs are judged by."""
    return _AREA[judge]


def area_note(judge: Judge, weight: FamilyWeight) -> str:
    """What is made of the areas by store, in a sentence; "" where it is their mean."""
    mean = "areas by store" if weight == "stores" else "areas by family, each counting once"
    if judge == "worst":
        return "An area here is that of the family of models in which it is smallest."
    if judge == "regret":
        return (
            f"An area here is the mean of {mean}, less the regret: the most by which, in any"
            " family of models, it is behind the best baseline there."
        )
    return "" if weight == "stores" else f"An area here is the mean of {mean}."


@dataclass(frozen=True, slots=True, eq=False)
class FamilyJudgement:
    """One figure from areas by store. An `AreaScore`.

    families: of each store. A family's area is the mean of its stores.
    rivals: whose best is what regret is behind: in each family, the area of the best of them or of
        the judged one itself.
    """

    families: Mapping[StoreKey, str]
    judge: Judge = "mean"
    weight: FamilyWeight = "stores"
    rivals: tuple[Curve, ...] = ()

    def __call__(self, curve: Curve, areas_of: AreasOf) -> FloatArray:
        """The figure in each resample, `[R]`."""
        rivals = [areas_of(rival) for rival in self.rivals] if self.judge == "regret" else []
        return self.figure(curve.stores, areas_of(curve), rivals)

    def figure(
        self, stores: Sequence[StoreKey], areas: FloatArray, rivals: Sequence[FloatArray]
    ) -> FloatArray:
        """The figure `[...]` from areas by store, `[..., S]`, and those of the rivals."""
        by_family = self._by_family(stores, areas)
        if self.judge == "worst":
            worst: FloatArray = by_family.min(axis=-1)
            return worst
        mean: FloatArray = (areas if self.weight == "stores" else by_family).mean(axis=-1)
        if self.judge == "mean":
            return mean
        top = by_family
        for rival in rivals:
            top = np.maximum(top, self._by_family(stores, rival))
        regret: FloatArray = (top - by_family).max(axis=-1)
        return mean - regret

    def by_family(self, curve: Curve, areas: FloatArray) -> dict[str, float]:
        """Areas by family, from those by store, `[S]`."""
        names = dict.fromkeys(self.families[key] for key in curve.stores)
        return dict(zip(names, self._by_family(curve.stores, areas).tolist(), strict=True))

    def _by_family(self, stores: Sequence[StoreKey], areas: FloatArray) -> FloatArray:
        """`[..., F]` in order of first appearance, from `[..., S]`."""
        members: dict[str, list[int]] = {}
        for s, key in enumerate(stores):
            members.setdefault(self.families[key], []).append(s)
        return np.stack([areas[..., own].mean(axis=-1) for own in members.values()], axis=-1)
