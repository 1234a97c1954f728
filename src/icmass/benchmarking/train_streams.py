"""One saved network of clusters that are not in memory: read as it trains, or simulated."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from icmass.benchmarking.provenance import about_survey
from icmass.benchmarking.train_model import (
    NOTHING,
    SCORED_SHARE,
    Scored,
    TrainedModel,
    check_new,
    scored_results,
)
from icmass.errors import InputError
from icmass.estimators.card import add_scores
from icmass.estimators.estimator import at_trained_redshifts
from icmass.estimators.network import NetworkEstimator
from icmass.estimators.posterior import Prediction
from icmass.files import write_text
from icmass.run.layout import RESULTS
from icmass.survey.config import SurveyConfig
from icmass.training.held_out import hold_out
from icmass.training.online import Plan, SimulatedClusters
from icmass.training.streaming import StoredClusters, scalar_table, shared

MOST_SCORED = 4096
"""Clusters scored on at most, where they are many."""
_AT_ONCE = 512  # clusters predicted


def fit_stream(surveys: Sequence[xr.Dataset], estimator: Any, out: Path, seed: int) -> Scored:
    """Train a network on nine tenths of the halos of surveys, save it, and predict the others.

    Parameters
    ----------
    surveys : sequence of Dataset
        Opened, of one kind of maps.
    estimator : NetworkEstimator
        Not yet fitted.
    out : path
        Folder of the saved model.
    seed : int
        Seed of the choice of the halos to score on: about a tenth of the clusters, `MOST_SCORED`
        at most.
    """
    surveys = shared(surveys)
    table = scalar_table(surveys)
    share = min(SCORED_SHARE, MOST_SCORED / table.sizes["cluster"])
    train, held = hold_out(table["halo_id"].values, share, seed)
    sizes = [survey.sizes["cluster"] for survey in surveys]
    coverage = estimator.design.sees_coverage and "coverage" in surveys[0]
    clusters = StoredClusters(
        surveys, _by_survey(train, sizes), estimator.read_options(coverage), seed
    )
    estimator.fit_clusters(clusters)
    estimator.save(out)
    test = at_trained_redshifts(table["redshift"].values, train, held)
    predictions = [
        estimator.predict(survey, part)
        for survey, index in zip(surveys, _by_survey(test, sizes), strict=True)
        for part in np.split(index, range(_AT_ONCE, len(index), _AT_ONCE))
        if len(part)
    ]
    found = _joined(predictions) if predictions else NOTHING
    return Scored(table, len(train), table, test, found, len(held) - len(test))


def train_online(
    config: SurveyConfig,
    n: int,
    model: str,
    out: str | Path,
    *,
    work: str | Path,
    reuse: int = 1,
    workers: int = 1,
    seed: int = 0,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
    epochs: Callable[[Any], None] | None = None,
    command: str | None = None,
    plan: dict[str, int] | None = None,
) -> TrainedModel:
    """Train a network on clusters that are simulated meanwhile, and save it.

    Parameters
    ----------
    config : SurveyConfig
        Of the survey whose clusters are simulated.
    n : int
        Number of clusters, with those that are held out and scored on.
    model : str
        Name of the network. Several (``@2``) are trained one after the other, each on clusters
        that are simulated anew.
    out : path
        Folder of the saved model, new or empty.
    work : path
        Folder of the checkpoint, written after every round of 4,096 clusters; training goes on
        from what is found there, to the same weights.
    reuse : int
        How often each cluster is trained on, before it is forgotten.
    workers : int
        Processes that simulate; they change nothing but the time.
    seed : int
        Seed of the survey and of the fit.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    progress, epochs : callable, optional
        Called with the number of clusters simulated and in all; with an `Epoch` after every round.
    command : str, optional
        The command line, kept with the scores.
    plan : dict, optional
        Sizes of `icmass.training.online.Plan` other than usual.
    """
    out = Path(out)
    check_new(out)
    if config.physics is not None and config.physics.universes > n:
        what = f"{config.physics.universes} universes cannot share {n} clusters"
        raise InputError(what, field="--universes", hint="give at most as many as clusters")
    folder = Path(work) / "checkpoint"
    estimator = NetworkEstimator(
        model, seed=seed, device=device, checkpoint=folder, progress=epochs
    )
    made = Plan(config.model_dump_json(), seed, n, reuse, **(plan or {}))
    options = estimator.read_options(estimator.design.sees_coverage)
    with SimulatedClusters(made, options, seed, workers=workers, progress=progress) as clusters:
        estimator.fit_clusters(clusters)
    estimator.save(out)
    every = np.arange(clusters.scored_table.sizes["cluster"])
    prediction = estimator.predict_sample(clusters.scored)
    scored = Scored(clusters.table, clusters.n_train, clusters.scored_table, every, prediction)
    facts = about_survey(clusters.table, "simulated while training")
    facts = facts.model_copy(update={"n_clusters": n})
    results = scored_results(estimator, scored, facts, seed, device, command)
    write_text(out / RESULTS, json.dumps(results, indent=1) + "\n")
    add_scores(out)
    return TrainedModel(out, results)


def _by_survey(index: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """Return rows of surveys, joined one after the other, as rows of each."""
    ends = np.cumsum(sizes)
    parts = np.split(index, np.searchsorted(index, ends[:-1]))
    return [part - (end - size) for part, end, size in zip(parts, ends, sizes, strict=True)]


def _joined(predictions: Sequence[Prediction]) -> Prediction:
    """Return predictions of one kind as one."""

    def column(name: str) -> np.ndarray | None:
        values = [getattr(one, name) for one in predictions]
        return None if values[0] is None else np.concatenate(values)

    columns = {name: column(name) for name in ("mean", "std", "density", "out_of_domain")}
    return Prediction(**columns)  # type: ignore[arg-type]
