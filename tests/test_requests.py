"""The log of requests: what is packed is unpacked, and nothing else is a record."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotts import control

NO_ROOM = 2**31 - 1


@st.composite
def requests(draw):
    """(kind, flag, model, body) of a request that a program may make."""
    kind = draw(st.integers(control.BRANCH, control.ANSWER))
    flag = kind in (control.BRANCH, control.CONTINUE) and draw(st.booleans())
    count = {control.BRANCH: 1, control.ANSWER: 1, control.NOTE: 2}.get(
        kind, draw(st.integers(1, 9))
    )
    body = draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=count, max_size=count))
    model = draw(st.integers(0, 2**16 - 1)) if kind == control.BRANCH else 0
    return kind, flag, model, body


def words_of(*asked):
    """A log of requests, each (kind, flag, model, body)."""
    words = [
        w
        for kind, flag, model, body in asked
        for w in (control.pack_head(kind, flag, len(body), model), *body)
    ]
    return np.array(words, np.int64)


@given(requests())
def test_a_head_says_what_was_packed(request_):
    kind, flag, model, body = request_
    head = control.pack_head(kind, flag, len(body), model)
    assert control.unpack_head(head, len(body), 9) == (kind, flag, model, len(body))
    assert control.unpack_head(head, len(body) - 1, 9)[3] == -1


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**31), st.integers(0, 2**15))
def test_only_what_a_program_could_write_is_a_head(head, room, ceiling):
    """Any word that is let in is the very word that would be packed for what it says."""
    kind, flag, model, count = control.unpack_head(head, room, ceiling)
    if count >= 0:
        assert control.pack_head(kind, flag, count, model) == head
        assert count <= room
        assert kind <= control.ANSWER


@pytest.mark.parametrize("bit", [*range(3, 8), *range(9, 32), 63])
def test_bits_that_mean_nothing_yet_are_refused(bit):
    """So that another kind, or a model of what opens no branch, can be told from today's."""
    head = control.pack_head(control.CONTINUE, True, 1) ^ (1 << bit)
    signed = head - 2**64 if bit == 63 else head
    assert control.unpack_head(signed, NO_ROOM, NO_ROOM)[3] == -1


@given(
    st.lists(st.tuples(st.integers(0, 2**15 - 1), st.integers(1, control.MAX_TIMES)), min_size=1)
)
def test_ids_and_times_come_back(asked):
    body = np.array([control.pack_times(i, times) for i, times in asked], np.int64)
    ids, times = np.zeros((2, len(asked)), np.int64)
    control.unpack_times(body, ids, times)
    assert list(zip(ids.tolist(), times.tolist(), strict=True)) == asked


@given(st.lists(requests(), max_size=8))
def test_a_log_is_read_record_by_record(asked):
    found = list(control.records(words_of(*asked)))
    assert [(r.kind, r.flag, r.model, r.words[1:].tolist()) for r in found] == asked


@pytest.mark.parametrize("words", [[0], [-1], [control.pack_head(control.NOTE, False, 2), 5]])
def test_words_that_are_no_log_are_an_error(words):
    opened = words_of((control.BRANCH, True, 0, [2]))
    with pytest.raises(ValueError, match="no record begins at word 2 of"):
        list(control.records(np.concatenate([opened, words])))


def test_notes_are_not_decisions():
    """Their last bits may differ between compiled and interpreted arithmetic."""
    first, other = (
        words_of(
            (control.BRANCH, True, 0, [2]), (control.NOTE, False, 0, [5, bits]),
            (control.PRUNE, False, 0, [0]),
        )
        for bits in (1, 2)
    )  # fmt: skip
    decided = words_of((control.BRANCH, True, 0, [2]), (control.PRUNE, False, 0, [0]))
    assert control.decisions(first).tolist() == decided.tolist()
    assert control.decisions(other).tolist() == decided.tolist()
    assert len(control.decisions(np.zeros(0, np.int64))) == 0


@given(st.lists(st.lists(requests(), max_size=4), min_size=1, max_size=5))
def test_episodes_are_put_together_and_taken_apart(episodes):
    words = [words_of(*asked) for asked in episodes]
    log = control.Log.join([control.Log.by_episode([one]) for one in words])
    assert log.words.tolist() == np.concatenate(words).tolist()
    for e, one in enumerate(words):
        assert log.of(e).tolist() == one.tolist()
        assert log.part(e, len(words)).of(0).tolist() == one.tolist()


def test_a_log_of_another_version_can_not_be_read():
    nothing = np.zeros(0, np.int64)
    assert control.Log(nothing, nothing).version == control.LOG_VERSION
    with pytest.raises(ValueError, match="a log of version 2; this reads version 3"):
        control.Log(nothing, nothing, version=2)


def test_a_log_says_what_models_it_opened_branches_of():
    opening = (control.BRANCH, True, 3, [2]), (control.BRANCH, False, 1, [1])
    asked = opening[0], (control.PRUNE, False, 0, [0]), opening[1]
    assert control.models_opened(words_of(*asked)).tolist() == [3, 3, 1]
    assert control.models_opened(words_of()).tolist() == []
