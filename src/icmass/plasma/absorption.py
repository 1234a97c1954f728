"""Photoelectric absorption by cold Galactic gas (Morrison & McCammon 1983, ApJ 270, 119)."""

from __future__ import annotations

import numpy as np

from icmass.errors import InputError

DEFAULT_NH_1E20 = 3.0
"""Galactic column density where nobody says another, of mocks and of real clusters [1e20 cm^-2]."""
MAX_NH_1E20 = 1000.0
"""Below it lies what users may give for a cluster."""
MOST_NH_1E20 = 3000.0
"""Column density beyond which none is Galactic [1e20 cm^-2]."""
_EDGES_KEV = np.array(
    [0.03, 0.1, 0.284, 0.4, 0.532, 0.707, 0.867, 1.303, 1.84, 2.471, 3.21, 4.038, 7.111, 8.331, 10]
)
"""Edges of the energy intervals of their Table 2 [keV]."""

_COEFFICIENTS = np.array(
    [
        [17.3, 608.1, -2150.0],
        [34.6, 267.9, -476.1],
        [78.1, 18.8, 4.3],
        [71.4, 66.8, -51.4],
        [95.5, 145.8, -61.1],
        [308.9, -380.6, 294.0],
        [120.6, 169.3, -47.7],
        [141.3, 146.8, -31.5],
        [202.7, 104.7, -17.0],
        [342.7, 18.7, 0.0],
        [352.2, 18.7, 0.0],
        [433.9, -2.4, 0.75],
        [629.0, 30.9, 0.0],
        [701.2, 25.2, 0.0],
    ]
)
"""Their Table 2: c0, c1, c2 of sigma = (c0 + c1 E + c2 E^2) E^-3 1e-24 cm^2, E in keV."""


def check_nh(nh_1e20: float, field: str = "--nh") -> float:
    """Return a column density [1e20 cm^-2], or refuse one that cannot be, such as one in cm^-2."""
    if not 0 <= nh_1e20 < MAX_NH_1E20:
        raise InputError(f"is {nh_1e20:g}", field=field, hint="give 1e20 cm^-2, e.g. 3")
    return nh_1e20


def cross_section_cm2(energy_kev: np.ndarray | float) -> np.ndarray:
    """Return the effective cross section per hydrogen atom [cm^2].

    Parameters
    ----------
    energy_kev : array_like
        Photon energy [keV], at least 0.03. Above 10 keV the last interval is extrapolated.
    """
    energy = np.asarray(energy_kev, dtype=float)
    if not (np.isfinite(energy) & (energy >= _EDGES_KEV[0])).all():
        raise InputError("absorption is defined from 0.03 keV", field="energy_kev")
    interval = np.searchsorted(_EDGES_KEV[1:-1], energy, side="right")
    c0, c1, c2 = np.moveaxis(_COEFFICIENTS[interval], -1, 0)
    return (c0 + c1 * energy + c2 * energy**2) / energy**3 * 1e-24


def transmission(energy_kev: np.ndarray | float, nh_1e20: np.ndarray | float) -> np.ndarray:
    """Return the transmitted fraction, exp(-N_H sigma).

    Parameters
    ----------
    energy_kev : array_like
        Photon energy in the observer's frame [keV].
    nh_1e20 : array_like
        Galactic hydrogen column density [1e20 cm^-2]; broadcasts with `energy_kev`.
    """
    nh = np.asarray(nh_1e20, dtype=float)
    if not (np.isfinite(nh) & (nh >= 0)).all():
        raise InputError("must be zero or more (1e20 cm^-2)", field="nh")
    return np.exp(-1e20 * nh * cross_section_cm2(energy_kev))
