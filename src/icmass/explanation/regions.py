"""The paper's analysis: where a network is sensitive, beside the photon count's own sensitivity.

S = |d log10 M / d x| at the standardised pixel x that the network is fed with (Ho et al. 2023). The
mass read off a photon count N that grows as M^alpha is log10 M = log10(N) / alpha + const., so that
its sensitivity to the same pixel is (d n / d x) / (N alpha ln 10), n the pixel's counts. With the
paper's x = log10(n + 1) this is (n + 1) / (N alpha); a standardised x has a factor more, the
standard deviation of log10(n + 1) on the training maps. Ours have x = sqrt(n + 3/8) standardised:
d n / d x is always taken from the network's own preprocessing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr

from icmass.errors import InputError
from icmass.explanation.baselines import component_counts, has_component, radii
from icmass.explanation.model import DifferentiablePredictor
from icmass.explanation.published import published_saliency
from icmass.explanation.quantiles import LogQuantiles
from icmass.proxies.names import REFERENCE_EXPOSURE_S, log_proxies, read_scalar
from icmass.proxies.scaling import PIVOT_MSUN_H, fit_scaling, redshift_groups

EDGES = np.linspace(0, 3, 31)
"""Edges of the radial bins [R500c]."""
REGIONS = ("all", "icm", "agn")
RATIO = 10.0
DEFINITION = (
    "S = |d log10 M500c / d x|, x the standardised pixel at the network's input, "
    "log10 M500c the mean of the posterior"
)


class SaliencyRegions:
    """Saliency of many clusters by radius, by what sent the photons, and by band.

    Parameters
    ----------
    name : str
        Name of the estimator.
    labels : list of str
        The channels' bands [keV].
    proxies : list of CountProxy
        The photon counts that stand beside the network, see `count_proxies`.
    """

    def __init__(self, name: str, labels: list[str], proxies: list[CountProxy]) -> None:
        self.name, self.labels, self.proxies = name, labels, proxies
        self.n_clusters = 0
        self.radial = LogQuantiles(len(EDGES) - 1)
        self.of_proxies = [LogQuantiles(len(EDGES) - 1) for _ in proxies]
        self.pixels = {region: LogQuantiles(len(labels)) for region in REGIONS}
        self.pooled = {region: LogQuantiles(1) for region in REGIONS}

    def add(
        self,
        explained: DifferentiablePredictor,
        survey: xr.Dataset,
        index: np.ndarray,
        values: np.ndarray,
        cluster: np.ndarray,
    ) -> None:
        """Add the saliency of the clusters `index`, (n, channel, y, x).

        `cluster` is where they stand in the survey of the proxies.
        """
        self.n_clusters += len(index)
        channel = np.arange(values.shape[1])[:, None, None]
        for region, where in _masks(explained, survey, index).items():
            self.pixels[region].add(np.where(where, channel, -1), values)
            self.pooled[region].add(np.where(where, 0, -1), values)
        if "r500c" not in survey:
            return
        r500c = survey["r500c"].isel(cluster=index).values
        scaled = radii(survey, explained) / r500c[:, None, None]
        ring = np.digitize(scaled, EDGES)[:, None] - 1
        self.radial.add(ring, values)
        for proxy, held in zip(self.proxies, self.of_proxies, strict=True):
            inside = np.where(scaled[:, None] <= proxy.aperture, ring, -1)
            held.add(inside, proxy.sensitivity(explained, cluster))

    def document(self) -> dict[str, Any]:
        """Return all numbers, ready for JSON: log10 S, S in dex of M a standardised pixel."""
        network = _profile(self.radial)
        return {
            "definition": DEFINITION,
            "clusters": self.n_clusters,
            "radius_r500c": ((EDGES[1:] + EDGES[:-1]) / 2).tolist(),
            "network": network,
            "proxies": [
                self._beside(proxy, _profile(held), np.array(network["median"]))
                for proxy, held in zip(self.proxies, self.of_proxies, strict=True)
                if held.n.any()
            ],
            "regions": {r: self.pooled[r].summary(0) for r in REGIONS if self.pooled[r].n[0]},
            "bands": {
                region: {k: held.summary(i) for i, k in enumerate(self.labels) if held.n[i]}
                for region, held in self.pixels.items()
                if held.n.any()
            },
            "published": published_saliency(self.name),
        }

    def _beside(
        self, proxy: CountProxy, profile: dict[str, list[float]], network: np.ndarray
    ) -> dict[str, Any]:
        ratio = np.array(profile["median"]) - network
        return {
            "name": proxy.name,
            "alpha": proxy.slope,
            **profile,
            "crossing_r500c": crossing(ratio),
            "core_ratio_dex": float(ratio[np.isfinite(ratio)][0]),
        }


def _profile(held: LogQuantiles) -> dict[str, list[float]]:
    levels = {"median": 0.5, "low": 0.16, "high": 0.84}
    return {name: held.quantile(level).tolist() for name, level in levels.items()}


def crossing(ratio: np.ndarray, least: float = float(np.log10(RATIO))) -> float | None:
    """Return the radius [R500c] where log10(proxy/network) falls below `least`; None if nowhere.

    Parameters
    ----------
    ratio : ndarray, shape (bin,)
        log10 of the ratio in the bins of `EDGES`; the outermost crossing that starts from the
        centre is interpolated linearly. A ratio that is smaller in the centre already has none.
    """
    middle = (EDGES[1:] + EDGES[:-1]) / 2
    good = np.isfinite(ratio)
    middle, ratio = middle[good], ratio[good]
    below = np.flatnonzero(ratio < least)
    if not len(below) or below[0] == 0:
        return None
    i = below[0]
    part = (ratio[i - 1] - least) / (ratio[i - 1] - ratio[i])
    return float(middle[i - 1] + part * (middle[i] - middle[i - 1]))


@dataclass(frozen=True)
class CountProxy:
    """A photon count N ~ M^alpha as a mass proxy.

    Attributes
    ----------
    name : str
        ``N_phot``, or ``N_phot_2r500``, which is net of the local background.
    aperture : float
        Radius within which photons count [R500c].
    slope : float
        alpha, the mean over snapshots.
    total : ndarray, shape (cluster,)
        N of every cluster of the survey, at its own exposure.
    """

    name: str
    aperture: float
    slope: float
    total: np.ndarray

    def sensitivity(self, explained: DifferentiablePredictor, cluster: np.ndarray) -> np.ndarray:
        """Return d log10 M / d x at the pixels of the aperture, (n, channel, y, x).

        x is the network's own standardised pixel; outside the aperture the numbers mean nothing.
        """
        counts = explained.sample.counts.clone().requires_grad_()
        maps, _ = explained.encode(counts, explained.rows)
        (stretch,) = torch.autograd.grad(maps[:, : counts.shape[1]].sum(), counts)
        total = self.total[cluster][:, None, None, None] * self.slope * np.log(10)
        return 1 / (stretch.cpu().numpy() * total)


def count_proxies(survey: xr.Dataset) -> list[CountProxy]:
    """Return the photon counts of a survey as proxies; none where it cannot tell their slopes.

    ``N_phot`` is the paper's. Where maps hold background it hardly grows with mass, and
    ``N_phot_2r500``, net of the background outside 2 R500c, is what an observer would use.
    """
    found = []
    for name, aperture in (("N_phot", np.inf), ("N_phot_2r500", 2.0)):
        try:
            ln_n = log_proxies(survey, [name])
            mu = np.log(read_scalar(survey, "m500c") / PIVOT_MSUN_H)
        except InputError:
            continue
        z = survey["redshift"].values
        snapshot = survey["snapshot"].values if "snapshot" in survey else None
        group = redshift_groups(z, snapshot)
        fit = fit_scaling(ln_n, mu, names=[name], redshift=z, group=group)
        slope = float(np.mean([each.slope[0] for each in fit.groups]))
        if slope > 0:
            total = np.exp(ln_n[:, 0]) * survey["exposure"].values / REFERENCE_EXPOSURE_S
            found.append(CountProxy(name, aperture, slope, total))
    return found


def region_masks(
    explained: DifferentiablePredictor, survey: xr.Dataset, index: np.ndarray
) -> dict[str, np.ndarray]:
    """Return which pixels of which band hold more counts of gas than of AGN, and the opposite.

    Returns
    -------
    dict of str to bool ndarray, shape (n, channel, y, x)
        ``icm`` and ``agn``; empty where the survey does not tell the components apart.
    """
    if not (has_component(survey, "icm") and has_component(survey, "agn")):
        return {}
    icm, agn = component_counts(survey, index, ("icm", "agn"), explained)
    return {"icm": icm > agn, "agn": agn > icm}


def _masks(
    explained: DifferentiablePredictor, survey: xr.Dataset, index: np.ndarray
) -> dict[str, np.ndarray]:
    every = np.ones((1, 1, 1, 1), bool)
    return {"all": every, **region_masks(explained, survey, index)}
