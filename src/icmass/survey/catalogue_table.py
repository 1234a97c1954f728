"""A user's table of halos: what of it can be used, in our units, and what cannot and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.io.halo_columns import KINDS, Named, find_quantity, quantity_values
from icmass.io.sky_table import Columns, listed, read_columns
from icmass.survey.config import SurveyConfig
from icmass.universe.halo_matching import in_order, match_histories
from icmass.universe.twin_rows import TwinRows
from icmass.universe.twins import SHARES, TwinConfig

LOG_M500C = (12.5, 15.8)
"""Range of log10 M500c [Msun/h] that can be made."""
REDSHIFTS = (0.01, 2.0)
"""Range of redshifts that can be made."""
MOST_LISTED = 20
FAR_MPC_H = 5.0
"""Ids whose halos are typically farther apart from one snapshot to another are not of histories."""
PER_SNAPSHOT = 3
"""Redshifts are those of snapshots if they hold so many halos each, on average."""
_SAME_REDSHIFT = 1e-5


@dataclass(frozen=True)
class HaloTable:
    """What is used of a table, and what is told about it.

    Attributes
    ----------
    rows : TwinRows
    box_mpc_h : float or None
        Side of the box that the table names [comoving Mpc/h].
    redshifts : tuple of float
        Of the snapshots, ascending; empty on a light-cone.
    notes : tuple of str
        One line each: columns used and not, rows left out, values that cannot be, histories.
    about : dict
        File and columns, for the survey's attributes.
    """

    rows: TwinRows
    box_mpc_h: float | None
    redshifts: tuple[float, ...]
    notes: tuple[str, ...]
    about: dict[str, Any]


def read_halo_table(
    file: str | Path, config: TwinConfig, cosmology: Cosmology, box_mpc_h: float
) -> HaloTable:
    """Read a table of halos.

    Parameters
    ----------
    file : path
        FITS, ECSV, CSV or VOTable with M500c and redshift, see `halo_columns.KINDS`.
    config : TwinConfig
    cosmology : Cosmology
        Its h turns Msun and Mpc into Msun/h and Mpc/h.
    box_mpc_h : float
        Side of the box where the table names none [comoving Mpc/h].

    Raises
    ------
    InputError
        If the file cannot be read, lacks M500c or redshift, has a unit that isn't known, has no
        usable row, or positions outside of the box.
    """
    file = Path(file)
    columns = read_columns(file)
    quantities = _quantities(columns)
    for name, called in (("m500c", "M500c"), ("redshift", "REDSHIFT")):
        if name not in quantities:
            have = listed(column.name for column in columns.values())
            raise InputError(f"has no column {called}", file=file, field="--catalogue",
                             hint=f"it has {have}")  # fmt: skip
    values = {
        name: quantity_values(quantity, KINDS[name], cosmology.h)
        for name, quantity in quantities.items()
        if name != "halo_id"
    }
    notes = [_used(columns, quantities)]
    ids = quantities.get("halo_id")
    labels = None if ids is None else np.array(ids.column.labels())
    usable, left_out = _usable(values)
    if not usable.any():
        what = "has no rows" if not len(usable) else f"has no usable row: {left_out[0]}"
        raise InputError(what, file=file, field="--catalogue")
    if left_out:
        notes.append(f"{len(left_out)} rows left out: {_listed(left_out)}")
    row = np.flatnonzero(usable)
    values = {name: column[row] for name, column in values.items()}
    notes += _remove_impossible(values, row, quantities)
    box = _box(values, file)
    _join(values)
    side = box or box_mpc_h
    notes += _places(values, side, box is None, file)
    redshifts, snapshot = _snapshots(values["redshift"])
    labels = None if labels is None else labels[row]
    history, history_note = _histories(labels, values, snapshot, side, config)
    notes.append(history_note)
    values |= {"row": row + 1, "snapshot": snapshot, "history": history}
    values["halo_id"] = _numbers(labels, history)
    about = {
        "file": file.name,
        "columns": [f"{k} of {quantity.column.name}" for k, quantity in quantities.items()],
    }
    return HaloTable(TwinRows.of(values), box, redshifts, tuple(notes), about)


def with_table(config: SurveyConfig, table: HaloTable) -> SurveyConfig:
    """Return a configuration whose snapshots (or light-cone) and box are those of a table."""
    redshift = table.rows["redshift"]
    changes: dict[str, Any] = {"redshift_range": None}
    if table.redshifts:
        changes["redshifts"] = table.redshifts
    else:
        changes["redshift_range"] = (float(redshift.min()), float(redshift.max()))
    if table.box_mpc_h is not None:
        changes["box_mpc_h"] = table.box_mpc_h
    tree = config.model_dump()
    tree["halos"] |= changes
    return SurveyConfig.model_validate(tree)


def _quantities(columns: Columns) -> dict[str, Named]:
    by_name = {name: find_quantity(columns, kind) for name, kind in KINDS.items()}
    named = {name: quantity for name, quantity in by_name.items() if quantity is not None}
    if "z" in named and "redshift" in named and named["z"].column is named["redshift"].column:
        is_length = bool(named["z"].own_unit or named["z"].unit)
        del named["redshift" if is_length else "z"]
    pairs = (("M_gas", "f_gas"), ("M_star", "f_star"), ("L_X", "L_X_soft"), ("disturbance", "w"))
    for better, derived in pairs:
        if better in named:
            named.pop(derived, None)
    if "L_X_soft" not in named:
        named.pop("L_X_soft_ce", None)
    else:
        named.pop("L_X_ce", None)
    if not {"x", "y", "z"} <= set(named):
        named = {name: quantity for name, quantity in named.items() if name not in ("x", "y", "z")}
    return named


def _used(columns: Columns, quantities: dict[str, Named]) -> str:
    used = {quantity.column.name for quantity in quantities.values()}
    unused = [name for name in columns.names if name.strip() not in used]
    words = [
        f"{name} of {quantity.column.name}{_reading(name, quantity)}"
        for name, quantity in quantities.items()
    ]
    line = "reads " + ", ".join(words)
    return line + (f"; not used: {', '.join(unused)}" if unused else "")


def _reading(name: str, quantity: Named) -> str:
    unit = (
        quantity.own_unit or quantity.unit or ("erg/s" if KINDS[name].unit == "1e44 erg/s" else "")
    )
    factor = f"{quantity.factor:g} " if quantity.factor != 1 else ""
    text = f"{factor}{unit}".strip()
    inside = f"log10 {text}".strip() if quantity.is_log else text
    return f" [{inside}]" if inside else ""


def _usable(values: dict[str, np.ndarray]) -> tuple[np.ndarray, list[str]]:
    """Return which rows can be made, boolean (n,), and what is wrong with the others."""
    mass, redshift = values["m500c"], values["redshift"]
    with np.errstate(divide="ignore", invalid="ignore"):
        log_mass = np.log10(mass)
    edge = 1e-9
    mass_in_range = (log_mass >= LOG_M500C[0] - edge) & (log_mass <= LOG_M500C[1] + edge)
    redshift_in_range = (redshift >= REDSHIFTS[0]) & (redshift <= REDSHIFTS[1])
    reasons = []
    for row in np.flatnonzero(~(mass_in_range & redshift_in_range)):
        if not mass_in_range[row]:
            limits = f"10^{LOG_M500C[0]:g} to 10^{LOG_M500C[1]:g}"
            reasons.append(f"row {row + 1} has M500c {mass[row]:.4g} Msun/h, not {limits}")
        else:
            limits = f"{REDSHIFTS[0]:g} to {REDSHIFTS[1]:g}"
            reasons.append(f"row {row + 1} has redshift {redshift[row]:.4g}, not {limits}")
    return mass_in_range & redshift_in_range, reasons


def _listed(lines: list[str]) -> str:
    n_more = len(lines) - MOST_LISTED
    return "; ".join(lines[:MOST_LISTED]) + (f"; and {n_more} more" if n_more > 0 else "")


def _remove_impossible(
    values: dict[str, np.ndarray], row: np.ndarray, quantities: dict[str, Named]
) -> list[str]:
    """Make values that cannot be NaN; return a note of them."""
    impossible = []
    for name, column in values.items():
        if name in ("m500c", "redshift", "box"):
            continue
        kind = KINDS[name]
        least = kind.low if kind.low < 0 else np.nextafter(kind.low, 1)
        bad = ~np.isnan(column) & ~((column >= least) & (column <= kind.high))
        called = quantities[name].column.name
        impossible += [
            f"row {row[i] + 1} has {called} {column[i]:.4g}" for i in np.flatnonzero(bad)
        ]
        column[bad] = np.nan
    if not impossible:
        return []
    return [f"{len(impossible)} values cannot be and are drawn instead: {_listed(impossible)}"]


def _box(values: dict[str, np.ndarray], file: Path) -> float | None:
    sides = values.pop("box", np.zeros(0))
    sides = sides[np.isfinite(sides)]
    if not len(sides):
        return None
    if np.ptp(sides) > 1e-6 * sides.max() or sides.min() <= 0:
        raise InputError(f"is {sides.min():g} to {sides.max():g} Mpc/h", file=file,
                         field="side of the box", hint="give one side")  # fmt: skip
    return float(sides[0])


def _join(values: dict[str, np.ndarray]) -> None:
    """Turn fractions into masses, and luminosities without the core into core shares."""
    for fraction, mass in (("f_gas", "M_gas"), ("f_star", "M_star")):
        if fraction in values:
            values[mass] = values.pop(fraction) * values["m500c"]
    for total, excised in (("L_X", "L_X_ce"), ("L_X_soft", "L_X_soft_ce")):
        if excised not in values or total not in values:
            continue
        share = 1 - values[excised] / values[total]
        values[excised] = np.where(share > 0, values[excised], np.nan)
        derived = np.where((share > 0) & (share < 1), share, np.nan)
        stated = values.get("core_share", np.full(len(share), np.nan))
        values["core_share"] = np.where(np.isfinite(stated), stated, derived)
    values.pop("L_X_soft_ce", None)


def _places(values: dict[str, np.ndarray], side: float, assumed: bool, file: Path) -> list[str]:
    notes = []
    share = values.get("core_share", np.zeros(0))
    outside = int(((share < SHARES[0]) | (share > SHARES[1])).sum())
    if outside:
        limits = f"{SHARES[0]:g} to {SHARES[1]:g}"
        notes.append(f"{outside} core shares lie outside {limits}: the gas has the nearest")
    if "x" not in values:
        return [*notes, "no positions: drawn evenly in the box, one for each halo"]
    places = np.stack([values[name] for name in "xyz"])
    complete = np.isfinite(places).all(0)
    if complete.any():
        least, most = places[:, complete].min(), places[:, complete].max()
        if most > side * 1.0001 or least < -0.5001 * side or most - least > side * 1.0001:
            raise InputError(
                f"reach from {least:.6g} to {most:.6g} comoving Mpc/h, the box has {side:g}",
                file=file, field="positions", hint="give --set halos.box_mpc_h=SIDE",
            )  # fmt: skip
        for name, column in zip("xyz", np.mod(places, side), strict=True):
            values[name] = column
        if assumed:
            notes.append(f"the box is taken to have {side:g} comoving Mpc/h (halos.box_mpc_h)")
    if not complete.all():
        notes.append(f"{int((~complete).sum())} rows without a position: drawn evenly in the box")
    return notes


def _snapshots(redshift: np.ndarray) -> tuple[tuple[float, ...], np.ndarray]:
    """Return the redshifts of the snapshots and each row's index; none and -1 on a light-cone."""
    redshifts = np.unique(redshift)
    redshifts = redshifts[np.append(True, np.diff(redshifts) > _SAME_REDSHIFT)]
    if len(redshifts) > 1 and len(redshift) < PER_SNAPSHOT * len(redshifts):
        return (), np.full(len(redshift), -1)
    index = np.searchsorted(redshifts, redshift + _SAME_REDSHIFT / 2, side="right") - 1
    return tuple(redshifts.tolist()), index


