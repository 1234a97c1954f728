"""Causal tests: what a known change of a cluster does to the mass that an estimator gives it.

Every estimator of a run reads the same clusters before and after each intervention, each cluster by
the fold's estimator that did not train on it. What is given is d ln M500c.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xarray as xr

from icmass.benchmarking.fold_predictions import FoldPredictions
from icmass.benchmarking.scores import bootstrap_errors, scatter_ratio
from icmass.errors import InputError
from icmass.estimators.estimator import EstimatorInfo, Kind, Prediction, split_predicted
from icmass.estimators.registry import load_estimator, make_estimator
from icmass.explanation.causal_cores import core_excised
from icmass.explanation.causal_plan import interventions
from icmass.explanation.causal_scatter import (
    Substituted,
    per_cluster,
    proxy_residuals,
    scatter_table,
)
from icmass.explanation.interventions import Intervention, check_simulated
from icmass.run.causal import Causal
from icmass.run.config import FoldedRunConfig
from icmass.run.document import finite
from icmass.run.folder import RunFolder
from icmass.run.layout import RunLayout
from icmass.survey.catalog import open_survey
from icmass.survey.folds import octant_folds, split

COUNTED = ("n_phot", "n_phot_r500", "n_phot_2r500")


class Predictor(Protocol):
    """Anything that predicts masses of clusters."""

    @property
    def info(self) -> EstimatorInfo:
        """What it reads."""
        ...

    def predict(self, survey: xr.Dataset, index: np.ndarray) -> Prediction:
        """Predict the clusters `index`."""
        ...


@dataclass(frozen=True)
class Panel:
    """The estimators of a run, for the same clusters.

    Attributes
    ----------
    fold : ndarray of int, shape (n,)
        The fold that did not train on each cluster.
    models : dict
        By name, the estimator of each fold that it has.
    """

    fold: np.ndarray
    models: dict[str, dict[int, Predictor]]

    def read(self, clusters: xr.Dataset) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return by model the mean of ln M500c, and whether it is out of the domain, (n,) each.

        NaN for clusters of folds that the model doesn't have, or where it doesn't tell.
        """
        found = {}
        for name, members in self.models.items():
            mean, flagged = np.full((2, len(self.fold)), np.nan)
            for k, member in members.items():
                mine = np.flatnonzero(self.fold == k)
                if not len(mine):
                    continue
                prediction = member.predict(clusters, mine)
                mean[mine] = prediction.mean
                if prediction.out_of_domain is not None:
                    flagged[mine] = prediction.out_of_domain > 1
            found[name] = mean, flagged
        return found

    def reads(self, name: str) -> np.ndarray:
        """Return which clusters a model has a fold for, bool (n,)."""
        return np.isin(self.fold, list(self.models[name]))

    def kind(self, name: str) -> Kind:
        """Return what a model is fed with."""
        return next(iter(self.models[name].values())).info.kind

    def is_blind(self, name: str) -> bool:
        """Say whether a model reads nothing that is taken from a map."""
        return not next(iter(self.models[name].values())).info.reads_maps


