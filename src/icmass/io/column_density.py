"""Columns of Galactic column densities: in whatever unit, they are a plausible N_H, or refused."""

from __future__ import annotations

import numpy as np

from icmass.errors import InputError
from icmass.io.sky_table import TableColumn, plain_name
from icmass.io.units import NO_UNIT, converted
from icmass.plasma.absorption import MOST_NH_1E20

_PLAIN = ("NH", "N_H", "NHI", "NH_TOT", "NH_GAL", "GAL_NH", "NH_HI4PI", "NH_WEIGHTED")
NH_UNITS = {
    "NH_1E20": "1e20 cm-2",
    "NH_20": "1e20 cm-2",
    "NH_1E21": "1e21 cm-2",
    "NH_21": "1e21 cm-2",
    "NH_1E22": "1e22 cm-2",
    "NH_22": "1e22 cm-2",
    "NH_CM2": "cm-2",
    "LOG_NH": "dex(cm-2)",
    "LOG10_NH": "dex(cm-2)",
    "LG_NH": "dex(cm-2)",
}
"""Columns of N_H by their names, and the unit that a name tells where the column has none."""
NH = (*_PLAIN, *NH_UNITS)
"""Names of the columns, the first that is there."""
PLAUSIBLE_NH = 0.1, MOST_NH_1E20
"""Galactic column densities that there are [1e20 cm^-2]."""
_LOGARITHMS = 19.3, 23.5


def column_density(column: TableColumn) -> np.ndarray:
    """Return N_H [1e20 cm^-2], NaN where a cell is empty, 0 or negative, as -1 and -99 are.

    The unit is that of the column, else that of its name, else 1e20 cm^-2, or cm^-2 where the
    numbers are that large.

    Raises
    ------
    InputError
        If the unit isn't known, or makes of the column what no Galactic N_H is.
    """
    values = column.plain_numbers()
    values = np.where(values > 0, values, np.nan)
    if not np.isfinite(values).any():
        return values
    unit = column.unit
    if unit.strip().lower() in NO_UNIT:
        unit = _unit_by_name(column) or _unit_by_size(column, values)
    field = f"column {column.name}"
    found = converted(values, unit, "1e20 cm-2", file=column.file, field=field)
    middle = float(np.nanmedian(found))
    if not PLAUSIBLE_NH[0] <= middle <= PLAUSIBLE_NH[1]:
        raise InputError(
            f"{np.nanmedian(values):g} in {unit!r} is no Galactic N_H ({middle:.3g}e20 cm^-2)",
            file=column.file, field=field, hint="give the column its unit, e.g. 1e22 cm^-2",
        )  # fmt: skip
    return found


def _unit_by_name(column: TableColumn) -> str | None:
    units = {plain_name(name): unit for name, unit in NH_UNITS.items()}
    return units.get(plain_name(column.name))


def _unit_by_size(column: TableColumn, values: np.ndarray) -> str:
    """Return the unit that values without one must have, or refuse them."""
    middle = float(np.nanmedian(values))
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if _LOGARITHMS[0] <= low and high <= _LOGARITHMS[1] and np.isfinite(values).sum() > 2:
        raise InputError(
            f"{low:g} to {high:g} without a unit may be log10(N_H / cm^-2) or 1e20 cm^-2",
            file=column.file, field=f"column {column.name}", hint="call it log_nh or nh_1e20",
        )  # fmt: skip
    return "cm-2" if middle > 1e15 else "1e20 cm-2"
