"""Discovery: an explorer proposes controllers, replay scores them, the next round learns.

from autotts.discovery import discover, finalize, resume

found = discover(["stores/search"], "runs/first", held_out=["stores/held-out"], rounds=5)
found.best.proposal.source
finalize("runs/first")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autotts.discovery.assembly import Discovered as Discovered
    from autotts.discovery.assembly import discover as discover
    from autotts.discovery.assembly import finalize as finalize
    from autotts.discovery.assembly import resume as resume

__all__ = ["Discovered", "discover", "finalize", "resume"]


def __getattr__(name: str) -> Any:
    # What a run needs takes a second to import; its parts are imported without it.
    if name in __all__:
        from autotts.discovery import assembly

        return getattr(assembly, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
