"""Events in the frames of clusters: positions, bands, cuts, good times, exposure, background."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import icmass
from conftest import RunCli
from event_files import BANDS, DEC, HERE, RA, REDSHIFT, Columns, draw, good, part, read_one, write
from icmass.errors import InputError
from icmass.io import fits_stream
from icmass.io.event_binning import OUTCOMES, EventCounts, Frames
from icmass.io.events import EventCuts, merged
from icmass.io.fits_stream import FitsStream
from icmass.io.target import Target
from icmass.sky.map_grid import MapGrid, cluster_frame
from icmass.survey.observed import events as esass
from icmass.survey.observed.events import EventSource, open_events

GRID = MapGrid(BANDS, 32)
ALL = (np.zeros(0), np.zeros(9, int))


def tally(source: EventSource) -> dict[str, int]:
    return {k: int(n) for k, n in zip(OUTCOMES, source.tally, strict=True) if n}


def pixels_of(events: Columns, target: Target, grid: MapGrid) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixel coordinates of events by astropy's TAN, nothing of ours but the frame."""
    frame = cluster_frame(target.ra, target.dec, redshift=target.redshift, grid=grid)
    return frame.wcs_world2pix(events["RA"], events["DEC"], 0)


def by_hand(events: Columns, target: Target, grid: MapGrid, used: np.ndarray) -> np.ndarray:
    """Return the maps of the used events with NumPy, (band, y, x)."""
    near = np.abs(np.mod(events["RA"] - target.ra + 180, 360) - 180) * np.cos(
        np.radians(target.dec)
    )
    used = used & (np.abs(events["DEC"] - target.dec) < 5) & (near < 90)
    x, y = pixels_of(events, target, grid)
    edges = np.arange(grid.n_pixels + 1) - 0.5
    out = []
    for lo, hi in grid.bands:
        inside = used & (events["PI"] >= 1000 * lo) & (events["PI"] < 1000 * hi)
        out.append(np.histogram2d(y[inside], x[inside], (edges, edges))[0])
    return np.array(out)


# ---------------------------------------------------------------- positions


@pytest.mark.parametrize("form", ["dr1", "edr"])
@pytest.mark.parametrize(
    ("ra", "dec"), [(150.1, 2.2), (0.001, -30.0), (359.999, 60.0), (77.0, 89.9), (200.0, -89.9)]
)
def test_maps_are_those_of_astropys_tangent_plane(
    tmp_path: Path, ra: float, dec: float, form: str
) -> None:
    events = good(3000, ra=ra, dec=dec)
    if form == "edr":
        events["RA"], events["DEC"] = (np.rint(events[n] * 1e6) * 1e-6 for n in ("RA", "DEC"))
    target = Target("there", ra, dec, REDSHIFT)
    found = read_one(open_events([write(tmp_path / "a.fits", events, form=form)], GRID), target)
    expected = by_hand(events, target, GRID, np.ones(3000, bool))
    assert expected.sum() > 2000
    np.testing.assert_array_equal(found["maps"][0], expected)
    assert found["n_phot"] == expected.sum()


def test_a_negative_or_large_right_ascension_is_the_same_place(tmp_path: Path) -> None:
    events = good(500, ra=0.0, dec=10.0)
    file = write(tmp_path / "a.fits", events)
    wrapped = {**events, "RA": np.where(events["RA"] > 180, events["RA"] - 360, events["RA"])}
    other = write(tmp_path / "b.fits", wrapped)
    maps = [
        read_one(open_events([f], GRID), Target("", ra, 10.0, REDSHIFT))["maps"]
        for f in (file, other)
        for ra in (0.0, 360.0)
    ]
    assert maps[0].sum() > 400
    assert all((m == maps[0]).all() for m in maps)


def test_clusters_that_overlap_share_photons_and_each_is_counted_once(tmp_path: Path) -> None:
    events = good(2000, spread=0.1)
    targets = [
        Target("a", RA, DEC, REDSHIFT),
        Target("b", RA + 0.1, DEC, 0.2),
        Target("c", RA, DEC - 0.15, 0.5),
        Target("far", RA + 30, DEC, 0.1),
    ]
    source = open_events([write(tmp_path / "a.fits", events)], GRID)
    found = dict(zip("abcf", [values for _, values in source.read(targets)], strict=True))
    seen = np.zeros(2000, bool)
    for name, target in zip("abc", targets, strict=False):
        expected = by_hand(events, target, GRID, np.ones(2000, bool))
        np.testing.assert_array_equal(found[name]["maps"][0], expected)
        x, y = pixels_of(events, target, GRID)
        seen |= (np.abs(x - 15.5) < 16) & (np.abs(y - 15.5) < 16)
    assert isinstance(found["f"], InputError) and "no photon within" in str(found["f"])
    assert tally(source) == {"counted": seen.sum(), "outside the maps": (~seen).sum()}


