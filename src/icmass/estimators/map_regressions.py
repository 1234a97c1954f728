"""Regressions on numbers measured on the maps: peers of the networks, without any of theirs.

Trees are fitted by scikit-learn and kept as arrays (`icmass.estimators.trees`): nothing is pickled,
and a model that was saved does not need scikit-learn. The posterior is that of the residuals of
clusters held out (`icmass.estimators.residual_posterior`).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.estimators.array_estimator import ArrayEstimator, Arrays
from icmass.estimators.map_features import morphology_features, ring_counts
from icmass.estimators.posterior import Prediction
from icmass.estimators.residual_posterior import ResidualPosterior
from icmass.estimators.trees import TreeEnsemble
from icmass.proxies.names import read_halos, read_scalar

N_FOLDS = 5
"""Parts of the training clusters, whole halos, of which each is held out once."""
FEWEST = 20


class MapRegression(ArrayEstimator):
    """Trees on numbers measured on the maps, with redshift, exposure and column density."""

    inputs: tuple[str, ...] = ("maps", "redshift", "exposure", "nh")
    keeps_prior: ClassVar[bool] = True

    @abstractmethod
    def features(self, survey: xr.Dataset, index: np.ndarray) -> np.ndarray:
        """Return what is measured on the maps of the clusters `index`, shape (n, feature)."""

    @abstractmethod
    def fit_trees(self, features: np.ndarray, ln_m: np.ndarray, seed: int) -> TreeEnsemble:
        """Return trees that give ln M500c [Msun/h]."""

    def fit_arrays(self, survey: xr.Dataset, train: np.ndarray) -> Arrays:
        """Fit on the clusters `train`; trees on all of them, the posterior on those held out."""
        if len(train) < FEWEST:
            raise InputError(f"{len(train)} clusters", field="train", hint=f"give {FEWEST} or more")
        measured, known = self.features(survey, train), _known(survey, train)
        features = np.column_stack([measured, known])
        ln_m = np.log(read_scalar(survey, "m500c", train))
        part = _parts_of_halos(read_halos(survey)[train], self.seed)
        mean = np.empty(len(train))
        for k in range(N_FOLDS):
            held = part == k
            trees = self.fit_trees(_usable(features[~held]), ln_m[~held], self.seed)
            mean[held] = trees.predict(features[held])
        posterior = ResidualPosterior.fit(mean, ln_m, known, self.seed)
        trees = self.fit_trees(_usable(features), ln_m, self.seed)
        return {**trees.arrays("trees"), **posterior.arrays()}

    def predict_arrays(self, survey: xr.Dataset, index: np.ndarray, arrays: Arrays) -> Prediction:
        """Return a posterior of each of the clusters `index`."""
        known = _known(survey, index)
        features = np.column_stack([self.features(survey, index), known])
        mean = TreeEnsemble.of_arrays(arrays, "trees").predict(features)
        return ResidualPosterior.of_arrays(arrays).predict(mean, known)

    def count_parameters(self, arrays: Arrays) -> int:
        """Return the leaves of all trees, and the quantiles of the residuals."""
        if not arrays:
            return 0
        held = [TreeEnsemble.of_arrays(arrays, prefix) for prefix in ("trees", "width")]
        return sum(trees.n_leaves for trees in held) + len(arrays["shape"])

    def check_arrays(self, arrays: Arrays) -> None:
        """Raise KeyError or ValueError if loaded arrays cannot be those of this estimator."""
        super().check_arrays(arrays)
        TreeEnsemble.of_arrays(arrays, "trees")
        ResidualPosterior.of_arrays(arrays)


class RingsGBM(MapRegression):
    """Gradient-boosted trees on variance-stabilised counts in twelve rings about the centre.

    ``rings-gbm-1band`` adds all bands, ``rings-gbm-3band`` (of surveys with any number of bands)
    takes each by itself.
    """

    key = "rings-gbm"
    summary = "gradient-boosted trees on root counts in twelve rings"
    n_trees: ClassVar[int] = 250

    def features(self, survey: xr.Dataset, index: np.ndarray) -> np.ndarray:
        """Return the counts in rings, see `ring_counts`."""
        return ring_counts(survey, index, sum_bands=self.name.endswith("1band"))

    def fit_trees(self, features: np.ndarray, ln_m: np.ndarray, seed: int) -> TreeEnsemble:
        """Fit `n_trees` trees of depth 4 with a learning rate of 0.05."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        settings: dict[str, Any] = {"max_iter": self.n_trees, "learning_rate": 0.05, "max_depth": 4}
        leaf = min(20, max(len(ln_m) // 10, 2))
        model = HistGradientBoostingRegressor(
            **settings, min_samples_leaf=leaf, early_stopping=False, random_state=seed % 2**32
        )
        return TreeEnsemble.of_boosting(model.fit(features, ln_m))


class ForestMorphology(MapRegression):
    """A random forest on the morphology of the image, as Green et al. (2019, ApJ 884, 33).

    Theirs are concentration, centroid shift, power ratios, asymmetry and smoothness about the X-ray
    peak within R500c, which they know; here within 1 comoving Mpc/h, with the number of photons
    there, redshift, exposure and column density.
    """

    key = "forest-morphology"
    summary = "a random forest on the morphology of the image and its photons"
    n_trees: ClassVar[int] = 200

    def features(self, survey: xr.Dataset, index: np.ndarray) -> np.ndarray:
        """Return the morphology, see `morphology_features`."""
        return morphology_features(survey, index)

    def fit_trees(self, features: np.ndarray, ln_m: np.ndarray, seed: int) -> TreeEnsemble:
        """Fit `n_trees` trees, a third of the features at each split, 3 clusters or more a leaf."""
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(
            self.n_trees, max_features=1 / 3, min_samples_leaf=3, random_state=seed % 2**32
        )
        return TreeEnsemble.of_forest(forest.fit(features, ln_m))


def _usable(features: np.ndarray) -> np.ndarray:
    """Return features to fit on: a column that is missing of all clusters is 0, not NaN."""
    return np.where(np.isnan(features).all(0), 0.0, features)


def _known(survey: xr.Dataset, index: np.ndarray) -> np.ndarray:
    """Return redshift, ln exposure and N_H, shape (n, 3)."""
    names = ("redshift", "exposure", "nh")
    redshift, exposure, nh = (read_scalar(survey, name, np.asarray(index)) for name in names)
    return np.column_stack([redshift, np.log(exposure), nh])


def _parts_of_halos(halo_id: np.ndarray, seed: int) -> np.ndarray:
    """Return the part of each cluster, 0 to N_FOLDS - 1: all of a halo's in one."""
    halos, halo = np.unique(halo_id, return_inverse=True)
    if len(halos) < N_FOLDS:
        hint = f"train on {N_FOLDS} halos or more"
        raise InputError(f"{len(halos)} halos", field="variable halo_id", hint=hint)
    part = np.arange(len(halos)) % N_FOLDS
    return np.random.default_rng([seed, 7]).permutation(part)[halo]
