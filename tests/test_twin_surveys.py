"""Surveys of a table's halos: whoever makes them, made again, and in every command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from astropy.table import Table

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.explanation.causal_cores import resimulate_gas
from icmass.survey.catalog import open_survey
from icmass.survey.catalogue_table import read_halo_table, with_table
from icmass.survey.folds import octant_folds, octants
from icmass.survey.presets import resolve_config
from icmass.survey.simulate import Simulator, simulator_of
from icmass.survey.twin_report import honoured
from icmass.survey.twins import rows_of
from icmass.survey.write import simulate_survey
from icmass.universe.twins import TwinConfig
from icmass.validation.image_maps import image_sample

SMALL = ("observe.n_pixels=32",)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 24 halos in two snapshots, some with quantities missing."""
    rng = np.random.default_rng(0)
    n = 24
    mass = 10 ** rng.uniform(13.6, 14.6, n)
    place = rng.uniform(0, 300, (n, 3))
    place[12:] = place[:12] + 0.2
    mass[12:] = mass[:12] * 0.95
    table = Table({
        "M500c_msun_h": mass,
        "redshift": np.repeat([0.1, 0.2], 12),
        **{f"{name}_mpc_h": place[:, i] for i, name in enumerate("xyz")},
        "gas_fraction": 0.08 * np.exp(0.1 * rng.normal(size=n)),
        "t_kev": np.where(np.arange(n) % 3, np.nan, 2.0),
        "core_share": rng.uniform(0.15, 0.6, n),
    })  # fmt: skip
    path = tmp_path_factory.mktemp("table") / "halos.ecsv"
    table.write(path)
    return path


def make(file: Path, out: Path, n: int | None = None, seed: int = 3, **options: Any) -> xr.Dataset:
    config = resolve_config("phox", assignments=SMALL, twins=True)
    table = read_halo_table(file, TwinConfig(), Cosmology(), 352.0)
    simulate_survey(
        with_table(config, table),
        n_clusters=n or len(table.rows), seed=seed, out=out,
        rows=table.rows, about_rows=table.about, **options,
    )  # fmt: skip
    return open_survey(out)


