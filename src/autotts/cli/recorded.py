"""`autotts data list`, `info` and `stats`: what stores hold, and what their branches are like."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autotts.cli.screen import console, say
from autotts.text import counted, percent, shorten

if TYPE_CHECKING:
    from autotts.stores import Store
    from autotts.stores.manifest import Manifest

_MOST_CHARACTERS = 60
"""Of a value of `sampling`, such as a prompt."""
_QUESTION_PARTS = {
    "id": "ids",
    "weight": "weights",
    "golds": "several true answers",
    "spellings": "answers of several spellings",
}


def list_(
    folders: Annotated[list[Path], typer.Argument(help="Stores, or folders with stores below.")],
) -> None:
    """List stores: what they hold and where they come from."""
    from rich.table import Table

    from autotts import stores

    table = Table(box=None, pad_edge=False)
    for column in ("model", "dataset", "questions", "branches", "interval", "billing", "digest"):
        right = column in ("questions", "branches", "interval")
        table.add_column(column, justify="right" if right else "left")
    for folder in stores.find(folders):
        manifest = stores.read_manifest(folder)
        table.add_row(
            manifest.model,
            manifest.dataset,
            str(manifest.questions),
            f"{'up to ' if manifest.branches_in_all else ''}{manifest.branches}",
            str(manifest.interval_tokens),
            manifest.billing,
            manifest.digest[:12],
        )
    console().print(table)


def info(
    folders: Annotated[list[Path], typer.Argument(help="Stores, or folders with stores below.")],
) -> None:
    """Print everything that stores hold, a few lines each, without reading their recordings."""
    from rich.table import Table

    from autotts import stores

    for folder in stores.find(folders):
        manifest = stores.read_manifest(folder)
        questions = counted(manifest.questions, "question")
        branches = counted(manifest.branches, "branch")
        most = f"up to {branches}" if manifest.branches_in_all else branches
        say(f"{manifest.model}/{manifest.dataset}: {questions} x {most}")
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
        for name, value in _held(folder, manifest).items():
            if value:
                table.add_row(f"  {name}", value)
        console().print(table)


def _held(folder: Path, manifest: "Manifest") -> dict[str, str]:
    """What a store has, by what it is about; "" for what it lacks."""
    columns = [name for names in manifest.columns.values() for name in names]
    probed = manifest.schema_version == 1 or "probes" in columns
    parts = [words for name, words in _QUESTION_PARTS.items() if name in columns]
    known = "true answers not known yet" if manifest.ungraded else ""
    judge = f" by {manifest.judge}" if manifest.judge else ""
    said = {name: value for name, value in manifest.sampling.items() if value not in ("", [], {})}
    sampling = (f"{name} {_short(value)}" for name, value in said.items())
    beside = sorted(each.name for each in folder.parent.glob(f"{folder.name}.*") if each.is_dir())
    return {
        "intervals": f"of {manifest.interval_tokens:,} tokens"
        + (", each of its own size" if "ends" in columns else "")
        + (", answers probed at their ends" if probed else ", answers at the end of branches only"),
        "signals": _named(columns, "signal:"),
        "questions": ", ".join([*parts, *([known] if known else [])]),
        "groups": _named(columns, "group:"),
        "equality": f"{manifest.equality}{judge}",
        "spent": ", ".join(name.replace("_", " ") for name in columns if name.endswith("_tokens")),
        "models": ", ".join(f"{each.name} at {each.price_text}" for each in manifest.models)
        + (f" {manifest.price_unit}" if manifest.price_unit else ""),
        "family": manifest.family,
        "billing": manifest.billing,
        "tokens": manifest.tokens_counted,
        "sampling": ", ".join(sampling),
        "source": manifest.source,
        "beside it": ", ".join(beside),
        "digest": manifest.digest,
        "folder": str(folder),
    }


def _named(columns: list[str], kind: str) -> str:
    return ", ".join(name.removeprefix(kind) for name in columns if name.startswith(kind))


def _short(value: object) -> str:
    return shorten(" ".join(str(value).split()), _MOST_CHARACTERS)


def stats(
    folders: Annotated[list[Path], typer.Argument(help="Stores, or folders with stores below.")],
) -> None:
    """Print how accurate branches are by their length, how reliable probes by depth, the cost."""
    from rich.table import Table

    from autotts import stores
    from autotts.diagnosis import pools

    for store in map(stores.load, stores.find(folders)):
        for line in [*_by_length(store), *_spent(store)]:
            say(line)
        if store.pool.probes is None:
            say("  recorded without probes")
            continue
        table = Table(box=None, pad_edge=False)
        for column in ("from interval", "branches there, %", "probe is right, %", "is final, %"):
            table.add_column(column, justify="right")
        for row in pools.by_depth(store).iter_rows(named=True):
            shares = (row[name] for name in ("running", "reliability", "final"))
            table.add_row(str(row["depth"]), *map(percent, shares))
        console().print(table)


def _by_length(store: "Store") -> list[str]:
    """What a store's branches are like, the short ones and the long ones apart."""
    from autotts import stores

    tokens, right, exists = store.pool.tokens, store.correct, store.pool.exists
    means = [
        f"{name} {values.mean():,.0f}"
        for name, values in (("right", tokens[right]), ("wrong", tokens[exists & ~right]))
        if values.size
    ]
    slopes = [slope for slope in stores.length_slopes(store).tolist() if slope == slope]  # not nan
    told = f"{percent(sum(slopes) / len(slopes), '+.1f')} points" if slopes else "unknown"
    quarters = " ".join(map(percent, stores.accuracy_by_length(store).tolist()))
    return [
        f"{store.name}: {percent(store.shares_right.mean())} % of branches right,"
        f" {tokens[exists].mean():,.0f} tokens on average ({', '.join(means)})",
        f"  right by length, the shortest quarter of each question first: {quarters} %",
        f"  from a question's shortest branch to its longest: {told}",
    ]


def _spent(store: "Store") -> list[str]:
    """What a store's branches took, as far as it was recorded."""
    exists, used = store.pool.exists, store.used
    decoded = int(store.pool.tokens[exists].sum())
    told = [f"{decoded:,} tokens of branches"]
    if "probe_tokens" in used:
        probes = int(used["probe_tokens"][exists].sum())
        told.append(f"{probes:,} of probes ({percent(probes / decoded)} % more)")
    if "prompt_tokens" in used:
        told.append(f"{int(used['prompt_tokens'][exists].sum()):,} read")
        if "cached_tokens" in used:
            told[-1] += f", {int(used['cached_tokens'][exists].sum()):,} of these from a cache"
    return [f"  cost: {'; '.join(told)}"]
