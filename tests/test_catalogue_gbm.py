"""Masses from the columns of a catalogue: the estimator, and the command on top of it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy.table import Table

import icmass
from conftest import RunCli
from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.estimators.catalogue_features import FEATURES, GROUPS, catalogue_features, drop_columns
from icmass.estimators.catalogue_gbm import CatalogueGBM
from icmass.estimators.registry import load_estimator, make_estimator
from icmass.inference.bundled import DEFAULT_MODEL
from icmass.survey.catalogue_rows import blank_rows

COSMOLOGY = Cosmology()
SCATTER, SLOPE = 0.3, 1.6


def power_law_rows(n: int, seed: int) -> xr.Dataset:
    """Return rows whose luminosity is a power law of mass with scatter, and Poisson counts."""
    rng = np.random.default_rng(seed)
    ln_m = rng.uniform(np.log(3e13), np.log(8e14), n)
    redshift, exposure = (
        rng.uniform(0.05, 0.7, n),
        np.exp(rng.uniform(np.log(200), np.log(3000), n)),
    )
    ln_l = SLOPE * (ln_m - np.log(2e14)) + SCATTER * rng.standard_normal(n)
    distance = (1 + redshift) * COSMOLOGY.comoving_distance(redshift) / 1000
    rate = 0.15 * np.exp(ln_l) / distance**2
    counts = rng.poisson(rate * exposure + 5.0) - 5.0
    columns = {
        "redshift": redshift,
        "exposure": exposure,
        "rate": np.maximum(counts, 0) / exposure,
        "extent": np.clip(20 * np.exp(0.3 * rng.standard_normal(n)), 8, 60),
        "extent_likelihood": np.maximum(counts, 1) / 8,
        "detection_likelihood": np.maximum(counts, 1) / 3,
        "nh": rng.uniform(1, 6, n),
        "rate_300kpc": 0.7 * np.maximum(counts, 0) / exposure,
        "rate_r500c": np.maximum(counts, 0) / exposure,
    }
    for band, share in enumerate((0.1, 0.4, 0.4, 0.1), start=1):
        columns[f"rate_p{band}"] = rng.poisson(np.maximum(counts, 0) * share) / exposure
    rows = blank_rows(columns, COSMOLOGY)
    rows["m500c"], rows["halo_id"] = ("cluster", np.exp(ln_m)), ("cluster", np.arange(n))
    rows["detected"] = ("cluster", counts > 20)
    rows.attrs |= {"preset": "power law", "seed": seed, "version": "test", "config": "{}"}
    return rows


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = make_estimator("catalogue-gbm", seed=2)
    survey = power_law_rows(2500, 1)
    model.fit(survey, np.arange(2500))
    folder = tmp_path_factory.mktemp("model") / "rows"
    model.save(folder)
    return folder


@pytest.fixture(scope="module")
def held_out() -> xr.Dataset:
    rows = power_law_rows(1500, 9)
    return rows.isel(cluster=np.flatnonzero(rows["detected"].values))


def _table(rows: xr.Dataset) -> Table:
    names = {"redshift": "z", "rate": "ML_RATE", "exposure": "ML_EXP", "extent": "EXT"}
    names |= {"extent_likelihood": "EXT_LIKE", "detection_likelihood": "DET_LIKE"}
    return Table({name: rows[of].values for of, name in names.items()})


def test_it_is_as_good_as_the_relation_allows(model_folder: Path, held_out: xr.Dataset) -> None:
    """Bright rows: scatter of ln L over its slope, 0.19, with what counts add; error 4 per cent."""
    model = load_estimator(model_folder)
    ln_m = np.log(held_out["m500c"].values)
    prediction = model.predict(held_out, np.arange(len(ln_m)))
    residual = prediction.mean - ln_m
    bright = held_out["rate"].values * held_out["exposure"].values > 200
    assert 0.15 < residual[bright].std() < 1.25 * SCATTER / SLOPE
    inside = np.abs(prediction.cdf(ln_m) - 0.5) < 0.34
    assert abs(inside.mean() - 0.68) < 4 * np.sqrt(0.68 * 0.32 / len(ln_m)) + 0.03
    assert (np.asarray(prediction.out_of_domain) > 1).mean() < 0.03


def test_missing_columns_widen_and_do_not_bias(model_folder: Path, held_out: xr.Dataset) -> None:
    model = load_estimator(model_folder)
    ln_m = np.log(held_out["m500c"].values)
    kept = {"redshift", "rate", "exposure"}
    sparse = held_out.assign(
        {name: held_out[name] * np.nan for name in model.inputs if name not in kept}
    )
    whole, less = (model.predict(rows, np.arange(len(ln_m))) for rows in (held_out, sparse))
    assert less.std.mean() > 0.98 * whole.std.mean()
    assert abs((less.mean - ln_m).mean()) < 0.05
    inside = np.abs(less.cdf(ln_m) - 0.5) < 0.34
    assert abs(inside.mean() - 0.68) < 4 * np.sqrt(0.68 * 0.32 / len(ln_m)) + 0.03


def test_saved_and_loaded_it_is_the_same(model_folder: Path, held_out: xr.Dataset) -> None:
    again = load_estimator(model_folder)
    assert isinstance(again, CatalogueGBM) and again.info.mass_prior is not None
    files = {file.name for file in model_folder.iterdir()}
    assert files == {"model.safetensors", "config.json", "README.md"}
    first = again.predict(held_out, np.arange(5))
    second = load_estimator(model_folder).predict(held_out, np.arange(5))
    np.testing.assert_array_equal(first.density, second.density)


def test_a_row_unlike_all_is_flagged(model_folder: Path, held_out: xr.Dataset) -> None:
    odd = held_out.isel(cluster=[0]).copy(deep=True)
    odd["rate"][:] = 300.0
    odd["extent_likelihood"][:] = 0.5
    score = load_estimator(model_folder).predict(odd, np.array([0])).out_of_domain
    assert score is not None and score[0] > 1


def test_features_of_known_values() -> None:
    """A source of 0.1 count/s at redshift 0.3: luminosity and kpc by astropy's distances."""
    columns = {"redshift": [0.3], "rate": [0.1], "exposure": [1000.0], "extent": [30.0]}
    rows = blank_rows({k: np.array(v) for k, v in columns.items()}, COSMOLOGY)
    found = dict(zip(FEATURES, catalogue_features(rows, np.array([0]))[0], strict=True))
    astropy = COSMOLOGY.astropy
    gpc_h = astropy.luminosity_distance(0.3).value * COSMOLOGY.h / 1000
    assert found["ln_luminosity_rate"] == pytest.approx(np.log(0.1 * gpc_h**2), abs=1e-4)
    kpc = 30 / 60 * astropy.kpc_proper_per_arcmin(0.3).value * COSMOLOGY.h
    assert found["ln_extent_kpc"] == pytest.approx(np.log(kpc), abs=1e-4)
    assert found["ln_counts"] == pytest.approx(np.log(100))
    assert np.isnan(found["nh"]) and np.isnan(found["share_p1"])


