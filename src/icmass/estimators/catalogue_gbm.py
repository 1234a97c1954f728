"""Masses from rows of a catalogue: boosted trees on rates, extent, likelihoods and redshift.

The mean of ln M is a power law of luminosity and E(z), of whichever rate a row has, and what
gradient-boosted trees add to it; columns that a catalogue lacks are missing values, which the trees
were trained with. The posterior is that of clusters held out (`residual_posterior`).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import xarray as xr
from scipy.special import chdtri

from icmass.errors import InputError
from icmass.estimators.array_estimator import ArrayEstimator, Arrays
from icmass.estimators.catalogue_features import (
    FEATURES,
    RATES,
    catalogue_features,
    column_of_feature,
    drop_columns,
)
from icmass.estimators.posterior import Prediction
from icmass.estimators.residual_posterior import ResidualPosterior
from icmass.estimators.trees import TreeEnsemble
from icmass.proxies.names import read_halos, read_scalar
from icmass.survey.catalog import survey_cosmology
from icmass.survey.catalogue_rows import CATALOGUE

COPIES, N_FOLDS, FEWEST = 5, 5, 100
FLAGGED_OF_TRAINING = 0.005
"""Part of the training rows that is as far out as the least that is flagged."""
_TAIL = 0.005
_OOD = tuple(i for i, name in enumerate(FEATURES) if name != "extent_arcsec")
_COVARIATES = (
    "redshift", "ln_luminosity_rate", "ln_luminosity_rate_r500c", "ln_luminosity_rate_300kpc",
    "ln_counts", "ln_detection_likelihood", "ln_extent_likelihood", "share_p3", "extent_arcsec",
)  # fmt: skip
_COVARIATE_COLUMNS = tuple(column_of_feature(name) for name in _COVARIATES)


class CatalogueGBM(ArrayEstimator):
    """Gradient-boosted trees on the columns of a catalogue, any of which may be missing.

    A training survey holds rows that are not ``detected`` too: they make the prior of the masses,
    the others the posterior. Detection is a matter of the row alone, so that what is known of it is
    in the row already: a posterior under the prior of all halos holds for those detected.
    """

    key = "catalogue-gbm"
    kind = "features"
    summary = "gradient-boosted trees on the columns of a source catalogue"
    inputs: tuple[str, ...] = tuple(CATALOGUE)
    keeps_prior: ClassVar[bool] = True

    def fit_arrays(self, survey: xr.Dataset, train: np.ndarray) -> Arrays:
        """Fit on the detected rows among `train`."""
        if "detected" in survey:
            train = train[survey["detected"].values[train]]
        if len(train) < FEWEST:
            what = f"{len(train)} rows that are detected"
            raise InputError(what, field="train", hint=f"give {FEWEST} or more")
        ln_m = np.log(read_scalar(survey, "m500c", train))
        whole = catalogue_features(survey, train)
        rng = np.random.default_rng([self.seed, 11])
        features = drop_columns(whole, rng, COPIES)
        target = np.tile(ln_m, COPIES)
        efunc = np.log(survey_cosmology(survey).efunc(features[:, 0]))
        baseline = _fit_baseline(whole, ln_m, efunc[: len(whole)])
        halos, halo = np.unique(read_halos(survey)[train], return_inverse=True)
        part = rng.permutation(np.arange(len(halos)) % N_FOLDS)[halo]
        part = np.tile(part, COPIES)
        first = _baseline(features, efunc, baseline)
        mean = np.empty(len(target))
        for k in range(N_FOLDS):
            held = part == k
            trees = self._fit_trees(features[~held], (target - first)[~held])
            mean[held] = first[held] + trees.predict(features[held])
        posterior = ResidualPosterior.fit(mean, target, features[:, _COVARIATE_COLUMNS], self.seed)
        trees = self._fit_trees(features, target - first)
        arrays = {**trees.arrays("trees"), **posterior.arrays(), "baseline": baseline}
        return arrays | _fit_domain(whole[:, _OOD])

    def predict_arrays(self, survey: xr.Dataset, index: np.ndarray, arrays: Arrays) -> Prediction:
        """Return a posterior of each row, and how unlike the training rows it is."""
        features = catalogue_features(survey, index)
        efunc = np.log(survey_cosmology(survey).efunc(features[:, 0]))
        first = _baseline(features, efunc, arrays["baseline"])
        if np.isnan(first).any():
            what = f"no count rate in {int(np.isnan(first).sum())} rows"
            raise InputError(what, field="column rate", hint="leave them out")
        mean = first + TreeEnsemble.of_arrays(arrays, "trees").predict(features)
        posterior = ResidualPosterior.of_arrays(arrays)
        found = posterior.predict(mean, features[:, _COVARIATE_COLUMNS])
        assert found.density is not None
        return Prediction.from_density(found.density, _domain_score(features[:, _OOD], arrays))

    def _fit_trees(self, features: np.ndarray, residual: np.ndarray) -> TreeEnsemble:
        from sklearn.ensemble import HistGradientBoostingRegressor

        model = HistGradientBoostingRegressor(
            max_iter=150,
            learning_rate=0.06,
            max_leaf_nodes=12,
            min_samples_leaf=max(min(40 * COPIES, len(residual) // 20), 5),
            l2_regularization=1.0,
            early_stopping=False,
            random_state=self.seed % 2**32,
        )
        features = np.where(np.isnan(features).all(0), 0.0, features)
        return TreeEnsemble.of_boosting(model.fit(features, residual))

    def count_parameters(self, arrays: Arrays) -> int:
        """Return the leaves of all trees, the power laws and the quantiles of the residuals."""
        if not arrays:
            return 0
        held = [TreeEnsemble.of_arrays(arrays, prefix) for prefix in ("trees", "width")]
        leaves = sum(trees.n_leaves for trees in held)
        return leaves + len(arrays["shape"]) + arrays["baseline"].size

    def check_arrays(self, arrays: Arrays) -> None:
        """Raise KeyError or ValueError if loaded arrays cannot be those of this estimator."""
        super().check_arrays(arrays)
        TreeEnsemble.of_arrays(arrays, "trees")
        ResidualPosterior.of_arrays(arrays)
        n = len(_OOD)
        shapes = {"baseline": (len(RATES), 3), "domain_mean": (n,), "domain_covariance": (n, n)}
        for name, shape in {**shapes, "domain_scale": (1,)}.items():
            if arrays[name].shape != shape:
                raise ValueError(f"{name} has the shape {arrays[name].shape}")


def _terms(features: np.ndarray, efunc: np.ndarray, rate: str) -> np.ndarray:
    ln_luminosity = features[:, column_of_feature(f"ln_luminosity_{rate}")]
    return np.column_stack([np.ones(len(features)), ln_luminosity, efunc])


def _fit_baseline(features: np.ndarray, ln_m: np.ndarray, efunc: np.ndarray) -> np.ndarray:
    """Return ln M's constant, slope with ln L and with ln E(z) of each rate, shape (rate, 3)."""
    found = []
    for rate in RATES:
        terms = _terms(features, efunc, rate)
        known = np.isfinite(terms).all(1)
        fitted = np.linalg.lstsq(terms[known], ln_m[known], rcond=None)[0]
        found.append(fitted if known.any() else np.zeros(3))
    return np.array(found)


