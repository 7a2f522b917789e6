"""The Env table: what is made from it, and what is written beside it, say the same."""

import inspect
import re
from pathlib import Path

import pytest
from numba.core.registry import cpu_target
from numba.core.typing.templates import builtin_registry

from autotts.control import ARRAYS, SCALARS, env
from autotts.discovery.prompts import briefing
from autotts.engine import interpreted, jit
from autotts.programs import language

DOCS = Path(__file__).parent.parent / "docs" / "architecture.md"


def compiled_templates() -> dict[str, type]:
    """What compiled code finds in `env` beside fields, by name."""
    return {
        template._attr: template
        for template in builtin_registry.attributes
        if template.key is jit.Env and hasattr(template, "_attr")
    }


def test_compiled_code_finds_the_names_of_the_table_and_no_others():
    context = cpu_target.typing_context
    context.refresh()
    assert {e.name for e in env.TABLE if context.resolve_getattr(jit.ENV, e.name)} == env.NAMES
    computed = env.NAMES - {*env.COUNTS, *env.VIEWS}
    assert set(compiled_templates()) == computed
    assert not [name for name in {*SCALARS, *ARRAYS} - env.NAMES if name_of_env(name)]


def name_of_env(name: str) -> bool:
    return cpu_target.typing_context.resolve_getattr(jit.ENV, name) is not None


def test_interpreted_code_finds_the_names_of_the_table_and_no_others():
    public = {name for name in vars(interpreted.Env) if not name.startswith("_")}
    assert public == env.NAMES
    fields = set(inspect.get_annotations(interpreted.Env))
    assert fields == {*env.COUNTS, *env.VIEWS}


@pytest.mark.parametrize("entry", env.METHODS, ids=lambda entry: entry.name)
def test_methods_take_the_same_arguments_compiled_and_interpreted(entry):
    """And those that the table says."""

    def plain(function) -> str:
        parameters = list(inspect.signature(function).parameters.values())[1:]
        bare = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
        return str(inspect.Signature(bare))

    assert plain(getattr(interpreted.Env, entry.name)) == entry.signature
    assert plain(compiled_templates()[entry.name]._overload_func) == entry.signature


@pytest.mark.parametrize("entry", env.TABLE, ids=lambda entry: entry.name)
def test_help_teaches(entry):
    """Every name of the class that people write against has a docstring: meaning, cost, errors."""
    member = getattr(interpreted.Env, entry.name)
    assert inspect.getdoc(member) == entry.doc
    assert entry.means in entry.doc
    assert (entry.kind == "method") == ("Cost:" in entry.doc) == callable(member)
    assert ("ControlError" in entry.doc) == bool(entry.raises)


def test_the_source_check_lets_the_names_of_the_table_through():
    assert language.ENV == env.NAMES


def test_explorers_are_told_the_table():
    assert env.markdown() in briefing.prompt("environment", table=env.markdown(), votes="")
    assert env.markdown() in briefing.task(briefing.ProgramRules())


def test_the_docs_have_the_table():
    """Run this module to write it anew."""
    assert in_docs().group(2) == env.markdown()


def in_docs() -> re.Match[str]:
    found = re.search(r"(<!-- env:.*?-->\n)(.*?)(\n<!-- /env -->)", DOCS.read_text(), re.S)
    assert found
    return found


def test_every_name_has_a_row():
    cells = [row.split(" | ")[0] for row in env.markdown().splitlines()[2:]]
    assert {re.match(r"\| `(\w+)", cell)[1] for cell in cells} == env.NAMES


if __name__ == "__main__":
    text = DOCS.read_text()
    DOCS.write_text(text.replace(in_docs().group(2), env.markdown()))
