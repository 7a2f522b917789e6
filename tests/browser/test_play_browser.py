"""The playground in a real browser: choose, move, compare, step; nobody else is asked."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from autotts import stores
from autotts.evaluation import Experiment
from autotts.play.page import build
from autotts.play.recorded import RecordedQuestions
from autotts.play.server import PlayAnswers
from autotts.play.viewer import FolderAnswers
from autotts.reports.server import LoopbackServer
from browser.test_report_browser import By, Keys, problems, until
from scripted_branches import ScriptedBranches
from test_view_folder import HOSTILE, RUN, TRACE, write_trace
from toy_service import serving

PHONE = (420, 900)


def resize(
    browser: Any, size: tuple[int, int], theme: str = "light", motion: str = "no-preference"
) -> None:
    width, height = size
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    media = [
        {"name": "prefers-color-scheme", "value": theme},
        {"name": "prefers-reduced-motion", "value": motion},
    ]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})


def asked_elsewhere(browser: Any, address: str) -> list[str]:
    """Addresses of other servers that were asked for anything."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        m["params"]["request"]["url"]
        for m in messages
        if m["method"] == "Network.requestWillBeSent"
    ]
    assert urls, "what the page asks for is seen here"
    return [url for url in urls if not url.startswith((address, "data:", "about:"))]


@pytest.fixture(scope="module")
def address(simulated: Any) -> Iterator[str]:
    experiment = Experiment(draws="subsets:3")
    with (
        RecordedQuestions([stores.load(simulated)], experiment=experiment) as recorded,
        LoopbackServer(PlayAnswers(recorded).answer) as server,
    ):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


@pytest.fixture
def play(browser: Any, address: str) -> Iterator[Any]:
    """The page with CMC at beta 0.5 on question 1, at the end of the episode."""
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get_log("performance")
    resize(browser, (1280, 900))
    browser.get(f"{address}#question=1&a=cmc@0.5")
    until(lambda: verdicts(browser), 60)  # what was never compiled is compiled now
    yield browser
    assert problems(browser) == []
    assert asked_elsewhere(browser, address) == []
    browser.get("about:blank")


def texts(browser: Any, selector: str) -> list[str]:
    """Read at once: what is drawn again meanwhile would be gone."""
    script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)"
    return list(browser.execute_script(script, selector))


def verdicts(browser: Any) -> list[str]:
    return texts(browser, ".lane .verdict")


def spent(browser: Any, lane: int = 0) -> int:
    return int(texts(browser, ".spent dd")[lane].replace(",", ""))


def key(browser: Any, *keys: str) -> None:
    browser.find_element(By.ID, "stage").send_keys(*keys)


def picture(browser: Any) -> str:
    return str(browser.execute_script("return document.querySelector('canvas').toDataURL()"))


def test_keys_step_through_an_episode_whose_cost_runs(play: Any):
    at_end, total = picture(play), spent(play)
    key(play, Keys.HOME)
    assert spent(play) == 0
    said = play.find_element(By.ID, "said")
    assert "0 opened" in said.get_property("textContent")
    key(play, Keys.ARROW_RIGHT)
    assert 0 < spent(play) < total
    assert "round 1 of" in said.get_property("textContent")
    assert picture(play) != at_end
    key(play, Keys.END)
    assert (spent(play), picture(play)) == (total, at_end)
    assert "Answers" in verdicts(play)[0]


def test_an_episode_plays_and_pauses_by_key_and_button(play: Any):
    total = spent(play)
    key(play, Keys.SPACE)
    button = play.find_element(By.CSS_SELECTOR, "#transport .main")
    until(lambda: button.get_attribute("aria-label") == "pause" and 0 < spent(play) < total)
    key(play, Keys.SPACE)
    assert button.get_attribute("aria-label") == "play"
    button.click()
    until(lambda: spent(play) == total and button.get_attribute("aria-label") == "play")


