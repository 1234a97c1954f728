"""Counts images of a real cluster, made into the same survey that the mock makes.

The photons of the images are laid on the cluster's comoving grid (East left, North up), the
exposure maps and the mask become its coverage. What only a mock knows is absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.io.exposure import given_exposure
from icmass.io.exposure_kinds import Kind, map_divisors
from icmass.io.fits_images import (
    Plane,
    check_counts,
    check_exposure,
    check_mask,
    check_same_grid,
    image_bands_of,
    read_plane,
)
from icmass.io.quantities import angle
from icmass.io.target import Target, check_target, gather_notes
from icmass.missions.registry import (
    DEFAULT_MISSION,
    Telescope,
    check_mission,
    telescope_of,
    unknown_note,
)
from icmass.plasma.absorption import DEFAULT_NH_1E20
from icmass.sky.bands import Band, band_label, find_tiles
from icmass.sky.map_grid import MapGrid, bin_photons, cluster_frame, sample_exposure
from icmass.survey.observed.clusters import (
    MIN_VISIBLE,
    check_min_visible,
    check_visible,
    cluster_values,
    survey_attrs,
    survey_in_memory,
)

if TYPE_CHECKING:
    from astropy.units import Quantity
    from astropy.wcs import WCS


@dataclass(frozen=True)
class Images:
    """The checked input, all on one pixel grid.

    Attributes
    ----------
    counts : list of ndarray, each int64 (y, x)
        Photon counts of each image.
    bands : list of (float, float)
        Energy band of each image [keV].
    exposure : list of ndarray, each float64 (y, x)
        Exposure of each image, in the unit of its map; where there is none, given seconds.
    exposure_maps : list of Plane
        The map of each image; none where seconds are given.
    mask : ndarray, bool (y, x)
        True where the images are used.
    wcs : astropy.wcs.WCS
        Celestial coordinates of the pixels.
    notes : tuple of str
        What was assumed of the files, a sentence each.
    """

    counts: list[np.ndarray]
    bands: list[Band]
    exposure: list[np.ndarray]
    exposure_maps: list[Plane]
    mask: np.ndarray
    wcs: WCS
    notes: tuple[str, ...] = ()


def survey_from_images(
    images: Sequence[str | Path],
    exposure_maps: Sequence[str | Path],
    *,
    ra: float | Quantity,
    dec: float | Quantity,
    redshift: float,
    grid: MapGrid,
    mask: str | Path | None = None,
    nh: float = DEFAULT_NH_1E20,
    image_bands: Sequence[Band] | None = None,
    min_visible: float = MIN_VISIBLE,
    exposure_kind: Kind | None = None,
    seconds: float | None = None,
    telescope: Telescope | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Return a survey of one cluster, in memory, from FITS counts images.

    Each photon is placed at random within its image pixel, then binned by its offset from the
    cluster in the tangent plane times the comoving distance: no photon is made or lost.

    Parameters
    ----------
    images : sequence of path
        Counts images; their bands have to tile the bands of `grid`.
    exposure_maps : sequence of path
        One exposure map for all images, or one for each [s, or the time of their BUNIT].
    ra, dec : float or Quantity
        Position of the cluster, ICRS [deg].
    redshift : float
        Redshift of the cluster.
    grid : MapGrid
        Bands, geometry and cosmology of the maps.
    mask : path, optional
        Image that is 1 where the images are used and 0 elsewhere.
    nh : float
        Galactic column density [1e20 cm^-2].
    image_bands : sequence of (float, float), optional
        Energy band of each image [keV]; default: of their headers or file names. A header that
        names another band is refused.
    min_visible : float
        Least visible fraction of the area inside `APERTURE_MPC_H`.
    exposure_kind : {"survey", "vignetted", "unvignetted"}, optional
        What the exposure maps hold, see `icmass.io.exposure_kinds.Kind`; default: what their
        AREATYPE states, else survey.
    seconds : float, optional
        Exposure in place of maps, the same all over the images, at the survey-average area [s].
    telescope : Telescope, optional
        What the images are read as.
    seed : int
        Seed of the photons' places within their pixels.

    Returns
    -------
    xarray.Dataset
        A survey with component ``observed``; ``attrs["observed"]`` is a JSON text of how it was
        made.

    Raises
    ------
    InputError
        If an image, a map or the position cannot be used.
    """
    place = angle(ra, "--ra", hours=True), angle(dec, "--dec", hours=False)
    target = check_target(Target("", *place, redshift, nh))
    check_min_visible(min_visible)
    telescope = telescope or telescope_of()
    loaded = read_images(
        images,
        exposure_maps,
        mask=mask,
        image_bands=image_bands,
        seconds=seconds,
        mission=telescope.mission,
    )
    tiles = {band: _tile(band, loaded.bands) for band in grid.bands}
    frame = cluster_frame(target.ra, target.dec, redshift=redshift, grid=grid)
    _check_inside(loaded, frame, file=images[0])
    used = sorted({i for parts in tiles.values() for i in parts})
    divisors, how = _seconds(loaded, used, exposure_kind, seconds, telescope)
    each = [loaded.exposure[i] / f for i, f in zip(used, divisors, strict=True)]
    exposed = loaded.mask * np.mean(each, axis=0)
    view = sample_exposure(exposed, loaded.wcs, frame, grid)
    check_visible(view, min_visible, file=mask or next(iter(exposure_maps), images[0]))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    maps = np.zeros((len(tiles), grid.n_pixels, grid.n_pixels), int)
    for band_map, parts in zip(maps, tiles.values(), strict=True):
        photons = (exposed > 0) * np.sum([loaded.counts[i] for i in parts], axis=0)
        band_map[:] = bin_photons(photons, loaded.wcs, frame, n_pixels=grid.n_pixels, rng=rng)
    facts = _facts(images, loaded, each, used=used, visible=exposed > 0)
    facts |= {"exposure": how, "masked": mask is not None, "min_visible": min_visible}
    facts |= {"mission": telescope.mission, "exposure_area": telescope.area}
    attrs = survey_attrs(grid, preset="images", seed=seed, facts=facts)
    return survey_in_memory([cluster_values(target, maps, view)], grid, attrs)


