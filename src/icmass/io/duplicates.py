"""Photons that are in several event files, recognised within the precision of the files.

The same photon may come with its direction as doubles, single precision or 1e-6 deg integers, with
its energy rounded to whole eV, and without its time.
"""

from __future__ import annotations

import numpy as np
from numba import njit

TIME_S = 1e-3
"""Photons whose times differ by more are different [s]; a frame of eROSITA lasts 0.05 s."""
POSITION_ARCSEC = 0.5
ENERGY_EV = 3.0
_CHORD2 = np.radians(POSITION_ARCSEC / 3600) ** 2
_CELL = np.array([0.05, *3 * [np.radians(10 / 3600)], 60.0])
"""Sizes of the cells in which photons are looked up: time, unit vector of the direction, energy;
those of neighbouring cells are looked at where they lie within reach."""
_MARGIN = np.array([TIME_S, *3 * [np.radians(POSITION_ARCSEC / 3600)], ENERGY_EV]) / _CELL


class SeenPhotons:
    """The photons counted so far.

    Two photons of one module (or of unknown ones) that agree within `TIME_S`, `POSITION_ARCSEC` and
    `ENERGY_EV` are one. Where one of them has no time, the photons of a file are matched one to one
    with those of other files, each with the nearest; within a file only those that are the same in
    every digit are one.

    Parameters
    ----------
    by_time : bool
        Whether all files have times, by which photons are then looked up.
    """

    def __init__(self, *, by_time: bool) -> None:
        self.by_time = by_time
        self.size = 0
        self.table = np.zeros(2**17, np.int32)
        self.time = np.zeros(2**15)
        self.place = np.zeros((2**15, 4), np.float32)
        self.module = np.zeros(2**15, np.uint8)
        self.source = np.zeros((2**15, 2), np.int32)

    def reserve(self, n: int) -> None:
        """Make room for `n` more photons, the table a quarter full at most."""
        room = len(self.time)
        while room < self.size + n:
            room *= 2
        if room == len(self.time):
            return
        for name in ("time", "place", "module", "source"):
            old = getattr(self, name)
            new = np.zeros((room, *old.shape[1:]), old.dtype)
            new[: self.size] = old[: self.size]
            setattr(self, name, new)
        self.table = np.zeros(4 * room, np.int32)
        refill(self.table, self.time, self.place, self.size, self.by_time)


@njit(cache=True)
def _mix(value):  # type: ignore[no-untyped-def]
    """Scramble 64 bits (Steele, Lea & Flood 2014, SplitMix64)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(cache=True)
def _axes(by_time):  # type: ignore[no-untyped-def]
    """Return the first axis of the cells, and that after the last.

    Time and the sine of the declination are enough; without times it is direction and energy.
    """
    return (0, 2) if by_time else (1, 5)


@njit(cache=True)
def _find_cells(time, place, by_time, cells):  # type: ignore[no-untyped-def]
    """Put the cell of a photon along each axis, and the next one within reach, into `cells`.

    Return a bit for each axis that has such a next one.
    """
    within = 0
    start, stop = _axes(by_time)
    for axis in range(start, stop):
        at = (time if axis == 0 else np.float64(place[axis - 1])) / _CELL[axis]
        cell = np.floor(at)
        cells[0, axis] = cells[1, axis] = np.int64(cell)
        if at - cell < _MARGIN[axis]:
            cells[1, axis] -= 1
        elif cell + 1 - at < _MARGIN[axis]:
            cells[1, axis] += 1
        else:
            continue
        within |= 1 << axis
    return within


@njit(cache=True)
def _key(cells, choice, by_time):  # type: ignore[no-untyped-def]
    """Return the hash of a cell; bit k of `choice` takes the second one along axis k."""
    key = np.uint64(0)
    start, stop = _axes(by_time)
    for axis in range(start, stop):
        cell = np.uint64(cells[choice >> axis & 1, axis])
        key = _mix((key ^ cell) + np.uint64(0x9E3779B97F4A7C15))
    return key


@njit(cache=True)
def _insert(table, key, index):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(table) - 1)
    at = key & mask
    while table[at] != 0:
        at = (at + np.uint64(1)) & mask
    table[at] = index + 1


@njit(cache=True)
def refill(table, time, place, size, by_time):  # type: ignore[no-untyped-def]
    """Put all photons into an empty table."""
    cells = np.zeros((2, 5), np.int64)
    for i in range(size):
        _find_cells(time[i], place[i], by_time, cells)
        _insert(table, _key(cells, 0, by_time), i)


@njit(cache=True)
def _distance(place, other):  # type: ignore[no-untyped-def]
    """Return how far apart two photons are in units of what is allowed; infinite: too far."""
    energy = abs(place[3] - other[3])
    if energy > ENERGY_EV:
        return np.inf
    chord = 0.0
    for k in range(3):
        chord += np.float64(place[k] - other[k]) ** 2
    if chord > _CHORD2:
        return np.inf
    return chord / _CHORD2 + (energy / ENERGY_EV) ** 2


@njit(cache=True)
def is_new(  # type: ignore[no-untyped-def]
    table,
    times,
    places,
    modules,
    sources,
    size,
    by_time,
    cells,
    time,
    place,
    module,
    source,
):
    """Return whether a photon is none of the `size` seen; it is then written down as the next.

    `time` is NaN where it isn't known, `module` 0; `source` is the number of the file, from 1.
    `sources` are the files that a photon came from and was matched with last.
    `place` is the unit vector of the direction, z first, and the energy [eV]; `cells` is scratch.
    """
    mask = np.uint64(len(table) - 1)
    nearest, best = -1, np.inf
    within = _find_cells(time, place, by_time, cells)
    for choice in range(within + 1):
        if choice & ~within:
            continue
        at = _key(cells, choice, by_time) & mask
        while table[at] != 0:
            i = table[at] - 1
            at = (at + np.uint64(1)) & mask
            away = abs(time - times[i])
            if away > TIME_S or (module != modules[i] and module != 0 and modules[i] != 0):
                continue
            distance = _distance(place, places[i])
            if distance == np.inf:
                continue
            if away <= TIME_S or (sources[i, 0] == source and distance == 0):
                return False
            if sources[i, 1] != source and distance < best:
                nearest, best = i, distance
    if nearest >= 0:
        sources[nearest, 1] = source
        return False
    times[size], places[size], modules[size], sources[size] = time, place, module, source
    _insert(table, _key(cells, 0, by_time), size)
    return True
