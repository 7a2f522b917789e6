"""Files that anybody may have written: named errors only, and nothing hangs."""

import pytest

from fuzz_files import KINDS, fuzz


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_files_are_read_or_refused_by_a_named_error(kind, tmp_path):
    assert fuzz(tmp_path, kind, 60) == {}
