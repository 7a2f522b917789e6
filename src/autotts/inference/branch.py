"""One branch on a server: decoded interval by interval, asked for its answer where that is wanted.

Collecting and live episodes go on with branches by this alone.
"""

import hashlib
from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np

from autotts.answers import FAILED, extract
from autotts.inference.server import Context, Decoded, Sampling, Server, joined
from autotts.inference.signals import (
    ANSWER_LOGPROB,
    WINDOW,
    answer_logprob,
    confidences_of,
    remembered,
    signals_of,
)

_SEED_BITS = 31


@dataclass(frozen=True, slots=True)
class Probing:
    """How a branch is asked for its answer so far.

    suffix: what is added to a branch, as the server reads it, and as text.
    max_tokens: of what the model says then.
    stop: texts that end it.
    logprobs: how many log-probabilities are asked for.
    """

    suffix: Context
    text: str
    max_tokens: int = 20
    stop: tuple[str, ...] = ()
    logprobs: int = 0


@dataclass(frozen=True, slots=True)
class Decoding:
    """How branches are decoded.

    interval: tokens of an interval.
    max_tokens: of a branch; then it is cut.
    logprobs: how many log-probabilities are asked for.
    window: tokens of a window, for signals.
    """

    interval: int
    max_tokens: int
    sampling: Sampling
    logprobs: int = 0
    window: int = WINDOW

    def whole(self) -> "Decoding":
        """The same in one piece, for servers that can't go on with a branch."""
        return replace(self, interval=self.max_tokens)


@dataclass(frozen=True, slots=True, eq=False)
class Probed:
    """What a branch answers so far, `FAILED` where that is nothing; and what the server said.

    logprob: of the answer; None where no log-probabilities came, or no answer.
    """

    answer: str
    said: Decoded
    logprob: float | None = None

    @property
    def signals(self) -> dict[str, float]:
        """What it says of how sure the model is of its answer."""
        return {} if self.logprob is None else {ANSWER_LOGPROB: self.logprob}


@dataclass(slots=True, eq=False)
class ServedBranch:
    """What is decoded of a branch so far.

    context: the prompt and all that was decoded.
    seeds: what the seeds of its intervals are made of, unlike those of any other branch.
    text: what was decoded, without end tokens and stop texts.
    tokens: what was decoded, as the server counted.
    ended: whether nothing more will come: it ended itself, or was cut.
    cut: whether it was cut, by `max_tokens` or at the end of the server's context.
    signals: of the last interval, by name; none where no log-probabilities came.
    confidences: float16 `[P]` of its last tokens, for the next windows.
    """

    context: Context
    seeds: tuple[object, ...] = ()
    text: str = ""
    tokens: int = 0
    intervals: int = 0
    ended: bool = False
    cut: bool = False
    prompt_tokens: int = 0
    cached_tokens: int = 0
    signals: dict[str, float] = field(default_factory=dict)
    confidences: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float16))

    async def advance(self, server: Server, how: Decoding, intervals: int = 1) -> Decoded:
        """Decode one more interval, the last one as long as it is.

        Args:
            intervals: to decode in one request, where nobody looks in between.

        Raises:
            ServerError: it can't be had; the branch is as it was.
        """
        most = min(intervals * how.interval, how.max_tokens - self.tokens)
        decoded = await server.decode(
            self.context,
            max_tokens=most,
            sampling=how.sampling,
            seed=seed_of(*self.seeds, self.intervals),
            logprobs=how.logprobs,
        )
        self.take(decoded, how)
        return decoded

    def take(self, decoded: Decoded, how: Decoding) -> None:
        """Put what was decoded to the branch, just now or in a journal: an interval, or several."""
        self.context = joined(self.context, decoded.content)
        self.tokens += decoded.tokens
        self.intervals += max(1, ceil(decoded.tokens / how.interval))
        self.prompt_tokens += decoded.prompt_tokens or 0
        self.cached_tokens += decoded.cached_tokens or 0
        self.text += decoded.text
        # A server finds a stop text within an interval, not across two of them.
        stop = min((at for s in how.sampling.stop if (at := self.text.find(s)) >= 0), default=-1)
        if stop >= 0:
            self.text = self.text[:stop]
        full = self.tokens >= how.max_tokens
        self.cut = not decoded.ended and stop < 0 and (decoded.cut or full)
        self.ended = decoded.ended or stop >= 0 or self.cut
        self.signals = signals_of(decoded.logprobs, self.confidences, window=how.window)
        self.remember(remembered(confidences_of(decoded.logprobs)), how)

    def remember(self, confidences: np.ndarray, how: Decoding) -> None:
        """Keep the confidences of an interval's tokens, as far back as a window reaches."""
        if len(confidences):
            self.confidences = np.concatenate([self.confidences, confidences])[-how.window :]

    async def probe(self, server: Server, how: Probing) -> Probed:
        """The answer so far.

        Raises:
            ServerError: it can't be had.
        """
        said = await server.probe(
            self.context,
            how.suffix,
            max_tokens=how.max_tokens,
            stop=how.stop,
            logprobs=how.logprobs,
        )
        if not said.text.strip():
            return Probed(FAILED, said)
        answer = extract(how.text + said.text)
        sure = answer_logprob(answer, said.logprobs, lambda text: extract(how.text + text))
        return Probed(answer, said, None if answer == FAILED else sure)

    def answer(self) -> str:
        """The answer that the branch ended on; `FAILED` if there is none."""
        return extract(self.text)


def seed_of(*parts: object) -> int:
    """A seed for each interval: the same for all of a branch would restart the generator.

    >>> seed_of(0, "question", 3, 1) != seed_of(0, "question", 3, 2)
    True
    """
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") & ((1 << _SEED_BITS) - 1)
