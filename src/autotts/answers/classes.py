r"""Which of the answers to a question are one vote.

`exact`: those that are the same text. `math`: those that `equal` takes for the same. `choice`: the
same letter, however it is wrapped. `code`: the same hash of what a program does, which whoever
recorded it made.
"""

import re
from collections.abc import Callable, Hashable, Sequence
from typing import Literal, get_args

from autotts.answers.algebra import judge
from autotts.answers.equality import equal, is_number, kind, normalise, unwrap
from autotts.answers.extraction import FAILED

Equality = Literal["exact", "math", "choice", "code"]
EQUALITIES: tuple[Equality, ...] = get_args(Equality)

UNREADABLE = ("", FAILED, "None", "null", "nan", "[invalid]")
"""What usually stands for an answer that could not be read, in recordings of all kinds."""

_MOST_COMPARED = 64
"""Classes, the most frequent ones, that math-verify compares an answer with."""

_LETTER = re.compile(
    r"(?:(?:the\s+)?(?:correct\s+)?(?:option|choice|answer)(?:\s+is)?\s*:?\s*)?"
    r"(?:[(\[{]\s*(?P<inside>[A-Z])\s*[)\]}](?:[.:,]?\s.*)?|(?P<bare>[A-Z])(?:[.:)\]](?:\s.*)?)?)\.?",
    re.I | re.S,
)
_LONGEST_CHOICE = 1_000


def classify(
    strings: Sequence[str],
    counts: Sequence[int],
    *,
    equality: Equality,
    before_each: Callable[[], None] = lambda: None,
) -> list[int]:
    """Which answers to one question are one vote.

    With `math` every string is compared with what stands for a class, the most frequent first, and
    never all with all; so the outcome is one and the same although the relation is not quite
    transitive. A true answer that nobody gave has count 0: so it changes no class of others.

    Args:
        strings: different, in order of appearance.
        counts: how often each was given.
        before_each: called before two answers are compared, which may take seconds; what it raises
            ends the work.

    Returns:
        The number of the string that stands for the class of each: the most frequent one.
    """
    order = sorted(range(len(strings)), key=lambda i: (-counts[i], i))
    if equality == "math":
        same = _mathematical(strings, order, before_each)
    else:
        same = _keyed(strings, order, equality)
    return [same[i] for i in range(len(strings))]


def judged_by(equality: Equality) -> str:
    """What decides on an equality beside this package, and its version; "" if nothing does."""
    return judge() if equality == "math" else ""


def letter(answer: str) -> str:
    r"""The letter of a choice, in upper case; "" if the answer is none.

    >>> [letter(a) for a in ("b", "(B)", r"\text{B}", "**B.**", "B) a cat", "option B", "a cat")]
    ['B', 'B', 'B', 'B', 'B', 'B', '']
    """
    if len(answer) > _LONGEST_CHOICE:
        return ""
    found = _LETTER.fullmatch(unwrap(answer))
    return (found["inside"] or found["bare"]).upper() if found else ""


def _choice(answer: str) -> str:
    return letter(answer) or normalise(answer).casefold()


def _keyed(strings: Sequence[str], order: Sequence[int], equality: Equality) -> dict[int, int]:
    """Of each string the most frequent one that is equal."""
    keys: dict[Equality, Callable[[str], str]] = {"exact": str, "choice": _choice}
    key = keys.get(equality, str.strip)
    first: dict[Hashable, int] = {}
    return {i: first.setdefault(key(strings[i]), i) for i in order}


def _mathematical(
    strings: Sequence[str], order: Sequence[int], before_each: Callable[[], None]
) -> dict[int, int]:
    """Of each string the one that stands for its class."""

    def same_answer(i: int, j: int) -> bool:
        before_each()
        return equal(strings[i], strings[j])

    rank = {i: at for at, i in enumerate(order)}
    heads: dict[int, int] = {}
    by_form: dict[str, int] = {}
    numbers: dict[Hashable, list[int]] = {}
    others: dict[Hashable, list[int]] = {}
    for i in order:
        form = normalise(strings[i])
        if form not in by_form:
            by_form[form] = i
            if (group := kind(form)) is not None:
                # A plain number equals no other one, so thousands of them are no work.
                plain = is_number(form)
                rivals = [*others.get(group, ())[:_MOST_COMPARED]]
                rivals += [] if plain else numbers.get(group, ())[:_MOST_COMPARED]
                rivals = sorted(rivals, key=rank.__getitem__)[:_MOST_COMPARED]
                same = next((j for j in rivals if same_answer(i, j)), None)
                if same is None:
                    (numbers if plain else others).setdefault(group, []).append(i)
                else:
                    by_form[form] = same
        heads[i] = by_form[form]
    return heads
