"""Clusters in event files, made into the same survey that the mock makes.

The photons of the files are laid on each cluster's comoving grid (East left, North up) through its
tangent plane, from RA and DEC: no image is resampled. What only a mock knows is absent.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from icmass.errors import InputError
from icmass.io.event_binning import IN_MAPS, OUTCOMES, EventCounts, Frames
from icmass.io.event_cuts import EventCuts, cuts_of
from icmass.io.events import EventFile, count_events, scan_event_file
from icmass.io.exposure import (
    Exposure,
    given_exposure,
    known_exposure,
    longer_than_good_time,
    pointed,
    read_exposure_maps,
    stated_area,
)
from icmass.io.exposure_kinds import Kind
from icmass.io.fits_images import Plane
from icmass.io.masks import Masks
from icmass.io.modules import exposure_of_bands, module_share
from icmass.io.sky_background import Backgrounds
from icmass.io.target import Target, check_target, gather_notes
from icmass.missions.registry import Telescope, telescope_of
from icmass.sky.map_grid import FineGrid, MapGrid, cluster_frame
from icmass.survey.observed.clusters import (
    MIN_VISIBLE,
    NAMES,
    check_min_visible,
    check_visible,
    cluster_values,
)

AT_ONCE = 1000
MAX_BYTES = 2**28
"""So many clusters, or their maps of so many bytes, are held while the files are read."""
EVENT_NAMES = (*NAMES, "background", "band_exposure", "mask")
_SUB = 8  # points along a side of a pixel where there is no image to set them


@dataclass(frozen=True)
class EventSource:
    """Event files, and all that is needed to make maps of them.

    Attributes
    ----------
    files : list of EventFile
        The files; photons that are in several are counted once.
    grid : MapGrid
        Bands, geometry and cosmology of the maps.
    cuts : EventCuts
        Which events are used.
    exposure : Exposure
        Seconds at the survey-average area.
    masks : Masks
        What is left out.
    backgrounds : Backgrounds
        Expected background.
    min_visible : float
        Least visible fraction of the area within 0.5 comoving Mpc/h.
    tally : ndarray, int64
        Number of events by what became of them, of `OUTCOMES`.
    """

    files: list[EventFile]
    grid: MapGrid
    cuts: EventCuts
    exposure: Exposure
    masks: Masks = field(default_factory=Masks)
    backgrounds: Backgrounds = field(default_factory=Backgrounds)
    min_visible: float = MIN_VISIBLE
    tally: np.ndarray = field(default_factory=lambda: np.zeros(len(OUTCOMES), np.int64))

    @property
    def names(self) -> tuple[str, ...]:
        """Variables of each cluster."""
        unvignetted = self.backgrounds.unvignetted is not None
        return (*EVENT_NAMES, "exposure_unvignetted") if unvignetted else EVENT_NAMES

    @property
    def outcomes(self) -> str:
        """What became of the events that were read, in words."""
        return describe_tally(named_tally(self.tally))

    @property
    def notes(self) -> list[str]:
        """What was assumed of the files, or contradicts itself in them: a sentence each, once."""
        of_files = gather_notes((file.file, note) for file in self.files for note in file.notes)
        return [*of_files, *self.exposure.notes, *self.masks.notes]

    @property
    def facts(self) -> dict[str, Any]:
        """How the survey is made, to be told beside a mass."""
        bands = self.grid.bands
        relative = exposure_of_bands(self.files, self.cuts, bands)
        return {
            "kind": "events",
            "files": [file.file.name for file in self.files],
            "mission": self.backgrounds.telescope.mission,
            "exposure_area": self.backgrounds.telescope.area,
            "exposure": self.exposure.assumption,
            "flag": f"{self.cuts.flag:#010x}",
            "pattern": self.cuts.pattern,
            "light_leak": self.cuts.light_leak if self.files[0].leaks else "none",
            "masked": bool(self.masks),
            "min_visible": self.min_visible,
            "exposure_maps_differ": round(float(relative.max() / relative.min() - 1), 4),
            "bands_not_used": [],
            "notes": self.notes,
        }

    def read(
        self, targets: Sequence[Target], earlier: Sequence[Target] = ()
    ) -> Iterator[tuple[Target, dict[str, Any] | InputError]]:
        """Yield the variables (`names`) of each cluster, or why there are none.

        Parameters
        ----------
        targets : sequence of Target
        earlier : sequence of Target
            Clusters, read before, whose photons are not counted again in `tally`.

        Raises
        ------
        InputError
            If a file cannot be used.
        """
        at_once = clusters_at_once(self.grid)
        problems = [problem_of(target) for target in targets]
        good = [t for t, problem in zip(targets, problems, strict=True) if problem is None]
        frames = frames_of([*earlier, *good], self.grid)
        counts, place = None, 0
        for target, problem in zip(targets, problems, strict=True):
            if problem is not None:
                yield target, problem
                continue
            if counts is None or place % at_once == 0:
                some = range(place, min(place + at_once, len(good)))
                counts = self._counts(frames, some, len(earlier))
            try:
                yield target, self._cluster(target, counts, len(earlier) + place)
            except InputError as error:
                yield target, error
            place += 1

    def _counts(self, frames: Frames, some: range, first: int) -> EventCounts:
        """Return the maps of some of the clusters, which begin at `first` in `frames`."""
        by_time = all(file.has_precise_times for file in self.files)
        counts = EventCounts(frames, range(first + some.start, first + some.stop), by_time)
        leaks = any(file.leaks for file in self.files)
        count_events(self.files, counts, self.cuts, self.cuts.min_pi_ev(self.grid.bands, leaks))
        told = IN_MAPS if some.start else slice(None)
        self.tally[told] += counts.outcomes[told]
        return counts

    def _cluster(self, target: Target, counts: EventCounts, place: int) -> dict[str, Any]:
        grid, maps = self.grid, counts.maps_of(place)
        frame = cluster_frame(target.ra, target.dec, redshift=target.redshift, grid=grid)
        images = [*self.exposure.maps, *filter(None, [self.masks.image])]
        wcs = [plane.wcs for plane in images]
        fine = FineGrid.for_images(frame, grid, wcs) if wcs else FineGrid(frame, grid, _SUB)
        seconds = self.exposure.sample(fine)
        of_maps = ", ".join(str(plane.file) for plane in self.exposure.maps[:3])
        if not seconds.any():
            what = "outside the exposure maps, or unexposed" if of_maps else "not exposed"
            raise InputError(
                f"RA {target.ra:g} Dec {target.dec:g} is {what}",
                file=of_maps or self.files[0].file,
                field="position",
                hint="check the position, and that the files are of this field",
            )
        used = (
            fine.whole_pixels(self.masks.used(fine)) if self.masks else np.ones_like(seconds, bool)
        )
        view = fine.view(seconds * used)
        shown_by = ", ".join(self.masks.files) or of_maps or self.files[0].file
        check_visible(view, self.min_visible, file=shown_by)
        if not maps.any():
            arcmin = float(frame.wcs.cdelt[1]) * 30 * grid.n_pixels
            raise self._no_photon(target, counts, place, arcmin)
        seen = view.seconds > 0
        values = cluster_values(target, maps * seen, view)
        relative = exposure_of_bands(self.files, self.cuts, grid.bands)
        values["band_exposure"] = relative
        values["mask"] = fine.binned(used) > 0
        if self.backgrounds.unvignetted is not None:
            unvignetted = self.backgrounds.unvignetted.sample(fine)
            values["exposure_unvignetted"] = fine.binned(unvignetted * used)
        particles = self.exposure.of_particles(fine)
        values["background"] = self.backgrounds.expected(
            fine, seconds * used, used, relative, particle_seconds=particles
        )
        return values

    def _no_photon(
        self, target: Target, counts: EventCounts, place: int, arcmin: float
    ) -> InputError:
        """Return why a cluster has no photon within so many arcmin."""
        where = f"within {arcmin:.1f} arcmin of RA {target.ra:g} Dec {target.dec:g}"
        if not (n := int(counts.outside_bands[place])):
            return InputError(
                f"no photon {where}",
                file=self.files[0].file,
                field="EVENTS",
                hint="check the position, and that the files are of this field",
            )
        low, high = counts.energy_range[place] / 1000
        bands = ", ".join(f"{lo:g}-{hi:g}" for lo, hi in self.grid.bands)
        name = self.files[0].columns["PI"][0]
        hint = "its unit (TUNIT) has to be eV or keV; energies in keV without a unit look like this"
        return InputError(
            f"all {n} photons {where} are outside the bands ({bands} keV): "
            f"their energies are {low:.3g} to {high:.3g} keV",
            file=self.files[0].file,
            field=f"column {name}",
            hint=hint if high < 0.1 else "give other --bands, or other files",
        )


def clusters_at_once(grid: MapGrid) -> int:
    """Return of how many clusters the maps are held while files are read."""
    n_bytes = 2 * len(grid.bands) * grid.n_pixels**2
    return max(min(AT_ONCE, MAX_BYTES // n_bytes), 1)


def frames_of(targets: Sequence[Target], grid: MapGrid) -> Frames:
    """Return the maps of clusters on the sky."""
    per_mpc_h = [float(grid.cosmology.arcmin_per_mpc_h(t.redshift)) / 60 for t in targets]
    return Frames(
        ra=np.array([t.ra for t in targets], float),
        dec=np.array([t.dec for t in targets], float),
        pixel=np.radians(per_mpc_h) * (2 * grid.half_width / grid.n_pixels),
        n_pixels=grid.n_pixels,
        bands_ev=np.rint(1000 * np.array(grid.bands, float)),
    )


def named_tally(tally: np.ndarray) -> dict[str, int]:
    """Return numbers of events by what became of them: those of `OUTCOMES` that there are."""
    return {name: int(n) for name, n in zip(OUTCOMES, tally, strict=True) if n}


def describe_tally(named: Mapping[str, int]) -> str:
    """Return in words what became of events, see `named_tally`."""
    return ", ".join(f"{n:,} {name}" for name, n in named.items())


def problem_of(target: Target) -> InputError | None:
    """Return why a cluster cannot be looked at, if so."""
    try:
        check_target(target)
    except InputError as error:
        return error
    return None


def _check_grid(grid: MapGrid) -> None:
    """Refuse maps without a size, and bands that share energies: a photon is counted in one."""
    if not 0.1 <= grid.half_width <= 20:
        hint = "give 0.1 to 20 comoving Mpc/h"
        raise InputError(f"is {grid.half_width:g}", field="--half-width", hint=hint)
    for (_, end), (start, _) in itertools.pairwise(sorted(grid.bands)):
        if start < end:
            raise InputError(
                f"overlap from {start:g} to {end:g} keV", field="bands", hint="give bands apart"
            )


def open_events(
    files: Sequence[str | Path | EventFile],
    grid: MapGrid,
    *,
    cuts: EventCuts | None = None,
    seconds: float | None = None,
    exposure_maps: Sequence[str | Path | Plane] = (),
    exposure_kind: Kind | None = None,
    masks: Masks | None = None,
    background_maps: Sequence[str | Path | Plane] = (),
    unvignetted_maps: Sequence[str | Path | Plane] = (),
    min_visible: float = MIN_VISIBLE,
    telescope: Telescope | None = None,
) -> EventSource:
    """Open event files to make maps of clusters in them.

    Parameters
    ----------
    files : sequence of path or EventFile
        Event files of one mission; sky tiles may overlap.
    grid : MapGrid
        The maps to make.
    cuts : EventCuts, optional
        Which events are used.
    seconds : float, optional
        Exposure of all modules of the files at the mission's area of reference, the same
        everywhere [s].
    exposure_maps : sequence of path or Plane
        FITS exposure maps, of `exposure_kind` (`exposure.read_exposure_maps`). Without either, the
        exposure is that of the header or of the good time intervals of a pointing.
    masks : Masks, optional
    background_maps : sequence of path or Plane
        Background maps [counts per pixel], one for each band of `grid`; default: the instrument's
        mean background.
    unvignetted_maps : sequence of path or Plane
        Unvignetted exposure maps [s], for the particles, which come through no mirror.
    min_visible : float
    telescope : Telescope, optional
        What the files are read as; `cuts` are its mission's.

    Raises
    ------
    InputError
        If a file cannot be used, or the exposure isn't known.
    """
    telescope = telescope or telescope_of()
    cuts = cuts or cuts_of(telescope.mission)
    if not files:
        raise InputError("no event file", field="FILE", hint="give at least one")
    if seconds is not None and exposure_maps:
        raise InputError("give one of them", field="--exposure, --expmap")
    _check_grid(grid)
    event_files = [
        f if isinstance(f, EventFile) else scan_event_file(f, telescope.mission) for f in files
    ]
    telescope = replace(telescope, stated_area=stated_area(event_files))
    share = module_share(event_files, cuts, grid.bands)
    if exposure_maps:
        exposure = read_exposure_maps(exposure_maps, exposure_kind, share, telescope)
    elif seconds is not None:
        exposure = given_exposure(seconds, share, telescope=telescope)
    else:
        exposure = known_exposure(event_files, cuts, grid.bands, share)
    exposure = pointed(exposure, event_files, telescope)
    notes = longer_than_good_time(exposure, event_files, cuts, grid.bands, telescope)
    backgrounds = Backgrounds.read(background_maps, unvignetted_maps, grid.bands, share, telescope)
    return EventSource(
        event_files,
        grid,
        cuts,
        replace(exposure, notes=exposure.notes + notes),
        masks or Masks(),
        backgrounds,
        check_min_visible(min_visible),
    )
