"""Fixtures of the tests: their own cache of compiled code, and a small store on disk."""

import contextlib
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import genuine
from autotts.engine import cache
from autotts.programs import DEFAULT_BETA, Spec, read
from autotts.simulation import simulate

_TOGETHER = {
    "test_genuine": "genuine",
    "test_genuine_serve": "genuine",
    "test_genuine_tiny": "genuine",
    "test_play_browser": "browser",
    "test_report_browser": "browser",
    "test_cli_discover": "discover",
    "test_golden": "golden",
    "test_ray": "ray",
    "test_reports_runs": "reports",
}
"""Files whose fixtures take long to make: a group runs on one worker, so they are made once."""

collect_ignore = ["tiny_qwen3/train.py"]  # it needs torch, and nothing of it is a test


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests go to whichever worker is free, but for those that belong together.

    By file and not by the mark `xdist_group`, which xdist 3.8 overlooks under pytest 9.2.
    """
    from xdist.scheduler.loadscope import LoadScopeScheduling

    class ByFixtures(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _TOGETHER.get(Path(nodeid.partition("::")[0]).stem, nodeid)

    return ByFixtures(config, log)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compiled code is kept beside pytest's own cache: found again, and apart from the user's."""
    assert request.config.cache is not None
    with pytest.MonkeyPatch.context() as patch:
        folder = request.config.cache.mkdir("autotts-compiled")
        folder.chmod(0o700)  # where others may write, nothing is kept
        patch.setenv("AUTOTTS_CACHE", str(folder))
        yield


def _address(model: genuine.Model, slots: int, context: int) -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        try:
            yield stack.enter_context(genuine.serving(model, slots=slots, context=context))
        except genuine.NotToBeHad as error:
            pytest.skip(str(error))


@pytest.fixture(scope="session")
def smol() -> Iterator[str]:
    """The address of a genuine server with SmolLM2-135M, for 16 branches at once."""
    yield from _address(genuine.SMOL, 16, 8_192)


@pytest.fixture(scope="session")
def tiny() -> Iterator[str]:
    """The address of a genuine server with the tiny Qwen3, for 32 branches at once."""
    yield from _address(genuine.TINY, 32, 16_384)


@pytest.fixture(scope="module")
def server() -> Any:
    """A model that is made up."""
    from scripted_branches import ScriptedBranches

    return ScriptedBranches()


@pytest.fixture(scope="module")
def address(server: Any) -> Iterator[str]:
    """Where a service over it is."""
    from toy_service import serving

    with serving(server) as address:
        yield address


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    """OpenAI's client of that service, which never asks twice."""
    import openai

    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of compiled code that a test, and the processes it starts, have alone."""
    monkeypatch.setenv("AUTOTTS_CACHE", str(tmp_path / "cache"))
    cache._say.cache_clear()
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a simulated store: 4 questions of 16 branches."""
    return simulate(tmp_path_factory.mktemp("simulated"), questions=4, branches=16, seed=1)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes a program to a file, and gives its path."""

    def write(text: str, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write


@pytest.fixture
def trust(save: Callable[..., Path]) -> Callable[..., Spec]:
    """A SPEC for a program's text, to be run in this process as ours are."""

    def spec(text: str, **named: float) -> Spec:
        source = read(save(text), trusted=True)
        return Spec(source.name, source, DEFAULT_BETA, named)

    return spec
