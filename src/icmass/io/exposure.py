"""How long the sky was looked at: exposure maps, a number, or the good time intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from icmass.errors import InputError
from icmass.io.event_cuts import EventCuts
from icmass.io.events import EventFile
from icmass.io.exposure_kinds import (
    DEFAULT_BAND,
    Kind,
    area_stated,
    map_divisors,
    survey_factor,
)
from icmass.io.fits_images import Plane, band_of, read_plane, refuse_no_exposure
from icmass.io.modules import (
    good_exposure,
    good_seconds,
    know_good_times,
    modules_of,
)
from icmass.io.pointing import Pointing, apart_note, pointing_of
from icmass.missions.mission import AREA_WORDS, AreaType
from icmass.missions.registry import Telescope, check_mission, telescope_of
from icmass.sky.bands import Band
from icmass.sky.map_grid import FineGrid

_SCANNING = ("SURVEY", "SCAN", "SLEW")
_NO_MODE = ("", "STRING", "NONE", "UNKNOWN", "UNDEFINED", "NOTSET", "N/A")
"""What stands for OBS_MODE where it is not stated; ``String`` is a template's."""
_LEAST_DUTY = 0.1
"""A scan passes a place for less than a minute every four hours, a pointing stays."""
CONTRADICTION = 0.01
"""Relative difference of two statements of the exposure beyond which it is said."""
_HINT = "give --expmap MAP or --exposure SECONDS"


@dataclass(frozen=True)
class Exposure:
    """Seconds of all modules at the mission's area of reference, at any place on the sky.

    That area is its `icmass.missions.mission.ExposureRule`'s: for a scan, the survey average.

    Attributes
    ----------
    maps : list of Plane
        Exposure maps; where several overlap, the largest counts.
    seconds : float or None
        The same everywhere, where there are no maps.
    assumption : str
        How it was found, in plain words.
    notes : tuple of str
        What contradicts it, a sentence each.
    factors : tuple of float
        What makes these seconds of each map's.
    pointing : Pointing or None
        Where `seconds` are those on the axis of a pointing.
    """

    maps: list[Plane] = field(default_factory=list)
    seconds: float | None = None
    assumption: str = ""
    notes: tuple[str, ...] = ()
    factors: tuple[float, ...] = ()
    pointing: Pointing | None = None

    def sample(self, fine: FineGrid) -> np.ndarray:
        """Return the seconds at the points of a cluster's grid, (y, x)."""
        n = len(fine.pixel)
        if self.seconds is not None:
            share = np.ones((n, n)) if self.pointing is None else self.pointing.share(fine)
            return self.seconds * share
        found = np.zeros((n, n))
        for plane, factor in zip(self.maps, self.factors, strict=True):
            np.maximum(found, factor * fine.sample(plane.values, plane.wcs), out=found)
        return found

    def of_particles(self, fine: FineGrid) -> np.ndarray | None:
        """Return the seconds that no mirror vignettes; None where they are not known apart."""
        if self.pointing is None or self.seconds is None:
            return None
        return self.seconds * self.pointing.sees(fine)

    @property
    def longest(self) -> float:
        """The largest exposure of the map [s]."""
        of_maps = [
            factor * float(plane.values.max())
            for plane, factor in zip(self.maps, self.factors, strict=True)
        ]
        return max([*of_maps, self.seconds or 0.0])


def read_exposure_maps(
    files: Sequence[str | Path | Plane],
    kind: Kind | None = None,
    share: float = 1.0,
    telescope: Telescope | None = None,
) -> Exposure:
    """Read exposure maps.

    Parameters
    ----------
    files : sequence of path or Plane
        FITS images [s or another unit of time that BUNIT names, as if of all modules, which is what
        eSASS' expmap writes].
    kind : {"vignetted", "unvignetted", "survey"}, optional
        What they hold (`icmass.io.exposure_kinds.Kind`); default: what their AREATYPE states, else
        vignetted.
    share : float
        Of the map's modules, the fraction whose events are used.
    telescope : Telescope, optional
        Whose maps they are.
    """
    telescope = telescope or telescope_of()
    planes, bands = [], []
    for file in files:
        plane = file if isinstance(file, Plane) else read_plane(file)
        check_mission(plane.keys, plane.file, telescope.mission)
        refuse_no_exposure(plane)
        planes.append(plane)
        bands.append(_band_of(planes[-1]))
    divisors, how = map_divisors(planes, bands, kind, telescope, default="vignetted")
    factors = tuple(share / divisor for divisor in divisors)
    return Exposure(planes, None, how + _share_words(share), factors=factors)


