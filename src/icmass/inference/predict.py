"""Masses of clusters in a survey, in event files or in images, by one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from icmass.arguments import refuse_unknown
from icmass.calibration.result import Calibration
from icmass.errors import InputError
from icmass.estimators.prior import Prior, as_prior
from icmass.files import as_path, as_paths
from icmass.inference.bundled import (
    DEFAULT_MODEL,
    family_members,
    is_bundled,
    model_folder,
)
from icmass.inference.catalogue import predict_catalogue
from icmass.inference.ensemble import Ensemble, load_ensemble
from icmass.inference.family import (
    Model,
    ModelFamily,
    chosen,
    chosen_for_survey,
    of_calibration,
)
from icmass.inference.given import (
    READING,
    check_draws,
    kind_of,
    refuse_what_does_not_go,
)
from icmass.inference.inputs import Clusters, of_events, of_images
from icmass.inference.likelihood import as_calibration
from icmass.inference.masses import Masses
from icmass.inference.trained_on import telescope_for
from icmass.io.memory_table import Tabular, as_table, table_facts, table_files
from icmass.io.quantities import NH_UNIT, optional_number, position_degrees
from icmass.io.targets import Notes, read_targets
from icmass.survey.catalog import check_survey, open_survey
from icmass.survey.chosen import checked_index
from icmass.survey.ingest import Progress
from icmass.survey.observed.reading import Files, event_reading, read_files
from icmass.survey.seen import exposure_area


def load_model(
    model: str | Path | None = None, *, name: str | None = None, device: str = "auto"
) -> Model:
    """Open a fitted model, or a family of them.

    Parameters
    ----------
    model : str or path, optional
        A bundled model or family by its name (default: the family ``"erass-v2"``), the folder of a
        saved model, or of a run.
    name : str, optional
        Which model of a run; default: its best network. Without `model`, a bundled name too.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Returns
    -------
    Ensemble or ModelFamily
        Of a family `predict` takes the member whose bands its input has.

    Raises
    ------
    InputError
        If there is no such model, or it is damaged.
    """
    if model is None and is_bundled(name):
        model, name = name, None
    members = family_members(model)
    if members is not None:
        family = str(model or DEFAULT_MODEL)
        if name is not None and name not in members:
            what, known = f"{name!r} isn't in the family {family}", ", ".join(members)
            raise InputError(what, field="--model", hint=f"it has {known}")
        if name is None:
            return ModelFamily(family, members, device)
        model, name = members[name], None
    return load_ensemble(model_folder(model), model=name, device=device)


def predict(
    inputs: Files | xr.Dataset | None = None,
    *,
    catalogue: Tabular | None = None,
    columns: str | Mapping[str, str] | None = None,
    model: Model | str | Path | None = None,
    ra: Any = None,
    dec: Any = None,
    redshift: Any = None,
    position: Any = None,
    table: Tabular | None = None,
    name: str | None = None,
    nh: Any = None,
    index: Sequence[int] | np.ndarray | str | None = None,
    prior: Prior | str = "training",
    calibration: Calibration | str | Path | None = None,
    images: Files | None = None,
    image_bands: str | None = None,
    samples: int | None = None,
    seed: int = 0,
    device: str = "auto",
    store: str | Path | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    notes: Notes | None = None,
    **reading: Any,
) -> Masses:
    """Predict M500c of the clusters of a survey, of event files, or of images of one cluster.

    A batch goes on past a file or a cluster that cannot be used; `Masses.failed` says why.

    Parameters
    ----------
    inputs : path, sequence of path, or Dataset
        A survey (a Zarr store or an open one) or event files of the telescope that the model was
        trained for; none with `images`.
    catalogue : path or TableLike, optional
        In place of inputs a table of sources or clusters with count rates and redshifts, of a file
        or in memory as `table`; `model`, `nh`, `prior`, `samples` and `seed` go with it. See
        `icmass.inference.catalogue.predict_catalogue`.
    columns : str or mapping, optional
        Names of its columns by what they are, ``"rate=CR500,redshift=Z"``.
    model : Ensemble, ModelFamily, str or path, optional
        What `load_model` returned or takes; default: the family ``"erass-v2"``, of which the
        member whose bands the input has is taken.
    ra, dec : float, Quantity or str, optional
        Position of the cluster [deg, ICRS], or texts such as ``"10h00m24s"``, ``"-02d30m00s"``.
    redshift : float, optional
        Its redshift.
    position : SkyCoord, optional
        In place of `ra` and `dec`.
    table : path or TableLike, optional
        Many clusters in their place: FITS, ECSV, CSV or VOTable; or an astropy Table, a pandas
        DataFrame or a structured NumPy array.
    name : str, optional
        What to call the cluster.
    nh : float or Quantity, optional
        Galactic column density [1e20 cm^-2]; default 3, or what a mock's file says.
    index : sequence of int or bool, or str, optional
        Clusters of the survey, a mask of them, or a text such as ``"0-9"``; default: all.
    prior : Prior or str
        Prior of the mass in place of the training set's: ``"flat"`` (in ln M) or
        ``"mass-function"``.
    calibration : Calibration or path, optional
        What `icmass.calibrate` returned, or its folder: masses on the scale of the lensing, with
        the scale's error in theirs. Of a family the member that it is of predicts.
    images : path or sequence of path, optional
        FITS counts images, one a band.
    image_bands : str, optional
        Their bands, ``"0.2-2.3"`` [keV]; default: of header or file name.
    samples : int, optional
        Draws of ln M500c a cluster that go into the document; see `Masses.sample` too.
    seed : int
        Seed of the draws and of the photons' places in their pixels.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    store : path, optional
        Keep the survey that is made of event files.
    workers, scheduler, resume
        Processes, or the address of a Dask scheduler, that read event files; go on with a killed
        run, for which `store` is needed.
    progress, notes : callable, optional
        As `icmass.ingest` has them.
    **reading
        How files are read, see `icmass.survey.observed.reading.event_reading`; of images
        ``exposure``, ``expmap``, ``expmap_kind``, ``mask``, ``min_visible`` and ``instrument``.

    Raises
    ------
    InputError
        If what was given cannot be used, or of a single cluster there is no mass.

    Examples
    --------
    >>> import icmass
    >>> survey = icmass.simulate("erosita", n=2, seed=3)
    >>> masses = icmass.predict(survey)
    >>> len(masses), masses.interval(0.68).shape, masses.sample(10).shape
    (2, (2, 2), (2, 10))
    """
    if catalogue is not None:
        others = {"inputs": inputs, "images": images, "ra": ra, "dec": dec, "redshift": redshift}
        others |= {"position": position, "table": table, "name": name, "index": index}
        others |= {"calibration": calibration, "store": store, "scheduler": scheduler}
        if beside := [key for key, value in {**others, **reading}.items() if value is not None]:
            what = "does not go with a catalogue"
            raise InputError(what, field=", ".join(beside), hint="leave it out")
        return predict_catalogue(
            catalogue,
            model=model,
            columns=columns,
            nh=optional_number(nh, NH_UNIT, "--nh"),
            prior=prior,
            samples=samples,
            seed=seed,
            notes=notes,
        )
    parsed = as_prior(prior)
    refuse_unknown(reading, [*READING, *signature(predict).parameters])
    kind = kind_of(inputs, images)
    place = {"ra": ra, "dec": dec, "redshift": redshift, "position": position, "table": table}
    place |= {"name": name, "nh": nh, "image_bands": image_bands, "index": index}
    work: dict[str, Any] = {"workers": workers, "scheduler": scheduler, "resume": resume}
    refuse_what_does_not_go(kind, {**place, **reading, **work, "store": store})
    if columns is not None:
        raise InputError("goes with --catalogue", field="--columns", hint="leave it out")
    check_draws(samples, seed)
    scale = as_calibration(calibration)
    given = model if isinstance(model, Model) else load_model(model, device=device)
    if scale is not None:
        given = of_calibration(given, scale)
    ra, dec = position_degrees(ra, dec, position)
    table = None if table is None else as_table(table, "--table")
    work["progress"] = progress
    if kind == "survey" and inputs is not None:
        ensemble, clusters = _of_survey(given, inputs, index)
    else:
        files = as_paths(inputs) if kind == "events" else []
        telescope = telescope_for(_training_survey(given), reading.get("instrument"))
        reading["instrument"] = telescope.instrument
        targets = read_targets(
            table,
            ra,
            dec,
            redshift,
            nh,
            name=name,
            events=files[0] if files else None,
            mission=telescope.mission,
            notes=notes,
        )
        if images is not None:
            learnt = replace(telescope, stated_area=exposure_area(_training_survey(given)))
            sky = _sky_of_images(reading, seed) | {"telescope": learnt}
            ensemble = chosen(
                given, lambda family: family.for_images(as_paths(images), image_bands)
            )
            clusters = of_images(
                ensemble, as_paths(images), sky.pop("expmap"), targets[0], image_bands, **sky
            )
        else:
            where = None if store is None else Path(store)
            if where is None and (scheduler is not None or resume):
                why = "is missing: other processes and --resume go by its name"
                raise InputError(why, field="--store", hint="give --store X.zarr")
            ensemble = chosen(given, lambda family: family.for_events(files, telescope.mission))
            clusters = of_events(
                ensemble, files, targets, event_reading(**reading), where, notes, **work
            )
    files_read = [] if isinstance(inputs, xr.Dataset) else as_paths(inputs)
    files_read += [*as_paths(images), *table_files(table), *read_files(reading)]
    masses = Masses.of(
        ensemble,
        clusters,
        parsed,
        samples=samples,
        seed=seed,
        calibration=scale,
        progress=progress,
        inputs=files_read,
    )
    if table is not None:
        masses.document["table"] = table_facts(table)
    return masses


def _training_survey(model: Model) -> Mapping[str, Any]:
    """Return the attributes of the survey that a model, or a family's members, are trained on."""
    return model.training_survey if isinstance(model, ModelFamily) else model.training.survey


def _of_survey(
    model: Model, inputs: Files | xr.Dataset, index: Sequence[int] | np.ndarray | str | None
) -> tuple[Ensemble, Clusters]:
    called = "the survey"
    if isinstance(inputs, xr.Dataset):
        survey = inputs
        check_survey(survey)
    else:
        path = as_paths(inputs)[0]
        survey, called = open_survey(path), path.name
    rows = checked_index(index, survey.sizes["cluster"], called)
    ensemble, survey = chosen_for_survey(model, survey)
    return ensemble, Clusters(survey, rows)


def _sky_of_images(reading: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return what `survey_from_images` takes of the options of reading."""
    sky = {
        "expmap": as_paths(reading.get("expmap"), "--expmap"),
        "exposure_kind": reading.get("expmap_kind"),
        "seconds": optional_number(reading.get("exposure"), "s", "--exposure"),
        "mask": as_path(reading.get("mask"), "--mask"),
        "seed": seed,
    }
    if "min_visible" in reading:
        sky["min_visible"] = reading["min_visible"]
    return sky
