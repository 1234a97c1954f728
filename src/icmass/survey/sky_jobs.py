"""Clusters of a whole sky in jobs: each by the event files that its map reaches into.

A job is what a worker does at a time: the clusters whose first file is the same, so that a few
neighbouring files are read in turn, whatever the number of all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from icmass.errors import InputError
from icmass.files import whole_file
from icmass.io.event_binning import IN_MAPS, OUTCOMES
from icmass.io.footprint import any_reached
from icmass.io.target import Target
from icmass.sky.map_grid import MapGrid
from icmass.survey.observed.events import EventSource, clusters_at_once, frames_of
from icmass.survey.observed.reading import EventReading, grid_of_plain, scanned
from icmass.survey.sky_tiles import FileScan, error_of_plain, plain_error, write_plain

MOST_CLUSTERS = 512
"""Of a job, so that workers share the clusters of few files."""


@dataclass(frozen=True)
class Unit:
    """Clusters that are read from the same files.

    Attributes
    ----------
    rows : list of int
        The clusters, by their place in the table.
    tiles, maps, unvignetted : list of int
        Numbers of the event files and exposure maps that their maps reach into.
    earlier : list of int
        Clusters of earlier units in the same files: photons in their maps are told of there.
    """

    rows: list[int]
    tiles: list[int]
    maps: list[int] = field(default_factory=list)
    unvignetted: list[int] = field(default_factory=list)
    earlier: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Sky:
    """What workers need to know, the same for all of them.

    Attributes
    ----------
    files, maps, unvignetted : list of str
        Paths of event files and exposure maps.
    reading, grid : dict
        An `EventReading` and a `MapGrid`, plain.
    targets : list of dict
        The clusters.
    """

    files: list[str]
    maps: list[str]
    unvignetted: list[str]
    reading: dict[str, Any]
    grid: dict[str, Any]
    targets: list[dict[str, Any]]


def assign(
    targets: Sequence[Target],
    rows: Sequence[int],
    grid: MapGrid,
    *,
    tiles: Sequence[FileScan],
    maps: Sequence[FileScan],
    unvignetted: Sequence[FileScan],
) -> tuple[list[list[Unit]], dict[int, InputError]]:
    """Return jobs, each some units, and why there are no photons of clusters in none of them.

    Parameters
    ----------
    targets : sequence of Target
    rows : sequence of int
        Those of them to be looked at.
    grid : MapGrid
    tiles, maps, unvignetted : sequence of FileScan
        Event files and exposure maps; a single one is taken for all clusters.
    """
    frames = frames_of([targets[row] for row in rows], grid)

    def reached(files: Sequence[FileScan]) -> list[list[int]]:
        good = [number for number, file in enumerate(files) if file.error is None]
        if len(files) == 1:
            return [good] * len(rows)
        numbers_of = any_reached([files[number].box for number in good], frames)
        return [[good[k] for k in numbers] for numbers in numbers_of]

    unreadable = [file for file in tiles if file.error is not None]
    in_unreadable = any_reached([file.box for file in unreadable], frames)
    of_tiles, of_maps, of_novig = reached(tiles), reached(maps), reached(unvignetted)
    failed: dict[int, InputError] = {}
    groups: dict[tuple[int, ...], list[int]] = {}
    for k, row in enumerate(rows):
        if in_unreadable[k]:
            failed[row] = error_of_plain(unreadable[in_unreadable[k][0]].error or {})
        elif not of_tiles[k]:
            failed[row] = _outside(targets[row], "event files", "check the position")
        elif (maps and not of_maps[k]) or (unvignetted and not of_novig[k]):
            failed[row] = _outside(targets[row], "exposure maps", "give one of the cluster's place")
        else:
            groups.setdefault(tuple(of_tiles[k]), []).append(k)
    units = []
    at_once = min(MOST_CLUSTERS, clusters_at_once(grid))
    for numbers, members in sorted(groups.items()):
        for start in range(0, len(members), at_once):
            chunk = members[start : start + at_once]
            units.append(
                Unit(
                    [rows[k] for k in chunk],
                    list(numbers),
                    sorted({n for k in chunk for n in of_maps[k]}),
                    sorted({n for k in chunk for n in of_novig[k]}),
                )
            )
    return _jobs(units), failed


def _outside(target: Target, what: str, hint: str) -> InputError:
    where = f"RA {target.ra:g} Dec {target.dec:g}"
    return InputError(f"no photon within reach of {where}: outside the {what}", hint=hint)


def _jobs(units: Sequence[Unit]) -> list[list[Unit]]:
    """Return units by their first file and at most `MOST_CLUSTERS`, with what is earlier."""
    jobs: list[list[Unit]] = []
    done: dict[int, list[int]] = {}
    n_rows = 0
    for unit in units:
        earlier = sorted({row for tile in unit.tiles for row in done.get(tile, ())})
        full = Unit(unit.rows, unit.tiles, unit.maps, unit.unvignetted, earlier)
        n_rows += len(unit.rows)
        if not jobs or jobs[-1][0].tiles[0] != unit.tiles[0] or n_rows > MOST_CLUSTERS:
            jobs.append([])
            n_rows = len(unit.rows)
        jobs[-1].append(full)
        for tile in unit.tiles:
            done.setdefault(tile, []).extend(unit.rows)
    return jobs


def job_name(
    job: Sequence[Unit],
    tiles: Sequence[FileScan],
    maps: Sequence[FileScan],
    unvignetted: Sequence[FileScan],
) -> str:
    """Return a name that changes with what a job does and with the files that it reads."""
    stamps = [
        [
            [tiles[n].stamp for n in unit.tiles],
            [maps[n].stamp for n in unit.maps],
            [unvignetted[n].stamp for n in unit.unvignetted],
        ]
        for unit in job
    ]
    content = json.dumps([[asdict(unit) for unit in job], stamps])
    return "job-" + hashlib.sha256(content.encode()).hexdigest()[:16]


def cluster_file(folder: Path, row: int) -> Path:
    """Return the file of a cluster's variables."""
    return folder / f"cluster-{row:06d}.npz"


