"""What an explorer that reads is told: complete, in step with the code, and within its budget."""

import re
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotts import votes
from autotts.discovery.explorer import History, ProgramRules, Proposal, SweepPoint, Trial
from autotts.discovery.prompts import briefing
from autotts.discovery.prompts.replies import ends_inside_block, parse_reply, parse_words, spoken
from autotts.evaluation.families import Judge
from autotts.programs import checker

POINT = SweepPoint(0.5, 61.25, 90_000.0, 30_000.0, 0.15)
PROGRAM = "def schedule(beta):\n    return {'a': beta}\n\n\ndef solve(env, p):\n    return -1\n"


def trial(number: int, **changes: object) -> Trial:
    proposal = Proposal(PROGRAM, f"idea {number}", f"learned {number}", f"effect {number}")
    made = Trial(
        number,
        0,
        proposal,
        (POINT,),
        60.0 + number,
        (),
        (),
        f"# digest {number}\n- lost: q3",
        False,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("judge", "words"), [("mean", ""), ("worst", "smallest"), ("regret", "best baseline there")]
)
def test_the_task_says_how_families_are_judged(judge: Judge, words: str) -> None:
    text = briefing.task(ProgramRules(), judge=judge)
    assert words in text
    assert ("must hold on every family" in text) == bool(words)


def test_the_vocabulary_is_the_modules() -> None:
    text = briefing.vocabulary()
    public = {n for n in dir(votes) if callable(getattr(votes, n)) and f"`{n}(" in text}
    assert {"majority", "margin", "beta_confidence", "mode", "streak", "outliers"} <= public
    assert "_" not in {name[0] for name in re.findall(r"`(\w+)\(", text)}


def test_the_example_passes_the_check() -> None:
    """What we show is allowed."""
    source = parse_reply(briefing.prompt("environment", table="", votes="")).source
    assert checker.problems(source) == []


@pytest.mark.parametrize("one_knob", [True, False])
def test_the_rules_are_told_in_numbers(one_knob: bool) -> None:
    """What `ProgramRules` says is in the prompt; `--no-beta` changes the words."""
    rules = ProgramRules(
        one_knob=one_knob, ceiling=48, cheapest=0.07, dearest=0.61, isotonic_slack=0.03
    )
    text = briefing.task(rules, betas=9)
    for said in ("48 branches", "7%", "61%", "3%", "9 values", "10% to 60%"):
        assert said in text
    assert ("only rises or only falls" in text) == one_knob


def test_no_prompt_has_a_blank_left() -> None:
    assert "$" not in briefing.task(ProgramRules())
    assert "$" not in briefing.prompt("reply", round=3)
    with pytest.raises(KeyError):
        briefing.prompt("reply")


def test_the_digest_of_the_prompts_is_stable() -> None:
    assert briefing.prompt_digest() == briefing.prompt_digest()
    assert len(briefing.prompt_digest()) == 64


def test_the_history_tells_what_was_tried_and_why_it_failed() -> None:
    """Curves, states, reasons, words and the leading program; diagnoses only where allowed."""
    refused = trial(2, points=(), area=None, errors=("line 3: no",), digest="")
    leader = trial(1, accepted=True)
    history = History(
        {"cmc": (POINT,)}, (leader, refused, trial(3, remarks=("close to 1",))), leader
    )
    text = briefing.history_text(history, traces=True)
    for said in (
        "baseline cmc: 15.0%: 61.25",
        "| 1 | 61.00 | accepted, leads | idea 1 |",
        "| 2 | - | refused | idea 2 |",
        "Refused: line 3: no",
        "Remark: close to 1",
        "Learned: learned 3",
        "def solve(env, p):",
        "lost: q3",
    ):
        assert said in text
    assert text.index("### Round 3") < text.index("### Round 1")
    assert "lost: q3" not in briefing.history_text(history, traces=False)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 4_000), st.booleans())
def test_what_room_is_left_shows_episodes_of_the_leader(max_bytes: int, traces: bool) -> None:
    """Whole ones, within the bytes of the history, and none under `--no-traces`."""
    episodes = "".join(f"\n```text\nround-1, draw {n}\n\n0  AAB{'C' * n}\n```\n" for n in range(30))
    leader = trial(1, traces=f"# Traces of round-1\n{episodes}")
    given_turn = SimpleNamespace(
        history=History({"cmc": (POINT,)}, (leader,), leader), traces=traces, rules=ProgramRules(),
        objective="tokens",
        judge="mean",
    )  # fmt: skip
    text = briefing.briefing(given_turn, max_bytes=max_bytes)  # type: ignore[arg-type]
    told = text.removeprefix(f"{briefing.task(ProgramRules(), 1)}\n")
    history = briefing.history_text(given_turn.history, traces=traces, max_bytes=max_bytes)
    assert len(told.encode()) <= max_bytes
    assert told.startswith(history)
    shown = told.removeprefix(history)
    assert shown.count("```text\n") * 2 == shown.count("```")
    room = max_bytes - len(history.encode())
    assert shown or not traces or room < 100
    assert traces or not shown


def test_an_empty_history_says_so() -> None:
    assert "No program has been proposed yet" in briefing.history_text(History({}, ()), traces=True)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.integers(0, 6_000), st.text(max_size=60))
