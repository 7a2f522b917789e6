"""Leaderboards: who is ahead, on stores small enough to count again."""

import gc
import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from autotts import stores
from autotts.cli import app
from autotts.errors import SpecError
from autotts.evaluation import Experiment, compare, evaluate
from autotts.evaluation.design import Design, design_of
from autotts.evaluation.families import family_of
from autotts.evaluation.statistics import question_resamples
from autotts.evaluation.study.leaderboard import _Draws, leaderboard
from autotts.reports import leaderboard_page
from autotts.reports.leaderboard import conclusion, left_out, markdown
from autotts.simulation import SimulatedModel, simulate
from autotts.stores import Branch, Recording, build
from autotts.stores.schema import sealed

FEW = Experiment("subsets:3", max_branches=16)
BETAS = [0, 0.5, 1]
NAMES = ["sc", "margin", "short-mk"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two stores of one family, and one of another."""
    out = tmp_path_factory.mktemp("stores")
    for seed, (model, accuracy) in enumerate(
        [("Qwen3-1B", 0.4), ("Qwen3-8B", 0.7), ("Phi-4", 0.5)]
    ):
        simulate(out, questions=6, branches=24, seed=seed, accuracy=accuracy, model=model)
    return out


@pytest.fixture(scope="module")
def loaded(folder):
    return [stores.load(path) for path in stores.find(folder)]


def ranked(loaded, **options):
    return leaderboard(loaded, NAMES, betas=BETAS, experiment=FEW, **options)


@pytest.fixture(scope="module")
def found(loaded):
    return ranked(loaded)


def without_probes(store):
    return sealed(replace(store, pool=replace(store.pool, probes=None)))


def test_an_area_is_that_of_a_comparison(loaded):
    """On one store, as `evaluation.compare` measures it."""
    (entry,) = leaderboard(loaded[0], ["margin"], betas=BETAS, experiment=FEW).boards[0].entries
    curves = evaluate(loaded[0], ["margin", "sc:beta=1"], betas=BETAS, experiment=FEW).curves()
    area = compare.area(
        curves["margin"], reference=curves["sc:beta=1"], rng=np.random.default_rng(0)
    )
    assert entry.area == pytest.approx(100 * area.estimate)
    assert (entry.area_low, entry.area_high) == pytest.approx((100 * area.low, 100 * area.high))
    assert entry.probability == 1


def test_a_family_counts_once(loaded, found):
    """The mean over families of the means over their stores."""
    own = {
        store.name: {
            e.controller: e.area
            for e in leaderboard(store, NAMES, betas=BETAS, experiment=FEW).boards[0].entries
        }
        for store in loaded
    }
    (board,) = found.boards
    assert board.families == ("phi", "qwen3")
    for entry in board.entries:
        areas = {name: by[entry.controller] for name, by in own.items()}
        qwen3 = (areas["Qwen3-1B/sim"] + areas["Qwen3-8B/sim"]) / 2
        assert entry.by_family == pytest.approx({"phi": areas["Phi-4/sim"], "qwen3": qwen3})
        assert entry.area == pytest.approx((areas["Phi-4/sim"] + qwen3) / 2)


def test_it_is_the_same_from_the_disk_where_one_store_is_held_at_a_time(folder, found):
    def held():
        return sum(type(thing) is stores.Store for thing in gc.get_objects())

    gc.collect()
    before, most = held(), []
    again = ranked(folder, on_part=lambda part: most.append(held() - before))
    assert again.record() == found.record()
    assert max(most) == 1


def test_questions_are_drawn_alike_wherever_a_dataset_comes(loaded):
    """The models of a dataset share what is drawn, with other datasets between them."""
    drawn = _Draws(np.random.default_rng(5))
    named = loaded[1].manifest.model_copy(update={"dataset": "other"})
    other = replace(loaded[1], manifest=named)
    first, second, again = (
        drawn.of(store, design_of(store)) for store in (loaded[0], other, loaded[0])
    )
    assert np.array_equal(first.drawn, again.drawn)
    rng = np.random.default_rng(5)
    for one in (first, second):
        same = question_resamples(Design(one.drawn.shape[1]), rng=rng)
        assert np.array_equal(one.drawn, same.drawn)


def test_standings_follow_from_areas(found):
    (board,) = found.boards
    areas = [entry.area for entry in board.entries]
    assert areas == sorted(areas, reverse=True)
    assert sum(entry.probability for entry in board.entries) == pytest.approx(1)
    assert board.entries[0].behind == 0
    for entry in board.entries:
        assert entry.behind == pytest.approx(entry.area - areas[0])
        assert entry.behind_low <= entry.behind <= entry.behind_high
        best = {f: max(e.by_family[f] for e in board.entries) for f in board.families}
        regrets = {f: best[f] - entry.by_family[f] for f in board.families}
        assert entry.regret == pytest.approx(max(regrets.values()))
        assert regrets[entry.worst] == pytest.approx(entry.regret)
        assert 0 < entry.cheapest <= entry.dearest
    (sc,) = [entry for entry in board.entries if entry.controller == "sc"]
    assert sc.dearest == pytest.approx(100)


def test_stores_have_their_slopes(loaded, found):
    for store, facts in zip(loaded, found.stores, strict=True):
        assert facts.slope == pytest.approx(100 * stores.length_slopes(store).mean())
        assert facts.slope_low <= facts.slope <= facts.slope_high


def test_sequential_tokens_favour_who_works_side_by_side(loaded, found):
    """Margin voting opens branches one by one: in time it spends more than a wide vote."""
    (board,) = ranked(loaded, objective="sequential").boards
    place = {entry.controller: entry for entry in board.entries}
    assert place["margin"].dearest > 150
    assert place["sc"].dearest == pytest.approx(100)
    in_tokens = {entry.controller: entry for entry in found.boards[0].entries}
    assert in_tokens["margin"].dearest < 120


def test_controllers_that_a_store_cannot_serve_have_a_board_of_their_own(loaded):
    *probed, last = loaded
    mixed = [*probed, without_probes(last)]
    found = leaderboard(mixed, ["sc", "margin", "certaindex"], betas=[0.5], experiment=FEW)
    assert [len(board.stores) for board in found.boards] == [3, 2]
    assert [len(board.entries) for board in found.boards] == [2, 3]
    (one,) = found.left_out
    assert (one.controller, one.stores) == ("certaindex", (last.name,))
    (line,) = left_out(found)
    assert line.startswith(f"certaindex: left out on {last.name}")
    assert line in leaderboard_page.build(found).replace("&#x27;", "'")


def test_who_chooses_among_models_needs_several(loaded, tmp_path):
    """And there, budgets in cost units count a dear model's tokens for more."""
    pair = [SimulatedModel("small", 0.5, "1"), SimulatedModel("large", 0.7, "10")]
    joint = stores.load(simulate(tmp_path, questions=6, branches=24, models=pair))
    mixed, names = [loaded[0], joint], ["sc", "cascade"]
    found = leaderboard(mixed, names, objective="cost", betas=[0, 1], experiment=FEW)
    assert [len(board.entries) for board in found.boards] == [1, 2]
    (one,) = found.left_out
    assert (one.controller, one.stores) == ("cascade", (loaded[0].name,))
    place = {entry.controller: entry for entry in found.boards[1].entries}
    in_tokens = leaderboard(joint, names, betas=[0, 1], experiment=FEW).boards[0]
    cheap = {entry.controller: entry for entry in in_tokens.entries}
    assert place["cascade"].dearest > 1.2 * cheap["cascade"].dearest


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("Qwen3-30B-A3B-Thinking-2507", "qwen3"),
        ("Qwen/Qwen3-4B", "qwen3"),
        ("NVIDIA-Nemotron-Nano-9B-v2", "nemotron"),
        ("gpt-oss-20b", "gpt"),
        ("Phi-4-reasoning", "phi"),
        ("nvidia", "nvidia"),
        ("s1.1-32B", "s1.1"),
        ("7B-ours", "ours"),
        ("small", "unnamed"),
        ("Large-70b", "unnamed"),
    ],
)
def test_a_family_is_guessed_from_the_name(loaded, model, family):
    named = replace(loaded[0], manifest=loaded[0].manifest.model_copy(update={"model": model}))
    assert family_of(named) == family
    said = named.manifest.model_copy(update={"family": "mine"})
    assert family_of(replace(named, manifest=said)) == "mine"


