"""The script of the paper's networks: what a deadline leaves, and how it goes on."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from conftest import beta_model_survey
from icmass.benchmarking.fold_predictions import FoldPredictions
from icmass.estimators.network import NetworkEstimator
from icmass.estimators.posterior import Prediction
from icmass.run.layout import RunLayout

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import paper_networks
from paper_networks import Fit, fit_all, table, train


@pytest.fixture
def fit(tmp_path: Path) -> Fit:
    beta_model_survey(n=80, n_pixels=32, seed=8).to_zarr(tmp_path / "toy.zarr")
    threads = torch.get_num_threads()
    return Fit(tmp_path, "toy", "icm-1band", 0, "cpu", 3, threads, 1, np.inf)


def test_what_a_deadline_ended_goes_on_to_what_it_would_have_been(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(paper_networks.PUBLISHED, "icm-1band", 0.2)
    ticks = iter([0.0, *[9.0] * 99])  # it begins in time, and time is up after the first epoch
    with monkeypatch.context() as clock:
        clock.setattr(paper_networks, "time", SimpleNamespace(time=lambda: next(ticks)))
        train(replace(fit, until=5.0))
    (short,) = table([fit])
    assert (short["epochs"], short["best_epoch"], short["ended"]) == ([1], [1], ["deadline"])
    assert not fit.is_finished()
    train(fit)
    (long,) = table([fit])
    assert long["epochs"] == [3] and long["ended"] == ["all epochs"] and fit.is_finished()
    assert short["sigma_lnm"] != long["sigma_lnm"]
    whole = replace(fit, work=tmp_path / "whole")
    whole.work.mkdir()
    (whole.work / "toy.zarr").symlink_to(tmp_path / "toy.zarr")
    train(whole)
    np.testing.assert_array_equal(np.load(fit.result)["mean"], np.load(whole.result)["mean"])
    assert NetworkEstimator.load(fit.work / "models" / fit.name).config.n_epochs == 3


def test_a_fit_ends_when_who_asked_for_it_is_gone(fit: Fit) -> None:
    """A killed run's processes would train on, beside those of the run that goes on."""
    orphan = replace(fit, parent=-1)
    assert train(orphan).startswith("1 epochs") and not orphan.is_finished()


def test_ours_is_compared_on_the_same_clusters(tmp_path: Path) -> None:
    """Residuals of ours are half of the paper's, but for a fold that ours has not."""
    rng = np.random.default_rng(0)
    ours, files = FoldPredictions.empty(paper_networks.FOLDS), []
    for fold in (0, 1):
        ln_m, residual = rng.normal(32, 0.5, 50), rng.normal(0, 0.2, 50)
        files.append(tmp_path / f"{fold}.npz")
        halo = np.arange(50) + 50 * fold
        np.savez(files[-1], fold=fold, ln_m=ln_m, mean=ln_m + residual, halo=halo)
        if fold == 0:
            half = Prediction(ln_m + residual / 2, np.full(50, 0.1))
            ours.add(0, cluster=np.arange(50), ln_m_true=ln_m, prediction=half, seconds=1)
    layout = RunLayout(tmp_path / "run")
    layout.predictions("icm-1band").parent.mkdir(parents=True)
    ours.write(layout.predictions("icm-1band"))
    found = paper_networks.over(tmp_path / "run", "paper-1band", files)
    assert found is not None and found["n"] == 50
    assert found["ratio"] == pytest.approx(0.5) and found["error"] < 1e-9
    assert paper_networks.over(tmp_path / "run", "paper-1band", files[1:]) is None


def test_nothing_begins_when_time_is_up(fit: Fit) -> None:
    assert train(replace(fit, until=0.0)) == "no time left"
    assert not fit.result.exists() and table([fit]) == []


def test_a_fit_that_fails_does_not_stop_the_others(fit: Fit) -> None:
    failed = fit_all([replace(fit, preset="missing"), replace(fit, until=0.0)], 1)
    assert list(failed) == ["missing-icm-1band-0"]
