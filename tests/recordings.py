"""A small made-up recording in each format that is imported: two sums, three samples each.

Written as the programs write that the formats are of: field by field after what inspect-ai 0.3.285,
lm-eval 0.4.13 and verifiers 0.4.0 and 0.1 write, and the documentation of the others.
"""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import polars as pl

QUESTIONS = (("What is 1 + 1?", "2"), ("What is half of one?", r"\frac{1}{2}"))
ANSWERS = (("2", "3", "2"), ("0.5", "1/2", "2"))
TOKENS = ((1_200, 800, 1_700), (900, 2_300, 1_100))


def said(answer: str) -> str:
    """What a model writes to give an answer."""
    return rf"We add, and get \boxed{{{answer}}}."


def _each() -> Iterable[tuple[int, int, str, str, str, int]]:
    """Question number, sample number, question, gold, answer and tokens of each sample."""
    for q, (question, gold) in enumerate(QUESTIONS):
        for i, (answer, tokens) in enumerate(zip(ANSWERS[q], TOKENS[q], strict=True)):
            yield q, i, question, gold, answer, tokens


def released() -> list[dict[str, Any]]:
    return [
        {
            "question": question, "gold_answer": gold, "probe_freq": 500,
            "final_answers_trace": list(ANSWERS[q]),
            "each_branch": [
                [["ERR"] + [answer] * (tokens // 500 - 1), tokens, answer]
                for answer, tokens in zip(ANSWERS[q], TOKENS[q], strict=True)
            ],
        }
        for q, (question, gold) in enumerate(QUESTIONS)
    ]  # fmt: skip


def lengths() -> list[dict[str, Any]]:
    return [
        {
            "problem_num": q, "gold_answer": gold,
            "all_answers": [list(pair) for pair in zip(ANSWERS[q], TOKENS[q], strict=True)],
        }
        for q, (_, gold) in enumerate(QUESTIONS)
    ]  # fmt: skip


def samples() -> list[dict[str, Any]]:
    return [
        {"id": f"s{q}", "question": question, "gold": gold, "answer": answer, "tokens": tokens}
        for q, _, question, gold, answer, tokens in _each()
    ]


def trajectories() -> list[dict[str, Any]]:
    return [
        {
            "question": question, "gold": gold, "outcome": answer, "prompt_tokens": 40,
            "steps": [
                {"tokens": 300, "signals": {"tests": 0.25}},
                {"tokens": 0, "probe": "3"},
                {"tokens": tokens - 300, "probe": answer, "signals": {"tests": 1}},
            ],
        }
        for _, _, question, gold, answer, tokens in _each()
    ]  # fmt: skip


def lm_eval() -> list[dict[str, Any]]:
    return [
        {
            "doc_id": q, "doc": {"question": question, "answer": f"Add. #### {gold}"},
            "target": gold, "arguments": {"gen_args_0": {"arg_0": f"Q: {question}", "arg_1": {}}},
            "resps": [[said(answer) for answer in ANSWERS[q]]], "filtered_resps": filtered,
            "filter": name, "metrics": ["exact_match"], "doc_hash": "0f", "exact_match": 1.0,
        }
        for name, of in (("all", list), ("majority", lambda answers: [answers[0]]))
        for q, (question, gold) in enumerate(QUESTIONS)
        for filtered in [of(ANSWERS[q])]
    ]  # fmt: skip


def inspect_members() -> dict[str, Any]:
    """The members of a log: one sample failed."""
    head = {"version": 2, "status": "success", "eval": {"task": "sums", "model": "org/Tiny-1B"}}
    members: dict[str, Any] = {"_journal/start.json": head, "header.json": head}
    for q, i, question, gold, answer, tokens in _each():
        members[f"samples/s/{q}_epoch_{i + 1}.json"] = {
            "id": f"s/{q}", "epoch": i + 1, "input": [{"role": "user", "content": question}],
            "target": [gold],
            "output": {
                "model": "org/Tiny-1B", "completion": said(answer),
                "choices": [{"message": {"role": "assistant", "content": said(answer)}}],
            },
            "scores": {"match": {"value": "C", "answer": said(answer)}},
            "model_usage": {"org/Tiny-1B": {"input_tokens": 12, "output_tokens": tokens}},
        }  # fmt: skip
    members["samples/s/0_epoch_4.json"] = {
        "id": "s/0", "epoch": 4, "input": QUESTIONS[0][0], "target": "2", "output": {"choices": []},
        "error": {"message": "ConnectionError()", "traceback": "..."},
    }  # fmt: skip
    return members


def inspect_log() -> dict[str, Any]:
    """The same log as one JSON file."""
    members = inspect_members()
    found = [value for name, value in members.items() if name.startswith("samples/")]
    return {**members["header.json"], "samples": found}


def verifiers() -> list[dict[str, Any]]:
    return [
        {
            "example_id": q, "prompt": [{"role": "user", "content": question}],
            "completion": [{"role": "assistant", "content": said(answer)}], "answer": gold,
            "task": "default", "reward": 1.0, "is_completed": True,
            "token_usage": {"input_tokens": 11.0, "output_tokens": float(tokens)},
        }
        for q, _, question, gold, answer, tokens in _each()
    ]  # fmt: skip


def verifiers_traces() -> list[dict[str, Any]]:
    return [
        {
            "id": f"e{q}{i}", "env": {"id": "sums"}, "ok": True,
            "task": {"type": "Sum", "data": {"idx": q, "prompt": question, "answer": gold}},
            "traces": [
                {
                    "ok": True, "agent": {"name": "agent", "config": {"model": "Tiny-1B"}},
                    "nodes": [
                        {"sampled": role == "assistant", "message": {"role": role, "content": text}}
                        for role, text in (("user", question), ("assistant", said(answer)))
                    ],
                    "calls": [{"usage": {"prompt_tokens": 9, "completion_tokens": tokens}}],
                }
            ],
        }
        for q, i, question, gold, answer, tokens in _each()
    ]  # fmt: skip


def nemo_skills(seed: int) -> list[dict[str, Any]]:
    return [
        {
            "problem": question, "expected_answer": gold, "generation": said(answer),
            "predicted_answer": answer, "num_generated_tokens": tokens, "symbolic_correct": True,
        }
        for _, i, question, gold, answer, tokens in _each()
        if i == seed
    ]  # fmt: skip


def matharena() -> list[dict[str, Any]]:
    return [
        {
            "problem_idx": str(q + 1), "problem": question, "model_name": model, "idx_answer": i,
            "answer": said(answer), "input_tokens": 20, "output_tokens": tokens, "cost": 0.1,
            "gold_answer": gold, "parsed_answer": answer, "correct": True,
        }
        for model in ("org/Tiny-1B", "org/Tiny-2B")
        for q, i, question, gold, answer, tokens in _each()
    ]  # fmt: skip


def as_lines(rows: Iterable[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    content = io.BytesIO()
    pl.DataFrame(rows).write_parquet(content)
    return content.getvalue()


def as_zip(members: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in members.items():
            archive.writestr(name, json.dumps(value, indent=2))
    return content.getvalue()


FILES: dict[str, tuple[str, Callable[[], dict[str, bytes]]]] = {
    "released": ("released", lambda: {"Tiny-1B/sums.json": json.dumps(released()).encode()}),
    "lengths": ("lengths", lambda: {"sums/Tiny-1B.jsonl": as_lines(lengths())}),
    "lines": ("samples", lambda: {"Tiny-1B/sums.jsonl": as_lines(samples())}),
    "list": ("samples", lambda: {"Tiny-1B/sums.json": json.dumps(samples()).encode()}),
    "csv": ("samples", lambda: {"Tiny-1B/sums.csv": as_csv(samples())}),
    "parquet": ("samples", lambda: {"Tiny-1B/sums.parquet": as_parquet(samples())}),
    "trajectories": ("trajectories", lambda: {"Tiny-1B/sums.jsonl": as_lines(trajectories())}),
    "lm-eval": (
        "lm-eval",
        lambda: {"Tiny-1B/samples_sums_2026-01-01T00-00-00.123456.jsonl": as_lines(lm_eval())},
    ),
    "inspect": ("inspect", lambda: {"logs/2026_sums.eval": as_zip(inspect_members())}),
    "inspect JSON": (
        "inspect", lambda: {"logs/2026_sums.json": json.dumps(inspect_log(), indent=2).encode()}
    ),
    "verifiers": (
        "verifiers",
        lambda: {
            "evals/sums--Tiny-1B/3f/results.jsonl": as_lines(verifiers()),
            "evals/sums--Tiny-1B/3f/metadata.json": b'{"env_id": "sums", "model": "Tiny-1B"}',
        },
    ),
    "verifiers traces": (
        "verifiers", lambda: {"sums--Tiny-1B--3f/traces.jsonl": as_lines(verifiers_traces())}
    ),
    "nemo-skills": (
        "nemo-skills",
        lambda: {
            f"Tiny-1B/eval-results/sums/output-rs{seed}.jsonl": as_lines(nemo_skills(seed))
            for seed in range(3)
        },
    ),
    "matharena": (
        "matharena", lambda: {"sums/data/train-00000-of-00001.parquet": as_parquet(matharena())}
    ),
}  # fmt: skip
"""By a name: the format, and the files of the recording by their places in a folder."""


def write(name: str, folder: Path) -> Path:
    """Write a recording to a folder, which is given back."""
    for place, content in FILES[name][1]().items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
