"""A pool that grows: one question's trajectories as far as they are decoded.

What control reads of a pool is there before it reads it: a branch that is asked for three more
intervals has them, or its end, when the request is performed. Until a branch has ended, its length
is "longer than anything decoded", so that control takes every interval that is there for a whole
one.
"""

import mmap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autotts import control
from autotts.engine import compiled
from autotts.engine.memory import Memory, address_of
from autotts.engine.pool import PoolHeader
from autotts.replay.task import limit

_BATCHES = {control.FINISH: "finish", control.PROBE: "probe", control.PRUNE: "prune"}

_UNKNOWN_TOKENS = 2**31 - 1

MOST_TOKENS = 1 << 40
"""More than anybody has; a budget beyond is none."""

_OTHER_STEPS = 1 << 10
"""Room for notes and probes of one request; a trace does without what is beyond."""


@dataclass(frozen=True, slots=True, eq=False)
class ActionRequest:
    """What a program asks for: one action on some branches.

    kind: `control.BRANCH`, CONTINUE, FINISH, PROBE or PRUNE.
    ids: int64 `[k]` the branches; of a BRANCH those that it will open.
    times: int64 `[k]` intervals for each; of a BRANCH 1, of others 0.
    probe: whether the answer at each depth passed is asked for.
    model: of a BRANCH, the model that it asks for.
    """

    kind: int
    ids: np.ndarray
    times: np.ndarray
    probe: bool
    model: int = 0


