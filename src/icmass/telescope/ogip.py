"""Readers of OGIP response files: effective area (ARF) and redistribution matrix (RMF).

Format: OGIP memo CAL/GEN/92-002 (George et al. 1992) and its addendum 92-002a.
"""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from icmass.errors import InputError
from icmass.telescope.response import Area, Redistribution, redistribution_from_matrix

if TYPE_CHECKING:
    from astropy.io import fits

FilePath = str | os.PathLike[str]

_FULL_MATRIX_SUM = 1.05
"""A row that sums to more than this holds more than probabilities."""


def read_arf(file: FilePath) -> Area:
    """Read an OGIP ancillary response file.

    Parameters
    ----------
    file : path
        FITS file, plain or gzipped, with a table of ENERG_LO, ENERG_HI and SPECRESP.

    Returns
    -------
    Area
        Nodes at the centres of the bins, and at the outer edges.
    """
    with open_fits(file) as hdus:
        table = _find(hdus, file, name="SPECRESP", classes=("SPECRESP",))
        area = read_column(table, "SPECRESP", file, unit="cm2")
        low, high = _energy_bins(table, file)
    if (area < 0).any():
        raise InputError("the area is negative", file=file, field="SPECRESP")
    if not (area > 0).any():
        raise InputError("the area is zero everywhere", file=file, field="SPECRESP")
    energy = np.concatenate([low[:1], 0.5 * (low + high), high[-1:]])
    return Area(energy, np.concatenate([area[:1], area, area[-1:]]))


def read_rmf(file: FilePath) -> Redistribution:
    """Read an OGIP redistribution matrix file.

    Groups of channels, fixed or variable-length columns and any first channel (TLMIN of F_CHAN,
    1 if absent) are understood.

    Parameters
    ----------
    file : path
        FITS file, plain or gzipped, with the tables MATRIX (or SPECRESP MATRIX) and EBOUNDS.
    """
    edges, channels, matrix = read_matrix(file)
    if matrix.sum(axis=1).max() > _FULL_MATRIX_SUM:
        raise InputError(
            f"rows sum to {matrix.sum(axis=1).max():.3g}, not to probabilities",
            file=file,
            field="MATRIX",
            hint="give a redistribution matrix without the effective area (HDUCLAS3 REDIST)",
        )
    return redistribution_from_matrix(edges, channels, matrix)


