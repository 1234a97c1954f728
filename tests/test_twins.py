"""Twins of halos: the conditional normal by hand, histories, matching, and what is honoured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from icmass.cosmology import Cosmology
from icmass.plasma.emissivity import load_plasma_table
from icmass.survey.presets import resolve_config
from icmass.survey.simulate import Simulator
from icmass.survey.twins import twins_of
from icmass.universe.catalogue import CatalogueConfig
from icmass.universe.gas import core_share_width
from icmass.universe.gas_config import GasConfig
from icmass.universe.halo_matching import match_histories
from icmass.universe.halos import LATENTS, HaloConfig
from icmass.universe.histories import evolve
from icmass.universe.scene import luminosities
from icmass.universe.twin_light import MOST_EXCESS, split_excess
from icmass.universe.twin_rows import TwinRows
from icmass.universe.twins import (
    FEWEST,
    body_trend,
    conditional_normal,
    conditioned,
    disturbance_of,
    history_covariance,
    normal_scores,
    own_relation,
)

COSMO = Cosmology()
SMALL = ("observe.n_pixels=32",)
GAS, T, CORE = (LATENTS.index(name) for name in ("gas_mass", "temperature", "core_share"))


def rows(m500c: Any, redshift: Any = 0.2, **more: Any) -> TwinRows:
    n = len(m500c)
    values = {"m500c": np.asarray(m500c, float), "redshift": np.broadcast_to(redshift, n)}
    values |= {"row": np.arange(n) + 1, "halo_id": np.arange(n), "history": np.arange(n)}
    values |= {"snapshot": np.zeros(n)}
    return TwinRows.of(values | {name: np.broadcast_to(v, n) for name, v in more.items()})


def twin_simulator(table: TwinRows, *more: str, seed: int = 3) -> Simulator:
    return Simulator(resolve_config("phox", assignments=(*SMALL, *more), twins=True), seed, table)


# ---------------------------------------------------------------- the conditional normal


def test_conditional_mean_and_covariance_by_hand() -> None:
    full = np.array(HaloConfig().correlation)
    known, rest = [T, GAS], [i for i in range(len(LATENTS)) if i not in (T, GAS)]
    values = np.array([0.7, -1.9])
    mean, covariance = conditional_normal(full, np.eye(len(LATENTS))[known], values)
    cross, inverse = full[np.ix_(rest, known)], np.linalg.inv(full[np.ix_(known, known)])
    np.testing.assert_allclose(mean[rest], cross @ inverse @ values, atol=1e-7)
    np.testing.assert_allclose(mean[known], values, atol=1e-7)
    by_hand = full[np.ix_(rest, rest)] - cross @ inverse @ cross.T
    np.testing.assert_allclose(covariance[np.ix_(rest, rest)], by_hand, atol=1e-7)
    np.testing.assert_allclose(covariance[known], 0, atol=1e-7)


def test_draws_have_the_conditional_mean_and_covariance() -> None:
    full = np.array([[1, 0.6, -0.3], [0.6, 1, 0.2], [-0.3, 0.2, 1]])
    observe, values, noise = np.array([[1.0, 0, 0], [0, 2.0, 1.0]]), np.array([1.5, -0.5]), 0.3
    rng = np.random.default_rng(0)
    start = rng.multivariate_normal(np.zeros(3), full, 40_000)
    errors = np.sqrt(noise) * rng.standard_normal((40_000, 2))
    drawn = np.array(
        [
            conditioned(x, full, observe, values, noise, e)
            for x, e in zip(start, errors, strict=True)
        ]
    )
    both = observe @ full @ observe.T + noise * np.eye(2)
    weights = full @ observe.T @ np.linalg.inv(both)
    np.testing.assert_allclose(drawn.mean(0), weights @ values, atol=0.02)
    np.testing.assert_allclose(np.cov(drawn.T), full - weights @ observe @ full, atol=0.02)


def test_covariance_of_a_history_is_that_of_drawn_ones() -> None:
    config, times = HaloConfig(), np.array([1.0, 1.5, 3.4])
    rng = np.random.default_rng(1)
    drawn = evolve(rng.standard_normal((60_000, 3)), times, config, rng)[..., : len(LATENTS)]
    found = np.cov(drawn.reshape(len(drawn), -1).T)
    np.testing.assert_allclose(history_covariance(config, times), found, atol=0.03)


def test_covariance_at_one_time_is_the_correlation() -> None:
    config = HaloConfig()
    found = history_covariance(config, np.array([2.0]))
    np.testing.assert_allclose(found, np.array(config.correlation), atol=1e-12)


# ---------------------------------------------------------------- residuals of a table


def test_residuals_are_those_about_the_tables_own_relation() -> None:
    rng = np.random.default_rng(2)
    x, residual = rng.normal(size=500), rng.normal(size=500)
    design = np.stack([np.ones(500), x], axis=1)
    values = 3 + 2 * x + 0.5 * residual
    values[:100] = np.nan
    trend, width = own_relation(values, design)
    np.testing.assert_allclose(trend, 3 + 2 * x, atol=0.15)
    assert width == pytest.approx(0.5, rel=0.1)
    few = own_relation(np.array([0.3, -0.2, 99.0]), design[:3])
    np.testing.assert_array_equal(few[0], np.zeros(3))
    assert few[1] == 1


def test_the_body_is_found_beside_outliers() -> None:
    rng = np.random.default_rng(3)
    values = 0.1 * rng.normal(size=400)
    values[:20] += 2.0
    trend, width = body_trend(values, np.ones((400, 1)))
    assert abs(trend[0]) < 0.02 and width == pytest.approx(0.1, rel=0.2)


def test_disturbance_rises_with_w_and_has_unit_variance() -> None:
    w = np.random.default_rng(4).lognormal(-3, 1.5, 200)
    flat = np.zeros(200)
    found = disturbance_of(w, flat, flat)
    assert np.array_equal(np.argsort(found), np.argsort(w))
    assert found.std() == pytest.approx(1, abs=0.02)
    few = disturbance_of(np.array([np.exp(-3.8), np.nan]), flat[:2], flat[:2])
    assert few[0] == pytest.approx(0) and np.isnan(few[1])
    assert np.isnan(normal_scores(np.array([1.0, np.nan]))[1])


# ---------------------------------------------------------------- histories


def test_histories_are_matched_by_place_and_mass() -> None:
    box = 100.0
    place = np.array([[99.9, 5, 5], [50, 50, 50], [0.3, 5, 5], [50.5, 50, 50], [80, 80, 80],
                      [50.9, 50, 50]], float)  # fmt: skip
    mass = np.array([1e14, 2e14, 0.9e14, 0.9e14, 1e14, 1.7e14])
    snapshot = np.array([0, 0, 1, 1, 1, 2])
    found = match_histories(place, mass, snapshot, box)
    # across the edge; too light to be the same; a new one; found again a snapshot later
    np.testing.assert_array_equal(found, [0, 1, 0, 2, 3, 1])


def test_a_halo_has_one_progenitor_the_nearest() -> None:
    place = np.array([[10, 10, 10], [10.4, 10, 10], [11.2, 10, 10]], float)
    found = match_histories(place, np.full(3, 1e14), np.array([0, 1, 1]), 100.0)
    np.testing.assert_array_equal(found, [0, 0, 1])


def test_selves_of_a_halo_share_orientation_and_slow_latents() -> None:
    n, z = 400, np.array([0.1, 0.14])
    table = rows(
        np.full(2 * n, 1e14), np.tile(z, n), history=np.repeat(np.arange(n), 2), core_share=np.nan
    )
    config = resolve_config("phox", twins=True)
    twins = twins_of(table, config, 5)
    halos = [twins.draw(i) for i in range(2 * n)]
    np.testing.assert_array_equal(halos[0].orientation, halos[1].orientation)
    np.testing.assert_array_equal(halos[0].position, halos[1].position)
    value = np.array([list(halo.latents.values()) for halo in halos]).reshape(n, 2, -1)
    together = [np.corrcoef(value[:, 0, i], value[:, 1, i])[0, 1] for i in (GAS, CORE)]
    gap = float(np.diff(COSMO.astropy.lookback_time(z).to_value("Gyr"))[0])
    both = history_covariance(config.halos, np.array([0.0, gap])).reshape(2, 9, 2, 9)
    np.testing.assert_allclose(together, [both[0, i, 1, i] for i in (GAS, CORE)], atol=0.1)
    assert not np.array_equal(halos[0].orientation, halos[2].orientation)


def test_missing_latents_follow_given_ones_of_other_selves() -> None:
    n = 300
    given = expit(0.5 * np.random.default_rng(0).standard_normal(n))
    share = np.stack([given, np.full(n, np.nan)], axis=1).ravel()
    table = rows(np.full(2 * n, 1e14), np.tile([0.1, 0.11], n), core_share=share,
                 history=np.repeat(np.arange(n), 2))  # fmt: skip
    twins = twins_of(table, resolve_config("phox", twins=True), 5)
    made = np.array([twins.draw(i).latents["core_share"] for i in range(2 * n)]).reshape(n, 2)
    assert np.corrcoef(made.T)[0, 1] > 0.6
    # what is missing is drawn about the table's own relation: half of the light in the core
    made = expit(-0.82 + core_share_width(1e14, GasConfig()) * made)
    np.testing.assert_allclose(np.median(made, axis=0), [0.5, 0.5], atol=0.03)


# ---------------------------------------------------------------- what is honoured


@pytest.mark.parametrize("light", ["L_X", "L_X_soft"])
def test_given_quantities_are_honoured_exactly(light: str) -> None:
    mass, z = np.array([5e13, 1.4e14, 6e14]), np.array([0.1, 0.2, 0.5])
    given = {
        "M_gas": mass * [0.05, 0.11, 0.13],  # far from the configuration's
        "T": [1.1, 3.5, 9.0],
        "M_star": mass * [0.02, 0.05, 0.03],
        "core_share": [0.15, 0.55, 0.3],
    }
    sim = twin_simulator(rows(mass, z, **given))
    natural = [sim.luminosities(sim.scene(i), i) for i in range(3)]
    name = "L_X_emitted" if light == "L_X" else "L_X_soft"
    wanted = np.array([one[name] for one in natural]) * [0.8, 1.3, 1.2]
    sim = twin_simulator(rows(mass, z, **given, **{light: wanted}))
    for i in range(3):
        made = sim.cluster(i)
        assert made["M_gas"] == pytest.approx(given["M_gas"][i], rel=1e-9)
        assert made["T"] == pytest.approx(given["T"][i], rel=1e-9)
        assert made["M_star"] == pytest.approx(given["M_star"][i], rel=1e-9)
        assert made[name] == pytest.approx(wanted[i], rel=1e-3)
        share = 1 - made[f"{name}_ce"] / made[name]
        assert share == pytest.approx(given["core_share"][i], rel=1e-3)
        assert not made["L_X_outlier"]
        if light == "L_X":
            assert made["L_X"] == wanted[i]


def test_an_outlier_stays_in_the_catalogue_and_out_of_the_photons() -> None:
    mass = np.full(60, 1e14)
    sim = twin_simulator(rows(mass, M_gas=0.08 * mass))
    light = np.array([sim.luminosities(sim.scene(i), i)["L_X_emitted"] for i in range(60)])
    light[7] *= 8
    sim = twin_simulator(rows(mass, M_gas=0.08 * mass, L_X=light))
    assert np.flatnonzero(sim.twins.outlier).tolist() == [7]
    made = sim.cluster(7)
    assert made["L_X"] == light[7] and made["L_X_outlier"]
    assert made["L_X_emitted"] < 0.3 * light[7]
    assert sim.cluster(8)["L_X_emitted"] == pytest.approx(light[8], rel=1e-3)


def test_luminosity_tells_of_a_gas_mass_that_is_missing() -> None:
    n = 200
    bright = np.where(np.arange(n) % 2, 1.25, 0.8)
    config = resolve_config("phox", twins=True)
    light = bright * 1.5 * np.exp(0.01 * np.random.default_rng(0).normal(size=n))
    twins = twins_of(rows(np.full(n, 1.5e14), L_X=light), config, 1)
    gas = np.array([twins.draw(i).latents["gas_mass"] for i in range(n)])
    excess = np.log(1.25 / 0.8) / 2
    scatter = config.gas.f_gas_scatter - config.gas.f_gas_scatter_slope * np.log10(2 / 1.5)
    rest = config.gas.slope_emission**2 + config.gas.clumping_scatter**2
    core = (config.gas.core_emission * 0.55 * 0.69) ** 2
    expected = 2 * scatter * excess / (4 * scatter**2 + rest + core)
    assert gas[bright > 1].mean() == pytest.approx(expected, rel=0.2)
    assert gas[bright < 1].mean() == pytest.approx(-expected, rel=0.2)


def test_excess_is_split_by_variance_and_bounded() -> None:
    config = GasConfig(slope_emission=0.08, clumping_scatter=0.06)
    slope, clumping = split_excess(0.1, 0.0, 0.0, config)
    assert slope / clumping == pytest.approx(0.08 / 0.06)
    assert 0.08 * slope + 0.06 * clumping == pytest.approx(0.1)
    slope, clumping = split_excess(9.0, 0.0, 0.0, config)
    assert 0.08 * slope + 0.06 * clumping == pytest.approx(MOST_EXCESS)
    drawn = np.random.default_rng(0).standard_normal((4000, 2))
    found = np.array([split_excess(0.05, *one, config) for one in drawn])
    np.testing.assert_allclose(found @ [0.08, 0.06], 0.05)
    spread = 0.06 / 0.1  # of the slope, along the line of equal excess
    assert found[:, 0].std() == pytest.approx(spread, rel=0.05)


def test_a_catalogues_tail_is_not_all_in_the_photons() -> None:
    n = 400
    mass = np.full(n, 2e14)
    sim = twin_simulator(rows(mass, M_gas=0.09 * mass, core_share=0.3))
    emitted = np.array(
        [luminosities(sim.scene(i), load_plasma_table())["L_X_emitted"] for i in range(60)]
    )
    rng = np.random.default_rng(1)
    truth = np.median(emitted) * np.exp(0.07 * rng.normal(size=n))
    model = CatalogueConfig()
    norm = model.norm * COSMO.efunc(0.2) ** model.norm_evolution
    catalogue = norm * truth * np.exp(model.excess * (rng.standard_exponential(n) - np.log(2)))
    table = rows(mass, M_gas=0.09 * mass, core_share=0.3, L_X=catalogue)
    twins = twin_simulator(table, "twins.light=catalogue").twins
    photons = np.array([twins.target(i).ln_light for i in range(n)])
    assert abs(np.median(photons - np.log(truth))) < 0.03
    assert photons[~twins.outlier].std() == pytest.approx(0.07, rel=0.15)
    assert np.corrcoef(photons, np.log(catalogue))[0, 1] > 0.5
    assert n > FEWEST
