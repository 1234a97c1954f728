"""Coverage of a map: field edges, exposure gradients and masked point sources."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from icmass.universe.agn import Sources


class CoverageConfig(BaseModel):
    """How much of the map is seen, as in a real survey field with its point-source mask.

    Parameters
    ----------
    edge_probability : float
        Fraction of clusters whose map is cut by the edge of the field.
    edge_min_mpc_h : float
        Smallest distance of that edge from the cluster [comoving Mpc/h].
    gradient : float
        Largest relative exposure difference from the map's centre to its side.
    mask_counts : float
        Point sources with more expected counts than this are masked.
    mask_radius_arcsec : float
        Radius of the hole of a source of `mask_counts`; it grows as the cube root of the counts
        (the profile's wings fall as r^-3).
    spare_radius_arcsec : float
        Sources closer to the cluster's centre are not told from it, hence not masked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    edge_probability: float = Field(0.25, ge=0, le=1)
    edge_min_mpc_h: float = Field(0.5, ge=0)
    gradient: float = Field(0.1, ge=0, le=0.5)
    mask_counts: float = Field(12.0, gt=0)
    mask_radius_arcsec: float = Field(30.0, gt=0)
    spare_radius_arcsec: float = Field(25.0, ge=0)


def draw_coverage(
    config: CoverageConfig,
    sources: Sources,
    expected_counts: np.ndarray,
    *,
    n_pixels: int,
    half_width: float,
    arcsec_per_mpc_h: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw the coverage of one map, float16 (y, x), 0 (not seen) to 1.

    Parameters
    ----------
    expected_counts : ndarray, shape (n_sources,)
        Counts expected of each source at full coverage.
    """
    centre = (np.arange(n_pixels) + 0.5) * (2 * half_width / n_pixels) - half_width
    x, y = centre[None, :], centre[:, None]
    tilt = config.gradient * rng.uniform(-1, 1, 2) / np.sqrt(2) / half_width
    coverage = 1 + tilt[0] * x + tilt[1] * y
    coverage = coverage / coverage.max()
    angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(config.edge_min_mpc_h, half_width)
    if rng.random() < config.edge_probability:
        coverage = coverage * (x * np.cos(angle) + y * np.sin(angle) < reach)
    off_centre = np.hypot(sources.x, sources.y) * arcsec_per_mpc_h > config.spare_radius_arcsec
    for i in np.flatnonzero((expected_counts > config.mask_counts) & off_centre):
        growth = np.cbrt(expected_counts[i] / config.mask_counts)
        radius = config.mask_radius_arcsec * growth / arcsec_per_mpc_h
        rows, cols = (_near(centre, at, radius) for at in (sources.y[i], sources.x[i]))
        hole = np.hypot(x[:, cols] - sources.x[i], y[rows] - sources.y[i]) <= radius
        coverage[rows, cols][hole] = 0
    return coverage.astype(np.float16)


def off_axis_angle(n_pixels: int, half_width: float, arcmin_per_mpc_h: float) -> np.ndarray:
    """Return how far each pixel is from the map's centre [arcmin], (y, x)."""
    centre = (np.arange(n_pixels) + 0.5) * (2 * half_width / n_pixels) - half_width
    return np.hypot(centre, centre[:, None]) * arcmin_per_mpc_h


def _near(centre: np.ndarray, at: float, radius: float) -> slice:
    return slice(*np.searchsorted(centre, [at - radius, at + radius]))
