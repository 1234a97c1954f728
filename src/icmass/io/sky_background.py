"""The background that is expected in each pixel: of eSASS' maps, or the instrument's mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from icmass.errors import InputError
from icmass.io.exposure import Exposure, read_exposure_maps
from icmass.io.fits_images import Plane, check_exposure, read_plane, refuse_rates
from icmass.missions.registry import Telescope, telescope_of
from icmass.sky.bands import Band
from icmass.sky.map_grid import FineGrid
from icmass.telescope.instrument import load_instrument


@dataclass(frozen=True)
class Backgrounds:
    """Where the expected background comes from.

    Attributes
    ----------
    maps : list of Plane
        Background maps [counts/arcmin^2], one for each band; none: the instrument's mean rates.
    unvignetted : Exposure or None
        Exposure that the particles see [s]; None: that of the sky.
    telescope : Telescope
        Whose mean rates are taken, at the area that its exposure is at.
    """

    maps: list[Plane] = field(default_factory=list)
    unvignetted: Exposure | None = None
    telescope: Telescope = field(default_factory=telescope_of)

    @classmethod
    def read(
        cls,
        maps: Sequence[str | Path | Plane],
        unvignetted: Sequence[str | Path | Plane],
        bands: Sequence[Band],
        share: float = 1.0,
        telescope: Telescope | None = None,
    ) -> Backgrounds:
        """Read background maps [counts per pixel] and unvignetted exposure maps [s]."""
        if len(maps) not in (0, len(bands)):
            raise InputError(
                f"{len(maps)} background maps for {len(bands)} bands",
                field="--background",
                hint="give one for each band, in order of energy",
            )
        planes = []
        for file in maps:
            plane = file if isinstance(file, Plane) else read_plane(file)
            refuse_rates(plane)
            values = check_exposure(plane) / _pixel_arcmin2(plane)
            planes.append(Plane(plane.file, values, plane.wcs, plane.header_band))
        telescope = telescope or telescope_of()
        seconds = None
        if unvignetted:
            seconds = read_exposure_maps(unvignetted, "unvignetted", share, telescope)
        return cls(planes, seconds, telescope)

    def expected(
        self,
        fine: FineGrid,
        seconds: np.ndarray,
        used: np.ndarray,
        relative: np.ndarray,
        *,
        particle_seconds: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the expected counts of each pixel of a cluster's grid, float32 (band, y, x).

        Parameters
        ----------
        fine : FineGrid
        seconds : ndarray, shape (y, x) of the points
            Exposure at the survey-average area, 0 where masked [s].
        used : ndarray of bool, same shape
            Points that are not masked.
        relative : ndarray, shape (band,)
            Exposure of each band over that of all modules used.
        particle_seconds : ndarray, shape (y, x) of the points, optional
            Exposure that no mirror vignettes [s], where there are no maps of it; default:
            `seconds`.
        """
        area = (60 * float(fine.frame.wcs.cdelt[1])) ** 2
        if self.maps:
            found = [fine.binned(fine.sample(m.values, m.wcs) * used) * area for m in self.maps]
            return np.stack(found).astype("f4")
        seen_with = self.telescope
        instrument = load_instrument(seen_with.instrument, vignetting=seen_with.area)
        background = instrument.background
        sky = fine.binned(seconds)
        particles = sky
        if self.unvignetted is not None:
            particles = fine.binned(self.unvignetted.sample(fine) * used)
        elif particle_seconds is not None:
            particles = fine.binned(particle_seconds * used)
        out = []
        for (lo, hi), share in zip(fine.grid.bands, relative, strict=True):
            of_sky, of_particles = background.rate(lo, hi)
            out.append((of_sky * sky + of_particles * particles) * (area * share))
        return np.stack(out).astype("f4")


def _pixel_arcmin2(plane: Plane) -> float:
    from astropy.wcs.utils import proj_plane_pixel_area

    return float(proj_plane_pixel_area(plane.wcs)) * 3600
