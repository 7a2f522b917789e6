"""The seal: what it takes away, what it says, and that it fails closed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import kernel
from attacks import HONEST, toy
from autotts.errors import SandboxError
from autotts.sandbox.confine import seal
from autotts.sandbox.confine.tier import Tier, import_path, reach
from autotts.sandbox.sandbox import Sandbox
from autotts.sandbox.worker import Zygote

pytestmark = pytest.mark.privileges
needs_linux = pytest.mark.skipif(seal.supported() is not None, reason=str(seal.supported()))


def sealed(code: str, *arguments: str) -> str:
    """What code prints that runs sealed but for the layers named, in a process of its own."""
    text = (
        "import mmap, os, sys\nfrom autotts.sandbox.confine import seal\nseal.load_libc()\n"
        f"layers = seal.seal(seal.Limits(), frozenset(sys.argv[1:]))\n{code}\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", text, *arguments],
        env={"PYTHONPATH": import_path()},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout + ran.stderr + f"status {ran.returncode}"


@needs_linux
def test_the_seal_holds_here():
    tier = reach()
    assert tier.sealed
    assert tier.breaches == ()
    assert tier.layers["seccomp"].startswith("on")


@needs_linux
def test_computing_still_works():
    assert sealed("print(sum(range(10)), layers['seccomp'][:2])") == "45 on\nstatus 0"


@needs_linux
@pytest.mark.parametrize(
    "attempt",
    [
        "open('/dev/null')",
        "os.stat('/')",
        "os.fork()",
        "os.kill(1, 0)",
        "os.urandom(8)",
        "os.pipe()",
        "os.dup(1)",
        "os.sched_setaffinity(0, {0})",
        "os.nice(-1)",
        "os.setuid(0)",
    ],
)
def test_calls_that_are_not_allowed_fail(attempt):
    text = f"try:\n    {attempt}\nexcept OSError as error:\n    print(type(error).__name__)"
    said = sealed(text)
    assert "Error" in said
    assert said.endswith("status 0")


@needs_linux
def test_no_lock_tells_which_processes_there_are():
    """One that lends its priority looks for the process whose number it holds."""
    number = seal.ALLOWED["futex"][seal.MACHINES[os.uname().machine][0]]
    said = sealed(
        "import ctypes, errno\n"
        "word = ctypes.c_uint32()\n"
        "def ask(command, pid):\n"
        "    word.value = pid\n"
        f"    call = seal.load_libc().syscall({number}, ctypes.byref(word), command, 0, 0, 0, 0)\n"
        "    return errno.errorcode[ctypes.get_errno()] if call < 0 else call\n"
        f"print([ask(c, pid) for c in (8, 8 | 128, 7) for pid in ({os.getpid()}, 1 << 29)])\n"
        "print(ask(0, 1), ask(1, 1))"
    )
    assert said == f"{['EPERM'] * 6}\nEAGAIN 0\nstatus 0"


@needs_linux
@pytest.mark.parametrize("name", seal.KILLED)
def test_calls_that_nobody_makes_by_accident_kill(name):
    number = seal.KILLED[name][seal.MACHINES[os.uname().machine][0]]
    said = sealed(f"seal.load_libc().syscall({number}, 0, 0, 0, 0, 0, 0)\nprint('alive')")
    assert "alive" not in said
    assert said.endswith("status -31")


@needs_linux
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="32-bit calls of x86-64")
def test_calls_of_another_abi_kill():
    said = sealed("seal.load_libc().syscall(0x40000000 | 39)\nprint('alive')")
    assert "alive" not in said


@needs_linux
def test_executable_pages_only_for_the_compiler():
    said = sealed(
        "try:\n    mmap.mmap(-1, 4096, prot=7)\nexcept OSError as error:\n    print(error)"
    )
    assert "Permission denied" in said
    assert seal.build_filter(exec_pages=True) != seal.build_filter(exec_pages=False)


@needs_linux
def test_without_seccomp_it_is_not_sealed():
    said = sealed("print(layers['seccomp'], '|', seal.breaches())", "seccomp", "limits")
    assert said.startswith("off: left out |")
    assert "fork" in said


@pytest.mark.parametrize("column", kernel.HEADERS, ids=["x86-64", "aarch64"])
def test_numbers_of_system_calls_are_the_kernel_s(column):
    """Held against the kernel's own headers, where they are installed."""
    if not kernel.HEADERS[column].is_file():
        pytest.skip(f"no {kernel.HEADERS[column]}")
    numbers = kernel.numbers(column)
    for table in (seal.ALLOWED, seal.KILLED, {"tgkill": seal._TGKILL}):
        for name, values in table.items():
            assert values[column] == numbers[name], name
    for name, values in (("seccomp", seal._SECCOMP), ("capset", seal._CAPSET)):
        assert values[column] == numbers[name]


