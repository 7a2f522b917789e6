"""A headless Chromium that starts empty and talks to nobody, and a report to look at."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotts import stores
from autotts.evaluation import Experiment, evaluate
from autotts.reports.evaluations import from_evaluation
from autotts.reports.model import Line, Point, Report, Round
from autotts.reports.page import build

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
)  # fmt: skip
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
DESKTOP = (1280, 900)

webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium here")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One browser for all tests."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no browser: install chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield started
    started.quit()


@pytest.fixture(scope="session")
def report(simulated: Path) -> Report:
    """A report with every part in it, and hostile text in every part that takes text."""
    store = stores.load(simulated)
    experiment = Experiment(draws="subsets:4", max_branches=16)
    evaluation = evaluate([store], ["cmc", "asc"], betas=[0.0, 0.5, 1.0], experiment=experiment)
    made = from_evaluation(evaluation, title=f"Simulated {HOSTILE}")
    grid = replace(made.grids[0], texts=(HOSTILE,) * len(made.grids[0].texts))
    points = tuple(Point(b, 40 + 10 * b, 1e4 + 9e4 * b, 1e3) for b in (0.0, 0.5, 1.0))
    rounds = tuple(
        Round(
            name=str(k),
            controller=f"round {k}",
            source=f'"""{HOSTILE} {k}"""\n\ndef schedule(beta):\n    return {{"k": {k}}}\n',
            idea=HOSTILE,
            digest=HOSTILE,
            remarks=(HOSTILE,),
            errors=(HOSTILE,) if k == 2 else (),
            seconds=9.5,
            usd=0.5,
            model_tokens=1000,
            area=40.0 + k,
            points=points,
        )
        for k in (1, 2, 3)
    )
    return replace(
        made,
        conclusion=f"Round 3 leads: {HOSTILE}",
        best="round 3",
        lines=(*made.lines, Line("round 3", made.lines[0].store, points)),
        grids=(grid,),
        rounds=rounds,
        made_by={"by": HOSTILE, "stores": [{"model": HOSTILE, "digest": "0" * 64}]},
        facts=((HOSTILE, HOSTILE),),
    )


@pytest.fixture(scope="session")
def page(report: Report, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the report."""
    path: Path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(build(report), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def show(browser: Any, page: str) -> Callable[..., Any]:
    """Opens the report: a tab, a window size, light or dark."""

    def opened(tab: str = "overview", size: tuple[int, int] = DESKTOP, theme: str = "light") -> Any:
        browser.get("about:blank")
        browser.get_log("browser")
        browser.get_log("performance")
        width, height = size
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        media = [{"name": "prefers-color-scheme", "value": theme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        browser.get(f"{page}#{tab}")
        return browser

    return opened