def read_images(
    images: Sequence[str | Path],
    exposure_maps: Sequence[str | Path],
    *,
    mask: str | Path | None = None,
    image_bands: Sequence[Band] | None = None,
    seconds: float | None = None,
    mission: str = DEFAULT_MISSION,
) -> Images:
    """Read and check counts images, their exposure maps and the mask (`survey_from_images`)."""
    _check_numbers(images, exposure_maps, image_bands, seconds)
    planes = [read_plane(file) for file in images]
    exposure_planes = [read_plane(file) for file in exposure_maps]
    mask_plane = read_plane(mask) if mask is not None else None
    for plane in exposure_planes:
        check_mission(plane.keys, plane.file, mission)
    silent = [plane.file for plane in planes if not check_mission(plane.keys, plane.file, mission)]
    check_same_grid([*planes, *exposure_planes, *([mask_plane] if mask_plane else [])])
    bands, said = image_bands_of(planes, image_bands)
    for i, band in enumerate(bands):
        if band in bands[:i]:
            raise InputError(
                f"band {band[0]:g}-{band[1]:g} keV is given twice",
                file=planes[i].file,
                hint="give one image a band, or name the bands with --image-bands",
            )
    maps = [replace(plane, values=check_exposure(plane)) for plane in exposure_planes]
    maps = maps * len(planes) if len(maps) == 1 else maps
    shape = planes[0].values.shape
    flat = [] if seconds is None else [np.full(shape, float(seconds))] * len(planes)
    notes = gather_notes((file, unknown_note(mission)) for file in silent)
    return Images(
        counts=[check_counts(plane) for plane in planes],
        bands=bands,
        exposure=flat or [plane.values for plane in maps],
        exposure_maps=maps,
        mask=check_mask(mask_plane) if mask_plane else np.ones(shape, bool),
        wcs=planes[0].wcs,
        notes=(*notes, *said),
    )


