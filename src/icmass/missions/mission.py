"""What readers and writers ask of a mission: one `Mission`, made of plain parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from icmass.missions.catalogue_format import CatalogueFormat
from icmass.missions.event_writing import EventWriting
from icmass.missions.names import Names
from icmass.missions.photon_jobs import JobLayout

Keys = Mapping[str, Any]
Columns = dict[str, tuple[str, float]]
"""Column that holds each of what is read, and the factor to our unit."""
AreaType = Literal["survey", "onaxis"]
AREA_WORDS: dict[AreaType, str] = {
    "survey": "at the survey-average area",
    "onaxis": "at the area on axis",
}
"""The area that an exposure is at, in words."""


class HasUnit(Protocol):
    """A column of a table."""

    @property
    def unit(self) -> str:
        """TUNIT in small letters; empty where there is none."""


class EventTable(Protocol):
    """A table of a FITS file, as `icmass.io.fits_stream.Hdu` is one."""

    @property
    def name(self) -> str:
        """EXTNAME in capitals."""

    @property
    def label(self) -> str:
        """What to call it in a message."""

    @property
    def file(self) -> Any:
        """Path of the file."""

    @property
    def is_table(self) -> bool:
        """Whether it is a binary table."""

    @property
    def header(self) -> Any:
        """Its keywords."""

    @property
    def columns(self) -> Mapping[str, HasUnit]:
        """Columns by their names in capitals."""

    def check_numbers(self, *names: str) -> None:
        """Refuse columns of text."""


def no_own_columns(table: EventTable) -> Columns:
    """Return no column: all are found by their names."""
    return {}


@dataclass(frozen=True)
class EventColumns:
    """Which columns hold what is read of an event, and in which unit.

    Attributes
    ----------
    choices : mapping of str to tuple of (str, float)
        By role, columns in order of preference and their factors to our unit where they have no
        TUNIT. Roles are ``RA``, ``DEC`` [deg], ``PI`` [eV], ``TM_NR`` (module), ``FLAG`` (bits),
        ``PAT_TYP`` (number of pixels, 0 where the pattern is invalid) and ``TIME`` [s].
    units : mapping of str to mapping of str to float
        Units of a role that are known besides degrees and radians, eV and keV.
    energy_whatever_unit : str or None
        Column that is in eV in files that name the mission, though it has a unit that neither
        energies nor channels have.
    sky_pixels : (str, str) or None
        Columns of pixels of a tangent plane that take the place of ``RA`` and ``DEC``.
    grades : tuple of str
        Columns that tell the number of pixels where there is no ``PAT_TYP``.
    n_pixels : callable or None
        Makes it of those of `grades` that are there, by name.
    own : callable
        Returns columns by role that a table has whatever the rest says; empty: none.
    """

    choices: Mapping[str, tuple[tuple[str, float], ...]]
    units: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    energy_whatever_unit: str | None = None
    sky_pixels: tuple[str, str] | None = None
    grades: tuple[str, ...] = ()
    n_pixels: Callable[[Mapping[str, np.ndarray]], np.ndarray] | None = None
    own: Callable[[EventTable], Columns] = no_own_columns


@dataclass(frozen=True)
class Modules:
    """The parts of an instrument that tell of their events which of them it was.

    Attributes
    ----------
    numbers : tuple of int
    word : re.Pattern or None
        What keywords (INSTRUME, INSTRUMn) call a module, its number the first group.
    are_telescopes : bool
        Telescopes look at the same sky: their time adds up. Otherwise they are chips side by side,
        of which each place on the sky is on one.
    """

    numbers: tuple[int, ...]
    word: re.Pattern[str] | None = None
    are_telescopes: bool = True

    @property
    def size(self) -> int:
        """Length of an array with a place for each number, 0 included."""
        return max(self.numbers) + 1

    def named(self, words: object) -> int | None:
        """Return the module that a keyword's value names, if it does."""
        found = self.word and self.word.fullmatch(str(words).strip().upper())
        return int(found[1]) if found else None


