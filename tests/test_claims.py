"""What agents say they cost: honest words count, and no line can lower or break an account."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotts.discovery.agents.claims import charged, claude_claim, codex_claim
from autotts.discovery.explorer import Usage
from autotts.discovery.explorers.agent import PRESETS
from autotts.discovery.run.charges import is_tokens, is_usd, settled

CLAUDE = {
    "type": "result",
    "total_cost_usd": 0.25,
    "usage": {"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 7},
}
CODEX = {"type": "turn.completed", "usage": {"input_tokens": 5, "output_tokens": 2}}
RESERVED = Usage(1, 1_000, 0, 2.0)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**30, -(10**30), 10**400])
    | st.floats()
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
COUNTS = ("input_tokens", "cache_creation_input_tokens", "output_tokens")
USAGES = JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(COUNTS, JSON))
LINES = st.lists(
    st.text(max_size=30)
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["result", "turn.completed"])},
        optional={"usage": USAGES, "total_cost_usd": JSON},
    ).map(json.dumps),
    max_size=6,
)


def sound(usage: Usage) -> bool:
    """Whether a ledger can count this."""
    counts = (usage.calls, usage.input_tokens, usage.output_tokens)
    priced = usage.usd is None or (math.isfinite(usage.usd) and usage.usd >= 0)
    return all(type(count) is int and count >= 0 for count in counts) and priced


@given(LINES, st.sampled_from([claude_claim, codex_claim]), st.booleans())
def test_whatever_is_printed_the_account_is_sound(lines, claim, well):
    assert sound(charged(claim("\n".join(lines)), RESERVED, ended_well=well))


@given(LINES, LINES)
def test_forged_lines_lower_nothing(before, after):
    """What is printed around an honest line only adds to what is charged for it."""
    for claim, honest in ((claude_claim, CLAUDE), (codex_claim, CODEX)):
        alone = charged(claim(json.dumps(honest)), RESERVED, ended_well=True)
        text = "\n".join([*before, json.dumps(honest), *after])
        among = charged(claim(text), RESERVED, ended_well=True)
        assert among.tokens >= alone.tokens
        assert among.usd >= alone.usd


@given(LINES)
def test_a_session_that_fails_costs_no_less_than_was_reserved(lines):
    for claim in (claude_claim, codex_claim):
        cost = charged(claim("\n".join(lines)), RESERVED, ended_well=False)
        assert cost.tokens >= RESERVED.tokens
        assert cost.usd >= RESERVED.usd


def test_presets_count_what_their_agents_report():
    """Claude Code reports dollars, Codex tokens only, others nothing: unpriced, never 0."""
    torn = f"hello\n{{torn\n{json.dumps(CLAUDE)}\n"
    turns = "\n".join([json.dumps(CODEX)] * 2)
    assert PRESETS["claude"].usage(torn) == Usage(1, 100, 7, 0.25)
    assert PRESETS["codex"].usage(turns) == Usage(1, 10, 4, None)
    assert PRESETS["claude"].usage("killed before it said anything") is None


@pytest.mark.parametrize(
    ("claim", "cost"),
    [
        (Usage(1, 100, 7, 0.25), Usage(1, 100, 7, 0.25)),
        (Usage(1, 100, 7, 5.0), Usage(1, 100, 7, 5.0)),
        (Usage(1, 5_000, 7, None), Usage(1, 5_000, 7, 2.0)),
        (Usage(1, 0, 7, 0.25), Usage(1, 993, 7, 0.25)),
        (None, RESERVED),
    ],
)
def test_what_is_not_said_costs_what_was_reserved(claim, cost):
    """Amount by amount; a claim above the reservation counts in full."""
    assert charged(claim, RESERVED, ended_well=True) == cost


@given(JSON)
def test_only_amounts_are_amounts(value):
    """No boolean, text, list, infinity or negative number; and no sum overflows a float."""
    if is_tokens(value):
        assert type(value) is int
    if is_usd(value):
        assert math.isfinite(value * 1e6)
    assert not (isinstance(value, bool) and (is_tokens(value) or is_usd(value)))


@given(st.tuples(JSON, JSON, JSON, JSON))
def test_an_explorer_s_word_is_settled_amount_by_amount(values):
    """Whatever a plug-in returns as the cost of a call, the ledger can count it."""
    assert sound(settled(Usage(*values), RESERVED))
