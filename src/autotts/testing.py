r"""The conformance kit: what a plug-in must hold to, as calls for its own tests.

    from autotts import testing

    def test_my_controller():
        testing.check_controller("my-controller")

A call returns nothing where all is well. Else it raises `AssertionError` with what was asked, what
came and what would do, or the error that users would get. Nothing here needs a network, recorded
data or a model.
"""

import math
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from autotts import plugins, programs, stores
from autotts.answers.reader import AnswerReader, installed_reader
from autotts.discovery import discover, explorers
from autotts.errors import AutottsError
from autotts.evaluation import Execution, Experiment, evaluate
from autotts.evaluation.serving import lacks
from autotts.programs.checker import problems
from autotts.simulation import simulate
from autotts.stores import importing
from autotts.stores.importing import formats

_BETAS = (0.0, 0.5, 1.0)
_AUDITED = 60
_TIGHT_TOKENS = 5_000
_READ_SECONDS = 1.0
_IMPORT_SECONDS = 10.0
_DAMAGED = 50
_HOW = {True: "by a look at it", False: "by name"}
_ODD_TEXTS = (
    "", " ", "\x00\x1b[31m", "}{" * 5_000, "\\boxed{" * 5_000, "no answer here", "\ud800",
    "x" * 100_000, "\n" * 100_000,
)  # fmt: skip


def check_controller(name: str) -> None:
    """A controller can be proposed, sealed, audited and turned by its one knob.

    Its text passes the check of proposed programs; its parameters are finite at every beta, and of
    one kind each; on simulated stores it stays within a budget, answers on one branch and one
    question, and decides sealed and blind as it does in sight of all branches.

    Args:
        name: as SPECs say it: an installed name, or the path of a program.
    """
    spec = programs.parse(name)
    found = [f"line {p.line}: {p.message}" for p in problems(spec.source.text)]
    _require(not found, f"{name} does what a program may not:\n  " + "\n  ".join(found))
    _check_schedule(spec)
    # Sealed whoever made it: what is installed would run in this process otherwise.
    sealed = replace(spec, source=replace(spec.source, trusted=False))
    with tempfile.TemporaryDirectory() as folder:
        usual = stores.load(simulate(folder, questions=6, branches=24, dataset="usual"))
        small = stores.load(simulate(folder, questions=1, branches=1, dataset="small"))
        lacking = [why for store in (usual, small) if (why := lacks(store, spec))]
        _require(not lacking, f"{name} {lacking}")
        execution = Execution(audit=_AUDITED)
        for store, budget in ((usual, None), (usual, _TIGHT_TOKENS), (small, None)):
            experiment = Experiment(draws="reference:3", budget=budget)
            result = evaluate(
                store, [sealed], betas=_BETAS, experiment=experiment, execution=execution
            )
            for ran in result.ran:
                verdict = ran.how.audit
                _require(
                    verdict is not None and verdict.status == "clean",
                    f"{name} at beta {ran.spec.beta:g} decides otherwise when it can't see what it"
                    f" hasn't revealed: {verdict and verdict.reason}",
                )


def _check_schedule(spec: programs.Spec) -> None:
    program = programs.load(spec.source)
    kinds: dict[str, type] | None = None
    for beta in (k / 20 for k in range(21)):
        found = program.parameters(beta)
        now = {key: type(value) for key, value in found.items()}
        kinds = kinds or now
        _require(
            now == kinds,
            f"{spec.name}: schedule({beta:g}) gives {_kinds(now)}, and {_kinds(kinds)} at beta 0",
        )
        odd = {key: value for key, value in found.items() if not math.isfinite(value)}
        _require(not odd, f"{spec.name}: schedule({beta:g}) gives {odd}; need finite numbers")


def _kinds(kinds: Mapping[str, type]) -> str:
    return ", ".join(f"{name}: {kind.__name__}" for name, kind in kinds.items()) or "nothing"


