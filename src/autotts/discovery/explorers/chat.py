"""The chat explorer: asks a model for a whole program, and once more where it fails its check.

Every attempt is a paid call of its own, so each is reserved before and recorded after, whatever
came of it, and a resumed run goes through the same attempts without sending or waiting again.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from autotts.discovery.explorer import FREE, CallFailed, Proposal, Record, Turn, Usage
from autotts.discovery.explorers import take_options
from autotts.discovery.explorers.models import (
    FINAL,
    LEFT_OUT,
    Asked,
    Kind,
    Model,
    Price,
    Request,
    anthropic_model,
    backoff,
    openai_model,
    read_price,
    usage_of,
)
from autotts.discovery.explorers.options import number
from autotts.discovery.prompts.briefing import HISTORY_BYTES, briefing, prompt, prompt_digest
from autotts.discovery.prompts.replies import Reply, ends_inside_block, parse_reply, spoken
from autotts.discovery.run.events import without_nulls
from autotts.errors import ProposalError, ServerError, SpecError
from autotts.inference.address import LONGEST_WAIT_SECONDS

_PROMPT_TOKENS = 16_000
"""What a prompt takes where none has been written yet, for estimates."""

OPTIONS = {
    "model": "",
    "provider": "",
    "base_url": "",
    "prices": "",
    "max_tokens": "16000",
    "temperature": "",
    "timeout": "600",
    "retries": "4",
    "backoff": "2",
    "repairs": "1",
    "history_bytes": str(HISTORY_BYTES),
    "omit": "",
    "extra_body": "",
}
"""Options and their defaults: `timeout` and `backoff` in seconds; `prices`: a TOML file; `omit`:
fields the server doesn't take, with commas between; `extra_body`: further fields, as JSON.
"""
_OURS = ("model", "messages", "stream")
"""Fields that `extra_body` can't set."""
_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
_LONGEST_REPEATED = 64_000
"""Characters of a reply that are shown to the model again, for it to mend."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How the model is asked.

    retries: further attempts after a failure that may pass.
    backoff: seconds before the first of them, doubled each time.
    repairs: turns in which the model may mend a program that fails its check.
    """

    max_tokens: int = 16_000
    temperature: float | None = None
    retries: int = 4
    backoff: float = 2.0
    repairs: int = 1
    history_bytes: int = HISTORY_BYTES


@dataclass(frozen=True, slots=True)
class _Recorded:
    """An outcome as it stands in a run; see `models.Outcome`."""

    kind: Kind
    text: str = ""
    detail: str = ""
    retry_after: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    reported: bool = False
    left_out: tuple[str, ...] = ()
    usage: Annotated[Usage, BeforeValidator(without_nulls)] = FREE


_RECORDED = TypeAdapter(_Recorded)


class Chat:
    """Proposes what a chat model writes."""

    name = "chat"
    deterministic = False
    side_by_side = True

    def __init__(
        self, model: Model, manners: Manners, price: Price | None, described: Record
    ) -> None:
        """
        Args:
            described: what `settings` says of the model.
        """
        self._model = model
        self._manners = manners
        self._price = price
        self._described = described
        self._noted: set[str] = set()

    def settings(self) -> Record:
        price: Any = "unpriced" if self._price is None else self._price.model_dump()
        return {**self._described, "usd_per_million_tokens": price, "prompts": prompt_digest()}

    def estimate(self, rounds: int, proposals: int) -> Usage:
        """Every proposal repaired, every reply as long as it may be."""
        calls = rounds * proposals * (1 + self._manners.repairs)
        given, made = calls * _PROMPT_TOKENS, calls * self._manners.max_tokens
        return Usage(calls, given, made, self._usd(given, made))

    def _usd(self, given: int, made: int) -> float | None:
        return None if self._price is None else self._price.of(given, made)

    def propose(self, turn: Turn) -> list[Proposal]:
        text = briefing(turn, max_bytes=self._manners.history_bytes)
        text += "\n" + prompt("reply", round=turn.round)
        checking = Lock()

        def note(words: str) -> None:
            if words not in self._noted:
                self._noted.add(words)
                turn.say(words)

        conversations = [
            _Conversation(self._model, self._manners, self._price, turn, index, checking, note)
            for index in range(turn.proposals)
        ]

        def hold(conversation: _Conversation) -> Proposal | ProposalError:
            try:
                return conversation.hold(text)
            except ProposalError as error:
                turn.say(f"round {turn.round}: a proposal failed: {error}")
                return error

        if len(conversations) == 1:
            # Without a thread, an interrupt ends it at once.
            held = [hold(conversations[0])]
        else:
            with ThreadPoolExecutor(len(conversations)) as pool:
                held = list(pool.map(hold, conversations))
        found = [proposal for proposal in held if isinstance(proposal, Proposal)]
        if not found:
            # Where all were refused, the next round would be too.
            of_server = all(isinstance(error, ServerError) for error in held)
            kind = ServerError if of_server else ProposalError
            raise kind("; ".join(dict.fromkeys(str(error) for error in held)))
        return found


