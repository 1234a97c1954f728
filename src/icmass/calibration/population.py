"""What many clusters say together: a scale or a mass function from their likelihoods.

With L_i(ln M) = p(x_i | ln M), the prior divided out, n(ln M, z) the halos per comoving volume, P
the probability that a halo is in the sample, and V the volume,

    ln p = sum_i ln [ V'(z_i) int n(ln M, z_i) P(ln M, z_i) L_i(ln M + A) d ln M ] - N,
    N = int int V'(z) n P d ln M d z

up to a constant: the Poisson likelihood of objects with uncertain masses (Loredo 2004, AIP Conf.
Proc. 735, 195; Mandel, Farr & Gair 2019, MNRAS 486, 1086). P stands within the integral where being
in the sample goes by the halo, not by the same photons as x_i; where a threshold on x_i itself
selects, it is 1 there and stays in N (``selected_by_x``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.estimators.posterior import LNM_GRID, LNM_STEP, M500C_GRID

Selection = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Of M500c [Msun/h] and redshift, which broadcast, the probability to be in the sample."""
_FULL_SKY = 4 * math.pi * (180 / math.pi) ** 2


def volume_slope(cosmology: Cosmology, redshift: np.ndarray, area_deg2: float) -> np.ndarray:
    """Return dV / dz of an area of the sky [comoving (Mpc/h)^3], shape (redshift,)."""
    hubble_distance = 2997.92458  # c / H0 [Mpc/h]
    distance = cosmology.comoving_distance(np.asarray(redshift, float))
    solid_angle = 4 * math.pi * area_deg2 / _FULL_SKY
    result: np.ndarray = solid_angle * distance**2 * hubble_distance / cosmology.efunc(redshift)
    return result


@dataclass(frozen=True)
class ClusterPopulation:
    """Likelihoods of the masses of all clusters of a sample.

    Attributes
    ----------
    likelihood : ndarray, shape (n, node)
        p(x | ln M500c) at `LNM_GRID`, of any norm, see `likelihood_table.LikelihoodTable`.
    redshift : ndarray, shape (n,)
    area_deg2 : float
        Area of the sky that was looked at.
    redshift_range : (float, float)
        Redshifts of the sample.
    selection : callable, optional
        See `Selection`; default: every halo is in it.
    selected_by_x : bool
        Whether what selects is x itself.
    n_redshifts : int
        Redshifts at which the mass function is computed; between them its log is linear.
    """

    likelihood: np.ndarray
    redshift: np.ndarray
    area_deg2: float
    redshift_range: tuple[float, float]
    selection: Selection | None = None
    selected_by_x: bool = False
    n_redshifts: int = 16

    def __post_init__(self) -> None:
        low, high = self.redshift_range
        if self.likelihood.shape != (len(self.redshift), len(LNM_GRID)):
            raise InputError(f"has shape {self.likelihood.shape}", field="likelihood")
        if not (np.isfinite(self.likelihood).all() and (self.likelihood >= 0).all()):
            raise InputError("is negative or not finite somewhere", field="likelihood")
        if not (0 < low < high and 0 < self.area_deg2 <= _FULL_SKY + 1):
            what = f"redshifts {low:g} to {high:g}, {self.area_deg2:g} deg^2"
            raise InputError(what, field="population")
        if ((self.redshift < low) | (self.redshift > high)).any():
            raise InputError("a cluster is outside of it", field="redshift_range")

    @cached_property
    def nodes(self) -> np.ndarray:
        """Redshifts at which the mass function is computed, shape (n_redshifts,)."""
        return np.linspace(*self.redshift_range, self.n_redshifts)

    @cached_property
    def _probability(self) -> np.ndarray:
        """Probability of being in the sample, shape (n_redshifts, node)."""
        if self.selection is None:
            return np.ones((self.n_redshifts, len(LNM_GRID)))
        found = np.asarray(self.selection(M500C_GRID[None], self.nodes[:, None]), float)
        if not ((found >= 0) & (found <= 1)).all():
            raise InputError("is no probability somewhere", field="selection")
        return np.broadcast_to(found, (self.n_redshifts, len(LNM_GRID)))

    def expected(self, cosmology: Cosmology) -> float:
        """Return N, the clusters that a cosmology has in the sample."""
        return self._expected(cosmology.halo_density(M500C_GRID, self.nodes), cosmology)

    def _expected(self, density: np.ndarray, cosmology: Cosmology) -> float:
        of_z = (density * self._probability).sum(1) * LNM_STEP
        of_z = of_z * volume_slope(cosmology, self.nodes, self.area_deg2)
        fine = np.linspace(*self.redshift_range, 10 * self.n_redshifts)
        log = np.interp(fine, self.nodes, np.log(np.maximum(of_z, 1e-300)))
        return float(np.trapezoid(np.exp(log), fine))

    def log_likelihood(self, cosmology: Cosmology, scale: float = 0.0) -> float:
        """Return ln p of the sample for a cosmology and a scale A of its masses.

        Parameters
        ----------
        cosmology : Cosmology
            Of the halos and the volume; sizes and distances by which x was made stay as they were.
        scale : float
            A: the likelihoods are of ln M + A.
        """
        density = cosmology.halo_density(M500C_GRID, self.nodes)
        weight = density if self.selected_by_x else density * self._probability
        log = np.log(np.maximum(weight, 1e-300))
        if scale:
            log = np.stack([np.interp(LNM_GRID - scale, LNM_GRID, row) for row in log])
        place = np.interp(self.redshift, self.nodes, np.arange(self.n_redshifts))
        below = np.minimum(place.astype(int), self.n_redshifts - 2)
        part = (place - below)[:, None]
        of_clusters = np.exp(log[below] * (1 - part) + log[below + 1] * part)
        integral = (of_clusters * self.likelihood).sum(1) * LNM_STEP
        integral = integral * volume_slope(cosmology, self.redshift, self.area_deg2)
        if not (integral > 0).all():
            return -math.inf
        return float(np.log(integral).sum() - self._expected(density, cosmology))


def population_log_likelihood(
    likelihood: np.ndarray,
    redshift: np.ndarray,
    cosmology: Cosmology,
    *,
    area_deg2: float,
    redshift_range: tuple[float, float],
    selection: Selection | None = None,
    selected_by_x: bool = False,
    scale: float = 0.0,
) -> float:
    """Return ln p of a sample for one cosmology; `ClusterPopulation` is quicker for many.

    The parameters are its, and those of `ClusterPopulation.log_likelihood`.
    """
    population = ClusterPopulation(
        likelihood, redshift, area_deg2, redshift_range, selection, selected_by_x
    )
    return population.log_likelihood(cosmology, scale)
