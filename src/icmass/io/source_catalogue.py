"""Catalogues of sources and clusters, row by row: count rates, extent, exposure, redshift."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from icmass.errors import InputError
from icmass.io.cluster_table import NAME, REDSHIFT
from icmass.io.column_density import NH, column_density
from icmass.io.memory_table import Tabular, label_of
from icmass.io.sky_table import (
    DEC,
    RA,
    Columns,
    TableColumn,
    distinct_labels,
    find_column,
    plain_name,
    read_columns,
)
from icmass.io.units import NO_UNIT, converted
from icmass.missions.catalogue_format import CatalogueFormat

MAX_ROWS = 20_000_000
UNITS = {"extent": "arcsec", "exposure": "s"}
_RATES = ("rate", "rate_p1", "rate_p2", "rate_p3", "rate_p4", "rate_300kpc", "rate_r500c")
_LIKELIHOODS = ("extent_likelihood", "detection_likelihood")
ROLES = (
    "redshift", *_RATES, "counts", "exposure", "extent", *_LIKELIHOODS, "nh", "name", "ra", "dec"
)  # fmt: skip
"""What a column may be."""
_COUNT = re.compile(r"\b(?:counts?|cts?|photons?|ph)\b", re.IGNORECASE)


@dataclass(frozen=True)
class SourceRows:
    """Rows of a catalogue.

    Attributes
    ----------
    columns : dict of ndarray, shape (n,)
        By what they are, in the units of `icmass.survey.catalogue_rows.CATALOGUE`; NaN where a cell
        is empty or negative, as catalogues write what was not measured. Absent are those that the
        table has no column of. ``ra``, ``dec`` [deg] besides.
    names : list of str
        What the rows are called; none of them twice.
    used : dict of str to str
        The table's name of each column.
    """

    columns: dict[str, np.ndarray]
    names: list[str]
    used: dict[str, str]

    def __len__(self) -> int:
        return len(self.names)


def parse_column_map(text: str | Mapping[str, str] | None) -> dict[str, str]:
    """Return the table's names of columns by what they are, of ``rate=CR500,redshift=Z``.

    Raises
    ------
    InputError
        If it is no list of ``what=NAME``, nothing is called so, or something twice.
    """
    if text is None:
        return {}
    if isinstance(text, str):
        pairs = [part.partition("=") for part in text.split(",")]
        items = {what.strip(): name.strip() for what, _, name in pairs}
        roles = [what.strip() for what, _, _ in pairs]
        if twice := [what for i, what in enumerate(roles) if what in roles[:i]]:
            raise InputError(f"names {twice[0]} twice", field="--columns", hint="name one column")
    else:
        items = dict(text)
    for what, name in items.items():
        if what not in ROLES:
            hint = f"use {', '.join(ROLES)}"
            raise InputError(f"{what!r} is nothing that is read", field="--columns", hint=hint)
        if not name:
            hint = "write what=NAME, say rate=CR500"
            raise InputError(f"{what} has no column", field="--columns", hint=hint)
    return items


def read_source_catalogue(
    catalogue: Tabular,
    known: CatalogueFormat,
    column_map: Mapping[str, str] | None = None,
) -> SourceRows:
    """Read the rows of a catalogue.

    Parameters
    ----------
    catalogue : path or TableLike
        FITS, ECSV, CSV or VOTable, or a table in memory. Of a column name that a FITS table has
        twice, the last is read.
    known : CatalogueFormat
        What the mission's catalogues call their columns.
    column_map : mapping of str to str, optional
        Names that replace these, by `ROLES`.

    Raises
    ------
    InputError
        If the table cannot be read, has no row, no column of a rate or a redshift, or lacks one
        that is named.
    """
    file, named = label_of(catalogue), dict(column_map or {})
    names = _names(known) | {what: (name,) for what, name in named.items()}
    fluxes = {name for flux in known.fluxes.values() for name in flux.names}
    wanted = [name for some in names.values() for name in some] + [*fluxes, *known.refused]
    table = read_columns(catalogue, wanted, (names["redshift"],), max_rows=MAX_ROWS)
    for what, name in named.items():
        if find_column(table, (name,)) is None:
            hint = f"--columns {what}= one that is there"
            raise InputError(f"has no column {name}", file=file, field="--columns", hint=hint)
    for name, hint in known.refused.items():
        if plain_name(name) in table and "rate" not in named:
            raise InputError("is of another kind", file=file, field=f"column {name}", hint=hint)
    found = {what: column for what in names if (column := find_column(table, names[what]))}
    columns = {what: _numbers(what, column) for what, column in found.items() if what != "name"}
    used = {what: column.name for what, column in found.items()}
    _fill(columns, used, table, known)
    if not any(name in columns for name in _RATES):
        hint = "name one: --columns rate=NAME"
        raise InputError(f"has no count rate ({names['rate'][0]})", file=file, hint=hint)
    n = len(columns["redshift"])
    if not n:
        raise InputError("has no row", file=file, field="--catalogue")
    return SourceRows(columns, _labels(found.get("name"), n), used)


def _names(known: CatalogueFormat) -> dict[str, tuple[str, ...]]:
    general = {"redshift": REDSHIFT, "nh": NH, "name": NAME, "ra": RA, "dec": DEC}
    return general | {"counts": known.counts} | dict(known.columns)


def _numbers(what: str, column: TableColumn) -> np.ndarray:
    """Return the numbers of a column, NaN where they say that nothing was measured."""
    if what in ("ra", "dec"):
        return column.angles(hours=what == "ra")
    if what == "nh":
        return column_density(column)
    values = column.plain_numbers()
    unit = column.unit.strip()
    if unit.lower() not in NO_UNIT and what in (*_RATES, *UNITS):
        target = UNITS.get(what) or ("ct / s" if _COUNT.search(unit) else "1 / s")
        written = _COUNT.sub("ct", unit)
        field = f"column {column.name}"
        values = converted(values, written, target, file=column.file, field=field)
    least = 1e-12 if what in ("redshift", "exposure") else 0.0
    result: np.ndarray = np.where(np.isfinite(values) & (values >= least), values, np.nan)
    return result


def _fill(
    columns: dict[str, np.ndarray], used: dict[str, str], table: Columns, known: CatalogueFormat
) -> None:
    """Put fluxes in the place of rates, and counts over rate in that of the exposure."""
    for what, flux in known.fluxes.items():
        if what not in columns and (column := find_column(table, flux.names)) is not None:
            columns[what] = _numbers(what, _without_unit(column)) * flux.counts_per_flux
            used[what] = column.name
    counts, rate = columns.pop("counts", None), columns.get("rate")
    used.pop("counts", None)
    if "exposure" not in columns and counts is not None and rate is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            columns["exposure"] = np.where((counts > 0) & (rate > 0), counts / rate, np.nan)


def _without_unit(column: TableColumn) -> TableColumn:
    """Return a flux [erg/s/cm^2] as plain numbers, to be multiplied."""
    field = f"column {column.name}"
    unit = "erg / (s cm2)"
    values = converted(column.plain_numbers(), column.unit, unit, file=column.file, field=field)
    return TableColumn(column.name, values, "", column.file)


def _labels(column: TableColumn | None, n: int) -> list[str]:
    """Return what to call the rows: one line each, none of them twice."""
    return distinct_labels([""] * n if column is None else column.labels())
