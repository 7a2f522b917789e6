"""What `manifest.json` of a store says: what was recorded, how, and the digests that seal it."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from autotts.answers import FAILED
from autotts.errors import StoreError

SCHEMA_VERSION: Literal[2] = 2
MANIFEST = "manifest.json"
QUESTIONS = "questions.parquet"
BRANCHES = "branches.parquet"

Billing = Literal["reference", "exact"]

_DECIMAL = re.compile(r"\d{1,12}(\.\d{1,12})?", re.ASCII)
_MOST_PRICE = 1_000_000
"""Cost units of a token. Costs are int64: at this price 4,096 branches of 2^31 tokens fit."""

V1_FIELDS = (
    "schema_version", "model", "dataset", "interval_tokens", "billing", "failed_answer",
    "questions", "branches", "sampling", "source", "files", "digest",
)  # fmt: skip
"""What a manifest of schema version 1 may hold."""


class PricedModel(BaseModel):
    """One of the models whose branches lie in a store together.

    price: cost units of a token: `price_text` times ten to the manifest's `cost_scale`.
    price_text: the price as it was given, a decimal: "0.6" dollars, or billions of parameters.
    parameters: whatever else is known of the model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(min_length=1)
    price: int = Field(default=1, ge=1, le=_MOST_PRICE)
    price_text: str = "1"
    parameters: dict[str, JsonValue] = {}


class Manifest(BaseModel):
    """The text of `manifest.json`. `docs/store.md` has every field with an example."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    model: str = Field(min_length=1)
    dataset: str = Field(min_length=1)
    interval_tokens: int = Field(gt=0)
    billing: Billing
    failed_answer: str = FAILED
    questions: int = Field(gt=0)
    branches: int = Field(gt=0)
    """Of the question that has most."""
    branches_in_all: int | None = Field(default=None, gt=0)
    """Where questions have different numbers of branches; None where each has `branches`."""
    family: str = ""
    """Of the model, such as "qwen3": stores of one family count once in a leaderboard."""
    models: tuple[PricedModel, ...] = Field(default=(), strict=False)
    """Whose branches these are, by number; empty where `model` made all of them."""
    cost_scale: int = Field(default=0, ge=0, le=12)
    """The power of ten that makes all prices integers."""
    price_unit: str = ""
    """What a price is in, such as "dollars per million tokens"."""
    equality: str = "exact"
    """When two answers are one vote; see `docs/store.md`."""
    judge: str = ""
    """What decided on that, and its version, such as "math-verify 0.9.0"."""
    unreadable: tuple[str, ...] = Field(default=(), strict=False)
    """Answers that count as failed extractions, beside `failed_answer`."""
    tokens_counted: str = ""
    """How tokens were counted, where the recording has no counts: they are estimates."""
    ungraded: bool = False
    """Whether true answers are not known yet, as of recorded traffic; see `docs/store.md`."""
    sampling: dict[str, JsonValue] = {}
    source: str = ""
    columns: dict[str, list[str]] = {}
    """The columns of each file that not every store has; empty for one that is not on disk."""
    files: dict[str, str] = {}
    """sha256 of each file of the folder; empty for a store that is not on disk."""
    digest: str
    """sha256 of the content, whatever files and which schema version hold it."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        new = self.model_fields_set.difference(V1_FIELDS) if self.schema_version == 1 else ()
        if new:
            raise ValueError(f"schema version 1 has no {', '.join(sorted(new))}")
        if len(self.models) == 1:
            raise ValueError("one model is named by `model`; `models` are two or more")
        for model in self.models:
            try:
                price = Decimal(model.price_text).scaleb(self.cost_scale)
            except InvalidOperation as error:
                raise ValueError(
                    f"{model.name}: price {model.price_text!r} is no number"
                ) from error
            if price != model.price:
                raise ValueError(
                    f"{model.name}: price {model.price} is not {model.price_text} times ten to"
                    f" the {self.cost_scale}"
                )
        return self


def header_of(manifest: Manifest) -> dict[str, JsonValue]:
    """What of a manifest its content digest covers.

    It is what schema version 1 had, and of what came later only what is there: a store that
    version 1 could hold keeps its digest.
    """
    fields = manifest.model_dump(mode="json", exclude={"files", "columns", "digest"})
    plain = Manifest.model_fields
    return {
        name: value
        for name, value in (fields | {"schema_version": 1}).items()
        if name in V1_FIELDS or getattr(manifest, name) != plain[name].default
    }


def priced(prices: Mapping[str, str]) -> tuple[tuple[PricedModel, ...], int]:
    """Models by name with their prices as decimals, and the `cost_scale` that makes these whole.

    Raises:
        StoreError: a price is no decimal above 0, or takes too many digits.
    """
    for name, text in prices.items():
        if not _DECIMAL.fullmatch(text) or not float(text):
            raise StoreError(f"{name}: price {text!r}: a decimal above 0 is needed, such as 0.6")
    scale = max(len(text.partition(".")[2].rstrip("0")) for text in prices.values())
    whole = {name: int(Decimal(text).scaleb(scale)) for name, text in prices.items()}
    if max(whole.values()) > _MOST_PRICE:
        raise StoreError(
            f"prices {', '.join(prices.values())}: as whole numbers up to {_MOST_PRICE:,} they"
            " keep their ratio only if they have fewer digits"
        )
    models = tuple(
        PricedModel(name=name, price=whole[name], price_text=text) for name, text in prices.items()
    )
    return models, scale
