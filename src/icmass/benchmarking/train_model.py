"""One saved model of whole surveys: fitted on nine tenths of their halos, scored on the rest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from icmass.benchmarking.named_surveys import open_truth
from icmass.benchmarking.provenance import about_survey, machine, versions
from icmass.benchmarking.scores import score
from icmass.errors import InputError
from icmass.estimators.card import add_scores
from icmass.estimators.estimator import (
    Estimator,
    Prediction,
    at_trained_redshifts,
    check_inputs,
)
from icmass.estimators.registry import make_estimator
from icmass.files import write_text
from icmass.proxies.names import read_halos, read_scalar
from icmass.run.document import finite
from icmass.run.layout import RESULTS
from icmass.run.results import ModelResults, Score, SurveyFacts
from icmass.survey.catalog import is_ragged
from icmass.training.held_out import hold_out
from icmass.training.names import is_network

SCORED_SHARE = 0.1
"""Fraction of the halos that the model is scored on and never sees."""
NOTHING = Prediction(np.empty(0), np.empty(0))
"""What is predicted of no clusters."""
_HALOS_A_SURVEY = 10**12  # halo numbers of one survey lie below


@dataclass(frozen=True)
class TrainedModel:
    """A model that was trained and saved: its folder, and the document of its scores."""

    path: Path
    results: dict[str, Any]


def train_model(
    surveys: Sequence[str | Path],
    model: str,
    out: str | Path,
    *,
    work: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    max_epochs: int | None = None,
    progress: Callable[[Any], None] | None = None,
    command: str | None = None,
    stream: bool = False,
) -> TrainedModel:
    """Train an estimator on surveys, score it on a tenth of their halos, and save it.

    Parameters
    ----------
    surveys : sequence of path
        Simulated surveys with the same bands and maps.
    model : str
        Name of the estimator.
    out : path
        Folder of the saved model, for `icmass predict`; new or empty. Beside the model it gets
        ``results.json`` with the scores.
    work : path, optional
        Folder for a network's checkpoint; training goes on from what it finds there.
    seed : int
        Seed of the fit, of the choice of the halos to score on, and of the errors.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``, for networks.
    max_epochs : int, optional
        Train a network for at most this many epochs.
    progress : callable, optional
        Called with an `Epoch` after every epoch of a network.
    command : str, optional
        The command line, kept with the scores.
    stream : bool
        Read the clusters from the stores as a network needs them, as is done anyway where they
        take more memory than `icmass.training.streaming.IN_MEMORY_BYTES`.

    Raises
    ------
    InputError
        If the folder is not empty, or the surveys do not go together.
    """
    out = Path(out)
    check_new(out)
    opened = [open_truth(path) for path in surveys]
    estimator = make_estimator(
        model,
        seed=seed,
        device=device,
        checkpoint=None if work is None else Path(work) / "checkpoint",
        max_epochs=max_epochs,
        progress=progress,
    )
    for path, survey in zip(surveys, opened, strict=True):
        check_inputs(survey, estimator.info, file=path)
    if stream and not estimator.info.is_differentiable:
        raise InputError("only networks read as they train", field="--stream", hint="leave it out")
    if is_network(model) and (stream or _is_large(opened, estimator)):
        from icmass.benchmarking.train_streams import fit_stream  # torch

        check_alike(opened)
        scored = fit_stream(opened, estimator, out, seed)
    else:
        survey = join_surveys(opened)
        train, held = hold_out(read_halos(survey), SCORED_SHARE, seed)
        estimator.fit(survey, train)
        estimator.save(out)
        test = at_trained_redshifts(survey["redshift"].values, train, held)
        found = estimator.predict(survey, test) if len(test) else NOTHING
        scored = Scored(survey, len(train), survey, test, found, len(held) - len(test))
    names = ", ".join(Path(path).name for path in surveys)
    facts = about_survey(scored.about, names)
    results = scored_results(estimator, scored, facts, seed, device, command)
    write_text(out / RESULTS, json.dumps(results, indent=1) + "\n")
    add_scores(out)
    if work is not None:
        shutil.rmtree(Path(work) / "checkpoint", ignore_errors=True)
    return TrainedModel(out, results)


@dataclass(frozen=True)
class Scored:
    """What an estimator predicts of clusters that it was not trained on.

    Attributes
    ----------
    about : Dataset
        The survey, or its scalars.
    n_train : int
        Clusters that it was trained on.
    survey, index : Dataset, ndarray of int
        What the clusters are that were predicted: a survey, or scalars of one, and rows of it.
    prediction : Prediction
    n_refused : int
        Clusters held out that are at redshifts that it was not trained for.
    """

    about: xr.Dataset
    n_train: int
    survey: xr.Dataset
    index: np.ndarray
    prediction: Prediction
    n_refused: int = 0


def scored_results(
    estimator: Estimator,
    scored: Scored,
    facts: SurveyFacts,
    seed: int,
    device: str,
    command: str | None,
) -> dict[str, Any]:
    """Return the document that lies beside a saved model."""
    row = _score(estimator, scored, seed)
    return ModelResults(
        survey=facts,
        n_train=scored.n_train,
        estimators=[row],
        seed=seed,
        machine=machine(device),
        command=command,
        versions=versions(),
    ).as_json()


def _is_large(surveys: Sequence[xr.Dataset], estimator: Any) -> bool:
    """Whether surveys take more memory than what is trained on in memory."""
    from icmass.training.streaming import IN_MEMORY_BYTES, cluster_bytes  # torch

    needed = 0
    options = estimator.read_options(all("coverage" in survey for survey in surveys))
    for survey in surveys:
        each = cluster_bytes(survey, options)
        if len(surveys) > 1:  # joined, they are in memory besides
            each += survey["maps"].nbytes // survey.sizes["cluster"]
        needed += survey.sizes["cluster"] * each
    return needed > IN_MEMORY_BYTES


def check_new(out: Path) -> None:
    """Refuse a folder for a model that is there and not empty, or no folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("exists already", file=out, field="--out", hint="choose another folder")


