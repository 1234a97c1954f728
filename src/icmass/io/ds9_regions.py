"""Areas of DS9 region files: every line is used, or named with the reason why not."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from icmass.errors import InputError
from icmass.files import no_file
from icmass.sky.map_grid import FineGrid

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

MAX_REGIONS = 10_000
MAX_BYTES = 2**24
MAX_RANGES = 20
"""So many line numbers, or ranges of them, are listed for each reason."""
_MAX_DEG = 30.0
_FRAMES = {"icrs", "fk5", "j2000", "fk4", "b1950", "galactic", "ecliptic"}
_PIXEL_FRAMES = {"image", "physical", "amplifier", "detector", "linear"}
_SHAPES = {"circle", "annulus", "ellipse", "box", "rotbox", "polygon"}
_NO_AREA = {"point", "line", "segment", "text", "vector", "ruler", "compass", "projection"}
_OTHER = {"panda", "cpanda", "epanda", "bpanda", "pie", "sector", "rectangle", "rotrectangle"}
_OTHER |= {"field", "composite", "bezier", "magnifier"}
_WCS = re.compile(r"wcs[a-z]?")
_STATEMENT = re.compile(
    r"[-+!]?\s*(?:(?:circle|box|diamond|cross|x|arrow|boxcircle)\s+)?([a-z]+)\b"
)


@dataclass(frozen=True)
class Refused:
    """A line that is not used, and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class Area:
    """A region of the `regions` package, and where it is.

    Attributes
    ----------
    line : int
        Line of the file.
    shape : SkyRegion or None
        None for circles, of which the rest says all.
    ra, dec : float
        Its centre, ICRS [deg].
    reach : float
        Largest distance of its outline from there [deg].
    """

    line: int
    shape: Any
    ra: float
    dec: float
    reach: float


class SkyRegions:
    """Areas to leave out, of which those near a cluster are looked at.

    Parameters
    ----------
    areas : sequence of Area
    """

    def __init__(self, areas: list[Area]) -> None:
        self.areas = areas
        self._ra, self._dec, self._reach = np.radians(
            [(area.ra, area.dec, area.reach) for area in areas]
        ).T

    def __len__(self) -> int:
        return len(self.areas)

    def cut(self, used: np.ndarray, fine: FineGrid) -> None:
        """Set the points of a cluster's grid that are in any area to False.

        Parameters
        ----------
        used : ndarray of bool, shape (y, x)
            Changed in place.
        fine : FineGrid
            The grid that the points are on.
        """
        a0, d0 = np.radians(fine.frame.wcs.crval)
        a, d = self._ra - a0, self._dec
        west = -np.cos(d) * np.sin(a)
        north = np.cos(d0) * np.sin(d) - np.sin(d0) * np.cos(d) * np.cos(a)
        forward = np.sin(d0) * np.sin(d) + np.cos(d0) * np.cos(d) * np.cos(a)
        away = np.arctan2(np.hypot(west, north), forward)
        corner = np.arctan(np.hypot(*_tangents(fine)[[0, 0]]))
        for i in np.flatnonzero(away <= self._reach + corner):
            area = self.areas[i]
            if area.shape is None:
                at = np.array([west[i], north[i], forward[i]])
                _cut_circle(used, at, float(self._reach[i]), fine)
            else:
                _cut_shape(used, area, fine)


def read_regions(file: str | Path, *, skip_bad: bool = False) -> tuple[SkyRegions, list[str]]:
    """Read a DS9 region file; all of its areas are to be left out, whatever their sign.

    Parameters
    ----------
    file : path
        Circles, ellipses, boxes, polygons and annuli in celestial coordinates.
    skip_bad : bool
        Go on without the lines that cannot be used.

    Returns
    -------
    regions : SkyRegions
    notes : list of str
        Which lines are not used, and why.

    Raises
    ------
    InputError
        If the file cannot be read, holds no area, or has a line that cannot be used.
    """
    file = Path(file)
    if not file.is_file():
        raise no_file(file, "give the path of a DS9 region file")
    if file.stat().st_size > MAX_BYTES:
        raise InputError(f"is larger than {MAX_BYTES >> 20} MiB", file=file)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("not a readable DS9 region file (it is no text)", file=file) from None
    areas: dict[str, list[Area]] = {}
    refused: list[Refused] = []
    for number, (line, frame, statement) in enumerate(_statements(text)):
        if number == MAX_REGIONS:
            raise InputError(f"holds more than {MAX_REGIONS} regions", file=file)
        try:
            areas.setdefault(frame, []).extend(_areas(line, frame, statement))
        except ValueError as error:
            refused.append(Refused(line, " ".join(str(error).split())[:100]))
    in_icrs = [area for frame, some in areas.items() for area in _to_icrs(some, frame)]
    return _checked(in_icrs, refused, file, skip_bad)