def test_many_clusters_are_read_in_several_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "a.fits", good(400))
    targets = [Target(str(i), RA + 0.01 * i, DEC, REDSHIFT) for i in range(5)]
    whole = [v["maps"] for _, v in open_events([file], GRID).read(targets)]
    monkeypatch.setattr(esass, "MAX_BYTES", 2 * 3 * 32**2 * 2)
    parts = [v["maps"] for _, v in open_events([file], GRID).read(targets)]
    assert len(parts) == 5 and all((a == b).all() for a, b in zip(whole, parts, strict=True))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    ra=st.floats(-180, 360),
    dec=st.floats(-89.9, 89.9),
    at=st.tuples(st.floats(-0.49, 0.49), st.floats(-0.49, 0.49)),
    pixel=st.floats(1e-6, 2e-3),
)
@example(ra=0.0, dec=89.9, at=(0.4, -0.4), pixel=1e-3)
@example(ra=360.0, dec=-89.9, at=(-0.4, 0.4), pixel=1e-3)
@example(ra=1e-9, dec=0.0, at=(0.49, 0.49), pixel=2e-3)
def test_an_event_lands_in_the_pixel_that_astropy_says(
    ra: float, dec: float, at: tuple[float, float], pixel: float
) -> None:
    from astropy.wcs import WCS

    n = 20
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [ra, dec], [n / 2 + 0.5] * 2
    wcs.wcs.cdelt = [-np.degrees(pixel), np.degrees(pixel)]
    cell = np.floor(n / 2 + np.array(at) * n)
    where = np.clip(cell, 0, n - 1)  # centres of pixels: no rounding at their edges
    a, d = wcs.wcs_pix2world(*where[:, None], 0)
    frames = Frames(np.array([ra]), np.array([dec]), np.array([pixel]), n, np.array([[1.0, 9.0]]))
    counts = EventCounts(frames)
    one = np.ones(1, int)
    events = {"RA": a, "DEC": d, "PI": np.array([5.0]), "TIME": np.zeros(1)}
    events |= {"TM_NR": one, "FLAG": 0 * one, "PAT_TYP": one}
    counts.add(events, flag=0, patterns=np.ones(8, bool), min_pi_ev=np.zeros(8), gtis=ALL)
    assert counts.maps.sum() == 1
    _, _, y, x = (int(k[0]) for k in np.nonzero(counts.maps))
    assert (x, y) == tuple(where.astype(int))


# ---------------------------------------------------------------- bands and cuts


def test_bands_begin_with_their_edge_and_end_before_it(tmp_path: Path) -> None:
    energy = np.array([499.99, 500, 1199.9, 1200, 1999.9, 2000, 6999.9, 7000], "f4")
    events = {**good(8, spread=1e-3), "PI": energy}
    source = open_events([write(tmp_path / "a.fits", events)], GRID)
    assert list(read_one(source)["maps"].sum((0, 2, 3))) == [2, 2, 2]
    assert tally(source) == {"counted": 6, "outside the bands": 2}


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("flag", "pattern", "modules"),
    [
        (0xE000F000, 15, (1, 2, 3, 4, 6)),
        (0xC00FFF30, 1, (2,)),
        (0x1, 10, (1, 6)),
        (0, 4, (1, 2, 3)),
    ],
)
def test_cuts_are_those_of_evtool(
    tmp_path: Path, flag: int, pattern: int, modules: tuple[int, ...], signed: bool
) -> None:
    events = draw(4000)
    events["FLAG"] |= (
        np.random.default_rng(1).choice([0, 0x10, 0x8000, 0x20000000], 4000).astype("u4")
    )
    cuts = EventCuts(flag=flag, pattern=pattern, modules=modules)
    file = write(tmp_path / "a.fits", events, signed_flag=signed)
    source = open_events([file], GRID, cuts=cuts)
    unflagged = (events["FLAG"] & flag) == 0
    patterned = np.isin(events["PAT_TYP"], [k for k in (1, 2, 3, 4) if pattern & 1 << (k - 1)])
    used = unflagged & patterned & np.isin(events["TM_NR"], modules)
    expected = by_hand(events, HERE, GRID, used)
    assert 20 < expected.sum() < 3000
    np.testing.assert_array_equal(read_one(source)["maps"][0], expected)
    found = tally(source)
    assert found.get("flagged", 0) == (~unflagged).sum()
    assert found["bad pattern"] == (unflagged & ~patterned).sum()
    assert found["other module"] == (unflagged & patterned).sum() - used.sum()


