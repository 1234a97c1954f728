"""All the gas in a map: the cluster's, its substructures' and its neighbours', as shells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import expit

from icmass.cosmology import Cosmology
from icmass.plasma.emissivity import load_plasma_table
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
CLUMP_EDGES = np.concatenate(
    [[0.0, 0.005, 0.01, 0.02, 0.04], np.geomspace(0.08, 1, 12), [1.25, 1.6]]
)
_MIDDLE = (CLUMP_EDGES[1:] + CLUMP_EDGES[:-1]) / 2
_VOLUME = 4 * np.pi / 3 * np.diff(CLUMP_EDGES**3)
_INSIDE = CLUMP_EDGES[1:] <= 1 + 1e-9
_CUBES = np.stack([CLUMP_EDGES[:-1], CLUMP_EDGES[1:]], axis=1) ** 3


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


@dataclass(frozen=True)
class ClumpGas:
    """The gas of m clumps in k shells each, isothermal spheres of the gas model's mean profile.

    What differs between them is mass, temperature, and how much gas is left to what radius.

    Attributes
    ----------
    clumps : Clumps
    emission_measure : ndarray, shape (m, k)
        Integral of n_e n_H dV [cm^-3] of the shells of `CLUMP_EDGES`.
    kt_kev : ndarray, shape (m,)
        [keV]
    r500c : ndarray, shape (m,)
        [comoving Mpc/h]
    m_gas : ndarray, shape (m,)
        Gas mass inside their own R500c, if they had it to there [Msun/h].
    near : ndarray of bool, shape (m,)
        Whether the centre is within R500c of the cluster, in 3D.
    """

    clumps: Clumps
    emission_measure: np.ndarray
    kt_kev: np.ndarray
    r500c: np.ndarray
    m_gas: np.ndarray
    near: np.ndarray

    def mass_within(self, first: int, config: GasConfig) -> float:
        """Return the gas mass that the `first` clumps hold within R500c of the cluster [Msun/h]."""
        chosen = self.near[:first]
        weight = _profile(config) * _VOLUME
        enclosed = np.concatenate([[0], np.cumsum(weight)]) / weight[_INSIDE].sum()
        share = np.interp(self.clumps.reach[:first][chosen], CLUMP_EDGES, enclosed)
        return float(self.m_gas[:first][chosen] @ share)

    def light_within(self, first: int, config: GasConfig) -> float:
        """Return the bolometric luminosity of the `first` clumps within R500c [erg/s]."""
        chosen = self.near[:first]
        table = load_plasma_table(config.abundance_table)
        warm = np.clip(self.kt_kev[:first][chosen], table.kt_kev[0], table.kt_kev[-1])
        cooling = table.bolometric_cooling_function(warm, config.abundance)
        return float(self.emission_measure[:first][chosen].sum(axis=1) @ cooling)


def clump_gas(
    clumps: list[Clumps], halo: Halo, config: GasConfig, cosmology: Cosmology
) -> ClumpGas:
    """Fill clumps with gas, one list after the other."""
    merged = Clumps(
        np.concatenate([c.offset for c in clumps] or [np.empty((0, 3))]),
        np.concatenate([c.m500c for c in clumps] or [np.empty(0)]),
        np.concatenate([c.gas_kept for c in clumps] or [np.empty(0)]),
        np.concatenate([c.reach for c in clumps] or [np.empty(0)]),
    )
    profile = _profile(config)
    r500c = cosmology.r500c(merged.m500c, halo.redshift)
    r500_cm = r500c_cm(r500c, halo.redshift, cosmology.h)
    efunc = float(cosmology.efunc(halo.redshift))
    mass = gas_mass(merged.m500c, efunc, config) * merged.gas_kept
    central = density_squared(
        mass, r500_cm, (profile * _VOLUME)[_INSIDE].sum(), config, cosmology.h
    )
    central *= np.exp(mean_clumping(merged.m500c, efunc, config))
    emission = (central * r500_cm**3)[:, None] * (profile**2 * _VOLUME)
    emission *= np.clip((merged.reach[:, None] - CLUMP_EDGES[:-1]) / np.diff(CLUMP_EDGES), 0, 1)
    return ClumpGas(
        clumps=merged,
        emission_measure=emission,
        kt_kev=gas_temperature(merged.m500c, efunc, config),
        r500c=r500c,
        m_gas=mass,
        near=(merged.offset**2).sum(axis=1) < halo.r500c**2,
    )


def make_atmosphere(halo: Halo, gas: Gas, clumps: ClumpGas, config: GasConfig) -> Atmosphere:
    """Put the gas of a cluster and of clumps together."""
    n, m = len(gas.kt_kev), len(clumps.m_gas)
    cluster_shells = np.stack([gas.edges[:-1], gas.edges[1:]], axis=1) ** 3
    shells = len(_MIDDLE)
    axes = np.zeros((1 + m, 2, 3))
    axes[0] = gas.axes[:2] * halo.r500c
    axes[1:, 0, 0] = axes[1:, 1, 1] = clumps.r500c
    centre = np.repeat(clumps.clumps.offset[:, :2], shells, axis=0)
    return Atmosphere(
        emission_measure=np.concatenate([gas.emission_measure, clumps.emission_measure.ravel()]),
        kt_kev=np.concatenate([gas.kt_kev, np.repeat(clumps.kt_kev, shells)]),
        abundance=np.concatenate([gas.abundance, np.full(m * shells, config.abundance)]),
        cubes=np.concatenate([cluster_shells, np.tile(_CUBES, (m, 1))]),
        body=np.concatenate([np.zeros(n, np.int64), np.repeat(np.arange(1, m + 1), shells)]),
        axes=axes,
        centre=np.concatenate([gas.centres[:, :2] * halo.r500c, centre]),
        in_r500=np.concatenate([gas.inside_r500, np.repeat(clumps.near, shells)]),
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
