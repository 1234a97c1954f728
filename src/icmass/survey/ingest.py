"""Clusters of any number of event files, up to a whole sky, made a survey that can be resumed.

First each event file is looked through once, for where on the sky it lies; then the clusters are
read in jobs of few neighbouring files, and written one by one; then they are gathered in the order
of the table. What is done is kept in ``X.zarr.partial/parts`` until the store has its name, so that
its content depends on neither workers nor interruptions.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from icmass import __version__
from icmass.arguments import whole_number
from icmass.errors import InputError
from icmass.io.event_binning import IN_MAPS, OUTCOMES
from icmass.io.target import Target, gather_notes
from icmass.sky.map_grid import MapGrid
from icmass.survey.catalog import open_survey
from icmass.survey.observed.clusters import COMPONENTS, survey_attrs
from icmass.survey.observed.events import (
    EVENT_NAMES,
    describe_tally,
    frames_of,
    named_tally,
    problem_of,
)
from icmass.survey.observed.reading import EventReading, plain_grid, scanned
from icmass.survey.sky_jobs import MOST_CLUSTERS, Sky, Unit, assign, cluster_file, do_job, job_name
from icmass.survey.sky_tiles import (
    FileScan,
    error_of_plain,
    note_of,
    scan_file,
    stored_scan,
    write_plain,
)
from icmass.survey.store import SurveyWriter, check_new_store
from icmass.survey.tasks import Tasks

FEW = 8
"""So many files are opened together before all else: what is wrong with the options shows there."""
MOST_TOLD = 20
_ELSEWHERE = OUTCOMES.index("outside the maps")

Progress = Callable[[str, int, int], None]


@dataclass
class Ingested:
    """What was made of event files.

    Attributes
    ----------
    out : Path
        The store; there is none if no cluster could be used.
    names : list of str
        The clusters in it.
    failed : dict of str to InputError
        Clusters that could not be used, and why.
    bad_files : list of InputError
        Why files were passed by.
    tally : ndarray, int64 (len(OUTCOMES),)
        Number of events by what became of them.
    notes : list of str
        What was assumed of the files, a sentence each.
    """

    out: Path
    names: list[str] = field(default_factory=list)
    failed: dict[str, InputError] = field(default_factory=dict)
    bad_files: list[InputError] = field(default_factory=list)
    tally: np.ndarray = field(default_factory=lambda: np.zeros(len(OUTCOMES), np.int64))
    notes: list[str] = field(default_factory=list)

    @property
    def passed_by(self) -> list[str]:
        """Which files were passed by, and why, a sentence each."""
        return [f"passed by: {error}" for error in self.bad_files]

    @property
    def outcomes(self) -> str:
        """What became of the events, in words."""
        return describe_tally(named_tally(self.tally))


def ingest_events(
    files: Sequence[Path],
    targets: Sequence[Target],
    grid: MapGrid,
    reading: EventReading,
    out: Path,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Ingested:
    """Make a survey of clusters in event files.

    Parameters
    ----------
    files : sequence of path
        eSASS event files; sky tiles may overlap. Those that cannot be read are passed by, and so
        are the clusters in them.
    targets : sequence of Target
        The clusters. Each is read from the files that its map reaches into, as if these alone were
        given.
    grid : MapGrid
    reading : EventReading
    out : path
        The store; must end in ``.zarr``.
    workers : int
        Processes on this machine.
    scheduler : str, optional
        Address of a Dask scheduler to use instead; its workers must see all files and `out`.
    resume : bool
        Go on with an unfinished store of the same files, clusters and options.
    overwrite : bool
        Replace a finished store.
    progress : callable, optional
        Called with what is counted, the number done and the number in all.

    Raises
    ------
    InputError
        If the options make no sense with the files, or none of the files can be read.
    """
    out, workers = Path(out), whole_number(workers, "--workers", 1)
    check_new_store(out, overwrite=overwrite or resume)
    partial = out.with_name(out.name + ".partial")
    if resume and out.exists() and not partial.exists():
        return Ingested(out, json.loads(open_survey(out).attrs.get("names", "[]")))
    check_unfinished(partial, resume)
    _try_few(files, grid, reading)
    if scheduler is not None:
        files, reading = [file.resolve() for file in files], reading.with_absolute_paths()
        partial = partial.resolve()
    most = max(len(files), -(-len(targets) // MOST_CLUSTERS))
    with Tasks(min(workers, most), scheduler) as work:
        run = _Run(files, targets, grid, reading, partial / "parts", work, progress)
        run.start()
        return _make(run, Ingested(out), partial)


def _make(run: _Run, result: Ingested, partial: Path) -> Ingested:
    """Look through the files, read the clusters and gather them."""
    tiles, maps, unvignetted = run.look()
    result.bad_files = [error_of_plain(f.error) for f in (*tiles, *maps, *unvignetted) if f.error]
    if all(tile.error for tile in tiles):
        shutil.rmtree(partial)
        raise result.bad_files[0]
    failed, unit_facts = run.read(tiles, maps, unvignetted, result)
    rows = [row for row in range(len(run.targets)) if row not in failed]
    result.names = [run.targets[row].name for row in rows]
    result.failed = {run.targets[row].name: failed[row] for row in sorted(failed)}
    facts = _gather_facts(unit_facts, tiles)
    result.notes = [*facts.get("notes", []), *result.passed_by]
    if rows:
        result.notes += _masks_missed(run, rows)
        facts["notes"] = _some(result.notes, "more such notes")
        facts["events"] = named_tally(result.tally)
        attrs = survey_attrs(run.grid, preset="events", seed=0, facts=facts)
        attrs |= {"names": json.dumps(result.names)}
        run.gather(rows, attrs, result.out)
    shutil.rmtree(partial)
    return result


def _masks_missed(run: _Run, rows: Sequence[int]) -> list[str]:
    """Return which masks lie within none of the maps of some clusters."""
    frames = frames_of([run.targets[row] for row in rows], run.grid)
    reach = np.degrees(frames.pixel) * run.grid.n_pixels / np.sqrt(2)
    return run.reading.masks().missed(frames.ra, frames.dec, reach)


def check_unfinished(partial: Path, resume: bool) -> None:
    """Refuse to begin anew where something is unfinished."""
    if partial.exists() and not resume:
        hint = "go on with --resume, or delete it"
        raise InputError("is unfinished", file=partial, hint=hint)


def _try_few(files: Sequence[Path], grid: MapGrid, reading: EventReading) -> None:
    """Open the first files with the options, to refuse at once what is wrong with these."""
    if not files:
        raise InputError("no event file", field="FILE", hint="give at least one")
    readable, errors = [], []
    for file in files[:FEW]:
        try:
            readable.append(scanned(file, reading.cuts.mission))
        except InputError as error:
            errors.append(error)
    if readable:
        first = {
            "exposure_maps": reading.exposure_maps[:1],
            "unvignetted_maps": reading.unvignetted_maps[:1],
        }
        reading.open(readable, grid, **first)
    elif len(errors) == len(files):
        raise errors[0]


@dataclass
class _Run:
    """The work on one store, which grows in `parts`."""

    files: Sequence[Path]
    targets: Sequence[Target]
    grid: MapGrid
    reading: EventReading
    parts: Path
    work: Tasks
    progress: Progress | None

    def start(self) -> None:
        """Make the folder, or check that what is there is of the same clusters and options."""
        plan = {
            "version": __version__,
            "files": [str(file.resolve()) for file in self.files],
            "clusters": [asdict(target) for target in self.targets],
            "options": self.reading.with_absolute_paths().to_plain(),
            "maps": plain_grid(self.grid),
        }
        plan = json.loads(json.dumps(plan))
        note = self.parts / "plan.json"
        try:
            stored_plan = json.loads(note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(self.parts.parent, ignore_errors=True)
            self.parts.mkdir(parents=True)
            write_plain(note, plan)
            return
        for key, value in plan.items():
            if stored_plan.get(key) != value:
                raise InputError(
                    f"was begun with other {key}",
                    file=self.parts.parent,
                    hint="resume with the same options, or delete it",
                )

    def look(self) -> tuple[list[FileScan], list[FileScan], list[FileScan]]:
        """Look through event files and exposure maps, but for those that are known."""
        paths = {
            "tile": [str(file) for file in self.files],
            "map": list(self.reading.exposure_maps),
            "novig": list(self.reading.unvignetted_maps),
        }
        every = [(kind, k, path) for kind, files in paths.items() for k, path in enumerate(files)]
        todo = []
        for kind, k, path in every:
            scan = stored_scan(note_of(self.parts, kind, k), Path(path))
            if scan is None or scan.error:
                todo.append((kind, k, path))
        fixed = str(self.parts), self.reading.to_plain(), plain_grid(self.grid)
        done = len(every) - len(todo)
        for result in self._tasks(scan_file, todo, *fixed):
            done += int(result)
            self._say("files", done, len(every))
        looked: dict[str, list[FileScan]] = {kind: [] for kind in paths}
        for kind, k, path in every:
            scan = stored_scan(note_of(self.parts, kind, k), Path(path))
            if scan is None:
                raise InputError("changed while it was read", file=path, hint="run it again")
            looked[kind].append(scan)
        return looked["tile"], looked["map"], looked["novig"]

    def read(
        self,
        tiles: list[FileScan],
        maps: list[FileScan],
        unvignetted: list[FileScan],
        result: Ingested,
    ) -> tuple[dict[int, InputError], list[dict[str, Any]]]:
        """Read the clusters; return those that failed, and the facts of each unit, in order."""
        problems = {row: problem_of(target) for row, target in enumerate(self.targets)}
        failed = {row: problem for row, problem in problems.items() if problem is not None}
        rows = [row for row in problems if row not in failed]
        files = {"tiles": tiles, "maps": maps, "unvignetted": unvignetted}
        jobs, outside = assign(self.targets, rows, self.grid, **files)
        failed |= outside
        named = {job_name(job, **files): job for job in jobs}
        self._do(named, len(self.targets), len(failed))
        result.tally = np.sum([tile.tally for tile in tiles], axis=0)
        unit_facts = []
        for name in named:
            result_of_job = json.loads((self.parts / f"{name}.json").read_text(encoding="utf-8"))
            failed |= {int(row): error_of_plain(e) for row, e in result_of_job["failed"].items()}
            unit_facts += result_of_job["told"]
            in_maps = np.array(result_of_job["tally"])[IN_MAPS]
            result.tally[IN_MAPS] += in_maps
            result.tally[_ELSEWHERE] -= in_maps.sum()
        return failed, unit_facts

    def _do(self, jobs: dict[str, list[Unit]], n_clusters: int, done: int) -> None:
        """Do the jobs that are not done."""
        unvignetted = list(self.reading.unvignetted_maps)
        sky = Sky(
            [str(file) for file in self.files],
            list(self.reading.exposure_maps),
            unvignetted,
            self.reading.to_plain(),
            plain_grid(self.grid),
            [asdict(target) for target in self.targets],
        )
        write_plain(self.parts / "sky.json", asdict(sky))
        mark = hashlib.sha256((self.parts / "sky.json").read_bytes()).hexdigest()
        todo = []
        for name, job in jobs.items():
            if (self.parts / f"{name}.json").exists():
                done += sum(len(unit.rows) for unit in job)
            else:
                todo.append((name, [asdict(unit) for unit in job]))
        for _, number in self._tasks(do_job, todo, str(self.parts), mark):
            done += number
            self._say("clusters", done, n_clusters)

    def gather(self, rows: Sequence[int], attrs: dict[str, Any], out: Path) -> None:
        """Write the clusters to the store, in the order of the table."""
        names = list(EVENT_NAMES)
        names += ["exposure_unvignetted"] if self.reading.unvignetted_maps else []
        writer = SurveyWriter(
            out,
            names=names,
            n_pixels=self.grid.n_pixels,
            half_width=self.grid.half_width,
            bands=self.grid.bands,
            attrs=attrs,
            components=COMPONENTS,
            overwrite=True,
            draft=self.parts.parent / "store",
        )
        with writer:
            for row in rows:
                with np.load(cluster_file(self.parts, row), allow_pickle=False) as values:
                    writer.add(dict(values))

    def _tasks(self, function: Callable[..., Any], todo: list[Any], *fixed: Any) -> Iterator[Any]:
        for result in self.work.run(function, todo, *fixed):
            if isinstance(result, Exception):
                raise result
            yield result

    def _say(self, what: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(what, done, total)


def _gather_facts(
    unit_facts: Sequence[dict[str, Any]], tiles: Sequence[FileScan]
) -> dict[str, Any]:
    """Return how a survey is made, of what is to be said of its units."""
    if not unit_facts:
        return {}
    readable = [tile for tile in tiles if tile.error is None]
    notes = gather_notes((tile.file, note) for tile in readable for note in tile.notes)
    contradictions = list(dict.fromkeys(note for facts in unit_facts for note in facts["notes"]))
    exposures = list(dict.fromkeys(facts["exposure"] for facts in unit_facts))
    leaks = [facts["light_leak"] for facts in unit_facts if facts["light_leak"] != "none"]
    return {
        **unit_facts[0],
        "files": _some([Path(tile.file).name for tile in readable], "more"),
        "exposure": "; or ".join(exposures[:3]),
        "light_leak": leaks[0] if leaks else "none",
        "exposure_maps_differ": max(facts["exposure_maps_differ"] for facts in unit_facts),
        "notes": [*notes, *_some(contradictions, "more such contradictions")],
    }


def _some(lines: list[str], what: str) -> list[str]:
    """Return the first lines of many: each mass tells how its survey was made."""
    over = len(lines) - MOST_TOLD
    return lines if over <= 0 else [*lines[:MOST_TOLD], f"and {over} {what}"]
