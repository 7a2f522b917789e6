"""What matters on some stores, as plain values and as text.

Made by `exploring`, from races that nothing ends early, so it holds for any controller that will
play there. No answer and no question's text is in it; what is said of right and wrong answers is
summed over questions.
"""

from dataclasses import dataclass

from autotts.diagnosis.markdown import table
from autotts.text import head

LIMIT_BYTES = 6 * 1024


@dataclass(frozen=True, slots=True)
class Telling:
    """What a feature of an answer adds to those kept before it, on questions left out.

    meaning: what it is, in words.
    gain: in log likelihood of a contested vote, in 0.01, with its interval at 95 %.
    points: percent of contested votes that become right.
    kept: whether it is above chance.
    """

    feature: str
    meaning: str
    gain: float
    low: float
    high: float
    points: float
    kept: bool


@dataclass(frozen=True, slots=True)
class GoingOn:
    """States with leads in log odds from `low` to `high`, None for no bound, of the fitted vote.

    gain: points of right answers that twice the tokens win, with its interval at 95 %.
    right: percent of states in which the leader is right.
    """

    low: float | None
    high: float | None
    states: int
    right: float
    gain: float
    gain_low: float
    gain_high: float

    @property
    def gains(self) -> bool:
        """Whether what is won is above chance."""
        return self.gain_low > 0

    @property
    def words(self) -> str:
        """Which leads, in words."""
        if self.low is None:
            return f"below {self.high:g}"
        return f"{self.low:g} and more" if self.high is None else f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True, slots=True)
class QuestionFamily:
    """Questions that are alike, over all stores.

    questions: of all models together. right: percent of episodes.
    lost: points of the accuracy over all questions that are lost there.
    tokens: percent of all tokens.
    """

    name: str
    questions: int
    right: float
    lost: float
    tokens: float


@dataclass(frozen=True, slots=True)
class Matters:
    """What matters on some stores.

    features: what each adds to counting votes, on questions left out.
    plain, fitted: percent of contested votes that are right by counting, and by the fitted vote,
        on questions left out; `contested`: questions that ever were. Zeros without a fit.
    states: by lead.
    families: the one that loses most first; kinds of questions by what the branches recorded of
        them end on, then groups that the stores name.
    hypotheses: three that are worth a program.
    """

    features: tuple[Telling, ...]
    plain: float
    fitted: float
    contested: int
    states: tuple[GoingOn, ...]
    families: tuple[QuestionFamily, ...]
    hypotheses: tuple[str, ...]


def matters_text(found: Matters, limit_bytes: int = LIMIT_BYTES) -> str:
    """All of it in Markdown; longer texts lose their last lines."""
    parts = (_hypotheses(found), _features(found), _states(found), _families(found))
    text = "\n".join(["# What matters here\n", *parts])
    if len(text.encode()) <= limit_bytes:
        return text
    kept = head(text, limit_bytes)
    return kept[: kept.rfind("\n") + 1]


def signed(x: float) -> str:
    return f"{round(x, 1) + 0.0:+.1f}"  # adding 0 turns -0 into 0


def spanned(x: float, low: float, high: float) -> str:
    return f"{signed(x)} [{signed(low)}, {signed(high)}]"


def _hypotheses(found: Matters) -> str:
    lines = [f"{k}. {words}\n" for k, words in enumerate(found.hypotheses, 1)]
    return "Hypotheses worth a program:\n\n" + "".join(lines)


def _features(found: Matters) -> str:
    title = "## What tells which answer is right\n\n"
    if not found.features:
        return f"{title}Too few questions are contested to tell.\n"
    rows = [
        [
            gain.feature, spanned(gain.gain, gain.low, gain.high), signed(gain.points),
            "yes" if gain.kept else "no", gain.meaning,
        ]
        for gain in found.features
    ]  # fmt: skip
    return (
        f"{title}What a feature of an answer adds to those kept before it, on questions left out"
        f" ({found.contested} contested): log likelihood in 0.01 with its 95 % interval, and"
        f" percent of contested votes. Counting makes {found.plain:.1f} % of these right, the fit"
        f" {found.fitted:.1f} %.\n\n"
        + table(["feature", "gain", "votes", "above chance", "what it is"], rows)
    )


def _states(found: Matters) -> str:
    title = "## Which states still gain\n\n"
    if not found.states:
        return f"{title}No episode goes on after its first finished branch.\n"
    rows = [
        [
            row.words, f"{row.right:.0f}",
            spanned(row.gain, row.gain_low, row.gain_high),
            "yes" if row.gains else "no",
        ]
        for row in found.states
    ]  # fmt: skip
    return (
        f"{title}By the leader's lead in log odds of the fitted vote: percent right, points that"
        " twice the tokens win with their 95 % interval.\n\n"
        + table(["lead", "right", "twice the tokens win", "still gains"], rows)
    )


def _families(found: Matters) -> str:
    rows = [
        [
            family.name.replace("|", "/"), family.questions, f"{family.right:.0f}",
            f"{family.lost:.1f}", f"{family.tokens:.0f}",
        ]
        for family in found.families
    ]  # fmt: skip
    return (
        "## Which questions lose\n\nPercent right, points of accuracy lost, percent of tokens.\n\n"
        + table(["questions where", "count", "right", "lost", "tokens"], rows)
    )
