"""Clusters as event files of their instrument's mission, and the photons in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.missions.event_writing import DrawnEvents
from icmass.sky.bands import ENERGY_BANDS, band_label
from icmass.survey.writers.cluster_view import Card, ClusterView, cluster_view
from icmass.survey.writers.files import new_file
from icmass.survey.writers.pi_spectra import PiSpectra

if TYPE_CHECKING:
    from astropy.io.fits import BinTableHDU
    from astropy.wcs import WCS

EDGE = 0.01
"""Photons are placed no nearer to the edges of their pixel than this part of it."""
_CARD_CHARACTERS = 68  # of a text in a FITS card; more bands are narrow ones
_BLOCK = 1600  # sky pixels that the sky image is a multiple of, so that rebinning it is exact


def write_events(
    survey: xr.Dataset,
    cluster: int,
    path: str | os.PathLike[str],
    *,
    seed: int = 0,
    ra: float | None = None,
    dec: float | None = None,
    instrument: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the photons of a cluster's maps, all components together, as an event file.

    What a map does not keep is drawn: where in its pixel a photon fell, its energy within the band
    (`PiSpectra`), its time and its module. Binned again, each photon is in its own pixel and band.
    What part of the map was seen is for `icmass.survey.writers.images.write_image`.

    Parameters
    ----------
    survey : Dataset
    cluster : int
        Index of the cluster.
    path : path
        The file to write.
    seed : int
        Seed of what is drawn; other clusters draw from other streams.
    ra, dec : float, optional
        Where to put the cluster, ICRS [deg]; default: where the survey has it, else RA 150, Dec 2.
    instrument : str, optional
        Whose mission's file to write, of a survey whose instrument is of none.
    overwrite : bool
        Replace a file of that name.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If there is no such cluster, it has no photon, or the file exists already.
    """
    from astropy.io import fits

    view = cluster_view(survey, cluster, ra=ra, dec=dec, instrument=instrument)
    events = draw_events(
        view, np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(cluster,)))
    )
    primary = fits.PrimaryHDU()
    table = _table(events, view)
    for hdu in (primary, table):
        cards = [*view.cards(), *_drawn_within(view)]
        hdu.header.extend([*cards, *view.writing.observation_cards(view.observation)])
    gtis = [_gti(name, view) for name in view.writing.good_times]
    with new_file(path, overwrite=overwrite) as unfinished:
        fits.HDUList([primary, table, *gtis]).writeto(unfinished)
    return Path(path)


def _drawn_within(view: ClusterView) -> list[Card]:
    """Return the keyword that says how finely energies are known, if one card holds it."""
    bands = ",".join(band_label(band) for band in view.grid.bands)
    if len(bands) > _CARD_CHARACTERS:
        return []
    what = " / [keV] energies are drawn within"
    room = len(bands) + len(what) <= _CARD_CHARACTERS
    return [(ENERGY_BANDS, bands, what.removeprefix(" / ") if room else "")]


