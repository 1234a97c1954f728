"""Which clusters of a survey are meant: numbers, masks and texts."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import ArrayLike

from icmass.errors import InputError


def parse_index(text: str) -> np.ndarray:
    """Return the clusters of a text such as ``3``, ``0-9`` or ``1,5,7-9``."""
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if match is None:
            raise InputError(f"{part!r} is no cluster", field="--index", hint="write 3 or 0-9")
        start, stop = int(match[1]), int(match[2] or match[1])
        found.append(np.arange(start, stop + 1))
    return np.concatenate(found)


def checked_index(index: ArrayLike | None, n: int, name: str) -> np.ndarray:
    """Return indices of clusters of a survey of n called `name`.

    `index` is numbers, a mask with a value for each cluster, a text as `parse_index` takes it, or
    None for all of them.
    """
    if index is None or isinstance(index, str):
        rows = np.arange(n) if index is None else parse_index(index)
    else:
        rows = _numbers(index, n, name)
    outside = rows[(rows < 0) | (rows >= n)]
    if rows.size == 0 or outside.size:
        wrong = outside[0] if rows.size else "none"
        raise InputError(f"{wrong}: {name} has {n} clusters, 0 to {n - 1}", field="--index")
    return rows


def _numbers(index: ArrayLike, n: int, name: str) -> np.ndarray:
    """Return the clusters that numbers or a mask choose."""
    try:
        given = np.asarray(index).ravel()
    except ValueError:  # lists of lists of several lengths
        given = np.zeros(1, object)
    if given.dtype == bool:
        if given.size != n:
            what = f"is a mask of {given.size} values: {name} has {n} clusters"
            raise InputError(what, field="--index", hint="give a value for each")
        return np.flatnonzero(given)
    whole = given.dtype.kind in "iuf" and (np.abs(given) < 2**53).all()
    if not whole or (given != np.floor(given)).any():
        hint = "give numbers such as [0, 3], a mask of True and False, or '0-9'"
        raise InputError("is no list of whole numbers", field="--index", hint=hint)
    return given.astype(int)


def as_slice(index: np.ndarray | slice) -> np.ndarray | slice:
    """Return the slice of a run of consecutive indices, which is read four times as fast."""
    if isinstance(index, slice):
        return index
    index = np.asarray(index)
    if len(index) and np.array_equal(index, np.arange(index[0], index[0] + len(index))):
        return slice(int(index[0]), int(index[0]) + len(index))
    return index
