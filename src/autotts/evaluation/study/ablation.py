"""Ablation: what each parameter and each mechanism of a program is worth, on fresh draws.

A parameter is frozen: held, at every beta, at what the schedule gives for beta 0.5. A mechanism is
taken out of the source: a call that prunes, a call inside a loop that opens more branches, or an
`if` inside a loop that only stops. What is left is a program that nobody has read and that may run
for ever, so it always runs sealed; unaudited where the program itself is ours.

Variant and program run on the same draws, and differences are paired by question.
"""

import ast
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from autotts.errors import ControllerError, ProgramError, SpecError
from autotts.evaluation import statistics
from autotts.evaluation.compare import clears_noise
from autotts.evaluation.design import Design, joined
from autotts.evaluation.frontiers import Curve
from autotts.evaluation.result import curves_of
from autotts.evaluation.run import opened, run_cells
from autotts.evaluation.serving import require_served
from autotts.evaluation.settings import Execution, Experiment, explaining
from autotts.evaluation.statistics import FloatArray
from autotts.programs import DEFAULT_BETA, AnyController, Source, Spec, as_spec
from autotts.replay.driver import Driver, OnRan, Ran
from autotts.stores import AnyStores, gather
from autotts.text import shorten

BETAS = (0.0, 0.25, 0.5, 0.75, 1.0)
DRAWS = "subsets:20"
SEED = 1_000_003
"""Of the draws, so that they are fresh: nothing was chosen on them."""

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Variant:
    """A program with something taken out.

    name: what, in words.
    spec: the program that is left, with parameters held if some are.
    """

    name: str
    spec: Spec


@explaining
def ablate(
    stores: AnyStores,
    controller: AnyController,
    *,
    betas: Sequence[float] = BETAS,
    experiment: Experiment | None = None,
    execution: Execution | None = None,
    driver: Driver | None = None,
    mechanisms: bool = True,
    rng: np.random.Generator | None = None,
    on_variant: Callable[[str], None] | None = None,
    on_ran: OnRan | None = None,
) -> pl.DataFrame:
    """What taking out each parameter and mechanism of a program does.

    Args:
        stores: loaded stores, their folders, or patterns such as `"stores/*/aime24"`.
        controller: a SPEC such as `"cmc"`, or the path of a program.
        betas: swept; the more, the better equal tokens can be compared.
        experiment: `subsets:20` draws of their own seed by default.
        execution: a minute a cell by default.
        driver: runs the programs; this machine if not given.
        mechanisms: whether to take out mechanisms too, which needs the sandbox.
        rng: of the bootstrap.
        on_variant: called with each variant's name before it runs.
        on_ran: called with what came out of each cell, of the program and of its variants.

    Returns:
        A row per variant, the most harmful to leave out first: variant, kind ("frozen" or
        "removed"), accuracy (points of accuracy, variant less program, mean of betas and stores),
        accuracy_low, accuracy_high, better and worse (questions, by accuracy), tokens (share of the
        program's, less 1), tokens_low, tokens_high, area (points of frontier area, that is
        at equal tokens), area_low, area_high, audit (what it says of the variant; see `How.words`),
        and failure (why it could not run, else null).

    Raises:
        SpecError: nothing can be taken out.
    """
    experiment = experiment or Experiment(draws=DRAWS, seed=SEED)
    execution = execution or Execution(timeout_seconds=PATIENCE_SECONDS)
    rng = rng or np.random.default_rng(0)
    loaded, spec = gather(stores), replace(as_spec(controller), fixed=False)
    require_served(loaded, [spec])
    # What is taken out of a program of ours leaves one that means no harm.
    allowed = replace(execution, audit=0) if spec.source.trusted else execution
    rows = []
    with opened(driver, execution) as chosen:
        base = run_cells(
            loaded,
            spec,
            betas,
            experiment=experiment,
            execution=execution,
            driver=chosen,
            on_ran=on_ran,
        )
        for kind, variant in _variants(spec, base, mechanisms):
            if on_variant:
                on_variant(variant.name)
            row: dict[str, object] = {"variant": variant.name, "kind": kind}
            try:
                ran = run_cells(
                    loaded, variant.spec, betas,
                    experiment=experiment, execution=allowed, driver=chosen, on_ran=on_ran,
                )  # fmt: skip
            except (ControllerError, ProgramError) as error:
                rows.append({**row, "failure": str(error).splitlines()[0]})
                continue
            figures = _differences(ran, base, rng)
            rows.append({**row, **figures, "audit": ran[0].how.words, "failure": None})
    return pl.DataFrame(rows, schema=_schema()).sort("area", nulls_last=True)


def _variants(spec: Spec, base: Sequence[Ran], mechanisms: bool) -> list[tuple[str, Variant]]:
    """What to run, each with its kind.

    Raises:
        SpecError: nothing can be taken out.
    """
    frozen = [("frozen", variant) for variant in frozen_variants(spec, base)]
    removed = [("removed", v) for v in removed_variants(spec)] if mechanisms else []
    if not frozen and not removed:
        betas = dict.fromkeys(f"{ran.spec.beta:g}" for ran in base)
        raise SpecError(
            f"{spec.text!r}: nothing to take out: no parameter moves over beta"
            f" {', '.join(betas)}, and of mechanisms"
            f" {'none is known' if mechanisms else 'none was asked for'}"
        )
    return frozen + removed


