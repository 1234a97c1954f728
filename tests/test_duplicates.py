"""The same photon in several files, in the precision of each: counted once, others kept apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from event_files import BANDS, DEC, RA, Columns, draw, good, part, read_one, write
from icmass.errors import InputError
from icmass.io import duplicates
from icmass.io.duplicates import SeenPhotons, is_new
from icmass.io.event_binning import OUTCOMES
from icmass.io.events import scan_event_file
from icmass.io.target import Target
from icmass.sky.map_grid import MapGrid
from icmass.survey.observed import events as esass
from icmass.survey.observed.events import EventSource, open_events

GRID = MapGrid(BANDS, 32)
FORMS = ("doubles", "integers", "single", "whole eV", "keV")


def tally(source: EventSource) -> dict[str, int]:
    return {k: int(n) for k, n in zip(OUTCOMES, source.tally, strict=True) if n}


def tile(path: Path, events: Columns, form: str = "doubles", *, times: bool = True) -> Path:
    """Write events in the precision of a form."""
    events = {name: values.copy() for name, values in events.items()}
    if form == "single":
        events["RA"], events["DEC"] = events["RA"].astype("f4"), events["DEC"].astype("f4")
    if form == "whole eV":
        events["PI"] = np.rint(events["PI"])
    write(path, events, form="edr" if form == "integers" else "dr1")
    if times and form not in ("single", "keV", "whole eV"):
        return path
    with fits.open(path) as hdus:
        columns = []
        for column in hdus["EVENTS"].columns:
            name, array = column.name, hdus["EVENTS"].data[column.name]
            if name == "TIME" and not times:
                continue
            if name in ("RA", "DEC"):
                kind = "E" if form == "single" else "D"
                columns.append(fits.Column(name, kind, "deg", array=array))
            elif name == "PI" and form == "keV":
                columns.append(fits.Column("ENERGY", "E", "keV", array=array / 1000))
            elif name == "PI" and form == "whole eV":
                columns.append(fits.Column("PI", "J", "eV", array=array))
            elif name == "FLAG":
                columns.append(fits.Column("FLAG", "J", array=array.astype("i4")))
            else:
                columns.append(fits.Column(name, column.format, column.unit, array=array))
        table = fits.BinTableHDU.from_columns(columns, name="EVENTS")
        table.header.update({"TELESCOP": "eROSITA", "OBS_MODE": "POINTING"})
        gtis = [hdu.copy() for hdu in hdus[2:]]
        fits.HDUList([fits.PrimaryHDU(), table, *gtis]).writeto(path, overwrite=True)
    return path


def bright(n: int = 3000) -> Columns:
    """Return a bright core: many photons within a few arcsec, some energies near to each other."""
    return good(n, seed=4, spread=6 / 3600)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_second_tile_in_another_precision(
    tmp_path: Path, form: str, times: bool, swapped: bool
) -> None:
    events = bright()
    alone = open_events([tile(tmp_path / "a.fits", events)], GRID)
    n = read_one(alone)["n_phot"]
    files = [tmp_path / "a.fits", tile(tmp_path / "b.fits", part(events, slice(0, 2000)), form)]
    if not times:
        files[1] = tile(tmp_path / "b.fits", part(events, slice(0, 2000)), form, times=False)
    both = open_events(files[::-1] if swapped else files, GRID)
    found = read_one(both)["n_phot"]
    assert abs(found - n) <= 1  # a photon may cross the edge of a band by rounding
    assert 1995 <= tally(both)["duplicate"] <= 2000


def test_both_without_times_and_three_tiles(tmp_path: Path) -> None:
    events = bright(2000)
    n = read_one(open_events([tile(tmp_path / "a.fits", events, times=False)], GRID))["n_phot"]
    assert n == 2000  # distinct photons of one file without times are kept apart
    files = [tmp_path / "a.fits"]
    files += [
        tile(tmp_path / f"{form}.fits", events, form, times=False)
        for form in ("single", "whole eV")
    ]
    source = open_events(files, GRID)
    assert abs(read_one(source)["n_phot"] - n) <= 2
    assert tally(source)["duplicate"] >= 3998


def test_other_photons_of_a_second_tile_are_kept(tmp_path: Path) -> None:
    events = bright(4000)
    files = [
        tile(tmp_path / "a.fits", part(events, slice(0, 2500))),
        tile(tmp_path / "b.fits", part(events, slice(1500, None)), "single"),
    ]
    found = tally_of(files)
    assert abs(found["counted"] - 4000) <= 1 and abs(found["duplicate"] - 1000) <= 1
    files[1] = tile(tmp_path / "c.fits", part(events, slice(1500, None)), "single", times=False)
    found = tally_of(files)  # without times some neighbours cannot be separated
    assert abs(found["counted"] - 4000) <= 20


def tally_of(files: list[Path]) -> dict[str, int]:
    source = open_events(files, GRID)
    read_one(source)
    return tally(source)


def test_duplicates_within_a_file_without_times(tmp_path: Path) -> None:
    events = bright(500)
    doubled = part(events, np.concatenate([np.arange(500), np.arange(0, 500, 5)]))
    assert tally_of([tile(tmp_path / "a.fits", doubled, times=False)]) == {
        "counted": 500,
        "duplicate": 100,
    }


def near(n: int, arcsec: float = 0.2, ev: float = 2.0) -> Columns:
    """Return n photons of one module that are within reach of each other, but for their times."""
    events = part(good(1, spread=0), np.zeros(n, int))
    events["TIME"] = np.arange(n) * 10.0 + 1
    events["DEC"] = events["DEC"] + np.arange(n) * arcsec / n / 3600
    events["PI"] = (1500 + np.arange(n) * ev / n).astype("f4")
    return events


def test_photons_without_times_are_matched_one_to_one(tmp_path: Path) -> None:
    three = near(3)
    alone = tile(tmp_path / "a.fits", three, times=False)
    assert tally_of([alone]) == {"counted": 3}  # of one file they differ in some digit
    one = tile(tmp_path / "b.fits", part(three, [1]))
    for files in ([alone, one], [one, alone]):
        assert tally_of(files) == {"counted": 3, "duplicate": 1}
    again = tile(tmp_path / "c.fits", three, "single", times=False)
    assert tally_of([alone, again]) == {"counted": 3, "duplicate": 3}
    assert tally_of([one, alone, again]) == {"counted": 3, "duplicate": 4}


@pytest.mark.parametrize(("step", "precise"), [(1e-6, True), (0.02, False)])
def test_times_as_scaled_integers(tmp_path: Path, step: float, precise: bool) -> None:
    events = bright(500)
    first = tile(tmp_path / "a.fits", events)
    with fits.open(first) as hdus:
        columns = [c for c in hdus["EVENTS"].columns if c.name not in ("TIME", "FLAG")]
        whole = np.rint(events["TIME"] / step).astype("i4")
        table = fits.BinTableHDU.from_columns(
            [fits.Column("TIME", "J", "s", array=whole), *columns], name="EVENTS"
        )
        table.header.update({"TELESCOP": "eROSITA", "OBS_MODE": "POINTING", "TSCAL1": step})
        fits.HDUList([hdus[0], table, *hdus[2:]]).writeto(tmp_path / "b.fits")
    assert scan_event_file(tmp_path / "b.fits").has_precise_times == precise
    assert tally_of([first, tmp_path / "b.fits"]) == {"counted": 500, "duplicate": 500}


def test_times_in_single_precision_are_no_times(tmp_path: Path) -> None:
    events = bright(1000)
    events["TIME"] += 6.4e8
    gtis = {m: [(6.4e8, 6.4e8 + 1000)] for m in range(1, 8)}
    first = write(tmp_path / "a.fits", events, gtis=gtis)
    with fits.open(write(tmp_path / "b.fits", events, gtis=gtis)) as hdus:
        columns = list(hdus["EVENTS"].columns)
        columns[0] = fits.Column("TIME", "E", "s", array=events["TIME"])
        table = fits.BinTableHDU.from_columns(columns, name="EVENTS", header=hdus[1].header)
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "c.fits")
    source = open_events([first, tmp_path / "c.fits"], GRID, seconds=500.0)
    assert read_one(source)["n_phot"] == 1000


def test_a_file_that_does_not_tell_the_modules(tmp_path: Path) -> None:
    events = good(400)
    none = {f"INSTRUM{m}": None for m in range(1, 8)}
    first = write(tmp_path / "a.fits", events)
    second = write(tmp_path / "b.fits", events, form="sixte", **none)
    found = tally_of([first, second])
    assert found["duplicate"] == found["counted"]


# ---------------------------------------------------------------- against a plain search


def photons(n: int, seed: int, *, by_time: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return photons and others beside them, some within reach and some a little beyond."""
    rng = np.random.default_rng(seed)
    place = rng.normal(size=(n, 3))
    place /= np.linalg.norm(place, axis=1)[:, None]
    energy, time = rng.uniform(300, 7000, n), rng.uniform(0, 1e4, n)
    near = rng.integers(n, size=n)
    push = rng.normal(size=(n, 3))
    push /= np.linalg.norm(push, axis=1)[:, None]
    arcsec = rng.choice([0.2, 0.4, 0.7, 3.0], n)
    place = np.concatenate([place, place[near] + push * np.radians(arcsec / 3600)[:, None]])
    energy = np.concatenate([energy, energy[near] + rng.choice([-4, -2, 0, 2, 4], n)])
    shifts = rng.choice([0, 0.0009, -0.0009, 0.0012], n) if by_time else 0
    time = np.concatenate([time, time[near] + shifts])
    return time, np.column_stack([place, energy]).astype("f4"), np.repeat([1, 2], n)


