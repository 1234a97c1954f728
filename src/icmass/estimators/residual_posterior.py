"""Posteriors of estimators that give one number: from their residuals on clusters held out.

A mean prediction m of clusters that it was not fitted on leaves residuals r = ln M - m. How wide
they are is a quantile regression of |r| at the level 0.68 on m, redshift and exposure (Koenker &
Bassett 1978, Econometrica 46, 33), by gradient-boosted trees with the pinball loss; what shape they
have is the distribution of r over that width, the same for all: a locally weighted conformal
prediction (Lei et al. 2018, JASA 113, 1094), smoothed to a density.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from icmass.estimators.posterior import LNM_GRID, Prediction
from icmass.estimators.trees import TreeEnsemble

LEVEL = 0.68
N_QUANTILES = 101
"""Quantiles of the scaled residuals that are kept, at the middles of as many equal parts."""
_LEAST_WIDTH = 0.02  # a step of the grid: no narrower posterior can be tabulated
_MOST_CLUSTERS_A_LEAF = 60


@dataclass(frozen=True)
class ResidualPosterior:
    """Width by cluster, and shape for all.

    Attributes
    ----------
    width : TreeEnsemble
        ln of the half width that holds 68 per cent of the residuals.
    shape : ndarray, shape (N_QUANTILES,)
        Ascending quantiles of residual over half width.
    """

    width: TreeEnsemble
    shape: np.ndarray

    @classmethod
    def fit(
        cls, mean: np.ndarray, ln_m: np.ndarray, covariates: np.ndarray, seed: int
    ) -> ResidualPosterior:
        """Fit to mean predictions of clusters that were held out.

        Parameters
        ----------
        mean, ln_m : ndarray, shape (n,)
            ln M500c predicted by a fit without the cluster, and true.
        covariates : ndarray, shape (n, k)
            What the width may depend on beside the prediction.
        seed : int
        """
        from sklearn.ensemble import HistGradientBoostingRegressor

        residual = ln_m - mean
        trees = HistGradientBoostingRegressor(
            loss="quantile",
            quantile=LEVEL,
            max_iter=60,
            learning_rate=0.1,
            max_leaf_nodes=6,
            min_samples_leaf=int(min(max(len(mean) // 8, 5), _MOST_CLUSTERS_A_LEAF)),
            early_stopping=False,
            random_state=seed % 2**32,
        )
        # quantiles pass through the logarithm: that of ln |r| is the logarithm of that of |r|
        least = np.log(np.maximum(np.abs(residual), 1e-3))
        trees.fit(np.column_stack([mean, covariates]), least)
        fitted = cls(TreeEnsemble.of_boosting(trees), np.zeros(N_QUANTILES))
        scaled = residual / fitted._half_width(mean, covariates)
        levels = (np.arange(N_QUANTILES) + 0.5) / N_QUANTILES
        return cls(fitted.width, np.quantile(scaled, levels))

    def predict(self, mean: np.ndarray, covariates: np.ndarray) -> Prediction:
        """Return posteriors about mean predictions: densities on `LNM_GRID`.

        The quantiles are smoothed by a Gaussian of Silverman's width (0.9 of their robust scatter
        times n^-0.2), and shrunk so that the scatter stays what it was.
        """
        scatter = np.std(self.shape)
        quartiles = np.quantile(self.shape, [0.25, 0.75])
        robust = (quartiles[1] - quartiles[0]) / (2 * ndtri(0.75))
        kernel = 0.9 * max(min(scatter, robust or scatter), 1e-3) * len(self.shape) ** -0.2
        shrunk = np.sqrt(max(1 - (kernel / max(scatter, 1e-9)) ** 2, 0.0))
        nodes = self.shape.mean() + shrunk * (self.shape - self.shape.mean())
        width = self._half_width(mean, covariates)
        fine = np.linspace(nodes[0] - 6 * kernel, nodes[-1] + 6 * kernel, 2001)
        shape = np.exp(-(((fine[:, None] - nodes) / kernel) ** 2) / 2).sum(1)
        density = np.stack(
            [
                np.interp((LNM_GRID - m) / w, fine, shape, left=0.0, right=0.0)
                for m, w in zip(_within(mean), width, strict=True)
            ]
        )
        return Prediction.from_density(density)

    def _half_width(self, mean: np.ndarray, covariates: np.ndarray) -> np.ndarray:
        ln_width = self.width.predict(np.column_stack([mean, covariates]))
        result: np.ndarray = np.maximum(np.exp(ln_width), _LEAST_WIDTH)
        return result

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what is stored."""
        return {**self.width.arrays("width"), "shape": self.shape}

    @classmethod
    def of_arrays(cls, arrays: dict[str, np.ndarray]) -> ResidualPosterior:
        """Return what `arrays` has stored."""
        shape = arrays["shape"]
        if shape.ndim != 1 or len(shape) < 2 or (np.diff(shape) < 0).any():
            raise ValueError("shape is no ascending column of quantiles")
        return cls(TreeEnsemble.of_arrays(arrays, "width"), shape)


def _within(ln_m: np.ndarray) -> np.ndarray:
    """Return masses inside the grid, so that some of the density is."""
    result: np.ndarray = np.clip(ln_m, LNM_GRID[1], LNM_GRID[-2])
    return result
