"""eSASS event files as they are: which events count, and how long each module looked.

Formats: eROSITA EDR and DR1 calibrated event lists (erosita.mpe.mpg.de/dr1, "eROSITA standard FITS
file extensions"): EVENTS with RA and DEC [deg], PI [eV], TM_NR, FLAG, PAT_TYP and TIME [s], a GTI
extension per module; and what SIXTE writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from icmass.errors import InputError
from icmass.survey.readers.event_binning import OUTCOMES, EventCounts
from icmass.survey.readers.fits_stream import FitsStream, Hdu
from icmass.survey.readers.gunzip import Expansion
from icmass.survey.readers.sixte import is_sixte, sixte_columns

MODULES = (1, 2, 3, 4, 5, 6, 7)
LEAKY = (5, 7)
LightLeak = Literal["exclude", "soft", "keep"]
_ROLES = {
    "RA": (("RA", 1.0),),
    "DEC": (("DEC", 1.0),),
    "PI": (("PI", 1.0), ("ENERGY", 1000.0), ("SIGNAL", 1000.0)),
    "TM_NR": (("TM_NR", 1.0), ("CCDNR", 1.0)),
    "FLAG": (("FLAG", 1.0),),
    "PAT_TYP": (("PAT_TYP", 1.0), ("TYPE", 1.0)),
    "TIME": (("TIME", 1.0),),
}
"""Columns that hold what is read, the first that is there, and the factor to our unit where they
have no TUNIT."""
_UNITS = {
    "RA": {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "rad": 180 / np.pi},
    "PI": {"ev": 1.0, "kev": 1000.0},
}
_UNITS["DEC"] = _UNITS["RA"]
_TYPES = {"TM_NR": "i8", "FLAG": "i8", "PAT_TYP": "i8"}
_ABSENT = {"TM_NR": 1, "FLAG": 0, "PAT_TYP": 1, "TIME": 0.0}


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
            raise InputError(f"is {self.flag:#x}", field="--flag", mend="give 32 bits, 0xE000F000")
        if not 1 <= self.pattern <= 15:
            raise InputError(f"is {self.pattern}", field="--pattern", mend="give 1 to 15")
        if not self.modules or not set(self.modules) <= set(MODULES):
            raise InputError(f"are {self.modules}", field="--modules", mend="give some of 1 to 7")
        if self.light_leak not in ("exclude", "soft", "keep"):
            raise InputError(
                f"is {self.light_leak!r}", field="--light-leak", mend="give exclude, soft or keep"
            )

    def least_ev(self, bands: Sequence[tuple[float, float]], leaks: bool) -> np.ndarray:
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
    expansion : Expansion
        What a gzipped file expands to, as far as there is room for it.
    """

    file: Path
    hdu: int
    n_events: int
    columns: dict[str, tuple[str, float]]
    keys: dict[str, Any]
    gtis: dict[int, np.ndarray] = field(default_factory=dict)
    live: dict[int, float] = field(default_factory=dict)
    expansion: Expansion = field(default_factory=Expansion, repr=False, compare=False)

    @property
    def leaks(self) -> bool:
        """Whether light leaks into TM5 and TM7."""
        return self.keys.get("LIGHTLEA", True) is not False

    def gti_of(self, module: int) -> np.ndarray:
        """Return the good time intervals of a module, (n, 2); none where there are none known."""
        return self.gtis.get(module, self.gtis.get(0, np.zeros((0, 2))))

    def chunks(self) -> Iterator[dict[str, np.ndarray]]:
        """Yield the events, some at a time, in our names, units and types."""
        names = [name for name, _ in self.columns.values()]
        with FitsStream(self.file, self.expansion) as stream:
            for hdu in stream.hdus():
                if hdu.index == self.hdu:
                    yield from map(self._ours, hdu.chunks(names))
                    return

    def _ours(self, stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        n = len(next(iter(stored.values())))
        events = {}
        for role in _ROLES:
            kind = _TYPES.get(role, "f8")
            if role not in self.columns:
                value = self.module if role == "TM_NR" else _ABSENT[role]
                events[role] = np.full(n, value, kind)
                continue
            name, factor = self.columns[role]
            values = stored[name]
            if kind == "i8" and values.dtype.kind == "f":
                values = np.where(np.isfinite(values), values, -1)
            with np.errstate(invalid="ignore"):
                values = values.astype(kind, copy=False)
            if role == "FLAG":
                values = values & 0xFFFFFFFF
            events[role] = values if factor == 1 else values * factor
        return events

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
        return re.fullmatch(r"TM([1-7])", str(self.keys.get("INSTRUME", "")).strip().upper())


def scan_event_file(file: str | Path) -> EventFile:
    """Look through an event file without reading its events.

    Raises
    ------
    InputError
        If the file is missing, damaged or truncated, or has no events.
    """
    keys: dict[str, Any] = {}
    found: EventFile | None = None
    gtis: dict[int, np.ndarray] = {}
    live: dict[int, float] = {}
    photons = False
    expansion = Expansion()
    with FitsStream(file, expansion) as stream:
        for hdu in stream.hdus():
            if hdu.index == 0:
                keys = _keys(hdu)
            if not hdu.is_table:
                continue
            photons |= str(hdu.header.get("HDUCLAS1", "")).strip().upper() == "PHOTONS"
            if found is None and (hdu.name == "EVENTS" or _is_event_class(hdu)):
                n = hdu.n_rows
                keys |= _keys(hdu)
                found = EventFile(
                    Path(file), hdu.index, n, _columns(hdu), keys, gtis, live, expansion
                )
            elif match := re.fullmatch(r"(?:STD)?GTI([1-7])?", hdu.name):
                gtis[int(match[1] or 0)] = _intervals(hdu)
            elif match := re.fullmatch(r"DEADCOR([1-7])", hdu.name):
                live |= _live(hdu, int(match[1]))
    if found is None:
        other = "photon lists go through `icmass ingest photons`"
        raise InputError(
            "has no extension EVENTS",
            file=file,
            mend=other if photons else "give an eSASS event file; images go with --images",
        )
    if not found.n_events:
        raise InputError("holds no event", file=file, field="extension EVENTS")
    if 0 in gtis and found.is_of_one_module:
        gtis[found.module] = gtis.pop(0)
    return found


def _is_event_class(hdu: Hdu) -> bool:
    return str(hdu.header.get("HDUCLAS1", "")).strip().upper() == "EVENTS"


def _keys(hdu: Hdu) -> dict[str, Any]:
    return {
        key: value for key, value in hdu.header.items() if key not in ("COMMENT", "HISTORY", "")
    }


def _columns(hdu: Hdu) -> dict[str, tuple[str, float]]:
    columns = {}
    for role, choices in _ROLES.items():
        for name, factor in choices:
            found = hdu.columns.get(name)
            units = _UNITS.get(role)
            if found is None or (found.unit and units and found.unit not in units):
                continue
            columns[role] = name, units[found.unit] if found.unit and units else factor
            hdu.check_numbers(name)
            break
        else:
            if role not in _ABSENT:
                have = ", ".join(list(hdu.columns)[:30])
                units = _UNITS[role]
                raise InputError(
                    f"has no column {role} in {' or '.join(list(units)[:2])}",
                    file=hdu.stream.file,
                    field=hdu.label,
                    mend=f"it has {have}",
                )
    if is_sixte(hdu):
        columns |= {role.upper(): found for role, found in sixte_columns(hdu).items()}
    return columns


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
    files: Sequence[EventFile], counts: EventCounts, cuts: EventCuts, least_ev: np.ndarray
) -> None:
    """Add the events of files to `counts`.

    Raises
    ------
    InputError
        If a file is damaged, or has no event left after the cuts.
    """
    for file in files:
        before = counts.outcomes.copy()
        gtis = _edges(file) if cuts.gti else (np.zeros(0), np.zeros(9, int))
        for events in file.chunks():
            counts.add(events, flag=cuts.flag, patterns=cuts.patterns, least_ev=least_ev, gtis=gtis)
        _check_some_left(file, dict(zip(OUTCOMES, counts.outcomes - before, strict=True)))


def _edges(file: EventFile) -> tuple[np.ndarray, np.ndarray]:
    parts = [file.gti_of(module).ravel() for module in range(8)]
    return np.concatenate(parts), np.concatenate([[0], np.cumsum([len(p) for p in parts])])


def _check_some_left(file: EventFile, outcomes: dict[str, int]) -> None:
    usable = ("counted", "outside the maps", "outside the bands", "duplicate")
    if any(outcomes[name] for name in usable):
        return
    why = ", ".join(f"{n} {name}" for name, n in outcomes.items() if n)
    raise InputError(
        f"none of its {file.n_events} events is used: {why}",
        file=file.file,
        field="EVENTS",
        mend="check the cuts (--flag, --pattern, --modules, --no-gti)",
    )
