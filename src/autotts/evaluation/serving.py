"""Whether a store holds what a program needs."""

from collections.abc import Sequence

from autotts import programs
from autotts.errors import SpecError
from autotts.programs import Spec
from autotts.programs.needs import needs_of
from autotts.stores import Store


def lacks(store: Store, spec: Spec) -> str:
    """What a store lacks that a controller can't do without, as the end of a sentence; or ""."""
    if spec.entry or store.pool.probes is not None or not needs_of(spec.source).probes:
        return ""  # the released code asks for itself
    return "needs the answers of running branches, which are not recorded"


def doubts(store: Store, spec: Spec) -> str:
    """What a controller reads and a store has not, where it may do without; or ""."""
    if spec.entry:
        return ""
    needs = needs_of(spec.source)
    if missing := sorted(needs.signals - store.pool.signals.keys()):
        return f"needs the signal {', '.join(missing)}"
    if needs.models and not store.pool.models:
        return "chooses among several models, of which there is one"
    if needs.answers and store.pool.probes is None:
        return "reads answers of branches that it goes on with, and running ones show none"
    return ""


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
