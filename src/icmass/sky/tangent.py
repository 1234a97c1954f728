"""The tangent plane of a cluster: between the sky and comoving lengths, as pure functions.

The plane is that of `icmass.sky.map_grid.cluster_frame`: x grows to the West and y to
the North, so that maps have East left and North up.
"""

from __future__ import annotations

import numpy as np

from icmass.cosmology import Cosmology


def project(
    ra: np.ndarray,
    dec: np.ndarray,
    *,
    centre: tuple[float, float],
    redshift: float,
    cosmology: Cosmology,
) -> tuple[np.ndarray, np.ndarray]:
    """Return where directions fall in the tangent plane of a cluster.

    Parameters
    ----------
    ra, dec : ndarray, shape (n,)
        Directions [deg].
    centre : (float, float)
        Right ascension and declination of the cluster [deg].
    redshift : float
        Redshift of the cluster.
    cosmology : Cosmology
        Gives the comoving distance.

    Returns
    -------
    x, y : ndarray, shape (n,)
        Offset to the West and to the North [comoving Mpc/h]; NaN a quarter of the sky away or more.
    """
    east, north = _to_plane(ra, dec, centre)
    distance = float(cosmology.comoving_distance(float(redshift)))
    return -east * distance, north * distance


def deproject(
    x: np.ndarray,
    y: np.ndarray,
    *,
    centre: tuple[float, float],
    redshift: float,
    cosmology: Cosmology,
) -> tuple[np.ndarray, np.ndarray]:
    """Return right ascension (0 to 360) and declination [deg] of offsets: undoes `project`."""
    distance = float(cosmology.comoving_distance(float(redshift)))
    return _to_sky(-np.asarray(x) / distance, np.asarray(y) / distance, centre)


def shift(
    ra: np.ndarray, dec: np.ndarray, *, start: tuple[float, float], end: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return directions [deg] carried along as `start` moves to `end`, North staying up."""
    return _to_sky(*_to_plane(ra, dec, start), end)


def _to_plane(
    ra: np.ndarray, dec: np.ndarray, centre: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return gnomonic coordinates [rad]: to the East, to the North."""
    away = np.radians(np.asarray(ra, float) - centre[0])
    dec, dec0 = np.radians(np.asarray(dec, float)), np.radians(centre[1])
    cos_distance = np.sin(dec0) * np.sin(dec) + np.cos(dec0) * np.cos(dec) * np.cos(away)
    scale = 1 / np.where(cos_distance > 0, cos_distance, np.nan)
    north = np.cos(dec0) * np.sin(dec) - np.sin(dec0) * np.cos(dec) * np.cos(away)
    return np.cos(dec) * np.sin(away) * scale, north * scale


def _to_sky(
    east: np.ndarray, north: np.ndarray, centre: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    dec0 = np.radians(centre[1])
    along = np.cos(dec0) - north * np.sin(dec0)
    ra = centre[0] + np.degrees(np.arctan2(east, along))
    up = np.sin(dec0) + north * np.cos(dec0)
    return np.mod(ra, 360), np.degrees(np.arctan2(up, np.hypot(along, east)))
