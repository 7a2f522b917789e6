"""The command line: arguments in, calls out. Heavy imports wait until a command runs."""

from autotts.cli.app import app, main

__all__ = ["app", "main"]
