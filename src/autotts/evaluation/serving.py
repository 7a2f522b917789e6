"""Whether a store holds what a program needs."""

from collections.abc import Sequence

from autotts import programs
from autotts.errors import SpecError
from autotts.programs import Source, Spec
from autotts.programs.needs import Needs, needs_of
from autotts.stores import Store


def lacks(store: Store, spec: Spec) -> str:
    """What a store lacks that a controller can't do without, as the end of a sentence; or ""."""
    return "" if spec.entry else _no_probes(store, needs_of(spec.source))  # it asks for itself


def doubts(store: Store, spec: Spec) -> str:
    """What a controller reads and a store has not, where it may do without; or ""."""
    if spec.entry:
        return ""
    needs = needs_of(spec.source)
    if missing := _no_signals(store, needs):
        return missing
    if needs.models and not store.pool.models:
        return "chooses among several models, of which there is one"
    if needs.answers and store.pool.probes is None:
        return "reads answers of branches that it goes on with, and running ones show none"
    return ""


def unserved(stores: Sequence[Store], source: Source) -> str:
    """Why a proposed program is refused before it runs: what it reads that a store has not; or "".

    Without a signal that it reads a program runs all the same, on nothing: no proposal means that.
    """
    needs = needs_of(source)
    for store in stores:
        if reason := _no_probes(store, needs) or _no_signals(store, needs):
            has = ", ".join(sorted(store.pool.signals)) or "none"
            told = f"; signals recorded there: {has}" if needs.signals else ""
            return f"the program {reason} in {store.name}{told}"
    return ""


def _no_probes(store: Store, needs: Needs) -> str:
    if store.pool.probes is not None or not needs.probes:
        return ""
    return "needs the answers of running branches, which are not recorded"


def _no_signals(store: Store, needs: Needs) -> str:
    missing = sorted(needs.signals - store.pool.signals.keys())
    return f"needs the signal {', '.join(missing)}" if missing else ""


def require_served(stores: Sequence[Store], specs: Sequence[Spec]) -> None:
    """Raises SpecError for a controller that a store can't serve; names those that it can."""
    for spec in specs:
        for store in stores:
            if reason := lacks(store, spec):
                others = [
                    name
                    for name in programs.built_in()
                    if not (lacks(store, other := programs.parse(name)) or doubts(store, other))
                ]
                raise SpecError(
                    f"{spec.text} {reason} in {store.name}; it can serve {', '.join(others)}"
                )
