"""Trees as arrays against scikit-learn, and posteriors from residuals against what they must be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest, norm
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor

from icmass.estimators.posterior import LNM_GRID
from icmass.estimators.residual_posterior import ResidualPosterior
from icmass.estimators.trees import TreeEnsemble

RNG = np.random.default_rng(3)
FEATURES = RNG.normal(size=(700, 5))
TARGET = FEATURES[:, 0] * FEATURES[:, 1] + np.sin(3 * FEATURES[:, 2]) + 0.1 * RNG.normal(size=700)


def with_gaps(features: np.ndarray, share: float) -> np.ndarray:
    """Return features, some missing at random."""
    gone = np.random.default_rng(8).random(features.shape) < share
    return np.where(gone, np.nan, features)


def fitted(kind: str, features: np.ndarray) -> tuple[Any, TreeEnsemble]:
    if kind == "forest":
        forest = RandomForestRegressor(30, max_features=0.5, random_state=1)
        forest.fit(features, TARGET)
        return forest, TreeEnsemble.of_forest(forest)
    loss = {"boosting": "squared_error", "quantile": "quantile"}[kind]
    quantile = 0.7 if kind == "quantile" else None
    boosting = HistGradientBoostingRegressor(
        loss=loss, quantile=quantile, max_iter=60, max_depth=5, random_state=1
    )
    boosting.fit(features, TARGET)
    return boosting, TreeEnsemble.of_boosting(boosting)


@pytest.mark.parametrize("kind", ["boosting", "quantile", "forest"])
@pytest.mark.parametrize("gaps", [0.0, 0.1])
def test_the_arrays_predict_as_scikit_learn_does(kind: str, gaps: float):
    model, trees = fitted(kind, with_gaps(FEATURES, gaps))
    # features seen and unseen, on the thresholds themselves, missing, and far out
    other = with_gaps(np.random.default_rng(5).normal(size=(500, 5)), 0.2)
    middle = np.where(trees.left != np.arange(len(trees.left)))[0]
    edges = np.zeros((len(middle), 5))
    edges[np.arange(len(middle)), trees.feature[middle]] = trees.threshold[middle]
    edges[~np.isfinite(edges)] = 0  # a split of what is missing from all else
    far = np.full((2, 5), 1e30) * [[1], [-1]]
    seen = np.concatenate([with_gaps(FEATURES, gaps), other, edges, far])
    np.testing.assert_allclose(trees.predict(seen), model.predict(seen), rtol=0, atol=1e-12)


def test_stored_arrays_are_the_same_trees():
    _, trees = fitted("boosting", FEATURES)
    again = TreeEnsemble.of_arrays(trees.arrays("it"), "it")
    assert np.array_equal(again.predict(FEATURES), trees.predict(FEATURES))
    assert 0 < again.n_leaves < len(again.value)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("left", np.full(3, 9), "different lengths"),
        ("settings", np.zeros(2), "different lengths"),
        ("root", np.array([10**6]), "points out of the trees"),
        ("value", None, "value"),
    ],
)
def test_damaged_arrays_are_refused(name: str, value: np.ndarray | None, error: str):
    arrays = fitted("boosting", FEATURES)[1].arrays("it")
    if value is None:
        del arrays[f"it.{name}"]
    else:
        arrays[f"it.{name}"] = value
    with pytest.raises((KeyError, ValueError), match=error):
        TreeEnsemble.of_arrays(arrays, "it")


def heteroscedastic(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean predictions, truths and a covariate; the scatter is 0.1 or 0.3 by covariate."""
    rng = np.random.default_rng(seed)
    mean, known = rng.uniform(31.0, 34.0, n), rng.random((n, 1))
    return mean, mean + np.where(known[:, 0] > 0.5, 0.3, 0.1) * rng.normal(size=n), known


def test_posteriors_of_residuals_are_calibrated_densities():
    posterior = ResidualPosterior.fit(*heteroscedastic(3000, 0), seed=1)
    mean, truth, known = heteroscedastic(3000, 1)
    found = posterior.predict(mean, known)
    assert found.density is not None and found.density.min() >= 0
    np.testing.assert_allclose(np.trapezoid(found.density, LNM_GRID, axis=1), 1, atol=1e-9)
    # Kolmogorov-Smirnov of 3000 PITs: 1.63 / sqrt(n) is the 1 per cent limit; the fit's own noise
    # of 3000 residuals is as large, hence twice that
    assert kstest(found.cdf(truth), "uniform").statistic < 2 * 1.63 / np.sqrt(3000)
    for wide, scatter in ((True, 0.3), (False, 0.1)):
        here = (known[:, 0] > 0.5) == wide
        # of a step of the covariate a few per cent of the clusters are on the wrong side
        assert np.median(found.std[here]) == pytest.approx(scatter, rel=0.15)
        inside = np.abs(found.cdf(truth) - 0.5)[here] < 0.34
        assert abs(inside.mean() - 0.68) < 0.05
    # the score of the true density is the best there is: N(0, 0.1) and N(0, 0.3) by halves
    best = norm.logpdf(truth, mean, np.where(known[:, 0] > 0.5, 0.3, 0.1)).mean()
    assert best - 0.08 < found.log_prob(truth).mean() < best


def test_a_skewed_residual_gives_a_skewed_posterior():
    rng = np.random.default_rng(2)
    mean, known = rng.uniform(32, 33, 2000), rng.random((2000, 1))
    truth = mean + 0.2 * (rng.exponential(size=2000) - 1)
    found = ResidualPosterior.fit(mean, truth, known, seed=0).predict(mean[:200], known[:200])
    # an exponential of scale 0.2: mean - median = 0.2 (1 - ln 2)
    assert np.mean(found.mean - found.median) == pytest.approx(0.2 * (1 - np.log(2)), rel=0.25)


def test_masses_off_the_grid_have_a_density_too():
    posterior = ResidualPosterior.fit(*heteroscedastic(400, 0), seed=1)
    found = posterior.predict(np.array([20.0, 45.0]), np.zeros((2, 1)))
    assert np.isfinite(found.mean).all() and (found.std > 0).all()
