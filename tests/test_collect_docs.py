"""The commands of docs/collect.md, one after the other, against a genuine server.

As they are written, but for the address, the questions (the tiny model adds two numbers), fewer
and shorter branches, and a folder in place of buckets. They take a minute, so only
`AUTOTTS_FULL=1` runs them.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import genuine

DOCS = Path(__file__).parent.parent / "docs" / "collect.md"
LARGE = replace(genuine.TINY, name="Qwen3-8B")
SMALL = replace(genuine.TINY, name="smol")
NOT_OURS = ("vllm serve", "python tests/genuine.py")
SIZES = {
    "--max-tokens 40000": "--max-tokens 160", "--interval 500": "--interval 16",
    "--branches 128": "--branches 6", "--branches 64": "--branches 3",
}  # fmt: skip
UNSIZED = " --branches 6 --interval 16 --max-tokens 160"

pytestmark = pytest.mark.skipif(
    not os.environ.get("AUTOTTS_FULL"), reason="a minute of commands: AUTOTTS_FULL=1 runs them"
)


def commands() -> Iterator[str]:
    """Those of all console blocks, with the lines that belong to each; of examples none."""
    for block in re.findall(r"```console\n(.*?)```", DOCS.read_text(), re.S):
        for command in re.split(r"^\$ ", block, flags=re.M)[1:]:
            if "..." not in command and not command.startswith(NOT_OURS):
                yield command


def adapted(command: str, urls: dict[str, str]) -> str:
    for written, url in urls.items():
        command = command.replace(written, url)
    for written, smaller in SIZES.items():
        command = command.replace(written, smaller)
    command = command.replace("--questions aime24 ", "--questions aime24.jsonl ")
    command = command.replace("s3://bucket", "elsewhere").replace("hf://datasets/me", "hub")
    command = command.replace("\\\n", " ")
    asks = command.startswith("autotts collect") and "--max-tokens" not in command
    return command.rstrip() + (UNSIZED if asks else "")


def test_every_command_of_the_guide_does_what_it_says(tmp_path):
    rows = [
        {"id": f"{a}+{b}", "question": f"What is {a} + {b}?", "answer": a + b}
        for a in (5, 9, 14)
        for b in (2, 8)
    ]
    for name, some in (("aime24", rows[:4]), ("more", rows[4:])):
        text = "".join(json.dumps(row) + "\n" for row in some)
        (tmp_path / f"{name}.jsonl").write_text(text)
    (tmp_path / "probe.txt").write_text("\n</think>\n\n**Final Answer**\n\\boxed{")
    ours = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(command: str) -> str:
        ran = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=ours, capture_output=True, text=True
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    # What the guide takes for granted: a store of another model, and one of another machine.
    run("autotts data simulate --out stores --model Qwen3-1.7B --dataset aime24")
    ran = 0
    try:
        with genuine.serving(LARGE, slots=4) as large, genuine.serving(SMALL, slots=4) as small:
            urls = {"http://localhost:8000": large, "http://127.0.0.1:43127": small}
            there = (
                "autotts collect --server http://localhost:8000 --questions aime24 --out {} --seed "
            )
            run(adapted(there.format("here") + "1", urls))
            run(adapted(there.format("there") + "2", urls))
            for command in commands():
                heredoc = re.match(r"cat > (\S+)\n(.*)", command, re.S)
                if heredoc:
                    (tmp_path / heredoc[1]).write_text(heredoc[2])
                    continue
                run(adapted(command, urls))
                ran += 1
    except genuine.NotToBeHad as why:
        pytest.skip(str(why))
    assert ran > 15
    assert (tmp_path / "figures").is_dir()
