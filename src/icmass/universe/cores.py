"""Cores of the gas: a density whose core gives a chosen share of the light."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from icmass.universe.gas_config import GasConfig
from icmass.universe.profiles import beta_squared, steepening

CORE = 0.15
"""Projected radius of the core over R500c."""
CUSP_BETA = 1.0

#: Shell edges over R500c; 1 is an edge.
EDGES = np.concatenate([np.geomspace(2e-3, 1, 81), np.geomspace(1, 5, 25)[1:]])
MIDDLE = np.sqrt(EDGES[1:] * EDGES[:-1])
VOLUME = 4 * np.pi / 3 * np.diff(EDGES**3)
INSIDE = EDGES[1:] <= 1 + 1e-9
N_INSIDE = int(INSIDE.sum())


def projected_share(radius: np.ndarray, aperture: float = CORE) -> np.ndarray:
    """Return the part of thin shells that a circle of radius `aperture` covers in projection."""
    return 1 - np.sqrt(1 - np.minimum(1, aperture / radius) ** 2)


_IN_CORE = projected_share(MIDDLE)[INSIDE]
_RADII = np.geomspace(0.02, 1.5, 120)


def core_light_share(emission: np.ndarray) -> float:
    """Return the share of the light within R500c that comes from `CORE` in projection.

    Parameters
    ----------
    emission : ndarray, shape (n,)
        Light of the shells of `EDGES`.
    """
    inside = emission[INSIDE]
    return float(inside @ _IN_CORE / inside.sum())


def squared_density(
    share: float, cusp: float, cusp_radius: float, beta: float, epsilon: float, config: GasConfig
) -> tuple[np.ndarray, float]:
    """Return the squared density of the shells, up to its normalisation, and its core radius.

    Parameters
    ----------
    share : float
        Share of the emission within R500c that comes from within `CORE` in projection.
    cusp : float
        Part of that share which the narrow second component adds.
    cusp_radius, beta, epsilon : float
        Core radius of that component over R500c; slope and outer steepening of the main one.
    config : GasConfig

    Notes
    -----
    Equation 3 of Vikhlinin et al. 2006, ApJ 640, 691, without the power-law cusp of the main
    component. The main one's core radius gives ``(1 - cusp) share`` at the mean slope; the second
    one's strength is what is missing, solved exactly. Where the main one alone has more already
    (flat slopes), there is no second one.
    """
    radii, shares = _core_radii(config.beta, config.outer, config.epsilon)
    core = float(np.exp(np.interp((1 - cusp) * share, shares, radii)))
    main = beta_squared(MIDDLE, core, beta) * steepening(MIDDLE, config.outer, epsilon)
    narrow = beta_squared(MIDDLE, cusp_radius, CUSP_BETA)
    inside = VOLUME[:N_INSIDE]
    light, narrow_light = main[:N_INSIDE] * inside, narrow[:N_INSIDE] * inside
    missing = share * light.sum() - light @ _IN_CORE
    strength = max(missing / (narrow_light @ _IN_CORE - share * narrow_light.sum()), 0.0)
    return main + strength * narrow, core


def cusp_that_gives(share: float, radius: float) -> float:
    """Return the core radius over R500c of a narrow component, small enough for a core's share.

    One whose own light within `CORE` is less than the share could not raise it to there, however
    strong: it is made so small that it has a twentieth more.
    """
    radii, shares = _cusps()
    if np.interp(np.log(radius), radii, shares) > share:
        return radius
    return float(np.exp(np.interp(-1.05 * share, -shares, radii)))


@lru_cache(maxsize=1)
def _cusps() -> tuple[np.ndarray, np.ndarray]:
    """Return ln core radius of narrow components, ascending, and their light within `CORE`."""
    radii = np.geomspace(0.01, 0.5, 200)
    shares = [
        core_light_share(beta_squared(MIDDLE, radius, CUSP_BETA) * VOLUME) for radius in radii
    ]
    return np.log(radii), np.array(shares)


@lru_cache(maxsize=64)
def _core_radii(beta: float, outer: float, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Return ln core radius and the light share of the main component, the share ascending."""
    shape = steepening(MIDDLE, outer, epsilon)
    shares = [
        core_light_share(beta_squared(MIDDLE, core, beta) * shape * VOLUME) for core in _RADII
    ]
    return np.log(_RADII)[::-1], np.array(shares)[::-1]


def equivalent_core(share: float) -> float:
    """Return the core radius over R500c of the beta model of 2/3 with a core of this share.

    Its projected light within R is ``1 - (1 + R^2 / core^2)^-1/2`` of the whole.
    """
    cores, shares = _equivalent()
    return float(np.exp(np.interp(share, shares, cores)))


@lru_cache(maxsize=1)
def _equivalent() -> tuple[np.ndarray, np.ndarray]:
    cores = np.geomspace(1e-3, 3, 200)[::-1]
    in_core, in_r500 = (1 - cores / np.hypot(cores, radius) for radius in (CORE, 1.0))
    return np.log(cores), in_core / in_r500
