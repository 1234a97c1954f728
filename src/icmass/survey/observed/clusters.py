"""Real clusters as a survey: what is common to images and event files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from icmass import __version__
from icmass.errors import InputError
from icmass.io.target import Target
from icmass.sky.map_grid import APERTURE_MPC_H, VISIBLE_COVERAGE, MapGrid, View
from icmass.survey.blank import blank_survey

if TYPE_CHECKING:
    from pathlib import Path


MIN_VISIBLE = 0.5
"""Least fraction of the area within `APERTURE_MPC_H` that has to be visible."""
COMPONENTS = ("observed",)
NAMES: tuple[str, ...] = (
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


def check_min_visible(value: float) -> float:
    """Return the least visible fraction, or refuse what is no fraction."""
    if not 0 <= value <= 1:
        raise InputError(f"is {value:g}", field="--min-visible", hint="give 0 to 1")
    return value


def check_visible(view: View, min_visible: float, *, file: str | Path) -> None:
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
