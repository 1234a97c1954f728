"""Columns of tables of clusters and sources: FITS, ECSV, CSV, VOTable, in memory; in any unit.

Names of columns are compared without case, spaces, underscores and signs.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from icmass.errors import InputError
from icmass.io.fits_stream import FitsStream, Hdu
from icmass.io.memory_table import (
    IN_MEMORY,
    TableLike,
    Tabular,
    cells_of,
    check_rows,
    names_of,
)
from icmass.io.plugin_files import has_plugin, read_by_plugin
from icmass.io.text_table import MAX_ROWS, read_text_table, text_format
from icmass.io.units import NO_UNIT, SEXAGESIMAL, converted

if TYPE_CHECKING:
    from astropy.table import Table

RA = ("RA", "RA_CORR", "RAJ2000", "RA_ICRS", "RA_DEG", "RA_X", "ALPHA_J2000")
DEC = (
    "DEC",
    "DEC_CORR",
    "DEJ2000",
    "DE_ICRS",
    "DEC_DEG",
    "DEC_X",
    "DELTA_J2000",
    "DECJ2000",
    "DEC_ICRS",
    "DE",
)
"""Names of the columns of a position, the first that is there."""
EMPTY = ("", "-", "--", "---", "...", "nan", "n/a", "na", "null", "none", "masked")
"""Cells that say that there is no number, in small letters."""
KINDS_OF_FILE = (
    "a table: FITS (.fits, .fit), CSV (.csv, .tsv), ECSV (.ecsv) or VOTable (.vot, .xml)"
)
MOST_LISTED = 30
_PARTS = re.compile(
    r"\s*([-+−]?)\s*(\d{1,3})\s*(?:[:hd°]|\s)\s*(\d{1,2})\s*(?:[:m'′]|\s)\s*"
    r"(\d{1,2}(?:\.\d*)?)?\s*[s\"″]?\s*"
)


@dataclass(frozen=True)
class TableColumn:
    """A column of a table: what its cells say, before it is known what they are.

    Attributes
    ----------
    name : str
        As the table has it.
    values : ndarray, shape (n,)
        Numbers, NaN where a cell is empty, or texts.
    unit : str
        As the table has it; empty where there is none.
    file : path or str
        Of the table, or what it is called in memory.
    """

    name: str
    values: np.ndarray = field(repr=False)
    unit: str
    file: Path | str

    def numbers(self, unit: str = "1", *, h: float | None = None) -> np.ndarray:
        """Return the numbers in a unit, float64, NaN where a cell holds none.

        Raises
        ------
        InputError
            If no cell holds a number, or the unit isn't one of the kind.
        """
        field, values = f"column {self.name}", self.plain_numbers()
        return converted(values, self.unit, unit, file=self.file, field=field, h=h)

    def angles(self, *, hours: bool) -> np.ndarray:
        """Return angles in degrees, NaN where a cell holds none.

        Parameters
        ----------
        hours : bool
            Whether texts such as ``10:00:24`` are hours where neither the unit nor the cell tells.
        """
        unit = self.unit.strip().strip("\"'").lower()
        sexagesimal = [_PARTS.fullmatch(text) for text in self._texts()] if self._is_text else []
        if not any(sexagesimal):
            if unit in ("h", "hr", "hour"):
                return 15 * self.plain_numbers()
            return self.numbers("deg")
        if unit in SEXAGESIMAL:
            hours = SEXAGESIMAL[unit] == "hourangle"
        elif unit not in NO_UNIT:
            hours = hours and unit not in ("deg", "degree", "degrees")
        cells = zip(self._texts(), sexagesimal, strict=True)
        return np.array([_angle(text, found, hours) for text, found in cells])

    def labels(self) -> list[str]:
        """Return the cells as texts of one line; whole numbers without a point, gaps empty."""
        return [_label(value) for value in self.values]

    def plain_numbers(self) -> np.ndarray:
        """Return the numbers as they are in the table, float64, NaN where a cell holds none."""
        if not self._is_text:
            return self.values.astype("f8")
        values = np.array([_number(text) for text in self._texts()])
        if len(values) and not np.isfinite(values).any() and not self._is_empty:
            raise InputError("holds no numbers", file=self.file, field=f"column {self.name}")
        return values

    @property
    def _is_text(self) -> bool:
        return self.values.dtype.kind not in "fiub"

    def _texts(self) -> list[str]:
        return [str(value).strip() for value in self.values]

    @property
    def _is_empty(self) -> bool:
        return all(text.lower() in EMPTY for text in self._texts())


def plain_name(name: str) -> str:
    """Return a column's name in small letters and digits alone."""
    return re.sub(r"[^a-z0-9]+", "", name.lower())


