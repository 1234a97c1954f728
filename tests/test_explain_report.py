"""Figures, tables and the command of explanations."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.colors import AsinhNorm
from matplotlib.image import imread

from conftest import RunCli
from icmass.errors import InputError
from icmass.estimators.network import NetworkEstimator
from icmass.explanation.baselines import background_rate
from icmass.explanation.cluster import attribute_clusters, explain_cluster
from icmass.explanation.folds import open_run
from icmass.explanation.methods import Settings, Task, attribute
from icmass.explanation.model import DifferentiablePredictor
from icmass.inference.ensemble import load_ensemble
from icmass.report.explain import draw_bands, draw_profile, draw_shares
from icmass.report.explain_cluster import draw_cluster, label_counts, save_cluster, signed_norm
from icmass.report.style import house_style, new_figure
from icmass.run.explanation import Saliency, Share
from icmass.run.folder import RunFolder, survey_digest
from icmass.survey.folds import octant_folds, split


@pytest.fixture(scope="module")
def run(tmp_path_factory, toy_survey: xr.Dataset) -> Path:
    """A run of one network of two folds; its survey has been moved."""
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("explain") / "run"
    toy_survey.to_zarr(path.parent / "moved.zarr")
    fold = octant_folds(toy_survey, 2)
    for k in range(2):
        estimator = NetworkEstimator("icm-3band", device="cpu", max_epochs=20)
        estimator.fit(toy_survey, split(fold, k)[0])
        estimator.save(path / "models" / "icm-3band" / f"fold-{k}")
    gone = str(path.parent / "gone.zarr")
    config = {"survey": gone, "survey_digest": survey_digest(toy_survey), "folds": 2}
    (path / "config.json").write_text(json.dumps(config))
    (path / "results.json").write_text(
        json.dumps({"folds": 2, "estimators": [{"name": "icm-3band", "kind": "network", "n": 96}]})
    )
    return path


@pytest.fixture
def command(run_cli: RunCli) -> RunCli:
    """Run `icmass explain`."""
    return partial(run_cli, "explain")


def test_the_command_adds_numbers_tables_and_figures_to_the_run(run, command):
    survey = run.parent / "moved.zarr"
    wanted = ("--methods", "saliency,ig", "--max-clusters", 6, "--no-checks", "--device", "cpu")
    done = command(run, survey, *wanted, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document == json.loads((run / "explain" / "icm-3band.json").read_text())
    assert "icm-3band" in json.loads((run / "results.json").read_text())["explain"]
    assert done.stderr == "", "with --json nothing else is said"
    _check_maps(run, survey)
    names = {
        file.stem.removeprefix("explain-icm-3band-") for file in run.glob("figures/explain-*.png")
    }
    assert names == {"examples", "core", "bands", "shares", "mask"}
    for file in run.glob("figures/explain-*.png"):
        assert imread(file)[..., :3].std() > 0.02
    page = (run / "report.html").read_text()
    assert "What the networks look at" in page and "ICM counts &gt; AGN counts" in page
    assert page.count("icm-3band: ") >= 5  # titles of its figures
    text = (run / "explain" / "icm-3band.md").read_text()
    assert "-3.77 (-0.63 +0.49)" in text and "0.285 R500c" in text


def _check_maps(run, survey_path):
    """The maps that are kept are the attributions of the fold that has not seen the cluster."""
    networks = open_run(run, survey_path, model="icm-3band", device="cpu")
    held = RunFolder(run).read_attributions("icm-3band")
    assert len(held.cluster) == 6 and held.maps.shape == (6, 32, 32)
    at = held.cluster[5:6]
    explained = DifferentiablePredictor.of(networks.of_cluster(int(at[0])), networks.survey, at)
    rate = background_rate(networks.survey, explained)
    task = Task.of(explained, networks.survey, at, methods=("ig",), settings=Settings(), rate=rate)
    found = attribute(task, "ig", "mean", Settings()).values[0].sum(0)
    np.testing.assert_allclose(held.maps[5], found, atol=2e-3 * np.abs(found).max() + 1e-6)


def test_the_command_draws_single_clusters(run, command):
    survey = run.parent / "moved.zarr"
    done = command(run, survey, "--clusters", "3, 5", "--width", "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["clusters"]
    assert [row["cluster"] for row in rows] == [3, 5]
    assert all(Path(row["picture"]).is_file() and row["quantity"] == "width" for row in rows)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no such survey"),
        (("moved.zarr", "--width"), "--clusters"),
        (("moved.zarr", "--clusters", "x"), "numbers joined by commas"),
        (("moved.zarr", "--clusters", "500"), "0 to 95"),
        (("moved.zarr", "--methods", "lime"), "known: saliency"),
    ],
)
def test_wrong_input_is_named(run, arguments, said, command):
    named = [run.parent / each if each == "moved.zarr" else each for each in arguments]
    done = command(run, *named, "--device", "cpu")
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (None, "is missing"),
        ('{"folds": 2, "estimators": [{"kind": "network"}]}', "Field required"),
        ('{"folds": 2, "estimators": []}', "holds no score"),
    ],
)
@pytest.mark.parametrize("how", [(), ("--causal",)])
def test_scores_that_cannot_be_read_are_refused_before_the_work(
    run, tmp_path, monkeypatch, command, results, said, how
):
    other = tmp_path / "run"
    shutil.copytree(run, other)
    (other / "results.json").unlink()
    if results is not None:
        (other / "results.json").write_text(results)
    for work in ("run.explain_run", "causal.run_causal"):
        monkeypatch.setattr(f"icmass.explanation.{work}", lambda *_, **__: pytest.fail("worked"))
    done = command(other, run.parent / "moved.zarr", "--device", "cpu", *how)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.count("\n") == 1
    assert "results.json" in done.stderr and said in done.stderr


def test_a_picture_shows_every_band_and_what_its_pixels_add(run, toy_survey, tmp_path):
    member = NetworkEstimator.load(run / "models" / "icm-3band" / "fold-0", device="cpu")
    found = explain_cluster(member, toy_survey, 7, settings=Settings(steps=8))
    with house_style():
        figure = draw_cluster(found)
    maps = [axes for axes in figure.axes if axes.get_images() and axes.patches]
    assert len(maps) == 6
    radii = {axes.patches[0].get_radius() for axes in maps}
    assert radii == {float(toy_survey["r500c"][7])}
    shown = np.stack([np.asarray(axes.get_images()[0].get_array()) for axes in maps])
    assert shown[:3] == pytest.approx(found.counts)
    assert shown[3:] == pytest.approx(found.attribution)
    bars = [axes for axes in figure.axes if axes not in maps]
    assert any("ln M per pixel" in axes.get_ylabel() for axes in bars)
    assert save_cluster(found, tmp_path).png.name == "explain-icm-3band-cluster-7.png"


def test_an_ensemble_is_explained_as_the_mean_of_its_members(run, toy_survey):
    ensemble = load_ensemble(run, device="cpu")
    settings = Settings(steps=4)
    whole = explain_cluster(ensemble, toy_survey, 4, settings=settings)
    each = [explain_cluster(m, toy_survey, 4, settings=settings) for m in ensemble.members]
    assert len(each) == 2 and each[0].change != each[1].change
    assert whole.attribution == pytest.approx(np.mean([e.attribution for e in each], 0))
    assert whole.value == pytest.approx(ensemble.predict(toy_survey, [4]).mean[0], abs=0.02)
    several = attribute_clusters(ensemble, toy_survey, np.array([9, 4]))
    assert [found.cluster for found in several] == [9, 4]
    assert several[1].change == pytest.approx(whole.change, rel=1e-4)
    with pytest.raises(InputError, match="give ig, eg, occlusion"):
        explain_cluster(ensemble, toy_survey, 4, method="saliency")


def test_scales_are_symmetric_and_their_ticks_apart():
    norm = signed_norm(np.array([-3.0, 0.5, 0.1]))
    assert norm(0.0) == pytest.approx(0.5)
    with house_style():
        figure = new_figure(2)
        axes = figure.subplots()
        image = axes.imshow(np.ones((2, 2)), norm=AsinhNorm(10, 0, 300))
        bar = figure.colorbar(image)
        label_counts(bar)
    places = [float(image.norm(tick)) for tick in bar.get_ticks()]
    assert min(np.diff(places)) > 0.16 and bar.get_ticks()[0] == 0


def test_figures_show_ours_beside_what_is_published():
    spread = {"median": -4.0, "minus": 0.5, "plus": 0.5, "n": 9}
    profile = {key: [-3.0, None, -4.0] for key in ("low", "median", "high")}
    plain = {
        "radius_r500c": [0.05, 0.15, 0.25],
        "network": profile,
        "proxies": [{"name": "N_phot", "alpha": 1.2, **profile}],
        "regions": {"agn": spread, "icm": spread, "all": spread},
        "bands": {"all": {"0.5-1.2": spread, "1.2-2": spread, "2-7": spread}},
        "published": {"agn": spread, "bands": [-4.15, -4.17, -4.15], "crossing_r500c": 0.285},
    }
    saliency = Saliency.of(plain)
    annuli = {
        "0-1": Share(ln_m=1.0, error=0.1, photons=0.0, ln_m_per_photon=None),
        ">1": Share(ln_m=1.0, error=0.1, photons=9.0, ln_m_per_photon=0.1),
    }
    with house_style():
        bands, core = draw_bands(saliency, "icm-3band"), draw_profile(saliency, "icm-3band")
        shares = draw_shares({"annuli": annuli}, "icm-3band")
    points = [line.get_xdata() for line in bands.axes[0].lines if len(line.get_xdata()) > 1]
    assert sorted(len(each) for each in points if np.min(each) < -3) == [4, 6]
    assert "Ho et al. 2023" in core.axes[0].texts[0].get_text()
    assert np.isnan(shares.axes[1].lines[0].get_ydata()[0])
