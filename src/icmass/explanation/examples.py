"""Clusters to be shown: maps of photons, sensitivity and attribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from icmass.explanation.baselines import component_counts, has_component
from icmass.explanation.folds import FoldNetworks
from icmass.explanation.methods import Settings, Task, attribute
from icmass.explanation.model import DifferentiablePredictor
from icmass.survey.catalog import half_width_mpc_h


@dataclass(frozen=True)
class Example:
    """One cluster, each map of shape (channel, y, x) as the network sees it.

    Attributes
    ----------
    cluster : int
        Index into the survey.
    label : str
        log10 of its true mass [Msun/h], where known, and redshift.
    counts, icm, agn : ndarray
        All photons, those of the gas and those of active galaxies; None where not told apart.
    saliency : ndarray
        dex of M500c per standardised pixel.
    attribution : ndarray
        Integrated gradients [ln M per pixel].
    half_width, r500c : float
        [comoving Mpc/h]; R500c None where unknown.
    """

    cluster: int
    label: str
    counts: np.ndarray
    icm: np.ndarray | None
    agn: np.ndarray | None
    saliency: np.ndarray
    attribution: np.ndarray
    half_width: float
    r500c: float | None


def make_examples(
    networks: FoldNetworks, clusters: Sequence[int], settings: Settings | None = None
) -> list[Example]:
    """Explain some clusters of a run, each by the fold that has not seen it."""
    return [_example(networks, cluster, settings) for cluster in clusters]


def default_examples(networks: FoldNetworks, n: int = 4) -> list[int]:
    """Return clusters of finished folds, evenly spaced in rank of mass (else redshift)."""
    held = networks.clusters(None, 0)
    key = "m500c" if "m500c" in networks.survey else "redshift"
    order = held[np.argsort(networks.survey[key].values[held], kind="stable")]
    places = np.linspace(0.3, 0.99, n) * (len(order) - 1)
    return [int(order[round(place)]) for place in places]


def _example(networks: FoldNetworks, cluster: int, settings: Settings | None) -> Example:
    survey, at = networks.survey, np.array([cluster])
    explained = DifferentiablePredictor.of(networks.of_cluster(cluster), survey, at)
    task = Task.of(explained, survey, at)
    icm = agn = None
    if has_component(survey, "icm") and has_component(survey, "agn"):
        icm, agn = component_counts(survey, at, ("icm", "agn"), explained)[:, 0]
    label = f"z {float(survey['redshift'][cluster]):.2f}"
    if "m500c" in survey:
        label = f"{np.log10(float(survey['m500c'][cluster])):.2f}\n{label}"
    return Example(
        cluster=cluster,
        label=label,
        counts=explained.sample.counts[0].cpu().numpy(),
        icm=icm,
        agn=agn,
        saliency=attribute(task, "saliency", settings=settings).values[0],
        attribution=attribute(task, "ig", settings=settings).values[0],
        half_width=half_width_mpc_h(survey),
        r500c=float(survey["r500c"][cluster]) if "r500c" in survey else None,
    )
