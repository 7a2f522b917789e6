"""The agent explorer: a coding agent's command line, in a jailed workspace, for one round.

The whole session is one paid call: reserved before, recorded after, never paid twice. It ends when
the agent does or its time is up, and then nothing of it is left running. What it printed is kept in
the round as `transcript.txt`.
"""

import contextlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from autotts.discovery.agents import claims
from autotts.discovery.agents.process import AgentEnd, run_agent
from autotts.discovery.agents.scorer_client import ENVIRONMENT
from autotts.discovery.agents.scorer_server import ScorerSocket, TryAllowance
from autotts.discovery.agents.workspace import Workspace, proposal_of
from autotts.discovery.explorer import CallFailed, Proposal, Record, Turn, Usage
from autotts.discovery.explorers import take_options
from autotts.discovery.explorers.metering import Meter
from autotts.discovery.explorers.options import number
from autotts.discovery.prompts.briefing import prompt_digest
from autotts.discovery.run.folder import RunFolder
from autotts.errors import ProposalError, RunError, SandboxError, SpecError
from autotts.files import write_text
from autotts.inference.address import redact
from autotts.sandbox.confine import jail
from autotts.text import clean

_PASSED = ("LANG", "LC_ALL", "TERM", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_SECRET_WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "PROXY")


_BLANKS = {"python": sys.executable, "sdk": str(Path(__file__).parent / "claude_sdk.py")}


@dataclass(frozen=True, slots=True)
class Preset:
    """A known agent.

    command: with the blanks of `_BLANKS`; the task comes on its standard input.
    model, usd: arguments added where these options are given.
    environment: names passed on to it, keys too: it is the agent that calls the model.
    arguments: by name of ours, arguments that hand on its value (`{value}`, a quoted string) to an
        agent that does not read the name; `renamed`: by name of the agent's, the name of ours that
        it stands for where it is not set itself.
    network: whether it needs the network, to reach its model.
    address: the name by which it is told its model's server, and the server if nothing is told.
    keys: names among `environment` that hold keys of that server.
    usage: reads what it says that it cost from what it printed; None where it does not say.
    """

    command: str
    model: str = ""
    usd: str = ""
    environment: tuple[str, ...] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    network: bool = True
    address: tuple[str, str] = ("OPENAI_BASE_URL", "https://api.openai.com/v1")
    keys: tuple[str, ...] = ("OPENAI_API_KEY",)
    usage: Callable[[str], Usage | None] = claims.no_claim


_CLAUDE_KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
_CLAUDE_ENVIRONMENT = ("ANTHROPIC_BASE_URL", *_CLAUDE_KEYS, *_PROXIES)
_CLAUDE_ADDRESS = ("ANTHROPIC_BASE_URL", "https://api.anthropic.com")
# The jail is ours: both agents' own prompts and sandboxes would only get in the way inside it.
# A login shell sets a PATH of its own, on which there is no `autotts`.
PRESETS = {
    "claude": Preset(
        "claude -p --verbose --output-format stream-json --dangerously-skip-permissions",
        model="--model {model}",
        usd="--max-budget-usd {usd}",
        environment=_CLAUDE_ENVIRONMENT,
        fixed={"IS_SANDBOX": "1", "DISABLE_AUTOUPDATER": "1"},
        address=_CLAUDE_ADDRESS,
        keys=_CLAUDE_KEYS,
        usage=claims.claude_claim,
    ),
    "codex": Preset(
        "codex exec --json --ephemeral --skip-git-repo-check --sandbox danger-full-access"
        " -c allow_login_shell=false --cd {workspace} -",
        model="--model {model}",
        environment=("OPENAI_API_KEY", "CODEX_API_KEY", *_PROXIES),
        # Since 0.171 it reads neither name of OpenAI's in `exec`, but takes them so.
        arguments={"OPENAI_BASE_URL": "-c openai_base_url={value}"},
        renamed={"CODEX_API_KEY": "OPENAI_API_KEY"},
        keys=("OPENAI_API_KEY", "CODEX_API_KEY"),
        usage=claims.codex_claim,
    ),
    "claude-sdk": Preset(
        "{python} -P {sdk}",
        model="--model {model}",
        usd="--usd {usd}",
        environment=_CLAUDE_ENVIRONMENT,
        fixed={"IS_SANDBOX": "1"},
        address=_CLAUDE_ADDRESS,
        keys=_CLAUDE_KEYS,
        usage=claims.claude_claim,
    ),
}

