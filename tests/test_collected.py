"""From a server to a report: what was collected is searched on, drawn and shown like any store."""

from typer.testing import CliRunner

from autotts import stores
from autotts.cli.app import app
from autotts.discovery.run.folder import RunFolder
from discover_toy import Scripted, session, settings
from model_server import serving
from test_collect import collected, questions  # noqa: F401


def call(*arguments):
    done = CliRunner(env={"COLUMNS": "100"}).invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_a_collected_store_goes_through_discover_and_report(questions, tmp_path):  # noqa: F811
    with serving("vllm") as server:
        store, _ = collected(questions, tmp_path / "out", server, branches=16)
    assert "cost: " in call("data", "stats", store.path)
    call("data", "split", store.path, "--share", 0.67, "--seed", 1, "--out", tmp_path / "parts")
    search, held_out = (tmp_path / "parts" / "toy" / f"lengths-{part}" for part in "ab")
    results = tmp_path / "results.json"
    call(
        "evaluate", search, "-c", "sc", "-c", "short-mk", "--beta", "0,0.1,0.2", "--draws",
        "subsets:2", "--json", results,
    )  # fmt: skip
    assert "short-mk" in results.read_text()
    call("plot", results, "--out", tmp_path / "figures")
    assert list((tmp_path / "figures").iterdir())
    RunFolder.create(tmp_path / "run", settings(search))
    session(tmp_path / "run", Scripted(tmp_path / "sent"))
    call("report", tmp_path / "run", "--no-replay", "--out", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "toy/lengths-a" in page
    assert stores.check(search).digest in page or stores.check(search).digest[:12] in page
    assert stores.check(held_out).pool.billing == "exact"
