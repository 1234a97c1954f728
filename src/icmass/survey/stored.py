"""Which store on disk an open survey is, and whether it still is that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.survey.catalog import open_survey, read_values

_AT_ONCE = 256  # clusters, of images that are compared


def store_of(survey: str | Path | xr.Dataset) -> Path:
    """Return the store of a survey, given its path or what `open_survey` made of it.

    Raises
    ------
    InputError
        If the survey is in memory alone, or was cut or changed since it was opened.
    """
    if not isinstance(survey, xr.Dataset):
        return Path(survey)
    told = [variable.encoding.get("source") for variable in survey.variables.values()]
    sources = sorted({str(source) for source in told if source is not None})
    if not sources:
        hint = "simulate it with out=, give the path of its store, or what open_survey made of it"
        raise InputError("is in memory alone", field="survey", hint=hint)
    path = Path(sources[0])
    for what in _changes(survey, open_survey(path)):
        raise InputError(
            f"is no longer what is on disk ({what})",
            file=path,
            field="survey",
            hint="write it to a store first, `.to_zarr(...)`, and give that",
        )
    return path


def forget_store(survey: xr.Dataset) -> xr.Dataset:
    """Return a survey in memory, which no longer knows where it was read from."""
    for variable in survey.variables.values():
        variable.encoding.pop("source", None)
    return survey


def _changes(survey: xr.Dataset, stored: xr.Dataset) -> Iterator[str]:
    """Yield how a survey differs from its store; what was never read is as it was."""
    for dim, size in stored.sizes.items():
        if survey.sizes.get(dim) != size:
            yield f"{survey.sizes.get(dim, 'no')} of {size} along {dim}"
    for name in sorted(map(str, set(survey.variables) ^ set(stored.variables))):
        yield f"variable {name} is {'gone' if name in stored.variables else 'new'}"
    if sorted(map(repr, survey.attrs.items())) != sorted(map(repr, stored.attrs.items())):
        yield "attributes differ"
    for name in map(str, survey.variables):
        if not _is_same(survey[name], stored[name]):
            yield f"variable {name} differs"


def _is_same(values: xr.DataArray, stored: xr.DataArray) -> bool:
    if values.dims != stored.dims or values.dtype != stored.dtype:
        return False
    source = values.encoding.get("source")
    if not values.variable._in_memory and source is not None:
        return bool(source == stored.encoding["source"])
    step = _AT_ONCE if values.ndim > 1 else max(values.size, 1)
    for start in range(0, len(values) if values.ndim else 1, step):
        part = slice(start, start + step) if values.ndim else ...
        ours, theirs = (read_values(each[part]) for each in (values, stored))
        if not np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f"):
            return False
    return True
