"""The environment as an interpreted program sees it, over the same compiled actions."""

import functools
import reprlib
import struct
from collections import namedtuple
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, cast

import numpy as np

from autotts import control
from autotts.control.env import COUNTS, TABLE, VIEWS
from autotts.engine import compiled, jit
from autotts.engine.memory import Memory, address_of
from autotts.errors import BudgetSpent, ControlError


class Env:
    """What a controller program sees of an episode, and what it can do in it.

    The program is `solve(env, p)`. Branches are numbered from 0 in the order in which they are
    opened, answers in the order in which they are first revealed. Everything asked for in one
    call is decoded side by side, and is one round. `help(env.advance)` tells what it costs.
    """

    # Properties, and docstrings of all, are made below from the table in `control/env.py`.
    n: int
    n_finished: int
    n_answers: int
    spent: int
    budget: int
    cost: int
    cost_budget: int
    n_models: int
    most_answers: int
    interval: int
    rounds: int
    depth: np.ndarray
    tokens: np.ndarray
    answer: np.ndarray
    finished: np.ndarray
    pruned: np.ndarray
    model: np.ndarray
    price: np.ndarray
    votes: np.ndarray
    finish_order: np.ndarray

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._header = memory.header
        self._address = memory.address
        self._actions: Mapping[str, Callable[..., int]] = compiled.actions(memory.wide)
        self._ids = np.empty(memory["ceiling"] + 1, np.int64)
        self._ids_at = address_of(self._ids)
        self._times = np.empty(memory["ceiling"] + 1, np.int64)
        self._times_at = address_of(self._times)
        self._views = {}
        for name in (*VIEWS, "history", "signals"):
            view = memory.arrays[name].view()
            view.flags.writeable = False
            self._views[name] = view

    @property
    def room(self) -> int:
        return self._actions["room"](self._address, 0)

    @property
    def just_finished(self) -> np.ndarray:
        return self._views["finish_order"][self._memory["before"] : self.n_finished]

    def history(self, i: int) -> np.ndarray:
        i = _integer(i, "history: i")
        if not 0 <= i < self.n:
            raise ControlError(f"history({i}): {self._open_ids()}")
        first = i * self._memory["intervals"]
        return self._views["history"][first : first + int(self.depth[i])]

    def signal(self, name: str, i: int) -> np.ndarray:
        i = _integer(i, "signal: i")
        if not 0 <= i < self.n:
            raise ControlError(f"signal({name!r}, {i}): {self._open_ids()}")
        memory = self._memory
        (found,) = np.nonzero(memory.arrays["signal_names"] == control.note_digest(name))
        slots = memory["slots"]
        at = int(found[-1]) * slots + i if len(found) else memory["n_signals"] * slots
        first = at * memory["intervals"]
        return self._views["signals"][first : first + int(self.depth[i])]

    def active(self) -> np.ndarray:
        return self._ids[: self._actions["active"](self._address, self._ids_at)].copy()

    def room_of(self, model: int) -> int:
        model = _integer(model, "room_of: model")
        room = self._actions["room"](self._address, model)
        if room < 0:
            self._refuse(f"room_of({model})")
        return room

    def branch(self, k: int | None = None, probe: bool = True, model: int = 0) -> Any:
        count = 1 if k is None else _integer(k, "branch: k")
        model = _integer(model, "branch: model")
        first = self.n
        if self._actions["branch"](self._address, count, int(bool(probe)), model):
            self._refuse(f"branch({count}{f', model={model}' if model else ''})")
        return first if k is None else np.arange(first, first + count)

    def advance(self, ids: Any, times: Any = 1, probe: bool = True) -> None:
        count = self._take_ids(ids, "advance")
        stride = 0
        if isinstance(times, np.ndarray):
            if times.shape != (count,) or times.dtype.kind not in "iu":
                raise ControlError(
                    f"advance: times must be an integer, or {count} of them in an array as there"
                    f" are ids; got {times.dtype} of shape {times.shape}"
                )
            stride = 8
            self._times[:count] = times
        else:
            self._times[0] = _integer(times, "advance: times")
        if self._actions["advance"](
            self._address, self._ids_at, 8, count, self._times_at, stride, int(bool(probe))
        ):
            self._refuse(f"advance({_words(ids)}, times={_words(times)})")

    def finish(self, ids: Any) -> None:
        self._act("finish", ids)

    def probe(self, ids: Any) -> None:
        self._act("probe", ids)

    def prune(self, ids: Any) -> None:
        self._act("prune", ids)

    def vote(self) -> int:
        return self._actions["vote"](self._address)

    def note(self, name: str, value: float) -> None:
        (bits,) = struct.unpack("<q", struct.pack("<d", value))
        self._actions["note"](self._address, control.note_digest(name), bits)

    def _act(self, name: str, ids: Any) -> None:
        count = self._take_ids(ids, name)
        if self._actions[name](self._address, self._ids_at, 8, count):
            self._refuse(f"{name}({_words(ids)})")

    def _take_ids(self, ids: Any, action: str) -> int:
        """Copy ids to where the actions read them; returns how many."""
        if isinstance(ids, np.ndarray):
            if ids.ndim != 1 or ids.dtype.kind not in "iu":
                raise ControlError(
                    f"{action}: ids must be an integer or a one-dimensional integer array;"
                    f" got {ids.dtype} of shape {ids.shape}"
                )
            count = len(ids)
            if count >= len(self._ids):
                # More ids than branches: one repeats, or isn't open. Name the first that is.
                self._ids = np.empty(count + 1, np.int64)
                self._ids_at = address_of(self._ids)
                self._times = np.empty(count + 1, np.int64)
                self._times_at = address_of(self._times)
            self._ids[:count] = ids
            return count
        self._ids[0] = _integer(ids, f"{action}: ids")
        return 1

    def _open_ids(self) -> str:
        return f"branches 0 to {self.n - 1} are open" if self.n else "no branch is open yet"

    def _refuse(self, asked: str) -> None:
        """Raise the error of the rule that was broken: what was asked and what is true."""
        memory = self._memory
        rule, i, value = memory["error"], memory["error_branch"], memory["error_value"]
        if rule == control.OVER_BUDGET:
            raise BudgetSpent(
                f"{asked} asks for {value:,} tokens: {self.spent:,} of {self.budget:,} are spent"
            )
        if rule == control.OVER_COST:
            raise BudgetSpent(
                f"{asked} asks for {value:,} cost units: {self.cost:,} of {self.cost_budget:,} are"
                " spent"
            )
        active = f"active branches are {self.active().tolist()}"
        why = {
            control.NO_SUCH_BRANCH: f"there is no branch {i}; {self._open_ids()}",
            control.IS_FINISHED: f"branch {i} is finished; {active}",
            control.IS_PRUNED: f"branch {i} is pruned; {active}",
            control.REPEATED: f"branch {i} is named twice; each may be named once a round",
            control.EMPTY: f"no branch is named; {active}",
            control.TOO_MANY: (
                f"{self.n} branches are open and {memory['ceiling'] - self.n} more may be;"
                " env.room says how many"
            ),
            control.NO_SUCH_MODEL: (
                f"there is no model {value}; models are 0 to {self.n_models - 1}"
            ),
            control.NONE_LEFT: (
                f"model {i} has {value} more branches for this question; env.room_of({i}) says how"
                " many may be opened"
            ),
            control.NO_PROBES: (
                "this recording has final answers only; env.finish reads a branch to its end"
            ),
            control.NOT_POSITIVE: (
                f"{'k' if asked.startswith('branch') else 'times'} must be at least 1, not {value}"
            ),
            control.PROBED_ALREADY: f"branch {i} was probed at depth {value} already",
        }[rule]
        raise ControlError(f"{asked}: {why}")