@pytest.fixture(scope="module")
def reference(file: Path, tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    return make(file, tmp_path_factory.mktemp("reference") / "a.zarr").load()


@pytest.mark.usefixtures("workers_here")
def test_same_survey_for_any_number_of_workers_and_chunk(
    file: Path, reference: xr.Dataset, tmp_path: Path
) -> None:
    other = make(file, tmp_path / "b.zarr", workers=2, chunk=5)
    xr.testing.assert_identical(reference, other.load())


def test_the_first_rows_are_the_beginning_of_all(
    file: Path, reference: xr.Dataset, tmp_path: Path
) -> None:
    short = make(file, tmp_path / "b.zarr", n=5).load()
    galaxies = slice(int(reference["galaxy_offset"][5]))
    start = reference.isel(cluster=slice(5), cluster_edge=slice(6), galaxy=galaxies)
    xr.testing.assert_identical(start, short)


def test_another_seed_keeps_what_is_given(
    file: Path, reference: xr.Dataset, tmp_path: Path
) -> None:
    other = make(file, tmp_path / "b.zarr", n=6, seed=4)
    np.testing.assert_allclose(other["M_gas"], reference["M_gas"][:6], rtol=1e-9)
    assert (other["T"].values[::3] == pytest.approx(2.0)) and other["T"][1] != reference["T"][1]


def test_a_survey_has_what_others_have(reference: xr.Dataset) -> None:
    plain = Simulator(resolve_config("phox", assignments=SMALL), 1).variables
    assert set(plain) <= set(reference)
    np.testing.assert_array_equal(reference["snapshot"], np.repeat([0, 1], 12))
    np.testing.assert_array_equal(reference["halo_id"], np.tile(np.arange(12), 2))
    for name, variable in reference.data_vars.items():
        assert variable.attrs["units"] and variable.attrs["long_name"], name


def test_folds_are_octants_of_the_tables_places(file: Path, reference: xr.Dataset) -> None:
    table = Table.read(file)
    place = np.stack([table[f"{name}_mpc_h"] for name in "xyz"], axis=1)
    np.testing.assert_allclose(reference["position"], place)
    fold = octant_folds(reference, 2)
    now = octants(place[:12], 352.0) * 2 // 8
    np.testing.assert_array_equal(fold, np.tile(now, 2))  # a halo goes with its latest self


def test_clusters_are_made_again(reference: xr.Dataset) -> None:
    sim = simulator_of(reference.isel(cluster=[3, 20]))
    assert sim.twins is not None
    for i in (3, 20):
        made = sim.cluster(i)
        np.testing.assert_array_equal(made["maps"], reference["maps"][i])
        assert made["L_X_emitted"] == reference["L_X_emitted"][i]
    few = reference.assign_coords(cluster=np.arange(24)).isel(cluster=[3, 20])
    again = resimulate_gas(few, np.random.default_rng(0))
    np.testing.assert_allclose(again["M_gas"], few["M_gas"])
    np.testing.assert_allclose(again["L_X"], few["L_X"])
    cool = resimulate_gas(few, np.random.default_rng(0), cool=True)
    np.testing.assert_allclose(cool["M_gas"], few["M_gas"])


def test_images_are_of_the_tables_halos(reference: xr.Dataset) -> None:
    config = simulator_of(reference).config
    found = image_sample(config, 3, [2], rows_of(reference))
    assert found.m500c[0] == reference["m500c"].values[2]
    with pytest.raises(InputError, match="needs a table"):
        image_sample(config, 3, [2])


def test_the_report_counts_what_is_as_given(reference: xr.Dataset) -> None:
    lines = honoured(reference)
    assert "M_gas: 24 of 24 as given" in lines and "T: 8 of 8 as given" in lines
    assert any(line.startswith("core share: 2") for line in lines)
    with pytest.raises(InputError, match="of no table"):
        honoured(reference.drop_vars("twin_rows").assign_attrs(
            config=resolve_config("phox").model_dump_json()))  # fmt: skip


def test_a_store_that_lost_its_table_says_so(reference: xr.Dataset) -> None:
    with pytest.raises(InputError, match="needs a table of halos"):
        simulator_of(reference.drop_vars("twin_rows"))


def test_simulate_resumes_and_refuses_another_table(
    run_cli: Any, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from icmass.survey import write

    out = tmp_path / "a.zarr"
    arguments = ["simulate", "--catalogue", file, "--preset", "demo", "--n", 6, "--chunk", 2,
                 "--set", "observe.n_pixels=32", "--out", out]  # fmt: skip
    real = write.write_chunk

    def broken(partial: str, plan: dict[str, Any], start: int) -> int:
        if start == 4:
            raise OSError(28, "No space left on device")
        return real(partial, plan, start)

    with monkeypatch.context() as patch:
        patch.setattr(write, "write_chunk", broken)
        assert run_cli(*arguments).returncode == 2
    other = tmp_path / "other.ecsv"
    Table.read(file)[:20].write(other)
    refused = run_cli(*[other if a == file else a for a in arguments], "--resume")
    assert refused.returncode == 2 and "begun with another" in refused.stderr
    done = run_cli(*arguments, "--resume")
    assert done.returncode == 0, done.stderr
    assert "M_gas: 6 of 6 as given" in done.stdout and "24 rows" in done.stdout
    assert run_cli(*arguments, "--resume").returncode == 0
    refused = run_cli(*[other if a == file else a for a in arguments], "--resume")
    assert refused.returncode == 2 and "finished and of another rows" in refused.stderr
    assert run_cli("info", out).returncode == 0
    table = tmp_path / "t.ecsv"
    assert run_cli("export", out, "--format", "table", "--out", table).returncode == 0
    again = run_cli("simulate", "--catalogue", table, "--preset", "demo", "--n", 2,
                    "--set", "observe.n_pixels=32", "--out", tmp_path / "again.zarr")  # fmt: skip
    assert again.returncode == 0, again.stderr
    twin, first = open_survey(tmp_path / "again.zarr"), open_survey(out)
    for name in ("m500c", "M_gas", "T", "M_star", "position"):
        np.testing.assert_allclose(twin[name], first[name][:2], rtol=1e-9)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--physics", "prior", "--universes", "2"], "neither detection nor a prior"),
        (["--set", "twins.light=both"], "twins.light"),
    ],
)
def test_options_that_do_not_go_together(
    run_cli: Any, file: Path, tmp_path: Path, more: list[str], words: str
) -> None:
    arguments = ["simulate", "--catalogue", file, "--out", tmp_path / "a.zarr", *more]
    found = run_cli(*arguments)
    assert found.returncode == 2 and words in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1 and not (tmp_path / "a.zarr").exists()


def test_bad_tables_end_with_status_2(run_cli: Any, tmp_path: Path) -> None:
    out = tmp_path / "a.zarr"
    missing = run_cli("simulate", "--catalogue", tmp_path / "none.csv", "--out", out)
    assert missing.returncode == 2 and "none.csv" in missing.stderr
    bad = tmp_path / "bad.csv"
    bad.write_text("m500c,z\n1e14,0.2\n")
    found = run_cli("simulate", "--catalogue", bad, "--out", out)
    assert found.returncode == 2 and "bad.csv: column m500c: has no unit" in found.stderr
    nothing = run_cli("simulate", "--out", out)
    assert nothing.returncode == 2 and "--n" in nothing.stderr
    assert not list(tmp_path.glob("a.zarr*"))


def test_erass_observes_every_row(run_cli: Any, file: Path, tmp_path: Path) -> None:
    found = run_cli("simulate", "--catalogue", file, "--preset", "erass1", "--n", 2,
                    "--set", "observe.n_pixels=32", "--out", tmp_path / "e.zarr")  # fmt: skip
    assert found.returncode == 0, found.stderr
    survey = open_survey(tmp_path / "e.zarr")
    assert "ra" in survey and json.loads(survey.attrs["config"])["detection"] is None
