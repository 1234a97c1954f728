"""The one protocol that proxies and networks share, and what a prediction holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, Self, runtime_checkable

import numpy as np
import xarray as xr
from scipy.special import ndtri

Kind = Literal["ideal", "observed", "network"]


@dataclass(frozen=True)
class Prediction:
    """Predicted ln M500c of n clusters; the distribution is Gaussian in ln M500c.

    Attributes
    ----------
    mean : ndarray, shape (n,)
        Mean of ln(M500c / (Msun/h)).
    std : ndarray, shape (n,)
        Standard deviation of ln M500c.
    """

    mean: np.ndarray
    std: np.ndarray

    def quantile(self, level: float) -> np.ndarray:
        """Return the quantile of ln M500c at `level` in (0, 1), shape (n,)."""
        return self.mean + ndtri(level) * self.std


@runtime_checkable
class Estimator(Protocol):
    """A mass estimator: fitted on some clusters of a survey, it predicts others.

    Attributes
    ----------
    name : str
        Name of the estimator, e.g. ``"T+M_gas"`` or ``"icm-3band"``.
    kind : {"ideal", "observed", "network"}
        What it is fed with.
    inputs : tuple of str
        The variables of the survey that it reads.
    n_parameters : int
        Number of fitted parameters.
    """

    name: str
    kind: Kind
    inputs: tuple[str, ...]

    @property
    def n_parameters(self) -> int:
        """Number of fitted parameters."""
        ...

    def fit(self, survey: xr.Dataset, train: np.ndarray) -> None:
        """Fit on the clusters `train` (integer indices into ``survey.cluster``) alone."""
        ...

    def predict(self, survey: xr.Dataset, index: np.ndarray) -> Prediction:
        """Predict the clusters `index` (integer indices into ``survey.cluster``)."""
        ...

    def save(self, directory: Path) -> None:
        """Write the fitted estimator: ``model.safetensors``, ``config.json``, ``README.md``."""
        ...

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read an estimator that `save` wrote."""
        ...
