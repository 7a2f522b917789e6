"""Reports of discovery runs, made from a run of a scripted explorer on a simulated store."""

import http.client
import json
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from autotts import programs, stores
from autotts.discovery.explorer import FREE, ProgramRules, Proposal, Turn, Usage
from autotts.discovery.loop import Discovery
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.settings import ExplorerRef, RunLimits, RunSettings, StoreRef
from autotts.errors import ProposalError, RunError
from autotts.reports.model import HELD_OUT, MEAN, Report
from autotts.reports.page import build
from autotts.reports.runs import from_run
from autotts.reports.server import Followed, LoopbackServer

SPENT = Usage(1, 900, 100, 0.25)


class Scripted:
    """Proposes short-m@k, then nothing usable, then ASC."""

    name = "scripted"
    deterministic = True

    def settings(self) -> dict[str, object]:
        return {}

    def estimate(self, rounds: int, proposals: int) -> Usage:
        return FREE

    def propose(self, turn: Turn) -> list[Proposal]:
        turn.paid({"round": turn.round}, lambda: ({}, SPENT), at_most=SPENT)
        if turn.round == 2:
            raise ProposalError("the reply had no program in it")
        source = programs.find("short-mk" if turn.round == 1 else "asc").text
        return [Proposal(source, f"idea {turn.round}", "learned", "effect")]


@pytest.fixture(scope="module")
def run(simulated, tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("runs") / "run"
    manifest = stores.read_manifest(simulated)
    settings = RunSettings(
        name="three rounds",
        driver="in-process",
        draws="subsets:4",
        betas=(0.0, 0.5, 1.0),
        baselines=("cmc",),
        rules=ProgramRules(ceiling=16, cheapest=1.0, dearest=0.0),
        limits=RunLimits(rounds=3),
        explorer=ExplorerRef(name="scripted"),
        stores=(
            StoreRef(
                path=str(simulated),
                model=manifest.model,
                dataset=manifest.dataset,
                digest=manifest.digest,
            ),
        ),
        made_by={"version": "0.1.0"},
    )
    with RunFolder.create(path, settings).open() as opened:
        Discovery(opened, Scripted(), lambda line: None).go()
    return path


@pytest.fixture(scope="module")
def reported(run) -> tuple[Report, list[str], dict[Path, int]]:
    """A report, what was told of its making, and when the run's files had been written before."""
    parts: list[str] = []
    written = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    return from_run(run, on_part=parts.append), parts, written


@pytest.fixture(scope="module")
def report(reported) -> Report:
    return reported[0]


def test_figures_can_be_drawn_while_episodes_are_replayed(run, report):
    """Curves and questions come early and are what the whole report has; the rest is what figures
    need: of the episodes the fullest alone, and nothing of the recordings."""
    early = []
    whole = from_run(run, on_curves=early.append, page=False)
    (curves,) = early
    assert (curves.lines, curves.grids) == (report.lines, report.grids)
    assert not curves.episodes
    fullest = max(report.episodes, key=lambda e: (sum(map(bool, e.pruned)), e.rounds))
    assert (whole.episodes, whole.waste) == ((fullest,), report.waste)
    assert report.pools
    assert not whole.pools


def test_every_round_is_told_with_what_it_cost(report):
    assert [(r.name, r.idea, bool(r.errors)) for r in report.rounds] == [
        ("1", "idea 1", False),
        ("2", "", True),
        ("3", "idea 3", False),
    ]
    assert [r.model_tokens for r in report.rounds] == [1000] * 3
    assert sum(r.usd for r in report.rounds) == pytest.approx(0.75)
    assert report.rounds[1].errors == ("the reply had no program in it",)
    assert sum(r.best for r in report.rounds) == 1


def test_replay_adds_questions_and_episodes_of_programs_and_baselines(report):
    names = {"round 1", "round 3", "cmc"}
    assert {line.controller for line in report.lines} == names
    assert {row.controller for row in report.grids[0].rows} == names
    assert {episode.controller for episode in report.episodes} == names
    assert {waste.controller for waste in report.waste} == names


def test_the_log_alone_gives_the_same_curves(run, report):
    alone = from_run(run, replay=False)
    assert not alone.grids
    assert {line.store for line in alone.lines} == {MEAN}
    replayed = {line.controller: line.points for line in report.lines}
    for line in alone.lines:
        for point, other in zip(line.points, replayed[line.controller], strict=True):
            assert point.accuracy == pytest.approx(other.accuracy)
            assert point.tokens == pytest.approx(other.tokens)


def test_a_report_says_nothing_of_the_disk_it_was_made_on(run, simulated, report):
    page = build(report)
    assert str(run) not in page
    assert str(simulated) not in page
    assert report.made_by["stores"][0]["digest"]


def test_a_report_writes_nothing_into_the_run(run, reported):
    _, _, before = reported
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_run_that_goes_on_is_live(run, tmp_path):
    assert not from_run(run, replay=False).live
    copy = shutil.copytree(run, tmp_path / "copy")
    log = copy / "events.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:-2]))
    assert from_run(copy, replay=False).live


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="no run here"):
        from_run(tmp_path)