class GrowingPool:
    """The trajectories of one question, and the memory of the episode that is played on them.

    budget: tokens; None for no limit; `limit` may leave less.
    memory: the state, begun; its `log` has room for `log_words`.
    signals: float32 `[1, branches, intervals]` by name, -inf where none came.
    answers: the answers by code, in the order in which they were first decoded; the failed one
        is code 0.
    """

    def __init__(
        self,
        *,
        branches: int,
        intervals: int,
        interval: int,
        billing: str = "exact",
        budget: int | None = None,
        probe_tokens: int = 0,
        abstain: bool = True,
        failed: str = "",
        probed: bool = True,
        signals: Sequence[str] = (),
        log_words: int = 1 << 16,
        same: Callable[[str, str], bool] | None = None,
    ) -> None:
        """
        Args:
            branches: most branches that may be opened.
            intervals: most intervals of a branch.
            interval: tokens of an interval.
            billing: "exact" or "reference".
            budget: tokens; None for no limit.
            probe_tokens: tokens of a probe.
            abstain: whether the failed answer is no answer, instead of one that votes.
            failed: the answer that stands for a failed extraction.
            probed: whether branches can be asked for their answer before they end.
            signals: names of those that come with every interval.
            log_words: room for what the episode asks for.
            same: whether two answers are one, for a text that was not seen before; None compares
                texts.
        """
        self.interval = interval
        self.budget = None if budget is None or budget >= MOST_TOKENS else budget
        self.intervals = intervals
        self.answers = [failed]
        self._code_of = {failed: 0}
        self._same = same
        self.memory = Memory(
            ceiling=branches,
            intervals=intervals,
            n_codes=1 + branches * (intervals + 1),
            interval=interval,
            billing=billing,
            budget=limit(self.budget),
            probe_tokens=probe_tokens if probed else 0,
            signals=signals,
            wide=not probed or bool(signals),
        )
        # Most of these is never written. Pages of their own go back when the episode is over; in
        # the heap the written ones would be others each time, and a service would grow for hours.
        for name, words in (("log", log_words), ("arena", self.memory["arena_size"])):
            self.memory.point(name, np.frombuffer(mmap.mmap(-1, 8 * words), np.int64))
        self.memory["log_size"] = log_words
        self.columns: dict[str, np.ndarray] = {
            "orders": np.arange(branches, dtype=np.int32)[None, None],
            "lengths": np.full((1, branches), intervals + 1, np.int32),
            "totals": np.full((1, branches), _UNKNOWN_TOKENS, np.int32),
            "finals": np.zeros((1, branches), np.int32),
            "failed": np.full(1, 0 if abstain else -1, np.int64),
            "ceilings": np.full(1, branches, np.int64),
        }
        if probed:
            # Code 0 is an answer that can't be read, and no branch shows more before it is asked.
            self.columns["probes"] = np.zeros((1, branches, intervals), np.int32)
        self.signals = {
            name: np.full((1, branches, intervals), -np.inf, np.float32) for name in signals
        }
        self.memory.pool = header = PoolHeader(self.signals, **self.columns)
        compiled.begin()(self.memory.address, header.address, 0, 0)

    def code(self, answer: str) -> int:
        """The code of an answer, a new one if it equals none of those before."""
        known = self._code_of.get(answer)
        if known is None:
            known = self._class_of(answer)
            if known == len(self.answers):
                self.answers.append(answer)
            self._code_of[answer] = known
        return known

    @property
    def compares_texts(self) -> bool:
        """Whether answers are one where their texts are, which takes no time to tell."""
        return self._same is None

    def knows(self, answer: str) -> bool:
        """Whether an answer has a code."""
        return answer in self._code_of

    def _class_of(self, answer: str) -> int:
        # Against the first of each class, in order: equality of formulas is not transitive, and
        # this way the same answers in the same order give the same classes.
        if self._same is not None:
            for code, representative in enumerate(self.answers[1:], start=1):
                if self._same(representative, answer):
                    return code
        return len(self.answers)

    def show(self, branch: int, depth: int, answer: str) -> None:
        """A probe of a branch at a depth (from 1) gave this answer."""
        self.columns["probes"][0, branch, depth - 1] = self.code(answer)

    def signal(self, branch: int, depth: int, signals: Mapping[str, float]) -> None:
        """These signals came with a branch's interval up to a depth (from 1)."""
        for name in self.signals.keys() & signals.keys():
            self.signals[name][0, branch, depth - 1] = signals[name]

    def end(self, branch: int, intervals: int, tokens: int, answer: str) -> None:
        """A branch ended itself with this answer.

        Args:
            intervals: its length: billed exactly, the last one begun; else the whole ones.
            tokens: of the branch, probes left out.
        """
        self.columns["totals"][0, branch] = tokens
        self.columns["finals"][0, branch] = self.code(answer)
        self.columns["lengths"][0, branch] = intervals

    def request(self, record: control.Record) -> ActionRequest:
        """What a record of the log, of anything but a NOTE or an ANSWER, asks for."""
        body = record.words[1:]
        if record.kind == control.BRANCH:
            # Nobody opens more, and a worker may have made the number up.
            count = min(max(int(body[0]), 0), self.memory["ceiling"] + 1)
            ids = np.arange(self.memory["n"], self.memory["n"] + count)
            return ActionRequest(control.BRANCH, ids, np.ones_like(ids), record.flag, record.model)
        ids, times = np.array(body, np.int64), np.zeros(len(body), np.int64)
        if record.kind == control.CONTINUE:
            control.unpack_times(body, ids, times)
        return ActionRequest(record.kind, ids, times, record.flag)

    def admit(self, request: ActionRequest) -> int:
        """The rule that a request breaks, 0 for none; nothing changes."""
        self.memory["checks_only"] = 1
        try:
            return self.perform(request)
        finally:
            self.memory["checks_only"] = 0

    def perform(self, request: ActionRequest) -> int:
        """Make a request, whose trajectories are here; gives the rule it breaks, 0 for none."""
        act, ids, times = compiled.actions(self.memory.wide), request.ids, request.times
        header, count = self.memory.address, len(ids)
        if request.kind == control.BRANCH:
            return int(act["branch"](header, count, request.probe, request.model))
        at = address_of(ids), 8, count
        if request.kind == control.CONTINUE:
            return int(act["advance"](header, *at, address_of(times), 8, request.probe))
        return int(act[_BATCHES[request.kind]](header, *at))

    def note(self, record: control.Record) -> None:
        """Write a NOTE to the log."""
        compiled.actions(self.memory.wide)["note"](self.memory.address, *record.words[1:].tolist())

    def conclude_by_vote(self) -> np.ndarray:
        """End the episode with the best vote so far; gives what is known of it, `[R]` int64."""
        out = np.zeros(len(compiled.RESULTS), np.int64)
        address = self.memory.address
        compiled.end()(address, 0, compiled.actions(self.memory.wide)["vote"](address), out)
        return out

    @property
    def spent_out(self) -> bool:
        """Whether nothing is left of the budget, or less than what was asked for last."""
        memory = self.memory
        nothing_left = 0 <= memory["budget"] <= memory["spent"]
        return nothing_left or memory["error"] == control.OVER_BUDGET

    def keep_steps(self) -> None:
        """From now on keep what happens, as a trace has it, for `take_steps`."""
        # One request's at most, if they are taken before the next one that decodes: an interval
        # each, and the end and the pruning of each branch.
        room = self.memory["ceiling"] * (self.intervals + 3) + _OTHER_STEPS
        self.memory.point("steps", np.zeros(room * len(control.STEP), np.int64))
        self.memory["steps_size"] = room

    def take_steps(self) -> np.ndarray:
        """What happened since the steps were last taken: int64 `[M, len(control.STEP)]`."""
        at = self.memory["steps_at"]
        self.memory["steps_at"] = 0
        return self.memory.arrays["steps"].reshape(-1, len(control.STEP))[:at].copy()

    def limit(self, tokens: int) -> None:
        """From now on the budget has at most so many tokens left, whatever it had before."""
        most = self.memory["spent"] + min(tokens, MOST_TOKENS)
        self.memory["budget"] = most if self.budget is None else min(most, self.budget)

    def ended(self, branch: int) -> bool:
        """Whether a branch was decoded to its end."""
        return bool(self.columns["lengths"][0, branch] <= self.intervals)