def test_dropped_columns_leave_one_rate() -> None:
    features = np.ones((4000, len(FEATURES)))
    made = drop_columns(features, np.random.default_rng(1), 4)
    assert made.shape == (16000, len(FEATURES)) and not np.isnan(made[:4000]).any()
    lost = np.isnan(made[4000:])
    rates = [FEATURES.index(GROUPS[name][0]) for name in ("rate", "rate_r500c", "rate_300kpc")]
    assert not lost[:, rates].all(1).any()
    assert 0.2 < lost[:, FEATURES.index("nh")].mean() < 1.0
    assert not lost[:, 0].any()


def test_the_command_writes_a_row_for_each_source(
    model_folder: Path, held_out: xr.Dataset, tmp_path: Path, run_cli: RunCli
) -> None:
    table = _table(held_out.isel(cluster=slice(0, 30)))
    table["ID"] = [f"c{i}" for i in range(30)]
    table["z"][3], table["EXT"][4], table["EXT_LIKE"][4] = np.nan, 0.0, 0.0
    table["z"][5], table["DET_LIKE"][6] = 1.4, 5.1
    table.write(tmp_path / "rows.fits")
    for name in ("m.csv", "m.fits", "m.json"):
        done = run_cli(
            "predict", model_folder, "--catalogue", tmp_path / "rows.fits", "--out", tmp_path / name
        )
        assert done.returncode == 0, done.stderr
    assert "1 of 29 rows have no mass: no redshift (c3)" in done.stderr
    assert "1 rows are point sources" in done.stderr
    assert "outside the training range" in done.stderr
    found = Table.read(tmp_path / "m.csv", format="ascii.csv")
    assert [str(i) for i in found["id"]] == [f"c{i}" for i in range(30) if i != 4]
    mass = np.ma.filled(np.ma.asarray(found["m500c_msun_h_median"], float), np.nan)
    lost = [str(name) for name, m in zip(found["id"], mass, strict=True) if not np.isfinite(m)]
    assert lost == ["c3", "c5", "c6"]
    by_name = dict(zip((str(i) for i in found["id"]), found, strict=True))
    assert by_name["c3"]["reasons"] == "no redshift"
    assert "3 sigma" in by_name["c6"]["reasons"] and by_name["c6"]["m500c_below_msun_h"] > 0
    document = json.loads((tmp_path / "m.json").read_text())
    assert document["catalogue"]["with_mass"] == 27 and len(document["failed"]) == 2
    first = document["clusters"][0]
    ratio = first["m500c_1e14_msun_h"]["median"] / first["m500c_1e14_msun"]["median"]
    assert ratio == pytest.approx(COSMOLOGY.h)


