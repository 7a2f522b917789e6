r"""The answer that a text of a model gives."""

import re

FAILED = "ERR"
"""What stands in a store for an answer that could not be extracted."""

EMPHASIS = re.compile(r"(\*\*|__|\*|`)(?=\S)([^*`]+)(?<=\S)\1")
_LONGEST_SAID = 1_000
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*+(?=\{)")
_SAID = re.compile(r"answer[*_`]*+[ \t]*+(?:is\b|:|=)[ \t]*+:?", re.I)
_STATED = re.compile(r"answer[*_`]*+[ \t]*+:", re.I)


def extract(text: str) -> str:
    r"""The answer that a text gives: what its last `\boxed{}` holds, else what it says it is.

    A text that ends on `Answer: X` gives X, whatever was boxed before. `FAILED` if there is none.

    >>> extract(r"so the sum is \boxed{\frac{1}{2}}.")
    '\\frac{1}{2}'
    >>> extract("Thus the final answer is 204.")
    '204'
    >>> extract(r"From \boxed{x > 2} we choose. **Answer: D**")
    'D'
    """
    partners = _partners(text)
    boxes = [(m.end(), partners[m.end()]) for m in _BOXED.finditer(text) if m.end() in partners]
    box, after = "", 0
    for start, end in reversed(boxes):
        if box := text[start + 1 : end].strip():
            after = end
            break
    said, last = _said(text)
    stated = _STATED.match(text, last) if last > after else None
    if box and not (stated and text[stated.end() :].strip(" \t*_`.$\n") == said):
        return box
    return said or box or FAILED


def _partners(text: str) -> dict[int, int]:
    """The closing brace of every opening one, by their places."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for match in re.finditer(r"\\.|[{}]", text, re.S):
        if match[0] == "{":
            opened.append(match.start())
        elif match[0] == "}" and opened:
            found[opened.pop()] = match.start()
    return found


def _said(text: str) -> tuple[str, int]:
    """What a text says last that its answer is, and where it begins to; "" and 0 if nowhere."""
    for match in reversed(list(_SAID.finditer(text))):
        # The rest of its sentence, or of the next line where that says it.
        rest = text[match.end() : match.end() + _LONGEST_SAID].lstrip("*_` \t\n")
        line = rest.partition("\n")[0]
        sentence = re.split(r"\.(?:\s|[*_`]*$)", line, maxsplit=1)[0]
        if answer := _bare(sentence.strip().rstrip("*_`. \t")):
            return answer, match.start()
    return "", 0


def _bare(text: str) -> str:
    """An answer without emphasis, and without dollar signs around the whole of it."""
    text = EMPHASIS.sub(r"\2", text).strip()
    inside = text.removeprefix("$").removesuffix("$").strip()
    return inside if "$" not in inside else text
