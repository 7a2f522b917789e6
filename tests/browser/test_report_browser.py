"""The report in a real browser: it works, asks nobody for anything, and text stays text."""

import base64
import io
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotts.reports.model import Line, Point, Report
from autotts.reports.page import build
from autotts.reports.server import Followed, LoopbackServer

By = pytest.importorskip("selenium.webdriver.common.by", reason="no selenium here").By
Keys = pytest.importorskip("selenium.webdriver.common.keys", reason="no selenium here").Keys

TABS = ("overview", "curves", "rounds", "questions", "waste", "pool")
PHONES = ((360, 740), (420, 900))
Show = Callable[..., Any]


def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """What `condition` gives as soon as that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    pytest.fail("nothing happened in time")


def selected_tab(browser: Any) -> str:
    tab = browser.find_element(By.CSS_SELECTOR, "[role=tab][aria-selected=true]")
    return str(tab.text.lower())


def pixels(browser: Any) -> np.ndarray:
    from matplotlib.image import imread

    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    image = imread(io.BytesIO(base64.b64decode(shot["data"])), format="png")
    return (image[..., :3] * 255).astype(np.int64) @ [65536, 256, 1]


def problems(browser: Any) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser")]


def requests(browser: Any) -> list[str]:
    """Addresses of everything that was asked for, but the page itself."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    found = [
        m["params"]["request"]["url"]
        for m in messages
        if m["method"] == "Network.requestWillBeSent"
    ]
    return [url for url in found if not url.startswith(("file:", "data:", "about:"))]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("tab", TABS)
def test_every_tab_shows_something_and_says_nothing_to_the_console(show: Show, tab, theme):
    browser = show(tab, theme=theme)
    assert selected_tab(browser) == tab
    panel = browser.find_element(By.CSS_SELECTOR, "[role=tabpanel]")
    assert len(panel.text) > 40
    until(lambda: len(np.unique(pixels(browser))) > 40)
    colours, counts = np.unique(pixels(browser), return_counts=True)
    assert 1 - counts.max() / counts.sum() > 0.03
    background = colours[counts.argmax()] >> 16
    assert background > 200 if theme == "light" else background < 60
    assert problems(browser) == []
    assert requests(browser) == []