def _seconds(
    loaded: Images,
    used: Sequence[int],
    kind: Kind | None,
    seconds: float | None,
    telescope: Telescope,
) -> tuple[list[float], str]:
    """Return what makes seconds of the exposure of the images used, and how it is taken."""
    if seconds is not None:
        how = given_exposure(seconds, 1.0, where="images", telescope=telescope).assumption
        return [1.0] * len(used), how
    maps = [loaded.exposure_maps[i] for i in used]
    bands = [loaded.bands[i] for i in used]
    return map_divisors(maps, bands, kind, telescope, default="survey")


def _tile(band: Band, given: Sequence[Band]) -> list[int]:
    """Return the indices of the given bands that tile `band` exactly, in order of energy."""
    found = find_tiles(band, given)
    if found is None:
        have = ", ".join(band_label(each) for each in sorted(given))
        raise InputError(
            f"band {band_label(band)} keV isn't there: images give {have}",
            field="--images",
            hint=f"give images that tile the model's bands, or {how_to_get_bands(given)}",
        )
    return found


def how_to_get_bands(bands: Sequence[Band]) -> str:
    """Return how to get a model of the bands of some images, in commands."""
    tiles: list[Band] = []
    for lo, hi in sorted(bands, key=lambda band: (band[0], -band[1])):
        if not tiles or lo >= tiles[-1][1] - 1e-3:
            tiles.append((lo, hi))
    edges = ",".join(band_label(tile) for tile in tiles)
    model = "icm-1band" if len(tiles) == 1 else "icm-3band"
    return (
        f"make a model of theirs: icmass train --preset efeds --n 4000 --bands {edges} --model "
        f"{model} --out MODEL, then icmass predict MODEL --images ..."
    )


def _facts(
    images: Sequence[str | Path],
    loaded: Images,
    seconds: Sequence[np.ndarray],
    *,
    used: Sequence[int],
    visible: np.ndarray,
) -> dict[str, Any]:
    """Return how the survey was made, to be told beside a mass."""
    medians = [float(np.median(part[visible])) for part in seconds]
    return {
        "kind": "images",
        "files": [Path(images[i]).name for i in used],
        "image_bands": [band_label(loaded.bands[i]) for i in used],
        "bands_not_used": [band_label(b) for i, b in enumerate(loaded.bands) if i not in used],
        "exposure_maps_differ": round(max(medians) / max(min(medians), 1e-9) - 1, 4),
        "notes": list(loaded.notes),
    }


def _check_numbers(
    images: Sequence[object],
    exposure_maps: Sequence[object],
    bands: Sequence[object] | None,
    seconds: float | None,
) -> None:
    if not images:
        raise InputError("no counts image", field="--images", hint="give at least one")
    if seconds is not None:
        given_exposure(seconds, 1.0)
        if exposure_maps:
            raise InputError("give one of them", field="--exposure, --expmap")
    elif not exposure_maps:
        raise InputError(
            "is missing", field="--expmap", hint="give exposure maps, or --exposure SECONDS"
        )
    elif len(exposure_maps) not in (1, len(images)):
        raise InputError(
            f"{len(exposure_maps)} exposure maps for {len(images)} images",
            field="--expmap",
            hint="give one for all images, or one for each in their order",
        )
    if bands is not None and len(bands) != len(images):
        raise InputError(
            f"{len(bands)} bands for {len(images)} images",
            field="--image-bands",
            hint="give one for each image, in their order",
        )


def _check_inside(images: Images, frame: WCS, *, file: str | Path) -> None:
    """Refuse a position outside the images."""
    ra, dec = frame.wcs.crval
    x, y = (float(c) for c in images.wcs.world_to_pixel(frame.pixel_to_world(*frame.wcs.crpix - 1)))
    n_y, n_x = images.mask.shape
    if not (-0.5 <= x < n_x - 0.5 and -0.5 <= y < n_y - 0.5):
        raise InputError(
            f"RA {ra:g} Dec {dec:g} is outside: pixel ({x:.0f}, {y:.0f}) of {n_x}x{n_y}",
            file=file,
            field="--ra, --dec",
            hint="give a position [deg] inside the images",
        )