class _Conversation:
    """One proposal: the request, and a repair where it is needed."""

    def __init__(
        self,
        model: Model,
        manners: Manners,
        price: Price | None,
        turn: Turn,
        index: int,
        checking: Lock,
        note: Callable[[str], None],
    ) -> None:
        """
        Args:
            checking: held while a program is checked; one is at a time.
            note: shows the user a line that is worth showing once.
        """
        self._model = model
        self._manners = manners
        self._price = price
        self._turn = turn
        self._index = index
        self._checking = checking
        self._note = note
        self._usage = FREE

    def hold(self, text: str) -> Proposal:
        """
        Raises:
            ProposalError: no program came, whatever was tried.
            ServerError: the server refuses the request, and would again.
        """
        messages = [("user", text)]
        best: Reply | None = None
        failure = ProposalError("the model was asked for nothing")
        for _ in range(self._manners.repairs + 1):
            try:
                outcome = self._ask(messages)
            except ProposalError as error:
                failure = error
                break
            said = outcome.text
            reply = parse_reply(said, complete=outcome.kind == "answered")
            best = reply if reply.source else best
            errors = self._errors(outcome, reply.source)
            if not errors:
                break
            failure = ProposalError("; ".join(errors))
            listed = "\n".join(f"- {error}" for error in errors)
            messages += [
                ("assistant", spoken(said)[-_LONGEST_REPEATED:].strip() or "(nothing)"),
                ("user", prompt("repair", errors=listed)),
            ]
        if best is None:
            raise failure
        # A program that still fails is proposed all the same: the round records why.
        return best.proposal(self._usage)

    def _errors(self, outcome: _Recorded, source: str) -> tuple[str, ...]:
        text = outcome.text
        if source:
            with self._checking:
                return self._turn.check(source)
        if outcome.kind == "cut":
            return (
                f"the reply was cut at {self._manners.max_tokens} tokens, before the program's end;"
                " write less before it, and a shorter program",
            )
        if outcome.kind == "filtered":
            return (f"{outcome.detail}, before the program's end",)
        if ends_inside_block(text):
            return ("the last code block of the reply was opened and never closed",)
        return ("there is no Python code block with a program in the reply",)

    def _ask(self, messages: list[tuple[str, str]]) -> _Recorded:
        """The model's reply, after as many attempts as it takes or is given.

        What failed in an earlier session of the run is passed over: since then somebody may have
        mended the server, or the key.

        Raises:
            ProposalError: no attempt succeeded.
            ServerError: the server refuses the request.
        """
        waits = backoff(self._manners.backoff)
        failures: list[str] = []
        attempt = 0
        while True:
            outcome, sent = self._attempt(messages, attempt)
            attempt += 1
            if outcome.kind in FINAL and (sent or outcome.kind != "refused"):
                break
            if not sent:
                continue
            failures.append(f"{outcome.kind} ({outcome.detail})".replace(" ()", ""))
            if len(failures) > self._manners.retries:
                raise ProposalError(
                    f"no reply in {len(failures)} attempts, the last: {failures[-1]}"
                )
            wait = max(next(waits), min(outcome.retry_after, LONGEST_WAIT_SECONDS))
            left = self._turn.remaining().seconds
            wait = wait if left is None else min(wait, left)
            self._turn.say(f"the model's server: {failures[-1]}; again in {wait:.1f} s")
            time.sleep(wait)
        for name in outcome.left_out:
            self._note(f"the model's server refuses the field {name}: it is left out")
        if outcome.kind == "refused":
            raise ServerError(f"the model's server refused the request: {outcome.detail}")
        if not outcome.reported:
            self._note("the model's server does not count tokens: they are estimated from bytes")
        return outcome

    def _attempt(self, messages: list[tuple[str, str]], attempt: int) -> tuple[_Recorded, bool]:
        """One call, and whether it was sent now rather than found in the run."""
        manners, price = self._manners, self._price
        seed = (self._turn.seed + self._index) % 2**31
        left = self._turn.remaining().seconds
        asked = Asked(tuple(messages), manners.max_tokens, manners.temperature, seed, left)
        sent = False

        def send() -> tuple[Record, Usage]:
            nonlocal sent
            sent = True
            outcome = self._model.send(asked)
            usage = usage_of(outcome, asked, price)
            return {**outcome.record(), "usage": asdict(usage)}, usage

        given, made = asked.input_tokens, asked.max_tokens
        at_most = Usage(1, given, made, None if price is None else price.of(given, made))
        request: Record = {
            "messages": [list(message) for message in asked.messages],
            "proposal": self._index,
            "attempt": attempt,
        }
        try:
            outcome = _RECORDED.validate_python(self._turn.paid(request, send, at_most=at_most))
        except CallFailed as error:
            # Recorded by a session that ended in an error.
            outcome = _Recorded("failed", detail=str(error), usage=error.usage)
        except ValidationError as error:
            # Recorded by another version, or in a folder that was tampered with.
            outcome = _Recorded("unreadable", detail=f"its record is damaged: {error}")
        self._usage += outcome.usage
        return outcome, sent


