"""The budget of a run: what is left of it, and what may still be asked for."""

from collections.abc import Callable

from autotts.discovery.explorer import OutOfBudget, Remaining, Usage
from autotts.discovery.run.settings import RunLimits
from autotts.discovery.run.state import RunState


class Ledger:
    """Holds what a run has spent against its limits; refuses what does not fit.

    A call that was sent and whose reply is not known (a crash, an error) counts as what was
    reserved for it: it may have cost that much, and a limit that can be overrun by crashing is
    none.
    """

    def __init__(self, limits: RunLimits, state: RunState, clock: Callable[[], float]) -> None:
        """
        Args:
            clock: seconds of the run so far, all sessions.
        """
        self.limits = limits
        self._state = state
        self._clock = clock

    @property
    def remaining(self) -> Remaining:
        limits, usage = self.limits, self._state.usage
        usd = None
        if limits.usd is not None and usage.usd is not None:
            usd = max(0.0, limits.usd - usage.usd)
        return Remaining(
            rounds=_left(limits.rounds, self._state.rounds),
            evaluations=_left(limits.evaluations, self._state.evaluations),
            model_tokens=_left(limits.model_tokens, usage.tokens),
            usd=usd,
            seconds=None if limits.seconds is None else max(0.0, limits.seconds - self._clock()),
        )

    def reserve(self, usage: Usage) -> None:
        """Check that a call fits.

        Raises:
            OutOfBudget: it does not; the message has the limit and what would help.
        """
        limits, left = self.limits, self.remaining
        self.check_time()
        if left.model_tokens is not None and usage.tokens > left.model_tokens:
            raise OutOfBudget(
                f"a call may take {usage.tokens} model tokens, {left.model_tokens} of"
                f" {limits.model_tokens} are left; resume with a larger --model-tokens"
            )
        if limits.usd is None:
            return
        if usage.usd is None or self._state.usage.usd is None:
            raise OutOfBudget(
                f"a limit of {limits.usd} USD can't be kept: the price of a call is unknown; give"
                " the model's price, or leave out --usd"
            )
        if left.usd is not None and usage.usd > left.usd:
            raise OutOfBudget(
                f"a call may cost {usage.usd:.4f} USD, {left.usd:.4f} of {limits.usd} are left;"
                " resume with a larger --usd"
            )

    def check_evaluation(self) -> None:
        """Check that one more evaluation fits.

        Raises:
            OutOfBudget: it does not.
        """
        self.check_time()
        if self.remaining.evaluations == 0:
            raise OutOfBudget(
                f"all {self.limits.evaluations} evaluations are spent; resume with more"
                " --evaluations"
            )

    def check_time(self) -> None:
        """Check that there is time left.

        Raises:
            OutOfBudget: there is none.
        """
        if self.remaining.seconds == 0:
            raise OutOfBudget(
                f"all {self.limits.seconds} seconds are spent; resume with more --seconds"
            )


def _left(limit: int | None, spent: int) -> int | None:
    return None if limit is None else max(0, limit - spent)


def priced(usd: float | None) -> str:
    """Dollars for a reader; what has no price says so."""
    return "unpriced" if usd is None else f"${usd:.4f}"