@pytest.mark.parametrize(
    ("policy", "leaks", "soft", "hard", "relative"),
    [
        ("exclude", None, 5, 5, [1, 1, 1]),
        ("exclude", True, 5, 5, [1, 1, 1]),
        ("exclude", False, 7, 7, [1, 1, 1]),
        ("soft", None, 5, 7, [5 / 7, 1, 1]),
        ("soft", False, 7, 7, [1, 1, 1]),
        ("keep", None, 7, 7, [1, 1, 1]),
    ],
)
def test_light_leak_policies(
    tmp_path: Path, policy: Any, leaks: bool | None, soft: int, hard: int, relative: list[float]
) -> None:
    events = good(70, spread=1e-3)
    events["TM_NR"] = (np.arange(70) % 7 + 1).astype("u1")
    events["PI"][:] = np.where(np.arange(70) < 35, 600.0, 1500.0)
    file = write(tmp_path / "a.fits", events, LIGHTLEA=leaks)
    source = open_events([file], GRID, cuts=EventCuts(light_leak=policy))
    found = read_one(source)
    assert list(found["maps"].sum((0, 2, 3))) == [5 * soft, 5 * hard, 0]
    np.testing.assert_allclose(found["band_exposure"], relative)
    modules = max(soft, hard)
    assert found["exposure"] == pytest.approx(1000 * modules / 7)


def test_the_leak_ends_with_the_softest_band(tmp_path: Path) -> None:
    events = good(4, spread=1e-3)
    events["TM_NR"][:] = 5
    events["PI"][:] = [600.0, 1199.9, 1200.0, 1500.0]
    source = open_events(
        [write(tmp_path / "a.fits", events)], GRID, cuts=EventCuts(light_leak="soft")
    )
    assert list(read_one(source)["maps"].sum((0, 2, 3))) == [0, 2, 0]
    assert tally(source) == {"counted": 2, "outside the bands": 2}


@pytest.mark.parametrize("bad", [{"flag": -1}, {"flag": 2**32}, {"pattern": 0}, {"pattern": 16}])
def test_cuts_that_make_no_sense(bad: dict[str, int]) -> None:
    with pytest.raises(InputError) as raised:
        EventCuts(**bad)
    assert raised.value.parameter == next(iter(bad))


def test_sixte_like_columns(tmp_path: Path) -> None:
    events = good(500)
    source = open_events(
        [write(tmp_path / "a.fits", events, form="sixte", gtis={}, EXPOSURE=2000.0)], GRID
    )
    energies = {**events, "PI": (events["PI"] / 1000).astype("f4").astype(float) * 1000}
    expected = by_hand(energies, HERE, GRID, np.ones(500, bool))
    np.testing.assert_array_equal(read_one(source)["maps"][0], expected)
    assert source.files[0].columns["PI"] == ("SIGNAL", 1000.0)


# ---------------------------------------------------------------- good times


def test_good_times_of_each_module(tmp_path: Path) -> None:
    events = good(2000)
    gtis = {1: [(500, 600), (0, 100), (50, 200)], 2: [(200, 300), (300, 400)], 3: [], 4: [(0, 1e3)]}
    gtis[6] = [(900, 1000)]
    found = open_events([write(tmp_path / "a.fits", events, gtis=gtis)], GRID)
    used = np.zeros(2000, bool)
    for module, times in gtis.items():
        for start, stop in times:
            used |= (
                (events["TM_NR"] == module) & (events["TIME"] >= start) & (events["TIME"] <= stop)
            )
    values = read_one(found)
    np.testing.assert_array_equal(values["maps"][0], by_hand(events, HERE, GRID, used))
    assert values["exposure"] == pytest.approx((300 + 200 + 0 + 1000 + 100) / 7)
    whole = open_events(
        [write(tmp_path / "a.fits", events, gtis=gtis)], GRID, cuts=EventCuts(gti=False)
    )
    assert read_one(whole)["n_phot"] == by_hand(events, HERE, GRID, events["TIME"] > -1).sum()


