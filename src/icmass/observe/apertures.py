"""Photon-count proxies from count maps: pure array functions.

An aperture is a circle about the map's centre. A pixel counts with all of its photons if its
centre lies in the circle (or on its edge), and not at all otherwise: counts stay whole numbers. The
area of R500c is then right to about 1 per cent for maps of 128 pixels over 4.6 Mpc/h.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from icmass.errors import InputError

APERTURES = {"n_phot_r500": 1.0, "n_phot_2r500": 2.0}
"""Radius of each aperture in units of R500c; ``n_phot`` is the whole map."""


@lru_cache(maxsize=8)
def _by_radius(n_pixels: int, half_width: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the order of the flattened pixels by radius, and their sorted radii."""
    centre = (np.arange(n_pixels) + 0.5) * (2 * half_width / n_pixels) - half_width
    radius = np.hypot(centre[:, None], centre[None, :]).ravel()
    order = np.argsort(radius, kind="stable")
    return order, radius[order]


def photon_counts(
    counts: np.ndarray, r500c: np.ndarray | float, *, half_width: float
) -> dict[str, np.ndarray]:
    """Count the photons in the map, within R500c and within 2 R500c, in projection.

    Parameters
    ----------
    counts : ndarray, shape (n, ..., y, x)
        Photon counts; the axes between the first and the last two (components, bands) are added up.
    r500c : ndarray, shape (n,)
        R500c [comoving Mpc/h]. An aperture that reaches beyond the map is cut by its edge.
    half_width : float
        Half the side of the map [comoving Mpc/h].

    Returns
    -------
    dict of str to ndarray, shape (n,)
        ``n_phot``, ``n_phot_r500``, ``n_phot_2r500`` (whole numbers as floats).

    Notes
    -----
    The paper's N_phot,500c is named for R500c, but its code's radius comes out at 2 R500c; both are
    here (Ho et al. 2023, analysis notebook). Both apertures know the true R500c.
    """
    counts = np.asarray(counts)
    r500c = np.atleast_1d(np.asarray(r500c, float))
    if counts.ndim < 3 or counts.shape[-1] != counts.shape[-2] or len(r500c) != len(counts):
        raise InputError(
            f"counts of shape {counts.shape} for {len(r500c)} radii",
            field="counts",
            hint="give shape (n, ..., y, x) with square maps and one r500c per cluster",
        )
    if not (r500c > 0).all():
        raise InputError("holds values that are not positive", field="r500c")
    n_pixels = counts.shape[-1]
    between = tuple(range(1, counts.ndim - 2))
    image = counts.sum(axis=between, dtype=_accumulator(counts.dtype)) if between else counts
    order, radius = _by_radius(n_pixels, float(half_width))
    enclosed = image.reshape(len(counts), -1)[:, order].cumsum(axis=1, dtype="f8")
    by_aperture = {"n_phot": enclosed[:, -1].copy()}
    enclosed = np.pad(enclosed, ((0, 0), (1, 0)))
    for name, factor in APERTURES.items():
        n_inside = np.searchsorted(radius, factor * r500c * (1 + 1e-12), side="right")
        by_aperture[name] = enclosed[np.arange(len(counts)), n_inside]
    return by_aperture


def aperture_areas(r500c: np.ndarray, *, n_pixels: int, half_width: float) -> dict[str, np.ndarray]:
    """Return the pixels in the map and in each aperture, named as the counts of `photon_counts`.

    Of a map that is only partly seen, `photon_counts` of its coverage gives the part that is.
    """
    _, radius = _by_radius(n_pixels, float(half_width))
    areas = {"n_phot": np.full(len(r500c), float(n_pixels**2))}
    for name, factor in APERTURES.items():
        edge = factor * r500c * (1 + 1e-12)
        areas[name] = np.searchsorted(radius, edge, side="right").astype("f8")
    return areas


def _accumulator(dtype: np.dtype) -> str:
    return "u4" if dtype.kind == "u" and dtype.itemsize <= 2 else "f8"