def join_surveys(surveys: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return surveys as one, each with halos of its own; attributes are those of the first.

    Raises
    ------
    InputError
        If their bands, maps or cosmology differ.
    """
    first = surveys[0]
    if len(surveys) == 1:
        return first
    check_alike(surveys)
    shared = set.intersection(*({str(v) for v in s.data_vars} for s in surveys))
    kept = [
        name
        for name in shared
        if first[name].dims[:1] == ("cluster",) and not is_ragged(name) and "galaxy" not in name
    ]
    parts = []
    for i, survey in enumerate(surveys):
        halo = xr.DataArray(read_halos(survey) + i * _HALOS_A_SURVEY, dims="cluster")
        parts.append(survey[sorted(kept)].assign(halo_id=halo))
    return xr.concat(parts, "cluster", combine_attrs="override")


def check_alike(surveys: Sequence[xr.Dataset]) -> None:
    """Refuse surveys whose bands, maps or cosmology differ."""
    first = surveys[0]
    for i, other in enumerate(surveys[1:], start=2):
        for name in ("band", "component", "x", "y"):
            if not np.array_equal(first[name].values, other[name].values):
                raise InputError(f"differs in survey {i}", field=f"coordinate {name}")
        if other.attrs.get("cosmology") != first.attrs.get("cosmology"):
            raise InputError(f"differs in survey {i}", field="attribute cosmology")


def _score(estimator: Estimator, scored: Scored, seed: int) -> Score:
    survey, test, prediction = scored.survey, scored.index, scored.prediction
    row = {"name": estimator.name, "kind": estimator.info.kind, "n_refused": scored.n_refused}
    if not len(test):
        return Score.of({**row, "n": 0})
    scores = score(
        np.log(read_scalar(survey, "m500c", test)),
        prediction,
        halo_id=read_halos(survey)[test],
        redshift=read_scalar(survey, "redshift", test),
        rng=np.random.default_rng([seed, 6]),
    )
    row |= scores.as_dict()
    if prediction.out_of_domain is not None:
        row["flagged"] = float(np.mean(prediction.out_of_domain > 1))
    return Score.of(finite(row))
