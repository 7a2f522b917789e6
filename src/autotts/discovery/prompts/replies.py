"""A proposal from what a model wrote: sections under headings, and one code block.

Everything here reads line by line and takes time linear in the text: a reply may be a megabyte of
line breaks, tags or fences that nobody closed.
"""

import ast
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from autotts.discovery.explorer import FREE, Proposal, Usage
from autotts.text import clean

# Quantifiers are possessive (`++`, `*+`), so that no pattern backtracks.
_FENCE = re.compile(
    r"[ \t>]*+(?:(?:[-*+]|\d{1,3}[.)])[ \t]++)?(`{3,}+|~{3,}+)[ \t]*+([^`\s]*+)[^`]*+"
)
_PROSE = ("markdown", "md")
"""Languages whose blocks are a reply that was wrapped whole, not code."""
_PYTHON = ("python", "py", "python3", "")
_SOLVE = re.compile(r"[ \t>]*+def solve\b")
_HEADING = re.compile(
    r"[ \t]*+(?:#++[ \t]*+)?\**+(Idea|Learned|Expected effect)\b\**+[ \t]*+:?\**+[ \t]*+", re.I
)
_TAG = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>|\[(/?)THINK\]", re.I)
_QUOTES = tuple("`\"'")
_LONGEST_READ = 300_000
"""Characters of a reply that are read, from its end, where the program is."""
_LONGEST_WORDS = 4_000
_NEAREST = 8
"""Fences on either side of a `solve` that may be those of its block."""
_LONGEST_PARSED, _MOST_PARSED = 50_000, 200_000
"""Characters that are tried as Python, at once and in all; a program may have 32,000 bytes."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What was found in a reply.

    source: the program; "" if there is none.
    """

    source: str
    idea: str
    learned: str
    expected_effect: str

    def proposal(self, usage: Usage = FREE) -> Proposal:
        return Proposal(self.source, self.idea, self.learned, self.expected_effect, usage)


@dataclass(frozen=True, slots=True)
class _Fence:
    """A line that opens or closes a code block.

    line: its number, from 0.
    marks: the backticks or tildes.
    language: what stands after them, in lower case; only a fence without one closes a block.
    """

    line: int
    marks: str
    language: str

    def closes(self, opened: "_Fence") -> bool:
        return not self.language and self.marks.startswith(opened.marks)


@dataclass(frozen=True, slots=True)
class _Block:
    """A code block: its first and last line, fences included, what it holds, in what language."""

    first: int
    last: int
    body: str
    language: str = ""


def parse_reply(text: str, *, complete: bool = False) -> Reply:
    """Sections and program of a reply, however roughly it keeps to the form.

    The program is the last code block that defines `solve`; without one that does, the last that is
    Python. What the model thinks aloud is left out. A block that was never closed is none: its end
    may be missing.

    Args:
        complete: whether the server said that the reply is whole. A block that was never closed
            then ends where the reply does; where no program stands outside of the thinking, one
            inside is taken; and a program needs no fences.
    """
    lines = _lines(text)
    told = _spoken(lines)
    block = _program(told, complete)
    if block is None and complete and told != lines:
        told = [line for line in lines if not _TAG.fullmatch(line.strip())]
        block = _program(told, complete)
    # The fences of an odd block must not decide what is code in the rest.
    parts = [told] if block is None else [told[: block.first], told[block.last + 1 :]]
    words = parse_words("\n".join(line for part in parts for line in _outside(part)))
    source = block.body.strip() if block else ""
    return Reply(
        source=source + "\n" if source else "",
        idea=words.get("idea", ""),
        learned=words.get("learned", ""),
        expected_effect=words.get("expected effect", ""),
    )


def spoken(text: str) -> str:
    """A reply without what the model thought aloud.

    >>> spoken("<think>Perhaps.</think>Yes.")
    'Yes.'
    """
    return "\n".join(_spoken(_lines(text)))


def ends_inside_block(text: str) -> bool:
    """Whether a code block was opened and never closed."""
    return bool(_scan(_spoken(_lines(text)))[1])


def parse_words(text: str) -> dict[str, str]:
    """The words under Idea, Learned and Expected effect, by heading in lower case.

    Under "" stands what was said before the first of them.
    """
    before: list[str] = []
    found = {"": before}
    under: list[str] | None = before
    for line in _lines(text):
        if heading := line and _HEADING.match(line):
            name = heading[1].lower()
            # The first section of a name counts; a later one is read and left.
            under = [] if name in found else found.setdefault(name, [])
            under.append(line[heading.end() :])
        elif under is not before and line.startswith("#") and re.match(r"#++\s", line):
            under = None
        elif under is not None:
            under.append(line)
    words = {name: "\n".join(kept).strip() for name, kept in found.items()}
    return {name: clean(kept[:_LONGEST_WORDS]) for name, kept in words.items()}


