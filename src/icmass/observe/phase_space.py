"""The phase-space cube: galaxies in x, y and velocity, smoothed by a kernel density."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit

from icmass.errors import InputError

CUTOFF = 6.0
"""Kernels end at this Mahalanobis distance. A voxel misses at most exp(-18) = 1.5e-8 of the peak of
one kernel; the cube 7.5e-8 of its sum (the chance of a chi of three degrees beyond 6), as long as
the kernel is wider than a voxel in every direction, as it is for the galaxies of a real cluster."""

_FEWEST = 4  # galaxies that a covariance in three dimensions takes


@dataclass(frozen=True)
class PhaseSpaceGrid:
    """The voxels of a cube, and the kernel's width.

    Parameters
    ----------
    n_pixels : int
        Voxels along each side.
    half_width : float
        Half the side in x and y [comoving Mpc/h].
    v_max : float
        Half the side in velocity [km/s].
    bandwidth : float
        The kernel's covariance is its square times that of the galaxies.

    Notes
    -----
    The defaults are those of Ho et al. 2023.
    """

    n_pixels: int = 64
    half_width: float = 2.3
    v_max: float = 3785.0
    bandwidth: float = 0.15

    def __post_init__(self) -> None:
        for name in ("n_pixels", "half_width", "v_max", "bandwidth"):
            if not 0 < getattr(self, name) < np.inf:
                raise InputError("must be more than 0 and finite", field=name)
        if int(self.n_pixels) != self.n_pixels:
            raise InputError("must be a whole number", field="n_pixels")

    @property
    def start(self) -> np.ndarray:
        """Centre of the first voxel in x, y [comoving Mpc/h] and v [km/s]."""
        return self.step / 2 - np.array([self.half_width, self.half_width, self.v_max])

    @property
    def step(self) -> np.ndarray:
        """Size of a voxel in x, y [comoving Mpc/h] and v [km/s]."""
        side = np.array([self.half_width, self.half_width, self.v_max])
        return 2 * side / self.n_pixels


_DEFAULT = PhaseSpaceGrid()


def phase_space_cube(
    x: np.ndarray, y: np.ndarray, v_los: np.ndarray, grid: PhaseSpaceGrid = _DEFAULT
) -> np.ndarray:
    """Return the kernel density of galaxies at the voxels' centres, normalised to a sum of 1.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Projected offset from the cluster [comoving Mpc/h].
    v_los : ndarray, shape (n,)
        Line-of-sight velocity relative to the cluster [km/s].
    grid : PhaseSpaceGrid

    Returns
    -------
    ndarray of float32, shape (n_pixels, n_pixels, n_pixels)
        Axes y, x, v. All zero if no galaxy lies within the window.

    Raises
    ------
    InputError
        If a coordinate is not finite or the lengths differ.

    Notes
    -----
    That of `scipy.stats.gaussian_kde` with ``bw_method=grid.bandwidth``, of the galaxies within the
    window (Ho et al. 2023), up to `CUTOFF`. Along v a kernel is a Gaussian on even steps, each of
    which costs two multiplications. Fewer than four galaxies, or galaxies on a plane, have no
    covariance: that of a uniform distribution over the window stands in. Where all kernels are so
    narrow that they fall between the voxels' centres, each galaxy counts in its own voxel.
    """
    points = _checked(x, y, v_los, grid)
    n = grid.n_pixels
    cube = np.zeros((n, n, n))
    if not len(points):
        return cube.astype(np.float32)
    precision = np.linalg.inv(grid.bandwidth**2 * _covariance(points, grid))
    _add_kernels(points, precision, grid.start, grid.step, CUTOFF**2, cube)
    total = cube.sum()
    if not total > 0:  # kernels so narrow that they fall between the voxels
        inside = ((points - grid.start) / grid.step + 0.5).astype(int).clip(0, n - 1)
        np.add.at(cube, (inside[:, 1], inside[:, 0], inside[:, 2]), 1.0)
        total = cube.sum()
    return (cube / total).astype(np.float32)


def phase_space_cubes(
    x: np.ndarray,
    y: np.ndarray,
    v_los: np.ndarray,
    offset: np.ndarray,
    grid: PhaseSpaceGrid = _DEFAULT,
) -> Iterator[np.ndarray]:
    """Yield the cube of one cluster after the other.

    Parameters
    ----------
    x, y, v_los : ndarray, shape (galaxies of all clusters,)
        As in `phase_space_cube`.
    offset : ndarray of int, shape (clusters + 1,)
        The galaxies of cluster i are ``offset[i]`` to ``offset[i + 1]``.

    Raises
    ------
    InputError
        If the offsets do not ascend within the galaxies.
    """
    if (np.diff(offset) < 0).any() or offset[0] < 0 or offset[-1] > len(x):
        raise InputError("do not ascend within the galaxies", field="galaxy_offset")
    for start, stop in pairwise(offset):
        members = slice(int(start), int(stop))
        yield phase_space_cube(x[members], y[members], v_los[members], grid)


def _checked(x: np.ndarray, y: np.ndarray, v_los: np.ndarray, grid: PhaseSpaceGrid) -> np.ndarray:
    """Return the galaxies within the window, edges included, (n, 3)."""
    if not len(x) == len(y) == len(v_los):
        raise InputError(
            f"{len(x)}, {len(y)} and {len(v_los)} values", field="x, y, v_los", hint="give as many"
        )
    points = np.stack([x, y, v_los], axis=1).astype(float)
    if not np.isfinite(points).all():
        raise InputError("holds values that are not finite", field="x, y, v_los")
    edge = np.array([grid.half_width, grid.half_width, grid.v_max])
    return points[(np.abs(points) <= edge).all(axis=1)]


def _covariance(points: np.ndarray, grid: PhaseSpaceGrid) -> np.ndarray:
    """Return the covariance of points, or that of a uniform distribution if they have none."""
    even = np.array([grid.half_width, grid.half_width, grid.v_max]) ** 2 / 3
    if len(points) >= _FEWEST:
        covariance: np.ndarray = np.cov(points, rowvar=False)
        scaled = covariance / np.sqrt(np.outer(even, even))
        if np.linalg.eigvalsh(scaled)[0] > 1e-9:
            return covariance
    return np.diag(even)


@njit(cache=True, nogil=True)
def _add_kernels(points, precision, start, step, cutoff, cube):  # type: ignore[no-untyped-def]
    n = cube.shape[0]
    pvv = precision[2, 2]
    # of the best velocity at given x and y: its shift, and what is left of the exponent
    shift_x, shift_y = precision[0, 2] / pvv, precision[1, 2] / pvv
    qxx = precision[0, 0] - shift_x * precision[0, 2]
    qxy = precision[0, 1] - shift_x * precision[1, 2]
    qyy = precision[1, 1] - shift_y * precision[1, 2]
    reach_y = math.sqrt(cutoff / (qyy - qxy * qxy / qxx))
    decay = math.exp(-pvv * step[2] ** 2)
    for g in range(points.shape[0]):
        gx, gy, gv = points[g, 0], points[g, 1], points[g, 2]
        first = max(0, math.ceil((gy - reach_y - start[1]) / step[1]))
        last = min(n - 1, math.floor((gy + reach_y - start[1]) / step[1]))
        for iy in range(first, last + 1):
            dy = start[1] + iy * step[1] - gy
            middle = gx - qxy / qxx * dy
            left = cutoff - (qyy - qxy * qxy / qxx) * dy * dy
            if left <= 0:
                continue
            half = math.sqrt(left / qxx)
            x_first = max(0, math.ceil((middle - half - start[0]) / step[0]))
            x_last = min(n - 1, math.floor((middle + half - start[0]) / step[0]))
            for ix in range(x_first, x_last + 1):
                dx = start[0] + ix * step[0] - gx
                q = qxx * dx * dx + 2 * qxy * dx * dy + qyy * dy * dy
                if q >= cutoff:
                    continue
                best = gv - shift_x * dx - shift_y * dy
                half_v = math.sqrt((cutoff - q) / pvv)
                v_first = max(0, math.ceil((best - half_v - start[2]) / step[2]))
                v_last = min(n - 1, math.floor((best + half_v - start[2]) / step[2]))
                dv = start[2] + v_first * step[2] - best
                value = math.exp(-0.5 * (q + pvv * dv * dv))
                ratio = math.exp(-pvv * step[2] * (dv + 0.5 * step[2]))
                for iv in range(v_first, v_last + 1):
                    cube[iy, ix, iv] += value
                    value *= ratio
                    ratio *= decay
