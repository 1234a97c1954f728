"""What a command writes: never over what it reads, and refused before the work is done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy.table import Table

import icmass
from conftest import RunCli
from event_files import DEC, RA, REDSHIFT, good, write
from icmass.errors import InputError
from icmass.survey.store import check_new_store
from icmass.survey.writers.files import check_folder, check_new_file

PLACE = ("--ra", RA, "--dec", DEC, "--redshift", REDSHIFT)
OVER = "would be written over an input"


@pytest.fixture
def events(tmp_path: Path) -> Path:
    return write(tmp_path / "e.fits", good(400))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    values = {"ra": [RA], "dec": [DEC], "z": [REDSHIFT]}
    Table(values).write(tmp_path / "t.ecsv", format="ascii.ecsv")
    return tmp_path / "t.ecsv"


def catalogue(file: Path) -> Path:
    values = {"id": ["a"], "CR500": [0.5], "redshift": [0.2]}
    Table(values).write(file, format="ascii.csv")
    return file


def test_an_input_is_known_by_any_name(tmp_path: Path) -> None:
    file = tmp_path / "a.fits"
    file.write_text("photons")
    (tmp_path / "link.fits").symlink_to(file)
    (tmp_path / "hard.fits").hardlink_to(file)
    for out in (file, tmp_path / "link.fits", tmp_path / "hard.fits", tmp_path / "b" / ".." / file):
        with pytest.raises(InputError, match=f"{OVER}; choose another name"):
            check_new_file(out, overwrite=True, inputs=[tmp_path / "none.fits", file])
    other = tmp_path / "other.fits"
    other.write_text("")
    assert check_new_file(other, overwrite=True, inputs=[file]) == other
    store = tmp_path / "x.zarr"
    store.mkdir()
    (store / "t.csv").write_text("")
    with pytest.raises(InputError, match=f"x.zarr: {OVER}, .*t.csv"):
        check_new_store(store, overwrite=True, inputs=[store / "t.csv"])
    assert check_new_store(store, overwrite=True, inputs=[file]) == store


def test_a_folder_to_write_into_is_none_below_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert check_folder(tmp_path / "new" / "deep") == tmp_path / "new" / "deep"
    for folder in (file, file / "deep"):
        with pytest.raises(InputError, match="file: --out: is a file, no folder".replace("--", "")):
            check_folder(folder, "--out")
    with pytest.raises(InputError, match="file: is a file, no folder; choose another name"):
        check_new_file(file / "m.fits")


def test_predict_writes_over_none_of_its_inputs(
    events: Path, table: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    kept = events.read_bytes(), table.read_bytes()
    for words in (
        (events, *PLACE, "--out", events),
        (events, *PLACE, "--likelihood", events),
        (events, "--table", table, "--out", table),
        (events, *PLACE, "--mask", table, "--out", table),
        ("--catalogue", table, "--out", table),
    ):
        done = run_cli("predict", *words, "--overwrite")
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert f"{OVER}; choose another name" in done.stderr
    assert kept == (events.read_bytes(), table.read_bytes())
    done = run_cli("predict", events, *PLACE, "--out", "q.fits", "--likelihood", "./q.fits")
    assert done.returncode == 2 and "--out, --likelihood: is one file" in done.stderr


def test_pictures_and_tables_are_refused_before_the_masses(
    events: Path, table: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    for words, said in (
        (
            ("--out", tmp_path / "q.fits", "--pictures", table),
            "is a file, no folder; give a folder",
        ),
        (("--out", tmp_path / "q.gif"), "is no table"),
        (("--out", table), "exists already"),
        (("--out", table / "q.fits"), "no folder; choose another name"),
    ):
        done = run_cli("predict", events, *PLACE, *words)
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "q.fits").exists() and not done.stdout


def test_surveys_and_selections_are_written_over_no_input(
    events: Path, table: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    store = tmp_path / "x.zarr"
    store.mkdir()
    inside = store / "t.ecsv"
    inside.write_bytes(table.read_bytes())
    lists, halos = store / "lists.csv", store / "halos.csv"
    Table({"file": ["a.fits"], "redshift": [0.2]}).write(lists, format="ascii.csv")
    Table({"m500c": [1e14], "redshift": [0.2]}).write(halos, format="ascii.csv")
    for words in (
        ("ingest", "esass", events, "--table", inside, "--out", store),
        ("ingest", "photons", "--table", lists, "--out", store),
        ("simulate", "--catalogue", halos, "--out", store),
        ("simulate", "--n", 1, "--config", inside, "--out", store),
        ("selection", "erass1", "--config", table, "--out", table),
    ):
        done = run_cli(*words, "--overwrite")
        assert (done.returncode == 2 and OVER in done.stderr) or "file" in done.stderr
        assert inside.exists() and table.exists()


def test_masses_know_what_they_were_read_from(events: Path, tmp_path: Path) -> None:
    masses = icmass.predict(events, ra=RA, dec=DEC, redshift=REDSHIFT)
    assert masses.inputs == (events,)
    for wanted in (masses.write, masses.write_likelihood):
        with pytest.raises(InputError, match=OVER):
            wanted(events, overwrite=True)
    assert masses.write(tmp_path / "m.fits").is_file()
    file = catalogue(tmp_path / "c.csv")
    rows = icmass.predict(catalogue=file, columns="rate=CR500,redshift=redshift")
    with pytest.raises(InputError, match=OVER):
        rows.write(file, overwrite=True)


@pytest.mark.parametrize("n", [0, -3, 2.5, "3"])
def test_a_survey_of_no_cluster_is_refused_before_anything_is_written(
    n: object, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"^n: is {n!r}; give a whole number, 1 or more"):
        icmass.simulate("demo", n=n, out=tmp_path / "a.zarr")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_survey_of_a_numpy_integer(tmp_path: Path) -> None:
    survey = icmass.simulate("demo", n=np.int64(1), seed=np.int64(2))  # type: ignore[arg-type]
    assert isinstance(survey, xr.Dataset) and survey.sizes["cluster"] == 1
