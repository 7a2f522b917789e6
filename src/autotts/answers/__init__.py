"""Answers of models: reading one in a text, and telling which are the same."""

from autotts.answers.classes import EQUALITIES, UNREADABLE, Equality, classify, judged_by, letter
from autotts.answers.equality import equal, normalise
from autotts.answers.extraction import FAILED, extract

__all__ = [
    "EQUALITIES",
    "FAILED",
    "UNREADABLE",
    "Equality",
    "classify",
    "equal",
    "extract",
    "judged_by",
    "letter",
    "normalise",
]
