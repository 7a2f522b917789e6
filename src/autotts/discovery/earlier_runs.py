"""What a run takes over from earlier ones: their best programs, as proposals, and their lessons.

A program of an earlier run is nobody's word: it is proposed in round 0, and admitted, sealed,
replayed, audited and judged like any other. No score of its own run is believed.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from autotts.discovery.explorer import Proposal
from autotts.discovery.lessons import best_trials, bounded, lessons_of, lessons_text
from autotts.discovery.run.events import EarlierRead
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.settings import EarlierRun, RunSettings, StoreRef
from autotts.errors import RunError, SpecError
from autotts.text import head

_LESSONS_BYTES = 12_000
"""Of all earlier runs together, in the history of explorers."""


def earlier_runs(paths: Iterable[Path], held_out: Sequence[StoreRef]) -> tuple[EarlierRun, ...]:
    """Runs that a new one may begin with, by place and content.

    Raises:
        RunError: one is no run, damaged, or at work.
        SpecError: one searched on a store that is held out now, or began with one that did.
    """
    found: list[EarlierRun] = []
    for path in paths:
        folder = RunFolder(path)
        if folder.at_work:
            raise RunError(f"{path}: a process is at work on this run; begin with it when it ended")
        settings = folder.settings
        searched = {ref.digest for ref in settings.stores}
        searched.update(digest for earlier in settings.earlier for digest in earlier.searched)
        for ref in held_out:
            if ref.digest in searched:
                raise SpecError(
                    f"--from {path}: that run, or one that it began with, searched on {ref.path},"
                    " which is held out now; its programs know those questions: leave the run out,"
                    " or hold other stores out"
                )
        one = EarlierRun(
            path=str(path.resolve()), digest=folder.log_digest, searched=tuple(sorted(searched))
        )
        if all(one.digest != other.digest for other in found):
            found.append(one)
    return tuple(found)


def taken_over(settings: RunSettings) -> EarlierRead:
    """The best programs of a run's earlier runs, none twice, and their lessons.

    Under `--no-traces` programs come with their ideas alone, for lessons may tell of traces. A
    program that is larger than the rules allow is left out.

    Raises:
        RunError: one is gone, or has gone on since this run began.
    """
    programs: dict[str, Proposal] = {}
    lessons: list[str] = []
    for ref in settings.earlier:
        folder = RunFolder(Path(ref.path))
        if folder.log_digest != ref.digest:
            raise RunError(
                f"{ref.path} is not as it was when this run was begun with it; begin a new run"
            )
        for trial in best_trials(folder, folder.state):
            said, source = trial.proposal, trial.proposal.source
            idea = f"Round {trial.name} of run {folder.settings.name}: {said.idea}"
            learned = bounded(said.learned) if settings.traces else ""
            if len(source.encode(errors="replace")) <= settings.rules.max_source_bytes:
                programs.setdefault(source, Proposal(source, bounded(idea), learned))
        if settings.traces:
            text = lessons_text(lessons_of(folder))
            lessons.append(head(text, _LESSONS_BYTES // len(settings.earlier)))
    return EarlierRead(tuple(programs.values()), "\n\n".join(lessons))
