"""The two tables of a store: their columns, and how a store's arrays lie in them.

`docs/store.md` has every column with its unit and an example. Arrays by interval are lists in the
table, a branch a row; a branch that a question has not is no row. Schema version 1 had neither
that nor any optional column, and its numbers were of 16 bits.
"""

from typing import TYPE_CHECKING

import numpy as np

from autotts.errors import StoreError
from autotts.stores.limits import require_shape
from autotts.stores.manifest import BRANCHES, QUESTIONS, Manifest
from autotts.stores.pool import Pool, inside_of
from autotts.stores.recordings import failed_codes
from autotts.stores.schema import TOKEN_COLUMNS, Spellings, Store, by_class

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

GROUP, SIGNAL = "group:", "signal:"
"""What the names of these columns begin with."""

_FIXED = {QUESTIONS: 3, BRANCHES: 4}
"""How many columns every table has, before the optional ones."""

_MOST_TEXT_BYTES = 1 << 26


def schema_of(name: str, manifest: Manifest) -> "dict[str, pl.DataType]":
    """The columns of a table, in order, with their types.

    Raises:
        StoreError: the manifest names a column that no store has.
    """
    import polars as pl

    whole = pl.Int16() if manifest.schema_version == 1 else pl.Int32()
    texts = pl.List(pl.String())
    fixed: dict[str, pl.DataType]
    prefixed: pl.DataType
    if name == QUESTIONS:
        fixed = {"question": pl.String(), "gold": pl.String(), "answers": texts}
        optional = {
            "golds": texts, "id": pl.String(), "weight": pl.Float64(),
            "spellings": texts, "classes": pl.List(pl.Int32()),
        }  # fmt: skip
        prefix, prefixed = GROUP, pl.String()
    else:
        fixed = {"question": whole, "branch": whole, "tokens": pl.Int32(), "final": whole}
        optional = {
            "probes": pl.List(whole), "length": pl.Int32(), "ends": pl.List(pl.Int32()),
            "model": pl.Int32(), **dict.fromkeys(TOKEN_COLUMNS, pl.Int32()),
        }  # fmt: skip
        prefix, prefixed = SIGNAL, pl.List(pl.Float32())
    first = [] if name == QUESTIONS else ["probes"]
    for column in first if manifest.schema_version == 1 else manifest.columns.get(name, []):
        known = prefixed if column.startswith(prefix) else optional.get(column)
        if known is None or column in fixed:
            raise StoreError(f"{name}: a column {column!r}, which no store has, or has twice")
        fixed[column] = known
    return fixed


def question_table(store: Store) -> "pl.DataFrame":
    """The questions of a store, with the columns that it has something for."""
    import polars as pl

    spelled = store.spellings
    columns: dict[str, object] = {
        "question": store.texts,
        "gold": [known[code] for known, code in zip(store.answers, store.gold, strict=True)],
        "answers": store.answers,
    }
    if spelled is not None:
        columns["gold"] = [
            known[codes[0]] for known, codes in zip(spelled.answers, spelled.golds, strict=True)
        ]
    golds = store.golds if spelled is None else spelled.golds
    if golds is not None:
        answers = store.answers if spelled is None else spelled.answers
        columns["golds"] = [
            [known[code] for code in codes] for known, codes in zip(answers, golds, strict=True)
        ]
    if store.ids is not None:
        columns["id"] = store.ids
    if store.weights is not None:
        columns["weight"] = store.weights
    columns |= {GROUP + name: values for name, values in store.groups.items()}
    if spelled is not None:
        columns["spellings"] = spelled.answers
        columns["classes"] = [classes.tolist() for classes in spelled.classes]
    return pl.DataFrame(columns, _written(QUESTIONS, store, columns))


def branch_table(store: Store) -> "pl.DataFrame":
    """The branches of a store, with the columns that it has something for."""
    import polars as pl

    pool, spelled = store.pool, store.spellings
    exists, inside = pool.exists, pool.inside()
    question, branch = np.nonzero(exists)
    finals, probes = pool.finals, pool.probes
    if spelled is not None:
        finals, probes = spelled.finals, spelled.probes
    columns: dict[str, object] = {
        "question": question,
        "branch": branch,
        "tokens": pool.tokens[exists],
        "final": finals[exists],
    }
    lists = {"probes": probes, "ends": pool.ends}
    lists |= {SIGNAL + name: values for name, values in pool.signals.items()}
    there = {name: values[inside] for name, values in lists.items() if values is not None}
    if probes is None:
        columns["length"] = pool.lengths[exists]
    if there:
        rows = np.arange(len(question)).repeat(pool.lengths[exists])
        by_row = pl.DataFrame({"row": rows, **there}).group_by("row", maintain_order=True)
        columns |= by_row.agg(pl.all()).drop("row").to_dict()
    if pool.model is not None:
        columns["model"] = pool.model[exists]
    columns |= {name: values[exists] for name, values in store.used.items()}
    return pl.DataFrame(columns).cast(pl.Schema(_written(BRANCHES, store, columns)))


