"""Reports and figures of whatever has results: a run, a results file, an evaluation."""

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from autotts.errors import SpecError
from autotts.files import write_text
from autotts.reports.model import OnCurves, OnPart, Report, unheard

if TYPE_CHECKING:
    from autotts.evaluation import Evaluation
    from autotts.reports.figures import Theme
    from autotts.stores import AnyStores


def report_on(
    target: "str | os.PathLike[str] | Evaluation",
    stores: "AnyStores | None" = None,
    *,
    replay: bool = True,
    trust: bool = False,
    on_part: OnPart = unheard,
    on_curves: OnCurves | None = None,
    page: bool = True,
) -> Report:
    """What a report shows.

    Args:
        target: the folder of a run, a file of `autotts evaluate --json`, or an evaluation.
        stores: for a results file, its stores, to add questions and episodes.
        replay: of a run, whether some episodes are replayed; else its log alone is read.
        trust: whether a results file may name code that runs in this process.
        on_part: called with what is made next, for progress.
        page: whether to add what a page shows beside figures: all episodes and the recordings.
        on_curves: of a run, called with the report as soon as its curves and questions are there.

    Raises:
        AutottsError: it is none of these, or the stores don't belong to it.
    """
    from autotts.evaluation import Evaluation
    from autotts.reports import evaluations

    if isinstance(target, Evaluation):
        return evaluations.from_evaluation(target, title="Evaluation", on_part=on_part, page=page)
    path = Path(target)
    if not path.exists():
        raise SpecError(
            f"{path}: no such file or folder; name a run, or a file of `autotts evaluate --json`"
        )
    if path.is_dir():
        if stores is not None:
            raise SpecError("a run's folder names its own stores: leave STORES out")
        from autotts.reports.runs import from_run

        return from_run(path, replay=replay, on_part=on_part, on_curves=on_curves, page=page)
    if stores is None:
        return evaluations.from_results(path)
    from autotts.stores import gather

    again = evaluations.evaluate_again(path, gather(stores), trust=trust, on_part=on_part)
    return evaluations.from_evaluation(again, title=path.stem, on_part=on_part, page=page)


def report(
    target: "str | os.PathLike[str] | Evaluation",
    out: str | os.PathLike[str] = "report.html",
    *,
    stores: "AnyStores | None" = None,
    replay: bool = True,
    trust: bool = False,
    on_part: OnPart = unheard,
) -> Path:
    """Write a report: one HTML file that opens anywhere, without a network.

    Args:
        target, stores, replay, trust, on_part: as in `report_on`.

    Returns:
        The file.
    """
    from autotts.reports.page import build

    made = report_on(target, stores, replay=replay, trust=trust, on_part=on_part)
    on_part("writing the page")
    write_text(Path(out), build(made))
    return Path(out)


def plot(
    target: "str | os.PathLike[str] | Evaluation",
    out: str | os.PathLike[str] = "figures",
    *,
    stores: "AnyStores | None" = None,
    replay: bool = True,
    trust: bool = False,
    store: str | None = None,
    formats: Sequence[str] = ("png",),
    theme: "Theme" = "light",
    on_part: OnPart = unheard,
) -> list[Path]:
    """Write figures for a paper: curves, latency, trajectory, questions, waste, an episode.

    Args:
        target, stores, replay, trust, on_part: as in `report_on`.
        out: folder of the figures.
        store: `MODEL/DATASET` of the curves; their mean by default.
        formats: any of png, svg and pdf.

    Returns:
        The files.
    """
    from autotts.reports.figures import check_formats
    from autotts.reports.plots import Drawing

    check_formats(formats)
    drawing = Drawing(Path(out), store, formats, theme, on_part)
    curves: list[Future[list[Path]]] = []
    # Programs replay in processes of their own; meanwhile this one draws what is there already.
    with ThreadPoolExecutor(1) as thread:

        def begin(report: Report) -> None:
            known = list(dict.fromkeys(line.store for line in report.lines))
            if store is not None and store not in known:
                raise SpecError(f"store {store}: there are {', '.join(known)}")
            curves.append(thread.submit(drawing.curves, report))

        drawn = report_on(
            target, stores, replay=replay, trust=trust, on_part=on_part, on_curves=begin,
            page=False,
        )  # fmt: skip
        if not curves:
            begin(drawn)
        return [*curves[0].result(), *drawing.episodes(drawn)]
