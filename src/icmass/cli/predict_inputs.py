"""What `icmass predict` reads: a survey, event files, or images of one cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from icmass.cli import options
from icmass.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from icmass.estimators.ensemble import Ensemble
    from icmass.survey.readers.observed import Target


@dataclass
class Found:
    """What is to be predicted: clusters of a survey, and those that could not be read."""

    survey: xr.Dataset | None
    rows: np.ndarray
    failed: dict[str, InputError] = field(default_factory=dict)
    folder: tempfile.TemporaryDirectory[str] | None = None


def of_survey(path: Path, index: list[str] | None) -> Found:
    """Return a survey and the clusters asked for."""
    from icmass.survey.catalog import open_survey

    survey = open_survey(path)
    return Found(survey, options.chosen_clusters(index, survey.sizes["cluster"], path.name))


def of_images(
    ensemble: Ensemble,
    images: Sequence[Path],
    expmap: Sequence[Path],
    target: Any,
    bands: str | None,
    sky: dict[str, Any],
) -> Found:
    """Return the survey of one cluster, on the maps that the model was trained on."""
    from icmass.survey.readers.fits_images import parse_bands
    from icmass.survey.readers.images import survey_from_images

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
    return Found(survey, np.array([0]))


def check_store(store: Path | None) -> None:
    """Refuse to go on with, or to have others write, what has no name."""
    if store is None:
        why = "is missing: other processes and --resume go by its name"
        raise InputError(why, field="--store", mend="give --store X.zarr")


def of_events(
    ensemble: Ensemble,
    files: Sequence[Path],
    targets: Sequence[Target],
    given: dict[str, Any],
    store: Path | None,
    **work: Any,
) -> Found:
    """Return the survey of clusters in event files, on the maps that the model was trained on.

    It is made in `store`, or else in a folder that goes with what is returned.
    """
    from icmass.survey.catalog import open_survey
    from icmass.survey.readers.observed import check_target

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
        return Found(None, np.zeros(0, int), _or_raise(failed, targets))
    folder = None if store else tempfile.TemporaryDirectory(prefix="icmass-")
    out = store or Path(folder.name if folder else "") / "survey.zarr"
    made = options.ingest_files(files, usable, ensemble.map_grid(), given, out, **work)
    failed |= made.failed
    if not made.names and len(targets) > 1:
        options.print_notes(made.notes)
    else:
        options.print_notes(made.passed_by)
    if not made.names:
        return Found(None, np.zeros(0, int), _or_raise(failed, targets))
    survey = open_survey(out)
    return Found(survey, np.arange(len(made.names)), failed, folder)


def _or_raise(failed: dict[str, InputError], targets: Sequence[Target]) -> dict[str, InputError]:
    """Return why there are no clusters; of a single one it is raised."""
    if len(targets) == 1:
        raise next(iter(failed.values()))
    return failed
