"""A genuine Ray cluster: what runs on it comes to what one machine comes to, whatever is lost."""

import asyncio
import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autotts import collect, programs, stores
from autotts.collect.endpoints import Endpoints, urls_of
from autotts.discovery import assembly, discover, resume
from autotts.discovery.explorer import FREE, Proposal
from autotts.errors import ClusterError, ControllerError, SpecError, StoreError
from autotts.evaluation import Execution, Experiment, Local, evaluate
from autotts.evaluation.run import opened
from autotts.evaluation.study.ablation import ablate
from autotts.evaluation.study.leaderboard import leaderboard
from autotts.evaluation.study.tuning import tune
from autotts.inference import Patience, connect
from autotts.programs import Spec, read
from autotts.replay.task import Task, cells_of
from autotts.simulation import simulate
from discover_toy import program
from model_server import SUFFIX, serving

ray = pytest.importorskip("ray")

from autotts.distributed import on_ray, parcels  # noqa: E402
from autotts.distributed.on_ray import OnRay  # noqa: E402
from autotts.distributed.playing import play  # noqa: E402
from autotts.sandbox.audit import bound  # noqa: E402
from autotts.sandbox.sandbox import Sandbox  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

DOCS = Path(__file__).parents[1] / "docs" / "scale.md"
STORE_BYTES = 80_000_000
SOON = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 3,
}
"""After 1.5 s without a sign of life a machine is given up; Ray waits 50 s by default."""
BETAS = [0.0, 0.3, 0.6, 0.9]


@pytest.fixture(scope="module")
def nodes():
    """A head without cores and two machines of one core each, as processes of this one."""
    from ray.cluster_utils import Cluster as Machines

    machines = Machines(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False,
            "_system_config": SOON,
        },
    )  # fmt: skip
    for _ in range(2):
        machines.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    ray.init(address=machines.address, logging_level="error", log_to_driver=False)
    yield machines
    ray.shutdown()
    machines.shutdown()


@pytest.fixture(scope="module")
def driver(nodes):
    with OnRay("ray", timeout_seconds=60.0) as running:
        yield running


@pytest.fixture(scope="module")
def tasks(simulated) -> list[Task]:
    return Experiment("reference:30").tasks([stores.load(simulated)])


def same(ran, others) -> bool:
    """Whether two runs of the same cells came to the same, to the bit."""
    pairs = zip(ran, others, strict=True)
    return all(
        np.array_equal(one.episodes.results, other.episodes.results)
        and one.parameters == other.parameters
        and one.how.driver == other.how.driver
        for one, other in pairs
    )


def swept(name: str) -> list[Spec]:
    return [programs.parse(name).at(beta) for beta in BETAS]


