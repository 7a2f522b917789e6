"""Diagnosis: what went wrong in episodes, what pools hold, and the digest explorers read."""

from autotts.diagnosis.episode_text import show
from autotts.diagnosis.findings import PARTS, VERDICTS, diagnose, summarise

__all__ = ["PARTS", "VERDICTS", "diagnose", "show", "summarise"]