def make(options: Mapping[str, str]) -> Chat:
    """From the options of `OPTIONS`; keys come from the environment alone.

    Raises:
        SpecError: an option is wrong, the client is missing, or the key is.
    """
    taken = take_options("chat", options, OPTIONS)
    model = taken["model"]
    if not model:
        raise SpecError("explorer chat needs a model: --model NAME")
    anthropic = model.startswith("claude") and not taken["base_url"]
    provider = taken["provider"] or ("anthropic" if anthropic else "openai")
    if provider not in ("openai", "anthropic"):
        raise SpecError(f"explorer chat: provider={provider!r}; there are openai and anthropic")
    for name, value in taken.items():
        if any(len(key := os.environ.get(k, "").strip()) > 7 and key in value for k in _KEYS):
            raise SpecError(f"explorer chat: no key in {name}, it is recorded; leave it out")
    price = read_price(Path(taken["prices"]), model) if taken["prices"] else None
    manners = Manners(
        max_tokens=int(number("chat", taken, "max_tokens")),
        temperature=number("chat", taken, "temperature") if taken["temperature"] else None,
        retries=int(number("chat", taken, "retries")),
        backoff=number("chat", taken, "backoff"),
        repairs=int(number("chat", taken, "repairs")),
        history_bytes=int(number("chat", taken, "history_bytes")),
    )
    described: Record = {**taken, "provider": provider}
    request = Request(
        model,
        taken["base_url"],
        number("chat", taken, "timeout"),
        _omitted(taken["omit"]),
        _extra_body(taken["extra_body"]),
    )
    made = openai_model(request) if provider == "openai" else anthropic_model(request)
    return Chat(made, manners, price, described)


def _omitted(text: str) -> frozenset[str]:
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    if unknown := sorted(names.difference(LEFT_OUT)):
        raise SpecError(
            f"explorer chat: omit={text!r}: {unknown[0]} can't be left out; of"
            f" {', '.join(LEFT_OUT)} each can"
        )
    return names


def _extra_body(text: str) -> Record:
    try:
        fields = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise SpecError(f"explorer chat: extra_body is no JSON: {error}") from error
    if not isinstance(fields, dict) or any(name in fields for name in _OURS):
        raise SpecError(
            f"explorer chat: extra_body={text!r}: need a JSON object without {', '.join(_OURS)},"
            ' such as {"top_p": 0.9}'
        )
    return fields
