"""Universes of one survey: drawn within their ranges, the same whoever makes them, as they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from icmass.errors import InputError
from icmass.explanation.causal_cores import resimulate_gas
from icmass.explanation.causal_scatter import per_cluster
from icmass.plasma.emissivity import load_plasma_table
from icmass.survey.catalog import open_survey
from icmass.survey.config import SurveyConfig
from icmass.survey.physics_prior import NAMES, PARAMETERS, PhysicsPrior
from icmass.survey.presets import resolve_config
from icmass.survey.simulate import GAS_SHAPE, Simulator, simulator_of
from icmass.survey.universes import PRIOR_KEYS, Universes
from icmass.survey.write import simulate_survey
from icmass.universe.gas import gas_mass, gas_mass_scatter, gas_temperature, make_gas
from icmass.universe.gas_config import PIVOT
from icmass.universe.halos import (
    LATENTS,
    SHAPES,
    Halo,
    HaloConfig,
    latent_correlation,
    with_temperature,
)
from icmass.universe.light_temperature import light_temperature_correlation

SMALL = ("observe.n_pixels=32",)
CONE = (*SMALL, "halos.redshift_range=[0.05,0.5]")


def prior(universes: int = 3, preset: str = "demo", more: tuple[str, ...] = SMALL) -> SurveyConfig:
    return resolve_config(preset, None, more, physics="prior", universes=universes)


def make(out: Path, universes: int = 3, n: int = 12, **options: object) -> xr.Dataset:
    config = prior(universes)
    return open_survey(simulate_survey(config, n_clusters=n, seed=3, out=out, **options))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    return make(tmp_path_factory.mktemp("prior") / "a.zarr").load()


def test_parameters_are_within_their_ranges_and_span_them():
    config = prior(600)
    table = dict(zip(NAMES, Universes(config, 1).table().T, strict=True))
    for parameter in PARAMETERS:
        lo, hi = getattr(config.physics, parameter.field)
        values = table[parameter.name]
        assert lo <= values.min() and values.max() <= hi, parameter.name
        if parameter.above is not None:
            assert (values >= table[parameter.above]).all()
            continue
        if parameter.law == "log-uniform":
            lo, hi, values = np.log(lo), np.log(hi), np.log(values)
        u = (values - lo) / (hi - lo)
        assert u.min() < 0.02 and u.max() > 0.98, parameter.name
        assert u.mean() == pytest.approx(0.5, abs=0.05), parameter.name
    correlation = np.corrcoef(np.array([table[name] for name in NAMES]))
    free = [i for i, parameter in enumerate(PARAMETERS) if parameter.above is None]
    apart = correlation[np.ix_(free, free)] - np.eye(len(free))
    assert np.abs(apart).max() < 0.17  # four of 1 / sqrt(600)


def test_a_universe_is_the_same_however_many_there_are():
    few, many = Universes(prior(2), 7), Universes(prior(50), 7)
    assert [few.parameters(u) for u in range(2)] == [many.parameters(u) for u in range(2)]
    assert few.parameters(0) != few.parameters(1) != Universes(prior(2), 8).parameters(1)


def test_a_narrower_range_changes_its_own_parameter_alone():
    wide = Universes(prior(), 7).parameters(1)
    fixed = Universes(prior(more=("physics.t_kev=[3.0,3.0]",)), 7).parameters(1)
    assert fixed == wide | {"t_kev": 3.0}


@pytest.mark.usefixtures("workers_here")
def test_same_store_for_any_workers_and_chunks(stored, tmp_path):
    xr.testing.assert_identical(stored, make(tmp_path / "b.zarr", workers=2, chunk=5).load())


def test_a_stopped_run_resumes_to_the_same_store(stored, tmp_path):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "b.zarr", chunk=5, progress=stop)
    with pytest.raises(InputError, match="another config"):
        make(tmp_path / "b.zarr", 4, chunk=5, resume=True)
    xr.testing.assert_identical(stored, make(tmp_path / "b.zarr", chunk=5, resume=True).load())


def test_a_cluster_is_the_same_in_its_universe_however_many_there_are(stored):
    alone = Simulator(prior(1), 3)
    chosen = np.flatnonzero(stored["universe"] == 0)
    assert 2 <= len(chosen) < 12
    for cluster in chosen[:2]:
        found = alone.cluster(int(cluster))
        np.testing.assert_array_equal(found["maps"], stored["maps"][cluster])
        assert found["M_gas"] == stored["M_gas"][cluster]


def test_physics_is_read_as_xarray_has_it(stored):
    assert stored["physics"].dims == ("universes", "parameter")
    of_each = stored["physics"].isel(universes=stored["universe"])
    assert of_each.dims == ("cluster", "parameter")
    temperature = stored["physics"].sel(parameter="t_kev")
    np.testing.assert_array_equal(of_each.sel(parameter="t_kev"), temperature[stored["universe"]])
    assert stored.isel(cluster=0)["universe"].ndim == 0
    units = dict(zip(stored["parameter"].values, stored["parameter_unit"].values, strict=True))
    assert units["t_kev"] == "keV" and units["f_gas_groups"] == "1"
    made = Universes(SurveyConfig.model_validate_json(stored.attrs["config"]), stored.attrs["seed"])
    np.testing.assert_array_equal(stored["physics"], made.table())


@pytest.mark.parametrize("more", [SMALL, (*SMALL, "halos.box_mpc_h=60"), CONE])
def test_a_halo_is_in_one_universe(more):
    """Through all its snapshots, over several boxes; universes share the halos evenly."""
    sim = Simulator(prior(7, more=more), 3)
    found: dict[int, set[int]] = {}
    for cluster in range(700):
        halo = sim.population.draw(cluster, sim.streams(cluster)["halo"])
        found.setdefault(halo.halo_id, set()).add(sim.universe(cluster))
    assert all(len(universes) == 1 for universes in found.values())
    held = np.bincount([next(iter(universes)) for universes in found.values()])
    assert len(held) == 7 and held.max() - held.min() <= 1


@pytest.mark.parametrize("preset", ["erosita", "phox", "efeds", "erass3"])
def test_universes_of_every_preset(preset: str):
    base, drawn = resolve_config(preset), prior(5, preset, ())
    sim = Simulator(drawn, 2)
    made = sim.cluster(1)
    assert made["universe"] == sim.universe(1) and set(sim.variables) <= set(made)
    own = sim.config_of(1)
    assert own.physics is None
    changed = {
        f"{section}.{name}"
        for section in ("gas", "agn", "halos")
        for name in type(getattr(base, section)).model_fields
        if getattr(getattr(own, section), name) != getattr(getattr(base, section), name)
    }
    others = {"agn.satellites", "agn.central_log_l", "halos.correlation"}
    assert changed <= PRIOR_KEYS | others
    assert own.model_copy(update={"gas": base.gas, "agn": base.agn, "halos": base.halos}) == base


def test_without_a_prior_there_is_one_universe(tmp_path):
    config = resolve_config("demo", None, SMALL)
    sim = Simulator(config, 3)
    assert sim.config_of(4) is config and sim.universe(4) == 0 and "universe" not in sim.variables
    survey = open_survey(simulate_survey(config, n_clusters=2, seed=3, out=tmp_path / "a.zarr"))
    assert not {"universe", "physics", "parameter"} & set(survey.variables)
    before = json.loads(survey.attrs["config"])
    del before["physics"], before["gas"]["f_gas_ceiling"]
    assert SurveyConfig.model_validate(before) == config


def test_halos_are_those_of_the_survey_without_a_prior(stored):
    sim = Simulator(resolve_config("demo", None, SMALL), 3)
    for cluster in range(4):
        halo = sim.scene(cluster).halo
        assert halo.m500c == stored["m500c"][cluster]
        for name in {*LATENTS, *SHAPES} - {"temperature", *GAS_SHAPE}:
            assert halo.latents[name] == stored[f"latent_{name}"][cluster]


@pytest.mark.parametrize("seed", [1, 2])
def test_clusters_have_the_relations_that_their_universe_says(seed: int):
    """Gas fractions at two masses, evolution, scatter and temperature, measured on scenes."""
    sim = Simulator(prior(2, more=(*CONE, "physics.f_gas_ceiling=1")), seed)
    scenes: list[list[tuple[float, ...]]] = [[], []]
    for cluster in range(700):
        scene = sim.scene(cluster)
        halo, gas = scene.halo, scene.gas
        row = (halo.m500c, halo.redshift, gas.m_gas, gas.t_mass_weighted)
        scenes[sim.universe(cluster)].append(row)
    for universe, rows in enumerate(scenes):
        said, config = sim.universes.parameters(universe), sim.universes.config(universe)
        mass, redshift, m_gas, kt = np.array(rows).T
        ln_e = np.log(config.cosmology.efunc(redshift))
        x = np.log10(mass) - 13.5
        design = np.stack([1 - x / 0.8, x / 0.8, ln_e], axis=1)
        scatter = gas_mass_scatter(mass, config.gas)
        weighted = design / scatter[:, None]
        fit = np.linalg.lstsq(weighted, np.log(m_gas / mass) / scatter)[0]
        error = np.sqrt(np.diag(np.linalg.inv(weighted.T @ weighted)))
        wanted = [np.log(said["f_gas_groups"]), np.log(said["f_gas_clusters"])]
        assert np.abs((fit - [*wanted, said["f_gas_evolution"]]) / error).max() < 3.5
        residual = np.log(m_gas / mass) - design @ fit
        assert (residual / scatter).std() == pytest.approx(1, abs=4 / np.sqrt(2 * len(mass)))
        at_pivot = float(gas_mass_scatter(PIVOT, config.gas))
        assert at_pivot == pytest.approx(said["f_gas_scatter"], rel=1e-9)
        ratio = kt / gas_temperature(mass, np.exp(ln_e), config.gas)
        allowed = 4 * config.gas.t_scatter / np.sqrt(len(mass))
        assert np.log(ratio).mean() == pytest.approx(0, abs=allowed)
        at_pivot = float(gas_temperature(PIVOT, 1.0, config.gas))
        assert at_pivot == pytest.approx(said["t_kev"], rel=1e-9)
        straight = said["t_kev"] * (1e15 / PIVOT) ** config.gas.t_slope
        tilt = float(gas_temperature(1e15, 1.0, config.gas)) / straight - 1
        assert tilt == pytest.approx(said["t_tilt"], abs=1e-9)


def test_light_and_temperature_go_together_as_a_universe_says():
    """Correlation of ln L and ln T at 2e14 Msun/h, of gas made of correlated latents."""
    rng = np.random.default_rng(5)
    base, n = HaloConfig(), 1000
    for wanted in (-0.4, 0.4):
        universe = 1
        universes = Universes(prior(2, more=(f"physics.lt_correlation=[{wanted},{wanted}]",)), 1)
        config, said = universes.config(universe), universes.parameters(universe)
        expected = light_temperature_correlation(config.gas, config.halos)
        assert expected == pytest.approx(said["lt_correlation"], abs=1e-4)
        r500c = float(config.cosmology.r500c(PIVOT, 0.1))
        found = []
        for _ in range(n):
            latents = dict(zip(SHAPES, rng.standard_normal(len(SHAPES)).tolist(), strict=True))
            drawn = config.halos.correlation_factor @ rng.standard_normal(len(LATENTS))
            latents |= dict(zip(LATENTS, drawn.tolist(), strict=True))
            halo = Halo(0, PIVOT, 0.1, r500c, 0, np.zeros(3), latents, np.eye(3))
            gas = make_gas(halo, config.gas, config.cosmology)
            found.append((_ln_light(gas, config), np.log(gas.t_mass_weighted)))
        measured = np.corrcoef(np.array(found).T)[0, 1]
        assert measured == pytest.approx(said["lt_correlation"], abs=4 / np.sqrt(n))
        matrix = np.array(config.halos.correlation)
        assert np.linalg.eigvalsh(matrix).min() > 0
        others = [i for i, name in enumerate(LATENTS) if name != "temperature"]
        np.testing.assert_array_equal(
            matrix[np.ix_(others, others)], np.array(base.correlation)[np.ix_(others, others)]
        )


def _ln_light(gas, config: SurveyConfig) -> float:
    table, inside = load_plasma_table(config.gas.abundance_table), gas.inside_r500
    kt = np.clip(gas.kt_kev[inside], table.kt_kev[0], table.kt_kev[-1])
    cooling = table.bolometric_cooling_function(kt, gas.abundance[inside])
    return float(np.log(gas.emission_measure[inside] @ cooling))


def test_drawn_temperatures_have_the_correlation_of_their_universe():
    sim = Simulator(prior(1, more=(*CONE, "physics.lt_correlation=[0.4,0.4]")), 3)
    follows = latent_correlation(sim.config_of(0).halos, "temperature", "gas_mass")
    halos = [
        with_temperature(
            sim.population.draw(i, np.random.default_rng(i)), sim.config.halos, follows
        )
        for i in range(3000)
    ]
    latents = np.array([[halo.latents[name] for name in LATENTS] for halo in halos])
    wanted = np.array(sim.config_of(0).halos.correlation)
    assert wanted[2, 3] > 0.3
    np.testing.assert_allclose(np.corrcoef(latents.T), wanted, atol=4.5 / np.sqrt(3000))
    np.testing.assert_allclose(latents.std(axis=0), 1, atol=0.06)


def test_gas_fractions_end_at_their_ceiling():
    universes = Universes(prior(40), 1)
    for universe in range(40):
        config = universes.config(universe)
        mass = np.geomspace(10**13.5, 10**15.2, 30)
        fraction = gas_mass(mass, 1.5, config.gas) / mass
        assert fraction.max() <= 0.15 + 1e-12 and (np.diff(fraction) >= -1e-12).all()


def test_a_cluster_is_made_again_with_the_physics_of_its_universe(stored):
    """Causal tests, and whoever else asks the simulator of a survey, find the same cluster."""
    sim = simulator_of(stored)
    for cluster in range(4):
        made = sim.scene(cluster)
        assert made.gas.m_gas == stored["M_gas"][cluster]
        assert made.gas.t_mass_weighted == stored["T"][cluster]
        universe = int(stored["universe"][cluster])
        assert sim.config_of(cluster) == sim.universes.config(universe)
    clusters = per_cluster(stored)
    assert "physics" not in clusters
    again = resimulate_gas(clusters, np.random.default_rng(0))
    for name in ("T", "M_gas", "L_X", "L_X_soft"):
        np.testing.assert_allclose(again[name], stored[name], rtol=1e-9)
    cool = resimulate_gas(clusters, np.random.default_rng(0), cool=True)
    np.testing.assert_allclose(cool["M_gas"], stored["M_gas"], rtol=1e-9)
    inside = resimulate_gas(clusters, np.random.default_rng(0), cool=False, keep_outside=True)
    np.testing.assert_allclose(inside["M_gas"], stored["M_gas"], rtol=0.5)


def test_what_a_prior_draws_is_not_set_besides(tmp_path):
    with pytest.raises(InputError, match=r"gas\.f_gas: is drawn.*narrow its range"):
        prior(more=("gas.f_gas=0.1",))
    with pytest.raises(InputError, match=r"agn\.central_duty_cycle: is drawn"):
        prior(more=("agn={central_duty_cycle: 0.1}",))
    assert prior(more=("gas.t_slope=0.6",)).gas.t_slope == 0.6
    more = resolve_config("demo", None, (), ("more-agn",), physics="prior")
    universe = Universes(more, 1)
    assert universe.config(0).agn.satellites == 10.1 * universe.parameters(0)["agn_norm"]
    file = tmp_path / "mine.yaml"
    file.write_text("physics:\n  universes: 4\n  abundance: [0.3, 0.3]\ngas:\n  abundance: 0.2\n")
    config = resolve_config("demo", file)
    assert config.physics == PhysicsPrior(universes=4, abundance=(0.3, 0.3))
    assert resolve_config("demo", file, universes=9).physics.universes == 9


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--physics", "posterior"], "--physics: unknown physics 'posterior'; use prior"),
        (["--universes", "2"], "--universes: needs a prior"),
        (["--physics", "prior", "--universes", "0"], "--universes: is 0"),
        (["--physics", "prior", "--universes", "-3"], "--universes: is -3"),
        (["--physics", "prior", "--universes", "5"], "5 universes cannot share 4 clusters"),
        (["--physics", "prior", "--set", "gas.t_kev=3"], "gas.t_kev: is drawn"),
        (["--physics", "prior", "--set", "physics.t_kev=[4,3]"], "t_kev must ascend within"),
        (["--physics", "prior", "--set", "physics.abundance=[-1,3]"], "abundance must ascend"),
        (["--physics", "prior", "--set", "physics.f_gas_groups=[0.1,0.2]"], "reach as high"),
        (["--physics", "prior", "--set", "physics.f_gas_ceiling=0.1"], "must not be below"),
        (["--physics", "prior", "--set", "physics.t_kev=warm"], "physics.t_kev"),
        (["--physics", "prior", "--set", "physics.f_gaz=[1,2]"], "physics.f_gaz"),
        (["--physics", "prior", "--set", "physics=3"], "physics"),
    ],
)
def test_bad_universes_get_one_line_and_leave_nothing(run_cli, tmp_path, arguments, words):
    found = run_cli("simulate", "--n", "4", "--out", "s.zarr", *arguments, cwd=tmp_path)
    assert found.returncode == 2, found.stderr
    assert len(found.stderr.strip().splitlines()) == 1, found.stderr
    assert words in found.stderr
    assert not list(tmp_path.iterdir())


def test_commands_show_universes_and_ranges(run_cli, tmp_path):
    made = run_cli(
        "simulate", "--preset", "demo", "--physics", "prior", "--universes", "2", "--n", "4",
        "--out", "s.zarr", cwd=tmp_path,
    )  # fmt: skip
    assert made.returncode == 0 and "4 clusters, preset demo, seed 1, 2 universes" in made.stdout
    shown = run_cli("info", tmp_path / "s.zarr").stdout
    assert "2 universes, 2 to 2 clusters in each" in shown and "lt_correlation" in shown
    document = json.loads(run_cli("info", tmp_path / "s.zarr", "--json").stdout)
    assert document["universes"]["number"] == 2
    row = document["universes"]["parameters"]["t_kev"]
    assert 2.67 <= row["min"] <= row["max"] <= 4.01 and row["units"] == "keV"
    ranges = run_cli("config", "--physics", "prior").stdout
    assert "f_gas_groups: [0.025, 0.085]" in ranges and "Popesso" in ranges
    (tmp_path / "p.yaml").write_text(ranges)
    assert resolve_config("demo", tmp_path / "p.yaml") == resolve_config("erosita", physics="prior")


def test_a_store_that_names_no_universe_is_refused(stored, tmp_path):
    damaged = stored.assign(universe=stored["universe"] + 7)
    for name in damaged.variables:
        damaged[name].encoding = {}
    damaged.to_zarr(tmp_path / "b.zarr", consolidated=False)
    with pytest.raises(InputError, match="variable universe"):
        open_survey(tmp_path / "b.zarr")
