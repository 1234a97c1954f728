"""A selection function as a table: ECSV, FITS or VOTable, and back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from pydantic import ValidationError

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.survey.writers.tables import SUFFIXES, column, cosmology_meta, mass_columns

if TYPE_CHECKING:
    from astropy.table import Table


AXES = ("m500c", "redshift", "exposure", "nh")
"""Axes of the grid, in the order of its arrays."""

META = (
    "creator",
    "preset",
    "seed",
    "version",
    "halos",
    "detect",
    "config",
    *Cosmology.model_fields,
)
"""Keys of the ``meta`` of a selection function's table."""

_KEYS = ("m500c_msun_h", "redshift", "exposure", "nh")
_BIN = "concentration_bin"
_OF_NODES = ("probability", "probability_error")
_OF_BINS = ("concentration", "concentration_low", "concentration_high")
_DEFINITION = "S(<0.1 R500c) / S(<R500c), 0.5-2 keV, projected"


class Tabulated(Protocol):
    """What a table is made of; beside these, an array for each of `AXES` and columns."""

    @property
    def probability(self) -> np.ndarray:
        """Shape (mass, redshift, exposure, column density, bin of concentration)."""

    @property
    def n_halos(self) -> np.ndarray:
        """Number of halos; it broadcasts to `probability`."""

    @property
    def cosmology(self) -> Cosmology:
        """The mock's."""

    @property
    def meta(self) -> Mapping[str, Any]:
        """Preset, seed, configuration."""


def selection_table(function: Tabulated) -> Table:
    """Return a selection function as a table.

    Returns
    -------
    astropy.table.Table
        A row for each mass, redshift, exposure, column density and bin of concentration, the last
        changing fastest. ``meta``: `SelectionFunction.meta` and the cosmology.
    """
    from astropy.table import Table

    shape = function.probability.shape
    nodes = [getattr(function, name) for name in AXES]
    grids = np.meshgrid(*nodes, np.arange(shape[-1]), indexing="ij")
    mass, redshift, exposure, nh, number = (grid.ravel() for grid in grids)
    columns = mass_columns("m500c", mass, "mass within R500c", function.cosmology)
    columns += [
        column("redshift", redshift, "redshift", ucd="src.redshift"),
        column(
            "exposure",
            exposure,
            "unvignetted exposure at the survey-average effective area",
            unit="s",
            ucd="time.duration;obs.exposure",
        ),
        column("nh", nh * 1e20, "Galactic column density", unit="cm-2", ucd="phys.columnDensity"),
        column(_BIN, number, "bin of the concentration: fixed shares of the halos", ucd="meta.id"),
    ]
    words = ("mean (of the logarithm)", "least", "largest")
    for name, which in zip(_OF_BINS, words, strict=True):
        values = np.broadcast_to(getattr(function, name)[:, :, None, None], shape).ravel()
        columns.append(column(name, values, f"{which} concentration of the bin, {_DEFINITION}"))
    descriptions = ("probability that a halo is detected", "standard error of the probability")
    for name, about, ucd in zip(
        _OF_NODES, descriptions, ("stat.probability", "stat.error"), strict=True
    ):
        columns.append(column(name, getattr(function, name).ravel(), about, ucd=ucd))
    halos = np.broadcast_to(function.n_halos, shape).ravel()
    columns.append(column("n_halos", halos, "simulated halos of the bin", ucd="meta.number"))
    return Table(columns, meta={**function.meta, **cosmology_meta(function.cosmology)})


def read_selection_table(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the fields of a `SelectionFunction` from a table that `selection_table` made.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a column or a row, or does not tell its cosmology.
    """
    from icmass.io.sky_table import column_of, read_columns

    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{path.suffix or 'no suffix'} is no table",
            file=path,
            hint=f"use {', '.join(SUFFIXES)}",
        )
    names = [*_KEYS, _BIN, *_OF_BINS, *_OF_NODES, "n_halos"]
    columns = read_columns(path, [name.upper() for name in names])
    values = {name: column_of(columns, [name], path).plain_numbers() for name in names}
    axes = [np.unique(values[name]) for name in (*_KEYS, _BIN)]
    shape = tuple(len(axis) for axis in axes)
    rows = np.ravel_multi_index(
        tuple(
            np.searchsorted(axis, values[name])
            for axis, name in zip(axes, (*_KEYS, _BIN), strict=True)
        ),
        shape,
    )
    if not np.array_equal(rows, np.arange(np.prod(shape))):
        raise InputError(
            "is not the whole grid of a selection function in its order",
            file=path,
            hint="give a table of `icmass selection` as it was written",
        )
    cubes = {name: values[name].reshape(shape) for name in (*_OF_BINS, *_OF_NODES)}
    meta = _read_meta(path)
    cosmology = _cosmology(meta, path)
    m500c, redshift, exposure, nh, _ = axes
    return {
        "m500c": m500c,
        "redshift": redshift,
        "exposure": exposure,
        "nh": nh / 1e20,
        **{name: cubes[name] for name in _OF_NODES},
        **{name: cubes[name][:, :, 0, 0] for name in _OF_BINS},
        "n_halos": values["n_halos"].reshape(shape)[0, 0, 0, 0].astype(int),
        "cosmology": cosmology,
        "meta": {key: value for key, value in meta.items() if key not in Cosmology.model_fields},
    }


def _cosmology(meta: Mapping[str, Any], path: Path) -> Cosmology:
    try:
        parameters = {name: float(meta[name]) for name in Cosmology.model_fields}
        return Cosmology.model_validate(parameters)
    except (KeyError, TypeError, ValueError, ValidationError):
        raise InputError(
            "does not tell its cosmology", file=path, field=", ".join(Cosmology.model_fields)
        ) from None


def _read_meta(path: Path) -> dict[str, Any]:
    """Return the table's ``meta`` that `write_table` put into the file, keys in small letters."""
    readers = {".ecsv": _meta_of_ecsv, ".fits": _meta_of_fits}
    meta = readers.get(path.suffix.lower(), _meta_of_votable)(path)
    return {key.lower(): meta[key] for key in meta if key.lower() in META}


def _meta_of_ecsv(path: Path) -> Mapping[str, Any]:
    from astropy.table.meta import get_header_from_yaml

    lines = []
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            if not line.startswith("# "):
                break
            lines.append(line[2:].rstrip("\n"))
    return get_header_from_yaml(lines[1:]).get("meta", {})


def _meta_of_fits(path: Path) -> Mapping[str, Any]:
    from astropy.io import fits

    return dict(fits.getheader(path, "ICMASS").items())


def _meta_of_votable(path: Path) -> Mapping[str, Any]:
    from astropy.io.votable import parse_single_table

    return {info.name: info.value for info in parse_single_table(path).infos}
