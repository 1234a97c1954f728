"""The folder of a run: its configuration, predictions and results, each written whole or not."""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.estimators.posterior import LNM_GRID, Prediction, normalised
from icmass.files import whole_file
from icmass.main_process import is_main

COMPARED = (
    *("survey_attrs", "n_clusters", "survey_digest", "models", "folds", "fold_limit", "seed"),
    "max_epochs",
)
"""What a resumed run must share with the run that it continues."""


@dataclass
class FoldPredictions:
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
        Posterior density at `LNM_GRID`; None: Gaussian.
    out_of_domain : ndarray, shape (n,), or None
        See `Prediction`.
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
    def empty(cls, n_folds: int) -> FoldPredictions:
        """Return the predictions of no fold."""
        whole, real = np.empty(0, "i8"), np.empty(0, "f8")
        return cls(whole, whole, real, real, real, np.full(n_folds, np.nan), 0)

    @property
    def prediction(self) -> Prediction:
        """The posteriors of all clusters so far, in the survey's order."""
        density = None if self.density is None else normalised(self.density.astype("f8"))
        return Prediction(self.mean, self.std, density, self.out_of_domain)

    @property
    def folds_fitted(self) -> int:
        """How many folds are finished."""
        return int(np.isfinite(self.train_seconds).sum())

    def has(self, k: int) -> bool:
        """Say whether fold `k` is finished."""
        return bool(np.isfinite(self.train_seconds[k]))

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
            told = [_told(part) for part in (before, prediction)]
            self.out_of_domain = np.concatenate(told)[order]
        self.train_seconds[k] = seconds


def _told(prediction: Prediction) -> np.ndarray:
    """Return how far out of the domain, NaN where the estimator does not tell."""
    if prediction.out_of_domain is None:
        return np.full(len(prediction), np.nan)
    return prediction.out_of_domain


class RunFolder:
    """Paths and files of a run; every file is replaced as a whole, by the main process alone."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def start(self, config: dict[str, Any], *, resume: bool) -> None:
        """Make the folder, or check that it is a run of the same configuration to go on with."""
        if not is_main():
            return
        if self.path.exists() and not self.path.is_dir():
            raise InputError("is not a folder", file=self.path, field="out")
        if self.path.is_dir() and any(self.path.iterdir()):
            if not resume:
                raise InputError(
                    "is not empty", file=self.path, hint="give another --out, or --resume"
                )
            self._check_same(config)
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_json("config.json", config)

    def _check_same(self, config: dict[str, Any]) -> None:
        file = self.path / "config.json"
        try:
            before = {"fold_limit": {}} | json.loads(file.read_text(encoding="utf-8"))
            old = {key: before[key] for key in COMPARED}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"cannot be resumed ({type(error).__name__})", file=file, hint="give another --out"
            ) from None
        new = json.loads(json.dumps(config))
        for key in COMPARED:
            if old[key] != new[key]:
                said = f"was {_short(old[key])}, is {_short(new[key])}"
                hint = "resume with what the run was started with, or give another --out"
                raise InputError(said, file=file, field=key, hint=hint)

    def model(self, name: str, k: int) -> Path:
        """Return where the estimator of fold `k` is saved."""
        return self.path / "models" / name / f"fold-{k}"

    def checkpoint(self, name: str, k: int) -> Path:
        """Return where the training of fold `k` keeps its checkpoint."""
        return self.path / "checkpoints" / name / f"fold-{k}"

    def read_predictions(self, name: str, n_folds: int) -> FoldPredictions:
        """Return the predictions of the folds finished so far."""
        file = self.path / "predictions" / f"{name}.npz"
        if not file.exists():
            return FoldPredictions.empty(n_folds)
        try:
            with np.load(file, allow_pickle=False) as held:
                arrays = {key: held[key] for key in held.files}
            n_parameters = int(arrays.pop("n_parameters"))
            found = FoldPredictions(**arrays, n_parameters=n_parameters)
            _check_shapes(found)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            problem = f"not readable ({type(error).__name__})"
            raise InputError(problem, file=file, hint="remove it and --resume") from None
        return found

    def write_predictions(self, name: str, predictions: FoldPredictions) -> None:
        """Write the predictions of an estimator."""
        held = {key: value for key, value in vars(predictions).items() if value is not None}
        arrays: dict[str, Any] = {key: np.asarray(value) for key, value in held.items()}
        write_whole(
            self.path / "predictions" / f"{name}.npz",
            lambda stream: np.savez_compressed(stream, **arrays),
        )

    def read_results(self) -> dict[str, Any]:
        """Return what an earlier ``results.json`` holds; nothing if there is none that reads."""
        try:
            found = json.loads((self.path / "results.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def write_json(self, name: str, document: dict[str, Any]) -> None:
        """Write a JSON document; what is not finite becomes null."""
        text = json.dumps(finite(document), indent=2, allow_nan=False) + "\n"
        self.write_text(name, text)

    def write_text(self, name: str, text: str) -> None:
        """Write a text."""
        write_whole(self.path / name, lambda stream: stream.write(text.encode()))


def _check_shapes(held: FoldPredictions) -> None:
    n = len(held.cluster)
    expected = {"density": (n, len(LNM_GRID))}
    for name in ("fold", "ln_m_true", "mean", "std", "density", "out_of_domain"):
        value = getattr(held, name)
        if value is not None and value.shape != expected.get(name, (n,)):
            raise ValueError(f"{name} has the shape {value.shape}")


def write_whole(file: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file beside its place, then put it there: it's never seen half-written.

    Processes other than the main one write nothing.
    """
    if not is_main():
        return
    with whole_file(file) as draft, draft.open("wb") as stream:
        write(stream)


def finite(value: Any) -> Any:
    """Return a document that strict JSON can hold: NumPy scalars unpacked, NaN and inf as None."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, np.generic | np.ndarray):
        return finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def survey_digest(survey: xr.Dataset) -> str:
    """Return a fingerprint of which clusters a survey holds: their masses and redshifts."""
    digest = hashlib.sha256()
    for name in ("m500c", "redshift"):
        digest.update(survey[name].values.astype("<f8").tobytes())
    return digest.hexdigest()


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
