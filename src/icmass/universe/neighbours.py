"""Neighbours: the halos around a cluster and along its line of sight."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from pydantic import BaseModel, ConfigDict

from icmass.cosmology import Cosmology
from icmass.parameter import parameter
from icmass.universe.halos import Halo
from icmass.universe.mass_function import LOG_MASS, RADIUS, enclosed_correlation, halo_abundance
from icmass.universe.substructure import Clumps
from icmass.universe.velocity_field import infall_rate


class NeighbourConfig(BaseModel):
    """Which other halos are drawn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    log_m500c_min: float = parameter(
        12.3,
        "Least log10 M500c of a neighbour; 15.9 for none.",
        unit="log10(Msun/h)",
        ge=11.8,
        le=15.9,
    )
    depth: float = parameter(
        50.0,
        "Largest distance along the line of sight, before and behind the cluster.",
        unit="comoving Mpc/h",
        gt=0,
        le=80,
    )
    margin: float = parameter(
        0.7,
        "Distance beyond the edge of the map within which halos are drawn too.",
        unit="comoving Mpc/h",
        ge=0,
    )
    exclusion: float = parameter(
        2.0,
        "Radius of the cluster within which no neighbour lies: there are its substructures.",
        unit="R500c",
        ge=0,
    )
    velocity_scatter: float = parameter(
        350.0,
        "Scatter of line-of-sight peculiar velocities about the mean infall: random motions of "
        "halos in simulations.",
        unit="km/s",
        source="Sheth & Diaferio 2001, MNRAS 322, 901",
        ge=0,
    )


@dataclass(frozen=True)
class Neighbours:
    """Other halos around a cluster, n of them.

    Attributes
    ----------
    x, y, z : ndarray, shape (n,)
        Offset from the cluster [comoving Mpc/h]; z along the line of sight.
    m500c : ndarray, shape (n,)
        [Msun/h]
    v_los : ndarray, shape (n,)
        Peculiar velocity along the line of sight relative to the cluster [km/s], without the Hubble
        flow.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    m500c: np.ndarray
    v_los: np.ndarray

    def __len__(self) -> int:
        return len(self.m500c)

    @property
    def clumps(self) -> Clumps:
        """Their gas, all of it."""
        offset = np.stack([self.x, self.y, self.z], axis=1)
        return Clumps(offset, self.m500c, np.ones(len(self)), np.full(len(self), np.inf))


def draw_neighbours(
    halo: Halo,
    config: NeighbourConfig,
    cosmology: Cosmology,
    half_width: float,
    rng: np.random.Generator,
) -> Neighbours:
    """Draw the halos around a cluster.

    Parameters
    ----------
    half_width : float
        Half the side of the map [comoving Mpc/h].

    Notes
    -----
    Their number density is n(M) (1 + b(M) b_cluster xi(r)), with xi the linear correlation function
    of matter: the unclustered part is uniform in the volume, the clustered part is drawn in radius.
    Infall is that of the overdensity b_cluster xi, averaged within r; the cluster's own mass, which
    would speed up the nearest ones, is left out.
    """
    tables = _tables(config, cosmology, round(halo.redshift, 2))
    bias = float(np.interp(np.log10(halo.m500c), LOG_MASS, tables.bias))
    offset, mass = _places(tables, bias, half_width + config.margin, config.depth, rng)
    distance = np.linalg.norm(offset, axis=1)
    outside = distance > config.exclusion * halo.r500c
    offset, distance = offset[outside], distance[outside]
    overdensity = bias * np.interp(distance, RADIUS, tables.mean_correlation)
    inwards = infall_rate(overdensity, halo.redshift, cosmology)
    v_los = config.velocity_scatter * rng.standard_normal(len(distance)) - inwards * offset[:, 2]
    x, y, z = offset.T
    return Neighbours(x, y, z, mass[outside], v_los)


@dataclass(frozen=True)
class _Tables:
    density: float  # comoving (Mpc/h)^-3
    mean_bias: float
    bias: np.ndarray  # at LOG_MASS
    mass_quantile: np.ndarray
    biased_quantile: np.ndarray
    volume: np.ndarray  # integral of xi dV within RADIUS [comoving (Mpc/h)^3]
    mean_correlation: np.ndarray  # mean of xi within RADIUS


def _places(
    tables: _Tables, bias: float, side: float, depth: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return offsets (n, 3) [comoving Mpc/h] and M500c [Msun/h] of halos in the volume."""
    n_unclustered = rng.poisson(tables.density * 8 * side**2 * depth)
    unclustered = rng.uniform(-1, 1, (n_unclustered, 3)) * (side, side, depth)
    n_clustered = rng.poisson(tables.density * tables.mean_bias * bias * tables.volume[-1])
    radius = np.interp(rng.random(n_clustered) * tables.volume[-1], tables.volume, RADIUS)
    clustered = rng.standard_normal((n_clustered, 3))
    clustered *= (radius / np.linalg.norm(clustered, axis=1))[:, None]
    offset = np.concatenate([unclustered, clustered])
    log_mass = np.concatenate(
        [
            np.interp(rng.random(n_unclustered), tables.mass_quantile, LOG_MASS),
            np.interp(rng.random(n_clustered), tables.biased_quantile, LOG_MASS),
        ]
    )
    inside = (np.abs(offset) <= (side, side, depth)).all(axis=1)
    return offset[inside], 10 ** log_mass[inside]


@lru_cache(maxsize=256)
def _tables(config: NeighbourConfig, cosmology: Cosmology, redshift: float) -> _Tables:
    halos = halo_abundance(cosmology, (redshift,))
    density = np.where(np.less(LOG_MASS, config.log_m500c_min), 0.0, halos.density[0])
    step = LOG_MASS[1] - LOG_MASS[0]
    total, biased = (
        np.concatenate([[0], np.cumsum((f[1:] + f[:-1]) / 2 * step)])
        for f in (density, density * halos.bias[0])
    )
    _, volume = enclosed_correlation(RADIUS, halos.correlation[0])
    return _Tables(
        density=float(total[-1]),
        mean_bias=float(biased[-1] / max(total[-1], 1e-300)),
        bias=halos.bias[0],
        mass_quantile=total / max(total[-1], 1e-300),
        biased_quantile=biased / max(biased[-1], 1e-300),
        volume=volume,
        mean_correlation=volume / (4 * np.pi / 3 * RADIUS**3),
    )