def _lines(text: str) -> list[str]:
    """Lines of a text's end, whichever system ended them."""
    return text[-_LONGEST_READ:].replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _spoken(lines: Sequence[str]) -> list[str]:
    """The lines outside of thinking: what stands between its tags, before a closing tag that
    nothing opened (the prompt did), or after an opening one that nothing closed, is left out.

    Thinking begins at the start of a line; it ends wherever its closing tag is, unless in quotes.
    """
    kept: list[str] = []
    thinking = False
    for line in lines:
        begin = end_of_last = 0
        blank = True
        for tag in _TAG.finditer(line) if line else ():
            blank = blank and not line[end_of_last : tag.start()].strip()
            end_of_last = tag.end()
            if not (tag[1] or tag[2]):
                thinking = thinking or blank
            elif thinking or not line.startswith(_QUOTES, max(0, tag.start() - 1)):
                if not thinking:
                    kept.clear()
                thinking, begin, blank = False, tag.end(), True
        if not thinking:
            kept.append(line[begin:])
    return kept


def _scan(lines: Sequence[str]) -> tuple[list[_Block], list[_Fence], list[_Fence]]:
    """The code blocks as Markdown has them, the fences left open, and all fences.

    Blocks of prose may hold others; the rest hold code alone.
    """
    blocks: list[_Block] = []
    opened: list[_Fence] = []
    fences: list[_Fence] = []
    for number, line in enumerate(lines):
        # The pattern is asked about few lines: a reply may have a million.
        match = _FENCE.fullmatch(line) if "```" in line or "~~~" in line else None
        if match is None:
            continue
        fence = _Fence(number, match[1], match[2].lower())
        fences.append(fence)
        if opened and fence.closes(opened[-1]):
            begun = opened.pop()
            if begun.language not in _PROSE:
                body = _body(lines, begun.line, number)
                blocks.append(_Block(begun.line, number, body, begun.language))
        elif not opened or opened[-1].language in _PROSE:
            opened.append(fence)
    return blocks, opened, fences


def _outside(lines: Sequence[str]) -> list[str]:
    """The lines that stand in no code block; one that was never closed hides nothing."""
    blocks, _, fences = _scan(lines)
    hidden = {fence.line for fence in fences}
    for block in blocks:
        hidden.update(range(block.first, block.last + 1))
    return [line for number, line in enumerate(lines) if number not in hidden]


def _program(lines: Sequence[str], complete: bool) -> _Block | None:
    """The block that is the program, None if there is none."""
    blocks, opened, fences = _scan(lines)
    solve = max((n for n, line in enumerate(lines) if line and _SOLVE.match(line)), default=-1)
    if complete and not fences and solve >= 0 and _is_python(text := "\n".join(lines)):
        return _Block(0, len(lines) - 1, text)
    if complete and opened and opened[-1].language not in _PROSE:
        # As if it had been closed after the last line.
        fences.append(_Fence(len(lines), opened[-1].marks, ""))
        body = _body(lines, opened[-1].line, len(lines))
        blocks.append(_Block(opened[-1].line, len(lines), body, opened[-1].language))
    usual = [block for block in blocks if re.search(r"^def solve\b", block.body, re.M)]
    if usual and usual[-1].first < solve < usual[-1].last and _is_python(usual[-1].body):
        return usual[-1]
    if solve >= 0 and (found := _longest_python(lines, solve, fences)):
        return found
    others = [block for block in blocks if block.language in _PYTHON]
    return next(reversed(usual or others), None)


def _longest_python(lines: Sequence[str], solve: int, fences: Sequence[_Fence]) -> _Block | None:
    """The most Python between two fences around a line: code may hold fences, in its strings."""
    before = [fence for fence in fences if fence.line < solve][-_NEAREST:]
    after = [fence for fence in fences if fence.line > solve][:_NEAREST]
    tried = 0
    for last in reversed(after):
        for first in before:
            if not last.closes(first):
                continue
            body = _body(lines, first.line, last.line)
            tried += min(len(body), _LONGEST_PARSED)
            if tried > _MOST_PARSED:
                return None
            if _is_python(body):
                return _Block(first.line, last.line, body, first.language)
    return None


def _body(lines: Sequence[str], opened: int, closed: int) -> str:
    """What stands between two fences, without the indent or the quote marks of its block."""
    inside = lines[opened + 1 : closed]
    if lines[opened].lstrip().startswith(">"):
        inside = [re.sub(r"^[ \t]*+> ?", "", line) for line in inside]
    indented = next((line for line in inside if line.strip()), "").startswith((" ", "\t"))
    text = "\n".join(inside)
    return textwrap.dedent(text) if indented else text


def _is_python(text: str) -> bool:
    if len(text) > _LONGEST_PARSED:
        return False
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True
