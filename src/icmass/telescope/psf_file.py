"""Point spread functions from FITS files: encircled energies, or an image at each energy.

A table has one row an energy: ENERGY (or ENERG_LO and ENERG_HI) [keV], and the vectors RADIUS
[arcsec] and EEF, the encircled energy. Images, one an extension, give their energy [keV] in the
keyword ENERGY and their pixels by CDELT1 and CUNIT1 (default: degrees); the source lies at
CRPIX1, CRPIX2. Units are those of TUNIT, CUNIT1 and ENERGYU. Images are averaged over azimuth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from icmass.errors import InputError
from icmass.telescope.ogip import FilePath, open_fits, read_column
from icmass.telescope.psf import TabulatedPSF

if TYPE_CHECKING:
    from astropy.io import fits

_PARTS = 4
"""Parts of a pixel along a side, each counted to the ring that its centre lies in."""


def read_psf(file: FilePath) -> TabulatedPSF:
    """Read a tabulated point spread function.

    Parameters
    ----------
    file : path
        FITS, plain or gzipped, with a table or with images as the module's docstring says.

    Returns
    -------
    TabulatedPSF

    Raises
    ------
    InputError
        If there is no such file, or it has neither.
    """
    try:
        with open_fits(file) as hdus:
            tables = [hdu for hdu in hdus if "EEF" in _names(hdu)]
            images = [hdu for hdu in hdus if hdu.is_image and np.ndim(hdu.data) == 2]
            if tables:
                return _of_table(tables[0], file)
            if images:
                return _of_images(images, file)
    except InputError as error:
        raise InputError(error.problem, file=file, field=error.field, hint=error.hint) from None
    raise InputError(
        "no table with a column EEF and no images",
        file=file,
        field="EEF",
        hint="give encircled energies (ENERGY, RADIUS, EEF) or an image at each energy",
    )


def _names(hdu: Any) -> list[str]:
    columns = getattr(hdu, "columns", None)
    return [] if columns is None else [name.upper() for name in columns.names]


def _factor(hdu: Any, key: str, unit: str, default: str, file: FilePath) -> float:
    """Return what turns the unit that a keyword names into ours."""
    from astropy import units as u

    written = str(hdu.header.get(key, default)).strip()
    try:
        return float(u.Unit(written).to(u.Unit(unit)))
    except (ValueError, u.UnitConversionError):
        raise InputError(f"unit {written!r} is not {unit}", file=file, field=key) from None


def _of_table(hdu: fits.BinTableHDU, file: FilePath) -> TabulatedPSF:
    if "ENERGY" in _names(hdu):
        energy = read_column(hdu, "ENERGY", file, unit="keV")
    else:
        low, high = (read_column(hdu, n, file, unit="keV") for n in ("ENERG_LO", "ENERG_HI"))
        energy = 0.5 * (low + high)
    radius = np.atleast_2d(read_column(hdu, "RADIUS", file, unit="arcsec"))
    inside = np.atleast_2d(read_column(hdu, "EEF", file, unit=""))
    if energy.ndim != 1 or inside.shape != radius.shape or (radius != radius[0]).any():
        raise InputError("every row must have the same radii", file=file, field="RADIUS")
    radius = radius[0]
    if radius[0] > 0:
        radius = np.concatenate([[0.0], radius])
        inside = np.hstack([np.zeros((len(inside), 1)), inside])
    return TabulatedPSF(energy, radius, inside)


def _of_images(hdus: list[Any], file: FilePath) -> TabulatedPSF:
    profiles, energies = [], []
    for hdu in hdus:
        if "ENERGY" not in hdu.header:
            raise InputError("no such keyword", file=file, field="ENERGY", hint="give it in keV")
        factor = _factor(hdu, "ENERGYU", "keV", "keV", file)
        energies.append(float(hdu.header["ENERGY"]) * factor)
        profiles.append(_rings(hdu, file))
    order = np.argsort(energies)
    reach = min(radius[-1] for radius, _ in profiles)
    radius = np.linspace(0, reach, min(len(radius) for radius, _ in profiles))
    inside = [np.interp(radius**2, profiles[i][0] ** 2, profiles[i][1]) for i in order]
    return TabulatedPSF(np.array(energies)[order], radius, np.array(inside))


def _rings(hdu: Any, file: FilePath) -> tuple[np.ndarray, np.ndarray]:
    """Return radii [arcsec] and what of an image lies within each.

    Rings are a pixel wide and end where the image does not hold them whole.
    """
    image = np.asarray(hdu.data, dtype=float)
    if not np.isfinite(image).all() or (image < 0).any() or not image.any():
        raise InputError("pixels must be finite, none negative, not all zero", file=file)
    if "CDELT1" not in hdu.header:
        raise InputError("no such keyword", file=file, field="CDELT1")
    pixel = abs(float(hdu.header["CDELT1"])) * _factor(hdu, "CUNIT1", "arcsec", "deg", file)
    ny, nx = image.shape
    x0 = float(hdu.header.get("CRPIX1", (nx + 1) / 2)) - 0.5
    y0 = float(hdu.header.get("CRPIX2", (ny + 1) / 2)) - 0.5
    reach = int(min(x0, y0, nx - x0, ny - y0))
    if reach < 2 or not pixel > 0:
        raise InputError("the source must lie inside the image", file=file, field="CRPIX1")
    parts = np.repeat(np.repeat(image, _PARTS, axis=0), _PARTS, axis=1) / _PARTS**2
    x = (np.arange(nx * _PARTS) + 0.5) / _PARTS - x0
    y = (np.arange(ny * _PARTS) + 0.5) / _PARTS - y0
    ring = np.hypot(x, y[:, None]).astype(int)
    inside = np.cumsum(np.bincount(ring.ravel(), parts.ravel(), reach)[:reach])
    return np.arange(reach + 1) * pixel, np.concatenate([[0.0], inside])
