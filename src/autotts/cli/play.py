"""`autotts play`: recorded questions, played before your eyes."""

from typing import TYPE_CHECKING, Annotated

import typer

from autotts.cli import options
from autotts.cli.screen import answer_until_interrupted

if TYPE_CHECKING:
    from autotts.evaluation import Execution, Experiment


@options.evaluating(audit=1)
def play(
    stores: options.SomeStores = None,
    stores_option: options.StoresOption = None,
    controller: Annotated[
        list[str] | None,
        typer.Option(
            "--controller",
            "-c",
            help="SPEC of a controller to show first, as in `autotts evaluate`; those that come"
            " along can be chosen on the page.",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to serve on; 0 takes a free one.")
    ] = 0,
    *,
    experiment: "Experiment",
    execution: "Execution",
) -> None:
    """Watch controllers on recorded questions, in a browser on this machine.

    The page plays an episode step by step: branches grow, agree and are given up while the cost
    runs. Move beta, or put two controllers side by side on the same branches.
    """
    from autotts.play.recorded import RecordedQuestions
    from autotts.play.server import PlayAnswers
    from autotts.reports.server import LoopbackServer
    from autotts.stores import gather

    specs = [options.parse_program(text) for text in controller or ()]
    loaded = gather(options.named_stores(stores, stores_option))
    with (
        RecordedQuestions(loaded, specs, experiment=experiment, execution=execution) as recorded,
        LoopbackServer(PlayAnswers(recorded).answer, port=port) as server,
    ):
        answer_until_interrupted(server)
