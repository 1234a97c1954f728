"""Motions around a cluster: the Hubble flow and the infall against it."""

from __future__ import annotations

import numpy as np

from icmass.cosmology import Cosmology


def hubble_flow(redshift: float, cosmology: Cosmology) -> float:
    """Return a H(z) [km/s per comoving Mpc/h]."""
    return 100 * float(cosmology.efunc(redshift)) / (1 + redshift)


def infall_rate(overdensity: np.ndarray, redshift: float, cosmology: Cosmology) -> np.ndarray:
    """Return the mean infall velocity over distance [km/s per comoving Mpc/h], positive inwards.

    Parameters
    ----------
    overdensity : ndarray
        Mean overdensity of matter within the distance.

    Notes
    -----
    Yahil 1985, in The Virgo Cluster (ESO), 359: v = (1/3) a H r Om(z)^0.55 D / (1 + D)^0.25.
    """
    matter = cosmology.om0 * (1 + redshift) ** 3 / float(cosmology.efunc(redshift)) ** 2
    linear = hubble_flow(redshift, cosmology) * matter**0.55 / 3 * overdensity
    return linear / (1 + overdensity) ** 0.25