SLURM = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
[ "$(basename "$0")" != scontrol ] || printf 'node1\\nnode2\\nnode3\\n'
"""


def test_the_slurm_job_begins_a_head_then_the_others_then_the_work(tmp_path):
    """A dry run of the script in the docs: each command writes down what it is asked for."""
    (script,) = re.findall(r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", DOCS.read_text(), re.DOTALL)
    for name in ("scontrol", "srun", "sleep", "autotts"):
        stub = tmp_path / name
        stub.write_text(SLURM)
        stub.chmod(0o755)
    calls = tmp_path / "calls"
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "CALLS": str(calls),
        "SLURM_JOB_NODELIST": "node[1-3]", "SLURM_JOB_NUM_NODES": "3", "SLURM_CPUS_PER_TASK": "32",
    }  # fmt: skip
    subprocess.run(["bash", "-euc", script + "wait\n"], env=environment, check=True)
    made = calls.read_text().splitlines()
    assert made[0] == "scontrol show hostnames node[1-3]"
    head = [call for call in made if "--head" in call]
    others = [call for call in made if "--address" in call]
    assert head == [
        "srun --nodes=1 --ntasks=1 -w node1 ray start --head --port=6379 --num-cpus=32 --block"
    ]
    assert others == [
        "srun --nodes=2 --ntasks=2 --exclude=node1 ray start --address=node1:6379 --num-cpus=32"
        " --block"
    ]
    (work,) = [call for call in made if call.startswith("autotts")]
    assert work.startswith("autotts leaderboard /shared/stores --on ray --stores-at paths")


def test_what_is_trusted_comes_to_the_same(driver, tasks):
    """Whole cells and parts of one, with what every episode asked for, in the order of cells."""
    shown = []
    for cells in (cells_of(tasks, swept("asc")), cells_of(tasks, swept("sc")[:1])):
        shown.clear()
        here = Local().run(cells, keep_log=True)
        there = driver.run(cells, keep_log=True, on_ran=shown.append)
        assert same(here, there)
        assert shown == there
        for one, other in zip(here, there, strict=True):
            assert np.array_equal(one.steps(), other.steps())


def test_a_program_of_others_runs_sealed_and_its_audit_is_one(driver, tasks, save):
    """Compiled by each worker, sampled over all cells, and told as one."""
    theirs = programs.parse(str(save(OTHERS)))
    cells = cells_of(tasks, [theirs.at(beta) for beta in BETAS[:2]])
    with Sandbox() as sandbox:
        here = sandbox.run(cells)
    there = driver.run(cells, audit=40)
    assert same(here, there)
    how = there[0].how
    assert (how.driver, how.tier) == ("sealed", "sealed")
    assert (how.audit.status, how.audit.sample, how.audit.bound) == ("clean", 40, bound(40))
    assert set(driver.tiers.values()) == {"sealed"}
    assert len(driver.tiers) == 2


def test_what_one_machine_finds_out_counts_for_all(driver, tasks, save, monkeypatch):
    """A sampled episode of the second cell differs: then the first is run blind as well."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

    def found_out(share):
        second = share.cells[0][1].beta > 0
        return play(replace(share, blind=True) if second else share)

    monkeypatch.setattr(on_ray, "play", found_out)
    theirs = programs.parse(str(save(OTHERS)))
    cells = cells_of([tasks[0].first(2)], [theirs.at(beta) for beta in BETAS[:2]])
    ran = driver.run(cells, audit=6)
    assert [one.how.driver for one in ran] == ["blind", "blind"]
    assert (ran[0].how.audit.status, ran[0].how.audit.sample) == ("blind", 6)
    with Sandbox() as sandbox:
        assert same(ran, sandbox.run(cells, mode="blind"))


OTHERS = """
def schedule(beta):
    return {"width": 2 + round(2 * beta)}


def solve(env, p):
    env.branch(p.width)
    env.finish(env.active())
    return env.vote()
"""


def test_an_episode_that_fails_is_the_error_of_one_machine(driver, tasks, trust):
    spec = trust("def schedule(beta):\n    return {}\ndef solve(env, p):\n    return 7 // env.n\n")
    cells = cells_of(tasks, [spec])
    errors = []
    for one in (Local(), driver):
        with pytest.raises(ControllerError) as caught:
            one.run(cells)
        errors.append(str(caught.value))
    assert errors[0] == errors[1]


KILLER = """
import os
import signal
def schedule(beta):
    return {}
def solve(env, p):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_ends_two_workers_is_its_own_fault(driver, tasks, save):
    spec = Spec("killer", read(save(KILLER), trusted=True), 0.5, {})
    with pytest.raises(ControllerError, match=r"mine\.py: it ended 2 workers"):
        driver.run(cells_of(tasks, [spec]))


SLOW = """
import time
def schedule(beta):
    return {}
def solve(env, p):
    time.sleep(0.02)
    env.finish(env.branch(3))
    return env.vote()
