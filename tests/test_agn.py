"""AGN against the counts of eFEDS, their own luminosity function and the duty cycle."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from halos import make_halo
from icmass.cosmology import Cosmology
from icmass.universe.agn import AgnConfig, draw_agn, field_counts_above
from icmass.universe.gas import make_gas
from icmass.universe.gas_config import GasConfig
from icmass.universe.halos import HaloConfig
from icmass.universe.population import HaloPopulation
from icmass.universe.profiles import nfw_radii

COSMO = Cosmology()
CENTRAL = AgnConfig(satellites=0, field_norm_deg2=0)


def test_field_agn_counts_are_those_of_efeds():
    # measured in the eFEDS field [deg^-2, 0.5-2 keV]: 193 +- 15, 99 +- 11, 44 +- 7, complete above
    # 5e-15, where the catalogue begins to lose sources: 3 sigma there, 2 sigma above
    counts = field_counts_above(np.array([5e-15, 1e-14, 2e-14]), AgnConfig())
    assert abs(counts[0] - 193) < 3 * 15
    assert abs(counts[1] - 99) < 2 * 11
    assert abs(counts[2] - 44) < 2 * 7


def test_drawn_fluxes_follow_the_counts():
    halo, config = (
        make_halo(redshift=0.07),
        AgnConfig(satellites=0, central_duty_cycle=0),
    )
    rng = np.random.default_rng(3)
    flux = np.concatenate([draw_agn(halo, config, COSMO, 2.3, rng).flux for _ in range(40)])
    area = 40 * (4.6 * COSMO.arcmin_per_mpc_h(0.07) / 60) ** 2
    for limit in (2e-15, 1e-14, 5e-14):
        expected = (field_counts_above(limit, config) - field_counts_above(1e-12, config)) * area
        assert abs((flux > limit).sum() - expected) < 4 * np.sqrt(expected)


@pytest.mark.parametrize(("cool_core", "duty_cycle"), [(False, 0.35), (True, 0.60)])
def test_central_agn_have_their_duty_cycle(cool_core: bool, duty_cycle: float):
    rng = np.random.default_rng(4)
    n = [
        len(draw_agn(make_halo(redshift=0.1), CENTRAL, COSMO, 2.3, rng, cool_core=cool_core).flux)
        for _ in range(1000)
    ]
    assert set(n) == {0, 1}
    assert np.mean(n) == pytest.approx(duty_cycle, abs=4 * 0.016)


def test_duty_cycle_over_all_clusters():
    """With the core states that the gas has: 0.45."""
    population = HaloPopulation(HaloConfig(), COSMO)
    config, rng, n = GasConfig(), np.random.default_rng(5), []
    for i in range(1500):
        halo = population.draw(i, rng)
        cool = bool(make_gas(halo, config, COSMO).shape["cool_core"])
        n.append(len(draw_agn(halo, CENTRAL, COSMO, 2.3, rng, cool_core=cool).flux))
    # the error of the mean, and of the cool-core fraction: about 600 halos
    assert np.mean(n) == pytest.approx(0.45, abs=4 * np.sqrt(0.25 / 1500 + 0.0625 * 0.24 / 600))


def test_central_luminosities_and_fluxes():
    """Flux = L (1 + z)^(2 - Gamma) / (4 pi D_L^2), with astropy's luminosity distance."""
    halo, rng = make_halo(redshift=0.3), np.random.default_rng(6)
    flux = np.concatenate([draw_agn(halo, CENTRAL, COSMO, 2.3, rng).flux for _ in range(3000)])
    distance = COSMO.astropy.luminosity_distance(0.3).to_value("cm")
    log_l = np.log10(flux * 4 * np.pi * distance**2 * 1.3 ** (1.9 - 2))
    median, dex = CENTRAL.central_log_l, CENTRAL.central_scatter_dex
    assert log_l.mean() == pytest.approx(median, abs=4 * dex / np.sqrt(len(flux)))
    assert log_l.std() == pytest.approx(dex, abs=4 * dex / np.sqrt(2 * len(flux)))