OPTIONS = {
    "preset": "",
    "command": "",
    "model": "",
    "usd": "",
    "tokens": "",
    "minutes": "30",
    "tries": "30",
    "pause": "1",
    "env": "",
    "read": "",
    "write": "",
    "network": "",
    "jail": "on",
    "meter": "off",
}
"""Options and their defaults. `usd`, `tokens`: what a round may cost at most, reserved before it,
and charged where the agent does not say what it cost, or fails; `tries`, `pause`: of `autotts try`;
`env`, `read`, `write`: names and paths, by comma; `meter`: whether its calls go through us, who
count them."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms an agent works.

    usd, tokens: most of a session; None if nobody knows.
    environment: names of ours that it gets.
    read, write: folders that it may use beside its workspace and the system.
    jailed: False runs it with our rights.
    metered: whether its calls of the model go through a `Meter`.
    """

    minutes: float
    usd: float | None
    tokens: int
    tries: int
    pause: float
    environment: tuple[str, ...]
    read: tuple[str, ...]
    write: tuple[str, ...]
    network: bool
    jailed: bool
    metered: bool


class Agent:
    """Proposes what a coding agent leaves in its workspace."""

    name = "agent"
    deterministic = False
    side_by_side = True

    def __init__(
        self, argv: tuple[str, ...], preset: Preset, terms: Terms, described: Record
    ) -> None:
        """
        Args:
            argv: the command with its blanks.
            described: what `settings` says.
        """
        self._argv = argv
        self._preset = preset
        self._terms = terms
        self._described = described

    def settings(self) -> Record:
        return {**self._described, "prompts": prompt_digest()}

    def estimate(self, rounds: int, proposals: int) -> Usage:
        one = self._at_most
        return Usage(
            rounds, rounds * one.input_tokens, 0, None if one.usd is None else rounds * one.usd
        )

    @property
    def _at_most(self) -> Usage:
        return Usage(1, self._terms.tokens, 0, self._terms.usd)

    def propose(self, turn: Turn) -> list[Proposal]:
        opened = self._jail() if self._terms.jailed else None
        if opened is not None:
            _check_closed(opened, turn)
        request: Record = {"command": list(self._argv), "round": turn.round}
        # Cleaning up comes after the reply is recorded, so that it can't lose it.
        with contextlib.ExitStack() as cleaning:
            try:
                found: Any = turn.paid(
                    request, lambda: self._session(turn, opened, cleaning), at_most=self._at_most
                )
            except CallFailed as error:
                raise ProposalError(str(error)) from error
        if found["why"]:
            turn.say(f"round {turn.round}: the agent was ended: {found['why']}")
        if not found["programs"]:
            raise ProposalError(
                f"the agent left no program of its own ({_ending(found)}); it printed last:"
                f" {found['last']}"
            )
        return [proposal_of(*pair) for pair in zip(found["programs"], found["words"], strict=True)]

    def _session(
        self, turn: Turn, opened: jail.Jail | None, cleaning: contextlib.ExitStack
    ) -> tuple[Record, Usage]:
        """Run the agent once; what it left, and what it cost."""
        terms = self._terms
        environment = self._environment()
        meter = self._meter(environment, cleaning)
        secrets = {
            name: value
            for name, value in environment.items()
            if any(word in name.upper() for word in _SECRET_WORDS)
        }
        if meter is not None:
            environment = self._through(meter, environment)
        workspace = cleaning.enter_context(
            Workspace(turn, tries=terms.tries, minutes=terms.minutes)
        )
        if opened is not None:
            opened = replace(opened, write=(*opened.write, str(workspace.folder)))
        allowance = TryAllowance(terms.tries, terms.pause)
        with ScorerSocket(workspace.socket, turn.try_program, allowance) as scorer:
            try:
                ended = run_agent(
                    self._command(workspace.folder, environment),
                    folder=workspace.folder,
                    stdin=workspace.folder / "TASK.md",
                    environment=environment | _of_workspace(workspace),
                    timeout_seconds=60 * terms.minutes,
                    jail=opened,
                    scorer=scorer,
                    ended=turn.ended,
                )
            except SandboxError as error:
                raise CallFailed(redact(str(error), secrets)) from error
        for layer, state in ended.layers.items():
            if state.startswith("off"):
                turn.say(f"round {turn.round}: the agent's jail, {layer}: {state}")
        left = workspace.collect()
        output = redact(ended.output, secrets)
        _keep_transcript(turn, ended, output, scorer.answered)
        reply: Record = {
            "programs": [redact(program, secrets) for program in left.programs],
            "words": [redact(words, secrets) for words in left.words],
            "exit": ended.exit,
            "why": ended.why,
            "left": ended.left,
            "tries": scorer.answered,
            "last": clean(output.strip()[-500:]),
        }
        claim = self._preset.usage(ended.output)
        well = ended.exit == 0 and not ended.why
        if meter is None:
            return reply, claims.charged(claim, self._at_most, ended_well=well)
        return reply, claims.metered(
            meter.usage, claim, self._at_most, whole=meter.whole, ended_well=well
        )

    def _meter(
        self, environment: Mapping[str, str], cleaning: contextlib.ExitStack
    ) -> Meter | None:
        """What its calls go through, at work, where that is asked for."""
        if not self._terms.metered:
            return None
        name, otherwise = self._preset.address
        upstream = environment.get(name) or os.environ.get(name) or otherwise
        return cleaning.enter_context(Meter(upstream, self._terms.tokens))

    def _through(self, meter: Meter, environment: Mapping[str, str]) -> dict[str, str]:
        """The environment of an agent whose calls go through a meter, with no key of the user's."""
        rest = {name: value for name, value in environment.items() if name not in _PROXIES}
        return meter.hold(rest, self._preset.keys) | {self._preset.address[0]: meter.url}

    def _environment(self) -> dict[str, str]:
        names = (*_PASSED, *self._preset.environment, *self._terms.environment)
        passed = {name: os.environ[name] for name in names if name in os.environ}
        for name, ours in self._preset.renamed.items():
            if name not in passed and ours in os.environ:
                passed[name] = os.environ[ours]
        return passed | dict(self._preset.fixed)

    def _command(self, folder: Path, environment: Mapping[str, str]) -> list[str]:
        """The command with its blanks filled in, and what the environment adds to it."""
        blanks = {**_BLANKS, "workspace": str(folder)}
        argv = [part.format_map(blanks) for part in self._argv]
        told = {**os.environ, **environment}
        for name, arguments in self._preset.arguments.items():
            if name in told:
                value = json.dumps(told[name])  # TOML reads such strings as JSON does
                argv += [part.replace("{value}", value) for part in shlex.split(arguments)]
        return argv

    def _jail(self) -> jail.Jail:
        """What the agent may open beside its workspace: the system, and its own program."""
        folders = [*os.environ.get("PATH", "").split(os.pathsep), sys.prefix, sys.base_prefix]
        folders += [sys.executable]
        found = shutil.which(self._argv[0])
        if found is not None:
            folders += _program_folders(Path(found))
        folders.append(_BLANKS["sdk"])
        folders += [os.environ.get(name, "") for name in _PASSED]
        return jail.Jail(
            read=(*jail.SYSTEM, *filter(os.path.isabs, folders), *self._terms.read),
            write=self._terms.write,
            network=self._terms.network,
        )


