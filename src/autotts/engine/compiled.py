"""The compiled driver: actions, programs and the loop over episodes, as machine code.

The actions and the loop are compiled once and found again on disk; a program is compiled by
itself and handed to the loop as an address.
"""

import functools
import hashlib
import warnings
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FunctionType
from typing import Any

import numpy as np
from numba import config, njit, types
from numba.core.cpu import CPUTargetOptions
from numba.core.errors import NumbaTypeSafetyWarning
from numba.core.registry import cpu_target
from numba.cpython import numbers
from numba.extending import register_jitable
from numba.np.math import numbers as numpy_numbers

from autotts import control
from autotts.engine import jit
from autotts.engine.cache import address, compile_cached
from autotts.engine.linking import linked_once

RESULTS = (
    "status", "code", "tokens", "sequential_tokens", "probe_tokens", "width", "rounds", "overrun",
    "cost", "cost_overrun",
)  # fmt: skip
"""What is known of an episode when it ends, one int64 each; `code` is the answer in the pool."""

ANSWERED, RAISED, NO_SUCH_ANSWER, LOG_FULL = range(4)
"""Values of `status`."""

_I64 = types.int64
_FAST = {"error_model": "numpy", "nogil": True}


def _actions_on(state_at: Any, kind: str) -> tuple[Callable[..., int], ...]:
    """The actions on the state at an address, in the order of `jit.ACTIONS`."""

    def branch(header: int, k: int, probe: int, model: int) -> int:
        return control.branch(state_at(header), k, probe != 0, model)

    def advance(
        header: int, at: int, stride: int, k: int, times_at: int, times_stride: int, probe: int
    ) -> int:
        ids = jit.array_at(at, stride, k)
        times = jit.array_at(times_at, times_stride, k)
        return control.advance(state_at(header), ids, times, probe != 0)

    def finish(header: int, at: int, stride: int, k: int) -> int:
        return control.finish(state_at(header), jit.array_at(at, stride, k))

    def probe(header: int, at: int, stride: int, k: int) -> int:
        return control.probe(state_at(header), jit.array_at(at, stride, k))

    def prune(header: int, at: int, stride: int, k: int) -> int:
        return control.prune(state_at(header), jit.array_at(at, stride, k))

    def active(header: int, out: int) -> int:
        return control.active(state_at(header), jit.array_at(out, 8, 1))

    def room(header: int, model: int) -> int:
        return control.room(state_at(header), model)

    def vote(header: int) -> int:
        return control.vote(state_at(header))

    def note(header: int, name: int, bits: int) -> int:
        control.note(state_at(header), name, bits)
        return 0

    functions = branch, advance, finish, probe, prune, active, room, vote, note
    for function in functions:
        function.__qualname__ = f"{function.__name__}_{kind}"  # of which symbols are made
    return functions


@functools.cache
def actions(wide: bool) -> dict[str, Any]:
    """The compiled actions by name, callable with ints from Python.

    Args:
        wide: whether they know what not every recording has; without it they are faster.
    """
    kind, state_at = ("wide", jit.state_at) if wide else ("plain", jit.plain_state_at)
    functions = _actions_on(state_at, kind)
    return {
        name: compile_cached(function, _I64(*[_I64] * count), key=f"{name} {kind}", **_FAST)
        for (name, count), function in zip(jit.ACTIONS.items(), functions, strict=True)
    }


@functools.cache
def action_addresses(wide: bool) -> np.ndarray:
    """Addresses of the actions, `[len(ACTIONS)]` int64: what a header's `actions` points to."""
    return np.array([address(action) for action in actions(wide).values()], np.int64)