def draw_events(view: ClusterView, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the photons of a cluster's maps as columns, in order of time.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        Those of the mission, see `icmass.missions.event_writing.EventWriting`.
    """
    row, column, energy = _photons(view, rng)
    n = len(energy)
    if not n:
        raise InputError("has no photon in its maps", field=f"cluster {view.cluster}")
    order, edge = rng.permutation(n), _edge(view)
    at = rng.uniform(edge - 0.5, 0.5 - edge, (2, n)) + np.stack([column, row])[:, order]
    ra, dec = view.frame.wcs_pix2world(*at, 0)
    x, y = sky_frame(view).wcs_world2pix(ra, dec, 1)
    time = np.sort(rng.uniform(0, view.exposure, n))
    return view.writing.events(DrawnEvents(time, x, y, ra, dec, energy[order]), rng)


def _edge(view: ClusterView) -> float:
    """Return how near to the edges of their pixel photons are placed, as a part of it.

    Where positions are rounded to whole sky pixels, at least a sky pixel away.
    """
    writing = view.writing
    if not writing.whole_sky_pixels:
        return EDGE
    edge = max(EDGE, writing.sky_pixel_arcsec / _pixel_arcsec(view))
    if edge >= 0.5:
        raise InputError(
            f"has pixels of {_pixel_arcsec(view):.2g} arcsec, too small for event files with "
            f"positions in whole {writing.sky_pixel_arcsec:g} arcsec",
            field=f"cluster {view.cluster}",
            hint="give a survey with fewer pixels",
        )
    return edge


def _pixel_arcsec(view: ClusterView) -> float:
    return float(view.frame.wcs.cdelt[1]) * 3600


def _photons(
    view: ClusterView, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, column and energy [eV] of each photon of the maps, band by band."""
    spectra = PiSpectra(view)
    rows, columns, energies = [], [], []
    for name, maps in zip(view.survey["component"].values, view.maps, strict=True):
        if not maps.any():
            continue
        cumulative = spectra.cumulative(str(name))
        for band, counts in zip(view.grid.bands, maps, strict=True):
            row, column = np.nonzero(counts)
            number = counts[row, column]
            rows.append(np.repeat(row, number))
            columns.append(np.repeat(column, number))
            energies.append(spectra.draw(cumulative, band, int(number.sum()), rng))
    if not energies:
        return (np.zeros(0),) * 3
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(energies)


def sky_frame(view: ClusterView) -> WCS:
    """Return the WCS of the sky pixels: about the cluster, from 0.5, so many that all fits in."""
    from astropy.wcs import WCS

    writing, wcs = view.writing, WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{writing.projection}", f"DEC--{writing.projection}"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.crval = [view.ra, view.dec]
    wcs.wcs.crpix = [_sky_pixels(view) / 2 + 0.5] * 2
    wcs.wcs.cdelt = [-writing.sky_pixel_arcsec / 3600, writing.sky_pixel_arcsec / 3600]
    wcs.wcs.set()
    return wcs


def _sky_pixels(view: ClusterView) -> int:
    """Return the side of the sky image [sky pixels]."""
    side = view.grid.n_pixels * view.frame.wcs.cdelt[1] * 3600 / view.writing.sky_pixel_arcsec
    return _BLOCK * (int(side / _BLOCK) + 1)


def _table(events: dict[str, np.ndarray], view: ClusterView) -> BinTableHDU:
    """Return the extension EVENTS, with the WCS of X and Y as pixel list and as REF keywords."""
    from astropy.io import fits

    writing, columns = view.writing, []
    for name, values in events.items():
        form, unit, _ = writing.columns[name]
        zero = 2**31 if values.dtype == np.uint32 else None
        columns.append(fits.Column(name, form, unit or None, bzero=zero, array=values))
    hdu = fits.BinTableHDU.from_columns(columns, name="EVENTS")
    header, wcs, n = hdu.header, sky_frame(view).wcs, _sky_pixels(view)
    for i, name in enumerate(events, 1):
        header.comments[f"TTYPE{i}"] = writing.columns[name][2]
    for axis, (name, column) in enumerate(zip("XY", writing.sky_columns, strict=True)):
        i = list(events).index(column) + 1
        keys = {
            f"TCTYP{i}": wcs.ctype[axis],
            f"TCRPX{i}": wcs.crpix[axis],
            f"TCRVL{i}": wcs.crval[axis],
            f"TCDLT{i}": wcs.cdelt[axis],
            f"TCUNI{i}": "deg",
            f"TLMIN{i}": 0.5,
            f"TLMAX{i}": n + 0.5,
            f"REF{name}CTYP": wcs.ctype[axis],
            f"REF{name}CRPX": wcs.crpix[axis],
            f"REF{name}CRVL": wcs.crval[axis],
            f"REF{name}CDLT": wcs.cdelt[axis],
            f"REF{name}CUNI": "deg",
        }
        header.update(keys)
    header.extend(_OGIP | {"HDUCLAS1": "EVENTS", "HDUCLAS2": "ALL"})
    return hdu


_OGIP = {"HDUCLASS": "OGIP"}


def _gti(name: str, view: ClusterView) -> BinTableHDU:
    """Return the good time interval of a module: all of the exposure."""
    from astropy.io import fits

    columns = [
        fits.Column(column, "D", "s", array=np.array([value]))
        for column, value in (("START", 0.0), ("STOP", view.exposure))
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name=name)
    hdu.header.extend(
        [*view.writing.clock_cards, ("HDUCLASS", "OGIP", ""), ("HDUCLAS1", "GTI", "")]
    )
    return hdu