def _checked(
    areas: list[Area], refused: list[Refused], file: Path, skip_bad: bool
) -> tuple[SkyRegions, list[str]]:
    why = _listed(refused)
    if refused and not (skip_bad and areas):
        raise InputError(
            f"holds regions that cannot be used, {why}" if areas else f"holds no region, {why}",
            file=file,
            hint="correct or remove these lines, or leave them out with --skip-bad-regions"
            if areas
            else "give circles, ellipses, boxes, polygons or annuli in fk5 or icrs",
        )
    if not areas:
        raise InputError("holds no region", file=file, hint="give DS9 regions to be left out")
    return SkyRegions(areas), [f"{file}: not used: {why}"] if refused else []


def _listed(refused: list[Refused]) -> str:
    """Return in one line which lines were refused, by reason."""
    lines: dict[str, list[int]] = {}
    for one in refused:
        of_reason = lines.setdefault(one.reason, [])
        if one.line not in of_reason:
            of_reason.append(one.line)
    parts = [f"line{'s' * (len(n) > 1)} {_ranges(n)}: {why}" for why, n in lines.items()]
    return "; ".join(parts)


def _ranges(lines: list[int]) -> str:
    """Return numbers in order as text.

    Examples
    --------
    >>> _ranges([3, 4, 5, 9])
    '3-5, 9'
    """
    ranges: list[list[int]] = []
    for line in lines:
        if ranges and line == ranges[-1][1] + 1:
            ranges[-1][1] = line
        else:
            ranges.append([line, line])
    words = [f"{lo}" if lo == hi else f"{lo}-{hi}" for lo, hi in ranges[:MAX_RANGES]]
    rest = sum(hi - lo + 1 for lo, hi in ranges[MAX_RANGES:])
    return ", ".join(words) + (f" and {rest} more" if rest else "")


