"""Maps: photons binned in bands and pixels, and the background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from icmass.observe.photons import Photons
from icmass.telescope.background import Background


@dataclass(frozen=True)
class Grid:
    """The pixels of a map: `n_pixels` squared over +-`half_width` [comoving Mpc/h]."""

    n_pixels: int
    half_width: float
    bands: tuple[tuple[float, float], ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a map (band, y, x)."""
        return len(self.bands), self.n_pixels, self.n_pixels


def bin_photons(
    photons: Photons, grid: Grid, coverage: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """Count photons per band and pixel, uint16 (band, y, x).

    Parameters
    ----------
    coverage : ndarray, shape (y, x), or None
        Each photon is kept with the coverage of its pixel as probability.
    """
    out = np.zeros(grid.shape, np.uint16)
    lo = np.array([band[0] for band in grid.bands])
    hi = np.array([band[1] for band in grid.bands])
    keep = np.ones((1, 1), np.float32) if coverage is None else coverage.astype(np.float32)
    _bin(photons.energy, photons.x, photons.y, lo, hi, grid.half_width, keep, rng, out)
    return out


@njit(cache=True)
def _bin(energy, x, y, lo, hi, half_width, coverage, rng, out):  # type: ignore[no-untyped-def]
    n = out.shape[1]
    scale = n / (2 * half_width)
    thin = coverage.shape[0] == n
    for i in range(len(energy)):
        fx, fy = (x[i] + half_width) * scale, (y[i] + half_width) * scale
        if not (0 <= fx < n and 0 <= fy < n):
            continue
        px, py = int(fx), int(fy)
        if thin and rng.random() >= coverage[py, px]:
            continue
        for band in range(len(lo)):
            if lo[band] <= energy[i] < hi[band]:
                if out[band, py, px] < 65535:
                    out[band, py, px] += 1
                break


def background_map(
    background: Background,
    grid: Grid,
    *,
    exposure: float,
    arcmin_per_mpc_h: float,
    coverage: np.ndarray | None,
    rng: np.random.Generator,
    resolved_rate: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Draw the sky and particle background, uint16 (band, y, x).

    Parameters
    ----------
    background : Background
    grid : Grid
    exposure : float
        [s]
    arcmin_per_mpc_h : float
        Angle of one comoving Mpc/h at the cluster [arcmin].
    coverage : ndarray, shape (y, x), or None
    rng : numpy.random.Generator
    resolved_rate : ndarray, shape (band,)
        Part of the measured rate that is drawn as sources instead [counts/s/arcmin^2].

    Notes
    -----
    The expectation is the measured rate of each band times a lognormal factor, one per cell of
    the size and with the excess scatter that the background model states; cells start at a
    random place. Within a cell photons fall uniformly.
    """
    side = 2 * grid.half_width * arcmin_per_mpc_h
    rates = np.array([sum(background.rate(lo, hi)) for lo, hi in grid.bands]) - resolved_rate
    cells = int(np.ceil(side / background.cell_arcmin)) + 1
    start = rng.random(2) * background.cell_arcmin
    sigma = np.sqrt(np.log1p(background.excess_fraction**2))
    level = np.exp(sigma * rng.standard_normal((cells, cells)) - sigma**2 / 2)
    expected = rates[:, None, None] * level * (exposure * background.cell_arcmin**2)
    number = rng.poisson(expected)
    keep = np.ones((1, 1), np.float32) if coverage is None else coverage.astype(np.float32)
    out = np.zeros(grid.shape, np.uint16)
    cell_in_pixels = background.cell_arcmin / side * grid.n_pixels
    _fill_cells(number, start / side * grid.n_pixels, cell_in_pixels, keep, rng, out)
    return out


@njit(cache=True)
def _fill_cells(number, start, cell, coverage, rng, out):  # type: ignore[no-untyped-def]
    n = out.shape[1]
    thin = coverage.shape[0] == n
    for band in range(number.shape[0]):
        for row in range(number.shape[1]):
            for col in range(number.shape[2]):
                for _ in range(number[band, row, col]):
                    fy = (row + rng.random()) * cell - start[0]
                    fx = (col + rng.random()) * cell - start[1]
                    if not (0 <= fx < n and 0 <= fy < n):
                        continue
                    py, px = int(fy), int(fx)
                    if not thin or rng.random() < coverage[py, px]:
                        out[band, py, px] += 1
