"""`icmass predict`, as users call it, and the ensemble of fold models beneath it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

from icmass.cli import main
from icmass.cli.options import repeat_options
from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.estimators.estimator import Estimator, EstimatorInfo, Prediction
from icmass.estimators.info import TrainingExtent
from icmass.estimators.posterior import LNM_GRID, normalised
from icmass.estimators.prior import TrainingPrior, flat_prior, parse_prior
from icmass.estimators.registry import load_estimator, make_estimator
from icmass.inference import bundled, ensemble
from icmass.inference.description import describe, mean_mass
from icmass.inference.ensemble import Ensemble, Training, load_ensemble
from icmass.inference.mixture import mix
from icmass.sky.map_grid import MapGrid, cluster_frame
from icmass.survey.catalog import open_survey
from icmass.survey.chosen import parse_index
from icmass.survey.counts import counts

RA, DEC = 140.0, 3.0
WITHOUT_MAPS = Training((0.1, 0.2), (1e14, 1e15), None, None, 10, {})
CLUSTER = 5
MEMBER = "toy"


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
    header["TELESCOP"] = "eROSITA"
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


def skewed(zero: float) -> Prediction:
    """Return a posterior that is no Gaussian: ln M - zero has the density 16 x exp(-4 x)."""
    x = np.maximum(LNM_GRID - zero, 0)
    return Prediction.from_density((x * np.exp(-4 * x))[None])


def test_a_mixture_with_any_density_is_the_mean_density() -> None:
    gaussian = Prediction(np.array([32.0]), np.array([0.3]))
    mixed = mix([gaussian, skewed(32.0)])
    expected = (gaussian.tabulated() + skewed(32.0).density) / 2
    np.testing.assert_allclose(mixed.density, expected)
    assert mixed.mean[0] == pytest.approx((32.0 + 32.5) / 2, abs=3e-3)
    parts = np.array([0.3, np.sqrt(2) / 4]), np.array([32.0, 32.5])
    assert mixed.std_within[0] == pytest.approx(np.sqrt(np.mean(parts[0] ** 2)), rel=0.01)
    assert mixed.std_between[0] == pytest.approx(parts[1].std(), rel=0.01)
    assert mixed.std[0] == pytest.approx(np.hypot(mixed.std_within[0], mixed.std_between[0]))
    assert mixed.mean[0] > mixed.median[0]
    assert mix([gaussian, gaussian]).density is None


def test_a_mixture_tells_the_median_distance_from_the_domain() -> None:
    gaussian = Prediction(np.array([32.0, 32.0]), np.array([0.3, 0.3]))
    told = [replace(gaussian, out_of_domain=np.array([0.2, x])) for x in (0.5, 1.5, 4.0)]
    assert mix([gaussian, *told]).out_of_domain.tolist() == [0.2, 1.5]
    assert mix([gaussian]).out_of_domain is None


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


@pytest.mark.parametrize("prediction", [Prediction(np.array([32.0]), np.array([0.4])), skewed(31)])
def test_the_mean_mass_is_that_of_drawn_masses(prediction: Prediction) -> None:
    drawn = np.exp(prediction.sample(200_000, np.random.default_rng(0)))
    np.testing.assert_allclose(mean_mass(prediction), drawn.mean(1), rtol=0.02)


def test_describe_gives_quantiles_of_the_posterior_and_its_flag(toy_survey: xr.Dataset) -> None:
    posterior = replace(skewed(32.0), out_of_domain=np.array([1.7]))
    samples = posterior.sample(5, np.random.default_rng(0))
    row = describe(toy_survey, np.array([CLUSTER]), mix([posterior]), samples)[0]
    mass = row["m500c_1e14_msun_h"]
    assert list(mass) == ["median", "mean", "p16", "p84", "p2.5", "p97.5"]
    for key, level in (("p2.5", 0.025), ("p16", 0.16), ("median", 0.5), ("p97.5", 0.975)):
        assert posterior.cdf(np.log([mass[key] * 1e14]))[0] == pytest.approx(level, abs=1e-3)
    assert row["ln_m500c_median"] == pytest.approx(np.log(mass["median"] * 1e14))
    assert (row["out_of_domain"], row["flagged"]) == (1.7, True)
    assert row["ln_m500c_samples"] == samples[0].tolist()
    plain = describe(toy_survey, np.array([CLUSTER]), mix([skewed(32.0)]))[0]
    assert plain["out_of_domain"] is None and plain["flagged"] is None
    assert "ln_m500c_samples" not in plain


# ---------------------------------------------------------------- another prior


@dataclass
class Measures:
    """A member whose likelihood is a Gaussian about the true mass, with its training prior."""

    mass_prior: TrainingPrior | None
    name: str = "measures"
    inputs: tuple[str, ...] = ("m500c",)
    width: float = 0.3
    training: TrainingExtent | None = None

    @property
    def info(self) -> EstimatorInfo:
        return EstimatorInfo(
            "network", self.inputs, training=self.training, mass_prior=self.mass_prior
        )

    def likelihood(self, survey: xr.Dataset, index: np.ndarray) -> np.ndarray:
        measured = np.log(survey["m500c"].values[index])
        return np.exp(-(((LNM_GRID - measured[:, None]) / self.width) ** 2) / 2)

    def predict(self, survey: xr.Dataset, index: np.ndarray) -> Prediction:
        log = self.mass_prior.log_density(survey["redshift"].values[index])
        posterior = Prediction.from_density(self.likelihood(survey, index) * np.exp(log))
        return replace(posterior, out_of_domain=np.full(len(index), 0.5))


@lru_cache
def falling(slope: int) -> TrainingPrior:
    """Return the prior of a training set with n(ln M) falling as exp(-slope ln M)."""
    rng = np.random.default_rng(slope)
    z = rng.uniform(0.05, 0.25, 2_000)
    u = rng.random(2_000) * (1 - np.exp(-slope * 4))
    return TrainingPrior.fit(31.0 - np.log(1 - u) / slope, z)


def test_each_member_loses_its_own_training_prior(run: Path, toy_survey: xr.Dataset) -> None:
    members = [Measures(falling(slope)) for slope in (1, 3)]
    whole = replace(load_ensemble(run), members=members)
    index = np.flatnonzero(np.abs(np.log(toy_survey["m500c"].values) - 32.3) < 0.5)
    z = toy_survey["redshift"].values[index]
    with_theirs = whole.predict(toy_survey, index)
    assert with_theirs.std_between.min() > 0.02
    flat = whole.predict(toy_survey, index, parse_prior("flat"))
    assert np.median(flat.std_between) < 0.02
    for prior, log in (("flat", flat_prior(z)), ("mass-function", None)):
        wanted = parse_prior(prior).log_density(z, Cosmology()) if log is None else log
        exact = []
        for member in members:
            inside = np.isfinite(member.mass_prior.log_density(z))
            density = member.likelihood(toy_survey, index) * np.exp(wanted) * inside
            exact.append(normalised(density))
        found = whole.predict(toy_survey, index, parse_prior(prior))
        np.testing.assert_allclose(found.density, np.mean(exact, axis=0), atol=1e-9)
        assert found.out_of_domain.tolist() == [0.5] * len(index)


def test_a_posterior_outside_the_masses_trained_on(run: Path, toy_survey: xr.Dataset) -> None:
    member = Measures(falling(1))
    gone = Prediction(np.array([28.0]), np.array([0.05]))
    member.predict = lambda survey, index: gone  # type: ignore[method-assign]
    whole = replace(load_ensemble(run), members=[member])
    with pytest.raises(InputError, match="cluster: 7 has its posterior outside the masses"):
        whole.predict(toy_survey, np.array([7]), parse_prior("flat"))


def test_a_model_without_a_training_prior(
    icmass: Callable[..., Called], run: Path, store: Path
) -> None:
    called = icmass("predict", run, store, "--model", "N_phot", "--prior", "flat")
    assert called.status == 2 and called.err.count("\n") == 1 and not called.out
    assert "model N_phot: keeps no training prior" in called.err
    bad = icmass("predict", run, store, "--prior", "mass-function:om0=7")
    assert bad.status == 2 and "om0: Input should be less than 1" in bad.err


@pytest.fixture
def told_run(run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run, its networks with a training prior and with two clusters out of the domain."""

    def load(folder: Path, **options: Any) -> Estimator:
        loaded = load_estimator(folder, **options)
        member = Measures(falling(2), name=loaded.name, training=loaded.info.training)
        predict = member.predict

        def flagging(survey: xr.Dataset, index: np.ndarray) -> Prediction:
            score = np.where(np.isin(index, [3, 4]), 2.5, 0.5)
            return replace(predict(survey, index), out_of_domain=score)

        member.predict = flagging  # type: ignore[method-assign]
        return member

    monkeypatch.setattr(ensemble, "load_estimator", load)
    return run


