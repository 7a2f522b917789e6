"""What Numba must know to compile the control space and a controller program.

`State` is the type of `s` in `autotts.control`: a pointer to a header of int64 words that holds
the scalars and the addresses of the arrays. `Env` is the same pointer as a controller program
sees it: the names of `control/env.py`, read-only. A program calls the actions through addresses in
the header, so that they are compiled once and not again with every program.

    header, one int64 a word (`FIELDS`)            arrays, owned by `engine.memory.Memory`
    +---------------------------------------+
    | SCALARS  interval  probe_tokens  budget |
    |          n  spent  rounds  error ...  |
    +---------------------------------------+
    | ARRAYS   order_address ---------------+---> the pool's, of one question: only read
    |          depth_address ---------------+---> by branch, by answer: written by actions
    |          arena_address ---------------+---> scratch, given out from `arena_at` on
    |          actions_address -------------+---> address of branch, of advance, ... (`ACTIONS`)
    +---------------------------------------+             |
         ^             ^                                  v
         | State, Env: | the address of the header   machine code, compiled once a process
         |             |                                  ^
    env.advance(ids)   s.depth[i] in an action            |
         |                                                |
         +-- code = load(actions_address + 8 * _ADVANCE) -+
             code(header, ids' address, stride, count, times' address, stride, probe) -> rule

The convention: an action takes int64 alone and gives one, the rule that was broken or 0. The caller
owns the arrays whose addresses it passes, and keeps them until the call returns. An action never
raises; in a program a broken rule raises `ControlError`, whose message the interpreted run makes.
Addresses are loaded as invariant: no array moves while an action or a program runs.
"""

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.cpython import listobj
from numba.extending import (
    intrinsic,
    lower_builtin,
    lower_getattr_generic,
    lower_setattr_generic,
    models,
    overload,
    overload_attribute,
    overload_method,
    register_jitable,
    register_model,
)
from numba.np import arrayobj

from autotts import control
from autotts.control.env import COUNTS, VIEWS
from autotts.errors import ControlError

_NAMES = (*control.SCALARS, *(f"{name}_address" for name in control.ARRAYS))
FIELDS = {name: at for at, name in enumerate(_NAMES)}
"""Word of the header in which each scalar, or `NAME_address` of an array, lies."""

COLUMNS = {
    "orders": "int32", "probes": "int32", "ends": "int32", "lengths": "int32", "totals": "int32",
    "finals": "int32", "failed": "int64", "ceilings": "int64", "makers": "int32",
}  # fmt: skip
"""Columns of a pool, question by question; see `engine.pool`."""
OPTIONAL = frozenset({"probes", "ends", "makers"})
"""Those that not every store has."""

POOL_FIELDS = {
    name: at
    for at, name in enumerate(
        (
            "draw_stride",
            "signals_address",
            "signals_stride",
            *(f"{name}_{what}" for name in COLUMNS for what in ("address", "stride")),
        )
    )
}
"""Word of a pool's header in which each of these lies."""

ACTIONS = {
    "branch": 4,
    "advance": 7,
    "finish": 4,
    "probe": 4,
    "prune": 4,
    "active": 2,
    "room": 2,
    "vote": 1,
    "note": 3,
}
"""The compiled actions in the order of their addresses, with how many int64 they take."""

_BRANCH, _ADVANCE, _FINISH, _PROBE, _PRUNE, _ACTIVE, _ROOM, _VOTE, _NOTE = range(len(ACTIONS))

_DTYPES = {
    name: types.boolean if dtype == "bool" else getattr(types, dtype)
    for name, dtype in control.ARRAYS.items()
}
# An action checks its ids once; behind a bare pointer an index costs nothing more, where an
# array would ask each time whether it is negative.
_POINTERS = {
    name: types.CPointer(types.uint8 if dtype == types.boolean else dtype)
    for name, dtype in _DTYPES.items()
}
_I64 = ir.IntType(64)


# Both are the bare address: no reference is counted, and a program can't keep the state alive.
class State(types.Type):  # type: ignore[misc]
    """The state as the control space works on it.

    wide: what `s.wide` is, known to the compiler: whether the state may have what not every
        recording has. Where it can't, actions are compiled without all that asks for it.
    """

    def __init__(self, *, wide: bool) -> None:
        super().__init__(name=f"autotts.{'Wide' if wide else 'Plain'}State")
        self.wide = wide


