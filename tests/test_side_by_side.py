"""Rounds that are proposed side by side, while others are scored."""

import threading
import time

import pytest

from autotts.discovery.explorers import make
from autotts.discovery.loop import Discovery
from autotts.discovery.run.folder import RunFolder
from autotts.discovery.run.settings import RunLimits
from autotts.discovery.side_by_side import require_side_by_side
from autotts.errors import SpecError
from discover_toy import Scripted, lines, result, session, settings, store_folder

FOUR = RunLimits(rounds=4)


class Beside(Scripted):
    """A scripted explorer that may be asked for several rounds at once.

    Says what each round knew, and waits in the rounds of `waits` for so many seconds.
    """

    def __init__(self, sent, waits=()):
        super().__init__(sent)
        self.waits = dict(waits)
        self.knew = {}

    def propose(self, turn):
        self.knew[turn.round] = [trial.name for trial in turn.history.trials]
        time.sleep(self.waits.get(turn.round, 0))
        return super().propose(turn)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return store_folder(tmp_path_factory.mktemp("stores"))


@pytest.fixture
def begin(tmp_path, store):
    def new(name="run", parallel=3, **changes):
        made = settings(store, parallel=parallel, **{"limits": FOUR, "traces": False, **changes})
        return RunFolder.create(tmp_path / name, made).path

    return new


def by_round(folder):
    """The events of each round; those of proposing may stand anywhere before it is scored."""
    found = [event for event in result(folder) if "round" in event]
    return sorted(found, key=lambda event: (event["round"], event["event"]))


def test_what_is_found_does_not_depend_on_who_is_first(begin, tmp_path):
    """Whoever takes longest: the same proposals, scores and selections, in the order of rounds."""
    explorers, found = [], []
    for name, waits in (("a", {1: 0.5}), ("b", {2: 0.5, 4: 0.2})):
        folder = begin(name)
        explorers.append(Beside(tmp_path / "sent", waits))
        assert session(folder, explorers[-1]).stopped == ""
        kinds = [e for e in lines(folder) if e["event"] in ("scored", "selected")]
        assert [event["round"] for event in kinds] == [1, 1, 2, 2, 3, 3, 4, 4]
        found.append(by_round(folder))
    assert found[0] == found[1]
    assert explorers[0].knew == explorers[1].knew == {1: [], 2: [], 3: [], 4: ["1"]}


def test_explorers_work_while_others_do_and_while_programs_are_scored(begin, tmp_path):
    together = threading.Barrier(2, timeout=60)
    scored = threading.Event()

    class Meeting(Beside):
        def propose(self, turn):
            if turn.round <= 2:
                together.wait()
            if turn.round == 2:
                assert scored.wait(60)
            return super().propose(turn)

    def say(line):
        if line.startswith("round-1 has area"):
            scored.set()

    with RunFolder(begin(parallel=2)).open() as run:
        Discovery(run, Meeting(tmp_path / "sent"), say).go()
        assert run.state.rounds == 4


def test_a_run_that_ended_keeps_every_proposal_and_pays_for_none_again(begin, tmp_path):
    whole, folder = begin("whole"), begin()
    session(whole, Beside(tmp_path / "whole.sent"))
    sent = tmp_path / "sent"

    def stop(line):
        if line == "round 2: replaying round-2":
            raise KeyboardInterrupt

    with RunFolder(folder).open() as run, pytest.raises(KeyboardInterrupt):
        Discovery(run, Beside(sent, {4: 0.3}), stop).go()
    state = RunFolder(folder).state
    assert state.condition == "interrupted"
    assert {1, 2, 3} <= state.proposals.keys()
    explorer = Beside(sent)
    session(folder, explorer)
    assert explorer.knew.keys() == {1, 2, 3, 4} - state.proposals.keys()
    assert sorted(sent.read_text().split()) == ["1", "2", "3", "4"]
    assert by_round(folder) == by_round(whole)


@pytest.mark.parametrize(
    ("limits", "calls", "evaluations"),
    [
        (RunLimits(rounds=8, evaluations=5), 8, 5),
        (RunLimits(rounds=8, usd=1.2), 3, 16),
        (RunLimits(rounds=8, model_tokens=200), 1, 16),
    ],
)
def test_a_budget_holds_for_all_together(begin, tmp_path, limits, calls, evaluations):
    """A call reserves 0.5 USD or 150 tokens and costs half of it; a round tries and is scored."""
    folder = begin(parallel=4, limits=limits)
    assert "are left" in (stopped := session(folder, Beside(tmp_path / "sent")).stopped) or (
        "are spent" in stopped
    )
    state = RunFolder(folder).state
    assert 0 < len(state.calls) <= calls
    assert state.evaluations <= evaluations
    assert state.usage.usd <= (limits.usd or 9)
    assert state.condition == "stopped"


def test_who_builds_on_the_round_before_takes_one_at_a_time(tmp_path):
    offline = make("offline", {})
    require_side_by_side(offline, 1)
    with pytest.raises(SpecError, match="offline builds each round on the one before"):
        require_side_by_side(offline, 2)
    require_side_by_side(Beside(tmp_path / "sent"), 2)
