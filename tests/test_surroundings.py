"""Substructures, neighbours and all the gas of a scene: against integrals by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from halos import make_halo
from icmass.cosmology import Cosmology
from icmass.plasma.emissivity import load_plasma_table
from icmass.universe.atmosphere import CLUMP_EDGES, Atmosphere, clump_gas, make_atmosphere
from icmass.universe.gas import make_gas
from icmass.universe.gas_config import GasConfig
from icmass.universe.halos import LATENTS, SHAPES, Halo
from icmass.universe.neighbours import NeighbourConfig, Neighbours, draw_neighbours
from icmass.universe.scene import Scene, build_scene, luminosities
from icmass.universe.substructure import Clumps, SubstructureConfig, draw_substructures

COSMO = Cosmology()
NOBODY = NeighbourConfig(log_m500c_min=15.9)
MSUN_G, PROTON_G, MPC_CM = 1.98841e33, 1.67262e-24, 3.0856776e24


def draw_clumps(halo: Halo, config: SubstructureConfig, n: int) -> list[Clumps]:
    rng = np.random.default_rng(1)
    return [draw_substructures(halo, config, rng) for _ in range(n)]


def evolved(m: float, config: SubstructureConfig) -> float:
    """Return dN/dln m of van den Bosch & Jiang 2016 for all the mass in subhalos."""
    return 0.31 * m**config.slope * np.exp(-50 * m**4)


# Substructures


def test_subhalo_mass_function():
    config, halo, n = SubstructureConfig(), make_halo(), 4000
    m = np.concatenate([c.m500c for c in draw_clumps(halo, config, n)]) / halo.m500c
    assert m.min() >= config.mass_min and m.max() <= config.mass_max
    for lo, hi in ((config.mass_min, 0.03), (0.03, 0.1), (0.1, config.mass_max)):
        number = quad(lambda ln_m: evolved(np.exp(ln_m), config), np.log(lo), np.log(hi))[0]
        expected = n * config.mass_fraction * number
        assert abs(((m >= lo) & (m < hi)).sum() - expected) < 4 * np.sqrt(expected)


def test_mass_in_subhalos_grows_with_accretion():
    config = SubstructureConfig()
    mean = []
    for accretion in (-1.0, 0.0, 1.0):
        clumps = draw_clumps(make_halo(accretion=accretion), config, 3000)
        mean.append(np.mean([c.m500c.sum() for c in clumps]) / 2e14)
    per_fraction = quad(
        lambda ln_m: np.exp(ln_m) * evolved(np.exp(ln_m), config),
        np.log(config.mass_min),
        np.log(config.mass_max),
    )[0]
    growth = np.exp(config.mass_fraction_scatter * np.array([-1, 0, 1]))
    fraction = np.minimum(config.mass_fraction * growth, config.mass_fraction_most)
    assert fraction[-1] == config.mass_fraction_most > fraction[-2]
    np.testing.assert_allclose(mean, per_fraction * fraction, rtol=0.07)


def test_subhalos_follow_nfw_and_are_stripped_near_the_centre():
    config, halo = SubstructureConfig(gas_scatter=0, stripping=0.7), make_halo()
    many = draw_clumps(halo, config, 2000)
    offset = np.concatenate([c.offset for c in many]) / halo.r500c
    kept = np.concatenate([c.gas_kept for c in many])
    reach = np.concatenate([c.reach for c in many])
    radius = np.linalg.norm(offset, axis=1)
    assert radius.max() <= config.extent * (1 + 1e-9)
    c = config.concentration

    def within(x: float) -> float:
        return np.log(1 + c * x) - c * x / (1 + c * x)

    for x in (0.5, 1.0):
        share = within(x) / within(config.extent)
        tolerance = 4 * np.sqrt(share * (1 - share) / len(radius)) + 0.002
        assert (radius < x).mean() == pytest.approx(share, abs=tolerance)
    assert np.abs(offset.mean(0)).max() < 4 * radius.std() / np.sqrt(len(radius))
    outside = radius >= 1
    assert (kept[outside] == 1).all() and (reach[outside] == 1).all()
    np.testing.assert_allclose(kept[~outside], radius[~outside] ** config.stripping)
    assert (reach[~outside] <= np.maximum(radius[~outside], 0.15) * (1 + 1e-9)).all()
    assert kept[radius < 0.2].max() < 0.2**config.stripping + 1e-9


def test_subhalos_keep_more_or_less_of_their_gas():
    config, halo = SubstructureConfig(gas_scatter=0.6, stripping=0.5), make_halo()
    many = draw_clumps(halo, config, 2000)
    kept = np.concatenate([c.gas_kept for c in many])
    depth = np.concatenate([np.linalg.norm(c.offset, axis=1) for c in many]) / halo.r500c
    excess = np.log(kept / np.minimum(depth, 1) ** 0.5)
    n = len(excess)
    assert excess.mean() == pytest.approx(0, abs=4 * 0.6 / np.sqrt(n))
    assert excess.std() == pytest.approx(0.6, rel=4 / np.sqrt(2 * n))
    assert abs(np.corrcoef(excess, depth)[0, 1]) < 4 / np.sqrt(n)


def test_no_subhalos_without_mass_in_them():
    assert not any(len(c) for c in draw_clumps(make_halo(), SubstructureConfig(mass_fraction=0), 9))


# Neighbours


def neighbours(
    halo: Halo, n: int, width: float = 3.0, **options: float
) -> tuple[list[Neighbours], NeighbourConfig]:
    config = NeighbourConfig(**{"margin": 0.0, **options})
    rng = np.random.default_rng(2)
    return [draw_neighbours(halo, config, COSMO, width, rng) for _ in range(n)], config


def tinker(redshift: float, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Return ln M and dn/dlnM [(Mpc/h)^-3] or bias of colossus, above 10^12.3 Msun/h."""
    from colossus.lss import bias, mass_function

    mass = np.geomspace(10**12.3, 10**15.9, 400)
    with COSMO.colossus():
        if what == "bias":
            values = bias.haloBias(mass, z=redshift, mdef="500c", model="tinker10")
        else:
            options = {"mdef": "500c", "model": "tinker08", "q_in": "M", "q_out": "dndlnM"}
            values = mass_function.massFunction(mass, redshift, **options)
    return np.log(mass), values


