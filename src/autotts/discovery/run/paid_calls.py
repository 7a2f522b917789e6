"""Calls that cost: reserved before they are sent, recorded before their reply is used, and never
paid twice."""

import hashlib
import json
from collections import defaultdict, deque
from collections.abc import Callable

from autotts.discovery.explorer import CallFailed, Record, Usage
from autotts.discovery.run.budget import Ledger
from autotts.discovery.run.charges import settled
from autotts.discovery.run.events import CallLost, CallReplied, CallReserved
from autotts.discovery.run.folder import OpenRun


class PaidCalls:
    """The paid calls of one round; see `explorer.Paid`. May be used from several threads.

    A call that the log has an outcome for, reply or failure, gets that outcome; one that was in
    flight when the process died is sent again, and counted twice.
    """

    def __init__(self, run: OpenRun, ledger: Ledger, round_number: int) -> None:
        self._run = run
        self._ledger = ledger
        self._round = round_number
        self._known: dict[str, deque[CallReplied | CallLost]] = defaultdict(deque)
        for call in run.state.calls.values():
            if call.reserved.round == round_number and call.outcome is not None:
                self._known[call.reserved.request].append(call.outcome)

    def __call__(
        self, request: Record, send: Callable[[], tuple[Record, Usage]], *, at_most: Usage
    ) -> Record:
        digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
        with self._run.paying:
            if self._known[digest]:
                return _outcome(self._known[digest].popleft())
            self._ledger.reserve(at_most)
            name = f"call-{len(self._run.state.calls) + 1}"
            self._run.append(CallReserved(name, self._round, digest, at_most))
        try:
            reply, usage = send()
        except Exception as error:
            usage = error.usage if isinstance(error, CallFailed) else at_most
            failed = f"{type(error).__name__}: {error}"
            self._run.append(CallLost(name, failed, settled(usage, at_most)))
            raise
        return _outcome(self._run.append(CallReplied(name, reply, settled(usage, at_most))))


def _outcome(outcome: CallReplied | CallLost) -> Record:
    """A reply, or a failure raised again."""
    if isinstance(outcome, CallLost):
        raise CallFailed(outcome.error, outcome.usage)
    return outcome.reply
