"""A run as tools of the Model Context Protocol, for agents that work beside it.

What the tools say is what a workspace has in files: the task, the history, the diagnoses. Programs
are tried and handed in as by `autotts try` and `autotts submit`, so scores are made, and recorded,
by the run. Nothing here opens a store.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

from autotts.discovery.agents import scorer_client
from autotts.discovery.agents.scorer_waiting import await_scorer
from autotts.discovery.explorer import Diagnosed
from autotts.discovery.explorers.files import await_verdict, hand_in
from autotts.discovery.prompts.briefing import history_text, task
from autotts.discovery.run.folder import RunFolder
from autotts.errors import AutottsError, ProposalError, RunError, SpecError
from autotts.text import clean, head
from autotts.version import __version__

MOST_BYTES = 32_000
"""Of what a tool says: what agents take without cutting it."""
_VERDICT_SECONDS = 45.0
"""That `submit` waits: many clients give a tool a minute."""

_INSTRUCTIONS = (
    "A run that looks for a better controller of test-time scaling. Read `task` first, then"
    " `history` and `diagnose`; write a program, score it with `try`, improve it, and hand in your"
    " best with `submit`, once for each round."
)


class Tools:
    """What a run offers; every method is a tool, and its docstring tells the agent what it does."""

    def __init__(self, run: Path) -> None:
        """
        Raises:
            RunError: there is no run.
            SpecError: it asks another explorer, so nothing can be handed in to it.
        """
        asked = RunFolder(run).settings.explorer.name
        if asked != "files":
            raise SpecError(
                f"{run}: its explorer is {asked}; autotts mcp needs a run that waits for programs:"
                " autotts discover RUN --explorer files"
            )
        self._run = run

    def task(self) -> str:
        """What is looked for, what a program may do, and the rules that it must keep."""
        made = RunFolder(self._run).settings
        return task(made.rules, len(made.betas), made.objective, made.judge)

    def history(self) -> str:
        """What was tried so far and what came of it, with the program that leads."""
        folder = RunFolder(self._run)
        traces = folder.settings.traces
        return history_text(folder.state.history, traces=traces, max_bytes=MOST_BYTES)

    def diagnose(self, name: str = "", episodes: bool = False) -> str:
        """Where accuracy and tokens are lost.

        Without a name: what matters on the search set, and the names. With the name of a baseline
        or a round, such as 3 or 3.2: its diagnosis; with `episodes`, some of its episodes too.
        """
        folder = RunFolder(self._run)
        if not folder.settings.traces:
            raise RunError("this run shows scores only; there is no diagnosis")
        history = folder.state.history
        found: Mapping[str, Diagnosed] = {
            **history.diagnoses,
            **{t.name: Diagnosed(t.digest, t.traces) for t in history.trials if t.digest},
        }
        names = ", ".join(found) or "none yet"
        if not name:
            return f"{history.matters or 'The run has not begun.'}\nDiagnosed: {names}\n"
        if name not in found:
            raise ProposalError(f"no diagnosis of {name!r}; there is one of: {names}")
        told = found[name]
        return f"{told.digest}\n{told.traces}" if episodes else told.digest

    def try_program(self, program: str, constants: dict[str, float] | None = None) -> str:
        """Score the text of a program quickly on the search set.

        `constants` puts numbers in the schedule, such as {"width": 8}.
        """
        put = {name: f"{value:.15g}" for name, value in (constants or {}).items()}
        source = scorer_client.with_constants(program, put) if put else program
        self._check_at_work("try")
        where = await_scorer(self._run)
        try:
            return scorer_client.describe(scorer_client.ask(where, source))
        except OSError as error:
            raise RunError(f"no answer from the scorer of {self._run}: {error}") from error

    def submit(self, program: str, proposal: str = "") -> str:
        """Hand in the text of a program for the next round, and read what became of it.

        `proposal` is Markdown with the headings Idea, Learned and Expected effect.
        """
        self._check_at_work("submit")
        number, _ = hand_in(self._run, program, proposal)
        try:
            trial, verdict = await_verdict(
                self._run, number, program, at_most_seconds=_VERDICT_SECONDS
            )
        except TimeoutError:
            return f"submitted for round {number}, which is being scored; `history` will say more"
        return "\n".join([*verdict, "", trial.digest])

    def _check_at_work(self, asked: str) -> None:
        """
        Raises:
            RunError: nobody is at work on the run.
        """
        if not RunFolder(self._run).at_work:
            raise RunError(
                f"{asked}: nobody is at work on this run, so nothing was done; it goes on with"
                f" autotts discover --resume {self._run}"
            )


def serve(run: Path) -> None:
    """Offer a run's tools on standard input and output, until the client leaves.

    Raises:
        RunError: there is no run.
        SpecError: it asks another explorer, or the extra is not installed.
    """
    tools = Tools(run)
    try:
        from mcp.server import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
    except ImportError as error:
        raise SpecError('autotts mcp needs mcp: pip install "autotts[mcp]"') from error
    # Whatever the package would log beside an error of ours is what the agent is told.
    server = MCPServer(
        "autotts", instructions=_INSTRUCTIONS, version=__version__, log_level="CRITICAL"
    )
    for name, tool in (
        ("task", tools.task),
        ("history", tools.history),
        ("diagnose", tools.diagnose),
        ("try", tools.try_program),
        ("submit", tools.submit),
    ):
        server.add_tool(_told(tool, ToolError), name=name, structured_output=False)
    server.run("stdio")


def _told(tool: Callable[..., str], error_of: type[Exception]) -> Callable[..., str]:
    """A tool whose text is clean and bounded, and whose errors are the agent's to read."""

    @wraps(tool)
    def call(*args: Any, **named: Any) -> str:
        try:
            text = tool(*args, **named)
        except (AutottsError, OSError, ValueError) as error:
            raise error_of(bounded(str(error))) from error
        return bounded(text)

    return call


def bounded(text: str) -> str:
    """A clean text of at most `MOST_BYTES` bytes, which says so where it was cut."""
    text = clean(text)
    if len(text.encode()) <= MOST_BYTES:
        return text
    notice = "\n[... the rest is left out]\n"
    return head(text, MOST_BYTES - len(notice)) + notice
