"""Numbers of point sources in the field, as measured and as published."""

from __future__ import annotations

import numpy as np

MEASURED_COUNTS = ((5e-15, 193.0, 15.0), (1e-14, 99.0, 11.0), (2e-14, 44.0, 7.0))
"""Flux 0.5-2 keV [erg/s/cm^2], sources above it and their error [deg^-2], in the eFEDS images."""


def moretti_counts_above(flux: np.ndarray | float) -> np.ndarray:
    """Return the number of point sources brighter than `flux` (0.5-2 keV) per square degree.

    Moretti et al. 2003, ApJ 588, 696: N_S (2e-15)^a1 / (S^a1 + S_0^(a1 - a2) S^a2) with N_S 6150
    deg^-2, a1 1.82, a2 0.60, S_0 1.48e-14 erg/s/cm^2; all point sources, a few stars among them.
    """
    s, steep, flat, bend = np.asarray(flux, float), 1.82, 0.60, 1.48e-14
    return 6150 * 2e-15**steep / (s**steep + bend ** (steep - flat) * s**flat)
