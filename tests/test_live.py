"""Live episodes: over a recording they do what replay does, action by action."""

import asyncio
import gc
import re
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from any_stores import any_stores
from autotts import control, live, programs, simulation, stores
from autotts.engine import compiled
from autotts.errors import ControlError, ControllerError
from autotts.evaluation import Experiment
from autotts.inference.branch import Decoding, Probing, ServedBranch
from autotts.inference.server import Sampling
from autotts.programs.loading import load_trusted
from autotts.replay.in_process import InProcess
from autotts.replay.task import Cell
from autotts.sandbox.allowance import Allowance
from autotts.sandbox.live_run import InASealedWorker
from autotts.sandbox.worker import Zygote
from scripted_branches import ScriptedBranches

CONTROLLERS = sorted(programs.built_in())


def live_pool(task, q, **more):
    pool = task.pool
    failed = int(pool.failed[q])
    return live.GrowingPool(
        branches=int(task.ceilings[q]),
        intervals=int(pool.lengths.max()),
        interval=pool.interval,
        billing=pool.billing,
        budget=task.rules.budget,
        probe_tokens=task.rules.probe_tokens,
        abstain=task.rules.abstain,
        probed=pool.probes is not None,
        signals=tuple(pool.signals),
        failed=task.store.answers[q][failed] if failed >= 0 else "[no such answer]",
        **more,
    )


def play(suspend, task, q, d):
    pool = live_pool(task, q)
    recorded = live.RecordedTrajectories(task.store, q, task.orders[q, d], pool)
    return asyncio.run(live.play(suspend(pool), pool, recorded)), pool, recorded


def ours(ran):
    """A program suspended in this process."""
    program = load_trusted(ran.spec.source)
    return lambda pool: live.InThisProcess(program, ran.parameters, pool)


def play_every_episode(task, spec):
    program = load_trusted(spec.source)
    values = program.parameters(spec.beta, spec.named)
    for q, d in task.pairs.tolist():
        play(lambda pool: live.InThisProcess(program, values, pool), task, q, d)


def assert_same_as_replayed(task, spec, suspend=ours):
    (ran,) = InProcess().run([Cell(task, spec)], keep_log=True)
    for e, (q, d) in enumerate(task.pairs.tolist()):
        ended, pool, _ = play(suspend(ran), task, q, d)
        expected = dict(zip(compiled.RESULTS, ran.episodes.results[e].tolist(), strict=True))
        answers = task.store.answers[q]
        expected["code"] = None if expected["code"] < 0 else answers[expected["code"]]
        found = {name: ended[name] for name in compiled.RESULTS}
        found["code"] = None if found["code"] < 0 else pool.answers[found["code"]]
        assert found == expected
        words = pool.memory.arrays["log"][: pool.memory["log_at"]]
        assert np.array_equal(words, ran.episodes.log.of(e))


