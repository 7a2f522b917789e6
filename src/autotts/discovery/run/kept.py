"""What a run keeps in its folder to save time, believed only if this user wrote it.

A sweep is cheap to forge and dear to make. What is kept begins with a code over its name and its
content, made with a secret that lies outside every run, in the user's cache folder. Whatever else
lies in a run's folder is as good as nothing, and is made again: so a planted sweep stands in for no
check and no score.
"""

import functools
import hashlib
import hmac
import secrets
from pathlib import Path

from autotts.engine.cache import read_own, write_own
from autotts.errors import RunError
from autotts.files import cache_folder, read_regular, whole

_SECRET = "secret-of-kept-sweeps"
_SECRET_BYTES = 32
_MOST_BYTES = 2**31


def keep(folder: Path, name: str, content: bytes) -> None:
    """Keep something, whole or not at all.

    Raises:
        RunError: it can't be written.
    """
    try:
        folder.mkdir(exist_ok=True)
        with whole(folder / name) as file:
            file.write(_code(name, content))
            file.write(content)
    except OSError as error:
        raise RunError(
            f"{folder}: {error.strerror}; the run stops here and can be resumed"
        ) from error


def find(folder: Path, name: str) -> bytes | None:
    """What this user kept under a name; None if there is nothing, or somebody else wrote it."""
    try:
        found = read_regular(folder / name, most_bytes=_MOST_BYTES)
    except OSError:
        return None
    code, content = found[: hashlib.sha256().digest_size], found[hashlib.sha256().digest_size :]
    return content if hmac.compare_digest(code, _code(name, content)) else None


def _code(name: str, content: bytes) -> bytes:
    digest = hashlib.sha256(content).digest()
    return hmac.digest(_secret(), name.encode() + b"\0" + digest, "sha256")


@functools.cache
def _secret() -> bytes:
    """This user's secret; of this process alone where none can be kept."""
    found = read_own(cache_folder(), _SECRET)
    if found is not None and len(found) == _SECRET_BYTES:
        return found
    made = secrets.token_bytes(_SECRET_BYTES)
    write_own(cache_folder(), _SECRET, made)
    return read_own(cache_folder(), _SECRET) or made
