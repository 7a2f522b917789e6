"""The settings of a run, as they stand in `run.toml`: everything, printed in full at the start."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from autotts.discovery.explorer import ProgramRules
from autotts.errors import RunError
from autotts.evaluation import Experiment
from autotts.evaluation.families import FamilyWeight, Judge
from autotts.evaluation.objectives import FORECAST, Objective
from autotts.inference.speed import ServerSpeed
from autotts.untrusted import parse_toml

BETAS = tuple(round(0.1 * step, 1) for step in range(11))
"""The sweep of a round."""

DEFAULT_ROUNDS = 5

_UNLIMITED = "unlimited"
_FIELDS = ConfigDict(frozen=True, extra="forbid")


def _limit(value: object) -> object:
    return None if value == _UNLIMITED else value


Count = Annotated[Annotated[int, Field(ge=0)] | None, BeforeValidator(_limit)]
Amount = Annotated[
    Annotated[float, Field(ge=0, allow_inf_nan=False)] | None, BeforeValidator(_limit)
]
Beta = Annotated[float, Field(ge=0, le=1)]


def _several_orders(draws: str) -> str:
    if re.fullmatch(r"(reference|subsets):[0-9]{1,5}", draws):
        return draws
    raise ValueError("a search needs reference:N or subsets:N, such as reference:100")


Draws = Annotated[str, AfterValidator(_several_orders)]


Forecasting = tuple[Objective, ServerSpeed]
"""What is forecast, and for which server."""


class RunLimits(BaseModel):
    """The budget of a run; None is no limit.

    evaluations: sweeps and tries.
    model_tokens: input and output together.
    seconds: wall clock, over all sessions.
    """

    model_config = _FIELDS
    rounds: Count = DEFAULT_ROUNDS
    evaluations: Count = None
    model_tokens: Count = None
    usd: Amount = None
    seconds: Amount = None


class StoreRef(BaseModel):
    """A store by place and content."""

    model_config = _FIELDS
    path: str
    model: str
    dataset: str
    digest: str


class EarlierRun(BaseModel):
    """A run that another one begins with.

    digest: sha256 of its log.
    searched: digests of the stores that it searched on, and of those of the runs that it began
        with itself.
    """

    model_config = _FIELDS
    path: str
    digest: str
    searched: tuple[str, ...]


class ExplorerRef(BaseModel):
    """Who proposes: its name, the options it was given, and what it says of itself."""

    model_config = _FIELDS
    name: str
    options: dict[str, str] = {}
    settings: dict[str, Any] = {}
    deterministic: bool = False


class RunSettings(BaseModel):
    """Everything that a run's results depend on.

    stores, held_out: the search set, and what only `finalize` opens.
    earlier: runs whose best programs are proposed in round 0.
    driver: "sealed" (compiled and audited, or blind), "blind", or "in-process".
    unsafe: run programs even where no process can be sealed.
    audit: episodes of a sweep that are run again blind.
    selection: "area" or "accuracy", the paper's rule.
    objective: what budgets count, see `evaluation.objectives`.
    server_model: a server that was measured, where budgets are seconds or dollars on it.
    judge, family_weight: what figure is made of the areas by store, see `evaluation.families`.
    race: whether of more than three proposals a round only those are swept whole that a race on
        growing samples leaves.
    accept: share of resamples in which a program must be ahead of what was accepted before.
    one_knob: False under `--no-beta`; traces: False under `--no-traces`.
    try_draws: draws of a quick try.
    parallel: rounds that are proposed side by side; a round knows what came of the rounds before
        it but for the last `parallel` - 1.
    made_by: versions.
    """

    model_config = _FIELDS
    name: str
    seed: int = Field(default=0, ge=0, lt=2**63)
    proposals: int = Field(default=1, ge=1, le=1000)
    parallel: int = Field(default=1, ge=1, le=64)
    selection: Literal["area", "accuracy"] = "area"
    objective: Objective = "tokens"
    server_model: ServerSpeed | None = None
    judge: Judge = "mean"
    family_weight: FamilyWeight = "stores"
    race: bool = False
    accept: float = Field(default=0.8, ge=0.5, lt=1)
    traces: bool = True
    driver: Literal["sealed", "blind", "in-process"] = "sealed"
    unsafe: bool = False
    audit: int = Field(default=600, ge=0)
    betas: tuple[Beta, ...] = Field(default=BETAS, min_length=1, max_length=1001)
    draws: Draws = "reference:100"
    try_draws: Draws = "reference:20"
    failed: Literal["vote", "abstain"] = "vote"
    probe_tokens: int = Field(default=0, ge=0)
    baselines: tuple[str, ...] = ("asc", "short-mk", "cmc", "race-prune")
    rules: ProgramRules = ProgramRules()
    limits: RunLimits = RunLimits()
    explorer: ExplorerRef
    stores: tuple[StoreRef, ...]
    held_out: tuple[StoreRef, ...] = ()
    earlier: tuple[EarlierRun, ...] = ()
    made_by: dict[str, str] = {}

    def experiment(self, *, draws: str | None = None) -> Experiment:
        """What programs are replayed under."""
        return Experiment(
            draws=draws or self.draws,
            probe_tokens=self.probe_tokens,
            max_branches=self.rules.ceiling,
            failed=self.failed,
            seed=self.seed,
        )

    @property
    def forecast(self) -> Forecasting | None:
        """What spending is forecast by; None where a store tells it."""
        if self.server_model is None or self.objective not in FORECAST:
            return None
        return self.objective, self.server_model

    def with_limits(self, limits: RunLimits) -> "RunSettings":
        """The same with another budget."""
        return self.model_copy(update={"limits": limits})

    def toml(self) -> str:
        """The text of `run.toml`."""
        fields = self.model_dump(mode="json")
        fields["rules"] = asdict(self.rules)
        fields["limits"] = {
            name: _UNLIMITED if value is None else value for name, value in fields["limits"].items()
        }
        return "\n".join(_toml(fields)) + "\n"


def parse_settings(content: bytes, where: str) -> RunSettings:
    """Settings from the content of `run.toml`.

    Raises:
        RunError: it isn't one.
    """
    try:
        return RunSettings.model_validate(parse_toml(content))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in found["loc"])[:200]
        raise RunError(f"{where}: {field}: {found['msg'].removeprefix('Value error, ')}") from error
    except ValueError as error:
        raise RunError(f"{where}: no TOML: {error}") from error


def _toml(fields: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """TOML lines: plain values first, then tables, then arrays of tables."""
    tables = {key: value for key, value in fields.items() if isinstance(value, dict)}
    arrays = {
        key: value
        for key, value in fields.items()
        if isinstance(value, list) and value and isinstance(value[0], dict)
    }
    for key, value in fields.items():
        if key not in tables and key not in arrays and value is not None:
            yield f"{_key(key)} = {_value(value)}"
    for key, table in tables.items():
        yield f"\n[{prefix}{_key(key)}]"
        yield from _toml(table, f"{prefix}{_key(key)}.")
    for key, rows in arrays.items():
        for row in rows:
            yield f"\n[[{prefix}{_key(key)}]]"
            yield from _toml(row, f"{prefix}{_key(key)}.")


def _key(name: str) -> str:
    bare = name.replace("-", "").replace("_", "")
    return name if bare.isascii() and bare.isalnum() else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    # Strings and numbers are written in TOML as in JSON; DEL alone must be escaped beside.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
