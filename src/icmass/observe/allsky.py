"""Sightlines of an all-sky survey: position, exposure and Galactic absorption of each cluster.

eROSITA scans great circles through the poles of the ecliptic, whose plane turns with the Sun: half
a year sees the whole sky once. The time on a place is then known from geometry alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.special import ellipe, ellipkm1

from icmass.errors import InputError
from icmass.parameter import parameter
from icmass.universe.references import BULBUL_2024

L_WEST_DEG = (179.94423568, 359.94423568)
"""Galactic longitudes whose data belong to the German consortium [deg]: the half sky of the public
releases (eROSITA-DE data release page; Merloni et al. 2024, A&A 682, A34)."""

_NGP_RA_DEG, _NGP_DEC_DEG, _NCP_L_DEG = 192.85948, 27.12825, 122.93192
"""North Galactic pole in the ICRS, and the longitude of the celestial pole [deg] (Hipparcos
catalogue, ESA 1997, volume 1, section 1.5.3)."""

_OBLIQUITY_DEG = 23.4392911
"""Obliquity of the ecliptic at J2000 [deg] (IAU 1976)."""

_SIN_B = np.sin(np.radians([11.1, 14.8, 19.8, 25, 30, 35, 39.8, 44.9, 50, 55, 61.3, 69.6, 79.4]))
_LN_NH = {
    sign: np.log(median)
    for sign, median in {
        1: [11.4, 8.5, 6.1, 5.0, 4.7, 4.6, 4.2, 3.6, 3.2, 2.6, 1.9, 1.8, 1.8],
        -1: [15.1, 10.0, 7.7, 6.2, 5.0, 4.2, 3.0, 2.7, 1.9, 1.5, 1.7, 1.5, 1.7],
    }.items()
}
_NH_SCATTER = {
    1: np.array([0.32, 0.37, 0.39, 0.42, 0.36, 0.40, 0.44, 0.50, 0.31, 0.30, 0.23, 0.25, 0.23]),
    -1: np.array([0.37, 0.45, 0.40, 0.47, 0.52, 0.65, 0.73, 0.54, 0.68, 0.52, 0.38, 0.24, 0.28]),
}
# Medians [1e20 cm^-2] and half the 16-84 range of ln N_HI in bands of latitude, north and south of
# the plane, measured on the western Galactic half of the HI4PI map (HI4PI Collaboration 2016, A&A
# 594, A116) in pixels of 0.92 deg. The North is thicker than the South at middle latitudes, and
# neither follows csc|b|: the layer has holes towards the poles.


class AllSkyConfig(BaseModel):
    """Depth and footprint of a survey of the western Galactic hemisphere."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_surveys: int = parameter(
        1,
        "Number of all-sky surveys added up: 1 for eRASS1, 4 for eRASS:4, 8 for eRASS:8.",
        unit="1",
        ge=1,
        le=8,
    )
    b_min_deg: float = parameter(
        20.0,
        "Smallest Galactic latitude, north or south. The default leaves 13,572 deg^2; the eRASS1 "
        "cluster catalogue has 13,116 deg^2, where there is optical imaging.",
        unit="deg",
        source=BULBUL_2024,
        ge=10,
        le=80,
    )
    fov_deg: float = parameter(
        1.03,
        "Diameter of the field of view.",
        unit="deg",
        source="Predehl et al. 2021, A&A 647, A1",
        gt=0.1,
        le=5,
    )
    survey_days: float = parameter(
        182.6, "Duration of one survey: half a year.", unit="d", gt=1, le=400
    )
    efficiency: float = parameter(
        1.0,
        "Fraction of the time that is used, of all seven modules. With 1 the exposure of eRASS1 "
        "at low ecliptic latitude is 206 s, with vignetting 115 s; the eRASS1 sources with DESI "
        "spectra have 121 s in the median.",
        unit="1",
        gt=0,
        le=1,
    )

    @property
    def area_deg2(self) -> float:
        """Area of the footprint [deg^2]."""
        return 2 * math.pi * (1 - math.sin(math.radians(self.b_min_deg))) * math.degrees(1) ** 2

    @property
    def duration_s(self) -> float:
        """Time spent observing [s]."""
        return self.n_surveys * self.survey_days * 86400 * self.efficiency


@dataclass(frozen=True)
class Sightline:
    """Where a cluster lies and how deep the survey looks there.

    Attributes
    ----------
    ra, dec : float
        Position in the ICRS [deg].
    exposure_s : float
        Time in the field of view [s], without vignetting: to be used with the effective area
        averaged over the field.
    nh_1e20 : float
        Galactic column density of neutral hydrogen [1e20 cm^-2].
    """

    ra: float
    dec: float
    exposure_s: float
    nh_1e20: float


