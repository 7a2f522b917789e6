"""Replay stores: recorded branches on disk and in memory."""

from autotts.stores.classes import classified, spellings_of
from autotts.stores.importing import import_recordings
from autotts.stores.joining import grade, join, merge, recordings_of, split
from autotts.stores.loading import AnyStores, check, find, gather, load, named, read_manifest
from autotts.stores.manifest import Manifest, PricedModel
from autotts.stores.measures import accuracy_by_length, length_slopes, signal_auc
from autotts.stores.pool import Pool
from autotts.stores.recordings import Branch, Recording, build
from autotts.stores.regrading import disagreement, regrade
from autotts.stores.schema import Spellings, Store, StoreKey
from autotts.stores.writing import store_folder, write, write_all

__all__ = [
    "AnyStores",
    "Branch",
    "Manifest",
    "Pool",
    "PricedModel",
    "Recording",
    "Spellings",
    "Store",
    "StoreKey",
    "accuracy_by_length",
    "build",
    "check",
    "classified",
    "disagreement",
    "find",
    "gather",
    "grade",
    "import_recordings",
    "join",
    "length_slopes",
    "load",
    "merge",
    "named",
    "read_manifest",
    "recordings_of",
    "regrade",
    "signal_auc",
    "spellings_of",
    "split",
    "store_folder",
    "write",
    "write_all",
]
