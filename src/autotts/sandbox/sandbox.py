"""The sandbox: where a program that somebody else wrote is run, audited and stopped."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np

from autotts.control import Log
from autotts.errors import ControllerError, ProgramError
from autotts.programs.checker import check_source
from autotts.replay.driver import How, OnRan, Ran, Verdict
from autotts.replay.episodes import Episodes
from autotts.replay.task import Cell, program_of
from autotts.sandbox import audit as audits
from autotts.sandbox.allowance import SAMPLE, Allowance
from autotts.sandbox.blind_run import BlindRun, Place, run_blind
from autotts.sandbox.compiled_run import (
    CodeWorker,
    CompiledRun,
    EpisodeFailed,
    NotCompiled,
    Schedules,
    ask,
)
from autotts.sandbox.shared_memory import lay_out
from autotts.sandbox.worker import Zygote

Mode = Literal["auto", "compiled", "blind"]


class Sandbox:
    """The driver for what somebody else wrote. A context manager.

    Its fork server starts with the first program.

    >>> with Sandbox() as sandbox:                                    # doctest: +SKIP
    ...     ran = sandbox.run(cells, audit=600)
    """

    def __init__(
        self,
        allowance: Allowance | None = None,
        *,
        unsafe: bool = False,
        jobs: int | None = None,
        without: Sequence[str] = (),
    ) -> None:
        """
        Args:
            unsafe: run even where no process can be sealed. Results say so.
            jobs: blind groups at a time, see `run_blind`.
            without: layers of the seal to leave out, for tests of the others.
        """
        self._allowance = allowance or Allowance()
        self._how: dict[str, Any] = {"unsafe": unsafe, "without": tuple(without)}
        self._jobs = jobs
        self._zygote: Zygote | None = None
        self._code: CodeWorker | None = None

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every worker; the fork server is left to the next sandbox of this process."""
        self.forget_code()
        if self._zygote is not None:
            self._zygote.leave()
            self._zygote = None

    @property
    def zygote(self) -> Zygote:
        """The fork server, warm; a new one if the last has ended."""
        if self._zygote is not None and not self._zygote.alive:
            self.close()
        if self._zygote is None:
            self._zygote = Zygote.take()
        return self._zygote

    def warm_up(self) -> None:
        """Start the fork server, which gets ready beside whatever is done meanwhile."""
        self.zygote  # noqa: B018  a property that starts it

    def run(
        self,
        cells: Sequence[Cell],
        *,
        audit: int = 0,
        keep_log: bool = False,
        on_ran: OnRan | None = None,
        mode: Mode = "auto",
        sampled: Sequence[Place] | None = None,
    ) -> list[Ran]:
        """Run a program over cells, compiled in one worker, or blind in many; see `Driver.run`.

        Args:
            audit: episodes to audit, see `allowance.SAMPLE`; 0 for none.
            sampled: those to audit, where somebody drew the sample of these and other cells.
            mode: "auto" is compiled, and blind for what doesn't compile.

        Raises:
            ProgramError: the source check refuses it, or it does not load, or not compile.
            SpecError: it has no parameter that a cell names.
            ControllerError: it failed in an episode, took too long, or the audit rejects it.
            SandboxError: nothing can be sealed here, or a worker broke its protocol.
        """
        ran = self._judge(cells, mode, audit if sampled is None else sampled, keep_log)
        verdict = ran[0].how.audit
        if verdict.status == "rejected":
            raise ControllerError(f"{program_of(cells).path}: rejected: {verdict.reason}")
        if on_ran:
            for one in ran:
                on_ran(one)
        return ran

    def audit(self, cells: Sequence[Cell], sample: int = SAMPLE) -> Verdict:
        """Run a program over cells and say only what the audit found; see `run`."""
        return self._judge(cells, "auto", sample, False)[0].how.audit

    def _judge(
        self, cells: Sequence[Cell], mode: Mode, sample: int | Sequence[Place], keep_log: bool
    ) -> list[Ran]:
        if mode not in get_args(Mode):
            raise ValueError(f"mode {mode!r}: need one of {', '.join(get_args(Mode))}")
        source = program_of(cells)
        check_source(source.text, source.path)
        if isinstance(sample, int):
            sample = audits.draw_sample(cells, sample, np.random.default_rng()) if sample else []
        sampled = list(sample)
        keep = [np.full(len(cell.task.pairs), keep_log) for cell in cells]
        for c, e in sampled:
            keep[c][e] = True
        asked = ask(self.zygote, source, cells, self._allowance, **self._how)
        if mode == "blind":
            return self._judge_blind(cells, asked, sampled, keep, "asked for")
        try:
            run = self._run_compiled(cells, asked, keep)
        except NotCompiled as error:
            if mode == "compiled":
                raise ProgramError(str(error)) from error
            return self._judge_blind(cells, asked, sampled, keep, str(error))
        except EpisodeFailed as failed:
            # Blind it has a line and a message, and raises. Where only compiled code fails,
            # what counts is blind.
            self._blind(cells, asked, [(failed.cell, failed.index)])
            return self._judge_blind(cells, asked, sampled, keep, "an episode fails compiled only")
        return self._judge_compiled(cells, asked, sampled, keep, run)

    def run_compiled(self, cells: Sequence[Cell], keep: Sequence[np.ndarray]) -> CompiledRun:
        """Run a program compiled, in the last worker if only its schedule is another.

        Args:
            keep: for each cell `[E]` bool, of which episodes to keep the log.

        Raises:
            NotCompiled: it doesn't compile within the allowance.
            EpisodeFailed: an episode failed.
            ProgramError, SpecError, ControllerError, SandboxError
        """
        asked = ask(self.zygote, program_of(cells), cells, self._allowance, **self._how)
        return self._run_compiled(cells, asked, keep)

    def _run_compiled(
        self, cells: Sequence[Cell], asked: Schedules, keep: Sequence[np.ndarray]
    ) -> CompiledRun:
        source = program_of(cells)
        layout = lay_out(cells)
        if self._code and not self._code.serves(self.zygote, source, asked.kinds, layout):
            self.forget_code()
        code = self._code or CodeWorker(
            self.zygote, source, asked.kinds, layout, self._allowance, self._how
        )
        # Kept only if all goes well.
        self._code = None
        try:
            run = code.run(source, cells, layout, asked.parameters, keep)
        except BaseException:
            code.close()
            raise
        self._code = code
        run.text = asked.text + run.text
        return run

    def forget_code(self) -> None:
        """End the worker that is kept for programs of the same code."""
        if self._code is not None:
            self._code.close()
            self._code = None

    def _judge_compiled(
        self,
        cells: Sequence[Cell],
        asked: Schedules,
        sampled: list[Place],
        keep: list[np.ndarray],
        run: CompiledRun,
    ) -> list[Ran]:
        """Audit a compiled run; where it does not hold, run blind."""
        verdict = Verdict("none")
        if sampled:
            results = np.stack([run.episodes[c].results[e] for c, e in sampled])
            blind = self._blind(cells, asked, sampled)
            wrong = audits.differing(results, [run.logs[place] for place in sampled], blind)
            if wrong:
                reason = (
                    f"{len(wrong)} of {len(sampled)} sampled episodes decided otherwise when they"
                    " could not see what they had not revealed"
                )
                return self._judge_blind(cells, asked, sampled, keep, reason, blind, len(wrong))
            verdict = Verdict("clean", len(sampled), 0, audits.bound(len(sampled)))
        how = How("sealed", run.tier.name, verdict, printed=run.text)
        return _ran(cells, run.parameters, run.episodes, how)

    def _judge_blind(
        self,
        cells: Sequence[Cell],
        asked: Schedules,
        sampled: list[Place],
        keep: list[np.ndarray],
        reason: str,
        again: BlindRun | None = None,
        wrong: int = 0,
    ) -> list[Ran]:
        """Run everything blind; the sample twice, in different orders and groups.

        Args:
            again: a blind run of the sample, if there was one already.
            wrong: how many of the sample did otherwise compiled.
        """
        places = [(c, e) for c, cell in enumerate(cells) for e in range(len(cell.task.pairs))]
        full = self._blind(cells, asked, places, np.concatenate(keep))
        verdict = Verdict("none", reason=reason)
        if sampled:
            again = again or self._blind(cells, asked, sampled)
            first = dict(zip(places, range(len(places)), strict=True))
            at = [first[place] for place in sampled]
            changed = audits.differing(full.results[at], [full.logs[t] for t in at], again)
            verdict = Verdict("blind", len(sampled), wrong, 0.0, reason)
            if changed:
                verdict = Verdict(
                    "rejected",
                    len(sampled),
                    len(changed),
                    1.0,
                    f"{len(changed)} of {len(sampled)} sampled episodes came out otherwise when "
                    "they were run in another order: the program remembers earlier episodes, or "
                    "uses randomness without a seed",
                )
        episodes, begin = [], 0
        for cell, kept in zip(cells, keep, strict=True):
            span = slice(begin, begin + len(cell.task.pairs))
            log = Log.by_episode(full.logs[span]) if kept.all() else None
            episodes.append(Episodes(full.results[span], log))
            begin = span.stop
        how = How("blind", full.tier.name, verdict, reason, asked.text + full.text)
        return _ran(cells, asked.parameters, episodes, how)

    def _blind(
        self,
        cells: Sequence[Cell],
        asked: Schedules,
        places: Sequence[Place],
        keep: np.ndarray | None = None,
    ) -> BlindRun:
        """Run episodes blind, with the parameters that the schedule gave when it was asked."""
        told = zip(cells, asked.parameters, strict=True)
        played = [
            replace(cell, spec=replace(cell.spec, named=parameters)) for cell, parameters in told
        ]
        source = program_of(cells).without_schedule(asked.kinds)
        # What has data in reach does nothing meanwhile that those without could notice.
        with self._code.paused() if self._code else nullcontext():
            return run_blind(
                self.zygote, source, played, places, self._allowance, keep=keep,
                jobs=self._jobs, **self._how,
            )  # fmt: skip


class Blind:
    """The driver that runs everything blind, in a sandbox: slower, and with nothing compiled."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def run(
        self,
        cells: Sequence[Cell],
        *,
        audit: int = 0,
        keep_log: bool = False,
        on_ran: OnRan | None = None,
    ) -> list[Ran]:
        """Run a program over cells; see `Sandbox.run`."""
        return self._sandbox.run(cells, audit=audit, keep_log=keep_log, on_ran=on_ran, mode="blind")


def _ran(
    cells: Sequence[Cell],
    parameters: Sequence[dict[str, float]],
    episodes: Sequence[Episodes],
    how: How,
) -> list[Ran]:
    told = zip(cells, parameters, episodes, strict=True)
    return [Ran(cell, values, played, how) for cell, values, played in told]
