"""Admission: whether a program may be run at all. Checked and smoke-run once, however often it is
asked for: on the way of a proposal the explorer asks, a try asks, and the round asks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from autotts.discovery.explorer import ProgramRules
from autotts.discovery.rules import Breach, check_schedule
from autotts.errors import ControllerError, ProgramError, SandboxError
from autotts.evaluation.serving import unserved
from autotts.programs import Source
from autotts.programs.checker import problems
from autotts.stores import Store

REFUSED = (ProgramError, ControllerError, SandboxError)
"""What a bad program ends in: a result, not an error of the run."""

Smoke = Callable[[Source], Sequence[Mapping[str, float]]]
"""Runs one episode at every beta; gives the parameters by beta, or raises one of `REFUSED`."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """What admission found.

    errors: why the program can't be evaluated; none if it can.
    breaches: rules that it breaks within bounds.
    """

    errors: tuple[str, ...] = ()
    breaches: tuple[Breach, ...] = ()


class Admission:
    """Admits the programs of one session, each once by its text."""

    def __init__(
        self, rules: ProgramRules, betas: Sequence[float], stores: Sequence[Store], smoke: Smoke
    ) -> None:
        self._rules = rules
        self._stores = stores
        self._betas = betas
        self._smoke = smoke
        self._known: dict[str, Admitted] = {}

    def admit(self, text: str) -> Admitted:
        """Whether a program may be evaluated.

        Looked at in this order: its source, whether the stores hold what it reads, one episode at
        every beta, its schedule.
        """
        source = Source(name="program", path="program.py", text=text, trusted=False)
        if source.digest not in self._known:
            self._known[source.digest] = self._look(source)
        return self._known[source.digest]

    def _look(self, source: Source) -> Admitted:
        size, most = len(source.text.encode(errors="surrogatepass")), self._rules.max_source_bytes
        if size > most:
            return Admitted((f"the program has {size} bytes; {most} are allowed",))
        found = problems(source.text)
        if found:
            return Admitted(tuple(f"line {p.line}: {p.message}" for p in found))
        if lacking := unserved(self._stores, source):
            return Admitted((lacking,))
        try:
            parameters = self._smoke(source)
        except REFUSED as error:
            return Admitted((str(error),))
        breaches = check_schedule(parameters, self._betas, self._rules)
        return Admitted(
            tuple(b.reason for b in breaches if b.fatal), tuple(b for b in breaches if not b.fatal)
        )
