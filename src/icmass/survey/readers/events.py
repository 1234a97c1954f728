"""eSASS event files as they are: which events count, and how long each module looked.

Formats: eROSITA EDR and DR1 calibrated event lists (erosita.mpe.mpg.de/dr1, "eROSITA standard FITS
file extensions"): EVENTS with RA and DEC [deg], PI [eV], TM_NR, FLAG, PAT_TYP and TIME [s], a GTI
extension per module; and what SIXTE writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from icmass.errors import InputError
from icmass.survey.readers.event_binning import CUT, OUTCOMES, EventCounts
from icmass.survey.readers.event_columns import (
    Columns,
    decode_events,
    event_columns,
    has_precise_times,
)
from icmass.survey.readers.fits_stream import FitsStream, Hdu
from icmass.survey.readers.gunzip import Expansion
from icmass.survey.readers.mission import UNKNOWN, check_mission

MODULES = (1, 2, 3, 4, 5, 6, 7)
LEAKY = (5, 7)
LightLeak = Literal["exclude", "soft", "keep"]
MODULE_NAME = re.compile(r"[TF]M([1-7])")
"""What keywords call a module; FM1 in SIXTE's older files is TM1."""


@dataclass(frozen=True)
class EventCuts:
    """Which events are used; the defaults are the standard of eROSITA's data release 1.

    Parameters
    ----------
    flag : int
        Events with any of these bits of FLAG set are left out (evtool's ``flag``): 0xE000F000
        leaves out bad events and pixels and the corners of the field of view.
    pattern : int
        Bit k - 1 keeps patterns of k pixels (evtool's ``pattern``): 15 is singles to quadruples.
    modules : tuple of int
        Telescope modules to use, of 1 to 7.
    light_leak : {"exclude", "soft", "keep"}
        Sunlight leaks into TM5 and TM7, whose events at low energies are not to be trusted
        (Predehl et al. 2021, A&A 647, A1, section 9). ``exclude``: they are not used if any band
        begins below `leak_kev`, so that all bands have the same exposure. ``soft``: they are left
        out of the bands that begin there only. ``keep``: they are used like the others. Files that
        say that they have no leak (LIGHTLEA = F, as our mocks do) are kept whole.
    leak_kev : float
        Energy above which TM5 and TM7 are trusted [keV].
    gti : bool
        Whether events outside the good time intervals of their module are left out.
    """

    flag: int = 0xE000F000
    pattern: int = 15
    modules: tuple[int, ...] = MODULES
    light_leak: LightLeak = "exclude"
    leak_kev: float = 0.8
    gti: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.flag < 2**32:
            raise InputError(f"is {self.flag:#x}", field="--flag", hint="give 32 bits, 0xE000F000")
        if not 1 <= self.pattern <= 15:
            raise InputError(f"is {self.pattern}", field="--pattern", hint="give 1 to 15")
        if not self.modules or not set(self.modules) <= set(MODULES):
            raise InputError(f"are {self.modules}", field="--modules", hint="give some of 1 to 7")
        if self.light_leak not in ("exclude", "soft", "keep"):
            raise InputError(
                f"is {self.light_leak!r}", field="--light-leak", hint="give exclude, soft or keep"
            )

    def min_pi_ev(self, bands: Sequence[tuple[float, float]], leaks: bool) -> np.ndarray:
        """Return the least energy used of each module [eV], shape (8,); infinite: none."""
        least = np.full(8, np.inf)
        least[list(self.modules)] = 0.0
        if leaks and self.light_leak != "keep" and min(lo for lo, _ in bands) < self.leak_kev:
            beyond = np.inf
            if self.light_leak == "soft":
                beyond = 1000 * max(hi for lo, hi in bands if lo < self.leak_kev)
            for module in set(LEAKY) & set(self.modules):
                least[module] = beyond
        return least

    @property
    def patterns(self) -> np.ndarray:
        """Which pattern types are used, bool (8,)."""
        return np.array([False, *(bool(self.pattern >> k & 1) for k in range(4)), *[False] * 3])


