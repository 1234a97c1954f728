"""Tables in memory: what may stand in the place of a table's file, and what its columns hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeGuard

import numpy as np

from icmass.errors import InputError
from icmass.files import AnyPath, one_path

if TYPE_CHECKING:
    from astropy.table import Table


class DataFrameLike(Protocol):
    """What is read of a pandas DataFrame, or of anything like it."""

    @property
    def columns(self) -> Any:
        """Names of the columns."""

    @property
    def index(self) -> Any:
        """Names of the rows: columns too, where they are called something."""

    @property
    def iloc(self) -> Any:
        """The columns by their numbers."""

    def __len__(self) -> int:
        """Return the number of rows."""


TableLike: TypeAlias = "Table | DataFrameLike | np.ndarray"
"""A table in memory: an astropy Table, a pandas DataFrame, or a structured NumPy array."""
Tabular: TypeAlias = "AnyPath | TableLike"
"""The path of a table's file, or a table in memory."""
IN_MEMORY = "the table"
"""What a table in memory is called where the name of a file would stand."""


@dataclass(frozen=True)
class Cells:
    """What a column of a table in memory holds.

    Attributes
    ----------
    name : str
        As the table has it.
    values : ndarray, shape (n,), or None
        Numbers, NaN where there is none, or texts, empty where there is none; None if it is no
        column of one number or text a row.
    unit : str
        As astropy writes it; empty where there is none.
    """

    name: str
    values: np.ndarray | None
    unit: str


def is_table(given: Any) -> TypeGuard[TableLike]:
    """Say whether something is a table in memory.

    Examples
    --------
    >>> is_table(np.zeros(2, [("ra", float)])), is_table(np.zeros(2)), is_table("t.fits")
    (True, False, False)
    """
    if given is None or isinstance(given, str | os.PathLike):
        return False
    if isinstance(given, np.ndarray):
        return given.dtype.names is not None
    if _is_frame(given):
        return True
    from astropy.table import Table

    return isinstance(given, Table)


def as_table(given: Any, field: str) -> Path | TableLike:
    """Return the path of a table, or a table in memory as it is.

    Raises
    ------
    InputError
        If it is neither, or several paths; `field` is what it was given as.
    """
    if is_table(given):
        return given
    several = given if isinstance(given, list | tuple) else [given]
    if all(isinstance(one, str | os.PathLike) for one in several):
        return one_path(given, field)
    what = f"is of type {type(given).__name__}, no table"
    hint = "give a file's path, an astropy Table, a pandas DataFrame or a structured NumPy array"
    raise InputError(what, field=field, hint=hint)


def label_of(table: Tabular) -> Path | str:
    """Return what a table is called in messages: its path, or `IN_MEMORY`."""
    return Path(table) if isinstance(table, str | os.PathLike) else IN_MEMORY


def table_files(table: Tabular | None) -> list[Path]:
    """Return the file that a table is read from, as a list: empty of one in memory, or of none."""
    return [Path(table)] if isinstance(table, str | os.PathLike) else []


def table_facts(table: Tabular) -> dict[str, Any]:
    """Return where a table is from, ready for JSON.

    Examples
    --------
    >>> table_facts("data/wl.csv"), table_facts(np.zeros(2, [("ra", float)]))
    ({'file': 'wl.csv'}, {'in_memory': 'ndarray', 'rows': 2})
    """
    if isinstance(table, str | os.PathLike):
        return {"file": Path(table).name}
    return {"in_memory": type(table).__name__, "rows": len(table)}


def names_of(table: TableLike) -> list[str]:
    """Return the names of a table's columns; of a data frame's index too, where it has names."""
    if isinstance(table, np.ndarray):
        return list(table.dtype.names or ())
    if _is_frame(table):
        return [str(name) for name in [*table.columns, *_levels(table).values()]]
    return list(table.colnames)  # type: ignore[union-attr]


