"""The benchmark from end to end on a small survey: results, resume, failures, the command."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from conftest import beta_model_survey
from icmass.benchmarking import fit_all, fits, runner
from icmass.benchmarking.fold_predictions import FoldPredictions
from icmass.benchmarking.runner import default_models, run_benchmark
from icmass.benchmarking.state import Step
from icmass.benchmarking.tables import markdown, percent, results_table
from icmass.cli import main
from icmass.errors import InputError
from icmass.estimators.info import EstimatorInfo
from icmass.estimators.posterior import LNM_GRID, Prediction
from icmass.files import whole_file, write_text
from icmass.run.document import finite
from icmass.run.layout import RunLayout
from icmass.run.results import Results
from icmass.survey.tasks import Tasks
from icmass.training import devices

ROW = {
    *("name", "kind", "inputs", "n", "sigma_paper", "sigma_lnm", "sigma_lnm_error", "bias_lnm"),
    *("coverage68", "coverage95", "crps", "log_score", "n_parameters", "train_seconds"),
    *("mass_bins", "redshift_bins", "coverage_bins", "folds_fitted"),
}


@pytest.fixture(scope="module")
def survey_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("survey") / "toy.zarr"
    beta_model_survey(n=400, n_pixels=16, seed=4).to_zarr(path)
    return path


@pytest.fixture(scope="module")
def run(survey_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    done = run_benchmark(survey_path, ["T", "M_gas+T", "N_phot_2r500"], 4, out, seed=7)
    assert done.failed == {}
    return out


def results_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "results.json").read_text())


def arrays_of(run: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(run / "predictions" / f"{name}.npz", allow_pickle=False) as held:
        return {key: held[key] for key in held.files}


def without_times(results: dict[str, Any]) -> dict[str, Any]:
    rows = [{k: v for k, v in row.items() if k != "train_seconds"} for row in results["estimators"]]
    return {**results, "estimators": rows}


def test_results(run: Path, survey_path: Path) -> None:
    results = results_of(run)
    assert results["folds"] == 4
    assert results["survey"]["n_clusters"] == 400
    assert results["survey"]["preset"] == "test"
    assert [row["name"] for row in results["estimators"]] == ["T", "T+M_gas", "N_phot_2r500"]
    for row in results["estimators"]:
        assert set(row) >= ROW
        assert row["n"] == 400
        assert abs(row["coverage68"] - 0.68) < 4 * np.sqrt(0.68 * 0.32 / 400)
        assert abs(row["bias_lnm"]) < 4 * row["sigma_lnm"] / np.sqrt(400)
    temperature, both, counts = results["estimators"]
    assert abs(temperature["sigma_paper"] - 0.07 / 0.64) < 4 * 0.07 / 0.64 / np.sqrt(800)
    expected = ((0.64 / 0.07) ** 2 + (1.14 / 0.1) ** 2) ** -0.5
    assert abs(both["sigma_paper"] - expected) < 4 * expected / np.sqrt(800)
    assert both["sigma_lnm"] < temperature["sigma_lnm"] < counts["sigma_lnm"]
    assert (temperature["sigma_published"], both["sigma_published"]) == (0.1175, None)
    config = json.loads((run / "config.json").read_text())
    assert config["survey"] == str(survey_path)
    assert config["models"] == ["T", "T+M_gas", "N_phot_2r500"]


def test_predictions_and_models(run: Path, survey_path: Path) -> None:
    from icmass.estimators.registry import load_estimator

    survey = xr.open_zarr(survey_path)
    for name in ("T", "T+M_gas", "N_phot_2r500"):
        held = arrays_of(run, name)
        np.testing.assert_array_equal(held["cluster"], np.arange(400))
        np.testing.assert_array_equal(held["ln_m_true"], np.log(survey["m500c"].values))
        for k in range(4):
            test = np.flatnonzero(held["fold"] == k)
            again = load_estimator(run / "models" / name / f"fold-{k}").predict(survey, test)
            np.testing.assert_array_equal(again.mean, held["mean"][test])
            np.testing.assert_array_equal(again.std, held["std"][test])


def test_scaling_and_tables(run: Path) -> None:
    scaling = json.loads((run / "scaling.json").read_text())
    assert scaling["names"][0] == "T"
    assert np.shape(scaling["correlation"]) == (7, 7)
    said = (run / "tables" / "results.md").read_text()
    assert "| T | 11.8 | " in said
    assert "**combinations**" in said
    tex = (run / "tables" / "results.tex").read_text()
    assert r"N\_phot\_2r500 & 34.1 & " in tex
    lines = [line for line in tex.splitlines() if line.endswith(r"\\") and "multicol" not in line]
    assert {line.count(" & ") for line in lines} == {9}


def test_the_same_seed_gives_the_same_results(run: Path, survey_path: Path, tmp_path: Path) -> None:
    run_benchmark(survey_path, ["T", "T+M_gas", "N_phot_2r500"], 4, tmp_path, seed=7)
    assert without_times(results_of(tmp_path)) == without_times(results_of(run))


def test_killed_and_resumed(run: Path, survey_path: Path, tmp_path: Path) -> None:
    names = ["T", "T+M_gas", "N_phot_2r500"]

    def kill(step: Step) -> None:
        if step.done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_benchmark(survey_path, names, 4, tmp_path, seed=7, progress=kill)
    assert not (tmp_path / "results.json").exists()
    steps: list[Step] = []
    run_benchmark(survey_path, names, 4, tmp_path, seed=7, resume=True, progress=steps.append)
    assert [step.said == "finished before" for step in steps] == [True] * 6 + [False] * 6
    assert steps[-1].done == steps[-1].total == 12
    assert without_times(results_of(tmp_path)) == without_times(results_of(run))
    for name in names:
        for key, values in arrays_of(run, name).items():
            if key != "train_seconds":
                np.testing.assert_array_equal(arrays_of(tmp_path, name)[key], values)


def test_a_used_folder_is_not_overwritten(run: Path, survey_path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not empty"):
        run_benchmark(survey_path, ["T"], 4, run)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="cannot be resumed"):
        run_benchmark(survey_path, ["T"], 4, tmp_path, resume=True)
    with pytest.raises(InputError, match="not a folder"):
        run_benchmark(survey_path, ["T"], 4, tmp_path / "mine.txt")


@pytest.mark.parametrize(
    ("changed", "field"),
    [({"folds": 8}, "folds"), ({"models": ["T"]}, "models"), ({"seed": 8}, "seed")],
)
def test_resumed_with_something_else(
    run: Path, survey_path: Path, changed: dict[str, Any], field: str
) -> None:
    how = {"models": ["T", "T+M_gas", "N_phot_2r500"], "folds": 4, "seed": 7, **changed}
    with pytest.raises(InputError, match=f"{field}: was"):
        run_benchmark(survey_path, how["models"], how["folds"], run, seed=how["seed"], resume=True)


def test_resumed_with_another_survey(run: Path, survey_path: Path, tmp_path: Path) -> None:
    other, survey = tmp_path / "other.zarr", xr.open_zarr(survey_path).load()
    survey["m500c"][7] *= 1.01
    survey.to_zarr(other)
    with pytest.raises(InputError, match="survey"):
        run_benchmark(other, ["T", "T+M_gas", "N_phot_2r500"], 4, run, seed=7, resume=True)


def test_damaged_predictions(survey_path: Path, tmp_path: Path) -> None:
    run_benchmark(survey_path, ["T"], 2, tmp_path)
    (tmp_path / "predictions" / "T.npz").write_bytes(b"PK broken")
    done = run_benchmark(survey_path, ["T"], 2, tmp_path, resume=True)
    assert "not readable" in done.failed["T"]


def test_one_failure_does_not_lose_the_others(tmp_path: Path) -> None:
    survey = beta_model_survey(n=200, n_pixels=8, seed=6)
    survey["L_X"][:40] = np.nan
    survey.to_zarr(tmp_path / "bad.zarr")
    done = run_benchmark(tmp_path / "bad.zarr", ["L_X", "T"], 2, tmp_path / "run")
    assert set(done.failed) == {"L_X"}
    assert "variable L_X" in done.failed["L_X"]
    assert [score.name for score in done.results.estimators] == ["T"]
    assert "L_X failed" in (tmp_path / "run" / "tables" / "results.md").read_text()
    assert "Traceback" in (tmp_path / "run" / "failures" / "L_X.txt").read_text()


def test_a_cluster_beyond_the_redshifts_of_the_other_folds_is_not_scored(tmp_path: Path) -> None:
    """Of no estimator, so that all are scored on the same clusters; and it is said."""
    survey = beta_model_survey(n=120, n_pixels=8, seed=6)
    survey["redshift"][5] = 0.5
    survey.to_zarr(tmp_path / "tail.zarr")
    names = ["T", "N_phot", "rings-gbm-1band"]
    done = run_benchmark(tmp_path / "tail.zarr", names, 4, tmp_path / "run")
    assert done.failed == {}
    assert [(row.n, row.n_refused) for row in done.results.estimators] == [(119, 1)] * 3
    for name in names:
        others = np.delete(np.arange(120), 5)
        np.testing.assert_array_equal(arrays_of(tmp_path / "run", name)["cluster"], others)
    note = "all but 1, at redshifts that the other folds do not have"
    assert note in (tmp_path / "run" / "tables" / "results.md").read_text()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("redshift", np.nan, "redshift: is not finite for 2 of 40 clusters (3, 7)"),
        ("m500c", 0.0, "m500c: is not positive for 2 of 40 clusters (3, 7)"),
    ],
)
def test_a_survey_that_cannot_be_scored_is_refused_before_the_fits(
    tmp_path: Path, variable: str, value: float, said: str
) -> None:
    survey = beta_model_survey(n=40, n_pixels=8, seed=6)
    survey[variable][[3, 7]] = value
    survey.to_zarr(tmp_path / "bad.zarr")
    with pytest.raises(InputError) as refused:
        run_benchmark(tmp_path / "bad.zarr", ["T"], 2, tmp_path / "run")
    assert str(refused.value) == f"{tmp_path / 'bad.zarr'}: variable {said}"
    assert not (tmp_path / "run").exists()


def test_a_full_disk_stops_everything(
    survey_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device", "predictions")

    monkeypatch.setattr("icmass.run.predictions.np.savez_compressed", full)
    with pytest.raises(OSError, match="No space"):
        run_benchmark(survey_path, ["T"], 2, tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*.partial"))


def test_unknown_model(survey_path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="icm-3band"):
        run_benchmark(survey_path, ["T", "icm-9band"], 2, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_default_models(survey_path: Path) -> None:
    survey = xr.open_zarr(survey_path)
    names = default_models(survey)
    assert names[:4] == ["T", "L_X", "L_X_soft", "M_gas"]
    assert names[-3:] == ["T+M_gas", "T+L_X+M_gas", "icm-3band"]
    assert "L_X" not in default_models(survey.drop_vars("L_X"))


def test_a_network_resumes_from_its_checkpoint(tmp_path: Path) -> None:
    survey_path = tmp_path / "toy.zarr"
    beta_model_survey(n=60, n_pixels=32, seed=8).to_zarr(survey_path)

    def kill(step: Step) -> None:
        if step.done == 1 and "epoch 1" in step.said:
            raise KeyboardInterrupt

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    how: dict[str, Any] = {"seed": 3, "device": "cpu", "max_epochs": 2}
    run_benchmark(survey_path, ["icm-3band"], 2, whole, **how)
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(survey_path, ["icm-3band"], 2, parts, progress=kill, **how)
    steps: list[Step] = []
    run_benchmark(survey_path, ["icm-3band"], 2, parts, resume=True, progress=steps.append, **how)
    assert [step.said.split(",")[0] for step in steps][:2] == ["finished before", "epoch 2"]
    for key, values in arrays_of(whole, "icm-3band").items():
        if key != "train_seconds":
            np.testing.assert_array_equal(arrays_of(parts, "icm-3band")[key], values)
    (row,) = results_of(parts)["estimators"]
    assert row["kind"] == "network"
    assert row["n_parameters"] > 1000
    assert row["sigma_paper"] == pytest.approx(row["sigma_lnm"])
    assert row["beside"] == {}
    assert sum(row["calibration"]["pit_histogram"]) == 60


def test_fits_side_by_side_are_those_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relations to the last bit; a network's sums may round otherwise in fewer threads."""
    survey = beta_model_survey(n=80, n_pixels=32, seed=8)
    survey["L_X"][:40] = np.nan
    survey.to_zarr(tmp_path / "toy.zarr")
    names = ["T", "L_X", "icm-3band"]
    how: dict[str, Any] = {"seed": 3, "device": "cpu", "max_epochs": 1}
    how["fold_limit"] = {"icm-3band": 1}  # by one of the processes: the other needs no torch
    runs = tmp_path / "turn", tmp_path / "side"
    steps: list[Step] = []
    for out, jobs in zip(runs, (1, 2), strict=True):
        steps.clear()
        watch = steps.append
        run_benchmark(tmp_path / "toy.zarr", names, 2, out, jobs=jobs, progress=watch, **how)
        assert steps[-1].done == steps[-1].total == 5
    turn, side = (without_times(results_of(out)) for out in runs)
    assert list(turn["failed"]) == list(side["failed"]) == ["L_X"]
    assert "Traceback" in (runs[1] / "failures" / "L_X.txt").read_text()
    assert turn["estimators"][0] == side["estimators"][0]
    for key, values in arrays_of(runs[0], "icm-3band").items():
        if key != "train_seconds":
            np.testing.assert_allclose(arrays_of(runs[1], "icm-3band")[key], values, atol=1e-3)
    assert (runs[1] / "models" / "icm-3band" / "fold-0" / "model.safetensors").exists()
    steps.clear()
    # only L_X is fitted again: not worth new processes
    monkeypatch.setattr(fit_all, "Tasks", lambda jobs: Tasks(jobs - 1))
    run_benchmark(
        tmp_path / "toy.zarr", names, 2, runs[1], jobs=2, resume=True, progress=steps.append, **how
    )
    assert sum(step.said == "finished before" for step in steps) == 3
    assert without_times(results_of(runs[1])) == side