@dataclass(frozen=True)
class EventFile:
    """What an event file holds beside its events.

    Attributes
    ----------
    file : Path
        Where it is.
    hdu : int
        Number of the HDU with the events.
    n_events : int
        Rows.
    columns : dict of str to (str, float)
        Column that holds each of what is read, and the factor to our unit.
    keys : dict
        Keywords of the primary header and, above them, of the events.
    gtis : dict of int to ndarray, shape (n, 2)
        Good time intervals of each module, sorted and merged [s]; module 0: of all.
    live : dict of int to float
        Mean live fraction of each module (1 - dead time), where it is known.
    has_precise_times : bool
        Whether the same photon in another file can be recognised by its TIME.
    notes : tuple of str
        What was assumed of the file, a sentence each.
    expansion : Expansion
        What a gzipped file expands to, as far as there is room for it.
    """

    file: Path
    hdu: int
    n_events: int
    columns: Columns
    keys: dict[str, Any]
    gtis: dict[int, np.ndarray] = field(default_factory=dict)
    live: dict[int, float] = field(default_factory=dict)
    has_precise_times: bool = True
    notes: tuple[str, ...] = ()
    expansion: Expansion = field(default_factory=Expansion, repr=False, compare=False)

    @property
    def leaks(self) -> bool:
        """Whether light leaks into TM5 and TM7."""
        return self.keys.get("LIGHTLEA", True) is not False

    @property
    def has_good_times(self) -> bool:
        """Whether events can be cut by good time: intervals and TIME are there."""
        return bool(self.gtis) and "TIME" in self.columns

    def gti_of(self, module: int) -> np.ndarray:
        """Return the good time intervals of a module, (n, 2); none where there are none known."""
        return self.gtis.get(module, self.gtis.get(0, np.zeros((0, 2))))

    def chunks(self) -> Iterator[dict[str, np.ndarray]]:
        """Yield the events, some at a time, in our names, units and types."""
        names = list(dict.fromkeys(name for name, _ in self.columns.values()))
        with FitsStream(self.file, self.expansion) as stream:
            for hdu in stream.hdus():
                if hdu.index == self.hdu:
                    for stored in hdu.chunks(names):
                        yield decode_events(stored, self.columns, self.module)
                    return

    @property
    def names_modules(self) -> bool:
        """Whether the module of each event is known."""
        return "TM_NR" in self.columns or self.is_of_one_module

    @property
    def is_of_one_module(self) -> bool:
        """Whether its header names one module."""
        return self._named_module is not None

    @property
    def module(self) -> int:
        """The module of events that don't tell theirs: that of the header, else 1."""
        return int(self._named_module[1]) if self._named_module else 1

    @property
    def _named_module(self) -> re.Match[str] | None:
        return MODULE_NAME.fullmatch(str(self.keys.get("INSTRUME", "")).strip().upper())


@dataclass
class _Scan:
    """What was met so far in a file."""

    keys: dict[str, Any] = field(default_factory=dict)
    named: list[Hdu] = field(default_factory=list)
    of_class: list[Hdu] = field(default_factory=list)
    gtis: dict[int, np.ndarray] = field(default_factory=dict)
    live: dict[int, float] = field(default_factory=dict)
    photons: bool = False
    image: tuple[int, ...] = ()

    def add(self, hdu: Hdu) -> None:
        """Take what an HDU has to say; its data can be read now only."""
        if hdu.index == 0:
            self.keys = _keys(hdu)
        if not hdu.is_table:
            if len(hdu.shape) == 2 and all(hdu.shape):
                self.image = self.image or hdu.shape
            return
        if hdu.name == "EVENTS":
            self.named.append(hdu)
        elif match := re.fullmatch(r"(?:STD)?GTI([1-7])?", hdu.name):
            self.gtis[int(match[1] or 0)] = _intervals(hdu)
        elif match := re.fullmatch(r"DEADCOR([1-7])", hdu.name):
            self.live |= _live(hdu, int(match[1]))
        elif (words := str(hdu.header.get("HDUCLAS1", "")).strip().upper()) == "PHOTONS":
            self.photons = True
        elif words == "EVENTS" and {"RA", "DEC"} <= set(hdu.columns):
            self.of_class.append(hdu)


def scan_event_file(file: str | Path) -> EventFile:
    """Look through an event file without reading its events.

    The events are those of the extension EVENTS; where none has that name, of the first table of
    class EVENTS with positions: evtool writes that class into its GTIs and images too.

    Raises
    ------
    InputError
        If the file is missing, damaged or truncated, of another telescope, or has no events.
    """
    scan, expansion = _Scan(), Expansion()
    with FitsStream(file, expansion) as stream:
        for hdu in stream.hdus():
            scan.add(hdu)
    tables = scan.named or scan.of_class
    if not tables:
        raise _no_events(scan, file)
    hdu = tables[0]
    keys = scan.keys | _keys(hdu)
    is_erosita = check_mission(keys, file)
    columns, notes = event_columns(hdu, is_erosita=is_erosita)
    if not is_erosita:
        notes.append(UNKNOWN)
    if not hdu.n_rows:
        raise InputError("holds no event", file=file, field=hdu.label)
    if len(tables) > 1:
        notes.append(f"has {len(tables)} event tables: only {hdu.label} is read")
    precise = has_precise_times(hdu, columns)
    gtis, live = scan.gtis, scan.live
    if gtis and "TIME" not in columns:
        notes.append("has no column TIME: events are not cut by the good time intervals")
    scanned = EventFile(
        Path(file),
        hdu.index,
        hdu.n_rows,
        columns,
        keys,
        gtis,
        live,
        precise,
        tuple(notes),
        expansion,
    )
    if 0 in gtis and scanned.is_of_one_module:
        gtis[scanned.module] = gtis.pop(0)
    return scanned


