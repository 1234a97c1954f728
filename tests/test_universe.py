"""Halos, gas and AGN against the catalogue of the paper, Magneticum and eFEDS."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from icmass.cosmology import Cosmology
from icmass.plasma.emissivity import load_plasma_table
from icmass.survey.config import EFEDS_GAS
from icmass.universe.agn import AgnConfig, draw_agn, field_counts_above
from icmass.universe.gas import EDGES, Gas, GasConfig, make_gas
from icmass.universe.halos import LATENTS, SNAPSHOTS, Halo, HaloConfig, HaloPopulation
from icmass.universe.profiles import vikhlinin_density, vikhlinin_temperature

COSMO = Cosmology()


def draw_halos(n: int, **options: object) -> list[Halo]:
    population = HaloPopulation(HaloConfig(**options), COSMO)
    return [population.draw(i, np.random.default_rng([7, i])) for i in range(n)]


def make_halo(m500c: float = 2e14, redshift: float = 0.1, **latents: float) -> Halo:
    every = dict.fromkeys(LATENTS, 0.0) | latents
    r500c = float(COSMO.r500c(m500c, redshift))
    return Halo(0, m500c, redshift, r500c, 0, np.zeros(3), every)


@pytest.fixture(scope="module")
def sample() -> list[tuple[Halo, Gas]]:
    halos = draw_halos(1500)
    config = GasConfig()
    return [(h, make_gas(h, config, COSMO, np.random.default_rng([8, h.halo_id]))) for h in halos]


def test_cosmology_agrees_with_astropy():
    astropy = COSMO.astropy
    for z in (0.066, 0.2, 0.47):
        assert COSMO.efunc(z) == pytest.approx(astropy.efunc(z), rel=1e-10)
        kpc = astropy.kpc_comoving_per_arcmin(z).to_value()
        assert COSMO.arcmin_per_mpc_h(z) == pytest.approx(1e3 / kpc / COSMO.h, rel=1e-9)


def test_r500c_is_magneticums():
    # halo 5 of the 30x30 deg light-cone: M500 4.84124e14 Msun/h, R500 1048.91 comoving kpc/h
    assert COSMO.r500c(4.84124e14, 0.165672) == pytest.approx(1.04891, rel=0.006)


def test_mass_function_of_colossus_is_restored():
    from colossus.cosmology import cosmology

    before = cosmology.setCosmology("planck18", persistence="")
    draw_halos(2)
    assert cosmology.getCurrent() is before


def test_catalogue_is_the_papers():
    halos = draw_halos(3285)
    log_m = np.log10([h.m500c for h in halos])
    z = np.array([h.redshift for h in halos])
    assert np.median(log_m) == pytest.approx(13.94, abs=0.04)
    assert np.median(z) == pytest.approx(0.21, abs=0.04)
    assert set(np.round(z, 6)) == set(SNAPSHOTS)
    flat = np.histogram(log_m, bins=np.arange(13.5, 14.3, 0.105))[0]
    assert flat.std() < 3 * np.sqrt(flat.mean())
    assert flat.mean() == pytest.approx(350, rel=0.1)
    assert 3 <= (log_m > 14.8).sum() <= 60
    position = np.array([h.position for h in halos])
    octant = (position > 176) @ [1, 2, 4]
    assert np.bincount(octant).min() > 3285 / 8 - 5 * np.sqrt(3285 / 8)


def test_plain_mass_function_falls():
    log_m = np.log10([h.m500c for h in draw_halos(2000, selection="mass_function")])
    low = (log_m < 13.7).sum()
    assert low > 5 * ((log_m > 14.1) & (log_m < 14.3)).sum()


def test_mass_function_against_tinker_at_one_mass():
    # n(> 1e14 Msun/h) of 500c masses at z = 0.07 in WMAP7: about 1e-5 (Mpc/h)^-3
    population = HaloPopulation(HaloConfig(selection="mass_function"), COSMO)
    above = population.log_mass > 14
    n = np.trapezoid(population.density[0][above], population.log_mass[above])
    assert 0.5e-5 < n / 352**3 < 1.6e-5


def test_redshift_range_is_even():
    z = np.array([h.redshift for h in draw_halos(2000, redshift_range=(0.05, 0.6))])
    assert z.min() >= 0.05 and z.max() <= 0.6
    assert len(np.unique(z)) > 1900


def test_latents_have_the_stated_correlation():
    halos = draw_halos(4000)
    found = np.corrcoef(np.array([[h.latents[k] for k in LATENTS] for h in halos]).T)
    assert np.abs(found - np.array(HaloConfig().correlation)).max() < 5 / np.sqrt(4000)


@pytest.mark.parametrize(
    "wrong",
    [
        {"correlation": ((1.0, 0.0), (0.0, 1.0))},
        {"redshifts": (0.0,)},
        {"log_m500c_min": 14.5, "log_m500c_max": 14.0},
        {"selection": "none"},
        {"unknown": 1},
    ],
)
def test_wrong_halo_configuration_is_refused(wrong: dict[str, object]):
    with pytest.raises(ValidationError):
        HaloConfig(**wrong)


def test_gas_profiles_have_their_limits():
    x = np.array([1e-4, 1e-3])
    cusp = vikhlinin_density(x, core=0.2, alpha=1.0, beta=0.6, outer=0.5, epsilon=2)
    assert np.log(cusp[0] / cusp[1]) / np.log(10) == pytest.approx(0.5, abs=0.01)
    far = vikhlinin_density(10 * x + 99, core=0.2, alpha=1.0, beta=0.6, outer=0.5, epsilon=2)
    slope = np.log(far[1] / far[0]) / np.log((99 + 1e-2) / (99 + 1e-3))
    assert slope == pytest.approx(-3 * 0.6 - 1, abs=0.05)
    # Vikhlinin et al. 2006, equation 8, at x = 0.3 and 1: T/T_mg = 1.35 times ours
    shape = 1.35 * vikhlinin_temperature(np.array([0.3, 1.0]), drop=0.45)
    assert shape == pytest.approx([1.2, 0.735], rel=0.03)


def test_gas_mass_and_temperature_are_the_relations():
    config = GasConfig()
    for mass, z in ((3e13, 0.07), (2e14, 0.2), (8e14, 0.47)):
        gas = make_gas(make_halo(mass, z), config, COSMO, np.random.default_rng(0))
        ratio = mass / 2e14
        assert gas.m_gas == pytest.approx(0.097 * mass * ratio**0.14, rel=1e-9)
        t = 3.24 * COSMO.efunc(z) ** (2 / 3) * ratio**0.643
        assert gas.t_mass_weighted == pytest.approx(t, rel=1e-9)


def test_emission_measure_is_that_of_the_gas_mass():
    # a uniform sphere: EM = n_e^2 / 1.2 * V with n_e from the gas mass, by hand
    config = GasConfig(
        core=0.9, core_scatter=0, core_slope=0, alpha_cool=0, alpha_other=0, alpha_scatter=0,
        beta=0.301, beta_slope=0, beta_scatter=0, outer=4.9, epsilon=0, epsilon_scatter=0,
        clumping_scatter=0, hot_fraction=1,
    )  # fmt: skip
    gas = make_gas(make_halo(), config, COSMO, np.random.default_rng(1))
    inside = gas.inside_r500
    r_cm = float(COSMO.r500c(2e14, 0.1)) / 1.1 / 0.704 * 3.0857e24
    volume = 4 / 3 * np.pi * r_cm**3
    n_e = gas.m_gas / 0.704 * 1.9884e33 / (1.17 * 1.6726e-24) / volume
    uniform = n_e**2 / 1.2 * volume
    clumped = gas.emission_measure[inside].sum() / uniform
    x = (EDGES[1:] + EDGES[:-1]) / 2
    rho = vikhlinin_density(x, core=0.8, alpha=0, beta=0.42, outer=4.9, epsilon=0)
    v = np.diff(EDGES**3)
    expected = np.average(rho[inside] ** 2, weights=v[inside])
    expected /= np.average(rho[inside], weights=v[inside]) ** 2
    assert clumped == pytest.approx(expected, rel=0.01)


def test_axes_keep_the_volume_and_are_isotropic(sample):
    axes = np.array([gas.axes for _, gas in sample])
    assert np.abs(np.linalg.det(axes)) == pytest.approx(np.ones(len(axes)), rel=1e-9)
    in_sky = (axes[:, 0] ** 2).sum(1).mean(), (axes[:, 2] ** 2).sum(1).mean()
    assert in_sky[0] == pytest.approx(in_sky[1], rel=0.03)


def test_ideal_relations_are_magneticums(sample):
    """Norms, slopes, scatters and correlations: physics.md's targets and tolerances."""
    table = load_plasma_table()
    rows = []
    for halo, gas in sample:
        inside = gas.inside_r500
        cooling = table.bolometric_cooling_function(gas.kt_kev[inside], gas.abundance[inside])
        luminosity = gas.emission_measure[inside] @ cooling / 1e44
        rows.append((halo.m500c, halo.redshift, gas.t_mass_weighted, luminosity, gas.m_gas))
    m, z, t, lum, m_gas = np.array(rows).T
    mu = np.log(m / 2e14)
    e = COSMO.efunc(z)
    residuals = {}
    for name, values, slope, tolerance, scatter in (
        ("T", t * e ** (-2 / 3), 0.643, 0.06, 0.1175),
        ("L", lum * e ** (-7 / 3), 1.75, 0.25, 0.2633),
        ("gas", m_gas, 1.14, 0.08, 0.0846),
    ):
        fit = np.polyfit(mu, np.log(values), 1)
        residuals[name] = np.log(values) - np.polyval(fit, mu)
        assert fit[0] == pytest.approx(slope, abs=tolerance), name
        assert residuals[name].std() / fit[0] == pytest.approx(scatter, rel=0.15), name
        if name == "L":
            assert np.exp(fit[1]) == pytest.approx(1.17, rel=0.4)
    found = np.corrcoef([residuals[k] for k in ("T", "L", "gas")])
    assert found[0, 1] == pytest.approx(-0.3, abs=0.2)
    assert found[0, 2] == pytest.approx(-0.55, abs=0.2)
    assert found[1, 2] == pytest.approx(0.5, abs=0.2)