def check_rows(table: TableLike, max_rows: int) -> None:
    """Refuse a table in memory of too many rows, or an array that has not one dimension."""
    if isinstance(table, np.ndarray) and table.ndim != 1:
        what, hint = f"is an array of shape {table.shape}", "give one dimension, a cluster a row"
        raise InputError(what, file=IN_MEMORY, hint=hint)
    if len(table) > max_rows:
        raise InputError(f"has {len(table)} rows, more than {max_rows}", file=IN_MEMORY)


def cells_of(table: TableLike, is_wanted: Callable[[str], bool]) -> Iterator[Cells]:
    """Yield the columns of a table whose names are wanted."""
    read = _frame_column if _is_frame(table) else _array_column
    for i, name in enumerate(names_of(table)):
        if is_wanted(name):
            yield _cells(name.strip(), *read(table, i))


_Column = tuple[np.ndarray | None, Any, str]
"""Values, which are missing, and the unit; no values of a column that isn't an array."""


def _is_frame(table: Any) -> TypeGuard[DataFrameLike]:
    return not isinstance(table, np.ndarray) and all(
        hasattr(table, name) for name in ("iloc", "columns", "index", "to_numpy")
    )


def _levels(table: DataFrameLike) -> dict[int, Any]:
    """Return the names of an index, by their numbers, where it has any."""
    return {i: name for i, name in enumerate(table.index.names) if name is not None}


def _frame_column(table: Any, i: int) -> _Column:
    n = len(table.columns)
    levels = list(_levels(table))
    column = table.iloc[:, i] if i < n else table.index.get_level_values(levels[i - n])
    return column.to_numpy(), np.asarray(column.isna(), bool), ""


def _array_column(table: Any, i: int) -> _Column:
    """Return a column of an astropy Table, or of a structured array, masked ones too."""
    column = table[names_of(table)[i]]
    if not isinstance(column, np.ndarray):
        return None, False, ""  # places, times and the like
    unit = getattr(column, "unit", None)
    mask = np.asarray(getattr(column, "mask", False))
    values: Any = getattr(column, "unmasked", column)
    values = np.asarray(getattr(values, "value", values))
    if isinstance(table, np.recarray):  # of `astropy.io.fits`, which keeps unit and null elsewhere
        described = getattr(table, "_coldefs", None)
        if described is not None:
            unit = described[i].unit
            mask = values == described[i].null if values.dtype.kind in "iu" else mask
    return values, mask, "" if unit is None else str(unit)


def _cells(name: str, values: np.ndarray | None, missing: Any, unit: str) -> Cells:
    if values is None or values.ndim != 1 or values.dtype.kind not in "fiubUSO":
        return Cells(name, None, unit)
    missing = np.broadcast_to(missing, values.shape)
    if values.dtype.kind == "O":
        return Cells(name, _of_objects(values, missing), unit)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if missing.any():
        is_text = values.dtype.kind == "U"
        values = np.where(
            missing, "" if is_text else np.nan, values if is_text else values.astype("f8")
        )
    return Cells(name, values, unit)


def _of_objects(values: np.ndarray, missing: np.ndarray) -> np.ndarray | None:
    """Return cells of any type as numbers or texts, None if one of them is neither.

    Whole numbers are texts, so that no digit of an id is lost beside a gap.
    """
    cells = [
        None if gone or _is_gap(one) else one for one, gone in zip(values, missing, strict=True)
    ]
    known = [cell for cell in cells if cell is not None]
    numbers = [isinstance(cell, Real | Decimal | np.bool_) for cell in known]
    if all(numbers) and not all(isinstance(cell, Integral | np.bool_) for cell in known):
        return np.array([np.nan if cell is None else float(cell) for cell in cells])
    if not all(isinstance(cell, str | bytes) or n for cell, n in zip(known, numbers, strict=True)):
        return None
    return np.array(["" if cell is None else _text(cell) for cell in cells], dtype="U")


def _is_gap(cell: Any) -> bool:
    return cell is None or cell is np.ma.masked or (isinstance(cell, Real) and cell != cell)


def _text(cell: Any) -> str:
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "replace")
    return str(int(cell)) if isinstance(cell, Integral | np.bool_) else str(cell)