def _band_of(plane: Plane) -> Band:
    try:
        return band_of(plane)
    except InputError:
        return DEFAULT_BAND


def _share_words(share: float) -> str:
    return "" if share == 1 else f", times {share:.3f} for the modules used"


def _mode(file: EventFile) -> str:
    """Return the mode of observation that a file states; empty where it states none."""
    mode = str(file.keys.get("OBS_MODE", "")).strip().upper()
    return "" if mode in _NO_MODE else mode


def sign_of_scan(file: EventFile) -> str:
    """Return what shows that a file is of a scan of the sky; empty where nothing does.

    Where OBS_MODE states nothing it is the good time: of a scan, short passes that lie hours apart.
    """
    if mode := _mode(file):
        return f"is {mode}" if mode in _SCANNING else ""
    good, span = _good_and_span(file)
    if not 0 < good < _LEAST_DUTY * span:
        return ""
    return f"is not stated, and {good:,.0f} s of good time in {span:,.0f} s are those of a scan"


def _good_and_span(file: EventFile) -> tuple[float, float]:
    """Return the longest good time of a module and the time from its begin to its end [s]."""
    gtis = [times for times in file.gtis.values() if len(times)]
    if gtis:
        good = max(float((times[:, 1] - times[:, 0]).sum()) for times in gtis)
        return good, max(t[-1, 1] for t in gtis) - min(t[0, 0] for t in gtis)
    numbers = [file.keys.get(key) for key in ("EXPOSURE", "TSTART", "TSTOP")]
    good, start, stop = (
        float(x) if isinstance(x, int | float) and not isinstance(x, bool) else 0.0 for x in numbers
    )
    return good, stop - start


def stated_area(files: Sequence[EventFile]) -> AreaType | None:
    """Return the area that files say their exposure is at (AREATYPE), if all say the same."""
    stated = {area_stated(file.keys) for file in files}
    return stated.pop() if len(stated) == 1 else None


def _area_words(files: Sequence[EventFile]) -> str:
    return AREA_WORDS[stated_area(files) or files[0].format.exposure.area]


def header_exposure(files: Sequence[EventFile], share: float) -> Exposure | None:
    """Return the exposure that the headers of mocks and of single pointings state, if they do.

    A survey tile or scan states the time of all of it, which no position has; of several files
    that are not of one module each it isn't known whether they add up.
    """
    if len(files) > 1 and not all(file.is_of_one_module for file in files):
        return None
    seconds = []
    for file in files:
        key, value = file.format.exposure.stated(file.keys)
        if sign_of_scan(file) or isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if not 0 < value < np.inf:
            raise InputError(
                f"is {value:g} s",
                file=file.file,
                field=f"keyword {key}",
                hint="give --exposure SECONDS or --expmap MAP",
            )
        modules = file.format.modules
        part = len(modules_of([file])) / len(modules.numbers) if modules.are_telescopes else 1.0
        seconds.append(float(value) * part)
    how = f"keyword {key}, {_area_words(files)}"
    if stated_area(files) is None:
        how += f" (assumed: {files[0].format.exposure.caveat_of_pointing})"
    return Exposure([], sum(seconds) * share, how + ", the same all over the map")


def gti_exposure(files: Sequence[EventFile], cuts: EventCuts, bands: Sequence[Band]) -> Exposure:
    """Return the exposure that the good time intervals of pointings add up to.

    Raises
    ------
    InputError
        If there are none, if they add up to nothing, or if the files are of a scan.
    """
    for file in files:
        if sign := sign_of_scan(file):
            raise InputError(
                f"{sign}: its good time intervals are not the exposure of any position",
                file=file.file,
                field="keyword OBS_MODE",
                hint=_HINT,
            )
    if not any(file.gtis for file in files):
        raise InputError("has no GTI extension", file=files[0].file, hint=_HINT)
    notes: tuple[str, ...] = ()
    if not cuts.gti:
        what = "--no-gti counts events at other times too, whose exposure is not known"
        notes = (f"{_named(files)}: {what}: --exposure SECONDS gives it",)
    rule = files[0].format.exposure
    how = f"{rule.of_good_time}, the same all over the map {_area_words(files)}"
    how += f" (assumed: {rule.caveat})"
    return Exposure([], _good_exposure(files, cuts, bands), how, notes)