def test_efeds_gas_has_the_luminosities_observed_there():
    """L(0.5-2 keV)/E^2 = 0.43e44 erg/s at 2e14 Msun/h, slope 1.55: Liu+22 with Chiu+23 masses."""
    table, config = load_plasma_table(), GasConfig(**EFEDS_GAS)
    rows = []
    for halo in draw_halos(800):
        gas = make_gas(halo, config, COSMO, np.random.default_rng([9, halo.halo_id]))
        inside = gas.inside_r500
        cooling = table.cooling_function(gas.kt_kev[inside], gas.abundance[inside], 0.5, 2.0)
        soft = gas.emission_measure[inside] @ cooling / 1e44
        rows.append((np.log(halo.m500c / 2e14), np.log(soft / COSMO.efunc(halo.redshift) ** 2)))
    slope, norm = np.polyfit(*np.array(rows).T, 1)
    assert np.exp(norm) == pytest.approx(0.43, rel=0.1)
    assert slope == pytest.approx(1.55, abs=0.1)


def test_cool_cores_are_relaxed(sample):
    cool = np.array([gas.latents["cool_core"] for _, gas in sample], bool)
    accretion = np.array([halo.latents["accretion"] for halo, _ in sample])
    assert cool.mean() == pytest.approx(0.4, abs=0.05)
    assert accretion[cool].mean() < accretion[~cool].mean() - 0.4


