"""Photons and maps against expectations computed by another route."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from icmass.cosmology import Cosmology
from icmass.observe.maps import Grid, background_map, bin_photons
from icmass.observe.photons import Photons, agn_photons, gas_photons
from icmass.observe.rates import count_rates
from icmass.observe.spectra import Folder
from icmass.plasma.emissivity import load_plasma_table
from icmass.telescope.instrument import load_instrument
from icmass.universe.agn import AgnConfig, Sources, draw_agn, unresolved_field_flux
from icmass.universe.gas import EDGES, Gas
from icmass.universe.halos import LATENTS, Halo

COSMO = Cosmology()
BANDS = ((0.5, 1.2), (1.2, 2.0), (2.0, 7.0))


@pytest.fixture(scope="module")
def folder() -> Folder:
    return Folder(load_plasma_table(), load_instrument(), 3.0, 100.0)


def isothermal(kt: float, abundance: float, emission: float, axes: np.ndarray) -> Gas:
    n = len(EDGES) - 1
    measure = np.full(n, emission / n)
    return Gas(EDGES, measure, np.full(n, kt), np.full(n, abundance), axes, 1e13, kt, {})


def halo_at(redshift: float) -> Halo:
    r500c = float(COSMO.r500c(2e14, redshift))
    return Halo(0, 2e14, redshift, r500c, 0, np.zeros(3), dict.fromkeys(LATENTS, 0.0))


@pytest.mark.parametrize(("kt", "abundance", "redshift"), [(1.1, 0.3, 0.07), (6.0, 0.5, 0.45)])
def test_gas_photons_have_the_rate_and_colour_of_the_spectrum(folder, kt, abundance, redshift):
    """Counts per band against `count_rates`, which folds the spectrum without drawing photons."""
    halo, exposure = halo_at(redshift), 2000.0
    distance_cm = COSMO.astropy.comoving_distance(redshift).to_value("cm")
    norm = 1e-3
    emission = norm * 1e14 * 4 * np.pi * distance_cm**2
    rng = np.random.default_rng(5)
    photons = gas_photons(
        isothermal(kt, abundance, emission, np.eye(3)), halo, folder, COSMO, exposure * 50, rng
    )
    seen = photons.detected(folder.instrument, 60.0, rng)
    expected = count_rates(kt, abundance, redshift, 3.0, folder.instrument, BANDS)
    for band in BANDS:
        rate = expected.counts[band] * norm * exposure * 50
        found = ((seen.energy >= band[0]) & (seen.energy < band[1])).sum()
        assert abs(found - rate) < 4 * np.sqrt(rate) + 0.005 * rate, band


def test_gas_photons_lie_where_the_emission_is(folder):
    rng = np.random.default_rng(6)
    halo = halo_at(0.2)
    axes = np.diag([1.3, 1.0, 1 / 1.3])
    gas = isothermal(3.0, 0.3, 1e68, axes)
    photons = gas_photons(gas, halo, folder, COSMO, 2e4, rng)
    radius_sq = np.average(
        0.6 * (EDGES[1:] ** 5 - EDGES[:-1] ** 5) / (EDGES[1:] ** 3 - EDGES[:-1] ** 3)
    )
    n = len(photons)
    for values, axis in ((photons.x, 1.3), (photons.y, 1.0)):
        expected = axis * halo.r500c * np.sqrt(radius_sq / 3)
        assert values.std() == pytest.approx(expected, rel=5 / np.sqrt(n))
        assert abs(values.mean()) < 5 * expected / np.sqrt(n)


def test_psf_widens_a_point_to_its_half_energy_width(folder):
    rng = np.random.default_rng(7)
    n = 40000
    point = Photons(np.full(n, 1.0), np.zeros(n), np.zeros(n))
    seen = point.detected(folder.instrument, 100.0, rng, redistribution=False)
    radius = np.hypot(seen.x, seen.y) * 100
    width = folder.instrument.psf.half_energy_width(1.0)
    inside = (radius < width / 2).mean()
    assert abs(inside - 0.5) < 5 * 0.5 / np.sqrt(n)
    assert width == pytest.approx(29.5, abs=3)
    still = point.detected(folder.instrument, 100.0, rng, psf=False, redistribution=False)
    assert not still.x.any() and (still.energy == 1.0).all()


def test_agn_counts_follow_their_flux_and_index(folder):
    """0.5-2 keV counts of a power law against a direct integral over flux and area."""
    rng = np.random.default_rng(8)
    n, flux = 300, 1e-13
    index = np.full(n, 1.9)
    sources = Sources(np.zeros(n), np.zeros(n), np.full(n, flux), index, np.zeros(n, bool))
    photons = agn_photons(sources, folder, 2000.0, rng)
    energy = np.linspace(0.5, 2, 4000)
    shape = energy**-1.9
    per_erg = flux / np.trapezoid(shape * energy, energy) / 1.602177e-9
    from icmass.plasma.absorption import transmission

    area = folder.instrument.area_cm2(energy) * transmission(energy, 3.0)
    expected = n * 2000 * per_erg * np.trapezoid(shape * area, energy)
    found = ((photons.energy > 0.5) & (photons.energy < 2)).sum()
    assert abs(found - expected) < 4 * np.sqrt(expected) + 0.005 * expected


def test_photons_of_a_source_are_poisson(folder):
    sources = Sources(*np.zeros((2, 1)), np.array([2e-13]), np.array([1.9]), np.zeros(1, bool))
    rng = np.random.default_rng(9)
    n = np.array([len(agn_photons(sources, folder, 2000.0, rng)) for _ in range(400)])
    p = stats.chi2.cdf(399 * n.var(ddof=1) / n.mean(), 399)
    assert 1e-4 < p < 1 - 1e-4


def test_binning_counts_every_photon_once():
    rng = np.random.default_rng(1)
    grid = Grid(16, 2.0, BANDS)
    photons = Photons(rng.uniform(0.3, 8, 5000), *rng.uniform(-2.5, 2.5, (2, 5000)))
    found = bin_photons(photons, grid, None, rng)
    edges = np.linspace(-2, 2, 17)
    for i, (lo, hi) in enumerate(BANDS):
        inside = (photons.energy >= lo) & (photons.energy < hi)
        image, *_ = np.histogram2d(photons.y[inside], photons.x[inside], bins=[edges, edges])
        np.testing.assert_array_equal(found[i], image)


def test_binning_leaves_out_nan_energies_and_far_photons():
    grid = Grid(4, 1.0, BANDS)
    photons = Photons(np.array([np.nan, 1.0, 1.0]), np.array([0.0, 9.0, np.nan]), np.zeros(3))
    assert bin_photons(photons, grid, None, np.random.default_rng(0)).sum() == 0


def test_background_has_the_measured_rate_and_excess_variance(folder):
    background = folder.instrument.background
    grid, arcmin, exposure = Grid(64, 2.3, BANDS), 6.0, 2000.0
    area = (4.6 * arcmin) ** 2
    rng = np.random.default_rng(2)
    options = {"exposure": exposure, "arcmin_per_mpc_h": arcmin, "coverage": None, "rng": rng}
    maps = np.array([background_map(background, grid, **options) for _ in range(150)])
    cells = area / background.cell_arcmin**2
    for i, band in enumerate(BANDS):
        expected = sum(background.rate(*band)) * area * exposure
        totals = maps[:, i].sum((1, 2))
        spread = np.hypot(1 / np.sqrt(expected), background.excess_fraction / np.sqrt(cells))
        assert totals.mean() == pytest.approx(expected, rel=4 * spread / np.sqrt(150))
        assert totals.std() / expected == pytest.approx(spread, rel=0.25)


def test_faint_field_agn_are_not_counted_twice(folder):
    """Their rate, by hand from the number counts, is what background and sources share."""
    config = AgnConfig(satellites=0, central_duty_cycle=0, field_flux_max=6.5e-15)
    rng = np.random.default_rng(10)
    halo = halo_at(0.07)
    side = 4.6 * float(COSMO.arcmin_per_mpc_h(0.07))
    found = np.zeros(3)
    for _ in range(60):
        photons = agn_photons(draw_agn(halo, config, COSMO, 2.3, rng), folder, 2000.0, rng)
        seen = photons.detected(folder.instrument, 1.0, rng, psf=False)
        found += [((seen.energy >= lo) & (seen.energy < hi)).sum() for lo, hi in BANDS]
    per_flux = folder.agn_band_rates(1.9, 0.2, BANDS)
    rates = per_flux * unresolved_field_flux(config) / 3600
    expected = rates * 60 * 2000 * side**2
    assert (np.abs(found - expected) < 5 * np.sqrt(expected * 3) + 0.01 * expected).all()
    # by hand: 151 deg^-2 per 1e-14, slope 1.58, from 2e-15 to 6.5e-15
    assert unresolved_field_flux(config) == pytest.approx(
        151 * 1e-14 * (0.65**0.42 - 0.2**0.42) / 0.42, rel=1e-3
    )
