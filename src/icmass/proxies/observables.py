"""Photon-count proxies: photons in apertures, with and without the local background."""

from __future__ import annotations

import numpy as np

from icmass.observe.apertures import APERTURES, aperture_areas, photon_counts

__all__ = ["APERTURES", "aperture_areas", "net_photon_counts", "photon_counts"]


def net_photon_counts(
    counts: dict[str, np.ndarray], *, total: dict[str, np.ndarray], visible: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Subtract the local background from counts in apertures, and correct for masked area.

    The background is the mean of the map outside 2 R500c, where the map reaches so far. Without
    this the number of background photons in an aperture of the true R500c, which grows as
    M500c^(2/3), would pass for knowledge of the mass.

    Parameters
    ----------
    counts : dict of str to ndarray, shape (n,)
        ``n_phot``, ``n_phot_r500``, ``n_phot_2r500``.
    total, visible : dict of str to ndarray, shape (n,)
        Pixels of the map and the apertures, and the sum of their coverage.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        ``n_phot_r500`` and ``n_phot_2r500``, which may be negative.
    """
    outside = visible["n_phot"] - visible["n_phot_2r500"]
    level = _ratio(counts["n_phot"] - counts["n_phot_2r500"], outside)
    net = {}
    for name in APERTURES:
        net[name] = _ratio(counts[name] - level * visible[name], visible[name]) * total[name]
    return net


def _ratio(counts: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return counts per pixel, 0 where no pixel is seen."""
    return np.divide(counts, pixels, out=np.zeros_like(counts, "f8"), where=pixels > 0)
