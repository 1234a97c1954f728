"""Posteriors of ln M500c: Gaussian, or tabulated on one grid that all networks share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.special import ndtr, ndtri

LNM_GRID = np.linspace(12.6, 15.8, 369) * np.log(10)
"""Nodes of ln(M500c / (Msun/h)) of a tabulated posterior, even; a step is 0.02."""
M500C_GRID = np.exp(LNM_GRID)
"""M500c of the same nodes [Msun/h]."""
LNM_STEP = float(LNM_GRID[1] - LNM_GRID[0])


@dataclass(frozen=True)
class Prediction:
    """Predicted ln M500c of n clusters: a Gaussian in ln M500c, or a density on `LNM_GRID`.

    Attributes
    ----------
    mean : ndarray, shape (n,)
        Mean of ln(M500c / (Msun/h)).
    std : ndarray, shape (n,)
        Standard deviation of ln M500c.
    density : ndarray of shape (n, len(LNM_GRID)), or None
        Probability per unit of ln M500c at `LNM_GRID`, linear between its nodes and with an
        integral of 1; None: Gaussian.
    out_of_domain : ndarray of shape (n,), or None
        Distance from what the estimator was trained on, over the threshold beyond which it should
        not be believed: flagged where above 1. None: the estimator does not tell.
    """

    mean: np.ndarray
    std: np.ndarray
    density: np.ndarray | None = None
    out_of_domain: np.ndarray | None = None

    @classmethod
    def from_density(cls, density: np.ndarray, out_of_domain: np.ndarray | None = None) -> Self:
        """Return the prediction of densities at `LNM_GRID`, shape (n, node), of any norm."""
        density = normalised(density)
        weight = _weights() * density
        mean = weight @ LNM_GRID
        variance = (weight * (LNM_GRID - mean[:, None]) ** 2).sum(1)
        return cls(mean, np.sqrt(variance), density, out_of_domain)

    def __len__(self) -> int:
        return len(self.mean)

    def take(self, index: np.ndarray) -> Prediction:
        """Return the predictions of some of the clusters."""
        density = None if self.density is None else self.density[index]
        score = None if self.out_of_domain is None else self.out_of_domain[index]
        return Prediction(self.mean[index], self.std[index], density, score)

    @property
    def median(self) -> np.ndarray:
        """Median of ln M500c, shape (n,)."""
        return self.quantile(0.5)

    def tabulated(self) -> np.ndarray:
        """Return the density at `LNM_GRID`, shape (n, node), of Gaussians too."""
        if self.density is not None:
            return self.density
        w = (LNM_GRID - self.mean[:, None]) / self.std[:, None]
        return normalised(np.exp(-(w**2) / 2))

    def quantile(self, level: float) -> np.ndarray:
        """Return the quantile of ln M500c at `level` in (0, 1), shape (n,)."""
        if self.density is None:
            result: np.ndarray = self.mean + ndtri(level) * self.std
            return result
        return _inverse(self.density, np.full((len(self), 1), level))[:, 0]

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the central interval of ln M500c that holds `level`: its ends, shape (n,)."""
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)

    def cdf(self, ln_m: np.ndarray) -> np.ndarray:
        """Return the probability of less than ln_m, shape (n,): at true masses, the PIT."""
        if self.density is None:
            result: np.ndarray = ndtr((ln_m - self.mean) / self.std)
            return result
        cumulative = _cumulative(self.density)
        i, part = _node(ln_m)
        rows = np.arange(len(self))
        left, right = self.density[rows, i], self.density[rows, i + 1]
        inside = (left + (right - left) * part / 2) * part * LNM_STEP
        result = np.clip(cumulative[rows, i] + inside, 0, 1)
        return result

    def log_prob(self, ln_m: np.ndarray) -> np.ndarray:
        """Return the log of the probability per unit of ln M500c at ln_m, shape (n,)."""
        if self.density is None:
            w = (ln_m - self.mean) / self.std
            result: np.ndarray = -(w**2) / 2 - np.log(self.std) - np.log(2 * np.pi) / 2
            return result
        i, part = _node(ln_m)
        rows = np.arange(len(self))
        value = self.density[rows, i] * (1 - part) + self.density[rows, i + 1] * part
        result = np.log(np.maximum(value, 1e-300))
        return result

    def crps(self, ln_m: np.ndarray) -> np.ndarray:
        """Return the continuous ranked probability score at true ln_m, shape (n,).

        The integral of (cdf - step at the truth)^2 over ln M (Gneiting & Raftery 2007, JASA 102,
        359, eq. 20); for a Gaussian in closed form: std [w (2 Phi(w) - 1) + 2 phi(w) - 1/sqrt(pi)]
        with w = residual/std (Gneiting et al. 2005, Mon. Weather Rev. 133, 1098, eq. 5). Smaller
        is better; for std -> 0 it is the absolute residual.
        """
        if self.density is None:
            w = (ln_m - self.mean) / self.std
            density = np.exp(-(w**2) / 2) / np.sqrt(2 * np.pi)
            result: np.ndarray = self.std * (
                w * (2 * ndtr(w) - 1) + 2 * density - 1 / np.sqrt(np.pi)
            )
            return result
        cumulative = _cumulative(self.density)
        step = np.clip((LNM_GRID - ln_m[:, None]) / LNM_STEP + 0.5, 0, 1)
        missed = cumulative**2 * (1 - step) + (1 - cumulative) ** 2 * step
        result = (missed * _weights()).sum(1)
        return result

    def sample(self, n_draws: int, rng: np.random.Generator) -> np.ndarray:
        """Draw ln M500c from each posterior, shape (n, n_draws)."""
        level = rng.random((len(self), n_draws))
        if self.density is None:
            result: np.ndarray = self.mean[:, None] + self.std[:, None] * ndtri(level)
            return result
        return _inverse(self.density, level)

    def with_prior(self, log_old: np.ndarray, log_new: np.ndarray) -> Prediction:
        """Divide one prior of ln M500c out and put another in.

        Parameters
        ----------
        log_old, log_new : ndarray, shape (n, node) or (node,)
            Log of the prior density at `LNM_GRID`, of any norm. The posterior stays within the
            masses where the old prior is not zero (``-inf``): outside them nothing was learned.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            change = np.where(np.isfinite(log_old), log_new - log_old, -np.inf)
            log = np.log(self.tabulated()) + change
        log = np.where(np.isnan(log), -np.inf, log)
        top = log.max(1, keepdims=True)
        density = np.exp(log - np.where(np.isfinite(top), top, 0.0))
        return replace(Prediction.from_density(density), out_of_domain=self.out_of_domain)

    def scale_width(self, factor: float) -> Prediction:
        """Return posteriors `factor` times as wide about their means."""
        if self.density is None:
            return replace(self, std=self.std * factor)
        at = self.mean[:, None] + (LNM_GRID - self.mean[:, None]) / factor
        place = np.clip((at - LNM_GRID[0]) / LNM_STEP, 0, len(LNM_GRID) - 1.001)
        i = place.astype(int)
        part = place - i
        rows = np.arange(len(self))[:, None]
        value = self.density[rows, i] * (1 - part) + self.density[rows, i + 1] * part
        outside = (at < LNM_GRID[0]) | (at > LNM_GRID[-1])
        found = Prediction.from_density(np.where(outside, 0.0, value))
        return replace(found, out_of_domain=self.out_of_domain)


def normalised(density: np.ndarray) -> np.ndarray:
    """Return densities at `LNM_GRID`, shape (n, node), with an integral of 1."""
    result: np.ndarray = density / (density @ _weights())[:, None]
    return result


def _weights() -> np.ndarray:
    """Return the weights of the trapezoidal rule on the grid, shape (node,)."""
    weight = np.full(len(LNM_GRID), LNM_STEP)
    weight[[0, -1]] /= 2
    return weight


def _cumulative(density: np.ndarray) -> np.ndarray:
    pieces = (density[:, 1:] + density[:, :-1]) / 2 * LNM_STEP
    return np.concatenate([np.zeros((len(density), 1)), np.cumsum(pieces, 1)], 1)


def _node(ln_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the node below each ln_m, and how far it is towards the next."""
    place = np.clip((ln_m - LNM_GRID[0]) / LNM_STEP, 0, len(LNM_GRID) - 1)
    i = np.minimum(place.astype(int), len(LNM_GRID) - 2)
    return i, place - i


def _inverse(density: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Return where the cumulative densities reach levels, shape (n, level)."""
    cumulative = _cumulative(density)
    cumulative /= cumulative[:, -1:]
    out = np.empty(level.shape)
    for row, (heights, wanted) in enumerate(zip(cumulative, level, strict=True)):
        out[row] = np.interp(wanted, heights, LNM_GRID)
    return out