class Env(types.Type):  # type: ignore[misc]
    """The state as a controller program sees it."""

    def __init__(self) -> None:
        super().__init__(name="autotts.Env")


class PoolType(types.Type):  # type: ignore[misc]
    """The header of `engine.pool`, read-only."""

    def __init__(self) -> None:
        super().__init__(name="autotts.PoolHeader")


WIDE, PLAIN, ENV, POOL = State(wide=True), State(wide=False), Env(), PoolType()


class _Address(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, _I64)


register_model(State)(_Address)
register_model(Env)(_Address)
register_model(PoolType)(_Address)


def _word(builder: Any, header: Any, at: int) -> Any:
    base = builder.inttoptr(header, _I64.as_pointer())
    return builder.gep(base, [ir.Constant(_I64, at)])


def _load(builder: Any, header: Any, field: str) -> Any:
    return builder.load(_word(builder, header, FIELDS[field]))


def _load_address(builder: Any, header: Any, name: str) -> Any:
    # An array stays in place while an action or a program runs; saying so spares the reloads.
    address = _load(builder, header, f"{name}_address")
    address.set_metadata("invariant.load", builder.module.add_metadata([]))
    return address


def _make_array(context: Any, builder: Any, kind: Any, data: Any, size: Any, skip: Any) -> Any:
    """A one-dimensional array from element `skip` on, over memory that is not Numba's to free."""
    array = arrayobj.make_array(kind)(context, builder)
    element = context.get_data_type(kind.dtype)
    itemsize = ir.Constant(_I64, context.get_abi_sizeof(element))
    arrayobj.populate_array(
        array,
        data=builder.gep(builder.inttoptr(data, element.as_pointer()), [skip]),
        shape=[size],
        strides=[itemsize],
        itemsize=itemsize,
        meminfo=None,
    )
    return array._getvalue()


@infer_getattr
class _StateFields(AttributeTemplate):  # type: ignore[misc]
    key = State

    def generic_resolve(self, typ: Any, attr: str) -> Any:
        if attr in _POINTERS:
            return _POINTERS[attr]
        return types.int64 if attr in FIELDS or attr == "wide" else None


@lower_getattr_generic(State)
def _get_state_field(context: Any, builder: Any, typ: Any, value: Any, attr: str) -> Any:
    if attr == "wide":
        return ir.Constant(_I64, int(typ.wide))
    if attr not in _POINTERS:
        return _load(builder, value, attr)
    kind = context.get_value_type(_POINTERS[attr])
    return builder.inttoptr(_load_address(builder, value, attr), kind)


@lower_setattr_generic(State)
def _set_state_field(context: Any, builder: Any, sig: Any, args: Any, attr: str) -> None:
    value = context.cast(builder, args[1], sig.args[1], types.int64)
    builder.store(value, _word(builder, args[0], FIELDS[attr]))


@infer_getattr
class _PoolFields(AttributeTemplate):  # type: ignore[misc]
    key = PoolType

    def generic_resolve(self, typ: Any, attr: str) -> Any:
        return types.int64 if attr in POOL_FIELDS else None


@lower_getattr_generic(PoolType)
def _get_pool_field(context: Any, builder: Any, typ: Any, value: Any, attr: str) -> Any:
    return builder.load(_word(builder, value, POOL_FIELDS[attr]))


@infer_getattr
class _EnvFields(AttributeTemplate):  # type: ignore[misc]
    key = Env

    def generic_resolve(self, typ: Any, attr: str) -> Any:
        if attr in VIEWS:
            return types.Array(_DTYPES[attr], 1, "C", readonly=True)
        return types.int64 if attr in COUNTS else None


@lower_getattr_generic(Env)
def _get_env_field(context: Any, builder: Any, typ: Any, value: Any, attr: str) -> Any:
    if attr in COUNTS:
        return _load(builder, value, attr)
    word = _load_address(builder, value, attr)
    kind = types.Array(_DTYPES[attr], 1, "C", readonly=True)
    size = _load(builder, value, VIEWS[attr])
    return _make_array(context, builder, kind, word, size, ir.Constant(_I64, 0))


@intrinsic
def state_at(typingctx: Any, header: Any) -> Any:
    """The state whose header lies at an address."""
    return WIDE(types.int64), lambda context, builder, sig, args: args[0]


@intrinsic
def plain_state_at(typingctx: Any, header: Any) -> Any:
    """The same of a state that has nothing but what every recording has."""
    return PLAIN(types.int64), lambda context, builder, sig, args: args[0]


