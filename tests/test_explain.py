"""What networks look at: attributions that add up, regions, checks, and what a run keeps of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from icmass.errors import InputError
from icmass.estimators.network import NetworkEstimator
from icmass.estimators.registry import make_estimator
from icmass.explanation.baselines import drawn_backgrounds, expected_background
from icmass.explanation.checks import rank_correlation, run_checks
from icmass.explanation.cluster import explain_cluster
from icmass.explanation.curves import curves, reference_orders
from icmass.explanation.folds import open_run
from icmass.explanation.methods import METHODS, PER_COUNT, Settings, Task, attribute
from icmass.explanation.model import DifferentiablePredictor
from icmass.explanation.published import published_saliency
from icmass.explanation.quantiles import LogQuantiles
from icmass.explanation.regions import SaliencyRegions, count_proxies, crossing, region_masks
from icmass.explanation.run import explain_run, keep
from icmass.explanation.shares import Shares
from icmass.explanation.table import checks_table
from icmass.run.explanation import Checks
from icmass.run.folder import survey_digest
from icmass.survey.folds import octant_folds, split

FEW = np.arange(6)
QUICK = Settings(steps=24, draws=2, draw_steps=12, noisy=2)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def flow(toy_survey: xr.Dataset) -> NetworkEstimator:
    """Two small networks with posteriors."""
    estimator = NetworkEstimator("icm-3band@2", device="cpu", max_epochs=12)
    estimator.fit(toy_survey, np.arange(80))
    return estimator


@pytest.fixture(scope="module")
def paper(toy_survey: xr.Dataset) -> NetworkEstimator:
    estimator = NetworkEstimator("paper-1band", device="cpu", max_epochs=2)
    estimator.fit(toy_survey, np.arange(80))
    return estimator


@pytest.fixture(scope="module")
def explained(flow: NetworkEstimator, toy_survey: xr.Dataset) -> DifferentiablePredictor:
    return DifferentiablePredictor.of(flow, toy_survey, FEW)


@pytest.fixture(scope="module")
def task(explained: DifferentiablePredictor, toy_survey: xr.Dataset) -> Task:
    return Task.of(explained, toy_survey, FEW, methods=tuple(METHODS), settings=QUICK)


def test_what_is_explained_is_what_is_predicted(flow, paper, toy_survey):
    for estimator in (flow, paper):
        explained = DifferentiablePredictor.of(estimator, toy_survey, FEW)
        prediction = estimator.predict(toy_survey, FEW)
        counts, rows = explained.sample.counts, explained.rows
        zero = explained.config.encoding.lnm_zero
        mean = explained.values(counts, rows).numpy() + zero
        assert mean == pytest.approx(prediction.mean, abs=0.02)  # bfloat16 where there is
        if "width" in explained.quantities:
            width = explained.values(counts, rows, "width").numpy()
            assert width == pytest.approx(prediction.std, rel=0.02)
    assert (
        DifferentiablePredictor.of(flow, toy_survey, FEW).what
        == "the average of 4 orientations of 2 networks"
    )


@pytest.mark.parametrize("quantity", ["mean", "width"])
def test_gradients_are_those_of_the_posterior_with_its_shape(explained, quantity):
    exact = replace(explained.with_networks(explained.networks), bf16=False)
    for network in exact.networks:  # far from a Gaussian
        network.shape.weight.mul_(10)
    function, rows = exact.of_counts(quantity), exact.rows
    counts = exact.sample.counts + 0.5
    direction = torch.from_numpy(np.random.default_rng(1).random(counts.shape)).float()
    counts.requires_grad_()
    (gradient,) = torch.autograd.grad(function(counts, rows).sum(), counts)
    along = (gradient * direction).sum((1, 2, 3)).numpy()
    with torch.no_grad():
        ahead, behind = (function(counts + h * direction, rows) for h in (0.003, -0.003))
    measured = ((ahead - behind) / 0.006).numpy()
    assert np.linalg.norm(along - measured) < 0.1 * np.linalg.norm(measured)


def test_the_width_of_a_network_without_posterior_is_not_explained(paper, toy_survey):
    with pytest.raises(InputError, match="width"):
        DifferentiablePredictor.of(paper, toy_survey, FEW).of_counts("width")


def test_proxies_are_no_networks(toy_survey):
    with pytest.raises(InputError, match="no network"):
        DifferentiablePredictor.of(make_estimator("M_gas"), toy_survey, FEW)


def test_expected_background_is_the_mean_of_the_component(explained, toy_survey):
    found = expected_background(toy_survey, FEW, explained)
    true = toy_survey["maps"].sel(component="background").values
    assert found.shape == explained.sample.counts.shape
    z = toy_survey["redshift"].values
    for i in FEW:  # a pixel is a length: the toys have the same counts at every redshift
        assert np.ptp(found[i]) / found[i].mean() < 0.1
        assert (z[i] > np.median(z)) == (found[i].mean() < true.mean()) or z[i] == np.median(z)
    drawn = drawn_backgrounds(toy_survey, FEW, explained, 3, seed=0)
    assert drawn.shape == (3, *found.shape)
    assert len({part.tobytes() for part in drawn}) == 3


def test_background_of_real_data_is_that_of_the_outskirts(flow, toy_survey):
    observed = toy_survey.isel(cluster=FEW)
    whole = observed["maps"].sum("component", keepdims=True).astype("u2")
    real = observed.drop_vars(["maps", "component", "r500c", "m500c"])
    real = real.assign(maps=whole.assign_coords(component=["observed"]))
    explained = DifferentiablePredictor.of(flow, real, FEW)
    found = expected_background(real, FEW, explained)
    y, x = np.meshgrid(real["y"], real["x"], indexing="ij")
    outside = np.hypot(x, y) >= 0.75 * 2.3
    expected = whole.values[:, 0, :, outside].mean(0)
    assert found[..., 0, 0] == pytest.approx(expected, rel=1e-3)
    picture = explain_cluster(flow, real, 2, settings=QUICK)
    assert picture.r500c is None
    assert picture.error is not None and picture.error < 0.1


@pytest.mark.parametrize("method", ["ig", "eg"])
@pytest.mark.parametrize("quantity", ["mean", "width"])
def test_complete_methods_add_up(task, method, quantity):
    fine = Settings(steps=120, draw_steps=80) if quantity == "width" else QUICK
    found = attribute(task, method, quantity, fine)
    assert found.error is not None and found.change is not None
    gap = np.abs(found.values.sum((1, 2, 3)) - found.change)
    assert np.median(gap) < 0.06 * np.abs(found.change).mean()
    coarse = attribute(task, method, quantity, Settings(steps=1, draw_steps=1))
    assert coarse.error is not None
    assert np.median(found.error) < np.median(coarse.error)


def test_batches_change_nothing(task):
    settings = Settings(steps=4, clusters=6, maps=24)
    whole = attribute(task, "ig", settings=settings).values
    parts = attribute(task, "ig", settings=replace(settings, clusters=2, maps=3)).values
    assert parts == pytest.approx(whole, rel=0.05, abs=1e-4)


def test_saliency_is_the_slope_at_the_standardised_map(task):
    exact = replace(task.explained, bf16=False)
    found = attribute(task.of_networks(exact), "saliency").values
    assert (found >= 0).all()
    maps = exact.maps(exact.rows)
    function = exact.of_maps()
    i, channel, y, x = np.unravel_index(found.argmax(), found.shape)
    step = torch.zeros_like(maps)
    step[i, channel, y, x] = 0.05
    with torch.no_grad():
        slope = (function(maps + step, exact.rows) - function(maps - step, exact.rows))[i] / 0.1
    assert abs(float(slope)) / np.log(10) == pytest.approx(found.max(), rel=0.1)


def test_smoothgrad_without_noise_is_saliency(task):
    plain = attribute(task, "saliency").values
    still = attribute(task, "smoothgrad", settings=Settings(noisy=2, noise=0.0)).values
    assert still == pytest.approx(plain, rel=1e-3, abs=1e-7)


def test_occlusion_is_the_change_of_an_annulus_replaced(task):
    found = attribute(task, "occlusion")
    counts, rows = task.explained.sample.counts, task.explained.rows
    inside = task.annulus == 2
    bare = torch.where(inside, task.baseline, counts)
    values = task.explained.values
    change = (values(counts, rows) - values(bare, rows)).numpy()
    summed = (found.values * inside.numpy()).sum((1, 2, 3))
    assert summed == pytest.approx(change, abs=0.02)


def test_unknown_methods_are_named(task):
    with pytest.raises(InputError, match="known: saliency"):
        attribute(task, "gradcam")


def test_quantiles_without_keeping_the_numbers():
    values = 10 ** np.random.default_rng(0).normal(-3, 0.7, 4000)
    held = LogQuantiles(2)
    held.add(np.repeat([0, -1], 2000), values)
    held.add(np.ones(3, int), np.zeros(3))
    expected = np.quantile(np.log10(values[:2000]), [0.16, 0.84])
    assert [held.quantile(q)[0] for q in (0.16, 0.84)] == pytest.approx(expected, abs=0.02)
    assert held.n.tolist() == [2000, 3]
    assert held.quantile(0.5)[1] < -11


def test_the_sensitivity_of_a_count_is_the_papers(paper, toy_survey):
    explained = DifferentiablePredictor.of(paper, toy_survey, FEW)
    proxy = count_proxies(toy_survey)[0]
    assert proxy.name == "N_phot" and 0.3 < proxy.slope < 2
    scale = explained.config.encoding.scale(explained.sample).numpy()
    n = explained.sample.counts.numpy() * scale
    total = proxy.total[FEW][:, None, None, None] * scale
    expected = (n + 1) / (total * proxy.slope) * explained.config.encoding.log_std
    assert proxy.sensitivity(explained, FEW) == pytest.approx(expected, rel=1e-3)


def test_where_the_count_is_ten_times_as_sensitive():
    ratio = np.linspace(2, -4, 30)
    i = int(np.flatnonzero(ratio < 1)[0])
    assert 0.1 * (i - 0.5) < crossing(ratio) < 0.1 * (i + 0.5)
    assert crossing(ratio - 2) is None
    assert crossing(ratio + 9) is None


def test_regions_are_what_sent_the_photons(task, toy_survey):
    survey = toy_survey.copy(deep=True)
    survey["maps"].loc[{"component": "agn"}] = 0
    survey["maps"][:, 1, :, :4, :4] = 500
    masks = region_masks(task.explained, survey, FEW)
    assert masks["agn"][:, :, :4, :4].all() and not masks["agn"][:, :, 4:, 4:].any()
    values = np.full(task.explained.sample.counts.shape, 1e-4, "f4")
    values[masks["agn"]] = 1e-5
    regions = SaliencyRegions("icm-3band", task.explained.labels, count_proxies(survey))
    regions.add(task.explained, survey, FEW, values, FEW)
    document = regions.document()
    assert document["regions"]["agn"]["median"] == pytest.approx(-5, abs=0.02)
    assert document["regions"]["icm"]["median"] == pytest.approx(-4, abs=0.02)
    assert document["bands"]["agn"]["2-7"]["n"] == 6 * 16
    assert document["published"]["icm"]["median"] == -3.77
    assert np.nanmax(np.abs(np.array(document["network"]["median"]) + 4)) < 0.02


def test_shares_add_up_to_the_whole(task, toy_survey):
    found = attribute(task, "ig", settings=QUICK)
    shares = Shares(task.explained.labels)
    shares.add(task, toy_survey, FEW, found)
    document = shares.document()
    whole = found.values.sum((1, 2, 3)).mean()
    for part in document.values():
        assert sum(each["ln_m"] for each in part.values()) == pytest.approx(whole, abs=1e-3)


def test_occlusion_has_shares_of_annuli_alone(task, toy_survey):
    found = attribute(task, "occlusion")
    shares = Shares(task.explained.labels)
    shares.add(task, toy_survey, FEW, found)
    document = shares.document()
    assert set(document) == {"annuli"}
    inside = found.values * (task.annulus.numpy() == 0)
    expected = inside.sum((1, 2, 3)).mean()
    assert document["annuli"]["0-0.15"]["ln_m"] == pytest.approx(expected, abs=1e-5)


def test_curves_start_and_end_where_they_must_and_see_a_good_order(task):
    found = attribute(task, "ig", settings=QUICK)
    assert found.change is not None
    followed = curves(task, found.values.sum(1) * np.sign(found.change)[:, None, None])
    assert followed.deletion[[0, -1]] == pytest.approx([1, 0], abs=1e-5)
    assert followed.insertion[[0, -1]] == pytest.approx([0, 1], abs=1e-5)
    drawn = curves(task, reference_orders(task, 0)["random"])
    assert followed.areas[0] < drawn.areas[0]
    assert followed.areas[1] > drawn.areas[1]


def test_rank_correlation_is_spearmans():
    a = np.random.default_rng(0).random((2, 3, 4, 4))
    assert rank_correlation(a, np.exp(3 * a)) == pytest.approx([1, 1])
    assert rank_correlation(a, -a) == pytest.approx([-1, -1])
    assert rank_correlation(a, np.ones_like(a)).tolist() == [0, 0]


def test_checks_tell_good_methods_from_bad_ones(flow, toy_survey):
    found = run_checks(
        flow,
        toy_survey,
        train=np.arange(40),
        test=np.arange(80, 86),
        methods=["saliency", "ig"],
        settings=QUICK,
        epochs=1,
    )
    rows = {(row["method"], row["check"]): row for row in found["verdicts"]}
    assert rows["ig", "completeness"]["value"] < 0.1
    assert ("saliency", "completeness") not in rows
    for method in ("saliency", "ig"):
        assert rows[method, "constant shift"]["passed"]
        assert rows[method, "deletion against random"]["passed"]
        agreement = rows[method, "agreement of seeds"]["value"]
        assert agreement > rows[method, "random weights"]["value"] > 0
    table = checks_table(Checks.of(found)).to_markdown()
    assert table.count("**failed**") == sum(row["passed"] is False for row in rows.values())


def test_a_shift_is_seen_by_a_method_that_starts_from_zero(task):
    """The check can fail: with a baseline that stays, shifted inputs look different."""
    found = attribute(task, "ig", settings=QUICK).values
    moved = task.shifted(0.3)
    stuck = replace(moved, baseline=task.baseline)
    change = [
        np.abs(attribute(each, "ig", settings=QUICK).values - found).sum() / np.abs(found).sum()
        for each in (moved, stuck)
    ]
    assert change[0] < 0.01 < change[1]


def test_published_values_are_those_of_the_same_bands():
    assert published_saliency("paper-1band")["agn"]["median"] == -3.85
    assert published_saliency("icm-3band@4")["bands"] == [-4.15, -4.17, -4.15]
    assert published_saliency("M_gas") == {}


@pytest.fixture(scope="module")
def run(tmp_path_factory, toy_survey) -> Path:
    """A run of two folds, of which the second is not finished."""
    path = tmp_path_factory.mktemp("explain") / "run"
    store = path.parent / "toy.zarr"
    toy_survey.to_zarr(store)
    estimator = NetworkEstimator("icm-3band", device="cpu", max_epochs=6)
    estimator.fit(toy_survey, split(octant_folds(toy_survey, 2), 0)[0])
    estimator.save(path / "models" / "icm-3band" / "fold-0")
    (path / "models" / "icm-3band" / "fold-1").mkdir()
    config = {"survey": str(store), "survey_digest": survey_digest(toy_survey), "folds": 2}
    (path / "config.json").write_text(json.dumps(config))
    row = {"name": "icm-3band", "kind": "network", "sigma_lnm": 0.3}
    (path / "results.json").write_text(json.dumps({"folds": 2, "estimators": [row]}))
    return path


def test_each_cluster_is_explained_by_the_fold_that_has_not_seen_it(run, toy_survey):
    networks = open_run(run, device="cpu")
    chosen = networks.clusters(None, 0)
    assert chosen.tolist() == np.flatnonzero(octant_folds(toy_survey, 2) == 0).tolist()
    assert len(networks.clusters(5, 0)) == 5
    for block in networks.blocks(chosen):
        seen = block.survey["m500c"].values[block.index]
        assert seen.tolist() == toy_survey["m500c"].values[block.cluster].tolist()
    other = int(np.flatnonzero(networks.fold == 1)[0])
    with pytest.raises(InputError, match="fold 1"):
        networks.of_cluster(other)
    with pytest.raises(InputError, match="give some of"):
        networks.of_cluster(999)
    far = toy_survey.copy(deep=True)
    far["redshift"][chosen[3]] = 0.5
    beyond = replace(networks, survey=far)
    assert beyond.clusters(None, 0).tolist() == np.delete(chosen, 3).tolist()
    assert beyond.train_test()[2].tolist() == np.delete(chosen, 3).tolist()


def test_a_run_is_not_explained_with_another_survey(run, toy_survey, tmp_path):
    other = toy_survey.copy(deep=True)
    other["m500c"][:] *= 2
    other.to_zarr(tmp_path / "other.zarr")
    with pytest.raises(InputError, match="another survey"):
        open_run(run, tmp_path / "other.zarr", device="cpu")
    with pytest.raises(InputError, match="no such run"):
        open_run(tmp_path / "nowhere")
    with pytest.raises(InputError, match="isn't in this run"):
        open_run(run, model="paper-3band", device="cpu")


def test_what_a_run_keeps(run):
    networks = open_run(run, device="cpu")
    said: list[str] = []
    document = explain_run(
        networks,
        methods=["saliency", "ig"],
        max_clusters=8,
        checks=False,
        settings=replace(QUICK, steps=8),
        progress=said.append,
    )
    assert len(said) == 3
    assert document.clusters == 8
    assert document.width is not None and document.width.quantity == "width"
    file = keep(run, document)
    assert json.loads(file.read_text())["methods"]["ig"]["unit"] == PER_COUNT
    results = json.loads((run / "results.json").read_text())
    assert results["estimators"][0]["name"] == "icm-3band"
    kept = results["explain"]["icm-3band"]
    assert kept["published"]["agn"]["median"] == -3.91
    assert set(kept["completeness"]) == {"ig"}
    assert "published" in file.with_suffix(".md").read_text()
    again = explain_run(
        networks,
        methods=["saliency", "ig"],
        max_clusters=8,
        checks=False,
        settings=replace(QUICK, steps=8),
    )
    first, second = document.as_json(), again.as_json()
    for drop in ("seconds", "cpu_seconds"):
        for held in (first, second):
            for part in (*held["methods"].values(), held["width"]):
                part.pop(drop, None)
    assert second == first


def test_unknown_methods_of_a_run(run):
    with pytest.raises(InputError, match="'deeplift'"):
        explain_run(open_run(run, device="cpu"), methods=["deeplift"])
