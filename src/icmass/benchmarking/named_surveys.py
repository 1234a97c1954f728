"""Surveys under names that tell them apart, and whether two of them have halos in common."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.proxies.names import read_halos, read_scalar
from icmass.run.folder import survey_digest
from icmass.survey.catalog import open_survey, survey_config


@dataclass(frozen=True)
class NamedSurvey:
    """A survey with true masses, under the name that the table gives it."""

    label: str
    path: Path
    data: xr.Dataset

    @property
    def halos(self) -> np.ndarray:
        """Halo of each cluster, shape (n,)."""
        return read_halos(self.data)

    def shares_halos(self, other: NamedSurvey) -> bool:
        """Say whether the same halos are in both: the same survey, or the same seed and halos."""
        ours, theirs = (_origin(survey.data) for survey in (self, other))
        if ours is None or theirs is None:
            return survey_digest(self.data) == survey_digest(other.data)
        return ours == theirs


def _origin(survey: xr.Dataset) -> tuple[Any, ...] | None:
    """Return what decides which halos a simulated survey has: its seed and its kind of universe."""
    if "config" not in survey.attrs or "seed" not in survey.attrs:
        return None
    halos = survey_config(survey).get("halos", {})
    kept = ("box_mpc_h", "redshift_range", "log_m500c_min")
    return int(survey.attrs["seed"]), *(json.dumps(halos.get(key)) for key in kept)


def open_truth(path: str | Path) -> xr.Dataset:
    """Open a survey of which every cluster has a true mass and a redshift: it can be scored on."""
    survey = open_survey(path)
    for name in ("m500c", "redshift"):
        read_scalar(survey, name, file=path)
    return survey


def open_named(paths: Sequence[str | Path], field: str) -> list[NamedSurvey]:
    """Open surveys under names that tell them apart: stems, or whole paths where those clash."""
    if field == "test" and not paths:
        raise InputError("none given", field="--test", hint="give the surveys to score on")
    labels = distinct_labels([Path(path) for path in paths], f"--{field}")
    return [NamedSurvey(label, path, open_truth(path)) for path, label in labels.items()]


def distinct_labels(
    paths: Sequence[Path], field: str, *, taken: Collection[str] = ()
) -> dict[Path, str]:
    """Return a label of each path: its last name, or the whole path where that is another's.

    Raises
    ------
    InputError
        If a path is given twice.

    Examples
    --------
    >>> list(distinct_labels([Path("a/m"), Path("b/m"), Path("c.zarr")], "models").values())
    ['a/m', 'b/m', 'c']
    """
    places = [path.resolve() for path in paths]
    for i, place in enumerate(places):
        if place in places[:i]:
            raise InputError("is given twice", file=paths[i], field=field, hint="give it once")
    stems = [path.name.removesuffix(".zarr") for path in paths]
    return {
        path: stem if stems.count(stem) == 1 and stem not in taken else str(path)
        for path, stem in zip(paths, stems, strict=True)
    }


def distinct(surveys: Sequence[NamedSurvey]) -> list[NamedSurvey]:
    """Return each survey once, by its path."""
    return list({survey.path.absolute(): survey for survey in surveys}.values())
