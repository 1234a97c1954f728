"""Coverage of a map: field edges, exposure gradients and masked point sources."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from icmass.parameter import parameter
from icmass.universe.agn import Sources


class CoverageConfig(BaseModel):
    """How much of the map is seen, as in a real survey field with its point-source mask."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    edge_probability: float = parameter(
        0.25,
        "Fraction of clusters whose map is cut by the edge of the field.",
        unit="1",
        ge=0,
        le=1,
    )
    edge_min_mpc_h: float = parameter(
        0.5,
        "Smallest distance of the edge of the field from the cluster.",
        unit="comoving Mpc/h",
        ge=0,
    )
    gradient: float = parameter(
        0.1,
        "Largest relative exposure difference from the map's centre to its side.",
        unit="1",
        ge=0,
        le=0.5,
    )
    mask_counts: float = parameter(
        12.0, "Expected counts above which a point source is masked.", unit="count", gt=0
    )
    mask_radius_arcsec: float = parameter(
        30.0,
        "Radius of the mask of a source of mask_counts; it grows as the cube root of the counts, "
        "for the wings of the point-spread function fall as r^-3.",
        unit="arcsec",
        gt=0,
    )
    spare_radius_arcsec: float = parameter(
        25.0,
        "Distance from the cluster's centre within which sources are not separated from it, hence "
        "not masked.",
        unit="arcsec",
        ge=0,
    )


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
