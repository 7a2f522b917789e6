"""Recorded questions to watch: what there is to choose from, and episodes on demand."""

import ast
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from autotts import programs
from autotts.errors import SpecError
from autotts.evaluation import Execution, Experiment, Local
from autotts.evaluation.serving import doubts, lacks, require_served
from autotts.play.traces import trace_of
from autotts.programs import Spec
from autotts.replay.driver import Ran
from autotts.replay.task import cells_of
from autotts.reports.evaluations import answer_ranks
from autotts.stores import Store
from autotts.text import shorten

SWEPT = tuple(round(k / 20, 2) for k in range(21))
"""Betas at which the page shows what a controller would answer, and what for."""

_TITLE_LENGTH = 90
_KEPT = 256


class RecordedQuestions:
    """Questions of stores, and episodes of controllers on them, each played when it is asked for.

    A context manager: its end is the end of what programs run in.
    """

    def __init__(
        self,
        stores: Sequence[Store],
        specs: Sequence[Spec] = (),
        *,
        experiment: Experiment | None = None,
        execution: Execution | None = None,
    ) -> None:
        """
        Args:
            specs: controllers that are named first; those that come along follow.

        Raises:
            SpecError: a store can't serve one of the controllers; or the draws are none.
        """
        require_served(stores, specs)
        self._stores, self._specs = list(stores), list(specs)
        self._execution = replace(execution or Execution(), traces=True)
        self._tasks = (experiment or Experiment()).tasks(self._stores)
        self._driver = Local(self._execution)
        self._one_at_a_time = threading.Lock()
        self.episode = lru_cache(_KEPT)(self._episode)
        self.sweep = lru_cache(_KEPT)(self._sweep)

    def __enter__(self) -> "RecordedQuestions":
        return self

    def __exit__(self, *_: object) -> None:
        self._driver.__exit__()

    def catalogue(self) -> dict[str, Any]:
        """Stores with the titles of their questions, and the controllers that each can serve."""
        return {"stores": [self._about(k) for k in range(len(self._stores))]}

    def _about(self, k: int) -> dict[str, Any]:
        store, task = self._stores[k], self._tasks[k]
        return {
            "name": store.name,
            "questions": [_title(text) for text in store.questions()],
            "draws": task.orders.shape[1],
            "interval": store.pool.interval,
            "controllers": [
                {"spec": spec.text, "beta": spec.beta, "idea": _idea(spec)}
                for spec in self._offered(store)
            ],
        }

    def _offered(self, store: Store) -> list[Spec]:
        named = {spec.text for spec in self._specs}
        usual = [programs.parse(name) for name in programs.built_in() if name not in named]
        fit = [spec for spec in usual if not lacks(store, spec) and not doubts(store, spec)]
        return [*self._specs, *fit]

    def question(self, store: int, question: int) -> dict[str, Any]:
        """The text of a question, its answers, the commonest first, and what all of it would cost.

        Raises:
            SpecError: there is none.
        """
        chosen, task = self._question(store, question)
        by_rank = np.argsort(answer_ranks(chosen, question), kind="stable")
        order = task.orders[question, 0]
        order = order[order >= 0][: task.ceiling]
        recorded = set(chosen.pool.finals[question].tolist())
        if chosen.pool.probes is not None:
            recorded |= set(np.unique(chosen.pool.probes[question]).tolist())
        return {
            "text": chosen.questions()[question],
            # What no branch shows is not among them: it would give the true answer away.
            "answers": [chosen.answers[question][c] for c in by_rank.tolist() if c in recorded],
            "branches": len(order),
            "whole": int(chosen.pool.tokens[question, order].sum()),
        }

    def gold(self, store: int, question: int) -> list[str]:
        """The accepted answers; none where the store has none.

        Raises:
            SpecError: there is no such question.
        """
        chosen, _ = self._question(store, question)
        codes = chosen.golds[question] if chosen.golds else (int(chosen.gold[question]),)
        return [text for code in codes if (text := chosen.answers[question][code])]

    def _episode(
        self, store: int, question: int, draw: int, controller: str, beta: float
    ) -> dict[str, Any]:
        """An episode, action by action.

        Raises:
            SpecError: there is no such question, draw, controller or beta.
            ControllerError: the controller fails in it.
        """
        (ran,) = self._run(store, question, draw, controller, [beta])
        return trace_of(ran).record()

    def _sweep(self, store: int, question: int, draw: int, controller: str) -> list[dict[str, Any]]:
        """What the controller answers at each beta of `SWEPT`, and after how many tokens.

        Raises:
            As `episode`.
        """
        return [
            {
                "beta": one.spec.beta,
                "tokens": int(one.tokens[0]),
                "answer": _answer_text(one, question),
            }
            for one in self._run(store, question, draw, controller, SWEPT)
        ]

    def _run(
        self, store: int, question: int, draw: int, controller: str, betas: Sequence[float]
    ) -> list[Ran]:
        chosen, task = self._question(store, question)
        if not 0 <= draw < task.orders.shape[1]:
            raise SpecError(f"draw {draw}: there are draws 0 to {task.orders.shape[1] - 1}")
        offered = {spec.text: spec for spec in self._offered(chosen)}
        if controller not in offered:
            raise SpecError(
                f"no controller {controller[:80]!r} here; offered: {', '.join(offered)}"
            )
        specs = [offered[controller].at(programs.parse_beta(str(beta))) for beta in betas]
        cells = cells_of([task.some(np.array([[question, draw]]))], specs)
        with self._one_at_a_time:
            return self._driver.run(cells, audit=self._execution.audit, keep_log=True)

    def _question(self, store: int, question: int) -> tuple[Store, Any]:
        if not 0 <= store < len(self._stores):
            raise SpecError(f"store {store}: there are stores 0 to {len(self._stores) - 1}")
        chosen = self._stores[store]
        if not 0 <= question < len(chosen.gold):
            raise SpecError(
                f"question {question}: {chosen.name} has questions 0 to {len(chosen.gold) - 1}"
            )
        return chosen, self._tasks[store]


def _answer_text(ran: Ran, question: int) -> str | None:
    code = int(ran.codes[0])
    return ran.store.answers[question][code] if code >= 0 else None


def _title(text: str) -> str:
    return shorten(" ".join(text.split()), _TITLE_LENGTH)


def _idea(spec: Spec) -> str:
    """The first line of a controller's docstring."""
    if spec.entry:
        return ""
    return (ast.get_docstring(ast.parse(spec.source.text)) or "").partition("\n")[0]
