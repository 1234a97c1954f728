"""How much of ln M comes from which annulus, band, and kind of photons."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from icmass.explanation.methods import ANNULI, METHODS, Attribution, Task
from icmass.explanation.regions import region_masks

NAMES = [f"{low:g}-{high:g}" for low, high in zip((0.0, *ANNULI[:-1]), ANNULI, strict=True)]
NAMES.append(f">{ANNULI[-1]:g}")


class Shares:
    """Sums of an attribution in counts over parts of the maps, a row a cluster.

    Parameters
    ----------
    labels : list of str
        The channels' bands [keV].
    """

    def __init__(self, labels: list[str]) -> None:
        self.labels = labels
        self.rows: dict[str, list[np.ndarray]] = {}

    def add(
        self, task: Task, survey: xr.Dataset, index: np.ndarray, attribution: Attribution
    ) -> None:
        """Add the clusters `index` of a task, attributed in counts.

        Occlusion, which tells annuli apart alone, is summed over them alone.
        """
        excess = (task.explained.sample.counts - task.baseline).cpu().numpy()
        annulus = task.annulus.cpu().numpy()
        by_pixel = METHODS[attribution.method].by_pixel
        regions = region_masks(task.explained, survey, index) if by_pixel else {}
        for kind, values in (("attribution", attribution.values), ("photons", excess)):
            rings = [(values * (annulus == i)).sum((1, 2, 3)) for i in range(len(NAMES))]
            self._put(f"annuli {kind}", np.stack(rings, 1))
            if by_pixel:
                self._put(f"bands {kind}", values.sum((2, 3)))
            if regions:
                inside = [(values * mask).sum((1, 2, 3)) for mask in regions.values()]
                rest = values.sum((1, 2, 3)) - np.sum(inside, axis=0)
                self._put(f"regions {kind}", np.stack([*inside, rest], 1))

    def _put(self, key: str, rows: np.ndarray) -> None:
        self.rows.setdefault(key, []).append(rows)

    def document(self) -> dict[str, Any]:
        """Return, for each part, means over clusters, ready for JSON.

        ``ln_m`` is what the part adds to ln M (or its width), with the error of the mean,
        ``photons`` its counts less those expected of the background, ``ln_m_per_photon`` the
        former over the latter, of all clusters together.
        """
        named = {"annuli": NAMES, "bands": self.labels, "regions": ["icm", "agn", "neither"]}
        found: dict[str, Any] = {}
        for part, names in named.items():
            if f"{part} photons" not in self.rows:
                continue
            added = np.concatenate(self.rows[f"{part} attribution"]).astype("f8")
            photons = np.concatenate(self.rows[f"{part} photons"]).astype("f8")
            error = added.std(0) / np.sqrt(len(added))
            found[part] = {
                name: {
                    "ln_m": float(added[:, i].mean()),
                    "error": float(error[i]),
                    "photons": float(photons[:, i].mean()),
                    "ln_m_per_photon": float(added[:, i].sum() / photons[:, i].sum())
                    if photons[:, i].sum()
                    else None,
                }
                for i, name in enumerate(names)
            }
        return found
