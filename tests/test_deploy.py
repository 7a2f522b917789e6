"""What `deploy/` says is so: images, manifests, scrape and dashboard, by whoever can check them."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from autotts.cli import app
from autotts.serve.metrics import Metrics
from autotts.serve.turns import Turns

DEPLOY = Path(__file__).parent.parent / "deploy"
HADOLINT = Path(sys.executable).with_name("hadolint")


def parsed(arguments):
    """The options of `autotts serve` as its own parser reads them."""
    command = typer.main.get_command(app).commands["serve"]
    return command.make_context("serve", list(arguments)).params


def entry():
    """What the image runs before its arguments."""
    line = re.search(r"^ENTRYPOINT (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.M)
    return json.loads(line[1])


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint is not installed")
def test_the_image_is_built_as_images_should_be():
    done = subprocess.run([HADOLINT, DEPLOY / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_has_all_that_it_copies():
    root, text = DEPLOY.parent, (DEPLOY / "Dockerfile").read_text()
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    for line in re.findall(r"^COPY (?!--)(.*)$", text, re.M):
        for name in shlex.split(line)[:-1]:
            assert (root / name).exists(), name
            assert f"!{name}" in ignored


def test_manifests_pass_the_schema_of_kubernetes():
    validate = pytest.importorskip("kubernetes_validate")
    found = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
    assert [one["kind"] for one in found] == ["Deployment", "Service", "PodDisruptionBudget"]
    for one in found:
        validate.validate(one, validate.latest_version(), strict=True)


def test_services_start_with_arguments_that_there_are():
    program, command, *always = entry()
    assert (program, command) == ("autotts", "serve")
    pod = next(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
    (container,) = pod["spec"]["template"]["spec"]["containers"]
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["autotts"]
    for arguments in (container["args"], composed["command"]):
        options = parsed([*always, *arguments])
        assert options["upstream"] == ["http://vllm:8000"]
        assert options["host"] == "0.0.0.0"
        assert options["port"] == container["ports"][0]["containerPort"]


def test_the_dashboard_asks_for_metrics_that_there_are():
    offered = set(re.findall(r"^# TYPE (\w+)", Metrics(Turns(1, 1)).text().decode(), re.M))
    board = json.loads((DEPLOY / "grafana.json").read_text())
    asked = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"autotts_\w+", target["expr"])
    }
    assert len(asked) >= 10
    missing = {name for name in asked if name.removesuffix("_bucket") not in offered}
    assert not missing


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_metrics_and_scrapes_are_as_prometheus_wants_them(tmp_path):
    run = {"capture_output": True, "check": False}
    text = Metrics(Turns(1, 1)).text()
    done = subprocess.run(["promtool", "check", "metrics"], input=text, **run)
    assert done.returncode == 0, done.stdout + done.stderr
    checked = ["promtool", "check", "config", "--syntax-only", DEPLOY / "prometheus.yml"]
    done = subprocess.run(checked, **run)
    assert done.returncode == 0, done.stdout + done.stderr
