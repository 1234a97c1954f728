"""The cross-validated predictions of one estimator of a run, as arrays on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from icmass.errors import InputError
from icmass.files import whole_file

_INTEGERS = ("cluster", "fold")
_NUMBERS = ("ln_m_true", "mean", "std")


@dataclass
class Predictions:
    """What one estimator predicted so far, clusters of finished folds only.

    Attributes
    ----------
    cluster, fold : ndarray of int, shape (n,)
        Index into the survey, and the fold that did not train on it.
    ln_m_true, mean, std : ndarray, shape (n,)
        ln M500c [Msun/h], true and predicted.
    train_seconds : ndarray, shape (folds,)
        Seconds of each finished fold's fit, NaN where not finished.
    n_parameters : int
        Fitted parameters.
    density : ndarray of float32, shape (n, node), or None
        Posterior density at `icmass.estimators.posterior.LNM_GRID`; None: Gaussian.
    out_of_domain : ndarray, shape (n,), or None
        How far out of the training domain; beyond 1 flagged.
    """

    cluster: np.ndarray
    fold: np.ndarray
    ln_m_true: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    train_seconds: np.ndarray
    n_parameters: int
    density: np.ndarray | None = None
    out_of_domain: np.ndarray | None = None

    @classmethod
    def empty(cls, n_folds: int = 0) -> Self:
        """Return the predictions of no fold."""
        whole, real = np.empty(0, "i8"), np.empty(0, "f8")
        return cls(whole, whole, real, real, real, np.full(n_folds, np.nan), 0)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read what `write` wrote; an older file need not tell of seconds and parameters.

        Raises
        ------
        InputError
            If there is no such file, or it is damaged.
        """
        hint = "remove it and --resume"
        try:
            with np.load(file, allow_pickle=False) as stored:
                arrays = {key: np.asarray(stored[key]) for key in stored.files}
        except FileNotFoundError:
            raise InputError("is missing from the run", file=file) from None
        except Exception as error:  # a damaged archive raises many kinds
            problem = f"is not readable ({type(error).__name__})"
            raise InputError(problem, file=file, hint=hint) from None
        if problem := _problem(arrays):
            raise InputError(problem, file=file, hint=hint)
        known = {key: arrays[key] for key in cls.__dataclass_fields__ if key in arrays}
        known.setdefault("train_seconds", np.empty(0))
        n_parameters = int(known.pop("n_parameters", np.array(0)))
        return cls(**known, n_parameters=n_parameters)

    def write(self, file: Path) -> None:
        """Write the file whole or not at all."""
        stored: dict[str, Any] = {
            key: np.asarray(value) for key, value in vars(self).items() if value is not None
        }
        with whole_file(file) as draft, draft.open("wb") as stream:
            np.savez_compressed(stream, **stored)

    @property
    def folds_fitted(self) -> int:
        """How many folds are finished."""
        return int(np.isfinite(self.train_seconds).sum())

    def has(self, k: int) -> bool:
        """Say whether fold `k` is finished."""
        return bool(np.isfinite(self.train_seconds[k]))

    def finite(self) -> Self:
        """Return the predictions of the clusters for which all numbers are finite."""
        good = np.all([np.isfinite(getattr(self, name)) for name in _NUMBERS], axis=0)
        parts = ("cluster", "fold", *_NUMBERS, "density", "out_of_domain")
        kept: dict[str, Any] = {name: getattr(self, name) for name in parts}
        kept = {name: None if value is None else value[good] for name, value in kept.items()}
        return replace(self, **kept)


def _problem(arrays: dict[str, np.ndarray]) -> str:
    """Return what is wrong with the arrays of a file; nothing if they are whole."""
    absent = [name for name in (*_INTEGERS, *_NUMBERS) if name not in arrays]
    if absent:
        return f"is not readable: no {absent[0]}"
    n = len(arrays["mean"]) if arrays["mean"].ndim else 0
    for name in (*_INTEGERS, *_NUMBERS, "out_of_domain"):
        if name in arrays and arrays[name].shape != (n,):
            return f"is not readable: {name} is not of the length of the others"
    if "density" in arrays and arrays["density"].shape[:1] != (n,):
        return "is not readable: density is not of the length of the others"
    if any(arrays[name].dtype.kind not in "iuf" for name in (*_INTEGERS, *_NUMBERS)):
        return "is not readable: it holds something that is not a number"
    return ""