@pytest.mark.parametrize("phone", PHONES, ids=["360", "420"])
@pytest.mark.parametrize("tab", TABS)
def test_a_phone_needs_no_scrolling_sideways(show: Show, tab, phone):
    """Whatever is unfolded: what is wider scrolls in its own box."""
    browser = show(tab, phone)
    browser.find_element(By.CSS_SELECTOR, "[role=tabpanel]")
    browser.execute_script("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= phone[0]
    assert problems(browser) == []


def write(report: Report, path: Path, browser: Any, tab: str = "overview") -> Any:
    """The browser at a page of its own."""
    path.write_text(build(report), encoding="utf-8")
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(f"{path.as_uri()}#{tab}")
    return browser


def test_the_first_screen_says_what_was_found(show: Show):
    """The sentence, the frontier with its bands and the best program; provenance is folded."""
    browser = show("overview")
    until(lambda: browser.find_elements(By.CSS_SELECTOR, ".lead .chart .mark"))
    screen = browser.execute_script("return window.innerHeight")
    for selector in (".conclusion", ".lead .chart svg", ".lead .best .badge"):
        box = browser.find_element(By.CSS_SELECTOR, selector).rect
        assert box["y"] + box["height"] <= screen, selector
    assert browser.find_element(By.CSS_SELECTOR, ".best h2").text.startswith("round 3")
    assert browser.find_elements(By.CSS_SELECTOR, ".lead path[opacity='0.13']")
    assert not browser.find_element(By.CSS_SELECTOR, ".fold dl").is_displayed()


def test_an_evaluation_has_no_rounds(report: Report, browser: Any, tmp_path):
    write(replace(report, rounds=()), tmp_path / "evaluation.html", browser, "rounds")
    tabs = [tab.text.lower() for tab in browser.find_elements(By.CSS_SELECTOR, "[role=tab]")]
    assert tabs == [tab for tab in TABS if tab != "rounds"]
    assert selected_tab(browser) == "overview"


def test_a_docstring_is_shown_in_paragraphs(report: Report, browser: Any, tmp_path):
    """Whatever the columns of its source; a list keeps its lines."""
    source = '"""Race: stop early.\n\nLines go on\nin the next.\n- one\n- two\n"""\n'
    write(
        replace(report, rounds=(), program=source),
        tmp_path / "evaluation.html",
        browser,
        "overview",
    )
    (idea,) = browser.find_elements(By.CSS_SELECTOR, ".best .idea")
    shown = idea.get_property("textContent")
    assert shown == "Race: stop early.\n\nLines go on in the next.\n- one\n- two"


FORMULAS = {
    r"$\frac{a+b\sqrt{c}}{d}$": "mfrac msqrt",
    r"\[\left\{x \over y\right\}_{n=1}^{\infty}\]": "mfrac msubsup",
    r"$$\begin{cases} 1 & x>0 \\ 0 & \text{else} \end{cases}$$": "mtable mtext",
    r"\(\sum_{k=1}^n k^2 \le \mathbb{R}\)": "msubsup mi",
}


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_set(report: Report, browser: Any, tmp_path, text):
    grid = replace(report.grids[0], texts=(f"Let {text} be.",) * len(report.grids[0].texts))
    write(replace(report, grids=(grid,)), tmp_path / "formula.html", browser, "questions")
    (math,) = browser.find_elements(By.CSS_SELECTOR, ".question math")
    for element in FORMULAS[text].split():
        assert math.find_elements(By.CSS_SELECTOR, element), element
    words = browser.find_element(By.CSS_SELECTOR, ".question").get_property("textContent")
    assert words.startswith("Let ")
    assert words.endswith(" be.")
    assert "\\" not in words


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 now and $6 later, $ 7 $ at times.",
        r"$\constructor$ and $\nosuch{x}$ and $\frac{1}$ and $}{$",
        r"$\text{" + "<img src=x onerror='window.hacked = 3'>" + "$",
        "$" + "{" * 3000 + "}" * 3000 + "$",
        "$" + "\\frac" * 600 + "$",
        "$x " * 2000,
        r"\[" * 20_000,
    ],
    ids=["prices", "unknown", "hostile", "deep", "unfinished", "many", "open"],
)
def test_what_is_no_formula_stays_as_it_was_written(report, browser, tmp_path, text):
    grid = replace(report.grids[0], texts=(text,) * len(report.grids[0].texts))
    began = time.monotonic()
    write(replace(report, grids=(grid,)), tmp_path / "text.html", browser, "questions")
    assert time.monotonic() - began < 5
    shown = browser.find_element(By.CSS_SELECTOR, ".question")
    assert shown.get_property("textContent") == text
    assert not shown.find_elements(By.CSS_SELECTOR, "math")
    assert browser.execute_script("return window.hacked === undefined")
    assert problems(browser) == []


def test_markup_within_a_formula_is_words(report: Report, browser: Any, tmp_path):
    text = r"$\text{<img src=x onerror='window.hacked = 3'>} + <script>$"
    grid = replace(report.grids[0], texts=(text,) * len(report.grids[0].texts))
    write(replace(report, grids=(grid,)), tmp_path / "markup.html", browser, "questions")
    (math,) = browser.find_elements(By.CSS_SELECTOR, ".question math")
    assert "<img src=x" in math.get_property("textContent")
    assert browser.find_elements(By.CSS_SELECTOR, "img, math script") == []


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("bounds", [(None, None), (40.0, 40.0)], ids=["one question", "all alike"])
def test_a_single_setting_and_an_interval_that_says_nothing(browser, tmp_path, tab, bounds):
    point = Point(0.5, 40.0, 3e8, 3e8, *bounds)
    one = Report("one", lines=(Line("cmc", "m/d", (point,)),))
    write(one, tmp_path / "one.html", browser, tab)
    assert problems(browser) == []
    if tab == "overview":
        said = browser.find_element(By.CSS_SELECTOR, ".lead .chart + .note").text
        assert ("No interval" if bounds[0] is None else "without width") in said


