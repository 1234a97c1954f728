"""What event files of EPIC-pn hold.

Formats: XMM-Newton Data Files Handbook, section 6.3 (events: X and Y in 0.05 arcsec, PI in channels
of 1 eV, PATTERN, FLAG, CCDNR 1 to 12; extensions STDGTInn, and GTI000nn of further time filters)
and Users Guide to SAS, section 4.3 (good events: FLAG == 0, PATTERN <= 4, singles and doubles).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from icmass.missions.mission import Cuts, EventColumns, ExposureRule, GoodTimes, Keys, Modules
from icmass.missions.names import Names

CHIPS = tuple(range(1, 13))
_DARK = ("CLOSED", "CALCLOSED", "CALTHIN1", "CALTHIN2", "CALMEDIUM", "CALTHICK")
_CHANNELS = {"chan": 1.0, "channel": 1.0, "channels": 1.0, "ev": 1.0, "kev": 1000.0}


def pixels_of_patterns(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the number of pixels of each event's PATTERN, 0 where it is invalid.

    PATTERN is 0 for singles, 1-4 doubles, 5-8 triples, 9-12 quadruples, each in four orientations,
    and more for what no X-ray makes.
    """
    pattern = np.asarray(columns["PATTERN"])
    is_valid = (pattern >= 0) & (pattern <= 12)
    return np.where(is_valid, (pattern + 3) // 4 + 1, 0)


def refused(keys: Keys) -> tuple[str, str, str] | None:
    """Return why a file is no image of the sky: keyword, problem and hint; None where it is one."""
    mode = str(keys.get("DATAMODE", "")).strip().upper()
    if mode in ("TIMING", "BURST"):
        return "DATAMODE", f"is {mode}: its events have no place on the sky", "give imaging modes"
    light = str(keys.get("FILTER", "")).strip().upper()
    if light in _DARK:
        return "FILTER", f"is {light}: no light of the sky", "give a file with an open filter"
    return None


def _chips(keys: Keys, stem: str) -> dict[int, float]:
    """Return the numbers above 0 that a keyword has for each chip, ``EXPOSU04`` and so on."""
    found = {chip: keys.get(f"{stem}{chip:02d}") for chip in CHIPS}
    return {
        chip: float(value)
        for chip, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    }


def live_fractions(keys: Keys) -> dict[int, float]:
    """Return the live time of each chip over its good time, LIVETInn over ONTIMEnn."""
    live, good = _chips(keys, "LIVETI"), _chips(keys, "ONTIME")
    fractions = {chip: live[chip] / good[chip] for chip in live if chip in good}
    return {chip: fraction for chip, fraction in fractions.items() if fraction <= 1}


def stated_exposure(keys: Keys) -> tuple[str, Any]:
    """Return the mean of the chips' exposures EXPOSUnn, or live times, or that of the whole."""
    for stem in ("EXPOSU", "LIVETI"):
        if seconds := _chips(keys, stem):
            return f"{stem}nn", float(np.mean(list(seconds.values())))
    key = "EXPOSURE" if "EXPOSURE" in keys else "LIVETIME"
    return key, keys.get(key)


NAMES = Names(
    observatory=frozenset({"XMM", "XMMNEWTON"}),
    is_other_instrument=lambda word, names_observatory: word not in ("EPN", "PN", "EPICPN"),
    settled_by=None,
    read="XMM-Newton EPIC-pn",
)
COLUMNS = EventColumns(
    choices={
        "PI": (("PI", 1.0),),
        "TM_NR": (("CCDNR", 1.0),),
        "FLAG": (("FLAG", 1.0),),
        "TIME": (("TIME", 1.0),),
    },
    units={"PI": _CHANNELS},
    sky_pixels=("X", "Y"),
    grades=("PATTERN",),
    n_pixels=pixels_of_patterns,
)
MODULES = Modules(numbers=CHIPS, are_telescopes=False)
CUTS = Cuts(flag=0xFFFFFFFF, pattern=0b0011)
GOOD_TIMES = GoodTimes(extension=re.compile(r"(?:STD)?GTI(?:\d{3})?(\d\d)?"), live=live_fractions)
_CAVEAT = "the cluster is on the axis, an exposure map knows the vignetting elsewhere"
EXPOSURE = ExposureRule(
    area="onaxis",
    of_good_time="good time intervals of the chips used, their mean",
    share="(chips: their mean)",
    caveat=_CAVEAT,
    caveat_of_pointing=_CAVEAT,
    stated=stated_exposure,
)