def test_field_agn_counts_are_those_of_efeds():
    # measured in the eFEDS field [deg^-2, 0.5-2 keV]: 193 +- 15, 99 +- 11, 44 +- 7, complete above
    # 5e-15, where the catalogue begins to lose sources: 3 sigma there, 2 sigma above
    counts = field_counts_above(np.array([5e-15, 1e-14, 2e-14]), AgnConfig())
    assert abs(counts[0] - 193) < 3 * 15
    assert abs(counts[1] - 99) < 2 * 11
    assert abs(counts[2] - 44) < 2 * 7


def test_drawn_fluxes_follow_the_counts():
    halo, config = make_halo(redshift=0.07), AgnConfig(satellites=0, central_duty_cycle=0)
    rng = np.random.default_rng(3)
    flux = np.concatenate([draw_agn(halo, config, COSMO, 2.3, rng).flux for _ in range(40)])
    area = 40 * (4.6 * COSMO.arcmin_per_mpc_h(0.07) / 60) ** 2
    for limit in (2e-15, 1e-14, 5e-14):
        expected = (field_counts_above(limit, config) - field_counts_above(1e-12, config)) * area
        assert abs((flux > limit).sum() - expected) < 4 * np.sqrt(expected)


def test_central_agn_have_their_duty_cycle():
    config = AgnConfig(satellites=0, field_norm_deg2=0)
    rng = np.random.default_rng(4)
    n = [len(draw_agn(make_halo(), config, COSMO, 2.3, rng).flux) for _ in range(1000)]
    assert np.mean(n) == pytest.approx(0.45, abs=4 * 0.016)


@settings(max_examples=30, deadline=None)
@given(
    log_m=st.floats(13.5, 15.1),
    redshift=st.floats(0.03, 0.8),
    gas_mass=st.floats(-3, 3),
    core=st.floats(-3, 3),
)
def test_any_halo_gets_finite_positive_gas(log_m, redshift, gas_mass, core):
    halo = make_halo(10**log_m, redshift, gas_mass=gas_mass, core_radius=core)
    gas = make_gas(halo, GasConfig(), COSMO, np.random.default_rng(0))
    for values in (gas.emission_measure, gas.kt_kev, gas.abundance):
        assert np.isfinite(values).all() and (values > 0).all()
