"""What is to be collected: all that the branches depend on, kept in the journal."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from autotts.collect.questions import Item
from autotts.inference.server import Sampling
from autotts.inference.signals import WINDOW

PROBE_SUFFIX = (
    "... Oh, I suddenly got the answer to the whole problem, **Final Answer**\n\n\\[ \\boxed{"
)
"""As Dynasor asks, within the thinking, so that probes compare with what others recorded."""

_TOKENS_A_REQUEST = 2_000
"""Enough that a server hardly notices where a request ends, and little to lose on a crash."""

MOST_TOKENS = 1 << 24
"""Of a branch: room is made for its intervals before it begins."""


class Plan(BaseModel):
    """What the branches of a collection depend on. A collection is resumed by the same plan only.

    prompt: template of what a model is asked; {question} and {options} are put in.
    chat: whether the model's own template makes a conversation of the prompt.
    template: arguments of the model's template, such as `{"enable_thinking": true}`.
    probe: what is added to a branch to ask for its answer so far; "" for final answers alone.
    signals: whether log-probabilities are asked for, and what they say of each interval is kept.
    window: tokens of a window, for the signal of the lowest.
    questions: sha256 of the questions, with their answers.
    controller, program: the SPEC of the controller that chooses what is recorded, and the sha256 of
        its text; "" where everything is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    dataset: str
    branches: int = Field(ge=1, le=1 << 20)
    interval: int = Field(ge=1, le=MOST_TOKENS)
    max_tokens: int = Field(ge=1, le=MOST_TOKENS)
    temperature: float = Field(default=0.6, ge=0, allow_inf_nan=False)
    top_p: float = Field(default=0.95, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    min_p: float = Field(default=0.0, ge=0, le=1)
    stop: tuple[str, ...] = ()
    prompt: str
    chat: bool = True
    template: dict[str, JsonValue] = {}
    probe: str = PROBE_SUFFIX
    probe_tokens: int = Field(default=20, ge=1, le=MOST_TOKENS)
    probe_stop: tuple[str, ...] = ()
    signals: bool = False
    window: int = Field(default=WINDOW, ge=1)
    seed: int = Field(default=0, ge=0)
    questions: str = ""
    controller: str = ""
    program: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if "{question}" not in self.prompt:
            raise ValueError("the prompt has no {question} in it, where each question is put")
        for name, texts in (("stop", self.stop), ("probe_stop", self.probe_stop)):
            if "" in texts:
                raise ValueError(f"{name} has an empty text, which ends all at once; leave it out")
        return self

    @property
    def intervals_a_request(self) -> int:
        """How many are decoded at a time: several, where nothing is asked or read in between."""
        reads = self.probe or self.signals or self.controller
        return 1 if reads else max(1, _TOKENS_A_REQUEST // self.interval)

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_p, self.top_k, self.min_p, self.stop)

    def differing(self, other: "Plan") -> list[str]:
        """Fields by which another plan gives other branches; more of them is no difference."""
        mine, others = self.model_dump(), other.model_dump()
        # A controller that may open more of them would do something else.
        same = () if self.controller else ("branches",)
        return [name for name in mine if mine[name] != others[name] and name not in same]


def digest_of(items: Sequence[Item]) -> str:
    """sha256 of questions: their names, texts, options and answers."""
    *_, last = hashlib.sha256().hexdigest(), *_digests(items)
    return last


def first_of(items: Sequence[Item], digest: str) -> Sequence[Item] | None:
    """As many of the first questions as have a digest; None if no number of them has."""
    for count, found in enumerate(_digests(items), 1):
        if found == digest:
            return items[:count]
    return None


def _digests(items: Sequence[Item]) -> Iterator[str]:
    """The digests of the first one, two, three questions ..."""
    digest = hashlib.sha256()
    for item in items:
        for text in (item.id, item.question, item.gold, *item.options):
            digest.update(hashlib.sha256(text.encode()).digest())
        yield digest.hexdigest()
