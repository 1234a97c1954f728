"""Galaxies against their sources' relations, and their proxies against the published figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import kstest

from halos import make_halo
from icmass.cosmology import Cosmology
from icmass.observe.dynamics import (
    clip_outliers,
    clipped_dispersion,
    galaxy_proxies,
    true_dispersion,
)
from icmass.proxies.scaling import ScalingFit, fit_scaling, redshift_groups
from icmass.universe.dynamics import (
    concentration_500c,
    dispersion_profile,
    nfw_mass,
    r200c_over_r500c,
)
from icmass.universe.galaxies import (
    VELOCITY_WINDOW,
    Galaxies,
    draw_galaxies,
    ideal_m_star,
    satellite_number,
)
from icmass.universe.galaxy_config import GalaxyConfig
from icmass.universe.halos import LATENTS, Halo, HaloConfig
from icmass.universe.interlopers import draw_field
from icmass.universe.mass_function import LOG_MASS, halo_abundance
from icmass.universe.neighbours import NeighbourConfig, Neighbours, draw_neighbours
from icmass.universe.population import HaloPopulation
from icmass.universe.velocity_field import hubble_flow

COSMO = Cosmology()
CONFIG = GalaxyConfig()
ROUND = GalaxyConfig(axis_q=1, axis_s=1, anisotropy=0, field_density=0)
NOBODY = Neighbours(*np.empty((5, 0)))
HALF_WIDTH = 2.3


def draw_many(halo: Halo, config: GalaxyConfig, n: int, width: float = 10.0) -> Galaxies:
    """Return the galaxies of `n` draws together."""
    rng = np.random.default_rng(5)
    sets = [draw_galaxies(halo, NOBODY, config, COSMO, width, rng) for _ in range(n)]
    names = ("x", "y", "z", "v_los", "m_star", "member")
    return Galaxies(*(np.concatenate([getattr(g, name) for g in sets]) for name in names))


def radius_of(galaxies: Galaxies) -> np.ndarray:
    return np.sqrt(galaxies.x**2 + galaxies.y**2 + galaxies.z**2)


@pytest.mark.parametrize("m500c", [3e13, 1e14, 8e14])
@pytest.mark.parametrize("latent", [0.0, 2.0])
def test_occupation(m500c: float, latent: float):
    halo = make_halo(m500c, galaxy_number=latent)
    n = 60
    galaxies = draw_many(halo, ROUND, n)
    inside = (radius_of(galaxies) <= halo.r500c) & galaxies.member
    cut = np.exp(-(10**ROUND.log_m500c_cut) * (1 / m500c - 1e-14))
    expected = 53 * (m500c / 1e14) ** 0.75 * np.exp(0.165 * latent) * cut
    assert inside.sum() / n - 1 == pytest.approx(expected, abs=4 * np.sqrt(expected / n))


@pytest.mark.parametrize("anisotropy", [0.0, 0.4])
def test_velocity_dispersion_is_evrards(anisotropy: float):
    halo = make_halo(3e14, 0.3)
    galaxies = draw_many(halo, ROUND.model_copy(update={"anisotropy": anisotropy}), 60)
    c500 = concentration_500c(halo.m500c, halo.redshift, COSMO)
    ratio = r200c_over_r500c(c500)
    inside = radius_of(galaxies) <= ratio * halo.r500c
    peculiar = galaxies.v_los - hubble_flow(0.3, COSMO) * galaxies.z
    m200c = 3e14 * 0.4 * ratio**3
    evrard = 1082.9 * (COSMO.astropy.efunc(0.3) * m200c / 1e15) ** 0.3361
    error = evrard / np.sqrt(2 * inside.sum())
    assert peculiar[inside].std() == pytest.approx(evrard, abs=4 * error)
    assert 4 * error < 0.05 * evrard


def test_dispersion_is_larger_along_the_long_axis_and_with_the_latent():
    halo = make_halo(3e14, velocity=1.0)
    turned = Halo(**{**vars(halo), "orientation": np.eye(3)[:, [2, 1, 0]]})
    config = CONFIG.model_copy(update={"field_density": 0.0})
    short, long = (draw_many(h, config, 60) for h in (halo, turned))
    aH = hubble_flow(0.2, COSMO)
    spread = [(g.v_los - aH * g.z).std() for g in (short, long)]
    assert spread[1] / spread[0] == pytest.approx(0.62**-0.5, rel=0.06)
    assert long.z.std() / short.z.std() == pytest.approx(1 / 0.62, rel=0.06)
    calm = draw_many(make_halo(3e14), config, 60)
    calm_spread = (calm.v_los - aH * calm.z).std()
    assert spread[0] / calm_spread == pytest.approx(np.exp(0.075), rel=0.04)


@pytest.mark.parametrize("anisotropy", [0.0, 0.3])
def test_jeans_equation(anisotropy: float):
    c, tracer = 3.0, 0.6

    def square(x: float) -> float:
        def pull(r: float) -> float:
            n = 1 / (r * (1 + tracer * c * r) ** 2)
            return r ** (2 * anisotropy) * n * nfw_mass(c * r) / r**2

        n = 1 / (x * (1 + tracer * c * x) ** 2)
        return float(quad(pull, x, np.inf)[0]) / (n * x ** (2 * anisotropy))

    x = np.array([0.05, 0.3, 1.0, 2.0])
    profile = dispersion_profile(x, c, tracer_ratio=tracer, anisotropy=anisotropy)
    expected = np.sqrt([square(float(r)) for r in x])
    assert profile / profile[1] == pytest.approx(expected / expected[1], rel=0.01)


def test_members_follow_nfw():
    halo = make_halo(1e14)
    galaxies = draw_many(halo, ROUND, 40)
    radius = radius_of(galaxies)[galaxies.member] / halo.r500c
    radius = radius[radius > 0]  # less the centrals
    c = 0.6 * concentration_500c(halo.m500c, halo.redshift, COSMO)
    assert radius.max() <= ROUND.extent
    assert kstest(radius, lambda x: nfw_mass(c * x) / nfw_mass(c * 2.0)).pvalue > 0.01
    assert kstest(radius, lambda x: nfw_mass(c / 0.6 * x) / nfw_mass(c / 0.6 * 2.0)).pvalue < 1e-3


def test_concentration_is_colossus():
    from colossus.halo import concentration

    with COSMO.colossus():
        expected = concentration.concentration(2.3e14, "500c", 0.31, model="diemer19")
    assert concentration_500c(2.3e14, 0.31, COSMO) == pytest.approx(expected, rel=0.02)


def test_m200_over_m500_is_magneticums():
    assert 0.4 * r200c_over_r500c(3.0) ** 3 == pytest.approx(1 / 0.665, rel=0.08)


def test_field_density_bias_and_infall():
    halo, rng = make_halo(2e14, 0.25), np.random.default_rng(3)
    options = {"density": 0.02, "bias": 1.3, "scatter": 0.0, "exclusion": 2.0}
    draws = [draw_field(halo, COSMO, HALF_WIDTH, rng, **options) for _ in range(400)]
    offset, velocity = (np.concatenate(part) for part in zip(*draws, strict=True))
    distance = np.linalg.norm(offset, axis=1)
    assert distance.min() > 2 * halo.r500c
    assert (velocity * offset[:, 2] <= 0).all()
    with COSMO.colossus() as colossus:
        from colossus.lss import bias

        cluster = bias.haloBias(2e14, z=0.25, mdef="500c", model="tinker10")
        z = np.linspace(5, 10, 200)
        xi = colossus.correlationFunction(np.hypot(z, 0.5), 0.25)  # at mean R^2 of the cylinder
    expected = 0.02 * 2 * 5 * np.pi * 0.5 * (1 + 1.3 * cluster * xi.mean()) * 400
    column = offset[:, 0] ** 2 + offset[:, 1] ** 2 <= 0.5
    counted = (column & (np.abs(offset[:, 2]) > 5) & (np.abs(offset[:, 2]) < 10)).sum()
    assert counted == pytest.approx(expected, abs=4 * np.sqrt(expected))
    assert expected > 1.5 * 0.02 * 2 * 5 * np.pi * 0.5 * 400


def baldry(log_m: float) -> float:
    """Galaxies per dex at log10 stellar mass [Msun/h], comoving (Mpc/h)^-3; h = 0.7."""
    x = 10 ** (log_m - np.log10(0.7) - 10.66)
    return float(np.log(10) * np.exp(-x) * (3.96e-3 * x**0.65 + 0.79e-3 * x**-0.47)) / 0.7**3


def test_galaxies_of_all_halos_are_baldrys():
    abundance = halo_abundance(COSMO, (0.1,))
    density = abundance.density[0] * (NeighbourConfig().log_m500c_min <= LOG_MASS)
    c = 2.4
    satellites = satellite_number(10**LOG_MASS, CONFIG) * nfw_mass(2 * c) / nfw_mass(c)
    satellites *= np.exp(CONFIG.number_scatter**2 / 2)
    total = CONFIG.field_density + np.trapezoid(density * (1 + satellites), LOG_MASS)
    assert total == pytest.approx(quad(baldry, 9.5, 13)[0], rel=0.1)


def test_stellar_masses():
    galaxies = draw_many(make_halo(3e14), ROUND, 40)
    m_star = galaxies.m_star[radius_of(galaxies) > 0]
    assert m_star.min() >= 10**9.5
    expected = quad(baldry, 10.4, 13)[0] / quad(baldry, 9.5, 13)[0]
    error = np.sqrt(expected * (1 - expected) / len(m_star))
    assert (m_star > 10**10.4).mean() == pytest.approx(expected, abs=4 * error)
    central = np.median(galaxies.m_star[radius_of(galaxies) == 0])
    assert np.log10(central) == pytest.approx(12.0, abs=0.2)


def test_total_stellar_mass_is_magneticums():
    # 5.95e12 Msun/h at 2e14 Msun/h and redshift 0.2, slope 0.98: measured on its clusters
    assert ideal_m_star(make_halo(2e14), CONFIG) == pytest.approx(5.95e12, rel=0.01)
    ratio = ideal_m_star(make_halo(4e14), CONFIG) / ideal_m_star(make_halo(2e14), CONFIG)
    assert ratio == pytest.approx(2**0.98)
    high = ideal_m_star(make_halo(2e14, stellar_mass=1.0), CONFIG)
    assert np.log(high / 5.95e12) == pytest.approx(0.123, abs=0.01)


def test_galaxies_of_a_neighbour():
    neighbour = Neighbours(*np.array([[1.0], [0.5], [10.0], [2e14], [-500.0]]))
    rng = np.random.default_rng(1)
    halo = make_halo(1e14)
    config = CONFIG.model_copy(update={"field_density": 0.0})
    galaxies = draw_galaxies(halo, neighbour, config, COSMO, HALF_WIDTH, rng)
    others = ~galaxies.member
    assert 40 < others.sum() < 300
    mean = hubble_flow(0.2, COSMO) * 10 - 500
    spread = galaxies.v_los[others].std()
    error = spread / np.sqrt(others.sum())
    assert galaxies.v_los[others].mean() == pytest.approx(mean, abs=4 * error)
    assert 400 < spread < 900
    assert np.median(galaxies.x[others]) == pytest.approx(1.0, abs=0.3)


def make_galaxies(x: np.ndarray, z: np.ndarray, v_los: np.ndarray) -> Galaxies:
    n = len(v_los)
    return Galaxies(x, np.zeros(n), z, v_los, np.full(n, 1e10), np.ones(n, bool))


def test_cylinder_and_clipping():
    v = np.concatenate([np.tile([-100.0, 100.0], 20), [1500.0, 2500.0, -2500.0, 50.0]])
    x = np.concatenate([np.zeros(43), [1.3]])
    number, sigma = clipped_dispersion(make_galaxies(x, np.zeros(44), v))
    assert (number, sigma) == (40, pytest.approx(100.0))


def test_galaxies_beyond_the_cylinder_on_either_side_do_not_count():
    """Few galaxies, none of which clipping takes: 3 sigma are farther than any of four."""
    v = np.array([-1900.0, 1900.0, 2100.0, -2100.0])
    number, sigma = clipped_dispersion(make_galaxies(np.zeros(4), np.zeros(4), v))
    assert (number, sigma) == (2, pytest.approx(1900.0))


def test_clipping_is_about_the_mean():
    v = np.concatenate([np.tile([-100.0, 100.0], 20), [1500.0]])
    np.testing.assert_allclose(clip_outliers(v + 1000), v[:40] + 1000)


def test_clipping_takes_five_rounds():
    # each round takes the farthest value only, so that five of eight are gone
    v = np.concatenate([np.tile([-1.0, 1.0], 50), 10.0 * 8.0 ** np.arange(8)])
    left = clip_outliers(v)
    assert len(left) == 103
    assert len(clip_outliers(v, rounds=20)) == 100


def test_true_dispersion_is_of_peculiar_velocities_within_the_sphere():
    z = np.array([-2.0, -1.0, 1.0, 2.0, 2.4])
    v = hubble_flow(0.2, COSMO) * z + np.array([300.0, -300.0, 300.0, -300.0, 5e3])
    galaxies = make_galaxies(np.zeros(5), z, v)
    assert true_dispersion(galaxies, 0.2, COSMO) == pytest.approx(300.0)
    assert hubble_flow(0.2, COSMO) == pytest.approx(COSMO.astropy.H(0.2).value / 70.4 * 100 / 1.2)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_galaxies_have_no_dispersion(n: int):
    proxies = galaxy_proxies(make_galaxies(*np.zeros((3, n))), 0.2, COSMO)
    assert proxies["n_gal"] == n
    assert np.isnan([proxies["sigma_v"], proxies["sigma_v_true"]]).all()


@settings(max_examples=60, deadline=None)
@given(
    st.floats(12.5, 15.8),
    st.floats(0.01, 1.5),
    st.floats(-5, 5),
    st.integers(0, 2**32),
)
def test_any_cluster_is_finite_and_in_the_window(log_m, redshift, latent, seed):
    latents = dict.fromkeys(LATENTS, latent)
    halo = make_halo(10**log_m, round(redshift, 1) + 0.01, **latents)
    rng = np.random.default_rng(seed)
    neighbours = draw_neighbours(halo, NeighbourConfig(), COSMO, HALF_WIDTH, rng)
    galaxies = draw_galaxies(halo, neighbours, CONFIG, COSMO, HALF_WIDTH, rng)
    for values in vars(galaxies).values():
        assert values.shape == galaxies.x.shape
        assert np.isfinite(values).all()
    assert np.abs(galaxies.v_los).max() <= VELOCITY_WINDOW
    assert max(np.abs(galaxies.x).max(), np.abs(galaxies.y).max()) <= HALF_WIDTH
    assert (galaxies.m_star >= 10**9.49).all()
    proxies = galaxy_proxies(galaxies, halo.redshift, COSMO)
    assert proxies["n_gal"] <= len(galaxies)
    assert np.isfinite(ideal_m_star(halo, CONFIG))


NAMES = ("N_gal", "sigma_v", "sigma_v_true", "M_star")


@pytest.fixture(scope="module")
def catalogue() -> tuple[np.ndarray, ScalingFit]:
    """Return the proxies (n, 4) of clusters as the published ones, and their relations."""
    population = HaloPopulation(HaloConfig(), COSMO, 4)
    halos, rows = [], []
    for i in range(1500):
        rng = np.random.default_rng([4, i])
        halo = population.draw(i, rng)
        neighbours = draw_neighbours(halo, NeighbourConfig(), COSMO, HALF_WIDTH, rng)
        galaxies = draw_galaxies(halo, neighbours, CONFIG, COSMO, HALF_WIDTH, rng)
        proxies = galaxy_proxies(galaxies, halo.redshift, COSMO)
        halos.append(halo)
        rows.append([*proxies.values(), ideal_m_star(halo, CONFIG)])
    redshift = np.array([h.redshift for h in halos])
    fit = fit_scaling(
        np.log(rows),
        np.log([h.m500c / 2e14 for h in halos]),
        names=NAMES,
        redshift=redshift,
        group=redshift_groups(redshift, np.array([h.snapshot for h in halos])),
    )
    return np.array(rows), fit


@pytest.mark.parametrize(
    ("name", "published", "tolerance"),
    [
        ("N_gal", 0.3972, 0.20),
        ("sigma_v", 0.7039, 0.20),
        ("sigma_v_true", 0.3756, 0.15),
        ("M_star", 0.1256, 0.15),
    ],
)
def test_published_scatter(catalogue, name: str, published: float, tolerance: float):
    assert catalogue[1].sigma([name]) == pytest.approx(published, rel=tolerance)


@pytest.mark.parametrize(
    ("a", "b", "published"),
    [
        ("sigma_v_true", "N_gal", 0.3),
        ("sigma_v_true", "sigma_v", 0.55),
        ("N_gal", "sigma_v", 0.35),
        ("sigma_v_true", "M_star", 0.05),
    ],
)
def test_published_correlation(catalogue, a: str, b: str, published: float):
    correlation = catalogue[1].correlation[NAMES.index(a), NAMES.index(b)]
    assert correlation == pytest.approx(published, abs=0.2)


def test_published_numbers(catalogue):
    number = catalogue[0][:, 0]
    assert np.median(number) == pytest.approx(112, rel=0.15)
    assert 28 / 1.5 < np.percentile(number, 0.1) < 28 * 1.5
    assert 520 / 1.5 < number.max() < 520 * 1.5