def test_fits_side_by_side_share_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    free = SimpleNamespace(available=4000)
    monkeypatch.setattr(devices.psutil, "virtual_memory", lambda: free)
    cpu = torch.device("cpu")
    monkeypatch.setattr(fits, "fit_fold", lambda settings, task: devices.free_bytes(cpu))
    settings = fits.FitSettings(Path("x"), Path("y"), 2, 0, "cpu", 1)
    try:
        assert fits.try_fit(settings, ("icm-3band", 0))[1] == 4000
        side = replace(settings, threads=torch.get_num_threads(), jobs=4)
        assert fits.try_fit(side, ("icm-3band", 0))[1] == 1000
    finally:
        devices.share_memory(1)


class Told:
    """A network that predicts the truth with a known scatter and posteriors that say so."""

    info = EstimatorInfo("network", ("maps",), n_parameters=5)

    def __init__(self, name: str, **_: Any) -> None:
        self.name = name
        self.std = {"paper-1band": 0.3, "icm-1band": 0.2, "icm-3band": 0.1}[name]

    def fit(self, survey: xr.Dataset, train: np.ndarray) -> None:
        pass

    def predict(self, survey: xr.Dataset, index: np.ndarray) -> Prediction:
        noise = np.random.default_rng(11).normal(size=survey.sizes["cluster"])[index]
        mean = np.log(survey["m500c"].values[index]) + self.std * noise
        gaussian = Prediction(mean, np.full(len(index), self.std))
        if self.name != "icm-3band":
            return gaussian
        return Prediction.from_density(gaussian.tabulated(), np.full(len(index), 0.5))

    def save(self, directory: Path) -> None:
        pass


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    made = fits.make_estimator
    for room in (fits, fit_all):
        monkeypatch.setattr(
            room,
            "make_estimator",
            lambda name, **how: Told(name) if "band" in name else made(name, **how),
        )