def test_two_stores_of_one_name_are_refused(loaded):
    manifest = loaded[1].manifest.model_copy(update={"model": loaded[0].model})
    with pytest.raises(SpecError, match="two stores are called so"):
        ranked([loaded[0], replace(loaded[1], manifest=manifest)])


def test_an_objective_that_there_is_not(loaded):
    with pytest.raises(SpecError, match="objective 'speed': need one of tokens, sequential, cost"):
        ranked(loaded, objective="speed")


def test_the_conclusion_names_who_cannot_be_told_apart(found):
    (board,) = found.boards
    words = conclusion(board)
    assert words.startswith(f"{board.entries[0].controller} has the largest area")
    for entry in board.entries[1:]:
        assert (entry.controller in words) == (entry.behind_high >= 0)


def test_markdown_has_every_controller_and_store(found):
    text = markdown(found)
    for entry in found.boards[0].entries:
        assert f"| {entry.controller} | {entry.area:.1f} |" in text
    assert all(store.name in text for store in found.stores)


def test_names_are_not_markup(found):
    evil = "<script>alert(1)</script>|*x*"
    (board,) = found.boards
    entries = tuple(replace(entry, controller=evil) for entry in board.entries)
    shown = replace(found, boards=(replace(board, entries=entries),))
    assert "<script" not in leaderboard_page.build(shown)
    assert "&lt;script&gt;alert(1)" in leaderboard_page.build(shown)
    assert "\\<script\\>alert(1)" in markdown(shown)
    assert "\\|\\*x\\*" in markdown(shown)


