"""Event files as they are: which events count, and how long each module looked.

What they hold is the mission's to say: `icmass.missions`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from icmass.errors import InputError
from icmass.io.event_binning import CUT, OUTCOMES, EventCounts
from icmass.io.event_columns import (
    decode_events,
    event_columns,
    has_precise_times,
)
from icmass.io.event_cuts import EventCuts as EventCuts
from icmass.io.fits_stream import FitsStream, Hdu
from icmass.io.gunzip import Expansion
from icmass.io.sky_pixels import SkyPixels, check_frame, read_sky_pixels
from icmass.missions.mission import Columns, EventFormat, Mission
from icmass.missions.registry import (
    DEFAULT_MISSION,
    check_mission,
    event_format,
    get_mission,
    mission_of_table,
    unknown_note,
)


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
    mission : Mission
        Whose events they are, or who simulated them.
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
    sky : SkyPixels or None
        Where on the sky the pixels of events are that have no right ascension and declination.
    expansion : Expansion
        What a gzipped file expands to, as far as there is room for it.
    """

    file: Path
    hdu: int
    n_events: int
    mission: Mission
    columns: Columns
    keys: dict[str, Any]
    gtis: dict[int, np.ndarray] = field(default_factory=dict)
    live: dict[int, float] = field(default_factory=dict)
    has_precise_times: bool = True
    notes: tuple[str, ...] = ()
    sky: SkyPixels | None = None
    expansion: Expansion = field(default_factory=Expansion, repr=False, compare=False)

    @property
    def format(self) -> EventFormat:
        """What the mission's event files are like."""
        return event_format(self.mission.name)

    @property
    def leaks(self) -> bool:
        """Whether light leaks into some modules."""
        leak = self.format.cuts.light_leak
        return leak is not None and self.keys.get(leak.keyword, True) is not False

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
                        yield decode_events(
                            stored, self.columns, self.module, self.format.columns, self.sky
                        )
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
        return self._named_module or 1

    @property
    def _named_module(self) -> int | None:
        return self.format.modules.named(self.keys.get("INSTRUME", ""))


@dataclass
class _Scan:
    """What was met so far in a file, looked at as a mission's."""

    format: EventFormat
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
        good = self.format.good_times
        if hdu.name == "EVENTS":
            self.named.append(hdu)
        elif match := good.extension.fullmatch(hdu.name):
            self.gtis[_module_of(match)] = _intervals(hdu)
        elif good.dead_time and (match := good.dead_time.fullmatch(hdu.name)):
            self.live |= _live(hdu, _module_of(match))
        elif (words := str(hdu.header.get("HDUCLAS1", "")).strip().upper()) == "PHOTONS":
            self.photons = True
        elif words == "EVENTS" and {"RA", "DEC"} <= set(hdu.columns):
            self.of_class.append(hdu)


def _module_of(match: re.Match[str]) -> int:
    """Return the number that an extension's name has; 0 where it has none."""
    return next((int(group) for group in match.groups() if group), 0)


def scan_event_file(file: str | Path, mission: str = DEFAULT_MISSION) -> EventFile:
    """Look through an event file of a mission without reading its events.

    The events are those of the extension EVENTS; where none has that name, of the first table of
    class EVENTS with positions: evtool writes that class into its GTIs and images too.

    Raises
    ------
    InputError
        If the file is missing, damaged or truncated, of another telescope or of a mode that cannot
        be used, or has no events.
    """
    scan, expansion = _Scan(event_format(mission)), Expansion()
    with FitsStream(file, expansion) as stream:
        for hdu in stream.hdus():
            scan.add(hdu)
    tables = scan.named or scan.of_class
    if not tables:
        raise _no_events(scan, file, get_mission(mission))
    hdu = tables[0]
    keys = scan.keys | _keys(hdu)
    names_mission = check_mission(keys, file, mission)
    check_frame(keys, Path(file))
    of_table = mission_of_table(mission, hdu)
    of_mission = event_format(of_table.name)
    if refused := of_mission.refused(keys):
        key, problem, hint = refused
        raise InputError(problem, file=file, field=f"keyword {key}", hint=hint)
    columns, notes = event_columns(hdu, of_mission.columns, names_mission=names_mission)
    if not names_mission:
        notes.append(unknown_note(mission))
    if not hdu.n_rows:
        hint = "leave it out, or get it again if it should have some"
        raise InputError("holds no event", file=file, field=hdu.label, hint=hint)
    if len(tables) > 1:
        notes.append(f"has {len(tables)} event tables: only {hdu.label} is read")
    precise = has_precise_times(hdu, columns)
    gtis, live = scan.gtis, of_mission.good_times.live(keys) | scan.live
    if gtis and "TIME" not in columns:
        notes.append("has no column TIME: events are not cut by the good time intervals")
    scanned = EventFile(
        Path(file),
        hdu.index,
        hdu.n_rows,
        of_table,
        columns,
        keys,
        gtis,
        live,
        precise,
        tuple(notes),
        read_sky_pixels(hdu, pixels) if (pixels := of_mission.columns.sky_pixels) else None,
        expansion,
    )
    if 0 in gtis and scanned.is_of_one_module:
        gtis[scanned.module] = gtis.pop(0)
    return scanned


def _no_events(scan: _Scan, file: str | Path, mission: Mission) -> InputError:
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
    hint = f"give an event file of {mission.title}"
    return InputError("has no extension EVENTS", file=file, hint=hint)


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
            hint="correct START and STOP, or get the file again",
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
        gtis = _edges(file, with_gtis=cuts.gti)
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


def _edges(file: EventFile, *, with_gtis: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges of good times, see `EventCounts.add`; a module without any has none."""
    size = file.format.modules.size
    if not (with_gtis and file.has_good_times):
        return np.zeros(0), np.zeros(size + 1, int)
    parts = [file.gti_of(module).ravel() for module in range(size)]
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