def read_matrix(
    file: FilePath,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read the matrix of an RMF as it is.

    Parameters
    ----------
    file : path
        As in `read_rmf`.

    Returns
    -------
    energy_edges_kev : ndarray, shape (n + 1,)
    channel_edges_kev : ndarray, shape (c + 1,)
    matrix : ndarray, shape (n, c)
    """
    with open_fits(file) as hdus:
        bounds = _find(hdus, file, name="EBOUNDS", classes=("EBOUNDS",))
        table = _find(
            hdus,
            file,
            name="MATRIX",
            classes=("RSP_MATRIX",),
            others=("SPECRESP MATRIX",),
        )
        low, high = _energy_bins(table, file)
        channels = _channel_edges(bounds, file)
        matrix = _fill(table, len(channels) - 1, file)
    if not np.isfinite(matrix).all() or (matrix < 0).any():
        raise InputError("values are not finite and positive", file=file, field="MATRIX")
    if not matrix.any():
        raise InputError("the matrix is empty", file=file, field="MATRIX")
    return np.append(low, high[-1]), channels, matrix


def _fill(table: fits.BinTableHDU, n_channels: int, file: FilePath) -> np.ndarray:
    names = [name.upper() for name in table.columns.names]
    for name in ("N_GRP", "F_CHAN", "N_CHAN", "MATRIX"):
        if name not in names:
            raise InputError("no such column", file=file, field=name, hint="give an OGIP RMF")
    first_channel = int(table.header.get(f"TLMIN{names.index('F_CHAN') + 1}", 1))
    matrix = np.zeros((len(table.data), n_channels))
    columns = [table.data[name] for name in ("N_GRP", "F_CHAN", "N_CHAN", "MATRIX")]
    for row, (groups, first, count, values) in enumerate(zip(*columns, strict=True)):
        starts = np.atleast_1d(first)[:groups].astype(int) - first_channel
        counts = np.atleast_1d(count)[:groups].astype(int)
        ends = starts + counts
        values = np.atleast_1d(values)
        fits_in = starts.size == groups == counts.size and counts.sum() <= values.size
        if not fits_in or (groups and (starts.min() < 0 or ends.max() > n_channels)):
            raise InputError(
                f"row {row + 1}: its groups do not fit {n_channels} channels from {first_channel}",
                file=file,
                field="F_CHAN",
                hint="check TLMIN of F_CHAN, N_GRP and N_CHAN",
            )
        used = 0
        for start, end in zip(starts, ends, strict=True):
            matrix[row, start:end] += values[used : used + end - start]
            used += end - start
    return matrix


def _channel_edges(table: fits.BinTableHDU, file: FilePath) -> np.ndarray:
    low, high = (read_column(table, name, file, unit="keV") for name in ("E_MIN", "E_MAX"))
    return _increasing(low, high, file, "E_MIN")


def _energy_bins(table: fits.BinTableHDU, file: FilePath) -> tuple[np.ndarray, np.ndarray]:
    low, high = (read_column(table, name, file, unit="keV") for name in ("ENERG_LO", "ENERG_HI"))
    _increasing(low, high, file, "ENERG_LO")
    return low, high


def _increasing(low: np.ndarray, high: np.ndarray, file: FilePath, field: str) -> np.ndarray:
    edges = np.append(low, high[-1:])
    if low.size == 0 or not (np.diff(edges) > 0).all():
        raise InputError("energies do not increase", file=file, field=field)
    return edges


def read_column(table: fits.BinTableHDU, name: str, file: FilePath, *, unit: str) -> np.ndarray:
    """Return a column in the unit wanted; a column without unit has it already."""
    from astropy import units as u

    if name not in [column.upper() for column in table.columns.names]:
        raise InputError(
            f"no such column, only {', '.join(table.columns.names)}", file=file, field=name
        )
    given = table.columns[name].unit or unit
    try:
        scale = 1.0 if given.lower() == unit.lower() else u.Unit(given).to(u.Unit(unit))
    except (ValueError, u.UnitConversionError):
        raise InputError(f"unit {given!r} is not {unit}", file=file, field=name) from None
    values = np.asarray(table.data[name], dtype=float) * scale
    if not np.isfinite(values).all():
        raise InputError("holds NaN or infinity", file=file, field=name)
    return values


def _find(
    hdus: fits.HDUList,
    file: FilePath,
    *,
    name: str,
    classes: tuple[str, ...],
    others: tuple[str, ...] = (),
) -> fits.BinTableHDU:
    tables = [h for h in hdus if getattr(h, "columns", None) is not None]
    for hdu in tables:
        if hdu.name.upper() in (name, *others) or hdu.header.get("HDUCLAS2") in classes:
            return hdu
    found = ", ".join(h.name or "unnamed" for h in tables) or "none"
    kind = "ARF" if name == "SPECRESP" else "RMF"
    raise InputError(
        f"no such table (tables found: {found})", file=file, field=name, hint=f"give an OGIP {kind}"
    )


@contextmanager
def open_fits(file: FilePath) -> Iterator[fits.HDUList]:
    """Open a FITS file whole; whatever is wrong with it is an `InputError`."""
    from astropy.io import fits

    if not os.path.isfile(file):
        raise InputError("no such file", file=file)
    broken = (OSError, EOFError, ValueError, TypeError, IndexError, UserWarning, zlib.error)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="(?s).*(truncated|corrupted)")
            with fits.open(file, memmap=False, lazy_load_hdus=False) as hdus:
                yield hdus
    except broken as error:
        reason = str(error).split(". ")[0].splitlines() or [type(error).__name__]
        raise InputError(f"not a readable FITS file ({reason[0]})", file=file) from None