def test_far_neighbours_are_as_dense_as_the_mass_function():
    """Beyond 40 Mpc/h the clustered part is a few per cent, and is added by hand."""
    halo = make_halo()
    found, _ = neighbours(halo, 300)
    z = np.concatenate([g.z for g in found])
    mass = np.concatenate([g.m500c for g in found])
    ln_m, density = tinker(0.2, "density")
    volume = 6 * 6 * 20 * len(found)
    far = np.abs(z) > 40
    excess = 1 + clustering(halo, 45.0)
    for threshold in (10**12.3, 1e13):
        above = ln_m >= np.log(threshold * 0.999)
        expected = np.trapezoid(density[above], ln_m[above]) * volume * excess
        n = (far & (mass >= threshold)).sum()
        assert abs(n - expected) < 4 * np.sqrt(expected) + 0.02 * expected


def clustering(halo: Halo, separation: np.ndarray | float) -> np.ndarray:
    """Return the mean overdensity of neighbours [number] at a separation [comoving Mpc/h]."""
    ln_m, density = tinker(halo.redshift, "density")
    _, bias = tinker(halo.redshift, "bias")
    mean = np.trapezoid(density * bias, ln_m) / np.trapezoid(density, ln_m)
    from colossus.lss import bias as colossus_bias

    with COSMO.colossus() as colossus:
        own = colossus_bias.haloBias(halo.m500c, z=halo.redshift, mdef="500c", model="tinker10")
        return mean * own * colossus.correlationFunction(separation, halo.redshift)


