"""Stores made up to look like recorded ones."""

from autotts.simulation.sampling import SimulatedModel, simulate

__all__ = ["SimulatedModel", "simulate"]
