"""Where a telescope that points looked, and how much of its exposure each place has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from icmass.io.events import EventFile
from icmass.missions.registry import Telescope
from icmass.sky.map_grid import FineGrid
from icmass.telescope.field import FieldOfView
from icmass.telescope.instrument import load_instrument

SAME_ARCMIN = 1.0
"""Pointings that differ by no more are one."""
APART_ARCMIN = 3.0
"""Pointings of a telescope without a known field of view see the same place up to there."""


@dataclass(frozen=True)
class Pointing:
    """The field of view of one pointing.

    Attributes
    ----------
    ra, dec : float
        Its axis, ICRS [deg].
    field : FieldOfView
    is_vignetted : bool
        Whether exposures are at the area on axis, which falls off it; otherwise they are at the
        mean of the field, the same all over it.
    """

    ra: float
    dec: float
    field: FieldOfView
    is_vignetted: bool

    def share(self, fine: FineGrid) -> np.ndarray:
        """Return the exposure of the points of a grid over that on axis, float64 (y, x)."""
        theta = self._off_axis_arcmin(fine)
        return self.field.vignetting(theta) if self.is_vignetted else self.sees(fine).astype(float)

    def sees(self, fine: FineGrid) -> np.ndarray:
        """Return which points of a grid are in the field, bool (y, x)."""
        return self.field.sees(self._off_axis_arcmin(fine))

    def _off_axis_arcmin(self, fine: FineGrid) -> np.ndarray:
        """Return how far points are from the axis, in the cluster's tangent plane [arcmin]."""
        wcs = fine.frame.wcs
        away = np.radians(self.ra - wcs.crval[0])
        dec, dec0 = np.radians(self.dec), np.radians(wcs.crval[1])
        forward = np.sin(dec0) * np.sin(dec) + np.cos(dec0) * np.cos(dec) * np.cos(away)
        if forward <= 0:  # on the other side of the sky
            return np.full((len(fine.pixel),) * 2, np.inf)
        column, row = fine.frame.wcs_world2pix([self.ra], [self.dec], 0)
        pixels = np.hypot(fine.pixel[:, None] - row[0], fine.pixel - column[0])
        return pixels * float(wcs.cdelt[1]) * 60


def pointing_of(
    files: Sequence[EventFile], telescope: Telescope
) -> tuple[Pointing | None, tuple[str, ...]]:
    """Return the pointing that event files are of, and what to say where it is not known.

    None of a telescope that scans, and where the files do not tell one axis (RA_PNT, DEC_PNT).
    """
    field = load_instrument(telescope.instrument, vignetting=telescope.area).field_of_view
    if field is None:
        return None, ()
    known = _axes(files)
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    note = f"{files[0].file}{more}: RA_PNT and DEC_PNT tell no single pointing: the exposure is "
    note += "taken for the same all over the map: --expmap MAP knows better"
    if len(known) < len(files):
        return None, (note,)
    if _apart_arcmin(known) > SAME_ARCMIN:
        return None, (note,)
    return Pointing(*known[0], field, telescope.area == "onaxis"), ()


def apart_note(files: Sequence[EventFile]) -> tuple[str, ...]:
    """Return what to say of files whose exposures add up, though they look elsewhere."""
    apart = _apart_arcmin(_axes(files))
    if apart <= APART_ARCMIN:
        return ()
    return (
        f"{files[0].file} and {len(files) - 1} more: their pointings (RA_PNT, DEC_PNT) lie up to "
        f"{apart:.0f} arcmin apart, their exposures are added up as if all saw the whole map: "
        "--expmap MAP knows better",
    )


def _axes(files: Sequence[EventFile]) -> list[tuple[float, float]]:
    """Return RA_PNT and DEC_PNT of the files that have them, ICRS [deg]."""
    axes = [(file.keys.get("RA_PNT"), file.keys.get("DEC_PNT")) for file in files]
    return [
        (float(ra), float(dec))
        for ra, dec in axes
        if isinstance(ra, int | float) and isinstance(dec, int | float)
    ]


def _apart_arcmin(axes: Sequence[tuple[float, float]]) -> float:
    """Return how far the farthest axis is from the first; 0 of none."""
    if not axes:
        return 0.0
    ra, dec = axes[0]
    east = [(np.mod(a - ra + 180, 360) - 180) * np.cos(np.radians(dec)) for a, _ in axes]
    return float(np.hypot(east, [d - dec for _, d in axes]).max() * 60)
