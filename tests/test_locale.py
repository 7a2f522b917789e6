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


def run(commands, **environment):
    """Commands in one process of the locale, in which opening files in its encoding fails.

    Gives the process, and how each of the commands ended.
    """
    words = [["autotts", *map(str, command)] for command in commands]
    code = (
        "import os, sys, warnings\n"
        "warnings.filterwarnings('error', category=EncodingWarning, module='autotts')\n"
        "from autotts.cli import main\n"
        "codes = []\n"
        f"for sys.argv in {words!a}:\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as end:\n"
        "        codes.append(end.code or 0)\n"
        "os.write(int(os.environ['CODES']), str(codes).encode())\n"
    )
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb") as codes:
        ran = subprocess.run(
            [sys.executable, "-X", "warn_default_encoding", "-c", code],
            env={**os.environ, **environment, "CODES": str(theirs)},
            capture_output=True,
            pass_fds=[theirs],
        )
        os.close(theirs)
        return ran, json.loads(codes.read() or b"null")


@pytest.mark.parametrize("environment", LOCALES.values(), ids=LOCALES)
def test_every_output_is_shown_as_far_as_the_locale_can(simulated, tmp_path, environment):
    """And tables keep their columns."""
    results = tmp_path / "results.json"
    commands = [
        ("evaluate", simulated, "-c", "sc:width=4", "--json", results),
        ("trace", simulated, "-c", "sc:width=4", "--question", 0),
        ("data", "list", simulated),
        ("evaluate", simulated, "-c", "größer…"),
    ]
    ran, codes = run(commands, COLUMNS="80", **environment)
    assert b"Traceback" not in ran.stderr, ran.stderr.decode(errors="replace")
    assert codes == [0, 0, 0, 1]
    assert json.loads(results.read_bytes().decode("utf-8"))["results"]
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