def _program_folders(program: Path) -> list[str]:
    """Where a program's own files are: beside it, and what a package manager put together.

    The program itself is among them for the links on its way, which lead through closed folders.
    """
    real = program.resolve()
    modules = [str(parent) for parent in real.parents if parent.name == "node_modules"]
    return [str(program), str(program.parent), str(real.parent), *modules]


def _check_closed(opened: jail.Jail, turn: Turn) -> None:
    """Nothing that the agent may open may hold a store, or the run.

    Raises:
        SpecError: something does.
    """
    closed = list(turn.stores)
    run = turn.folder.resolve().parents[2]
    if (run / "run.toml").is_file():
        closed += [run, *(Path(ref.path) for ref in RunFolder(run).settings.held_out)]
    for path in closed:
        if (where := opened.holds(path)) is not None:
            raise SpecError(
                f"the agent may open {where}, which has {path} in it; move the one or the other:"
                " an agent must not find the answers"
            )


def _of_workspace(workspace: Workspace) -> dict[str, str]:
    folder = workspace.folder
    path = os.environ.get("PATH", "/usr/bin:/bin")
    return {
        "PATH": f"{folder / 'bin'}{os.pathsep}{path}",
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        ENVIRONMENT: str(workspace.socket),
    }


def _ending(found: Mapping[str, Any]) -> str:
    return f"ended: {found['why']}" if found["why"] else f"exit code {found['exit']}"


