"""How answers are read where an installed package knows better than `extract`."""

from collections.abc import Callable
from dataclasses import dataclass

from autotts import plugins


@dataclass(frozen=True, slots=True)
class AnswerReader:
    r"""A way to read answers, as packages publish it under `autotts.answer_readers`.

    read: the answer that a text gives; "" where it gives none. Never raises.
    same: whether two answers are one vote; None where that is so if their texts are equal.
    opening: what a branch is made to go on with where it is asked for its answer early, such as
        `\n\nFinal answer: `; "" where it can't be. `read` is given it and what follows.
    """

    read: Callable[[str], str]
    same: Callable[[str, str], bool] | None = None
    opening: str = ""

    def shown(self, text: str) -> str:
        """The answer in what a model wrote after `opening`; "" for none."""
        return self.read(self.opening + text) if self.opening else ""


def installed_reader(name: str) -> AnswerReader:
    """The reader that an installed package publishes under a name.

    Raises:
        SpecError: there is none, or it is no `AnswerReader`.
    """
    return plugins.one(plugins.READERS, name).load_as(AnswerReader)