def test_no_allowed_call_names_a_file_a_process_or_an_address():
    named = "open stat access link chdir mount socket connect bind send recv kill fork exec clone"
    assert not [call for call in seal.ALLOWED if any(word in call for word in named.split())
                and call != "fstat"]  # fmt: skip


def test_another_system_is_unsupported(monkeypatch):
    """There nothing is sealed, and generated code is refused."""
    monkeypatch.setattr(seal.sys, "platform", "darwin")
    assert "seccomp is a part of Linux" in seal.supported()
    monkeypatch.setattr(seal.sys, "platform", "linux")
    monkeypatch.setattr(seal.platform, "machine", lambda: "riscv64")
    assert "no table of system calls for riscv64" in seal.supported()


def test_a_tier_explains_itself():
    good = Tier({"limits": "on", "seccomp": "on: 42 calls allowed"}, ())
    assert good.sealed
    assert str(good) == "sealed (limits, seccomp: 42 calls allowed)"
    assert "refused" not in good.explain()
    for bad in (
        Tier({"seccomp": "off: Operation not permitted"}, ()),
        Tier({"seccomp": "on"}, ("open a file",)),
        Tier({}, ()),
    ):
        assert not bad.sealed
        assert bad.name == "unsealed"
        assert "--unsafe-no-sandbox" in bad.explain()


@needs_linux
def test_the_seal_as_a_command_is_read_by_the_doctor():
    ran = subprocess.run(
        [sys.executable, "-m", "autotts.sandbox.confine.seal"],
        env={"PYTHONPATH": import_path()},
        capture_output=True,
        check=True,
    )
    assert json.loads(ran.stdout)["breaches"] == []


@needs_linux
def test_a_worker_starts_with_nothing():
    """No environment, no file but its own, no thread, a session of its own."""
    with toy.zygote().fork(seal.Limits()) as worker:
        tier = worker.hello()
        process = Path(f"/proc/{worker.pid}")
        status = dict(
            line.split(":\t", 1) for line in (process / "status").read_text().splitlines()
        )
    assert tier.sealed
    assert status["Threads"] == "1"
    assert status["Seccomp"] == "2"
    assert status["NoNewPrivs"] == "1"
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert status["Uid"].split()[0] != "0"


@needs_linux
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look at another user's process")
def test_a_worker_holds_no_open_file_but_its_channel():
    with toy.zygote().fork(seal.Limits()) as worker:
        worker.hello()
        files = Path(f"/proc/{worker.pid}/fd")
        assert sorted(int(entry.name) for entry in files.iterdir()) == [0, 1, 2, 3]
        environment = Path(f"/proc/{worker.pid}/environ").read_text().split("\0")
    names = {entry.split("=")[0] for entry in environment if entry}
    assert names <= {"PYTHONPATH", "PYTHONHASHSEED", "AUTOTTS_CACHE", "LANG"} | {
        f"{library}_NUM_THREADS" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")
    }


@needs_linux
def test_a_zygote_that_dies_is_replaced_and_takes_its_workers_along():
    box = Sandbox()
    worker = box.zygote.fork(seal.Limits())
    worker.hello()
    pid = worker.pid
    kill(box)
    with pytest.raises(SandboxError, match="fork server"):
        worker.end()
    worker._close()
    deadline = time.monotonic() + 10
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone(pid)
    with box:
        (ran,) = box.run(toy.played(toy.program(HONEST), toy.make_cell(n_draws=1)), mode="blind")
    assert np.all(ran.episodes.column("width") == 4)


@needs_linux
def test_code_that_is_kept_goes_with_the_zygote_it_came_from():
    with Sandbox() as box:
        for _ in range(2):
            (ran,) = box.run(toy.played(toy.program(HONEST), toy.make_cell(n_draws=1)))
            assert ran.how.driver == "sealed"
            kill(box)


@needs_linux
def test_a_fork_server_is_left_to_the_next_sandbox_when_its_workers_are_gone(monkeypatch, tmp_path):
    """Not with a worker that nobody ended, not to a fork of this process or for another cache."""
    with Sandbox() as box:
        first = box.zygote
    with Sandbox() as box:
        assert box.zygote is first
        with first.fork(seal.Limits()) as worker:
            worker.hello()
    with Sandbox() as box:
        assert box.zygote is first
        worker = first.fork(seal.Limits())
    assert not first.alive
    worker._close()
    with Sandbox() as box:
        second = box.zygote
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1)
        other = Zygote.take()
    other.close()
    assert other is not second
    monkeypatch.setenv("AUTOTTS_CACHE", str(tmp_path))
    with Sandbox() as box:
        assert box.zygote is not second
        box.zygote.close()
    assert not second.alive


def kill(box: Sandbox) -> None:
    """End a sandbox's fork server; the next that is asked for is another."""
    process = box.zygote._process
    process.kill()
    process.wait()


def gone(pid: int) -> bool:
    """Whether a process is at most waiting to be reaped by somebody."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"
