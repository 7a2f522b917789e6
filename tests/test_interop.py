"""Exported tasks: in the shape of other frameworks, every score through a run that waits."""

import importlib.util
import json
import runpy
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import discover_toy as toy
from autotts.discovery.agents import scorer_client
from autotts.discovery.explorers.files import make, submit
from autotts.discovery.interop import FRAMEWORKS, export
from autotts.discovery.run.folder import RunFolder
from autotts.errors import RunError, SpecError
from autotts.programs.checker import problems
from autotts.simulation import simulate


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("stores"), questions=12, branches=32, seed=3)


@pytest.fixture
def run(tmp_path: Path, store: Path) -> Path:
    folder = tmp_path / "run"
    made = toy.settings(store, limits=toy.RunLimits(rounds=1), baselines=())
    RunFolder.create(folder, made)
    return folder


@contextmanager
def waiting(run: Path) -> Iterator[None]:
    """A run at work; it ends with the first submission."""
    thread = threading.Thread(target=lambda: toy.session(run, make({"wait": "60"})))
    thread.start()
    deadline = time.monotonic() + 60
    while not (run / scorer_client.SOCKET).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    try:
        yield
    finally:
        last = run / "last.py"
        last.write_text(toy.program(16, 5))
        submit(run, last, None)
        thread.join()


def tried(run: Path) -> list[Any]:
    return [e for e in toy.lines(run) if e["event"] == "tried"]


