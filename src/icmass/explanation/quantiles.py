"""Quantiles of very many positive numbers, without keeping them."""

from __future__ import annotations

import numpy as np

_LOW, _HIGH, _PER_DEX = -12.0, 4.0, 100


class LogQuantiles:
    """Histograms of log10 of positive numbers in rows, that quantiles are read off.

    Bins are 0.01 dex wide from -12 to 4; what is smaller, zeros too, is in the lowest.

    Parameters
    ----------
    n_rows : int
        Number of histograms.

    Examples
    --------
    >>> held = LogQuantiles(1)
    >>> held.add(np.zeros(3, int), np.array([0.1, 1.0, 10.0]))
    >>> abs(round(float(held.quantile(0.5)[0]), 2))
    0.0
    """

    def __init__(self, n_rows: int) -> None:
        self.n_bins = round((_HIGH - _LOW) * _PER_DEX)
        self.counts = np.zeros((n_rows, self.n_bins))

    def add(self, row: np.ndarray, values: np.ndarray) -> None:
        """Count values, in rows of the same shape; those of rows outside are left out."""
        row, values = np.broadcast_arrays(row, values)
        inside = (row >= 0) & (row < len(self.counts))
        with np.errstate(divide="ignore"):
            log = np.log10(values[inside])
        place = np.clip((log - _LOW) * _PER_DEX, 0, self.n_bins - 1).astype(int)
        flat = np.bincount(row[inside] * self.n_bins + place, minlength=self.counts.size)
        self.counts += flat.reshape(self.counts.shape)

    @property
    def n(self) -> np.ndarray:
        """How many values each row has, shape (row,)."""
        return self.counts.sum(1)

    def quantile(self, level: float) -> np.ndarray:
        """Return log10 of the quantile of every row, NaN where it is empty, shape (row,)."""
        edges = _LOW + np.arange(self.n_bins + 1) / _PER_DEX
        out = np.full(len(self.counts), np.nan)
        for i, counts in enumerate(self.counts):
            if total := counts.sum():
                cumulative = np.concatenate([[0.0], np.cumsum(counts)]) / total
                out[i] = np.interp(level, cumulative, edges)
        return out

    def summary(self, row: int) -> dict[str, float]:
        """Return the median of log10 in a row, how far the 16th and 84th percentile are, and n."""
        low, middle, high = (float(self.quantile(q)[row]) for q in (0.16, 0.5, 0.84))
        return {
            "median": middle,
            "minus": middle - low,
            "plus": high - middle,
            "n": int(self.n[row]),
        }
