"""`icmass train`: one saved model of whole surveys, or of one that is simulated for it."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icmass.cli.progress import progress
from icmass.errors import InputError

if TYPE_CHECKING:
    from icmass.benchmark.train_model import TrainedModel
    from icmass.survey.config import SurveyConfig

_EVERY_S = 10.0
_PRESET = "erosita"


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
        int | None,
        typer.Option("--n", min=20, help="Simulate so many clusters; the survey is not kept."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help=f"With --n: preset of the survey, default {_PRESET}.")
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
) -> None:
    """Train one model on whole surveys and save it for `icmass predict MODEL`.

    A tenth of the halos is never trained on: the model is scored on it.
    """
    from icmass.benchmark.train_model import check_new, train_model
    from icmass.estimators.registry import make_estimator

    check_new(out)
    make_estimator(model)  # a wrong name is refused before the survey is made
    config = _configured(n, preset, bands, assign or [], variant or [])
    if bool(surveys) == (config is not None):
        raise InputError("give surveys, or --n to simulate one", field="input")
    work = out.with_name(out.name + ".partial")
    if work.exists() and not resume:
        raise InputError("is unfinished", file=work, mend="go on with --resume, or delete it")
    paths = list(surveys or [])
    if config is not None and n is not None:
        paths = [_simulate(config, n, seed, work / "survey.zarr", workers)]
    done = train_model(
        paths,
        model,
        out,
        work=work,
        seed=seed,
        device=device,
        max_epochs=max_epochs,
        progress=_epoch_lines(),
        command=shlex.join(["icmass", *sys.argv[1:]]),
    )
    shutil.rmtree(work, ignore_errors=True)
    _print(done)


def _configured(
    n: int | None, preset: str | None, bands: str | None, assign: list[str], variant: list[str]
) -> SurveyConfig | None:
    """Return the configuration of the survey to simulate, None without ``--n``."""
    from icmass.cli.options import refuse
    from icmass.survey.presets import resolve_config
    from icmass.survey.readers.fits_images import parse_bands

    if n is None:
        given = {"--preset": preset, "--bands": bands, "--set": assign, "--variant": variant}
        refuse(given, "goes with --n, which simulates a survey")
        return None
    if bands is not None:
        edges = ",".join(f"[{lo:g},{hi:g}]" for lo, hi in parse_bands(bands, field="--bands"))
        assign = [f"observe.bands=[{edges}]", *assign]
    return resolve_config(preset or _PRESET, None, tuple(assign), tuple(variant))


def _simulate(config: SurveyConfig, n: int, seed: int, out: Path, workers: int) -> Path:
    from icmass.survey.write import simulate_survey

    with progress("clusters") as report:
        return simulate_survey(
            config, n_clusters=n, seed=seed, out=out, workers=workers, resume=True, progress=report
        )


def _epoch_lines() -> Any:
    """Return a function of an epoch that says on standard error now and then how it goes."""
    begin = last = time.monotonic()

    def line(epoch: Any) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > _EVERY_S:
            last = now
            losses = f"loss {epoch.train_loss:.3f}, validation {epoch.validation_loss:.3f}"
            print(
                f"epoch {epoch.epoch}, {losses}, {now - begin:.0f} s", file=sys.stderr, flush=True
            )

    return line


def _print(done: TrainedModel) -> None:
    row = done.results["estimators"][0]
    typer.echo(
        f"{done.path}: {row['name']}, trained on {done.results['n_train']} clusters; of {row['n']} "
        f"others: scatter of ln M {row['sigma_lnm']:.3f}, bias {row['bias_lnm']:+.3f}, "
        f"{row['coverage68']:.0%} within the 68 per cent intervals"
    )
