"""Write a run's task for another framework: its files, its score, our scorer.

The framework proposes programs as it would for any task; each is scored by a run that waits (its
explorer is `files`), through the run's socket: sealed, counted against the run's budget, recorded.
No store and no answer is in the folder, and no generated program runs in the framework's process.
"""

import shlex
import shutil
from importlib import resources
from pathlib import Path
from string import Template

from autotts.discovery.agents import scorer_client
from autotts.discovery.agents.workspace import start_of
from autotts.discovery.prompts.briefing import history_text, task
from autotts.discovery.run.folder import RunFolder
from autotts.errors import RunError, SpecError
from autotts.files import write_text
from autotts.text import clean

FRAMEWORKS = {
    "openevolve": ("initial_program.py", "evaluator.py", "config.yaml"),
    "skydiscover": ("initial_program.py", "evaluator.py", "config.yaml"),
    "shinka": ("initial.py", "evaluate.py"),
    "gepa": ("initial_program.py", "optimize.py"),
}
"""The files that each framework wants beside those that all have."""

_HISTORY_BYTES = 12_000


def export(run: Path, framework: str, out: Path) -> list[Path]:
    """Write the task; returns the files.

    Raises:
        SpecError: the framework is not known, or the run's path can't be written down.
        RunError: there is no such run, or the folder can't be made.
    """
    if framework not in FRAMEWORKS:
        raise SpecError(f"--for {framework}: there are {', '.join(FRAMEWORKS)}")
    folder = RunFolder(run)
    place = str(run.resolve())
    if not place.isprintable():
        raise SpecError(f"{place!r}: the path of a run that is exported must be printable; move it")
    history = folder.state.history
    words = task(folder.settings.rules, len(folder.settings.betas))
    words += "\n" + history_text(history, traces=folder.settings.traces, max_bytes=_HISTORY_BYTES)
    # What models wrote stands in a block of YAML, which other line breaks would end.
    words = clean(words)
    # A folder is called as whoever made it likes: in each language its path is one literal.
    blanks = {
        "run": shlex.quote(place),
        "socket": repr(str(Path(place, scorer_client.SOCKET))),
        "framework": framework,
        "start": start_of(history),
        "indented": words.replace("\n", "\n    "),
    }
    texts = {
        name: _template(name, framework, blanks)
        for name in ("scoring.py", "README.md", *FRAMEWORKS[framework])
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise RunError(f"{out} is not empty; name a new folder")
        shutil.copyfile(scorer_client.__file__, out / "autotts_client.py")
        write_text(out / "TASK.md", words)
        for name, text in texts.items():
            write_text(out / name, text)
    except OSError as error:
        raise RunError(f"{out}: {error.strerror}") from error
    return sorted(out.iterdir())


def _template(name: str, framework: str, blanks: dict[str, str]) -> str:
    """A template of the framework, or the one that several share."""
    folder = resources.files("autotts.discovery.interop") / "templates"
    own = folder / framework / f"{name}.txt"
    found = own if own.is_file() else folder / f"{name}.txt"
    return Template(found.read_text("utf-8")).substitute(blanks)
