"""The kept tables of the default cosmology are what colossus says."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from icmass.cosmology import Cosmology
from icmass.universe import dynamics, mass_function
from icmass.universe.tabulated import tabulated


def test_the_kept_tables_are_those_of_colossus() -> None:
    """Those of the colossus that made them, 1.4, to rounding; 1.3 is 6e-5 off."""
    default = Cosmology()
    rtol = 1e-7 if version("colossus").startswith("1.4") else 1e-4
    for name, expected in {
        "concentrations": dynamics.compute_concentrations(default),
        "correlation_today": mass_function.compute_correlation_today(default),
    }.items():
        np.testing.assert_allclose(tabulated(name, default), expected, rtol=rtol, atol=1e-9)


def test_another_cosmology_has_tables_of_its_own() -> None:
    other = Cosmology(sigma8=0.85)
    assert tabulated("concentrations", other) is None
    # at radii where all is linear the correlation goes with sigma_8 squared
    ratio = mass_function.compute_correlation_today(other) / tabulated(
        "correlation_today", Cosmology()
    )
    np.testing.assert_allclose(ratio, (0.85 / 0.809) ** 2, rtol=1e-3)
