"""What of a map was not seen, filled with what is seen at the same distance from its centre."""

from __future__ import annotations

import zlib

import numpy as np

from icmass.errors import InputError
from icmass.sky.map_grid import VISIBLE_COVERAGE


def fill_uncovered(
    counts: np.ndarray,
    coverage: np.ndarray,
    least: float = VISIBLE_COVERAGE,
    *,
    drawn: bool = False,
) -> np.ndarray:
    """Return counts as at full exposure; pixels that saw too little take their ring's mean.

    Parameters
    ----------
    counts : ndarray, shape (n, channel, y, x)
        Photon counts.
    coverage : ndarray, shape (n, 1, y, x)
        Exposure of the pixel over the cluster's exposure.
    least : float
        Pixels with less coverage than this are filled.
    drawn : bool
        Draw what is filled as whole photons, the same for the same counts: networks take roots and
        logarithms of pixels, to which smooth means look brighter than photons (a hole of 45 arcsec
        at 0.5 R500c then raises ln M500c by 0.03).
    """
    side = counts.shape[-1]
    offset = np.arange(side) - (side - 1) / 2
    ring = np.hypot(offset[:, None], offset).astype(int)
    n_rings = ring.max() + 1
    filled = counts.astype("f4")
    for cluster, seen in zip(filled, coverage[:, 0], strict=True):
        good = seen >= least
        if not good.any():
            raise InputError(
                "0 everywhere", field="variable coverage", hint="check the mask and the position"
            )
        exposure = np.bincount(ring[good], seen[good], n_rings)
        for channel in cluster:
            total = np.bincount(ring[good], channel[good], n_rings)
            lone = exposure == 0
            rate = np.where(lone, total.sum() / exposure.sum(), total / np.where(lone, 1, exposure))
            channel[good] /= seen[good]
            channel[~good] = rate[ring[~good]]
            if drawn:
                rng = np.random.default_rng(zlib.crc32(channel.tobytes()))
                channel[~good] = rng.poisson(channel[~good])
    return filled