def run_causal(
    run: str | Path,
    survey: str | Path | xr.Dataset,
    models: Sequence[str] | None = None,
    n: int = 512,
    seed: int = 0,
    *,
    only: Sequence[str] | None = None,
    with_scatter: bool = True,
    device: str = "auto",
    progress: Callable[[str], None] | None = None,
    count: Callable[[str, int, int], None] | None = None,
) -> Causal:
    """Make every causal test with the estimators of a run.

    Parameters
    ----------
    run : path
        A benchmark's folder.
    survey : path or Dataset
        The simulated survey of the run.
    models : sequence of str, optional
        Names of estimators of the run; default: all that it has finished, but for those that see
        galaxies.
    n : int
        How many clusters, at random: first of the folds that most models have, none at redshifts
        beyond those of the other folds. A model reads those that it has a fold for.
    seed : int
        Seed of their choice and of all that the interventions draw.
    only : sequence of str, optional
        Names of interventions; default: all.
    with_scatter : bool
        Whether to give the scatter of proxies on cleaned maps, of the whole survey.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``, for networks.
    progress : callable, optional
        Called with a few words when something has happened.
    count : callable, optional
        Called with what is being done, how much of it is done, and how much there is.

    Returns
    -------
    Causal
        A model that is blind to maps does nothing by construction where a map is changed;
        responses are those of `response`, ``scatter`` is that of
        `icmass.explanation.causal_scatter.scatter_table`.

    Raises
    ------
    InputError
        If the run or the survey isn't one, or they don't belong together.
    """
    tell = progress or (lambda said: None)
    opened = survey if isinstance(survey, xr.Dataset) else open_survey(survey)
    check_simulated(opened)
    layout, config = _open_run(Path(run), opened)
    n_folds = config.folds
    chosen = list(models) if models else _finished(layout, config)
    names = without_galaxies(chosen)
    if models and (left_out := [name for name in chosen if name not in names]):
        hint = "name other models: no test changes galaxies, and clusters have none here"
        raise InputError(f"{', '.join(left_out)}: sees galaxies", field="models", hint=hint)
    fold = octant_folds(opened, n_folds)
    redshift = opened["redshift"].values
    predicted = np.concatenate([split_predicted(fold, k, redshift)[1] for k in range(n_folds)])
    held = _folds_of(layout, names, n_folds)
    index = _drawn(predicted, fold, held, n, np.random.default_rng(seed))
    scalars = core_excised(per_cluster(opened).drop_vars("maps").load())
    clusters = per_cluster(opened).isel(cluster=index).load()
    clusters = clusters.assign(L_X_ce=scalars["L_X_ce"][index])
    panel = _panel(layout, held, fold, index, scalars, device)
    plan = interventions(opened)
    if only is not None:
        plan = _chosen(plan, only)
    tests: list[dict[str, Any]] = []
    for one in plan:
        if count is not None:
            count("interventions", len(tests), len(plan))
        tests.append(_test(one, panel, clusters, seed))
        tell(f"{one.name}: done")
    if count is not None:
        count("interventions", len(tests), len(plan))
    found: dict[str, Any] = {
        "clusters": len(index),
        "seed": seed,
        "models": {
            name: {"clusters": int(panel.reads(name).sum()), "blind_to_maps": panel.is_blind(name)}
            for name in panel.models
        },
        "tests": tests,
    }
    if with_scatter:
        rows, drivers = proxy_residuals(opened, scalars, n_folds, seed)
        networks = [name for name in names if panel.kind(name) == "network"]
        read = {name: FoldPredictions.of_run(layout, name, n_folds) for name in networks}
        found["scatter"] = scatter_table(rows, drivers, read, scalars["halo_id"].values, seed)
        tell("scatter: done")
    return Causal.of(finite(found))


