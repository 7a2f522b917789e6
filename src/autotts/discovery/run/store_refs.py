"""The stores of a run, which its settings hold by place and content."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from autotts import stores as stored
from autotts.discovery.run.settings import StoreRef
from autotts.errors import RunError, StoreError
from autotts.stores import Store


def references(paths: str | Path | Iterable[str | Path]) -> tuple[StoreRef, ...]:
    """The stores at or below the given paths, by place and content; only manifests are read.

    Raises:
        StoreError: there are none.
    """
    found = []
    for path in stored.find(paths):
        manifest = stored.read_manifest(path)
        found.append(
            StoreRef(
                path=str(path.resolve()),
                model=manifest.model,
                dataset=manifest.dataset,
                digest=manifest.digest,
            )
        )
    return tuple(found)


def open_stores(refs: Sequence[StoreRef]) -> list[Store]:
    """Load a run's stores, which must be the ones it began with.

    Raises:
        RunError: one is gone, or has another content.
    """
    found = []
    for ref in refs:
        try:
            store = stored.load(ref.path)
        except (StoreError, OSError, ValueError) as error:
            # A path of somebody else's may be none that the system takes.
            raise RunError(f"the run needs {ref.model}/{ref.dataset}: {error}") from error
        if store.digest != ref.digest:
            raise RunError(
                f"{ref.path} has digest {store.digest[:12]}..., the run began with"
                f" {ref.digest[:12]}...; results would not be comparable: put the old store back,"
                " or begin a new run"
            )
        found.append(store)
    return found