def check_explorer(name: str, options: Mapping[str, str] | None = None) -> None:
    """An explorer proposes, within a round of discovery, a program that can be evaluated.

    Args:
        name: as `discover --explorer` says it.
        options: as `--option` gives them.
    """
    explorers.make(name, options or {})
    with tempfile.TemporaryDirectory() as folder:
        store = simulate(folder, questions=6, branches=64)
        run = discover(
            store, Path(folder) / "run", explorer=name, options=dict(options or {}), rounds=1,
            draws="reference:3", baselines=("sc",), traces=False, say=lambda line: None,
        )  # fmt: skip
        trials = run.state.trials
        _require(bool(trials), f"explorer {name} proposed nothing in a round")
        refused = [trial.errors for trial in trials if trial.errors]
        _require(
            len(refused) < len(trials), f"explorer {name} proposed what can't be: {refused[:1]}"
        )


def check_reader(reader: str | AnswerReader, examples: Mapping[str, str]) -> None:
    """An answer reader reads its examples, and nothing that a model writes stops it.

    Args:
        reader: an installed name, or the reader.
        examples: the answer by the text it is read from; "" for none.
    """
    made = installed_reader(reader) if isinstance(reader, str) else reader
    _require(bool(examples), "give some examples: the answer by the text that it is read from")
    for text, answer in examples.items():
        read = made.read(text)
        _require(read == answer, f"{text!r} is read as {read!r}, not {answer!r}")
    for text in _ODD_TEXTS:
        with _within(_READ_SECONDS, f"reading {text[:20]!r}"):
            got: object = made.read(text)
        _require(isinstance(got, str), f"{text[:20]!r} is read as {got!r}, which is no text")
        if made.opening:
            shown = made.shown(text)
            _require(isinstance(shown, str), f"{text[:20]!r} shows {shown!r}, which is no text")
    if made.same is not None:
        for answer in {*examples.values(), ""}:
            _require(made.same(answer, answer), f"{answer!r} is not the same as itself")


def check_importer(name: str, sample: Path, *, branches: int) -> None:
    """An importer finds its format by looking, reads a sample file, and names what is wrong.

    Damaged copies of the sample are refused by `StoreError`s or read, within seconds; no other
    error leaves the importer, and nothing half-written is left.

    Args:
        name: as `--format` says it.
        sample: a file of its format.
        branches: how many branches it has, over all questions.
    """
    plugins.one(plugins.IMPORTERS, name)
    for format in (None, name):
        kind = formats.format_of(sample, format, {}, formats.every_format())
        seen = kind[0].name if kind else "none"
        _require(seen == name, f"{sample.name} is taken for {seen} {_HOW[format is None]}")
        found = importing.read_recordings(sample, format=format)
        read = sum(int(one.store.pool.n_branches.sum()) for one in found)
        _require(
            read == branches,
            f"{sample.name}: {read} branches {_HOW[format is None]}, not {branches}",
        )
    content, chance = sample.read_bytes(), random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        damaged = Path(folder) / sample.name
        for k in range(_DAMAGED):
            damaged.write_bytes(_damage(content, chance))
            try:
                with _within(_IMPORT_SECONDS, f"importing a damaged {sample.name}"):
                    importing.import_recordings(damaged, out, format=name, overwrite=True)
            except AutottsError:
                continue
            except Exception as error:
                raise AssertionError(
                    f"a damaged {sample.name} (number {k}) ends in {type(error).__name__}: {error};"
                    " raise a StoreError that names the place"
                ) from error
            for one in out.rglob("manifest.json"):
                stores.load(one.parent)


def _damage(content: bytes, chance: random.Random) -> bytes:
    """A copy with some bytes changed, cut out or cut off."""
    at, length = chance.randrange(len(content)), chance.randrange(1, 40)
    match chance.randrange(3):
        case 0:
            return content[:at]
        case 1:
            return content[:at] + content[at + length :]
        case _:
            return content[:at] + chance.randbytes(length) + content[at + length :]


@contextmanager
def _within(seconds: float, what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    _require(took <= seconds, f"{what} took {took:.1f} s; at most {seconds:g} s")


def _require(holds: bool, words: str) -> None:
    if not holds:
        raise AssertionError(words)


__all__: Sequence[str] = ("check_controller", "check_explorer", "check_importer", "check_reader")
