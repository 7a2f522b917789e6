"""Recordings that others' programs wrote, made into stores."""

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autotts.answers import UNREADABLE, Equality, extract
from autotts.answers.reader import installed_reader
from autotts.errors import SpecError, StoreError
from autotts.files import files_below
from autotts.stores.importing.formats import (
    SUFFIXES,
    RecordingFormat,
    every_format,
    format_of,
    head_of,
    layouts,
)
from autotts.stores.importing.sample import Gathered, interval_for
from autotts.stores.importing.samples import SampleColumns
from autotts.stores.importing.tables import Table, as_path
from autotts.stores.importing.telling import named, notes_on
from autotts.stores.importing.tokens import counter
from autotts.stores.limits import MOST_TOKENS
from autotts.stores.recordings import build
from autotts.stores.regrading import OnGraded, equality_for, regrade
from autotts.stores.schema import Store
from autotts.stores.writing import store_folder, telling_of, write_all
from autotts.text import counted, shorten

__all__ = [
    "UNREADABLE",
    "Understood",
    "import_recordings",
    "layouts",
    "read_recordings",
    "write_understood",
]

AnyPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Understood:
    """A store that recordings make, not yet written.

    told: what was understood of them, a line each, for a person to look at.
    """

    store: Store
    told: tuple[str, ...]


@dataclass(slots=True)
class _Read:
    """Recordings of one model on one dataset, and the files that they come from."""

    format: RecordingFormat
    gathered: Gathered
    columns: SampleColumns | None
    files: dict[Path, str] = field(default_factory=dict)


def import_recordings(
    recordings: AnyPath | Table, out: AnyPath, *, overwrite: bool = False, **options: Any
) -> list[Path]:
    """Import a file, all recordings in a folder, or a table to OUT/MODEL/DATASET.

    Everything is read and verified before anything is written.

    Args:
        recordings: a path, or samples of one's own: a frame of pandas or polars, or a list of
            dictionaries, with the columns that `docs/import.md` names under "Your own samples".
        options: `model`, `dataset`, `columns`, `equality`, `interval_tokens` and the others of
            `autotts.stores.importing.read_recordings`.

    Returns:
        The folders of the stores.

    Raises:
        StoreError, SpecError: as `read_recordings`, and as `write`.
    """
    with as_path(recordings, options) as path:
        return write_understood(read_recordings(path, **options), out, overwrite=overwrite)


def write_understood(
    understood: Sequence[Understood], out: AnyPath, *, overwrite: bool = False
) -> list[Path]:
    """Write what was understood to OUT/MODEL/DATASET; gives the folders."""
    stores = [one.store for one in understood]
    places = [(store, store_folder(out, store.model, store.dataset)) for store in stores]
    return [store.path for store in write_all(places, overwrite=overwrite) if store.path]


def read_recordings(
    path: AnyPath,
    *,
    format: str | None = None,
    model: str | None = None,
    dataset: str | None = None,
    columns: Mapping[str, str] | None = None,
    equality: Equality | None = None,
    unreadable: Collection[str] = UNREADABLE,
    reader: str | None = None,
    tokenizer: AnyPath | None = None,
    chars_per_token: float | None = None,
    interval_tokens: int | None = None,
    on_graded: OnGraded = lambda name, done, of: None,
) -> list[Understood]:
    """Read recordings in any of the formats that `docs/import.md` describes.

    Args:
        path: a file, or a folder whose files are read, other files in it being left alone.
        format: a name that `layouts` tells; found by looking without.
        model, dataset: names for the store; those in the files or their paths without.
        columns: of samples of one's own, by part: the column that has it, such as
            `{"gold": "target"}`.
        equality: when answers are one vote; found by looking at them without. Released recordings
            are `exact`.
        unreadable: answers that stand for none, in upper or lower case.
        reader: reads answers in responses, by the name under which an installed package publishes
            it; what the last `\\boxed{}` holds or the text says its answer is without.
        tokenizer: a `tokenizer.json`, to count tokens where a recording doesn't say.
        chars_per_token: characters a token, to estimate them there.
        interval_tokens: tokens of an interval, where a recording has none; 500 without, or fewer so
            that the median branch has ten.
        on_graded: as in `regrade`.

    Raises:
        StoreError: names the file, the place in it, and what is wrong.
        SpecError: an option can't be.
    """
    if interval_tokens is not None and not 1 <= interval_tokens <= MOST_TOKENS:
        raise SpecError(f"an interval of {interval_tokens} tokens; between 1 and {MOST_TOKENS}")
    counts = counter(tokenizer, chars_per_token)
    reads = extract if reader is None else installed_reader(reader).read
    formats = every_format()  # once, and not for each file
    found: dict[tuple[str, str], _Read] = {}
    given = Path(path)
    alone: list[str] = []
    for file in _files(given):
        with _telling(file):
            known = format_of(file, format, columns or {}, formats)
            if known is None:
                if file == given:
                    raise StoreError(_unknown(file))
                alone.append(file.name)
                continue
            kind, own = known
            names = kind.names(file)
            digest = _digest(file)
            for sample in kind.read(file):
                key = _safe(sample.model or names[0]), _safe(sample.dataset or names[1])
                read = found.setdefault(key, _Read(kind, Gathered(*key, reads), own))
                if read.format.name != kind.name:
                    raise StoreError(
                        f"{'/'.join(key)} is {read.format.name} in another file, and"
                        f" {kind.name} here; import them one by one"
                    )
                read.gathered.add(sample, str(file), counts)
                read.files[file] = digest
    if not found:
        raise StoreError(f"{path}: no recordings that are known; these are read:\n{layouts()}")
    _rename(found, model, dataset)
    made = [
        _understood(read, equality, unreadable, interval_tokens, on_graded)
        for read in found.values()
    ]
    if alone:
        told = f"  left alone: {counted(len(alone), 'file')} that are no recordings: {named(alone)}"
        made[-1] = replace(made[-1], told=(*made[-1].told, told))
    return made


