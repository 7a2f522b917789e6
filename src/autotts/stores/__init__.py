"""Replay stores: recorded branches on disk and in memory."""

from autotts.stores.importing import import_released
from autotts.stores.loading import AnyStores, check, find, gather, load, read_manifest
from autotts.stores.recordings import Branch, Recording, build
from autotts.stores.schema import Manifest, Pool, Store, StoreKey
from autotts.stores.writing import store_folder, write

__all__ = [
    "AnyStores",
    "Branch",
    "Manifest",
    "Pool",
    "Recording",
    "Store",
    "StoreKey",
    "build",
    "check",
    "find",
    "gather",
    "import_released",
    "load",
    "read_manifest",
    "store_folder",
    "write",
]
