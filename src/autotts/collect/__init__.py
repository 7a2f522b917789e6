"""Recordings from model servers: planned, sampled, journalled, made into stores."""

from autotts.collect.asking import prompt_of
from autotts.collect.branches import Collected, read_collected
from autotts.collect.collecting import Collection, Watched, open_collection
from autotts.collect.estimate import Estimate, estimate
from autotts.collect.journal import Journal
from autotts.collect.kept import kept_columns, kept_path
from autotts.collect.plan import PROBE_SUFFIX, Plan, digest_of
from autotts.collect.questions import PROMPTS, Columns, Item, presets, read_questions
from autotts.collect.session import Session, collect, collect_on, journal_path
from autotts.collect.upkeep import plan_of, refresh, top_up
from autotts.collect.writing import to_store
from autotts.inference.prices import TokenPrices

__all__ = [
    "PROBE_SUFFIX",
    "PROMPTS",
    "Collected",
    "Collection",
    "Columns",
    "Estimate",
    "Item",
    "Journal",
    "Plan",
    "Session",
    "TokenPrices",
    "Watched",
    "collect",
    "collect_on",
    "digest_of",
    "estimate",
    "journal_path",
    "kept_columns",
    "kept_path",
    "open_collection",
    "plan_of",
    "presets",
    "prompt_of",
    "read_collected",
    "read_questions",
    "refresh",
    "to_store",
    "top_up",
]
