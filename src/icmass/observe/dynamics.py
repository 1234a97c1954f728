"""Proxies from galaxies: number and velocity dispersion, observed and ideal."""

from __future__ import annotations

import numpy as np

from icmass.cosmology import Cosmology
from icmass.universe.galaxies import Galaxies
from icmass.universe.velocity_field import hubble_flow

CYLINDER_RADIUS = 1.25
"""Galaxies within this projected radius are counted [comoving Mpc/h] (Ho et al. 2023)."""

CYLINDER_VELOCITY = 2000.0
"""And within this line-of-sight velocity of the cluster [km/s]."""

SPHERE_RADIUS = 2.3
"""Radius in 3D of the ideal velocity dispersion [comoving Mpc/h] (Ho et al. 2023)."""

CLIP_SIGMA = 3.0
CLIP_ROUNDS = 5


def galaxy_proxies(galaxies: Galaxies, redshift: float, cosmology: Cosmology) -> dict[str, float]:
    """Return the mass proxies of a cluster's galaxies.

    Returns
    -------
    dict of float
        ``n_gal`` and ``sigma_v`` [km/s]: number and standard deviation of the velocities of the
        galaxies within the cylinder that outlast five rounds of 3-sigma clipping; ``sigma_v_true``
        [km/s]: standard deviation of the peculiar velocities within 2.3 comoving Mpc/h in 3D.
        Dispersions of fewer than two galaxies are NaN.
    """
    number, sigma = clipped_dispersion(galaxies)
    ideal = true_dispersion(galaxies, redshift, cosmology)
    return {"n_gal": float(number), "sigma_v": sigma, "sigma_v_true": ideal}


def clipped_dispersion(galaxies: Galaxies) -> tuple[int, float]:
    """Return number and velocity dispersion [km/s] of the galaxies in the cylinder, clipped."""
    inside = galaxies.x**2 + galaxies.y**2 <= CYLINDER_RADIUS**2
    inside &= np.abs(galaxies.v_los) <= CYLINDER_VELOCITY
    v = clip_outliers(galaxies.v_los[inside])
    return len(v), _dispersion(v)


def clip_outliers(
    v: np.ndarray, sigmas: float = CLIP_SIGMA, rounds: int = CLIP_ROUNDS
) -> np.ndarray:
    """Return the values that are left after rounds of clipping at `sigmas` about the mean."""
    for _ in range(rounds):
        if len(v) < 2:
            break
        deviation = np.abs(v - v.mean())
        inside = deviation <= sigmas * v.std()
        if inside.all():
            break
        v = v[inside]
    return v


def true_dispersion(galaxies: Galaxies, redshift: float, cosmology: Cosmology) -> float:
    """Return the dispersion of peculiar velocities within `SPHERE_RADIUS` in 3D [km/s]."""
    inside = galaxies.x**2 + galaxies.y**2 + galaxies.z**2 <= SPHERE_RADIUS**2
    flow = hubble_flow(redshift, cosmology) * galaxies.z[inside]
    return _dispersion(galaxies.v_los[inside] - flow)


def _dispersion(v: np.ndarray) -> float:
    return float(v.std()) if len(v) > 1 else float("nan")
