"""`icmass train`: one model of whole surveys, scored on halos that it never saw."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

from conftest import beta_model_survey
from icmass.benchmarking.train_model import join_surveys, train_model
from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.estimators.registry import load_estimator, make_estimator
from icmass.sky.map_grid import MapGrid, cluster_frame
from icmass.survey.observed.images import how_to_get_bands
from icmass.training.held_out import hold_out


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, toy_survey: xr.Dataset) -> Path:
    path = tmp_path_factory.mktemp("survey") / "toy.zarr"
    toy_survey.to_zarr(path)
    return path


def test_halos_are_on_one_side_whole():
    halo = np.repeat(np.arange(50), np.arange(50) % 4 + 1)
    train, test = hold_out(halo, 0.1, 3)
    assert sorted([*train, *test]) == list(range(len(halo)))
    assert len(set(halo[test])) == 5 and not set(halo[train]) & set(halo[test])
    other = hold_out(halo, 0.1, 4)[1]
    assert set(halo[test]) != set(halo[other])
    with pytest.raises(InputError, match="one halo only"):
        hold_out(np.zeros(9, int), 0.1, 0)


def test_joined_surveys_keep_their_halos_apart(toy_survey: xr.Dataset):
    other = beta_model_survey(n=20, seed=1)
    joined = join_surveys([toy_survey, other])
    assert joined.sizes["cluster"] == 116
    assert len(np.unique(joined["halo_id"])) == 116
    np.testing.assert_array_equal(joined["m500c"].values[96:], other["m500c"].values)
    np.testing.assert_array_equal(joined["maps"].values[96:], other["maps"].values)
    with pytest.raises(InputError, match="coordinate x: differs in survey 2"):
        join_surveys([toy_survey, beta_model_survey(n=20, n_pixels=16)])
    flat = other.assign_attrs(cosmology=Cosmology(om0=0.3).model_dump_json())
    with pytest.raises(InputError, match="cosmology: differs"):
        join_surveys([toy_survey, flat])


def test_a_relation_is_scored_on_others_and_predicts(
    store: Path, tmp_path: Path, run_cli: Callable
):
    out = tmp_path / "model"
    done = run_cli("train", store, "--model", "M_gas", "--out", out)
    assert done.returncode == 0, done.stderr
    results = json.loads((out / "results.json").read_text())
    row = results["estimators"][0]
    assert (row["name"], row["n"], results["n_train"]) == ("M_gas", 10, 86)
    assert 0.02 < row["sigma_lnm"] < 0.25, "the toy's scatter is 0.10 / 1.14"
    assert f"{row['sigma_lnm']:.3f}" in done.stdout
    assert load_estimator(out).name == "M_gas"
    predicted = run_cli("predict", out, store, "--index", "0-3", "--json")
    document = json.loads(predicted.stdout)
    assert document["model"]["sigma_lnm"] == row["sigma_lnm"] and len(document["clusters"]) == 4


@pytest.mark.parametrize("stream", [False, True])
def test_a_cluster_beyond_the_redshifts_trained_on_does_not_lose_the_training(
    toy_survey: xr.Dataset, tmp_path: Path, run_cli: Callable, stream: bool
):
    survey = toy_survey.copy(deep=True)
    held = hold_out(survey["halo_id"].values, 0.1, 2)[1]
    survey["redshift"][held[0]] = 0.5
    survey.to_zarr(tmp_path / "tail.zarr")
    out = tmp_path / "model"
    given = ["--model", "icm-1band", "--seed", 2, "--max-epochs", 1, "--device", "cpu"]
    done = run_cli("train", tmp_path / "tail.zarr", *given, *["--stream"] * stream, "--out", out)
    assert done.returncode == 0, done.stderr
    row = json.loads((out / "results.json").read_text())["estimators"][0]
    assert (row["n"], row["n_refused"]) == (len(held) - 1, 1)
    assert "1 not scored, at redshifts that it was not trained for" in done.stdout


def test_a_model_of_which_no_cluster_can_be_scored_is_kept(
    store: Path, toy_survey: xr.Dataset, tmp_path: Path, run_cli: Callable
):
    survey = toy_survey.copy(deep=True)
    survey["redshift"][hold_out(survey["halo_id"].values, 0.1, 2)[1]] = 0.5
    survey.to_zarr(tmp_path / "tail.zarr")
    given = ["--model", "M_gas", "--seed", 2, "--out", tmp_path / "model"]
    done = run_cli("train", tmp_path / "tail.zarr", *given)
    assert done.returncode == 0 and "10 not scored" in done.stdout
    predicted = run_cli("predict", tmp_path / "model", store, "--index", "0-3")
    assert predicted.returncode == 0, predicted.stderr


@pytest.mark.parametrize(
    ("variable", "value", "model", "said"),
    [
        ("nh", np.nan, "icm-1band", "nh: is not finite"),
        ("nh", 5e22, "rings-gbm-1band", "nh: is not 0 to 3000e20 cm^-2"),
        ("exposure", 0.0, "icm-1band", "exposure: is not positive"),
        ("exposure", 0.0, "N_phot_r500", "exposure: is not positive"),
    ],
)
def test_what_cannot_be_trained_on_is_said_before(
    toy_survey: xr.Dataset, tmp_path: Path, variable: str, value: float, model: str, said: str
):
    survey = toy_survey.copy(deep=True)
    survey[variable][4] = value
    estimator = make_estimator(model, device="cpu", max_epochs=1)
    with pytest.raises(InputError) as refused:
        estimator.fit(survey, np.arange(1, 96))
    assert str(refused.value) == f"variable {said} for 1 of 95 clusters (4)"
    survey.to_zarr(tmp_path / "bad.zarr")
    with pytest.raises(InputError) as refused:
        train_model([tmp_path / "bad.zarr"], model, tmp_path / "model")
    assert str(refused.value) == (
        f"{tmp_path / 'bad.zarr'}: variable {said} for 1 of 96 clusters (4)"
    )
    assert not (tmp_path / "model").exists()


def test_the_advice_for_images_of_other_bands_works_as_typed(
    tmp_path: Path, run_cli: Callable, monkeypatch: pytest.MonkeyPatch
):
    """But for the number of clusters, pixels and epochs."""
    monkeypatch.chdir(tmp_path)
    advice = how_to_get_bands([(0.2, 2.3)]).split(": ", 1)[1].split(", then ")[0]
    words = shlex.split(advice)
    assert words[:2] == ["icmass", "train"]
    words[words.index("--n") + 1] = "24"
    small = ("--max-epochs", "1", "--set", "observe.n_pixels=32", "--device", "cpu")
    done = run_cli(*words[1:], *small)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["MODEL"], "no survey is kept"
    config = json.loads(Path("MODEL/config.json").read_text())
    assert config["bands"] == ["0.2-2.3"] and config["survey"]["preset"] == "efeds"
    redshift = float(np.mean(config["redshift_range"]))
    grid = MapGrid(bands=((0.2, 2.3),), n_pixels=64)
    header = cluster_frame(140.0, 3.0, redshift=redshift, grid=grid).to_header()
    header["TELESCOP"] = "eROSITA"
    image = np.random.default_rng(0).poisson(0.3, (64, 64)).astype("i4")
    image[30:34, 30:34] += 9
    fits.writeto("img_0200_2300.fits", image, header)
    place = ("--ra", 140.0, "--dec", 3.0, "--redshift", redshift, "--exposure", 2000, "--json")
    predicted = run_cli("predict", "MODEL", "--images", "img_0200_2300.fits", *place)
    assert predicted.returncode == 0, predicted.stderr
    assert json.loads(predicted.stdout)["clusters"][0]["photons"] == image.sum()


def test_a_killed_training_goes_on(
    tmp_path: Path, run_cli: Callable, monkeypatch: pytest.MonkeyPatch
):
    """The survey that was made is kept until the model is, and is not made again."""
    given = ("train", "--n", 24, "--preset", "demo", "--set", "observe.n_pixels=32")
    given += ("--max-epochs", "1", "--device", "cpu", "--model", "icm-1band")
    out, work = tmp_path / "model", tmp_path / "model.partial"

    def killed(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("icmass.face.training.train_model", killed)
        assert run_cli(*given, "--out", out).returncode == 130
    assert (work / "survey.zarr").is_dir() and not out.exists()
    refused = run_cli(*given, "--out", out)
    assert refused.returncode == 2 and "--resume" in refused.stderr
    done = run_cli(*given, "--out", out, "--resume")
    assert done.returncode == 0 and not work.exists()
    assert "clusters," not in done.stderr, "the survey was there"
    again = run_cli(*given, "--out", out)
    assert again.returncode == 2 and "exists already" in again.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "--n"),
        (("STORE", "--n", 30), "give surveys, or --n"),
        (("STORE", "--bands", "0.2-2.3"), "--bands: goes with --n"),
        (("--n", 30, "--bands", "2.3-0.2"), "--bands: '2.3-0.2' is not a band"),
        (("--n", 30, "--model", "icm-9band"), "icm-9band"),
        (("--n", 30, "--preset", "chandra"), "unknown preset"),
        (("STORE", "--model", "icm-multimodal"), "galaxy"),
    ],
)
def test_bad_input_is_one_line(
    given: tuple[object, ...], said: str, store: Path, tmp_path: Path, run_cli: Callable
):
    arguments = [store if word == "STORE" else word for word in given]
    done = run_cli("train", *arguments, "--out", tmp_path / "model")
    assert done.returncode == 2 and done.stdout == ""
    assert said in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "model").exists()