def _written(name: str, store: Store, columns: dict[str, object]) -> "dict[str, pl.DataType]":
    return schema_of(name, store.manifest.model_copy(
        update={"schema_version": 2, "columns": optional_columns(name, list(columns))}
    ))  # fmt: skip


def optional_columns(name: str, columns: list[str]) -> dict[str, list[str]]:
    """What a manifest says of a table's columns: those that not every table has."""
    return {name: columns[_FIXED[name] :]}


def assemble(
    folder: "Path", manifest: Manifest, questions: "pl.DataFrame", branches: "pl.DataFrame"
) -> Store:
    """The store that lies in its tables, whose columns are those of `schema_of`.

    Raises:
        StoreError: they contradict each other or the manifest.
    """
    _require_short_text(questions)
    at = _positions(manifest, branches)
    shape = manifest.questions, manifest.branches
    lists = [name for name, kind in branches.schema.items() if kind.is_nested()]
    lengths = _lengths(branches, lists)
    require_shape(*shape, depth=int(lengths.max()), columns=len(lists))

    def dense(name: str, absent: int) -> np.ndarray:
        return _spread(branches[name].to_numpy(), at, shape, absent)

    by_branch = _spread(lengths, at, shape, 0)
    inside = inside_of(by_branch, int(lengths.max()))
    by_interval = {name: _spread_lists(branches[name], inside) for name in lists}
    known = strings_of(questions, "answers")
    golds, spelled = accepted_codes(questions, known), None
    finals, probes = dense("final", -1), by_interval.get("probes")
    if "classes" in questions.columns:
        spelled = _spellings(questions, finals, probes, golds)
        finals = by_class(finals, spelled.classes)
        probes = None if probes is None else by_class(probes, spelled.classes)
        golds = tuple(
            tuple(dict.fromkeys(int(classes[code]) for code in codes))
            for classes, codes in zip(spelled.classes, golds, strict=True)
        )
    pool = Pool(
        probes=probes,
        lengths=by_branch,
        tokens=dense("tokens", 0),
        finals=finals,
        failed=failed_codes(known, manifest.failed_answer),
        n_codes=np.array([len(strings) for strings in known], np.int32),
        interval=manifest.interval_tokens,
        billing=manifest.billing,
        ends=by_interval.get("ends"),
        model=dense("model", -1) if "model" in branches.columns else None,
        models=manifest.models,
        signals={
            name.removeprefix(SIGNAL): values
            for name, values in by_interval.items()
            if name.startswith(SIGNAL)
        },
    )
    used = {name: dense(name, 0) for name in TOKEN_COLUMNS if name in branches.columns}
    return with_questions(folder, manifest, questions, known, pool, golds, used, spelled)


def with_questions(
    folder: "Path",
    manifest: Manifest,
    questions: "pl.DataFrame",
    answers: tuple[tuple[str, ...], ...],
    pool: Pool,
    golds: tuple[tuple[int, ...], ...],
    used: dict[str, np.ndarray],
    spelled: Spellings | None = None,
) -> Store:
    """The store of these questions and the branches in a pool.

    Args:
        golds: per question, the codes of its accepted answers; see `accepted_codes`.
    """
    return Store(
        folder,
        manifest,
        pool,
        gold=np.array([codes[0] for codes in golds], np.int32),
        answers=answers,
        texts=tuple(questions["question"].to_list()),
        golds=golds if any(len(codes) > 1 for codes in golds) else None,
        ids=tuple(questions["id"].to_list()) if "id" in questions.columns else None,
        weights=(
            questions["weight"].to_numpy(writable=True) if "weight" in questions.columns else None
        ),
        groups={
            name.removeprefix(GROUP): tuple(questions[name].to_list())
            for name in questions.columns
            if name.startswith(GROUP)
        },
        used=used,
        spellings=spelled,
    )


def _positions(manifest: Manifest, branches: "pl.DataFrame") -> np.ndarray:
    """`[R]` where the branch of each row lies among `questions x branches` places."""
    question = branches["question"].to_numpy().astype(np.int64)
    branch = branches["branch"].to_numpy().astype(np.int64)
    if ((question < 0) | (question >= manifest.questions)).any():
        raise StoreError(f"{BRANCHES}: there are {manifest.questions} questions, from 0 on")
    counts = np.bincount(question, minlength=manifest.questions)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    ordered = np.repeat(np.arange(len(counts)), counts)
    if (question != ordered).any() or (branch != np.arange(len(ordered)) - first[ordered]).any():
        raise StoreError(f"{BRANCHES}: rows are not in order of question and branch")
    if counts.min() == 0 or counts.max() != manifest.branches:
        raise StoreError(
            f"{BRANCHES}: questions have from {counts.min()} to {counts.max()} branches; the"
            f" manifest says up to {manifest.branches}, and each has one at least"
        )
    return question * manifest.branches + branch


