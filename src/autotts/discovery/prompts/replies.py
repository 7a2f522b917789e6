"""A proposal from what a model wrote: sections under headings, and one code block."""

import re
from dataclasses import dataclass

from autotts.discovery.explorer import FREE, Proposal, Usage
from autotts.text import clean

_FENCE = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n]*\n(.*?)^[ \t]*\1[ \t]*$", re.M | re.S
)
_OPEN_FENCE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[ \t]*\w*[^\n]*\n", re.M)
_HEADING = re.compile(r"^\s*(?:#+\s*)?\**(Idea|Learned|Expected effect)\**\s*:?\**\s*", re.M | re.I)
_LONGEST_WORDS = 4_000


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


def parse_reply(text: str) -> Reply:
    """Sections and program of a reply, however roughly it keeps to the form.

    The program is the last whole code block that defines `solve`; without one that does, the last
    that is Python. A block that was never closed is none: its end is missing.
    """
    blocks = [(match[2].lower(), match[3]) for match in _FENCE.finditer(text)]
    programs = [body for _, body in blocks if re.search(r"^def solve\b", body, re.M)]
    others = [body for language, body in blocks if language in ("python", "py", "")]
    words = parse_words(_FENCE.sub("", text))
    source = (programs or others or [""])[-1]
    return Reply(
        source=source.strip() + "\n" if source.strip() else "",
        idea=words.get("idea", ""),
        learned=words.get("learned", ""),
        expected_effect=words.get("expected effect", ""),
    )


def ends_inside_block(text: str) -> bool:
    """Whether a code block was opened and never closed."""
    return _OPEN_FENCE.search(_FENCE.sub("", text)) is not None


def parse_words(text: str) -> dict[str, str]:
    """The words under Idea, Learned and Expected effect, by heading in lower case."""
    found: dict[str, str] = {}
    matches = list(_HEADING.finditer(text))
    ends = [match.start() for match in matches[1:]] + [len(text)]
    for here, end in zip(matches, ends, strict=False):
        words = text[here.end() : end]
        words = re.split(r"^#+\s", words, maxsplit=1, flags=re.M)[0].strip()
        found.setdefault(here[1].lower(), clean(words[:_LONGEST_WORDS]))
    return found
