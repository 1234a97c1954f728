"""Causal tests: what interventions do to maps, and what estimators make of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from icmass.benchmarking.runner import run_benchmark
from icmass.errors import InputError
from icmass.explanation.causal import response, run_causal, without_galaxies
from icmass.explanation.causal_cores import _scene, core_excised, resimulate_gas
from icmass.explanation.causal_plan import interventions, one_after_other
from icmass.explanation.causal_scatter import Retraining, per_cluster, retrain, scatter_table
from icmass.explanation.causal_table import causal_markdown
from icmass.explanation.interventions import (
    AGN,
    BACKGROUND,
    CORE,
    FIXED_CORE_MPC_H,
    ICM,
    MASK_ARCSEC,
    Intervention,
    add_agn,
    add_substructure,
    check_simulated,
    dim_outskirts,
    even_background,
    excise_core,
    identity,
    mean_colour,
    observatory_of,
    remove_band,
    remove_component,
    rotate,
)
from icmass.run.causal import Causal
from icmass.run.predictions import Predictions
from icmass.survey.catalog import open_survey
from icmass.survey.folds import octant_folds
from icmass.survey.presets import resolve_config
from icmass.survey.simulate import simulator_of
from icmass.survey.write import simulate_survey
from icmass.universe.cores import VOLUME

N = 96


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("causal") / "survey.zarr"
    return simulate_survey(resolve_config("demo"), n_clusters=N, seed=5, out=out)


@pytest.fixture(scope="module")
def clusters(path: Path) -> xr.Dataset:
    return per_cluster(open_survey(path)).load()


@pytest.fixture(scope="module")
def run(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("causal") / "run"
    models = ["L_X", "M_gas", "N_phot_r500", "icm-1band"]
    run_benchmark(path, models, 2, out, device="cpu", max_epochs=1)
    return out


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def maps_of(clusters: xr.Dataset) -> np.ndarray:
    return clusters["maps"].values.astype(int)


def radius_of(clusters: xr.Dataset) -> np.ndarray:
    return np.hypot(clusters["y"].values[:, None], clusters["x"].values)


def test_agn_has_its_flux_and_place(clusters, rng):
    before = maps_of(clusters)
    changed = add_agn(2e-13, 1.0)(clusters, rng)
    added = maps_of(changed) - before
    assert not added[:, [ICM, BACKGROUND]].any()
    assert np.array_equal(maps_of(clusters), before)  # the input is left alone
    observatory = observatory_of(clusters)
    per_flux = observatory.folder(3.0).agn_band_rates(1.9, 0.0, observatory.grid.bands)
    expected = per_flux * 2e-13 * 2000
    seen = added[:, AGN].sum((0, 2, 3))  # some photons of the PSF's wings leave the map
    assert seen == pytest.approx(expected * N, rel=0.06)
    y, x = np.meshgrid(clusters["y"], clusters["x"], indexing="ij")
    total = added[:, AGN].sum(1)
    weight = total.sum((1, 2))
    centre = np.hypot((total * x).sum((1, 2)) / weight, (total * y).sum((1, 2)) / weight)
    assert np.median(centre / clusters["r500c"].values) == pytest.approx(1, abs=0.07)
    assert (changed["n_phot"] - clusters["n_phot"]).values == pytest.approx(weight)


def test_a_masked_agn_leaves_no_photon_in_its_mask(clusters, rng):
    changed = add_agn(5e-14, 0.5, mask="hidden")(clusters, rng)
    hidden = changed["coverage"].values == 0
    assert maps_of(changed).sum((1, 2))[hidden].sum() == 0
    arcmin = observatory_of(clusters).cosmology.arcmin_per_mpc_h(clusters["redshift"].values)
    area = hidden.sum((1, 2)) * (4.6 / 64 * arcmin) ** 2
    assert area.mean() == pytest.approx(np.pi * (MASK_ARCSEC / 60) ** 2, rel=0.15)


def test_a_redrawn_mask_has_the_mean_of_its_ring(clusters):
    flat = clusters.copy(deep=True)
    flat["maps"].values[:] = 0
    flat["maps"].values[:, BACKGROUND] = np.random.default_rng(1).poisson(3.0, (N, 3, 64, 64))
    hidden = add_agn(0.0, 0.5, mask="hidden")(flat, np.random.default_rng(0))
    drawn = add_agn(0.0, 0.5, mask="drawn")(flat, np.random.default_rng(0))
    where = np.broadcast_to((hidden["coverage"].values == 0)[:, None], (N, 3, 64, 64))
    before, after = (maps_of(s)[:, BACKGROUND] for s in (flat, drawn))
    assert np.array_equal(before[~where], after[~where])
    assert after[where].mean() == pytest.approx(3.0, abs=5 * np.sqrt(3 / where.sum()))
    assert after[where].var() == pytest.approx(3.0, rel=0.1)
    assert np.corrcoef(before[where], after[where])[0, 1] < 0.1


@pytest.mark.parametrize("fixed", [False, True])
def test_excised_core(clusters, rng, fixed):
    before, radius = maps_of(clusters), radius_of(clusters)
    reach = np.full(N, FIXED_CORE_MPC_H) if fixed else CORE * clusters["r500c"].values
    inside = radius <= reach[:, None, None]
    empty = maps_of(excise_core(filled=False, fixed=fixed)(clusters, rng))
    filled = maps_of(excise_core(filled=True, fixed=fixed)(clusters, rng))
    for changed in (empty, filled):
        assert np.array_equal(np.where(inside[:, None, None], before, changed), before)
    assert empty.sum((1, 2))[inside].sum() == 0
    ring = (radius > reach[:, None, None]) & (radius <= 2 * reach[:, None, None])
    drawn, expected = filled.sum((1, 2)), before.sum((1, 2))
    mean = sum(expected[i][ring[i]].mean() * inside[i].sum() for i in range(N))
    assert drawn[inside].sum() == pytest.approx(mean, abs=5 * np.sqrt(mean))


def test_components_and_bands_are_removed(clusters, rng):
    assert maps_of(remove_component(AGN)(clusters, rng))[:, AGN].sum() == 0
    without = remove_band(1)(clusters, rng)
    kept = maps_of(clusters)[:, :, [0, 2]].sum((1, 2, 3, 4))
    assert without["n_phot"].values == pytest.approx(kept)


def test_rotations(clusters, rng):
    quarter = rotate(90)
    assert maps_of(one_after_other(*[quarter] * 4)(clusters, rng)).tolist() == (
        maps_of(clusters).tolist()
    )
    turned = rotate(45)(clusters, rng)
    assert turned["n_phot"].values == pytest.approx(clusters["n_phot"].values)
    close = turned["n_phot_r500"] / clusters["n_phot_r500"]
    assert float(np.abs(close - 1).median()) < 0.03
    assert not np.array_equal(maps_of(turned), maps_of(clusters))


def test_dipole_turns_by_the_angle(clusters, rng):
    one = clusters.isel(cluster=[0]).copy(deep=True)
    one["maps"].values[:] = 0
    one["maps"].values[0, ICM, 0, 32, 52] = 5000
    turned = maps_of(rotate(45)(one, rng))[0, ICM, 0]
    x = (turned.sum(0) @ one["x"].values) / turned.sum()
    y = (turned.sum(1) @ one["y"].values) / turned.sum()
    assert abs(x) == pytest.approx(abs(y), rel=0.05)
    assert np.hypot(x, y) == pytest.approx(float(one["x"][52]), rel=0.02)


def test_dimmed_outskirts(clusters, rng):
    before, after = maps_of(clusters), maps_of(dim_outskirts(0.5)(clusters, rng))
    outside = radius_of(clusters) > clusters["r500c"].values[:, None, None]
    assert np.array_equal(after[:, [AGN, BACKGROUND]], before[:, [AGN, BACKGROUND]])
    gas_before, gas_after = (maps[:, ICM].sum(1) for maps in (before, after))
    assert np.array_equal(gas_after[~outside], gas_before[~outside])
    number = gas_before[outside].sum()
    assert gas_after[outside].sum() == pytest.approx(number / 2, abs=2.5 * np.sqrt(number))


def test_substructure(clusters, rng):
    added = maps_of(add_substructure(0.1, 0.7)(clusters, rng)) - maps_of(clusters)
    assert (added >= 0).all()
    assert not added[:, [AGN, BACKGROUND]].any()
    inside = radius_of(clusters) <= clusters["r500c"].values[:, None, None]
    own = (maps_of(clusters)[:, ICM].sum(1) * inside).sum((1, 2))
    share = added.sum((1, 2, 3, 4)) / np.maximum(own, 1)
    assert np.median(share[own > 100]) == pytest.approx(0.1, abs=0.02)
    total = added[:, ICM].sum(1)
    y, x = np.meshgrid(clusters["y"], clusters["x"], indexing="ij")
    n = np.maximum(total.sum((1, 2)), 1)
    place = np.hypot((total * x).sum((1, 2)) / n, (total * y).sum((1, 2)) / n)
    bright = total.sum((1, 2)) > 30
    assert np.median((place / clusters["r500c"].values)[bright]) == pytest.approx(0.7, abs=0.1)


def test_mean_colour_keeps_every_photon_in_its_pixel(clusters, rng):
    before, after = maps_of(clusters), maps_of(mean_colour(clusters, rng))
    assert np.array_equal(after.sum(2), before.sum(2))
    assert np.array_equal(after[:, [AGN, BACKGROUND]], before[:, [AGN, BACKGROUND]])
    shares = after[:, ICM].sum((2, 3)) / after[:, ICM].sum((1, 2, 3))[:, None]
    z = np.round(clusters["redshift"].values, 2)
    bright = before[:, ICM].sum((1, 2, 3)) > 3000
    same = bright & (z == z[bright][0])
    assert np.ptp(shares[same], axis=0).max() < 0.04


def test_even_background_has_the_mean_level(clusters, rng):
    before = maps_of(clusters)[:, BACKGROUND].sum((0, 2, 3))
    even = even_background(clusters, rng)
    after = maps_of(even)[:, BACKGROUND].sum((0, 2, 3))
    assert after == pytest.approx(before, rel=0.02)
    soft = maps_of(even)[0, BACKGROUND, 0]
    assert soft.var() == pytest.approx(soft.mean(), rel=0.15)  # Poisson, no cells


def test_gas_made_again_is_the_surveys(clusters, rng):
    again = resimulate_gas(clusters, rng)
    for name in ("T", "M_gas", "L_X", "L_X_soft"):
        assert again[name].values == pytest.approx(clusters[name].values)
    before, after = (maps_of(s)[:, ICM].sum((1, 2, 3)) for s in (clusters, again))
    deviation = (after - before) / np.sqrt(np.maximum(after + before, 1))
    assert np.abs(deviation.mean()) < 0.4
    assert deviation.std() == pytest.approx(1, abs=0.25)


def test_core_states_at_fixed_mass(clusters, rng):
    few = core_excised(clusters.isel(cluster=slice(24)))
    without, cool = (resimulate_gas(few, rng, cool=state) for state in (False, True))
    assert cool["M_gas"].values == pytest.approx(without["M_gas"].values)
    assert cool["T"].values == pytest.approx(without["T"].values)
    assert (cool["L_X"] > without["L_X"]).all()
    shares = [1 - (made["L_X_ce"] / made["L_X"]).values for made in (without, cool)]
    assert (shares[1] > shares[0]).all()
    # Magneticum: at fixed gas mass L_X hardly rises with the core's share, so all else is fainter
    rise = np.log(cool["L_X"] / without["L_X"]).values / np.log(shares[1] / shares[0])
    assert np.median(rise) == pytest.approx(0.135, abs=0.07)
    assert (cool["L_X_ce"] < without["L_X_ce"]).all()
    own = few["latent_cool_core"].values.astype(bool)
    assert cool["L_X"].values[own] == pytest.approx(few["L_X"].values[own])
    assert without["L_X"].values[~own] == pytest.approx(few["L_X"].values[~own])
    inside = resimulate_gas(few, rng, cool=True, keep_outside=True)
    assert inside["L_X_ce"].values == pytest.approx(without["L_X_ce"].values, rel=1e-3)
    assert (inside["L_X"] > without["L_X"]).all()
    gained = (inside["M_gas"] / without["M_gas"] - 1).values
    assert ((gained > 0) & (gained < 0.04)).all()  # the core holds 4 per cent: X-COP


def test_gas_within_the_core_alone_is_continuous(clusters):
    """A cool core put inside: nothing jumps at 0.15 R500c, and gas mass is what shells hold."""
    sim = simulator_of(clusters)
    for number, mass in enumerate(clusters["m500c"].values[:8]):
        without, inside = (
            _scene(sim, number, mass, True, keep).gas
            if keep
            else _scene(sim, number, mass, False).gas
            for keep in (False, True)
        )
        density = np.sqrt(inside.emission_measure / inside.clumping / VOLUME)
        smooth = np.sqrt(without.emission_measure / without.clumping / VOLUME)
        edge = int((inside.edges[1:] <= CORE).sum())
        np.testing.assert_allclose(density[edge:], smooth[edge:], rtol=1e-9)
        steps = np.diff(np.log(density[edge - 3 : edge + 1]))
        assert steps[2] == pytest.approx(steps[1], abs=0.02)  # the core's own slope up to the edge
        of_shells = np.array([(d * VOLUME)[inside.inside_r500].sum() for d in (density, smooth)])
        gained = inside.m_gas / without.m_gas - 1
        assert gained == pytest.approx(of_shells[0] / of_shells[1] - 1, rel=0.35)


def test_luminosity_without_core(clusters):
    found = core_excised(clusters)
    share = (found["L_X_ce"] / found["L_X"]).values
    cool = clusters["latent_cool_core"].values.astype(bool)
    assert ((share > 0.1) & (share < 1)).all()
    assert share[cool].mean() < share[~cool].mean()


def test_clusters_of_another_survey_are_not_made_again(clusters, rng):
    other = clusters.assign_attrs(seed=6)
    with pytest.raises(InputError, match="cannot be made again"):
        resimulate_gas(other, rng)


def test_response_of_a_known_shift():
    rng = np.random.default_rng(1)
    truth = rng.normal(32, 1, 400)
    before = truth + 0.2 * rng.standard_normal(400)
    step = rng.normal(0.1, 0.05, 400)
    found = response(before, before + step, truth, np.arange(400), rng)
    assert found["dlnm"] == pytest.approx(step.mean())
    assert found["error"] == pytest.approx(0.05 / 20, rel=0.15)
    assert found["scatter_ratio"] == pytest.approx(np.hypot(0.2, 0.05) / 0.2, rel=0.03)


def test_share_of_the_gap_that_a_cleaning_closes():
    rng = np.random.default_rng(2)
    noise, core = 0.2 * rng.standard_normal((2, 2000))
    truth = np.full(2000, 32.0)
    every = np.arange(2000)
    network = Predictions(every, every * 0, truth, truth + noise, noise, np.zeros(1), 1)
    rows = {
        name: {"what": name, "base": "base", "residual": residual}
        for name, residual in {
            "base": noise + core,
            "all": noise,
            "half": noise + core / np.sqrt(2),
        }.items()
    }
    same = Predictions(every, every * 0, truth, truth + noise + core, noise, np.zeros(1), 1)
    held = {"net": network, "base again": same}
    table = {row["name"]: row for row in scatter_table(rows, {"core": core}, held, every)}
    assert table["half"]["closed"]["base again"] is None
    assert table["base"]["r"]["core"] == pytest.approx(1 / np.sqrt(2), abs=0.05)
    assert abs(table["net"]["r"]["core"]) < 0.1
    assert "closed" not in table["base"]
    assert table["all"]["closed"]["net"]["share"] == pytest.approx(1)
    half = table["half"]["closed"]["net"]
    assert half["share"] == pytest.approx(0.5, abs=0.05)
    assert 0.005 < half["error"] < 0.06
    assert table["net"]["sigma_lnm"] == pytest.approx(0.2, rel=0.05)


@pytest.fixture(scope="module")
def found(run: Path, path: Path) -> dict:
    only = ["agn_5e-14_0.5", "core_empty", "cool_core"]
    return run_causal(run, path, n=48, only=only, device="cpu").as_json()


def test_run_causal(found: dict) -> None:
    json.dumps(found, allow_nan=False)
    assert found["clusters"] == 48
    assert found["models"]["N_phot_r500"] == {"clusters": 48, "blind_to_maps": False}
    agn, core, cool = (test["responses"] for test in found["tests"])
    for name in ("L_X", "M_gas", "L_X_ce"):
        assert found["models"][name]["blind_to_maps"]
        assert agn[name]["dlnm"] == core[name]["dlnm"] == 0
    assert agn["N_phot_r500"]["dlnm"] > 3 * agn["N_phot_r500"]["error"] > 0
    assert core["N_phot_r500"]["dlnm"] < -3 * core["N_phot_r500"]["error"]
    assert 0 <= agn["icm-1band"]["flagged_after"] <= 1
    # by hand: shares of 0.25 and 0.45 change ln L_X by 0.135 ln 1.8 = 0.08, ln L_X_ce by -0.23
    assert 0.01 < cool["L_X"]["dlnm"] < 0.1
    assert -0.4 < cool["L_X_ce"]["dlnm"] < -0.05
    assert cool["M_gas"]["dlnm"] == 0


def test_every_cluster_is_read_by_the_fold_that_did_not_train_on_it(run, path, clusters):
    only = ["agn_5e-14_0"]
    settings = {"only": only, "with_scatter": False, "device": "cpu"}
    found = run_causal(run, path, ["icm-1band"], n=N, **settings).as_json()
    with np.load(run / "predictions" / "icm-1band.npz") as held:
        scatter = np.std(held["mean"] - np.log(clusters["m500c"].values))
    (test,) = found["tests"]
    told = test["responses"]["icm-1band"]
    assert told["scatter_before"] == pytest.approx(scatter, rel=1e-3)
    assert told["dlnm"] != 0


def test_a_model_reads_the_folds_that_it_has(path: Path, run: Path, tmp_path: Path) -> None:
    partly = tmp_path / "run"
    shutil.copytree(run, partly)
    shutil.rmtree(partly / "models" / "icm-1band" / "fold-1")
    n_first = int(np.sum(octant_folds(open_survey(path), 2) == 0))
    only = ["agn_5e-14_0"]
    settings = {"only": only, "with_scatter": False, "device": "cpu"}
    causal = run_causal(partly, path, ["icm-1band", "N_phot_r500"], n=n_first + 9, **settings)
    found = causal.as_json()
    counted = {name: about["clusters"] for name, about in found["models"].items()}
    assert counted == {"icm-1band": n_first, "N_phot_r500": n_first + 9, "L_X_ce": n_first + 9}
    assert f"icm-1band has folds for {n_first} of them" in causal_markdown(causal)


@pytest.fixture(scope="module")
def tail(path: Path) -> Path:
    """The survey with one cluster at a redshift beyond all others."""
    survey = open_survey(path).load()
    survey["redshift"][7] = 0.9
    survey.to_zarr(path.with_name("tail.zarr"))
    return path.with_name("tail.zarr")


def test_clusters_that_the_benchmark_leaves_out_are_left_out(tail: Path, tmp_path: Path) -> None:
    done = run_benchmark(tail, ["L_X", "M_gas", "N_phot_r500"], 2, tmp_path / "run")
    benchmark = {row.name: row for row in done.results.estimators}
    found = run_causal(tmp_path / "run", tail, n=N, only=["agn_5e-14_0"]).as_json()
    assert found["clusters"] == benchmark["L_X"].n == N - 1
    table = {row["name"]: row for row in found["scatter"]}
    for name, row in benchmark.items():
        assert table[name]["n"] == N - 1
        assert table[name]["sigma_lnm"] == pytest.approx(row.sigma_lnm)
        assert np.isfinite(table[name]["r"]["core"])


def test_networks_trained_anew_leave_out_the_same_clusters(tail: Path) -> None:
    survey = open_survey(tail)
    plan = [Intervention("as_observed", "as observed", identity)]
    how = Retraining("icm-1band", folds=2, n_folds=2, max_epochs=1, device="cpu")
    (row,) = retrain(survey, plan, how)
    assert row["n"] == N - 1


def test_scatter_is_the_benchmarks(found: dict, run: Path) -> None:
    results = json.loads((run / "results.json").read_text())["estimators"]
    benchmark = {row["name"]: row["sigma_lnm"] for row in results}
    table = {row["name"]: row for row in found["scatter"]}
    for name in ("L_X", "M_gas", "N_phot_r500", "icm-1band"):
        assert table[name]["sigma_lnm"] == pytest.approx(benchmark[name])
    assert table["L_X_ce"]["sigma_lnm"] != table["L_X"]["sigma_lnm"]
    assert set(table["L_X_ce"]["closed"]) == {"icm-1band"}
    assert table["L_X"]["r"]["core"] > table["L_X_ce"]["r"]["core"] + 0.2
    assert table["N_phot_r500"]["r"]["agn"] > table["N_phot_r500 no_agn"]["r"]["agn"]


def test_markdown(found: dict) -> None:
    text = causal_markdown(Causal.of(found))
    dlnm = found["tests"][0]["responses"]["N_phot_r500"]["dlnm"]
    assert f"{dlnm:+.3f} ± " in text
    assert "by construction" in text
    widths = {line.count("|") for line in text.split("\n\n")[1].splitlines()}
    assert len(widths) == 1


def test_networks_trained_anew(path: Path) -> None:
    survey = open_survey(path)
    plan = [
        Intervention("as_observed", "as observed", identity),
        Intervention("no_agn", "no AGN", remove_component(AGN)),
    ]
    then = [Intervention("agn", "an AGN", add_agn(1e-13, 0.5))]
    how = Retraining("icm-1band", folds=1, n_folds=2, max_epochs=1, device="cpu")
    first, second = retrain(survey, plan, how, then=then)
    assert first["sigma_ratio"] == 1
    assert second["sigma_ratio"] == pytest.approx(second["sigma_lnm"] / first["sigma_lnm"])
    assert second["sigma_ratio"] != 1
    assert first["n"] == second["n"] < N
    assert first["responses"]["agn"]["dlnm"] != second["responses"]["agn"]["dlnm"]
    nothing = {"models": {}, "tests": [], "clusters": 0, "seed": 0}
    assert "no AGN" in causal_markdown(Causal.of({**nothing, "retrained": [first, second]}))


def test_every_intervention_has_its_own_name(clusters):
    names = [one.name for one in interventions(clusters)]
    assert len(set(names)) == len(names) > 20
    assert not any(" " in name for name in names)


def test_estimators_that_see_galaxies_are_left_out():
    names = ["icm-3band@2", "icm-multimodal", "L_X", "paper-multimodal@3"]
    assert without_galaxies(names) == ["icm-3band@2", "L_X"]


def test_bad_input(run, path, clusters, tmp_path):
    with pytest.raises(InputError, match="not a simulated survey"):
        check_simulated(clusters.isel(component=[0]))
    hidden = clusters.assign(coverage=(("cluster", "y", "x"), np.ones((N, 64, 64), "f2")))
    with pytest.raises(InputError, match="hides part"):
        check_simulated(hidden)
    with pytest.raises(InputError, match="another survey"):
        run_causal(run, clusters.isel(cluster=slice(50)))
    with pytest.raises(InputError, match=r"config\.json"):
        run_causal(tmp_path, path)
    with pytest.raises(InputError, match="known: agn"):
        run_causal(run, path, only=["magic"], device="cpu")
    with pytest.raises(InputError, match=r"icm-multimodal: sees galaxies.*name other models"):
        run_causal(run, path, ["L_X", "icm-multimodal"])
    with pytest.raises(InputError, match="no finished fold of M_star"):
        run_causal(run, path, ["L_X", "M_star"])