@register_jitable
def aim(s: Any, pool: Any, q: int, d: int) -> None:
    """Point the state at draw d of question q of a pool's header."""
    draw = pool.orders_address + q * pool.orders_stride + d * pool.draw_stride
    if pool.makers_address:
        makers = pool.makers_address + q * pool.makers_stride
        s.draw_address, s.makers_address, s.order_address = draw, makers, s.rows_address
        count_left(s, draw, makers, pool.draw_stride // 4)
    else:
        s.order_address = draw
    # Of a column that is not there the address is 0, and so is the stride.
    s.probes_address = pool.probes_address + q * pool.probes_stride
    s.unprobed = pool.probes_address == 0
    s.ends_address = pool.ends_address + q * pool.ends_stride
    s.uneven = pool.ends_address != 0
    s.lengths_address = pool.lengths_address + q * pool.lengths_stride
    s.totals_address = pool.totals_address + q * pool.totals_stride
    s.finals_address = pool.finals_address + q * pool.finals_stride
    if pool.signals_address:
        starts = jit.array_at(pool.signals_address, 8, s.n_signals)
        s.recorded_address = starts[0] + q * pool.signals_stride
        for k in range(s.n_signals):
            s.signal_offsets[k] = (starts[k] - starts[0]) // 4
    s.failed = jit.array_at(pool.failed_address, pool.failed_stride, q + 1)[q]
    s.ceiling = jit.array_at(pool.ceilings_address, pool.ceilings_stride, q + 1)[q]


@register_jitable
def count_left(s: Any, draw: int, makers: int, size: int) -> None:
    """Count what each model has in a draw, of `size` rows or up to the first that is none."""
    # By the addresses: of the arrays just pointed at, the state's may be those of before.
    for m in range(s.n_models):
        s.left[m] = s.cursor[m] = 0
    for j in range(size):
        row = jit.int32_at(draw, j)
        if row < 0:
            break
        s.left[jit.int32_at(makers, row)] += 1


def _begin(header: int, pool: int, q: int, d: int) -> None:
    s = jit.state_at(header)
    control.reset(s)
    aim(s, jit.pool_at(pool), q, d)
    s.log_at = s.log_full = 0


@functools.cache
def begin() -> Any:
    """Begin an episode in the header at an address: (header, pool's header, question, draw)."""
    return compile_cached(_begin, types.void(_I64, _I64, _I64, _I64), key="begin", **_FAST)


@register_jitable
def conclude(s: Any, raised: int, answer: int, out: Any) -> None:
    """Write what is known of an episode to `out` `[len(RESULTS)]`."""
    if raised and (s.error == control.OVER_BUDGET or s.error == control.OVER_COST):
        raised = 0
        answer = control.vote(s)
    out[0] = ANSWERED
    out[1] = -1
    if s.log_full:
        out[0] = LOG_FULL
    elif raised:
        out[0] = RAISED
    elif answer < -1 or answer >= s.n_answers:
        out[0] = NO_SUCH_ANSWER
    elif answer >= 0:
        out[1] = s.code_of[answer]
    out[2] = s.spent
    out[3] = s.sequential
    out[4] = s.probe_spent
    out[5] = s.n
    out[6] = s.rounds
    out[7] = s.overrun
    out[8] = s.cost
    out[9] = s.cost_overrun


@register_jitable(forceinline=True)
def read_body(s: Any, address: int, kind: int, count: int) -> Any:
    """What `control.perform` takes of a record, whose body of `count` words lies at an address.

    Of a CONTINUE, ids and times are written to the first words of the arena, up to the ceiling
    each. Arrays are made of addresses: a slice of an array would be counted as a reference to it,
    which takes longer than most requests.
    """
    body = jit.array_at(address, 8, count)
    if kind != control.CONTINUE:
        return body, body
    ids = jit.array_at(s.arena_address, 8, count)
    times = jit.array_at(s.arena_address + 8 * s.ceiling, 8, count)
    control.unpack_times(body, ids, times)
    return ids, times


def _end_at(header: int, raised: int, answer: int, out: Any) -> None:
    conclude(jit.state_at(header), raised, answer, out)


@functools.cache
def end() -> Any:
    """`conclude` for the header at an address."""
    signature = types.void(_I64, _I64, _I64, types.int64[::1])
    return compile_cached(_end_at, signature, key="end", **_FAST)


def _run(
    program: int, header: int, pool_header: int, episodes: Any, first: int, log_ends: Any, out: Any
) -> int:
    """Run `episodes` `[E, 2]` (question, draw) from `first` on.

    Returns how many are done: all, or those before the one that didn't fit the log, which has
    status `LOG_FULL`.
    """
    s, pool = jit.state_at(header), jit.pool_at(pool_header)
    for e in range(first, len(episodes)):
        aim(s, pool, episodes[e, 0], episodes[e, 1])
        s.episode = e
        raised, answer = jit.call_program(program, (header,))
        conclude(s, raised, answer, out[e])
        log_ends[e] = s.log_at
        control.reset(s)
        if out[e, 0] == LOG_FULL:
            return e
    return len(episodes)


@functools.cache
def run() -> Any:
    """The compiled loop over episodes; see `_run`."""
    pairs, words = types.int64[:, ::1], types.int64[::1]
    signature = _I64(_I64, _I64, _I64, pairs, _I64, words, types.int64[:, ::1])
    return compile_cached(_run, signature, key="run", **_FAST)


def _with_helpers(solve: Callable[..., Any], tag: str, *, boundscheck: bool) -> Any:
    """`solve` ready to be compiled, with every function of its module that it may call.

    Numba names symbols by a function's module and name and its number in the process, so that
    code found on disk could be linked to a namesake of another program: the tag parts them.
    """
    jit_here = njit(boundscheck=boundscheck)
    scope = dict(solve.__globals__)
    for name, value in solve.__globals__.items():
        if isinstance(value, FunctionType) and value.__globals__ is solve.__globals__:
            own = FunctionType(value.__code__, scope, name, value.__defaults__)
            own.__qualname__ = f"{name}_{tag}"
            scope[name] = jit_here(own)
    return scope[solve.__name__]


_CHECKED: dict[Any, Any] = {}
"""What Numba compiled inside `checked_throughout` for its own parts, by what it calls them."""


@contextmanager
def checked_throughout() -> Iterator[None]:
    """Let what is compiled in the block check its indices, and write to nothing read-only.

    `boundscheck` of a function is not handed down to those that Numba has for parts of NumPy, nor
    to our vocabulary; here it is. What was compiled for them outside the block is found by the
    options that it was compiled with, or lies in a table that is put aside: none of it is used. And
    Numba only warns where an array that is read-only is put in a dict of those that are not. It
    tells LLVM that whole numbers never wrap, too, and LLVM then drops the checks that only a number
    that wrapped would fail: a[k + k] where k > 0.
    """
    context = cpu_target.target_context
    with ExitStack() as stack:

        def put(owner: Any, name: str, value: object) -> None:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)

        put(config, "BOUNDSCHECK", 1)
        put(CPUTargetOptions, "finalize", _finalize_checked)
        put(context, "cached_internal_func", _CHECKED)
        for module in (numbers, numpy_numbers):
            put(module, "_int_arith_flags", _wrapping)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("error", NumbaTypeSafetyWarning)
        yield


