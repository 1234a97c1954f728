"""Predictions of several models as one: an equal mixture of their posteriors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from icmass.estimators.posterior import Prediction


@dataclass(frozen=True, kw_only=True)
class Mixture(Prediction):
    """An ensemble's prediction; `std` is total, by the law of total variance.

    Attributes
    ----------
    std_within : ndarray, shape (n,)
        Root mean square of the members' standard deviations of ln M500c.
    std_between : ndarray, shape (n,)
        Standard deviation of the members' means of ln M500c.
    """

    std_within: np.ndarray
    std_between: np.ndarray

    def drawn(self, n_draws: int, seed: int) -> np.ndarray:
        """Draw ln M500c from each posterior, shape (n, n_draws), the same for a seed."""
        sequence = np.random.SeedSequence(seed, spawn_key=(1,))
        return self.sample(n_draws, np.random.default_rng(sequence))


def mix(predictions: Sequence[Prediction]) -> Mixture:
    """Return an equal mixture of predictions of the same clusters.

    If any has a density the mixture has the mean of their densities, else the mean and the total
    standard deviation of the mixture; `out_of_domain` is the median over those that tell.

    Examples
    --------
    >>> a, b = (Prediction(np.array([m]), np.array([0.2])) for m in (31.9, 32.1))
    >>> round(float(mix([a, b]).std[0] ** 2), 3)
    0.05
    """
    means = np.stack([p.mean for p in predictions])
    within = np.sqrt(np.mean([p.std**2 for p in predictions], axis=0))
    between = means.std(axis=0)
    whole = Prediction(means.mean(axis=0), np.hypot(within, between))
    if any(p.density is not None for p in predictions):
        whole = Prediction.from_density(np.mean([p.tabulated() for p in predictions], axis=0))
    told = [p.out_of_domain for p in predictions if p.out_of_domain is not None]
    return Mixture(
        mean=whole.mean,
        std=whole.std,
        density=whole.density,
        out_of_domain=np.median(told, axis=0) if told else None,
        std_within=within,
        std_between=between,
    )
