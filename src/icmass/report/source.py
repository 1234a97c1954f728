"""What a report is made from: a run folder, read without trusting it."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import xarray as xr
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from icmass.errors import InputError
from icmass.survey.catalog import open_survey

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,99}")
_ARRAYS = ("cluster", "fold", "ln_m_true", "mean", "std")


class Calibration(BaseModel):
    """How an estimator's posteriors did, see `icmass.benchmarking.calibration.calibration`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    levels: list[float] = Field(min_length=2)
    coverage: list[float]
    pit_histogram: list[NonNegativeInt] = Field(min_length=2)
    pit_ks_p: float | None = None
    tarp_max_deviation: float | None = None

    @property
    def n(self) -> int:
        """Number of clusters."""
        return sum(self.pit_histogram)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(self.levels) != len(self.coverage) or not self.n:
            raise ValueError("levels and coverage differ in length, or no cluster is counted")
        return self


class Beside(BaseModel):
    """An estimator's scatter over that of another one, on the n clusters that both predicted."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    ratio: float = Field(gt=0)
    error: float = Field(ge=0)
    n: int


class Score(BaseModel):
    """One row of ``results.json``: an estimator and its scores; None where there is none."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str = Field(min_length=1)
    kind: Literal["ideal", "observed", "features", "network"]
    inputs: tuple[str, ...] = ()
    n: int | None = None
    sigma_paper: float | None = None
    sigma_paper_error: float | None = None
    sigma_lnm: float | None = None
    sigma_lnm_error: float | None = None
    bias_lnm: float | None = None
    bias_lnm_error: float | None = None
    coverage68: float | None = None
    coverage95: float | None = None
    crps: float | None = None
    n_parameters: int | None = None
    train_seconds: float | None = None
    folds_fitted: int | None = None
    calibration: Calibration | None = None
    beside: dict[str, Beside] = Field(default_factory=dict)

    @field_validator("calibration", "beside", mode="wrap")
    @classmethod
    def _whole_or_nothing(cls, value: Any, read: Any, told: ValidationInfo) -> Any:
        try:
            return read(value)
        except ValidationError:
            return {} if told.field_name == "beside" else None

    @field_validator("*", mode="after")
    @classmethod
    def _no_nan(cls, value: Any) -> Any:
        return None if isinstance(value, float) and not math.isfinite(value) else value


class Results(BaseModel):
    """``results.json``: what was surveyed, and every estimator's scores."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    survey: dict[str, Any] = Field(default_factory=dict)
    folds: int
    estimators: list[Score] = Field(min_length=1)
    failed: dict[str, str] = Field(default_factory=dict)
    machine: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)


class Scaling(BaseModel):
    """The part of ``scaling.json`` that is drawn: correlation of the proxies' residuals, (k, k)."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    names: list[str] = Field(min_length=2)
    correlation: list[list[float | None]]

    @model_validator(mode="after")
    def _square(self) -> Self:
        sides = [len(self.correlation), *map(len, self.correlation)]
        if set(sides) != {len(self.names)}:
            raise ValueError("correlation is not a square of as many rows as names")
        return self


@dataclass(frozen=True)
class Predicted:
    """The cross-validated predictions of one estimator, arrays of shape (n,), ln(M / (Msun/h))."""

    cluster: np.ndarray
    fold: np.ndarray
    ln_m_true: np.ndarray
    mean: np.ndarray
    std: np.ndarray


@dataclass(frozen=True)
class Run:
    """A run folder as far as it can be read; `missing` says in words what cannot, by key."""

    path: Path
    results: Results
    config: dict[str, Any]
    predictions: dict[str, Predicted]
    scaling: Scaling | None
    survey: xr.Dataset | None
    missing: dict[str, str] = field(default_factory=dict)


def read_run(path: Path) -> Run:
    """Read a folder that `icmass benchmark` wrote.

    Raises
    ------
    InputError
        If the folder holds no readable ``results.json``. Anything else may be missing.
    """
    results = _read_results(path)
    missing: dict[str, str] = {}
    config = _read_config(path / "config.json", missing)
    predictions = {}
    for score in results.estimators:
        problem, found = _read_predictions(path / "predictions", score.name)
        if found is None:
            missing[score.name] = problem
        else:
            predictions[score.name] = found
    survey = None
    try:
        survey = _open_survey_of(path, results, config)
    except InputError as error:
        missing["survey"] = error.command_line
    scaling = _read_scaling(path / "scaling.json", missing)
    return Run(path, results, config, predictions, scaling, survey, missing)


def _read_results(path: Path) -> Results:
    file = path / "results.json"
    hint = "give the folder that `icmass benchmark --out` wrote"
    if not path.is_dir():
        raise InputError("no such run", file=path, hint=hint)
    if not file.is_file():
        raise InputError("is missing", file=file, hint=hint)
    try:
        return Results.model_validate(_load_json(file))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise InputError(first["msg"], file=file, field=where, hint=hint) from None


def _load_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"is not JSON ({error})", file=file, hint="run `icmass benchmark` again"
        ) from None


def _read_config(file: Path, missing: dict[str, str]) -> dict[str, Any]:
    try:
        config = _load_json(file)
    except OSError:
        missing["config"] = "config.json is missing from the run"
        return {}
    except InputError as error:
        missing["config"] = error.command_line
        return {}
    if not isinstance(config, dict):
        missing["config"] = "config.json holds no table of settings"
        return {}
    return config


def _read_scaling(file: Path, missing: dict[str, str]) -> Scaling | None:
    try:
        return Scaling.model_validate(_load_json(file))
    except OSError:
        missing["scaling"] = "scaling.json is missing from the run"
    except (InputError, ValidationError):
        missing["scaling"] = "scaling.json holds no residual correlations"
    return None


def as_table(value: Any) -> dict[str, Any]:
    """Return a table, given itself or as JSON text; an empty one for anything else."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _read_predictions(folder: Path, name: str) -> tuple[str, Predicted | None]:
    """Return what is wrong and None, or an empty text and the predictions."""
    if not _PLAIN_NAME.fullmatch(name):
        return "its name is not a plain file name", None
    file = folder / f"{name}.npz"
    if not file.is_file():
        return f"predictions/{name}.npz is missing from the run", None
    try:
        with np.load(file, allow_pickle=False) as held:
            arrays = {key: np.asarray(held[key]) for key in _ARRAYS}
    except Exception as error:  # a damaged archive raises many kinds
        return f"predictions/{name}.npz is not readable ({type(error).__name__})", None
    shapes = {a.shape for a in arrays.values()}
    if len(shapes) != 1 or arrays["mean"].ndim != 1 or not arrays["mean"].size:
        return f"predictions/{name}.npz holds arrays of unequal or no length", None
    if any(a.dtype.kind not in "iuf" for a in arrays.values()):
        return f"predictions/{name}.npz holds something that is not a number", None
    good = np.all([np.isfinite(a) for a in arrays.values()], axis=0)
    if not good.any():
        return f"predictions/{name}.npz holds no finite prediction", None
    return "", Predicted(**{key: a[good] for key, a in arrays.items()})


def _open_survey_of(path: Path, results: Results, config: dict[str, Any]) -> xr.Dataset:
    named = config.get("survey", results.survey.get("path"))
    if not isinstance(named, str) or not named:
        raise InputError("the run does not say where its survey is")
    survey_path = Path(named)
    if not survey_path.is_absolute() and not survey_path.exists():
        survey_path = path / survey_path
    try:
        return open_survey(survey_path)
    except OSError as error:
        raise InputError(error.strerror or str(error), file=survey_path) from None
