"""Import of recordings in the released layout: what it reads, and every input it refuses."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotts.errors import StoreError
from autotts.stores import check, import_recordings, load

DATA = Path(os.environ.get("AUTOTTS_DATA", Path(__file__).parents[2] / "shared" / "data"))


def released(questions: int = 2) -> list[dict[str, Any]]:
    """A small file in the released layout."""
    return [
        {
            "question": f"What is {q} + {q}?",
            "gold_answer": str(2 * q),
            "probe_freq": 500,
            "final_answers_trace": ["ERR", str(2 * q)],
            "each_branch": [
                [["No", "ERR"], 980, "ERR"],
                [["No", str(q), str(2 * q)], 1620, str(2 * q)],
            ],
        }
        for q in range(questions)
    ]


def save(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_one_file_becomes_one_store(tmp_path: Path) -> None:
    """Named after its folder and itself, or as asked."""
    file = save(tmp_path / "Tiny-1B" / "sums.json", released())
    assert import_recordings(file, tmp_path / "out") == [tmp_path / "out" / "Tiny-1B" / "sums"]
    named = import_recordings(file, tmp_path / "out", model="m", dataset="d")
    assert named == [tmp_path / "out" / "m" / "d"]
    store = check(tmp_path / "out" / "Tiny-1B" / "sums")
    assert store.name == "Tiny-1B/sums"
    assert store.answers == (("No", "ERR", "0"), ("No", "ERR", "1", "2"))
    assert store.pool.probes.tolist() == [[[0, 1, -1], [0, 2, 2]], [[0, 1, -1], [0, 2, 3]]]
    assert store.pool.lengths.tolist() == [[2, 3], [2, 3]]
    assert store.pool.tokens.tolist() == [[980, 1620], [980, 1620]]
    assert store.pool.failed.tolist() == [1, 1]
    assert store.gold.tolist() == [2, 3]
    assert store.questions() == ["What is 0 + 0?", "What is 1 + 1?"]
    assert (store.pool.interval, store.pool.billing) == (500, "reference")


def test_a_tree_is_imported_and_other_json_at_its_root_is_left_alone(tmp_path: Path) -> None:
    save(tmp_path / "in" / "A" / "one.json", released())
    save(tmp_path / "in" / "B" / "two.json", released(3))
    save(tmp_path / "in" / "expected.json", {"not": "recordings"})
    out = tmp_path / "out"
    assert import_recordings(tmp_path / "in", out) == [out / "A" / "one", out / "B" / "two"]


def test_the_same_input_has_the_same_digest(tmp_path: Path) -> None:
    """Wherever it lies and wherever it goes."""
    first = save(tmp_path / "x" / "A" / "one.json", released())
    second = save(tmp_path / "y" / "z" / "A" / "one.json", released())
    [left] = import_recordings(first, tmp_path / "left")
    [right] = import_recordings(second, tmp_path / "right")
    assert load(left).digest == load(right).digest


def put(*path: Any, value: Any) -> Callable[[list[Any]], None]:
    """A mutation that sets one place of a released file."""

    def mutate(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return mutate


BAD = {
    "question not an object": (put(1, value=3), "question 1: an object was expected, not 3"),
    "missing key": (lambda d: d[1].pop("gold_answer"), "question 1: no gold_answer"),
    "question not a string": (put(1, "question", value=5), "question 1: question is 5, not a text"),
    "gold not a string": (put(0, "gold_answer", value={}), "gold_answer is {}, not a true answer"),
    "branches not a list": (put(0, "each_branch", value={}), "each_branch is {}, not a list"),
    "trace not a list": (
        put(0, "final_answers_trace", value=None),
        "no final_answers_trace; it is a list",
    ),
    "trace shorter": (
        lambda d: d[1]["final_answers_trace"].pop(),
        "question 1: 2 branches in each_branch, 1 in final_answers_trace",
    ),
    "trace disagrees": (
        put(1, "final_answers_trace", 0, value="8"),
        'question 1, branch 0: it ends on "ERR", final_answers_trace says "8"',
    ),
    "branch too short": (lambda d: d[0]["each_branch"][1].pop(), "question 0, branch 1: .probe"),
    "probe not a string": (
        put(1, "each_branch", 1, 0, 2, value=4),
        "question 1, branch 1: answer 4 is not a string",
    ),
    "final not a string": (
        put(1, "each_branch", 1, 2, value=None),
        "question 1, branch 1: answer null is not a string",
    ),
    "no probes": (put(0, "each_branch", 0, 0, value=[]), "question 0, branch 0: a list of probe"),
    "no tokens": (put(0, "each_branch", 0, 1, value=0), "tokens are 0, not a positive integer"),
    "half a token": (put(0, "each_branch", 0, 1, value=9.5), "tokens are 9.5, not a positive int"),
    "true tokens": (put(0, "each_branch", 0, 1, value=True), "tokens are true, not a positive"),
    "other interval": (
        put(1, "probe_freq", value=250),
        "question 1, branch 0: intervals of 250",
    ),
    "odd interval": (put(1, "probe_freq", value="500"), 'question 1: probe_freq is "500", not a'),
    "huge interval": (
        put(1, "probe_freq", value=2**31),
        "question 1: probe_freq is 2147483648, not",
    ),
    "half a character": (put(0, "gold_answer", value="\ud800"), "as JSON.*surrogates not allowed"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_by_name(case: str, tmp_path: Path) -> None:
    """The error names file, question and fault; of a tree with one bad file nothing is written."""
    mutate, message = BAD[case]
    data = released()
    mutate(data)
    save(tmp_path / "in" / "A" / "good.json", released())
    bad = save(tmp_path / "in" / "B" / "bad.json", data)
    with pytest.raises(StoreError, match=message) as caught:
        import_recordings(tmp_path / "in", tmp_path / "out")
    assert str(caught.value).startswith(str(bad))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps(released())[:-40], "not JSON, perhaps cut short"),
        ("[" * 100_000, "can't be read as JSON: JSON nested more than 64 deep"),
        ('{"question": 1}', "no layout that is known"),
        ("[]", "no layout that is known"),
    ],
)
def test_files_that_are_no_recordings(content: str, message: str, tmp_path: Path) -> None:
    file = save(tmp_path / "A" / "bad.json", content)
    with pytest.raises(StoreError, match=message) as caught:
        import_recordings(file, tmp_path / "out")
    assert str(caught.value).startswith(str(file))


def test_paths_without_recordings(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file or folder"):
        import_recordings(tmp_path / "nowhere", tmp_path / "out")
    save(tmp_path / "A" / "one.json", released())
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="no recordings that are known; these are read:"):
        import_recordings(tmp_path / "empty", tmp_path / "out")
    save(tmp_path / "B" / "one.json", released())
    with pytest.raises(StoreError, match="2 stores are in these files, A/one, B/one; --model"):
        import_recordings(tmp_path, tmp_path / "out", model="m")


def test_a_second_import_needs_overwrite(tmp_path: Path) -> None:
    """And is refused before any store of the tree changes."""
    save(tmp_path / "in" / "A" / "one.json", released())
    import_recordings(tmp_path / "in", tmp_path / "out")
    save(tmp_path / "in" / "A" / "new.json", released())
    with pytest.raises(StoreError, match="is there already"):
        import_recordings(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out" / "A" / "new").exists()
    assert len(import_recordings(tmp_path / "in", tmp_path / "out", overwrite=True)) == 2


@pytest.mark.skipif(not (DATA / "scout").is_dir(), reason=f"no recorded data in {DATA}")
def test_recorded_data_comes_through_whole(tmp_path: Path) -> None:
    """Qwen3-1.7B on AIME25: every answer and token of the store is that of the JSON."""
    file = DATA / "scout" / "Qwen3-1.7B" / "aime25.json"
    [path] = import_recordings(file, tmp_path)
    store = check(path)
    assert store.pool.probes.shape == (30, 128, 80)
    for q, item in enumerate(json.loads(file.read_text())):
        words = np.array(store.answers[q], dtype=object)
        assert item["question"] == store.texts[q]
        assert item["gold_answer"] == words[store.gold[q]]
        for i, (probes, tokens, final) in enumerate(item["each_branch"]):
            length = int(store.pool.lengths[q, i])
            assert words[store.pool.probes[q, i, :length]].tolist() == probes
            assert (store.pool.tokens[q, i], words[store.pool.finals[q, i]]) == (tokens, final)
    assert round(float(store.correct.mean()), 3) == 0.354
    assert round(float(store.pool.tokens.mean()), -2) == 16_500
