"""Event files and exposure maps of a whole sky, looked through one by one before clusters are."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from icmass.errors import InputError
from icmass.files import whole_file
from icmass.io.event_binning import OUTCOMES, EventCounts
from icmass.io.events import count_events
from icmass.io.fits_images import read_plane
from icmass.io.footprint import Extent, SkyBox, box_of_name, box_of_plane
from icmass.missions.registry import check_mission
from icmass.sky.map_grid import MapGrid
from icmass.survey.observed.reading import EventReading, grid_of_plain, scanned


@dataclass(frozen=True)
class FileScan:
    """What a look through a file has found.

    Attributes
    ----------
    file : str
    stamp : list of int
        Size and time of change, by which a changed file is known.
    box : SkyBox or None
        Where on the sky it lies; None: not known.
    outcomes : list of int
        Number of events by what becomes of them without a cluster, of `OUTCOMES`.
    notes : list of str
        What was assumed of it.
    error : dict or None
        Why it cannot be used, see `plain_error`.
    """

    file: str
    stamp: list[int]
    box: SkyBox | None = None
    outcomes: list[int] | None = None
    notes: tuple[str, ...] = ()
    error: dict[str, Any] | None = None

    @property
    def tally(self) -> np.ndarray:
        """Outcomes as an array, int64 (len(OUTCOMES),)."""
        return np.array(self.outcomes or [0] * len(OUTCOMES), np.int64)


def plain_error(error: InputError) -> dict[str, Any]:
    """Return an error as JSON can hold it."""
    file = None if error.file is None else str(error.file)
    return {"problem": error.problem, "file": file, "field": error.field, "hint": error.hint}


def error_of_plain(values: dict[str, Any]) -> InputError:
    """Return what `plain_error` was made of."""
    return InputError(**values)


def scan_file(
    folder: str, reading: dict[str, Any], grid: dict[str, Any], task: tuple[str, int, str]
) -> Exception | int:
    """Look through a file and note what is found; give an error of the disk back.

    Parameters
    ----------
    folder : str
        Where notes are kept.
    reading, grid : dict
        An `EventReading` and a `MapGrid`, plain.
    task : (str, int, str)
        ``tile`` or ``map``, the file's number and its path.
    """
    kind, number, path = task
    try:
        if kind == "tile":
            options = EventReading.of_plain(reading), grid_of_plain(grid)
            scan = _scan_tile(Path(path), *options)
        else:
            scan = _scan_map(Path(path), EventReading.of_plain(reading).cuts.mission)
        write_plain(note_of(Path(folder), kind, number), asdict(scan))
    except (OSError, MemoryError) as error:
        return error
    return 1


def note_of(folder: Path, kind: str, number: int) -> Path:
    """Return the file of what was found in a file."""
    return folder / f"{kind}-{number:06d}.json"


def stored_scan(note: Path, file: Path) -> FileScan | None:
    """Return what an earlier look has found; None where there was none, or the file has changed."""
    try:
        values = json.loads(note.read_text(encoding="utf-8"))
        box = values.pop("box")
        looked = FileScan(**values, box=None if box is None else SkyBox(**box))
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None
    return looked if looked.stamp == stamp_of(file) else None


def stamp_of(file: Path) -> list[int]:
    """Return size and time of change of a file; nothing where there is none."""
    try:
        status = file.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def write_plain(path: Path, values: Any) -> None:
    """Write JSON to a file that is whole or not there."""
    with whole_file(path, durable=True) as draft:
        draft.write_text(json.dumps(values), encoding="utf-8")


def _scan_tile(path: Path, reading: EventReading, grid: MapGrid) -> FileScan:
    """Read all events of a file for where they are, and which of them pass the cuts."""
    stamp, extent, counts = stamp_of(path), Extent(), EventCounts.of_no_cluster()
    try:
        file = scanned(path, reading.cuts.mission)
        min_pi_ev = reading.cuts.min_pi_ev(grid.bands, file.leaks)
        count_events(
            [file],
            counts,
            reading.cuts,
            min_pi_ev,
            also=lambda events: extent.add(events["RA"], events["DEC"]),
        )
        if extent.box() is None:
            raise InputError("has no event with a position", file=path, field="EVENTS")
    except InputError as error:
        box = extent.box() or box_of_name(path, reading.cuts.mission)
        return FileScan(str(path), stamp, box, error=plain_error(error))
    return FileScan(str(path), stamp, extent.box(), counts.outcomes.tolist(), file.notes)


def _scan_map(path: Path, mission: str) -> FileScan:
    """Read where an exposure map lies; what is wrong with its pixels shows when it is used."""
    stamp = stamp_of(path)
    try:
        image = read_plane(path, without_pixels=True)
        check_mission(image.keys, path, mission)
    except InputError as error:
        return FileScan(str(path), stamp, error=plain_error(error))
    return FileScan(str(path), stamp, box_of_plane(image))
