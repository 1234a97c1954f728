"""Train one model by one call."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from icmass.arguments import as_list, whole_number
from icmass.benchmarking.train_model import TrainedModel, check_new, train_model
from icmass.errors import InputError
from icmass.estimators.registry import make_estimator
from icmass.io.fits_images import parse_bands
from icmass.sky.bands import Band
from icmass.survey.config import SurveyConfig
from icmass.survey.presets import resolve_config
from icmass.survey.stored import store_of
from icmass.survey.write import Progress, simulate_survey
from icmass.training.names import is_network

PRESET = "erosita"
ONLINE_ABOVE = 200_000
"""Clusters of which a survey is not worth storing for one training: some 10 kB each, 2 GB."""
FEWEST = 20
"""Clusters that a network or a relation is trained on, at least."""
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
    stream: bool = False,
    online: bool = False,
    reuse: int = 1,
    physics: str | None = None,
    universes: int | None = None,
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
    stream : bool
        Read the clusters from the surveys as they are trained on, as is done anyway with more
        than fit in 4 GiB; for networks.
    online : bool
        With `n`: train while the clusters are simulated, and store none; for networks. So it is
        with more than 200,000 clusters.
    reuse : int
        With `online`: how often each cluster is trained on.
    physics, universes
        With `n`: ``"prior"`` draws the physics of so many universes of ranges.
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
    seed, workers = whole_number(seed, "--seed"), whole_number(workers, "--workers", 1)
    if n is not None:
        n = whole_number(n, "--n", FEWEST)
    make_estimator(model)  # a wrong name is refused before the survey is made
    simulated: dict[str, Any] = {
        "preset": preset,
        "bands": bands,
        "set": as_list(assignments),
        "variant": as_list(variants),
    }
    simulated |= {"physics": physics, "universes": universes, "online": online}
    simulated["reuse"] = reuse if reuse != 1 else None
    config = _configured(n, simulated)
    given = [surveys] if isinstance(surveys, str | Path | xr.Dataset) else list(surveys)
    if bool(given) == (config is not None):
        raise InputError("give surveys, or --n to simulate one", field="surveys")
    work = out.with_name(out.name + ".partial")
    if work.exists() and not resume:
        raise InputError("is unfinished", file=work, hint="go on with --resume, or delete it")
    how: dict[str, Any] = {"work": work, "seed": seed, "device": device, "command": command}
    if (
        config is not None
        and n is not None
        and _is_online(n, model, online=online, reuse=reuse, max_epochs=max_epochs)
    ):
        from icmass.benchmarking.train_streams import train_online  # torch

        how |= {"reuse": reuse, "workers": workers, "progress": progress, "epochs": epochs}
        done = train_online(config, n, model, out, **how)
    else:
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
        how |= {"max_epochs": max_epochs, "progress": epochs, "stream": stream}
        done = train_model(stores, model, out, **how)
    shutil.rmtree(work, ignore_errors=True)
    return done


def _is_online(n: int, model: str, *, online: bool, reuse: int, max_epochs: int | None) -> bool:
    """Return whether to train while simulating."""
    if online and not is_network(model):
        raise InputError("only networks train online", field="--online", hint="leave it out")
    if reuse < 1:
        raise InputError(str(reuse), field="--reuse", hint="give 1 or more")
    online = online or (n > ONLINE_ABOVE and is_network(model))
    if reuse > 1 and not online:
        raise InputError("goes with --online", field="--reuse", hint="leave it out")
    if online and max_epochs is not None:
        hint = "--n and --reuse say for how long"
        raise InputError("does not go with --online", field="--max-epochs", hint=hint)
    return online


def _configured(n: int | None, simulated: dict[str, Any]) -> SurveyConfig | None:
    """Return the configuration of the survey to simulate, None without `n`."""
    if n is None:
        if wrong := [f"--{name}" for name, value in simulated.items() if value]:
            why = "goes with --n, which simulates a survey"
            raise InputError(why, field=", ".join(wrong), hint="leave it out")
        return None
    assignments, bands = simulated["set"], simulated["bands"]
    if bands is not None:
        pairs = parse_bands(bands, field="--bands") if isinstance(bands, str) else bands
        edges = ",".join(f"[{lo:g},{hi:g}]" for lo, hi in pairs)
        assignments = [f"observe.bands=[{edges}]", *assignments]
    return resolve_config(
        simulated["preset"] or PRESET,
        None,
        tuple(assignments),
        tuple(simulated["variant"]),
        physics=simulated["physics"],
        universes=simulated["universes"],
    )
