"""Many event files and clusters at once: the same survey however they are read."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from astropy.io import fits
from astropy.table import Table
from packaging.version import Version

import icmass
from event_files import BANDS, Columns, good, part, write
from icmass.errors import InputError
from icmass.io.event_binning import OUTCOMES, EventCounts
from icmass.io.footprint import Extent, SkyBox, box_of_name, box_of_plane
from icmass.io.target import Target
from icmass.sky.map_grid import MapGrid
from icmass.survey import ingest, sky_jobs
from icmass.survey.catalog import open_survey
from icmass.survey.ingest import Ingested, ingest_events
from icmass.survey.observed import reading as how_read
from icmass.survey.observed.events import open_events
from icmass.survey.observed.reading import EventReading

GRID = MapGrid(BANDS, 16)
DEC = -30.0
RA = 359.0
"""Of the first tile; the sky goes on across RA 0."""
STEP, SIDE = 0.8, 1.0
N_TILES = 4
READING = EventReading(seconds=1000.0)


def sky() -> Columns:
    """Return events all over the tiles."""
    n = 40_000
    rng = np.random.default_rng(3)
    events = good(n)
    events["RA"] = np.mod(RA + rng.uniform(-SIDE / 2, STEP * (N_TILES - 1) + SIDE / 2, n), 360)
    events["DEC"] = DEC + rng.uniform(-SIDE / 2, SIDE / 2, n)
    return events


def inside(events: Columns, number: int) -> np.ndarray:
    """Return which events lie in a tile."""
    east = np.mod(events["RA"] - RA - STEP * number + 180, 360) - 180
    return np.abs(east) <= SIDE / 2


def name_of(number: int) -> str:
    ra = np.mod(RA + STEP * number, 360)
    return f"em01_{int(ra):03d}120_{number}_EventList.fits"


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Overlapping tiles of one row of the sky."""
    folder = tmp_path_factory.mktemp("tiles")
    events = sky()
    return [
        write(folder / name_of(k), part(events, inside(events, k)), OBS_MODE="SURVEY")
        for k in range(N_TILES)
    ]


def clusters() -> list[Target]:
    """Return clusters within tiles, between two, close to each other, nowhere, without redshift."""
    middle = [Target(f"in{k}", (RA + STEP * k) % 360, DEC + 0.1, 0.4, 2.0) for k in range(N_TILES)]
    between = [Target(f"by{k}", (RA + STEP * (k + 0.5)) % 360, DEC, 0.2) for k in range(3)]
    close = [
        Target("close", (RA + 0.43) % 360, DEC + 0.02, 0.35),
        Target("edge", RA + 0.04, DEC, 0.3),  # of one tile, but its map overlaps that of by0
    ]
    return [
        *between,
        Target("nowhere", 120.0, 40.0, 0.3),
        *middle,
        Target("no z", RA, DEC, -1.0),
        *close,
    ]


def digest(store: Path) -> str:
    """Return a digest of every byte of a store, its names among them.

    Of JSON the order of keys does not count with zarr before 3.1.6: 3.1.1 consolidates in any.
    """
    found = hashlib.sha256()
    for path in sorted(store.rglob("*")):
        if path.is_file():
            held = path.read_bytes()
            if path.suffix == ".json" and Version(zarr.__version__) < Version("3.1.6"):
                held = json.dumps(json.loads(held), sort_keys=True).encode()
            found.update(str(path.relative_to(store)).encode() + held)
    return found.hexdigest()


def make(files: list[Path], out: Path, **options: Any) -> Ingested:
    targets = options.pop("targets", clusters())
    return ingest_events(files, targets, GRID, options.pop("reading", READING), out, **options)


@pytest.fixture(scope="module")
def whole(tiles: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ingested]:
    out = tmp_path_factory.mktemp("whole") / "sky.zarr"
    return out, make(tiles, out)


# ---------------------------------------------------------------- the same, however


