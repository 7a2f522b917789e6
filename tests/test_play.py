"""What the playground is told: episodes as replay plays them, and no true answer unasked."""

import json
import threading
import urllib.error
import urllib.request
from urllib.parse import urlencode

import numpy as np
import pytest

from autotts import control, programs, stores
from autotts.errors import SpecError
from autotts.evaluation import Execution, Experiment, run_cells
from autotts.play import page
from autotts.play.recorded import SWEPT, RecordedQuestions
from autotts.play.server import PlayAnswers
from autotts.reports.server import LoopbackServer

EXPERIMENT = Experiment(draws="subsets:3")


@pytest.fixture(scope="module")
def store(simulated):
    return stores.load(simulated)


@pytest.fixture(scope="module")
def recorded(store):
    with RecordedQuestions([store], experiment=EXPERIMENT) as made:
        yield made


@pytest.fixture(scope="module")
def address(recorded):
    with LoopbackServer(PlayAnswers(recorded).answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


def get(address, path, **asked):
    """Status and JSON of a reply."""
    try:
        with urllib.request.urlopen(f"{address}{path}?{urlencode(asked)}") as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.parametrize("controller", ["cmc", "asc", "short-mk", "parallel-probe"])
@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_an_episode_is_what_replay_plays(store, recorded, controller, beta):
    """Its steps are the trace's, its tokens and its answer those of the evaluation."""
    (ran,) = run_cells(
        [store], programs.parse(controller), beta, experiment=EXPERIMENT,
        execution=Execution(traces=True), pairs=np.array([[2, 1]]),
    )  # fmt: skip
    shown = recorded.episode(0, 2, 1, controller, beta)
    steps = np.array(shown["steps"])
    assert shown["tokens"] == ran.tokens[0] == steps[:, 5].sum()
    assert shown["rounds"] == steps[:, 0].max()
    code = int(ran.codes[0])
    answer = shown["answers"][shown["answer"]] if shown["answer"] >= 0 else None
    assert answer == (store.answers[2][code] if code >= 0 else None)
    trace = ran.trace().filter(ran.trace()["action"] != "note")
    assert steps[:, 0].tolist() == trace["round"].to_list()
    assert steps[:, 2].tolist() == trace["branch"].to_list()
    texts = [shown["answers"][a] if a >= 0 else None for a in steps[:, 4].tolist()]
    assert texts == trace["answer"].to_list()
    notes = ran.trace().filter(ran.trace()["action"] == "note")
    assert [value for _, _, value in shown["notes"]] == notes["value"].to_list()
    assert set(np.unique(steps[:, 1])) <= set(range(control.NOTE))


def test_a_sweep_says_what_each_beta_answers(recorded):
    swept = recorded.sweep(0, 1, 0, "cmc")
    assert [one["beta"] for one in swept] == list(SWEPT)
    at = swept[SWEPT.index(0.6)]
    episode = recorded.episode(0, 1, 0, "cmc", 0.6)
    assert at["tokens"] == episode["tokens"]
    assert at["answer"] == episode["answers"][episode["answer"]]


def test_the_true_answer_is_told_when_it_is_asked_for_alone(tmp_path):
    """Not even as an answer that no branch shows."""
    branches = [stores.Branch(("1", "2"), 900, "2"), stores.Branch(("2", "2"), 800, "2")]
    recording = stores.Recording("What?", ["gold 99", "other 98"], branches)
    made = stores.build([recording], model="m", dataset="d", interval_tokens=500)
    with RecordedQuestions([made], experiment=Experiment(draws="recorded")) as recorded:
        unasked = [
            recorded.catalogue(),
            recorded.question(0, 0),
            recorded.episode(0, 0, 0, "sc", 1.0),
            recorded.sweep(0, 0, 0, "sc"),
        ]
        assert "gold" not in json.dumps(unasked)
        assert "98" not in json.dumps(unasked[1])
        assert recorded.gold(0, 0) == ["gold 99", "other 98"]


def test_what_is_not_there_is_said_by_name(recorded, address):
    for path, asked, words in (
        ("episode.json", {"store": 0, "question": 99, "draw": 0}, "questions 0 to 3"),
        ("episode.json", {"store": 7, "question": 0, "draw": 0}, "stores 0 to 0"),
        ("episode.json", {"store": 0, "question": 0, "draw": 3}, "draws 0 to 2"),
        ("episode.json", {"store": 0, "question": 0, "draw": "x"}, "draw: need a whole number"),
        ("gold.json", {"store": 0}, "question: need a whole number, got ''"),
    ):
        asked = {"controller": "cmc", "beta": 0.5, **asked}
        status, said = get(address, path, **asked)
        assert status == 400
        assert words in said["error"]
    here = {"store": 0, "question": 0, "draw": 0, "beta": 0.5}
    assert get(address, "episode.json", **here, controller="../x")[0] == 400
    assert get(address, "episode.json", **{**here, "beta": "nan"}, controller="cmc")[0] == 400
    assert "offered: asc" in get(address, "episode.json", **here, controller="mine.py")[1]["error"]
    with pytest.raises(SpecError):
        recorded.question(0, -1)


def test_other_hosts_and_methods_get_nothing(address):
    rebound = urllib.request.Request(f"{address}catalogue.json", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="421"):
        urllib.request.urlopen(rebound)
    post = urllib.request.Request(f"{address}catalogue.json", data=b"{}")
    with pytest.raises(urllib.error.HTTPError, match="501"):
        urllib.request.urlopen(post)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{address}../pyproject.toml")


def test_a_controller_that_fails_says_why(store, trust):
    text = """
        '''Opens nothing.'''

        def schedule(beta):
            return {"k": 0}

        def solve(env, p):
            env.branch(p.k)
            return env.vote()
    """
    spec = trust(text)
    with RecordedQuestions([store], [spec], experiment=EXPERIMENT) as recorded:
        answers = PlayAnswers(recorded)
        query = urlencode(
            {"store": 0, "question": 0, "draw": 0, "controller": spec.text, "beta": 0.5}
        )
        reply = answers.answer(f"/episode.json?{query}")
        assert reply.status == 400
        assert "k must be at least 1" in json.loads(reply.content)["error"]


def test_the_page_asks_its_own_server_alone():
    made = page.build("recorded", "</script><script>hacked")
    assert "default-src 'none'" in made.replace("&#x27;", "'")
    assert "connect-src 'self'" in made.replace("&#x27;", "'")
    assert "<script>hacked" not in made
    assert "http://" not in made.replace("http://www.w3.org", "")
    assert "https://" not in made