def test_prior_and_flags_in_text_and_json(
    icmass: Callable[..., Called], told_run: Path, store: Path
) -> None:
    base = ["predict", told_run, store, "--index", "2-5"]
    mine = icmass(*base, "--json").document
    assert mine["prior"]["kind"] == "training"
    assert [row["flagged"] for row in mine["clusters"]] == [False, True, True, False]
    assert any("2 of 4 clusters are unlike" in w and w.endswith("3, 4.") for w in mine["warnings"])
    flat = icmass(*base, "--prior", "flat", "--json").document
    for before, after in zip(mine["clusters"], flat["clusters"], strict=True):
        assert after["ln_m500c"] > before["ln_m500c"]
    assert not any("drawn towards" in line for line in flat["assumptions"])
    text = icmass(*base, "--prior", "mass-function:om0=0.3")
    assert text.status == 0, text.err
    assert "Prior of the mass: halo mass function of Tinker et al. 2008" in text.out
    assert "om0 = 0.3, sigma8 = 0.809" in text.out and "3 (flagged)" in text.out
    one = icmass("predict", told_run, store, "--index", "3").out
    assert "2.50, flagged" in one and "Flagged: this cluster, at 2.50, is unlike" in one
    assert "Prior of the mass: the training set's masses" in one


def test_samples_are_of_the_posterior_and_seeded(
    icmass: Callable[..., Called], told_run: Path, store: Path
) -> None:
    base = ["predict", told_run, store, "--index", "2-3", "--samples", "4000", "--json"]
    row = icmass(*base).document["clusters"][1]
    drawn = np.array(row["ln_m500c_samples"])
    assert drawn.shape == (4000,)
    assert drawn.mean() == pytest.approx(row["ln_m500c"], abs=4 * row["ln_m500c_std"] / 63)
    assert drawn.std() == pytest.approx(row["ln_m500c_std"], rel=0.06)
    again, other = (icmass(*base, "--seed", seed).document["clusters"][1] for seed in (0, 1))
    assert again["ln_m500c_samples"] == row["ln_m500c_samples"] != other["ln_m500c_samples"]
    refused = icmass("predict", told_run, store, "--samples", "3")
    assert refused.status == 2 and "--samples: only --json prints samples" in refused.err