def test_the_history_keeps_to_its_bytes(count: int, max_bytes: int, words: str) -> None:
    """Whatever was written, of whatever length, in whatever letters."""
    trials = tuple(trial(n, digest=words * 9) for n in range(1, count + 1))
    trials = tuple(replace(t, proposal=replace(t.proposal, learned=words * 40)) for t in trials)
    best = trials[-1] if trials else None
    text = briefing.history_text(History({}, trials, best), traces=True, max_bytes=max_bytes)
    whole = briefing.history_text(History({}, trials, best), traces=True, max_bytes=10**6)
    assert len(text.encode()) <= max_bytes
    assert text == whole or len(whole.encode()) > max_bytes


def test_a_reply_is_read_however_roughly_it_keeps_to_the_form() -> None:
    """Bold headings, another order, several blocks, a language of another name."""
    text = (
        f"Some thoughts.\n\n**Idea:** One.\n\n```\nnot it\n```\n\n### learned\nTwo.\n"
        f"## Other\nno\n```py\n{PROGRAM}```\n```python\nprint()\n```\n# Expected effect\nThree."
    )
    reply = parse_reply(text)
    assert (reply.idea, reply.learned, reply.expected_effect) == ("One.", "Two.", "Three.")
    assert reply.source == PROGRAM


def test_an_unclosed_block_is_no_program() -> None:
    """Its end is missing, so what is there may run and mean something else."""
    text = f"## Idea\nOne.\n```python\n{PROGRAM}"
    assert parse_reply(text).source == ""
    assert ends_inside_block(text)
    assert not ends_inside_block(text + "```\n")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="`~#*\nIdea: python def solve", max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    parse_reply(text)
    ends_inside_block(text)


def test_words_cannot_drive_a_terminal() -> None:
    """Escape sequences of a model are shown, not obeyed."""
    text = f"## Idea\n\x1b]0;owned\x07One.\n```python\n{PROGRAM}```\n"
    assert parse_reply(text).idea == "␛]0;owned␇One."


SOUND = PROGRAM.strip() + "\n"
FENCED = f"## Idea\nOne.\n\n## Program\n```python\n{PROGRAM}```\n"
DRAFT = "```python\ndef solve(env, p):\n    return env.nothing\n```\n"
DOCUMENTED = f'"""Such as\n\n```python\nx = 1\n```\n"""\n\n\n{SOUND}'


def indented(by: str) -> str:
    return "".join(by + line for line in f"```python\n{PROGRAM}```\n".splitlines(keepends=True))


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (FENCED.replace("\n", "\r\n"), SOUND),
        (FENCED.replace("\n", "\r"), SOUND),
        (FENCED + "\r\n", SOUND),
        (f"```markdown\n{FENCED}```\n", SOUND),
        (f"```\n{FENCED}```\n", SOUND),
        (f"## Idea\nOne.\n```python\n{DOCUMENTED}```\n## Learned\nTwo.\n", DOCUMENTED),
        (f"````python\n{DOCUMENTED}````\n", DOCUMENTED),
        (f"~~~\n{DOCUMENTED}~~~\n", DOCUMENTED),
        (f"1. Idea: One.\n{indented('   ')}", SOUND),
        (f"Idea: One.\n{indented('> ')}", SOUND),
        (f"<think>\n{DRAFT}</think>\n{FENCED}", SOUND),
        (f"<think>\n```python\ndef solve(env, p)</think>{FENCED}", SOUND),
        (f"Thus {DRAFT}</think>\n{FENCED}", SOUND),
        (f"{FENCED}<think>\n{DRAFT}</think>\n", SOUND),
        (f"{FENCED}<think>\n{DRAFT}", SOUND),
        (f"[THINK]{DRAFT}[/THINK]\n{FENCED}", SOUND),
        (f"The tag `</think>` is one.\n{FENCED}", SOUND),
        (f"<think>\n{FENCED}</think>\nThat is it.", ""),
        (FENCED.removesuffix("```\n"), ""),
        (SOUND, ""),
    ],
)
def test_the_program_is_found_in_whatever_it_is_wrapped(text: str, source: str) -> None:
    """Line ends, fences in fences and in docstrings, lists, quotes, drafts in the thinking."""
    assert parse_reply(text).source == source


@pytest.mark.parametrize("text", [f"<think>\n{FENCED}", FENCED.removesuffix("```\n"), SOUND])
def test_a_reply_that_is_whole_needs_no_closing_marks(text: str) -> None:
    assert parse_reply(text).source == ""
    assert parse_reply(text, complete=True).source == SOUND


def test_a_wrapped_reply_keeps_its_words() -> None:
    for text in (FENCED, f"```markdown\n{FENCED}```\n", f"```\n{FENCED}```\n"):
        assert parse_reply(text).idea == "One."


def test_a_broken_program_is_found_for_its_author_to_mend() -> None:
    """The last one, even if it is no Python and an earlier one is."""
    broken = "def solve(env, p)\n    return -1\n"
    assert parse_reply(f"{FENCED}\nBetter:\n```python\n{broken}```\n").source == broken


MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    "piece",
    ["\n", "\r", " ", "```\n", "```python\n", "~", "`", "</think>", "<think>", "</think>\n", "#",
     "Idea: ", "Idea:\n", "```\ndef solve(env, p):\n", "> ", "(", "* ", "- - ", "def solve"],
)  # fmt: skip
@pytest.mark.parametrize("end", ["", "x`"])
def test_no_text_takes_long_to_read(piece: str, end: str) -> None:
    text = "```python\ndef solve(env, p):\n" + piece * (MEGABYTE // len(piece)) + end
    began = time.process_time()
    parse_reply(text, complete=True)
    ends_inside_block(text)
    spoken(text)
    parse_words(text)
    assert time.process_time() - began < 4