def _unknown(file: Path) -> str:
    """What to say of a file that has no layout that is known."""
    head = head_of(file)
    has = named(head.keys) if head is not None and head.keys else "nothing that has names"
    return (
        f"no layout that is known (it has {has}); name the columns of your own samples by --column"
        f" gold=NAME and so on. These are read:\n{layouts()}"
    )


def _files(path: Path) -> Iterator[Path]:
    """The files that may be recordings, sorted."""
    with telling_of(path):
        if path.is_file():
            yield path
            return
        if not path.is_dir():
            raise StoreError(f"{path}: no such file or folder")
        below = sorted(files_below(path))
    for file in below:
        if file.name.removesuffix(".gz").endswith(SUFFIXES) and file.is_file():
            yield file


@contextmanager
def _telling(file: Path) -> Iterator[None]:
    """What is wrong with a file names it."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{file}: {error.strerror or error}") from error
    except StoreError as error:
        raise StoreError(f"{file}: {error}") from error


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _safe(name: str) -> str:
    """A name that can be a folder's: `Qwen/Qwen3-8B` as `Qwen__Qwen3-8B`."""
    return name.strip().replace("/", "__").replace("\\", "__").lstrip(".")


def _rename(found: Mapping[tuple[str, str], _Read], model: str | None, dataset: str | None) -> None:
    """Give stores the names that were asked for, unless these would join several."""
    named = {(model or own[0], dataset or own[1]) for own in found}
    if len(named) < len(found):
        several = shorten(", ".join(sorted(map("/".join, found))), 200)
        raise StoreError(
            f"{len(found)} stores are in these files, {several}; --model and --dataset would give"
            " several of them one name"
        )
    for read in found.values():
        read.gathered.model = model or read.gathered.model
        read.gathered.dataset = dataset or read.gathered.dataset
        if not read.gathered.model or not read.gathered.dataset:
            part = "dataset" if read.gathered.model else "model"
            raise StoreError(f"no name for the {part} of {next(iter(read.files))}; give --{part}")


def _understood(
    read: _Read,
    equality: Equality | None,
    unreadable: Collection[str],
    interval_tokens: int | None,
    on_graded: OnGraded,
) -> Understood:
    gathered = read.gathered
    name = f"{gathered.model}/{gathered.dataset}"
    try:
        recordings = gathered.recordings()
        if not recordings:
            raise StoreError(
                f"all {gathered.left_out:,} samples failed, without tokens and answer; import the"
                " other files without it"
            )
        interval = gathered.interval or interval_tokens or interval_for(recordings)
        store = build(
            recordings,
            model=gathered.model,
            dataset=gathered.dataset,
            interval_tokens=interval,
            billing=read.format.billing,
            tokens_counted=gathered.tokens_counted,
            source=_source(read),
        )
        wanted = equality or read.format.equality or equality_for(store, unreadable)
        graded = store
        if wanted != "exact" or read.format.equality != "exact":
            graded = regrade(store, equality=wanted, unreadable=unreadable, on_graded=on_graded)
    except StoreError as error:
        raise StoreError(f"{name}, from {next(iter(read.files))}: {error}") from error
    told = notes_on(graded, store, gathered, read.format.name, read.columns, len(read.files))
    return Understood(graded, tuple(told))


def _source(read: _Read) -> str:
    """Where recordings come from, in words that mean the same on every machine."""
    digests = list(read.files.values())
    if read.format.name == "released":
        name = f"{read.gathered.model}/{read.gathered.dataset}.json"
    else:
        name = next(iter(read.files)).name if len(digests) == 1 else f"{len(digests)} files"
    digest = digests[0]
    if len(digests) > 1:
        digest = hashlib.sha256("".join(digests).encode()).hexdigest()
    return f"{name} in the {read.format.name} layout, sha256 {digest}"
