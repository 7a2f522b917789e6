"""Claude through claude-agent-sdk: the program that the preset `claude-sdk` starts in the jail.

Reads the task from standard input, works in the current folder, prints each message as a line of
JSON, the result last, as Claude Code does.
"""

import argparse
import asyncio
import dataclasses
import importlib
import json
import sys
from typing import Any


async def work(task: str, options: dict[str, Any]) -> None:
    """Hand the task to the agent and print what it says."""
    # Not installed with us, so its types are not known.
    sdk: Any = importlib.import_module("claude_agent_sdk")
    settings = sdk.ClaudeAgentOptions(permission_mode="bypassPermissions", **options)
    async for message in sdk.query(prompt=task, options=settings):
        kind = "result" if isinstance(message, sdk.ResultMessage) else type(message).__name__
        line = {"type": kind, **dataclasses.asdict(message)}
        print(json.dumps(line, default=str), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--usd", type=float)
    given = parser.parse_args()
    named = {"model": given.model, "max_budget_usd": given.usd}
    options = {name: value for name, value in named.items() if value is not None}
    try:
        asyncio.run(work(sys.stdin.read(), options))
    except ImportError as error:
        print(f'{error}: pip install "autotts[agents]"', file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
