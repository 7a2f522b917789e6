"""Colours of the page and of the figures: told apart with any colour vision, on paper, and in the
dark. The series are Okabe and Ito's, made darker for white paper and lighter for dark; markers and
dashes repeat what colours say.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Palette:
    """Hex colours.

    series: controllers, in order.
    gold: the true answer; answers: the commonest others; rest: all the others.
    parts: of the token decomposition. findings: of the classification of episodes.
    rounds: first and last of a discovery.
    page: what the page alone has, as CSS by the name of its custom property.
    """

    paper: str
    card: str
    ink: str
    soft: str
    grid: str
    series: tuple[str, ...]
    gold: str
    answers: tuple[str, ...]
    rest: str
    parts: tuple[str, ...]
    findings: tuple[str, ...]
    rounds: tuple[str, str]
    page: dict[str, str]

    def variables(self) -> str:
        """As CSS custom properties."""
        named = {
            "paper": self.paper,
            "card": self.card,
            "ink": self.ink,
            "soft": self.soft,
            "grid": self.grid,
            **self.page,
            "answer-gold": self.gold,
            "answer-rest": self.rest,
            "round-first": self.rounds[0],
            "round-last": self.rounds[1],
        }
        lists = (
            ("series", self.series),
            ("answer", self.answers),
            ("part", self.parts),
            ("finding", self.findings),
        )
        for name, colours in lists:
            named |= {f"{name}-{k}": colour for k, colour in enumerate(colours)}
        return " ".join(f"--{name}: {colour};" for name, colour in named.items())


LIGHT = Palette(
    paper="#f6f7f9",
    card="#ffffff",
    ink="#191c21",
    soft="#59616d",
    grid="#e8ebf0",
    series=(
        "#0068a8", "#cc5500", "#007d5c", "#b0518f", "#b07d00", "#248fca", "#5b3a9e", "#6b6f76",
    ),
    gold="#00876c",
    answers=("#d9622b", "#4a7fc1", "#b0679f", "#d9a400", "#7a5ea8", "#8fb8d8"),
    rest="#b4bac3",
    parts=("#0068a8", "#e0a100", "#cc5500", "#8b9099"),
    findings=("#007d5c", "#248fca", "#cc5500", "#e0a100", "#b0518f", "#8b9099"),
    rounds=("#b9d3ea", "#08306b"),
    page={
        "line": "#dde1e7", "accent": "#0b5fa5", "accent-ink": "#ffffff", "good": "#00795a",
        "bad": "#b3400a", "add": "#dff3e6", "del": "#fbe5dd", "add-ink": "#00573f",
        "del-ink": "#8a2f05", "heat-low": "246, 247, 249", "heat-high": "8, 76, 148",
        "keyword": "#7a2a86", "string": "#00694c", "comment": "#6a727e", "number": "#9a4a00",
        "shadow": "0 1px 2px rgb(20 30 50 / 8%)",
    },
)  # fmt: skip

DARK = Palette(
    paper="#13161a",
    card="#1b1f25",
    ink="#e8eaed",
    soft="#a2abb8",
    grid="#2b313a",
    series=(
        "#58b4f0", "#ff9552", "#2fcfa2", "#ea9fd0", "#efc14e", "#9bdcff", "#b59cf2", "#b3b9c2",
    ),
    gold="#2fcfa2",
    answers=("#f0834a", "#6ea3e6", "#d894c8", "#f0c240", "#a88fdb", "#4f7a9c"),
    rest="#5a626e",
    parts=("#58b4f0", "#efc14e", "#ff9552", "#7a828e"),
    findings=("#2fcfa2", "#9bdcff", "#ff9552", "#efc14e", "#ea9fd0", "#7a828e"),
    rounds=("#33475c", "#a8d5ff"),
    page={
        "line": "#333a44", "accent": "#6cb6ff", "accent-ink": "#0b1118", "good": "#3ddbae",
        "bad": "#ff9f73", "add": "#12382d", "del": "#43261b", "add-ink": "#7fe9c6",
        "del-ink": "#ffb999", "heat-low": "32, 37, 44", "heat-high": "96, 178, 255",
        "keyword": "#d7a1ea", "string": "#7fd9b8", "comment": "#98a1ad", "number": "#f2b37c",
        "shadow": "none",
    },
)  # fmt: skip
