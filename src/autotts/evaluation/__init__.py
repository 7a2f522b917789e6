"""Evaluation: sweeps, statistics, frontiers and comparisons."""

from autotts.evaluation.evaluation import Cell, Evaluation, Settings, evaluate, run_cells

__all__ = ["Cell", "Evaluation", "Settings", "evaluate", "run_cells"]
