"""The chat explorer: asks a model for a whole program, and once more where it fails its check.

Every attempt is a paid call of its own, so each is reserved before and recorded after, whatever
came of it, and a resumed run goes through the same attempts without sending or waiting again.
"""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from autotts.discovery.explorer import FREE, Proposal, Record, Turn, Usage
from autotts.discovery.explorers import take_options
from autotts.discovery.explorers.models import (
    FINAL,
    AnthropicModel,
    Asked,
    Model,
    OpenAIModel,
    Price,
    backoff,
    read_price,
    usage_of,
)
from autotts.discovery.explorers.options import number
from autotts.discovery.prompts.briefing import HISTORY_BYTES, briefing, prompt, prompt_digest
from autotts.discovery.prompts.replies import Reply, ends_inside_block, parse_reply
from autotts.errors import ProposalError, SpecError

_LONGEST_WAIT_SECONDS = 120.0
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
}
"""Options and their defaults: `timeout` and `backoff` in seconds, `prices` a TOML file."""


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


class Chat:
    """Proposes what a chat model writes."""

    name = "chat"
    deterministic = False

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
        conversations = [
            _Conversation(self._model, self._manners, self._price, turn, index, checking)
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
            raise ProposalError("; ".join(str(error) for error in held))
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
    ) -> None:
        """
        Args:
            checking: held while a program is checked; one is at a time.
        """
        self._model = model
        self._manners = manners
        self._price = price
        self._turn = turn
        self._index = index
        self._checking = checking
        self._usage = FREE

    def hold(self, text: str) -> Proposal:
        """
        Raises:
            ProposalError: no program came, whatever was tried.
        """
        messages = [("user", text)]
        best: Reply | None = None
        reason = ""
        for _ in range(self._manners.repairs + 1):
            try:
                outcome = self._ask(messages)
            except ProposalError as error:
                reason = str(error)
                break
            said = str(outcome["text"])
            reply = parse_reply(said)
            best = reply if reply.source else best
            errors = self._errors(outcome, reply.source)
            if not errors:
                break
            reason = "; ".join(errors)
            listed = "\n".join(f"- {error}" for error in errors)
            messages += [
                ("assistant", said or "(nothing)"),
                ("user", prompt("repair", errors=listed)),
            ]
        if best is None:
            raise ProposalError(reason)
        # A program that still fails is proposed all the same: the round records why.
        return best.proposal(self._usage)

    def _errors(self, outcome: Record, source: str) -> tuple[str, ...]:
        text = str(outcome["text"])
        if source:
            with self._checking:
                return self._turn.check(source)
        if outcome["kind"] == "cut" or ends_inside_block(text):
            return (
                f"the reply was cut at {self._manners.max_tokens} tokens, before the program's end;"
                " write less before it, and a shorter program",
            )
        return ("there is no Python code block with a program in the reply",)

    def _ask(self, messages: list[tuple[str, str]]) -> Record:
        """The model's reply, after as many attempts as it takes or is given.

        Raises:
            ProposalError: none succeeded.
        """
        asked = Asked(
            tuple(messages),
            self._manners.max_tokens,
            self._manners.temperature,
            (self._turn.seed + self._index) % 2**31,
        )
        waits = backoff(self._manners.backoff, _LONGEST_WAIT_SECONDS)
        failures = []
        for attempt in range(self._manners.retries + 1):
            outcome, sent = self._attempt(asked, attempt)
            if outcome["kind"] in FINAL:
                break
            failures.append(f"{outcome['kind']} ({outcome['detail']})".replace(" ()", ""))
            wait = max(next(waits), min(float(outcome["retry_after"]), _LONGEST_WAIT_SECONDS))  # type: ignore[arg-type]
            if sent and attempt < self._manners.retries:
                self._turn.say(f"the model's server: {failures[-1]}; again in {wait:.1f} s")
                time.sleep(wait)
        else:
            raise ProposalError(f"no reply in {len(failures)} attempts, the last: {failures[-1]}")
        if outcome["kind"] == "refused":
            raise ProposalError(f"the model's server refused the request: {outcome['detail']}")
        return outcome

    def _attempt(self, asked: Asked, attempt: int) -> tuple[Record, bool]:
        """One call, and whether it was sent now rather than found in the run."""
        sent = False

        def send() -> tuple[Record, Usage]:
            nonlocal sent
            sent = True
            outcome = self._model.send(asked)
            usage = usage_of(outcome, asked, self._price)
            return {**outcome.record(), "usage": asdict(usage)}, usage

        price = self._price
        given, made = asked.input_tokens, asked.max_tokens
        at_most = Usage(1, given, made, None if price is None else price.of(given, made))
        request: Record = {
            "messages": [list(message) for message in asked.messages],
            "proposal": self._index,
            "attempt": attempt,
        }
        outcome = self._turn.paid(request, send, at_most=at_most)
        self._usage += Usage(**outcome["usage"])  # type: ignore[arg-type]
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
    if urlsplit(taken["base_url"]).username is not None:
        raise SpecError("explorer chat: no key in base_url, it is recorded; use the environment")
    kind = OpenAIModel if provider == "openai" else AnthropicModel
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
    return Chat(
        kind(model, taken["base_url"], number("chat", taken, "timeout")), manners, price, described
    )
