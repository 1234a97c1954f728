"""What the models of a transfer run predict of each cluster, as files of the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from icmass.estimators.estimator import Prediction
from icmass.run.predictions import Predictions


def transfer_predictions(folder: Path, model: str, train: str, test: str) -> Path:
    """Return where the predictions of a model, fitted on `train`, of the clusters of `test` lie.

    >>> transfer_predictions(Path("out"), "L_X", "plain", "deep/feedback.zarr").as_posix()
    'out/predictions/deep_feedback.zarr/plain/L_X.npz'
    """
    test, train, model = (name.replace("/", "_") for name in (test, train, model))
    return folder / "predictions" / test / train / f"{model}.npz"


def keep_predictions(
    file: Path, index: np.ndarray, ln_m: np.ndarray, prediction: Prediction
) -> None:
    """Write the posteriors of clusters `index` with the true ln M500c, all of shape (n,)."""
    density = None if prediction.density is None else prediction.density.astype("f4")
    Predictions(
        cluster=np.asarray(index),
        fold=np.zeros(len(index), int),
        ln_m_true=ln_m,
        mean=prediction.mean,
        std=prediction.std,
        train_seconds=np.empty(0),
        n_parameters=0,
        density=density,
        out_of_domain=prediction.out_of_domain,
    ).write(file)
