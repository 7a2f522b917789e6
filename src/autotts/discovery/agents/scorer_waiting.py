"""Finding the scorer of a run, which answers between two rounds."""

import time
from collections.abc import Callable
from pathlib import Path

from autotts.discovery.agents.scorer_client import SOCKET
from autotts.discovery.run.folder import RunFolder

_LOOK_SECONDS = 0.2


def await_scorer(run: Path, tell: Callable[[str], object] = lambda text: None) -> Path:
    """Where a run's scorer listens, waiting for it as long as somebody is at work on the run.

    Nobody may listen there in the end: the run may stop, or ask another explorer.

    Raises:
        RunError: there is no run, or it has links in it.
    """
    folder = RunFolder(run)
    folder.check_no_links()  # the socket of somebody else may be another program's
    socket = run / SOCKET
    if folder.at_work and not socket.exists():
        tell("the run is scoring a round; waiting for its scorer")
    while folder.at_work and not socket.exists():
        time.sleep(_LOOK_SECONDS)
    return socket
