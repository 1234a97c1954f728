"""How event files are read, in plain values that a worker can be told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.files import as_path, as_paths
from icmass.io.event_cuts import EventCuts, LightLeak, cuts_of
from icmass.io.events import EventFile, scan_event_file
from icmass.io.exposure_kinds import Kind
from icmass.io.fits_images import Plane, read_plane
from icmass.io.masks import Masks, read_masks
from icmass.io.quantities import optional_number
from icmass.missions.registry import DEFAULT_MISSION, Telescope, get_mission, telescope_of
from icmass.sky.map_grid import MapGrid
from icmass.survey.observed.clusters import MIN_VISIBLE
from icmass.survey.observed.events import EventSource, open_events

TILES_HELD = 6
"""So many event files, as far as they are gzipped, are kept expanded by a process."""
PLANES_HELD = 4
_FILES = ("expmap", "novig", "background", "mask", "regions", "sources")


Files = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class EventReading:
    """The options of `icmass.survey.observed.events.open_events`, with paths in place of masks.

    Attributes
    ----------
    cuts : EventCuts
    seconds : float or None
        Exposure at the survey-average area [s].
    exposure_maps, unvignetted_maps, background_maps : tuple of str
        Paths of images.
    exposure_kind : {"vignetted", "unvignetted", "survey"} or None
    mask, regions, sources : str or None
        Paths, see `icmass.io.masks.read_masks`.
    skip_bad_regions : bool
    min_visible : float
    instrument : str
        Name or path; the mission is that of `cuts`.
    """

    cuts: EventCuts = field(default_factory=EventCuts)
    seconds: float | None = None
    exposure_maps: tuple[str, ...] = ()
    exposure_kind: Kind | None = None
    mask: str | None = None
    regions: str | None = None
    skip_bad_regions: bool = False
    sources: str | None = None
    background_maps: tuple[str, ...] = ()
    unvignetted_maps: tuple[str, ...] = ()
    min_visible: float = MIN_VISIBLE
    instrument: str = str(get_mission().instrument)

    @property
    def telescope(self) -> Telescope:
        """What files are read as."""
        return Telescope(self.cuts.mission, self.instrument)

    def open(
        self,
        files: Sequence[EventFile | str | Path],
        grid: MapGrid,
        *,
        exposure_maps: Sequence[str] | None = None,
        unvignetted_maps: Sequence[str] | None = None,
    ) -> EventSource:
        """Open event files, with all of the maps or with those given of them."""
        of_sky = self.exposure_maps if exposure_maps is None else exposure_maps
        of_particles = self.unvignetted_maps if unvignetted_maps is None else unvignetted_maps
        return open_events(
            files,
            grid,
            cuts=self.cuts,
            seconds=self.seconds,
            exposure_maps=[plane(path) for path in of_sky],
            exposure_kind=self.exposure_kind,
            masks=self.masks(),
            background_maps=[plane(path) for path in self.background_maps],
            unvignetted_maps=[plane(path) for path in of_particles],
            min_visible=self.min_visible,
            telescope=self.telescope,
        )

    def masks(self) -> Masks:
        """Return what of the sky is left out; the last ones are cached."""
        paths = (self.mask, self.regions, self.sources)
        return _masks(*paths, self.skip_bad_regions, tuple(p and _stamp(Path(p)) for p in paths))

    def with_absolute_paths(self) -> EventReading:
        """Return the same for a process in another folder."""
        values = self.to_plain()
        for name in ("exposure_maps", "background_maps", "unvignetted_maps"):
            values[name] = [str(Path(path).resolve()) for path in values[name]]
        for name in ("mask", "regions", "sources"):
            values[name] = values[name] and str(Path(values[name]).resolve())
        if self.instrument.endswith(".json"):
            values["instrument"] = str(Path(self.instrument).resolve())
        return EventReading.of_plain(values)

    def to_plain(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def of_plain(cls, values: dict[str, Any]) -> EventReading:
        """Return what `to_plain` was made of."""
        cuts = {**values["cuts"], "modules": tuple(values["cuts"]["modules"])}
        paths = ("exposure_maps", "background_maps", "unvignetted_maps")
        lists = {name: tuple(values[name]) for name in paths}
        return cls(**{**values, **lists, "cuts": EventCuts(**cuts)})


def plain_grid(grid: MapGrid) -> dict[str, Any]:
    """Return a grid as JSON can hold it."""
    return {
        "bands": [list(band) for band in grid.bands],
        "n_pixels": grid.n_pixels,
        "half_width": grid.half_width,
        "cosmology": grid.cosmology.model_dump(mode="json"),
    }


def grid_of_plain(values: dict[str, Any]) -> MapGrid:
    """Return what `plain_grid` was made of."""
    bands = tuple((lo, hi) for lo, hi in values["bands"])
    cosmology = Cosmology.model_validate(values["cosmology"])
    return MapGrid(bands, values["n_pixels"], values["half_width"], cosmology)


def scanned(path: str | Path, mission: str = DEFAULT_MISSION) -> EventFile:
    """Return what an event file holds beside its events; the last few are cached."""
    return _scanned(Path(path), mission, _stamp(Path(path)))


def plane(path: str | Path) -> Plane:
    """Return an image; the last few are cached."""
    return _plane(Path(path), _stamp(Path(path)))


def _stamp(file: Path) -> tuple[int, int] | None:
    """Return what changes with a file; None where there is none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=TILES_HELD)
