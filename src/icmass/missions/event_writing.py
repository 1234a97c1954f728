"""How a mission's event files are written: columns, keywords and good time intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from icmass.missions.mission import AreaType

Card = tuple[str, str | float | int | bool, str]


def clock_cards(mjd_reference: float) -> tuple[Card, ...]:
    """Return the keywords of TIME: seconds of terrestrial time since a date [MJD]."""
    return (
        ("MJDREF", mjd_reference, "[d] zero of TIME"),
        ("TIMEUNIT", "s", "unit of TIME"),
        ("TIMEZERO", 0.0, "[s] clock correction"),
        ("TIMESYS", "TT", "time system"),
    )


@dataclass(frozen=True)
class DrawnEvents:
    """Photons of a mock in order of time, n of them, to be written as a mission's events.

    Attributes
    ----------
    time : ndarray, shape (n,)
        Since the observation began [s].
    x, y : ndarray, shape (n,)
        Pixels of the sky image, from 1.
    ra, dec : ndarray, shape (n,)
        ICRS [deg].
    energy : ndarray, shape (n,)
        Measured energy [eV].
    """

    time: np.ndarray
    x: np.ndarray
    y: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    energy: np.ndarray


@dataclass(frozen=True)
class MockObservation:
    """What is said of a mock's observation.

    Attributes
    ----------
    instrument : str
        Name of the survey's instrument.
    exposure : float
        [s]
    area : {"survey", "onaxis"}
        The area that the exposure is at.
    ra, dec : float
        Centre of the map, ICRS [deg].
    """

    instrument: str
    exposure: float
    area: AreaType
    ra: float
    dec: float


@dataclass(frozen=True)
class EventWriting:
    """How mock event files of a mission are written.

    Attributes
    ----------
    telescope_cards : callable
        Keywords of every file that name the telescope, given the name of the instrument.
    exposure_cards : callable
        Keywords of every file on the exposure.
    observation_cards : callable
        Further keywords of event files.
    clock_cards : tuple of (str, value, str)
        What TIME counts from and in.
    columns : dict of str to (str, str, str)
        FITS format, unit and comment of each column.
    events : callable
        Returns the columns of drawn photons; what a map does not keep is drawn.
    sky_columns : (str, str)
        The columns with celestial coordinates.
    sky_pixel_arcsec : float
        Their pixel.
    projection : str
        ``SIN`` or ``TAN``.
    whole_sky_pixels : bool
        Whether they are rounded to whole pixels.
    good_times : sequence of str
        Names of the extensions of good time intervals.
    """

    telescope_cards: Callable[[str], list[Card]]
    exposure_cards: Callable[[MockObservation], list[Card]]
    observation_cards: Callable[[MockObservation], list[Card]]
    clock_cards: tuple[Card, ...]
    columns: dict[str, tuple[str, str, str]]
    events: Callable[[DrawnEvents, np.random.Generator], dict[str, np.ndarray]]
    sky_columns: tuple[str, str]
    sky_pixel_arcsec: float
    projection: str
    whole_sky_pixels: bool
    good_times: Sequence[str]