# ---------------------------------------------------------------- bundled models


@pytest.fixture
def bundle(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package folder: two folds as the default family's member, a saved model, an empty one."""
    import shutil

    folder = tmp_path / "package" / "models"
    shutil.copytree(run / "models" / "icm-3band", folder / MEMBER)
    shutil.copytree(run / "models" / "N_phot" / "fold-0", folder / "counts")
    scores = {"estimators": [{"name": "icm-3band", "kind": "network", "sigma_lnm": 0.321}]}
    (folder / MEMBER / "results.json").write_text(json.dumps(scores))
    (folder / "families.json").write_text(json.dumps({bundled.DEFAULT_MODEL: [MEMBER]}))
    (folder / "empty").mkdir()
    monkeypatch.setattr(bundled, "bundled_folder", lambda: folder)
    return folder


def test_with_no_model_named_the_bundled_one_is_used(
    icmass: Callable[..., Called], bundle: Path, run: Path, store: Path, sky: Path, toy_survey: Any
) -> None:
    assert bundled.bundled_models() == {n: bundle / n for n in ("counts", MEMBER)}
    expected = icmass("predict", run, store, "--index", CLUSTER, "--json").document["clusters"]
    for args in ([store], [bundled.DEFAULT_MODEL, store], [MEMBER, store]):
        found = icmass("predict", *args, "--index", CLUSTER, "--json").document
        assert found["clusters"] == expected
        assert found["model"]["folder"] == str(bundle / MEMBER)
        assert found["model"].get("member", MEMBER) == MEMBER
        assert ("family" in found["model"]) == (args[0] != MEMBER)
        assert (found["model"]["members"], found["model"]["sigma_lnm"]) == (2, 0.321)
    image = icmass("predict", *from_sky(sky, toy_survey, "--json"))
    assert image.status == 0, image.err
    assert image.document["clusters"][0]["photons"] == expected[0]["photons"]
    counts = icmass("predict", "counts", store, "--index", CLUSTER, "--json").document
    assert counts["model"]["name"] == "N_phot"


def test_a_folder_on_disk_comes_before_a_bundled_model(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert bundled.model_folder("counts") == bundle / "counts"
    (tmp_path / "counts").mkdir()
    assert bundled.model_folder("counts") == Path("counts")


def test_bundled_models_that_are_not_there(
    icmass: Callable[..., Called],
    store: Path,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    default = bundled.DEFAULT_MODEL
    known = f"or a bundled one: counts, {MEMBER}, {default}"
    assert known in icmass("predict", "erosita", store).err
    monkeypatch.setattr(bundled, "bundled_folder", lambda: tmp_path / "none")
    for args, message in [
        ([store], f"bundled model {default}: is not in this installation; name the folder"),
        ([default, store], f"bundled model {default}: is not in this installation"),
        (["counts", store], "counts: no such folder; name the folder"),
        ([], "give one survey, event files, or --images"),
    ]:
        called = icmass("predict", *args)
        assert called.status == 2 and message in called.err, called.err
        assert called.err.count("\n") == 1 and not called.out


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


def test_images_without_a_map(
    icmass: Callable[..., Called], run: Path, sky: Path, toy_survey: xr.Dataset
) -> None:
    args = from_sky(sky, toy_survey, "--json")
    at = args.index("--expmap")
    without = [*args[:at], *args[at + 2 :]]
    mapped = icmass("predict", run, *args).document["clusters"][0]
    given = icmass("predict", run, *without, "--exposure", "2000").document["clusters"][0]
    assert given["ln_m500c"] == mapped["ln_m500c"] and given["exposure_s"] == 2000
    for more, message in (
        ([], "--expmap: is missing; give exposure maps, or --exposure SECONDS"),
        (["--exposure", "9", "--expmap-kind", "vignetted"], "--expmap-kind: says what --expmap"),
    ):
        called = icmass("predict", run, *without, *more)
        assert called.status == 2 and message in called.err and called.err.count("\n") == 1


def test_a_store_is_one_whatever_it_is_called(
    icmass: Callable[..., Called], run: Path, store: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "survey"
    shutil.copytree(store, plain)
    expected = icmass("predict", run, store, "--index", "0", "--json").document["clusters"]
    assert icmass("predict", run, plain, "--index", "0", "--json").document["clusters"] == expected
    two = icmass("predict", run, plain, store)
    assert two.status == 2 and "give one survey" in two.err
    plain.rename(tmp_path / "a.zarr.partial")
    for name in ("a.zarr.partial", "a.zarr"):
        unfinished = icmass("predict", run, tmp_path / name)
        assert unfinished.status == 2 and "is unfinished" in unfinished.err


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


def test_a_proxy_of_photons_is_read_off_images(
    icmass: Callable[..., Called], run: Path, sky: Path, store: Path, toy_survey: xr.Dataset
) -> None:
    args = ("--model", "N_phot", "--json")
    of_images = icmass("predict", run, *from_sky(sky, toy_survey, *args)).document
    of_survey = icmass("predict", run, store, "--index", CLUSTER, *args).document
    found, known = (d["clusters"][0]["ln_m500c"] for d in (of_images, of_survey))
    assert found == pytest.approx(known, abs=0.02)  # photons are placed anew in their pixels
    with pytest.raises(InputError, match="reads no maps"):
        replace(load_ensemble(run, model="N_phot"), training=WITHOUT_MAPS).map_grid()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--redshift", "0.5"], "redshift: 0.5 is outside the training range"),
        (["--model", "icm-9band"], "'icm-9band' isn't in this run; it has N_phot, icm-3band"),
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
        ([run], "give one survey, event files, or --images"),
        ([run, store, "--images", image], "give one survey, event files, or --images"),
        ([run, "--images", image, "--ra", 140], "--dec, --redshift: is missing"),
        ([tmp_path, store], "holds no finished model"),
        ([tmp_path / "gone", store], "no such folder"),
        ([run, tmp_path / "gone.zarr"], "no such survey"),
        ([run, store, "--index", "96"], "toy.zarr has 96 clusters, 0 to 95"),
        ([run, store, "--index", "x"], "'x' is no cluster"),
        ([run, store, "--mask", image], "--mask: a SURVEY has its own"),
        ([run, store, "--nh", "20"], "--nh: a SURVEY has its own"),
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
        load_estimator(config.parent)
    (copy / "results.json").write_text("{}")
    config.write_text(text)
    assert "results.json: estimators: Field required" in icmass("predict", copy, store).err
    (copy / "results.json").unlink()
    assert "choose with --model: N_phot, icm-3band" in icmass("predict", copy, store).err


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("exposure", 0.0, "is 0, and must be positive"),
        ("exposure", np.nan, "is nan"),
        ("exposure", -5.0, "is -5, and must be positive"),
        ("exposure", 1e-60, ""),
        ("nh", np.nan, "is nan"),
        ("nh", 5e22, "is 5e+22, not 0 to 3000e20 cm^-2"),
    ],
)
def test_one_bad_cluster_does_not_lose_the_others(
    icmass: Callable[..., Called], run: Path, toy_survey: xr.Dataset, tmp_path: Path,
    variable: str, value: float, said: str,
) -> None:  # fmt: skip
    survey = toy_survey.isel(cluster=slice(5)).copy(deep=True)
    survey[variable][2] = value
    survey.to_zarr(tmp_path / "bad.zarr")
    done = icmass("predict", run, tmp_path / "bad.zarr", "--json")
    assert [cluster["cluster"] for cluster in done.document["clusters"]] == [0, 1, 3, 4]
    field = f"variable {variable}: {said}\n" if said else "model icm-3band: gives no mass"
    assert f"cluster 2: {field}" in done.err


@pytest.mark.parametrize("bad", [[], [17], [0, 95], range(96)])
def test_bad_clusters_are_found_by_halves(
    run: Path, toy_survey: xr.Dataset, bad: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_ensemble(run, model="N_phot")
    survey = toy_survey.copy(deep=True)
    survey["exposure"][list(bad)] = np.nan
    good = np.setdiff1d(np.arange(96), list(bad))
    asked, predict = [], Ensemble.predict

    def counted(self: Ensemble, survey: xr.Dataset, index: np.ndarray, *rest: Any) -> Any:
        asked.append(len(index))
        return predict(self, survey, index, *rest)

    monkeypatch.setattr(Ensemble, "predict", counted)
    if not len(good):
        with pytest.raises(InputError, match="exposure: is not finite for 96 of 96"):
            model.predict_all(survey, np.arange(96))
        return
    rows, found, failed = model.predict_all(survey, np.arange(96))
    assert rows.tolist() == good.tolist() and set(failed) == set(map(str, bad))
    assert all(str(error) == "variable exposure: is nan" for error in failed.values())
    np.testing.assert_array_equal(found.mean, predict(model, survey, good).mean)
    assert len(asked) <= 2 + 2 * 7 * len(bad)


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
