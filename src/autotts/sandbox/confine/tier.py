"""How well this machine seals: what every result says, and `autotts doctor` prints."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from autotts.errors import SandboxError


@dataclass(frozen=True, slots=True)
class Tier:
    """What a worker reached.

    layers: for each layer "on..." or "off: why".
    breaches: what it could still do and must not.
    """

    layers: Mapping[str, str]
    breaches: tuple[str, ...]

    @property
    def sealed(self) -> bool:
        """Whether generated code may run in it: seccomp holds and nothing gets through."""
        return self.layers.get("seccomp", "").startswith("on") and not self.breaches

    @property
    def name(self) -> str:
        return "sealed" if self.sealed else "unsealed"

    def __str__(self) -> str:
        on = [f"{k}{v.removeprefix('on')}" for k, v in self.layers.items() if v.startswith("on")]
        return f"{self.name} ({', '.join(on) or 'a process of its own only'})"

    def explain(self) -> str:
        """Layer by layer, and what it means."""
        lines = [f"{self.name}"]
        lines += [f"  {layer:13} {state}" for layer, state in self.layers.items()]
        lines += [f"  a sealed process could {breach}" for breach in self.breaches]
        if not self.sealed:
            lines.append(
                "  generated code is refused here, unless --unsafe-no-sandbox is given: it would "
                "run in a process of its own, without gold answers, but could read your files"
            )
        return "\n".join(lines)


def reach() -> Tier:
    """What this machine reaches: seals a process and tries it.

    Raises:
        SandboxError: not even the attempt could be made.
    """
    if os.name != "posix":
        raise SandboxError(
            "generated code needs a system that can fork: Linux (sealed) or macOS (unsealed); "
            "on Windows use WSL2"
        )
    attempt = subprocess.run(
        [sys.executable, "-s", "-P", "-m", "autotts.sandbox.confine.seal"],
        env={"PYTHONPATH": import_path()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    if attempt.returncode != 0:
        raise SandboxError(f"no process could be sealed: {attempt.stderr.decode().strip()}")
    report = json.loads(attempt.stdout)
    return Tier(report["layers"], tuple(report["breaches"]))


def import_path() -> str:
    """Where this process imports from, for one that starts without its environment."""
    return os.pathsep.join(os.path.abspath(entry) for entry in sys.path if entry)
