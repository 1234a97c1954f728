"""Which energies an event file holds: whether a band was cut away when the file was made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from icmass.io.events import EventFile
from icmass.sky.bands import Band

ENOUGH = 100_000
"""So many events tell where a file's energies end."""
_UNLIKELY = 1e-6
_LEAST_GAP = 0.1


def sample_energies(file: EventFile) -> np.ndarray:
    """Return the energies of the first events of a file [keV], `ENOUGH` or all there are."""
    found: list[np.ndarray] = []
    n = 0
    for events in file.chunks():
        found.append(np.asarray(events["PI"], float)[: ENOUGH - n] / 1e3)
        n += len(found[-1])
        if n >= ENOUGH:
            break
    energies = np.concatenate(found) if found else np.zeros(0)
    return energies[np.isfinite(energies)]


def covers(energies: np.ndarray, bands: Sequence[Band]) -> bool:
    """Return whether a file with these energies was not cut within the bands.

    Parameters
    ----------
    energies : ndarray, shape (n,)
        Of events of the file [keV].
    bands : sequence of (float, float)
        Bands [keV], in ascending order.

    Notes
    -----
    Looked at are the outer halves of the first and the last band: n events, the outermost of
    which leaves a part g of the half empty. Events spread evenly leave so much with probability
    (1 - g)^n. A cut is what leaves a tenth or more at a probability below 1e-6, or no event at all.
    """
    (lo, hi), (low, high) = bands[0], bands[-1]
    below = ((lo + hi) / 2 - energies) / ((hi - lo) / 2)
    above = (energies - (low + high) / 2) / ((high - low) / 2)
    return _reaches(below) and _reaches(above)


def _reaches(place: np.ndarray) -> bool:
    """Return whether what lies within 0 and 1 goes on to 1."""
    inside = place[(place >= 0) & (place <= 1)]
    if not inside.size:
        return False
    gap = 1 - float(inside.max())
    return gap < _LEAST_GAP or inside.size * np.log1p(-gap) > np.log(_UNLIKELY)
