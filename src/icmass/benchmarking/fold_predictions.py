"""The predictions of one estimator, fold by fold, as posteriors."""

from __future__ import annotations

import numpy as np

from icmass.errors import InputError
from icmass.estimators.posterior import LNM_GRID, Prediction, normalised
from icmass.run.layout import RunLayout
from icmass.run.predictions import Predictions


class FoldPredictions(Predictions):
    """What one estimator predicted so far; grows by a fold at a time."""

    @classmethod
    def of_run(cls, run: RunLayout, name: str, n_folds: int) -> FoldPredictions:
        """Return the predictions of the folds of a run finished so far.

        Raises
        ------
        InputError
            If there are some, and the file is damaged or of another number of folds.
        """
        file = run.predictions(name)
        if not file.exists():
            return cls.empty(n_folds)
        found = cls.read(file)
        density = found.density
        if found.train_seconds.shape != (n_folds,) or (
            density is not None and density.shape != (len(found.mean), len(LNM_GRID))
        ):
            problem = f"is not readable: not of {n_folds} folds and {len(LNM_GRID)} masses"
            raise InputError(problem, file=file, hint="remove it and --resume")
        return found

    @property
    def prediction(self) -> Prediction:
        """The posteriors of all clusters so far, in the survey's order."""
        density = None if self.density is None else normalised(self.density.astype("f8"))
        return Prediction(self.mean, self.std, density, self.out_of_domain)

    def add(
        self,
        k: int,
        *,
        cluster: np.ndarray,
        ln_m_true: np.ndarray,
        prediction: Prediction,
        seconds: float,
    ) -> None:
        """Append the clusters of fold `k`, and keep all in the survey's order."""
        before = self.prediction
        order = np.argsort(np.append(self.cluster, cluster), kind="stable")
        self.cluster = np.append(self.cluster, cluster)[order]
        self.fold = np.append(self.fold, np.full(len(prediction), k))[order]
        self.ln_m_true = np.append(self.ln_m_true, ln_m_true)[order]
        self.mean = np.append(self.mean, prediction.mean)[order]
        self.std = np.append(self.std, prediction.std)[order]
        if before.density is not None or prediction.density is not None:
            both = np.concatenate([before.tabulated(), prediction.tabulated()])
            self.density = both[order].astype("f4")
        if before.out_of_domain is not None or prediction.out_of_domain is not None:
            scores = [_out_of_domain(part) for part in (before, prediction)]
            self.out_of_domain = np.concatenate(scores)[order]
        self.train_seconds[k] = seconds


def _out_of_domain(prediction: Prediction) -> np.ndarray:
    """Return how far out of the domain, NaN where the estimator does not tell."""
    if prediction.out_of_domain is None:
        return np.full(len(prediction), np.nan)
    return prediction.out_of_domain
