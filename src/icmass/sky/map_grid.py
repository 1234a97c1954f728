"""The cluster's comoving grid on the sky: photons binned into it, exposure sampled on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.sky.bands import Band

if TYPE_CHECKING:
    from astropy.wcs import WCS

VISIBLE_COVERAGE = 0.2
"""What has at least this part of the largest exposure of its map is visible; pixels below it are
filled for networks that are not given the coverage."""
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
        Visible fraction of the map's area, and of the area inside `APERTURE_MPC_H`: that with
        `VISIBLE_COVERAGE` of the largest exposure or more.
    """

    seconds: np.ndarray
    exposure: float
    exposure_aperture: float
    visible_map: float
    visible_aperture: float


class FineGrid:
    """Points within each pixel of a cluster's grid, where maps of the sky are looked up.

    The pixel coordinates of the points are interpolated between the corners of the grid's
    pixels, where they are exact: the sky is flat over a pixel of some arcseconds.

    Parameters
    ----------
    frame : astropy.wcs.WCS
        The cluster's pixel grid.
    grid : MapGrid
    sub : int
        Points along a side of a pixel.
    """

    def __init__(self, frame: WCS, grid: MapGrid, sub: int) -> None:
        self.frame, self.grid, self.sub = frame, grid, sub
        self._at = (np.arange(grid.n_pixels * sub) + 0.5) / sub

    @classmethod
    def for_images(cls, frame: WCS, grid: MapGrid, images: Sequence[WCS]) -> FineGrid:
        """Return points so dense that no pixel of the images is missed, 4 to 16 along a side."""
        steps = [_step(*_corners(wcs, frame, grid.n_pixels)) for wcs in images]
        finest = max((step for step in steps if np.isfinite(step)), default=2.0)
        return cls(frame, grid, int(np.clip(np.ceil(2 * finest), 4, 16)))

    @property
    def pixel(self) -> np.ndarray:
        """Pixel coordinates of the points along a side, from 0 at the centre of the first."""
        return self._at - 0.5

    @property
    def radius(self) -> np.ndarray:
        """Distance of each point from the centre [comoving Mpc/h], (y, x)."""
        offset = self._at * (2 * self.grid.half_width / self.grid.n_pixels) - self.grid.half_width
        return np.hypot(offset[:, None], offset)

    def sample(self, values: np.ndarray, wcs: WCS) -> np.ndarray:
        """Return the pixels of an image at the points, float64 (y, x); 0 outside it."""
        n = self.grid.n_pixels
        nodes = _corners(wcs, self.frame, n)
        weights = np.maximum(0, 1 - np.abs(self._at[:, None] - np.arange(n + 1)))
        x, y = (weights @ node @ weights.T for node in nodes)
        inside, column, row = _pixel_index(x, y, values.shape)
        sample = np.zeros(inside.shape)
        sample[inside] = values[row[inside], column[inside]]
        return sample

    def binned(self, sample: np.ndarray) -> np.ndarray:
        """Return the means of a sample over each pixel, (y, x)."""
        n, sub = self.grid.n_pixels, self.sub
        return sample.reshape(n, sub, n, sub).mean((1, 3))

    def whole_pixels(self, used: np.ndarray) -> np.ndarray:
        """Return which points lie in pixels of which half or more is used, bool (y, x).

        Photons are known by pixel only, so that a mask has to be of whole pixels.
        """
        kept = self.binned(used) >= 0.5
        return kept.repeat(self.sub, 0).repeat(self.sub, 1)

    def view(self, seconds: np.ndarray) -> View:
        """Return what is seen, of the exposure at the points [s], 0 where masked or unexposed."""
        near = self.radius <= APERTURE_MPC_H
        longest = float(seconds.max())
        seen = is_visible(seconds)
        return View(
            seconds=self.binned(seconds),
            exposure=longest,
            exposure_aperture=float(seconds[near & seen].sum() / max(seen[near].sum(), 1)),
            visible_map=float(seen.mean()),
            visible_aperture=float(seen[near].mean()),
        )


def is_visible(exposure: np.ndarray) -> np.ndarray:
    """Return which points of maps (..., y, x) have enough of the largest exposure of theirs."""
    longest = exposure.max((-2, -1), keepdims=True)
    result: np.ndarray = (exposure > 0) & (exposure >= VISIBLE_COVERAGE * longest)
    return result


def sample_exposure(seconds: np.ndarray, wcs: WCS, frame: WCS, grid: MapGrid) -> View:
    """Return what an exposure map [s], 0 where masked, lets see of a cluster's grid."""
    fine = FineGrid.for_images(frame, grid, [wcs])
    return fine.view(fine.sample(seconds, wcs))


def _corners(wcs: WCS, frame: WCS, n_pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixel coordinates in an image of the corners of a grid's pixels."""
    corner = np.arange(n_pixels + 1) - 0.5
    try:
        x, y = wcs.world_to_pixel(frame.pixel_to_world(*np.meshgrid(corner, corner)))
    except Exception as error:  # astropy raises many kinds for distortions without an inverse
        what = f"an image's coordinates have no inverse here ({type(error).__name__})"
        raise InputError(what, field="WCS", hint="give another image") from None
    return np.asarray(x), np.asarray(y)


def _step(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.hypot(np.diff(x, axis=1), np.diff(y, axis=1)).max())


def _pixel_index(
    x: np.ndarray, y: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which pixel coordinates are inside an image of `shape`, and their column and row."""
    column, row = np.floor(np.asarray(x) + 0.5), np.floor(np.asarray(y) + 0.5)
    inside = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
    return inside, np.where(inside, column, 0).astype(int), np.where(inside, row, 0).astype(int)
