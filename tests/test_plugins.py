"""Packages outside ours: an estimator, a reader, an instrument and a variant by entry points."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy.table import Table

from conftest import RunCli, ended, forked_command
from icmass import plugins
from icmass.errors import InputError
from icmass.estimators.estimator import Estimator
from icmass.estimators.registry import known_names, load_estimator, make_estimator, of_class
from icmass.estimators.registry import register as register_estimator
from icmass.io.photon_tables import read_table
from icmass.survey.catalog import open_survey
from icmass.survey.variants import apply_variants, list_variants
from icmass.telescope.instrument import load_instrument

#: The example of an estimator and of a reader: what CONTRIBUTING.md shows is what is run.
ESTIMATOR, READER = re.findall(
    r"```python\n(.*?)```",
    (Path(__file__).parents[1] / "CONTRIBUTING.md")
    .read_text(encoding="utf-8")
    .split("### Worked")[1],
    flags=re.DOTALL,
)
TABLES = """
from astropy.table import Table


def table(path):
    return Table.read(path, format="ascii.fixed_width_two_line")
"""
OTHERS = """
from pathlib import Path
from icmass.survey.variants import Variant

INSTRUMENT = Path(__file__).with_name("dish.json")
THIN = Variant("thin-gas", "half the gas", "nobody", {"gas": {"f_gas": 0.06}})
"""
ENTRIES = """[icmass.estimators]
typical = outsider.typical:Typical
broken = outsider.nothing_here:Nothing
number = outsider.others:INSTRUMENT
[icmass.readers]
*.npz = outsider.reader:photons
*.rows = outsider.tables:table
*.bad = outsider.others:Nothing
[icmass.instruments]
dish = outsider.others:INSTRUMENT
[icmass.variants]
thin-gas = outsider.others:THIN
"""


@pytest.fixture
def outsider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that is installed in a folder of its own: modules, and what its wheel says."""
    home = tmp_path / "site"
    package, info = home / "outsider", home / "outsider-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").write_text("")
    modules = {"typical": ESTIMATOR, "reader": READER, "tables": TABLES, "others": OTHERS}
    for name, text in modules.items():
        (package / f"{name}.py").write_text(text)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    erosita = Path(plugins.__file__).parent / "telescope" / "data" / "erosita.json"
    facts = json.loads(erosita.read_text())
    facts["name"] = "dish"
    facts["area"]["onaxis_cm2"] = [10 * area for area in facts["area"]["onaxis_cm2"]]
    (package / "dish.json").write_text(json.dumps(facts))
    monkeypatch.syspath_prepend(str(home))
    yield home
    for name in [name for name in sys.modules if name.partition(".")[0] == "outsider"]:
        del sys.modules[name]


def write_photons(path: Path) -> np.ndarray:
    """Write 4000 photons about (150, 2) as an archive of NumPy; return their energies."""
    rng = np.random.default_rng(4)
    energy = rng.uniform(0.3, 6.0, 4000)
    ra, dec = 150.0 + 0.03 * rng.normal(size=4000), 2.0 + 0.03 * rng.normal(size=4000)
    np.savez(path, energy=energy, ra=ra, dec=dec, area=1000.0, time=200_000.0)
    return energy


@pytest.mark.usefixtures("outsider")
def test_an_estimator_of_another_package_is_in_a_benchmark(
    toy_survey: xr.Dataset, tmp_path: Path, run_cli: RunCli
):
    toy_survey.to_zarr(tmp_path / "x.zarr", consolidated=False)
    run = tmp_path / "run"
    out = ("--folds", 2, "--out", run)
    done = run_cli("benchmark", tmp_path / "x.zarr", "--models", "typical,L_X", *out)
    assert done.returncode == 0, done.stderr
    rows = {
        row["name"]: row for row in json.loads((run / "results.json").read_text())["estimators"]
    }
    typical = rows["typical"]
    assert (typical["kind"], typical["inputs"], typical["n_parameters"]) == ("observed", [], 2)
    scatter = np.log(toy_survey["m500c"].values).std()
    # its two folds have other means, a little off that of all
    assert typical["sigma_lnm"] == pytest.approx(scatter, rel=0.1)
    assert typical["sigma_paper"] == pytest.approx(typical["sigma_lnm"], rel=1e-12)
    assert typical["sigma_lnm"] > rows["L_X"]["sigma_lnm"]
    told = json.loads(run_cli("predict", run, tmp_path / "x.zarr", "--model", "typical", "--index",
                              "0", "--json").stdout)  # fmt: skip
    assert told["model"]["name"] == "typical" and told["model"]["members"] == 2
    other = run_cli("explain", run, "--model", "typical")
    assert other.returncode == 2 and "is no network" in other.stderr