@intrinsic
def pool_at(typingctx: Any, header: Any) -> Any:
    """The pool whose header lies at an address."""
    return POOL(types.int64), lambda context, builder, sig, args: args[0]


@intrinsic
def env_at(typingctx: Any, header: Any) -> Any:
    """The environment whose header lies at an address."""
    return ENV(types.int64), lambda context, builder, sig, args: args[0]


@intrinsic
def _header(typingctx: Any, env: Any) -> Any:
    return types.int64(ENV), lambda context, builder, sig, args: args[0]


@intrinsic
def _state(typingctx: Any, env: Any) -> Any:
    return WIDE(ENV), lambda context, builder, sig, args: args[0]


@intrinsic
def array_at(typingctx: Any, address: Any, stride: Any, size: Any) -> Any:
    """int64 `[size]` at `address`, `stride` bytes from one to the next (0 repeats the first)."""
    kind = types.Array(types.int64, 1, "A")

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array = arrayobj.make_array(kind)(context, builder)
        arrayobj.populate_array(
            array,
            data=builder.inttoptr(args[0], _I64.as_pointer()),
            shape=[args[2]],
            strides=[args[1]],
            itemsize=ir.Constant(_I64, 8),
            meminfo=None,
        )
        return array._getvalue()

    return kind(types.int64, types.int64, types.int64), codegen


@intrinsic
def int32_at(typingctx: Any, address: Any, index: Any) -> Any:
    """Element `index` of an int32 array at `address`, as int64."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        base = builder.inttoptr(args[0], ir.IntType(32).as_pointer())
        return builder.sext(builder.load(builder.gep(base, [args[1]])), _I64)

    return types.int64(types.int64, types.int64), codegen


# Memory of the state belongs to `Memory`, so arrays over it have no `meminfo`: Numba frees nothing.
@intrinsic
def _view(typingctx: Any, pointer: Any, skip: Any, size: Any) -> Any:
    """`size` elements of an array of the state from `skip` on, read-only."""
    kind = types.Array(pointer.dtype, 1, "C", readonly=True)
    return kind(pointer, types.int64, types.int64), _array_behind(kind)


@intrinsic
def _scratch(typingctx: Any, pointer: Any, skip: Any, size: Any) -> Any:
    """`size` words of an array of the state from `skip` on, as an array a program may change."""
    kind = types.Array(types.int64, 1, "C")
    return kind(pointer, types.int64, types.int64), _array_behind(kind)


def _array_behind(kind: Any) -> Any:
    """Code for (pointer, skip, size) to an array of a kind."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address = builder.ptrtoint(args[0], _I64)
        return _make_array(context, builder, kind, address, args[2], args[1])

    return codegen


@intrinsic
def _batch(typingctx: Any, values: Any) -> Any:
    """(address, stride in bytes, count) of an integer or of an int64 array.

    The caller's argument keeps the memory alive; an integer gets a slot in the caller's frame.
    """
    result = types.UniTuple(types.int64, 3)
    if isinstance(values, types.Integer):

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            value = context.cast(builder, args[0], sig.args[0], types.int64)
            slot = cgutils.alloca_once_value(builder, value)
            parts = builder.ptrtoint(slot, _I64), ir.Constant(_I64, 0), ir.Constant(_I64, 1)
            return context.make_tuple(builder, result, parts)

    elif isinstance(values, types.Array) and values.ndim == 1 and values.dtype == types.int64:

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            array = arrayobj.make_array(sig.args[0])(context, builder, args[0])
            data = builder.ptrtoint(array.data, _I64)
            stride = builder.extract_value(array.strides, 0)
            size = builder.extract_value(array.shape, 0)
            return context.make_tuple(builder, result, (data, stride, size))

    else:
        raise TypingError(f"an integer or a one-dimensional integer array, not {values}")
    return result(values), codegen


def _call(context: Any, builder: Any, sig: Any, args: Any) -> tuple[Any, Any]:
    """Call `int64, ... -> int64` code in Numba's calling convention at an address."""
    kinds = tuple(types.int64 for _ in sig.args[1])
    values = [
        context.cast(builder, value, kind, types.int64)
        for value, kind in zip(
            cgutils.unpack_tuple(builder, args[1], len(kinds)), sig.args[1], strict=True
        )
    ]
    function_type = context.call_conv.get_function_type(types.int64, kinds)
    callee = builder.inttoptr(args[0], function_type.as_pointer())
    status, result = context.call_conv.call_function(builder, callee, types.int64, kinds, values)
    return status, result


