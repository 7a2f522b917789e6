"""What a run's folder may not have without being asked for now.

A folder is data, whoever made it. What it says can't make us run code in this process, run programs
unsealed, start a command, leave the jail off, or send keys to a server, unless this call says so.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from autotts import plugins, programs
from autotts.discovery.run.settings import ExplorerRef, RunSettings

HARMLESS = {
    "offline": {"draws"},
    "files": {"wait", "pause"},
    "recorded": {"run"},
    "chat": {
        "model", "provider", "max_tokens", "temperature", "timeout", "retries", "backoff",
        "repairs", "history_bytes",
    },
}  # fmt: skip
"""Options of our explorers that start nothing and send nothing to a place of their own. An option
that is not named here is asked about, and so is every explorer."""


@dataclass(frozen=True, slots=True)
class Demand:
    """One thing that a run's folder asks for.

    name, value: the setting, such as `driver` and `in-process`, or `option jail` and `off`.
    effect: what it would do.
    """

    name: str
    value: str
    effect: str

    def __str__(self) -> str:
        return f"{self.name} = {self.value!r}: {self.effect}"


def demands(settings: RunSettings, *, explorer: bool) -> list[Demand]:
    """What a run's settings ask for that is not theirs to give.

    Args:
        explorer: whether its explorer is to be started too.
    """
    found = []
    if settings.driver == "in-process":
        effect = "proposed programs run in this process, with your rights"
        found.append(Demand("driver", settings.driver, effect))
    if settings.unsafe:
        effect = "proposed programs run even where no process can be sealed, with your rights"
        found.append(Demand("unsafe", "yes", effect))
    foreign = (spec for spec in settings.baselines if not is_ours(spec))
    effect = "this program is read from your disk, and may run in this process with your rights"
    found += [Demand("baseline", spec, effect) for spec in foreign]
    return [*found, *_of_explorer(settings.explorer)] if explorer else found


def is_ours(spec: str) -> bool:
    """Whether a SPEC names a controller that comes along or is installed, by its short name."""
    name = programs.named(spec)
    return name in programs.built_in() or name in plugins.names(plugins.CONTROLLERS)


def runs_with_our_rights(spec: str) -> bool:
    """Whether a SPEC that somebody else wrote names code that would run in this process.

    A program given by path runs sealed; ours and installed ones are the user's own.
    """
    by_path = programs.named(spec).endswith(".py")
    return spec.startswith("reference:") or (not by_path and not is_ours(spec))


def _of_explorer(explorer: ExplorerRef) -> Iterable[Demand]:
    name = explorer.name
    if name not in HARMLESS:
        effect = "it starts what its options name, on this machine and perhaps with your keys"
        yield Demand("explorer", name, effect)
    for option, value in explorer.options.items():
        if option not in HARMLESS.get(name, ()):
            effect = (
                "this server gets the key and the prompts"
                if option == "base_url"
                else (f"an option of {name}")
            )
            yield Demand(f"option {option}", value, effect)
