"""`icmass ingest esass` and `icmass predict` on event files, as users call them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from astropy.table import QTable, Table

import icmass
from event_files import BANDS, DEC, RA, REDSHIFT, draw, good, part, write
from icmass.errors import InputError
from icmass.estimators.registry import make_estimator
from icmass.io.cluster_table import read_cluster_table
from icmass.io.target import Target
from icmass.sky.map_grid import MapGrid
from icmass.survey.catalog import VARIABLES, open_survey
from icmass.survey.counts import counts
from icmass.survey.observed import events as esass
from icmass.survey.observed.events import EVENT_NAMES, open_events

HOSTILE = "!!python/object/apply:os.getcwd []"
SMALL = ["--pixels", 32]
PLACE = ["--ra", RA, "--dec", DEC, "--redshift", REDSHIFT]


@pytest.fixture
def events(tmp_path: Path) -> Path:
    return write(tmp_path / "events.fits", good(3000, spread=0.06))


def clusters() -> Table:
    """Return four clusters, the first and the last of which can be used."""
    return Table(
        {
            "ID": ["A1", "nowhere", "no z", "A2"],
            "RA": [RA, RA + 50, RA, RA + 0.03],
            "DEC": [DEC, DEC, DEC, DEC],
            "Z": [0.3, 0.3, np.nan, 0.5],
            "NH": [2.5e20, 3e20, 3e20, 4.5e20],
        }
    )


# ---------------------------------------------------------------- one cluster


def test_one_cluster_becomes_a_survey(tmp_path: Path, run_cli: Any, events: Path) -> None:
    out = tmp_path / "X.zarr"
    done = run_cli("ingest", "esass", events, *PLACE, "--nh", 2.0, *SMALL, "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{out}: 1 clusters; events: " in done.stdout
    survey = open_survey(out)
    target = Target("cluster", RA, DEC, REDSHIFT, 2.0)
    source = open_events([events], MapGrid(BANDS, 32))
    [(_, expected)] = source.read([target])
    assert set(survey.data_vars) == set(EVENT_NAMES)
    for name in EVENT_NAMES:
        known = VARIABLES[name]
        assert survey[name].attrs["units"] == known.units and survey[name].dtype == known.dtype
        np.testing.assert_allclose(survey[name][0], np.asarray(expected[name], known.dtype))
    assert list(survey["band"].values) == ["0.5-1.2", "1.2-2", "2-7"]
    assert json.loads(survey.attrs["names"]) == ["events"]
    assert json.loads(survey.attrs["observed"])["files"] == ["events.fits"]
    assert source.outcomes in done.stdout
    assert run_cli("info", out).returncode == 0


def test_what_becomes_of_events_is_told(tmp_path: Path, run_cli: Any) -> None:
    events = draw(4000)
    events["RA"][:40] = np.nan
    doubled = part(events, np.concatenate([np.arange(4000), np.arange(2000)]))
    file = write(tmp_path / "e.fits", doubled)
    done = run_cli("ingest", "esass", file, *PLACE, *SMALL, "--out", tmp_path / "X.zarr")
    assert done.returncode == 0
    told = dict(
        reversed(entry.strip().split(" ", 1)) for entry in _outcomes(done.stdout)
    )  # what: number
    told = {what: int(n.replace(",", "")) for what, n in told.items()}
    assert sum(told.values()) == 6000
    assert told["duplicate"] > 300 and 20 < told["not finite"] < 80
    unflagged = (doubled["FLAG"] & 0xE000F000) == 0
    assert told["flagged"] == (~unflagged).sum()
    survey = open_survey(tmp_path / "X.zarr")
    assert survey["n_phot"].item() == counts(survey).sum() == told["counted"]


def test_events_are_told_once_however_many_clusters(
    tmp_path: Path, run_cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More clusters than are held at once: the files are read again, their photons are not."""
    file = write(tmp_path / "e.fits", draw(6000, spread=0.08))
    table = Table({"RA": RA + 0.02 * np.arange(7), "DEC": [DEC] * 7, "Z": [0.3] * 7})
    table["Z"][2] = -1
    table.write(tmp_path / "t.ecsv")
    said, maps = [], []
    for at_once in (1000, 2, 1):
        monkeypatch.setattr(esass, "AT_ONCE", at_once)
        out = tmp_path / f"{at_once}.zarr"
        done = run_cli(
            "ingest", "esass", file, "--table", tmp_path / "t.ecsv", *SMALL, "--out", out
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.split("events: ")[1])
        maps.append(open_survey(out)["maps"].values)
    assert said[0] == said[1] == said[2]
    numbers = [
        int(entry.split(" ")[0].replace(",", "")) for entry in _outcomes("events: " + said[0])
    ]
    assert sum(numbers) == 6000
    np.testing.assert_array_equal(maps[0], maps[1])
    np.testing.assert_array_equal(maps[0], maps[2])
    assert maps[0].sum() > 2 * numbers[0] > 0  # maps overlap


