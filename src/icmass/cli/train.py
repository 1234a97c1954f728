"""`icmass train`: one saved model of whole surveys, or of one that is simulated for it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icmass.cli import options
from icmass.cli.interruption import resumable, unfinished
from icmass.cli.progress import StageReport, stages

if TYPE_CHECKING:
    from icmass.benchmarking.train_model import TrainedModel
    from icmass.training.trainer import Epoch


def train(
    out: Annotated[Path, typer.Option(help="Folder of the saved model, new.", metavar="MODEL")],
    surveys: Annotated[
        list[Path] | None,
        typer.Argument(help="Surveys to train on, or none with --n.", metavar="[X.zarr]..."),
    ] = None,
    model: Annotated[
        str, typer.Option(help="icm-1band, icm-3band, ...; icm-3band@5 for five of them.")
    ] = "icm-3band",
    n: Annotated[
        str | None,
        typer.Option(
            "--n",
            metavar="N",
            help="Simulate so many clusters, at least 20 (1e6 as well); the survey is not kept.",
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="With --n: preset of the survey, default erosita.")
    ] = None,
    bands: Annotated[
        str | None, typer.Option(metavar="LO-HI,...", help="With --n: bands of the maps in keV.")
    ] = None,
    assign: Annotated[
        list[str] | None, typer.Option("--set", help="With --n: key=value of the configuration.")
    ] = None,
    variant: Annotated[
        list[str] | None, typer.Option(help="With --n: physics variant on top of the preset.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that simulate.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the survey and of the fit.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    max_epochs: Annotated[
        int | None, typer.Option(min=1, help="Train a network for at most this many epochs.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a killed run.")] = False,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="Read clusters as they are trained on, as with more than 4 GiB of them.",
        ),
    ] = False,
    online: Annotated[
        bool,
        typer.Option(
            "--online", help="With --n: train while simulating, store nothing; so above 200,000."
        ),
    ] = False,
    reuse: Annotated[
        int,
        typer.Option(metavar="K", min=1, help="With --online: train on each cluster K times."),
    ] = 1,
    physics: Annotated[
        str | None,
        typer.Option(metavar="prior", help="With --n: physics of each universe drawn of ranges."),
    ] = None,
    universes: Annotated[
        int | None,
        typer.Option(metavar="K", help="With --physics prior: clusters are of K universes."),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Train one model on whole surveys and save it for `icmass predict MODEL`.

    A tenth of the halos is never trained on: the model is scored on it.
    """
    import icmass
    from icmass.face.training import FEWEST
    from icmass.main_process import is_main

    with resumable(unfinished(out)), stages(quiet=quiet or not is_main()) as report:
        done = icmass.train(
            surveys or (),
            model,
            out=out,
            n=None if n is None else options.parse_count(n, FEWEST),
            preset=preset,
            bands=bands,
            assignments=assign or (),
            variants=variant or (),
            workers=workers,
            seed=seed,
            device=device,
            max_epochs=max_epochs,
            resume=resume,
            stream=stream,
            online=online,
            reuse=reuse,
            physics=physics,
            universes=universes,
            progress=partial(report, "clusters"),
            epochs=_epochs(report),
            command=shlex.join(["icmass", *sys.argv[1:]]),
        )
    if is_main():
        _print(done)


def _epochs(report: StageReport) -> Callable[[Epoch], None]:
    """Return a function of an epoch that shows it; of several networks one after the other."""
    networks, last = 1, 0

    def show(epoch: Epoch) -> None:
        nonlocal networks, last
        networks, last = networks + (epoch.epoch <= last), epoch.epoch
        unit = "epochs" if networks == 1 else f"epochs of network {networks}"
        losses = f"loss {epoch.train_loss:.3f}, validation {epoch.validation_loss:.3f}"
        report(unit, epoch.epoch, epoch.n_epochs, losses)

    return show


def _print(done: TrainedModel) -> None:
    row = done.results["estimators"][0]
    trained = f"{done.path}: {row['name']}, trained on {done.results['n_train']} clusters"
    scores = ""
    if row["n"]:
        scores = (
            f"; of {row['n']} others: scatter of ln M {row['sigma_lnm']:.3f}, "
            f"bias {row['bias_lnm']:+.3f}, {row['coverage68']:.0%} within the 68 per cent intervals"
        )
    refused = ""
    if row["n_refused"]:
        refused = f"; {row['n_refused']} not scored, at redshifts that it was not trained for"
    typer.echo(trained + scores + refused)