def test_each_cluster_is_that_of_all_files(tiles: list[Path], whole: tuple[Path, Ingested]) -> None:
    out, made = whole
    source = open_events(tiles, GRID, seconds=1000.0)
    alone = dict(zip([t.name for t in clusters()], source.read(clusters()), strict=True))
    survey = open_survey(out)
    names = [name for name, (_, found) in alone.items() if not isinstance(found, InputError)]
    assert made.names == names == json.loads(survey.attrs["names"]) and len(names) == 9
    for k, name in enumerate(names):
        expected = alone[name][1]
        assert isinstance(expected, dict)
        for variable, values in expected.items():
            stored = survey[variable][k].values
            np.testing.assert_array_equal(stored, np.asarray(values, stored.dtype), err_msg=name)
    assert set(made.failed) == {"nowhere", "no z"}
    assert "no photon within" in str(made.failed["nowhere"])
    np.testing.assert_array_equal(made.tally, source.tally)  # maps overlap, and tiles
    told = dict(zip(OUTCOMES, made.tally, strict=True))
    assert told["duplicate"] > 100 and told["counted"] > 1000
    assert made.outcomes == source.outcomes


@pytest.mark.usefixtures("workers_here")
def test_workers_change_nothing(
    tiles: list[Path], whole: tuple[Path, Ingested], tmp_path: Path
) -> None:
    made = make(tiles, tmp_path / "two.zarr", workers=2)
    assert digest(tmp_path / "two.zarr") == digest(whole[0])
    np.testing.assert_array_equal(made.tally, whole[1].tally)
    assert [p.name for p in tmp_path.iterdir()] == ["two.zarr"]


