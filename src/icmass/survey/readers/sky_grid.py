"""The cluster's comoving grid on the sky: photons binned into it, exposure sampled on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.survey.readers.fits_images import Band

if TYPE_CHECKING:
    from astropy.wcs import WCS

APERTURE_MPC_H = 0.5
"""Radius around the cluster that has to be visible [comoving Mpc/h, projected]."""
MAX_COUNT = np.iinfo("u2").max


@dataclass(frozen=True)
class MapGrid:
    """The maps to make: those that the model was trained on.

    Attributes
    ----------
    bands : tuple of (float, float)
        Observed-frame PI energy bands [keV].
    n_pixels : int
        Pixels along a side.
    half_width : float
        Half the side [comoving Mpc/h].
    cosmology : Cosmology
        Turns angles into lengths; the default is Magneticum's.
    """

    bands: tuple[Band, ...]
    n_pixels: int = 128
    half_width: float = 2.3
    cosmology: Cosmology = field(default_factory=Cosmology)


def cluster_frame(ra: float, dec: float, *, redshift: float, grid: MapGrid) -> WCS:
    """Return the maps' pixel grid as a tangent-plane WCS centred on the cluster, East left.

    A pixel spans 2 half_width / n_pixels comoving Mpc/h at the cluster's comoving distance.
    """
    from astropy.wcs import WCS

    pixel_mpc_h = 2 * grid.half_width / grid.n_pixels
    pixel_deg = pixel_mpc_h * float(grid.cosmology.arcmin_per_mpc_h(redshift)) / 60
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [grid.n_pixels / 2 + 0.5] * 2
    wcs.wcs.cdelt = [-pixel_deg, pixel_deg]
    wcs.wcs.set()
    return wcs


def bin_photons(
    counts: np.ndarray, wcs: WCS, frame: WCS, *, n_pixels: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the photons of an image binned in the cluster's frame, int64 (n_pixels, n_pixels).

    Parameters
    ----------
    counts : ndarray, int (y, x)
        Photons in each pixel of the image.
    wcs, frame : astropy.wcs.WCS
        Coordinates of the image and of the cluster's grid.
    n_pixels : int
        Pixels along a side of the grid; photons outside it are dropped.
    rng : numpy.random.Generator
        Places each photon uniformly within its pixel.
    """
    y, x = (np.repeat(axis, counts[counts > 0]) for axis in np.nonzero(counts > 0))
    dx, dy = rng.uniform(-0.5, 0.5, (2, x.size))
    column, row = frame.world_to_pixel(wcs.pixel_to_world(x + dx, y + dy))
    inside, column, row = _pixel_index(column, row, (n_pixels, n_pixels))
    flat = np.bincount(row[inside] * n_pixels + column[inside], minlength=n_pixels**2)
    if flat.max() > MAX_COUNT:
        raise InputError(f"{flat.max()} photons in one pixel of the map: more than {MAX_COUNT}")
    return flat.reshape(n_pixels, n_pixels)


@dataclass(frozen=True)
class View:
    """What of the cluster's map can be seen.

    Attributes
    ----------
    seconds : ndarray, float64 (y, x)
        Mean exposure of each pixel of the map, 0 where masked or outside the image [s].
    exposure : float
        Largest exposure of what is visible of the map [s]; the mock's coverage, too, is
        relative to the largest of its map.
    exposure_aperture : float
        Mean exposure of what is visible inside `APERTURE_MPC_H` [s].
    visible_map, visible_aperture : float
        Visible fraction of the map's area, and of the area inside `APERTURE_MPC_H`.
    """

    seconds: np.ndarray
    exposure: float
    exposure_aperture: float
    visible_map: float
    visible_aperture: float


def sample_exposure(seconds: np.ndarray, wcs: WCS, frame: WCS, grid: MapGrid) -> View:
    """Sample an exposure map (0 where masked) at points within each pixel of the grid.

    The pixel coordinates of the points are interpolated between the corners of the grid's
    pixels, where they are exact: the sky is flat over a pixel of some arcseconds.
    """
    n = grid.n_pixels
    corner = np.arange(n + 1) - 0.5
    nodes = wcs.world_to_pixel(frame.pixel_to_world(*np.meshgrid(corner, corner)))
    step = np.hypot(np.diff(nodes[0], axis=1), np.diff(nodes[1], axis=1)).max()
    sub = int(np.clip(np.ceil(2 * step), 4, 16)) if np.isfinite(step) else 4
    at = (np.arange(n * sub) + 0.5) / sub
    weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(n + 1)))
    x, y = (weights @ node @ weights.T for node in nodes)
    inside, column, row = _pixel_index(x, y, seconds.shape)
    sample = np.zeros(inside.shape)
    sample[inside] = seconds[row[inside], column[inside]]
    offset = at * (2 * grid.half_width / n) - grid.half_width
    near = np.hypot(offset[:, None], offset) <= APERTURE_MPC_H
    seen = sample > 0
    return View(
        seconds=sample.reshape(n, sub, n, sub).mean((1, 3)),
        exposure=float(sample.max()),
        exposure_aperture=float(sample[near].sum() / max(seen[near].sum(), 1)),
        visible_map=float(seen.mean()),
        visible_aperture=float(seen[near].mean()),
    )


def _pixel_index(
    x: np.ndarray, y: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which pixel coordinates are inside an image of `shape`, and their column and row."""
    column, row = np.floor(np.asarray(x) + 0.5), np.floor(np.asarray(y) + 0.5)
    inside = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
    return inside, np.where(inside, column, 0).astype(int), np.where(inside, row, 0).astype(int)
