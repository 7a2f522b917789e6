"""What every format is read into: samples of models, each of a question; and these by question."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from autotts.answers import FAILED, extract
from autotts.errors import StoreError
from autotts.stores.importing.rows import shown
from autotts.stores.importing.tokens import Counter
from autotts.stores.recordings import Branch, Recording

_INTERVALS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Tokens of an interval where recordings have none; the last is that of the released ones."""

_SPARSE_CHARACTERS = 20
"""Characters a token that no usual tokenizer reaches on text: its count is of something else."""

_CALLED = {"golds": "gold", "groups": "its groups"}
"""Parts of a sample in an error, where they have other names there."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer of a model to a question, as a file tells of it.

    where: its place in the file.
    entry: the place of its question, where a file has one entry for each; else "".
    question: the text; id: what tells the question from others, "" where its text does.
    golds: the true answers.
    answer: the one it ended on, "" where it has none; None where it is to be read in `response`.
    tokens: its length; None where it is to be counted in `response`.
    response: what the model wrote.
    interval: tokens of an interval; None where the file doesn't say.
    model, dataset: "" where the file's path names them.
    weight: how much the question counts; None where the file doesn't say.
    groups: the group that the question is in, by grouping.
    probes, ends, signals, used: as in `Branch`.
    """

    where: str
    question: str
    golds: tuple[str, ...]
    entry: str = ""
    id: str = ""
    interval: int | None = None
    answer: str | None = None
    tokens: int | None = None
    response: str | None = None
    model: str = ""
    dataset: str = ""
    weight: float | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    probes: Sequence[str] | None = None
    ends: Sequence[int] | None = None
    signals: Mapping[str, Sequence[float]] = field(default_factory=dict)
    used: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Gathered:
    """The samples of one model on one dataset, by question.

    reader: reads an answer in a response.
    interval: tokens of an interval; None where no file says.
    tokens_counted: how, where files have no counts.
    left_out: samples without tokens and without answer: requests that failed.
    sparse: samples with far more characters than tokens.
    read: samples whose answer was read in the response.
    """

    model: str
    dataset: str
    reader: Callable[[str], str] = extract
    questions: dict[tuple[str, str], list[Branch]] = field(default_factory=dict)
    first: dict[tuple[str, str], Sample] = field(default_factory=dict)
    interval: int | None = None
    tokens_counted: str = ""
    left_out: int = 0
    sparse: int = 0
    read: int = 0

    def add(self, sample: Sample, file: str, counter: Counter | None) -> None:
        """Put a sample of a file to its question.

        Raises:
            StoreError: it contradicts another one of the question, or its tokens are not known.
        """
        # Elsewhere a question may go on in another file, of another seed.
        key = (file, sample.entry) if sample.entry else ("", sample.id or sample.question)
        first = self.first.setdefault(key, sample)
        if self.interval is None:
            self.interval = sample.interval
        if sample.interval != self.interval:
            raise StoreError(
                f"{sample.where}: intervals of {sample.interval} tokens, and of {self.interval}"
                " before; one store has one interval"
            )
        for name in ("question", "golds", "weight", "groups"):
            if getattr(first, name) != getattr(sample, name):
                raise StoreError(
                    f"{sample.where}: {_CALLED.get(name, name)} is"
                    f" {shown(getattr(sample, name))}, but {shown(getattr(first, name))} at"
                    f" {first.where}, for the same question"
                )
        answer, tokens = sample.answer, sample.tokens
        if answer is None:
            if sample.response is None:
                raise StoreError(
                    f"{sample.where}: neither an answer nor a response to read it in; if a column"
                    " of your samples has one, name that: --column answer=NAME or response=NAME"
                )
            answer = self.reader(sample.response)
            self.read += 1
        branches = self.questions.setdefault(key, [])
        if tokens is None:
            tokens = self._counted(sample, counter)
        elif sample.response is not None:
            self.sparse += len(sample.response) > _SPARSE_CHARACTERS * tokens + 200
        if tokens == 0:
            if answer.strip() not in ("", FAILED):
                raise StoreError(f"{sample.where}: no tokens, and yet the answer {shown(answer)}")
            self.left_out += 1
            return
        branches.append(
            Branch(
                sample.probes,
                tokens,
                answer,
                ends=sample.ends,
                signals=sample.signals,
                used=sample.used,
            )
        )

    def _counted(self, sample: Sample, counter: Counter | None) -> int:
        if counter is None or sample.response is None:
            raise StoreError(
                f"{sample.where}: no token count"
                + (
                    "; --tokenizer FILE (a tokenizer.json) counts tokens in the response, and"
                    " --chars-per-token 4 estimates them"
                    if sample.response is not None
                    else " and no response to count tokens in; if a column of your samples has it,"
                    " name that: --column tokens=NAME"
                )
            )
        self.tokens_counted = counter.told
        return counter.count(sample.response)

    def recordings(self) -> list[Recording]:
        """What makes a store; questions have ids where a file gave them, or texts repeat."""
        kept = {key: branches for key, branches in self.questions.items() if branches}
        firsts = [self.first[key] for key in kept]
        texts = {first.question for first in firsts}
        ids: Sequence[str | None] = [None] * len(firsts)
        if len(texts) < len(firsts) or any(first.id for first in firsts):
            ids = _different([first.id or str(place) for place, first in enumerate(firsts)])
        alike = _alike(list(kept.values()))
        return [
            Recording(
                first.question,
                first.golds,
                branches,
                id=name,
                weight=first.weight,
                groups=first.groups,
            )
            for first, branches, name in zip(firsts, alike, ids, strict=True)
        ]


def _different(names: Sequence[str]) -> list[str]:
    """Names with a number behind those that were there before."""
    taken = set(names)
    made: dict[str, None] = {}
    for name in names:
        number = 2
        unique = name
        while unique in made or (unique != name and unique in taken):
            unique, number = f"{name} #{number}", number + 1
        made[unique] = None
    return list(made)


def _alike(questions: Sequence[Sequence[Branch]]) -> list[list[Branch]]:
    """Branches that all have the same parts: signals that any has, and counts that all have."""
    every = [branch for branches in questions for branch in branches]
    used = set.intersection(*(set(branch.used) for branch in every)) if every else set()
    signals = sorted({name for branch in every for name in branch.signals})
    probed = any(branch.probes is not None for branch in every)

    def completed(branch: Branch) -> Branch:
        depth = len(branch.ends or ())
        absent = [float("-inf")] * depth
        return replace(
            branch,
            probes=[FAILED] * depth if probed and branch.probes is None else branch.probes,
            signals={name: branch.signals.get(name, absent) for name in signals},
            used={name: branch.used[name] for name in sorted(used)},
        )

    return [[completed(branch) for branch in branches] for branches in questions]


def interval_for(recordings: Sequence[Recording]) -> int:
    """Tokens of an interval, where branches have tokens and nothing at intervals.

    The usual one, or a shorter one so that the median branch has ten, and the longest at most 500.
    """
    tokens = [branch.tokens for recording in recordings for branch in recording.branches]
    fine = max((size for size in _INTERVALS if size * 10 <= median(tokens)), default=1)
    coarse = min((size for size in _INTERVALS if size * 500 >= max(tokens)), default=_INTERVALS[-1])
    return max(fine, coarse)
