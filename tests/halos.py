"""A halo for tests: at rest, round, and average in everything that is not said."""

from __future__ import annotations

import numpy as np

from icmass.cosmology import Cosmology
from icmass.universe.halos import LATENTS, SHAPES, Halo


def make_halo(m500c: float = 2e14, redshift: float = 0.2, **latents: float) -> Halo:
    """Return the halo of a mass [Msun/h]; its latents are 0 but for those that are given."""
    every = dict.fromkeys((*LATENTS, *SHAPES), 0.0) | latents
    r500c = float(Cosmology().r500c(m500c, redshift))
    return Halo(0, m500c, redshift, r500c, 0, np.zeros(3), every, np.eye(3))