def _outcomes(text: str) -> list[str]:
    import re

    return re.findall(r"[\d,]*\d [a-z][A-Za-z ]+", text.split("events: ")[1])


def test_two_tiles_are_one(tmp_path: Path, run_cli: Any, events: Path) -> None:
    all_events = good(3000, spread=0.06)
    west, east = (
        write(tmp_path / f"{name}.fits", part(all_events, sign * (all_events["RA"] - RA) > -0.02))
        for name, sign in (("w", -1), ("e", 1))
    )
    for files, out in (([events], "one.zarr"), ([west, east], "two.zarr")):
        done = run_cli("ingest", "esass", *files, *PLACE, *SMALL, "--out", tmp_path / out)
        assert done.returncode == 0, done.stderr
    assert "duplicate" in done.stdout
    one, two = (open_survey(tmp_path / name).load() for name in ("one.zarr", "two.zarr"))
    for name in EVENT_NAMES:
        np.testing.assert_allclose(one[name], two[name])


def test_stores_are_not_written_over_unasked(tmp_path: Path, run_cli: Any, events: Path) -> None:
    out = tmp_path / "X.zarr"
    assert run_cli("ingest", "esass", events, *PLACE, *SMALL, "--out", out).returncode == 0
    again = run_cli("ingest", "esass", events, *PLACE, *SMALL, "--out", out)
    assert again.returncode == 2 and "exists already; choose another name or --over" in again.stderr
    bad = run_cli(
        "ingest", "esass", events, *PLACE, "--dec", -50, *SMALL, "--out", out, "--overwrite"
    )
    assert bad.returncode == 2 and "no photon within" in bad.stderr
    assert open_survey(out)["dec"].item() == DEC  # the old one is still there
    more = ["--bands", "0.5-2", "--out", out, "--overwrite"]
    assert run_cli("ingest", "esass", events, *PLACE, *SMALL, *more).returncode == 0
    assert list(open_survey(out)["band"].values) == ["0.5-2"]
    assert [p.name for p in tmp_path.iterdir() if "zarr" in p.name] == ["X.zarr"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "X.fits", *PLACE], "X.fits: --out: must end in .zarr"),
        (["--ra", RA, "--out", "X.zarr"], "--dec, --redshift: is missing; give it, or a --table"),
        ([*PLACE[:5], "nan", "--out", "X.zarr"], "--redshift: has no redshift (nan); give 0.001"),
        ([*PLACE[:3], -91, *PLACE[4:], "--out", "X.zarr"], "--dec: is -91; give -90 to 90"),
        (["--nh", -1, *PLACE, "--out", "X.zarr"], "--nh: is -1; give 1e20 cm^-2"),
        (["--flag", "yes", *PLACE, "--out", "X.zarr"], "--flag: is 'yes'; write 0xE000F000"),
        (["--modules", "1,9", *PLACE, "--out", "X.zarr"], "--modules: are (1, 9); give some of 1"),
        (["--modules", "5,7", *PLACE, "--out", "X.zarr"], "leave none of the files' modules"),
        (["--pattern", 16, *PLACE, "--out", "X.zarr"], "--pattern: is 16; give 1 to 15"),
        (["--light-leak", "no", *PLACE, "--out", "X.zarr"], "--light-leak: is 'no'; give exclude"),
        (["--exposure", 0, *PLACE, "--out", "X.zarr"], "--exposure: is 0; give seconds above 0"),
        (["--exposure", "nan", *PLACE, "--out", "X.zarr"], "--exposure: is nan; give seconds"),
        (["--min-visible", 2, *PLACE, "--out", "X.zarr"], "--min-visible: is 2; give 0 to 1"),
        (["--bands", "2-1", *PLACE, "--out", "X.zarr"], "'2-1' is not a band"),
        (["--bands", "0.5-2,1-3", *PLACE, "--out", "X.zarr"], "bands: overlap from 1 to 2 keV"),
        (["--expmap", "none.fits", *PLACE, "--out", "X.zarr"], "none.fits: no such file"),
        (
            ["--table", "t.csv", *PLACE, "--out", "X.zarr"],
            "each cluster has its own in the --table",
        ),
    ],
)
def test_options_that_make_no_sense(
    tmp_path: Path, run_cli: Any, events: Path, options: list[object], message: str
) -> None:
    done = run_cli("ingest", "esass", events, *options, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stdout == ""
    assert [p.name for p in tmp_path.iterdir()] == ["events.fits"]


# ---------------------------------------------------------------- many clusters


@pytest.mark.parametrize("kind", ["fits", "ecsv", "csv", "vot"])
def test_a_table_with_bad_rows_goes_on(
    tmp_path: Path, run_cli: Any, events: Path, kind: str
) -> None:
    table, out = tmp_path / f"t.{kind}", tmp_path / "X.zarr"
    clusters().write(table, format={"vot": "votable", "csv": "ascii.csv"}.get(kind))
    done = run_cli("ingest", "esass", events, "--table", table, *SMALL, "--out", out)
    assert done.returncode == 0
    first, second = sorted(done.stderr.splitlines())
    assert first.startswith("icmass: cluster no z: --redshift: has no redshift (nan); give")
    assert second.startswith("icmass: cluster nowhere: ") and "no photon within" in second
    survey = open_survey(out)
    assert json.loads(survey.attrs["names"]) == ["A1", "A2"]
    np.testing.assert_allclose(survey["nh"], [2.5, 4.5])
    np.testing.assert_allclose(survey["redshift"], [0.3, 0.5])
    source = open_events([events], MapGrid(BANDS, 32))
    [(_, alone)] = source.read([Target("", RA + 0.03, DEC, 0.5)])
    np.testing.assert_array_equal(survey["maps"][1], alone["maps"])


def test_a_table_without_a_good_row(tmp_path: Path, run_cli: Any, events: Path) -> None:
    table, out = clusters()[1:3], tmp_path / "X.zarr"
    table["ID"] = ["same name", "same name"]
    table.write(tmp_path / "t.ecsv")
    done = run_cli("ingest", "esass", events, "--table", tmp_path / "t.ecsv", *SMALL, "--out", out)
    lines = done.stderr.splitlines()
    assert done.returncode == 2 and len(lines) == 3
    assert lines[0].startswith("icmass: cluster same name: ")
    assert lines[1].startswith("icmass: cluster same name (row 1): ")
    assert "--table: none of the 2 clusters could be used" in lines[2]
    assert not out.exists() and not (tmp_path / "X.zarr.partial").exists()


@pytest.mark.parametrize(
    ("ra", "dec", "z", "name"),
    [
        ("RA", "DEC", "z", "id"),
        ("ra_corr", "dec_corr", "best_z", "DETUID"),
        ("RAJ2000", "DEJ2000", "redshift", "Name"),
        ("RA_ICRS", "DE_ICRS", "zBest", "cluster"),
    ],
)
def test_names_of_columns(tmp_path: Path, ra: str, dec: str, z: str, name: str) -> None:
    table = Table({ra: [10.0, 20.0], dec: [-5.0, 5.0], z: [0.1, 0.2], name: ["x", "y"]})
    for kind in ("t.fits", "t.ecsv", "t.csv"):
        table.write(tmp_path / kind, format="ascii.csv" if kind == "t.csv" else None)
        found = read_cluster_table(tmp_path / kind, nh=1.5)
        assert found == [Target("x", 10, -5, 0.1, 1.5), Target("y", 20, 5, 0.2, 1.5)]


def test_units_gaps_and_names_of_tables(tmp_path: Path) -> None:
    table = Table({"ra": np.radians([10.0, 20.0]) * u.rad, "dec": [300.0, 600.0] * u.arcmin})
    table["z"] = [0.1, 0.2]
    table["nh"] = np.ma.array([2e20, 0.0], mask=[False, True])
    table["id"] = ["a\nb", ""]
    table.write(tmp_path / "t.ecsv")
    first, second = read_cluster_table(tmp_path / "t.ecsv", nh=7.0)
    assert (first.name, second.name) == ("a b", "row 1")
    assert (first.ra, first.dec, second.dec) == pytest.approx((10, 5, 10))
    assert (first.nh, second.nh) == pytest.approx((2, 7))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "", "t.csv: not a readable table|has no"),
        ("t.csv", "ra,dec\n1,2\n", "t.csv: has no column BEST_Z or REDSHIFT; it has ra, dec"),
        ("t.csv", "id,glon,glat,z\na,1,2,3\n", "no column RA or RA_CORR; it has id, glon, glat, z"),
        ("t.csv", "ra,dec,z\n", "t.csv: table: has no row"),
        ("t.csv", "ra,dec,z\nx,2,3\n", "t.csv: column ra: holds no numbers"),
        ("t.ecsv", "# %ECSV 1.0\n", "t.ecsv: not a readable table"),
        ("t.ecsv", f"# %ECSV 1.0\n# ---\n# datatype: {HOSTILE}\nra dec z\n1 2 3", "t.ecsv: not a"),
        ("t.vot", "<VOTABLE>", "t.vot: not a readable table"),
        ("t.fits", "text", "t.fits: is no FITS file"),
        ("t.txt", "ra,dec,z\n1,2,3\n", r"t.txt: is no FITS file; give a table: FITS .* CSV \(.csv"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_used(tmp_path: Path, name: str, text: str, message: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_cluster_table(file)


@pytest.mark.parametrize("suffix", ["fits", "ecsv", "vot"])
def test_columns_of_several_values_are_named(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"t.{suffix}"
    table = Table({"ra": [[1.0, 2.0], [3.0, 4.0]], "dec": [1.0, 2.0], "z": [0.1, 0.2]})
    table.write(file, format="votable" if suffix == "vot" else None)
    with pytest.raises(
        InputError, match=r"(?i)column ra: is no column of one value a row; give one"
    ):
        read_cluster_table(file)


def test_the_redshift_that_is_taken_of_several_is_told(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("ra,dec,Z,REDSHIFT,BEST_Z\n1,2,0.02,0.3,0.4\n")
    told: list[str] = []
    [target] = read_cluster_table(file, notes=told.append)
    assert target.redshift == 0.4 and told == [
        f"{file}: redshift is column BEST_Z, not REDSHIFT or Z"
    ]


# ---------------------------------------------------------------- masses of event files


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, toy_survey: xr.Dataset) -> Path:
    """A network of one epoch on the toy survey's 32 pixels."""
    folder = tmp_path_factory.mktemp("run")
    estimator = make_estimator("icm-3band", seed=0, max_epochs=1, device="cpu")
    estimator.fit(toy_survey, np.arange(toy_survey.sizes["cluster"]))
    estimator.save(folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def mock(tmp_path_factory: pytest.TempPathFactory, toy_survey: xr.Dataset) -> Path:
    """Some of the toy survey with uneven exposure and a hole, on disk."""
    some = toy_survey.isel(cluster=slice(0, 4)).copy(deep=True)
    coverage = np.linspace(0.6, 1, 32) * np.ones((4, 32, 1))
    coverage[:, 3:6, 20:24] = 0
    some["coverage"] = (("cluster", "y", "x"), coverage.astype("f2"))
    some["maps"] = some["maps"] * (coverage > 0)[:, None, None].astype("u2")
    path = tmp_path_factory.mktemp("mock") / "mock.zarr"
    some.to_zarr(path, consolidated=False)
    return path


def masses(done: Any) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["clusters"]


def test_events_give_the_mass_of_the_survey_they_come_from(
    tmp_path: Path, run_cli: Any, run: Path, mock: Path
) -> None:
    exported = run_cli("export", mock, "--format", "events", "--out", tmp_path)
    assert exported.returncode == 0, exported.stderr
    expected = masses(run_cli("predict", run, mock, "--json"))
    for k in (0, 2):
        files = tmp_path / f"cluster-{k:05d}_events.fits", tmp_path / f"cluster-{k:05d}_expmap.fits"
        more = ["--expmap", files[1], "--expmap-kind", "survey", "--json"]
        [row] = masses(run_cli("predict", run, files[0], *more))
        assert row["photons"] == expected[k]["photons"]
        assert row["ln_m500c"] == pytest.approx(expected[k]["ln_m500c"], abs=1e-3)
        assert row["ln_m500c_std"] == pytest.approx(expected[k]["ln_m500c_std"], rel=1e-3)


def test_many_masses_with_pictures_and_a_bad_row(
    tmp_path: Path, run_cli: Any, run: Path, toy_survey: xr.Dataset
) -> None:
    from icmass.survey.writers.events import write_events

    z = float(toy_survey["redshift"][5])
    file = write_events(toy_survey, 5, tmp_path / "e.fits", ra=RA, dec=DEC)
    table = Table({"id": ["good", "none", "high"], "ra": [RA, RA + 9, RA], "dec": [DEC] * 3})
    table["z"] = [z, z, 3.0]
    table.write(tmp_path / "t.csv", format="ascii.csv")
    pictures, out = tmp_path / "pictures", tmp_path / "masses.ecsv"
    more = ["--table", tmp_path / "t.csv", "--pictures", pictures, "--out", out, "--json"]
    done = run_cli("predict", run, file, *more)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [row["id"] for row in document["clusters"]] == ["good"]
    assert {row["id"] for row in document["failed"]} == {"none", "high"}
    assert "icmass: cluster none: " in done.stderr and "icmass: cluster high: " in done.stderr
    assert (pictures / "good.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in (pictures / "good.svg").read_text()
    page = (pictures / "index.html").read_text()
    assert "Mass of good" in page and 'id="explorer-maps"' in page
    assert "cluster high: " not in page and "high: " in page  # among those without a mass
    written = Table.read(out)
    assert len(written) == 1
    [row] = masses(run_cli("predict", run, file, "--json"))  # the header says where it is
    assert row["ln_m500c"] == document["clusters"][0]["ln_m500c"]


def test_masses_of_a_table_in_memory_are_those_of_its_file(
    tmp_path: Path, run: Path, toy_survey: xr.Dataset
) -> None:
    from icmass.survey.writers.events import write_events

    z = float(toy_survey["redshift"][5])
    file = write_events(toy_survey, 5, tmp_path / "e.fits", ra=RA, dec=DEC)
    table = QTable({"id": ["good", "high"], "ra": [RA, RA] * u.deg, "dec": [DEC, DEC] * u.deg})
    table["z"] = [z, 3.0]
    table.write(tmp_path / "t.fits")
    of_file = icmass.predict(file, table=tmp_path / "t.fits", model=run)
    said: list[str] = []
    found = icmass.predict(file, table=table, model=run, notes=said.append)
    assert found.document | {"table": None} == of_file.document | {"table": None}
    assert [row["id"] for row in found] == ["good"] and list(found.failed) == ["high"]
    assert of_file.document["table"] == {"file": "t.fits"}
    assert json.loads(found.to_json())["table"] == {"in_memory": "QTable", "rows": 2}
    assert of_file.inputs == (file, tmp_path / "t.fits") and found.inputs == (file,)
    assert said == ["the table: has no N_H of all clusters: 3e20 cm^-2 is taken"]
    found.write(tmp_path / "t.fits", overwrite=True)  # what the table was made of is no input
    with pytest.raises(InputError, match=r"e.fits: "):
        found.write(file, overwrite=True)
    kept = tmp_path / "kept.zarr"
    icmass.predict(file, table=table, model=run, store=kept)
    again = icmass.predict(file, table=tmp_path / "t.fits", model=run, store=kept, resume=True)
    assert again.document["clusters"] == found.document["clusters"]
    with pytest.raises(InputError, match=r"^ra: each cluster has its own in the table"):
        icmass.predict(file, table=table, model=run, ra=RA)
    with pytest.raises(InputError, match=r"^table: a SURVEY has its own"):
        icmass.predict(kept, table=table, model=run)


def test_predict_refuses_in_one_line(tmp_path: Path, run_cli: Any, run: Path, events: Path) -> None:
    for more, message in (
        ([*PLACE[:5], 0.1, "--dec", -40], "no photon within"),
        ([*PLACE[:5], 8.0], "redshift"),
        (["--table", tmp_path / "none.csv"], "none.csv: no such file"),
    ):
        done = run_cli("predict", run, events, *more)
        assert done.returncode == 2 and message in done.stderr
        assert len(done.stderr.splitlines()) == 1