@pytest.mark.parametrize("tab", TABS)
def test_a_script_in_the_data_stays_text(show: Show, tab):
    browser = show(tab)
    for summary in browser.find_elements(By.CSS_SELECTOR, "summary"):
        summary.click()
    assert browser.execute_script("return window.hacked === undefined")
    assert len(browser.find_elements(By.CSS_SELECTOR, "script")) == 2
    assert browser.find_elements(By.CSS_SELECTOR, "img, iframe, object, link[rel=stylesheet]") == []
    if tab in ("overview", "rounds", "questions"):
        panel = browser.find_element(By.CSS_SELECTOR, "[role=tabpanel]")
        assert "<script>window.hacked = 1</script>" in panel.get_property("textContent")


def test_the_arrow_keys_walk_over_the_tabs(show: Show):
    browser = show("overview")
    browser.find_element(By.ID, "tab-overview").send_keys(Keys.ARROW_RIGHT)
    seen = [selected_tab(browser)]
    for _ in TABS[1:]:
        browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
        seen.append(selected_tab(browser))
    assert seen == [*TABS[1:], "overview"]
    browser.switch_to.active_element.send_keys(Keys.END)
    assert selected_tab(browser) == "pool"


def test_everything_is_reached_with_the_tab_key(show: Show):
    """Tabs once, then every control, then the chart as one stop."""
    browser = show("curves")
    browser.find_element(By.ID, "tab-curves").send_keys(Keys.TAB)
    kinds = []
    for _ in range(12):
        active = browser.switch_to.active_element
        kinds.append(active.tag_name)
        active.send_keys(Keys.TAB)
    assert {"select", "input", "g"} <= set(kinds)
    assert kinds.count("g") == 2, "each of the two charts is one stop"


def test_marks_of_a_chart_tell_their_numbers(show: Show):
    browser = show("curves")
    tip = browser.find_element(By.ID, "tip")
    until(lambda: browser.find_elements(By.CSS_SELECTOR, ".mark"))
    browser.find_elements(By.CSS_SELECTOR, "input[type=checkbox]")[-1].send_keys(Keys.TAB)
    first = tip.text
    assert "% right" in first
    assert "sequential" in first
    browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert tip.text != first
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not tip.is_displayed()


def test_a_controller_is_switched_off_and_on(show: Show):
    browser = show("curves")

    def marks() -> int:
        return len(browser.find_elements(By.CSS_SELECTOR, ".chart .mark"))

    both = until(marks)
    browser.find_element(By.XPATH, "//label[contains(., 'asc')]/input").click()
    assert until(lambda: 0 < marks() < both)
    active = browser.switch_to.active_element
    assert active.get_attribute("type") == "checkbox", "the focus stays where it was"
    browser.find_element(By.XPATH, "//label[contains(., 'asc')]/input").click()
    assert until(lambda: marks() == both)


def test_the_cost_axis_changes(show: Show):
    browser = show("curves")
    browser.find_element(By.CSS_SELECTOR, "input[value=sequential_tokens]").click()
    labels = until(lambda: browser.find_elements(By.CSS_SELECTOR, ".chart .label"))
    assert "sequential tokens per question" in [label.text for label in labels]


def picture(browser: Any) -> str:
    script = "return document.querySelector('canvas').toDataURL()"
    return str(browser.execute_script(script))


def test_the_slider_moves_through_the_rounds(show: Show):
    browser = show("questions")
    slider = until(lambda: browser.find_elements(By.CSS_SELECTOR, "input[type=range]"))[0]
    last = int(slider.get_attribute("max"))
    assert last > 1
    at_end = until(lambda: picture(browser))
    slider.send_keys(Keys.HOME)
    at_start = picture(browser)
    assert at_start != at_end
    assert browser.find_element(By.CSS_SELECTOR, "output").text == f"0 / {last}"
    assert "0 opened" in slider.get_attribute("aria-valuetext")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert browser.find_element(By.CSS_SELECTOR, "output").text == f"1 / {last}"
    assert picture(browser) not in (at_start, at_end)
    slider.send_keys(Keys.END)
    assert picture(browser) == at_end