def test_photons_that_agree_are_those_of_a_plain_search() -> None:
    n = 3000
    time, place, source = photons(n, 1, by_time=True)
    seen = SeenPhotons(by_time=True)
    new, cells = [], np.empty((2, 5), np.int64)
    for t, p, s in zip(time, place, source, strict=True):
        seen.reserve(1)
        stored = (seen.table, seen.time, seen.place, seen.module, seen.source)
        fresh = is_new(*stored, seen.size, True, cells, t, p, 1, s)
        seen.size += fresh
        new.append(fresh)
    kept: list[int] = []
    for i in range(2 * n):
        k = np.array(kept, int)
        same = (np.abs(time[k] - time[i]) <= duplicates.TIME_S) & (
            np.abs(place[k, 3] - place[i, 3]) <= duplicates.ENERGY_EV
        )
        chord = np.linalg.norm((place[k, :3] - place[i, :3]).astype("f8"), axis=1)
        same &= chord <= np.radians(duplicates.POSITION_ARCSEC / 3600)
        assert new[i] == (not same.any()), i
        if new[i]:
            kept.append(i)
    assert 300 < 2 * n - len(kept) < n


def test_room_is_made_for_many(tmp_path: Path) -> None:
    events = draw(150_000, spread=0.02)
    events["TIME"] = np.sort(np.random.default_rng(0).uniform(0, 1000, 150_000))
    twice = [write(tmp_path / f"{name}.fits", events) for name in "ab"]
    found = tally_of(twice)
    assert found["counted"] == found["duplicate"] > 2**15


