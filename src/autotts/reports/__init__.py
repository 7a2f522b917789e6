"""Results that a person can look at: tables, figures, pages."""

from autotts.reports.output import plot, report, report_on

__all__ = ["plot", "report", "report_on"]