@intrinsic
def call_action(typingctx: Any, function: Any, arguments: Any) -> Any:
    """Call a compiled action, which never raises, at an address."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(context, builder, sig, args)[1]

    return types.int64(types.int64, arguments), codegen


@intrinsic
def call_program(typingctx: Any, function: Any, arguments: Any) -> Any:
    """Call a compiled program at an address; returns (whether it raised, its answer)."""
    pair = types.UniTuple(types.int64, 2)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        status, result = _call(context, builder, sig, args)
        raised = builder.zext(status.is_error, _I64)
        return context.make_tuple(builder, pair, (raised, result))

    return pair(types.int64, arguments), codegen


@intrinsic
def _bits(typingctx: Any, value: Any) -> Any:
    """The bits of a float64."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], _I64)

    return types.int64(types.float64), codegen


@intrinsic
def int_parameter(typingctx: Any, header: Any, k: Any) -> Any:
    """The k-th int of the program's parameters."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        base = builder.inttoptr(_load_address(builder, args[0], "ints"), _I64.as_pointer())
        return builder.load(builder.gep(base, [args[1]]))

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def float_parameter(typingctx: Any, header: Any, k: Any) -> Any:
    """The k-th float of the program's parameters."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        base = builder.inttoptr(
            _load_address(builder, args[0], "floats"), ir.DoubleType().as_pointer()
        )
        return builder.load(builder.gep(base, [args[1]]))

    return types.float64(types.int64, types.int64), codegen


def checked_answer(answer: Any) -> Any:
    """An answer as `solve` returned it; no other kind of value is one."""
    raise NotImplementedError("compiled only")


@overload(checked_answer)
def _checked_answer(answer: Any) -> Any:
    if not isinstance(answer, types.Integer):
        raise TypingError(f"solve must return the id of an answer, an int, not {answer}")

    def check(answer: Any) -> Any:
        return np.int64(answer)

    return check


# What a program reads beyond plain fields.


@overload_attribute(Env, "room")
def _room(env: Any) -> Any:
    def read(env: Any) -> Any:
        return call_action(_state(env).actions[_ROOM], (_header(env), 0))

    return read


@overload_method(Env, "room_of")
def _room_of(env: Any, model: Any) -> Any:
    _need_integer(model, "room_of(model): model")

    def read(env: Any, model: Any) -> Any:
        room = call_action(_state(env).actions[_ROOM], (_header(env), model))
        if room < 0:
            raise ControlError("not admitted")
        return room

    return read


@overload_attribute(Env, "just_finished")
def _just_finished(env: Any) -> Any:
    def read(env: Any) -> Any:
        s = _state(env)
        return _view(s.finish_order, s.before, s.n_finished - s.before)

    return read


@overload_method(Env, "signal", prefer_literal=True)
def _signal(env: Any, name: Any, i: Any) -> Any:
    if not isinstance(name, types.StringLiteral):
        raise TypingError("signal(name, i): name must be a literal string")
    _need_integer(i, "signal(name, i): i")
    digest = control.note_digest(name.literal_value)

    def read(env: Any, name: Any, i: Any) -> Any:
        s = _state(env)
        if i < 0 or i >= s.n:
            raise ControlError("not admitted")
        at = s.n_signals * s.slots
        for k in range(s.n_signals):
            if s.signal_names[k] == digest:
                at = k * s.slots + i
        return _view(s.signals, at * s.intervals, s.depth[i])

    return read


@overload_method(Env, "history")
def _history(env: Any, i: Any) -> Any:
    _need_integer(i, "history(i): i")

    def read(env: Any, i: Any) -> Any:
        s = _state(env)
        if i < 0 or i >= s.n:
            raise ControlError("not admitted")
        return _view(s.history, i * s.intervals, s.depth[i])

    return read


# What a program does. A message needs the state in words: where an action is not admitted, the
# driver runs the episode again, interpreted.


def _need_integer(value: Any, what: str) -> None:
    """Refuse at compile time what the interpreted environment refuses: a number that is none."""
    if not isinstance(value, int | types.Integer | types.Omitted):
        raise TypingError(f"{what} must be an integer, not {value}")


def _is_other_int(ids: Any) -> bool:
    return (
        isinstance(ids, types.Array)
        and isinstance(ids.dtype, types.Integer)
        and ids.dtype != types.int64
    )


