"""Numbers that are measured on the maps of a survey, for regressions: counts in rings, morphology.

Nothing here knows the true R500c: radii are fixed, in comoving Mpc/h.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.observe.image_statistics import image_statistics, x_ray_peak
from icmass.proxies.names import REFERENCE_EXPOSURE_S, read_scalar
from icmass.sky.map_grid import VISIBLE_COVERAGE
from icmass.survey.catalog import half_width_mpc_h
from icmass.survey.counts import counts, read_coverage
from icmass.survey.uncovered import fill_uncovered

RING_EDGES_MPC_H = np.array([0, 0.04, 0.08, 0.13, 0.2, 0.3, 0.42, 0.56, 0.75, 1.0, 1.3, 1.7, 2.3])
"""Edges of the twelve rings about the map's centre [comoving Mpc/h]."""
APERTURE_MPC_H = 1.0
"""Radius of the aperture of the morphology [comoving Mpc/h]: R500c of 4e14 Msun/h at z = 0.2."""
PEAK_WITHIN_MPC_H = 0.5
"""The X-ray peak is looked for so near to the map's centre [comoving Mpc/h]."""
PEAK_SMOOTHING_MPC_H = 0.05
MORPHOLOGY = (
    "concentration",
    "centroid_shift",
    "p1",
    "p2",
    "p3",
    "p4",
    "axis_ratio",
    "cas_concentration",
    "asymmetry",
    "smoothness",
)
"""Of `icmass.observe.image_statistics.ImageStatistics`: those of Green et al. (2019)."""
_AT_ONCE = 64  # clusters


def ring_counts(survey: xr.Dataset, index: np.ndarray, *, sum_bands: bool) -> np.ndarray:
    """Return variance-stabilised photon counts in rings, at one exposure.

    Parameters
    ----------
    survey : Dataset
    index : ndarray of int, shape (n,)
    sum_bands : bool
        Whether the bands are added.

    Returns
    -------
    ndarray, shape (n, ring) or (n, band * ring)
        sqrt(N + 3/8) (Anscombe 1948, Biometrika 35, 246) times the root of the reference exposure
        over the cluster's. N is the counts over the exposed fraction of the ring's pixels: NaN
        where nothing of it is seen, 0 where no pixel of a coarse map lies in it.
    """
    rings = _ring_weights(survey.sizes["x"], half_width_mpc_h(survey))
    held = []
    for part in _parts(index):
        image = counts(survey, part).astype("f4")
        image = image.sum(1, keepdims=True) if sum_bands else image
        if "coverage" in survey:
            seen = read_coverage(survey, part)
            seen = np.where(seen >= VISIBLE_COVERAGE, seen, 0)
            image = image * (seen > 0)[:, None]
            exposed = (seen.reshape(len(part), -1) @ rings)[:, None]
        else:
            exposed = rings.sum(0)[None, None]
        summed = image.reshape(*image.shape[:2], -1) @ rings
        of_ring = rings.sum(0)
        share = np.where(of_ring > 0, exposed / np.maximum(of_ring, 1), 1.0)
        share = np.where(share > 0, share, np.nan)
        root = np.sqrt(summed / share + 0.375)
        held.append(root.reshape(len(part), -1).astype("f8"))
    exposure = read_scalar(survey, "exposure", np.asarray(index))
    return np.concatenate(held) * np.sqrt(REFERENCE_EXPOSURE_S / exposure)[:, None]


def morphology_features(survey: xr.Dataset, index: np.ndarray) -> np.ndarray:
    """Return the morphology of the counts of all bands, and ln of their number in the aperture.

    Pixels that were not seen are filled with photons drawn at their ring's mean
    (`icmass.survey.uncovered.fill_uncovered`).

    Returns
    -------
    ndarray, shape (n, len(MORPHOLOGY) + 1)
        `MORPHOLOGY`, the power ratios as ln; then ln(N + 1) at the reference exposure. NaN where
        an image holds no photons.
    """
    half_width, side = half_width_mpc_h(survey), survey.sizes["x"]
    pixel = 2 * half_width / side
    if pixel * 10 > APERTURE_MPC_H:
        raise InputError(
            f"{side} pixels over {2 * half_width:g} Mpc/h are too coarse for the morphology",
            field="maps",
            hint=f"give pixels of {APERTURE_MPC_H / 10:g} Mpc/h or finer",
        )
    rows = []
    for part in _parts(index):
        images = counts(survey, part).sum(1, dtype="i8")[:, None]
        if "coverage" in survey:
            seen = read_coverage(survey, part)[:, None]
            images = fill_uncovered(images, seen, drawn=True)
        rows += [_morphology(image[0], pixel) for image in images]
    found = np.array(rows)
    exposure = read_scalar(survey, "exposure", np.asarray(index))
    found[:, -1] = np.log(found[:, -1] * REFERENCE_EXPOSURE_S / exposure + 1)
    return found


def _morphology(image: np.ndarray, pixel: float) -> list[float]:
    """Return `MORPHOLOGY` of one image, and its photons in the aperture."""
    middle, reach = len(image) // 2, max(round(PEAK_WITHIN_MPC_H / pixel), 1)
    near = slice(max(middle - reach, 0), middle + reach)
    row, column = x_ray_peak(image[near, near], PEAK_SMOOTHING_MPC_H / pixel)
    centre = near.start + row, near.start + column
    radius = APERTURE_MPC_H / pixel
    found = image_statistics(image, centre, radius)
    values = [float(vars(found)[name]) for name in MORPHOLOGY]
    logs = [np.log(max(v, 1e-12)) if n in ("p1", "p2", "p3", "p4") else v
            for n, v in zip(MORPHOLOGY, values, strict=True)]  # fmt: skip
    y, x = np.ogrid[: len(image), : len(image)]
    inside = np.hypot(y - centre[0], x - centre[1]) <= radius
    return [*logs, float(image[inside].sum())]


def _parts(index: np.ndarray) -> Iterator[np.ndarray]:
    index = np.asarray(index)
    for start in range(0, len(index), _AT_ONCE):
        yield index[start : start + _AT_ONCE]


def _ring_weights(n_pixels: int, half_width: float) -> np.ndarray:
    """Return 1 where a pixel lies in a ring, shape (pixel, ring)."""
    offset = (np.arange(n_pixels) + 0.5) * (2 * half_width / n_pixels) - half_width
    ring = np.digitize(np.hypot(offset[:, None], offset).ravel(), RING_EDGES_MPC_H) - 1
    result: np.ndarray = (ring[:, None] == np.arange(len(RING_EDGES_MPC_H) - 1)).astype("f4")
    return result