@pytest.mark.usefixtures("told")
def test_fewer_folds_for_a_slow_network(survey_path: Path, tmp_path: Path) -> None:
    names = ["T", "paper-1band", "icm-1band", "icm-3band"]
    how: dict[str, Any] = {"fold_limit": {"paper-1band": 1}, "seed": 2}
    steps: list[Step] = []
    done = run_benchmark(survey_path, names, 4, tmp_path, progress=steps.append, **how)
    assert done.failed == {}
    assert steps[-1].done == steps[-1].total == 13
    proxy, paper, one, three = results_of(tmp_path)["estimators"]
    first = arrays_of(tmp_path, "T")["fold"] == 0
    assert [row["folds_fitted"] for row in (proxy, paper, one, three)] == [4, 1, 4, 4]
    assert paper["n"] == first.sum() < one["n"] == 400
    assert "beside" not in proxy and "calibration" not in proxy
    assert set(paper["beside"]) == {"icm-1band", "icm-3band"}
    # the same noise: exact ratios on the shared clusters
    assert paper["beside"]["icm-1band"] == pytest.approx(
        {"ratio": 1.5, "error": 0, "n": first.sum()}
    )
    assert one["beside"]["icm-3band"]["ratio"] == pytest.approx(2, rel=1e-3)
    assert one["beside"]["icm-3band"]["n"] == 400
    note = "paper-1band: 1 of 4 folds"
    assert note in (tmp_path / "tables" / "results.md").read_text()
    assert note in (tmp_path / "tables" / "results.tex").read_text()
    assert json.loads((tmp_path / "config.json").read_text())["fold_limit"] == {"paper-1band": 1}
    run_benchmark(survey_path, names, 4, tmp_path, resume=True, **how)
    assert without_times(results_of(tmp_path)) == without_times(done.results.as_json())
    with pytest.raises(InputError, match="fold_limit: was"):
        run_benchmark(survey_path, names, 4, tmp_path, resume=True, seed=2)


