"""Mock event files as SAS makes them of EPIC-pn in full frame, medium filter.

Columns: XMM-Newton Data Files Handbook, table 32. What no map keeps (chip, raw pixel) is drawn
evenly; there are no detector coordinates, as a mock has no attitude.
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

N_CHIPS = 12
_CHIP_PIXELS = 64, 200
_EV_OF_PHA = 5.0
_COLUMNS = {
    "TIME": ("D", "s", "seconds since the mock observation began"),
    "RAWX": ("I", "pixel", "drawn evenly: maps do not keep it"),
    "RAWY": ("I", "pixel", "drawn evenly: maps do not keep it"),
    "X": ("J", "0.05 arcsec", "sky position, TAN projection"),
    "Y": ("J", "0.05 arcsec", "sky position, TAN projection"),
    "PHA": ("I", "CHAN", "PI / 5: maps keep no raw amplitude"),
    "PI": ("I", "CHAN", "calibrated energy, 1 eV a channel"),
    "FLAG": ("J", "", "0: all are good"),
    "PATTERN": ("B", "", "0: all are single-pixel events"),
    "CCDNR": ("B", "", "chip, drawn evenly"),
}


def _telescope_cards(instrument: str) -> list[Card]:
    return [("TELESCOP", "XMM", "telescope"), ("INSTRUME", "EPN", "instrument")]


def _exposure_cards(mock: MockObservation) -> list[Card]:
    kinds = {"survey": "mean area of the field of view", "onaxis": "area on axis"}
    return [
        ("EXPOSURE", mock.exposure, f"[s] {kinds[mock.area]}"),
        ("AREATYPE", mock.area.upper(), "what area the exposure is at"),
    ]


def _observation_cards(mock: MockObservation) -> list[Card]:
    times = [("ONTIME", "good time"), ("LIVETI", "live time"), ("EXPOSU", "exposure")]
    return [
        ("OBS_MODE", "POINTING", "mode of observation"),
        ("DATAMODE", "IMAGING", "mode of data"),
        ("SUBMODE", "PrimeFullWindow", "full frame"),
        ("FILTER", "Medium", "filter"),
        ("RA_PNT", mock.ra, "[deg] right ascension, map centre"),
        ("DEC_PNT", mock.dec, "[deg] declination, map centre"),
        ("RADECSYS", "ICRS", "frame of positions, old keyword"),
        ("RADESYS", "ICRS", "frame of positions"),
        ("EQUINOX", 2000.0, "equinox"),
        ("TSTART", 0.0, "[s] begin"),
        ("TSTOP", mock.exposure, "[s] end"),
        ("ONTIME", mock.exposure, "[s] good time"),
        ("LIVETIME", mock.exposure, "[s] live time"),
        *[
            (f"{stem}{chip:02d}", mock.exposure, f"[s] {of} of chip {chip}")
            for stem, of in times
            for chip in range(1, N_CHIPS + 1)
        ],
        *_CLOCK,
    ]


def _events(drawn: DrawnEvents, rng: np.random.Generator) -> dict[str, np.ndarray]:
    n = len(drawn.time)
    energy = np.rint(drawn.energy)
    return {
        "TIME": drawn.time,
        "RAWX": rng.integers(1, _CHIP_PIXELS[0] + 1, n, "i2"),
        "RAWY": rng.integers(1, _CHIP_PIXELS[1] + 1, n, "i2"),
        "X": np.rint(drawn.x).astype("i4"),
        "Y": np.rint(drawn.y).astype("i4"),
        "PHA": np.rint(energy / _EV_OF_PHA).astype("i2"),
        "PI": energy.astype("i2"),
        "FLAG": np.zeros(n, "i4"),
        "PATTERN": np.zeros(n, "u1"),
        "CCDNR": rng.integers(1, N_CHIPS + 1, n, "u1"),
    }


_CLOCK = clock_cards(50814.0)  # 1998-01-01T00:00:00 TT
WRITING = EventWriting(
    telescope_cards=_telescope_cards,
    exposure_cards=_exposure_cards,
    observation_cards=_observation_cards,
    clock_cards=_CLOCK,
    columns=_COLUMNS,
    events=_events,
    sky_columns=("X", "Y"),
    sky_pixel_arcsec=0.05,
    projection="TAN",
    whole_sky_pixels=True,
    good_times=[f"STDGTI{chip:02d}" for chip in range(1, N_CHIPS + 1)],
)
