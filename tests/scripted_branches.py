"""A model that is made up: every branch is a text that its first seed decides."""

import asyncio
import random
import re

import numpy as np

from autotts.errors import ServerError
from autotts.inference.server import Capabilities, Decoded, Logprobs, Tally, ids_of

END = 0


class ScriptedBranches:
    """An `inference.Server` in this process; a token is a character.

    right: share of the branches that end on 42; others end on numbers of their own.
    seconds: that a decode takes.
    fails: the first so many decodes fail.
    logprobs: how many top log-probabilities a token it gives.
    """

    address, dialect, model = "nowhere", "scripted", "toy"

    def __init__(self, *, right=0.6, seconds=0.0, fails=0, longest=60, logprobs=0):
        self.can = Capabilities(exact=True, continues=True, renders=True, logprobs=logprobs)
        self.tally = Tally()
        self.right, self.seconds, self.fails, self.longest = right, seconds, fails, longest
        self.running = 0
        self.closed = False

    async def encode(self, text, *, special=False):
        return ids_of([ord(letter) for letter in text])

    async def render(self, messages, options=None):
        return await self.encode(
            "".join(f"<{role}>{content}" for role, content in messages) + "<a>"
        )

    def _plan(self, prompt_and_branch):
        """The whole text of the branch that a context is the beginning of."""
        found = re.search(r"\n#(\d+) ", prompt_and_branch)
        if not found:
            return None, 0
        chance = random.Random(int(found[1]))
        answer = "42" if chance.random() < self.right else str(chance.randrange(3))
        thought = "hm " * chance.randrange(1, self.longest // 3)
        return f"\n#{found[1]} {thought}so \\boxed{{{answer}}}", found.start()

    async def decode(self, context, *, max_tokens, sampling, seed, logprobs=0):
        self.running += 1
        try:
            if self.seconds:
                await asyncio.sleep(self.seconds)
        finally:
            self.running -= 1
        if self.fails:
            self.fails -= 1
            raise ServerError("the upstream said no")
        before = "".join(chr(one % 0x10000) for one in context)
        plan, start = self._plan(before)
        if plan is None:
            plan, start = self._plan(before + f"\n#{seed % 1000} ")
        rest = plan[len(before) - start :]
        text = rest[:max_tokens]
        ended = len(rest) < max_tokens
        content = await self.encode(text)
        if ended:
            content.append(END)
        return Decoded(
            content, text, len(content), ended, prompt_tokens=len(context),
            logprobs=self._logprobs("42" in plan, len(content), logprobs),
        )  # fmt: skip

    def _logprobs(self, right, tokens, k):
        """Of a model that is surer where it is right."""
        if not k:
            return None
        top = np.tile(np.float32(-1 - (2 if right else 1) * np.arange(k)), (tokens, 1))
        return Logprobs(top[:, 0], top, np.full(tokens, -np.inf, np.float32), ())

    async def probe(self, context, suffix, *, max_tokens, stop=(), logprobs=0):
        plan, _ = self._plan("".join(chr(one % 0x10000) for one in context))
        answer = re.search(r"boxed\{(\w+)\}", plan)[1]
        return Decoded(await self.encode(answer + "}"), answer + "}", len(answer) + 1, False)

    async def abort(self, request_id):
        pass

    async def aclose(self):
        self.closed = True