class Columns(dict[str, TableColumn]):
    """Columns by their plain names (`plain_name`), in the order of the table, the first of a name.

    Parameters
    ----------
    columns : iterable of TableColumn
        Those of one number or text a row that are read.
    file : path or str
        Of the table, or what it is called in memory.
    names : sequence of str
        Of all columns of the table.
    others : sequence of str
        Names of columns that are not of one number or text a row: whoever looks for one of them is
        refused by its name.
    """

    def __init__(
        self,
        columns: Iterable[TableColumn],
        file: Path | str,
        names: Iterable[str] = (),
        others: Iterable[str] = (),
    ) -> None:
        super().__init__()
        for column in columns:
            self.setdefault(plain_name(column.name), column)
        self.file, self.names, self.others = file, list(names), list(others)

    def refuse_other(self, name: str) -> InputError:
        """Return what to raise of a column that has not one value a row."""
        what, hint = "is no column of one value a row", "give one number a row"
        return InputError(what, file=self.file, field=f"column {name}", hint=hint)


def read_columns(
    table: Tabular,
    wanted: Iterable[str] | None = None,
    required: Sequence[Sequence[str]] = (),
    *,
    max_rows: int = MAX_ROWS,
) -> Columns:
    """Return columns of one number or text a row of a table.

    Parameters
    ----------
    table : path or TableLike
        FITS (its first table with the required columns), or ``.ecsv``, ``.csv``, ``.tsv``,
        ``.vot``, ``.xml``; gzipped or not; or what a plugin reads. Or one in memory: an astropy
        Table, a pandas DataFrame, or a structured NumPy array.
    wanted : iterable of str, optional
        Names of the columns to read, see `plain_name`; default: all.
    required : sequence of sequence of str
        Names of which each table must have one, of each sequence.
    max_rows : int

    Raises
    ------
    InputError
        If the file is missing, damaged or lacks a column.
    """
    names = None if wanted is None else {plain_name(name) for name in wanted}
    names = names if names is None else names | {plain_name(n) for some in required for n in some}
    if not isinstance(table, str | os.PathLike):
        check_rows(table, max_rows)
        found = _of_table(table, IN_MEMORY, names)
    elif text_format(file := Path(table)) is not None or has_plugin(file):
        found = _read_text(file, names)
    else:
        found = _read_fits(file, names, required, max_rows)
    for some in required:
        column_of(found, some, found.file)
    return found


def _read_fits(
    file: Path, names: set[str] | None, required: Sequence[Sequence[str]], max_rows: int
) -> Columns:
    first: Hdu | None = None
    with FitsStream(file, kinds=KINDS_OF_FILE) as stream:
        for hdu in stream.hdus():
            if not hdu.is_table:
                continue
            first = first or hdu
            have = {plain_name(name) for name in hdu.columns}
            if all(have & {plain_name(name) for name in some} for some in required):
                return _of_hdu(hdu, names, max_rows)
    what, hint = "has no table", f"give {KINDS_OF_FILE}"
    if first is not None:
        have = {plain_name(name) for name in first.columns}
        lacking = [some for some in required if not have & {plain_name(name) for name in some}]
        what += f" with columns {', '.join(' or '.join(some[:2]) for some in lacking or required)}"
        hint = f"the first has {listed(first.columns)}"
    raise InputError(what, file=file, hint=hint)


def listed(names: Iterable[str]) -> str:
    """Return names of columns in words, the first of many.

    Examples
    --------
    >>> listed(["id", "ra"]), listed([])
    ('id, ra', 'none')
    """
    known = list(names)
    more = f" and {len(known) - MOST_LISTED} more" if len(known) > MOST_LISTED else ""
    return (", ".join(known[:MOST_LISTED]) or "none") + more


def find_column(columns: Columns, names: Sequence[str]) -> TableColumn | None:
    """Return the column of the first of the names that is there.

    Raises
    ------
    InputError
        If only a column of several values a row is there.
    """
    plain = [plain_name(name) for name in names]
    if (found := next((columns[n] for n in plain if n in columns), None)) is not None:
        return found
    if held := [other for other in columns.others if plain_name(other) in plain]:
        raise columns.refuse_other(held[0])
    return None


