"""Answers with their lengths: a line for each question.

`DATASET/MODEL.jsonl` has lines `{"problem_num": 0, "gold_answer": "204", "all_answers": [["204",
6191], ...]}`, each answer with its tokens.
"""

from collections.abc import Iterator
from pathlib import Path

from autotts.errors import StoreError
from autotts.stores.importing.reading import json_rows
from autotts.stores.importing.rows import Row, shown
from autotts.stores.importing.sample import Sample


def read(path: Path) -> Iterator[Sample]:
    """The samples of a file."""
    for row in json_rows(path):
        number, golds = row.name("problem_num"), row.golds("gold_answer")
        question = row.text("question") if row.has("question") else f"question {number}"
        answers = row.get("all_answers")
        if not isinstance(answers, list):
            row.refuse("all_answers", "a list of [answer, tokens]")
        for i, pair in enumerate(answers):
            where = f"{row.where}, all_answers {i}"
            if not isinstance(pair, list) or len(pair) != 2:
                raise StoreError(f"{where}: [answer, tokens] was expected, not {shown(pair)}")
            entry = Row(where, {"answer": pair[0], "tokens": pair[1]})
            tokens = entry.count("tokens", least=0)
            if tokens is None:
                entry.refuse("tokens", "a number of tokens")
            yield Sample(
                where,
                question,
                golds,
                entry=row.where,
                id=number,
                answer=entry.answer("answer"),
                tokens=tokens,
            )
