"""Programs that pass the source check reach nothing beyond their arrays by what they call."""

import pytest

from attacks import beyond, toy
from autotts.errors import ControllerError
from autotts.programs.checker import problems
from autotts.sandbox.compiled_run import EpisodeFailed, NotCompiled
from autotts.sandbox.confine import seal

pytestmark = pytest.mark.skipif(
    seal.supported() is not None, reason=f"no process can be sealed here: {seal.supported()}"
)

CELL = toy.make_cell(n_draws=1)


@pytest.mark.parametrize("name", beyond.PROGRAMS)
def test_nothing_beyond_a_program_s_arrays_is_reached(name):
    """The source check lets it through; compiled it fails, or isn't compiled; blind it fails."""
    source = toy.program(beyond.PROGRAMS[name])
    assert problems(source.text) == []
    with pytest.raises((EpisodeFailed, NotCompiled)):
        toy.compiled(source, CELL)
    with pytest.raises(ControllerError):
        toy.blind(source, CELL)