def _statements(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, coordinate frame in force and text of every region."""
    frame = ""
    for number, line in enumerate(text.splitlines(), 1):
        for part in line.split("#")[0].split(";"):
            statement = part.strip().removesuffix("||").strip()
            word, _, rest = statement.partition(" ")
            if _is_frame(word.lower()):
                frame, statement = word.lower(), rest.strip()
            if statement and word.lower() not in ("global", "tile"):
                yield number, frame, statement


def _is_frame(word: str) -> bool:
    return word in _FRAMES or word in _PIXEL_FRAMES or _WCS.fullmatch(word) is not None


def _areas(line: int, frame: str, statement: str) -> list[Area]:
    """Return the areas of a statement, in its frame; a ValueError says why there are none."""
    name = _STATEMENT.match(statement.lower())
    shape = name[1] if name else ""
    if shape in _NO_AREA:
        raise ValueError(f"a {shape} has no area")
    if shape in _OTHER:
        raise ValueError(f"the shape {shape} is not supported")
    if shape not in _SHAPES:
        raise ValueError(f"is no region that DS9 knows: {statement[:30]!r}")
    if not frame:
        raise ValueError("no coordinate frame (fk5, icrs, ...) is stated above it")
    if frame in _PIXEL_FRAMES:
        raise ValueError(f"regions in pixels ({frame}): save them in sky coordinates, fk5 or icrs")
    if frame not in _FRAMES:
        raise ValueError(f"the coordinates {frame} are not supported: save them in fk5 or icrs")
    return [_area(line, region) for region in _parsed(frame, shape, statement)]


def _parsed(frame: str, shape: str, statement: str) -> list[Any]:
    from regions import Regions

    plain = statement.lower().lstrip("-+! ").replace("rotbox", "box", 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = list(Regions.parse(f"{frame}\n{plain}", format="ds9"))
    except ValueError as error:
        raise ValueError(f"{shape}: {error}") from None
    except Exception:  # the parser raises many kinds where numbers are missing
        parsed = []
    if not parsed:
        raise ValueError(f"the numbers of a {shape} cannot be read: {statement[:40]!r}")
    return parsed


def _area(line: int, region: Any) -> Area:
    kind = type(region).__name__.removesuffix("SkyRegion").lower()
    if kind == "polygon":
        centre, reach = _hull(region.vertices)
    else:
        centre, reach = region.center, _reach_of(region, kind)
    place = centre.spherical
    numbers = (float(place.lon.deg), float(place.lat.deg), reach)
    if not np.isfinite(numbers).all():
        raise ValueError("has numbers that are not finite")
    if reach > (_MAX_DEG if kind != "circle" else 180.0):
        raise ValueError(f"the {kind} is larger than {_MAX_DEG:g} degrees")
    return Area(line, None if kind == "circle" else region, *numbers)


def _reach_of(region: Any, kind: str) -> float:
    """Return how far the outline of a region reaches from its centre [deg]."""
    if kind in ("circle", "circleannulus"):
        radius = region.radius if kind == "circle" else region.outer_radius
        return float(radius.to_value("deg"))
    outer = "outer_" if kind.endswith("annulus") else ""
    width, height = (
        getattr(region, outer + side).to_value("deg") / 2 for side in ("width", "height")
    )
    return float(np.hypot(width, height))


def _hull(vertices: SkyCoord) -> tuple[SkyCoord, float]:
    """Return a centre of a polygon and how far its corners are from there [deg]."""
    from astropy.coordinates import SkyCoord

    if len(vertices) < 3:
        raise ValueError("a polygon of fewer than three corners")
    mean = vertices.cartesian.mean()
    centre = SkyCoord(mean, frame=vertices.frame.replicate_without_data())
    return centre, float(vertices.separation(centre).deg.max())


def _to_icrs(areas: list[Area], frame: str) -> list[Area]:
    """Return areas whose centres are in a frame with their ICRS centres."""
    from astropy.coordinates import SkyCoord

    if not areas:
        return []
    lon, lat = ([getattr(area, name) for area in areas] for name in ("ra", "dec"))
    frame = {"j2000": "fk5", "b1950": "fk4", "ecliptic": "barycentricmeanecliptic"}.get(
        frame, frame
    )
    icrs = SkyCoord(lon, lat, unit="deg", frame=frame).icrs
    return [
        replace(area, ra=float(ra), dec=float(dec))
        for area, ra, dec in zip(areas, icrs.ra.deg, icrs.dec.deg, strict=True)
    ]


def _tangents(fine: FineGrid) -> np.ndarray:
    """Return the tangents of the angles of the points along a side from the map's centre."""
    scale = np.radians(float(fine.frame.wcs.cdelt[1]))
    return (fine.pixel - (fine.grid.n_pixels - 1) / 2) * scale


def _cut_circle(used: np.ndarray, at: np.ndarray, radius: float, fine: FineGrid) -> None:
    """Cut the points within an angle [rad] of a direction: to the West, the North, and forward."""
    side = _tangents(fine)
    rows = columns = slice(None)
    away = np.arctan2(np.hypot(at[0], at[1]), at[2])
    if away + radius < 1.5:
        span = (np.tan(away + radius) - np.tan(away)) * (1 + 1e-9)
        columns, rows = (
            slice(*np.searchsorted(side, [c - span, c + span])) for c in at[:2] / at[2]
        )
    x, y = side[columns], side[rows, None]
    inside = x * at[0] + y * at[1] + at[2] >= np.cos(radius) * np.sqrt(1 + x**2 + y**2)
    used[rows, columns][inside] = False


def _cut_shape(used: np.ndarray, area: Area, fine: FineGrid) -> None:
    from regions import PixCoord

    try:
        on_grid = area.shape.to_pixel(fine.frame)
        box = on_grid.bounding_box
        x, y = (
            slice(*np.searchsorted(fine.pixel, [low - 1, high + 1]))
            for low, high in ((box.ixmin, box.ixmax), (box.iymin, box.iymax))
        )
        grid = np.meshgrid(fine.pixel[x], fine.pixel[y])
        used[y, x] &= ~on_grid.contains(PixCoord(*grid))
    except (ValueError, NotImplementedError, TypeError, OverflowError) as error:
        what = f"line {area.line} cannot be laid on the map ({type(error).__name__})"
        raise InputError(what, field="--regions", hint="remove this region") from None