def test_whoever_wants_less_motion_has_less(play: Any):
    """Nothing glides, and a film shows few pictures a second."""
    glides = "return getComputedStyle(document.querySelector('.meter i')).transitionDuration"
    shown = """
        const [until, done] = [Date.now() + 1000, arguments[0]];
        const seen = new Set();
        const look = () => {
            seen.add(document.querySelector(".transport input[type=range]").value);
            Date.now() < until ? requestAnimationFrame(look) : done(seen.size);
        };
        look();
    """
    pictures = {}
    for motion in ("no-preference", "reduce"):
        resize(play, (1280, 900), motion=motion)
        assert (play.execute_script(glides) == "0s") == (motion == "reduce")
        key(play, Keys.HOME)
        key(play, " ")
        pictures[motion] = play.execute_async_script(shown)
        key(play, Keys.HOME)
    assert pictures["reduce"] <= 3
    assert pictures["reduce"] <= pictures["no-preference"]


def test_beta_moves_the_episode_and_the_address(play: Any):
    before = spent(play)
    slider = play.find_element(By.CSS_SELECTOR, ".beta input")
    slider.send_keys(Keys.HOME)
    until(lambda: verdicts(play) and spent(play) < before)
    assert "beta 0.00" in slider.get_attribute("aria-valuetext")
    until(lambda: "a=cmc%400&" in play.current_url + "&")
    until(lambda: len(texts(play, ".beta .bars i")) == 21)
    assert play.find_elements(By.CSS_SELECTOR, ".beta .bars i:first-child.here")


def test_two_controllers_on_the_same_branches_part_at_a_marked_moment(play: Any):
    key(play, "c")
    until(lambda: len(verdicts(play)) == 2)
    told = play.find_element(By.ID, "parting")
    assert told.text.startswith("They part in round 1:\ncmc opens")
    assert play.find_element(By.CSS_SELECTOR, ".scrub .mark").is_displayed()
    told.find_element(By.TAG_NAME, "button").click()
    assert play.find_element(By.CSS_SELECTOR, ".keys output").text.startswith("round 1 of")
    # The same program at two betas goes one way for a while.
    second = play.find_elements(By.CSS_SELECTOR, ".lane-head select")[1]
    second.send_keys("cmc")
    until(lambda: told.text == "They do the same, round for round, to the end.")
    clock = play.find_element(By.CSS_SELECTOR, "[aria-label='lanes move together by']")
    clock.send_keys("by tokens")
    key(play, Keys.END)
    assert spent(play) == spent(play, 1)
    play.find_elements(By.CSS_SELECTOR, "[aria-label='remove this controller']")[1].click()
    until(lambda: len(play.find_elements(By.CSS_SELECTOR, ".lane")) == 1)


def test_by_tokens_neither_lane_has_spent_more_than_the_moment(play: Any):
    key(play, "c")
    until(lambda: len(verdicts(play)) == 2)
    totals = spent(play), spent(play, 1)
    play.find_element(By.CSS_SELECTOR, "[aria-label='lanes move together by']").send_keys(
        "by tokens"
    )
    key(play, Keys.HOME)
    seen = []
    for _ in range(12):
        key(play, Keys.ARROW_RIGHT)
        seen.append((spent(play), spent(play, 1)))
    assert seen == sorted(seen)
    assert max(map(max, seen)) < max(totals)
    interval = 500 * 16  # the most that one round of either spends
    assert all(abs(a - b) <= interval for a, b in seen)


def test_the_true_answer_is_shown_when_it_is_asked_for(play: Any):
    assert not play.find_elements(By.CSS_SELECTOR, ".verdict .badge")
    assert "gold.json" not in play.execute_script(
        "return performance.getEntriesByType('resource').map((e) => e.name).join()"
    )
    key(play, "g")
    until(lambda: play.find_elements(By.CSS_SELECTOR, ".lane .badge"))
    assert play.find_element(By.CSS_SELECTOR, ".lane .badge").text in ("right", "wrong")
    play.find_element(By.CSS_SELECTOR, "[aria-pressed=true]").click()
    until(lambda: not play.find_elements(By.CSS_SELECTOR, ".lane .badge"))


