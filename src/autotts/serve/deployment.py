"""What is served: a model under controllers, each at any beta, within limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autotts.answers.reader import AnswerReader
from autotts.collect import TokenPrices
from autotts.inference.server import Sampling, Server
from autotts.programs import Spec
from autotts.serve.formats import Format


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """What one request may have, and how many there may be.

    branch_tokens: most tokens of a branch.
    total_tokens: most tokens of all branches of a request; 0 for no limit.
    seconds: most seconds of a request; 0 for no limit.
    branches: most branches of a request.
    requests: answered at once. waiting: further ones that wait their turn.
    body_bytes: of a request.
    """

    branch_tokens: int = 32_768
    total_tokens: int = 0
    seconds: float = 0.0
    branches: int = 64
    requests: int = 64
    waiting: int = 256
    body_bytes: int = 4 << 20


@dataclass(frozen=True, slots=True)
class Deployment:
    """All that a service is made of.

    name: the model's, as clients know it.
    controllers: by the name by which a request chooses one; the first is the default.
    betas: that `/v1/models` names for each controller; a request may ask for any.
    """

    name: str
    upstreams: Sequence[Server]
    controllers: Mapping[str, Spec]
    beta: float = 0.5
    betas: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0)
    interval: int = 500
    sampling: Sampling = field(default_factory=Sampling)
    answers: Format | AnswerReader = field(default_factory=Format)
    probes: bool = True
    prices: TokenPrices = field(default_factory=TokenPrices)
    limits: ServiceLimits = field(default_factory=ServiceLimits)

    @property
    def models(self) -> list[str]:
        """The names under which it can be asked for, the plain one first."""
        named = [
            f"{self.name}@{controller}{at}"
            for controller in self.controllers
            for at in ("", *(f":{beta:g}" for beta in self.betas))
        ]
        return [self.name, *named]
