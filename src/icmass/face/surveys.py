"""Surveys by one call: compare one with what is published, write one in other formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.survey.catalog import check_survey, open_survey
from icmass.survey.chosen import checked_index
from icmass.survey.stored import store_of
from icmass.survey.writers.croissant import Publication, write_croissant
from icmass.survey.writers.events import write_events
from icmass.survey.writers.files import check_folder, new_file
from icmass.survey.writers.images import write_image, write_images
from icmass.survey.writers.simput import export_simput
from icmass.survey.writers.tables import survey_table, write_table
from icmass.validation.validate import Validation
from icmass.validation.validate import validate as compare

Format = Literal["events", "images", "expmap", "simput", "table", "croissant"]
FITS = (".fits", ".fits.gz", ".fit")


def validate(survey: str | Path | xr.Dataset, *, seed: int = 0) -> Validation:
    """Compare a mock with the published catalogue: each figure, its target, whether it holds.

    Parameters
    ----------
    survey : path or Dataset
        A simulated survey.
    seed : int
        Seed of the bootstrap errors.

    Returns
    -------
    Validation
        ``checks``, ``verdict``, and ``document()`` as ``icmass validate --json`` prints it.

    Raises
    ------
    InputError
        If the survey has no true masses or fewer than 100 clusters.
    """
    return compare(opened(survey), seed)


@dataclass(frozen=True)
class Exported:
    """Files that were written, and clusters that could not be, by their index."""

    files: list[Path] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)


def export(
    survey: str | Path | xr.Dataset,
    format: Format,
    out: str | Path,
    *,
    index: Sequence[int] | np.ndarray | str | None = None,
    seed: int = 0,
    instrument: str | None = None,
    license: str | None = None,
    creator: str | None = None,
    url: str | None = None,
    overwrite: bool = False,
    written: Callable[[Path], None] | None = None,
) -> Exported:
    """Export a survey, or clusters of it, as event files, images, photon lists or a table.

    Parameters
    ----------
    survey : path or Dataset
    format : {"events", "images", "expmap", "simput", "table", "croissant"}
        Event files of the instrument's mission; counts, exposure and mask; exposure maps; photons
        of the sky; truths and proxies; a description of the whole store in Croissant 1.0.
    out : path
        A ``.fits`` file for one cluster, else a folder; a table: .ecsv, .fits, .vot or .xml; a
        description: .json or .jsonld.
    index : sequence of int or bool, or str, optional
        Clusters of the survey, a mask of them, or a text such as ``"0-9"``; default: all.
    seed : int
        Seed of what maps do not keep: places in pixels, energies, times.
    instrument : str, optional
        Whose mission's event files and images to write, of a survey whose instrument is of none
        that is known; default: of the survey's.
    license, creator, url : str, optional
        Of a description: an SPDX identifier or a URL (needed for real clusters; CC-BY-4.0 for
        mocks), a name, the data set's page.
    overwrite : bool
        Replace files that are there.
    written : callable, optional
        Called with each file as it is written.

    Returns
    -------
    Exported

    Raises
    ------
    InputError
        If what was given cannot be used, or none of the clusters could be written.
    """
    if format not in get_args(Format):
        known = ", ".join(get_args(Format))
        raise InputError(f"is {format!r}", field="--format", hint=f"give one of {known}")
    if format != "croissant":
        for field, given in {"license": license, "creator": creator, "url": url}.items():
            _refuse_part(f"--{field}", given, format)
    if format in ("simput", "table", "croissant"):
        _refuse_part("--instrument", instrument, format)
    data, out = opened(survey), Path(out)
    told = written or (lambda file: None)
    if format == "croissant":
        _refuse_part("--index", index, format)
        publication = Publication(license, creator, url)
        told(write_croissant(store_of(data), out, publication=publication, overwrite=overwrite))
        return Exported([out])
    called = "the survey" if isinstance(survey, xr.Dataset) else Path(survey).name
    rows = np.unique(checked_index(index, data.sizes["cluster"], called))
    if format == "table":
        table = write_table(survey_table(data, rows), out, overwrite=overwrite)
        told(table)
        return Exported([table])
    write = _writer(format, data, seed=seed, overwrite=overwrite, instrument=instrument)
    return _each(write, _paths(format, out, rows), out, told)


def _each(
    write: Callable[[int, Path], list[Path]],
    paths: dict[int, Path],
    out: Path,
    told: Callable[[Path], None],
) -> Exported:
    """Write one cluster after the other; those that cannot be are passed by, unless all are."""
    done = Exported()
    for cluster, path in paths.items():
        try:
            for file in write(cluster, path):
                done.files.append(file)
                told(file)
        except (InputError, OSError) as error:
            if len(paths) == 1:
                raise
            said = error.command_line if isinstance(error, InputError) else str(error)
            done.failed[cluster] = " ".join(said.split())
    if len(done.failed) == len(paths):
        why = next(iter(done.failed.values()))
        raise InputError(f"none of the clusters could be written: {why}", file=out)
    return done


def opened(survey: str | Path | xr.Dataset) -> xr.Dataset:
    """Return a survey, opened if it is a path."""
    if not isinstance(survey, xr.Dataset):
        return open_survey(survey)
    check_survey(survey)
    return survey


def _refuse_part(field: str, given: object, format: Format) -> None:
    """Refuse what a format has no use for."""
    if given is not None:
        raise InputError(f"has no part in {format}", field=field, hint="leave it out")


def _paths(format: Format, out: Path, rows: np.ndarray) -> dict[int, Path]:
    """Return where each cluster goes: the file asked for, or one in a folder."""
    if out.name.lower().endswith(FITS) and not out.is_dir():
        if len(rows) > 1 or format == "images":
            raise InputError(
                "several files do not fit into one",
                file=out,
                field="--out",
                hint="give a folder, or one cluster with --index",
            )
        return {int(rows[0]): out}
    check_folder(out, "--out")
    if format == "images":
        return {int(i): out for i in rows}
    return {int(i): out / f"cluster-{i:05d}_{format}.fits" for i in rows}


def _writer(format: Format, survey: xr.Dataset, **how: Any) -> Callable[[int, Path], list[Path]]:
    """Return what writes a cluster to a path, and returns the files that it wrote."""
    seed, overwrite = how["seed"], how["overwrite"]
    as_files = {"overwrite": overwrite, "instrument": how["instrument"]}

    def expmap(cluster: int, path: Path) -> list[Path]:
        return [write_image("exposure", survey, cluster, path, **as_files)]

    def events(cluster: int, path: Path) -> list[Path]:
        files = [write_events(survey, cluster, path, seed=seed, **as_files)]
        if "coverage" not in survey and "mask" not in survey:
            return files
        return files + expmap(cluster, _beside(path))

    def images(cluster: int, folder: Path) -> list[Path]:
        return write_images(survey, cluster, folder, **as_files)

    def simput(cluster: int, path: Path) -> list[Path]:
        with new_file(path, overwrite=overwrite) as unfinished:
            export_simput(survey, cluster, unfinished, seed=seed)
        return [path]

    return {"events": events, "images": images, "expmap": expmap, "simput": simput}[format]


def _beside(path: Path) -> Path:
    """Return the name of the exposure map that goes with an event file."""
    stem = path.name[: path.name.lower().rindex(".fit")].removesuffix("_events")
    return path.with_name(f"{stem}_expmap.fits")
