"""Radial profiles of the intracluster gas, as pure functions of x = r / R500c."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


def vikhlinin_density(
    x: np.ndarray, *, core: float, alpha: float, beta: float, outer: float, epsilon: float
) -> np.ndarray:
    """Return the shape of the gas density, up to its normalisation.

    Parameters
    ----------
    x : ndarray
        Radius over R500c.
    core, outer : float
        Core radius and radius of the outer steepening, over R500c.
    alpha, beta, epsilon : float
        Inner cusp, beta-model slope and outer steepening.

    Notes
    -----
    The square root of equation 3 of Vikhlinin et al. 2006, ApJ 640, 691 (gamma = 3, no second
    component), which describes n_p n_e.
    """
    u = x / core
    square = u**-alpha / (1 + u**2) ** (3 * beta - alpha / 2)
    square /= (1 + (x / outer) ** 3) ** (epsilon / 3)
    return np.sqrt(square)


def beta_squared(x: np.ndarray, core: float, beta: float) -> np.ndarray:
    """Return the squared density of a beta model, 1 at the centre (Cavaliere & Fusco-Femiano 1976).

    Parameters
    ----------
    x : ndarray
        Radius over R500c, as is `core`.
    """
    return (1 + (x / core) ** 2) ** (-3 * beta)


def steepening(x: np.ndarray, outer: float, epsilon: float) -> np.ndarray:
    """Return the factor of the squared density beyond `outer` (Vikhlinin et al. 2006, eq. 3)."""
    return (1 + (x / outer) ** 3) ** (-epsilon / 3)


def vikhlinin_temperature(x: np.ndarray, *, drop: float) -> np.ndarray:
    """Return the shape of the temperature profile, up to its normalisation.

    Parameters
    ----------
    x : ndarray
        Radius over R500c.
    drop : float
        Central temperature over that without a cool core; 0.45 for the mean cool core.

    Notes
    -----
    Equations 4 to 6 and 8 of Vikhlinin et al. 2006, ApJ 640, 691.
    """
    core = (x / 0.045) ** 1.9
    return (core + drop) / (core + 1) / (1 + (x / 0.6) ** 2) ** 0.45


def nfw_radii(quantile: np.ndarray, concentration: float, extent: float) -> np.ndarray:
    """Return radii over R500c that hold a part of the mass of an NFW halo.

    Parameters
    ----------
    quantile : ndarray
        Part of the mass within `extent`, 0 to 1.
    concentration : float
        R500c over scale radius.
    extent : float
        Radius over R500c within which all is.

    Notes
    -----
    Navarro, Frenk & White 1997, ApJ 490, 493.
    """
    x, enclosed = _nfw_table(concentration, extent)
    return np.interp(quantile, enclosed, x)


@lru_cache(maxsize=64)
def _nfw_table(concentration: float, extent: float) -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(0, extent, 400)
    mass = np.log(1 + concentration * x) - concentration * x / (1 + concentration * x)
    return x, mass / mass[-1]
