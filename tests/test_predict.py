"""`icmass predict`, as users call it, and the ensemble of fold models beneath it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

from icmass.cli import main
from icmass.cli.predict import parse_index, repeat_options
from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.estimators.ensemble import Training, load_ensemble, mix
from icmass.estimators.estimator import Prediction
from icmass.estimators.masses import describe
from icmass.estimators.registry import make_estimator
from icmass.survey.catalog import counts, open_survey
from icmass.survey.readers.sky_grid import MapGrid, cluster_frame

RA, DEC = 140.0, 3.0
CLUSTER = 5


@dataclass(frozen=True)
class Called:
    """What a command gave back."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)


@pytest.fixture
def icmass(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Called]:
    def call(*args: object) -> Called:
        monkeypatch.setattr(sys, "argv", ["icmass", *map(str, args)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return Called(int(stop.value.code or 0), out, err)

    return call


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, toy_survey: xr.Dataset) -> Path:
    """A run as the benchmark leaves it: two folds of a network (one epoch) and of a proxy."""
    folder = tmp_path_factory.mktemp("run")
    for name, options in [("icm-3band", {"max_epochs": 1, "device": "cpu"}), ("N_phot", {})]:
        for k in range(2):
            estimator = make_estimator(name, seed=k, **options)
            estimator.fit(toy_survey, np.arange(k, toy_survey.sizes["cluster"], 2))
            estimator.save(folder / "models" / name / f"fold-{k}")
    scores = [
        {"name": "icm-3band", "kind": "network", "sigma_lnm": 0.234},
        {"name": "N_phot", "kind": "observed", "sigma_lnm": 0.1},
    ]
    (folder / "results.json").write_text(json.dumps({"estimators": scores}))
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, toy_survey: xr.Dataset) -> Path:
    path = tmp_path_factory.mktemp("survey") / "toy.zarr"
    toy_survey.to_zarr(path)
    return path


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory, toy_survey: xr.Dataset) -> Path:
    """One cluster of the toy survey as FITS images on the very grid that it was made on."""
    folder = tmp_path_factory.mktemp("sky")
    z = float(toy_survey["redshift"][CLUSTER])
    grid = MapGrid(bands=(), n_pixels=32)
    header = cluster_frame(RA, DEC, redshift=z, grid=grid).to_header()
    maps = counts(toy_survey, np.array([CLUSTER]))[0]
    for name, plane in zip(["0500_1200", "1200_2000", "2000_7000"], maps, strict=True):
        fits.writeto(folder / f"img_{name}.fits", plane.astype("i4"), header)
    fits.writeto(folder / "exp.fits", np.full((32, 32), 2000.0, "f4"), header)
    fits.writeto(folder / "mask.fits", np.ones((32, 32), "u1"), header)
    return folder


def from_sky(sky: Path, toy_survey: xr.Dataset, *more: object) -> list[object]:
    """Return the arguments that the issue writes: several paths after --images."""
    z = float(toy_survey["redshift"][CLUSTER])
    images = sorted(sky.glob("img_*.fits"))
    args = ["--images", *images, "--expmap", sky / "exp.fits", "--mask", sky / "mask.fits"]
    return [*args, "--ra", RA, "--dec", DEC, "--redshift", z, *more]


# ---------------------------------------------------------------- the ensemble


def test_mixture_has_the_moments_of_drawn_samples() -> None:
    rng = np.random.default_rng(0)
    means, stds = np.array([31.8, 32.0, 32.5]), np.array([0.1, 0.3, 0.2])
    mixed = mix(
        [Prediction(np.array([m]), np.array([s])) for m, s in zip(means, stds, strict=True)]
    )
    n = 400_000
    member = rng.integers(3, size=n)
    drawn = rng.normal(means[member], stds[member])
    assert mixed.mean[0] == pytest.approx(drawn.mean(), abs=4 * drawn.std() / np.sqrt(n))
    assert mixed.std[0] == pytest.approx(drawn.std(), rel=4 / np.sqrt(n))
    assert mixed.std[0] ** 2 == pytest.approx(mixed.std_within[0] ** 2 + mixed.std_between[0] ** 2)
    assert mixed.std_between[0] == pytest.approx(means.std())


