"""What programs must not be able to do; one property per test.

They are handed to the worker directly: the source check, which refuses nearly all of them, is
not the boundary. An attack counts as stopped if it neither gets through nor changes a result:
the program fails, or gives exactly what the honest one gives.
"""

import os
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attacks import (
    BREACH,
    HONEST,
    PLACES,
    at_import,
    cheats,
    harm,
    in_solve,
    program,
    reach,
    toy,
)  # fmt: skip
from autotts.errors import AutottsError, ControllerError, ProgramError, SandboxError
from autotts.programs.checker import problems
from autotts.replay.episodes import Episodes
from autotts.sandbox.blind_run import run_blind
from autotts.sandbox.compiled_run import EpisodeFailed
from autotts.sandbox.confine import seal

pytestmark = pytest.mark.skipif(
    seal.supported() is not None, reason=f"no process can be sealed here: {seal.supported()}"
)

SECRET = "gold-answer-204-and-key"
CELL = toy.make_cell(n_draws=2)
OTHER_ENDS = (AutottsError, EpisodeFailed)


@pytest.fixture
def target(tmp_path, monkeypatch):
    """Things outside to reach for, and a function that fills their names into an attack."""
    canary, folder = tmp_path / "gold.json", tmp_path / "open"
    canary.write_text(SECRET)
    canary.chmod(0o666)
    folder.mkdir()
    folder.chmod(0o777)
    tmp_path.chmod(0o777)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        port = server.getsockname()[1]
        local.bind(f"\0autotts-test-{port}")
        local.listen()
        names = {
            "CANARY": str(canary),
            "FOLDER": str(folder),
            "PORT": str(port),
            "PARENT": str(os.getpid()),
            "REVERSED": SECRET[::-1],
            "SECRET": SECRET,
        }

        def fill(text: str) -> str:
            for name, value in names.items():
                text = text.replace(name, value)
            return text

        yield fill
    assert canary.read_text() == SECRET
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def honest() -> Episodes:
    """What the honest program gives."""
    return toy.compiled(toy.program(HONEST), CELL).episodes[0]


def ran_blind(text: str, **how: Any) -> tuple[str, np.ndarray | None]:
    """What a program printed, or the error it ended with, and what it scored if it did not."""
    try:
        run = toy.blind(toy.program(text), CELL, **how)
    except OTHER_ENDS as error:
        return str(error), None
    return run.text, run.results


def assert_stopped(ran: tuple[str, np.ndarray | None], honest: Episodes) -> None:
    said, results = ran
    assert BREACH not in said
    assert results is None or np.array_equal(results, honest.results)


@pytest.mark.privileges
@pytest.mark.parametrize("name", reach.ATTACKS)
def test_nothing_outside_is_reached_from_an_episode(name, target, honest):
    """Not from an interpreted episode, whatever Python can do."""
    assert_stopped(ran_blind(target(in_solve(reach.ATTACKS[name]))), honest)


@pytest.mark.privileges
@pytest.mark.parametrize("name", reach.ATTACKS)
def test_nothing_outside_is_reached_from_the_compiler_s_worker(name, target):
    """Not by what runs when the program is loaded, where pages may be made executable."""
    source = toy.program(target(at_import(reach.ATTACKS[name])))
    try:
        said = toy.load_beside_data(source, CELL)
    except AutottsError as error:
        said = str(error)
    assert BREACH not in said


@pytest.mark.parametrize("place", PLACES)
def test_it_does_not_matter_where_the_attack_stands(place, target, honest):
    """Decorators, defaults, the module level and schedule run sealed like the rest."""
    attack = reach.ATTACKS["read the gold file"]
    assert_stopped(ran_blind(target(PLACES[place](attack))), honest)


@pytest.mark.privileges
@pytest.mark.parametrize("without", ["seccomp", "landlock", "limits", "uid"])
@pytest.mark.parametrize("name", reach.FILES)
def test_no_single_layer_keeps_the_files(name, without, target, honest):
    """Landlock without seccomp, seccomp without Landlock: either is enough."""
    if without == "seccomp" and name in UNSEEN_BY_LANDLOCK:
        pytest.skip("Landlock does not see this one")
    ran = ran_blind(target(in_solve(reach.ATTACKS[name])), unsafe=True, without=[without])
    assert_stopped(ran, honest)


