"""Compiled code on disk: found again, never stale, never trusted when damaged."""

import contextlib
import errno
import os
import pickle
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from numba import types

import autotts
from autotts import stores
from autotts.engine import cache
from autotts.engine.cache import compile_cached, environment_digest
from autotts.evaluation import Experiment, evaluate
from autotts.files import cache_folder

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


@pytest.fixture
def warm_cache_dir(tmp_path, monkeypatch, simulated):
    """A cache of its own that holds the drivers, as the tests' common one does."""
    evaluate([stores.load(simulated)], ["sc"], experiment=Experiment("reference:1"))
    shutil.copytree(cache_folder(), tmp_path / "warm")
    monkeypatch.setenv("AUTOTTS_CACHE", str(tmp_path / "warm"))


def test_code_is_found_again(cache_dir):
    fresh = compile_cached(double, SIGNATURE, key="double")
    again = compile_cached(double, SIGNATURE, key="double")
    assert (hits(fresh), hits(again)) == (0, 1)
    assert (fresh(21), again(21)) == (42, 42)
    assert len(compiled_files(cache_dir)) == 1


@pytest.mark.privileges
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


def printed(code: str, folder: Path, *arguments: str) -> str:
    """What code prints that imports the package from a folder."""
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments],
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
        "import sys\n"
        "from pathlib import Path\n"
        "import autotts\n"
        "from autotts.engine.cache import environment_digest as digest\n"
        "digests = [digest()]\n"
        "for name in sys.argv[1:]:\n"
        "    with (Path(autotts.__file__).parent / name).open('a') as file:\n"
        "        file.write('# changed')\n"
        "    digest.cache_clear()\n"
        "    digests.append(digest())\n"
        "print(autotts.__file__, len(set(digests)))\n"
    )
    folders = [
        file for part in ("control", "engine") for file in sorted((package / part).iterdir())
    ]
    files = [package / "votes.py", package / "replay/log.py", *folders]
    names = [str(file.relative_to(package)) for file in files if file.suffix == ".py"]
    assert "control/requests.py" in names
    found = printed(code, tmp_path, *names)
    assert found == f"{package / '__init__.py'} {1 + len(names)}\n"


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


def bytes_of(folder):
    return {file.name: file.read_bytes() for file in compiled_files(folder)}


@pytest.mark.privileges
def test_a_folder_that_can_not_be_written_costs_only_time_and_is_said_once(cache_dir, capsys):
    cache_dir.write_text("a file where the folder should be")
    for key in "ab":
        assert compile_cached(double, SIGNATURE, key=key)(21) == 42
    said = capsys.readouterr().err
    assert said.count("compiles it again") == 1
    assert str(cache_dir) in said
    assert "Set AUTOTTS_CACHE to a folder" in said


def test_a_full_disk_costs_only_time_and_is_said_once(cache_dir, capsys, monkeypatch):
    @contextlib.contextmanager
    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        yield

    monkeypatch.setattr(cache, "whole", full)
    for key in "ab":
        assert compile_cached(double, SIGNATURE, key=key)(21) == 42
    assert capsys.readouterr().err.count("No space left on device") == 1


@pytest.mark.privileges
def test_a_new_folder_is_the_users_alone_whatever_the_umask(cache_dir):
    before = os.umask(0o002)
    try:
        compile_cached(double, SIGNATURE, key="double")
    finally:
        os.umask(before)
    assert stat.S_IMODE(cache_dir.stat().st_mode) == 0o700
    assert hits(compile_cached(double, SIGNATURE, key="double")) == 1


def opened_to_all(folder, monkeypatch):
    folder.chmod(0o1777)  # as /tmp is


def opened_to_the_group(folder, monkeypatch):
    folder.chmod(0o770)


def given_away(folder, monkeypatch):
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    os.chown(folder, 65534, 65534)


def looked_at_by_another_user(folder, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)


def behind_a_link(folder, monkeypatch):
    elsewhere = folder.with_name("elsewhere")
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    elsewhere.chmod(0o777)


