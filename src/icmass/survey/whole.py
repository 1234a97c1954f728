"""Whether all of a store is there: Zarr reads a chunk that is lost as its fill value.

Stores are written with every chunk on disk and say so (`WHOLE`). Of those that do not, chunks
that hold nothing but the fill value were never written, so that only what cannot be is refused.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Container, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from icmass.errors import InputError

WHOLE = "every_chunk_stored"
"""Attribute of stores that have every chunk on disk.

Surveys that are opened do not have it: changed and stored by xarray, they may leave out chunks."""
_BLOSC_HEADER = struct.Struct("<12xI")
_MAY_BE_NAN = ("N_gal", "sigma_v", "sigma_v_true")
_MAY_BE_ZERO = (
    *("nh", "ra", "dec", "halo_id", "snapshot", "universe", "position", "background"),
    "L_X_outlier",
)


def every_chunk() -> AbstractContextManager[Any]:
    """Have Zarr write chunks that hold nothing but their fill value, in a ``with`` statement."""
    return zarr.config.set({"array.write_empty_chunks": True})


def check_whole(path: Path, variables: Container[str]) -> None:
    """Refuse a store of which a chunk is lost; `variables` are those that a survey may have.

    Raises
    ------
    InputError
        That names the variable, the chunk and its clusters.
    """
    group = zarr.open_group(str(path), mode="r")
    says_so = bool(group.attrs.get(WHOLE))
    for name, array in group.arrays():
        for place, is_cut in _lost(path / name, array):
            if not (is_cut or says_so) and _may_be_unwritten(group, name, array, place, variables):
                continue
            number = np.ravel_multi_index(place, _grid(array)) + 1 if place else 1
            what = f"chunk {number} of {math.prod(_grid(array))} is "
            what += "cut short" if is_cut else "missing"
            raise InputError(
                what + _clusters(array, place), file=path, field=f"variable {name}",
                hint="the store is not whole: copy it again, or make it again",
            )  # fmt: skip


def _pieces(array: zarr.Array) -> tuple[int, ...]:
    """Return the shape of what is one file: a chunk, or a shard of several."""
    return array.shards or array.chunks


def _grid(array: zarr.Array) -> tuple[int, ...]:
    return tuple(-(-n // size) for n, size in zip(array.shape, _pieces(array), strict=True))


def _lost(folder: Path, array: zarr.Array) -> Iterator[tuple[tuple[int, ...], bool]]:
    """Yield the chunks that have no file, or an empty one, or one that is cut short (True)."""
    compressors = array.compressors
    is_blosc = bool(compressors) and "blosc" in type(compressors[-1]).__name__.lower()
    for place in itertools.product(*map(range, _grid(array))):
        file = folder / array.metadata.encode_chunk_key(place)
        try:
            size = file.stat().st_size
        except OSError:
            size = 0
        if not size:
            yield place, False
        elif is_blosc and not array.shards and size < _blosc_bytes(file):
            yield place, True


def _blosc_bytes(file: Path) -> int:
    """Return how many bytes a compressed chunk says that it has; Blosc reads on past the end."""
    with file.open("rb") as stream:
        header = stream.read(_BLOSC_HEADER.size)
    complete = len(header) == _BLOSC_HEADER.size
    return int(_BLOSC_HEADER.unpack(header)[0]) if complete else _BLOSC_HEADER.size


def _rows(array: zarr.Array, place: tuple[int, ...]) -> slice:
    start = place[0] * _pieces(array)[0]
    return slice(start, min(start + _pieces(array)[0], array.shape[0]))


def _clusters(array: zarr.Array, place: tuple[int, ...]) -> str:
    names: Any = getattr(array.metadata, "dimension_names", None) or [""]
    if not place or names[0] != "cluster":
        return ""
    rows = _rows(array, place)
    return f" (clusters {rows.start} to {rows.stop - 1})"


def _may_be_unwritten(
    group: zarr.Group,
    name: str,
    array: zarr.Array,
    place: tuple[int, ...],
    variables: Container[str],
) -> bool:
    """Return whether a chunk may hold nothing but its fill value, in a store that left it out."""
    if name == "maps":
        return not _photons_lack(group, array, _rows(array, place))
    if name not in variables:
        return name not in ("x", "y", "band", "component")
    fill: Any = array.fill_value
    if isinstance(fill, float | np.floating) and np.isnan(fill):
        return name in _MAY_BE_NAN
    return name in (*_MAY_BE_ZERO, *_MAY_BE_NAN)


def _photons_lack(group: zarr.Group, maps: zarr.Array, rows: slice) -> bool:
    """Return whether maps have fewer photons than their clusters are said to have."""
    n_in_maps = np.asarray(maps[rows]).sum(axis=(1, 2, 3, 4), dtype="i8")
    if "n_phot" not in group:
        return not n_in_maps.all()
    n_phot: Any = group["n_phot"]
    return bool((n_in_maps < np.asarray(n_phot[rows])).any())
