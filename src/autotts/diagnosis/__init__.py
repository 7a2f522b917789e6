"""Diagnosis: what went wrong in episodes, what pools hold, and the digest explorers read."""

from autotts.diagnosis.diagnosis import Diagnosis, diagnose
from autotts.diagnosis.episode_text import show
from autotts.diagnosis.findings import PARTS, VERDICTS, findings_of, summarise

__all__ = ["PARTS", "VERDICTS", "Diagnosis", "diagnose", "findings_of", "show", "summarise"]