def test_a_run_a_model_or_one_fold(run: Path, toy_survey: xr.Dataset) -> None:
    ensemble = load_ensemble(run)
    assert (ensemble.name, len(ensemble.members)) == ("icm-3band", 2)
    assert ensemble.scatter == 0.234
    assert load_ensemble(run, model="N_phot").name == "N_phot"
    assert load_ensemble(run / "models" / "N_phot").scatter == 0.1
    assert load_ensemble(run / "models" / "N_phot" / "fold-1").scatter == 0.1
    index = np.array([3, 7, 8])
    parts = [
        load_ensemble(run / "models" / "icm-3band" / f"fold-{k}").predict(toy_survey, index)
        for k in range(2)
    ]
    whole = ensemble.predict(toy_survey, index)
    np.testing.assert_allclose(whole.mean, (parts[0].mean + parts[1].mean) / 2)
    np.testing.assert_allclose(whole.std_between, np.abs(parts[0].mean - parts[1].mean) / 2)
    assert (whole.std >= whole.std_within).all()


def test_training_is_what_every_fold_covers(run: Path, toy_survey: xr.Dataset) -> None:
    training = load_ensemble(run).training
    z = toy_survey["redshift"].values
    assert training.redshift_range == (z.min(), z.max())
    mass = toy_survey["m500c"].values
    assert training.mass_range[0] == max(mass[0::2].min(), mass[1::2].min())
    assert training.grid == MapGrid(bands=((0.5, 1.2), (1.2, 2.0), (2.0, 7.0)), n_pixels=32)


def test_describe_turns_units(toy_survey: xr.Dataset) -> None:
    ln_mass = np.log([2e14])
    row = describe(
        toy_survey,
        np.array([CLUSTER]),
        mix([Prediction(ln_mass, np.array([0.2]))]),
    )[0]
    z = float(toy_survey["redshift"][CLUSTER])
    cosmology = Cosmology()
    assert row["m500c_1e14_msun_h"]["median"] == pytest.approx(2)
    assert row["m500c_1e14_msun"]["median"] == pytest.approx(2 / 0.704)
    assert row["m500c_1e14_msun_h"]["p84"] == pytest.approx(2 * np.exp(0.19889), rel=1e-4)
    # M = 500 rho_c(z) 4 pi / 3 R^3, with the critical density of astropy
    density = cosmology.astropy.critical_density(z).to_value("Msun/Mpc3")
    radius = (2e14 / 0.704 / (500 * density * 4 * np.pi / 3)) ** (1 / 3)
    assert row["r500c_mpc_h_comoving"] == pytest.approx(radius * (1 + z) * 0.704, rel=1e-4)
    angle = radius * 1e3 * cosmology.astropy.arcsec_per_kpc_proper(z).value / 60
    assert row["r500c_arcmin"] == pytest.approx(angle, rel=1e-4)
    assert row["photons"] == toy_survey["n_phot"][CLUSTER]


# ---------------------------------------------------------------- the command


def test_images_give_the_mass_of_the_survey_they_come_from(
    icmass: Callable[..., Called], run: Path, sky: Path, store: Path, toy_survey: xr.Dataset
) -> None:
    called = icmass("predict", run, *from_sky(sky, toy_survey, "--json"))
    assert called.status == 0, called.err
    found = called.document
    of_survey = icmass("predict", run, store, "--index", CLUSTER, "--json").document
    image, mock = found["clusters"][0], of_survey["clusters"][0]
    assert image["photons"] == mock["photons"] > 0
    assert image["ln_m500c"] == pytest.approx(mock["ln_m500c"], abs=1e-4)
    assert image["ln_m500c_std"] == pytest.approx(mock["ln_m500c_std"], abs=1e-4)
    assert image["visible_fraction"] == 1
    assert "m500c" in mock and "m500c" not in image
    assert found["model"]["sigma_lnm"] == 0.234
    assert any("survey-average" in line for line in found["assumptions"])
    assert not found["warnings"]
    assert any("training survey" in line for line in of_survey["warnings"])


def test_the_table_says_what_it_found_and_assumes(
    icmass: Callable[..., Called], run: Path, sky: Path, store: Path, toy_survey: xr.Dataset
) -> None:
    called = icmass("predict", run, *from_sky(sky, toy_survey, "--nh", 9))
    assert called.status == 0, called.err
    for text in ("1e14 Msun/h", "1e14 Msun ", "arcmin", "RA 140.0000", "It assumes:", "0.234"):
        assert text in called.out
    many = icmass("predict", run, store)
    assert "76 more" in many.out and many.out.count("(") > 40
    three = icmass("predict", run, store, "--index", "0", "5-6", "--json").document
    assert [row["cluster"] for row in three["clusters"]] == [0, 5, 6]


