"""A run's task in the shape of other frameworks, scored by the run."""

from autotts.discovery.interop.export import FRAMEWORKS, export

__all__ = ["FRAMEWORKS", "export"]
