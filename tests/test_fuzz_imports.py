"""Recordings that anybody may have written: sound stores or named errors, nothing half-written."""

import pytest

import recordings
from fuzz_imports import fuzz


@pytest.mark.parametrize("name", recordings.FILES)
def test_mutated_recordings_end_in_sound_stores_or_named_errors(name, tmp_path):
    assert fuzz(tmp_path, name, 100) == {}
