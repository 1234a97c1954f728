"""What a report is made from: a run, of which all but the scores may be missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import xarray as xr

from icmass.errors import InputError
from icmass.run.config import RunConfig, Scaling
from icmass.run.folder import HINT, RunFolder
from icmass.run.layout import RunLayout, is_file_name
from icmass.run.predictions import Predictions
from icmass.run.results import Results

_Part = TypeVar("_Part")


@dataclass(frozen=True)
class Run:
    """A run as far as it can be read; `missing` says in words what cannot, by key."""

    path: Path
    results: Results
    config: RunConfig
    predictions: dict[str, Predictions]
    scaling: Scaling | None
    survey: xr.Dataset | None
    missing: dict[str, str] = field(default_factory=dict)


def read_scores(path: Path) -> Results:
    """Read the scores of a run, without which there is no page of it.

    Raises
    ------
    InputError
        If the folder holds no readable ``results.json``, or one without scores.
    """
    folder = RunFolder(path)
    results = folder.read_results()
    if not results.estimators:
        file = folder.layout.results
        raise InputError("holds no score", file=file, field="estimators", hint=HINT)
    return results


def read_run(path: Path) -> Run:
    """Read a folder that `icmass benchmark` wrote.

    Raises
    ------
    InputError
        If the folder holds no readable ``results.json``. Anything else may be missing.
    """
    folder, results = RunFolder(path), read_scores(path)
    missing: dict[str, str] = {}

    def part(key: str, file: Path | None, read: Callable[[], _Part]) -> _Part | None:
        """Read a part of the run, or note under `key` why it cannot be."""
        if file is not None and not file.is_file():
            missing[key] = f"{file.relative_to(folder.path)} is missing from the run"
            return None
        try:
            return read()
        except InputError as error:
            missing[key] = error.command_line
            return None

    layout = folder.layout
    config = part("config", layout.config, folder.read_config) or RunConfig()
    scaling = part("scaling", layout.scaling, folder.read_scaling)
    if layout.scaling.is_file() and (scaling is None or len(scaling.names) < 2):
        scaling, missing["scaling"] = None, "scaling.json holds no residual correlations"
    predictions = {}
    for score in results.estimators:
        try:
            predictions[score.name] = _read_predictions(layout, score.name)
        except InputError as error:
            missing[score.name] = f"predictions/{score.name}.npz {error.problem}"
    survey = part("survey", None, folder.open_survey)
    return Run(folder.path, results, config, predictions, scaling, survey, missing)


def _read_predictions(layout: RunLayout, name: str) -> Predictions:
    if not is_file_name(name):
        raise InputError("has no plain file name")
    found = Predictions.read(layout.predictions(name)).finite()
    if not len(found.mean):
        raise InputError("holds no finite prediction")
    return found
