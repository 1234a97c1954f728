"""Simulated surveys: the same whoever makes them, resumable, plain about bad input."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from icmass.errors import InputError
from icmass.survey import write
from icmass.survey.catalog import open_survey, survey_bands
from icmass.survey.counts import counts
from icmass.survey.presets import PRESETS, resolve_config
from icmass.survey.simulate import Simulator
from icmass.survey.write import simulate_survey
from icmass.universe.scene import luminosities

SMALL = ("observe.n_pixels=32",)


def make(out: Path, n: int = 12, seed: int = 3, **options: object) -> xr.Dataset:
    config = resolve_config("erosita", assignments=SMALL)
    return open_survey(simulate_survey(config, n_clusters=n, seed=seed, out=out, **options))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    return make(tmp_path_factory.mktemp("reference") / "a.zarr").load()


def test_same_survey_for_any_number_of_workers(reference, tmp_path):
    xr.testing.assert_identical(reference, make(tmp_path / "b.zarr", workers=2, chunk=4).load())


@settings(max_examples=2, deadline=None)
@given(chunk=st.integers(1, 13))
def test_same_survey_for_any_chunk(reference, tmp_path_factory, chunk):
    out = tmp_path_factory.mktemp("chunk") / "b.zarr"
    xr.testing.assert_identical(reference, make(out, chunk=chunk).load())


def test_a_survey_is_the_beginning_of_a_larger_one(reference, tmp_path):
    short = make(tmp_path / "b.zarr", n=5).load()
    galaxies = slice(int(reference["galaxy_offset"][5]))
    start = reference.isel(cluster=slice(5), cluster_edge=slice(6), galaxy=galaxies)
    xr.testing.assert_identical(start, short)


def test_another_seed_is_another_survey(reference, tmp_path):
    other = make(tmp_path / "b.zarr", seed=4)
    assert not np.intersect1d(reference["m500c"], other["m500c"]).size


def test_the_telescope_does_not_change_the_universe(reference):
    ideal = Simulator(resolve_config("phox", assignments=SMALL), 3)
    scene = ideal.scene(2)
    assert scene.halo.m500c == reference["m500c"][2]
    assert scene.gas.m_gas == reference["M_gas"][2]
    found = luminosities(scene, ideal.observatory.table)
    assert found["L_X_emitted"] == reference["L_X_emitted"][2]
    cluster = ideal.cluster(2)
    kept = ("L_X", "L_X_outlier", "L_X_ce", "T", "M_star", "N_gal", "sigma_v", "galaxy_offset")
    for name in (*kept, "halo_id"):
        expected = reference[name][2]
        if name == "galaxy_offset":
            expected = reference[name].diff("cluster_edge")[2]
        assert cluster[name] == expected, name


def test_a_killed_run_resumes_to_the_same_survey(run_cli, tmp_path):
    arguments = ["simulate", "--preset", "demo", "--n", "24", "--seed", "5", "--chunk", "2"]
    whole, killed = tmp_path / "whole.zarr", tmp_path / "killed.zarr"
    assert run_cli(*arguments, "--out", str(whole)).returncode == 0

    command = [sys.executable, "-m", "icmass", *arguments, "--out", str(killed)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    parts = tmp_path / "killed.zarr.partial" / "parts"
    deadline = time.monotonic() + 60
    while len(list(parts.glob("*.npz"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 3 <= len(list(parts.glob("*.npz"))) < 12, "killed too early or too late to tell"
    assert not killed.exists()

    refused = run_cli(*arguments, "--out", str(killed))
    assert refused.returncode == 2 and "--resume" in refused.stderr
    other = [a.replace("5", "6") if a == "5" else a for a in arguments]
    refused = run_cli(*other, "--out", str(killed), "--resume")
    assert refused.returncode == 2 and "another seed" in refused.stderr
    unfinished = run_cli("info", str(killed))
    assert unfinished.returncode == 2 and "unfinished" in unfinished.stderr

    assert run_cli(*arguments, "--out", str(killed), "--resume").returncode == 0
    xr.testing.assert_identical(open_survey(whole).load(), open_survey(killed).load())


def test_a_finished_survey_of_other_options_is_not_what_was_asked(run_cli, tmp_path):
    out = tmp_path / "a.zarr"
    given = ["simulate", "--preset", "demo", "--set", "observe.n_pixels=32", "--out", out]
    assert run_cli(*given, "--n", 3, "--seed", 5).returncode == 0
    again = run_cli(*given, "--n", 3, "--seed", 5, "--chunk", 2, "--resume")
    assert again.returncode == 0 and "3 clusters" in again.stdout
    for other, key in [
        (["--n", 4, "--seed", 5], "n_clusters"),
        (["--n", 3, "--seed", 6], "seed"),
        (["--n", 3, "--seed", 5, "--variant", "strong-feedback"], "config"),
    ]:
        refused = run_cli(*given, *other, "--resume")
        assert refused.returncode == 2 and refused.stdout == ""
        assert f"a.zarr: is finished and of another {key}; resume with" in refused.stderr


def test_every_variable_has_units_and_meaning(reference):
    for name, variable in reference.data_vars.items():
        assert variable.attrs["units"] and variable.attrs["long_name"], name
    config = json.loads(reference.attrs["config"])
    assert config["observe"]["n_pixels"] == 32
    assert survey_bands(reference) == [(0.5, 1.2), (1.2, 2.0), (2.0, 7.0)]


def test_counts_add_the_components(reference):
    every = reference["maps"].sum("component").values
    np.testing.assert_array_equal(counts(reference), every)
    np.testing.assert_array_equal(reference["n_phot"], every.sum((1, 2, 3)))
    np.testing.assert_array_equal(counts(reference, np.array([3, 1])), every[[3, 1]])


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_makes_clusters(preset):
    cluster = Simulator(resolve_config(preset), 1).cluster(0)
    assert cluster["maps"][0].sum() > 0
    assert (cluster["maps"][2].sum() == 0) == (preset == "phox")


def test_unseen_pixels_hold_no_photons():
    maker = Simulator(resolve_config("efeds"), 1)
    unseen = 0
    for i in range(20):
        cluster = maker.cluster(i)
        dark = cluster["coverage"] == 0
        unseen += dark.sum()
        assert cluster["maps"][:, :, dark].sum() == 0
        assert 0.5 < cluster["coverage"].max() <= 1
    assert unseen > 0


def test_coverage_thins_photons_as_it_says():
    """Twice the exposure at half the coverage is the same expectation."""
    half = Simulator(
        resolve_config(
            "efeds",
            assignments=(
                "observe.exposure_s=4000", "observe.coverage.edge_probability=0",
                "observe.coverage.mask_counts=1e9",
            ),
        ),
        1,
    )  # fmt: skip
    full = Simulator(
        resolve_config("efeds", assignments=("observe.exposure_s=4000", "observe.coverage=null")), 1
    )
    seen = [half.cluster(i) for i in range(12)]
    total = sum(int(c["maps"].sum()) for c in seen)
    expected = 0.0
    for i, cluster in enumerate(seen):
        expected += float((full.cluster(i)["maps"].sum((0, 1)) * cluster["coverage"]).sum())
    assert total == pytest.approx(expected, abs=6 * np.sqrt(2 * expected) + 0.01 * expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset", "chandra"], "unknown preset"),
        (["--set", "gas.f_gaz=1"], "gas.f_gaz"),
        (["--set", "gas.f_gas=lots"], "gas.f_gas"),
        (["--set", "gas.f_gas"], "key=value"),
        (["--set", "observe.bands=[[2,1]]"], "bands"),
        (["--set", "observe.exposure_s=-5"], "exposure_s"),
        (["--config", "absent.yaml"], "absent.yaml"),
        (["--set", "observe.arf=absent.arf"], "absent.arf"),
        (["--out", "survey.h5"], ".zarr"),
    ],
)
def test_bad_options_get_one_line_and_leave_nothing(run_cli, tmp_path, arguments, words):
    found = run_cli("simulate", "--n", "2", "--out", "s.zarr", *arguments, cwd=tmp_path)
    assert found.returncode == 2, found.stderr
    assert len(found.stderr.strip().splitlines()) == 1, found.stderr
    assert words in found.stderr
    assert not list(tmp_path.iterdir())


def test_an_existing_survey_is_not_overwritten(reference, tmp_path):
    make(tmp_path / "a.zarr", n=2)
    with pytest.raises(InputError, match="exists already"):
        make(tmp_path / "a.zarr", n=2)
    assert make(tmp_path / "a.zarr", n=3, overwrite=True).sizes["cluster"] == 3


def test_missing_damaged_or_foreign_stores_get_one_line(run_cli, tmp_path):
    missing = run_cli("info", str(tmp_path / "no.zarr"))
    assert missing.returncode == 2 and "no such survey" in missing.stderr
    make(tmp_path / "a.zarr", n=2)
    (tmp_path / "a.zarr" / "zarr.json").write_text("{")
    damaged = run_cli("info", str(tmp_path / "a.zarr"))
    assert damaged.returncode == 2 and len(damaged.stderr.strip().splitlines()) == 1
    xr.Dataset({"a": ("x", [1])}).to_zarr(tmp_path / "b.zarr", consolidated=False)
    foreign = run_cli("info", str(tmp_path / "b.zarr"))
    assert foreign.returncode == 2 and "format" in foreign.stderr


def test_a_full_disk_is_said_and_resumed(reference, tmp_path, monkeypatch):
    real = write.write_chunk

    def full(partial, plan, start):
        if start:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), partial)
        return real(partial, plan, start)

    monkeypatch.setattr(write, "write_chunk", full)
    with pytest.raises(OSError, match="No space"):
        make(tmp_path / "a.zarr", chunk=4)
    assert not (tmp_path / "a.zarr").exists()
    monkeypatch.setattr(write, "write_chunk", real)
    monkeypatch.setattr(write, "_GATHERED_BYTES", 0)  # as for a large survey
    whole = make(tmp_path / "a.zarr", chunk=4, resume=True)
    xr.testing.assert_identical(whole.load(), reference)


def test_info_prints_one_json_document(run_cli, tmp_path):
    make(tmp_path / "a.zarr", n=3)
    found = json.loads(run_cli("info", str(tmp_path / "a.zarr"), "--json").stdout)
    assert found["n_clusters"] == 3
    assert found["ranges"]["m500c"]["units"] == "Msun/h"


def test_sightlines_drawn_from_ranges_are_even_in_the_log() -> None:
    ranges = (
        "observe.exposure_s=[100,10000]",
        "observe.exposure_law=log-uniform",
        "observe.nh_range_1e20=[0.5,20]",
    )
    make = Simulator(resolve_config("demo", None, ranges), seed=3)
    sights = [make._sightline(np.random.default_rng(k)) for k in range(2000)]
    exposure = np.log10([sight["exposure"] for sight in sights])
    nh = np.log(np.array([sight["nh"] for sight in sights]) / 0.5) / np.log(40)
    for drawn in ((exposure - 2) / 2, nh):
        assert kstest(drawn, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(exposure, nh)[0, 1]) < 0.1


def test_a_range_of_column_densities_that_does_not_ascend_is_refused() -> None:
    with pytest.raises(InputError, match="nh_range_1e20"):
        resolve_config("demo", None, ("observe.nh_range_1e20=[5,1]",))
