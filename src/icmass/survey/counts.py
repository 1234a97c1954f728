"""Photons and coverage of the clusters of a survey, read and checked."""

from __future__ import annotations

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.survey.catalog import read_values
from icmass.survey.chosen import as_slice

_MAX_PHOTONS = 2**24  # of a component in a pixel: still whole numbers in float32
_ROUNDING = 2e-3  # of a coverage in float16


def counts(survey: xr.Dataset, index: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Return the observed counts (all components) of some clusters, (n, band, y, x).

    They are uint16, or uint32 where a pixel has more photons than that holds.
    """
    by_component = read_maps(survey, index)
    most = int(by_component.max(initial=0)) * by_component.shape[1]
    return by_component.sum(1, dtype="u2" if most <= np.iinfo("u2").max else "u4")


def read_maps(survey: xr.Dataset, index: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Return the counts of some clusters, integers (n, component, band, y, x).

    Raises
    ------
    InputError
        If they are no counts of photons, or damaged.
    """
    maps = survey["maps"].isel(cluster=as_slice(index))
    file = survey["maps"].encoding.get("source")
    if maps.dtype.kind not in "ui":
        hint = "give whole photons, `maps.astype('u2')`"
        raise InputError(f"are {maps.dtype}, no counts", field="variable maps", hint=hint)
    read = read_values(maps.transpose("cluster", "component", "band", "y", "x"), file)
    if maps.dtype.kind == "i" and (read < 0).any():
        raise _wrong("maps", "is negative", read < 0, read, index)
    if maps.dtype.itemsize > 2 and (read > _MAX_PHOTONS).any():
        raise _wrong("maps", f"is above {_MAX_PHOTONS} photons", read > _MAX_PHOTONS, read, index)
    return read


def read_coverage(survey: xr.Dataset, index: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Return the coverage of some clusters, float32 (n, y, x).

    Raises
    ------
    InputError
        If it is no fraction, or damaged.
    """
    file = survey["coverage"].encoding.get("source")
    chosen = survey["coverage"].isel(cluster=as_slice(index)).transpose("cluster", "y", "x")
    read = read_values(chosen, file).astype("f4")
    good = (read >= 0) & (read <= 1 + _ROUNDING)
    if not good.all():
        raise _wrong("coverage", "is outside 0 to 1", ~good, read, index)
    return read


def _wrong(
    name: str, what: str, wrong: np.ndarray, values: np.ndarray, index: np.ndarray | slice
) -> InputError:
    """Return the error of pixels that cannot be, with the first of their clusters."""
    first = int(wrong.reshape(len(wrong), -1).any(1).argmax())
    cluster = (index.start or 0) + first if isinstance(index, slice) else np.asarray(index)[first]
    said = f"a pixel of cluster {cluster} {what}: {values[wrong][0]:g}"
    return InputError(said, field=f"variable {name}", hint="make the survey again")
