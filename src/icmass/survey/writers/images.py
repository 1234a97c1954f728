"""Clusters as FITS images: counts, exposure, background and mask, on the pixels of their maps.

The pixels are those of the survey (comoving Mpc/h about the cluster), as a tangent plane with East
left, so that readers of images put every photon into its own pixel again.
"""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.missions.mission import AREA_WORDS
from icmass.survey.writers.cluster_view import Card, ClusterView, cluster_view
from icmass.survey.writers.files import new_file

_Path = str | os.PathLike[str]


What = Literal["counts", "exposure", "unvignetted", "mask", "background"]


def write_image(
    what: What,
    survey: xr.Dataset,
    cluster: int,
    path: _Path,
    *,
    band: int | None = None,
    ra: float | None = None,
    dec: float | None = None,
    instrument: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write an image of a cluster.

    Parameters
    ----------
    what : {"counts", "exposure", "unvignetted", "mask", "background"}
        Photons of all components [count]; exposure at the survey's area, 0 where masked [s];
        unvignetted exposure [s] and expected background [count] of surveys that have them; 1 where
        the cluster was seen, 0 elsewhere.
    survey : Dataset
    cluster : int
        Index of the cluster.
    path : path
        The file to write.
    band : int, optional
        Index of the band, which is then in EMIN1 and EMAX1 [keV]; default: all bands together, of
        exposures the longest.
    ra, dec : float, optional
        Where to put the cluster, ICRS [deg]; default: where the survey has it, else RA 150, Dec 2.
    instrument : str, optional
        Whose mission is named, of a survey whose instrument is of none.
    overwrite : bool
        Replace a file of that name.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If there is no such cluster, band or image, or the file exists already.
    """
    view = cluster_view(survey, cluster, ra=ra, dec=dec, instrument=instrument)
    values, unit, words = _PLANES[what](view, survey, cluster, band)
    cards: list[Card] = [("BUNIT", unit, words)]
    if what in ("counts", "background") or band is not None:
        cards += _energies(view, band)
    of_all = view.cards()
    if what == "unvignetted":  # seconds at no mirror's area
        of_all = [card for card in of_all if card[0] != "AREATYPE"]
    return _write(path, values, view, [*cards, *of_all], overwrite)


Plane = tuple[np.ndarray, str, str]


def _counts(view: ClusterView, survey: xr.Dataset, cluster: int, band: int | None) -> Plane:
    return _in_band(view, view.maps.sum(0), band).astype("i4"), "count", ""


def _exposure(view: ClusterView, survey: xr.Dataset, cluster: int, band: int | None) -> Plane:
    share = 1.0 if band is None else _in_band(view, view.band_exposure, band)
    seconds = view.exposure * view.coverage * share
    return seconds.astype("f4"), "s", f"{AREA_WORDS[view.observation.area]} of all modules"


def _unvignetted(view: ClusterView, survey: xr.Dataset, cluster: int, band: int | None) -> Plane:
    values = _variable(survey, "exposure_unvignetted", cluster)
    return values.astype("f4"), "s", "unvignetted, of all modules"


def _mask(view: ClusterView, survey: xr.Dataset, cluster: int, band: int | None) -> Plane:
    return (view.coverage > 0).astype("u1"), "", "1 = use"


def _background(view: ClusterView, survey: xr.Dataset, cluster: int, band: int | None) -> Plane:
    planes = _variable(survey, "background", cluster).astype(float)
    return _in_band(view, planes, band).astype("f4"), "count", "expected, not drawn"


_PLANES = {
    "counts": _counts,
    "exposure": _exposure,
    "unvignetted": _unvignetted,
    "mask": _mask,
    "background": _background,
}


def _variable(survey: xr.Dataset, name: str, cluster: int) -> np.ndarray:
    if name not in survey:
        raise InputError("the survey has none", field=f"variable {name}", hint="leave it out")
    return survey[name].isel(cluster=cluster).values


def write_images(
    survey: xr.Dataset,
    cluster: int,
    folder: _Path,
    *,
    stem: str | None = None,
    ra: float | None = None,
    dec: float | None = None,
    instrument: str | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write all images of a cluster into a folder: what `icmass predict --images` takes.

    One counts image a band (``STEM_0500_1200.fits``, eV), ``STEM_expmap.fits`` (one a band where
    their exposures differ), ``STEM_mask.fits`` and, of a survey with a variable ``background``,
    ``STEM_bkg_0500_1200.fits`` and so on.

    Parameters
    ----------
    survey, cluster, ra, dec, instrument, overwrite
        As in `write_image`.
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
    view = cluster_view(survey, cluster, ra=ra, dec=dec, instrument=instrument)
    folder, bands = Path(folder), enumerate(view.grid.bands)
    names = {band: f"{1000 * lo:04.0f}_{1000 * hi:04.0f}.fits" for band, (lo, hi) in bands}

    def path(what: str, name: str = "") -> Path:
        return folder / "_".join(part for part in (stem, what, name) if part)

    options: dict[str, Any] = {
        "ra": ra,
        "dec": dec,
        "instrument": instrument,
        "overwrite": overwrite,
    }
    files = [
        write_image("counts", survey, cluster, path("", name), band=band, **options)
        for band, name in names.items()
    ]
    if view.has_one_exposure:
        files.append(write_image("exposure", survey, cluster, path("expmap.fits"), **options))
    else:
        files += [
            write_image("exposure", survey, cluster, path("expmap", name), band=band, **options)
            for band, name in names.items()
        ]
    if "exposure_unvignetted" in survey:
        novig = path("expmap-novig.fits")
        files.append(write_image("unvignetted", survey, cluster, novig, **options))
    files.append(write_image("mask", survey, cluster, path("mask.fits"), **options))
    if "background" in survey:
        files += [
            write_image("background", survey, cluster, path("bkg", name), band=band, **options)
            for band, name in names.items()
        ]
    return files


def _in_band(view: ClusterView, planes: np.ndarray, band: int | None) -> np.ndarray:
    """Return one band of what has bands along its first axis, or the sum of all."""
    bands = view.grid.bands
    if band is None:
        return planes.sum(0)
    if not 0 <= band < len(bands):
        raise InputError(f"{band}: the survey has bands 0 to {len(bands) - 1}", field="band")
    return planes[band]


def _energies(view: ClusterView, band: int | None) -> list[Card]:
    """Return the keywords of the energies of a band, or of all together."""
    bands = view.grid.bands
    used = bands if band is None else bands[band : band + 1]
    if any(hi != lo for (_, hi), (lo, _) in pairwise(used)):
        return [("NENERGY", len(used), "number of energy bands, with gaps between them")]
    return [
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
    hdu.header.extend([*sky, ("RADESYS", "ICRS", ""), *cards])
    with new_file(path, overwrite=overwrite) as unfinished:
        hdu.writeto(unfinished)
    return Path(path)