def test_neighbours_cluster_about_massive_halos():
    halo = make_halo(6e14)
    found, _ = neighbours(halo, 150, 20.0)
    radius = np.concatenate([np.linalg.norm([g.x, g.y, g.z], axis=0) for g in found])
    ln_m, density = tinker(0.2, "density")
    mean = np.trapezoid(density, ln_m) * len(found)
    for lo, hi in ((3, 5), (5, 10), (10, 18)):
        r = np.linspace(lo, hi, 60)
        shells = 4 * np.pi * r**2 * mean
        expected = np.trapezoid(shells * (1 + clustering(halo, r)), r)
        n = ((radius > lo) & (radius < hi)).sum()
        assert abs(n - expected) < 4 * np.sqrt(expected) + 0.02 * expected
        assert n > 1.3 * np.trapezoid(shells, r)


def test_no_neighbour_within_the_cluster():
    halo = make_halo(1e15)
    found, config = neighbours(halo, 300)
    distance = np.concatenate([np.linalg.norm([g.x, g.y, g.z], axis=0) for g in found])
    assert distance.min() > config.exclusion * halo.r500c
    assert distance.min() < 1.5 * config.exclusion * halo.r500c


def test_neighbours_stay_in_the_volume():
    found, config = neighbours(make_halo(), 50, margin=0.7, depth=30.0)
    for name, most in (("x", 3.7), ("y", 3.7), ("z", 30.0)):
        values = np.concatenate([getattr(g, name) for g in found])
        assert 0.95 * most < np.abs(values).max() <= most
        assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))
    assert min(g.m500c.min() for g in found) > 10 ** (config.log_m500c_min - 0.03)


def test_neighbours_fall_in():
    """Behind the cluster (z > 0) they come nearer; of the size that linear theory gives.

    Linear theory, v = -f H r D / 3 with f = Om(z)^0.55, where the overdensity D is small.
    """
    halo = make_halo(6e14, 0.2)
    found, config = neighbours(halo, 600, velocity_scatter=0.0)
    z, v = (np.concatenate([getattr(g, name) for g in found]) for name in ("z", "v_los"))
    assert (v * z < 0).all()
    away = np.abs(z) > 30
    r = np.geomspace(0.3, 35, 200)
    ln_m = np.log(6e14)
    from colossus.lss import bias as colossus_bias

    with COSMO.colossus() as colossus:
        own = colossus_bias.haloBias(np.exp(ln_m), z=0.2, mdef="500c", model="tinker10")
        mean = 3 * np.trapezoid(r**2 * colossus.correlationFunction(r, 0.2), r) / 35**3
    efunc = float(COSMO.efunc(0.2))
    growth = (0.272 * 1.2**3 / efunc**2) ** 0.55
    expected = 100 * efunc / 1.2 * 35 * growth * own * mean / 3
    near35 = away & (np.abs(np.abs(z) - 35) < 1)
    assert np.abs(v[near35]).mean() == pytest.approx(expected, rel=0.15)
    assert config.velocity_scatter == 0


def test_neighbours_have_random_motions_too():
    found, _ = neighbours(make_halo(), 200)
    still, _ = neighbours(make_halo(), 200, velocity_scatter=0.0)
    v, z = (np.concatenate([getattr(g, name) for g in found]) for name in ("v_los", "z"))
    mean = np.concatenate([g.v_los for g in still])
    np.testing.assert_array_equal(z, np.concatenate([g.z for g in still]))
    assert (v - mean).std() == pytest.approx(350, rel=4 / np.sqrt(2 * len(v)))
    assert v[z > 0].mean() < 0 < v[z < 0].mean()


def test_no_neighbours_if_none_are_massive_enough():
    assert not len(draw_neighbours(make_halo(), NOBODY, COSMO, 3.0, np.random.default_rng(0)))


# All the gas


def scene_of(halo: Halo, config: GasConfig, seed: int = 0, **options: object) -> Scene:
    substructure = options.get("substructure", SubstructureConfig())
    around = options.get("neighbours", NeighbourConfig())
    rng = np.random.default_rng([3, seed])
    return build_scene(halo, config, substructure, around, COSMO, half_width=2.3, rng=rng)