def do_job(
    folder: str, mark: str, task: tuple[str, list[dict[str, Any]]]
) -> Exception | tuple[str, int]:
    """Read the clusters of a job and write each of them, then what is to be said of the job.

    Parameters
    ----------
    folder : str
        Where ``sky.json`` (a `Sky`) is.
    mark : str
        Changes with ``sky.json``, which is read once by a process.
    task : (str, list of dict)
        Name and units of the job.

    Returns
    -------
    (str, int) or Exception
        Its name and number of clusters; an error of the disk is given back.
    """
    name, units = task
    where, sky = Path(folder), _sky(folder, mark)
    failed: dict[str, Any] = {}
    unit_facts: list[dict[str, Any]] = []
    tally = np.zeros(len(OUTCOMES), np.int64)
    try:
        for unit in (Unit(**values) for values in units):
            for row, error in _do_unit(where, sky, unit, tally, unit_facts):
                failed[str(row)] = plain_error(error)
    except (OSError, MemoryError) as error:
        return error
    write_plain(
        where / f"{name}.json", {"failed": failed, "tally": tally.tolist(), "told": unit_facts}
    )
    return name, sum(len(values["rows"]) for values in units)


def _do_unit(
    folder: Path, sky: Sky, unit: Unit, tally: np.ndarray, unit_facts: list[Any]
) -> Iterator[tuple[int, InputError]]:
    """Write the clusters of a unit; yield those of which nothing can be made, and why."""
    targets = [Target(**sky.targets[row]) for row in unit.rows]
    earlier = [Target(**sky.targets[row]) for row in unit.earlier]
    at = 0
    try:
        source = _open(sky, unit)
        for row, (_, values) in zip(unit.rows, source.read(targets, earlier), strict=True):
            at += 1
            if isinstance(values, InputError):
                yield row, values
            else:
                _write_cluster(cluster_file(folder, row), values)
        tally[IN_MAPS] += source.tally[IN_MAPS]
        notes = [*source.exposure.notes, *source.masks.notes]
        unit_facts.append({**source.facts, "files": [], "notes": notes})
    except InputError as error:
        for row in unit.rows[at:]:
            yield row, error


def _open(sky: Sky, unit: Unit) -> EventSource:
    reading = EventReading.of_plain(sky.reading)
    return reading.open(
        [scanned(sky.files[number], reading.cuts.mission) for number in unit.tiles],
        grid_of_plain(sky.grid),
        exposure_maps=[sky.maps[number] for number in unit.maps],
        unvignetted_maps=[sky.unvignetted[number] for number in unit.unvignetted],
    )


def _write_cluster(path: Path, values: dict[str, Any]) -> None:
    with whole_file(path) as draft, draft.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **values)


@lru_cache(maxsize=1)
def _sky(folder: str, mark: str) -> Sky:
    return Sky(**json.loads((Path(folder) / "sky.json").read_text(encoding="utf-8")))