@pytest.mark.parametrize("times", [True, False])
def test_clusters_of_later_reads_have_the_same_photons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: bool
) -> None:
    """Each of a few clusters at a time: its own maps, and its own photons outside the bands."""
    events = bright(2000)
    hard = good(70, 1, ra=RA + 2, spread=1e-3)
    hard["PI"][:] = np.linspace(8000, 9000, 70)
    both = {name: np.concatenate([events[name], hard[name]]) for name in events}
    files = [
        tile(tmp_path / "a.fits", both, times=times),
        tile(tmp_path / "b.fits", part(events, slice(1000, None)), "single", times=times),
    ]
    targets = [Target(str(k), RA + 0.02 * k, DEC, 0.3) for k in range(4)]
    targets.insert(3, Target("hard", RA + 2, DEC, 0.3))
    maps, told = [], []
    for at_once in (1000, 2, 1):
        monkeypatch.setattr(esass, "AT_ONCE", at_once)
        source = open_events(files, GRID, seconds=1000.0)
        found = {target.name: values for target, values in source.read(targets)}
        error = found.pop("hard")
        assert isinstance(error, InputError)
        assert "all 70 photons within" in str(error) and "8 to 9 keV" in str(error)
        maps.append(np.array([found[str(k)]["maps"] for k in range(4)]))
        told.append(tally(source))
    assert told[0] == told[1] == told[2] and told[0]["duplicate"] > 500
    assert told[0]["outside the bands"] == 70
    np.testing.assert_array_equal(maps[0], maps[1])
    np.testing.assert_array_equal(maps[0], maps[2])
    assert all(len(np.unique(m)) > 1 for m in maps[0])
