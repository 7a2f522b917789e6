"""`autotts doctor` and `autotts audit`: what the sandbox reaches, and what it finds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from autotts.cli import options
from autotts.cli.screen import say
from autotts.errors import SpecError


def doctor(
    server: Annotated[
        list[str] | None,
        typer.Option(help="Try out this model server instead, such as http://localhost:8000."),
    ] = None,
    model: Annotated[str, typer.Option(help="Model of the server, if it has several.")] = "",
    speed: Annotated[
        Path | None,
        typer.Option(
            help="With --server: measure how fast it is with 1 to 16 branches at once, and write it"
            " to this file, for --server-model of other commands."
        ),
    ] = None,
    depth: Annotated[
        int,
        typer.Option(
            min=0,
            help="With --speed: tokens that branches have before they are measured. With thousands"
            " of tokens to look back on a server is slower.",
        ),
    ] = 0,
    price_read: Annotated[
        float, typer.Option(min=0, help="With --speed: dollars for a million tokens read.")
    ] = 0.0,
    price_cached: Annotated[
        float, typer.Option(min=0, help="The same for tokens read from the cache of prefixes.")
    ] = 0.0,
    price_written: Annotated[
        float, typer.Option(min=0, help="The same for tokens that are written.")
    ] = 0.0,
) -> None:
    """Say what this machine has: versions, the sandbox's tier and why, where code is cached.

    The sandbox of programs and the jail of coding agents are each set up and attacked from inside.
    With --server, a model server is tried out instead: what collecting from it will be like.
    """
    if speed is not None:
        if not server or len(server) > 1:
            raise SpecError("--speed measures one server: name it by --server")
        options.check_file("--speed", speed)
        _measure(server[0], model, speed, depth, (price_read, price_cached, price_written))
        return
    if server:
        _examine(server, model)
        return
    import importlib.metadata
    import os
    import platform

    from autotts.discovery.agents import probe
    from autotts.files import cache_folder
    from autotts.sandbox.confine.tier import reach
    from autotts.version import __version__

    say(f"autotts {__version__}, Python {platform.python_version()}, {platform.system()}")
    for name in ("numpy", "numba", "polars"):
        say(f"  {name:13} {importlib.metadata.version(name)}")
    say(f"  {'cores':13} {os.cpu_count()}")
    say(f"  {'compiled code':13} {cache_folder()}")
    tier = reach()
    say(f"sandbox: {tier.explain()}")
    jail = probe.reach()
    say(f"jail of agents: {jail.explain()}")
    say()
    whole = tier.sealed and not jail.missing and not jail.breaches
    programs = "run sealed" if tier.sealed else "can't be run safely and are refused"
    agents = "can't be jailed" if jail.missing else "are jailed"
    if jail.breaches:
        agents += ", though not in all ways"
    say("All is well." if whole else "Something is missing; see above.")
    say(f"On this machine programs that others wrote {programs}; coding agents {agents}.")
    if not tier.sealed:
        raise typer.Exit(1)


def _measure(
    address: str, model: str, out: Path, depth: int, prices: tuple[float, float, float]
) -> None:
    """Measure a server's speed, show it and write it."""
    import asyncio

    from autotts import inference
    from autotts.inference.prices import TokenPrices
    from autotts.inference.speed import ServerSpeed, measure_speed

    async def measure() -> ServerSpeed:
        server = await inference.connect(address, model)
        try:
            return await measure_speed(server, prices=TokenPrices(*prices), depth=depth)
        finally:
            await server.aclose()

    found = asyncio.run(measure())
    say(f"{'branches at once':18}" + "".join(f"{n:9}" for n in found.at_once))
    each = [n / s if s else 0.0 for n, s in zip(found.at_once, found.token_seconds, strict=True)]
    say(f"{'tokens/s, all':18}" + "".join(f"{value:9,.0f}" for value in each))
    for name, what in (
        ("reading_seconds", "prompt token, ms"),
        ("waiting_seconds", "request waits, ms"),
        ("asking_seconds", "probe waits, ms"),
    ):
        say(f"{what:18}" + "".join(f"{1e3 * value:9,.1f}" for value in getattr(found, name)))
    found.write(out)
    say(f"wrote {out}", err=True)


def _examine(addresses: Sequence[str], model: str) -> None:
    """Try out model servers; exit code 1 if one gives no exact tokens."""
    import asyncio

    from autotts import inference

    async def examine(address: str) -> bool:
        server = await inference.connect(address, model)
        try:
            say(f"{server.address}: model {server.model}, spoken to as {server.dialect}")
            for found in await inference.examine(server):
                say(f"  {'yes' if found.good else 'no':4}{found.what:28}{found.words}")
            say(f"  {server.tally.tokens} tokens were decoded for this")
        finally:
            await server.aclose()
        return server.can.exact

    exact = [asyncio.run(examine(address)) for address in addresses]
    if not all(exact):
        say("Without token ids intervals are not exact: collected stores will say so.")
        raise typer.Exit(1)


def audit(
    program: Annotated[str, typer.Argument(help="The program's file, such as mine.py[:beta=...].")],
    stores: options.SomeStores = None,
    stores_option: options.StoresOption = None,
    beta: Annotated[str | None, typer.Option(help="Betas to sweep, such as 0,0.5,1.")] = None,
    draws: options.Draws = "reference:100",
    max_branches: options.MaxBranches = 64,
    sample: Annotated[int, typer.Option(min=1, help="Episodes to replay blind.")] = 600,
    unsafe_no_sandbox: options.Unsafe = False,
) -> None:
    """Audit a program alone: does it decide the same when it can't see what it hasn't revealed?"""
    from autotts import programs
    from autotts.evaluation import Execution, Experiment, Local
    from autotts.evaluation.run import at_betas
    from autotts.replay.task import cells_of
    from autotts.stores import gather

    spec = programs.parse(program)
    if spec.source.trusted or spec.entry:
        raise SpecError(f"audit {program}: only a program given by path is audited")
    experiment = Experiment(draws=draws, max_branches=max_branches)
    tasks = experiment.tasks(gather(options.named_stores(stores, stores_option)))
    with Local(Execution(unsafe=unsafe_no_sandbox)) as driver:
        cells = cells_of(tasks, at_betas(spec, options.parse_betas(beta)))
        verdict = driver.sandbox.audit(cells, sample)
    say(
        f"{program}: {verdict.status}: {verdict.differing} of {verdict.sample} sampled episodes"
        " differ"
    )
    if verdict.status == "clean":
        say(f"at most {verdict.bound:.2%} of all episodes could (95 %)")
    if verdict.reason:
        say(verdict.reason)
    if verdict.status == "rejected":
        raise typer.Exit(1)
