"""Abundance, bias and clustering of halos, tabulated over mass and redshift."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from icmass.cosmology import Cosmology
from icmass.universe.tabulated import tabulated

#: Nodes of log10 M500c [Msun/h].
LOG_MASS = np.linspace(11.8, 15.9, 206)
#: Nodes of the separation [comoving Mpc/h].
RADIUS = np.geomspace(0.3, 90, 61)


@dataclass(frozen=True)
class HaloAbundance:
    """What halos there are at some redshifts.

    Attributes
    ----------
    redshift : ndarray, shape (n_z,)
    density : ndarray, shape (n_z, n_mass)
        Halos per dex of M500c at `LOG_MASS` [comoving (Mpc/h)^-3].
    above : ndarray, shape (n_z, n_mass)
        Halos more massive than `LOG_MASS` [comoving (Mpc/h)^-3].
    bias : ndarray, shape (n_z, n_mass)
        Linear bias.
    correlation : ndarray, shape (n_z, n_r)
        Linear matter correlation function at `RADIUS`.
    """

    redshift: np.ndarray
    density: np.ndarray
    above: np.ndarray
    bias: np.ndarray
    correlation: np.ndarray

    def node(self, redshift: float) -> int:
        """Return the tabulated redshift nearest to one given."""
        return int(np.abs(self.redshift - redshift).argmin())


@lru_cache(maxsize=4)
def halo_abundance(cosmology: Cosmology, redshifts: tuple[float, ...]) -> HaloAbundance:
    """Tabulate the halos of a cosmology at some redshifts.

    Notes
    -----
    colossus (Diemer 2018, ApJS 239, 35): mass function of Tinker et al. 2008, ApJ 688, 709, for
    500c masses; bias of Tinker et al. 2010, ApJ 724, 878.
    """
    from colossus.lss import bias

    mass = 10**LOG_MASS
    density = cosmology.halo_density(mass, np.array(redshifts)) * np.log(10)
    with cosmology.colossus() as colossus:
        biases = [bias.haloBias(mass, z=z, mdef="500c", model="tinker10") for z in redshifts]
        growth = colossus.growthFactor(np.array(redshifts))
        correlation = growth[:, None] ** 2 * _correlation_today(cosmology)
    step = LOG_MASS[1] - LOG_MASS[0]
    pieces = (density[:, 1:] + density[:, :-1]) / 2 * step
    above = np.zeros_like(density)
    above[:, :-1] = np.cumsum(pieces[:, ::-1], axis=1)[:, ::-1]
    return HaloAbundance(np.array(redshifts), density, above, np.array(biases), correlation)


def enclosed_correlation(radius: np.ndarray, xi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integrate a correlation function over the volume of spheres.

    Parameters
    ----------
    radius : ndarray, shape (n,)
        [comoving Mpc/h]; within the first the correlation is that at it.
    xi : ndarray, shape (n,)
        Its correlation function; negative values count as 0.

    Returns
    -------
    shells : ndarray, shape (n - 1,)
        Integral of xi dV between the radii [comoving (Mpc/h)^3].
    within : ndarray, shape (n,)
        Integral of xi dV within each radius [comoving (Mpc/h)^3].
    """
    xi = np.maximum(xi, 0)
    shells = 4 * np.pi / 3 * np.diff(radius**3) * (xi[1:] + xi[:-1]) / 2
    core = 4 * np.pi / 3 * radius[0] ** 3 * xi[0]
    return shells, core + np.concatenate([[0], np.cumsum(shells)])


@lru_cache(maxsize=4)
def _correlation_today(cosmology: Cosmology) -> np.ndarray:
    kept = tabulated("correlation_today", cosmology)
    return compute_correlation_today(cosmology) if kept is None else kept


def compute_correlation_today(cosmology: Cosmology) -> np.ndarray:
    """Return the linear correlation function of matter at `RADIUS` today."""
    with cosmology.colossus() as colossus:
        return colossus.correlationFunction(RADIUS, 0.0)