def test_an_episode_plays_and_pauses(show: Show):
    browser = show("questions")
    button = until(lambda: browser.find_elements(By.CSS_SELECTOR, ".slider button"))[0]
    output = browser.find_element(By.CSS_SELECTOR, "output")
    end = output.text
    button.click()
    until(lambda: output.text != end)
    until(lambda: output.text == end)
    until(lambda: button.get_attribute("aria-label") == "play the episode")


def test_the_keys_explore_the_matrix(show: Show):
    browser = show("questions")
    canvas = until(lambda: browser.find_elements(By.CSS_SELECTOR, "canvas"))[0]
    canvas.send_keys(Keys.ARROW_RIGHT)
    assert browser.find_element(By.ID, "tip").text.startswith("branch 0, interval 1: ")
    canvas.send_keys(Keys.ARROW_DOWN)
    assert "branch 1, interval 1" in canvas.get_attribute("aria-label")


def test_a_cell_of_the_heat_map_opens_its_question(show: Show):
    browser = show("questions")
    cell = browser.find_element(By.CSS_SELECTOR, "[data-key='cell3asc']")
    cell.click()
    headings = [h2.text for h2 in browser.find_elements(By.CSS_SELECTOR, "h2")]
    assert "Question 3" in headings
    pressed = browser.find_elements(By.CSS_SELECTOR, "[aria-pressed=true]")
    assert [p.get_attribute("data-key") for p in pressed] == ["cell3asc"]


def test_differences_between_any_two_rounds(show: Show):
    browser = show("rounds")
    rows = browser.find_elements(By.CSS_SELECTOR, ".diff .add, .diff .del")
    assert len(rows) == 4
    assert 'return {"k": 3}' in "".join(row.text for row in rows)
    select = browser.find_element(By.XPATH, "//label[contains(., 'to round')]/select")
    select.send_keys("1")
    text = browser.find_element(By.CSS_SELECTOR, ".diff").text
    assert 'return {"k": 1}' in text


def test_the_theme_button_overrules_the_system(show: Show):
    browser = show("overview", theme="dark")
    button = browser.find_element(By.ID, "theme")

    def background() -> str:
        return str(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))

    dark = background()
    button.click()
    assert "light" in button.text
    assert background() != dark
    button.click()
    assert "dark" in button.text
    assert background() == dark


def test_every_control_has_a_name_and_ids_are_unique(show: Show):
    for tab in TABS:
        browser = show(tab)
        for control in browser.find_elements(By.CSS_SELECTOR, "button, select, input, canvas"):
            assert control.accessible_name, control.get_attribute("outerHTML")[:200]
        ids = [e.get_attribute("id") for e in browser.find_elements(By.CSS_SELECTOR, "[id]")]
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("tab", TABS)
def test_a_report_with_nothing_in_it_says_what_it_needs(browser: Any, tmp_path, tab):
    write(Report("nothing yet"), tmp_path / "empty.html", browser, tab)
    assert browser.find_element(By.CSS_SELECTOR, ".empty").text
    assert problems(browser) == []


def test_a_live_page_takes_in_news_by_itself(browser: Any, report):
    state = [replace(report, title="first", live=True)]
    source = Followed(lambda: state[-1], lambda: str(len(state)))
    with LoopbackServer(source.answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            browser.get("about:blank")
            browser.get_log("browser")
            browser.get(f"{server.url}#rounds")
            until(lambda: "live" in browser.find_element(By.ID, "live").text)
            assert browser.find_element(By.ID, "title").text == "first"
            state.append(replace(report, title="second", live=False))
            until(lambda: browser.find_element(By.ID, "title").text == "second")
            assert selected_tab(browser) == "rounds"
            until(lambda: "finished" in browser.find_element(By.ID, "live").text)
            assert problems(browser) == []
        finally:
            browser.get("about:blank")
            server.shutdown()
            thread.join()
