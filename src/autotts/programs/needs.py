"""What a program needs of a recording, by what it reads of `env`."""

import ast
import functools
from dataclasses import dataclass

from autotts.programs.source import Source

_PROBES = frozenset({"history", "probe"})
"""Names of `env` that give nothing without probes."""
_OF_RUNNING = frozenset({"dissent"})
"""Functions of the vocabulary that compare what running branches show."""

_KNOWN_MODULES = frozenset({"math", "numpy", "autotts.votes"})
"""None of what a program may import from them reads a signal."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a program can't do without.

    probes: it reads what running branches show.
    answers: it reads answers of branches that it goes on with, which may be of running ones.
    models: it chooses among several models.
    signals: the signals that it reads.
    """

    probes: bool
    answers: bool
    models: bool
    signals: frozenset[str]


@functools.cache
def needs_of(source: Source) -> Needs:
    """What a program needs; its text must parse."""
    tree = ast.parse(source.text)
    read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    called: set[str] = set()
    signals: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Attribute(attr="signal"), [ast.Constant(value=str() as name), *_]):
                signals.add(name)
            case ast.Call(ast.Name(id="mode"), [ast.Attribute(attr="answer"), *_]):
                called |= _OF_RUNNING  # the latest answers of all branches vote
            case ast.Call(ast.Name(id=name)):
                called.add(name)
    return Needs(
        probes=bool(read & _PROBES or called & _OF_RUNNING),
        answers={"advance", "answer"} <= read,
        models="n_models" in read,
        signals=frozenset(signals),
    )


@functools.cache
def signals_read(source: Source) -> frozenset[str] | None:
    """The signals that a program may read, None for any; its text must parse.

    Whoever names `signal` otherwise than in a plain call, or calls what others wrote, may read any.
    """
    named = called = 0
    for node in ast.walk(ast.parse(source.text)):
        match node:
            case ast.Import(names):
                if any(alias.name not in _KNOWN_MODULES for alias in names):
                    return None
            case ast.ImportFrom(module, _, level):
                if level or module not in _KNOWN_MODULES:
                    return None
            case ast.Attribute(attr="signal"):
                named += 1
            case ast.Call(ast.Attribute(attr="signal"), [ast.Constant(), *_]):
                called += 1
            case ast.Name(id="getattr" | "vars" | "eval" | "exec" | "__import__"):
                return None
    return needs_of(source).signals if named == called else None
