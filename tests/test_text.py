"""Text that others wrote, shown to people: nothing of it drives a terminal."""

import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Group
from rich.markdown import Markdown
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from autotts import cli
from autotts.cli.screen import console, say
from autotts.reports.tables import evaluation_table
from autotts.text import clean, letters, shorten

ATTACK = "evil\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202egnp.exe\u2066\u200b\x7f"
JOINERS = "\u200c\u200d"


def drives_a_terminal(text):
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs")} - set(
        "\n\t" + JOINERS
    )


@given(st.text())
def test_what_is_cleaned_drives_nothing_and_is_as_long(text):
    cleaned = clean(text)
    # New format characters may be defined any time; those with an effect are listed.
    assert drives_a_terminal(cleaned) <= drives_a_terminal(text) - set(ATTACK)
    assert len(cleaned) == len(text)
    assert clean(cleaned) == cleaned


def test_every_control_character_is_cleaned():
    controls = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) in ("Cc", "Cs")]
    bidi = [chr(c) for c in (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))]
    kept = {c for c in (*controls, *bidi) if clean(c) == c}
    assert kept == {"\n", "\t"}


def test_ordinary_text_of_any_script_stays():
    for text in ("β ≤ 1 … “x”", "नमस्ते", "می‌خواهم", "👩‍🔬", "a\u00a0b", "line\nline\ttab"):
        assert clean(text) == text


def row(**changed):
    numbers = dict.fromkeys(
        ("beta", "accuracy", "accuracy_low", "accuracy_high", "tokens", "sequential_tokens",
         "width"), 1.0
    )  # fmt: skip
    return {"model": "m", "dataset": "d", "controller": "c", "name": "c", **numbers, **changed}


def table_of(text):
    table = Table()
    table.add_column(text)
    table.add_row(text)
    return table


@pytest.mark.parametrize(
    "made",
    [
        str,
        Text,
        table_of,
        Panel,
        lambda text: Group(table_of(text), Panel(text, title=text)),
        lambda text: Markdown(f"# {text}\n\n[{text}](http://x/{text})\n\n```\n{text}\n```"),
        lambda text: evaluation_table([row(controller=text, model=text, dataset=text)]),
    ],
)
@pytest.mark.parametrize("err", [False, True])
def test_nothing_printed_drives_the_terminal(capsys, made, err):
    console(err=err).print(made(ATTACK))
    printed = capsys.readouterr()
    shown = printed.err if err else printed.out
    assert "evil" in shown
    assert not drives_a_terminal(shown)


def test_colours_of_our_own_stay_on_a_terminal():
    """And the other's text among them is clean."""
    code = (
        "from rich.text import Text\n"
        "from autotts.reports.console import CleanConsole\n"
        "screen = CleanConsole(force_terminal=True, color_system='standard')\n"
        "screen.print(Text('evil\\x1b[2J', style='bold red'))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert ran.stdout.decode() == "\x1b[1;31mevil␛[2J\x1b[0m\n"


def test_a_line_is_cleaned(capsys):
    say(ATTACK)
    say(ValueError(ATTACK), err=True)
    printed = capsys.readouterr()
    assert not drives_a_terminal(printed.out + printed.err)


def test_markup_of_others_is_text(capsys):
    console().print("[bold]x[/bold] :smile:")
    assert capsys.readouterr().out == "[bold]x[/bold] :smile:\n"


def test_letters_go_out():
    assert list(letters(range(54)).values())[50:] == ["y", "z", "?", "?"]


@given(st.text(), st.integers(1, 30))
def test_shortened_text_fits(text, most):
    assert len(shorten(text, most)) <= most
    assert shorten(text, max(1, len(text))) == text


def test_commands_print_through_the_screen_alone():
    """So that no output can forget to clean what others wrote."""
    for path in sorted(Path(cli.__file__).parent.glob("*.py")):
        if path.name != "screen.py":
            source = path.read_text(encoding="utf-8")
            others = r"typer\.s?echo|\bConsole\(|(?<![.\w])print\(|std(out|err)\.write"
            found = re.search(others, source)
            assert found is None, f"{path.name}: {found}"