def test_another_question_and_draw(play: Any):
    before = picture(play)
    play.find_element(By.CSS_SELECTOR, "[aria-label='next question']").click()
    until(lambda: "question=2" in play.current_url and picture(play) != before)
    before = picture(play)
    draw = play.find_element(By.CSS_SELECTOR, "input[type=number]")
    draw.send_keys(Keys.ARROW_UP, Keys.TAB)
    until(lambda: "draw=1" in play.current_url and picture(play) != before)


def test_every_control_has_a_name_and_the_log_leads_to_its_round(play: Any):
    play.find_element(By.TAG_NAME, "summary").click()
    rows = until(lambda: play.find_elements(By.CSS_SELECTOR, ".log button"))
    rows[2].click()
    assert play.find_element(By.CSS_SELECTOR, ".log [aria-current]").text.startswith("round 3")
    for control in play.find_elements(By.CSS_SELECTOR, "button, select, input, canvas"):
        if not control.is_displayed():
            continue
        assert control.accessible_name, control.get_attribute("outerHTML")[:200]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_needs_no_scrolling_sideways(play: Any, theme: str):
    key(play, "c")
    until(lambda: len(verdicts(play)) == 2)
    resize(play, PHONE, theme)
    assert play.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
    ink = play.execute_script("return getComputedStyle(document.body).color")
    assert (ink == "rgb(25, 28, 33)") == (theme == "light")


