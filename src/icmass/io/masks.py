"""What of the sky is left out: mask images, DS9 regions, point sources of a catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from icmass.io.ds9_regions import SkyRegions, read_regions
from icmass.io.fits_images import Plane, check_mask, read_plane
from icmass.io.sky_table import DEC, RA, column_of, find_column, read_columns
from icmass.observe.coverage import CoverageConfig
from icmass.sky.map_grid import FineGrid

if TYPE_CHECKING:
    from astropy.wcs import WCS

COUNTS = ("ML_CTS_0", "ML_CTS_1", "ML_CTS", "COUNTS")
"""Columns of counts of a source catalogue, the first that is there (eSASS ermldet)."""
EXTENTS = ("EXT", "EXT_LIKE")


@dataclass(frozen=True)
class Sources:
    """Point sources to be masked.

    Attributes
    ----------
    ra, dec : ndarray, shape (n,)
        Positions, ICRS [deg].
    radius : ndarray, shape (n,)
        Radius of each hole [arcsec].
    """

    ra: np.ndarray
    dec: np.ndarray
    radius: np.ndarray


@dataclass(frozen=True)
class Masks:
    """Everything that hides a part of the sky.

    Attributes
    ----------
    image : Plane or None
        1 where the sky is used, 0 elsewhere; outside the image nothing is used.
    regions : SkyRegions or None
        Areas to leave out.
    sources : Sources or None
        Point sources; those within `spare_arcsec` of a cluster's centre are not told from it.
    spare_arcsec : float
    notes : tuple of str
        What is not used, a sentence each.
    files : tuple of str
        What they were read from.
    """

    image: Plane | None = None
    regions: SkyRegions | None = None
    sources: Sources | None = None
    spare_arcsec: float = 25.0
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.image is not None or self.regions is not None or self.sources is not None

    def missed(self, ra: np.ndarray, dec: np.ndarray, reach: np.ndarray) -> list[str]:
        """Return what lies in no map and hides nothing, a sentence each: files of another field?

        Parameters
        ----------
        ra, dec : ndarray, shape (clusters,)
            Centres of the maps, ICRS [deg].
        reach : ndarray, shape (clusters,)
            Distance of their corners [deg].
        """
        places = {}
        if self.regions is not None:
            areas = self.regions.areas
            places["regions"] = np.array([(area.ra, area.dec, area.reach) for area in areas])
        if self.sources is not None:
            some = self.sources
            places["sources"] = np.stack([some.ra, some.dec, some.radius / 3600], 1)
        where = "the map" if len(ra) == 1 else f"any of the {len(ra)} maps"
        return [
            f"{what} to be masked: none of {len(of)} lies within {where}, nothing is hidden by them"
            for what, of in places.items()
            if not _any_near(of, ra, dec, reach)
        ]

    def used(self, fine: FineGrid) -> np.ndarray:
        """Return which of the points of a cluster's grid are used, bool (y, x)."""
        n = len(fine.pixel)
        used = np.ones((n, n), bool)
        if self.image is not None:
            used &= fine.sample((self.image.values == 1).astype(float), self.image.wcs) > 0.5
        if self.regions is not None:
            self.regions.cut(used, fine)
        if self.sources is not None:
            _cut_sources(used, self.sources, self.spare_arcsec, fine)
        return used


