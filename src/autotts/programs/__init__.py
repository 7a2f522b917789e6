"""Controller programs: found by name or path, checked, loaded, and asked for their parameters."""

from autotts.programs.loading import DEFAULT_BETA, Program, load, load_trusted
from autotts.programs.source import Source, built_in, find, read
from autotts.programs.spec import (
    AnyController,
    Spec,
    as_spec,
    as_specs,
    check_named,
    named,
    parse,
    parse_beta,
)

__all__ = [
    "DEFAULT_BETA",
    "AnyController",
    "Program",
    "Source",
    "Spec",
    "as_spec",
    "as_specs",
    "built_in",
    "check_named",
    "find",
    "load",
    "load_trusted",
    "named",
    "parse",
    "parse_beta",
    "read",
]
