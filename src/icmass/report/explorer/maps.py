"""Maps of an explorer: every photon, binned where the page would else be too large."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from icmass.report.explorer.contents import Attributions, Part
from icmass.report.explorer.encoding import Pieces, deflated
from icmass.survey.catalog import read_values
from icmass.survey.chosen import as_slice
from icmass.survey.counts import read_coverage, read_maps

MAPS_BUDGET = 15_500_000
"""Characters of a page that its maps may take; binned by two until they do not take more."""
ATTRIBUTION_BUDGET = 3_000_000
"""Characters that attributions may take."""
LEAST_SIDE = 32
"""Pixels along a side, at least; if such maps are too many, those of every k-th cluster are kept.
"""
_AT_ONCE = 128
_SAMPLE = 48
_MARGIN = 1.04  # of the size that is told by a sample
_STEPS = 127


@dataclass(frozen=True)
class PackedMaps:
    """The maps of n clusters as pieces of text.

    Attributes
    ----------
    pieces : Pieces
        Of each cluster a byte of flags (1: there are high bytes; 2: there is a mask), the low bytes
        of its counts (band, y, x), their high bytes, and its mask (y, x), 1 where nothing is seen.
    factor : int
        Pixels along a side that are added to one.
    stride : int
        The maps of every so-manieth cluster are there.
    inside : list of ndarray of int, shape (n of the part, component, band)
        Photons within R500c, for each part.
    expected : list of ndarray of float, shape (n of the part, band), or None
        Expected background within R500c, where the survey has it.
    """

    pieces: Pieces
    factor: int
    stride: int
    inside: list[np.ndarray]
    expected: list[np.ndarray | None]


def pack_maps(
    parts: Sequence[Part], r500c: Sequence[np.ndarray], budget: int = MAPS_BUDGET
) -> PackedMaps:
    """Return the maps of the clusters of all parts in no more than `budget` characters.

    Parameters
    ----------
    parts : sequence of Part
    r500c : sequence of ndarray, shape (n of the part,)
        Radius within which photons are counted [comoving Mpc/h]; NaN: unknown.
    budget : int
        Characters of base64.
    """
    steps = _steps(parts, budget)
    for number, (factor, stride) in enumerate(steps):
        packed = _pack(parts, r500c, factor, stride, budget if number + 1 < len(steps) else None)
        if packed is not None:
            return packed
    raise AssertionError("the last step has no limit")


def _steps(parts: Sequence[Part], budget: int) -> list[tuple[int, int]]:
    """Return binnings and strides to be tried, the finest that a sample lets expect first."""
    total = sum(len(part.index) for part in parts)
    steps, expected = [], 0.0
    for factor in _factors(parts):
        expected = _MARGIN * sum(_expected(part, factor) for part in parts)
        if expected <= budget:
            steps.append((factor, 1))
    coarsest = _factors(parts)[-1]
    stride = max(int(np.ceil(expected / max(budget, 1))), 1)
    strides = [k for k in (stride, 2 * stride, 4 * stride) if k > 1]
    return steps + [(coarsest, min(k, max(total, 1))) for k in strides] or [(coarsest, 1)]


def _factors(parts: Sequence[Part]) -> list[int]:
    sides = [part.survey.sizes["x"] for part in parts]
    found = [1]
    while all(s % (2 * found[-1]) == 0 and s // (2 * found[-1]) >= LEAST_SIDE for s in sides):
        found.append(2 * found[-1])
    return found


def _expected(part: Part, factor: int) -> float:
    """Return about how many characters the maps of a part take, from some of them."""
    n = len(part.index)
    some = part.index[np.unique(np.linspace(0, n - 1, min(_SAMPLE, n)).astype(int))]
    each = [
        4 * -(-len(deflated(piece)) // 3)
        for _, maps, hidden in _blocks(part.survey, some)
        for piece in _piece_of_each(maps, hidden, factor)
    ]
    return n * float(np.mean(each)) if each else 0.0


def _blocks(
    survey: xr.Dataset, index: np.ndarray
) -> Iterator[tuple[slice, np.ndarray, np.ndarray | None]]:
    """Yield places in `index`, counts (n, component, band, y, x) and what is hidden (n, y, x)."""
    for start in range(0, len(index), _AT_ONCE):
        some = as_slice(index[start : start + _AT_ONCE])
        maps = read_maps(survey, some)
        hidden = None
        if "coverage" in survey:
            hidden = read_coverage(survey, some) <= 0
        yield slice(start, start + len(maps)), maps, hidden


def _pack(
    parts: Sequence[Part],
    r500c: Sequence[np.ndarray],
    factor: int,
    stride: int,
    budget: int | None,
) -> PackedMaps | None:
    pieces, inside, expected, row = Pieces(), [], [], 0
    for part, radius in zip(parts, r500c, strict=True):
        found = []
        for place, maps, hidden in _blocks(part.survey, part.index):
            within = _within(part.survey, radius[place])
            found.append(np.einsum("ncbyx,nyx->ncb", maps, within, dtype="i8", casting="unsafe"))
            for piece in _piece_of_each(maps, hidden, factor):
                pieces.add(piece if row % stride == 0 else None)
                row += 1
            if budget is not None and pieces.size > budget:
                return None
        shape = (0, part.survey.sizes["component"], part.survey.sizes["band"])
        inside.append(np.concatenate(found) if found else np.zeros(shape, "i8"))
        expected.append(_background(part, radius))
    return PackedMaps(pieces, factor, stride, inside, expected)


def _within(survey: xr.Dataset, radius: np.ndarray) -> np.ndarray:
    """Return which pixels have their centre within a radius of each cluster, (n, y, x)."""
    r = np.hypot(survey["y"].values[:, None], survey["x"].values)
    result: np.ndarray = r <= np.nan_to_num(radius)[:, None, None]
    return result


def _background(part: Part, radius: np.ndarray) -> np.ndarray | None:
    if "background" not in part.survey:
        return None
    found = np.zeros((len(part.index), part.survey.sizes["band"]))
    for start in range(0, len(part.index), _AT_ONCE):
        place = slice(start, start + _AT_ONCE)
        maps = read_values(part.survey["background"].isel(cluster=as_slice(part.index[place])))
        found[place] = np.einsum("nbyx,nyx->nb", maps, _within(part.survey, radius[place]))
    return found


def _piece_of_each(maps: np.ndarray, hidden: np.ndarray | None, factor: int) -> Iterator[bytes]:
    binned = add_pixels(maps.sum(1, dtype="i8"), factor)
    seen = None if hidden is None else add_pixels((~hidden).astype("i8"), factor) > 0
    for k, counts in enumerate(np.minimum(binned, 2**16 - 1).astype("u2")):
        high = (counts >> 8).astype("u1")
        low = (counts & 255).astype("u1")
        mask = b"" if seen is None or seen[k].all() else (~seen[k]).astype("u1").tobytes()
        flags = int(high.any()) + 2 * bool(mask)
        yield bytes([flags]) + low.tobytes() + (high.tobytes() if flags & 1 else b"") + mask


def add_pixels(maps: np.ndarray, factor: int) -> np.ndarray:
    """Return maps (..., y, x) with squares of `factor` pixels a side added."""
    if factor == 1:
        return maps
    *rest, height, width = maps.shape
    split = maps.reshape(*rest, height // factor, factor, width // factor, factor)
    result: np.ndarray = split.sum((-3, -1))
    return result


@dataclass(frozen=True)
class PackedAttributions:
    """Attributions of n clusters: pieces of int8 (y, x), and the largest of each [ln M a pixel].

    A value is sign(q) (q/127)^2 times the largest: faint pixels are kept as well as bright ones.
    """

    pieces: Pieces
    largest: np.ndarray
    side: int


def pack_attributions(
    found: Attributions, n: int, budget: int = ATTRIBUTION_BUDGET
) -> PackedAttributions:
    """Return the attributions of one estimator, binned until they take no more than `budget`."""
    maps = np.asarray(found.maps, "f8")
    place = {int(row): k for k, row in enumerate(found.rows)}
    while True:
        largest = np.zeros(n)
        largest[found.rows] = np.abs(maps).max((1, 2)) if len(maps) else 0.0
        pieces = Pieces()
        for row in range(n):
            held = place.get(row)
            pieces.add(None if held is None else _companded(maps[held], largest[row]))
        side = maps.shape[-1]
        if pieces.size <= budget or side % 2 or side // 2 < LEAST_SIDE // 2:
            return PackedAttributions(pieces, largest, side)
        maps = add_pixels(maps, 2)


def _companded(values: np.ndarray, largest: float) -> bytes:
    share = np.sqrt(np.abs(values) / (largest or 1.0))
    return np.rint(_STEPS * np.sign(values) * share).astype("i1").tobytes()
