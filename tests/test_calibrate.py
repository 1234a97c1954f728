"""`icmass calibrate`, `predict --calibration` and `predict --likelihood`, as users call them."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from astropy.table import Table

import icmass
from conftest import RunCli
from icmass.calibration.likelihood_table import LikelihoodTable
from icmass.calibration.model import CalibrationPriors
from icmass.calibration.population_prior import log_population
from icmass.errors import InputError
from icmass.estimators.posterior import LNM_GRID, M500C_GRID
from icmass.inference.bundled import DEFAULT_MODEL, bundled_models
from icmass.inference.ensemble import Ensemble
from icmass.inference.family import ModelFamily
from icmass.inference.likelihood import predict_likelihood, training_prior
from icmass.inference.mass_table import weights_sha256
from icmass.survey.catalog import open_survey
from icmass.survey.selection_function import SelectionFunction

N = 10
KNOWN = CalibrationPriors(lensing_bias=(0.0, 0.0), lensing_scatter=(0.0, 0.0))
QUICK = ("--max-steps", 150, "--seed", 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mock survey and a table of lensing masses that are 20 per cent below the truth."""
    path = tmp_path_factory.mktemp("calibrate")
    icmass.simulate("erosita", n=N, seed=3, out=path / "x.zarr")
    survey = open_survey(path / "x.zarr")
    rng = np.random.default_rng(1)
    mass = survey["m500c"].values * 0.8 * np.exp(0.1 * rng.normal(size=N))
    rows = ["cluster,redshift,m500c_msun_h,ln_error"]
    rows += [f"{i},{float(survey['redshift'][i]):.4f},{mass[i]:.5g},0.1" for i in range(N)]
    (path / "wl.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def survey(folder: Path) -> xr.Dataset:
    return open_survey(folder / "x.zarr")


def default_member(survey: xr.Dataset) -> Ensemble:
    """Return the member of the default family that a survey's masses are by."""
    family = icmass.load_model()
    assert isinstance(family, ModelFamily)
    return family.for_survey(survey)[0]


@pytest.fixture(scope="module")
def calibration(folder: Path) -> Path:
    icmass.calibrate(
        folder / "x.zarr", folder / "wl.csv", out=folder / "cal", seed=4, max_steps=150
    )
    return folder / "cal"


def test_the_command_and_the_face_agree(folder: Path, calibration: Path, run_cli: RunCli) -> None:
    out = folder / "by-command"
    done = run_cli(
        "calibrate", folder / "x.zarr", "--wl", folder / "wl.csv", "--out", out, *QUICK, "--json"
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document == json.loads((out / "calibration.json").read_text())
    by_face = json.loads((calibration / "calibration.json").read_text())
    for name in ("amplitude", "slope", "evolution", "scatter"):
        assert {"median", "std", "p16", "p84"} <= set(document[name])
        assert document[name] == by_face[name]
    assert document["amplitude"]["p16"] < document["amplitude"]["median"]
    # the lensing bias adds its 5.6 per cent in quadrature; 150 steps tell a width to a tenth or so
    expected = np.hypot(document["amplitude"]["std"], 0.056)
    assert document["amplitude_total"]["std"] == pytest.approx(expected, rel=0.2)
    assert (out / "calibration.png").stat().st_size > 10_000
    with np.load(out / "draws.npz", allow_pickle=False) as arrays:
        assert arrays["draws"].shape[1] == len(document["parameters"])
        assert np.cov(arrays["draws"][:, :3].T) == pytest.approx(
            np.array(document["covariance"]["matrix"])[:3, :3]
        )
    text = run_cli(
        "calibrate", folder / "x.zarr", "--wl", folder / "wl.csv", "--out", folder / "t", *QUICK
    )
    member = default_member(open_survey(folder / "x.zarr")).folder.name
    assert (document["model"]["family"], document["model"]["member"]) == (DEFAULT_MODEL, member)
    assert f"{member} of the family {DEFAULT_MODEL}: the survey's bands are" in text.stdout
    assert "amplitude A" in text.stdout and "mind: The chains have not converged" in text.stderr


def test_lensing_masses_in_memory_are_those_of_their_file(folder: Path, calibration: Path) -> None:
    table = Table.read(folder / "wl.csv")
    found = icmass.calibrate(folder / "x.zarr", table, seed=4, max_steps=150)
    by_file = json.loads((calibration / "calibration.json").read_text())
    assert found.document["amplitude"] == by_file["amplitude"]
    assert {**by_file["table"]}.pop("file") == "wl.csv"
    about = by_file["table"]["is"]
    assert found.document["table"] == {"in_memory": "Table", "rows": N, "is": about}
    table["ln_error"][2] = 0.0
    with pytest.raises(InputError, match=r"^the table: row 3, error of ln M: is 0; give an error"):
        icmass.calibrate(folder / "x.zarr", table)
    with pytest.raises(InputError, match=r"^the table: 4 clusters have both masses; give 5"):
        icmass.calibrate(folder / "x.zarr", table[3:7])


def test_predictions_move_to_the_scale_of_the_lensing(
    folder: Path, calibration: Path, run_cli: RunCli
) -> None:
    store = folder / "x.zarr"
    plain = icmass.predict(store, prior="flat")
    moved = icmass.predict(store, prior="flat", calibration=calibration)
    found = icmass.Calibration.open(calibration)
    scale = found.scale()
    pivot = scale.pivot_ln_mass
    for i, row in enumerate(plain):
        zeta = np.log((1 + row["redshift"]) / (1 + scale.pivot_redshift))
        x = np.log(plain.median[i])
        ln_m = pivot + (x - pivot - scale.amplitude - scale.evolution * zeta) / (1 + scale.slope)
        # a skewed posterior's median moves like this but for its widening and the grid's edge
        wide = moved.prediction.std[i]
        assert np.log(moved.median[i]) == pytest.approx(np.median(ln_m), abs=0.3 * wide)
    text = found.describe()
    assert moved.assumptions[0] == text and "weak-lensing masses" in text
    done = run_cli("predict", store, "--calibration", calibration, "--json")
    document = json.loads(done.stdout)
    assert document["calibration"]["marginalised"] and document["calibration"]["is"] == text
    assert document["assumptions"][0] == text
    stds = [row["ln_m500c_std_scale"] for row in document["clusters"]]
    assert all(0.02 < std < row["ln_m500c_std"] for std, row in
               zip(stds, document["clusters"], strict=True))  # fmt: skip
    shown = run_cli("predict", store, "--index", "0-1", "--calibration", calibration)
    assert "calibrated on 10 weak-lensing masses" in shown.stdout
    without = json.loads(run_cli("predict", store, "--json").stdout)
    assert "calibration" not in without and "preset erosita" in without["assumptions"][0]


def test_blinding_hides_and_reveals(folder: Path, calibration: Path, run_cli: RunCli) -> None:
    out, store = folder / "blind", folder / "x.zarr"
    done = run_cli("calibrate", store, "--wl", folder / "wl.csv", "--out", out, *QUICK, "--blind")
    assert done.returncode == 0 and "BLINDED" in done.stdout
    hidden = json.loads((out / "calibration.json").read_text())
    open_one = json.loads((calibration / "calibration.json").read_text())
    assert hidden["blinded"] and len(hidden["commitment"]) == 64
    assert hidden["slope"] == open_one["slope"]
    offset = hidden["amplitude"]["median"] - open_one["amplitude"]["median"]
    assert offset != 0 and abs(offset) <= 0.5
    assert repr(offset)[:6] not in (out / "sealed.json").read_text()
    with np.load(out / "draws.npz") as drawn, np.load(calibration / "draws.npz") as true:
        assert np.median(drawn["draws"][:, 0] - true["draws"][:, 0]) == pytest.approx(offset)
        assert np.median(drawn["x"] - true["x"]) == pytest.approx(offset)
    refused = run_cli("predict", store, "--calibration", out)
    assert refused.returncode == 2 and "--calibration: is blinded; reveal it" in refused.stderr
    tampered = folder / "tampered"
    shutil.copytree(out, tampered)
    sealed = json.loads((tampered / "sealed.json").read_text())
    plain = json.loads(base64.b64decode(sealed["sealed"]))
    sealed["sealed"] = base64.b64encode(json.dumps(plain | {"offset": 0.1}).encode()).decode()
    (tampered / "sealed.json").write_text(json.dumps(sealed))
    wrong = run_cli("calibrate", "--reveal", tampered)
    assert wrong.returncode == 2 and "is not what calibration.json commits to" in wrong.stderr
    shown = json.loads(run_cli("calibrate", "--reveal", out, "--json").stdout)
    assert not shown["blinded"] and shown["revealed"]["offset"] == pytest.approx(offset)
    for key in ("median", "std", "p16", "p84"):
        assert shown["amplitude"][key] == pytest.approx(open_one["amplitude"][key], abs=1e-12)
    revealed, known = (icmass.Calibration.open(path) for path in (out, calibration))
    assert revealed.scale().amplitude == pytest.approx(known.scale().amplitude)
    again = run_cli("calibrate", "--reveal", out)
    assert again.returncode == 2 and "is not blinded" in again.stderr
    assert "median" in shown["amplitude"] and plain["salt"] == shown["revealed"]["salt"]


def test_two_blinded_ones_have_offsets_of_their_own(folder: Path) -> None:
    given = {"seed": 4, "max_steps": 150, "blind": True}
    two = [
        icmass.calibrate(folder / "x.zarr", folder / "wl.csv", out=folder / f"b{k}", **given)
        for k in range(2)
    ]
    a, b = (one.document["amplitude"]["median"] for one in two)
    assert a != b


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x.zarr", "--out", "new"), "--wl: is missing"),
        (("x.zarr", "--wl", "wl.csv"), "--out: is missing"),
        (("x.zarr", "--wl", "none.csv", "--out", "new"), "none.csv: no such file"),
        (("wl.csv", "--wl", "wl.csv", "--out", "new"), "is no survey; make a survey of it first"),
        (("x.zarr", "--wl", "wl.csv", "--out", "cal"), "cal: --out: exists already"),
        (("x.zarr", "--wl", "wl.csv", "--out", "new", "--wl-bias", "a"), "--wl-bias: 'a' is no"),
        (("x.zarr", "--wl", "wl.csv", "--out", "new", "--wl-cosmology", "k=1"), "is no key=value"),
        (("x.zarr", "--wl", "wl.csv", "--out", "new", "--population", "flat"), "no distribution"),
        (("x.zarr", "--wl", "bad.csv", "--out", "new"), "bad.csv: row 1: cluster 77 is not in"),
        (("x.zarr", "--wl", "few.csv", "--out", "new"), "few.csv: 1 clusters have both"),
        (("--reveal", "none"), "none: no such calibration"),
        (("x.zarr", "--reveal", "cal"), "DATA: goes without --reveal"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path, calibration: Path, run_cli: RunCli, arguments: tuple[str, ...], message: str
) -> None:
    head = "cluster,redshift,m500c_msun_h,ln_error\n"
    z = float(open_survey(folder / "x.zarr")["redshift"][0])
    (folder / "bad.csv").write_text(head + f"77,{z},1e14,0.3\n")
    (folder / "few.csv").write_text(head + f"0,{z},1e14,0.3\n")
    done = run_cli("calibrate", *arguments, cwd=folder)
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1 and not (folder / "new").exists()


def test_a_damaged_calibration_and_another_model_are_refused(
    folder: Path, calibration: Path, run_cli: RunCli
) -> None:
    broken = folder / "broken"
    shutil.copytree(calibration, broken)
    (broken / "draws.npz").write_bytes(b"nothing")
    done = run_cli("predict", folder / "x.zarr", "--calibration", broken)
    assert done.returncode == 2 and "draws.npz: damaged" in done.stderr
    other = folder / "other"
    shutil.copytree(calibration, other)
    document = json.loads((other / "calibration.json").read_text())
    document["model"]["sha256"] = "0" * 64
    (other / "calibration.json").write_text(json.dumps(document))
    done = run_cli("predict", folder / "x.zarr", "--calibration", other)
    assert done.returncode == 2 and "with other weights" in done.stderr


def test_the_calibration_of_another_bundled_model_says_which(
    folder: Path, calibration: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    """As of one that was made when another model was the default."""
    older = tmp_path / "older"
    shutil.copytree(calibration, older)
    document = json.loads((older / "calibration.json").read_text())
    sha256 = weights_sha256(bundled_models()["erosita-v1"])
    document["model"] = {"name": "icm-3band", "sha256": sha256}
    (older / "calibration.json").write_text(json.dumps(document))
    done = run_cli("predict", folder / "x.zarr", "--index", 1, "--calibration", older)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "is of the bundled model erosita-v1" in done.stderr
    assert f"the members of {DEFAULT_MODEL}" in done.stderr
    assert "predict with erosita-v1" in done.stderr
    index = ("--index", 1, "--calibration", older)
    assert run_cli("predict", "erosita-v1", folder / "x.zarr", *index).returncode == 0


def test_likelihoods_times_the_training_prior_are_the_posteriors(
    folder: Path, survey: xr.Dataset, run_cli: RunCli
) -> None:
    file = folder / "like.fits"
    done = run_cli("predict", folder / "x.zarr", "--likelihood", file)
    assert done.returncode == 0, done.stderr
    table = LikelihoodTable.read(file)
    assert table.likelihood.shape == (N, len(LNM_GRID)) and not table.is_calibrated
    assert table.redshift == pytest.approx(survey["redshift"].values)
    model = default_member(survey)
    prior = training_prior(model, table.redshift)
    assert prior is not None
    product = table.likelihood * np.exp(prior)
    product /= np.trapezoid(product, LNM_GRID)[:, None]
    posterior = icmass.predict(survey, model=model).prediction.tabulated() * np.isfinite(prior)
    posterior /= np.trapezoid(posterior, LNM_GRID)[:, None]  # within the masses trained on
    assert np.abs(product - posterior).max() < 1e-6 * posterior.max()
    with fits.open(file) as hdus:
        assert hdus["LN_MASS"].columns["M500C"].unit == "solMass"
        assert hdus["LIKELIHOOD"].header["PRIORDIV"] and hdus["LIKELIHOOD"].header["MODEL"]
        mass = hdus["LN_MASS"].data["M500C"]
        assert mass == pytest.approx(M500C_GRID / table.cosmology.h)
    again = run_cli("predict", folder / "x.zarr", "--likelihood", file)
    assert again.returncode == 2 and "exists already" in again.stderr
    wrong = run_cli("predict", folder / "x.zarr", "--likelihood", folder / "like.csv")
    assert wrong.returncode == 2 and "call it NAME.fits" in wrong.stderr


def test_calibrated_likelihoods_say_so(folder: Path, calibration: Path, survey: xr.Dataset) -> None:
    masses = icmass.predict(survey, index=[0, 1], calibration=calibration)
    table = LikelihoodTable.read(masses.write_likelihood(folder / "cal.fits"))
    assert table.is_calibrated and table.cluster == ("0", "1")
    flat = icmass.predict(survey, index=[0, 1], calibration=calibration, prior="flat")
    assert table.likelihood == pytest.approx(flat.prediction.tabulated(), abs=1e-9)


def test_a_file_that_holds_no_likelihoods_is_refused(folder: Path, tmp_path: Path) -> None:
    fits.PrimaryHDU().writeto(tmp_path / "a.fits")
    with pytest.raises(InputError, match="is no file of likelihoods"):
        LikelihoodTable.read(tmp_path / "a.fits")
    with pytest.raises(InputError, match="no such file"):
        LikelihoodTable.read(tmp_path / "b.fits")


def selection_function(survey: xr.Dataset, z: tuple[float, float]) -> SelectionFunction:
    """Return one whose probability goes from 0.01 to 0.99 between 5e13 and 5e14."""
    mass, redshift = np.array([5e13, 5e14]), np.array(z)
    exposure, nh = np.array([10.0, 1e5]), np.array([0.0, 100.0])
    shape = (2, 2, 2, 2, 1)
    probability = np.broadcast_to(np.array([0.01, 0.99])[:, None, None, None, None], shape)
    c = np.full((2, 2, 1), 0.2)
    cosmology = icmass.Cosmology.model_validate_json(survey.attrs["cosmology"])
    return SelectionFunction(mass, redshift, exposure, nh, probability, 0 * probability, c, c / 2,
                             2 * c, np.array([100]), cosmology)  # fmt: skip


def test_a_selection_multiplies_the_mass_function(survey: xr.Dataset) -> None:
    rows = np.arange(3)
    cosmology = icmass.Cosmology.model_validate_json(survey.attrs["cosmology"])
    function = selection_function(survey, (0.01, 2.0))
    plain = log_population("mass-function", survey, rows, cosmology)
    found = log_population("mass-function", survey, rows, cosmology, selection=function)
    assert plain.free_turn_on and not found.free_turn_on and "selection given" in found.about
    change = np.exp(found.log_density - plain.log_density)
    node = np.abs(LNM_GRID - np.log(np.sqrt(5e13 * 5e14))).argmin()
    # probit in ln M: a half at the middle, to the distance of a node of the grid
    assert change[:, node] == pytest.approx(0.5, abs=0.02)
    assert (change[:, np.log(4.9e13) > LNM_GRID] == 0).all()
    assert change[:, -1] == pytest.approx(0.99)
    with pytest.raises(InputError, match="is outside of its grid"):
        far = selection_function(survey, (1.0, 2.0))
        log_population("mass-function", survey, rows, cosmology, selection=far)
    with pytest.raises(InputError, match="keeps no training prior"):
        log_population("training", survey, rows, cosmology)


def test_the_training_population_needs_no_turn_on(folder: Path) -> None:
    found = icmass.calibrate(
        folder / "x.zarr", folder / "wl.csv", population="training", max_steps=100, priors=KNOWN
    )
    assert found.document["parameters"] == [
        *("amplitude", "slope", "evolution", "ln_scatter", "lensing_scatter")
    ]
    survey = open_survey(folder / "x.zarr")
    likelihood = predict_likelihood(default_member(survey), survey, np.arange(N))
    assert found.data.x == pytest.approx(likelihood.prediction.median)