@overload_method(Env, "branch")
def _branch(env: Any, k: Any = None, probe: Any = True, model: Any = 0) -> Any:
    _need_integer(model, "branch(model): model")
    if k in (None, types.none) or isinstance(k, types.Omitted):

        def open_one(env: Any, k: Any = None, probe: Any = True, model: Any = 0) -> Any:
            function = _state(env).actions[_BRANCH]
            if call_action(function, (_header(env), 1, probe, model)):
                raise ControlError("not admitted")
            return env.n - 1

        return open_one

    _need_integer(k, "branch(k): k")

    def open_many(env: Any, k: Any = None, probe: Any = True, model: Any = 0) -> Any:
        first = env.n
        function = _state(env).actions[_BRANCH]
        if call_action(function, (_header(env), k, probe, model)):
            raise ControlError("not admitted")
        return np.arange(first, first + k)

    return open_many


@overload_method(Env, "advance")
def _advance(env: Any, ids: Any, times: Any = 1, probe: Any = True) -> Any:
    if _is_other_int(ids):

        def convert(env: Any, ids: Any, times: Any = 1, probe: Any = True) -> Any:
            env.advance(ids.astype(np.int64), times, probe)

        return convert

    if not isinstance(times, types.Array):
        _need_integer(times, "advance(ids, times): times")
    else:

        def advance_each(env: Any, ids: Any, times: Any = 1, probe: Any = True) -> Any:
            at, stride, k = _batch(ids)
            times_at, times_stride, n_times = _batch(times)
            function = _state(env).actions[_ADVANCE]
            if n_times != k or call_action(
                function, (_header(env), at, stride, k, times_at, times_stride, probe)
            ):
                raise ControlError("not admitted")

        return advance_each

    def advance_all(env: Any, ids: Any, times: Any = 1, probe: Any = True) -> Any:
        at, stride, k = _batch(ids)
        times_at, _, _ = _batch(np.int64(times))
        function = _state(env).actions[_ADVANCE]
        if call_action(function, (_header(env), at, stride, k, times_at, 0, probe)):
            raise ControlError("not admitted")

    return advance_all


def _plain_batch(name: str, action: int) -> None:
    """Define an action that takes ids alone."""

    @overload_method(Env, name)
    def define(env: Any, ids: Any) -> Any:
        if _is_other_int(ids):

            def convert(env: Any, ids: Any) -> Any:
                plain_batch(env, ids.astype(np.int64), action)

            return convert

        def act(env: Any, ids: Any) -> Any:
            plain_batch(env, ids, action)

        return act


def plain_batch(env: Any, ids: Any, action: int) -> None:
    """FINISH, PROBE or PRUNE a batch."""
    raise NotImplementedError("compiled only")


@overload(plain_batch)
def _plain_batch_impl(env: Any, ids: Any, action: Any) -> Any:
    def act(env: Any, ids: Any, action: Any) -> Any:
        at, stride, k = _batch(ids)
        if call_action(_state(env).actions[action], (_header(env), at, stride, k)):
            raise ControlError("not admitted")

    return act


_plain_batch("finish", _FINISH)
_plain_batch("probe", _PROBE)
_plain_batch("prune", _PRUNE)


@overload_method(Env, "active")
def _active(env: Any) -> Any:
    def read(env: Any) -> Any:
        s = _state(env)
        # Scratch memory lasts as long as the episode; what does not fit is Numba's to manage.
        fits = s.arena_at + s.n <= s.arena_size
        out = _scratch(s.arena, s.arena_at, s.n) if fits else np.empty(s.n, np.int64)
        at, _, _ = _batch(out)
        m = call_action(s.actions[_ACTIVE], (_header(env), at))
        if fits:
            s.arena_at += m
        return out[:m]

    return read


@overload_method(Env, "vote")
def _vote(env: Any) -> Any:
    def read(env: Any) -> Any:
        return call_action(_state(env).actions[_VOTE], (_header(env),))

    return read


@overload_method(Env, "note", prefer_literal=True)
def _note(env: Any, name: Any, value: Any) -> Any:
    if not isinstance(name, types.StringLiteral):
        raise TypingError("note(name, value): name must be a literal string")
    digest = control.note_digest(name.literal_value)

    def write(env: Any, name: Any, value: Any) -> Any:
        bits = _bits(np.float64(value))
        call_action(_state(env).actions[_NOTE], (_header(env), digest, bits))

    return write


# Sizes that Numba multiplies without asking whether they fit: what it then writes to, or takes to
# be an array, is larger than its memory. No bounds check sees that. These go before Numba's own
# (the signatures are more specific, or come later), in all that this process compiles.

