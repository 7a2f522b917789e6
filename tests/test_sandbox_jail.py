"""The jail of agents: one property a test, with namespaces and without, as root and as a user."""

import errno
import functools
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import kernel
from autotts.discovery.agents import attempts, probe
from autotts.discovery.agents.attempts import Outside
from autotts.sandbox.confine import jail, namespaces
from autotts.sandbox.confine.namespaces import Namespaces
from autotts.sandbox.confine.tier import import_path

pytestmark = [
    pytest.mark.privileges,
    pytest.mark.skipif(jail.missing() is not None, reason=str(jail.missing())),
]

UNSHARE = {"x86_64": 272, "aarch64": 97}
NAMES = list(attempts.attempts(Outside("", "", "", "", 1), network=False))
OPEN_WITHOUT = {
    "reach a socket of another program": "files",
    "signal another process": "processes",
}
"""What a layer alone holds that a machine may lack."""

FORBID = """
import errno, sys
from autotts.sandbox.confine import seal
if sys.argv[1] == "without":
    # As a container does, or a distribution: no namespace is to be had.
    seal.load_libc().prctl(38, 1, 0, 0, 0)
    seal.filter_calls(
        seal.instruction(seal.LOAD, seal.NUMBER)
        + seal.instruction(seal.EQUAL, int(sys.argv[2]), 0, 1)
        + seal.instruction(seal.RETURN, seal.ERRNO | errno.EPERM)
        + seal.instruction(seal.RETURN, seal.ALLOW)
    )
"""