@pytest.mark.usefixtures("told")
def test_posteriors_are_kept_and_scored(survey_path: Path, tmp_path: Path) -> None:
    run_benchmark(survey_path, ["icm-1band", "icm-3band"], 2, tmp_path, seed=2)
    gaussian, tabulated = (arrays_of(tmp_path, name) for name in ("icm-1band", "icm-3band"))
    assert not {"density", "out_of_domain"} & set(gaussian)
    assert tabulated["density"].shape == (400, len(LNM_GRID))
    assert tabulated["density"].dtype == np.float32
    assert set(tabulated["out_of_domain"]) == {0.5}
    one, three = results_of(tmp_path)["estimators"]
    # the same noise in units of the width: the same PIT, the scores scale
    assert three["calibration"]["pit_histogram"] == pytest.approx(
        one["calibration"]["pit_histogram"], abs=2
    )
    assert three["log_score"] == pytest.approx(one["log_score"] + np.log(2), abs=0.01)
    held = FoldPredictions.of_run(RunLayout(tmp_path), "icm-3band", 2)
    again = held.prediction
    np.testing.assert_allclose(again.cdf(again.mean), 0.5, atol=1e-3)


def test_gaussian_and_tabulated_folds_together(tmp_path: Path) -> None:
    held = FoldPredictions.empty(2)
    mean, std = 32 + np.arange(4.0) / 4, np.full(4, 0.2)
    gaussian = Prediction(mean[[3, 0]], std[:2], out_of_domain=np.array([0.1, 2.0]))
    held.add(0, cluster=np.array([3, 0]), ln_m_true=mean[[3, 0]], prediction=gaussian, seconds=1)
    tabulated = Prediction.from_density(Prediction(mean[1:3], std[:2]).tabulated())
    held.add(1, cluster=np.array([1, 2]), ln_m_true=mean[1:3], prediction=tabulated, seconds=1)
    held.write(RunLayout(tmp_path).predictions("x"))
    again = FoldPredictions.of_run(RunLayout(tmp_path), "x", 2)
    np.testing.assert_array_equal(again.fold, [0, 1, 1, 0])
    np.testing.assert_array_equal(again.out_of_domain, [2.0, np.nan, np.nan, 0.1])
    np.testing.assert_allclose(again.prediction.median, mean, atol=1e-3)
    assert again.folds_fitted == 2
    broken = vars(held) | {"density": held.density[:3]}
    np.savez(tmp_path / "predictions" / "x.npz", **broken)
    with pytest.raises(InputError, match="not readable"):
        FoldPredictions.of_run(RunLayout(tmp_path), "x", 2)