def draw_sightline(config: AllSkyConfig, rng: np.random.Generator) -> Sightline:
    """Draw a place uniformly over the footprint, its exposure and its column density."""
    u, v, normal = rng.random(), rng.random(), rng.standard_normal()
    sin_min = math.sin(math.radians(config.b_min_deg))
    sin_b = (1 if u < 0.5 else -1) * (sin_min + (1 - sin_min) * abs(2 * u - 1))
    l_deg = L_WEST_DEG[0] + (L_WEST_DEG[1] - L_WEST_DEG[0]) * v
    ra, dec = galactic_to_icrs(l_deg, math.degrees(math.asin(sin_b)))
    median, scatter = column_density(sin_b)
    return Sightline(
        ra, dec, exposure(config, ecliptic_latitude(ra, dec)), median * math.exp(scatter * normal)
    )


def galactic_to_icrs(l_deg: float, b_deg: float) -> tuple[float, float]:
    """Return right ascension (0 to 360) and declination of a Galactic position [deg]."""
    b, turn = math.radians(b_deg), math.radians(_NCP_L_DEG - l_deg)
    pole = math.radians(_NGP_DEC_DEG)
    sin_dec = math.sin(b) * math.sin(pole) + math.cos(b) * math.cos(pole) * math.cos(turn)
    y = math.cos(b) * math.sin(turn)
    x = math.sin(b) * math.cos(pole) - math.cos(b) * math.sin(pole) * math.cos(turn)
    ra = (_NGP_RA_DEG + math.degrees(math.atan2(y, x))) % 360
    return ra, math.degrees(math.asin(max(-1.0, min(1.0, sin_dec))))


def ecliptic_latitude(ra_deg: float, dec_deg: float) -> float:
    """Return the ecliptic latitude of a position in the ICRS [deg]."""
    ra, dec, tilt = math.radians(ra_deg), math.radians(dec_deg), math.radians(_OBLIQUITY_DEG)
    sin_beta = math.sin(dec) * math.cos(tilt) - math.cos(dec) * math.sin(tilt) * math.sin(ra)
    return math.degrees(math.asin(max(-1.0, min(1.0, sin_beta))))


def exposure(config: AllSkyConfig, beta_deg: float) -> float:
    """Return the unvignetted exposure at an ecliptic latitude [s].

    Parameters
    ----------
    beta_deg : float
        Ecliptic latitude [deg].

    Notes
    -----
    A scan whose circle passes at the angle d holds a place in a round field of radius R for the
    fraction ``sqrt(R^2 - d^2) / pi`` of its turn. A circle that crosses the ecliptic at an angle
    lambda from the place's longitude passes at ``sin d = cos(beta) sin(lambda)``. The mean over
    lambda, for R much below 1 rad, is a complete elliptic integral: with ``s = cos(beta) / R``

    ``t = T (2 R / pi^2) E(s^2)`` for s < 1, where the field always covers the place, and
    ``t = T (2 R / pi^2) s [E(1/s^2) - (1 - 1/s^2) K(1/s^2)]`` for s > 1,

    which falls to ``T R^2 / (2 pi cos(beta))`` within a few degrees. Its mean over the sphere is
    T times the field's share of the sky. Scans that miss the poles by a little smear the innermost
    degrees, 0.1 per cent of the sky.
    """
    if not abs(beta_deg) <= 90:
        raise InputError(f"{beta_deg:g} is not within -90 and 90 deg", field="ecliptic latitude")
    radius = math.radians(config.fov_deg / 2)
    s = math.cos(math.radians(beta_deg)) / radius
    if s < 1:
        shape = float(ellipe(s**2))
    else:
        m = 1 / s**2
        shape = s * float(ellipe(m) - (1 - m) * ellipkm1(max(1 - m, 1e-300)))
    return config.duration_s * 2 * radius / math.pi**2 * shape


def column_density(sin_b: float) -> tuple[float, float]:
    """Return the median column density at a Galactic latitude and its scatter.

    Parameters
    ----------
    sin_b : float
        Sine of the Galactic latitude. Within 11 deg of the plane and of the poles the table's end
        holds.

    Returns
    -------
    median : float
        [1e20 cm^-2].
    scatter : float
        Standard deviation of its natural logarithm.
    """
    sign = 1 if sin_b >= 0 else -1
    ln_nh = np.interp(abs(sin_b), _SIN_B, _LN_NH[sign])
    return math.exp(ln_nh), float(np.interp(abs(sin_b), _SIN_B, _NH_SCATTER[sign]))