def _schema() -> dict[str, pl.DataType]:
    numbers = [
        f"{name}{end}" for name in ("accuracy", "tokens", "area") for end in ("", "_low", "_high")
    ]
    return {
        "variant": pl.String(),
        "kind": pl.String(),
        **{name: pl.Float64() for name in numbers},
        "better": pl.Int64(),
        "worse": pl.Int64(),
        "audit": pl.String(),
        "failure": pl.String(),
    }


def frozen_variants(spec: Spec, ran: Sequence[Ran]) -> list[Variant]:
    """The program with each parameter that moves with beta held at its value for beta 0.5.

    Args:
        ran: the program over its betas, from which its parameters are known.
    """
    by_beta = {one.spec.beta: one.parameters for one in ran}
    middle = min(by_beta, key=lambda beta: abs(beta - DEFAULT_BETA))
    variants = []
    for name, value in by_beta[middle].items():
        if name not in spec.named and len({values[name] for values in by_beta.values()}) > 1:
            held = replace(
                spec, text=f"{spec.name} with {name} held", named={**spec.named, name: value}
            )
            variants.append(Variant(f"{name} = {value:g}", held))
    return variants


def removed_variants(spec: Spec) -> list[Variant]:
    """The program without each of its mechanisms."""
    variants = []
    for words, source in mechanisms(spec.source):
        variants.append(
            Variant(words, replace(spec, text=f"{spec.name} with {words}", source=source))
        )
    return variants


def mechanisms(source: Source) -> list[tuple[str, Source]]:
    """Each mechanism of a program in words, and the source without it; nothing is run."""
    tree = ast.parse(source.text)
    found = []
    for at, (words, line) in enumerate(_sites(tree)):
        without = copy.deepcopy(tree)
        _remove(without, at)
        text = ast.unparse(ast.fix_missing_locations(without)) + "\n"
        name = f"line {line}: {words}"
        found.append((name, replace(source, text=text, trusted=False)))
    return found


def _sites(tree: ast.Module) -> list[tuple[str, int]]:
    return [(words, body[k].lineno) for words, body, k in _walk(tree)]


def _remove(tree: ast.Module, at: int) -> None:
    _, body, k = list(_walk(tree))[at]
    body[k] = ast.copy_location(ast.Pass(), body[k])


def _walk(tree: ast.Module) -> Iterator[tuple[str, list[ast.stmt], int]]:
    """(what it is, the block it stands in, its place there) of every mechanism."""
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and function.name != "schedule":
            yield from _walk_block(function.body, in_loop=False)


def _walk_block(
    body: list[ast.stmt], *, in_loop: bool
) -> Iterator[tuple[str, list[ast.stmt], int]]:
    for k, node in enumerate(body):
        action = _action(node)
        if action == "prune":
            yield "no pruning", body, k
        elif action == "branch" and in_loop:
            yield "no opening more", body, k
        elif in_loop and _only_stops(node):
            assert isinstance(node, ast.If)
            yield f"no stop if {shorten(ast.unparse(node.test), 48)}", body, k
            continue
        loop = in_loop or isinstance(node, ast.For | ast.While)
        for block in ("body", "orelse"):
            yield from _walk_block(getattr(node, block, []), in_loop=loop)


def _action(node: ast.stmt) -> str:
    """The action of env that a statement is, "" if it is none."""
    call = node.value if isinstance(node, ast.Expr) else None
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
        owner = call.func.value
        if isinstance(owner, ast.Name) and owner.id == "env":
            return call.func.attr
    return ""


def _only_stops(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.If)
        and not node.orelse
        and len(node.body) == 1
        and isinstance(node.body[0], ast.Break | ast.Return)
    )


def _differences(
    ran: Sequence[Ran], base: Sequence[Ran], rng: np.random.Generator
) -> Mapping[str, float]:
    (mine,), (theirs,) = curves_of(ran).values(), curves_of(base).values()
    paired = statistics.paired_difference(
        _per_question(mine, mine.correct), _per_question(theirs, theirs.correct), rng=rng,
        design=_design(mine),
    )  # fmt: skip
    tokens = _token_ratio(mine, theirs, rng)
    gap = statistics.in_percent(paired)
    area = statistics.in_percent(clears_noise(mine, theirs, rng=rng).difference)
    return {
        "accuracy": gap.estimate,
        "accuracy_low": gap.low,
        "accuracy_high": gap.high,
        "better": gap.better,
        "worse": gap.worse,
        "tokens": tokens[0],
        "tokens_low": tokens[1],
        "tokens_high": tokens[2],
        "area": area.estimate,
        "area_low": area.low,
        "area_high": area.high,
    }


def _per_question(swept: Curve, values: Mapping[tuple[str, str], np.ndarray]) -> FloatArray:
    """`[Q, D]` means over betas and over the models of a dataset, dataset under dataset."""
    datasets = []
    for dataset in swept.questions:
        models = [values[store].mean(axis=0) for store in swept.stores if store[1] == dataset]
        datasets.append(np.mean(models, axis=0))
    return np.concatenate(datasets)


def _design(swept: Curve) -> Design:
    """How the questions of `_per_question` count."""
    return joined([swept.design(dataset) for dataset in swept.questions])


def _token_ratio(
    mine: Curve, theirs: Curve, rng: np.random.Generator
) -> tuple[float, float, float]:
    """(ratio of tokens less 1, low, high), resampling questions."""
    spent = [_per_question(c, c.tokens).mean(axis=1) for c in (mine, theirs)]
    design = _design(mine)
    weights = statistics.question_weights(design, rng=rng)
    ratios = (weights @ spent[0]) / (weights @ spent[1]) - 1
    low, high = statistics.bounds(ratios[1:], questions=design.units)
    return float(ratios[0]), float(low), float(high)