@pytest.fixture(scope="module", params=["reference", "exact"])
def store(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    options = {"questions": 4, "branches": 12, "billing": request.param, "seed": 3}
    return stores.load(simulation.simulate(folder, **options))


@pytest.mark.parametrize("name", CONTROLLERS)
@pytest.mark.parametrize("budget", [None, 9000])
def test_live_over_a_recording_is_replay(store, name, budget):
    task = Experiment(draws="subsets:2", budget=budget, probe_tokens=7, failed="abstain").task(
        store
    )
    assert_same_as_replayed(task, programs.parse(name))


@settings(max_examples=200, deadline=None)
@given(
    store=any_stores(served=True),
    name=st.sampled_from(CONTROLLERS),
    beta=st.sampled_from([0.0, 0.3, 1.0]),
    budget=st.none() | st.integers(0, 9_000),
    probe_tokens=st.integers(0, 50),
    failed=st.sampled_from(["vote", "abstain"]),
    seed=st.integers(0, 9),
)
def test_on_any_store_any_controller_does_live_what_it_does_in_replay(
    store, name, beta, budget, probe_tokens, failed, seed
):
    """Action by action, with signals and without probes, however answers read; or fails alike."""
    if budget is not None:  # one that pays for an interval at least
        budget += store.pool.interval + probe_tokens
    experiment = Experiment(
        draws="subsets:1", budget=budget, probe_tokens=probe_tokens, failed=failed, seed=seed
    )
    task, spec = experiment.task(store), programs.parse(f"{name}:beta={beta}")
    try:
        InProcess().run([Cell(task, spec)])
    except ControllerError:
        with pytest.raises(ControlError):
            play_every_episode(task, spec)
    else:
        assert_same_as_replayed(task, spec)


SURE = ["cdg:width=6", "deepconf:warmup=4", "deepconf-offline:width=6", "distri-voting:width=6"]


@pytest.fixture(scope="module", params=["reference", "exact"])
def sure(request, tmp_path_factory):
    """A store with a signal."""
    folder = tmp_path_factory.mktemp("sure")
    options = {"questions": 3, "branches": 12, "billing": request.param, "seed": 4}
    return stores.load(simulation.simulate(folder, signals={"confidence": 0.8}, **options))


@pytest.mark.parametrize("name", SURE)
def test_signals_are_revealed_live_as_in_replay(sure, name, zygote):
    task = Experiment(draws="subsets:1", failed="abstain").task(sure)
    spec = programs.parse(name)
    assert_same_as_replayed(task, spec)
    assert_same_as_replayed(task, spec, in_a_worker(zygote))


@pytest.fixture(scope="module")
def zygote():
    zygote = Zygote()
    yield zygote
    zygote.close()


@pytest.mark.parametrize("name", ["asc", "cmc", "race-prune", "budget-forcing", "sdgv"])
def test_live_and_sealed_over_a_recording_is_replay(store, zygote, name):
    task = Experiment(draws="subsets:1", budget=20_000).task(store)
    assert_same_as_replayed(task, programs.parse(name), in_a_worker(zygote))


def in_a_worker(zygote):
    def sealed(ran):
        source, beta, named = ran.spec.source, ran.spec.beta, ran.spec.named
        return lambda pool: InASealedWorker(zygote, source, pool, beta=beta, named=named)

    return sealed


def sealed_episode(zygote, text, **more):
    pool = live.GrowingPool(branches=4, intervals=8, interval=10, **more)
    source = programs.Source("mine", "mine.py", HEAD + text, trusted=False)
    return InASealedWorker(zygote, source, pool, beta=0.5), pool


HEAD = """
import numpy as np


def schedule(beta):
    return {"x": beta}


"""


@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        ("    return 1 // 0", ControllerError, "ZeroDivisionError"),
        ("    while True:\n        pass", ControllerError, "took too long"),
        ("    return 3", ControllerError, "answers were revealed"),
        ("    env.branch(9)", ControllerError, "more may be"),
        ("    return env.history(0)[0]", ControllerError, "no branch is open yet"),
    ],
)
def test_what_a_sealed_program_does_wrong_is_its_error(zygote, body, error, says):
    nowhere = Counting()
    program, pool = sealed_episode(zygote, f"def solve(env, p):\n{body}\n")
    program._allowance = Allowance(program_seconds=2, episode_seconds=1)
    with pytest.raises(error, match=says):
        asyncio.run(live.play(program, pool, nowhere))
    assert nowhere.asked == 0


def test_a_sealed_program_that_prunes_and_notes_without_end_is_served(zygote):
    program, pool = sealed_episode(
        zygote,
        "def solve(env, p):\n    for i in range(5000):\n        env.note('i', i)\n    return -1\n",
        log_words=1 << 15,
    )
    ended = asyncio.run(live.play(program, pool, Counting()))
    assert (ended["status"], ended["code"]) == (compiled.ANSWERED, -1)
    assert pool.memory["log_at"] == 3 * 5000


@pytest.mark.parametrize("name", ["cmc", "parallel-probe", "race-prune"])
def test_a_live_episode_decodes_what_replay_charges_for_and_no_more(store, name):
    task = Experiment(draws="subsets:1").task(store)
    spec = programs.parse(name)
    (ran,) = InProcess().run([Cell(task, spec)], keep_log=True)
    decodes = np.isin(ran.steps()[:, 2], [control.BRANCH, control.CONTINUE, control.FINISH])
    decoded = sum(play(ours(ran), task, q, d)[2].decoded for q, d in task.pairs.tolist())
    assert decoded == decodes.sum()


@pytest.mark.parametrize("name", ["cmc", "sc"])
@pytest.mark.parametrize("budget", [None, 9000])
def test_an_episode_that_has_ended_leaves_no_memory_to_the_garbage_collector(store, name, budget):
    task = Experiment(draws="subsets:1", budget=budget).task(store)
    (ran,) = InProcess().run([Cell(task, programs.parse(name))])
    suspend = ours(ran)
    gc.collect()
    gc.disable()
    try:
        ended, pool, recorded = play(suspend, task, 0, 0)
        memory = weakref.ref(pool.memory)
        del ended, pool, recorded
        assert memory() is None
    finally:
        gc.enable()


class Counting:
    """Trajectories that count what they are asked for, and never have it."""

    def __init__(self):
        self.asked = 0

    async def cover(self, request):
        self.asked += 1
        await asyncio.Event().wait()