"""


def test_a_machine_lost_in_a_sweep_changes_nothing(nodes, driver, tasks, save):
    """Its cells run again, elsewhere."""
    spec = Spec("slow", read(save(SLOW), trusted=True), 0.5, {})
    cells = cells_of([tasks[0].first(5)], [spec.at(beta) for beta in BETAS])
    here = Local(Execution(jobs=1)).run(cells)
    lost = []

    def lose(ran):
        if not lost:
            lost.append(nodes.list_all_nodes()[-1])
            nodes.remove_node(lost[0], allow_graceful=False)

    try:
        assert same(here, driver.run(cells, on_ran=lose))
        assert lost
    finally:
        nodes.add_node(num_cpus=1, object_store_memory=STORE_BYTES)


def test_ctrl_c_stops_what_runs(nodes, driver, tasks, save, tmp_path):
    seen = tmp_path / "seen"
    text = SLOW.replace("sleep(0.02)", f"sleep(0.02); open({str(seen)!r}, 'a').write('x')")
    spec = Spec("slow", read(save(text), trusted=True), 0.5, {})

    def stop(ran):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        driver.run(cells_of([tasks[0].first(5)], [spec.at(beta) for beta in BETAS]), on_ran=stop)
    time.sleep(0.3)
    size = seen.stat().st_size
    time.sleep(0.3)
    assert seen.stat().st_size == size


def test_stores_are_read_where_they_lie(nodes, tasks, simulated, tmp_path):
    """By path and by URL; one that is another store than is asked for is refused."""
    store = tasks[0].store
    cells = cells_of(tasks, swept("sc")[:1])
    here = Local().run(cells)
    stores.write(store, tmp_path / "shelf" / store.model / store.dataset)
    for where in ("paths", f"file://{tmp_path}/shelf"):
        assert same(here, OnRay("ray", stores_at=where).run(cells))
    other = stores.load(simulate(tmp_path, questions=2, branches=4, seed=2))
    unseen = cells_of([Experiment("reference:2").task(other)], swept("sc")[:1])
    with pytest.raises(StoreError, match=r"nowhere.*: No such file"):
        OnRay("ray", stores_at=f"file://{tmp_path}/nowhere").run(unseen)
    assert other.name == store.name
    with pytest.raises(StoreError, match="is another store: its digest is"):
        OnRay("ray", stores_at=f"file://{tmp_path}/shelf").run(unseen)


def test_a_machine_with_other_code_is_refused(driver, tasks, monkeypatch):
    monkeypatch.setattr(on_ray, "this_code", lambda: ("0.0.1", "another"))
    with pytest.raises(ClusterError, match=r"0\.0\.1 asks it; figures are the same only where"):
        driver.run(cells_of(tasks, swept("sc")[:1]))


def test_orders_that_no_spec_names_are_not_sent(driver, tasks):
    own = Task(tasks[0].store, tasks[0].orders, tasks[0].pairs)
    with pytest.raises(SpecError, match="orders that no draw SPEC names"):
        driver.run(cells_of([own], swept("sc")[:1]))


def test_some_episodes_of_some_draws_are_sent_in_words(driver, tasks):
    """Tasks with fewer draws, and with some episodes."""
    few = tasks[0].first(3)
    some = few.some(few.pairs[[2, 5, 7]])
    assert parcels.pack(few, slice(None)).pairs is None
    cells = cells_of([few, some], swept("asc")[:2])
    assert same(Local().run(cells), driver.run(cells))


def test_whoever_evaluates_says_where(nodes, simulated):
    """`Execution.on` is all that a study needs."""
    here = evaluate(simulated, ["asc"], betas=BETAS[:2], experiment=Experiment("reference:5"))
    there = evaluate(
        simulated, ["asc"], betas=BETAS[:2], experiment=Experiment("reference:5"),
        execution=Execution(on="ray"),
    )  # fmt: skip
    assert here.results() == there.results()


def test_studies_come_to_the_same_on_a_cluster(nodes, simulated):
    """A leaderboard, a search over constants and an ablation."""
    few = Experiment("subsets:3", max_branches=8)

    def studied(execution):
        board = leaderboard(
            simulated, ["sc", "asc"], betas=BETAS[:2], experiment=few, execution=execution
        )
        tuned = tune(simulated, "asc", trials=4, experiment=few, execution=execution)
        ablated = ablate(
            simulated, "asc", betas=BETAS[:2], experiment=few, execution=execution,
            mechanisms=False,
        )  # fmt: skip
        return board.record(), tuned.trials.to_dicts(), ablated.to_dicts()

    assert studied(Execution(on="ray")) == studied(Execution())


@pytest.mark.parametrize("on", ["slurm", "ray://", "ray:5"])
def test_where_must_be_a_place(on):
    with (
        pytest.raises(SpecError, match="need local, ray or ray://HOST:PORT"),
        opened(None, Execution(on=on)),
    ):
        pass


class Proposing:
    """Proposes one program a round."""

    name, deterministic = "proposing", True

    def settings(self):
        return {}

    def estimate(self, rounds, proposals):
        return FREE

    def propose(self, turn):
        return [Proposal(program(10 + turn.round, 5))]


def test_a_machine_lost_in_a_discovery_changes_nothing(nodes, simulated, tmp_path):
    """Nor where the command dies too, and the run goes on elsewhere."""
    few = {
        "explorer": Proposing(), "draws": "reference:4", "betas": (0.0, 1.0), "audit": 8,
        "baselines": (), "traces": False, "driver": "in-process",
    }  # fmt: skip
    here = discover(simulated, tmp_path / "here", rounds=2, say=lambda line: None, **few)
    lost = []

    def lose(line):
        if "replaying round-1" in line:
            lost.append(nodes.list_all_nodes()[-1])
            nodes.remove_node(lost[0], allow_graceful=False)
        elif "replaying round-2" in line:
            raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            discover(simulated, tmp_path / "there", rounds=2, say=lose, on="ray", **few)
    finally:
        nodes.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    there = resume(
        tmp_path / "there", explorer=Proposing(), trust=True, say=lambda line: None, on="ray"
    )
    assert lost
    found = [(t.errors, t.points, t.area) for t in there.state.trials]
    assert found == [(t.errors, t.points, t.area) for t in here.state.trials]
    assert [len(points) for _, points, _ in found] == [2, 2]


def test_an_agent_does_not_work_beside_an_open_cluster(monkeypatch):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.raises(SpecError, match="RAY_AUTH_MODE=token"):
        assembly._check_cluster("ray", "agent")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assembly._check_cluster("ray", "agent")


QUESTIONS = [f"{'very ' * k}long?" for k in range(8)]


@pytest.fixture
def items(tmp_path):
    path = tmp_path / "questions.jsonl"
    rows = [{"id": f"q{k}", "question": q, "answer": "1"} for k, q in enumerate(QUESTIONS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return collect.read_questions(str(path))


def planned(items) -> collect.Plan:
    return collect.Plan(
        model="toy", dataset="lengths", branches=3, interval=25, max_tokens=300,
        prompt="{question}", probe=SUFFIX, questions=collect.digest_of(items),
    )  # fmt: skip


def test_a_machine_lost_while_collecting_costs_what_was_not_written(nodes, items, tmp_path):
    """A server in the list is dead from the start, and a machine is lost on the way."""
    lost = []

    def lose(_watched):
        if not lost:
            lost.append(nodes.list_all_nodes()[-1])
            nodes.remove_node(lost[0], allow_graceful=False)

    with serving("vllm") as alone, serving("vllm") as one, serving("vllm") as other:

        async def here():
            server = await connect(alone.url)
            try:
                return await collect.collect(planned(items), items, [server], tmp_path / "here")
            finally:
                await server.aclose()

        expected, _ = asyncio.run(here())
        listed = tmp_path / "servers.txt"
        listed.write_text(f"http://127.0.0.1:9   # nobody\n{one.url}\n{other.url}\n")
        try:
            store, collection = collect.collect_on(
                "ray", planned(items), items, [f"@{listed}"], tmp_path / "there",
                collect.Session(watch=lose),
                patience=Patience(timeout_seconds=5, attempts=2, first_wait_seconds=0.01),
            )  # fmt: skip
        finally:
            nodes.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        assert lost
        assert collection.collected.failed == {}
        assert store.digest == expected.digest
        # Read again by whoever resumes, it is all there, and nothing is asked for.
        paid = one.tokens + other.tokens
        kept = collect.read_collected(collect.journal_path(store.path))
        assert kept.finished.keys() == collection.collected.finished.keys()
        assert kept.decoded <= paid
        again, _ = collect.collect_on(
            "ray", planned(items), items, [one.url], tmp_path / "there",
            collect.Session(resume=True),
        )  # fmt: skip
        assert again.digest == expected.digest
        assert one.tokens + other.tokens - paid < 100


def test_endpoints_take_turns_and_one_that_is_dead_is_tried_later(tmp_path):
    now = [0.0]
    listed = tmp_path / "servers.txt"
    listed.write_text("http://a\n# http://b\n\nhttp://c # a comment\n")
    endpoints = Endpoints([f"@{listed}", "http://d"], left_out_seconds=60, clock=lambda: now[0])
    assert [endpoints.next() for _ in range(4)] == ["http://a", "http://c", "http://d", "http://a"]
    endpoints.leave_out("http://a")
    assert {endpoints.next() for _ in range(4)} == {"http://c", "http://d"}
    listed.write_text("http://e\n")
    assert {endpoints.next() for _ in range(4)} == {"http://e", "http://d"}
    listed.write_text("http://a\n")
    endpoints.leave_out("http://d")
    assert endpoints.next() is None
    now[0] = 61.0
    assert {endpoints.next() for _ in range(4)} == {"http://a", "http://d"}
    assert urls_of(["dns+http://127.0.0.1:80/v1"]) == ["http://127.0.0.1:80/v1"]
    with pytest.raises(SpecError, match="can't be read"):
        urls_of([f"@{tmp_path}/nothing"])