def _baseline(features: np.ndarray, efunc: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    """Return the power law of the first rate that each row has; NaN where it has none."""
    found = np.full(len(features), np.nan)
    for rate, coefficients in zip(RATES, baseline, strict=True):
        found = np.where(np.isnan(found), _terms(features, efunc, rate) @ coefficients, found)
    return found


def _fit_domain(features: np.ndarray) -> Arrays:
    """Return mean and covariance of the training rows, and the scale of their distances."""
    known = features[np.isfinite(features).all(1)]
    mean, covariance = known.mean(0), np.cov(known.T) + 1e-6 * np.eye(known.shape[1])
    arrays = {"domain_mean": mean, "domain_covariance": covariance, "domain_scale": np.ones(1)}
    scale = np.quantile(_domain_score(known, arrays), 1 - FLAGGED_OF_TRAINING)
    return arrays | {"domain_scale": np.array([float(scale)])}


def _domain_score(features: np.ndarray, arrays: Arrays) -> np.ndarray:
    """Return the Mahalanobis distance squared over its limit: above 1 a row is flagged.

    Of rows with missing columns it is the distance in the others, with the limit of as many.
    """
    missing = np.isnan(features)
    score = np.zeros(len(features))
    for pattern in np.unique(missing, axis=0):
        rows, kept = (missing == pattern).all(1), ~pattern
        off = features[rows][:, kept] - arrays["domain_mean"][kept]
        inverse = np.linalg.inv(arrays["domain_covariance"][np.ix_(kept, kept)])
        squared = np.einsum("ni,ij,nj->n", off, inverse, off)
        score[rows] = squared / chdtri(int(kept.sum()), _TAIL)
    scaled: np.ndarray = score / arrays["domain_scale"][0]
    return scaled