def shell_gas_mass(
    emission: np.ndarray, volume_r500: np.ndarray, filled: np.ndarray, r500c: float, z: float
) -> np.ndarray:
    """Return the gas mass [Msun/h] of shells of even density that fill a part of their volume.

    From n_e n_H = n_e^2 / 1.2 and 1.17 proton masses to an electron: a plasma of 0.3 solar.
    """
    volume = volume_r500 * (r500c / COSMO.h / (1 + z) * MPC_CM) ** 3 * filled
    electrons = np.sqrt(1.2 * emission / np.maximum(volume, 1)) * volume
    return electrons * 1.17 * PROTON_G / MSUN_G * COSMO.h


def relation_mass(m500c: float, config: GasConfig, redshift: float = 0.2) -> float:
    """Return M_gas [Msun/h] of the relation, above the groups that lose more of it."""
    assert m500c > 10**13.5
    evolution = float(COSMO.efunc(redshift)) ** config.f_gas_evolution
    return config.f_gas * m500c * (m500c / 2e14) ** config.f_gas_slope * evolution


def test_gas_of_substructures_is_taken_from_the_smooth_gas():
    """Gas mass within R500c, summed over all shells and clumps, is that of the relation."""
    halo = make_halo(4e14)
    config = GasConfig(hot_fraction=1.0, clumping=0, clumping_slope=0, clumping_evolution=0)
    shares = []
    for seed in range(30):
        scene = scene_of(halo, config, seed, neighbours=NOBODY)
        atmosphere, clumps = scene.atmosphere, scene.substructures
        inside = atmosphere.in_r500 & (atmosphere.body == 0)
        volume = 4 * np.pi / 3 * np.diff(atmosphere.cubes[inside], axis=1)[:, 0]
        smooth = scene.gas.emission_measure / scene.gas.clumping
        emission = smooth[scene.gas.inside_r500]
        own = shell_gas_mass(emission, volume, np.ones(len(volume)), halo.r500c, 0.2).sum()
        held = 0.0
        for i in np.flatnonzero(np.linalg.norm(clumps.offset, axis=1) < halo.r500c):
            shells = atmosphere.body == i + 1
            filled = np.clip((clumps.reach[i] - CLUMP_EDGES[:-1]) / np.diff(CLUMP_EDGES), 0, 1)
            r500c = float(COSMO.r500c(clumps.m500c[i], 0.2))
            volume = 4 * np.pi / 3 * np.diff(atmosphere.cubes[shells], axis=1)[:, 0]
            emission = atmosphere.emission_measure[shells]
            held += shell_gas_mass(emission, volume, filled, r500c, 0.2).sum()
        assert own + held == pytest.approx(scene.gas.m_gas, rel=0.01)
        shares.append(held / scene.gas.m_gas)
    assert 0 < np.median(shares) < 0.2
    assert scene.gas.m_gas == pytest.approx(relation_mass(4e14, config), rel=1e-9)


def test_light_of_substructures_is_part_of_the_halos():
    """L_X within R500c is the closed one, however many clumps there are, up to half of it."""
    halo, config = make_halo(4e14), GasConfig()
    table = load_plasma_table(config.abundance_table)
    none = SubstructureConfig(mass_fraction=0)
    alone = luminosities(scene_of(halo, config, substructure=none, neighbours=NOBODY), table)
    shares = []
    for seed in range(30):
        scene = scene_of(halo, config, seed, neighbours=NOBODY)
        atmosphere, found = scene.atmosphere, luminosities(scene, table)
        clumps = atmosphere.in_r500 & (atmosphere.body > 0)
        kt = np.clip(atmosphere.kt_kev[clumps], table.kt_kev[0], table.kt_kev[-1])
        cooling = table.bolometric_cooling_function(kt, atmosphere.abundance[clumps])
        light = atmosphere.emission_measure[clumps] @ cooling / 1e44
        shares.append(light / alone["L_X_emitted"])
        expected = alone["L_X_emitted"] + max(light - 0.5 * alone["L_X_emitted"], 0)
        assert found["L_X_emitted"] == pytest.approx(expected, rel=1e-6)
    assert 0 < np.median(shares) < 0.3


