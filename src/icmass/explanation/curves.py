"""Deletion and insertion: does the prediction follow the pixels that a method calls important?

Pixels are replaced by the expected background, or put back into it, all bands at once, in the
order of a method; the sooner the prediction has gone, or come, the better the method knows what it
hangs on (Petsiuk et al. 2018, arXiv:1806.07421). Random order and the order of brightness stand
beside it. With a method that has signs curves go below 0 and above 1, where the pixels that move
the prediction the other way are still to come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from icmass.explanation.methods import Attribution, Task
from icmass.explanation.model import Quantity

SHARES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
"""Shares of the pixels replaced, the first ones first."""


@dataclass(frozen=True)
class Curves:
    """What is left of f(x) - f(baseline) as pixels go or come, mean over clusters, (share,)."""

    deletion: np.ndarray
    insertion: np.ndarray

    @property
    def areas(self) -> tuple[float, float]:
        """Areas under deletion (small is good) and insertion (large is good)."""
        deleted, inserted = (np.trapezoid(y, SHARES) for y in (self.deletion, self.insertion))
        return float(deleted), float(inserted)

    def document(self) -> dict[str, Any]:
        """Return the curves and their areas, ready for JSON."""
        areas = dict(zip(("deletion_area", "insertion_area"), self.areas, strict=True))
        return {"deletion": self.deletion.tolist(), "insertion": self.insertion.tolist(), **areas}


def curves(task: Task, score: np.ndarray, quantity: Quantity = "mean") -> Curves:
    """Follow a quantity while pixels are deleted and inserted in the order of a score.

    Parameters
    ----------
    task : Task
        n clusters and their baselines.
    score : ndarray, shape (n, y, x)
        Largest first; with a sign, positive for what moves f from the baseline towards f(x).
    """
    explained, rows = task.explained, task.explained.rows
    counts, bare = explained.sample.counts, task.baseline
    flat = torch.from_numpy(np.ascontiguousarray(score)).flatten(1)
    rank = flat.argsort(dim=1, descending=True, stable=True).argsort(dim=1).view(score.shape)
    place = (rank.to(counts.device)[:, None] + 0.5) / flat.shape[1]
    ends = [explained.values(maps, rows, quantity).cpu().numpy() for maps in (counts, bare)]
    sign = np.sign(ends[0] - ends[1])
    whole = np.abs(ends[0] - ends[1]).mean()
    kept: dict[str, list[float]] = {"deletion": [], "insertion": []}
    for share in SHARES:
        gone = place < share
        for name, maps in (
            ("deletion", torch.where(gone, bare, counts)),
            ("insertion", torch.where(gone, counts, bare)),
        ):
            found = explained.values(maps, rows, quantity).cpu().numpy()
            kept[name].append(float((sign * (found - ends[1])).mean() / whole))
    return Curves(np.array(kept["deletion"]), np.array(kept["insertion"]))


def order_of(attribution: Attribution, change: np.ndarray) -> np.ndarray:
    """Return a method's score of each pixel, all bands together, (n, y, x).

    Signed attributions are turned so that those with the sign of f(x) - f(baseline), `change`,
    come first.
    """
    score = attribution.values.sum(1)
    return score * np.sign(change)[:, None, None] if attribution.signed else score


def reference_orders(task: Task, seed: int) -> dict[str, np.ndarray]:
    """Return the orders that methods are compared with: random, and by counts, (n, y, x)."""
    brightness = task.explained.sample.counts.sum(1).cpu().numpy()
    rng = np.random.default_rng([seed, 13])
    tied = brightness + 1e-3 * rng.random(brightness.shape)  # equal counts in random order
    return {"random": rng.random(brightness.shape), "brightness": tied}
