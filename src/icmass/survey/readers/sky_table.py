"""Tables of positions: clusters to look at, sources to mask. FITS, ECSV, CSV and VOTable."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from icmass.errors import InputError
from icmass.survey.readers.fits_stream import FitsStream

if TYPE_CHECKING:
    from astropy.table import Table

FORMATS = {".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".vot": "votable", ".xml": "votable"}
MAX_TEXT_BYTES = 2**26
MAX_ROWS = 10**6

Columns = dict[str, np.ndarray]


def read_columns(
    file: str | Path, required: Sequence[str], optional: Sequence[str] = ()
) -> Columns:
    """Return columns of numbers and text of a table, by their names in capitals.

    Parameters
    ----------
    file : path
        FITS (its first table with the required columns), ``.ecsv``, ``.csv``, ``.vot`` or
        ``.xml``.
    required, optional : sequence of str
        Columns that must be there, and others that are wanted, in capitals.

    Raises
    ------
    InputError
        If the file is missing, damaged or lacks a column.
    """
    file = Path(file)
    if file.suffix.lower() in FORMATS:
        return _checked(_read_text(file), required, file)
    wanted = {*required, *optional}
    with FitsStream(file) as stream:
        for hdu in stream.hdus():
            if hdu.is_table and set(required) <= set(hdu.columns):
                plain = {n: c for n, c in hdu.columns.items() if c.code in "LBIJKEDA"}
                plain = {n: c for n, c in plain.items() if c.repeat == 1 or c.code == "A"}
                found = hdu.table([n for n in plain if n in wanted], max_rows=MAX_ROWS)
                return _checked(found, required, file)
    raise InputError(
        f"has no table with columns {', '.join(required)}" if required else "has no table",
        file=file,
        mend="give a FITS table with them, or .ecsv, .csv, .vot",
    )


def _read_text(file: Path) -> Columns:
    from astropy.table import Table

    if not file.is_file():
        raise InputError("no such file", file=file, mend="give the path of a table")
    if file.stat().st_size > MAX_TEXT_BYTES:
        raise InputError(f"is larger than {MAX_TEXT_BYTES >> 20} MiB", file=file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _refuse_links(file)
            table = Table.read(file, format=FORMATS[file.suffix.lower()])
            return {name.strip().upper(): _plain(table[name]) for name in _of_values(table)}
    except InputError:
        raise
    except Exception as error:  # readers raise many kinds for a damaged file
        what = " ".join(str(error).split())[:80] or type(error).__name__
        raise InputError(f"not a readable table ({what})", file=file) from None


def _refuse_links(file: Path) -> None:
    """Refuse VOTables that would have astropy fetch their data, or make room for any number."""
    if FORMATS[file.suffix.lower()] != "votable":
        return
    content = file.read_bytes()
    if re.search(rb"<(\w+:)?STREAM[^>]*\shref", content, re.IGNORECASE):
        raise InputError(
            "has its data in another file", file=file, mend="put them into the VOTable"
        )
    for number in re.findall(rb"\snrows\s*=\s*[\"']\s*(\d+)", content):
        if int(number[:20]) > MAX_ROWS:
            raise InputError(f"has more than {MAX_ROWS} rows", file=file, field="nrows")


def _of_values(table: Table) -> list[str]:
    """Return the names of a table's columns that hold one number or text a row."""
    return [
        name
        for name in table.colnames
        if table[name].ndim == 1 and getattr(table[name], "dtype", np.dtype("O")).kind in "fiubUS"
    ]


def _plain(column: Any) -> np.ndarray:
    """Return a column as an array, angles in degrees, NaN where it is empty."""
    from astropy import units as u

    unit = getattr(column, "unit", None)
    if unit is not None and column.dtype.kind in "fiu" and unit.is_equivalent(u.deg):
        column = column.quantity.to(u.deg) if hasattr(column, "quantity") else column.to(u.deg)
    values: Any = np.ma.asarray(column)
    if np.ma.getmaskarray(values).any():
        text = values.dtype.kind in "US"
        values = values.filled("") if text else values.astype("f8").filled(np.nan)
    return np.asarray(values)


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
        except (ValueError, TypeError):
            raise InputError("holds no numbers", file=file, field=f"column {name}") from None
    return values.astype("f8")
