"""A cluster to look at, and what is said of the files that show it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from icmass.errors import InputError
from icmass.plasma.absorption import DEFAULT_NH_1E20, check_nh

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Target:
    """A cluster to look at.

    Attributes
    ----------
    name : str
        What the user calls it.
    ra, dec : float
        Position, ICRS [deg].
    redshift : float
    nh : float
        Galactic column density [1e20 cm^-2].
    nh_is_known : bool
        Whether somebody said so, or it is the default.
    """

    name: str
    ra: float
    dec: float
    redshift: float
    nh: float = DEFAULT_NH_1E20
    nh_is_known: bool = field(default=True, compare=False)


def check_target(target: Target) -> Target:
    """Return a target whose position, redshift and column density are possible, or refuse it."""
    if not target.redshift > 0 or not np.isfinite(target.redshift):
        raise InputError(
            f"has no redshift ({target.redshift:g})", field="--redshift", hint="give 0.001 to 10"
        )
    limits = {
        "ra": (target.ra, -180, 360),
        "dec": (target.dec, -90, 90),
        "redshift": (target.redshift, 0.001, 10),
    }
    for name, (value, lo, hi) in limits.items():
        if not lo <= value <= hi:
            raise InputError(f"is {value:g}", field=f"--{name}", hint=f"give {lo} to {hi}")
    check_nh(target.nh)
    return target


def gather_notes(notes: Iterable[tuple[str | Path, str]]) -> list[str]:
    """Return what is to be said of files, each thing once.

    Examples
    --------
    >>> gather_notes([("a.fits", "is odd"), ("b.fits", "is odd"), ("b.fits", "is old")])
    ['a.fits and 1 more: is odd', 'b.fits: is old']
    """
    files: dict[str, list[str | Path]] = {}
    for file, note in notes:
        files.setdefault(note, []).append(file)
    more = {note: f" and {len(of) - 1} more" if len(of) > 1 else "" for note, of in files.items()}
    return [f"{of[0]}{more[note]}: {note}" for note, of in files.items()]
