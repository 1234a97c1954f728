"""The built-in telescope and plasma against facts of the real files, with no file needed."""

from __future__ import annotations

import numpy as np
import pytest

from icmass.observe.rates import count_rates, energy_flux, photon_flux
from icmass.plasma.emissivity import load_plasma_table
from icmass.telescope.instrument import load_instrument
from real_facts import AREA_CM2, FLUXES, PI_QUANTILES_KEV, RATES

BANDS = [(0.5, 1.2), (1.2, 2.0), (2.0, 7.0)]


def test_the_area_is_that_of_the_real_arf() -> None:
    ours = load_instrument(vignetting="onaxis").area_cm2(np.array(list(AREA_CM2)))
    np.testing.assert_allclose(ours, list(AREA_CM2.values()), rtol=0.02, atol=0)


@pytest.mark.parametrize("energy", PI_QUANTILES_KEV)
def test_energies_are_blurred_as_by_the_real_rmf(energy: float) -> None:
    rng = np.random.default_rng(21)
    drawn = load_instrument().redistribution.sample(np.full(100_000, energy), rng)
    low, middle, high = np.quantile(drawn, [0.16, 0.5, 0.84])
    real = PI_QUANTILES_KEV[energy]
    assert middle == pytest.approx(real[1], abs=0.008)
    assert high - low == pytest.approx(real[2] - real[0], rel=0.05)


@pytest.mark.parametrize("kt", sorted({key[0] for key in RATES}))
def test_rates_are_those_of_the_real_files(kt: float) -> None:
    instrument = load_instrument(vignetting="onaxis")
    for (temperature, abundance, redshift), real in RATES.items():
        if temperature == kt:
            ours = count_rates(kt, abundance, redshift, 3.0, instrument, BANDS).counts
            np.testing.assert_allclose(list(ours.values()), real, rtol=0.01, atol=0)


@pytest.mark.parametrize("abundances", ["angr", "lodd", "aspl"])
def test_fluxes_are_those_of_atomdb(abundances: str) -> None:
    table = load_plasma_table(abundances)
    for (solar, kt, abundance, redshift), real in FLUXES.items():
        if solar == abundances:
            edges, flux = photon_flux(kt, abundance, redshift, table)
            ours = [energy_flux(edges, flux, *band) for band in ((0.5, 2.0), (2.0, 7.0))]
            np.testing.assert_allclose(ours, real, rtol=0.005, atol=0)
            poor = energy_flux(*photon_flux(kt, 0.0, redshift, table), 0.5, 2.0)
            assert poor < 0.98 * real[0], "the test could not see the metals"
