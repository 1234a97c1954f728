"""Spectroscopic temperatures: of one temperature, of two, and beside Mazzotta et al. 2004."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icmass.observe.spectra import FoldedSpectra
from icmass.observe.spectral_temperature import spectral_temperature
from icmass.plasma.emissivity import load_plasma_table
from icmass.telescope.instrument import load_instrument
from icmass.universe.atmosphere import Atmosphere

FOLDER = FoldedSpectra(load_plasma_table("angr"), load_instrument("erosita"), 3.0, 100.0)


def gas(kt: list[float], emission: list[float], abundance: float = 0.3) -> Atmosphere:
    n = len(kt)
    return Atmosphere(
        emission_measure=np.array(emission) * 1e66,
        kt_kev=np.array(kt),
        abundance=np.full(n, abundance),
        cubes=np.tile([0.0, 1.0], (n, 1)),
        body=np.zeros(n, np.int64),
        axes=np.zeros((1, 2, 3)),
        centre=np.zeros((n, 2)),
        in_r500=np.ones(n, bool),
    )


@given(st.floats(0.5, 12.0), st.floats(0.1, 1.0))
@settings(max_examples=15, deadline=None)
def test_one_temperature_is_found_whatever_the_abundance(kt: float, abundance: float) -> None:
    found = spectral_temperature(gas([kt], [1.0], abundance), 0.2, FOLDER)
    assert found == pytest.approx(kt, rel=1e-3)


def test_two_temperatures_look_as_the_spectroscopic_like_one() -> None:
    """Mazzotta et al. 2004, MNRAS 354, 10, equation 14: weights n^2 T^-3/4, above 3 keV.

    They fitted Chandra; eROSITA, with less area above 2 keV, weighs the cold gas a little more.
    """
    kt, emission = np.array([4.0, 8.0]), np.array([1.0, 1.0])
    weight = emission * kt**-0.75
    like = float(weight @ kt / weight.sum())
    found = spectral_temperature(gas(kt.tolist(), emission.tolist()), 0.1, FOLDER)
    assert 0.9 * like < found < like < emission @ kt / emission.sum()


def test_metals_weigh_where_they_are() -> None:
    """Lines of the cold gas draw the fit to it, those of the hot gas (hardly any) do not."""
    cold_rich, hot_rich = (gas([1.5, 5.0], [1.0, 1.0]) for _ in range(2))
    cold_rich.abundance[:] = 1.0, 0.1
    hot_rich.abundance[:] = 0.1, 1.0
    found = [spectral_temperature(each, 0.1, FOLDER) for each in (cold_rich, hot_rich)]
    assert found[0] < 0.8 * found[1]


def test_the_band_is_that_of_the_observer() -> None:
    """Soft photons are of the cold gas; at z = 1 the table's 15 keV are seen as 7.5 keV."""
    both = gas([2.0, 8.0], [1.0, 1.0])
    soft, whole = (spectral_temperature(both, 0.1, FOLDER, (0.3, hi)) for hi in (1.5, 7.0))
    assert soft < 0.9 * whole
    assert np.isnan(spectral_temperature(both, 1.0, FOLDER, (7.51, 9.0)))
    assert np.isfinite(spectral_temperature(both, 1.0, FOLDER, (6.5, 9.0)))


def test_gas_outside_does_not_count() -> None:
    both = gas([3.0, 0.8], [1.0, 5.0])
    both.in_r500[1] = False
    assert spectral_temperature(both, 0.1, FOLDER) == pytest.approx(3.0, rel=1e-3)
    both.in_r500[:] = False
    assert np.isnan(spectral_temperature(both, 0.1, FOLDER))