class Counted:
    """A source whose version the test sets."""

    def __init__(self) -> None:
        self.version = "1"
        self.made = 0

    def make(self) -> Report:
        self.made += 1
        return Report(f"report {self.version}", live=True)


@pytest.fixture
def served() -> Iterator[tuple[Counted, LoopbackServer]]:
    counted = Counted()
    with LoopbackServer(Followed(counted.make, lambda: counted.version).answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield counted, server
        server.shutdown()
        thread.join()


def ask(
    server: LoopbackServer, path: str, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    # As `request` does, but for any path: it takes the host from a path that looks like an address.
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": f"127.0.0.1:{server.server_port}", **headers}.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_the_page_is_served_to_this_machine_alone(served):
    _, server = served
    assert server.server_address[0] == "127.0.0.1"
    answer, body = ask(server, "/")
    assert answer.status == 200
    assert b"report 1" in body
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_a_name_that_points_here_from_elsewhere_is_refused(served):
    _, server = served
    for host in ("evil.example", f"evil.example:{server.server_port}", ""):
        assert ask(server, "/", Host=host)[0].status == 421


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_written(served, method):
    assert ask(served[1], "/", method)[0].status == 501


def test_there_are_no_other_paths(served):
    paths = ("/../run.toml", "/events.jsonl", "/data.json/..", "//etc/passwd", "http://[", "x")
    for path in paths:
        assert ask(served[1], path)[0].status == 404


def test_head_has_no_body(served):
    answer, body = ask(served[1], "/", "HEAD")
    assert answer.status == 200
    assert body == b""
    assert int(answer.headers["Content-Length"]) > 1000


def test_news_are_sent_once(served):
    counted, server = served
    answer, body = ask(server, "/data.json")
    assert json.loads(body)["title"] == "report 1"
    tag = answer.headers["ETag"]
    assert ask(server, "/data.json", If_None_Match=tag)[0].status == 304
    assert counted.made == 1
    counted.version = "2"
    answer, body = ask(server, "/data.json", If_None_Match=tag)
    assert json.loads(body)["title"] == "report 2"


def test_a_port_in_use_is_named(served):
    _, server = served
    with pytest.raises(RunError, match=f"port {server.server_port}"):
        LoopbackServer(server.answer, port=server.server_port)


def test_the_report_concludes_with_the_best_program_and_its_lead(report, run):
    """With an interval where the stores are replayed; from the log alone, without."""
    best = next(r for r in report.rounds if r.best)
    assert report.best == best.controller
    assert report.conclusion.startswith(
        f"On the search questions, by which it was chosen, {best.controller} leads with a frontier"
        f" area of {best.area:.2f}; it "
    )
    assert re.search(
        r"cmc \([+-]\d+\.\d\d points, 95 %: .*\), the best baseline\.$", report.conclusion
    )
    assert "95 %" not in from_run(run, replay=False).conclusion


def test_no_figure_stands_twice_unsaid(report):
    """Each fact's name says which figure it is, on what."""
    names = [name for name, _ in report.facts]
    assert len(set(names)) == len(names)
    for name, value in report.facts:
        if "area" in name and value[0].isdigit():
            assert re.search("as found|fresh|held-out|search questions", name), name


def test_whoever_looks_on_is_told_what_is_computed(reported):
    _, parts, _ = reported
    assert {"replaying round 1", "replaying cmc", "diagnosing episodes"} <= set(parts)
    assert parts[-1].startswith("describing ")


@pytest.mark.parametrize("recorded", [True, False])
def test_held_out_curves_have_the_bands_that_finalize_recorded(recorded, monkeypatch):
    """Where their number is not that of the points there are none."""
    folder = RunFolder(Path(__file__).parent / "runs" / "version-1")
    state = folder.state
    results = state.finalized.results
    bands = tuple((p.accuracy - 1, p.accuracy + 1) for p in results.controllers["asc"].points)
    figures = replace(results.controllers["asc"], bands=bands if recorded else bands[1:])
    controllers = {**results.controllers, "asc": figures}
    state.finalized = replace(state.finalized, results=replace(results, controllers=controllers))
    monkeypatch.setattr(RunFolder, "state", property(lambda self: state))
    report = from_run(folder.path, replay=False)
    (line,) = (one for one in report.lines if (one.controller, one.store) == ("asc", HELD_OUT))
    shown = tuple((p.accuracy_low, p.accuracy_high) for p in line.points)
    assert shown == (bands if recorded else ((None, None),) * len(bands))
    assert report.conclusion.startswith(
        "On held-out questions round 1 has a frontier area of 47.98"
    )
