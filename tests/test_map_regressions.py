"""Regressions on what is measured on maps: their features, fits, files and rows of a benchmark."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from conftest import RunCli, beta_model_survey
from icmass.errors import InputError
from icmass.estimators.estimator import Estimator
from icmass.estimators.map_features import (
    APERTURE_MPC_H,
    MORPHOLOGY,
    RING_EDGES_MPC_H,
    morphology_features,
    ring_counts,
)
from icmass.estimators.map_regressions import ForestMorphology, RingsGBM
from icmass.estimators.posterior import LNM_GRID
from icmass.estimators.prior import parse_prior
from icmass.estimators.registry import known_names, load_estimator, make_estimator
from icmass.inference.ensemble import load_ensemble

NAMES = ("rings-gbm-1band", "rings-gbm-3band", "forest-morphology")
ALL = np.arange(96)


def ring_survey(n: int, seed: int) -> xr.Dataset:
    """Return clusters whose count says little and whose outskirts say all.

    Cores of any brightness, free of mass, hold nine tenths of the photons; the ring from 0.56 to
    1 Mpc/h holds 40 photons times M / 1e14 Msun/h.
    """
    survey = beta_model_survey(n, n_pixels=64, seed=seed)
    rng = np.random.default_rng(seed + 1000)
    y, x = np.meshgrid(survey["y"], survey["x"], indexing="ij")
    r = np.hypot(x, y)
    maps = survey["maps"].values
    core, outskirts = np.exp(-((r / 0.15) ** 2)), ((r > 0.56) & (r < 1.0)).astype(float)
    for i, mass in enumerate(survey["m500c"].values):
        bright = 1500 * np.exp(0.6 * rng.normal())
        wanted = bright * core / core.sum() + 40 * mass / 1e14 * outskirts / outskirts.sum()
        for band, share in enumerate((0.5, 0.3, 0.2)):
            maps[i, 0, band] = rng.poisson(wanted * share)
            maps[i, 2, band] = rng.poisson(0.02, r.shape)
    survey["n_phot"][:] = survey["maps"].sum(("component", "band", "y", "x"))
    return survey


@pytest.fixture(scope="module")
def rings() -> xr.Dataset:
    return ring_survey(240, 3)


@pytest.fixture(scope="module", params=NAMES)
def fitted(request: pytest.FixtureRequest, rings: xr.Dataset) -> Estimator:
    estimator = make_estimator(request.param, seed=2)
    estimator.fit(rings, np.arange(160))
    return estimator


# ---------------------------------------------------------------- features


def test_counts_in_rings_are_counts_in_rings(rings: xr.Dataset):
    index = np.array([5, 70, 2])
    found = ring_counts(rings, index, sum_bands=False).reshape(3, 3, 12) ** 2 - 0.375
    y, x = np.meshgrid(rings["y"], rings["x"], indexing="ij")
    r = np.hypot(x, y)
    for k, (lo, hi) in enumerate(pairwise(RING_EDGES_MPC_H)):
        photons = rings["maps"].values[index].sum(1)[..., (r >= lo) & (r < hi)].sum(-1)
        # roots in single precision: a part in 1e6 of the counts
        np.testing.assert_allclose(found[..., k], photons, rtol=2e-6, atol=1e-4)
    added = ring_counts(rings, index, sum_bands=True) ** 2 - 0.375
    np.testing.assert_allclose(added, found.sum(1), rtol=1e-5, atol=1e-3)


def test_exposure_and_coverage_are_undone(rings: xr.Dataset):
    flat = rings.copy(deep=True)
    flat["maps"][:] = 8
    whole = ring_counts(flat, ALL[:1], sum_bands=True)
    twice = flat.assign(exposure=flat["exposure"] * 4)
    # four times the exposure: the root is half of what it was
    np.testing.assert_allclose(ring_counts(twice, ALL[:1], sum_bands=True), whole / 2)
    coverage = np.ones((240, 64, 64), "f4")
    coverage[:, :, :32] = 0.0  # half of the sky
    coverage[:, 40:, :] = 0.5
    seen = (flat["maps"].values * coverage[:, None, None]).astype("u2")
    hidden = flat.assign(maps=(flat["maps"].dims, seen), coverage=(("cluster", "y", "x"), coverage))
    np.testing.assert_allclose(ring_counts(hidden, ALL[:1], sum_bands=True), whole, rtol=1e-6)
    coverage[:, :, :] = 0.0
    coverage[:, :8, :8] = 1.0  # a corner
    hidden["maps"] = flat["maps"] * 0
    gone = ring_counts(hidden, ALL[:1], sum_bands=True)[0]
    # the corner is 2.3 and more from the centre along each axis but for 8 pixels
    assert np.isnan(gone[1:10]).all()  # no pixel is in the first ring


def test_morphology_is_that_of_the_image_about_its_peak(rings: xr.Dataset):
    found = morphology_features(rings, ALL[:20])
    assert found.shape == (20, len(MORPHOLOGY) + 1) and np.isfinite(found).all()
    image = rings["maps"].values[:20].sum((1, 2))
    y, x = np.meshgrid(rings["y"], rings["x"], indexing="ij")
    near = image[:, np.hypot(x, y) < APERTURE_MPC_H].sum(-1)
    # the peak is a pixel or two from the centre: the aperture's edge holds few photons
    np.testing.assert_allclose(np.exp(found[:, -1]), near, rtol=0.1)
    moved = rings.isel(cluster=slice(0, 20)).copy(deep=True)
    moved["maps"][:] = np.roll(moved["maps"].values, (3, -2), (-2, -1))
    again = morphology_features(moved, ALL[:20])
    np.testing.assert_allclose(again[:, 0], found[:, 0], rtol=1e-9)  # concentration goes with it
    coarse = beta_model_survey(4, n_pixels=32)
    with pytest.raises(InputError, match="too coarse for the morphology"):
        morphology_features(coarse, ALL[:4])


def test_holes_are_filled_before_the_morphology_is_measured(rings: xr.Dataset):
    few = rings.isel(cluster=slice(0, 30)).copy(deep=True)
    whole = morphology_features(few, np.arange(30))
    y, x = np.meshgrid(few["y"], few["x"], indexing="ij")
    hole = np.hypot(x - 0.6, y - 0.3) < 0.3
    coverage = np.broadcast_to(~hole, (30, 64, 64)).astype("f4")
    few["coverage"] = ("cluster", "y", "x"), coverage
    few["maps"] = few["maps"] * coverage.astype("u2")[:, None, None]
    filled = morphology_features(few, np.arange(30))
    hidden = morphology_features(few.drop_vars("coverage"), np.arange(30))
    # a tenth of the outskirts' photons are hidden; those drawn in their place have Poisson noise
    error, loss = (np.abs(found[:, -1] - whole[:, -1]).mean() for found in (filled, hidden))
    assert 0 < error < 0.5 * loss
    assert np.isfinite(filled).all()


# ---------------------------------------------------------------- estimators


def test_names_are_known():
    assert set(NAMES) < set(known_names())


def test_posteriors_are_densities_that_hold_the_truth(fitted: Estimator, rings: xr.Dataset):
    test = np.arange(160, 240)
    found = fitted.predict(rings, test)
    assert found.density is not None
    np.testing.assert_allclose(np.trapezoid(found.density, LNM_GRID, axis=1), 1, atol=1e-9)
    inside = np.abs(found.cdf(np.log(rings["m500c"].values[test])) - 0.5) < 0.34
    # 80 clusters: 0.68 +- 0.052 (1 sigma), and the width's own error from 160
    assert abs(inside.mean() - 0.68) < 0.2
    info = fitted.info
    assert (info.kind, info.proxies, info.is_differentiable) == ("features", (), False)
    assert info.reads_maps and info.n_parameters > 100 and info.mass_prior is not None
    trained = info.training
    assert trained is not None and trained.n_train == 160 and trained.nh_range_1e20 == (3.0, 3.0)
    assert trained.maps is not None and trained.maps.n_pixels == 64


def test_rings_beat_the_count_where_rings_matter(fitted: Estimator, rings: xr.Dataset):
    test = np.arange(160, 240)
    truth = np.log(rings["m500c"].values[test])
    count = make_estimator("N_phot")
    count.fit(rings, np.arange(160))
    ours, theirs = (np.std(e.predict(rings, test).mean - truth) for e in (fitted, count))
    # Poisson noise of 40 M / 1e14 photons is 10-30 per cent; the cores hide it from the count
    assert ours < 0.75 * theirs


def test_saved_and_loaded(fitted: Estimator, rings: xr.Dataset, tmp_path: Path):
    fitted.save(tmp_path)
    again = load_estimator(tmp_path)
    assert (again.name, again.info) == (fitted.name, fitted.info)
    test = np.arange(160, 240)
    one, other = fitted.predict(rings, test), again.predict(rings, test)
    assert np.array_equal(one.mean, other.mean) and np.array_equal(one.density, other.density)
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"model.safetensors", "config.json", "README.md"}
    assert fitted.name in (tmp_path / "README.md").read_text()
    flat = load_ensemble(tmp_path).predict(rings, test, parse_prior("flat"))
    assert np.isfinite(flat.mean).all() and not np.array_equal(flat.mean, one.mean)


def test_the_seed_decides(rings: xr.Dataset, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ForestMorphology, "n_trees", 5)

    def predicted(seed: int) -> np.ndarray:
        estimator = make_estimator("forest-morphology", seed=seed)
        estimator.fit(rings, np.arange(40))
        return estimator.predict(rings, np.arange(40, 60)).mean

    assert np.array_equal(predicted(1), predicted(1))
    assert not np.array_equal(predicted(1), predicted(2))


def test_clusters_of_another_kind_are_refused(fitted: Estimator, rings: xr.Dataset):
    with pytest.raises(InputError, match=r"redshift.*outside the training range"):
        fitted.predict(rings.assign(redshift=rings["redshift"] + 0.3), ALL[:2])
    with pytest.raises(InputError, match="32 pixels a side; trained on 64"):
        fitted.predict(beta_model_survey(4, n_pixels=32), ALL[:2])
    one = rings.isel(band=slice(0, 2))
    with pytest.raises(InputError, match="bands"):
        fitted.predict(one, ALL[:2])


def test_bad_training_sets(rings: xr.Dataset):
    estimator = make_estimator("rings-gbm-1band")
    with pytest.raises(InputError, match="12 clusters; give 20 or more"):
        estimator.fit(rings, np.arange(12))
    with pytest.raises(InputError, match="1 halos"):
        estimator.fit(rings.assign(halo_id=rings["halo_id"] * 0), np.arange(40))
    with pytest.raises(InputError, match="variable nh"):
        estimator.fit(rings.drop_vars("nh"), np.arange(40))


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_damaged_models_are_one_line(
    rings: xr.Dataset, tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(RingsGBM, "n_trees", 5)
    estimator = make_estimator("rings-gbm-1band")
    estimator.fit(rings, np.arange(40))
    estimator.save(tmp_path)
    whole = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"damaged|is not a saved rings-gbm") as caught:
        load_estimator(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("undrawn")
def test_a_benchmark_has_their_rows_and_page(
    rings: xr.Dataset, tmp_path: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(RingsGBM, "n_trees", 60)  # at a rate of 0.05 they take out 95 per cent
    rings.isel(cluster=slice(0, 120)).to_zarr(tmp_path / "x.zarr", consolidated=False)
    run = tmp_path / "run"
    out = ("--folds", 2, "--out", run)
    names = "N_phot,rings-gbm-1band,rings-gbm-3band"
    done = run_cli("benchmark", tmp_path / "x.zarr", "--models", names, *out)
    assert done.returncode == 0, done.stderr
    assert "map features" in done.stdout
    rows = {
        row["name"]: row for row in json.loads((run / "results.json").read_text())["estimators"]
    }
    ours, other = rows["rings-gbm-1band"], rows["rings-gbm-3band"]
    assert ours["kind"] == "features" and ours["sigma_lnm"] < rows["N_phot"]["sigma_lnm"]
    assert ours["beside"]["rings-gbm-3band"]["ratio"] == pytest.approx(
        ours["sigma_lnm"] / other["sigma_lnm"]
    )
    assert sum(ours["calibration"]["pit_histogram"]) == 120
    page = (run / "report.html").read_text()
    assert "Map features" in page
    assert "The best regression on features of the maps, rings-gbm" in page
    which = ("--model", "rings-gbm-1band", "--index", "0", "--json")
    told = run_cli("predict", run, tmp_path / "x.zarr", *which)
    assert json.loads(told.stdout)["model"]["sigma_lnm"] == ours["sigma_lnm"]