def _histories(
    labels: np.ndarray | None,
    values: dict[str, np.ndarray],
    snapshot: np.ndarray,
    side: float,
    config: TwinConfig,
) -> tuple[np.ndarray, str]:
    """Return the number of each row's halo, and how it was found."""
    n = len(snapshot)
    has_place = "x" in values and all(np.isfinite(values[name]).all() for name in "xyz")
    place = np.stack([values[name] for name in "xyz"], axis=1) if has_place else None
    reason = "no ids"
    if labels is not None:
        named = np.array([label or f"\0{i}" for i, label in enumerate(labels)])
        reason = _why_no_histories(named, values["redshift"], place, side)
        if not reason:
            history = in_order(named)
            return history, f"{history.max() + 1} halos by their ids, in {n} rows"
    if place is None or snapshot.max() < 1:
        return np.arange(n), f"{reason}: every row is a halo of its own"
    history = match_histories(
        place, values["m500c"], snapshot, side,
        radius=config.match_mpc_h, factor=config.match_factor,
    )  # fmt: skip
    return history, (
        f"{reason}: {history.max() + 1} halos in {n} rows, matched between snapshots within "
        f"{config.match_mpc_h:g} Mpc/h and a factor of {config.match_factor:g} in mass"
    )


def _why_no_histories(
    labels: np.ndarray, redshift: np.ndarray, place: np.ndarray | None, side: float
) -> str:
    """Return why ids do not say which rows are one halo; empty if they do."""
    order = np.lexsort((redshift, labels))
    a, b = order[:-1], order[1:]
    same = labels[a] == labels[b]
    if not same.any():
        return "no id is there twice"
    if (np.abs(redshift[a] - redshift[b])[same] <= _SAME_REDSHIFT).any():
        return "ids are there twice at one redshift"
    if place is not None:
        offset = place[a[same]] - place[b[same]]
        offset -= side * np.round(offset / side)
        separation = float(np.median(np.linalg.norm(offset, axis=1)))
        if separation > FAR_MPC_H:
            return f"ids are of halos {separation:.0f} Mpc/h apart"
    return ""


def _numbers(labels: np.ndarray | None, history: np.ndarray) -> np.ndarray:
    """Return the id of each history: the table's where it is a whole number of its own."""
    if labels is not None:
        try:
            numbers = np.array([int(label) for label in labels])
        except ValueError:
            return history
        pairs = {(int(a), int(b)) for a, b in zip(numbers, history, strict=True)}
        if len(pairs) == len(set(history.tolist())) == len(set(numbers.tolist())):
            return np.where(np.abs(numbers) < 2**53, numbers, history)
    return history