def choice_of(columns: Columns, names: Sequence[str]) -> str:
    """Return which column of several is taken, in words; empty where there is one at most.

    Examples
    --------
    >>> columns = [TableColumn(name, np.zeros(1), "", "t.csv") for name in ("Z", "BEST_Z")]
    >>> choice_of(Columns(columns, "t.csv"), ("BEST_Z", "REDSHIFT", "Z"))
    'column BEST_Z, not Z'
    """
    found = [columns[n].name for n in dict.fromkeys(map(plain_name, names)) if n in columns]
    return f"column {found[0]}, not {' or '.join(found[1:])}" if len(found) > 1 else ""


def column_of(columns: Columns, names: Sequence[str], file: str | Path) -> TableColumn:
    """Return the column of the first of the names that is there, or refuse the table."""
    found = find_column(columns, names)
    if found is None:
        what = f"has no column {' or '.join(names[:2])}"
        raise InputError(what, file=file, hint=f"it has {listed(columns.names)}")
    return found


def _of_hdu(hdu: Hdu, names: set[str] | None, max_rows: int) -> Columns:
    units = {}
    for i in range(1, int(hdu.header["TFIELDS"]) + 1):
        name = str(hdu.header.get(f"TTYPE{i}", f"COL{i}")).strip().upper()
        units[name] = str(hdu.header.get(f"TUNIT{i}", "")).strip()
    chosen = [
        name
        for name in hdu.columns
        if _is_plain(hdu, name) and (names is None or plain_name(name) in names)
    ]
    found = hdu.table(chosen, max_rows=max_rows) if chosen else {}
    columns = (TableColumn(n, values, units[n], hdu.file) for n, values in found.items())
    others = [name for name in hdu.columns if not _is_plain(hdu, name)]
    return Columns(columns, hdu.file, hdu.columns, others)


def _is_plain(hdu: Hdu, name: str) -> bool:
    """Say whether a column holds one number or text a row."""
    column = hdu.columns[name]
    return column.code == "A" or (column.code in "LBIJKED" and column.repeat == 1)


def _read_text(file: Path, names: set[str] | None) -> Columns:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = _read_by_plugin(file)
            if table is None:
                table = read_text_table(file)
            return _of_table(table, file, names)
    except InputError:
        raise
    except Exception as error:  # readers raise many kinds for a damaged file
        what = " ".join(str(error).split())[:80] or type(error).__name__
        raise InputError(f"not a readable table ({what})", file=file) from None


def _of_table(table: TableLike, file: Path | str, names: set[str] | None) -> Columns:
    cells = list(cells_of(table, lambda name: names is None or plain_name(name) in names))
    columns = [TableColumn(c.name, c.values, c.unit, file) for c in cells if c.values is not None]
    others = [c.name for c in cells if c.values is None]
    return Columns(columns, file, names_of(table), others)


def _read_by_plugin(file: Path) -> Table | None:
    if not has_plugin(file):
        return None
    from astropy.table import Table

    return read_by_plugin(file, Table, "an astropy Table")


def _number(text: str) -> float:
    if text.lower() in EMPTY:
        return np.nan
    try:
        return float(text.replace("−", "-"))
    except ValueError:
        return np.nan


def parse_angle(text: str, *, hours: bool) -> float:
    """Return an angle in degrees by its text, NaN where it is none; see `TableColumn.angles`."""
    return _angle(text.strip(), _PARTS.fullmatch(text), hours)


def _angle(text: str, found: re.Match[str] | None, hours: bool) -> float:
    """Return the degrees of a cell such as ``10:00:24`` or ``-2d12m0s``, NaN of another text."""
    if found is None:
        return _number(text)
    sign, whole, minutes, seconds = found.groups()
    value = int(whole) + int(minutes) / 60 + float(seconds or 0) / 3600
    if int(minutes) >= 60 or float(seconds or 0) >= 60:
        return np.nan
    letters = {letter for letter in "hd°" if letter in text.lower()}
    value *= 15 if "h" in letters or (hours and not letters) else 1
    return -value if sign in ("-", "−") else value


def distinct_labels(names: Sequence[str]) -> list[str]:
    """Return what to call rows, none empty and none twice: a row's number stands in or beside.

    Examples
    --------
    >>> distinct_labels(["A", "", "A"])
    ['A', 'row 1', 'A (row 2)']
    """
    labels: list[str] = []
    seen: set[str] = set()
    for row, name in enumerate(names):
        label = name or f"row {row}"
        labels.append(label if label not in seen else f"{label} (row {row})")
        seen.add(label)
    return labels


def _label(value: Any) -> str:
    if isinstance(value, float | np.floating):
        if not np.isfinite(value):
            return ""
        return str(int(value)) if value == int(value) else str(value)
    return " ".join(str(value).split())[:200]