def response(
    before: np.ndarray,
    after: np.ndarray,
    truth: np.ndarray,
    halo_id: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return what a change did to predicted masses.

    Parameters
    ----------
    before, after, truth : ndarray, shape (n,)
        ln M500c [Msun/h] predicted before and after, and true.
    halo_id : ndarray of int, shape (n,)
        Halos are what the bootstrap draws.
    rng : Generator
        Draws the bootstrap.

    Returns
    -------
    dict
        ``dlnm``, mean of after - before, and its bootstrap ``error``; ``spread``, the standard
        deviation of after - before; ``scatter_before`` and ``scatter_after``, standard deviations
        of predicted - true; ``scatter_ratio``, after over before, and its error.
    """
    difference = after - before
    residual_before, residual_after = before - truth, after - truth
    ratio, ratio_error = scatter_ratio(residual_after, residual_before, halo_id, rng)
    return {
        "dlnm": float(np.mean(difference)),
        "error": bootstrap_errors(difference, halo_id, rng)[1],
        "spread": float(np.std(difference)),
        "scatter_before": float(np.std(residual_before)),
        "scatter_after": float(np.std(residual_after)),
        "scatter_ratio": ratio,
        "scatter_ratio_error": ratio_error,
    }


def _test(one: Intervention, panel: Panel, clusters: xr.Dataset, seed: int) -> dict[str, Any]:
    def rng(purpose: str) -> np.random.Generator:
        return np.random.default_rng([seed, zlib.crc32(f"{one.name} {purpose}".encode())])

    reference = clusters if one.before is None else one.before(clusters, rng("before"))
    changed = one.change(clusters, rng("after"))
    before, after = panel.read(reference), panel.read(changed)
    truth, halo_id = np.log(clusters["m500c"].values), clusters["halo_id"].values
    responses = {}
    for name in panel.models:
        own = panel.reads(name)
        means = (before[name][0][own], after[name][0][own])
        found = response(*means, truth[own], halo_id[own], rng("bootstrap"))
        told = {"flagged_before": before[name][1][own], "flagged_after": after[name][1][own]}
        responses[name] = {**found, **{key: float(np.mean(flag)) for key, flag in told.items()}}
    photons = {name: float((changed[name] - reference[name]).mean()) for name in COUNTED}
    return {"name": one.name, "what": one.what, "photons": photons, "responses": responses}


def _open_run(path: Path, survey: xr.Dataset) -> tuple[RunLayout, FoldedRunConfig]:
    """Return a run and its configuration, once it is sure that it is of the survey."""
    folder = RunFolder(path)
    config = folder.read_folded_config()
    folder.check_survey(survey)
    return folder.layout, config


def _finished(layout: RunLayout, config: FoldedRunConfig) -> list[str]:
    folds = range(config.folds)
    return [m for m in config.models if any(layout.has_model(m, k) for k in folds)]


def without_galaxies(names: Sequence[str]) -> list[str]:
    """Return the estimators that read no galaxies."""
    return [name for name in names if "galaxy_offset" not in make_estimator(name).info.inputs]


def _folds_of(layout: RunLayout, names: Sequence[str], n_folds: int) -> dict[str, list[int]]:
    """Return the finished folds of each model, once it is sure that it has some."""
    held = {name: [k for k in range(n_folds) if layout.has_model(name, k)] for name in names}
    lacking = [name for name, folds in held.items() if not folds]
    if lacking or not held:
        raise InputError(
            f"has no finished fold of {', '.join(lacking) or 'any model'}",
            file=layout.path,
            field="models",
            hint="finish the run with --resume, or name other models",
        )
    return held


def _drawn(
    predicted: np.ndarray,
    fold: np.ndarray,
    held: dict[str, list[int]],
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return n clusters at random, first those of the folds that most models have, in order."""
    n_models = np.bincount(np.concatenate(list(held.values())), minlength=fold.max() + 1)[fold]
    drawn = rng.permutation(np.intersect1d(np.flatnonzero(n_models), predicted))
    return np.sort(drawn[np.argsort(-n_models[drawn], kind="stable")][:n])


def _panel(
    layout: RunLayout,
    held: dict[str, list[int]],
    fold: np.ndarray,
    index: np.ndarray,
    scalars: xr.Dataset,
    device: str,
) -> Panel:
    """Return the models of a run, and the relation of L_X without cores beside that of L_X."""
    needed = set(fold[index].tolist())
    for name, own in held.items():
        if not needed & set(own):
            raise InputError(
                f"has a fold for none of the {len(index)} clusters",
                file=layout.path,
                field=f"models, {name}",
                hint="take more clusters, or fewer models",
            )
    models: dict[str, dict[int, Predictor]] = {
        name: {k: load_estimator(layout.model(name, k), device=device) for k in own if k in needed}
        for name, own in held.items()
    }
    models["L_X_ce"] = {
        k: Substituted.fit(scalars, split(fold, k)[0], "L_X_ce") for k in sorted(needed)
    }
    return Panel(fold[index], models)


def _chosen(plan: Sequence[Intervention], only: Sequence[str]) -> list[Intervention]:
    known = {one.name: one for one in plan}
    for name in only:
        if name not in known:
            raise InputError(repr(name), field="intervention", hint=f"known: {', '.join(known)}")
    return [known[name] for name in only]
