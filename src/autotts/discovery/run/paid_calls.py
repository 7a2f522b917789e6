"""Calls that cost: reserved before they are sent, recorded before their reply is used, and never
paid twice."""

import hashlib
import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from autotts.discovery.explorer import CallFailed, Record, Usage
from autotts.discovery.run.budget import Ledger, settled, usage_of
from autotts.discovery.run.events import EventLog


class PaidCalls:
    """The paid calls of one round; see `protocol.Paid`. May be used from several threads.

    A call that the log has an outcome for, reply or failure, gets that outcome; one that was in
    flight when the process died is sent again, and counted twice.
    """

    def __init__(self, log: EventLog, ledger: Ledger, round_number: int) -> None:
        self._log = log
        self._ledger = ledger
        self._round = round_number
        self._lock = threading.Lock()
        self._known: dict[str, deque[Record]] = defaultdict(deque)
        digests = {}
        self._calls = 0
        for event in log.events:
            if event["event"] == "call":
                self._calls += 1
                if event["round"] == round_number:
                    digests[event["id"]] = str(event["request"])
            elif event["event"] in ("reply", "call-failed") and event["id"] in digests:
                self._known[digests[event["id"]]].append(event)

    def __call__(
        self, request: Record, send: Callable[[], tuple[Record, Usage]], *, at_most: Usage
    ) -> Record:
        digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
        with self._lock:
            if self._known[digest]:
                return _outcome(self._known[digest].popleft())
            self._ledger.reserve(at_most)
            self._calls += 1
            name = f"call-{self._calls}"
            self._append(
                "call", id=name, round=self._round, request=digest, reserved=asdict(at_most)
            )
        try:
            reply, usage = send()
        except Exception as error:
            usage = error.usage if isinstance(error, CallFailed) else at_most
            with self._lock:
                self._append(
                    "call-failed",
                    id=name,
                    error=f"{type(error).__name__}: {error}",
                    usage=asdict(settled(usage, at_most)),
                )
            raise
        usage = settled(usage, at_most)
        with self._lock:
            return _outcome(self._append("reply", id=name, reply=reply, usage=asdict(usage)))

    def _append(self, event: str, **fields: Any) -> Record:
        record = self._log.append(event, **fields)
        self._ledger.count(record)
        return record


def _outcome(event: Record) -> Record:
    """A reply, or a failure raised again."""
    if event["event"] == "call-failed":
        raise CallFailed(str(event["error"]), usage_of(event["usage"]))
    reply = event["reply"]
    assert isinstance(reply, dict)
    return reply
