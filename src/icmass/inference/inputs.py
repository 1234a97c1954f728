"""What masses are predicted of: a survey, event files, or images of one cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.inference.ensemble import Ensemble
from icmass.io.fits_images import parse_bands
from icmass.io.target import Target, check_target
from icmass.io.targets import Notes
from icmass.survey.catalog import open_survey
from icmass.survey.ingest import ingest_events
from icmass.survey.observed.images import survey_from_images
from icmass.survey.observed.reading import EventReading


@dataclass
class Clusters:
    """Clusters of a survey, and those that could not be read.

    Attributes
    ----------
    survey : Dataset or None
        None if none of the clusters could be read.
    rows : ndarray of int, shape (n,)
        The clusters in it.
    failed : dict of str to InputError
        Why others could not be read, by name.
    folder : TemporaryDirectory, optional
        Where the survey is, if it goes with this object.
    """

    survey: xr.Dataset | None
    rows: np.ndarray
    failed: dict[str, InputError] = field(default_factory=dict)
    folder: tempfile.TemporaryDirectory[str] | None = None


def of_images(
    ensemble: Ensemble,
    images: Sequence[Path],
    expmap: Sequence[Path],
    target: Target,
    bands: str | None,
    **sky: Any,
) -> Clusters:
    """Return the survey of one cluster, on the maps that the model was trained on."""
    grid = ensemble.map_grid()
    ensemble.training.check_redshift(target.redshift)
    survey = survey_from_images(
        images,
        expmap,
        ra=target.ra,
        dec=target.dec,
        redshift=target.redshift,
        nh=target.nh,
        grid=grid,
        image_bands=parse_bands(bands) if bands is not None else None,
        **sky,
    )
    return Clusters(survey, np.array([0]))


def of_events(
    ensemble: Ensemble,
    files: Sequence[Path],
    targets: Sequence[Target],
    reading: EventReading,
    store: Path | None,
    notes: Notes | None = None,
    **work: Any,
) -> Clusters:
    """Return the survey of clusters in event files, on the maps that the model was trained on.

    It is made in `store`, or else in a folder that goes with what is returned.
    """
    failed: dict[str, InputError] = {}
    usable = []
    for target in targets:
        try:
            check_target(target)
            ensemble.training.check_redshift(target.redshift)
            usable.append(target)
        except InputError as error:
            failed[target.name] = error
    if not usable:
        return Clusters(None, np.zeros(0, int), _or_raise(failed, targets))
    folder = None if store else tempfile.TemporaryDirectory(prefix="icmass-")
    out = store or Path(folder.name if folder else "") / "survey.zarr"
    made = ingest_events(files, usable, ensemble.map_grid(), reading, out, **work)
    failed |= made.failed
    none = not made.names and len(targets) > 1
    for note in made.notes if none else made.passed_by:
        if notes is not None:
            notes(note)
    if not made.names:
        return Clusters(None, np.zeros(0, int), _or_raise(failed, targets))
    return Clusters(open_survey(out), np.arange(len(made.names)), failed, folder)


def _or_raise(failed: dict[str, InputError], targets: Sequence[Target]) -> dict[str, InputError]:
    """Return why there are no clusters; of a single one it is raised."""
    if len(targets) == 1:
        raise next(iter(failed.values()))
    return failed
