"""Orbits in a cluster: concentration of halos, their velocity dispersion, its run with radius."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from icmass.cosmology import Cosmology
from icmass.universe.tabulated import tabulated

EVRARD_KM_S = 1082.9
EVRARD_SLOPE = 0.3361
"""sigma = 1082.9 km/s (h(z) M200c / 1e15 Msun)^0.3361: Evrard et al. 2008, ApJ 672, 122."""

_LOG_MASS = np.linspace(12, 16, 17)
_REDSHIFT = np.linspace(0, 2, 9)
_RATIO = np.geomspace(0.01, 10, 241)  # radii over R500c of the Jeans equation
_R200 = np.linspace(1.2, 2.2, 41)  # R200c over R500c
_C500 = np.geomspace(0.3, 30, 93)  # concentrations at which it is solved, 5 per cent apart


def nfw_mass(y: np.ndarray | float) -> np.ndarray:
    """Return the mass of an NFW halo within y scale radii, over 4 pi rho_s r_s^3."""
    return np.log1p(y) - y / (1 + y)


@lru_cache(maxsize=8)
def _concentrations(cosmology: Cosmology) -> np.ndarray:
    kept = tabulated("concentrations", cosmology)
    return compute_concentrations(cosmology) if kept is None else kept


def compute_concentrations(cosmology: Cosmology) -> np.ndarray:
    """Return ln of the concentrations at the nodes of redshift and mass, (9, 17)."""
    from colossus.halo import concentration

    with cosmology.colossus():
        rows = [
            concentration.concentration(10**_LOG_MASS, "500c", z, model="diemer19")
            for z in _REDSHIFT
        ]
    return np.log(rows)


def concentration_500c(m500c: float, redshift: float, cosmology: Cosmology) -> float:
    """Return the median R500c over the NFW scale radius of halos of M500c [Msun/h].

    Notes
    -----
    Diemer & Joyce 2019, ApJ 871, 168, through colossus; beyond 1e12-1e16 Msun/h and redshift 2 the
    value at the edge.
    """
    rows = _concentrations(cosmology)
    position = float(np.clip(redshift, 0, _REDSHIFT[-1])) / _REDSHIFT[1]
    low = min(int(position), len(_REDSHIFT) - 2)
    row = rows[low] + (position - low) * (rows[low + 1] - rows[low])
    return float(np.exp(np.interp(np.log10(m500c), _LOG_MASS, row)))


def r200c_over_r500c(c500: float) -> float:
    """Return R200c / R500c of an NFW halo of concentration `c500` = R500c / r_s."""
    density = nfw_mass(c500 * _R200) / _R200**3
    return float(np.interp(-0.4 * nfw_mass(c500), -density, _R200))


def dispersion_200c(m200c: np.ndarray | float, efunc: float) -> np.ndarray:
    """Return the one-dimensional velocity dispersion within R200c [km/s] (`EVRARD_KM_S`).

    Parameters
    ----------
    m200c : float or ndarray
        [Msun/h]
    efunc : float
        H(z) / H0.
    """
    return EVRARD_KM_S * (efunc * np.asarray(m200c) / 1e15) ** EVRARD_SLOPE


def dispersion_profile(
    x: np.ndarray, c500: float, *, tracer_ratio: float, anisotropy: float
) -> np.ndarray:
    """Return the radial velocity dispersion at x = r / R500c over the 1D dispersion in R200c.

    Parameters
    ----------
    x : ndarray
        Radius over R500c.
    c500 : float
        Concentration of the mass, R500c over scale radius.
    tracer_ratio : float
        Concentration of the galaxies over that of the mass.
    anisotropy : float
        beta = 1 - sigma_t^2 / sigma_r^2, with sigma_t along one tangential axis.

    Notes
    -----
    The spherical Jeans equation with constant beta (Binney & Tremaine 2008, equation 4.216), for
    NFW mass and NFW galaxies: n sigma_r^2 = r^(-2 beta) int_r^inf r^(2 beta) n G M / r^2 dr. The 1D
    dispersion is the rms over all galaxies within R200c and the three axes.
    """
    node = int(np.abs(np.log(_C500 / c500)).argmin())
    return np.interp(x, _RATIO, _jeans(node, tracer_ratio, anisotropy))


@lru_cache(maxsize=256)
def _jeans(node: int, tracer_ratio: float, anisotropy: float) -> np.ndarray:
    c500 = float(_C500[node])
    x = np.geomspace(_RATIO[0], 1e3, 1601)
    c_tracer = tracer_ratio * c500
    tracers = 1 / (x * (1 + c_tracer * x) ** 2)
    force = nfw_mass(c500 * x) / x**2
    pull = x ** (2 * anisotropy) * tracers * force * x
    pieces = (pull[1:] + pull[:-1]) / 2 * np.diff(np.log(x))
    outside = np.concatenate([np.cumsum(pieces[::-1])[::-1], [0]])
    square = outside * x ** (-2 * anisotropy) / tracers
    inside = x <= r200c_over_r500c(c500)
    number = tracers * x**3
    mean = np.average(square[inside], weights=number[inside]) * (1 - 2 * anisotropy / 3)
    return np.sqrt(np.interp(_RATIO, x, square) / mean)
