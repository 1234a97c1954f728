"""FITS images of the sky: read, and checked before anything is made of them."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from icmass.errors import InputError
from icmass.files import no_file
from icmass.io.fits_stream import FitsStream, Hdu
from icmass.io.units import is_other_than_counts
from icmass.missions.names import KEYWORDS
from icmass.sky.bands import Band

if TYPE_CHECKING:
    from astropy.wcs import WCS

SAME_KEV = 1e-3
"""Edges of bands that differ by no more are one."""
SAME_WCS_PIXELS = 0.1
"""Images whose pixels agree on the sky to this fraction of a pixel are on the same grid."""

MAX_PIXELS = 2**28
MAX_EXPANDED = 2**28, 200
"""A compressed image may expand to so many bytes, or else to so many times its file's size."""
MAX_PHOTONS = 2**25
_WCS_KEYS = re.compile(
    r"NAXIS[1-9]?|WCSAXES|(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA)[1-9]|(PC|CD)[1-9]_[1-9]"
    r"|PC00[1-9]00[1-9]|PV[1-9]_\d\d?|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|EPOCH"
    r"|[AB]P?_(ORDER|\d_\d)"
)
"""Keywords of celestial coordinates; others (tables, look-ups, other axes) are not read."""
_TEXTS = re.compile(r"(CTYPE|CUNIT)[1-9]|RADESYS|RADECSYS")
_SMALL = re.compile(r"NAXIS|WCSAXES|[AB]P?_ORDER")
_MOST_KEV = 15.0
_PACKING = {"BYTEPIX": (1, 2, 4, 8), "BLOCKSIZE": range(1, 2**16), "SMOOTH": (0, 1)}
"""Values of parameters of tile compression, ZNAMEn and ZVALn, that make sense."""
_BITPIX = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


@dataclass(frozen=True)
class Plane:
    """One two-dimensional FITS image with its celestial coordinates.

    Attributes
    ----------
    file : Path
        Where it came from.
    values : ndarray, shape (y, x)
        The pixels.
    wcs : astropy.wcs.WCS
        Celestial coordinates, longitude along x.
    header_band : (float, float) or None
        Energy band that the header names (eSASS keywords EMIN1 and EMAX1) [keV].
    keys : dict
        Keywords that name the telescope (`icmass.missions.names.KEYWORDS`), the unit of the pixels
        and the area that an exposure is at (BUNIT, AREATYPE).
    """

    file: Path
    values: np.ndarray
    wcs: WCS
    header_band: Band | None
    keys: dict[str, Any] = field(default_factory=dict)


def read_plane(file: str | Path, *, without_pixels: bool = False) -> Plane:
    """Read the first two-dimensional image of a FITS file.

    Parameters
    ----------
    file : path
    without_pixels : bool
        Read what comes before the pixels only; they are then zeros that take no memory.

    Raises
    ------
    InputError
        If the file is missing, damaged, without an image or without celestial coordinates.
    """
    file = Path(file)
    if not file.is_file():
        raise no_file(file, "give the path of a FITS image")
    try:
        values, header = _first_image(file, without_pixels)
    except InputError as error:
        what = f"not a readable FITS file ({error.problem})"
        raise InputError(what, file=file, field=error.field, hint=error.hint) from None
    except Exception as error:  # astropy, gzip and zlib raise many kinds for a damaged file
        raise InputError(
            f"not a readable FITS file ({type(error).__name__})", file=file, hint="get it again"
        ) from None
    if values is None:
        raise InputError("has no two-dimensional image", file=file, hint="give a FITS image")
    keys = {key: header[key] for key in (*KEYWORDS, "BUNIT", "AREATYPE") if key in header}
    return Plane(file, values, _celestial(header, file), _header_band(header), keys)