@dataclass(frozen=True)
class LightLeak:
    """Sunlight in some modules, whose events below an energy are not to be trusted.

    Attributes
    ----------
    modules : tuple of int
    below_kev : float
    keyword : str
        False where a file's events have no such light.
    """

    modules: tuple[int, ...]
    below_kev: float
    keyword: str


@dataclass(frozen=True)
class Cuts:
    """Which events are used, unless the user says otherwise.

    Attributes
    ----------
    flag : int
        Events with any of these bits of FLAG are left out.
    pattern : int
        Bit k - 1 keeps patterns of k pixels.
    light_leak : LightLeak or None
    """

    flag: int
    pattern: int
    light_leak: LightLeak | None = None


def no_live_time(keys: Keys) -> dict[int, float]:
    """Return no live fraction: headers do not tell."""
    return {}


@dataclass(frozen=True)
class GoodTimes:
    """Where files keep good time intervals, and how much of them the detector was live.

    Attributes
    ----------
    extension : re.Pattern
        Name of an extension of intervals; its first group that matched is the module, none: all.
    dead_time : re.Pattern or None
        Name of an extension with a column DEADC of live fractions; its first group is the module.
    live : callable
        Returns the live fraction of modules that the keywords of the events tell.
    """

    extension: re.Pattern[str]
    dead_time: re.Pattern[str] | None = None
    live: Callable[[Keys], dict[int, float]] = no_live_time


def stated_exposure(keys: Keys) -> tuple[str, Any]:
    """Return the keyword of the exposure and its value, None where there is none."""
    return "EXPOSURE", keys.get("EXPOSURE")


@dataclass(frozen=True)
class ExposureRule:
    """What a second of exposure is.

    Attributes
    ----------
    area : {"survey", "onaxis"}
        The area that it is at, unless a file says otherwise (AREATYPE): averaged over the field
        of view by a scan, or on axis.
    of_good_time : str
        How the good times of the modules make an exposure.
    share : str
        What they are a part of, after "of the modules used".
    caveat, caveat_of_pointing : str
        What to say where it is assumed that the source is seen so: of good time, of a keyword.
    stated : callable
        Returns the keyword that states the exposure, and its value.
    """

    area: AreaType
    of_good_time: str
    share: str
    caveat: str
    caveat_of_pointing: str
    stated: Callable[[Keys], tuple[str, Any]] = stated_exposure


def nothing_refused(keys: Keys) -> tuple[str, str, str] | None:
    """Return None: no mode of observation is refused."""
    return None


@dataclass(frozen=True)
class EventFormat:
    """Event files of a mission.

    Attributes
    ----------
    names : Names
        How headers name it.
    columns : EventColumns
    modules : Modules
    cuts : Cuts
    good_times : GoodTimes
    exposure : ExposureRule
    writing : EventWriting
        How mock event files are written.
    refused : callable
        Returns keyword, problem and hint where a file is of a mode that cannot be used.
    reads : callable or None
        Of a simulator that writes another mission's files: says whether a table is its. None: the
        files are the mission's own.
    tile_centre : callable
        Returns right ascension and declination [deg] of the sky tile that a file's name tells.
    tile_reach_deg : float
        How far from there its events may be.
    """

    names: Names
    columns: EventColumns
    modules: Modules
    cuts: Cuts
    good_times: GoodTimes
    exposure: ExposureRule
    writing: EventWriting
    refused: Callable[[Keys], tuple[str, str, str] | None] = nothing_refused
    reads: Callable[[EventTable], bool] | None = None
    tile_centre: Callable[[str], tuple[float, float] | None] = lambda name: None
    tile_reach_deg: float = 0.0


@dataclass(frozen=True)
class Mission:
    """A mission, a simulator that writes its files, or a simulation whose photons we read.

    Attributes
    ----------
    name : str
        That of its folder.
    title : str
        What people call it.
    instrument : str or None
        Its file in ``telescope/data``, without ``.json``.
    events : EventFormat or None
    jobs : JobLayout or None
        Of folders of photon lists.
    catalogues : CatalogueFormat or None
        Of tables of sources and clusters.
    """

    name: str
    title: str
    instrument: str | None = None
    events: EventFormat | None = None
    jobs: JobLayout | None = None
    catalogues: CatalogueFormat | None = None
