"""The state of an episode: its fields, and the codes that stand in them.

The functions of the control space are written once, over a state `s` whose fields are listed in
`SCALARS` and `ARRAYS`. They are compiled by Numba (`autotts.engine.jit` gives it the type of `s`).
"""

from typing import Any

from numba.extending import register_jitable

State = Any
"""One episode: the fields below, by name; and `wide`, no field but a constant of its type.

`wide` is 0 where nothing is there that not every recording has: several models, a budget in cost
units, uneven intervals, signals, no probes. It is asked before these are, so that the compiler
leaves out what a plain state does not need; a wide one asks whether each is there.
"""

SCALARS = (
    # What the episode is about. `failed` is the code that counts as no answer, -1 if none does;
    # `unprobed` is 1 where no answers but the last of each branch were recorded, `uneven` where
    # intervals hold other numbers of tokens than `interval`.
    "interval", "probe_tokens", "budget", "exact", "ceiling", "intervals", "failed", "unprobed",
    "uneven",
    # How many branches the arrays have room for: no less than the ceiling of any question.
    "slots",
    # Models, and the budget in cost units, tokens times their prices; see `control.billing`.
    "n_models", "cost_budget",
    # Signals of the store, and the most answers that any of its questions shows.
    "n_signals", "most_answers",
    # What happened so far, in tokens, cost units and counts.
    "n", "n_finished", "n_answers", "spent", "sequential", "probe_spent", "rounds", "overrun",
    "cost", "cost_overrun",
    # The last round: how many had finished before it, its longest decode, what is still owed.
    "before", "longest", "reserved", "reserved_cost", "overran", "stamp",
    # The rule that was broken, and by what; and whether an action stops when it has been checked.
    "error", "error_branch", "error_value", "checks_only",
    # The request log and the scratch memory that arrays handed to a program come from.
    "log_size", "log_at", "log_full", "arena_size", "arena_at",
    # The trace: how many steps fit, how many there are, and the episode they are of.
    "steps_size", "steps_at", "episode",
)  # fmt: skip

ARRAYS = {
    # The question's pool: by trajectory, and `probes` and `ends` by trajectory and interval. Where
    # it is `unprobed` or not `uneven` these are not there, and must not be read.
    "order": "int32", "probes": "int32", "ends": "int32", "lengths": "int32", "totals": "int32",
    "finals": "int32",
    # `order` is where the pool has each branch: the draw itself with one model. With several it is
    # `rows`, filled as branches are opened, from the draw by the model that made each trajectory.
    "draw": "int32", "makers": "int32", "rows": "int32",
    # By model: its price, how many of its trajectories in the draw are left, and where the next of
    # them is looked for.
    "price": "int64", "left": "int64", "cursor": "int64",
    # By branch. `decoded` leaves out probe tokens; `probed` is the last depth probed.
    "depth": "int64", "tokens": "int64", "decoded": "int64", "probed": "int64", "answer": "int64",
    "finished": "bool", "pruned": "bool", "seen": "int64", "finish_order": "int64",
    "model": "int64",
    "history": "int64",
    # By signal: the digest of its name, and where it begins in `recorded`, counted from the first
    # one. `signals` has what was revealed, by signal, branch and interval; then a row of -inf.
    "recorded": "float32", "signal_names": "int64", "signal_offsets": "int64",
    "signals": "float64",
    # By answer id: votes, and the pool's code; by code: the answer id, -1 before it is revealed.
    "votes": "int64", "code_of": "int64", "id_of": "int64", "counts": "int64",
    # Parameters of the program, the log, the scratch memory and the trace.
    "ints": "int64", "floats": "float64", "log": "int64", "arena": "int64", "steps": "int64",
    # Addresses of the compiled actions.
    "actions": "int64",
}  # fmt: skip

ADMITTED = 0

(
    NO_SUCH_BRANCH,
    IS_FINISHED,
    IS_PRUNED,
    REPEATED,
    EMPTY,
    TOO_MANY,
    NOT_POSITIVE,
    PROBED_ALREADY,
    OVER_BUDGET,
    NO_PROBES,
    NO_SUCH_MODEL,
    NONE_LEFT,
    OVER_COST,
) = range(1, 14)

STEP = ("episode", "round", "kind", "branch", "depth", "code", "tokens", "model")
"""A step of a trace, in int64 words. A note has its name's digest as code, its bits as tokens."""

MAX_TIMES = 2**31 - 1

CLOSED = 2**62
"""Stands in `seen` for a branch that is finished or pruned: above every stamp of a batch."""


@register_jitable
def reset(s: State) -> None:
    """Forget the episode; the pool, the parameters and the memory stay."""
    for i in range(s.n):
        s.depth[i] = 0
        s.tokens[i] = 0
        s.decoded[i] = 0
        s.probed[i] = 0
        s.answer[i] = -1
        s.finished[i] = False
        s.pruned[i] = False
        s.seen[i] = 0
    for a in range(s.n_answers):
        s.id_of[s.code_of[a]] = -1
        s.votes[a] = 0
    s.n = s.n_finished = s.n_answers = 0
    s.spent = s.sequential = s.probe_spent = s.rounds = s.overrun = 0
    s.cost = s.cost_overrun = 0
    s.before = s.longest = s.reserved = s.reserved_cost = s.overran = s.stamp = 0
    s.error = 0
    s.error_branch = s.error_value = -1
    s.arena_at = 0


@register_jitable
def copy(s: State, to: State) -> None:
    """Let `to` go on from where `s` stands, under the budget and the cost of a probe of its own.

    Both have room for as many branches and answers, and are aimed at one draw of one question. What
    was revealed stays unknown to `to.history`, and the log and the trace are not copied.
    """
    reset(to)
    for i in range(s.n):
        to.depth[i] = s.depth[i]
        to.tokens[i] = s.tokens[i]
        to.decoded[i] = s.decoded[i]
        to.probed[i] = s.probed[i]
        to.answer[i] = s.answer[i]
        to.finished[i] = s.finished[i]
        to.pruned[i] = s.pruned[i]
        to.seen[i] = s.seen[i]
        to.model[i] = s.model[i]
    if s.n_models > 1:
        for i in range(s.n):
            to.rows[i] = s.rows[i]
        for m in range(s.n_models):
            to.left[m], to.cursor[m] = s.left[m], s.cursor[m]
    for j in range(s.n_finished):
        to.finish_order[j] = s.finish_order[j]
    for a in range(s.n_answers):
        to.votes[a] = s.votes[a]
        to.code_of[a] = s.code_of[a]
        to.id_of[s.code_of[a]] = a
    to.n, to.n_finished, to.n_answers = s.n, s.n_finished, s.n_answers
    to.spent, to.sequential, to.probe_spent = s.spent, s.sequential, s.probe_spent
    to.rounds, to.overrun, to.stamp = s.rounds, s.overrun, s.stamp
    to.cost, to.cost_overrun = s.cost, s.cost_overrun