def test_satellites_follow_mass_and_luminosity_function():
    config = AgnConfig(central_duty_cycle=0, field_norm_deg2=0)
    rng = np.random.default_rng(7)
    halo = make_halo(4e14, 0.1)
    drawn = [draw_agn(halo, config, COSMO, 2.3, rng) for _ in range(1500)]
    expected = 1.35 * 4**0.8
    n = np.array([len(s.flux) for s in drawn])
    assert n.mean() == pytest.approx(expected, abs=4 * np.sqrt(expected / 1500))
    flux = np.concatenate([s.flux for s in drawn])
    distance = COSMO.astropy.luminosity_distance(0.1).to_value("cm")
    log_l = np.log10(flux * 4 * np.pi * distance**2 * 1.1 ** (1.9 - 2))

    def density(x: float) -> float:  # Hasinger et al. 2005, equation 2, without evolution
        return 1 / (10 ** (0.87 * (x - 43.94)) + 10 ** (2.57 * (x - 43.94)))

    whole = quad(density, 41.5, 46)[0]
    for limit in (42.5, 43.5):
        share = quad(density, limit, 46)[0] / whole
        tolerance = 4 * np.sqrt(share / len(log_l))
        assert (log_l > limit).mean() == pytest.approx(share, abs=tolerance)
    radius = np.hypot(*(np.concatenate([getattr(s, c) for s in drawn]) for c in "xy")) / halo.r500c
    assert radius.max() <= 4
    # NFW by hand: the mass within R500c in projection is more than that within it in 3D
    mass = np.log(1 + 2.5) - 2.5 / 3.5, np.log(1 + 10) - 10 / 11
    assert mass[0] / mass[1] < (radius < 1).mean() < 1.8 * mass[0] / mass[1]


def test_satellites_are_seen_in_projection():
    """The mean distance from a centre is pi/4 of that in space, whatever the profile."""
    config = AgnConfig(central_duty_cycle=0, field_norm_deg2=0, satellites=2000)
    halo = make_halo(redshift=0.1)
    sources = draw_agn(halo, config, COSMO, 2.3, np.random.default_rng(5))
    inside = (np.arange(20_000) + 0.5) / 20_000
    radius = nfw_radii(inside, config.concentration, config.extent).mean() * halo.r500c
    found = np.hypot(sources.x, sources.y)
    error = found.std() / np.sqrt(len(found))
    assert found.mean() == pytest.approx(np.pi / 4 * radius, abs=4 * error)


def test_photon_indices_scatter():
    config = AgnConfig(satellites=0, central_duty_cycle=0, photon_index_scatter=0.2)
    index = draw_agn(
        make_halo(redshift=0.1), config, COSMO, 2.3, np.random.default_rng(6)
    ).photon_index
    assert index.mean() == pytest.approx(config.photon_index, abs=4 * 0.2 / np.sqrt(len(index)))
    assert index.std() == pytest.approx(0.2, rel=4 / np.sqrt(2 * len(index)))


def test_field_sources_fill_the_map_evenly():
    config = AgnConfig(satellites=0, central_duty_cycle=0)
    rng = np.random.default_rng(8)
    drawn = [draw_agn(make_halo(redshift=0.1), config, COSMO, 2.3, rng) for _ in range(20)]
    for c in "xy":
        values = np.concatenate([getattr(s, c) for s in drawn]) / 2.3
        assert np.abs(values).max() <= 1
        assert abs(values.mean()) < 4 / np.sqrt(3 * len(values))
        assert values.std() == pytest.approx(1 / np.sqrt(3), rel=4 / np.sqrt(len(values)))
    absorbed = np.concatenate([s.absorbed for s in drawn])
    assert absorbed.mean() == pytest.approx(0.2, abs=4 * 0.4 / np.sqrt(len(absorbed)))
