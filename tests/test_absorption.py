"""Morrison & McCammon (1983) against an independent transcription and against its own shape."""

import numpy as np
import pytest

from icmass.errors import InputError
from icmass.plasma.absorption import cross_section_cm2, transmission

K_AND_L_EDGES_KEV = [0.284, 0.400, 0.532, 0.707, 0.867, 1.303, 1.840, 2.471, 3.210, 7.111, 8.331]


def test_coefficients_by_hand():
    """c0 + c1 E + c2 E^2 of their Table 2 by hand, at 0.25, 0.5 and 1 keV [1e-24 cm^2 keV^3]."""
    energy = np.array([0.25, 0.5, 1.0])
    by_hand = np.array([71.819, 91.95, 242.2])
    np.testing.assert_allclose(cross_section_cm2(energy) * energy**3 * 1e24, by_hand, rtol=1e-5)


def test_agrees_with_soxs_wabs():
    soxs_absorption = pytest.importorskip("soxs.spectra.foreground_absorption")
    energy = np.linspace(0.1, 9.9, 1999)
    expected = soxs_absorption.wabs_cross_section(energy)
    np.testing.assert_allclose(cross_section_cm2(energy), expected, rtol=2e-3, atol=0)


@pytest.mark.parametrize("edge", K_AND_L_EDGES_KEV)
def test_the_cross_section_jumps_up_at_the_edges(edge):
    below, above = cross_section_cm2(edge - 1e-6), cross_section_cm2(edge + 1e-6)
    assert 1.0 < above / below < 2.0


def test_the_pieces_join_elsewhere():
    below, above = cross_section_cm2(0.1 - 1e-6), cross_section_cm2(0.1 + 1e-6)
    assert abs(above / below - 1) < 0.05


def test_transmission_is_an_exponential_that_broadcasts():
    energy, nh = np.array([0.5, 1.0, 2.0]), np.array([0.0, 3.0])[:, None]
    through = transmission(energy, nh)
    assert through.shape == (2, 3)
    np.testing.assert_array_equal(through[0], 1.0)
    np.testing.assert_allclose(-np.log(through[1]), 3e20 * cross_section_cm2(energy))


@pytest.mark.parametrize("nh", [-1.0, np.nan, np.inf])
def test_a_bad_column_is_refused(nh):
    with pytest.raises(InputError, match="nh"):
        transmission(1.0, nh)


@pytest.mark.parametrize("energy", [0.0, -1.0, np.nan])
def test_a_bad_energy_is_refused(energy):
    with pytest.raises(InputError, match="energy_kev"):
        cross_section_cm2(energy)