def known_exposure(
    files: Sequence[EventFile], cuts: EventCuts, bands: Sequence[Band], share: float
) -> Exposure:
    """Return the exposure of the good time that is used, by the header or the good time intervals.

    Where both are there and differ by more than `CONTRADICTION`, the smaller holds.

    Raises
    ------
    InputError
        If neither tells, or one makes no sense, or the files are of a scan.
    """
    found = _of_pointing(files, cuts, bands, share)
    found = replace(found, notes=found.notes + apart_note(files))
    silent = [file for file in files if not _mode(file)]
    if not silent:
        return found
    note = f"{_named(silent)}: OBS_MODE is not stated: taken for a pointing"
    return replace(found, notes=(*found.notes, note))


def _of_pointing(
    files: Sequence[EventFile], cuts: EventCuts, bands: Sequence[Band], share: float
) -> Exposure:
    stated = header_exposure(files, share)
    if stated is None or stated.seconds is None:
        return gti_exposure(files, cuts, bands)
    if not (cuts.gti and know_good_times(files)):
        return stated
    good = _good_exposure(files, cuts, bands)
    if abs(good - stated.seconds) <= CONTRADICTION * max(good, stated.seconds):
        return stated
    key, rule = files[0].format.exposure.stated(files[0].keys)[0], files[0].format.exposure
    note = (
        f"{_named(files)}: keyword {key} makes {stated.seconds:.4g} s of the modules used "
        f"{rule.share}, the good time intervals {good:.4g} s: the smaller is used"
    )
    if stated.seconds < good:
        return Exposure([], stated.seconds, stated.assumption, (note,))
    of_gtis = gti_exposure(files, cuts, bands)
    return Exposure([], good, of_gtis.assumption, (note,))


def pointed(exposure: Exposure, files: Sequence[EventFile], telescope: Telescope) -> Exposure:
    """Return an exposure in seconds as that of a pointing, if the telescope points."""
    if exposure.seconds is None:
        return exposure
    pointing, notes = pointing_of(files, telescope)
    how = exposure.assumption
    if pointing is not None:
        off = "falling off" if pointing.is_vignetted else "the same all over the field about"
        how = how.replace("the same all over the map", f"{off} the axis (RA_PNT, DEC_PNT)")
    return replace(exposure, pointing=pointing, assumption=how, notes=exposure.notes + notes)


def longer_than_good_time(
    exposure: Exposure,
    files: Sequence[EventFile],
    cuts: EventCuts,
    bands: Sequence[Band],
    telescope: Telescope | None = None,
) -> tuple[str, ...]:
    """Return what to say of an exposure that the good time intervals leave no room for.

    A source that stays on the axis is seen with more than the survey-average area.
    """
    if not (cuts.gti and know_good_times(files)) or not good_seconds(files).any():
        return ()
    most = _good_exposure(files, cuts, bands) / survey_factor(DEFAULT_BAND, telescope)
    longest = exposure.longest
    if longest <= most * (1 + CONTRADICTION):
        return ()
    area = (telescope or telescope_of()).area_words
    what = f"the good time intervals leave at most {most:.4g} s {area}"
    return (f"{_named(files)}: {what}, the exposure given is {longest:.4g} s",)


def _good_exposure(files: Sequence[EventFile], cuts: EventCuts, bands: Sequence[Band]) -> float:
    """Return the exposure of the good time of the modules used [s], which is some."""
    seconds = good_exposure(files, cuts, bands)
    if seconds <= 0:
        raise InputError("add up to 0 s", file=files[0].file, field="GTI extensions", hint=_HINT)
    return seconds


def _named(files: Sequence[EventFile]) -> str:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{files[0].file}{more}"


def given_exposure(
    seconds: float, share: float, where: str = "map", telescope: Telescope | None = None
) -> Exposure:
    """Return the exposure that the user states, of all modules of the files."""
    if not np.isfinite(seconds) or seconds <= 0:
        raise InputError(f"is {seconds:g}", field="--exposure", hint="give seconds above 0")
    area = (telescope or telescope_of()).area_words
    how = f"as given, {area}, the same all over the {where}" + _share_words(share)
    return Exposure([], seconds * share, how)
