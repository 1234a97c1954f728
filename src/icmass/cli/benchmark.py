"""`icmass benchmark`: cross-validated comparison of mass estimators."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icmass.cli.interruption import resumable
from icmass.cli.options import Quiet
from icmass.cli.progress import progress

if TYPE_CHECKING:
    from icmass.benchmarking.state import Step
    from icmass.run.results import Results

_TABLE_WIDTH = 150


def benchmark(
    survey: Annotated[Path, typer.Argument(help="Survey to compare them on.", metavar="X.zarr")],
    out: Annotated[Path, typer.Option(help="Folder of the run, new or empty.", metavar="RUN")],
    models: Annotated[
        str | None,
        typer.Option(
            help="Names joined by commas; a set of proxies is joined by +. Default: all "
            "proxies, some sets of them, and icm-3band.",
            metavar="A,B,...",
        ),
    ] = None,
    folds: Annotated[int, typer.Option(help="2, 4 or 8: groups of the box's octants.")] = 8,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Seed of fits and bootstrap errors.")] = 0,
    max_epochs: Annotated[
        int | None, typer.Option(min=1, help="Train networks for at most this many epochs.")
    ] = None,
    fold_limit: Annotated[
        list[str] | None,
        typer.Option(
            help="Fit a slow network on its first K folds only, and score it on their clusters. "
            "Repeatable.",
            metavar="NAME=K",
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Fits side by side, on the cores or on one GPU.")
    ] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in RUN.")] = False,
    quiet: Quiet = False,
) -> None:
    """Cross-validate mass estimators on octant folds; write results, tables and models to RUN."""
    import icmass
    from icmass.main_process import is_main
    from icmass.run.layout import RunLayout

    names = None if models is None else [name.strip() for name in models.split(",")]
    limit = _fold_limit(fold_limit or [])
    kept = RunLayout(out).config
    with resumable(kept), progress("fits", quiet=quiet or not is_main()) as report:

        def watch(step: Step) -> None:
            said = f"{step.model}, fold {step.fold}: {step.said}"
            report(step.done, step.total, said)

        run = icmass.benchmark(
            survey,
            names,
            out=out,
            folds=folds,
            seed=seed,
            device=device,
            resume=resume,
            max_epochs=max_epochs,
            fold_limit=limit,
            jobs=jobs,
            progress=watch,
            command=_command(survey, out, models, limit, folds, device, seed, max_epochs),
        )
    if not is_main():  # of several processes
        return
    _print_table(run.document)
    typer.echo(f"{run.page or out}")
    for name, why in run.failed.items():
        typer.echo(f"icmass: {name} failed: {why}", err=True)
    if run.failed:
        raise typer.Exit(2)


def _fold_limit(texts: Sequence[str]) -> dict[str, int]:
    """Return how many folds which estimator is fitted on, from texts like ``paper-1band=2``."""
    from icmass.errors import InputError

    limit = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        if not name or not number.isdecimal():
            hint = "give NAME=K, e.g. paper-1band=2"
            raise InputError(repr(text), field="fold-limit", hint=hint)
        limit[name.strip()] = int(number)
    return limit


def _command(
    survey: Path, out: Path, models: str | None, limit: dict[str, int], *options: Any
) -> str:
    """Return the command line that repeats the run."""
    words = ["icmass", "benchmark", str(survey), "--out", str(out)]
    words += ["--models", models] if models else []
    for name, value in zip(("folds", "device", "seed", "max-epochs"), options, strict=True):
        words += [f"--{name}", str(value)] if value is not None else []
    for name, k in limit.items():
        words += ["--fold-limit", f"{name}={k}"]
    return shlex.join(words)


def _print_table(results: Results) -> None:
    from rich.console import Console

    from icmass.benchmarking.tables import results_table

    table = results_table(results, brief=True).to_rich()
    console = Console()
    Console(width=None if console.is_terminal else _TABLE_WIDTH).print(table)
