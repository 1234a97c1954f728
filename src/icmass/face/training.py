"""Train one model by one call."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from icmass.benchmarking.train_model import TrainedModel, check_new, train_model
from icmass.errors import InputError
from icmass.estimators.registry import make_estimator
from icmass.face.runs import store_of
from icmass.io.fits_images import Band, parse_bands
from icmass.survey.config import SurveyConfig
from icmass.survey.presets import resolve_config
from icmass.survey.write import Progress, simulate_survey

PRESET = "erosita"
Surveys = str | Path | xr.Dataset | Sequence[str | Path | xr.Dataset]


def train(
    surveys: Surveys = (),
    model: str = "icm-3band",
    *,
    out: str | Path,
    n: int | None = None,
    preset: str | None = None,
    bands: str | Sequence[Band] | None = None,
    assignments: Sequence[str] = (),
    variants: Sequence[str] = (),
    workers: int = 1,
    seed: int = 0,
    device: str = "auto",
    max_epochs: int | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    epochs: Callable[[Any], None] | None = None,
    command: str | None = None,
) -> TrainedModel:
    """Train one model on whole surveys and save it for `icmass.predict`.

    A tenth of the halos is never trained on: the model is scored on it.

    Parameters
    ----------
    surveys : path, Dataset or sequence of them
        Surveys to train on; none with `n`.
    model : str
        ``"icm-1band"``, ``"icm-3band"``, ...; ``"icm-3band@5"`` for five of them.
    out : path
        Folder of the saved model, new.
    n : int, optional
        Simulate so many clusters; the survey is not kept.
    preset, bands, assignments, variants
        With `n`: preset of the survey (default ``"erosita"``), bands of the maps [keV],
        ``key=value`` of the configuration, physics variants.
    workers : int
        Processes that simulate.
    seed : int
        Seed of the survey and of the fit.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    max_epochs : int, optional
        Train a network for at most this many epochs.
    resume : bool
        Go on with a killed run.
    progress, epochs : callable, optional
        Called with the number of clusters simulated and in all; with every epoch of a network.
    command : str, optional
        The command line, kept with the scores.

    Returns
    -------
    TrainedModel
        Its folder, ``path``, and the document of its scores, ``results``.

    Raises
    ------
    InputError
        If what was given cannot be used.
    """
    out = Path(out)
    check_new(out)
    make_estimator(model)  # a wrong name is refused before the survey is made
    config = _configured(n, preset, bands, assignments, variants)
    given = [surveys] if isinstance(surveys, str | Path | xr.Dataset) else list(surveys)
    if bool(given) == (config is not None):
        raise InputError("give surveys, or --n to simulate one", field="surveys")
    work = out.with_name(out.name + ".partial")
    if work.exists() and not resume:
        raise InputError("is unfinished", file=work, hint="go on with --resume, or delete it")
    stores = [store_of(survey) for survey in given]
    if config is not None and n is not None:
        store = work / "survey.zarr"
        simulate_survey(
            config,
            n_clusters=n,
            seed=seed,
            out=store,
            workers=workers,
            resume=True,
            progress=progress,
        )
        stores = [store]
    done = train_model(
        stores,
        model,
        out,
        work=work,
        seed=seed,
        device=device,
        max_epochs=max_epochs,
        progress=epochs,
        command=command,
    )
    shutil.rmtree(work, ignore_errors=True)
    return done


def _configured(
    n: int | None,
    preset: str | None,
    bands: str | Sequence[Band] | None,
    assignments: Sequence[str],
    variants: Sequence[str],
) -> SurveyConfig | None:
    """Return the configuration of the survey to simulate, None without `n`."""
    if n is None:
        given = {
            "--preset": preset, "--bands": bands, "--set": assignments, "--variant": variants
        }  # fmt: skip
        if wrong := [name for name, value in given.items() if value]:
            why = "goes with --n, which simulates a survey"
            raise InputError(why, field=", ".join(wrong), hint="leave it out")
        return None
    if bands is not None:
        pairs = parse_bands(bands, field="--bands") if isinstance(bands, str) else bands
        edges = ",".join(f"[{lo:g},{hi:g}]" for lo, hi in pairs)
        assignments = [f"observe.bands=[{edges}]", *assignments]
    return resolve_config(preset or PRESET, None, tuple(assignments), tuple(variants))