def read_masks(
    image: str | Path | None = None,
    regions: str | Path | None = None,
    sources: str | Path | None = None,
    *,
    config: CoverageConfig | None = None,
    skip_bad_regions: bool = False,
) -> Masks:
    """Read what is to be masked.

    Parameters
    ----------
    image : path, optional
        FITS image, 1 where the sky is used.
    regions : path, optional
        DS9 region file in sky coordinates; all of its regions are left out.
    sources : path, optional
        Source catalogue with the positions that a table of clusters has (`sky_table.RA`), as eSASS'
        ermldet or the public catalogues. Sources with an extent (EXT or EXT_LIKE above 0) stay;
        where counts are given, those of fewer than `config.mask_counts` too.
    config : CoverageConfig, optional
        Size of the holes: as in the mocks by default, 30 arcsec at 12 counts, growing with the cube
        root of the counts.
    skip_bad_regions : bool
        Go on without the lines of `regions` that cannot be used; `Masks.notes` names them.

    Raises
    ------
    InputError
        If a file cannot be used.
    """
    config = config or CoverageConfig()
    plane = None
    if image is not None:
        plane = read_plane(image)
        check_mask(plane)
    areas, notes = None, list[str]()
    if regions is not None:
        areas, notes = read_regions(regions, skip_bad=skip_bad_regions)
    return Masks(
        image=plane,
        regions=areas,
        sources=None if sources is None else _read_sources(Path(sources), config),
        spare_arcsec=config.spare_radius_arcsec,
        notes=tuple(notes),
        files=tuple(str(file) for file in (image, regions, sources) if file is not None),
    )


def _any_near(places: np.ndarray, ra: np.ndarray, dec: np.ndarray, reach: np.ndarray) -> bool:
    """Return whether circles (ra, dec, radius), shape (n, 3), touch a map; sooner yes than no."""
    from scipy.spatial import cKDTree

    if not len(places):
        return False
    away, _ = cKDTree(_directions(places[:, 0], places[:, 1])).query(_directions(ra, dec))
    most = np.radians(np.minimum(reach + places[:, 2].max(), 180))
    return bool((away <= 2 * np.sin(most / 2)).any())


def _directions(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], -1)


def _read_sources(file: Path, config: CoverageConfig) -> Sources:
    columns = read_columns(file, (*EXTENTS, *COUNTS), (RA, DEC))
    ra = column_of(columns, RA, file).angles(hours=True)
    dec = column_of(columns, DEC, file).angles(hours=False)
    kept = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90)
    for name in EXTENTS:
        if (extent := find_column(columns, (name,))) is not None:
            kept &= ~(extent.plain_numbers() > 0)
    radius = np.full(len(ra), config.mask_radius_arcsec)
    of_counts = find_column(columns, COUNTS)
    if of_counts is not None:
        counts = of_counts.plain_numbers()
        kept &= counts >= config.mask_counts
        radius = radius * np.cbrt(np.maximum(counts, 0) / config.mask_counts)
    return Sources(ra[kept], dec[kept], radius[kept])


def _cut_sources(used: np.ndarray, sources: Sources, spare: float, fine: FineGrid) -> None:
    for x, y, radius in zip(*_on_grid(sources, spare, fine.frame), strict=True):
        rows, columns = (
            slice(*np.searchsorted(fine.pixel, [at - radius, at + radius])) for at in (y, x)
        )
        hole = np.hypot(fine.pixel[columns] - x, fine.pixel[rows, None] - y) <= radius
        used[rows, columns][hole] = False


def _on_grid(
    sources: Sources, spare: float, frame: WCS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixel coordinates and radii of the sources that touch a cluster's grid."""
    ra0, dec0 = frame.wcs.crval
    scale = float(frame.wcs.cdelt[1]) * 3600
    reach = np.hypot(*frame.wcs.crpix) * scale
    a, d, d0 = np.radians(sources.ra - ra0), np.radians(sources.dec), np.radians(dec0)
    forward = np.sin(d0) * np.sin(d) + np.cos(d0) * np.cos(d) * np.cos(a)
    near = np.degrees(np.arccos(np.clip(forward, -1, 1))) * 3600 < reach + sources.radius
    near &= forward > 0
    ra, dec, radius = sources.ra[near], sources.dec[near], sources.radius[near] / scale
    x, y = frame.wcs_world2pix(ra, dec, 0) if near.any() else (np.zeros(0), np.zeros(0))
    centre = frame.wcs.crpix - 1
    away = np.hypot(x - centre[0], y - centre[1]) * scale > spare
    return x[away], y[away], radius[away]