def _first_image(file: Path, without_pixels: bool) -> tuple[np.ndarray | None, Any]:
    """Return the pixels (degenerate axes dropped, native byte order) and header of an image."""
    with FitsStream(file) as stream:
        for hdu in stream.hdus():
            packed = hdu.is_table and hdu.header.get("ZIMAGE") is True
            if not packed and hdu.index and hdu.kind != "IMAGE":
                continue
            shape = hdu.sizes("ZNAXIS") if packed else hdu.shape
            if sum(length > 1 for length in shape) == 2 and all(shape):
                _check_size(hdu, math.prod(shape), packed)
                lengths = [length for length in shape if length > 1]
                if without_pixels:
                    return np.broadcast_to(np.float32(0), lengths), hdu.header
                values = _unpacked(hdu) if packed else _pixels(hdu)
                return values.reshape(lengths), hdu.header
    return None, None


def _pixels(hdu: Hdu) -> np.ndarray:
    """Return the pixels of an image, scaled (BSCALE, BZERO), BLANK as NaN."""
    code = hdu.header.get("BITPIX")
    if code not in _BITPIX:
        raise hdu.damaged("BITPIX")
    stored = np.frombuffer(hdu.data(), _BITPIX[code])
    values = stored.astype(stored.dtype.newbyteorder("="))
    scale, zero = (hdu.header.get(key, default) for key, default in (("BSCALE", 1), ("BZERO", 0)))
    for key, number in (("BSCALE", scale), ("BZERO", zero)):
        if not _is_number(number):
            raise hdu.damaged(key)
    blank = hdu.header.get("BLANK") if code > 0 else None
    if (scale, zero) == (1, 0) and blank is None:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = values * float(scale) + float(zero)
    return scaled if blank is None else np.where(values == blank, np.nan, scaled)


def _unpacked(hdu: Hdu) -> np.ndarray:
    """Return the pixels of a tile-compressed image, of a file with nothing else in it."""
    from astropy.io import fits

    if "COMPRESSED_DATA" not in hdu.columns:  # which also looks at how many there are
        raise hdu.damaged("TTYPE1")
    _check_packing(hdu)
    header = fits.Header()
    for card in hdu.header.cards:
        if card.keyword not in header:  # of keywords that are there twice astropy takes the last
            header.append(card)
    whole = fits.PrimaryHDU().header.tostring() + header.tostring()
    content = whole.encode("ascii") + hdu.data()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(io.BytesIO(content + bytes(-len(content) % 2880))) as hdus:
            values = np.asarray(hdus[1].data)
            return values.astype(values.dtype.newbyteorder("="))


def _check_packing(hdu: Hdu) -> None:
    """Refuse parameters of compression that ask the decoder for memory without end."""
    if hdu.header.get("ZBITPIX") not in _BITPIX:
        raise hdu.damaged("ZBITPIX")
    for number in range(1, len(hdu.sizes("ZNAXIS")) + 1):
        tile = hdu.header.get(f"ZTILE{number}", 1)
        if type(tile) is not int or tile < 1:
            raise hdu.damaged(f"ZTILE{number}")
    for key in hdu.header:
        allowed = _PACKING.get(str(hdu.header[key]).strip().upper())
        value = key.replace("ZNAME", "ZVAL")
        if key.startswith("ZNAME") and allowed and hdu.header.get(value, 0) not in allowed:
            raise hdu.damaged(value)


def _check_size(hdu: Hdu, n_pixels: int, packed: bool) -> None:
    """Refuse images that would fill the memory, though their file is small or says nonsense."""
    stream = hdu.stream
    most, times = MAX_EXPANDED
    n_bytes = n_pixels * 8 if packed else hdu.data_bytes
    expands = packed or stream.gzipped
    if n_pixels > MAX_PIXELS or (expands and n_bytes > max(most, times * stream.stored_bytes)):
        raise InputError(
            f"an image of {n_pixels:,} pixels in a file of {stream.stored_bytes:,} bytes",
            file=stream.file,
            field=hdu.label,
            hint="cut out the cluster's field",
        )