UNSEEN_BY_LANDLOCK = (
    "ask whether a file exists",
    "make a shared memory file",
    "change its working folder",
)


@pytest.mark.privileges
@pytest.mark.parametrize("name", cheats.TAMPER)
def test_what_the_worker_tells_itself_counts_for_nothing(name, target, honest):
    """Cost, depth and score come from the trusted side's own record."""
    _, results = ran_blind(target(program(cheats.TAMPER[name])))
    if results is None:
        return
    # What got through is a legal program: it opened branches, paid for them, saw its answer.
    assert (results[:, 2] >= 4 * CELL.task.pool.interval).all()
    assert (results[:, 5] == 4).all()


@pytest.mark.privileges
@pytest.mark.parametrize("name", harm.ENDLESS)
def test_a_program_that_will_not_end_is_ended(name, honest):
    """From outside, in time; and the next program is none the worse."""
    began = time.monotonic()
    with pytest.raises(OTHER_ENDS) as raised:
        toy.blind(toy.program(program("return -1") + harm.ENDLESS[name]), CELL, toy.HASTE)
    assert time.monotonic() - began < 30
    assert len(str(raised.value)) < 20_000
    assert np.array_equal(toy.blind(toy.program(HONEST), CELL).results, honest.results)


@pytest.mark.privileges
@pytest.mark.parametrize("name", ["loop", "recurse for ever", "crash"])
def test_compiled_programs_are_ended_too(name, honest):
    """Machine code looks at no signal: it is killed."""
    bodies = {
        "loop": "n = 0\n    while n >= 0:\n        n = (3 * n + 1) % 1000\n    return n",
        "recurse for ever": "return dig(env.n)",
        "crash": "return jit._state(env).arena[2 ** 50]",
    }
    text = (
        "from autotts.engine import jit\n"
        "def schedule(beta):\n    return {}\n"
        "def dig(n):\n    return dig(n + 1) + 1 if n >= 0 else 0\n"
        f"def solve(env, p):\n    {bodies[name]}\n"
    )
    with pytest.raises(ControllerError, match=r"took too long|crashed|ended its own process"):
        toy.compiled(toy.program(text), CELL, toy.TO_COMPILE)
    assert np.array_equal(
        toy.compiled(toy.program(HONEST), CELL).episodes[0].results, honest.results
    )


@pytest.mark.parametrize("name", harm.SCHEDULES)
def test_a_schedule_gives_numbers_by_name(name):
    text = f"def schedule(beta):\n    {harm.SCHEDULES[name]}\ndef solve(env, p):\n    return -1\n"
    cell = toy.make_cell(beta=0.9)
    for run in (toy.blind, toy.compiled):
        with pytest.raises(OTHER_ENDS):
            run(toy.program(text), cell, toy.TO_COMPILE)


@pytest.mark.privileges
@pytest.mark.parametrize("name", harm.FRAMES)
def test_a_program_can_not_speak_for_the_driver(name, honest):
    """Forged frames break the protocol, or ask for what any program may ask for."""
    text = program(harm.FRAMES[name] + "\nreturn -1", before=harm.SPEAK)
    with pytest.raises((SandboxError, ControllerError, ProgramError)) as raised:
        toy.blind(toy.program(text), CELL, toy.HASTE)
    assert "\x1b" not in str(raised.value)


@pytest.mark.parametrize("name", harm.FORGED_CHUNKS)
def test_a_log_that_no_program_could_write_is_refused(name):
    text = harm.FORGE.format(body=harm.FORGED_CHUNKS[name]) + HONEST
    with pytest.raises(SandboxError):
        toy.compiled(toy.program(text), CELL)


def test_what_a_worker_claims_counts_for_nothing(honest):
    """Cost and score are recomputed from the log."""
    run = toy.compiled(toy.program(harm.CLAIM + HONEST), CELL)
    assert np.array_equal(run.episodes[0].results, honest.results)