def test_an_event_on_an_edge_is_in(tmp_path: Path) -> None:
    events = good(6, spread=1e-3)
    events["TM_NR"][:] = 1
    events["TIME"] = np.array([9.999, 10.0, 20.0, 20.001, 30.0, 40.0])
    file = write(tmp_path / "a.fits", events, gtis={1: [(10, 20), (30, 40)]})
    assert read_one(open_events([file], GRID))["n_phot"] == 4


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10)).map(lambda p: (p[0], p[0] + p[1])))
)
def test_merged_intervals_cover_the_same_times(pairs: list[tuple[int, int]]) -> None:
    found = merged(np.array(pairs, float).reshape(-1, 2))
    moments = np.arange(0, 51) + 0.5
    inside = np.array([any(a <= t < b for a, b in pairs) for t in moments])
    assert ((moments[:, None] >= found[:, 0]) & (moments[:, None] < found[:, 1])).any(
        1
    ).tolist() == (inside.tolist())
    assert (np.diff(found.ravel()) > 0).all()


def test_unsorted_times_give_the_same(tmp_path: Path) -> None:
    events = draw(1500)
    shuffled = part(events, np.random.default_rng(3).permutation(1500))
    gtis = {m: [(100.0, 350.0), (600.0, 900.0)] for m in range(1, 8)}
    sources = [
        open_events([write(tmp_path / f"{i}.fits", e, gtis=gtis)], GRID)
        for i, e in enumerate((events, shuffled))
    ]
    first, second = (read_one(source) for source in sources)
    np.testing.assert_array_equal(first["maps"], second["maps"])
    assert tally(sources[0]) == tally(sources[1]) and first["n_phot"] > 100


# ---------------------------------------------------------------- duplicates and broken events


def test_duplicates_in_a_file_and_in_two_tiles_are_counted_once(tmp_path: Path) -> None:
    events = good(1000)
    doubled = part(events, np.concatenate([np.arange(1000), np.arange(0, 1000, 4)]))
    single = open_events([write(tmp_path / "a.fits", events)], GRID)
    twice = open_events([write(tmp_path / "b.fits", doubled)], GRID)
    maps = read_one(single)["maps"]
    np.testing.assert_array_equal(read_one(twice)["maps"], maps)
    n = tally(single)
    assert tally(twice)["counted"] == n["counted"] and tally(twice)["duplicate"] > 200
    west = write(tmp_path / "w.fits", part(events, events["RA"] < RA + 0.02))
    east = write(tmp_path / "e.fits", part(events, events["RA"] > RA - 0.02))
    tiles = open_events([west, east], GRID)
    found = read_one(tiles)
    np.testing.assert_array_equal(found["maps"], maps)
    both = np.abs(events["RA"] - RA) < 0.02
    x, y = pixels_of(events, HERE, GRID)
    inside = (np.abs(x - 15.5) < 16) & (np.abs(y - 15.5) < 16)
    assert tally(tiles)["duplicate"] == (both & inside).sum()
    assert found["exposure"] == pytest.approx(1000 * 5 / 7)  # the same seconds, not twice as many


def test_events_that_differ_in_one_thing_are_different(tmp_path: Path) -> None:
    event = part(good(1, spread=0), [0, 0, 0, 0, 0, 0])
    event["TIME"][1] += 0.0011
    event["RA"][2] += 0.6 / 3600
    event["DEC"][3] += 0.6 / 3600
    event["PI"][4] += 3.1
    event["TM_NR"][5] = 2
    source = open_events([write(tmp_path / "a.fits", event)], GRID)
    assert read_one(source)["n_phot"] == 6


@pytest.mark.parametrize("name", ["RA", "DEC", "PI", "TIME"])
def test_some_broken_events_are_dropped_and_told(tmp_path: Path, name: str) -> None:
    events = good(600)
    whole = read_one(open_events([write(tmp_path / "a.fits", events)], GRID))
    events[name][::10] = [np.nan, np.inf, -np.inf] * 20
    source = open_events([write(tmp_path / "b.fits", events)], GRID)
    kept = np.isfinite(events[name])
    expected = by_hand(part(events, kept), HERE, GRID, np.ones(540, bool))
    np.testing.assert_array_equal(read_one(source)["maps"][0], expected)
    assert tally(source)["not finite"] == 60 and "60 not finite" in source.outcomes
    assert whole["n_phot"] > expected.sum()


