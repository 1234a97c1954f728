"""The Python face: quick to import, and what the commands do without a command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from astropy.coordinates import SkyCoord

import icmass
from icmass.survey.stored import store_of
from icmass.survey.tasks import Tasks


def test_the_import_is_lazy_and_names_everything() -> None:
    code = (
        "import sys, icmass\n"
        "heavy = {'torch', 'dask', 'numba', 'xarray', 'matplotlib', 'astropy'}\n"
        "print(sorted(heavy & set(sys.modules)), len(dir(icmass)))\n"
        "import icmass.benchmarking.runner\n"
        "print(callable(icmass.benchmark), callable(icmass.explain))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = {
        *("simulate", "open_survey", "ingest", "export", "benchmark", "train", "load_model"),
        *("predict", "explain", "validate", "rate", "Cosmology", "Masses", "Prediction", "Run"),
        "InputError",
    }
    assert names <= set(dir(icmass))
    assert done.stdout.split("\n")[:2] == [f"[] {len(dir(icmass))}", "True True"]
    assert all(getattr(icmass, name) is not None for name in names)


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    out = tmp_path_factory.mktemp("face") / "x.zarr"
    return icmass.simulate("erosita", n=4, seed=3, out=out)


def test_masses_of_a_survey(survey: xr.Dataset, run_cli: Callable, tmp_path: Path) -> None:
    model = icmass.load_model()
    masses = icmass.predict(survey, model=model, index=[0, 2], prior="flat")
    assert len(masses) == 2 and masses.interval(0.95).shape == (2, 2)
    inside = (masses.interval(0.68)[:, 0] < masses.median) & (
        masses.median < masses.interval(0.68)[:, 1]
    )
    assert inside.all() and masses.sample(500).shape == (2, 500)
    drawn = np.median(masses.sample(4000, seed=1), axis=1)
    np.testing.assert_allclose(drawn, masses.median, rtol=0.05)
    store = survey["maps"].encoding["source"]
    done = run_cli("predict", store, "--index", 0, "--index", 2, "--prior", "flat", "--json")
    assert json.loads(done.stdout)["clusters"] == json.loads(masses.to_json())["clusters"]
    table = masses.to_table()
    assert len(table) == 2 and any("solMass" in str(table[c].unit) for c in table.colnames)
    assert masses.write(tmp_path / "m.ecsv").is_file()
    assert "<table>" in masses._repr_html_() and "2 clusters" in repr(masses)
    assert [row["cluster"] for row in masses] == [0, 2] and len(masses.flags) == 2


def test_events_with_quantities_and_a_place_on_the_sky(survey: xr.Dataset, tmp_path: Path) -> None:
    file = tmp_path / "e.fits"
    made = icmass.export(survey, "events", file, index=[1])
    assert made.files[0] == file and not made.failed
    whole = icmass.predict(file)
    row = next(iter(whole))
    place = SkyCoord(row["ra"] * u.deg, row["dec"] * u.deg)
    redshift = row["redshift"]
    by_place = icmass.predict(file, position=place.galactic, redshift=redshift, nh=3e20 / u.cm**2)
    by_numbers = icmass.predict(file, ra=row["ra"] * u.deg, dec=row["dec"], redshift=redshift)
    for masses in (by_place, by_numbers):
        np.testing.assert_allclose(masses.median, whole.median, rtol=1e-6)


def test_errors_name_the_parameter(survey: xr.Dataset, tmp_path: Path) -> None:
    file = tmp_path / "e.fits"
    icmass.export(survey, "events", file, index=[1])
    with pytest.raises(icmass.InputError, match=r"missing.fits: no such file"):
        icmass.predict(tmp_path / "missing.fits", ra=3.0, dec=4.0)
    with pytest.raises(icmass.InputError, match=r"^redshift: has no redshift .* give 0.001 to 10"):
        icmass.predict(file, ra=3.0, dec=4.0, redshift=-1.0)
    with pytest.raises(icmass.InputError, match=r"index: 7: .* has 4 clusters") as raised:
        icmass.predict(survey, index=[7])
    assert raised.value.parameter == "index" and "--index" in raised.value.command_line
    with pytest.raises(icmass.InputError, match="exists already; choose another name or overwrite"):
        icmass.export(survey, "events", tmp_path / "e.fits", index=[1])
    with pytest.raises(icmass.InputError, match="format: is 'gif'"):
        icmass.export(survey, "gif", tmp_path / "e.gif")


def test_a_run(tmp_path: Path, toy_survey: xr.Dataset) -> None:
    store = tmp_path / "toy.zarr"
    toy_survey.to_zarr(store)
    run = icmass.benchmark(icmass.open_survey(store), ["L_X", "M_gas"], folds=2, out=tmp_path / "r")
    assert run.models == ["L_X", "M_gas"] and run.page is not None and not run.failed
    scores = icmass.Run.open(tmp_path / "r").scores()
    assert list(scores["name"]) == run.models and (scores["sigma_lnm"] > 0).all()
    assert run.survey.sizes == toy_survey.sizes
    with pytest.raises(icmass.InputError, match="survey: is in memory alone"):
        icmass.benchmark(toy_survey.load().copy(deep=True), ["L_X"], folds=2, out=tmp_path / "s")


@pytest.mark.parametrize(
    "changed",
    [
        lambda survey: survey.isel(cluster=slice(0, 3)),
        lambda survey: survey.isel(cluster=[1, 0, 2, 3]),
        lambda survey: survey.assign(m500c=survey.m500c * 2),
        lambda survey: survey.assign(maps=survey.maps * 2),
        lambda survey: survey.drop_vars("nh"),
        lambda survey: survey.assign_attrs(seed=9),
    ],
)
def test_a_survey_that_was_changed_is_not_replaced_by_its_store(
    survey: xr.Dataset, tmp_path: Path, changed: Callable[[xr.Dataset], xr.Dataset]
) -> None:
    given = changed(survey)
    for call in (
        lambda out: icmass.train(given, "L_X", out=out),
        lambda out: icmass.benchmark(given, ["L_X"], folds=2, out=out),
        lambda out: icmass.transfer(survey, given, ["L_X"], out=out),
        lambda out: icmass.export(given, "croissant", out / "c.json"),
    ):
        with pytest.raises(icmass.InputError, match="survey: is no longer what is on disk"):
            call(tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_a_survey_that_was_read_or_copied_is_still_its_store(survey: xr.Dataset) -> None:
    store = Path(survey["maps"].encoding["source"])
    for same in (survey, survey.copy(deep=True), icmass.open_survey(store).load()):
        assert store_of(same) == store


def test_a_survey_in_memory_is_in_memory_alone(tmp_path: Path) -> None:
    with pytest.raises(icmass.InputError, match="survey: is in memory alone"):
        icmass.train(icmass.simulate("demo", n=2), "L_X", out=tmp_path / "o")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"prioor": "flat"}, r"^prioor: is no parameter; is it prior\?"),
        ({"redshift": 0.4, "mask": "gone.fits"}, "^redshift, mask: a SURVEY has its own"),
        ({"nh": 20, "gti": False}, "^nh, gti=False: a SURVEY has its own"),
        ({"novig": "gone.fits"}, "^novig: a SURVEY has its own"),
        ({"store": "x.zarr"}, "^store: goes with event files"),
        ({"prior": 3}, "^prior: 3 is no prior"),
        ({"samples": -1}, "^samples: is -1; give a whole number, 1 or more"),
        ({"seed": -1}, "^seed: is -1; give a whole number, 0 or more"),
        ({"workers": 0}, "^workers: goes with event files"),
    ],
)
def test_what_a_survey_has_no_use_for_is_refused(
    survey: xr.Dataset, given: dict, said: str
) -> None:
    with pytest.raises(icmass.InputError, match=said):
        icmass.predict(survey, **given)


def test_parameters_that_are_as_by_default_are_no_parameters(survey: xr.Dataset) -> None:
    masses = icmass.predict(survey, index=[0], min_visible=0.5, gti=True, prior=None, workers=1)
    assert len(masses) == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda survey: survey.isel(cluster=3), r"variable \w+: has dimensions"),
        (lambda survey: xr.Dataset({}), "attribute format: is None"),
        (lambda survey: 5, "inputs: is of type int, no path"),
        (lambda survey: survey.isel(y=slice(0, 8)), "coordinate y: is not that of x"),
        (lambda survey: survey.assign_coords(y=survey.y * 2), "coordinate y: is not that of x"),
        (
            lambda survey: survey.assign_coords(band=[1.0, 2.0, 3.0]),
            "coordinate band: are no bands",
        ),
    ],
)
def test_what_is_no_survey_is_refused(
    survey: xr.Dataset, changed: Callable[[xr.Dataset], object], said: str
) -> None:
    with pytest.raises(icmass.InputError, match=said):
        icmass.predict(changed(survey))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n": 0}, "^n: is 0; give a whole number, 20 or more"),
        ({"n": 20.5}, "^n: is 20.5"),
        ({"n": 20, "seed": -1}, "^seed: is -1"),
        ({"n": 20, "workers": 0}, "^workers: is 0; give a whole number, 1 or more"),
    ],
)
def test_a_training_that_is_refused_leaves_nothing(tmp_path: Path, given: dict, said: str) -> None:
    with pytest.raises(icmass.InputError, match=said):
        icmass.train(model="L_X", out=tmp_path / "o", **given)
    assert not list(tmp_path.iterdir())


def test_no_workers_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    for given, said in (({"workers": 0}, "^workers: is 0"), ({"seed": -1}, "^seed: is -1")):
        with pytest.raises(icmass.InputError, match=said):
            icmass.simulate("demo", n=1, out=tmp_path / "x.zarr", **given)
    with pytest.raises(icmass.InputError, match=r"^workers: is 0"):
        Tasks(0)
    assert not list(tmp_path.iterdir())


def test_one_name_is_a_list_of_one(tmp_path: Path, toy_survey: xr.Dataset) -> None:
    store = tmp_path / "toy.zarr"
    toy_survey.to_zarr(store)
    run = icmass.benchmark(store, "L_X", folds=2, out=tmp_path / "r")
    assert run.models == ["L_X"]
    with pytest.raises(icmass.InputError, match=r"^a: Extra inputs"):
        icmass.simulate("demo", n=1, assignments="a=b")
    with pytest.raises(icmass.InputError, match="'hotter-than-hot'"):
        icmass.simulate("demo", n=1, variants="hotter-than-hot")
    for wrong in (0, -1):
        with pytest.raises(icmass.InputError, match=f"^max_clusters: is {wrong}"):
            icmass.explain(run, max_clusters=wrong)
    failed = icmass.Run(run.path, run.document.model_copy(update={"estimators": []})).scores()
    assert len(failed) == 0 and {"name", "sigma_lnm"} <= set(failed.colnames)


def test_bands_of_a_member_are_compared_as_numbers_in_any_order(survey: xr.Dataset) -> None:
    model = icmass.load_model("erass-v2-3band")
    labels = ["0.50-1.20", "1.2-2.0", "2-7"]
    expected = icmass.predict(survey, model=model, index=[0]).median
    for same in (
        survey.isel(band=[2, 1, 0]),
        survey.assign_coords(band=labels),
        survey.assign_coords(band=labels).isel(band=[1, 2, 0]),
    ):
        assert icmass.predict(same, model=model, index=[0]).median == expected
    with pytest.raises(icmass.InputError, match=r"bands: 0.5-1.2, 1.2-2; trained on 0.5-1.2, 1.2-"):
        icmass.predict(survey.isel(band=[0, 1]), model=model)
