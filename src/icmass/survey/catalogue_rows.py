"""Rows of a source catalogue as a data set: the columns that masses are read from, and units."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from icmass.cosmology import Cosmology

RATE_BANDS: dict[str, tuple[float, float]] = {
    "rate": (0.2, 2.3),
    "rate_p1": (0.2, 0.5),
    "rate_p2": (0.5, 1.0),
    "rate_p3": (1.0, 2.0),
    "rate_p4": (2.0, 5.0),
}
"""Count rates of the fitted model and their bands [keV]: the detection band, and the sub-bands of
eROSITA's catalogues (Merloni et al. 2024, A&A 682, A34). P5 to P9, above 4 keV, hold particles."""

CATALOGUE: dict[str, tuple[str, str]] = {
    "redshift": ("1", "redshift"),
    "rate": ("count / s", "count rate of the model in 0.2-2.3 keV, on axis"),
    "rate_p1": ("count / s", "the same in 0.2-0.5 keV"),
    "rate_p2": ("count / s", "the same in 0.5-1 keV"),
    "rate_p3": ("count / s", "the same in 1-2 keV"),
    "rate_p4": ("count / s", "the same in 2-5 keV"),
    "rate_300kpc": ("count / s", "net count rate within 300 kpc in 0.2-2.3 keV, on axis"),
    "rate_r500c": ("count / s", "net count rate within R500c in 0.2-2.3 keV, on axis"),
    "exposure": ("s", "vignetted exposure in 0.2-2.3 keV"),
    "extent": ("arcsec", "core radius of a beta model of 2/3; 0 is a point source"),
    "extent_likelihood": ("1", "-ln p that a point source looks as extended"),
    "detection_likelihood": ("1", "-ln p that the background looks like the source"),
    "nh": ("1e20 cm^-2", "Galactic column density of hydrogen"),
}
"""Columns and their units, NaN where a catalogue does not say."""


def blank_rows(
    columns: Mapping[str, np.ndarray], cosmology: Cosmology, names: Sequence[str] = ()
) -> xr.Dataset:
    """Return rows with every column of `CATALOGUE`, those that are not given NaN.

    Parameters
    ----------
    columns : mapping of ndarray, shape (n,)
        At least one.
    cosmology : Cosmology
        In which distances are reckoned.
    names : sequence of str
        What the rows are called.
    """
    n = len(next(iter(columns.values())))
    unknown = np.full(n, np.nan)
    data = {
        name: ("cluster", np.asarray(columns.get(name, unknown), float), attributes(name))
        for name in CATALOGUE
    }
    attrs = {"cosmology": cosmology.model_dump_json()}
    if len(names):
        attrs["names"] = json.dumps(list(names))
    return xr.Dataset(data, attrs=attrs)


def attributes(name: str) -> dict[str, str]:
    """Return units and long name of a column."""
    units, long_name = CATALOGUE[name]
    return {"units": units, "long_name": long_name}