@contextmanager
def imported(path: Path) -> Iterator[ModuleType]:
    """A module of an exported task, and the modules beside it, for once."""
    before = (list(sys.path), set(sys.modules))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path[:] = before[0]
        for name in ("scoring", "autotts_client"):
            sys.modules.pop(name, None)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_framework_gets_its_files(run: Path, tmp_path: Path, framework: str) -> None:
    """No blank is left, the Python compiles, the program to begin with is allowed."""
    out = tmp_path / framework
    names = {path.name for path in export(run, framework, out)}
    always = {"README.md", "TASK.md", "autotts_client.py", "scoring.py"}
    assert names == {*FRAMEWORKS[framework], *always}
    for path in out.iterdir():
        text = path.read_text()
        assert "$run" not in text
        assert "$socket" not in text
        if path.suffix == ".py":
            compile(text, path, "exec")
    start = out / FRAMEWORKS[framework][0]
    assert problems(start.read_text()) == []
    assert str(run) in (out / "scoring.py").read_text()
    with pytest.raises(RunError, match="not empty"):
        export(run, framework, out)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(
    "name",
    [
        'r"); print("ran") #', '"""', "r'\"\\", "$(touch ran)", "`touch ran`; touch ran", "a b",
        "${run}", "{run} %s \\n", "-rf", "🙂",
    ],
)  # fmt: skip
def test_the_name_of_a_folder_is_no_code(
    tmp_path: Path, store: Path, framework: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its path is one literal of Python, and one word of a shell's command."""
    run = tmp_path / name
    RunFolder.create(run, toy.settings(store, baselines=()))
    out = tmp_path / "out"
    export(run, framework, out)
    monkeypatch.syspath_prepend(str(out))
    with imported(out / "scoring.py") as scoring:
        assert run / scorer_client.SOCKET == scoring.SOCKET
    for path in out.glob("*.py"):
        if path.name != "scoring.py":
            assert str(run) not in path.read_text()
    commands = [line for line in (out / "README.md").read_text().splitlines() if "autotts " in line]
    found = [word for line in commands for word in shlex.split(line)]
    assert found.count(str(run)) == len(commands) == 2
    assert str(run) not in (out / "README.md").read_text().replace(shlex.quote(str(run)), "")


def test_a_folder_that_no_line_can_hold_is_refused(tmp_path: Path, store: Path) -> None:
    for name in ("a\nb", "a\x1b[2J", "a\u2028b", "a\u202eb"):
        run = tmp_path / name
        RunFolder.create(run, toy.settings(store, baselines=()))
        with pytest.raises(SpecError, match="must be printable"):
            export(run, "gepa", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("framework", ["openevolve", "skydiscover"])
@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028", "\u2029", "\x0b", "\x00"])
def test_what_a_model_wrote_stays_in_its_block_of_yaml(
    tmp_path: Path, store: Path, framework: str, end: str
) -> None:
    run = tmp_path / "run"
    RunFolder.create(run, toy.settings(store, baselines=(), driver="in-process"))
    idea = f"An idea.{end}evaluator:{end}  timeout: 1{end}..."
    proposal = {"source": toy.program(), "idea": idea, "learned": idea}
    events = [
        {"event": "proposed", "round": 1, "seconds": 1.0, "proposals": [proposal]},
        {
            "event": "scored", "round": 1, "index": 0, "program": "", "counts": True,
            "errors": [idea], "remarks": [], "digest": "", "traces": "", "notes": {},
            "seconds": 1.0, "points": [], "area": 1.0, "fractions": {},
        },
    ]  # fmt: skip
    lines = (json.dumps({**event, "version": 2, "at": "", "clock": 0.0}) for event in events)
    (run / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))
    export(run, framework, tmp_path / "out")
    yaml = pytest.importorskip("yaml", reason="comes with a dependency of development")
    made = yaml.safe_load((tmp_path / "out/config.yaml").read_text())
    assert made["evaluator"]["timeout"] == 600
    assert "An idea." in made["prompt"]["system_message"]


def test_an_unknown_framework_names_the_known(run: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="openevolve, skydiscover, shinka, gepa"):
        export(run, "other", tmp_path / "out")


def test_no_answer_is_in_an_exported_task(run: Path, tmp_path: Path, store: Path) -> None:
    """Not even the place of the stores."""
    for framework in FRAMEWORKS:
        for path in export(run, framework, tmp_path / framework):
            assert str(store) not in path.read_text()


def test_gepa_searches_with_a_scripted_proposer(run: Path, tmp_path: Path) -> None:
    """GEPA's own loop: it takes what scores better, leaves what is refused, pays for no repeat."""
    pytest.importorskip("gepa", reason="gepa is a dependency of development only")
    from gepa.optimize_anything import ReflectionConfig

    out = tmp_path / "gepa"
    export(run, "gepa", out)
    (out / "initial_program.py").write_text(toy.program(6, 2))
    script = ["import os\n", toy.program(4, 1), toy.program(16, 9), toy.program(10, 5)]
    seen = []

    def propose(candidate: dict[str, str], reflective: Any, components: list[str]) -> Any:
        seen.append(json.dumps(reflective, default=str))
        return {name: script.pop(0) if script else candidate[name] for name in components}

    with waiting(run), imported(out / "optimize.py") as task:
        found = task.optimize(ReflectionConfig(custom_candidate_proposer=propose), calls=9)
        area = task.evaluate(found.best_candidate)[0]
        first = task.evaluate(toy.program(6, 2))[0]
    assert found.best_candidate == toy.program(4, 1)
    assert area > first > 0
    assert "frontier area" in seen[0]
    programs = [event["program"] for event in tried(run)]
    assert len(programs) == len(set(programs)) >= 4


def test_the_evaluators_of_the_others_score(run: Path, tmp_path: Path) -> None:
    """SkyDiscover's function and ShinkaEvolve's script; a refused program scores 0, with words."""
    sky, shinka = tmp_path / "sky", tmp_path / "shinka"
    export(run, "skydiscover", sky)
    export(run, "shinka", shinka)
    bad = tmp_path / "bad.py"
    bad.write_text("import os\n")
    good = tmp_path / "good.py"
    good.write_text(toy.program(12, 5))
    with waiting(run):
        with imported(sky / "evaluator.py") as task:
            scored, refused = task.evaluate(str(good)), task.evaluate(str(bad))
        for program, results in ((good, "good"), (bad, "bad")):
            subprocess.run(
                [sys.executable, shinka / "evaluate.py", "--program_path", program,
                 "--results_dir", tmp_path / results],
                check=True,
            )  # fmt: skip
    assert scored["combined_score"] > 0
    assert scored["accuracy_at_beta_1"] > 0
    assert refused["combined_score"] == 0
    assert "refused" in refused["feedback"]
    metrics = json.loads((tmp_path / "good/metrics.json").read_text())
    assert metrics["combined_score"] == scored["combined_score"]
    assert json.loads((tmp_path / "good/correct.json").read_text())["correct"] is True
    assert json.loads((tmp_path / "bad/correct.json").read_text())["correct"] is False
    assert len(tried(run)) == 2


def test_openevolves_evaluator_asks_for_its_own_result(run: Path, tmp_path: Path) -> None:
    """Its class of results is imported from it; without it the error says what is missing."""
    out = tmp_path / "openevolve"
    export(run, "openevolve", out)
    assert "diff_based_evolution: false" in (out / "config.yaml").read_text()
    if importlib.util.find_spec("openevolve") is None:
        with pytest.raises(ModuleNotFoundError, match="openevolve"):
            runpy.run_path(str(out / "evaluator.py"))
