"""Diagnosis: what went wrong in episodes, what pools hold, and the digest explorers read."""