def test_more_photons_than_a_pixel_holds(tmp_path: Path) -> None:
    n = 66_000
    events = good(n, spread=0)
    events["PI"][:] = 700
    with pytest.raises(InputError, match="more than 65535 photons in one pixel"):
        read_one(open_events([write(tmp_path / "a.fits", events)], GRID))


def test_chunks_and_gzip_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "a.fits", draw(3000))
    zipped = tmp_path / "a.fits.gz"
    zipped.write_bytes(gzip.compress(file.read_bytes()))
    first = open_events([file], GRID)
    maps = read_one(first)["maps"]
    monkeypatch.setattr(fits_stream, "CHUNK_BYTES", 4000)
    for other in (file, zipped):
        source = open_events([other], GRID)
        np.testing.assert_array_equal(read_one(source)["maps"], maps)
        assert tally(source) == tally(first)


def test_columns_are_what_astropy_reads(tmp_path: Path) -> None:
    path = tmp_path / "t.fits"
    rng = np.random.default_rng(0)
    columns = [
        fits.Column("b", "B", array=rng.integers(0, 255, 9)),
        fits.Column("sb", "B", bzero=-128, array=rng.integers(-128, 127, 9).astype("i1")),
        fits.Column("u2", "I", bzero=2**15, array=rng.integers(0, 2**16, 9).astype("u2")),
        fits.Column("i4", "J", null=-9, array=np.array([1, -9, 3, 4, 5, 6, 7, 8, 9])),
        fits.Column("i8", "K", array=rng.integers(-(2**60), 2**60, 9)),
        fits.Column("f", "E", array=rng.normal(size=9)),
        fits.Column("d", "D", array=rng.normal(size=9)),
        fits.Column("t", "L", array=rng.random(9) < 0.5),
        fits.Column("a", "6A", array=[f"n{i}" for i in range(9)]),
        fits.Column("x", "11X", array=rng.random((9, 11)) < 0.5),
        fits.Column("s", "I", array=np.arange(9)),
    ]
    written = fits.BinTableHDU.from_columns(columns)
    written.header["TSCAL11"] = 0.5
    written.writeto(path)
    with FitsStream(path) as stream, fits.open(path) as hdus:
        hdu = list(stream.hdus())[1]
        plain = [c for c in hdu.columns if c != "X"]
        found = hdu.table(plain)
        for name in plain:
            expected = np.asarray(hdus[1].data[name])
            if name == "I4":
                assert np.isnan(found[name][1])
                expected, found[name] = np.delete(expected, 1), np.delete(found[name], 1)
            np.testing.assert_array_equal(found[name], expected)


def test_masses_tell_what_became_of_the_events(tmp_path: Path, run_cli: RunCli) -> None:
    """Lost events are told with the mass as `ingest` tells them; of sound files there is none."""
    events = good(1100)
    events["FLAG"][:40] = 0x80000000
    sound = write(tmp_path / "sound.fits", events)
    events["PI"][50:150] = np.nan
    events["RA"][200:210] = np.nan
    broken = write(tmp_path / "broken.fits", events)
    found = icmass.predict(broken, ra=RA, dec=DEC, redshift=REDSHIFT)
    assert found.document["events"]["not finite"] == 110
    assert found.document["events"]["flagged"] == 40
    assert sum(found.document["events"].values()) == 1100
    [said] = [line for line in found.warnings if "not finite" in line]
    assert said.startswith("110 of 1,100 events are left out")
    [line] = [line for line in found.assumptions if line.startswith("Events of all files: ")]
    words = ("ingest", "esass", broken, "--ra", RA, "--dec", DEC, "--redshift", REDSHIFT)
    done = run_cli(*words, "--out", tmp_path / "x.zarr")
    assert f"events: {line.removeprefix('Events of all files: ')[:-1]}\n" in done.stdout
    again = icmass.predict(tmp_path / "x.zarr")
    assert said in again.warnings and line in again.assumptions
    found = icmass.predict(sound, ra=RA, dec=DEC, redshift=REDSHIFT)
    assert not [line for line in found.warnings if "not finite" in line]
    assert "40 flagged" in " ".join(found.assumptions)
