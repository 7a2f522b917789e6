r"""Which of the answers to a question are one vote.

`exact`: those that are the same text. `math`: those that `equal` takes for the same. `choice`: the
same letter, however it is wrapped. `code`: the same hash of what a program does, which whoever
recorded it made.
"""

import re
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Classes:
    """The answers of a question in classes, each of which is one vote.

    of: the class of each string, numbered as they first appear.
    shown: of each class, the number of the string that stands for it: the most frequent one.
    accepted: the classes that are right, that of the first true answer first.
    failed: the class of what could not be read, -1 if there is none.
    """

    of: tuple[int, ...]
    shown: tuple[int, ...]
    accepted: tuple[int, ...]
    failed: int


def classify(
    strings: Sequence[str],
    counts: Sequence[int],
    golds: Sequence[int],
    *,
    equality: Equality,
    unreadable: Collection[str] = (FAILED,),
) -> Classes:
    """Put the answers of one question into classes.

    The true answers take no part in it: they are found a class afterwards, as they are where an
    answer is graded. So votes are what they would be without them. With `math` every string is
    compared with what stands for a class, the most frequent first, and never all with all; so the
    outcome is one and the same although the relation is not quite transitive.

    Args:
        strings: different, in order of appearance; the true answers among them.
        counts: how often each was given, 0 for a true answer that never was.
        golds: the numbers of the true answers, at least one.
        unreadable: strings that stand for no answer, in upper or lower case; they are one class. A
            true answer is none of them.
    """
    marks = {mark.strip().casefold() for mark in unreadable}
    lost = {i for i, text in enumerate(strings) if text.strip().casefold() in marks} - set(golds)
    order = sorted((i for i in range(len(strings)) if i not in lost), key=lambda i: (-counts[i], i))
    heads = (
        _mathematical(strings, order) if equality == "math" else _keyed(strings, order, equality)
    )
    if lost:
        head = min(lost, key=lambda i: (-counts[i], i))
        heads.update(dict.fromkeys(lost, head))
    numbers: dict[int, int] = {}
    of = tuple(numbers.setdefault(heads[i], len(numbers)) for i in range(len(strings)))
    accepted = list(dict.fromkeys(of[gold] for gold in golds))
    same = _same(equality)
    for head, number in numbers.items():
        if number not in accepted and head not in lost:
            accepted += [number] * any(same(strings[head], strings[gold]) for gold in golds)
    failed = numbers[heads[min(lost)]] if lost else -1
    return Classes(of, tuple(numbers), tuple(accepted), failed)


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


def _key(equality: Equality) -> Callable[[str], Hashable]:
    """What is the same for equal answers, where equality is that of something."""
    keys: dict[Equality, Callable[[str], Hashable]] = {
        "exact": str, "choice": _choice, "code": str.strip, "math": normalise,
    }  # fmt: skip
    return keys[equality]


def _same(equality: Equality) -> Callable[[str, str], bool]:
    if equality == "math":
        return equal
    key = _key(equality)
    return lambda a, b: key(a) == key(b)


def _keyed(strings: Sequence[str], order: Sequence[int], equality: Equality) -> dict[int, int]:
    """Of each string the most frequent one that is equal."""
    key = _key(equality)
    first: dict[Hashable, int] = {}
    return {i: first.setdefault(key(strings[i]), i) for i in order}


def _mathematical(strings: Sequence[str], order: Sequence[int]) -> dict[int, int]:
    """Of each string the one that stands for its class."""
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
                same = next((j for j in rivals if equal(strings[i], strings[j])), None)
                if same is None:
                    (numbers if plain else others).setdefault(group, []).append(i)
                else:
                    by_form[form] = same
        heads[i] = by_form[form]
    return heads
