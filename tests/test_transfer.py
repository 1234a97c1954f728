"""Transfer between gas physics: what is scored, on which halos, and that a run can go on."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import icmass
from icmass.benchmarking.scores import rms_error
from icmass.benchmarking.transfer import Transfer
from icmass.benchmarking.transfer_row import TransferRow, transfer_row
from icmass.errors import InputError
from icmass.estimators.posterior import Prediction
from icmass.inference.bundled import DEFAULT_MODEL
from icmass.report.explorer.of_transfer import transfer_contents
from icmass.report.transfer import lead

N = 80
TRAINED_ON = {
    "N_phot_r500": "plain",
    "M_gas": "plain",
    "erosita-v1": "saved",
    DEFAULT_MODEL: "saved",
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Default physics, the same halos with feedback that empties them, and other halos."""
    folder = tmp_path_factory.mktemp("surveys")
    made = {
        "plain": ((), 1), "feedback": (("strong-feedback",), 1), "other": (("strong-feedback",), 2)
    }  # fmt: skip
    for name, (variants, seed) in made.items():
        icmass.simulate("erosita", n=N, seed=seed, out=folder / f"{name}.zarr", variants=variants)
    return {name: folder / f"{name}.zarr" for name in made}


@pytest.fixture(scope="module")
def run(stores: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Transfer:
    return icmass.transfer(
        stores["plain"],
        list(stores.values()),
        ["N_phot_r500", "M_gas", "erosita-v1", DEFAULT_MODEL],
        out=tmp_path_factory.mktemp("transfer") / "out",
    )


def row_of(run: Transfer, model: str, test: str) -> TransferRow:
    (row,) = [row for row in run.rows if (row.model, row.test) == (model, test)]
    return row


def test_every_model_is_scored_on_every_survey(run: Transfer) -> None:
    assert run.failed == {}
    assert [(row.model, row.train, row.test) for row in run.rows] == [
        (model, train, test)
        for model, train in TRAINED_ON.items()
        for test in ("plain", "feedback", "other")
    ]
    document = json.loads((run.path / "transfer.json").read_text())
    assert document["chosen"].keys() == {
        f"{DEFAULT_MODEL} on {test}" for test in ("plain", "feedback", "other")
    }
    assert {of["member"] for of in document["chosen"].values()} == {"erass-v2-3band"}
    assert set(document["rows"][0]) == {field.name for field in fields(TransferRow)}
    assert Transfer.open(run.path).rows == run.rows


def test_halos_in_common_are_held_out_of_the_fit(run: Transfer, stores: dict[str, Path]) -> None:
    """Other physics on the same seed has the same halos; another seed has none of them."""
    halos = icmass.open_survey(stores["plain"])["halo_id"].values
    n_out = round(len(np.unique(halos)) / 8)
    for test in ("plain", "feedback"):
        row = row_of(run, "M_gas", test)
        assert row.held_out and n_out <= row.n < N / 3
    assert not row_of(run, "M_gas", "other").held_out
    assert row_of(run, "M_gas", "other").n == N
    assert row_of(run, "erosita-v1", "plain").n == N


def test_less_gas_looks_like_less_mass(run: Transfer) -> None:
    """Counts and gas mass of emptied halos, read by relations of the default physics."""
    counts = row_of(run, "N_phot_r500", "other")
    gas = row_of(run, "M_gas", "other")
    assert counts.bias_lnm < -3 * counts.bias_lnm_error
    assert gas.bias_lnm < -3 * gas.bias_lnm_error
    assert abs(row_of(run, "M_gas", "plain").bias_lnm) < 0.1
    assert "N_phot_r500" in lead([counts]) and "other" in lead([counts])


def test_a_row_is_what_its_names_say(stores: dict[str, Path]) -> None:
    survey = icmass.open_survey(stores["other"])
    index = np.arange(5, 60)
    truth = np.log(survey["m500c"].values[index])
    offset = np.random.default_rng(0).normal(0.1, 0.2, len(index))
    far = np.where(np.arange(len(index)) < 11, 2.0, 0.5)
    row = transfer_row(
        Prediction(truth + offset, np.full(len(index), 0.2), None, far),
        survey, index, names=("a", "b", "c"), n_refused=3, held_out=True, seed=0,
    )  # fmt: skip
    assert (row.model, row.train, row.test, row.n, row.n_refused) == ("a", "b", "c", 55, 3)
    assert row.rms_lnm == pytest.approx(np.sqrt(np.mean(offset**2)))
    assert row.rms_lnm**2 == pytest.approx(row.bias_lnm**2 + row.sigma_lnm**2)
    assert row.coverage68 == pytest.approx(np.mean(np.abs(offset) < 0.2 * 0.99446), abs=1e-9)
    assert row.flagged == pytest.approx(11 / 55)


def test_the_error_of_an_rms_is_that_of_the_halos() -> None:
    """sigma / sqrt(2 n) of a normal distribution; ten copies of each halo add nothing."""
    rng = np.random.default_rng(1)
    residual = rng.normal(0, 0.3, 400)
    expected = 0.3 / np.sqrt(800)
    alone = rms_error(residual, np.arange(400), rng)
    copies = rms_error(np.repeat(residual, 10), np.repeat(np.arange(400), 10), rng)
    assert alone == pytest.approx(expected, rel=0.15)
    assert copies == pytest.approx(alone, rel=0.1)


def test_the_page_is_whole(run: Transfer) -> None:
    text = (run.path / "transfer.html").read_text()
    assert text.count("<script>") == 1  # the explorer's
    assert "http://" not in text.replace("http://www.w3.org", "")
    for word in ("The matrix", "erosita-v1", DEFAULT_MODEL, "feedback", "What the intervals hold"):
        assert word in text
    assert len(list((run.path / "figures").glob("*.png"))) == 4


def test_the_explorer_has_every_model_on_every_survey(run: Transfer) -> None:
    contents = transfer_contents(run)
    labels = [part.label for part in contents.parts]
    assert labels == ["plain", "feedback", "other"]
    names = {f"{model} ({train})" for model, train in TRAINED_ON.items()}
    assert {each.name for each in contents.estimates} == names and contents.first in names
    ends = np.cumsum([0, *(len(part.index) for part in contents.parts)])
    for row in run.rows:
        (found,) = [e for e in contents.estimates if e.name == f"{row.model} ({row.train})"]
        k = labels.index(row.test)
        here = (found.rows >= ends[k]) & (found.rows < ends[k + 1])
        assert here.sum() == row.n
        residual = found.prediction.mean[here] - contents.ln_m_true[found.rows[here]]
        assert np.sqrt(np.mean(residual**2)) == pytest.approx(row.rms_lnm, rel=1e-6)
    without = replace(run, document=run.document | {"stores": {}})
    assert transfer_contents(without) is None


@pytest.fixture
def unpaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page takes seconds, and is tested of another run."""
    monkeypatch.setattr("icmass.report.transfer.write_transfer", lambda run: run.path)


@pytest.mark.usefixtures("unpaged")
def test_the_command_goes_on_and_says_what_failed(
    run_cli, stores: dict[str, Path], tmp_path: Path
) -> None:
    xr.open_zarr(stores["other"]).drop_vars("N_gal").to_zarr(
        tmp_path / "bare.zarr", consolidated=False
    )
    start = ["transfer", "--train", stores["plain"], "--test", stores["other"]]
    start += [tmp_path / "bare.zarr", "--models", "M_gas,N_gal", "--out", tmp_path / "out"]
    done = run_cli(*start, "--json")
    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert [(row["model"], row["test"]) for row in document["rows"]] == [
        ("M_gas", "other"), ("M_gas", "bare"), ("N_gal", "other"),
    ]  # fmt: skip
    assert list(document["failed"]) == ["N_gal from plain on bare"]
    weights = tmp_path / "out" / "models" / "plain" / "M_gas" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    again = run_cli(*start)
    assert (
        again.returncode == 2 and "exists already" in again.stderr and again.stderr.count("\n") == 1
    )
    resumed = run_cli(*start, "--resume", "--json")
    assert json.loads(resumed.stdout)["rows"] == document["rows"]
    assert weights.stat().st_mtime_ns == before
    other = run_cli(*start, "--resume", "--seed", "3")
    assert other.returncode == 2 and "seed: differs from the run" in other.stderr


@pytest.mark.usefixtures("unpaged")
def test_one_cluster_that_cannot_be_predicted_does_not_lose_the_others(
    run_cli, stores: dict[str, Path], tmp_path: Path
) -> None:
    survey = icmass.open_survey(stores["other"]).isel(cluster=slice(12)).load()
    survey = survey.drop_vars([name for name in survey if "galaxy" in str(name)])
    survey = survey.drop_vars("L_X_outlier")  # of none: a chunk that is not written
    survey["exposure"][2], survey["nh"][5] = 0, np.nan
    survey.to_zarr(tmp_path / "bad.zarr", consolidated=False)
    start = ["transfer", "--test", tmp_path / "bad.zarr", "--models", DEFAULT_MODEL]
    done = run_cli(*start, "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert (row["n"], row["n_refused"]) == (10, 2)
    what = f"icmass: {DEFAULT_MODEL} on bad, cluster"
    assert f"{what} 2: variable exposure: is 0, and must be positive\n" in done.stderr
    assert f"{what} 5: variable nh: is nan\n" in done.stderr


@pytest.mark.usefixtures("unpaged")
def test_saved_models_of_one_name_are_told_apart(stores: dict[str, Path], tmp_path: Path) -> None:
    folders = [tmp_path / name / "model" for name in "ab"]
    for folder, name in zip(folders, ["M_gas", "N_gal"], strict=True):
        icmass.train(stores["plain"], name, out=folder)
    test, models = stores["other"], [str(folder) for folder in folders]
    done = icmass.transfer((), test, models, out=tmp_path / "out")
    assert [row.model for row in done.rows] == models
    assert done.rows[0].rms_lnm != done.rows[1].rms_lnm
    assert len(list((tmp_path / "out" / "predictions" / "other" / "saved").iterdir())) == 2
    with pytest.raises(InputError, match="models: is given twice"):
        icmass.transfer((), test, [models[0], f"{tmp_path}/b/../a/model"], out=tmp_path / "c")
    with pytest.raises(InputError, match="test: is given twice"):
        icmass.transfer((), [test, test], models[:1], out=tmp_path / "c")
    (folders[1] / "model.safetensors").write_text("x")
    with pytest.raises(InputError, match="is not a saved proxy relation"):
        icmass.transfer(stores["plain"], test, ["M_gas", models[1]], out=tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_an_output_that_cannot_be_used_is_one_line(
    run_cli, stores: dict[str, Path], tmp_path: Path
) -> None:
    start = ["transfer", "--test", stores["other"], "--models", DEFAULT_MODEL, "--out"]
    (tmp_path / "file").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{")
    for given, said in [
        (["file"], "file: --out: is not a folder"),
        (["run", "--resume"], "config.json: is damaged (JSONDecodeError); give another --out"),
    ]:
        done = run_cli(*start, tmp_path / given[0], *given[1:])
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1


def test_a_survey_that_cannot_be_scored_is_refused_before_the_fits(
    stores: dict[str, Path], tmp_path: Path
) -> None:
    survey = icmass.open_survey(stores["other"]).load()
    survey["redshift"][2] = np.nan
    survey.to_zarr(tmp_path / "bad.zarr", consolidated=False)
    with pytest.raises(InputError, match=r"bad.zarr: variable redshift: is not finite .* \(2\)"):
        icmass.transfer(stores["plain"], tmp_path / "bad.zarr", ["M_gas"], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_used_is_refused(stores: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to score"):
        icmass.transfer(stores["plain"], stores["other"], [], out=tmp_path / "a")
    with pytest.raises(InputError, match="none given"):
        icmass.transfer(stores["plain"], [], ["M_gas"], out=tmp_path / "a")
    with pytest.raises(InputError, match=r"no such estimator: 'magic'; known are .*icm-3band"):
        icmass.transfer(stores["plain"], stores["other"], ["magic"], out=tmp_path / "a")
    assert not (tmp_path / "a").exists()
    with pytest.raises(InputError, match="no such"):
        icmass.transfer(stores["plain"], tmp_path / "none.zarr", ["M_gas"], out=tmp_path / "a")
    with pytest.raises(InputError, match="cannot be read"):
        Transfer.open(tmp_path)
