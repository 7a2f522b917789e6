"""Recordings that anybody may have written: sound stores or named errors, nothing half-written."""

import pytest

import recordings
from fuzz_imports import fuzz

FORMATS = [format_name for format_name, _ in recordings.FILES.values()]


@pytest.mark.parametrize("name", recordings.FILES)
def test_mutated_recordings_end_in_sound_stores_or_named_errors(name, tmp_path):
    """A hundred of each format, and some of the other files that it comes in."""
    first = FORMATS.index(recordings.FILES[name][0]) == list(recordings.FILES).index(name)
    assert fuzz(tmp_path, name, 100 if first else 20) == {}
