"""Whether a cluster is of the kind that a network was trained on.

A cluster is described by what the network makes of it (its embedding) and by plain statistics of
its counts, which see what an embedding trained on masses overlooks. Each number is compared with
what is usual at that redshift and exposure and replaced by its normal score among the training
clusters. Two questions are then asked:

- how far is it from the training clusters, in standard deviations along their principal axes
  (Lee et al. 2018, arXiv:1807.03888)? This needs to know no way of being wrong.
- does it look like training clusters corrupted on purpose (`ood_features.corrupted`), to a small
  classifier (outlier exposure: Hendrycks et al. 2019, arXiv:1812.04606)?

Each answer has a threshold that few clusters held out exceed; the score is above 1 where either is
beyond its own.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from scipy.special import ndtri

FALSE_ALARMS = 0.005
"""Fraction of the clusters held out that each threshold leaves above it."""
_LEAST_VARIANCE = 0.01  # axes along which the clusters hardly vary tell nothing
_LEVELS = 201  # of the tabulated distribution of each number
_MOST = 6.0  # normal scores that the classifier tells apart
_STORED = {"location": "place", "mean_coefficients": "level", "scatter_coefficients": "width"}
_BEYOND = 2.0  # normal scores per standard deviation past the last training cluster


@dataclass(frozen=True)
class OODDetector:
    """The training clusters as a cloud, and how far out of it is too far.

    Attributes
    ----------
    location : ndarray, shape (4,)
        Means and standard deviations of redshift and ln exposure.
    mean_coefficients, scatter_coefficients : ndarray, shape (basis, d)
        Coefficients of what is usual: of the mean, and of the log of the scatter about it.
    table : ndarray, shape (level, d)
        Quantiles of what is left, at even levels.
    centre : ndarray, shape (d,)
        Mean normal scores.
    axes : ndarray, shape (d, k)
        Principal axes of the normal scores, over the standard deviation along them.
    hidden, hidden_bias, output, output_bias : ndarray
        Layers of the classifier.
    limits : ndarray, shape (3,)
        Thresholds of the distance and of the classifier's log odds, and the scatter of the latter.
    """

    location: np.ndarray
    mean_coefficients: np.ndarray
    scatter_coefficients: np.ndarray
    table: np.ndarray
    centre: np.ndarray
    axes: np.ndarray
    hidden: np.ndarray
    hidden_bias: np.ndarray
    output: np.ndarray
    output_bias: np.ndarray
    limits: np.ndarray

    @classmethod
    def fit(
        cls, train: np.ndarray, corrupted: np.ndarray, calibration: np.ndarray, seed: int
    ) -> OODDetector:
        """Fit to descriptions of training clusters, and set the thresholds on others.

        Parameters
        ----------
        train, calibration : ndarray, shape (n, 2 + d)
            Redshift, ln exposure and the numbers that describe clusters that the network was
            fitted on, and others.
        corrupted : ndarray, shape (n, 2 + d)
            The same of training clusters made into what is none.
        seed : int
            Seed of the classifier.
        """
        location = _as_stored(np.concatenate([train[:, :2].mean(0), train[:, :2].std(0) + 1e-6]))
        expected = _fit_expected(train, location)
        residuals = _residuals(train, location, *expected)
        table = _as_stored(np.quantile(residuals, np.linspace(0, 1, _LEVELS), axis=0))
        normal = _normal_scores(residuals, table)
        centre = normal.mean(0)
        variance, axes = np.linalg.eigh(np.cov((normal - centre).T))
        enough = variance > _LEAST_VARIANCE
        axes = axes[:, enough] / np.sqrt(variance[enough])
        layers = _train_classifier(
            normal, _normal_scores(_residuals(corrupted, location, *expected), table), seed
        )
        stored = map(_as_stored, (location, *expected, table, centre, axes, *layers, np.ones(3)))
        bare = cls(*stored)
        distance, odds = bare._answers(calibration)
        limits = [np.quantile(answer, 1 - FALSE_ALARMS) for answer in (distance, odds)]
        return replace(bare, limits=_as_stored(np.array([*limits, odds.std() + 1e-6])))

    def score(self, features: np.ndarray) -> np.ndarray:
        """Return how far clusters are out, above 1 where they are flagged, shape (n,).

        The distance over its threshold, or 1 plus the excess of the log odds over theirs in
        standard deviations, whichever is more.
        """
        distance, odds = self._answers(features)
        of_distance, of_odds, scatter = self.limits
        result: np.ndarray = np.maximum(distance / of_distance, 1 + (odds - of_odds) / scatter)
        return result

    def _answers(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return distances and log odds of being corrupted, each shape (n,)."""
        residuals = _residuals(
            features, self.location, self.mean_coefficients, self.scatter_coefficients
        )
        normal = _normal_scores(residuals, self.table)
        along = (normal - self.centre) @ self.axes
        distance = np.sqrt((along**2).mean(1))
        hidden = np.maximum(_bounded(normal) @ self.hidden + self.hidden_bias, 0)
        return distance, (hidden @ self.output + self.output_bias)[:, 0]

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return what is stored of it."""
        return {
            _STORED.get(key, key): torch.from_numpy(np.asarray(v, "f4"))
            for key, v in vars(self).items()
        }

    @classmethod
    def of_tensors(cls, tensors: dict[str, torch.Tensor]) -> OODDetector:
        """Return what `tensors` has stored."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: tensors[_STORED.get(name, name)].double().numpy() for name in names})


