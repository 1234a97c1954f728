"""Galaxies between halos along the line of sight: clustered around a cluster and falling in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from icmass.cosmology import Cosmology
from icmass.universe.halos import Halo
from icmass.universe.mass_function import LOG_MASS, RADIUS, enclosed_correlation, halo_abundance
from icmass.universe.velocity_field import infall_rate

DEPTH = 50.0
"""They are drawn to this distance before and behind the cluster [comoving Mpc/h]."""


def draw_field(
    halo: Halo,
    cosmology: Cosmology,
    half_width: float,
    rng: np.random.Generator,
    *,
    density: float,
    bias: float,
    scatter: float,
    exclusion: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw galaxies of number density n (1 + b b_cluster xi(r)) in the map of a cluster.

    Parameters
    ----------
    half_width : float
        Half the side of the map [comoving Mpc/h]; some fall outside it.
    density, bias : float
        Mean density n [comoving (Mpc/h)^-3] and linear bias b.
    scatter : float
        Scatter of the line-of-sight velocity about the mean infall [km/s].
    exclusion : float
        None closer than this, over R500c.

    Returns
    -------
    offset : ndarray, shape (n, 3)
        From the cluster [comoving Mpc/h]; the third is along the line of sight.
    velocity : ndarray, shape (n,)
        Peculiar velocity along the line of sight relative to the cluster [km/s].

    Notes
    -----
    xi is the linear correlation function of matter. The even part is uniform, the clustered part
    drawn in radius within the cone that holds the map. The mean infall is that of the neighbours:
    of the overdensity b_cluster xi, averaged within r.
    """
    tables = _tables(cosmology, round(halo.redshift, 2), half_width)
    cluster_bias = float(np.interp(np.log10(halo.m500c), LOG_MASS, tables.bias))
    n_even = rng.poisson(density * 8 * half_width**2 * DEPTH)
    even = rng.uniform(-1, 1, (n_even, 3)) * (half_width, half_width, DEPTH)
    n_near = rng.poisson(density * bias * cluster_bias * tables.column[-1])
    offset = np.concatenate([even, _near(n_near, tables, half_width, rng)])
    distance = np.sqrt((offset**2).sum(axis=1))
    outside = distance > exclusion * halo.r500c
    offset, distance = offset[outside], distance[outside]

    overdensity = cluster_bias * np.interp(distance, tables.radius, tables.mean_correlation)
    inwards = infall_rate(overdensity, halo.redshift, cosmology)
    return offset, scatter * rng.standard_normal(len(distance)) - inwards * offset[:, 2]


@dataclass(frozen=True)
class _Tables:
    bias: np.ndarray  # of halos at LOG_MASS
    radius: np.ndarray  # [comoving Mpc/h]
    column: np.ndarray  # integral of xi dV within `radius` and the cone [comoving (Mpc/h)^3]
    mean_correlation: np.ndarray  # mean of xi within `radius`


@lru_cache(maxsize=256)
def _tables(cosmology: Cosmology, redshift: float, half_width: float) -> _Tables:
    halos = halo_abundance(cosmology, (redshift,))
    radius = np.geomspace(RADIUS[0], DEPTH, 300)
    xi = np.interp(radius, RADIUS, halos.correlation[0])
    shells, volume = enclosed_correlation(radius, xi)
    middle = np.sqrt(radius[1:] * radius[:-1])
    column = np.cumsum(shells * (1 - _cone(middle, half_width)))
    return _Tables(
        bias=halos.bias[0],
        radius=radius,
        column=np.concatenate([[0], column]),
        mean_correlation=volume / (4 * np.pi / 3 * radius**3),
    )


def _cone(radius: np.ndarray, half_width: float) -> np.ndarray:
    """Return the cosine of the angle to the line of sight within which a sphere meets the map."""
    return np.sqrt(np.maximum(0, 1 - 2 * (half_width / radius) ** 2))


def _near(n: int, tables: _Tables, half_width: float, rng: np.random.Generator) -> np.ndarray:
    """Return n offsets (n, 3) of the clustered part [comoving Mpc/h]."""
    radius = np.interp(rng.random(n) * tables.column[-1], tables.column, tables.radius)
    low = _cone(radius, half_width)
    mu = low + (1 - low) * rng.random(n)
    phi = 2 * np.pi * rng.random(n)
    flat = radius * np.sqrt(1 - mu**2)
    side = np.where(rng.random(n) < 0.5, -1, 1)
    return np.stack([flat * np.cos(phi), flat * np.sin(phi), side * radius * mu], axis=1)
