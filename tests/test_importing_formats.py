"""Recordings of other programs: what is read of each format, and what is said of it."""

import gzip
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import recordings
from autotts.errors import SpecError, StoreError
from autotts.stores import check, import_recordings
from autotts.stores.importing import read_recordings
from recordings import ANSWERS, QUESTIONS, TOKENS

ESTIMATED = {"lm-eval": {"chars_per_token": 4}}
"""What the recordings need that have no token counts."""


def read(name, tmp_path, **options):
    """What is understood of a made-up recording."""
    folder = recordings.write(name, tmp_path / "in")
    return read_recordings(folder, **ESTIMATED.get(name, {}), **options)


def lines(path, rows):
    """A file of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(recordings.as_lines(rows))
    return path


@pytest.mark.parametrize("name", recordings.FILES)
def test_every_format_is_found_and_read_by_looking(name, tmp_path):
    """The same two sums come out, with their votes as mathematics, and a sound store on disk."""
    format_name = recordings.FILES[name][0]
    understood = read(name, tmp_path, equality="math")
    for one in understood:
        assert one.told[0].startswith(f"{one.store.name}: {format_name}")
        pool, store = one.store.pool, one.store
        assert store.dataset == "sums"
        assert store.model.split("__")[-1] in ("Tiny-1B", "Tiny-2B")
        assert pool.finals.shape == (2, 3)
        assert store.correct.tolist() == [[True, False, True], [True, True, False]]
        if name != "lm-eval":
            assert pool.tokens.tolist() == [list(row) for row in TOKENS]
        if name != "lengths":
            assert store.questions() == [question for question, _ in QUESTIONS]
        assert store.spellings is not None
        spelled = store.spellings
        for q, row in enumerate(ANSWERS):
            assert [spelled.answers[q][code] for code in spelled.finals[q]] == list(row)
    folders = import_recordings(
        tmp_path / "in", tmp_path / "out", equality="math", **ESTIMATED.get(name, {})
    )
    assert len(folders) == (2 if name == "matharena" else 1)
    for folder, one in zip(folders, understood, strict=True):
        assert check(folder).digest == one.store.digest


@pytest.mark.parametrize("name", recordings.FILES)
def test_a_format_can_be_named(name, tmp_path):
    format_name = recordings.FILES[name][0]
    folder = recordings.write(name, tmp_path)
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "metadata.json":
            options = {**ESTIMATED.get(name, {}), "format": format_name}
            assert read_recordings(path, **options)[0].told[0].count(format_name)
    with pytest.raises(SpecError, match="--format x: there are released, lengths"):
        read_recordings(path, format="x")


def test_released_recordings_stay_exact(tmp_path):
    [one] = read("released", tmp_path)
    assert one.store.manifest.equality == "exact"
    assert one.store.spellings is None
    assert one.store.correct.tolist() == [[True, False, True], [False, False, False]]
    assert one.store.pool.billing == "reference"


def test_own_recordings_are_compared_by_what_they_look_like(tmp_path):
    [one] = read("lines", tmp_path)
    assert one.store.manifest.equality == "math"
    assert any("as mathematics: 66.7 % of branches right, as strings 33" in x for x in one.told)
    rows = [
        {"question": "Which?", "gold": "B", "answer": answer, "tokens": 100}
        for answer in ("B", "(b)", "B) the cat", "C", None)
    ]
    [one] = read_recordings(lines(tmp_path / "m" / "choices.jsonl", rows))
    assert one.store.manifest.equality == "choice"
    assert one.store.correct.tolist() == [[True, True, True, False, False]]
    assert one.store.pool.failed.tolist() == [one.store.pool.finals[0, 4]]


def test_programs_are_voted_on_by_what_they_do(tmp_path):
    rows = [
        {"question": "Sort.", "gold": "ab12", "answer": code, "behaviour": does, "tokens": 90}
        for code, does in (("sorted(x)", "ab12"), ("x.sort()", "ab12 "), ("x", "ff00"))
    ]
    [one] = read_recordings(lines(tmp_path / "m" / "code.jsonl", rows))
    assert one.store.manifest.equality == "code"
    assert one.store.correct.tolist() == [[True, True, False]]


def test_columns_are_mapped_by_look_and_by_hand(tmp_path):
    """A table of questions whose answer column is the truth, with a list of what models wrote."""
    rows = [
        {"problem": "1 + 1?", "answer": 2, "level": 3, "generations": [r"\boxed{2}", r"\boxed{3}"]}
    ]
    path = tmp_path / "m" / "table.parquet"
    path.parent.mkdir()
    path.write_bytes(recordings.as_parquet(rows))
    [one] = read_recordings(path, chars_per_token=3)
    assert one.store.correct.tolist() == [[True, False]]
    assert "  columns read as question=problem, gold=answer, response=generations" in one.told
    assert "  columns not read: level" in one.told
    assert "  tokens estimated: 3 characters a token" in one.told
    assert one.store.manifest.tokens_counted == "estimated: 3 characters a token"
    odd = [{"q": "1 + 1?", "x": {"truth": "2"}, "y": "2", "z": 100}]
    columns = {"question": "q", "gold": "x.truth", "answer": "y", "tokens": "z"}
    [one] = read_recordings(lines(tmp_path / "m" / "odd.jsonl", odd), columns=columns)
    assert one.store.correct.all()
    with pytest.raises(SpecError, match=r"--column depth=...: a sample has question, gold"):
        read_recordings(path, columns={"depth": "z"})


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_a_table_of_any_spreadsheet_is_read(sign, tmp_path):
    """Where commas are decimal points they part no columns."""
    path = tmp_path / "m" / "table.csv"
    path.parent.mkdir()
    rows = [["question", "gold", "answer", "tokens"], ["1 + 1?", "2", "2", "30"]]
    path.write_text("\ufeff" + "\r\n".join(sign.join(row) for row in rows), encoding="utf-8")
    [one] = read_recordings(path)
    assert one.store.texts == ("1 + 1?",)
    assert one.store.correct.all()


SAMPLES = [
    {"question": "1 + 1?", "gold": 2, "answer": "2", "tokens": 30.0},
    {"question": "1 + 1?", "gold": 2, "answer": None, "tokens": 40.0},
]


class PandasLike:
    """A frame as pandas has it: numbers of NumPy, NaN where there is nothing."""

    columns = tuple(SAMPLES[0])

    def to_dict(self, orient):
        assert orient == "records"
        return [
            {**row, "answer": row["answer"] or float("nan"), "tokens": np.float64(row["tokens"])}
            for row in SAMPLES
        ]


@pytest.mark.parametrize("table", [SAMPLES, pl.DataFrame(SAMPLES), PandasLike()])
def test_a_table_in_memory_is_imported(table, tmp_path):
    """As in a notebook, without a file between."""
    [folder] = import_recordings(table, tmp_path, model="m", dataset="d")
    assert check(folder).pool.tokens.tolist() == [[30, 40]]
    assert check(folder).correct.tolist() == [[True, False]]
    with pytest.raises(SpecError, match="nothing names the dataset of a table; give dataset="):
        import_recordings(table, tmp_path, model="m")
    with pytest.raises(StoreError, match=r"^table: .*--column gold=NAME"):
        import_recordings([{"question": "?"}], tmp_path, model="m", dataset="e")
    for wrong in (3, [3], "abc".encode):
        with pytest.raises(SpecError, match="a frame of pandas or polars, or a list of dict"):
            import_recordings(wrong, tmp_path)
    with pytest.raises(SpecError, match="the table has no rows"):
        import_recordings([], tmp_path)


CIRCULAR: list = []
CIRCULAR.append(CIRCULAR)


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ({"answer": {"2", "3"}}, r'answer is {"set": "{.*}"}, not a text or a number'),
        ({"answer": b"2"}, r'answer is {"bytes": "b\'2\'"}, not a text or a number'),
        ({"tokens": 2**70}, r'tokens is "1180591620717411303424", not a non-negative integer'),
        ({"tokens": float("inf")}, r'tokens is "Infinity", not a non-negative integer'),
        ({"tokens": [1, float("nan")], "answer": ["2", "2"]}, "sample 1: no token count"),
        ({("a", "b"): 1}, "can't be read: keys must be str"),
        ({"notes": CIRCULAR}, "can't be read: Circular reference"),
    ],
)
def test_what_a_table_can_not_say_names_its_line(value, wrong, tmp_path):
    rows = [*SAMPLES, {**SAMPLES[0], **value}]
    with pytest.raises(StoreError, match=f"^table: line 3.*{wrong}"):
        import_recordings(rows, tmp_path / "out", model="m", dataset="d")
    assert not (tmp_path / "out").exists()


def test_a_table_has_nothing_where_it_has_nan_and_numbers_of_any_size(tmp_path):
    """In its first row too, by which its columns are known, and inside of lists."""
    rows = [
        {"question": "?", "gold": [2**70], "answer": np.float32("nan"), "tokens": 30},
        {"question": "?", "gold": [2**70], "answer": [2**70, float("nan")], "tokens": [30, 40]},
    ]
    [folder] = import_recordings(rows, tmp_path, model="m", dataset="d")
    assert check(folder).correct.tolist() == [[False, True, False]]


def test_two_columns_of_one_name_are_refused(tmp_path):
    frame = PandasLike()
    frame.columns = (*PandasLike.columns, "gold")
    with pytest.raises(SpecError, match="two columns of the table are called 'gold'; rename one"):
        import_recordings(frame, tmp_path, model="m", dataset="d")


@pytest.mark.parametrize(
    ("begins", "wrong"),
    [
        (b"\x1f\x8b\x08", "packed by gzip; let its name end in .gz"),
        (b"\x28\xb5\x2f\xfd", "packed by Zstandard; unpack it"),
        ('{"question"'.encode("utf-16"), "text in UTF-16; write it in UTF-8"),
    ],
)
def test_files_that_are_packed_otherwise_say_so(begins, wrong, tmp_path):
    path = tmp_path / "m" / "samples.jsonl"
    path.parent.mkdir()
    path.write_bytes(begins + bytes(20))
    with pytest.raises(StoreError, match=wrong):
        read_recordings(path)


def test_whole_numbers_are_read_as_a_spreadsheet_writes_them(tmp_path):
    """With a point, where some row of the column has none."""
    path = tmp_path / "m" / "table.csv"
    path.parent.mkdir()
    path.write_text("question,gold,answer,tokens\n1 + 1?,2,2,30.0\n")
    [one] = read_recordings(path)
    assert one.store.pool.tokens.tolist() == [[30]]
    for other in ("30.5", "1.000"):  # which is a thousand where commas are decimal points
        path.write_text(f"question,gold,answer,tokens\n1 + 1?,2,2,{other}\n")
        with pytest.raises(StoreError, match=f'tokens is "{other}", not a non-negative integer'):
            read_recordings(path)


def test_questions_may_have_several_true_answers_and_repeat(tmp_path):
    rows = [
        {"problem_num": 4, "gold_answer": [4, "four"], "all_answers": [["four", 9], ["4", 8]]},
        {"problem_num": 4, "gold_answer": 7, "all_answers": [["7", 9], [None, 0], ["", 5]]},
    ]
    [one] = read_recordings(lines(tmp_path / "d" / "m.jsonl", rows))
    assert one.store.ids == ("4", "4 #2")
    assert one.store.correct.tolist() == [[True, True], [True, False]]
    assert one.store.pool.n_branches.tolist() == [2, 2]
    told = "\n".join(one.told)
    assert "left out: 1 sample that failed" in told
    assert "no answer could be read in 1 branch" in told


def test_steps_of_agents_are_intervals_of_their_own_size(tmp_path):
    [one] = read("trajectories", tmp_path)
    pool = one.store.pool
    assert pool.ends[0, 0].tolist() == [300, 300, 1_200]
    assert pool.signals["tests"][0, 0].tolist() == [0.25, float("-inf"), 1.0]
    assert [one.store.answers[0][code] for code in pool.probes[0, 0]] == ["ERR", "3", "2"]
    assert one.store.used["prompt_tokens"].tolist() == [[40] * 3] * 2


def test_short_branches_have_shorter_intervals(tmp_path):
    rows = [
        {"question": "1 + 1?", "gold": "2", "answer": "2", "tokens": tokens}
        for tokens in (90, 120, 150)
    ]
    path = lines(tmp_path / "m" / "short.jsonl", rows)
    assert read_recordings(path)[0].store.pool.interval == 10
    assert read_recordings(path, interval_tokens=64)[0].store.pool.interval == 64
    rows.append({**rows[0], "tokens": 60_000})
    assert read_recordings(lines(path, rows))[0].store.pool.interval == 200


def test_packed_files_are_read(tmp_path):
    path = lines(tmp_path / "m" / "sums.jsonl", recordings.samples())
    packed = path.with_name("sums.jsonl.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert read_recordings(tmp_path)[0].store.name == "m/sums"
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(StoreError, match=r"sums.jsonl.gz: can't be unpacked"):
        read_recordings(tmp_path)


def test_a_log_of_inspect_as_it_packs_them_now(tmp_path):
    """Since 2026 by Zstandard, which Python reads from version 3.14 on."""
    pytest.importorskip("zstandard")
    [one] = read_recordings(Path(__file__).with_name("inspect_zstandard.eval"))
    assert one.store.name == "mockllm__model/sums"
    assert one.store.pool.tokens.tolist() == [[20, 22, 24], [21, 23, 25]]


REFUSED = {
    "no gold": ({"gold": None}, "line 2: no gold; it is a true answer"),
    "gold that is none": ({"gold": []}, r"line 2: gold is \[\], not a true answer"),
    "gold of an object": ({"gold": {"a": 1}}, r'line 2: gold is {"a": 1}, not a true answer'),
    "an answer that is none": ({"answer": [[1]]}, r"line 2, sample 0: answer is \[1\], not a text"),
    "tokens below zero": ({"tokens": -5}, "line 2: tokens is -5, not a non-negative integer"),
    "half a token": ({"tokens": 1.5}, "line 2: tokens is 1.5, not a non-negative"),
    "tokens in words": ({"tokens": "many"}, 'line 2: tokens is "many", not a non-negative'),
    "too many tokens": ({"tokens": 2**31}, "line 2: tokens is 2147483648, not a non-neg"),
    "true tokens": ({"tokens": True}, "line 2: tokens is true, not a non-negative integer"),
    "no tokens": (
        {"tokens": None},
        "line 2: no token count and no response to count tokens in; .*--column tokens=NAME",
    ),
    "an answer without tokens": ({"tokens": 0}, 'line 2: no tokens, and yet the answer "3"'),
    "another gold": ({"gold": "3"}, r'line 2: gold is \["3"\], but \["2"\] at .*line 1, for the'),
    "another text": ({"question": "Why?"}, 'line 2: question is "Why.", but "What is 1'),
    "a name that is none": ({"id": 1.5}, "line 2: id is 1.5, not a text or a whole number"),
    "lists of two lengths": (
        {"answer": ["1", "2"], "tokens": [1]}, "line 2: lists of other lengths: 2 of answer, 1 of",
    ),
    "no answers": ({"answer": []}, "line 2: answer is an empty list"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_file_line_and_field(case, tmp_path):
    change, message = REFUSED[case]
    rows = recordings.samples()
    rows[1].update(change)
    path = lines(tmp_path / "in" / "m" / "sums.jsonl", rows)
    with pytest.raises(StoreError, match=message) as caught:
        import_recordings(path.parent, tmp_path / "out")
    assert str(caught.value).startswith(f"{path}: ")
    assert not (tmp_path / "out").exists()


def test_tokens_that_can_not_be_are_said(tmp_path):
    rows = [{**row, "response": "a long thought " * 800} for row in recordings.samples()]
    rows[0]["tokens"] = 3
    [one] = read_recordings(lines(tmp_path / "m" / "sums.jsonl", rows))
    assert any("check the token counts: 1 response" in line for line in one.told)


def test_samples_without_counts_say_what_would_help(tmp_path):
    with pytest.raises(StoreError, match=r"no token count; --tokenizer FILE .* --chars-per"):
        read_recordings(recordings.write("lm-eval", tmp_path))
    with pytest.raises(SpecError, match="not by both"):
        read_recordings(tmp_path, tokenizer="x.json", chars_per_token=4)
    with pytest.raises(SpecError, match="between 0 and 1000"):
        read_recordings(tmp_path, chars_per_token=-1)


def test_tokens_are_counted_by_a_tokenizer(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    rows = [{"question": "How?", "gold": "2", "answer": "2", "response": "a b a"}]
    path = lines(tmp_path / "m" / "words.jsonl", rows)
    [one] = read_recordings(path, tokenizer=tmp_path / "tokenizer.json")
    assert one.store.pool.tokens.tolist() == [[3]]
    assert "counted by the tokenizer" in one.store.manifest.tokens_counted
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(StoreError, match="no tokenizer of the tokenizers library"):
        read_recordings(path, tokenizer=tmp_path / "tokenizer.json")


def test_what_is_no_recording_is_left_alone_and_said(tmp_path):
    recordings.write("verifiers", tmp_path)
    (tmp_path / "results.json").write_text('{"accuracy": 0.5}')
    [one] = read_recordings(tmp_path)
    assert one.told[-1].endswith("2 files that are no recordings: metadata.json, results.json")
    with pytest.raises(StoreError, match=r"no layout that is known \(it has accuracy\)"):
        read_recordings(tmp_path / "results.json")


def test_names_that_would_join_several_stores_are_refused(tmp_path):
    recordings.write("matharena", tmp_path)
    with pytest.raises(StoreError, match="2 stores are in these files, org__Tiny-1B/sums, org__T"):
        read_recordings(tmp_path, model="m")


def test_likelihoods_are_no_samples(tmp_path):
    [row, *_] = recordings.lm_eval()
    row |= {
        "resps": [[["-1.5", "False"]], [["-2.5", "True"]]],
        "filtered_resps": [["-1.5", "True"]],
    }
    path = lines(tmp_path / "m" / "samples_choices.jsonl", [row])
    with pytest.raises(StoreError, match="scored by likelihoods"):
        read_recordings(path)


def test_many_questions_and_many_branches(tmp_path):
    """20,000 of each."""
    branches = [{"problem_num": 0, "gold_answer": "4", "all_answers": [["4", 100]] * 20_000}]
    questions = [
        {"problem_num": q, "gold_answer": "4", "all_answers": [["4", 100]]} for q in range(20_000)
    ]
    for name, rows in (("branches", branches), ("questions", questions)):
        path = lines(tmp_path / "d" / f"{name}.jsonl", rows)
        assert read_recordings(path)[0].store.correct.sum() == 20_000


def test_the_answer_to_be_voted_on_is_that_of_the_first_filter(tmp_path):
    [one] = read("lm-eval", tmp_path)
    spelled = one.store.spellings
    assert [spelled.answers[1][code] for code in spelled.finals[1]] == ["0.5", "1/2", "2"]
    rows = [row for row in recordings.lm_eval() if row["filter"] == "majority"]
    [two] = read_recordings(lines(tmp_path / "m" / "samples_sums.jsonl", rows), chars_per_token=4)
    assert two.store.correct.tolist() == one.store.correct.tolist()
    assert "  6 answers were read in what the model wrote" in two.told


def test_a_log_that_was_cut_short_is_refused(tmp_path):
    path = tmp_path / "sums.eval"
    path.write_bytes(recordings.as_zip(recordings.inspect_members())[:-40])
    with pytest.raises(StoreError, match="no zip archive that can be read"):
        read_recordings(path)
    broken = {**recordings.inspect_members(), "samples/1_epoch_1.json": []}
    path.write_bytes(recordings.as_zip(broken))
    with pytest.raises(StoreError, match=r"samples/1_epoch_1.json: an object was expected"):
        read_recordings(path)
    path.write_bytes(recordings.as_zip({"a.json": json.loads("{}")}))
    with pytest.raises(StoreError, match=r"no header.json; this is no log of Inspect"):
        read_recordings(path)


@pytest.mark.parametrize("value", [True, "high", 1e308])
def test_signals_are_numbers_that_a_store_can_hold(value, tmp_path):
    rows = recordings.trajectories()
    rows[1]["steps"][0]["signals"]["tests"] = value
    path = lines(tmp_path / "m" / "agents.jsonl", rows)
    with pytest.raises(StoreError, match=r"line 2, steps 0: signal tests is .* not a number of"):
        read_recordings(path)


def test_names_in_an_archive_drive_no_terminal(tmp_path):
    members = {**recordings.inspect_members(), "samples/\r1_epoch_1.json": []}
    path = tmp_path / "sums.eval"
    path.write_bytes(recordings.as_zip(members))
    with pytest.raises(StoreError, match="an object was expected") as caught:
        read_recordings(path)
    assert "\r" not in str(caught.value)


def test_a_column_without_a_name_is_no_part_of_a_sample(tmp_path):
    rows = [{"question": "a?", "gold": "1", "answer": "1", "tokens": 9, "": [2, 3]}]
    [one] = read_recordings(lines(tmp_path / "m" / "d.jsonl", rows))
    assert one.store.pool.finals.shape == (1, 1)


def test_questions_have_weights_and_groups(tmp_path):
    rows = [
        {"question": q, "gold": "1", "answer": a, "tokens": 9, "weight": w, "subject": s}
        for q, w, s in (("a?", 2, "sets"), ("b?", "0.5", "graphs"))
        for a in "12"
    ]
    path = lines(tmp_path / "m" / "d.jsonl", rows)
    [one] = read_recordings(path, columns={"group:topic": "subject"})
    assert one.store.weights.tolist() == [2.0, 0.5]
    assert one.store.groups == {"topic": ("sets", "graphs")}
    assert "  columns read as group:topic=subject" in one.told
    rows[1]["weight"] = 3
    with pytest.raises(StoreError, match=r"line 2: weight is 3.0, but 2.0 at .*line 1"):
        read_recordings(lines(path, rows))
    rows[1]["weight"] = -1
    with pytest.raises(StoreError, match=r"line 2: weight is -1, not a weight, 0 or more"):
        read_recordings(lines(path, rows))
    with pytest.raises(SpecError, match=r"a sample has question, .* and group:NAME"):
        read_recordings(path, columns={"groups": "subject"})
