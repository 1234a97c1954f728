"""Halos on the sky by mass and redshift, quick to compute for any Omega_m and sigma_8."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from icmass.calibration.population import volume_slope
from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.estimators.posterior import M500C_GRID

OM0_STEP = 0.01
"""Between the nodes of Omega_m ln of the rate is linear. The mass function itself is a broken line:
its parameters are, as functions of the overdensity, 500 / Omega_m(z)."""
N_SIGMA8 = 8
"""Chebyshev nodes of sigma_8, in which it is smooth."""


def _angles(n: int) -> np.ndarray:
    """Return the angles whose cosines are the Chebyshev points within -1 and 1, ascending."""
    result: np.ndarray = (2 * np.arange(n)[::-1] + 1) * np.pi / (2 * n)
    return result


def chebyshev_nodes(low: float, high: float, n: int) -> np.ndarray:
    """Return the Chebyshev points of the first kind within an interval, ascending."""
    result: np.ndarray = (low + high) / 2 + (high - low) / 2 * np.cos(_angles(n))
    return result


def barycentric(nodes: np.ndarray, at: float) -> np.ndarray:
    """Return weights of the values at Chebyshev nodes that interpolate them.

    Berrut & Trefethen 2004, SIAM Rev. 46, 501, eqs. 4.2 and 5.3.
    """
    n = len(nodes)
    off = at - nodes
    if (hit := np.abs(off) < 1e-14).any():
        return hit.astype(float)
    weight = (-1.0) ** np.arange(n) * np.sin(_angles(n)) / off
    result: np.ndarray = weight / weight.sum()
    return result


@dataclass(frozen=True)
class HaloRates:
    """Halos per unit of redshift, ln M and square degree, over Omega_m and sigma_8.

    Attributes
    ----------
    redshift : ndarray, shape (n_z,)
    om0 : ndarray, shape (n_om0,)
    sigma8 : ndarray, shape (N_SIGMA8,)
        Chebyshev nodes of `sigma8_range`.
    log_rate : ndarray, shape (n_om0, N_SIGMA8, n_z, node)
        ln of the rate at `LNM_GRID` [1/deg^2].
    sigma8_range : (float, float)
        Within these it holds.
    """

    redshift: np.ndarray
    om0: np.ndarray
    sigma8: np.ndarray
    log_rate: np.ndarray
    sigma8_range: tuple[float, float]

    @classmethod
    def of(
        cls,
        cosmology: Cosmology,
        redshift: np.ndarray,
        *,
        om0_range: tuple[float, float] = (0.16, 0.5),
        sigma8_range: tuple[float, float] = (0.6, 1.1),
    ) -> HaloRates:
        """Tabulate; h, n_s and Omega_b stay as they are in `cosmology`. The last four are kept."""
        return _tabulated(cosmology, tuple(redshift.tolist()), om0_range, sigma8_range)

    def hold(self, om0: float, sigma8: float) -> bool:
        """Return whether a cosmology is within the table."""
        low, high = self.sigma8_range
        return bool(self.om0[0] <= om0 <= self.om0[-1] and low <= sigma8 <= high)

    def __call__(self, om0: float, sigma8: float) -> np.ndarray:
        """Return ln of the rate, shape (n_z, node)."""
        if not self.hold(om0, sigma8):
            what = f"Omega_m {om0:g}, sigma_8 {sigma8:g} are outside of the table"
            raise InputError(what, field="cosmology")
        place = (om0 - self.om0[0]) / (self.om0[1] - self.om0[0])
        below = min(int(place), len(self.om0) - 2)
        part = place - below
        rows = self.log_rate[below] * (1 - part) + self.log_rate[below + 1] * part
        result: np.ndarray = np.tensordot(barycentric(self.sigma8, sigma8), rows, 1)
        return result


def log_rates(cosmology: Cosmology, redshift: np.ndarray, sigma8: np.ndarray) -> np.ndarray:
    """Return ln of halos per redshift, ln M and square degree, (sigma8, redshift, node).

    The variance of the density goes as sigma_8^2 and its slope with mass does not depend on it, so
    that of one mass function all others follow by f(sigma) (Tinker et al. 2008, ApJ 688, 709, eqs.
    2 and 3).
    """
    from colossus.lss import mass_function, peaks

    density = (
        cosmology.halo_density(M500C_GRID, redshift)
        * volume_slope(cosmology, redshift, 1.0)[:, None]
    )
    ratio = np.append(sigma8 / cosmology.sigma8, 1.0)
    found = np.empty((len(sigma8), *density.shape))
    with cosmology.colossus() as colossus, np.errstate(all="ignore"):
        radius = peaks.lagrangianR(M500C_GRID)
        for k, z in enumerate(redshift.tolist()):
            sigma = np.outer(ratio, colossus.sigma(radius, z))
            f = mass_function.massFunction(
                sigma.ravel(), z, q_in="sigma", mdef="500c", model="tinker08", q_out="f"
            ).reshape(sigma.shape)
            found[:, k] = density[k] * f[:-1] / f[-1]
    result: np.ndarray = np.log(np.maximum(found, 1e-300))
    return result


@lru_cache(maxsize=4)
def _tabulated(
    cosmology: Cosmology,
    redshift: tuple[float, ...],
    om0_range: tuple[float, float],
    sigma8_range: tuple[float, float],
) -> HaloRates:
    om0 = np.linspace(*om0_range, max(2, 1 + round(np.ptp(om0_range) / OM0_STEP)))
    sigma8, nodes = chebyshev_nodes(*sigma8_range, N_SIGMA8), np.array(redshift)
    log_rate = np.array([
        log_rates(cosmology.model_copy(update={"om0": value}), nodes, sigma8)
        for value in om0.tolist()
    ])  # fmt: skip
    return HaloRates(nodes, om0, sigma8, log_rate, sigma8_range)
