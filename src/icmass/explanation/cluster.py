"""Which photons carry the mass of one cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.estimators.estimator import Estimator
from icmass.explanation.methods import METHODS, PER_COUNT, Settings, Task, attribute
from icmass.explanation.model import DifferentiablePredictor, Quantity
from icmass.inference.ensemble import Ensemble
from icmass.survey.catalog import half_width_mpc_h

_STEPS = 32


@dataclass(frozen=True)
class ClusterExplanation:
    """The attribution of one cluster's mass, or of its width, to the pixels of its map.

    Attributes
    ----------
    cluster : int
        Index into the survey.
    model : str
        Name of the estimator.
    quantity : {"mean", "width"}
        Mean or standard deviation of the posterior of ln M500c.
    method : str
        Key of `icmass.explanation.methods.METHODS`.
    bands : list of str
        The channels' bands [keV]; all of them added are one.
    counts, baseline : ndarray, shape (channel, y, x)
        Photons, and those expected without the cluster, binned as the networks see them.
    attribution : ndarray, shape (channel, y, x)
        What each pixel adds to ln M500c, or its width, over the baseline [ln M per pixel].
    value, change : float
        The quantity (ln of M500c in Msun/h, or a width), and how far it is from the baseline's.
    error : float or None
        |sum of attribution - change| / |change|, where the method is complete.
    half_width : float
        Half the side of the map [comoving Mpc/h].
    r500c : float or None
        [comoving Mpc/h]; None where the survey does not know it.
    redshift : float
    """

    cluster: int
    model: str
    quantity: Quantity
    method: str
    bands: list[str]
    counts: np.ndarray
    baseline: np.ndarray
    attribution: np.ndarray
    value: float
    change: float
    error: float | None
    half_width: float
    r500c: float | None
    redshift: float


def explain_cluster(
    estimator: Estimator | Ensemble,
    survey: xr.Dataset,
    index: int,
    *,
    method: str = "ig",
    quantity: Quantity = "mean",
    settings: Settings | None = None,
) -> ClusterExplanation:
    """Attribute a cluster's predicted ln M500c to the pixels of its map, in counts.

    Parameters
    ----------
    estimator : Estimator or Ensemble
        A fitted network, or several: attributions of their means add up to that of the ensemble's
        mean, and those of their widths to its mean width.
    survey : Dataset
        The survey that holds the cluster.
    index : int
        The cluster.
    method : {"ig", "eg", "occlusion"}
        A method in counts.
    quantity : {"mean", "width"}
        Mean or standard deviation of the posterior of ln M500c.
    settings : Settings, optional
        Default: integrated gradients with 32 steps.

    Raises
    ------
    InputError
        If the survey has no such cluster, the model is no network or was not trained for it, or
        the method isn't one in counts.
    """
    n = survey.sizes["cluster"]
    if not 0 <= index < n:
        raise InputError(f"{index}", field="cluster", hint=f"give one from 0 to {n - 1}")
    in_counts = [name for name, held in METHODS.items() if held.unit == PER_COUNT]
    if method not in in_counts:
        raise InputError(repr(method), field="methods", hint=f"give {', '.join(in_counts)}")
    settings = settings or Settings(steps=_STEPS)
    members = estimator.members if isinstance(estimator, Ensemble) else [estimator]
    each = [_one(member, survey, index, method, quantity, settings) for member in members]
    first = each[0]["explained"]
    values = np.mean([found["values"] for found in each], 0)
    change = float(np.mean([found["change"] for found in each]))
    gap = abs(float(values.sum()) - change)
    return ClusterExplanation(
        cluster=index,
        model=estimator.name,
        quantity=quantity,
        method=method,
        bands=first.labels,
        counts=first.sample.counts[0].cpu().numpy(),
        baseline=each[0]["baseline"],
        attribution=values,
        value=float(np.mean([found["value"] for found in each])),
        change=change,
        error=gap / abs(change) if METHODS[method].complete and change else None,
        half_width=half_width_mpc_h(survey),
        r500c=float(survey["r500c"][index]) if "r500c" in survey else None,
        redshift=float(survey["redshift"][index]),
    )


def attribute_clusters(
    estimator: Estimator | Ensemble, survey: xr.Dataset, index: np.ndarray
) -> list[ClusterExplanation]:
    """Return `explain_cluster` of several clusters, in the order of `index`."""
    return [explain_cluster(estimator, survey, int(i)) for i in np.asarray(index)]


def _one(
    estimator: Estimator,
    survey: xr.Dataset,
    index: int,
    method: str,
    quantity: Quantity,
    settings: Settings,
) -> dict[str, Any]:
    at = np.array([index])
    explained = DifferentiablePredictor.of(estimator, survey, at)
    task = Task.of(explained, survey, at, methods=(method,), settings=settings)
    found = attribute(task, method, quantity, settings)
    rows = explained.rows
    value = float(explained.values(explained.sample.counts, rows, quantity)[0])
    bare = float(explained.values(task.baseline, rows, quantity)[0])
    zero = explained.config.encoding.lnm_zero if quantity == "mean" else 0.0
    return {
        "explained": explained,
        "values": found.values[0],
        "baseline": task.baseline[0].cpu().numpy(),
        "value": zero + value,
        "change": value - bare if found.change is None else float(found.change[0]),
    }
