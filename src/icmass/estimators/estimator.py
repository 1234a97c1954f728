"""The one protocol that proxies and networks share."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol, Self, runtime_checkable

import numpy as np
import xarray as xr

from icmass.estimators.posterior import Prediction

__all__ = ["Estimator", "Kind", "Prediction"]

Kind = Literal["ideal", "observed", "network"]


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