def _as_stored(values: np.ndarray) -> np.ndarray:
    """Round as `OODDetector.tensors` does, so that what is loaded scores like what was fitted."""
    return values.astype("f4", order="C").astype("f8")


def _basis(features: np.ndarray, location: np.ndarray, order: int) -> np.ndarray:
    """Return polynomials of redshift and ln exposure, shape (n, basis)."""
    z, e = ((features[:, :2] - location[:2]) / location[2:]).T
    return np.stack([z**i * e**j for i in range(order + 1) for j in range(3) if i + j <= order], 1)


def _fit_expected(train: np.ndarray, location: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit the mean of each number and the log of the scatter about it."""
    mean, log = _basis(train, location, 4), _basis(train, location, 2)
    mean_coefficients = np.linalg.lstsq(mean, train[:, 2:], rcond=None)[0]
    absolute = np.abs(train[:, 2:] - mean @ mean_coefficients)
    scatter_coefficients = np.linalg.lstsq(log, np.log(absolute + 1e-3), rcond=None)[0]
    return _as_stored(mean_coefficients), _as_stored(scatter_coefficients)


def _residuals(
    features: np.ndarray,
    location: np.ndarray,
    mean_coefficients: np.ndarray,
    scatter_coefficients: np.ndarray,
) -> np.ndarray:
    expected = _basis(features, location, 4) @ mean_coefficients
    scatter = np.exp(_basis(features, location, 2) @ scatter_coefficients)
    result: np.ndarray = (features[:, 2:] - expected) / scatter
    return result


def _normal_scores(residuals: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return the normal score of each number; past the table it goes on linearly."""
    scores = ndtri((np.arange(_LEVELS) + 0.5) / _LEVELS)
    spread = table.std(0) + 1e-6
    out = np.empty(residuals.shape)
    for j, column in enumerate(residuals.T):
        steps = table[:, j] + 1e-9 * np.arange(_LEVELS)
        out[:, j] = np.interp(column, steps, scores)
    past = np.maximum(residuals - table[-1], 0) - np.maximum(table[0] - residuals, 0)
    result: np.ndarray = out + _BEYOND * past / spread
    return result


def _bounded(normal: np.ndarray) -> np.ndarray:
    """Return normal scores as the classifier takes them: what is far out is all the same."""
    result: np.ndarray = np.clip(normal, -_MOST, _MOST)
    return result


def _train_classifier(
    good: np.ndarray, bad: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Train a classifier of one hidden layer; its weights and biases."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    labels = np.concatenate([np.zeros(len(good)), np.ones(len(bad))])
    classifier = MLPClassifier((32,), alpha=1.0, early_stopping=len(good) > 100, max_iter=60)
    classifier.set_params(random_state=seed % 2**32)
    with warnings.catch_warnings():  # it is stopped early on purpose
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(_bounded(np.concatenate([good, bad])), labels)
    (hidden, output), (hidden_bias, output_bias) = classifier.coefs_, classifier.intercepts_
    return hidden, hidden_bias, output, output_bias