@pytest.mark.privileges
@pytest.mark.parametrize(
    "spoil",
    [opened_to_all, opened_to_the_group, given_away, looked_at_by_another_user, behind_a_link],
)
def test_a_folder_that_others_may_write_to_is_neither_read_nor_written(
    cache_dir, monkeypatch, capsys, spoil
):
    """What is loaded is unpickled and run, so whoever may write there could run code as us."""
    compile_cached(double, SIGNATURE, key="double")
    spoil(cache_dir, monkeypatch)
    before = bytes_of(cache_dir)
    with monkeypatch.context() as patch:
        patch.setattr(pickle, "loads", lambda content: pytest.fail("it was unpickled"))
        again = compile_cached(double, SIGNATURE, key="double")
    assert (hits(again), again(21)) == (0, 42)
    compile_cached(double, SIGNATURE, key="other")
    assert bytes_of(cache_dir) == before
    assert capsys.readouterr().err.count("can be written by others") == 1


def opened_file(file, monkeypatch):
    file.chmod(0o666)


def given_file(file, monkeypatch):
    given_away(file, monkeypatch)


def linked_file(file, monkeypatch):
    elsewhere = file.with_name("elsewhere")
    file.rename(elsewhere)
    file.symlink_to(elsewhere)


@pytest.mark.privileges
@pytest.mark.parametrize("spoil", [opened_file, given_file, linked_file])
def test_a_file_that_others_may_write_to_is_not_read(cache_dir, monkeypatch, spoil):
    """It is a miss, and a file of our own takes its place."""
    compile_cached(double, SIGNATURE, key="double")
    (file,) = compiled_files(cache_dir)
    spoil(file, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(pickle, "loads", lambda content: pytest.fail("it was unpickled"))
        again = compile_cached(double, SIGNATURE, key="double")
    assert (hits(again), again(21)) == (0, 42)
    assert hits(compile_cached(double, SIGNATURE, key="double")) == 1


def test_of_numba_only_what_found_code_needs_is_loaded(cache_dir):
    """Nothing, or all of it where a symbol is missing. Strings are hashed with secrets of the
    process: symbols that a module of Numba's adds."""
    code = (
        "import sys\n"
        "from numba import types\n"
        "from autotts.engine import cache\n"
        "if sys.argv[1:]: cache.llvmlite.binding.address_of_symbol = lambda name: None\n"
        "def count(n):\n"
        "    return len(set([str(i) for i in range(n)]))\n"
        "found = cache.compile_cached(count, types.int64(types.int64), key='count')\n"
        "whole = 'numba.np.linalg' in sys.modules\n"
        "print(sum(found.stats.cache_hits.values()), found(9), whole)\n"
    )

    def printed(*arguments):
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert printed() == "0 9 True\n"
    assert printed() == "1 9 False\n"
    assert printed("a symbol is missing") == "1 9 True\n"


def test_no_key_is_no_file(cache_dir):
    assert compile_cached(double, SIGNATURE, key=None)(21) == 42
    assert not cache_dir.exists()


def test_constants_of_a_schedule_compile_nothing(tmp_path, monkeypatch, simulated, trust):
    def run(spec):
        evaluate([stores.load(simulated)], [spec], experiment=Experiment("reference:1"))
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


def test_code_from_the_cache_is_that_of_its_own_program(warm_cache_dir, simulated, save):
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
        "from autotts.evaluation import Experiment, evaluate\n"
        "for name in sys.argv[2:]:\n"
        "    spec = programs.Spec(name, programs.read(Path(name), trusted=True), 0.5, {})\n"
        "    store, one = stores.load(sys.argv[1]), Experiment('reference:1')\n"
        "    ran = evaluate([store], [spec], experiment=one)\n"
        "    print(int(ran.episodes['width'].max()))\n"
    )

    def widths(*programs):
        command = [sys.executable, "-c", code, str(simulated), *map(str, programs)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    one, other = files
    assert widths(one) == ["4"]
    assert widths(other, one) == ["7", "4"]
