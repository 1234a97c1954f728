"""Surface-brightness profiles of the gas, stacked from a survey's own maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from icmass.proxies.names import read_scalar

EDGES = np.array([0, 0.12, 0.24, 0.36, 0.5, 0.7, 1.0, 1.4, 2.0])
"""Edges of the annuli over R500c; the narrowest is more than a pixel of a 128-pixel map wide."""
MIN_COUNTS = 200.0
"""Fewest gas photons within R500c of a cluster that is stacked."""
N_MASS_BINS = 3


@dataclass(frozen=True)
class Stack:
    """Profiles of the clusters of one mass bin.

    Attributes
    ----------
    log10_m500c : (float, float)
        Edges of the bin [log10 Msun/h].
    n : int
        Clusters stacked.
    radius : ndarray, shape (k,)
        Area-weighted mean radius of the annuli over R500c.
    quantiles : ndarray, shape (3, k)
        16th, 50th and 84th percentile of counts per area, over the mean within R500c.
    """

    log10_m500c: tuple[float, float]
    n: int
    radius: np.ndarray
    quantiles: np.ndarray


def stack_profiles(survey: xr.Dataset) -> list[Stack]:
    """Stack the gas of all bands in bins of mass with equal numbers of clusters.

    Clusters with fewer than `MIN_COUNTS` photons within R500c are left out: their profile is noise.
    """
    shape, bright = _profiles(survey)
    log_m = np.log10(read_scalar(survey, "m500c"))[bright]
    edges = np.quantile(log_m, np.linspace(0, 1, N_MASS_BINS + 1))
    mass_bin = np.clip(np.searchsorted(edges, log_m, side="right") - 1, 0, N_MASS_BINS - 1)
    inner, outer = EDGES[:-1], EDGES[1:]
    radius = 2 / 3 * (outer**3 - inner**3) / (outer**2 - inner**2)
    stacks = []
    for i in range(N_MASS_BINS):
        chosen = shape[mass_bin == i]
        if len(chosen) >= 10:
            quantiles = np.percentile(chosen, [16, 50, 84], axis=0)
            span = (float(edges[i]), float(edges[i + 1]))
            stacks.append(Stack(span, len(chosen), radius, quantiles))
    return stacks


def _profiles(survey: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the profiles, (m, k), and the indices of the m clusters that are bright enough."""
    r500c = read_scalar(survey, "r500c")
    y, x = np.meshgrid(survey["y"].values, survey["x"].values, indexing="ij")
    radius = np.hypot(x, y).ravel()
    gas = survey["maps"].sel(component="icm")
    rows, bright = [], []
    for chunk in np.array_split(np.arange(len(r500c)), max(len(r500c) // 128, 1)):
        images = gas.isel(cluster=chunk).sum("band", dtype="f8").values.reshape(len(chunk), -1)
        for cluster, image in zip(chunk, images, strict=True):
            scaled = radius / r500c[cluster]
            if image[scaled < 1].sum() < MIN_COUNTS:
                continue
            counts, _ = np.histogram(scaled, EDGES, weights=image)
            pixels, _ = np.histogram(scaled, EDGES)
            inside = scaled < 1
            rows.append(counts / np.maximum(pixels, 1) / image[inside].mean())
            bright.append(cluster)
    return np.array(rows).reshape(-1, len(EDGES) - 1), np.array(bright, int)