def test_atmosphere_is_the_sum_of_its_parts():
    halo, config = make_halo(), GasConfig()
    scene = scene_of(halo, config, 1)
    atmosphere = scene.atmosphere
    parts = [scene.substructures, scene.neighbours.clumps]
    assert min(map(len, parts)) > 0
    total = scene.gas.emission_measure.sum()
    for part in parts:
        for i in range(len(part)):
            one = Clumps(*(values[i : i + 1] for values in vars(part).values()))
            alone = make_atmosphere(halo, scene.gas, clump_gas([one], halo, config, COSMO), config)
            total += alone.emission_measure[alone.body == 1].sum()
    assert atmosphere.emission_measure.sum() == pytest.approx(total, rel=1e-9)
    assert len(atmosphere.axes) == 1 + sum(map(len, parts))
    n = len(atmosphere.emission_measure)
    for name in ("kt_kev", "abundance", "cubes", "body", "centre", "in_r500"):
        assert len(getattr(atmosphere, name)) == n
    bare = make_atmosphere(halo, scene.gas, clump_gas([], halo, config, COSMO), config)
    np.testing.assert_array_equal(bare.emission_measure, scene.gas.emission_measure)


def test_shells_within_r500c():
    halo, config = make_halo(accretion=2.0), GasConfig()
    scene = scene_of(halo, config, 2)
    atmosphere = scene.atmosphere
    own = atmosphere.body == 0
    np.testing.assert_array_equal(atmosphere.in_r500[own], atmosphere.cubes[own, 1] <= 1 + 1e-9)
    offset = np.concatenate([scene.substructures.offset, scene.neighbours.clumps.offset])
    near = np.linalg.norm(offset, axis=1) < halo.r500c
    assert near.any() and not near[len(scene.substructures) :].any()
    np.testing.assert_array_equal(atmosphere.in_r500[~own], near[atmosphere.body[~own] - 1])
    np.testing.assert_allclose(atmosphere.centre[~own], offset[atmosphere.body[~own] - 1, :2])


def test_neighbours_have_the_gas_of_their_mass():
    """A whole clump: gas fraction and temperature of its own mass, two beta models.

    The narrow one is of its stated core; the core share is the population's.
    """
    halo = make_halo()
    config = GasConfig(hot_fraction=1.0, clumping=0, clumping_slope=0, clumping_evolution=0)
    one = Clumps(np.array([[0.0, 3.0, 20.0]]), np.array([5e13]), np.ones(1), np.full(1, np.inf))
    gas = make_gas(halo, config, COSMO)
    atmosphere = make_atmosphere(halo, gas, clump_gas([one], halo, config, COSMO), config)
    shells = atmosphere.body == 1
    inner, outer = np.cbrt(atmosphere.cubes[shells]).T
    volume = 4 * np.pi / 3 * np.diff(atmosphere.cubes[shells], axis=1)[:, 0]
    r500c = float(COSMO.r500c(5e13, 0.2))
    emission = atmosphere.emission_measure[shells]
    held = shell_gas_mass(emission, volume, np.ones(len(volume)), r500c, 0.2)
    inside = outer <= 1 + 1e-9
    assert held[inside].sum() == pytest.approx(relation_mass(5e13, config), rel=0.01)
    kt = config.t_kev * float(COSMO.efunc(0.2)) ** config.t_evolution * 0.25**config.t_slope
    assert atmosphere.kt_kev[shells] == pytest.approx(np.full(shells.sum(), kt), rel=1e-9)
    assert atmosphere.axes[1, 0, 0] == atmosphere.axes[1, 1, 1] == pytest.approx(r500c)
    x, square = (inner + outer) / 2, emission / volume

    def models(core: float) -> np.ndarray:
        """The two beta models of Vikhlinin et al. 2006, equation 3, shape (n, 2)."""
        main = (1 + (x / core) ** 2) ** (-3 * config.beta)
        main = main * (1 + (x / config.outer) ** 3) ** (-config.epsilon / 3)
        return np.stack([main, (1 + (x / config.clump_cusp_radius) ** 2) ** -3.0], axis=1)

    def misfit(core: float) -> float:
        return np.linalg.lstsq(models(core) / square[:, None], np.ones(len(x)))[1][0]

    core = float(minimize_scalar(misfit, bounds=(0.1, 3), method="bounded").x)
    strength = np.linalg.lstsq(models(core) / square[:, None], np.ones(len(x)))[0]
    assert (strength > 0).all()
    assert models(core) @ strength / square == pytest.approx(np.ones(len(x)), abs=0.01)
    # of the light within R500c, the part within 0.15 R500c in projection
    light = emission[inside]
    within = light @ (1 - np.sqrt(1 - np.minimum(1, 0.15 / x[inside]) ** 2)) / light.sum()
    share = 1 / (1 + np.exp(-config.core_share))
    assert within == pytest.approx(share, rel=0.1)  # shells of clumps are coarse