@pytest.mark.usefixtures("outsider")
def test_an_estimator_of_another_package_is_saved_and_loaded(
    toy_survey: xr.Dataset, tmp_path: Path
):
    estimator = make_estimator("typical")
    assert isinstance(estimator, Estimator) and "typical" in known_names()
    with pytest.raises(InputError, match="has not been fitted"):
        estimator.predict(toy_survey, np.arange(2))
    estimator.fit(toy_survey, np.arange(48))
    estimator.save(tmp_path / "model")
    again = load_estimator(tmp_path / "model")
    assert again.info == estimator.info
    trained = again.info.training
    assert trained is not None and trained.n_train == 48 and trained.maps is None
    found = again.predict(toy_survey, np.arange(48, 96))
    ln_m = np.log(toy_survey["m500c"].values[:48])
    assert np.array_equal(found.mean, np.full(48, ln_m.mean()))
    assert np.array_equal(found.std, np.full(48, ln_m.std()))
    (tmp_path / "model" / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match="is not a saved typical estimator"):
        load_estimator(tmp_path / "model")


def test_a_saved_model_whose_package_is_gone(toy_survey: xr.Dataset, tmp_path: Path):
    config = {"estimator": "typical"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"known: proxy, network.*install the package"):
        load_estimator(tmp_path)


@pytest.mark.usefixtures("outsider")
def test_a_reader_of_another_package_is_used(tmp_path: Path, run_cli: RunCli):
    energy = write_photons(tmp_path / "a.npz")
    out, how = tmp_path / "x.zarr", ("--no-background", "--no-response", "--no-psf")
    # more area and time than ours: nine tenths and more of the photons are not collected
    done = run_cli("ingest", "photons", tmp_path / "a.npz", "--out", out, "--exposure", "50000",
                   "--bands", "0.5-2", *how)  # fmt: skip
    assert done.returncode == 0, done.stderr
    survey = open_survey(out)
    assert float(survey["redshift"][0]) == 0.2 and float(survey["ra"][0]) == 150.0
    inside = energy[(energy >= 0.5) & (energy < 2)]
    kept = load_instrument("erosita").area_cm2(inside) * 50_000 / (1000.0 * 200_000)
    expected, found = kept.sum(), float(survey["maps"].sum())
    assert expected > 100
    # a binomial of each photon; the map holds all within 2.3 Mpc/h, 20 sigma of the cloud
    assert abs(found - expected) < 5 * np.sqrt(expected)


@pytest.mark.usefixtures("outsider")
def test_a_table_of_another_package_names_the_files(tmp_path: Path, run_cli: RunCli):
    for name in ("a.npz", "b.npz"):
        write_photons(tmp_path / name)
    rows = Table({"file": ["a.npz", "b.npz"], "redshift": [0.1, 0.3]})
    rows.write(tmp_path / "clusters.rows", format="ascii.fixed_width_two_line")
    assert read_table(tmp_path / "clusters.rows")["redshift"].values.tolist() == [0.1, 0.3]
    done = run_cli("ingest", "photons", "--table", tmp_path / "clusters.rows",
                   "--out", tmp_path / "x.zarr")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert open_survey(tmp_path / "x.zarr")["redshift"].values.tolist() == [0.1, 0.3]