def test_a_scheduler_changes_nothing_but_the_place(
    tiles: list[Path], whole: tuple[Path, Ingested], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths are told to the workers of a scheduler as they are from anywhere."""
    from distributed import LocalCluster

    how: dict[str, Any] = {"n_workers": 1, "threads_per_worker": 1, "processes": False}
    monkeypatch.chdir(tiles[0].parent)
    relative = [Path(file.name) for file in tiles]
    with LocalCluster(**how, dashboard_address=":0") as cluster:
        made = make(relative, tmp_path / "a.zarr", scheduler=cluster.scheduler_address)
    assert digest(tmp_path / "a.zarr") == digest(whole[0])
    assert made.names == whole[1].names


def test_files_out_of_order_change_nothing(
    tiles: list[Path], whole: tuple[Path, Ingested], tmp_path: Path
) -> None:
    made = make(tiles[::-1], tmp_path / "back.zarr")
    forth, back = (open_survey(path) for path in (whole[0], tmp_path / "back.zarr"))
    for name in forth.data_vars:
        np.testing.assert_array_equal(forth[name], back[name])
    np.testing.assert_array_equal(made.tally, whole[1].tally)


class Killed(BaseException):
    """What no part of the package catches."""


@pytest.mark.parametrize("after", [1, 3])
@pytest.mark.parametrize("of", ["scan_file", "do_job"])
def test_a_killed_run_goes_on_to_the_same_bytes(
    tiles: list[Path],
    whole: tuple[Path, Ingested],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    of: str,
    after: int,
) -> None:
    out, real = tmp_path / "sky.zarr", getattr(ingest, of)
    calls: list[Any] = []

    def dying(*task: Any) -> Any:
        if len(calls) == after:
            raise Killed
        calls.append(task[-1])
        return real(*task)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ingest, of, dying)
        make(tiles, out)
    assert not out.exists()
    with pytest.raises(InputError, match=r"sky.zarr.partial: is unfinished; go on with resume"):
        make(tiles, out)
    with pytest.raises(InputError, match="was begun with other options; resume with the same"):
        make(tiles, out, resume=True, reading=EventReading(seconds=999.0))
    with pytest.raises(InputError, match="was begun with other clusters"):
        make(tiles, out, resume=True, targets=clusters()[1:])
    done: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(ingest, of, lambda *task: done.append(task[-1]) or real(*task))
        made = make(tiles, out, resume=True)
    assert digest(out) == digest(whole[0]) and made.outcomes == whole[1].outcomes
    assert done and not any(task in calls for task in done)
    assert [p.name for p in tmp_path.iterdir()] == ["sky.zarr"]
    assert make(tiles, out, resume=True).names == made.names  # nothing is left to do


def as_given(targets: list[Target]) -> Table:
    """Return a table of clusters, one of them without a redshift."""
    names = {"name": "id", "ra": "ra", "dec": "dec", "redshift": "z", "nh": "nh"}
    table = Table({name: [getattr(t, of) for t in targets] for of, name in names.items()})
    table["z"][[name == "no z" for name in table["id"]]] = np.nan
    return table


def test_a_killed_run_of_a_table_goes_on_with_one_in_memory(
    tiles: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, out = as_given(clusters()), tmp_path / "sky.zarr"
    table.write(tmp_path / "t.ecsv")
    how: dict[str, Any] = {"bands": BANDS, "pixels": 16, "exposure": 1000.0}
    icmass.ingest(tiles, tmp_path / "whole.zarr", table=tmp_path / "t.ecsv", **how)

    def dying(*task: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ingest, "do_job", dying)
        icmass.ingest(tiles, out, table=tmp_path / "t.ecsv", **how)
    other = table.copy()
    other["z"][0] += 0.01
    with pytest.raises(InputError, match="was begun with other clusters; resume with the same"):
        icmass.ingest(tiles, out, table=other, resume=True, **how)
    made = icmass.ingest(tiles, out, table=table.as_array(), resume=True, **how)
    assert digest(out) == digest(tmp_path / "whole.zarr") and set(made.failed) == {
        "nowhere",
        "no z",
    }


@pytest.mark.usefixtures("workers_here")
def test_tables_in_memory_are_the_same_by_several_processes(
    tiles: list[Path], whole: tuple[Path, Ingested], tmp_path: Path
) -> None:
    how: dict[str, Any] = {"bands": BANDS, "pixels": 16, "exposure": 1000.0, "workers": 2}
    icmass.ingest(tiles, tmp_path / "two.zarr", table=as_given(clusters()), **how)
    assert digest(tmp_path / "two.zarr") == digest(whole[0])


# ---------------------------------------------------------------- bad files and clusters


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9000])


def zipped(path: Path) -> None:
    path.write_bytes(gzip.compress(path.read_bytes())[:-5000])


@pytest.mark.parametrize("damage", [truncated, zipped, Path.unlink])
def test_a_bad_tile_is_passed_by_with_its_clusters(
    tiles: list[Path], whole: tuple[Path, Ingested], tmp_path: Path, damage: Any
) -> None:
    files = [tmp_path / file.name for file in tiles]
    for file, copy in zip(tiles, files, strict=True):
        copy.write_bytes(file.read_bytes())
    damage(files[3])
    targets = [t for t in clusters() if t.dec == DEC or t.name == "in3" or t.name == "in0"]
    made = make(files, tmp_path / "a.zarr", targets=targets)
    [error] = made.bad_files
    assert str(error).startswith(str(files[3]))
    assert made.passed_by == [f"passed by: {error}"]
    # by its name the tile is known within 2.3 degrees: what may lie in it is not half read
    assert set(made.failed) >= {"in3", "by2"} and not made.names
    assert str(made.failed["in3"]) == str(error)
    far = [Target("far", 350.0, DEC, 0.3), *targets]
    more = write(tmp_path / "far.fits", good(2000, ra=350.0, dec=DEC, spread=0.1))
    made = make([*files, more], tmp_path / "b.zarr", targets=far)
    assert made.names == ["far"]
    assert "passed by" in json.loads(open_survey(tmp_path / "b.zarr").attrs["observed"])["notes"][0]


def test_without_any_good_tile_nothing_is_left(tmp_path: Path) -> None:
    files = [tmp_path / f"{k}.fits" for k in range(10)]
    for file in files:
        file.write_bytes(b"rubbish")
    with pytest.raises(InputError, match=r"0.fits: is no FITS file"):
        make(files, tmp_path / "a.zarr")
    assert not list(tmp_path.glob("a.zarr*"))


def test_a_mended_tile_is_read_when_the_run_goes_on(
    tiles: list[Path],
    whole: tuple[Path, Ingested],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = [tmp_path / f"t{k}.fits" for k in range(N_TILES)]
    for file, copy in zip(tiles, files, strict=True):
        copy.write_bytes(file.read_bytes())
    content = files[1].read_bytes()
    truncated(files[1])

    def dies(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ingest._Run, "gather", dies)
        make(files, tmp_path / "a.zarr")
    files[1].write_bytes(content)
    made = make(files, tmp_path / "a.zarr", resume=True)
    assert made.names == whole[1].names and not made.bad_files
    np.testing.assert_array_equal(made.tally, whole[1].tally)
    ours, others = (open_survey(path) for path in (tmp_path / "a.zarr", whole[0]))
    np.testing.assert_array_equal(ours["maps"], others["maps"])


def test_a_pointing_has_the_exposure_of_its_own_files(tmp_path: Path) -> None:
    """Two fields in one command: the good time of one adds nothing to the other's."""
    both = []
    for k, seconds in enumerate((900.0, 400.0)):
        events = good(500, seed=k, ra=10.0 + 20 * k, dec=5.0, spread=0.05)
        events["TIME"] = np.linspace(1, seconds - 1, 500)
        gtis = {m: [(0.0, seconds)] for m in range(1, 8)}
        both.append(write(tmp_path / f"{k}.fits", events, gtis=gtis))
    targets = [Target(str(k), 10.0 + 20 * k, 5.0, 0.3) for k in range(2)]
    made = make(both, tmp_path / "a.zarr", targets=targets, reading=EventReading())
    assert made.names == ["0", "1"]
    exposure = open_survey(tmp_path / "a.zarr")["exposure"]
    np.testing.assert_allclose(exposure, [900 * 5 / 7, 400 * 5 / 7], rtol=1e-6)


def exposure_map(path: Path, ra: float, seconds: float) -> str:
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg"})
    header.update({"CUNIT2": "deg", "CRVAL1": ra, "CRVAL2": DEC, "CRPIX1": 50.5, "CRPIX2": 50.5})
    header.update({"CDELT1": -0.01, "CDELT2": 0.01})
    fits.writeto(path, np.full((100, 100), seconds, "f4"), header)
    return str(path)


def test_each_cluster_has_the_maps_of_its_place(tiles: list[Path], tmp_path: Path) -> None:
    maps = [
        exposure_map(tmp_path / f"m{k}.fits", (RA + STEP * k) % 360, 100.0 * (k + 1))
        for k in range(N_TILES - 1)
    ]
    reading = EventReading(exposure_maps=tuple(maps), exposure_kind="survey")
    made = make(tiles, tmp_path / "a.zarr", reading=reading)
    survey = open_survey(tmp_path / "a.zarr")
    exposure = dict(zip(made.names, survey["exposure"].values, strict=True))
    share = 5 / 7
    for k in range(N_TILES - 1):
        assert exposure[f"in{k}"] == pytest.approx(100 * (k + 1) * share)
    assert exposure["by0"] == pytest.approx(200 * share)  # the longer one where two overlap
    assert "outside the exposure maps" in str(made.failed["in3"])
    Path(maps[1]).write_bytes(b"rubbish")
    made = make(tiles, tmp_path / "b.zarr", reading=reading)
    assert [str(e).split(":")[0] for e in made.bad_files] == [maps[1]]
    assert "in1" in made.failed and "in0" in made.names


# ---------------------------------------------------------------- memory


def test_few_files_and_photons_are_held(
    tiles: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the number of files: those that the clusters in hand reach into."""
    seen: list[int] = []
    real = EventCounts.add

    def add(self: EventCounts, *args: Any, **how: Any) -> None:
        real(self, *args, **how)
        seen.append(self._seen.size)

    opened: list[int] = []
    real_open = EventReading.open

    def opening(self: EventReading, files: Any, *args: Any, **how: Any) -> Any:
        opened.append(len(files))
        return real_open(self, files, *args, **how)

    monkeypatch.setattr(EventCounts, "add", add)
    monkeypatch.setattr(EventReading, "open", opening)
    monkeypatch.setattr(ingest, "FEW", 1)
    made = make(tiles, tmp_path / "a.zarr")
    counted = made.tally[0]
    assert max(opened) == 2 and max(seen) < counted / 2
    assert how_read._scanned.cache_info().maxsize == how_read.TILES_HELD < 10
    assert how_read._scanned.cache_info().currsize <= how_read.TILES_HELD


def test_clusters_of_one_file_are_shared_among_jobs(
    tiles: list[Path],
    whole: tuple[Path, Ingested],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sky_jobs, "MOST_CLUSTERS", 1)
    made = make(tiles, tmp_path / "a.zarr")
    assert digest(tmp_path / "a.zarr") == digest(whole[0])
    np.testing.assert_array_equal(made.tally, whole[1].tally)


# ---------------------------------------------------------------- where files lie


def test_boxes_across_ra_0_and_at_a_pole() -> None:
    rng = np.random.default_rng(1)
    box = Extent().add(rng.uniform(-2, 3, 5000), rng.uniform(10, 12, 5000)).box()
    assert box is not None
    assert box.ra == pytest.approx(358, abs=0.1) and box.width == pytest.approx(5, abs=0.1)
    assert (box.south, box.north) == pytest.approx((10, 12), abs=0.01)
    polar = Extent().add(rng.uniform(0, 360, 50_000), rng.uniform(88, 90, 50_000)).box()
    assert polar is not None and polar.width > 359.9
    assert Extent().add(np.array([np.nan, 1000.0]), np.array([0.0, 0.0])).box() is None
    assert Extent().box() is None


@pytest.mark.parametrize("dec", [-89.5, -70.0, 0.0, 60.0, 89.0])
def test_no_photon_of_a_map_lies_in_a_box_that_is_not_reached(dec: float) -> None:
    """Clusters all around small boxes: those whose map has an event of the box are reached."""
    rng = np.random.default_rng(4)
    n = 3000
    events = good(n)
    width = min(2.0 / np.cos(np.radians(dec)), 300.0)
    events["RA"] = np.mod(359.5 + rng.uniform(0, width, n), 360)
    events["DEC"] = np.clip(dec + rng.uniform(-1, 1, n), -90, 90)
    box = Extent().add(events["RA"], events["DEC"]).box()
    assert box is not None
    at = rng.uniform(-3, 3, (2, 200))
    dec0 = np.clip(dec + at[1], -89.9, 89.9)
    ra0 = np.mod(359.5 + width / 2 + at[0] / np.cos(np.radians(dec0)), 360)
    from icmass.survey.observed.events import frames_of

    targets = [Target("", a, d, 0.15) for a, d in zip(ra0, dec0, strict=True)]
    frames = frames_of(targets, MapGrid(((0.2, 10.0),), 8))
    counts = EventCounts(frames)
    none = np.zeros(0), np.zeros(9, int)
    events = {  # of the types that files are read to
        name: v.astype("i8" if name in ("TM_NR", "FLAG", "PAT_TYP") else "f8")
        for name, v in events.items()
    }
    counts.add(events, flag=0, patterns=np.ones(8, bool), min_pi_ev=np.zeros(8), gtis=none)
    has_some = np.array([counts.maps_of(k).any() for k in range(len(targets))])
    reached = box.reached(frames)
    assert has_some.any() and not (has_some & ~reached).any()
    if abs(dec) < 80:
        assert not reached.all() and (reached & ~has_some).mean() < 0.2


def test_the_box_of_an_image_holds_its_pixels(tmp_path: Path) -> None:
    path = exposure_map(tmp_path / "m.fits", 0.2, 1.0)
    box = box_of_plane(how_read.plane(path))
    assert box is not None and box.south < DEC - 0.5 and box.north > DEC + 0.5
    assert box.ra % 360 > 359 and 1.0 / np.cos(np.radians(DEC)) < box.width < 1.6
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["CRVAL2"] = 89.9
    polar = box_of_plane(how_read.plane(path))
    assert polar is not None and polar.width == pytest.approx(360, abs=0.1) and polar.north >= 90


def test_tiles_are_where_their_names_say() -> None:
    box = box_of_name(Path("em01_093156_020_EventList_c010.fits.gz"))  # the South ecliptic pole
    assert box is not None and box.south < -66 - 2 < -66 + 2 < box.north
    assert (box.ra - 93) % 360 > 180 and (box.ra + box.width - 93) % 360 < 180
    assert box_of_name(Path("events.fits")) is None
    assert isinstance(box, SkyBox)


# ---------------------------------------------------------------- the command line


def test_the_command_goes_past_bad_files_and_rows(
    tiles: list[Path], tmp_path: Path, run_cli: Any
) -> None:
    bad = tmp_path / "bad.fits"
    bad.write_bytes(b"rubbish")
    table = Table({"id": ["a", "b", "no"], "ra": [RA, RA + 0.4, 100.0], "dec": [DEC] * 3})
    table["z"] = [0.3, 0.4, 0.3]
    table.write(tmp_path / "t.csv", format="ascii.csv")
    out = tmp_path / "X.zarr"
    more = ["--table", tmp_path / "t.csv", "--exposure", 1000, "--pixels", 16, "--nh", 3]
    done = run_cli("ingest", "esass", bad, *tiles, *more, "--out", out, "--resume")
    assert done.returncode == 0
    lines = [line for line in done.stderr.splitlines() if "N_H" not in line]
    assert lines[0] == f"icmass: passed by: {bad}: is no FITS file; give a FITS file"
    assert lines[1].startswith("icmass: cluster no: no photon within reach of RA 100 Dec -30")
    assert len(lines) == 2 and "2 clusters; events: " in done.stdout
    assert json.loads(open_survey(out).attrs["names"]) == ["a", "b"]
    again = run_cli("ingest", "esass", bad, *tiles, *more, "--out", out, "--resume")
    assert again.returncode == 0 and again.stdout == f"{out}: 2 clusters\n"


def test_masses_of_many_tiles_in_a_store(tiles: list[Path], tmp_path: Path, run_cli: Any) -> None:
    place = ["--ra", RA, "--dec", DEC, "--redshift", 0.1, "--exposure", 1000, "--nh", 3]
    store = tmp_path / "X.zarr"
    more = ["--device", "cpu", "--json"]
    kept = run_cli("predict", *tiles, *place, "--store", store, *more)
    assert kept.returncode == 0, kept.stderr
    of_store = run_cli("predict", store, *more)
    [row], [again] = (json.loads(done.stdout)["clusters"] for done in (kept, of_store))
    assert row == again and row["files"] == [file.name for file in tiles]
    assert open_survey(store)["maps"].sum() == row["photons"]
    for extra, says in (
        (["--store", store], "exists already"),
        (["--resume"], "--store: is missing"),
        (["--scheduler", "tcp://127.0.0.1:1"], "--store: is missing"),
    ):
        refused = run_cli("predict", *tiles, *place, *extra, *more)
        assert refused.returncode == 2 and says in refused.stderr
    refused = run_cli("predict", store, "--workers", 2)
    assert refused.returncode == 2 and "--workers: goes with event files" in refused.stderr