@pytest.fixture
def served(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page of a service; a test's parameter is the key it asks for, or the seconds that its
    model takes for an interval."""
    page = build("served", "autotts serve")
    asked = getattr(request, "param", 0.03)
    keys = [asked] if isinstance(asked, str) else []
    model = ScriptedBranches(seconds=0.03 if keys else asked, right=1.0)
    with serving(model, page=page, keys=keys) as address:
        browser.get("about:blank")
        browser.get_log("browser")
        browser.get_log("performance")
        resize(browser, (1280, 900))
        browser.get(address)
        yield browser
        assert asked_elsewhere(browser, address) == []
        browser.get("about:blank")


def ask(browser: Any, question: str) -> None:
    browser.find_element(By.TAG_NAME, "textarea").send_keys(question, Keys.CONTROL, Keys.ENTER)


def test_a_question_is_asked_watched_and_answered(served: Any):
    until(lambda: texts(served, ".lane-head option") == ["cmc", "short-mk"])
    served.find_element(By.CSS_SELECTOR, ".add").click()
    ask(served, "What is 6 times 7?")
    seen = until(lambda: spent(served))
    until(lambda: len(texts(served, ".reply")) == 2 and len(verdicts(served)) == 2)
    assert seen < spent(served), "it was seen on its way"
    assert all("boxed{42}" in text for text in texts(served, ".reply"))
    assert texts(served, "#parting strong") == ["They part in round 1:"]
    usage = served.find_element(By.CSS_SELECTOR, ".usage").get_property("textContent")
    assert "total tokens" in usage
    # What was live is moved through like any recording.
    key(served, Keys.HOME)
    assert spent(served) == 0
    key(served, Keys.ARROW_RIGHT)
    assert spent(served) > 0
    slider = served.find_element(By.CSS_SELECTOR, ".beta input")
    slider.send_keys(Keys.END)
    assert texts(served, ".meter + .note")[0] == "Ask again to see it so."
    assert problems(served) == []


@pytest.mark.parametrize("served", ["sesame"], indirect=True)
def test_a_key_is_typed_and_kept_nowhere(served: Any):
    field = until(lambda: served.find_element(By.CSS_SELECTOR, "input[type=password]"))
    until(field.is_displayed)
    field.send_keys("wrong", Keys.ENTER)
    trouble = served.find_element(By.ID, "trouble")
    until(lambda: "doesn't take this key" in trouble.text)
    field.clear()
    field.send_keys("sesame", Keys.ENTER)
    until(lambda: texts(served, ".lane-head option"))
    ask(served, "What is 6 times 7?")
    until(lambda: texts(served, ".reply"))
    kept = served.execute_script(
        "return [localStorage.length, sessionStorage.length, document.cookie, location.href,"
        " document.documentElement.outerHTML].join()"
    )
    assert "sesame" not in kept
    refused = [message for message in problems(served) if "401" not in message]
    assert refused == []


@pytest.mark.parametrize("served", [0.5], indirect=True)
def test_asking_is_stopped(served: Any):
    until(lambda: texts(served, ".lane-head option"))
    ask(served, "What is 6 times 7?")
    until(lambda: spent(served))
    served.find_element(By.XPATH, "//button[.='Stop']").click()
    until(lambda: "stopped" in texts(served, ".happens")[0])
    assert served.find_element(By.CSS_SELECTOR, "#source .main").is_enabled()
    assert problems(served) == []


@contextmanager
def looked_at(browser: Any, folder: Path) -> Iterator[str]:
    """The address of a folder's page, open on a phone; at the end nothing went wrong there."""
    with LoopbackServer(FolderAnswers(folder).answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            browser.get("about:blank")
            browser.get_log("browser")
            browser.get_log("performance")
            resize(browser, PHONE)
            browser.get(server.url)
            yield server.url
            assert problems(browser) == []
            assert asked_elsewhere(browser, server.url) == []
        finally:
            browser.get("about:blank")
            server.shutdown()
            thread.join()


def test_a_folder_is_searched_and_a_trace_followed_while_it_grows(
    browser: Any, simulated: Any, tmp_path: Any
):
    shutil.copytree(simulated, tmp_path / "stores" / "sim")
    write_trace(tmp_path / f"{HOSTILE}.trace.jsonl", TRACE[:2])
    with looked_at(browser, tmp_path) as address:
        until(lambda: len(texts(browser, ".thing")) == 2)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
        search = browser.find_element(By.CSS_SELECTOR, "input[type=search]")
        search.send_keys("live trace")
        until(lambda: len(texts(browser, ".thing")) == 1)
        assert "at work" in texts(browser, ".thing")[0]
        assert browser.find_elements(By.CSS_SELECTOR, ".thing img") == []
        browser.find_element(By.CSS_SELECTOR, ".thing a").click()
        until(lambda: texts(browser, ".spent dd") == ["20"])
        end = {"end": {"answer": "7", "stop_reason": "answered", "sequential_tokens": 25}}
        write_trace(tmp_path / f"{HOSTILE}.trace.jsonl", [*TRACE, end])
        until(lambda: texts(browser, ".spent dd") == ["35"] and verdicts(browser))
        assert browser.find_element(By.ID, "live").text == "● finished"
        assert browser.execute_script("return window.hacked === undefined")
        browser.get(address)
        until(lambda: texts(browser, ".thing"))
        browser.find_element(By.PARTIAL_LINK_TEXT, "stores/sim").click()
        until(lambda: verdicts(browser))


def test_a_run_is_followed_while_it_goes_on(browser: Any, tmp_path: Any):
    """A round more in its log is a round more on the page, whose tabs fit on a phone."""
    shutil.copytree(RUN, tmp_path / "run")
    log = tmp_path / "run" / "events.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    after_first = next(k for k, line in enumerate(lines) if '"selected"' in line) + 1
    log.write_text("".join(lines[:after_first]))
    with looked_at(browser, tmp_path):
        until(lambda: texts(browser, ".thing"))
        browser.find_element(By.CSS_SELECTOR, ".thing a").click()
        until(lambda: "live" in browser.find_element(By.ID, "live").text)
        before = browser.find_element(By.ID, "subtitle").text
        with log.open("a") as file:
            file.writelines(lines[after_first:])
        until(lambda: "finished" in browser.find_element(By.ID, "live").text)
        assert browser.find_element(By.ID, "subtitle").text != before
        for tab in texts(browser, "[role=tab]"):
            browser.find_element(By.XPATH, f"//*[@role='tab'][.='{tab}']").click()
            wide = browser.execute_script("return document.documentElement.scrollWidth")
            assert wide <= PHONE[0], tab
