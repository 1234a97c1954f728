"""All the gas in a map: the cluster's, its substructures' and its neighbours', as shells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import expit

from icmass.cosmology import Cosmology
from icmass.universe.cores import MIDDLE, squared_density
from icmass.universe.gas import (
    Gas,
    density_squared,
    gas_mass,
    gas_temperature,
    mean_clumping,
    r500c_cm,
)
from icmass.universe.gas_config import GasConfig
from icmass.universe.halos import Halo
from icmass.universe.substructure import Clumps

#: Shell edges of clumps over their R500c; 1 is an edge.
CLUMP_EDGES = np.concatenate([[0.0, 0.01, 0.02, 0.04], np.geomspace(0.08, 1, 13), [1.25, 1.6]])
_MIDDLE = (CLUMP_EDGES[1:] + CLUMP_EDGES[:-1]) / 2
_VOLUME = 4 * np.pi / 3 * np.diff(CLUMP_EDGES**3)
_INSIDE = CLUMP_EDGES[1:] <= 1 + 1e-9


@dataclass(frozen=True)
class Atmosphere:
    """Shells of hot gas, n of them, on b ellipsoids.

    Attributes
    ----------
    emission_measure : ndarray, shape (n,)
        Integral of n_e n_H dV [cm^-3].
    kt_kev, abundance : ndarray, shape (n,)
        Temperature [keV] and abundance [solar].
    cubes : ndarray, shape (n, 2)
        Inner and outer radius of a shell on its unit ellipsoid, cubed.
    body : ndarray of int, shape (n,)
        The ellipsoid that it belongs to; 0 is the cluster's own.
    axes : ndarray, shape (b, 2, 3)
        Maps the unit ball onto the projected ellipsoid [comoving Mpc/h].
    centre : ndarray, shape (n, 2)
        Where the shell is centred [comoving Mpc/h].
    in_r500 : ndarray of bool, shape (n,)
        Shells within R500c of the cluster, in 3D: all of the cluster's own within it, and those of
        clumps whose centre is.
    """

    emission_measure: np.ndarray
    kt_kev: np.ndarray
    abundance: np.ndarray
    cubes: np.ndarray
    body: np.ndarray
    axes: np.ndarray
    centre: np.ndarray
    in_r500: np.ndarray


def clump_gas_mass(clumps: Clumps, halo: Halo, config: GasConfig, cosmology: Cosmology) -> float:
    """Return the gas mass that clumps within R500c hold [Msun/h]."""
    near = np.linalg.norm(clumps.offset, axis=1) < halo.r500c
    weight = _profile(config) * _VOLUME
    enclosed = np.interp(clumps.reach[near], CLUMP_EDGES, np.concatenate([[0], np.cumsum(weight)]))
    share = enclosed / weight[_INSIDE].sum()
    mass = gas_mass(clumps.m500c[near], float(cosmology.efunc(halo.redshift)), config)
    return float(np.sum(mass * clumps.gas_kept[near] * share))


def make_atmosphere(
    halo: Halo, gas: Gas, clumps: list[Clumps], config: GasConfig, cosmology: Cosmology
) -> Atmosphere:
    """Put the gas of a cluster and of clumps together.

    Clumps are isothermal spheres with the mean density profile of the gas model: what differs
    between them is mass, temperature, and how much gas is left to what radius.
    """
    merged = Clumps(
        np.concatenate([c.offset for c in clumps] or [np.empty((0, 3))]),
        np.concatenate([c.m500c for c in clumps] or [np.empty(0)]),
        np.concatenate([c.gas_kept for c in clumps] or [np.empty(0)]),
        np.concatenate([c.reach for c in clumps] or [np.empty(0)]),
    )
    n, m = len(gas.kt_kev), len(merged)
    emission, kt, r500c = _clump_shells(merged, halo, config, cosmology)
    own = np.stack([gas.edges[:-1], gas.edges[1:]], axis=1) ** 3
    theirs = np.stack([CLUMP_EDGES[:-1], CLUMP_EDGES[1:]], axis=1) ** 3
    shells = len(_MIDDLE)
    axes = np.zeros((1 + m, 2, 3))
    axes[0] = gas.axes[:2] * halo.r500c
    axes[1:, 0, 0] = axes[1:, 1, 1] = r500c
    near = np.linalg.norm(merged.offset, axis=1) < halo.r500c
    return Atmosphere(
        emission_measure=np.concatenate([gas.emission_measure, emission.ravel()]),
        kt_kev=np.concatenate([gas.kt_kev, np.repeat(kt, shells)]),
        abundance=np.concatenate([gas.abundance, np.full(m * shells, config.abundance)]),
        cubes=np.concatenate([own, np.tile(theirs, (m, 1))]),
        body=np.concatenate([np.zeros(n, np.int64), np.repeat(np.arange(1, m + 1), shells)]),
        axes=axes,
        centre=np.concatenate(
            [gas.centres[:, :2] * halo.r500c, np.repeat(merged.offset[:, :2], shells, axis=0)]
        ),
        in_r500=np.concatenate([gas.inside_r500, np.repeat(near, shells)]),
    )


@lru_cache(maxsize=1024)
def _profile(config: GasConfig) -> np.ndarray:
    """Return the mean density of the gas model at the radii of clumps, up to its normalisation."""
    squared, _ = squared_density(
        float(expit(config.core_share)),
        config.clump_cusp_share,
        config.clump_cusp_radius,
        config.beta,
        config.epsilon,
        config,
    )
    return np.exp(np.interp(np.log(_MIDDLE), np.log(MIDDLE), np.log(squared) / 2))


def _clump_shells(
    clumps: Clumps, halo: Halo, config: GasConfig, cosmology: Cosmology
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return emission measures (m, shells) [cm^-3], temperatures [keV], R500c [comoving Mpc/h]."""
    profile = _profile(config)
    r500c = cosmology.r500c(clumps.m500c, halo.redshift)
    r500_cm = r500c_cm(r500c, halo.redshift, cosmology.h)
    efunc = float(cosmology.efunc(halo.redshift))
    central = density_squared(
        gas_mass(clumps.m500c, efunc, config) * clumps.gas_kept,
        r500_cm,
        (profile * _VOLUME)[_INSIDE].sum(),
        config,
        cosmology.h,
    )
    central *= np.exp(mean_clumping(clumps.m500c, efunc, config))
    emission = (central * r500_cm**3)[:, None] * (profile**2 * _VOLUME)
    emission *= np.clip((clumps.reach[:, None] - CLUMP_EDGES[:-1]) / np.diff(CLUMP_EDGES), 0, 1)
    return emission, gas_temperature(clumps.m500c, efunc, config), r500c