def _celestial(header: Any, file: Path) -> WCS:
    from astropy.wcs import WCS

    hint = "give an image with RA and Dec axes (CTYPE, CRVAL, CRPIX, CDELT)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wcs = WCS(_celestial_keys(header))
            celestial = wcs.celestial if wcs.has_celestial else None
            if celestial is not None:
                at = celestial.pixel_to_world(*(celestial.wcs.crpix - 1))
                celestial.world_to_pixel(at)
        except Exception as error:  # wcslib reports a bad header in many ways
            what = " ".join(str(error).split())[:80]
            raise InputError(f"unusable ({what})", file=file, field="WCS", hint=hint) from None
        if celestial is None or (wcs.wcs.lng, wcs.wcs.lat) != (0, 1):
            raise InputError("is not celestial", file=file, field="WCS", hint=hint)
        return celestial


def _celestial_keys(header: Any) -> Any:
    """Return a header of the keywords of celestial coordinates alone.

    wcslib dies of hostile ones, such as thousands of axes.
    """
    from astropy.io.fits import Header

    kept = Header()
    for card in header.cards:
        if not _WCS_KEYS.fullmatch(card.keyword) or card.keyword in kept:
            continue
        if _TEXTS.fullmatch(card.keyword):
            sane = isinstance(card.value, str)
        elif _SMALL.fullmatch(card.keyword):
            sane = card.value in range(10)
        else:
            sane = card.keyword in ("EQUINOX", "EPOCH") or _is_number(card.value)
        if not sane:
            raise ValueError(f"{card.keyword} is {card.value}")
        kept[card.keyword] = card.value
    return kept


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _header_band(header: Any) -> Band | None:
    """Return the band of an eSASS image [keV]: EMIN1 and EMAX1, if it has a single band."""
    band = header.get("EMIN1"), header.get("EMAX1")
    if header.get("NENERGY", 1) != 1 or not all(isinstance(e, int | float) for e in band):
        return None
    lo, hi = (round(float(e), 4) for e in band)
    return (lo, hi) if 0 < lo < hi <= _MOST_KEV else None


def band_of(plane: Plane) -> Band:
    """Return the energy band of an image [keV], from its header or else from its file name.

    A name holds the band as ``_0600_1100`` [eV] or ``_0.6-1.1`` [keV].

    Raises
    ------
    InputError
        If neither names exactly one band.
    """
    if plane.header_band is not None:
        return plane.header_band
    name = plane.file.name
    in_ev = re.findall(r"(?<![\d.])(?=(\d{3,5})[_-](\d{3,5})(?!\d))", name)
    in_kev = re.findall(r"(?<![\d.])(\d{1,2}\.\d+)[_-](\d{1,2}\.\d+)(?!\d)", name)
    bands = {(float(lo) / 1e3, float(hi) / 1e3) for lo, hi in in_ev}
    bands |= {(float(lo), float(hi)) for lo, hi in in_kev}
    bands = {(lo, hi) for lo, hi in bands if 0.1 <= lo < hi <= _MOST_KEV}
    if len(bands) != 1:
        raise InputError(
            "neither its header (EMIN1, EMAX1) nor its name tells its energy band",
            file=plane.file,
            hint="give --image-bands, e.g. 0.6-1.1,1.1-2.2 [keV], in the order of the images",
        )
    return bands.pop()


def image_bands_of(
    planes: Sequence[Plane], given: Sequence[Band] | None
) -> tuple[list[Band], list[str]]:
    """Return the band of each image [keV], and what to say of given ones.

    Raises
    ------
    InputError
        If nothing tells a band, or the header of an image names another than is given.
    """
    if given is None:
        return [band_of(plane) for plane in planes], []
    notes = []
    for plane, band in zip(planes, given, strict=True):
        try:
            told = band_of(plane)
        except InputError:  # which is what the bands are given for
            continue
        if np.allclose(told, band, rtol=0, atol=SAME_KEV):
            continue
        is_of, said = (f"{lo:g}-{hi:g} keV" for lo, hi in (told, band))
        if plane.header_band is not None:
            raise InputError(
                f"is of {is_of}, --image-bands says {said}",
                file=plane.file,
                field="keywords EMIN1, EMAX1",
                hint="give the bands in the order of the images, or leave --image-bands out",
            )
        notes.append(f"{plane.file}: its name tells {is_of}, --image-bands {said}: that is taken")
    return list(given), notes


