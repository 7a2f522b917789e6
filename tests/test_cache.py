"""Compiled code on disk: found again, never stale, never trusted when damaged."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from numba import types

import autotts
from autotts import stores
from autotts.engine.cache import cache_folder, compile_cached, environment_digest
from autotts.evaluation import Settings, evaluate

SIGNATURE = types.int64(types.int64)
PROGRAM = """
def schedule(beta):
    return {"width": 3}

def solve(env, p):
    env.branch(p.width)
    env.finish(env.active())
    return env.vote()
"""
WIDE = """
def wide(width):
    return width
"""


def double(x):
    return x * 2


def hits(dispatcher):
    return sum(dispatcher.stats.cache_hits.values())


def compiled_files(folder):
    return sorted(folder.rglob("*.compiled"))


def test_code_is_found_again(cache_dir):
    fresh = compile_cached(double, SIGNATURE, key="double")
    again = compile_cached(double, SIGNATURE, key="double")
    assert (hits(fresh), hits(again)) == (0, 1)
    assert (fresh(21), again(21)) == (42, 42)
    assert len(compiled_files(cache_dir)) == 1


def test_another_process_finds_it(cache_dir):
    code = (
        "from numba import types\n"
        "from autotts.engine.cache import compile_cached\n"
        "def double(x): return x * 2\n"
        "found = compile_cached(double, types.int64(types.int64), key='double')\n"
        "print(sum(found.stats.cache_hits.values()), found(21))\n"
    )
    command = [sys.executable, "-c", code]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in "ab"
    )
    assert (first, second) == ("0 42\n", "1 42\n")
    assert len(compiled_files(cache_dir)) == 1


@pytest.mark.parametrize(
    "change", [{"key": "other"}, {"signature": types.float64(types.float64)}, {"boundscheck": True}]
)
def test_what_makes_other_code_is_in_its_key(cache_dir, change):
    compile_cached(double, SIGNATURE, key="double")
    other = {"signature": SIGNATURE, "key": "double", **change}
    assert hits(compile_cached(double, **other)) == 0
    assert len(compiled_files(cache_dir)) == 2


def printed(code: str, folder: Path) -> str:
    """What code prints that imports the package from a folder."""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout


def test_a_change_of_the_environment_is_a_new_key(tmp_path):
    """In a copy of the package, whose sources are changed one by one."""
    package = tmp_path / "autotts"
    shutil.copytree(Path(autotts.__file__).parent, package)
    code = (
        "from pathlib import Path\n"
        "import autotts\n"
        "from autotts.engine.cache import environment_digest as digest\n"
        "digests = [digest()]\n"
        "from autotts.engine.cache import _SOURCES\n"
        "for name in _SOURCES:\n"
        "    with (Path(autotts.__file__).parent / name).open('a') as file:\n"
        "        file.write('# changed')\n"
        "    digest.cache_clear()\n"
        "    digests.append(digest())\n"
        "print(autotts.__file__, len(set(digests)) - len(_SOURCES))\n"
    )
    assert printed(code, tmp_path) == f"{package / '__init__.py'} 1\n"


def test_another_python_is_a_new_key(monkeypatch):
    here = environment_digest()
    environment_digest.cache_clear()
    monkeypatch.setattr(sys.implementation, "cache_tag", "other-1")
    assert environment_digest() != here
    environment_digest.cache_clear()


@pytest.mark.parametrize("half", ["broker", "guest/blind", "wire/frames"])
def test_a_change_of_any_part_is_a_new_key_of_the_sandbox_s_kernels(tmp_path, half):
    """In a copy of the package: constants of one are compiled into the other."""
    package = tmp_path / "autotts"
    shutil.copytree(Path(autotts.__file__).parent, package)
    code = "from autotts.sandbox.wire import kernel; print(kernel.sources_digest())"
    before = printed(code, tmp_path)
    with (package / "sandbox" / f"{half}.py").open("a") as file:
        file.write("# changed")
    assert printed(code, tmp_path) != before


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:20],
        lambda content: content[:-1],
        lambda content: content[:400] + bytes([content[400] ^ 1]) + content[401:],
        lambda content: b"\x80\x04cos\nsystem\n(S'exit 1'\ntR.",
    ],
    ids=["empty", "head only", "cut short", "a bit turned", "another pickle"],
)
def test_a_damaged_file_is_a_miss_and_written_anew(cache_dir, damage):
    compile_cached(double, SIGNATURE, key="double")
    (file,) = compiled_files(cache_dir)
    file.write_bytes(damage(file.read_bytes()))
    again = compile_cached(double, SIGNATURE, key="double")
    assert (hits(again), again(21)) == (0, 42)
    assert hits(compile_cached(double, SIGNATURE, key="double")) == 1


def test_a_folder_that_can_not_be_written_costs_only_time(cache_dir):
    cache_dir.write_text("a file where the folder should be")
    assert compile_cached(double, SIGNATURE, key="double")(21) == 42


def test_no_key_is_no_file(cache_dir):
    assert compile_cached(double, SIGNATURE, key=None)(21) == 42
    assert not cache_dir.exists()


def test_constants_of_a_schedule_compile_nothing(tmp_path, monkeypatch, simulated, trust):
    def run(spec):
        evaluate([stores.load(simulated)], [spec], settings=Settings(draws="reference:1"))
        return compiled_files(tmp_path)

    run("sc")  # so that the driver is compiled before its cache is out of reach
    monkeypatch.setenv("AUTOTTS_CACHE", str(tmp_path))
    assert len(run(trust(PROGRAM))) == 1
    assert len(run(trust(PROGRAM.replace("3", "5")))) == 1
    assert len(run(trust(PROGRAM.replace("env.vote()", "-1")))) == 2


def test_the_folder_is_the_one_named_or_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("AUTOTTS_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("AUTOTTS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "autotts"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "autotts"


def test_code_from_the_cache_is_that_of_its_own_program(cache_dir, simulated, save):
    """Though another program, compiled first, has functions of the same names.

    Numba numbers functions as a process makes them, so two processes give different programs the
    same symbols; code found on disk must not be linked to a namesake that is there already.
    """
    files = [
        save(PROGRAM.replace("p.width", f"wide({width})") + WIDE, f"{name}.py")
        for name, width in (("one", 4), ("other", 7))
    ]
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from autotts import programs, stores\n"
        "from autotts.evaluation import Settings, evaluate\n"
        "for name in sys.argv[2:]:\n"
        "    spec = programs.Spec(name, programs.read(Path(name), trusted=True), 0.5, {})\n"
        "    ran = evaluate([stores.load(sys.argv[1])], [spec], settings=Settings('reference:1'))\n"
        "    print(int(ran.episodes['width'].max()))\n"
    )

    def widths(*programs):
        command = [sys.executable, "-c", code, str(simulated), *map(str, programs)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    one, other = files
    widths(one)  # compiles the driver too, where nobody did
    for file in (one, other):
        file.write_text(file.read_text() + f"\nAGAIN = {file.stem!r}\n")
    assert widths(one) == ["4"]
    assert widths(other, one) == ["7", "4"]
