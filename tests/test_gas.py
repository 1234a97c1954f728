"""Gas of clusters against Magneticum, eFEDS, the paper's scatters and sums by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icmass.cosmology import Cosmology
from icmass.plasma.emissivity import load_plasma_table
from icmass.survey.presets import resolve_config
from icmass.survey.simulate import Simulator
from icmass.universe.gas import EDGES, Gas, GasConfig, disturbance, gas_mass, make_gas
from icmass.universe.halos import LATENTS, SHAPES, Halo, HaloConfig
from icmass.universe.population import HaloPopulation
from icmass.universe.profiles import nfw_radii, vikhlinin_density, vikhlinin_temperature
from icmass.universe.scene import Scene, luminosities

COSMO = Cosmology()
PUBLISHED = {"T": 0.1175, "L_X": 0.2633, "M_gas": 0.0846}  # scatter of ln M: Ho et al. 2023


def make_halo(m500c: float = 2e14, redshift: float = 0.1, **latents: float) -> Halo:
    every = dict.fromkeys((*LATENTS, *SHAPES), 0.0) | latents
    r500c = float(COSMO.r500c(m500c, redshift))
    return Halo(0, m500c, redshift, r500c, 0, np.zeros(3), every, np.eye(3))


def scenes(preset: str, n: int) -> list[tuple[Scene, dict[str, float]]]:
    """Return scenes as a survey has them, and the luminosities that it gives for them."""
    simulator = Simulator(resolve_config(preset), 3)
    table = load_plasma_table(simulator.config.gas.abundance_table)
    made = [simulator.scene(i) for i in range(n)]
    return [(scene, luminosities(scene.atmosphere, table)) for scene in made]


@pytest.fixture(scope="module")
def sample() -> list[tuple[Scene, dict[str, float]]]:
    return scenes("erosita", 1500)


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


@pytest.mark.parametrize("concentration", [0.5, 2.0, 6.0])
def test_nfw_radii_are_those_of_the_mass(concentration: float):
    from scipy.integrate import quad

    def within(x: float) -> float:
        return quad(lambda t: t / (1 + concentration * t) ** 2, 0, x)[0]

    for part in (0.05, 0.5, 0.9):
        x = float(nfw_radii(np.array([part]), concentration, 3.0)[0])
        assert within(x) / within(3.0) == pytest.approx(part, rel=2e-3)


@pytest.mark.parametrize("substructure_gas", [0.0, 1e12])
def test_gas_mass_and_temperature_are_the_relations(substructure_gas: float):
    """Substructures are part of the gas mass, not added to it."""
    config = GasConfig()
    for mass, z in ((3e13, 0.07), (2e14, 0.2), (8e14, 0.47)):
        gas = make_gas(make_halo(mass, z), config, COSMO, substructure_gas)
        ratio = mass / 2e14
        assert gas.m_gas == pytest.approx(0.097 * mass * ratio**0.14, rel=1e-9)
        t = 3.24 * COSMO.efunc(z) ** (2 / 3) * ratio**0.643
        assert gas.t_mass_weighted == pytest.approx(t, rel=1e-9)
        weight = np.sqrt(gas.emission_measure * np.diff(EDGES**3))[gas.inside_r500]
        assert np.average(gas.kt_kev[gas.inside_r500], weights=weight) == pytest.approx(t, rel=1e-9)


def test_latents_are_the_residuals():
    config = GasConfig()
    normal = make_gas(make_halo(), config, COSMO)
    for name, value, scatter in (("gas_mass", "m_gas", 0.1), ("temperature", "t_mass_weighted",
                                                               0.075)):  # fmt: skip
        other = make_gas(make_halo(**{name: 2.0}), config, COSMO)
        ratio = getattr(other, value) / getattr(normal, value)
        assert ratio == pytest.approx(np.exp(2 * scatter), rel=1e-9)


def test_emission_measure_is_that_of_the_gas_mass():
    # a uniform sphere: EM = n_e^2 / 1.2 * V with n_e from the gas mass, by hand
    config = GasConfig(
        core=0.9, core_scatter=0, core_slope=0, alpha_cool=0, alpha_other=0, alpha_scatter=0,
        beta=0.301, beta_slope=0, beta_scatter=0, outer=4.9, epsilon=0, epsilon_scatter=0,
        clumping_scatter=0, hot_fraction=1,
    )  # fmt: skip
    gas = make_gas(make_halo(), config, COSMO)
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


def test_smooth_gas_leaves_room_for_substructures():
    """A tenth of the gas in substructures leaves 0.9 of the density, 0.81 of the emission."""
    config = GasConfig()
    whole = make_gas(make_halo(), config, COSMO)
    rest = make_gas(make_halo(), config, COSMO, 0.1 * whole.m_gas)
    np.testing.assert_allclose(rest.emission_measure, 0.81 * whole.emission_measure, rtol=1e-9)
    assert rest.m_gas == whole.m_gas


def test_axes_keep_the_volume_and_are_isotropic(sample):
    halos = {scene.halo.halo_id: scene.gas for scene, _ in sample}
    axes = np.array([gas.axes for gas in halos.values()])
    assert np.abs(np.linalg.det(axes)) == pytest.approx(np.ones(len(axes)), rel=1e-9)
    in_sky = (axes[:, 0] ** 2).sum(1).mean(), (axes[:, 2] ** 2).sum(1).mean()
    assert in_sky[0] == pytest.approx(in_sky[1], rel=0.03)
    ratios = np.sort(np.linalg.svd(axes, compute_uv=False), axis=1)
    q, s = (ratios[:, 1] / ratios[:, 2]).mean(), (ratios[:, 0] / ratios[:, 2]).mean()
    assert (q, s) == pytest.approx((0.85, 0.75), abs=0.03)  # Lau et al. 2011


def test_disturbed_halos_are_lopsided(sample):
    upset = np.array([disturbance(scene.halo) for scene, _ in sample])
    shell = np.searchsorted(EDGES, 1.0) - 1
    offset = [np.linalg.norm(scene.gas.centres[shell]) for scene, _ in sample]
    assert upset.std() == pytest.approx(1, abs=0.1)
    assert np.corrcoef(upset, np.log(offset))[0, 1] > 0.95
    assert np.median(offset) == pytest.approx(0.06, rel=0.15)


def test_lopsided_along_the_longest_axis(sample):
    for scene, _ in sample[:50]:
        shape, gas = scene.gas.shape, scene.gas
        if shape["axis_ratio_q"] < 0.97:
            longest = np.linalg.svd(gas.axes)[0][:, 0]
            along = gas.centres[-1] @ longest / np.linalg.norm(gas.centres[-1])
            assert abs(along) == pytest.approx(1, abs=1e-9)


def test_ideal_relations_are_magneticums(sample):
    """Norms, slopes, scatters and correlations: Magneticum's and the paper's, within tolerances."""
    rows = [
        (s.halo.m500c, s.halo.redshift, s.gas.t_mass_weighted, found["L_X"], s.gas.m_gas)
        for s, found in sample
    ]
    m, z, t, lum, m_gas = np.array(rows).T
    mu = np.log(m / 2e14)
    e = COSMO.efunc(z)
    residuals = []
    for name, values, slope, tolerance in (
        ("T", t * e ** (-2 / 3), 0.643, 0.06),
        ("L_X", lum * e ** (-7 / 3), 1.75, 0.25),
        ("M_gas", m_gas, 1.14, 0.08),
    ):
        fit = np.polyfit(mu, np.log(values), 1)
        residuals.append(np.log(values) - np.polyval(fit, mu))
        assert fit[0] == pytest.approx(slope, abs=tolerance), name
        assert residuals[-1].std() / fit[0] == pytest.approx(PUBLISHED[name], rel=0.15), name
        norm = {"T": (3.24, 0.1), "L_X": (1.17, 0.4), "M_gas": (0.097 * 2e14, 0.1)}[name]
        assert np.exp(fit[1]) == pytest.approx(norm[0], rel=norm[1]), name
    found = np.corrcoef(residuals)
    assert found[0, 1] == pytest.approx(-0.3, abs=0.2)
    assert found[0, 2] == pytest.approx(-0.55, abs=0.2)
    assert found[1, 2] == pytest.approx(0.5, abs=0.2)


def test_efeds_gas_has_the_luminosities_observed_there():
    """L(0.5-2 keV)/E^2 = 0.43e44 erg/s at 2e14 Msun/h, slope 1.55: Liu+22 with Chiu+23 masses."""
    rows = []
    for scene, found in scenes("efeds", 800):
        halo = scene.halo
        soft = found["L_X_soft"] / COSMO.efunc(halo.redshift) ** 2
        rows.append((np.log(halo.m500c / 2e14), np.log(soft)))
    slope, norm = np.polyfit(*np.array(rows).T, 1)
    assert np.exp(norm) == pytest.approx(0.43, rel=0.1)
    assert slope == pytest.approx(1.55, abs=0.1)


def test_luminosity_is_of_the_gas_within_r500c(sample):
    """A part of all the gas in the map; bolometric by about twice the soft band at these kT."""
    scene, found = sample[0]
    atmosphere = scene.atmosphere
    inside = atmosphere.in_r500
    assert 0 < inside.sum() < len(inside)
    ratio = np.median([f["L_X"] / f["L_X_soft"] for _, f in sample])
    assert 1.8 < ratio < 4
    table = load_plasma_table()
    kt = np.clip(atmosphere.kt_kev, table.kt_kev[0], table.kt_kev[-1])
    each = table.cooling_function(kt, atmosphere.abundance, 0.5, 2.0)
    total = (atmosphere.emission_measure * each)[inside].sum() / 1e44
    assert found["L_X_soft"] == pytest.approx(total, rel=1e-9)


def test_cool_cores_are_relaxed(sample):
    cool = np.array([scene.gas.shape["cool_core"] for scene, _ in sample], bool)
    accretion = np.array([scene.halo.latents["accretion"] for scene, _ in sample])
    assert cool.mean() == pytest.approx(0.4, abs=0.05)
    assert accretion[cool].mean() < accretion[~cool].mean() - 0.4


def test_cool_cores_have_cold_bright_metal_rich_centres(sample):
    def centre(gas: Gas) -> tuple[float, float, float]:
        inside = gas.inside_r500
        bright = gas.emission_measure[:5].sum() / gas.emission_measure[inside].sum()
        return gas.kt_kev[0] / gas.t_mass_weighted, bright, gas.abundance[0]

    cool = np.array([centre(s.gas) for s, _ in sample if s.gas.shape["cool_core"]])
    others = np.array([centre(s.gas) for s, _ in sample if not s.gas.shape["cool_core"]])
    assert (np.median(cool, axis=0) > [0.3, 0, 0.5]).all()
    assert np.median(cool[:, 0]) < 0.7 * np.median(others[:, 0])
    assert np.median(cool[:, 1]) > 2 * np.median(others[:, 1])
    assert np.median(others[:, 2]) == pytest.approx(0.27, abs=0.01)


def test_groups_hold_less_gas():
    # Magneticum: the gas fraction rises as M^0.14
    low, high = gas_mass(np.array([1e13, 1e15]), GasConfig()) / [1e13, 1e15]
    assert high / low == pytest.approx(100**0.14, rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    log_m=st.floats(13.5, 15.1),
    redshift=st.floats(0.03, 0.8),
    latent=st.floats(-3, 3),
    core=st.floats(-3, 3),
    substructure=st.floats(0, 2),
)
def test_any_halo_gets_finite_positive_gas(log_m, redshift, latent, core, substructure):
    every = dict.fromkeys((*LATENTS, *SHAPES), latent) | {"core_radius": core}
    halo = make_halo(10**log_m, redshift, **every)
    gas = make_gas(halo, GasConfig(), COSMO, substructure * 0.1 * halo.m500c)
    for values in (gas.emission_measure, gas.kt_kev, gas.abundance):
        assert np.isfinite(values).all() and (values > 0).all()


def test_gas_is_the_halos_alone():
    """Nothing else is drawn for it: the same halo, the same gas."""
    population = HaloPopulation(HaloConfig(), COSMO)
    halo = population.draw(3, np.random.default_rng(0))
    first, second = (make_gas(halo, GasConfig(), COSMO) for _ in range(2))
    np.testing.assert_array_equal(first.emission_measure, second.emission_measure)
    assert first.shape == second.shape
