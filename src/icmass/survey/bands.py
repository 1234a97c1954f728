"""Maps of a survey in other bands: those that its own add up to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.sky.bands import Band, band_label, band_labels, find_tiles, same_bands
from icmass.survey.catalog import survey_bands

_AT_ONCE = 64  # clusters summed at once
_MEANS = ("band_exposure",)  # of the bands that make one; all else is counts, and is added up


def sum_bands(survey: xr.Dataset, bands: Sequence[Band]) -> xr.Dataset:
    """Return a survey whose maps are in other bands, each a sum of bands that it has.

    Parameters
    ----------
    survey : Dataset
        A survey; its maps are read when they are asked for, some clusters at a time.
    bands : sequence of (float, float)
        Bands [keV], each tiled by bands of the survey; those that are in none are left out.

    Returns
    -------
    Dataset
        The survey itself if it has these bands. Relative exposures are means over the bands summed.

    Raises
    ------
    InputError
        If the survey's bands do not add up to one of `bands`.
    """
    given = survey_bands(survey)
    if same_bands(bands, given):
        return survey
    parts = []
    for band in bands:
        tiles = find_tiles(band, given)
        if tiles is None:
            have = f"do not add up to {band_label(band)} keV: {band_labels(given)}"
            raise InputError(have, field="bands")
        parts.append(tiles)
    changed = {}
    for name, values in survey.data_vars.items():
        if "band" in values.dims:
            changed[str(name)] = _merged(values, parts)
    labels = np.array([band_label(band) for band in bands])
    return (
        survey.drop_vars([*changed, "band"])
        .assign(changed)
        .assign_coords(band=("band", labels, dict(survey["band"].attrs)))
    )


def in_order_of(survey: xr.Dataset, bands: Sequence[Band]) -> xr.Dataset:
    """Return a survey with its bands in the order of `bands`; as it is, if they are others."""
    given = survey_bands(survey)
    if same_bands(bands, given) or not same_bands(sorted(bands), sorted(given)):
        return survey
    of_energy = sorted(range(len(given)), key=lambda i: given[i])
    place = dict(zip(sorted(bands), of_energy, strict=True))
    return survey.isel(band=[place[band] for band in bands])


def add_counts(counts: xr.DataArray, dim: str) -> xr.DataArray:
    """Return counts added along a dimension; small integers become uint32, which holds them."""
    wide = "u4" if counts.dtype.kind == "u" and counts.dtype.itemsize < 4 else counts.dtype
    return counts.sum(dim, dtype=wide)


def _merged(values: xr.DataArray, parts: Sequence[Sequence[int]]) -> xr.DataArray:
    """Return a variable with one band for each of `parts`, computed when it is read."""
    lazy = values.drop_vars("band").chunk({"cluster": _AT_ONCE})
    if values.name in _MEANS:
        each = [lazy.isel(band=list(tiles)).mean("band") for tiles in parts]
    else:
        each = [add_counts(lazy.isel(band=list(tiles)), "band") for tiles in parts]
    merged = xr.concat(each, "band").transpose(*values.dims)
    merged.attrs, merged.encoding = dict(values.attrs), {"source": values.encoding.get("source")}
    return merged