def _lengths(branches: "pl.DataFrame", lists: list[str]) -> np.ndarray:
    """int32 `[R]` intervals of each branch."""
    columns = {name: branches[name].list.len().to_numpy() for name in lists}
    columns |= {"length": branches["length"].to_numpy()} if "length" in branches.columns else {}
    if not columns:
        raise StoreError(f"{BRANCHES}: no probes and no lengths")
    (first, lengths), *others = columns.items()
    for name, found in others:
        if (found != lengths).any():
            row = int((found != lengths).argmax())
            raise StoreError(
                f"{BRANCHES}: row {row} has {lengths[row]} of {first}, {found[row]} of {name}"
            )
    if lengths.min() < 1:
        raise StoreError(f"{BRANCHES}: row {int(lengths.argmin())} has no {first}")
    return lengths.astype(np.int32)


def _spread(values: np.ndarray, at: np.ndarray, shape: tuple[int, int], absent: int) -> np.ndarray:
    """int32 `[Q, N]` from one value a row."""
    out = np.full(shape, absent, np.int32)
    out.reshape(-1)[at] = values
    return out


def _spread_lists(column: "pl.Series", inside: np.ndarray) -> np.ndarray:
    """`[Q, N, K]` from a list a row."""
    values = column.explode(empty_as_null=False)
    if values.null_count():
        raise StoreError(f"{BRANCHES}: {column.name} has a null in a list")
    if values.dtype.is_float():
        out = np.full(inside.shape, -np.inf, np.float32)
    else:
        out = np.full(inside.shape, 0 if column.name == "ends" else -1, np.int32)
    out[inside] = values.to_numpy()
    return out


def strings_of(questions: "pl.DataFrame", name: str) -> tuple[tuple[str, ...], ...]:
    """The strings that a column has of each question."""
    return tuple(tuple(strings) for strings in questions[name].to_list())


def accepted_codes(
    questions: "pl.DataFrame", answers: tuple[tuple[str, ...], ...]
) -> tuple[tuple[int, ...], ...]:
    """Per question, the codes of its accepted answers, or of their spellings.

    Args:
        answers: the strings of each question, `strings_of(questions, "answers")`.
    """
    name = "spellings" if "spellings" in questions.columns else "answers"
    known = strings_of(questions, name) if name == "spellings" else answers
    several = questions["golds"] if "golds" in questions.columns else None
    found: list[tuple[int, ...]] = []
    for q, (gold, strings) in enumerate(zip(questions["gold"].to_list(), known, strict=True)):
        if several is None and gold in strings:
            found.append((strings.index(gold),))
            continue
        accepted = [gold] if several is None else several[q].to_list()
        codes = {text: code for code, text in reversed(list(enumerate(strings)))}
        for text in [gold, *accepted]:
            if text not in codes:
                raise StoreError(f"{QUESTIONS}: question {q}: gold {text!r} is not in its {name}")
        if not accepted or accepted[0] != gold:
            raise StoreError(f"{QUESTIONS}: question {q}: gold {gold!r} is not first of its golds")
        found.append(tuple(dict.fromkeys(codes[text] for text in accepted)))
    return tuple(found)


def _spellings(
    questions: "pl.DataFrame",
    finals: np.ndarray,
    probes: np.ndarray | None,
    golds: tuple[tuple[int, ...], ...],
) -> Spellings:
    if "spellings" not in questions.columns:
        raise StoreError(f"{QUESTIONS}: classes, and no spellings that they are of")
    classes, strings = questions["classes"].to_list(), strings_of(questions, "spellings")
    for q, (codes, known, answers) in enumerate(
        zip(classes, strings, questions["answers"].to_list(), strict=True)
    ):
        if len(codes) != len(known) or not all(
            code is not None and 0 <= code < len(answers) for code in codes
        ):
            raise StoreError(
                f"{QUESTIONS}: question {q}: classes are one for each spelling, below"
                f" {len(answers)}"
            )
        for array in (finals, probes):
            if array is not None and array[q].max() >= len(known):
                raise StoreError(f"question {q}: a code beyond its {len(known)} spellings")
            if array is not None and array[q].min() < -1:
                raise StoreError(f"question {q}: a code below 0")
    return Spellings(
        strings, probes, finals, golds, tuple(np.array(codes, np.int32) for codes in classes)
    )


def _require_short_text(questions: "pl.DataFrame") -> None:
    """Texts that fit into memory: a dictionary of Parquet can repeat a long one without end."""
    import polars as pl

    size = 0
    for name, kind in questions.schema.items():
        column = questions[name]
        if isinstance(kind, pl.List):
            column = column.explode(empty_as_null=False)
            if column.null_count():
                raise StoreError(f"{QUESTIONS}: {name} has a null in a list")
        if column.dtype == pl.String():
            size += int(column.str.len_bytes().sum() or 0)
    if size > _MOST_TEXT_BYTES:
        raise StoreError(f"{QUESTIONS}: {size:,} bytes of text; at most {_MOST_TEXT_BYTES:,}")
