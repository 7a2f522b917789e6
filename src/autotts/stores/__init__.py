"""Replay stores: recorded branches on disk and in memory."""

from autotts.stores.importing import import_released
from autotts.stores.loading import check, find, load, read_manifest
from autotts.stores.recordings import Branch, Recording, build
from autotts.stores.schema import Manifest, Pool, Store, StoreKey
from autotts.stores.writing import store_folder, write

__all__ = [
    "Branch",
    "Manifest",
    "Pool",
    "Recording",
    "Store",
    "StoreKey",
    "build",
    "check",
    "find",
    "import_released",
    "load",
    "read_manifest",
    "store_folder",
    "write",
]
