"""Clusters as FITS images: counts, exposure, background and mask, on the pixels of their maps.

The pixels are those of the survey (comoving Mpc/h about the cluster), as a tangent plane with East
left, so that readers of images put every photon into its own pixel again.
"""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.survey.writers.cluster_view import Card, ClusterView, cluster_view
from icmass.survey.writers.files import new_file

_Path = str | os.PathLike[str]


def write_counts_image(
    survey: xr.Dataset,
    cluster: int,
    path: _Path,
    *,
    band: int | None = None,
    ra: float | None = None,
    dec: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the photons of a cluster, all components together, as an image of counts a pixel.

    Parameters
    ----------
    survey : Dataset
    cluster : int
        Index of the cluster.
    path : path
        The file to write.
    band : int, optional
        Index of the band; default: all bands together. It is in EMIN1 and EMAX1 [keV].
    ra, dec : float, optional
        Where to put the cluster, ICRS [deg]; default: where the survey has it, else RA 150, Dec 2.
    overwrite : bool
        Replace a file of that name.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If there is no such cluster or band, or the file exists already.
    """
    view = cluster_view(survey, cluster, ra=ra, dec=dec)
    counts, cards = _in_band(view, view.maps.sum(0), band)
    return _write(path, counts.astype("i4"), view, [("BUNIT", "count", ""), *cards], overwrite)


def write_exposure_map(
    survey: xr.Dataset,
    cluster: int,
    path: _Path,
    *,
    band: int | None = None,
    ra: float | None = None,
    dec: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the exposure of each pixel [s at the survey-average area], 0 where masked.

    Parameters, what is returned and raised are those of `write_counts_image`; `band` matters only
    where bands have exposures of their own, and None is the longest of them.
    """
    view = cluster_view(survey, cluster, ra=ra, dec=dec)
    cards: list[Card] = [("BUNIT", "s", "at the survey-average area of all modules")]
    seconds = view.exposure * view.coverage
    if band is not None:
        cards += _in_band(view, view.maps[0], band)[1]
        seconds = seconds * view.band_exposure[band]
    return _write(path, seconds.astype("f4"), view, cards, overwrite)


def write_unvignetted_map(
    survey: xr.Dataset,
    cluster: int,
    path: _Path,
    *,
    ra: float | None = None,
    dec: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the unvignetted exposure of a survey that has it [s], 0 where masked.

    Parameters, what is returned and raised are those of `write_counts_image`.
    """
    view = cluster_view(survey, cluster, ra=ra, dec=dec)
    cards: list[Card] = [("BUNIT", "s", "unvignetted, of all modules")]
    seconds = survey["exposure_unvignetted"].isel(cluster=cluster).values
    return _write(path, seconds.astype("f4"), view, cards, overwrite)


def write_mask(
    survey: xr.Dataset,
    cluster: int,
    path: _Path,
    *,
    ra: float | None = None,
    dec: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the mask of a cluster: 1 where it was seen, 0 elsewhere.

    Parameters, what is returned and raised are those of `write_counts_image`.
    """
    view = cluster_view(survey, cluster, ra=ra, dec=dec)
    cards: list[Card] = [("BUNIT", "", "1 = use")]
    return _write(path, (view.coverage > 0).astype("u1"), view, cards, overwrite)


def write_background_map(
    survey: xr.Dataset,
    cluster: int,
    path: _Path,
    *,
    band: int | None = None,
    ra: float | None = None,
    dec: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the expected background of a survey that has a variable ``background`` [count].

    Parameters, what is returned and raised are those of `write_counts_image`.
    """
    view = cluster_view(survey, cluster, ra=ra, dec=dec)
    if "background" not in survey:
        raise InputError("the survey has none", field="variable background", mend="leave it out")
    plane = survey["background"].isel(cluster=cluster).transpose("band", "y", "x").values
    expected, cards = _in_band(view, plane.astype(float), band)
    cards = [("BUNIT", "count", "expected, not drawn"), *cards]
    return _write(path, expected.astype("f4"), view, cards, overwrite)


def write_images(
    survey: xr.Dataset,
    cluster: int,
    folder: _Path,
    *,
    stem: str | None = None,
    ra: float | None = None,
    dec: float | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write all images of a cluster into a folder: what `icmass predict --images` takes.

    One counts image a band (``STEM_0500_1200.fits``, eV), ``STEM_expmap.fits`` (one a band where
    their exposures differ), ``STEM_mask.fits`` and, of a survey with a variable ``background``,
    ``STEM_bkg_0500_1200.fits`` and so on.

    Parameters
    ----------
    survey, cluster, ra, dec, overwrite
        As in `write_counts_image`.
    folder : path
        Where to write; it is made if it isn't there.
    stem : str, optional
        Beginning of the names; default: ``cluster-00012``.

    Returns
    -------
    list of Path
        The files, counts images first.
    """
    stem = f"cluster-{cluster:05d}" if stem is None else stem
    view = cluster_view(survey, cluster, ra=ra, dec=dec)
    folder, bands = Path(folder), enumerate(view.grid.bands)
    names = {band: f"{1000 * lo:04.0f}_{1000 * hi:04.0f}.fits" for band, (lo, hi) in bands}

    def path(what: str, name: str = "") -> Path:
        return folder / "_".join(part for part in (stem, what, name) if part)

    options: dict[str, Any] = {"ra": ra, "dec": dec, "overwrite": overwrite}
    files = [
        write_counts_image(survey, cluster, path("", name), band=band, **options)
        for band, name in names.items()
    ]
    if view.has_one_exposure:
        files.append(write_exposure_map(survey, cluster, path("expmap.fits"), **options))
    else:
        files += [
            write_exposure_map(survey, cluster, path("expmap", name), band=band, **options)
            for band, name in names.items()
        ]
    if "exposure_unvignetted" in survey:
        files.append(write_unvignetted_map(survey, cluster, path("expmap-novig.fits"), **options))
    files.append(write_mask(survey, cluster, path("mask.fits"), **options))
    if "background" in survey:
        files += [
            write_background_map(survey, cluster, path("bkg", name), band=band, **options)
            for band, name in names.items()
        ]
    return files


def _in_band(
    view: ClusterView, planes: np.ndarray, band: int | None
) -> tuple[np.ndarray, list[Card]]:
    """Return an image of one band or the sum of all, and the keywords of its energies."""
    bands = view.grid.bands
    if band is None:
        used, image = bands, planes.sum(0)
    elif 0 <= band < len(bands):
        used, image = bands[band : band + 1], planes[band]
    else:
        raise InputError(f"{band}: the survey has bands 0 to {len(bands) - 1}", field="band")
    if any(hi != lo for (_, hi), (lo, _) in pairwise(used)):
        return image, [("NENERGY", len(used), "number of energy bands, with gaps between them")]
    return image, [
        ("NENERGY", 1, "number of energy bands"),
        ("EMIN1", used[0][0], "[keV] lower edge of the band"),
        ("EMAX1", used[-1][1], "[keV] upper edge of the band"),
    ]


def _write(
    path: _Path, values: np.ndarray, view: ClusterView, cards: list[Card], overwrite: bool
) -> Path:
    from astropy.io import fits

    wcs = view.frame.wcs
    sky: list[Card] = []
    for i in (1, 2):
        sky += [
            (f"CTYPE{i}", wcs.ctype[i - 1], "tangent plane"),
            (f"CUNIT{i}", "deg", ""),
            (f"CRPIX{i}", wcs.crpix[i - 1], "centre of the map"),
            (f"CRVAL{i}", wcs.crval[i - 1], "[deg] the cluster"),
            (f"CDELT{i}", wcs.cdelt[i - 1], "[deg]"),
        ]
    hdu = fits.PrimaryHDU(values)
    hdu.header.extend([*sky, ("RADESYS", "ICRS", ""), *cards, *view.cards()])
    with new_file(path, overwrite=overwrite) as unfinished:
        hdu.writeto(unfinished)
    return Path(path)