def test_min_visible_is_told(
    icmass: Callable[..., Called], run: Path, sky: Path, toy_survey: xr.Dataset, tmp_path: Path
) -> None:
    mask = np.zeros((32, 32), "u1")
    mask[:, 17:] = 1
    file = tmp_path / "half.fits"
    fits.writeto(file, mask, fits.getheader(sky / "mask.fits"))
    args = from_sky(sky, toy_survey, "--mask", file)
    refused = icmass("predict", run, *args)
    assert refused.status == 2 and "--min-visible" in refused.err and not refused.out
    called = icmass("predict", run, *args, "--min-visible", "0.2", "--json")
    assert called.status == 0
    assert any("accepted with --min-visible 0.2" in line for line in called.document["warnings"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--redshift", "0.5"], "redshift: 0.5 is outside the model's training range"),
        (["--model", "icm-9band"], "'icm-9band' isn't in this run; it has N_phot, icm-3band"),
        (["--model", "N_phot"], "model N_phot: reads no maps"),
        (["--ra", "150"], "outside"),
        (["--nh", "-1"], "--nh: is -1"),
        (["--mask", "gone.fits"], "gone.fits: no such file"),
        (["--image-bands", "0.5-1.2,1.2-2.0,2.0-8"], "band 2-7 keV isn't there"),
        (["--image-bands", "soft"], "'soft' is not a band"),
        (["--expmap", "a.fits"], "2 exposure maps for 3 images"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    icmass: Callable[..., Called],
    run: Path,
    sky: Path,
    toy_survey: xr.Dataset,
    change: list[str],
    message: str,
) -> None:
    called = icmass("predict", run, *from_sky(sky, toy_survey, *change), "--json")
    assert called.status == 2
    assert not called.out
    assert message in called.err and called.err.count("\n") == 1


def test_what_is_missing_is_named(
    icmass: Callable[..., Called], run: Path, sky: Path, store: Path, tmp_path: Path
) -> None:
    image = sky / "img_0500_1200.fits"
    for args, message in [
        ([run], "give either a SURVEY or --images"),
        ([run, store, "--images", image], "give either a SURVEY or --images"),
        ([run, "--images", image, "--ra", 140], "--dec, --redshift: is missing"),
        ([tmp_path, store], "holds no finished model"),
        ([tmp_path / "gone", store], "no such folder"),
        ([run, tmp_path / "gone.zarr"], "no such survey"),
        ([run, store, "--index", "96"], "toy.zarr has 96 clusters, 0 to 95"),
        ([run, store, "--index", "x"], "'x' is no cluster"),
        ([run, store, "--mask", image], "--mask: a SURVEY has its own"),
        ([run, "--images", image, "--index", "0"], "--index: only a SURVEY has an index"),
    ]:
        called = icmass("predict", *args)
        assert called.status == 2 and message in called.err, called.err
        assert called.err.count("\n") == 1 and not called.out


def test_damaged_and_unfinished_models(
    icmass: Callable[..., Called], run: Path, store: Path, tmp_path: Path
) -> None:
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "models" / "icm-3band" / "fold-1")
    (copy / "models" / "icm-3band" / "fold-1").mkdir()
    called = icmass("predict", copy, store, "--index", "1", "--json").document
    assert called["model"]["members"] == 1
    assert "Left out as unfinished: fold-1." in called["warnings"]
    config = copy / "models" / "icm-3band" / "fold-0" / "config.json"
    text = config.read_text()
    config.write_text(text[:200])
    broken = icmass("predict", copy, store)
    assert broken.status == 2 and "config.json" in broken.err
    with pytest.raises(InputError, match="damaged"):
        Training.read(config.parent)
    (copy / "results.json").write_text("{}")
    config.write_text(text)
    assert "results.json: damaged" in icmass("predict", copy, store).err
    (copy / "results.json").unlink()
    assert "choose with --model: N_phot, icm-3band" in icmass("predict", copy, store).err


def test_a_model_that_reads_what_is_not_there(run: Path, store: Path) -> None:
    survey = open_survey(store).drop_vars("n_phot")
    with pytest.raises(InputError, match="the input has no n_phot"):
        load_ensemble(run, model="N_phot").predict(survey, np.array([0]))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("R --images a b --ra 1", "R --images a --images b --ra 1"),
        ("R --images a --images b", "R --images a --images b"),
        ("R --images=a b --dec -3", "R --images=a b --dec -3"),
        ("R --expmap a --mask m x", "R --expmap a --mask m x"),
        ("R --index 1 2 -- --images", "R --index 1 --index 2 -- --images"),
    ],
)
def test_several_values_after_an_option(written: str, read: str) -> None:
    expected = read.replace("--images=a b", "--images a --images b").split()
    assert repeat_options(written.split()) == expected


def test_parse_index() -> None:
    assert parse_index("3,5, 7-9").tolist() == [3, 5, 7, 8, 9]
