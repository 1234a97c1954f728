"""Energy bands: what they are called, and which of some given ones add up to another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Band = tuple[float, float]
"""Lowest and highest energy [keV]."""
ENERGY_BANDS = "ICM_BAND"
"""Keyword of a mock's event files: the bands within which energies are drawn."""
_SAME_KEV = 1e-3


def band_label(band: Band) -> str:
    """Return what a survey calls a band: its edges [keV], ``0.2-2.3``."""
    return f"{band[0]:g}-{band[1]:g}"


def band_labels(bands: Sequence[Band]) -> str:
    """Return several bands in words, ``0.5-1.2, 1.2-2 keV``."""
    return ", ".join(band_label(band) for band in bands) + " keV"


def same_bands(bands: Sequence[Band], others: Sequence[Band]) -> bool:
    """Return whether bands are the same in the same order.

    Examples
    --------
    >>> same_bands([(0.5, 2.0)], [(0.50, 2.00)]), same_bands([(0.5, 2.0)], [(0.5, 2.3)])
    (True, False)
    """
    return len(bands) == len(others) and np.allclose(bands, others, rtol=0, atol=_SAME_KEV)


def find_tiles(band: Band, given: Sequence[Band]) -> list[int] | None:
    """Return the indices of the given bands that tile `band` exactly, in order of energy.

    Parameters
    ----------
    band : (float, float)
        What is wanted [keV].
    given : sequence of (float, float)
        What there is [keV], in any order; bands may overlap each other.

    Returns
    -------
    list of int or None
        None where no choice of them begins and ends where `band` does, without gap or overlap.
    """

    def tiles(lo: float) -> list[int] | None:
        if np.isclose(lo, band[1], rtol=0, atol=_SAME_KEV):
            return []
        for i, (start, stop) in enumerate(given):
            if np.isclose(start, lo, rtol=0, atol=_SAME_KEV) and stop <= band[1] + _SAME_KEV:
                rest = tiles(stop)
                if rest is not None:
                    return [i, *rest]
        return None

    return tiles(band[0])
