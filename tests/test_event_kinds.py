"""Event files as programs and archives write them: grades, missions, units, extensions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from event_files import BANDS, DEC, HERE, RA, REDSHIFT, good, read_one, write
from icmass.errors import InputError
from icmass.io.event_binning import OUTCOMES
from icmass.io.events import EventCuts, scan_event_file
from icmass.io.target import Target
from icmass.missions.registry import check_mission
from icmass.missions.sixte.reading import pattern_of_grade
from icmass.sky.map_grid import MapGrid
from icmass.survey.observed.events import EventSource, open_events

GRID = MapGrid(BANDS, 32)
PLACE = ["--ra", RA, "--dec", DEC, "--redshift", REDSHIFT, "--pixels", 32]


def tally(source: EventSource) -> dict[str, int]:
    return {k: int(n) for k, n in zip(OUTCOMES, source.tally, strict=True) if n}


def with_columns(path: Path, columns: list[fits.Column], without: tuple[str, ...] = ()) -> Path:
    """Add columns to the events of a file, and take some out."""
    with fits.open(path) as hdus:
        kept = [c for c in hdus["EVENTS"].columns if c.name not in without]
        table = fits.BinTableHDU.from_columns([*kept, *columns], name="EVENTS")
        for card in hdus["EVENTS"].header.cards:
            if not card.keyword.startswith(("T", "NAXIS", "XT", "BIT", "PC", "GC")):
                table.header[card.keyword] = card.value
        table.header["TELESCOP"] = "eROSITA"
        fits.HDUList([hdus[0].copy(), table, *[h.copy() for h in hdus[2:]]]).writeto(
            path, overwrite=True
        )
    return path


# ---------------------------------------------------------------- patterns


def sixte(path: Path, *, type_: bool = True, n_pixels: bool = True, **keys: Any) -> Path:
    """Write 130 photons of SIXTE, ten of each grade, and ten invalid ones."""
    events = good(140, spread=1e-3)
    grade = np.repeat(np.arange(-1, 13), 10).astype("i2")
    size = np.where(grade < 0, -1, (grade + 3) // 4 + 1).astype("i4")
    write(path, events, form="sixte", EXPOSURE=700.0, INSTRUME="TM1", **keys)
    columns = [fits.Column("TYPE", "I", array=grade)] if type_ else []
    columns += [fits.Column("NPIXELS", "J", array=size)] if n_pixels else []
    return with_columns(path, columns)


@pytest.mark.parametrize(("type_", "n_pixels"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize(("pattern", "n"), [(15, 130), (1, 10), (2, 40), (4, 40), (8, 40), (3, 50)])
def test_sixtes_grades_are_no_patterns(
    tmp_path: Path, type_: bool, n_pixels: bool, pattern: int, n: int
) -> None:
    file = sixte(tmp_path / "a.fits", type_=type_, n_pixels=n_pixels)
    source = open_events([file], GRID, cuts=EventCuts(pattern=pattern))
    assert read_one(source)["n_phot"] == n
    assert tally(source).get("bad pattern", 0) == 140 - n


def test_grades_by_hand() -> None:
    grade = np.array([-1, 0, 1, 4, 5, 8, 9, 12, 13])
    np.testing.assert_array_equal(pattern_of_grade(grade, None), [0, 1, 2, 2, 3, 3, 4, 4, 4])
    n_pixels = np.array([1, 1, 2, 2, 3, 3, 4, 4, 7])
    np.testing.assert_array_equal(pattern_of_grade(grade, n_pixels), [0, 1, 2, 2, 3, 3, 4, 4, 7])


def test_a_pattern_type_is_taken_before_a_grade(tmp_path: Path) -> None:
    events = good(30, spread=1e-3)
    events["PAT_TYP"] = np.repeat([1, 2, 5], 10).astype("i2")
    file = write(tmp_path / "a.fits", events)
    with_columns(file, [fits.Column("TYPE", "I", array=np.full(30, -1))])
    assert read_one(open_events([file], GRID))["n_phot"] == 20


@pytest.mark.parametrize("name", ["TM3", "FM3", " fm3 "])
def test_old_names_of_modules(tmp_path: Path, name: str) -> None:
    none = {f"INSTRUM{m}": None for m in range(1, 8)}
    events = good(20, spread=1e-3)
    file = write(tmp_path / "a.fits", events, form="sixte", gtis={0: [(0, 1000)]}, **none)
    with fits.open(file, mode="update") as hdus:
        hdus["EVENTS"].header["INSTRUME"] = name
    scanned = scan_event_file(file)
    assert (scanned.module, scanned.is_of_one_module, set(scanned.gtis)) == (3, True, {3})
    assert read_one(open_events([file], GRID))["exposure"] == pytest.approx(1000 / 7)
    several = {**none, "INSTRUM1": "FM1", "INSTRUM2": "FM2"}
    file = write(tmp_path / "b.fits", events, gtis={}, EXPOSURE=700.0, **several)
    events["TM_NR"][:] = 1
    assert read_one(open_events([file], GRID))["exposure"] == pytest.approx(200)


def test_the_real_survey_of_sixte(data_dir: Path) -> None:
    file = data_dir / "sixte" / "erosita_survey.evt.gz"
    with fits.open(file) as hdus:
        table = hdus["EVENTS"].data
        energy, valid = table["SIGNAL"], table["TYPE"] >= 0
    with pytest.raises(InputError, match=r"OBS_MODE: is not stated, and 1,\d\d\d s .* of a scan"):
        open_events([file], GRID)
    source = open_events([file], GRID, seconds=3.0)
    assert read_one(source, Target("", 0.0, 0.0, 0.1))["exposure"] == pytest.approx(3.0)
    counted = tally(source)
    assert "bad pattern" not in counted and valid.sum() == 6088
    outside = counted["outside the bands"]
    assert counted["counted"] + counted["outside the maps"] + outside == 6088
    assert outside <= ((energy < 0.5) | (energy >= 7)).sum()
    singles = open_events([file], GRID, cuts=EventCuts(pattern=1), seconds=3.0)
    read_one(singles, Target("", 0.0, 0.0, 0.1))
    assert tally(singles)["bad pattern"] == (table["NPIXELS"] != 1).sum()


# ---------------------------------------------------------------- missions


@pytest.mark.parametrize(
    "keys",
    [
        {"TELESCOP": "eROSITA"},
        {"TELESCOP": "SRG/eROSITA"},
        {"TELESCOP": "SRG", "INSTRUME": "FM1"},
        {"MISSION": "SRG", "INSTRUME": "merged"},
        {"INSTRUME": "TM4"},
        {"TELESCOP": "eROSITA", "INSTRUME": "String"},
    ],
)
def test_names_of_erosita(keys: dict[str, str]) -> None:
    assert check_mission(keys, "a.fits")


@pytest.mark.parametrize("keys", [{}, {"TELESCOP": "  "}, {"INSTRUME": "merged"}, {"TELESCOP": 3}])
def test_files_that_name_no_telescope(keys: dict[str, Any]) -> None:
    assert not check_mission(keys, "a.fits")


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"TELESCOP": "XMM", "INSTRUME": "EPN"}, "keyword TELESCOP: is XMM"),
        ({"TELESCOP": "XRISM", "INSTRUME": "RESOLVE"}, "keyword TELESCOP: is XRISM"),
        ({"TELESCOP": "CHANDRA"}, "keyword TELESCOP: is CHANDRA"),
        ({"TELESCOP": "Athena", "INSTRUME": "WFI"}, "keyword TELESCOP: is Athena"),
        ({"TELESCOP": "SRG", "INSTRUME": "ART-XC"}, "keyword INSTRUME: is ART-XC"),
        ({"MISSION": "SUZAKU"}, "keyword MISSION: is SUZAKU"),
        ({"INSTRUME": "ACIS"}, "keyword INSTRUME: is ACIS"),
    ],
)
def test_other_telescopes(tmp_path: Path, run_cli: Any, keys: dict[str, str], named: str) -> None:
    with pytest.raises(InputError, match=named):
        check_mission(keys, "a.fits")
    silent = {"TELESCOP": None} | keys | {f"INSTRUM{m}": None for m in range(1, 8)}
    file = write(tmp_path / "e.fits", good(200), **silent)
    done = run_cli("ingest", "esass", file, *PLACE, "--out", tmp_path / "X.zarr")
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert f"e.fits: {named}: icmass reads eROSITA" in line
    assert not (tmp_path / "X.zarr").exists()


def test_a_file_that_says_nothing_is_taken_and_it_is_said(tmp_path: Path, run_cli: Any) -> None:
    silent = {"TELESCOP": None, **{f"INSTRUM{m}": None for m in range(1, 8)}}
    file = write(tmp_path / "e.fits", good(200), **silent)
    done = run_cli("ingest", "esass", file, *PLACE, "--out", tmp_path / "X.zarr")
    assert done.returncode == 0
    assert done.stderr == f"icmass: {file}: names no telescope (TELESCOP): taken for eROSITA's\n"
    assert open_events([file], GRID).facts["notes"] == [
        f"{file}: names no telescope (TELESCOP): taken for eROSITA's"
    ]


def test_what_is_true_of_many_files_is_said_once(tmp_path: Path) -> None:
    silent = {"TELESCOP": None, **{f"INSTRUM{m}": None for m in range(1, 8)}}
    files = [write(tmp_path / f"{i}.fits", good(20, seed=i), **silent) for i in range(3)]
    [note] = open_events(files, GRID, seconds=500.0).notes
    assert note == f"{files[0]} and 2 more: names no telescope (TELESCOP): taken for eROSITA's"


def test_a_mass_says_what_was_assumed(tmp_path: Path, run_cli: Any) -> None:
    silent = {"TELESCOP": None, **{f"INSTRUM{m}": None for m in range(1, 8)}}
    file = write(tmp_path / "e.fits", good(400), **silent)
    done = run_cli("predict", file, *PLACE[:6], "--json", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    note = f"{file}: names no telescope (TELESCOP): taken for eROSITA's"
    assert json.loads(done.stdout)["warnings"].count(note) == 1
    done = run_cli("predict", file, *PLACE[:2], "--dec", -50, *PLACE[4:6], "--device", "cpu")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "no photon within" in done.stderr


# ---------------------------------------------------------------- units


def test_evtools_units_on_what_is_no_angle(tmp_path: Path) -> None:
    file, events = tmp_path / "a.fits", good(400)
    expected = read_one(open_events([write(file, events)], GRID))["maps"]
    with fits.open(file, mode="update") as hdus:
        header = hdus["EVENTS"].header
        for i in range(1, 16):
            header[f"TUNIT{i}"] = "s" if header[f"TTYPE{i}"] == "TIME" else "deg"
    source = open_events([file], GRID)
    np.testing.assert_array_equal(read_one(source)["maps"], expected)
    assert source.notes == [f"{file}: column PI has unit 'deg', which is no energy: taken as eV"]


@pytest.mark.parametrize(
    ("column", "unit", "telescope", "message"),
    [
        (9, "chan", "eROSITA", "has no column PI in ev or kev: PI is in 'chan'; give it in ev"),
        (9, "deg", None, "has no column PI in ev or kev: PI is in 'deg'"),
        (3, "eV", "eROSITA", "has no column RA in deg or degree: RA is in 'ev'; give it in deg"),
        (4, "pixel", "eROSITA", "has no column DEC in deg or degree: DEC is in 'pixel'"),
    ],
)
def test_units_that_cannot_be_used_are_named(
    tmp_path: Path, column: int, unit: str, telescope: str | None, message: str
) -> None:
    silent = {"TELESCOP": telescope, **{f"INSTRUM{m}": None for m in range(1, 8)}}
    file = write(tmp_path / "a.fits", good(20), **silent)
    with fits.open(file, mode="update") as hdus:
        hdus["EVENTS"].header[f"TUNIT{column}"] = unit
    with pytest.raises(InputError, match=message):
        open_events([file], GRID)


def test_the_real_rows_of_evtool(data_dir: Path) -> None:
    file = data_dir / "erosita" / "events" / "1h0707_evtool_rows.fits.gz"
    cuts = EventCuts(light_leak="keep")
    source = open_events([file], MapGrid(((0.2, 0.5),), 32), cuts=cuts, seconds=1000.0)
    found = read_one(source, Target("1H0707", 107.17, -49.552, 0.1))
    assert tally(source) == {"counted": found["n_phot"], "outside the maps": 1244 - found["n_phot"]}
    assert found["n_phot"] > 1000 and len(source.notes) == 1
    assert "column PI has unit 'deg', which is no energy: taken as eV" in source.notes[0]


# ---------------------------------------------------------------- extensions


def reclassed(path: Path, *, name: str = "EVENTS", gtis_first: bool = True) -> Path:
    """Give all extensions of a file the class of events, as evtool does."""
    with fits.open(path) as hdus:
        for hdu in hdus:
            hdu.header["HDUCLAS1"] = "EVENTS"
        hdus["EVENTS"].header["EXTNAME"] = name
        order = [hdus[0], *hdus[2:], hdus[1]] if gtis_first else list(hdus)
        fits.HDUList([hdu.copy() for hdu in order]).writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize("name", ["EVENTS", "events", "PHOTONS"])
@pytest.mark.parametrize("gtis_first", [True, False])
def test_gtis_of_evtools_class_do_not_block(tmp_path: Path, name: str, gtis_first: bool) -> None:
    events = good(300)
    file = write(tmp_path / "a.fits", events, gtis={m: [(0, 500)] for m in range(1, 8)})
    expected = read_one(open_events([file], GRID))
    found = read_one(open_events([reclassed(file, name=name, gtis_first=gtis_first)], GRID))
    np.testing.assert_array_equal(found["maps"], expected["maps"])
    assert found["exposure"] == pytest.approx(500 * 5 / 7)


def test_the_extension_events_is_taken_before_one_of_its_class(tmp_path: Path) -> None:
    file = write(tmp_path / "a.fits", good(300))
    other = write(tmp_path / "b.fits", good(5, seed=2))
    with fits.open(file) as hdus, fits.open(other) as more:
        bad = more["EVENTS"].copy()
        bad.header.update({"EXTNAME": "REJECTED", "HDUCLAS1": "EVENTS"})
        fits.HDUList([hdus[0], bad, *hdus[1:]]).writeto(tmp_path / "c.fits")
        twice = hdus["EVENTS"].copy()
        fits.HDUList([*hdus, twice]).writeto(tmp_path / "d.fits")
    assert scan_event_file(tmp_path / "c.fits").n_events == 300
    assert scan_event_file(tmp_path / "c.fits").notes == ()
    [note] = scan_event_file(tmp_path / "d.fits").notes
    assert note.endswith("has 2 event tables: only extension EVENTS is read")


def test_an_image_of_evtool_goes_to_images(tmp_path: Path, run_cli: Any) -> None:
    image = fits.PrimaryHDU(np.zeros((20, 30), "i4"))
    with fits.open(write(tmp_path / "a.fits", good(9))) as hdus:
        gtis = [hdu.copy() for hdu in hdus[2:]]
        fits.HDUList([image, *gtis]).writeto(tmp_path / "i.fits")
    reclass = tmp_path / "i.fits"
    with fits.open(reclass, mode="update") as hdus:
        for hdu in hdus:
            hdu.header["HDUCLAS1"] = "EVENTS"
    for command in (
        ["ingest", "esass", reclass, "--out", tmp_path / "X.zarr"],
        ["predict", reclass],
    ):
        done = run_cli(*command, *PLACE[:6])
        assert done.returncode == 2
        [line] = done.stderr.splitlines()
        assert "i.fits: is an image of 30x20 pixels, not a list of events" in line
        assert "--images" in line


def test_a_real_image_of_evtool(data_dir: Path) -> None:
    file = data_dir / "erosita" / "efeds_cutouts" / "image_1527.fits.gz"
    with pytest.raises(InputError, match=r"is an image of 180x180 pixels, .* go with images"):
        scan_event_file(file)


# ---------------------------------------------------------------- photons outside the bands


def test_energies_in_kev_without_a_unit(tmp_path: Path, run_cli: Any) -> None:
    events = good(400, spread=1e-3)
    events["PI"] = (events["PI"] / 1000).astype("f4")
    file = write(tmp_path / "e.fits", events)
    with fits.open(file, mode="update") as hdus:
        del hdus["EVENTS"].header["TUNIT9"]
    done = run_cli("ingest", "esass", file, *PLACE, "--out", tmp_path / "X.zarr")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "e.fits: column PI: all 400 photons within " in line
    assert "are outside the bands (0.5-1.2, 1.2-2, 2-7 keV)" in line
    low, high = events["PI"].min() / 1000, events["PI"].max() / 1000
    assert f"their energies are {low:.3g} to {high:.3g} keV; its unit (TUNIT) has to be" in line
    assert "keV without a unit" in line and "check the position" not in line


def test_photons_of_other_bands_and_of_other_clusters(tmp_path: Path) -> None:
    events = good(600, spread=1e-3)
    events["RA"][::2] += 1.0
    events["PI"][::2] = np.linspace(7500, 9000, 300)
    source = open_events([write(tmp_path / "e.fits", events)], GRID)
    targets = [HERE, Target("hard", RA + 1, DEC, REDSHIFT), Target("far", RA + 9, DEC, REDSHIFT)]
    here, hard, far = (values for _, values in source.read(targets))
    assert not isinstance(here, InputError) and here["n_phot"] == 300
    assert "all 300 photons within" in str(hard) and "7.5 to 9 keV; give other bands" in str(hard)
    assert "no photon within" in str(far) and "check the position" in str(far)