def test_a_catalogue_in_memory_is_that_of_its_file(
    model_folder: Path, held_out: xr.Dataset, tmp_path: Path
) -> None:
    table = _table(held_out.isel(cluster=slice(0, 30)))
    table["ML_RATE"].unit = "ct / s"
    table["Z"] = np.ma.array(table["z"], mask=np.arange(30) == 3)
    del table["z"]
    table.write(tmp_path / "rows.fits")
    tables = [table, tmp_path / "rows.fits"]
    found, of_file = (icmass.predict(catalogue=t, model=model_folder) for t in tables)
    np.testing.assert_array_equal(found.median, of_file.median)
    assert len(found) == 29 and list(found.failed) == ["row 3"]
    assert (found.inputs, of_file.inputs) == ((), (tmp_path / "rows.fits",))
    facts, of_facts = (dict(one.document["catalogue"]) for one in (found, of_file))
    assert (facts.pop("in_memory"), of_facts.pop("file")) == ("Table", "rows.fits")
    assert facts == of_facts and facts["rows"] == 30
    for change, said in (
        ({"ML_RATE": np.ones((30, 2))}, "column ML_RATE: is no column of one value a row"),
        ({"DET_LIKE": np.ones((30, 2))}, "column DET_LIKE: is no column of one value a row"),
        ({"EXT": np.zeros(30)}, "catalogue: all 30 rows are point sources"),
        ({"Z": np.full(30, 5.0)}, "catalogue: none of 30 rows could be used: redshift outside"),
    ):
        wrong = table.copy()
        wrong.update(change)
        with pytest.raises(InputError, match=f"^the table: {said}"):
            icmass.predict(catalogue=wrong, model=model_folder)


def test_the_prior_is_replaced(model_folder: Path, held_out: xr.Dataset, tmp_path: Path) -> None:
    _table(held_out.isel(cluster=slice(0, 40))).write(tmp_path / "rows.csv")
    training, steep = (
        icmass.predict(catalogue=tmp_path / "rows.csv", model=model_folder, prior=prior)
        for prior in ("training", "mass-function")
    )
    lower = np.log(steep.median / training.median)
    assert len(training) == 40 and np.nanmean(lower) < -0.01
    assert training.interval(0.68).shape == (40, 2) and training.sample(5).shape == (40, 5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ra", "10"), "--ra"),
        (("--columns", "mass=M"), "--columns"),
        (("--out", "m.png"), "no table"),
        (("--columns", "rate=NONE"), "NONE"),
    ],
)
def test_what_does_not_go_with_a_catalogue(
    arguments: tuple[str, str], said: str, model_folder: Path, held_out: xr.Dataset,
    tmp_path: Path, run_cli: RunCli,
) -> None:  # fmt: skip
    _table(held_out.isel(cluster=slice(0, 5))).write(tmp_path / "rows.csv")
    done = run_cli("predict", model_folder, "--catalogue", tmp_path / "rows.csv", *arguments)
    assert done.returncode == 2 and said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_no_row_with_a_redshift_is_an_error(
    model_folder: Path, held_out: xr.Dataset, tmp_path: Path, run_cli: RunCli
) -> None:
    table = _table(held_out.isel(cluster=slice(0, 5)))
    table["z"] = np.nan
    table.write(tmp_path / "rows.csv")
    done = run_cli("predict", model_folder, "--catalogue", tmp_path / "rows.csv")
    assert done.returncode == 2 and "no redshift" in done.stderr.splitlines()[-1]


def test_columns_go_with_a_catalogue(run_cli: RunCli) -> None:
    done = run_cli("predict", "--columns", "rate=A", "x.fits")
    assert done.returncode == 2 and "--catalogue" in done.stderr


def test_a_model_of_maps_reads_no_catalogue(held_out: xr.Dataset, tmp_path: Path) -> None:
    _table(held_out.isel(cluster=slice(0, 5))).write(tmp_path / "rows.csv")
    with pytest.raises(InputError, match="no catalogue has that"):
        icmass.predict(catalogue=tmp_path / "rows.csv", model="erosita-v1")
    for family in (DEFAULT_MODEL, icmass.load_model()):
        with pytest.raises(InputError, match=f"model {DEFAULT_MODEL}: reads maps, not catalogues"):
            icmass.predict(catalogue=tmp_path / "rows.csv", model=family)


@pytest.mark.slow
def test_a_large_catalogue_takes_seconds(
    model_folder: Path, held_out: xr.Dataset, tmp_path: Path
) -> None:
    """As many rows as 3eRASS has extended sources, 63,796, in a minute of processor time."""
    few = _table(held_out)
    table = few[np.arange(63_796) % len(few)]
    table.write(tmp_path / "rows.fits")
    began = time.process_time()
    masses = icmass.predict(catalogue=tmp_path / "rows.fits", model=model_folder)
    assert len(masses) == 63_796
    assert time.process_time() - began < 60
