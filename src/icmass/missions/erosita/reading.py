"""What eROSITA's event files hold.

Formats: EDR and DR1 calibrated event lists (erosita.mpe.mpg.de/dr1, "eROSITA standard FITS file
extensions"): EVENTS with RA and DEC [deg], PI [eV], TM_NR, FLAG, PAT_TYP and TIME [s], a GTI
extension per module.
"""

from __future__ import annotations

import re

from icmass.missions.erosita.catalogues import CATALOGUES
from icmass.missions.erosita.writing import WRITING
from icmass.missions.mission import (
    Cuts,
    EventColumns,
    EventFormat,
    ExposureRule,
    GoodTimes,
    LightLeak,
    Mission,
    Modules,
)
from icmass.missions.names import Names

_MODULE = re.compile(r"[TF]M[0-7]")
_TILE_NAME = re.compile(r"e[a-z]\d\d_(\d{3})(\d{3})_")


def _is_other_instrument(word: str, names_observatory: bool) -> bool:
    """Say whether an instrument is not one of eROSITA's; of SRG, ART-XC is the other one."""
    if _MODULE.fullmatch(word) or "EROSITA" in word:
        return False
    return not names_observatory or word.startswith("ART")


def tile_centre(name: str) -> tuple[float, float] | None:
    """Return the centre of a sky tile by its eSASS name, ``em01_RRRDDD_020_EventList_c010.fits``.

    RRR is the right ascension, DDD the distance from the North pole [deg].

    Examples
    --------
    >>> tile_centre("em01_093156_020_EventList_c010.fits.gz")
    (93.0, -66.0)
    """
    match = _TILE_NAME.match(name)
    return (float(match[1]), 90 - float(match[2])) if match else None


NAMES = Names(
    observatory=frozenset({"EROSITA", "SRG", "SRGEROSITA", "EROSITASRG", "SPECTRUMRG"}),
    is_other_instrument=_is_other_instrument,
    settled_by="EROSITA",
    read="eROSITA, real or by SIXTE",
)
COLUMNS = EventColumns(
    choices={
        "RA": (("RA", 1.0),),
        "DEC": (("DEC", 1.0),),
        "PI": (("PI", 1.0), ("ENERGY", 1000.0), ("SIGNAL", 1000.0)),
        "TM_NR": (("TM_NR", 1.0), ("CCDNR", 1.0)),
        "FLAG": (("FLAG", 1.0),),
        "PAT_TYP": (("PAT_TYP", 1.0),),
        "TIME": (("TIME", 1.0),),
    },
    energy_whatever_unit="PI",  # evtool writes deg on all that has no unit
)
#: FM1 in SIXTE's older files is TM1.
MODULES = Modules(numbers=(1, 2, 3, 4, 5, 6, 7), word=re.compile(r"[TF]M([1-7])"))
#: The standard of data release 1; 0xE000F000 leaves out bad events and pixels and the corners of
#: the field of view. Sunlight leaks into TM5 and TM7 (Predehl et al. 2021, A&A 647, A1, section 9).
CUTS = Cuts(flag=0xE000F000, pattern=15, light_leak=LightLeak((5, 7), 0.8, "LIGHTLEA"))
EXPOSURE = ExposureRule(
    area="survey",
    of_good_time="good time intervals of the modules used over seven",
    share="over seven",
    caveat="a source near the axis is seen with up to twice of it",
    caveat_of_pointing="a source near the axis of a pointing is seen with up to twice of it",
)
EVENTS = EventFormat(
    names=NAMES,
    columns=COLUMNS,
    modules=MODULES,
    cuts=CUTS,
    good_times=GoodTimes(
        extension=re.compile(r"(?:STD)?GTI([1-7])?"), dead_time=re.compile(r"DEADCOR([1-7])")
    ),
    exposure=EXPOSURE,
    writing=WRITING,
    tile_centre=tile_centre,
    tile_reach_deg=2.3,  # from a centre in whole degrees to the edge of a 3.6 deg tile
)
MISSION = Mission(
    name="erosita",
    title="eROSITA",
    instrument="erosita",
    events=EVENTS,
    catalogues=CATALOGUES,
)
