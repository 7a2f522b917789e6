"""What a request asks for, as numbers, and what of it can't be had."""

import secrets
from dataclasses import dataclass, replace

from autotts.answers.reader import AnswerReader
from autotts.errors import ControllerError
from autotts.inference.prices import TokenPrices
from autotts.inference.server import Context, Sampling
from autotts.live import CostLimit, ServedTrajectories
from autotts.live.budget import most_tokens
from autotts.serve.body import BadRequest
from autotts.serve.choosing import Chosen
from autotts.serve.formats import Format


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request asks for, as numbers.

    branch_tokens: most tokens of a branch.
    total_tokens, cost, seconds: most of all branches of all its prompts; None for no limit.
    traced: whether progress has steps.
    id, question: of the reply, and what was asked, for the record.
    """

    choice: Chosen
    sampling: Sampling
    branch_tokens: int
    total_tokens: int | None
    cost: float | None
    seconds: float | None
    answers: Format | AnswerReader
    seed: int
    traced: bool = False
    id: str = ""
    question: str = ""

    def shared_by(self, prompts: int) -> "Wish":
        """What each of several prompts may have."""
        tokens, cost = self.total_tokens, self.cost
        return replace(
            self,
            total_tokens=None if tokens is None else tokens // prompts,
            cost=None if cost is None else cost / prompts,
        )

    def cost_limit(self, prices: TokenPrices) -> CostLimit | None:
        """What it may cost; None if it doesn't say.

        Raises:
            BadRequest: there are no prices.
        """
        if self.cost is None:
            return None
        if not (prices.decoded or prices.prompt):
            raise BadRequest(
                "max_cost needs prices, and the operator gave none; max_total_tokens works",
                "max_cost",
            )
        return CostLimit(self.cost, prices)

    def without_a_branch(self) -> Exception:
        """Why an episode opened none."""
        name = self.choice.controller
        limit, most = "max_cost", self.cost
        if most is None:
            limit, most = "max_total_tokens", self.total_tokens
        if most is None:
            return ControllerError(f"{name} opened no branch")
        return BadRequest(
            f"{limit} {most:g} doesn't pay for the first branches of {name}, which opens several at"
            " once; allow more, or choose another controller or beta", limit,
        )  # fmt: skip


def require_an_opening(trajectories: ServedTrajectories, cost: CostLimit, prompt: Context) -> None:
    """Raises BadRequest if the money doesn't pay for the first interval of one branch."""
    most = trajectories.opening_cost
    if most > cost.most:
        reading = cost.reading(most_tokens(prompt))
        raise BadRequest(
            f"max_cost {cost.most:g} doesn't pay for the first interval of one branch, which may"
            f" cost {most:.4g}: {reading:.4g} of it to read the prompt once", "max_cost",
        )  # fmt: skip


def wish_seed(seed: int | None) -> int:
    """The seed of a request, a new one if it has none."""
    return secrets.randbelow(1 << 31) if seed is None else seed % (1 << 31)
