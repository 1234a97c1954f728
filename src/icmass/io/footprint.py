"""Where on the sky a file's events or pixels lie, as a box, and which clusters reach into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from icmass.io.event_binning import Frames
from icmass.io.fits_images import Plane
from icmass.missions.registry import DEFAULT_MISSION, event_format

_BINS = 7200  # of right ascension, 0.05 deg
_MAP_POINTS = 33


@dataclass(frozen=True)
class SkyBox:
    """An area between two declinations and two right ascensions [deg].

    Attributes
    ----------
    ra, width : float
        Where it begins, and how far it goes on to the East.
    south, north : float
    """

    ra: float
    width: float
    south: float
    north: float

    def reached(self, frames: Frames) -> np.ndarray:
        """Return which clusters have maps that reach into the box, bool (n,)."""
        reach = reach_deg(frames)
        low, high = frames.dec - reach, frames.dec + reach
        sine = np.sin(np.radians(reach)) / np.maximum(np.cos(np.radians(frames.dec)), 1e-9)
        width = np.degrees(np.arcsin(np.clip(sine, 0, 1)))
        width = np.where((np.abs(low) < 89) & (np.abs(high) < 89), width, 180.0)
        west = frames.ra - width
        overlaps = np.mod(west - self.ra, 360) <= self.width
        overlaps |= np.mod(self.ra - west, 360) <= 2 * width
        return overlaps & (low <= self.north) & (high >= self.south)


def reach_deg(frames: Frames) -> np.ndarray:
    """Return how far the corners of maps are from their centres [deg], (n,)."""
    return np.degrees(np.arctan(frames.pixel * frames.n_pixels / np.sqrt(2)))


@dataclass
class Extent:
    """The box of places, which are added some at a time.

    Its right ascensions are what remains of the circle without the widest gap.
    """

    south: float = np.inf
    north: float = -np.inf
    _is_there: np.ndarray = field(default_factory=lambda: np.zeros(_BINS, bool))

    def add(self, ra: np.ndarray, dec: np.ndarray) -> Self:
        """Add places [deg]; those that are none are passed by."""
        good = (np.abs(ra) <= 720) & (np.abs(dec) <= 90)
        if good.any():
            self._is_there[np.int64(np.mod(ra[good], 360) / 360 * _BINS) % _BINS] = True
            self.south = min(self.south, float(dec[good].min()))
            self.north = max(self.north, float(dec[good].max()))
        return self

    def box(self, margin_deg: float = 0.0) -> SkyBox | None:
        """Return the box with a margin; None where no place was added."""
        bins = np.flatnonzero(self._is_there)
        if not len(bins):
            return None
        gaps = np.diff(bins, append=bins[0] + _BINS)
        last = int(np.argmax(gaps))
        step = 360 / _BINS
        around = max(abs(self.south), abs(self.north)) + margin_deg
        more = margin_deg / max(np.cos(np.radians(min(around, 90))), 1e-3)
        width = min((_BINS - gaps[last] + 1) * step + 2 * more, 360.0)
        start = float(bins[(last + 1) % len(bins)] * step - more)
        return SkyBox(start, float(width), self.south - margin_deg, self.north + margin_deg)


def box_of_plane(plane: Plane) -> SkyBox | None:
    """Return the box of an image of the sky, a little too large."""
    rows, columns = plane.values.shape
    x, y = (np.linspace(-0.5, n - 0.5, _MAP_POINTS) for n in (columns, rows))
    sky = plane.wcs.pixel_to_world(*np.meshgrid(x, y)).icrs
    ra, dec = np.asarray(sky.ra.deg).ravel(), np.asarray(sky.dec.deg).ravel()
    finite = np.isfinite(ra) & np.isfinite(dec)
    for pole in (-90.0, 90.0):
        if _holds(plane, pole):
            ra, dec = np.append(ra, np.arange(0, 360, 0.05)), np.append(dec, np.full(7200, pole))
            finite = np.append(finite, np.ones(7200, bool))
    scale = float(np.sqrt(np.abs(np.linalg.det(plane.wcs.pixel_scale_matrix))))
    return Extent().add(ra[finite], dec[finite]).box(max(rows, columns) / (_MAP_POINTS - 1) * scale)


def _holds(plane: Plane, dec: float) -> bool:
    from astropy.coordinates import SkyCoord

    try:
        x, y = plane.wcs.world_to_pixel(SkyCoord(0, dec, unit="deg"))
    except Exception:  # astropy raises many kinds for places that a projection has not
        return False
    rows, columns = plane.values.shape
    return bool(-1 <= x <= columns and -1 <= y <= rows)


def box_of_name(file: Path, mission: str = DEFAULT_MISSION) -> SkyBox | None:
    """Return the box of a sky tile by the name that its mission gave it; None where it tells none.

    Examples
    --------
    >>> box_of_name(Path("em01_093156_020_EventList_c010.fits.gz")).south
    -68.3
    >>> box_of_name(Path("events.fits"))
    """
    of_mission = event_format(mission)
    centre = of_mission.tile_centre(file.name)
    if centre is None:
        return None
    ra, dec = centre
    return Extent().add(np.array([ra]), np.array([dec])).box(of_mission.tile_reach_deg)


def any_reached(boxes: Sequence[SkyBox | None], frames: Frames) -> list[list[int]]:
    """Return the numbers of the boxes that each cluster's map reaches into."""
    found: list[list[int]] = [[] for _ in frames.ra]
    for number, box in enumerate(boxes):
        if box is not None:
            for cluster in np.flatnonzero(box.reached(frames)):
                found[cluster].append(number)
    return found