def episode(solve, **more):
    pool = live.GrowingPool(branches=4, intervals=8, interval=10, **more)
    program = SimpleNamespace(solve=solve)
    return live.InThisProcess(program, {}, pool), pool


@pytest.mark.parametrize(
    "ask",
    [
        lambda env: env.advance(0),
        lambda env: env.branch(5),
        lambda env: env.prune(np.array([3])),
        lambda env: env.probe(1),
        lambda env: env.branch(0),
    ],
)
def test_nothing_is_decoded_for_a_request_that_the_state_forbids(ask):
    nowhere = Counting()

    def solve(env, p):
        with pytest.raises(ControlError):
            ask(env)
        return env.vote()

    ended = asyncio.run(live.play(*episode(solve), nowhere))
    assert ended["status"] == compiled.ANSWERED
    assert nowhere.asked == 0


def test_a_request_beyond_the_budget_is_not_decoded_and_the_best_vote_is_the_answer():
    nowhere = Counting()
    ended = asyncio.run(live.play(*episode(lambda env, p: env.branch(2), budget=19), nowhere))
    assert (ended.stop, ended["code"], nowhere.asked) == (live.Stop.BUDGET, -1, 0)


def test_at_the_deadline_the_best_vote_so_far_is_the_answer(store):
    task = Experiment(draws="subsets:1").task(store)
    pool = live_pool(task, 0)
    recorded = live.RecordedTrajectories(store, 0, task.orders[0, 0], pool)

    class Stalls:
        async def cover(self, request):
            await recorded.cover(request)
            if recorded.decoded > 3:
                await asyncio.Event().wait()

    def solve(env, p):
        env.branch(3)
        while True:
            env.advance(env.active())

    async def run():
        program = live.InThisProcess(SimpleNamespace(solve=solve), {}, pool)
        soon = asyncio.get_running_loop().time() + 0.05
        return await live.play(program, pool, Stalls(), deadline=soon)

    ended = asyncio.run(run())
    assert ended.stop is live.Stop.DEADLINE
    assert (ended["width"], ended["rounds"]) == (3, 1)
    first = [store.answers[0][store.pool.probes[0, b, 0]] for b in task.orders[0, 0, :3]]
    assert pool.answers[ended["code"]] == max(first, key=first.count)


@pytest.mark.parametrize("name", ["cmc", "race-prune", "asc", "short-mk"])
def test_a_recorded_live_episode_is_replayed_request_by_request(name):
    """Over a server that is made up; its store, dealt as recorded, gives the same log."""
    spec = programs.parse(name)
    program = load_trusted(spec.source)
    values = program.parameters(spec.beta, {})
    server, recordings, logs = ScriptedBranches(), [], []

    def read(text):
        found = re.search(r"boxed\{(\w+)\}", text)
        return found[1] if found else ""

    async def episode(k):
        pool = live.GrowingPool(branches=16, intervals=30, interval=10)
        probing = Probing(await server.encode("so"), "so")
        reading = live.Reading(
            of=read, probing=probing, shown=lambda probed: probed.said.text.removesuffix("}")
        )
        prompt = await server.encode(f"{k}?")
        trajectories = live.ServedTrajectories(
            server, lambda i: ServedBranch(prompt, (k, i)), pool, reading,
            Decoding(10, 300, Sampling()),
        )  # fmt: skip
        ended = await live.play(live.InThisProcess(program, values, pool), pool, trajectories)
        recordings.append(live.recording_of(pool, f"{k}?", "42", name=str(k)))
        logs.append(pool.memory.arrays["log"][: pool.memory["log_at"]].copy())
        return ended

    ended = [asyncio.run(episode(k)) for k in range(6)]
    store = stores.build(
        recordings, model="toy", dataset="live", interval_tokens=10, billing="exact",
        failed_answer="",
    )  # fmt: skip
    experiment = Experiment(draws="recorded", max_branches=16, failed="abstain")
    (ran,) = InProcess().run([Cell(experiment.task(store), spec)], keep_log=True)
    assert [one["tokens"] for one in ended] == ran.tokens.tolist()
    for k, words in enumerate(logs):
        assert np.array_equal(words, ran.episodes.log.of(k))


def test_what_a_program_raises_reaches_whoever_plays_it():
    def solve(env, p):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        asyncio.run(live.play(*episode(solve), Counting()))


def test_answers_that_are_equal_share_a_code_with_the_first():
    pool = live.GrowingPool(
        branches=2, intervals=2, interval=1, same=lambda a, b: a.strip() == b.strip()
    )
    assert [pool.code(text) for text in ("", "1", " 1", "2", "1 ")] == [0, 1, 1, 2, 1]
    assert pool.answers == ["", "1", "2"]