@pytest.mark.parametrize(
    ("limit", "said"),
    [({"icm-1band": 1}, "not among the models"), ({"T": 5}, "1 to 4"), ({"T": 0}, "1 to 4"),
     ({"nonsense": 1}, "fold_limit, 'nonsense'")],
)  # fmt: skip
def test_a_fold_limit_without_sense(
    survey_path: Path, tmp_path: Path, limit: dict[str, int], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        run_benchmark(survey_path, ["T"], 4, tmp_path / "run", fold_limit=limit)
    assert not (tmp_path / "run").exists()


def test_a_run_from_before_fold_limits_is_resumed(survey_path: Path, tmp_path: Path) -> None:
    run_benchmark(survey_path, ["T"], 2, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["fold_limit"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    run_benchmark(survey_path, ["T"], 2, tmp_path, resume=True)


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the page out, which is tested by itself and takes seconds."""
    monkeypatch.setattr("icmass.face.runs.write_report", lambda run, **_: run / "report.html")


def call(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["icmass", "benchmark", *map(str, words)])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.usefixtures("no_page")
def test_command(
    survey_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    words = (survey_path, "--models", "T,N_phot", "--folds", "2", "--out", out)
    words += ("--fold-limit", "T=1")
    assert call(monkeypatch, *words) == 0
    said = capsys.readouterr()
    assert "observed proxies" in said.out
    assert said.err.startswith("3/3 fits, ") and said.err.count("\n") == 1
    assert "T: 1 of 2 folds" in said.out
    command = results_of(out)["command"]
    assert command.startswith("icmass benchmark") and "--fold-limit T=1" in command
    assert call(monkeypatch, *words) == 2
    assert capsys.readouterr().err.startswith(f"icmass: {out}: is not empty")
    assert call(monkeypatch, *words, "--resume", "--quiet") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--models", "T,nonsense"], "nonsense"),
        (["--models", "T", "--folds", "3"], "use 2, 4 or 8"),
        (["--models", "T", "--device", "abacus"], "give auto, cpu, cuda"),
        (["--models", "T", "--fold-limit", "T"], "give NAME=K"),
        (["--models", "T", "--fold-limit", "T=9"], "from 1 to 8"),
    ],
)
def test_command_with_bad_input(
    survey_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    out = tmp_path / "run"
    assert call(monkeypatch, survey_path, *words, "--out", out) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert not out.exists()


def test_command_interrupted(
    survey_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fit_all, "fit_fold", interrupt)
    out = tmp_path / "run"
    assert call(monkeypatch, survey_path, "--models", "T", "--folds", "2", "--out", out) == 130
    error = capsys.readouterr().err
    assert "go on with: icmass benchmark" in error and error.endswith(f"{out} --resume\n")


def test_command_without_a_survey(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, tmp_path / "no.zarr", "--out", tmp_path / "run") == 2
    assert "no such survey" in capsys.readouterr().err


@pytest.mark.usefixtures("no_page")
def test_command_says_what_failed(
    survey_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    true_score = runner.published_scatter

    def broken(survey: xr.Dataset, names: Any, rng: np.random.Generator) -> tuple[float, float]:
        if "T" in names:
            raise ZeroDivisionError("of a test")
        return true_score(survey, names, rng)

    monkeypatch.setattr(runner, "published_scatter", broken)
    out = tmp_path / "run"
    assert call(monkeypatch, survey_path, "--models", "T,M_gas", "--folds", "2", "--out", out) == 2
    said = capsys.readouterr()
    assert "icmass: T failed: ZeroDivisionError: of a test" in said.err
    assert "M_gas" in said.out


def test_numbers_for_people_and_for_json() -> None:
    assert str(percent(0.1784, 0.0031)) == "17.8 ± 0.3"
    assert str(percent(None)) == "–"
    assert finite({"a": [np.float64(np.nan), np.int64(3)], "b": (np.inf, 1.5)}) == {
        "a": [None, 3],
        "b": [None, 1.5],
    }


def test_tables_stand_a_missing_score(run: Path) -> None:
    plain = results_of(run)
    plain["estimators"][0]["sigma_paper"] = None
    plain["estimators"][0]["sigma_paper_error"] = None
    results = Results.of(plain)
    assert "| T | 11.8 | – |" in markdown(results)
    assert "T & 11.8 & -- &" in results_table(results).to_latex()


def test_a_file_is_never_half_written(tmp_path: Path) -> None:
    file = tmp_path / "kept.txt"
    write_text(file, "first")
    with pytest.raises(KeyboardInterrupt), whole_file(file, durable=True) as draft:
        draft.write_text("half")
        raise KeyboardInterrupt
    assert file.read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
