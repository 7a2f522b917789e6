"""Token counts of texts that were recorded without: by a tokenizer, or by their length."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from autotts.errors import SpecError, StoreError
from autotts.files import read_regular
from autotts.stores.writing import file_digest, telling_of

_MOST_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class Counter:
    """How tokens are counted.

    told: in words, for the manifest of a store.
    """

    told: str
    count: Callable[[str], int]


def counter(
    tokenizer: str | os.PathLike[str] | None, chars_per_token: float | None
) -> Counter | None:
    """Count by a `tokenizers` file, or estimate from characters; None if neither is given.

    Raises:
        SpecError: both are given, or the number is none that can be.
        StoreError: the file is no tokenizer.
    """
    if tokenizer is not None and chars_per_token is not None:
        raise SpecError("tokens are counted by --tokenizer or by --chars-per-token, not by both")
    if chars_per_token is not None:
        if not 0 < chars_per_token <= 1_000:
            raise SpecError(f"--chars-per-token {chars_per_token}: between 0 and 1000, such as 4")
        return Counter(
            f"estimated: {chars_per_token:g} characters a token",
            lambda text: ceil(len(text) / chars_per_token),
        )
    return None if tokenizer is None else _by_tokenizer(Path(tokenizer))


def _by_tokenizer(path: Path) -> Counter:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise SpecError('--tokenizer needs tokenizers: pip install "autotts[import]"') from error
    with telling_of(path):
        content = read_regular(path, most_bytes=_MOST_BYTES, follow=True)
    try:
        found = Tokenizer.from_str(content.decode())
    except Exception as error:  # The library raises bare exceptions.
        raise StoreError(f"{path}: no tokenizer of the tokenizers library ({error})") from error
    return Counter(
        f"counted by the tokenizer of sha256 {file_digest(content)[:12]}",
        lambda text: len(found.encode(text, add_special_tokens=False).ids),
    )
