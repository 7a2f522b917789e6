"""Diagnosis: what went wrong in episodes, what pools hold, and the digest explorers read."""

from autotts.diagnose.episode_text import show
from autotts.diagnose.findings import PARTS, VERDICTS, Ran, diagnose, summarise

__all__ = ["PARTS", "VERDICTS", "Ran", "diagnose", "show", "summarise"]