def _no_events(scan: _Scan, file: str | Path) -> InputError:
    if scan.photons:
        return InputError(
            "has no extension EVENTS",
            file=file,
            hint="photon lists go through `icmass ingest photons`",
        )
    if scan.image:
        return InputError(
            f"is an image of {scan.image[1]}x{scan.image[0]} pixels, not a list of events",
            file=file,
            hint="images go with --images of `icmass predict`",
        )
    return InputError("has no extension EVENTS", file=file, hint="give an eSASS event file")


def _keys(hdu: Hdu) -> dict[str, Any]:
    return {
        key: value for key, value in hdu.header.items() if key not in ("COMMENT", "HISTORY", "")
    }


def _intervals(hdu: Hdu) -> np.ndarray:
    """Return good time intervals sorted and merged, (n, 2)."""
    hdu.check_numbers("START", "STOP")
    table = hdu.table(("START", "STOP"))
    times = np.stack([table["START"], table["STOP"]], 1).astype(float).reshape(-1, 2)
    if not np.isfinite(times).all() or (times[:, 1] < times[:, 0]).any():
        raise InputError(
            "has intervals that are no times or end before they start",
            file=hdu.stream.file,
            field=hdu.label,
        )
    return merged(times)


def merged(times: np.ndarray) -> np.ndarray:
    """Return intervals (n, 2) sorted, those that touch or overlap made one."""
    out: list[list[float]] = []
    for start, stop in times[np.argsort(times[:, 0], kind="stable")]:
        if out and start <= out[-1][1]:
            out[-1][1] = max(out[-1][1], stop)
        elif stop > start:
            out.append([start, stop])
    return np.array(out, float).reshape(-1, 2)


def _live(hdu: Hdu, module: int) -> dict[int, float]:
    """Return the mean live fraction of a module, if its DEADC column tells."""
    if "DEADC" not in hdu.columns or not hdu.n_rows:
        return {}
    hdu.check_numbers("DEADC")
    total = number = 0.0
    for part in hdu.chunks(("DEADC",)):
        good = part["DEADC"][np.isfinite(part["DEADC"])]
        total, number = total + float(good.sum()), number + len(good)
    mean = total / number if number else 1.0
    return {module: mean} if 0 < mean <= 1 else {}


def count_events(
    files: Sequence[EventFile],
    counts: EventCounts,
    cuts: EventCuts,
    min_pi_ev: np.ndarray,
    also: Callable[[dict[str, np.ndarray]], object] | None = None,
) -> None:
    """Add the events of files to `counts`, and give them to `also`.

    Raises
    ------
    InputError
        If a file is damaged, or has no event left after the cuts.
    """
    for number, file in enumerate(files, 1):
        before = counts.outcomes.copy()
        gtis = _edges(file) if cuts.gti else (np.zeros(0), np.zeros(9, int))
        for events in file.chunks():
            counts.add(
                events,
                flag=cuts.flag,
                patterns=cuts.patterns,
                min_pi_ev=min_pi_ev,
                gtis=gtis,
                source=number,
                has_times=file.has_precise_times,
                has_modules=file.names_modules,
            )
            if also is not None:
                also(events)
        _check_some_left(file, counts.outcomes - before)


def _edges(file: EventFile) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges of good times, see `EventCounts.add`; a module without any has none."""
    if not file.has_good_times:
        return np.zeros(0), np.zeros(9, int)
    parts = [file.gti_of(module).ravel() for module in range(8)]
    parts = [part if len(part) else np.full(2, np.inf) for part in parts]
    return np.concatenate(parts), np.concatenate([[0], np.cumsum([len(p) for p in parts])])


def _check_some_left(file: EventFile, outcomes: np.ndarray) -> None:
    if outcomes[CUT].sum() < file.n_events:
        return
    why = ", ".join(f"{outcomes[k]} {OUTCOMES[k]}" for k in CUT if outcomes[k])
    raise InputError(
        f"none of its {file.n_events} events is used: {why}",
        file=file.file,
        field="EVENTS",
        hint="check the cuts (--flag, --pattern, --modules, --no-gti)",
    )