@pytest.mark.parametrize("name", cheats.LOOK_AHEAD)
def test_looking_ahead_gains_nothing(name):
    """The audit sees it, and what counts is what the program does blind."""
    cell = toy.make_cell(n_draws=20)
    source = toy.program(cheats.HEAD + cheats.LOOK_AHEAD[name])
    ran = unchecked(toy.sandbox(), source, cell, sample=120)
    assert (ran.how.driver, ran.how.audit.status) == ("blind", "blind")
    assert ran.how.audit.differing > 0
    assert np.array_equal(ran.episodes.results, toy.blind(source, cell).results)


def test_nothing_that_holds_data_runs_while_the_audit_does(monkeypatch):
    """By what it does it could tell those what is to come."""
    from autotts.sandbox import sandbox as module

    stopped = []

    def watched(*args, **kwargs):
        stat = Path(f"/proc/{box._code._worker.pid}/stat")
        deadline = time.monotonic() + 10  # the signal takes effect when the kernel delivers it
        while not (still := ") T " in stat.read_text()) and time.monotonic() < deadline:
            time.sleep(0.001)
        stopped.append(still)
        return run_blind(*args, **kwargs)

    monkeypatch.setattr(module, "run_blind", watched)
    box = toy.sandbox()
    for _ in range(2):
        (ran,) = box.run(toy.played(toy.program(HONEST), CELL), audit=10)
        assert ran.how.audit.status == "clean"
    assert stopped == [True, True]


FORGED_PARAMETERS = """
import json
from autotts.sandbox.wire import channel
told = [0]
plain = channel.Outbox.send
def send(self, kind, payload):
    if kind == channel.PARAMETERS:
        told[0] += 1
        payload = json.dumps({NAMED}).encode()
    plain(self, kind, payload)
channel.Outbox.send = send
"""


@pytest.mark.parametrize("mode", ["blind", "compiled"])
def test_parameters_that_are_told_are_those_that_are_played(mode, monkeypatch):
    from autotts.sandbox import sandbox as module

    monkeypatch.setattr(module, "check_source", lambda text, path: None)
    cells = [toy.make_cell(n_draws=2, beta=beta) for beta in (0.0, 1.0)]
    forged = FORGED_PARAMETERS.replace("{NAMED}", '{"width": told[0]}') + program(
        "env.branch(p.width)\nreturn env.vote()"
    )
    ran = toy.sandbox().run(toy.played(toy.program(forged), *cells), mode=mode)
    assert [one.parameters for one in ran] == [{"width": 1}, {"width": 2}]
    assert [set(one.episodes.column("width").tolist()) for one in ran] == [{1}, {2}]


def test_parameters_of_other_names_are_refused():
    other = FORGED_PARAMETERS.replace("{NAMED}", '{f"width{told[0]}": 4}') + HONEST
    with pytest.raises(SandboxError, match="other parameters than those of its program"):
        toy.compiled(toy.program(other), CELL)


def unchecked(box, source, cell, sample):
    """`Sandbox.run` without the source check."""
    from autotts.sandbox import sandbox as module

    original = module.check_source
    module.check_source = lambda text, path: None
    try:
        return box.run(toy.played(source, cell), audit=sample)[0]
    finally:
        module.check_source = original


@pytest.mark.parametrize("name", cheats.REMEMBER)
def test_remembering_compiled_gains_nothing(name):
    """A fresh worker for every group forgets; what differs is rejected or run blind."""
    cell = toy.make_cell(n_draws=20)
    source = toy.program(cheats.HEAD + cheats.REMEMBER[name])
    try:
        ran = unchecked(toy.sandbox(), source, cell, sample=100)
    except ControllerError:
        return
    assert ran.how.driver == "blind"


