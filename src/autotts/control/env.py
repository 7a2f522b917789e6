"""What `env` offers to a controller program, once, as data.

From this table come the environment as a compiled program sees it (`engine/jit.py`) and as an
interpreted one does, docstrings included (`engine/interpreted.py`), the names that the source
check lets through (`programs/language.py`), the explorers' prompt and the table in
`docs/architecture.md`.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["scalar", "array", "method"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One name of `env`.

    means: what it holds or does, in one sentence.
    gives: what reading or calling it gives, as text: dtype and shape; "" for nothing.
    length: of an array that is a field of the state as it stands: the scalar that is its length.
    signature: of a method, as its definition says it, without `self`.
    cost: of a method, in tokens; "" if it is free.
    raises: when a method is an error; "" if it never is.
    """

    name: str
    kind: Kind
    means: str
    gives: str = "int"
    length: str = ""
    signature: str = ""
    cost: str = ""
    raises: str = ""

    @property
    def called(self) -> str:
        """The name as a program writes it, with a method's arguments."""
        return self.name + self.signature

    @property
    def doc(self) -> str:
        """The docstring of the interpreted environment's property or method."""
        parts = [f"{self.means}."]
        if self.gives:
            parts.append(f"Gives: {self.gives}.")
        if self.kind == "method":
            parts.append(f"Cost: {self.cost or 'none'}.")
        if self.raises:
            parts.append(f"Raises:\n    ControlError: {self.raises}.")
        return "\n\n".join(parts)


def _scalar(name: str, means: str) -> Entry:
    return Entry(name, "scalar", means)


def _array(name: str, length: str, means: str, dtype: str = "int64") -> Entry:
    return Entry(name, "array", means, f"{dtype} `[{length}]`, read-only", length)


_IDS = (
    "`ids` (an id or a one-dimensional integer array) is empty, or names a branch that is not"
    " open, finished, pruned, or named before"
)
_BUDGET = "A batch that the budget does not admit ends the episode with `vote()`"

TABLE: tuple[Entry, ...] = (
    _scalar("n", "Number of branches opened so far"),
    _scalar("n_finished", "Number of branches that have ended by themselves"),
    _scalar("n_answers", "Number of different answers revealed so far"),
    _scalar(
        "room", "How many more branches the ceiling, the pool and the budgets allow, of model 0",
    ),
    _scalar("spent", "Tokens charged so far"),
    _scalar("budget", "Most tokens the episode may spend, -1 without a limit"),
    _scalar(
        "cost", "Cost units charged so far: tokens times the price of their model, 1 if alone",
    ),
    _scalar("cost_budget", "Most cost units the episode may spend, -1 without a limit"),
    _scalar("most_answers", "Most different answers that branches of one question can show"),
    _scalar("n_models", "Number of models that branches can be opened of"),
    _scalar("interval", "Tokens of an interval, the unit of depth"),
    _scalar("rounds", "Number of rounds (batches that decode or probe) so far"),
    _array("depth", "n", "Intervals decoded of each branch"),
    _array("tokens", "n", "Tokens charged to each branch, its probes included"),
    _array("answer", "n", "Id of the latest answer revealed on each branch, -1 if none was"),
    _array("finished", "n", "Whether each branch has ended by itself", "bool"),
    _array("pruned", "n", "Whether each branch was given up", "bool"),
    _array("model", "n", "Number of the model that each branch is of, from 0"),
    _array("price", "n_models", "Cost units of a token of each model"),
    _array("votes", "n_answers", "Number of finished branches that ended on each answer"),
    _array(
        "finish_order",
        "n_finished",
        "Branches in the order in which they finished; within a round, of the batch",
    ),
    Entry(
        "just_finished", "array", "Branches that finished in the last round",
        "int64 `[k]`, read-only",
    ),
    Entry(
        "history", "method",
        "Reads the answers revealed on branch i by depth, -1 where none was",
        "int64 `[depth[i]]`, read-only", signature="(i)", raises="branch i is not open",
    ),
    Entry(
        "signal", "method",
        "Reads a signal of branch i by depth, -inf where the store has none; `name` is a literal"
        " text",
        "float64 `[depth[i]]`, read-only", signature="(name, i)", raises="branch i is not open",
    ),
    Entry(
        "active", "method", "Lists the branches that are neither finished nor pruned, ascending",
        "int64 `[m]`, an array of your own", signature="()",
    ),
    Entry(
        "branch", "method",
        "Opens the next k branches of a model, side by side, through their first interval and"
        " reveals its answer unless `probe=False`",
        "their ids, int64 `[k]`; without k one branch is opened, and its id is given",
        signature="(k=None, probe=True, model=0)",
        cost="one interval for each branch, and the probe",
        raises="k is not an integer from 1 to what the ceiling and the pool still allow, or there"
        " is no such model",
    ),
    Entry(
        "room_of", "method",
        "Tells how many more branches of a model the ceiling, the pool and the budgets allow",
        signature="(model)", raises="there is no such model",
    ),
    Entry(
        "advance", "method",
        "Decodes `times` more intervals of each branch of `ids`, ending early where a branch ends,"
        " and reveals the answer at every depth passed unless `probe=False`",
        "", signature="(ids, times=1, probe=True)",
        cost="one interval for each interval decoded, and its probe; what is left of the branch"
        " when it ends",
        raises=f"{_IDS}; or `times` is not an integer, or an integer for each id, of at least 1",
    ),
    Entry(
        "finish", "method", "Decodes each branch of `ids` to its end without probing", "",
        signature="(ids)", cost="what is left of each branch, cut at the budget", raises=_IDS,
    ),
    Entry(
        "probe", "method", "Reveals the answer at the present depth of each branch of `ids`", "",
        signature="(ids)", cost="a probe for each branch",
        raises=f"{_IDS}; or a branch was probed at this depth already",
    ),
    Entry(
        "prune", "method", "Gives up each branch of `ids`: it can't go on any more", "",
        signature="(ids)", raises=_IDS,
    ),
    Entry(
        "vote", "method",
        "Finds the most frequent final answer, the one finished first among equals; while there"
        " is none, the most frequent latest answer of the branches not pruned, the lowest branch"
        " first",
        "an answer id, -1 if there is none", signature="()",
    ),
    Entry(
        "note", "method",
        "Puts a number of the program's own in the trace; `name` is a literal text", "",
        signature="(name, value)",
    ),
)  # fmt: skip

NAMES = frozenset(entry.name for entry in TABLE)
METHODS = tuple(entry for entry in TABLE if entry.kind == "method")
COUNTS = tuple(entry.name for entry in TABLE if entry.kind == "scalar" and entry.name != "room")
"""Scalars that are fields of the state as they stand; `room` is computed."""
VIEWS = {entry.name: entry.length for entry in TABLE if entry.length}
"""Arrays that are fields of the state as they stand, with the scalar that is their length."""


def markdown() -> str:
    """The table in Markdown, a row for each name."""
    rows = ["| name in `env` | gives | meaning |", "|---|---|---|"]
    for entry in TABLE:
        cost = f"; costs {entry.cost}" if entry.cost else ""
        rows.append(f"| `{entry.called}` | {entry.gives or 'nothing'} | {entry.means}{cost} |")
    return "\n".join(rows)
