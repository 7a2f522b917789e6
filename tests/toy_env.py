"""The Env table of `docs/architecture.md`, transcribed as plainly as Python allows.

It shares no code with the package but the errors, and is slow: the independent oracle that the
compiled and the interpreted environment are held against.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from autotts.errors import BudgetSpent, ControlError

Trajectory = tuple[Sequence[str], int, str]
"""(probe answers, tokens, final answer): a row of `each_branch` in the released recordings."""


@dataclass
class Wide:
    """A trajectory with what not every recording has."""

    probes: Sequence[str]
    total: int
    final: str
    ends: Sequence[int] | None = None
    model: int = 0
    signals: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass
class Branch:
    """What happened to one trajectory so far."""

    probes: list[str]
    total: int
    final: str
    ends: Sequence[int]
    uneven: bool
    model: int = 0
    signals: Mapping[str, Sequence[float]] = field(default_factory=dict)
    depth: int = 0
    decoded: int = 0
    charged: int = 0
    answer: int = -1
    probed_at: int = 0
    finished: bool = False
    pruned: bool = False
    history: list[int] = field(default_factory=list)


class ToyEnv:
    """One episode over `trajectories`, in the order in which they will be opened."""

    def __init__(
        self,
        trajectories: Sequence[Trajectory | Wide],
        *,
        interval: int = 500,
        billing: str = "reference",
        ceiling: int = 64,
        budget: int | None = None,
        cost_budget: int | None = None,
        prices: Sequence[int] = (1,),
        probe_tokens: int = 0,
        failed: str | None = None,
        unprobed: bool = False,
    ) -> None:
        """`unprobed`: the probes of trajectories count intervals, and are never shown."""
        self.interval = interval
        self.budget = -1 if budget is None else budget
        self.cost_budget = -1 if cost_budget is None else cost_budget
        self.price = _ints(prices)
        self.n_models = len(prices)
        self.spent = self.sequential = self.probe_spent = self.rounds = self.cost = 0
        self.notes: list[tuple[str, float]] = []
        wide = [t if isinstance(t, Wide) else Wide(*t) for t in trajectories]
        self._closed = wide if self.n_models > 1 else wide[:ceiling]
        self._ceiling = min(ceiling, len(wide))
        self._unprobed = unprobed
        self._exact = billing == "exact"
        self._probe_tokens = 0 if unprobed else probe_tokens
        self._failed = failed
        self.most_answers = len({a for t in wide for a in (*t.probes, t.final)})
        self._branches: list[Branch] = []
        self._answers: list[str] = []
        self._order: list[int] = []
        self._just: list[int] = []

    # What a program reads.

    @property
    def n(self) -> int:
        return len(self._branches)

    @property
    def n_finished(self) -> int:
        return len(self._order)

    @property
    def n_answers(self) -> int:
        return len(self._answers)

    @property
    def room(self) -> int:
        return self.room_of(0)

    def room_of(self, model: int) -> int:
        if not 0 <= model < self.n_models:
            raise ControlError(f"there is no model {model}")
        limits = [self._ceiling - self.n, sum(t.model == model for t in self._closed)]
        unit = self.interval + self._probe_tokens
        if self.budget >= 0:
            limits.append(max(0, self.budget - self.spent) // unit)
        if self.cost_budget >= 0:
            left = max(0, self.cost_budget - self.cost)
            limits.append(left // (unit * int(self.price[model])))
        return min(limits)

    @property
    def model(self) -> np.ndarray:
        return _ints(b.model for b in self._branches)

    @property
    def depth(self) -> np.ndarray:
        return _ints(b.depth for b in self._branches)

    @property
    def tokens(self) -> np.ndarray:
        return _ints(b.charged for b in self._branches)

    @property
    def answer(self) -> np.ndarray:
        return _ints(b.answer for b in self._branches)

    @property
    def finished(self) -> np.ndarray:
        return np.array([b.finished for b in self._branches], bool)

    @property
    def pruned(self) -> np.ndarray:
        return np.array([b.pruned for b in self._branches], bool)

    @property
    def votes(self) -> np.ndarray:
        cast = Counter(self._branches[i].answer for i in self._order)
        return _ints(cast[a] for a in range(self.n_answers))

    @property
    def finish_order(self) -> np.ndarray:
        return _ints(self._order)

    @property
    def just_finished(self) -> np.ndarray:
        return _ints(self._just)

    def history(self, i: int) -> np.ndarray:
        return _ints(self._open(i).history)

    def signal(self, name: str, i: int) -> np.ndarray:
        branch = self._open(i)
        values = branch.signals.get(name, [-np.inf] * len(branch.probes))
        return np.array(values[: branch.depth], np.float64)

    def active(self) -> np.ndarray:
        going = [i for i, b in enumerate(self._branches) if not b.finished and not b.pruned]
        return np.array(going, np.int64)

    # What a program does.

    def branch(self, k: int | None = None, probe: bool = True, model: int = 0) -> Any:
        count = 1 if k is None else int(k)
        if not 0 <= model < self.n_models:
            raise ControlError(f"there is no model {model}")
        theirs = [t for t in self._closed if t.model == model]
        if count < 1 or count > min(len(theirs), self._ceiling - self.n):
            raise ControlError(f"branch({count}): {len(theirs)} more may be opened")
        self._admit([(model, count * self._unit(probe))])
        first = self.n
        longest = 0
        for t in theirs[:count]:
            self._closed.remove(t)
            nominal = [self.interval * (k + 1) for k in range(len(t.probes))]
            opened = Branch(
                list(t.probes), t.total, t.final, t.ends or nominal, t.ends is not None, t.model,
                t.signals,
            )  # fmt: skip
            self._branches.append(opened)
            before = self.spent
            self._decode_interval(self.n - 1, probe)
            longest = max(longest, self.spent - before)
        self.sequential += longest
        return first if k is None else np.arange(first, first + count)

    def advance(self, ids: Any, times: Any = 1, probe: bool = True) -> None:
        batch = self._batch(ids)
        repeats = [int(t) for t in np.broadcast_to(times, len(batch))]
        if min(repeats) < 1:
            raise ControlError(f"advance: times {repeats} must be at least 1")
        models = [self._branches[i].model for i in batch]
        units = [repeat * self._unit(probe) for repeat in repeats]
        self._admit(list(zip(models, units, strict=True)))
        longest = 0
        for i, repeat in zip(batch, repeats, strict=True):
            branch = self._branches[i]
            before = self.spent
            for _ in range(repeat):
                depth = branch.depth
                self._decode_interval(i, probe)
                if branch.finished or branch.depth == depth:
                    break
            longest = max(longest, self.spent - before)
        self.sequential += longest

    def finish(self, ids: Any) -> None:
        batch = self._batch(ids)
        if 0 <= self.budget <= self.spent:
            raise BudgetSpent("finish")
        prices = [int(self.price[self._branches[i].model]) for i in batch]
        if self.cost_budget >= 0 and self.cost + min(prices) > self.cost_budget:
            raise BudgetSpent("finish")
        self._begin_round()
        longest = 0
        for i in batch:
            branch = self._branches[i]
            rest = max(0, branch.total - branch.decoded)
            decoded = rest
            if self.budget >= 0:
                decoded = min(decoded, max(0, self.budget - self.spent))
            if self.cost_budget >= 0:
                left = max(0, self.cost_budget - self.cost)
                decoded = min(decoded, left // int(self.price[branch.model]))
            self._charge(branch, decoded)
            branch.decoded += decoded
            longest = max(longest, decoded)
            if decoded == rest:
                branch.depth = len(branch.probes)
            else:
                whole = [end for end in branch.ends if end <= branch.decoded]
                branch.depth = max(branch.depth, len(whole))
            branch.history += [-1] * (branch.depth - len(branch.history))
            if decoded == rest:
                self._end(i)
        self.sequential += longest

    def probe(self, ids: Any) -> None:
        if self._unprobed:
            raise ControlError("probe: only final answers were recorded")
        batch = self._batch(ids)
        for i in batch:
            if self._branches[i].probed_at == self._branches[i].depth:
                raise ControlError(f"probe: branch {i} was probed at this depth")
        self._admit([(self._branches[i].model, self._probe_tokens) for i in batch])
        for i in batch:
            self._probe_here(i)
        self.sequential += self._probe_tokens

    def prune(self, ids: Any) -> None:
        for i in self._batch(ids):
            self._branches[i].pruned = True

    def vote(self) -> int:
        """`Counter.most_common` keeps the first seen of equals, as the reference does."""
        finished = [self._branches[i].answer for i in self._order]
        latest = [b.answer for b in self._branches if not b.pruned]
        for answers in (finished, latest):
            given = Counter(a for a in answers if a >= 0)
            if given:
                return given.most_common(1)[0][0]
        return -1

    def note(self, name: str, value: float) -> None:
        self.notes.append((name, float(value)))

    def text(self, answer: int) -> str | None:
        """What an answer id stands for."""
        return self._answers[answer] if answer >= 0 else None

    # How it is done.

    def _open(self, i: Any) -> Branch:
        if not 0 <= i < self.n:
            raise ControlError(f"there is no branch {i}")
        return self._branches[i]

    def _batch(self, ids: Any) -> list[int]:
        batch = [int(i) for i in np.atleast_1d(ids)]
        if not batch or len(set(batch)) < len(batch):
            raise ControlError(f"{batch} is empty or names a branch twice")
        for i in batch:
            if self._open(i).finished or self._open(i).pruned:
                raise ControlError(f"branch {i} can't go on")
        return batch

    def _unit(self, probe: bool) -> int:
        return self.interval + (self._probe_tokens if probe else 0)

    def _begin_round(self) -> None:
        self.rounds += 1
        self._just = []

    def _admit(self, asked: list[tuple[int, int]]) -> None:
        """Begin a round that may cost these (model, tokens), if the budgets have them."""
        tokens = sum(t for _, t in asked)
        cost = sum(int(self.price[m]) * t for m, t in asked)
        if self.budget >= 0 and self.spent + tokens > self.budget:
            raise BudgetSpent(f"{tokens} asked for, {self.spent} of {self.budget} spent")
        if self.cost_budget >= 0 and self.cost + cost > self.cost_budget:
            raise BudgetSpent(f"{cost} asked for, {self.cost} of {self.cost_budget} spent")
        self._begin_round()
        self._overran = False
        # What the rest of the batch was promised.
        self._reserved, self._reserved_cost = tokens, cost

    def _charge(self, branch: Branch, tokens: int) -> None:
        branch.charged += tokens
        self.spent += tokens
        self.cost += tokens * int(self.price[branch.model])

    def _decode_interval(self, i: int, probe: bool) -> None:
        """CONTINUE by one interval."""
        branch = self._branches[i]
        self._reserved -= self._unit(probe)
        self._reserved_cost -= self._unit(probe) * int(self.price[branch.model])
        whole = len(branch.probes) - (1 if self._exact else 0)
        if branch.depth < whole:
            tokens = branch.ends[branch.depth] - branch.decoded
            extra = self._unit(probe) - self.interval
            # What every interval holds is reserved; only what it may hold beyond that can overrun.
            if branch.uneven and not self._may_decode(branch, tokens + extra):
                return
            branch.depth += 1
            branch.decoded += tokens
            self._charge(branch, tokens)
            branch.history.append(-1)
            if probe and not self._unprobed:
                self._probe_here(i)
            return
        rest = max(0, branch.total - branch.decoded)
        if not self._may_decode(branch, rest):
            return
        self._charge(branch, rest)
        branch.decoded += rest
        self._end(i)
        if self._exact:
            branch.depth += 1
            branch.history.append(branch.answer)

    def _may_decode(self, branch: Branch, tokens: int) -> bool:
        """Whether a branch may decode `tokens` that nobody knew of; one of a batch may overrun."""
        cost = tokens * int(self.price[branch.model])
        over = 0 <= self.budget < self.spent + tokens + self._reserved
        if over or 0 <= self.cost_budget < self.cost + cost + self._reserved_cost:
            if self._overran:
                return False
            self._overran = True
        return True

    def _end(self, i: int) -> None:
        branch = self._branches[i]
        self._reveal(branch, branch.final)
        branch.finished = True
        self._order.append(i)
        self._just.append(i)

    def _probe_here(self, i: int) -> None:
        branch = self._branches[i]
        self._reveal(branch, branch.probes[branch.depth - 1])
        branch.history[-1] = branch.answer
        branch.probed_at = branch.depth
        self._charge(branch, self._probe_tokens)
        self.probe_spent += self._probe_tokens

    def _reveal(self, branch: Branch, text: str) -> None:
        if text == self._failed:
            branch.answer = -1
            return
        if text not in self._answers:
            self._answers.append(text)
        branch.answer = self._answers.index(text)


def _ints(values: Any) -> np.ndarray:
    array = np.array(list(values), np.int64)
    array.flags.writeable = False
    return array


@dataclass(frozen=True)
class Outcome:
    """What is known when an episode ends."""

    answer: str | None
    tokens: int
    sequential_tokens: int
    probe_tokens: int
    width: int
    rounds: int
    overrun: int
    cost: int
    cost_overrun: int


def play(solve: Callable[[Any, Any], int], parameters: Mapping[str, float], env: ToyEnv) -> Outcome:
    """Run one episode: when the budget is spent, the vote so far is the answer."""
    try:
        answer = solve(env, SimpleNamespace(**parameters))
    except BudgetSpent:
        answer = env.vote()
    if not isinstance(answer, int | np.integer) or not -1 <= answer < env.n_answers:
        raise ControlError(f"solve returned {answer!r}, which was never revealed")
    return Outcome(
        env.text(answer),
        env.spent,
        env.sequential,
        env.probe_spent,
        env.n,
        env.rounds,
        max(0, env.spent - env.budget) if env.budget >= 0 else 0,
        env.cost,
        max(0, env.cost - env.cost_budget) if env.cost_budget >= 0 else 0,
    )