@pytest.mark.parametrize("name", cheats.REMEMBER_INTERPRETED)
def test_remembering_blind_is_rejected(name):
    """Run again in another order and grouping, it decides otherwise."""
    cell = toy.make_cell(n_draws=20)
    head = '"""Remembers."""\n\ndef schedule(beta):\n    return {"width": 6, "x": 1}\n'
    # A dict of mixed types keeps the compiler away.
    body = cheats.REMEMBER_INTERPRETED[name]
    source = toy.program(
        head + body.replace("    env.branch", "    {1: 'a', 'b': [2]}\n    env.branch")
    )
    with pytest.raises(ControllerError, match="rejected"):
        unchecked(toy.sandbox(), source, cell, sample=100)


def test_an_index_out_of_bounds_raises_compiled():
    """It reads no neighbour's memory."""
    text = HONEST.replace("return env.vote()", "return env.answer[env.n + 3]")
    with pytest.raises(EpisodeFailed):
        toy.compiled(toy.program(text), CELL)
    text = HONEST.replace("return env.vote()", "return env.history(env.n + 3)[0]")
    with pytest.raises(EpisodeFailed):
        toy.compiled(toy.program(text), CELL)


def test_arrays_of_env_are_read_only_compiled():
    text = HONEST.replace(
        "    env.branch(p.width)\n", "    env.branch(p.width)\n    env.depth[0] = 9\n"
    )
    with pytest.raises(Exception, match=r"[Cc]annot|readonly|read-only|setitem"):
        toy.compiled(toy.program(text), CELL)


def test_a_huge_request_is_an_error_and_no_crash():
    huge = "    env.advance(10 ** 8)\n    return env.vote()"
    with pytest.raises(EpisodeFailed):
        toy.compiled(toy.program(HONEST.replace("    return env.vote()", huge)), CELL)
    for call in ("env.advance(10 ** 8)", "env.branch(10 ** 9)", "env.prune(-1)"):
        text = HONEST.replace("    return env.vote()", f"    {call}\n    return env.vote()")
        with pytest.raises(ControllerError, match="in question"):
            toy.blind(toy.program(text), CELL)


def test_a_bad_candidate_does_not_slow_the_next(honest):
    """Nothing of it is left: no process, no time-out, no changed function."""
    loop = harm.ENDLESS["loop and ignore every signal"]
    box = toy.sandbox(allowance=toy.HASTE)
    for _ in range(2):
        with pytest.raises(ControllerError):
            toy.blind(toy.program(program("return -1") + loop), CELL, toy.HASTE)
    children = children_of(toy.zygote())
    began = time.monotonic()
    (ran,) = box.run(toy.played(toy.program(HONEST), CELL), mode="blind")
    assert np.array_equal(ran.episodes.results, honest.results)
    assert time.monotonic() - began < 5
    assert children == []


def children_of(zygote) -> list[str]:
    pid = zygote._process.pid
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read a sealed process's memory")
def test_a_blind_worker_s_memory_holds_no_data():
    """Neither the table nor the gold answers lie anywhere in its address space."""
    pool = toy.make_pool(7, questions=40, branches=60)
    worker = toy.zygote().fork(seal.Limits())
    with worker:
        worker.hello()
        memory = memory_of(worker.pid)
    assert b"numba" in memory
    for array in (pool.probes, pool.tokens, pool.finals):
        assert array.tobytes()[:64] not in memory


def memory_of(pid: int) -> bytes:
    parts = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, mode, *_ = line.split()
            if "r" not in mode or "[v" in line:
                continue
            low, high = (int(x, 16) for x in span.split("-"))
            memory.seek(low)
            try:
                parts.append(memory.read(high - low))
            except OSError:
                continue
    return b"".join(parts)


@pytest.mark.parametrize("name", [*reach.ATTACKS, *cheats.TAMPER])
def test_the_source_check_refuses_it_already(name):
    """For the message; the tests above do without."""
    if name in cheats.TAMPER:
        body = cheats.TAMPER[name].strip().replace("\n", "\n    ")
        text = HONEST.replace("    env.branch(p.width)\n", f"    {body}\n")
        if name in ONLY_AN_ERROR:
            pytest.skip("nothing wrong with its words; it fails in the episode")
    else:
        text = in_solve(reach.ATTACKS[name])
    assert problems(text)


ONLY_AN_ERROR = (
    "an answer out of this world",
    "an answer that was never revealed",
    "a negative answer",
)