def _document(cls: type) -> None:
    """Give a class the properties of the table that are fields, and every name its docstring."""
    for entry in TABLE:
        member = vars(cls).get(entry.name)
        if entry.length:
            read = _array(entry.name, jit.FIELDS[entry.length])
            setattr(cls, entry.name, property(read, doc=entry.doc))
        elif entry.name in COUNTS:
            setattr(cls, entry.name, property(_count(jit.FIELDS[entry.name]), doc=entry.doc))
        elif isinstance(member, property):
            setattr(cls, entry.name, property(member.fget, doc=entry.doc))
        else:
            cast(FunctionType, member).__doc__ = entry.doc


def _count(at: int) -> Callable[[Env], int]:
    return lambda self: self._header.item(at)


def _array(name: str, size_at: int) -> Callable[[Env], np.ndarray]:
    return lambda self: self._views[name][: self._header.item(size_at)]


_document(Env)


def _integer(value: Any, what: str) -> int:
    if isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_):
        return int(value)
    raise ControlError(f"{what} must be an integer or an integer array, got {value!r}")


def _words(value: Any) -> str:
    return str(value.tolist() if isinstance(value, np.ndarray) else value)


def parameters(values: Mapping[str, float]) -> Any:
    """`p` of `solve(env, p)`."""
    return _parameters_type(tuple(values))(**values)


@functools.cache
def _parameters_type(names: tuple[str, ...]) -> Any:
    """Made once for all episodes of a program: it takes longer than a short interval's books."""
    return namedtuple("Parameters", names)


def _begins(solve: Callable[..., Any]) -> str:
    """Where `solve` stands: no line is running any more when it has returned."""
    code = getattr(solve, "__code__", None)
    return f" (solve begins on line {code.co_firstlineno})" if code else ""


def _at_parameters(env: Env, p: Any) -> str:
    """Which parameters have the number that was too small, as the end of an error."""
    memory = env._memory
    if memory["error"] != control.NOT_POSITIVE:
        return ""
    named = [f"{name}={v!r}" for name, v in p._asdict().items() if v == memory["error_value"]]
    return f" ({', '.join(named)})" if named else ""


def run_episode(solve: Callable[..., Any], p: Any, env: Env, out: np.ndarray) -> None:
    """Run one episode of the question that the memory of `env` points to.

    Args:
        solve: `solve(env, p)`, interpreted.
        out: `[len(compiled.RESULTS)]` int64, written.

    Raises:
        Whatever the program raises; ControlError if it answers what it can't.
    """
    raised = 0
    # Division by zero raises here as it does compiled.
    with np.errstate(divide="raise", invalid="raise"):
        try:
            answer = solve(env, p)
        except BudgetSpent:
            answer, raised = -1, 1
        except ControlError as error:
            error.args = (f"{error}{_at_parameters(env, p)}",)
            raise
    if not raised:
        if callable(answer):
            name = getattr(answer, "__name__", "vote")
            raise ControlError(
                f"solve returned {name} itself and not what it gives; brackets call it, as in"
                f" `return env.{name}()`{_begins(solve)}"
            )
        if not isinstance(answer, int | np.integer) or isinstance(answer, bool):
            raise ControlError(
                f"solve returned {reprlib.repr(answer)}; an answer is an integer id, such as"
                f" `return env.vote()`, or -1 for none{_begins(solve)}"
            )
        if not -1 <= answer < env.n_answers:
            raise ControlError(
                f"solve returned {answer}; {env.n_answers} answers were revealed, so ids go from"
                f" 0 to {env.n_answers - 1}, and -1 is no answer{_begins(solve)}"
            )
    compiled.end()(env._address, raised, int(answer), out)
