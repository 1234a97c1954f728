"""Real clusters as a survey: what is common to images and event files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from icmass import __version__
from icmass.errors import InputError
from icmass.plasma.absorption import DEFAULT_NH_1E20
from icmass.survey.catalog import VISIBLE_COVERAGE, blank_survey
from icmass.survey.readers.sky_grid import APERTURE_MPC_H, MapGrid, View

if TYPE_CHECKING:
    from pathlib import Path

    from astropy.units import Quantity

MIN_VISIBLE = 0.5
"""Least fraction of the area within `APERTURE_MPC_H` that has to be visible."""
COMPONENTS = ("observed",)
NAMES = (
    "maps",
    "coverage",
    "exposure",
    "redshift",
    "nh",
    "ra",
    "dec",
    "n_phot",
    "exposure_aperture",
    "visible_fraction",
    "visible_fraction_map",
)
"""Variables of a survey of real clusters."""


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
    if not 0 <= target.nh < 1000:
        raise InputError(f"is {target.nh:g}", field="--nh", hint="give 1e20 cm^-2, e.g. 3")
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


def degrees(angle: float | Quantity) -> float:
    """Return an angle in degrees."""
    from astropy import units as u

    return float(u.Quantity(angle, u.deg).value)


def check_min_visible(value: float) -> float:
    """Return the least visible fraction, or refuse what is no fraction."""
    if not 0 <= value <= 1:
        raise InputError(f"is {value:g}", field="--min-visible", hint="give 0 to 1")
    return value


def check_visible(view: View, min_visible: float, *, file: str | Path | None) -> None:
    """Refuse a cluster of which too little is seen."""
    if view.visible_aperture >= min_visible and view.exposure > 0:
        return
    raise InputError(
        f"only {view.visible_aperture:.1%} of the cluster (within {APERTURE_MPC_H} Mpc/h comoving) "
        f"is visible, {min_visible:.0%} is needed: the rest is masked, or has less than "
        f"{VISIBLE_COVERAGE:.0%} of the largest exposure of the map",
        file=file,
        hint="--min-visible FRACTION takes less" if view.exposure > 0 else "give another mask",
    )


def cluster_values(target: Target, maps: np.ndarray, view: View) -> dict[str, Any]:
    """Return the variables of a cluster: counts (band, y, x) and what of it is seen."""
    return {
        "maps": maps[None],
        "coverage": view.seconds / view.exposure,
        "exposure": view.exposure,
        "redshift": target.redshift,
        "nh": target.nh,
        "ra": target.ra,
        "dec": target.dec,
        "n_phot": maps.sum(dtype=int),
        "exposure_aperture": view.exposure_aperture,
        "visible_fraction": view.visible_aperture,
        "visible_fraction_map": view.visible_map,
    }


def survey_attrs(
    grid: MapGrid, *, preset: str, seed: int, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the attributes of a survey of real clusters; `facts` are how it was made."""
    return {
        "preset": preset,
        "cosmology": grid.cosmology.model_dump_json(),
        "seed": seed,
        "version": __version__,
        "observed": json.dumps(facts),
    }


def survey_in_memory(
    clusters: Sequence[Mapping[str, Any]], grid: MapGrid, attrs: Mapping[str, Any]
) -> xr.Dataset:
    """Return a survey of the clusters that `cluster_values` describes."""
    survey = blank_survey(
        list(clusters[0]),
        n_clusters=len(clusters),
        n_pixels=grid.n_pixels,
        half_width=grid.half_width,
        bands=list(grid.bands),
        attrs=dict(attrs),
        components=COMPONENTS,
    )
    for i, values in enumerate(clusters):
        for name, value in values.items():
            survey[name][i] = value
    return survey