def test_one_question_has_no_bounds(tmp_path):
    """Which every form of a leaderboard can say."""
    every = [Recording("Q?", "4", [Branch(["4"], 100, "4")] * 2)]
    one = build(every, model="m", dataset="d", interval_tokens=100)
    found = leaderboard([one], ["sc", "asc"], experiment=Experiment("subsets:1"), betas=(0.5,))
    assert "(? … ?)" in markdown(found)
    assert "m/d" in leaderboard_page.build(found)
    (facts,) = json.loads(json.dumps(found.record(), allow_nan=False))["stores"]
    assert (facts["slope_low"], facts["slope_high"]) == (None, None)


def test_the_command_writes_what_the_name_says(folder, tmp_path):
    files = [tmp_path / f"board{end}" for end in (".html", ".md", ".json")]
    named = [word for file in files for word in ("--out", str(file))]
    few = ["-c", "sc", "-c", "margin", "--beta", "0,1", "--draws", "subsets:2"]
    ran = CliRunner().invoke(app, ["leaderboard", str(folder), *few, *named])
    assert ran.exit_code == 0, ran.output
    assert "has the largest area" in ran.output
    page, text, record = (file.read_text() for file in files)
    assert page.startswith("<!doctype html>")
    assert "<script" not in page
    assert text.startswith("# Leaderboard of controllers")
    assert json.loads(record)["boards"][0]["families"] == ["phi", "qwen3"]
    assert json.loads(record)["made_by"]["draws"] == "subsets:2"


def test_the_command_refuses_other_files_before_it_computes(folder, tmp_path):
    asked = ["leaderboard", str(folder), "--out", str(tmp_path / "board.txt")]
    ran = CliRunner().invoke(app, asked)
    assert "name a file that ends with .html, .md, .json" in str(ran.exception)
    assert not any(tmp_path.iterdir())
