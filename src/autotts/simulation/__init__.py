"""Stores made up to look like recorded ones."""

from autotts.simulation.sampling import simulate

__all__ = ["simulate"]