def under(how: str, code: str, *arguments: str) -> str:
    """What code prints in a process of its own that may make namespaces, or may not."""
    number = str(UNSHARE[platform.machine()])
    ran = subprocess.run(
        [sys.executable, "-c", FORBID + code, how, number, *arguments],
        env={"PYTHONPATH": import_path(), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@functools.cache
def reached(how: str, network: bool) -> probe.Reached:
    code = """
import json
from dataclasses import asdict
from autotts.discovery.agents import probe
print(json.dumps(asdict(probe.reach(network=sys.argv[3] == "open"))))
"""
    told = json.loads(under(how, code, "open" if network else "closed"))
    return probe.Reached(told["layers"], tuple(told["breaches"]))


@pytest.mark.parametrize("network", [False, True], ids=["closed", "open"])
@pytest.mark.parametrize("how", ["with", "without"])
@pytest.mark.parametrize("name", NAMES)
def test_a_jailed_agent_cannot(name: str, how: str, network: bool) -> None:
    """With namespaces, where they are to be had, and without; where it can, a layer says so."""
    found = reached(how, network)
    if network and name == "make a network socket":
        pytest.skip("the network was asked for")
    layer = OPEN_WITHOUT.get(name)
    if layer is not None and found.layers[layer].startswith("off"):
        pytest.skip(f"{layer}: {found.layers[layer]}")
    if (
        name == "reach an abstract socket of another program"
        and "abstract" in (found.layers["network"])
    ):
        pytest.skip(f"network: {found.layers['network']}")
    assert name not in found.breaches


def test_without_namespaces_the_layer_says_what_is_open() -> None:
    """A breach that is found is one that a layer names: no more is promised than holds."""
    found = reached("without", network=False)
    assert found.layers["files"].startswith("off: sockets of other programs can be reached")
    assert "unshare" in found.layers["files"]
    assert set(found.breaches) <= set(OPEN_WITHOUT)
    assert "could reach a socket of another program" in found.explain()


UNJAILED = """
import json, os
from dataclasses import asdict
from autotts.discovery.agents import attempts, probe
import contextlib, pathlib, subprocess
base = pathlib.Path(sys.argv[3])
os.chdir(base)
with contextlib.ExitStack() as on:
    there = asdict(probe._set_up(base, on))
    orders = json.dumps({"outside": there, "network": False})
    done = subprocess.run([sys.executable, "-I", attempts.__file__, orders], stdout=-1, check=True)
print(done.stdout.decode())
"""


def test_without_a_jail_each_of_these_is_done(tmp_path: Path) -> None:
    """So the attempts are real: outside a jail all come to something that the system allows."""
    done = json.loads(under("with", UNJAILED, str(tmp_path)))
    missed = set(NAMES) - set(done)
    # Root sets what a user may not; a file system may lack attributes or flags.
    assert missed <= {
        "change the attributes of a file",
        "change the flags of an open file",
        "trace another process",
        "unlock a read-only mount",
        "read another process's memory",
    }


WORK = """
import json, os
from pathlib import Path
from autotts.discovery.agents.process import run_agent
from autotts.discovery.agents.scorer_server import ScorerSocket, TryAllowance
from autotts.sandbox.confine import jail
here = Path(sys.argv[3])
(here / "tmp").mkdir()
environment = {"PATH": os.environ["PATH"], "HOME": str(here), "TMPDIR": str(here / "tmp")}
opened = jail.Jail(
    (*jail.SYSTEM, sys.prefix, sys.base_prefix, *os.environ["PATH"].split(":"), *sys.argv[5:]),
    (str(here),), False)
with ScorerSocket(here / "s", lambda source: None, TryAllowance()) as scorer:
    ended = run_agent(["sh", "-ec", sys.argv[4]], folder=here, stdin=Path("/dev/null"),
                      environment=environment, timeout_seconds=60, jail=opened, scorer=scorer)
print(json.dumps([ended.exit, ended.output, ended.left]))
"""


def work(how: str, folder: Path, script: str, *read: str) -> tuple[int | None, str, int]:
    """Run a shell script as an agent: its exit code, output, and what it left running."""
    exit, output, left = json.loads(under(how, WORK, str(folder), script, *read))
    return exit, output, left


@pytest.mark.parametrize("how", ["with", "without"])
@pytest.mark.parametrize(
    "script",
    [
        "echo a > f; cp -p f g; touch -d 2020-01-01 f; tar cf t f g; mkdir y; tar xf t -C y",
        "git init -q .; echo a > f; git add f; git -c user.name=a -c user.email=b commit -qm c",
        "echo 'echo hi' > f; chmod +x f; sh f; (sleep 0.01 & wait); mktemp; echo x > /dev/null",
        f'{sys.executable} -c \'import shutil; open("f", "w").close(); shutil.copy2("f", "g")\'',
        f'{sys.executable} -c \'import subprocess; subprocess.run(["ls", "/usr"], check=True)\'',
        f"{sys.executable} -c 'import threading, resource; resource.setrlimit(4, (0, 0))'",
    ],
)
def test_an_agent_can_work(how: str, script: str, tmp_path: Path) -> None:
    """Programs that copy, unpack, commit, start others and limit themselves go on as usual."""
    exit, output, _ = work(how, tmp_path, script)
    assert exit == 0, output


def test_with_namespaces_its_own_files_have_modes_and_times(tmp_path: Path) -> None:
    """They are the file system's, not a pretence, and executables can be executed."""
    if reached("with", network=False).layers["files"].startswith("off"):
        pytest.skip(reached("with", network=False).layers["files"])
    script = "printf '#!/bin/sh\\necho made' > f; chmod 700 f; ./f; touch -d 1999-01-01 f"
    exit, output, _ = work("with", tmp_path, script)
    assert (exit, output) == (0, "made\n")
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "f").stat().st_mtime < 1e9


@pytest.mark.parametrize("how", ["with", "without"])
def test_programs_are_found_by_links_through_closed_folders(how: str, tmp_path: Path) -> None:
    """As version managers and installers set them up."""
    (tmp_path / "a/v1/bin").mkdir(parents=True)
    (tmp_path / "own").mkdir()
    (tmp_path / "a/v1/bin/tool").write_text("#!/bin/sh\necho found\n")
    (tmp_path / "a/v1/bin/tool").chmod(0o755)
    (tmp_path / "a/current").symlink_to("v1")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    program = tmp_path / "b/current/bin/tool"
    assert work(how, tmp_path / "own", str(program), str(program.parent))[:2] == (0, "found\n")


@pytest.mark.parametrize("how", ["with", "without"])
def test_how_it_ends_is_told(how: str, tmp_path: Path) -> None:
    """Its exit code, the signal that ended it, and what it left running."""
    for name, script, code in (
        ("a", "exit 7", 7),
        ("b", "kill -9 $$", -9),
        ("c", "(sleep 60 &) ; exit 0", 0),
    ):
        (tmp_path / name).mkdir()
        exit, output, left = work(how, tmp_path / name, script)
        assert (exit, output) == (code, "")
        assert left == (1 if name == "c" else 0)


@pytest.mark.parametrize("column", kernel.HEADERS, ids=["x86-64", "aarch64"])
def test_numbers_of_system_calls_are_the_kernel_s(column: int) -> None:
    """Held against the kernel's own headers, as far as they know a call."""
    if not kernel.HEADERS[column].is_file():
        pytest.skip(f"no {kernel.HEADERS[column]}")
    numbers = kernel.numbers(column)
    itself = {name: known for name, (known, _) in jail.OF_ITSELF.items()}
    more = {"socket": jail._SOCKET, "ioctl": jail._IOCTL, "pivot_root": namespaces._PIVOT_ROOT}
    for table in (jail.REFUSED, jail.PRETENDED, jail.ATTRIBUTES, itself, more):
        for name, known in table.items():
            if column == 1 and known[1] is None:
                assert name not in numbers
            elif name in numbers:
                assert known[column] == numbers[name], name
    for name, number in (("open_tree", 428), ("move_mount", 429), ("mount_setattr", 442)):
        assert numbers.get(name, number) == number


def test_what_cannot_be_had_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """Step by step less, and the reason of the first that failed."""
    tried = []

    def attempt(wanted: Namespaces, read: object, write: object) -> str:
        tried.append(wanted)
        return "" if len(tried) > 2 else f"failure {len(tried)}"

    monkeypatch.setattr(namespaces, "_attempt", attempt)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found, reason = namespaces.find([], [], closed=True)
    assert found == Namespaces(user=False, processes=False, network=True)
    assert reason == "failure 1"
    monkeypatch.setattr(namespaces, "_attempt", lambda *_: "never")
    assert namespaces.find([], [], closed=True) == (None, "never")


def test_an_attempt_that_is_killed_or_fails_is_none() -> None:
    """Some containers kill who makes a call that they don't allow."""

    def fails() -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    assert namespaces._in_a_child(lambda: None) == ""
    assert namespaces._in_a_child(lambda: os.kill(os.getpid(), 9)) == "not allowed here"
    assert "forbids it" in namespaces._in_a_child(fails)


def test_elsewhere_no_agent_is_jailed(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the doctor says why."""
    monkeypatch.setattr(jail.sys, "platform", "darwin")
    assert "Landlock is a part of Linux" in str(jail.missing())
    assert "jail=off" in probe.reach().explain()