def test_clumping_of_clumps_is_the_populations():
    halo, place = make_halo(), np.array([[0.0, 3.0, 20.0]])
    one = Clumps(place, np.array([5e13]), np.ones(1), np.full(1, np.inf))
    light = []
    for changes in ({"clumping": 0.0}, {"clumping": 0.2}, {"clumping": 0.0, "clumping_slope": 0.1}):
        config = GasConfig(**{"clumping_slope": 0.0, "clumping_evolution": 0.0, **changes})
        made = make_atmosphere(
            halo, make_gas(halo, config, COSMO), clump_gas([one], halo, config, COSMO), config
        )
        light.append(made.emission_measure[made.body == 1].sum())
    assert light[1] / light[0] == pytest.approx(np.exp(0.2), rel=1e-9)
    assert light[2] / light[0] == pytest.approx(0.25**0.1, rel=1e-9)


def test_half_the_gas_shines_a_quarter():
    halo, config = make_halo(), GasConfig()
    gas = make_gas(halo, config, COSMO)
    place, mass, whole = np.array([[0.0, 1.0, 1.0]]), np.array([5e13]), np.ones(1)

    def emission(kept: float, reach: float) -> Atmosphere:
        one = Clumps(place, mass, whole * kept, whole * reach)
        return make_atmosphere(halo, gas, clump_gas([one], halo, config, COSMO), config)

    full, half = (emission(kept, 1.0) for kept in (1.0, 0.5))
    shells = full.body == 1
    np.testing.assert_allclose(
        half.emission_measure[shells], full.emission_measure[shells] / 4, rtol=1e-9
    )
    cut = emission(1.0, 0.4)
    outside = shells & (full.cubes[:, 0] >= 0.4**3)
    inside = shells & (full.cubes[:, 1] <= 0.4**3)
    assert not cut.emission_measure[outside].any()
    np.testing.assert_array_equal(cut.emission_measure[inside], full.emission_measure[inside])


@settings(max_examples=15, deadline=None)
@given(log_m=st.floats(13.5, 15.1), latent=st.floats(-3, 3), seed=st.integers(0, 1000))
def test_any_scene_is_finite(log_m, latent, seed):
    halo = make_halo(10**log_m, 0.2, **dict.fromkeys((*LATENTS, *SHAPES), latent))
    scene = scene_of(halo, GasConfig(), seed)
    for values in vars(scene.atmosphere).values():
        assert np.isfinite(values).all()
    assert (scene.atmosphere.emission_measure >= 0).all()
    assert (scene.atmosphere.kt_kev > 0).all()


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (SubstructureConfig, {"mass_fraction": 1.2}),
        (SubstructureConfig, {"slope": 0.1}),
        (NeighbourConfig, {"depth": 100.0}),
        (NeighbourConfig, {"log_m500c_min": 11.0}),
        (NeighbourConfig, {"unknown": 1}),
    ],
)
def test_wrong_configurations_are_refused(config, wrong: dict[str, float]):
    with pytest.raises(ValidationError):
        config(**wrong)
