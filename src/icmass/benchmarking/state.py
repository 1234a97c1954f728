"""What the fits of a benchmark share, and what it tells about its progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from icmass.benchmarking.fits import FitSettings
from icmass.benchmarking.fold_predictions import FoldPredictions
from icmass.estimators.estimator import EstimatorInfo
from icmass.run.folder import RunFolder


@dataclass(frozen=True)
class Step:
    """What a benchmark tells about its progress.

    Attributes
    ----------
    model : str
        Name of the estimator.
    fold, done, total : int
        The fold; how many fits of how many are done.
    said : str
        What happened, in a few words.
    done_fold : bool
        Whether the fold is finished, or something inside it happened.
    """

    model: str
    fold: int
    done: int
    total: int
    said: str
    done_fold: bool


Progress = Callable[[Step], None]


@dataclass
class Bench:
    """What all fits of a run share."""

    survey: xr.Dataset
    folder: RunFolder
    fold: np.ndarray
    ln_m: np.ndarray
    halo_id: np.ndarray
    redshift: np.ndarray
    progress: Progress
    total: int
    fold_limit: dict[str, int]
    settings: FitSettings
    finished: dict[str, int] = field(default_factory=dict)
    learned: dict[str, FoldPredictions] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def folds_of(self, model: str) -> int:
        """Return on how many folds an estimator is fitted."""
        return self.fold_limit.get(model, self.settings.folds)

    def n_refused(self, held: FoldPredictions) -> int:
        """Return how many clusters of the finished folds were not predicted."""
        finished = np.flatnonzero([held.has(k) for k in range(self.settings.folds)])
        return int(np.isin(self.fold, finished).sum()) - len(held.cluster)

    def tell(self, model: str, k: int, said: str, *, done_fold: bool = False) -> None:
        """Say what happened to an estimator on a fold, and whether that is finished."""
        self.finished[model] = self.finished.get(model, 0) + done_fold
        self.progress(Step(model, k, sum(self.finished.values()), self.total, said, done_fold))


@dataclass
class Fitted:
    """What there is of one estimator: what it says of itself, and its predictions so far."""

    info: EstimatorInfo
    held: FoldPredictions
