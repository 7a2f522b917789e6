"""What of a deployment a request chooses: controller and beta, within what is allowed."""

from dataclasses import dataclass

from autotts.errors import ProgramError
from autotts.programs import Spec
from autotts.serve.body import BadRequest, Common
from autotts.serve.deployment import Deployment

BETA_HEADER = "X-AutoTTS-Beta"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Controller and beta of a request."""

    controller: str
    spec: Spec
    beta: float


def choose(deployment: Deployment, body: Common, header: str | None) -> Chosen:
    """What a request chose: by its fields, else the header, else the model's name, else defaults.

    >>> choose(deployment, ChatBody(model="qwen@cmc:0.3", messages=[...]), None)  # doctest: +SKIP
    Chosen(controller='cmc', ..., beta=0.3)

    Raises:
        BadRequest: there is no such model or controller, or a beta is not one.
    """
    controller, beta = _of_model(deployment, body.model)
    if header is not None:
        beta = _beta(header, BETA_HEADER)
    if body.controller is not None:
        controller = body.controller
    if body.beta is not None:
        beta = body.beta
    if controller not in deployment.controllers:
        raise BadRequest(
            f"there is no controller {controller!r} here; served are"
            f" {', '.join(deployment.controllers)}",
            "controller" if body.controller is not None else "model",
        )
    return Chosen(controller, deployment.controllers[controller], beta)


def _of_model(deployment: Deployment, model: str) -> tuple[str, float]:
    """The controller and beta that a model's name asks for: `NAME`, `NAME@CONTROLLER[:BETA]`."""
    name, _, rest = model.partition("@")
    if name and name != deployment.name:
        raise BadRequest(
            f"there is no model {model!r} here; there is {deployment.name}, and"
            f" {deployment.name}@CONTROLLER:BETA", "model", status=404, code="model_not_found",
        )  # fmt: skip
    controller, colon, beta = rest.partition(":")
    return (
        controller or next(iter(deployment.controllers)),
        _beta(beta, "model") if colon else deployment.beta,
    )


def _beta(text: str, where: str) -> float:
    try:
        beta = float(text)
    except ValueError:
        beta = -1.0
    if not 0 <= beta <= 1:
        raise BadRequest(f"beta {text[:40]!r} is not a number from 0 to 1", where)
    return beta


def parameters_of(choice: Chosen) -> dict[str, float]:
    """The parameters of a trusted controller at the beta that was chosen."""
    from autotts.programs.loading import load_trusted

    try:
        return load_trusted(choice.spec.source).parameters(choice.beta, dict(choice.spec.named))
    except ProgramError as error:
        raise BadRequest(str(error), "controller") from error
