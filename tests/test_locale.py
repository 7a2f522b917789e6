"""Locales that aren't UTF-8, and files that begin with a byte-order mark."""

import json
import os
import subprocess
import sys

import pytest

from autotts import programs

LOCALES = {
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "ascii, strict": {"PYTHONIOENCODING": "ascii:strict"},
    "the C locale, as it is": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "gbk": {"PYTHONIOENCODING": "gbk"},
}
PROGRAM = '''"""Majority of a few, with a name of its own: größer."""

def schedule(beta):
    return {"width": 4}

def solve(env, p):
    env.finish(env.branch(p.width))
    return env.vote()
'''


def run(*command, **environment):
    """A command in a process of its own, in which opening files in the locale's encoding fails."""
    code = (
        "import sys, warnings\n"
        "warnings.filterwarnings('error', category=EncodingWarning, module='autotts')\n"
        f"sys.argv = {['autotts', *map(str, command)]!r}\n"
        "from autotts.cli import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
    )


@pytest.mark.parametrize("environment", LOCALES.values(), ids=LOCALES)
def test_every_output_is_shown_as_far_as_the_locale_can(simulated, tmp_path, environment):
    results = tmp_path / "results.json"
    commands = [
        ("evaluate", simulated, "-c", "sc:width=4", "--json", results),
        ("trace", simulated, "-c", "sc:width=4", "--question", 0),
        ("data", "list", simulated),
        ("evaluate", simulated, "-c", "größer…"),
    ]
    for command in commands:
        ran = run(*command, **environment)
        assert b"Traceback" not in ran.stderr, ran.stderr.decode(errors="replace")
        assert ran.returncode == ("größer…" in command)
    assert json.loads(results.read_bytes().decode("utf-8"))["results"]


@pytest.mark.parametrize("environment", LOCALES.values(), ids=LOCALES)
def test_tables_keep_their_columns_in_every_locale(simulated, environment):
    ran = run("evaluate", simulated, "-c", "sc:width=4", COLUMNS="80", **environment)
    head, rule, _, row = ran.stdout.decode("gbk", errors="replace").splitlines()[:4]
    assert len(head) == len(row)
    assert "?" not in head + rule + row


def test_results_are_written_before_they_are_shown(simulated, tmp_path):
    """A terminal that is gone takes nothing with it."""
    results = tmp_path / "results.json"
    code = (
        "import sys\n"
        f"sys.argv = ['autotts', 'evaluate', {str(simulated)!r}, '-c', 'sc:width=4',\n"
        f"    '--json', {str(results)!r}]\n"
        "from autotts.cli import main\n"
        "main()\n"
    )
    with open("/dev/full", "wb") as full:
        ran = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE)
    assert b"Traceback" not in ran.stderr
    assert b"No space left" in ran.stderr
    assert ran.returncode
    assert json.loads(results.read_bytes())["results"]


def test_a_program_may_begin_with_a_byte_order_mark(tmp_path):
    plain, marked = tmp_path / "plain.py", tmp_path / "marked.py"
    plain.write_bytes(PROGRAM.encode())
    marked.write_bytes(b"\xef\xbb\xbf" + PROGRAM.encode())
    assert programs.find(str(marked)).text == programs.find(str(plain)).text == PROGRAM