def _keep_transcript(turn: Turn, ended: AgentEnd, output: str, tries: int) -> None:
    """Write what the agent printed, and how it ended.

    Raises:
        RunError: it can't be written.
    """
    header = {**asdict(ended), "tries": tries}
    del header["output"]
    try:
        write_text(turn.folder / "transcript.txt", output)
        write_text(turn.folder / "agent.json", json.dumps(header, indent=1) + "\n")
    except OSError as error:
        raise RunError(f"{turn.folder}: {error.strerror}; the run stops here") from error


def make(options: Mapping[str, str]) -> Agent:
    """From the options of `OPTIONS`.

    Raises:
        SpecError: an option is wrong, the agent is not installed, or can't be jailed here.
    """
    taken = take_options("agent", options, OPTIONS)
    if bool(taken["preset"]) == bool(taken["command"]):
        raise SpecError(
            f"explorer agent needs --option preset=NAME ({', '.join(PRESETS)}) or"
            " --option command='PROGRAM ARGUMENTS', one of them"
        )
    if taken["preset"] and taken["preset"] not in PRESETS:
        raise SpecError(f"explorer agent: no preset {taken['preset']!r}; {', '.join(PRESETS)}")
    preset = PRESETS.get(taken["preset"]) or Preset(taken["command"], network=False)
    argv = _argv(preset, taken)
    program = sys.executable if argv[0] == "{python}" else argv[0]
    if shutil.which(program) is None:
        raise SpecError(f"explorer agent: {program} is not installed, or not on PATH")
    network = _switch(taken, "network", preset.network)
    jailed = _switch(taken, "jail", True)
    if jailed and (reason := jail.missing()) is not None:
        raise SpecError(
            f"the agent can't be jailed here: {reason}; --option jail=off runs it with your"
            " rights, and it could read the answers"
        )
    metered = _switch(taken, "meter", False)
    if metered and not network:
        raise SpecError(
            "explorer agent: meter=on carries the agent's calls, which needs network=on"
        )
    terms = Terms(
        minutes=number("agent", taken, "minutes"),
        usd=number("agent", taken, "usd") if taken["usd"] else None,
        tokens=int(number("agent", taken, "tokens")) if taken["tokens"] else 0,
        tries=int(number("agent", taken, "tries")),
        pause=number("agent", taken, "pause"),
        environment=_list(taken["env"]),
        read=tuple(os.path.expanduser(path) for path in _list(taken["read"])),
        write=tuple(os.path.expanduser(path) for path in _list(taken["write"])),
        network=network,
        jailed=jailed,
        metered=metered,
    )
    return Agent(argv, preset, terms, dict(taken))


def _argv(preset: Preset, taken: Mapping[str, str]) -> tuple[str, ...]:
    """The command, its model and its limit filled in; the workspace is not known yet."""
    parts = [preset.command]
    parts += [getattr(preset, name) for name in ("model", "usd") if taken[name]]
    filled = " ".join(parts).replace("{model}", shlex.quote(taken["model"]))
    try:
        argv = tuple(shlex.split(filled.replace("{usd}", taken["usd"])))
        for part in argv:
            part.format_map({**_BLANKS, "workspace": ""})
    except (ValueError, KeyError, IndexError) as error:
        raise SpecError(
            f"explorer agent: command {preset.command!r}: {error!r}; it may have the blanks"
            " {workspace}, {model}, {usd} and {python}"
        ) from error
    if not argv:
        raise SpecError("explorer agent: the command is empty")
    return argv


def _list(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split(","))))


def _switch(taken: Mapping[str, str], name: str, default: bool) -> bool:
    if taken[name] not in ("", "on", "off"):
        raise SpecError(f"explorer agent: {name}={taken[name]!r}; need on or off")
    return default if taken[name] == "" else taken[name] == "on"
