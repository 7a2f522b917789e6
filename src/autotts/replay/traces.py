"""Traces as tables: every step of episodes, with answers and notes in words."""

import ast

import numpy as np
import polars as pl

from autotts import control
from autotts.replay.task import Task
from autotts.stores import Store

ACTIONS = ("branch", "continue", "finish", "probe", "prune", "note")
"""Words for `control.BRANCH` to `control.NOTE`; `finish` is the step that ends a branch."""

TRACED = [
    control.STEP.index(name) for name in ("round", "kind", "branch", "depth", "code", "tokens")
]
"""Columns of a step that pages show, in this order."""


def note_names(source: str) -> dict[int, str]:
    """The names of a program's notes, by the digest under which the log knows them."""
    return {
        control.note_digest(name.value): name.value
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "note"
        and call.args
        and isinstance(name := call.args[0], ast.Constant)
        and isinstance(name.value, str)
    }


def trace_frame(task: Task, steps: np.ndarray, source: str) -> pl.DataFrame:
    """Steps as a table.

    Args:
        task: the episodes that they are of.
        steps: `[M, len(control.STEP)]` int64, as `log.replay` gives them.
        source: text of the program, for the names of its notes.

    Returns:
        Columns question, draw, round, action, branch, depth, answer, tokens, note, value, and of a
        store with several models the model of the branch; a row per interval decoded, branch
        ended, probe, prune and note, in order.
    """
    episode, round_, kind, branch, depth, code, tokens, model = steps.T
    question, draw = task.pairs[episode].T
    is_note = kind == control.NOTE
    texts, codes = _answer_table(task.store)
    named = (code >= 0) & ~is_note
    answer = np.where(named, codes[question, np.where(named, code, 0)], -1)
    names = note_names(source)
    frame = pl.DataFrame(
        {
            "question": question.astype(np.int32),
            "draw": draw.astype(np.int32),
            "round": round_.astype(np.int32),
            "action": kind.astype(np.uint8),
            "branch": branch.astype(np.int32),
            "depth": depth.astype(np.int32),
            "answer": answer,
            "tokens": np.where(is_note, 0, tokens).astype(np.int32),
            "note": np.where(is_note, code, -1),
            "value": np.where(is_note, tokens, 0).view(np.float64),
        }
    )
    is_note_row = pl.col("action") == control.NOTE
    models = [made_by.name for made_by in task.pool.models]
    if models:
        frame = frame.with_columns(pl.Series("model", model))
        frame = frame.with_columns(_worded("model", dict(enumerate(models))))
    return frame.with_columns(
        _worded("action", dict(enumerate(ACTIONS))),
        _worded("answer", dict(enumerate(texts))),
        _worded("note", names),
        pl.when(is_note_row).then("value"),
    )


def _worded(column: str, words: dict[int, str]) -> pl.Expr:
    """A column of numbers as words; null for a number without one."""
    kind = pl.Enum(list(dict.fromkeys(words.values())))
    return pl.col(column).replace_strict(words, default=None, return_dtype=kind)


def _answer_table(store: Store) -> tuple[list[str], np.ndarray]:
    """All answers of a store, and `[Q, C]` where each question's codes lie among them."""
    texts = list(dict.fromkeys(text for known in store.answers for text in known))
    at = {text: k for k, text in enumerate(texts)}
    codes = np.full((len(store.answers), max(map(len, store.answers))), -1)
    for q, known in enumerate(store.answers):
        codes[q, : len(known)] = [at[text] for text in known]
    return texts, codes