_MAX_TEXT = 1 << 16
"""Characters of a repeated text."""
_MAX_ITEMS = 1 << 40
"""Items of an array of repeats: more than any machine holds, and far from where sizes wrap."""


def _product(context: Any, builder: Any, sizes: Any, message: str) -> None:
    """Raise MemoryError if the product of int64 sizes, those below 0 left out, leaves int64."""
    total = ir.Constant(_I64, 1)
    zero = ir.Constant(_I64, 0)
    for size in sizes:
        factor = builder.select(builder.icmp_signed("<", size, zero), ir.Constant(_I64, 1), size)
        pair = builder.smul_with_overflow(total, factor)
        total = builder.extract_value(pair, 0)
        with builder.if_then(builder.extract_value(pair, 1), likely=False):
            context.call_conv.return_user_exc(builder, MemoryError, (message,))


def _check_repeat(context: Any, builder: Any, sig: Any, args: Any) -> None:
    at = 0 if isinstance(sig.args[0], types.List) else 1
    size = listobj.ListInstance(context, builder, sig.args[at], args[at]).size
    _product(context, builder, (size, args[1 - at]), "the list would be too long")


@lower_builtin(operator.mul, types.List, types.intp)
@lower_builtin(operator.mul, types.intp, types.List)
def _repeat_list(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    _check_repeat(context, builder, sig, args)
    return listobj.list_mul(context, builder, sig, args)


@lower_builtin(operator.imul, types.List, types.intp)
def _repeat_list_in_place(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    _check_repeat(context, builder, sig, args)
    return listobj.list_mul_inplace(context, builder, sig, args)


@register_jitable
def _repeated_text(text: str, times: int) -> str:
    if times > _MAX_TEXT // max(len(text), 1):
        raise MemoryError("the text would be too long")
    return "".join([text for _ in range(times)])


@overload(operator.mul, target="cpu")
def _repeat_text(a: Any, b: Any) -> Any:
    if isinstance(a, types.UnicodeType) and isinstance(b, types.Integer):

        def text_first(a: Any, b: Any) -> Any:
            return _repeated_text(a, b)

        return text_first
    if isinstance(a, types.Integer) and isinstance(b, types.UnicodeType):

        def text_last(a: Any, b: Any) -> Any:
            return _repeated_text(b, a)

        return text_last
    return None


@overload(np.repeat, target="cpu")
def _repeat_items(a: Any, repeats: Any) -> Any:
    if isinstance(repeats, types.Integer):

        def repeat_all(a: Any, repeats: Any) -> Any:
            values = np.asarray(a).ravel()
            if repeats < 0:
                raise ValueError("repeats may not be negative")
            if repeats > _MAX_ITEMS // max(len(values), 1):
                raise MemoryError("the array would be too long")
            out = np.empty(len(values) * repeats, values.dtype)
            for i in range(len(out)):
                out[i] = values[i // repeats]
            return out

        return repeat_all

    def repeat_each(a: Any, repeats: Any) -> Any:
        values = np.asarray(a).ravel()
        times = np.asarray(repeats)
        if len(times) == 1:
            return np.repeat(values, np.int64(times[0]))
        if len(times) != len(values):
            raise ValueError("repeats must be one for each item")
        total = 0
        for k in times:
            if k < 0:
                raise ValueError("repeats may not be negative")
            if k > _MAX_ITEMS - total:
                raise MemoryError("the array would be too long")
            total += k
        out = np.empty(total, values.dtype)
        at = 0
        for i in range(len(values)):
            for _ in range(times[i]):
                out[at] = values[i]
                at += 1
        return out

    if isinstance(repeats, types.Array | types.List) and isinstance(repeats.dtype, types.Integer):
        return repeat_each
    return None


@lower_builtin("array.reshape", types.Array, types.BaseTuple)
def _reshape(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    shape = sig.args[1]
    sizes = [
        context.cast(builder, size, kind, types.int64)
        for size, kind in zip(cgutils.unpack_tuple(builder, args[1]), shape, strict=True)
    ]
    _product(context, builder, sizes, "the shape would be too large")
    return arrayobj.array_reshape(context, builder, sig, args)


@lower_builtin("array.reshape", types.Array, types.VarArg(types.Any))
def _reshape_by_sizes(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _reshape(context, builder, *arrayobj.vararg_to_tuple(context, builder, sig, args))
