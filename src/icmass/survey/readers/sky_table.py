"""Tables of positions: clusters to look at, sources to mask. FITS, ECSV, CSV and VOTable."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from icmass.errors import InputError
from icmass.survey.readers.fits_stream import FitsStream

FORMATS = {".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".vot": "votable", ".xml": "votable"}
MAX_TEXT_BYTES = 2**28

Columns = dict[str, np.ndarray]


def read_columns(file: str | Path, required: Sequence[str]) -> Columns:
    """Return the columns of numbers and text of a table, by their names in capitals.

    Parameters
    ----------
    file : path
        FITS (its first table with the required columns), ``.ecsv``, ``.csv``, ``.vot`` or
        ``.xml``.
    required : sequence of str
        Columns that must be there, in capitals.

    Raises
    ------
    InputError
        If the file is missing, damaged or lacks a column.
    """
    file = Path(file)
    if file.suffix.lower() in FORMATS:
        return _checked(_read_text(file), required, file)
    with FitsStream(file) as stream:
        for hdu in stream.hdus():
            if hdu.is_table and set(required) <= set(hdu.columns):
                plain = [n for n, c in hdu.columns.items() if c.code in "LBIJKEDA"]
                plain = [
                    n for n in plain if hdu.columns[n].repeat == 1 or hdu.columns[n].code == "A"
                ]
                return hdu.table(plain)
    raise InputError(
        f"has no table with columns {', '.join(required)}",
        file=file,
        mend="give a FITS table with them, or .ecsv, .csv, .vot",
    )


def _read_text(file: Path) -> Columns:
    from astropy import units as u
    from astropy.table import Table

    if not file.is_file():
        raise InputError("no such file", file=file, mend="give the path of a table")
    if file.stat().st_size > MAX_TEXT_BYTES:
        raise InputError(f"is larger than {MAX_TEXT_BYTES >> 20} MiB", file=file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = Table.read(file, format=FORMATS[file.suffix.lower()])
    except Exception as error:  # readers raise many kinds for a damaged file
        what = " ".join(str(error).split())[:80]
        raise InputError(f"not a readable table ({what})", file=file) from None
    columns: Columns = {}
    for name in table.colnames:
        column = table[name]
        if column.ndim != 1:
            continue
        if getattr(column, "unit", None) is not None and column.unit.is_equivalent(u.deg):
            column = column.quantity.to(u.deg) if hasattr(column, "quantity") else column.to(u.deg)
        if hasattr(column, "filled"):
            column = column.filled(np.nan if column.dtype.kind == "f" else column.fill_value)
        columns[name.strip().upper()] = np.asarray(column)
    return columns


def _checked(columns: Columns, required: Sequence[str], file: Path) -> Columns:
    for name in required:
        if name not in columns:
            raise InputError(
                f"has no column {name}", file=file, mend=f"it has {', '.join(list(columns)[:30])}"
            )
    return columns


def numbers(columns: Columns, name: str, file: str | Path) -> np.ndarray:
    """Return a column as float64, or refuse what holds no numbers."""
    values = columns[name]
    if values.dtype.kind not in "fiub":
        try:
            return values.astype("f8")
        except ValueError:
            raise InputError("holds no numbers", file=file, field=f"column {name}") from None
    return values.astype("f8")