@pytest.mark.usefixtures("outsider")
@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: path.write_bytes(b"no archive"), "the reader of *.npz fails"),
        (lambda path: None, "no such file"),
        (
            lambda path: np.savez(path, energy=[-1.0], ra=[150.0], dec=[2.0], area=1.0, time=1.0),
            "photons, ENERGY: 1 values such as -1",
        ),
    ],
)
def test_a_file_that_a_plugin_cannot_read_is_one_line(
    write: object, said: str, tmp_path: Path, run_cli: RunCli
):
    file = tmp_path / "a.npz"
    write(file)  # type: ignore[operator]
    done = run_cli("ingest", "photons", file, "--out", tmp_path / "x.zarr")
    errors = [line for line in done.stderr.splitlines() if "clusters, " not in line]  # progress
    assert done.returncode == 2 and len(errors) == 1 and said in errors[0], done.stderr
    assert not (tmp_path / "x.zarr").exists()


@pytest.mark.usefixtures("outsider")
def test_an_instrument_and_a_variant_of_another_package():
    ratio = load_instrument("dish").area_cm2(1.5) / load_instrument("erosita").area_cm2(1.5)
    assert ratio == pytest.approx(10)
    assert apply_variants({}, ["thin-gas"]) == {"gas": {"f_gas": 0.06}}
    assert "thin-gas" in list_variants()
    with pytest.raises(InputError, match=r"use .*thin-gas"):
        apply_variants({}, ["no-gas"])
    with pytest.raises(InputError, match=r"use .*erosita.*dish"):
        load_instrument("dishes")


@pytest.mark.usefixtures("outsider")
def test_a_broken_plugin_is_a_line_and_no_crash(caplog: pytest.LogCaptureFixture, tmp_path: Path):
    plugins._SAID.clear()
    with caplog.at_level(logging.WARNING, "icmass"):
        for _ in range(2):
            with pytest.raises(InputError, match="broken"):
                make_estimator("broken")
        with pytest.raises(InputError, match="number"):
            make_estimator("number")
        with pytest.raises(InputError, match=r"ends in '\.bad'"):
            (tmp_path / "a.bad").write_text("words")
            read_table(tmp_path / "a.bad")
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == (
        "icmass: plugin broken of outsider (icmass.estimators) cannot be used: "
        "ModuleNotFoundError: No module named 'outsider.nothing_here'"
    )
    assert "is no class of estimators" in lines[1]
    assert "plugin *.bad of outsider (icmass.readers)" in lines[2] and len(lines) == 3


@pytest.mark.usefixtures("outsider")
def test_a_broken_plugin_on_the_command_line(tmp_path: Path):
    """Two lines on standard error: what is wrong with the plugin, and that there is no such one."""
    plugins._SAID.clear()
    words = ("train", "--n", "40", "--model", "broken", "--out", "m")
    with (tmp_path / "stdout").open("w") as out, (tmp_path / "stderr").open("w") as err:
        child = forked_command(*words, cwd=tmp_path, stdout=out.fileno(), stderr=err.fileno())
        status = ended(child)
    stderr = (tmp_path / "stderr").read_text()
    said = stderr.splitlines()
    assert status == 2 and len(said) == 2 and "Traceback" not in stderr
    assert said[0].startswith(
        "icmass: plugin broken of outsider (icmass.estimators) cannot be used"
    )
    assert "no such estimator: 'broken'" in said[1]


def test_built_in_names_come_before_plugins(outsider: Path):
    (outsider / "outsider-1.0.dist-info" / "entry_points.txt").write_text(
        "[icmass.estimators]\nL_X = outsider.typical:Typical\n"
    )
    plugins._found_on.cache_clear()
    assert make_estimator("L_X").info.proxies == ("L_X",)
    assert known_names().count("L_X") == 1


def test_a_key_is_registered_once():
    with pytest.raises(ValueError, match="registered already"):
        register_estimator(of_class("proxy", "nowhere:Nothing"))