_finalize = CPUTargetOptions.finalize


def _finalize_checked(self: Any, flags: Any, options: Any) -> None:
    """Fill in the options of what is compiled for a function, as it is for all in the block."""
    _finalize(self, flags, options)
    flags.boundscheck = True


def _wrapping(kind: Any) -> list[str]:
    """What LLVM may take for granted of whole numbers: nothing."""
    return []


def compile_program(
    solve: Callable[..., Any],
    kinds: dict[str, type],
    *,
    key: str | None,
    boundscheck: bool = False,
) -> Any:
    """Compile a program to code that `run` can call.

    Args:
        solve: `solve(env, p)`; what it calls of its module is compiled with it.
        kinds: int or float for each parameter, in the order in which they are passed.
        key: digest of the program's functions, for the cache; None compiles afresh.
        boundscheck: whether an index out of bounds raises, as it does interpreted, in all that
            the program calls as well; for programs of others.

    Raises:
        numba.core.errors.NumbaError: it can't be compiled.
    """
    tag = "fresh"
    if key is not None:
        key = f"{key}|{[(name, kind.__name__) for name, kind in kinds.items()]}|{boundscheck}"
        tag = hashlib.sha256(key.encode()).hexdigest()[:16]
    parameters = namedtuple("Parameters", kinds)  # type: ignore[misc]
    readers, ints, floats = [], 0, 0
    for kind in kinds.values():
        if kind is int:
            readers.append(f"int_parameter(header, {ints})")
            ints += 1
        else:
            readers.append(f"float_parameter(header, {floats})")
            floats += 1
    scope = {
        "__name__": __name__,
        "int_parameter": jit.int_parameter,
        "float_parameter": jit.float_parameter,
        "checked_answer": jit.checked_answer,
        "env_at": jit.env_at,
        "Parameters": parameters,
        "solve": _with_helpers(solve, tag, boundscheck=boundscheck),
    }
    source = (
        "def entry(header):\n"
        f"    p = Parameters({', '.join(readers)})\n"
        "    return checked_answer(solve(env_at(header), p))\n"
    )
    exec(source, scope)
    # No function of a program can have such a name.
    name = scope["entry"].__qualname__ = f"<entry>_{tag}"
    with ExitStack() as stack:
        if boundscheck:
            stack.enter_context(checked_throughout())
            stack.enter_context(linked_once(name))
        return compile_cached(scope["entry"], _I64(_I64), key=key, boundscheck=boundscheck)
