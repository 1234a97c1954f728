"""What an exposure map holds: seconds, by its unit, and the area that they are at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from icmass.errors import InputError
from icmass.io.fits_images import Plane
from icmass.io.units import NO_UNIT, parse_unit
from icmass.missions.mission import AREA_WORDS, AreaType
from icmass.missions.registry import Telescope, telescope_of
from icmass.sky.bands import Band
from icmass.telescope.instrument import load_instrument

Kind = Literal["vignetted", "unvignetted", "survey"]
"""``vignetted``: relative to the area on axis; divided by the area of reference over it at the
map's band. ``unvignetted``: seconds within the field of view, which a scanned position spends all
over it. ``survey``: at the area of reference already."""
DEFAULT_BAND: Band = (0.5, 2.0)


def area_stated(keys: Mapping[str, Any]) -> AreaType | None:
    """Return the area that a header says its exposure is at (AREATYPE); None where it doesn't."""
    word = str(keys.get("AREATYPE", "")).strip().lower()
    return next((area for area in AREA_WORDS if word == area), None)


def survey_factor(
    band: Band, telescope: Telescope | None = None, area: AreaType = "onaxis"
) -> float:
    """Return the mission's area of reference over another, for a source of index 2.

    Parameters
    ----------
    band : (float, float)
        Measured energy [keV].
    telescope : Telescope, optional
        Default: that of the default mission, whose area of reference is the survey average.
    area : {"onaxis", "survey"}
        The other one.
    """
    telescope = telescope or telescope_of()
    energy = np.linspace(*band, 200)
    other = load_instrument(telescope.instrument, vignetting=area).area_cm2(energy)
    reference = load_instrument(telescope.instrument, vignetting=telescope.area).area_cm2(energy)
    weight = other / energy**2
    return float((reference / energy**2).sum() / weight.sum()) if weight.any() else 1.0


def map_divisors(
    planes: Sequence[Plane],
    bands: Sequence[Band],
    kind: Kind | None,
    telescope: Telescope,
    *,
    default: Kind,
) -> tuple[list[float], str]:
    """Return what makes seconds of exposure maps, and in plain words how they are taken.

    Parameters
    ----------
    planes : sequence of Plane
    bands : sequence of (float, float)
        The band that each is used in [keV].
    kind : {"vignetted", "unvignetted", "survey"} or None
        What the user says that they hold.
    telescope : Telescope
        Whose maps they are.
    default : {"vignetted", "unvignetted", "survey"}
        What they are taken for where neither the user nor AREATYPE says it.

    Returns
    -------
    divisors : list of float
        What each map is divided by: seconds at the area of reference are left.
    how : str

    Raises
    ------
    InputError
        If there is no such kind, a map states another one, or a unit that is not of time.
    """
    if kind not in (None, *get_args(Kind)):
        raise InputError(
            f"is {kind!r}", field="--expmap-kind", hint="give vignetted, unvignetted or survey"
        )
    taken = [_taken(plane, kind, telescope, default) for plane in planes]
    ratios = [each.ratio(band, telescope) for each, band in zip(taken, bands, strict=True)]
    of_kind: dict[_Taken, list[float]] = {}
    for each, ratio in zip(taken, ratios, strict=True):
        of_kind.setdefault(each, []).append(ratio)
    words = [each.words(float(np.mean(of)), telescope) for each, of in of_kind.items()]
    divisors = [
        ratio / seconds_per_unit(plane) for ratio, plane in zip(ratios, planes, strict=True)
    ]
    return divisors, "; ".join(words)


def seconds_per_unit(plane: Plane) -> float:
    """Return the seconds that 1 is in an exposure map (BUNIT), or refuse what is no time."""
    from astropy.units import UnitBase

    unit = str(plane.keys.get("BUNIT", "")).strip()
    if unit.lower() in NO_UNIT:
        return 1.0
    try:
        found = parse_unit(unit)
        seconds = float(found.to("s")) if isinstance(found, UnitBase) else 0.0  # no logarithm
    except (ValueError, ArithmeticError):
        seconds = 0.0
    if not 0 < seconds < np.inf:
        raise InputError(
            f"is {unit}, not a time",
            file=plane.file,
            field="keyword BUNIT",
            hint="give an exposure map in seconds, without the effective area",
        )
    return seconds


@dataclass(frozen=True)
class _Taken:
    """What a map is taken for; `area` is None of seconds that no mirror vignettes."""

    area: AreaType | None
    source: Literal["option", "header", "default"]

    def ratio(self, band: Band, telescope: Telescope) -> float:
        """Return the area of reference over the map's."""
        if self.area is None or self.area == telescope.area:
            return 1.0
        return survey_factor(band, telescope, self.area)

    def words(self, ratio: float, telescope: Telescope) -> str:
        return (
            self._what(ratio, telescope)
            + {
                "option": "",
                "header": ", as AREATYPE states",
                "default": ", as is assumed without AREATYPE: --expmap-kind tells otherwise",
            }[self.source]
        )

    def _what(self, ratio: float, telescope: Telescope) -> str:
        if self.area is None:
            return (
                "unvignetted exposure maps: each position spends its time all over the field of "
                "view, as in a scan"
            )
        if self.area == telescope.area:
            return f"exposure maps, in seconds {telescope.area_words}"
        if self.area == "onaxis":
            over = "the survey-average area over that on axis"
            return f"vignetted exposure maps over {ratio:.3f}, {over}"
        over = "the area on axis over the survey average"
        return f"exposure maps, in seconds {AREA_WORDS[self.area]}, over {ratio:.3f}, {over}"


def _taken(plane: Plane, kind: Kind | None, telescope: Telescope, default: Kind) -> _Taken:
    """Return what a map is taken for: what it states, or what the user says, or the default."""
    stated = area_stated(plane.keys)
    if kind is None and stated is not None:
        return _Taken(stated, "header")
    used = kind or default
    areas: dict[Kind, AreaType | None] = {
        "vignetted": "onaxis",
        "unvignetted": None,
        "survey": telescope.area,
    }
    area = areas[used]
    if stated not in (None, area) and not (area is None and stated == "survey"):
        taken = "takes it for unvignetted" if area is None else f"takes it {AREA_WORDS[area]}"
        raise InputError(
            f"is {stated.upper()}, --expmap-kind {used} {taken}",
            file=plane.file,
            field="keyword AREATYPE",
            hint="leave --expmap-kind out, or correct the keyword",
        )
    return _Taken(area, "default" if kind is None else "option")