def _scanned(file: Path, mission: str, stamp: object) -> EventFile:
    return scan_event_file(file, mission)


@lru_cache(maxsize=PLANES_HELD)
def _plane(file: Path, stamp: object) -> Plane:
    return read_plane(file)


@lru_cache(maxsize=1)
def _masks(
    mask: str | None, regions: str | None, sources: str | None, skip_bad: bool, stamps: object
) -> Masks:
    return read_masks(mask, regions, sources, skip_bad_regions=skip_bad)


def read_files(reading: Mapping[str, Any]) -> list[Path]:
    """Return the files that options of `event_reading` name."""
    named = [file for name in _FILES for file in as_paths(reading.get(name), f"--{name}")]
    instrument = as_paths(reading.get("instrument"))
    return named + [file for file in instrument if file.suffix == ".json"]


def event_reading(
    *,
    exposure: Any = None,
    expmap: Files | None = None,
    expmap_kind: Kind | None = None,
    novig: Files | None = None,
    background: Files | None = None,
    mask: str | Path | None = None,
    regions: str | Path | None = None,
    skip_bad_regions: bool = False,
    sources: str | Path | None = None,
    min_visible: float = MIN_VISIBLE,
    flag: str | int | None = None,
    pattern: int | None = None,
    modules: str | Sequence[int] | None = None,
    light_leak: LightLeak = "exclude",
    gti: bool = True,
    instrument: str | Path | None = None,
) -> EventReading:
    """Return how event files are read.

    Parameters
    ----------
    exposure : float or Quantity, optional
        In place of maps: seconds of all modules at the survey-average area.
    expmap : path or sequence of path, optional
        Exposure maps, FITS images.
    expmap_kind : {"vignetted", "unvignetted", "survey"}, optional
        What they hold; default: what their AREATYPE states, else vignetted.
    novig : path or sequence of path, optional
        Unvignetted exposure maps, for the particle background.
    background : path or sequence of path, optional
        Background maps, counts a pixel, one for each band.
    mask, regions, sources : path, optional
        Mask image, 1 = use; DS9 regions to leave out; eSASS source catalogue.
    skip_bad_regions : bool
        Go on without lines of `regions` that cannot be used.
    min_visible : float
        Least visible fraction within 0.5 comoving Mpc/h.
    flag : str or int
        Events with any of these bits of FLAG are left out; default: the mission's standard.
    pattern : int
        Patterns to use, as in evtool, bit k - 1 for those of k pixels; default: the mission's.
    modules : str or sequence of int
        Telescope modules or chips to use, e.g. ``"1,2,3,4,6"``; default: all.
    light_leak : {"exclude", "soft", "keep"}
        TM5 and TM7 where a band begins below 0.8 keV: not used, not in those bands, used.
    gti : bool
        Leave out events outside the good time intervals.
    instrument : str or path, optional
        The instrument that the files are of, by which their mission is known; default: eROSITA.
    """
    telescope = telescope_of(instrument)
    if modules is not None:
        modules = _parse_modules(modules) if isinstance(modules, str) else tuple(modules)
    cuts = cuts_of(
        telescope.mission,
        flag=_parse_flag(flag) if isinstance(flag, str) else flag,
        pattern=pattern,
        modules=modules,
        light_leak=light_leak,
        gti=gti,
    )

    def paths(files: Files | None, field: str) -> tuple[str, ...]:
        return tuple(str(file) for file in as_paths(files, field))

    def path(file: str | Path | None, field: str) -> str | None:
        return None if file is None else str(as_path(file, field))

    return EventReading(
        cuts=cuts,
        seconds=optional_number(exposure, "s", "--exposure"),
        exposure_maps=paths(expmap, "--expmap"),
        exposure_kind=expmap_kind,
        mask=path(mask, "--mask"),
        regions=path(regions, "--regions"),
        skip_bad_regions=skip_bad_regions,
        sources=path(sources, "--sources"),
        background_maps=paths(background, "--background"),
        unvignetted_maps=paths(novig, "--expmap-novig"),
        min_visible=min_visible,
        instrument=telescope.instrument,
    )


def _parse_flag(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise InputError(f"is {text!r}", field="--flag", hint="write 0xE000F000") from None


def _parse_modules(text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise InputError(f"is {text!r}", field="--modules", hint="write 1,2,3,4,6") from None
