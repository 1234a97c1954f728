"""Events of the sky binned in the frames of many clusters at once, none of them twice.

The compiled part of reading event files: cuts, tangent planes, bands and pixels in one pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit

from icmass.errors import InputError
from icmass.io.duplicates import SeenPhotons, is_new

OUTCOMES = (
    "counted",
    "flagged",
    "bad pattern",
    "other module",
    "outside the GTIs",
    "not finite",
    "outside the maps",
    "outside the bands",
    "duplicate",
)
"""What becomes of an event; the first reason not to count it is the one given."""
(COUNTED, FLAGGED, PATTERN, MODULE, TIME, BROKEN, ELSEWHERE, BAND, DUPLICATE) = range(len(OUTCOMES))
CUT = [FLAGGED, PATTERN, MODULE, TIME, BROKEN]
"""Outcomes that do not depend on the clusters."""
IN_MAPS = [COUNTED, BAND, DUPLICATE]
MAX_COUNT = np.iinfo("u2").max
_CELLS = 180, 360  # of one degree, in which clusters are looked up


@dataclass(frozen=True)
class Frames:
    """The square maps of clusters on the sky, each in its tangent plane.

    Attributes
    ----------
    ra, dec : ndarray, shape (n,)
        Centres, ICRS [deg].
    pixel : ndarray, shape (n,)
        Side of a pixel at the centre [rad].
    n_pixels : int
        Pixels along a side; columns run West, rows North.
    bands_ev : ndarray, shape (band, 2)
        Energies that each band begins with and ends before [eV].
    """

    ra: np.ndarray
    dec: np.ndarray
    pixel: np.ndarray
    n_pixels: int
    bands_ev: np.ndarray

    def lookup(self) -> tuple[np.ndarray, np.ndarray]:
        """Return which clusters may lie in each cell of the sky: offsets (cell + 1,) and indices.

        Cells are one degree of right ascension by one of declination, by rows from the South.
        """
        n_dec, n_ra = _CELLS
        reach = np.degrees(np.arctan(self.pixel * self.n_pixels / np.sqrt(2))) + 1e-6
        cells: list[int] = []
        clusters: list[int] = []
        for i, (ra, dec, r) in enumerate(zip(self.ra, self.dec, reach, strict=True)):
            low, high = max(dec - r, -90.0), min(dec + r, 90.0)
            rows = range(int(low + 90), min(int(high + 90), n_dec - 1) + 1)
            width = 180.0
            if abs(low) < 89 and abs(high) < 89:
                sine = np.sin(np.radians(r)) / np.cos(np.radians(dec))
                width = min(np.degrees(np.arcsin(min(sine, 1.0))) + 1e-6, 180.0)
            start, stop = int(np.floor(ra - width)), int(np.floor(ra + width))
            columns = {column % n_ra for column in range(start, min(stop, start + n_ra) + 1)}
            for row in rows:
                cells += [row * n_ra + column for column in columns]
                clusters += [i] * len(columns)
        number = np.bincount(np.array(cells, np.int64), minlength=n_dec * n_ra)
        order = np.argsort(cells, kind="stable")
        return np.concatenate([[0], np.cumsum(number)]), np.array(clusters, np.int64)[order]


@dataclass
class EventCounts:
    """Counts in the frames of clusters, and what became of every event.

    Attributes
    ----------
    frames : Frames
        All the clusters that are looked at.
    mapped : range or None
        Those of them whose maps are made, all by default. Photons are kept, to tell
        duplicates, in these maps only, and what becomes of a photon is counted here only if the
        first of `frames` that it lies in is one of them: a sum over ranges counts it once.
    by_time : bool
        Whether photons of several files are recognised by their times.
    maps : ndarray, uint16 (len(mapped), band, y, x)
        Photons.
    outcomes : ndarray, int64 (len(OUTCOMES),)
        Number of events by outcome.
    outside_bands : ndarray, int64 (n,)
        Events in the frame of each mapped cluster that passed the cuts, but are in no band.
    energy_range : ndarray, float64 (n, 2)
        The least and the largest of their energies [eV].
    """

    frames: Frames
    mapped: range | None = None
    by_time: bool = True
    maps: np.ndarray = field(init=False)
    outcomes: np.ndarray = field(init=False)
    outside_bands: np.ndarray = field(init=False)
    energy_range: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        frames = self.frames
        n = len(frames.ra)
        self._mapped = range(n) if self.mapped is None else self.mapped
        shape = (len(self._mapped), len(frames.bands_ev), frames.n_pixels, frames.n_pixels)
        self.maps = np.zeros(shape, np.uint16)
        self.outcomes = np.zeros(len(OUTCOMES), np.int64)
        self.outside_bands = np.zeros(n, np.int64)
        self.energy_range = np.full((n, 2), (np.inf, -np.inf))
        self._lookup = frames.lookup()
        self._seen = SeenPhotons(by_time=self.by_time)

    @classmethod
    def of_no_cluster(cls) -> EventCounts:
        """Return counts without a map, of which the outcomes are those of the cuts alone."""
        none = np.zeros(0)
        return cls(Frames(none, none, none, 1, np.array([[0.0, np.inf]])))

    def maps_of(self, cluster: int) -> np.ndarray:
        """Return the maps (band, y, x) of one of all the clusters, by its place in `frames`."""
        return self.maps[self._mapped.index(cluster)]

    def add(
        self,
        events: dict[str, np.ndarray],
        *,
        flag: int,
        patterns: np.ndarray,
        min_pi_ev: np.ndarray,
        gtis: tuple[np.ndarray, np.ndarray],
        source: int = 1,
        has_times: bool = True,
        has_modules: bool = True,
    ) -> None:
        """Count some events.

        Parameters
        ----------
        events : dict of str to ndarray, shape (n_events,)
            ``RA``, ``DEC`` [deg], ``PI`` [eV], ``TM_NR``, ``FLAG``, ``PAT_TYP``, ``TIME`` [s].
        flag : int
            Events with any of these bits set are left out.
        patterns : ndarray of bool, shape (8,)
            Which pattern types are used.
        min_pi_ev : ndarray, shape (n_modules + 1,)
            Least energy of events of each module [eV]; infinite: the module is not used.
        gtis : (ndarray, ndarray)
            Edges of each module's good time intervals, start and stop in turn, one module after
            the other, and where each module's edges begin, (n_modules + 2,); a module without any
            edges is used at all times.
        source : int
            Number of the file, from 1.
        has_times, has_modules : bool
            Whether photons of the file can be recognised by ``TIME`` and ``TM_NR``.
        """
        seen, frames = self._seen, self.frames
        seen.reserve(len(events["RA"]))
        size = _count(
            events["RA"],
            events["DEC"],
            events["PI"],
            events["TM_NR"],
            events["FLAG"],
            events["PAT_TYP"],
            events["TIME"],
            np.int64(flag),
            patterns,
            min_pi_ev,
            *gtis,
            np.radians(frames.ra),
            np.radians(frames.dec),
            frames.pixel,
            frames.bands_ev,
            *self._lookup,
            (seen.table, seen.time, seen.place, seen.module, seen.source),
            seen.size,
            (source, has_times, has_modules, self.by_time),
            self._mapped.start,
            self.maps,
            self.outcomes,
            self.outside_bands,
            self.energy_range,
        )
        if size < 0:
            raise InputError(f"more than {MAX_COUNT} photons in one pixel", field="EVENTS")
        seen.size = size


@njit(cache=True)
def _is_good_time(time, edges, start, stop):  # type: ignore[no-untyped-def]
    """Return whether an odd number of edges lies at or before a time."""
    lo, hi = start, stop
    while lo < hi:
        middle = (lo + hi) >> 1
        if edges[middle] <= time:
            lo = middle + 1
        else:
            hi = middle
    return (lo - start) % 2 == 1 or (lo > start and edges[lo - 1] == time)


@njit(cache=True)
def _count(  # type: ignore[no-untyped-def]
    ra,
    dec,
    pi,
    module,
    flag,
    pattern,
    time,
    flag_mask,
    patterns,
    min_pi_ev,
    edges,
    edges_from,
    ra0,
    dec0,
    pixel,
    bands,
    cell_from,
    cell_clusters,
    seen,
    n_seen,
    how,
    first,
    maps,
    outcomes,
    outside_bands,
    energy_range,
):
    """Count events; return how many are in `seen` then, or -1 if a pixel overflows."""
    n = maps.shape[2]
    half = n / 2
    table, times, places, modules, sources = seen
    source, has_times, has_modules, by_time = how
    place, cells = np.empty(4, np.float32), np.empty((2, 5), np.int64)
    for i in range(len(ra)):
        tm = module[i]
        if flag[i] & flag_mask:
            outcomes[FLAGGED] += 1
            continue
        if not (0 <= pattern[i] < 8 and patterns[pattern[i]]):
            outcomes[PATTERN] += 1
            continue
        if not (0 <= tm < len(min_pi_ev) and min_pi_ev[tm] < np.inf):
            outcomes[MODULE] += 1
            continue
        energy, a, d, t = pi[i], ra[i], dec[i], time[i]
        if not (
            np.isfinite(energy)
            and abs(a) <= 720
            and abs(d) <= 90
            and (np.isfinite(t) or edges_from[tm] == edges_from[tm + 1])
        ):
            outcomes[BROKEN] += 1
            continue
        if edges_from[tm] < edges_from[tm + 1] and not _is_good_time(
            t, edges, edges_from[tm], edges_from[tm + 1]
        ):
            outcomes[TIME] += 1
            continue
        band = -1
        if energy >= min_pi_ev[tm]:
            for k in range(bands.shape[0]):
                if bands[k, 0] <= energy < bands[k, 1]:
                    band = k
                    break
        cell = min(int(d + 90), 179) * 360 + int(np.floor(a)) % 360
        lead = -1
        fresh = False
        sd, cd = np.sin(np.radians(d)), np.cos(np.radians(d))
        for j in range(cell_from[cell], cell_from[cell + 1]):
            cluster = cell_clusters[j]
            offset = np.radians(a) - ra0[cluster]
            sd0, cd0 = np.sin(dec0[cluster]), np.cos(dec0[cluster])
            forward = sd0 * sd + cd0 * cd * np.cos(offset)
            if forward <= 0:
                continue
            scale = 1 / (forward * pixel[cluster])
            column = half - cd * np.sin(offset) * scale
            row = half + (cd0 * sd - sd0 * cd * np.cos(offset)) * scale
            if not (0 <= column < n and 0 <= row < n):
                continue
            if lead < 0:
                lead = cluster
            k = cluster - first
            if not 0 <= k < maps.shape[0]:
                continue
            if band < 0:
                outside_bands[cluster] += 1
                energy_range[cluster, 0] = min(energy_range[cluster, 0], energy)
                energy_range[cluster, 1] = max(energy_range[cluster, 1], energy)
                continue
            if not fresh:
                place[0], place[3] = sd, energy
                place[1], place[2] = cd * np.cos(np.radians(a)), cd * np.sin(np.radians(a))
                fresh = is_new(
                    table,
                    times,
                    places,
                    modules,
                    sources,
                    n_seen,
                    by_time,
                    cells,
                    t if has_times else np.nan,
                    place,
                    tm if has_modules else 0,
                    source,
                )
                if not fresh:
                    break
                n_seen += 1
            if maps[k, band, int(row), int(column)] == 65535:
                return -1
            maps[k, band, int(row), int(column)] += 1
        if lead < 0:
            outcomes[ELSEWHERE] += 1
        elif not first <= lead < first + maps.shape[0]:
            continue
        elif band < 0:
            outcomes[BAND] += 1
        elif fresh:
            outcomes[COUNTED] += 1
        else:
            outcomes[DUPLICATE] += 1
    return n_seen
