"""The explorer of a benchmark run: cross-validated predictions of simulated clusters."""

from __future__ import annotations

import numpy as np

from icmass.errors import InputError
from icmass.estimators.posterior import LNM_GRID, Prediction
from icmass.inference.quality_flags import central_photons, photon_reasons
from icmass.report.explorer.contents import (
    Attributions,
    Contents,
    Estimates,
    Part,
    Property,
    survey_properties,
)
from icmass.report.explorer.section import Explorer, make_explorer
from icmass.report.source import Run
from icmass.run.folder import RunFolder
from icmass.run.predictions import Predictions
from icmass.run.results import Score


def run_contents(run: Run) -> Contents | None:
    """Return what the explorer of a run shows; None if there is no survey or no prediction.

    The best network, else the best estimator that sees photons alone, is shown first.
    """
    survey = run.survey
    if survey is None or "m500c" not in survey:
        return None
    n = survey.sizes["cluster"]
    scores = [score for score in run.results.estimators if score.name in run.predictions]
    held = {score.name: run.predictions[score.name] for score in scores}
    held = {name: each for name, each in held.items() if _fits(each, n)}
    if not held:
        return None
    part = Part("survey", survey, np.arange(n))
    return Contents(
        [part],
        survey_properties([part], {"fold": _folds(held, n)}),
        [estimates_of(name, each) for name, each in held.items()],
        [photon_reasons(each) for each in central_photons(survey, part.index)],
        _attributions(run, n),
        _shown_first([score for score in scores if score.name in held]),
    )


def run_explorer(run: Run) -> Explorer | None:
    """Return the explorer of a run's page; None if the run does not hold what it needs."""
    try:
        contents = run_contents(run)
        return None if contents is None else make_explorer(contents)
    except InputError:  # what cannot be read of the survey is told where its figures would be
        return None


def estimates_of(name: str, held: Predictions, offset: int = 0) -> Estimates:
    """Return stored predictions as estimates of the clusters from row `offset` on."""
    order = np.argsort(held.cluster, kind="stable")
    density = None if held.density is None else held.density[order].astype("f8")
    score = None if held.out_of_domain is None else held.out_of_domain[order]
    prediction = Prediction(held.mean[order], held.std[order], density, score)
    return Estimates(name, held.cluster[order].astype(int) + offset, prediction)


def _fits(held: Predictions, n: int) -> bool:
    """Return whether predictions are of clusters of a survey of n, and can be shown."""
    return len(held.cluster) > 0 and int(held.cluster.max()) < n and can_be_shown(held)


def can_be_shown(held: Predictions) -> bool:
    """Return whether stored predictions are of each cluster once, and are posteriors."""
    rows = held.cluster
    if len(rows) and (rows.min() < 0 or len(np.unique(rows)) < len(rows)):
        return False
    if held.density is not None:
        grid = held.density.shape == (len(rows), len(LNM_GRID))
        return grid and bool(np.isfinite(held.density).all() and held.density.any(1).all())
    return bool((held.std > 0).all())


def _folds(held: dict[str, Predictions], n: int) -> Property:
    fold = np.full(n, np.nan)
    for each in held.values():
        fold[each.cluster] = each.fold
    title = "part of the box that the predicting model was not trained on"
    return Property("fold", "fold", "", title, fold)


def _attributions(run: Run, n: int) -> list[Attributions]:
    folder, found = RunFolder(run.path), []
    for name in folder.explained():
        try:
            held = folder.read_attributions(name)
        except InputError:  # an explanation is whole without
            continue
        if held is not None and len(held.cluster) and held.cluster.max() < n:
            found.append(Attributions(name, held.cluster, held.maps.astype("f8")))
    return found


def _shown_first(scores: list[Score]) -> str:
    def order(score: Score) -> tuple[int, float]:
        kinds = ("network", "features", "observed", "ideal")
        return kinds.index(score.kind), np.inf if score.sigma_lnm is None else score.sigma_lnm

    return min(scores, key=order).name