def parse_bands(text: str, field: str = "--image-bands") -> list[Band]:
    """Return the bands [keV] of a text such as ``0.6-1.1,1.1-2.2``."""
    bands = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d*\.?\d+)\s*-\s*(\d*\.?\d+)\s*", part)
        lo, hi = (float(e) for e in found.groups()) if found else (1.0, 0.0)
        if not 0 < lo < hi <= _MOST_KEV:
            raise InputError(
                f"{part.strip()!r} is not a band", field=field, hint="write 0.6-1.1 [keV]"
            )
        bands.append((lo, hi))
    return bands


def check_same_grid(planes: Sequence[Plane]) -> None:
    """Refuse images of different shape, or whose pixels lie elsewhere on the sky."""
    first = planes[0]
    n_y, n_x = first.values.shape
    corners = np.array([(0, 0), (n_x - 1, 0), (0, n_y - 1), (n_x - 1, n_y - 1)], float).T
    sky = first.wcs.pixel_to_world(*corners)
    hint = "bring all images, exposure maps and the mask to one grid"
    for plane in planes[1:]:
        shape = plane.values.shape
        if shape != (n_y, n_x):
            problem = f"has {shape[1]}x{shape[0]} pixels, {first.file.name} has {n_x}x{n_y}"
            raise InputError(problem, file=plane.file, hint=hint)
        shift = np.hypot(*(np.array(plane.wcs.world_to_pixel(sky)) - corners)).max()
        if not shift < SAME_WCS_PIXELS:
            problem = f"is up to {shift:.3g} pixels off that of {first.file.name}"
            raise InputError(problem, file=plane.file, field="WCS", hint=hint)


def check_counts(plane: Plane) -> np.ndarray:
    """Return the photon counts of an image as int64 (y, x), or refuse what counts cannot be."""
    refuse_rates(plane)
    values = plane.values
    _refuse_pixels(plane, ~np.isfinite(values), "not finite (NaN)", "a counts image has none")
    _refuse_pixels(plane, values < 0, "negative", "a counts image has none: subtract no background")
    fractional = values != np.rint(values)
    _refuse_pixels(plane, fractional, "not integer", "give counts, not rates or smoothed images")
    if (total := float(values.sum(dtype=float))) > MAX_PHOTONS:
        what = f"holds {total:.3g} counts, more than {MAX_PHOTONS:,}"
        raise InputError(what, file=plane.file, hint="cut out the cluster's field")
    return values.astype(np.int64)


def refuse_rates(plane: Plane) -> None:
    """Refuse an image whose unit (BUNIT) is none of counts; a text that is no unit says nothing."""
    unit = str(plane.keys.get("BUNIT", "")).strip()
    if is_other_than_counts(unit):
        hint = "give counts, not rates or smoothed images"
        raise InputError(f"is {unit}", file=plane.file, field="keyword BUNIT", hint=hint)


def check_exposure(plane: Plane) -> np.ndarray:
    """Return an exposure map as float64 (y, x) [s], or refuse what exposure cannot be."""
    refuse_no_exposure(plane)
    return plane.values.astype(float)


def refuse_no_exposure(plane: Plane) -> None:
    """Refuse what cannot be an exposure map."""
    hint = "an exposure map has 0 where nothing was seen"
    _refuse_pixels(plane, ~np.isfinite(plane.values), "not finite (NaN)", hint)
    _refuse_pixels(plane, plane.values < 0, "negative", hint)
    if not plane.values.any():
        raise InputError("exposure is zero everywhere", file=plane.file, hint="give seconds")


def check_mask(plane: Plane) -> np.ndarray:
    """Return a mask as bool (y, x), True where the image is used, or refuse other values."""
    odd = (plane.values != 0) & (plane.values != 1)
    _refuse_pixels(plane, odd, "neither 0 nor 1", "a mask has 1 where the image is used, else 0")
    return plane.values == 1


def _refuse_pixels(plane: Plane, bad: np.ndarray, what: str, hint: str) -> None:
    if n_bad := int(np.count_nonzero(bad)):
        raise InputError(f"{n_bad} of {bad.size} pixels are {what}", file=plane.file, hint=hint)
