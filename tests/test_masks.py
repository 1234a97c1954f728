"""Masks of the sky: DS9 regions, catalogues of sources, mask images, whole pixels of a map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table

from conftest import RunCli
from event_files import BANDS, DEC, RA, REDSHIFT, good, write
from icmass.errors import InputError
from icmass.io import ds9_regions
from icmass.io import masks as module
from icmass.io.masks import Masks, read_masks
from icmass.io.target import Target
from icmass.observe.coverage import CoverageConfig
from icmass.sky.map_grid import FineGrid, MapGrid, cluster_frame
from icmass.survey.observed.events import open_events

GRID = MapGrid(BANDS, 32)
FRAME = cluster_frame(RA, DEC, redshift=REDSHIFT, grid=GRID)
FINE = FineGrid(FRAME, GRID, 8)
STEP = float(FRAME.wcs.cdelt[1]) * 3600 / 8
"""Distance of two points of the grid [arcsec]."""


def sky() -> SkyCoord:
    """Return where the grid's points are."""
    return FRAME.pixel_to_world(*np.meshgrid(FINE.pixel, FINE.pixel))


def offsets(ra: float, dec: float, angle: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the points' offsets East and North of a place [arcsec], turned by `angle` degrees.

    DS9 turns regions counter-clockwise from the image's x axis, which runs West.
    """
    lon, lat = SkyCoord(ra, dec, unit="deg").spherical_offsets_to(sky())
    east, north = lon.to_value(u.arcsec), lat.to_value(u.arcsec)
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return c * -east + s * north, s * east + c * north


def regions(path: Path, *lines: str, frame: str = "fk5") -> np.ndarray:
    path.write_text("\n".join(["# Region file format: DS9", frame, *lines]), encoding="ascii")
    return ~read_masks(regions=path).used(FINE)


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """The same but for points within a step of the outline."""
    assert expected.sum() > 200
    odd = found != expected
    inner = expected & np.roll(expected, 1, 0) & np.roll(expected, -1, 0)
    inner &= np.roll(expected, 1, 1) & np.roll(expected, -1, 1)
    outer = expected | np.roll(expected, 1, 0) | np.roll(expected, -1, 0)
    outer |= np.roll(expected, 1, 1) | np.roll(expected, -1, 1)
    assert not (odd & (inner | ~outer)).any()
    assert odd.mean() < 0.002


def test_a_circle_in_degrees_and_in_sexagesimal(tmp_path: Path) -> None:
    expected = sky().separation(SkyCoord(RA, DEC, unit="deg")).arcsec <= 60
    assert_same(regions(tmp_path / "a.reg", f'circle({RA},{DEC},60")'), expected)
    assert_same(regions(tmp_path / "b.reg", "circle(10:00:24.0,+02:12:00.0,1')"), expected)
    galactic = SkyCoord(RA, DEC, unit="deg").galactic
    line = f'circle({galactic.l.deg},{galactic.b.deg},60")'
    assert_same(regions(tmp_path / "c.reg", line, frame="galactic"), expected)


def test_an_ellipse_a_box_and_a_polygon(tmp_path: Path) -> None:
    ra, dec = RA + 0.01, DEC - 0.01
    x, y = offsets(ra, dec, 30)
    line = f'ellipse({ra},{dec},90",40",30)'
    assert_same(regions(tmp_path / "e.reg", line), (x / 90) ** 2 + (y / 40) ** 2 <= 1)
    line = f'box({ra},{dec},120",60",30)'
    assert_same(regions(tmp_path / "b.reg", line), (np.abs(x) <= 60) & (np.abs(y) <= 30))
    x, y = offsets(RA, DEC)
    corners = [(RA - 0.02, DEC - 0.02), (RA + 0.02, DEC - 0.02), (RA, DEC + 0.02)]
    line = "polygon(" + ",".join(f"{a},{d}" for a, d in corners) + ")"
    inside = (y >= -72) & (np.abs(x) <= 72 * np.cos(np.radians(DEC)) * (72 - y) / 144)
    assert_same(regions(tmp_path / "p.reg", line), inside)


def test_regions_are_left_out_whatever_their_sign_and_added(tmp_path: Path) -> None:
    first, second = f'circle({RA},{DEC},40")', f'circle({RA + 0.03},{DEC},30")'
    one, two = (regions(tmp_path / "a.reg", line) for line in (first, second))
    both = regions(tmp_path / "b.reg", "-" + first, second)
    np.testing.assert_array_equal(both, one | two)


def test_regions_far_away_hide_nothing(tmp_path: Path) -> None:
    for line in (
        f'circle({RA + 180},{-DEC},30")',
        f"circle({RA + 180},{-DEC},20d)",
        f'circle({RA + 3},{DEC},60")',
    ):
        assert not regions(tmp_path / "a.reg", line).any(), line
    assert regions(tmp_path / "a.reg", f"circle({RA + 2},{DEC},5d)").all()


def test_circles_of_any_size_are_exact(tmp_path: Path) -> None:
    for ra, dec, radius in (
        (RA, DEC, 10 / 3600),
        (RA - 0.04, DEC + 0.01, 0.03),
        (RA + 20, DEC, 20.02),
        (RA, -90 + DEC, 90.01),
        (RA + 180, -DEC, 179.95),
    ):
        hidden = regions(tmp_path / "a.reg", f"circle({ra},{dec},{radius}d)", frame="icrs")
        expected = sky().separation(SkyCoord(ra, dec, unit="deg")).deg <= radius
        assert 0 < expected.mean() < 1
        np.testing.assert_array_equal(hidden, expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no region; give DS9 regions"),
        ("# only\nglobal color=red\nfk5\n", "holds no region; give DS9 regions"),
        ("fk5\ncircle(150.1,2.2,-3)", "holds no region, line 2: circle: 'radius' must be"),
        ("fk5\ncircle(150.1,2.2", "line 2: the numbers of a circle cannot be read"),
        ("image\ncircle(10,10,3)", r"line 2: regions in pixels \(image\): save them in sky"),
        ("\x00\x01\x02\xff", r"not a readable DS9 region file \(it is no text\)"),
        ("<html>404</html>", "line 1: is no region that DS9 knows: '<html>404</html>'"),
        ("circle(4096.5,4096.5,20)", r"line 1: no coordinate frame \(fk5, icrs, ...\) is stated"),
    ],
)
def test_region_files_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.reg"
    file.write_text(text, encoding="latin-1")
    for skip in (False, True):
        with pytest.raises(InputError, match=message) as caught:
            read_masks(regions=file, skip_bad_regions=skip)
        assert "bad.reg" in str(caught.value) and len(str(caught.value).splitlines()) == 1
    with pytest.raises(InputError, match="no such file"):
        read_masks(regions=tmp_path / "none.reg")


GOOD = f'circle({RA},{DEC},40")'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('panda(150.1,2.2,0,90,1,10",20",1)', "the shape panda is not supported"),
        ("point(150.1,2.2) # point=boxcircle", "a point has no area"),
        ("box point 150.1 2.2", "a point has no area"),
        ("line(150.1,2.2,150.2,2.2)", "a line has no area"),
        ("text(150.1,2.2) # text={A circle; here}", "a text has no area"),
        ('cirle(150.1,2.2,30")', "is no region that DS9 knows"),
        ("circle(150.1,2.2,30p)", "the numbers of a circle cannot be read"),
        ("circle(150.1,95,3)", "circle: Latitude"),
        ("circle(nan,2.2,3)", "has numbers that are not finite"),
        ("polygon(150.1,2.2,150.2,2.2)", "a polygon of fewer than three corners"),
        ("ellipse(150.1,2.2,40d,1d,0)", "the ellipse is larger than 30 degrees"),
        ("physical; circle(4000,4000,20)", r"regions in pixels \(physical\)"),
        ("wcsa; circle(150.1,2.2,20)", "the coordinates wcsa are not supported"),
        ("linear; box(1,2,3,4,0)", r"regions in pixels \(linear\)"),
        ("galactic; polygon(1,2,1,3,60,2)", "the polygon is larger than 30 degrees"),
        ("one,two", "is no region that DS9 knows"),
    ],
)
def test_every_line_is_used_or_named(tmp_path: Path, line: str, reason: str) -> None:
    file = tmp_path / "mixed.reg"
    file.write_text(f"# DS9\nglobal color=red\nfk5\n{GOOD}\n\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"cannot be used, line 6: {reason}.*skip_bad_regions"):
        read_masks(regions=file)
    masks = read_masks(regions=file, skip_bad_regions=True)
    [note] = masks.notes
    assert note.startswith(f"{file}: not used: line 6: ")
    alone = regions(tmp_path / "alone.reg", GOOD)
    np.testing.assert_array_equal(~masks.used(FINE), alone)


def test_lines_are_named_by_reason(tmp_path: Path) -> None:
    lines = [GOOD, *["point(1,2)"] * 3, GOOD, "text(1,2)", "point(1,2)"]
    with pytest.raises(InputError, match=r"lines 4-6, 9: a point has no area; line 8: a text has"):
        regions(tmp_path / "a.reg", *lines)
    many = [x for _ in range(30) for x in ("point(1,2)", GOOD)]
    with pytest.raises(InputError, match=r"lines 3, 5, .*, 41 and 10 more: a point has no area"):
        regions(tmp_path / "a.reg", *many)


@pytest.mark.parametrize(
    "text",
    [
        'fk5;circle({ra},{dec},40")',
        'j2000;circle({ra}d,{dec}d,40")',
        '\ufefffk5\ncircle({ra},{dec},40") # color=red; text={{panda(1,2)}}',
        'FK5\n CIRCLE( {ra} , {dec} , 40" ) # background',
        'icrs\n# composite({ra},{dec},0) || composite=1\n-circle({ra},{dec},40") || # width=2',
        "icrs\n!circle({ra},{dec},0.6666666667')",
        'fk5 circle({ra},{dec},40")',
        'image;fk5\ncircle {ra} {dec} 40"',
    ],
)
def test_ways_to_write_a_circle(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.reg"
    file.write_text(text.format(ra=RA, dec=DEC), encoding="utf-8")
    masks = read_masks(regions=file)
    assert masks.notes == ()
    expected = sky().separation(SkyCoord(RA, DEC, unit="deg")).arcsec <= 40
    assert_same(~masks.used(FINE), expected)


def test_annuli_and_turned_boxes(tmp_path: Path) -> None:
    r = sky().separation(SkyCoord(RA, DEC, unit="deg")).arcsec
    hidden = regions(tmp_path / "a.reg", f'annulus({RA},{DEC},30",60",90")')
    assert_same(hidden, (r >= 30) & (r <= 90))
    one = regions(tmp_path / "a.reg", f'box({RA},{DEC},120",60",30)')
    two = regions(tmp_path / "b.reg", f'rotbox({RA},{DEC},120",60",30)')
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("option", ["--sources", "--regions"])
@pytest.mark.parametrize("away", [0.05, 3.0])
def test_masks_of_another_field_are_told(
    tmp_path: Path, run_cli: Any, option: str, away: float
) -> None:
    events = write(tmp_path / "e.fits", good(300))
    file = tmp_path / "m.reg"
    if option == "--regions":
        file.write_text(f'fk5\ncircle({RA + away},{DEC},60")\n', encoding="ascii")
    else:
        file = catalogue(tmp_path / "c.fits", RA=[RA + away], DEC=[DEC])
    command = ["ingest", "esass", events, "--ra", RA, "--dec", DEC, "--redshift", REDSHIFT]
    done = run_cli(*command, "--pixels", 16, "--out", tmp_path / "X.zarr", option, file)
    assert done.returncode == 0
    told = f"{option[2:]} to be masked: none of 1 lies within the map, nothing" in done.stderr
    assert told == (away > 1)


def test_masks_far_from_every_map_are_missed(tmp_path: Path) -> None:
    file = catalogue(tmp_path / "c.fits", RA=[10.0, 359.95], DEC=[-5.0, 40.0])
    masks = read_masks(sources=file)
    ra, dec = np.array([0.05, 200.0]), np.array([40.0, 0.0])
    assert masks.missed(ra, dec, np.full(2, 0.1)) == []
    [line] = masks.missed(ra, dec, np.full(2, 0.06))
    assert line.startswith("sources to be masked: none of 2 lies within any of the 2 maps")


def test_a_mixed_file_on_the_command_line(tmp_path: Path, run_cli: Any) -> None:
    events = write(tmp_path / "e.fits", good(300))
    file = tmp_path / "m.reg"
    file.write_text(f"fk5\n{GOOD}\npanda(1,2,0,90,1,1,2,1)\n", encoding="ascii")
    command = ["ingest", "esass", events, "--ra", RA, "--dec", DEC, "--redshift", REDSHIFT]
    command += ["--pixels", 16, "--out", tmp_path / "X.zarr", "--regions", file]
    done = run_cli(*command)
    assert (done.returncode, done.stdout) == (2, "") and len(done.stderr.splitlines()) == 1
    assert "m.reg: holds regions that cannot be used, line 3: the shape panda" in done.stderr
    assert not (tmp_path / "X.zarr").exists()
    done = run_cli(*command, "--skip-bad-regions")
    assert done.returncode == 0
    assert done.stderr == f"icmass: {file}: not used: line 3: the shape panda is not supported\n"


@pytest.mark.parametrize("frame", ["icrs", "fk5", "fk4", "b1950", "galactic", "ecliptic"])
def test_frames(tmp_path: Path, frame: str) -> None:
    name = {"b1950": "fk4", "ecliptic": "barycentricmeanecliptic"}.get(frame, frame)
    at = SkyCoord(RA + 0.02, DEC, unit="deg").transform_to(name).spherical
    lon, lat = at.lon.deg, at.lat.deg
    expected = sky().separation(SkyCoord(RA + 0.02, DEC, unit="deg")).arcsec <= 60
    assert_same(regions(tmp_path / "c.reg", f'circle({lon},{lat},60")', frame=frame), expected)
    annulus = f'annulus({lon},{lat},0.01",60")'
    assert_same(regions(tmp_path / "a.reg", annulus, frame=frame), expected)
    d = 1 / 60 / np.cos(np.radians(lat))
    lines = f"polygon({lon - d},{lat - 1 / 60},{lon + d},{lat - 1 / 60},{lon},{lat + 1 / 60})"
    hidden = regions(tmp_path / "p.reg", lines, frame=frame)
    assert hidden.sum() * STEP**2 == pytest.approx(120 * 120 / 2, rel=0.02)


def test_too_many_regions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ds9_regions, "MAX_REGIONS", 2)
    with pytest.raises(InputError, match="holds more than 2 regions"):
        regions(tmp_path / "a.reg", *[f'circle({RA},{DEC},9")'] * 3)
    monkeypatch.setattr(ds9_regions, "MAX_BYTES", 2)
    with pytest.raises(InputError, match="is larger than 0 MiB"):
        regions(tmp_path / "a.reg", GOOD)


def test_only_regions_near_a_cluster_are_looked_at(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = read_masks(regions=data_dir / "erosita" / "regions" / "tile_224093.reg")
    assert masks.regions is not None and len(masks.regions) == 358 and masks.notes == ()
    cut: list[np.ndarray] = []
    plain = ds9_regions._cut_circle
    monkeypatch.setattr(
        ds9_regions, "_cut_circle", lambda used, at, *more: (cut.append(at), plain(used, at, *more))
    )
    centre = masks.regions.areas[0]
    frame = cluster_frame(centre.ra, centre.dec, redshift=REDSHIFT, grid=GRID)
    fine = FineGrid(frame, GRID, 8)
    hidden = ~masks.used(fine)
    points = frame.pixel_to_world(*np.meshgrid(fine.pixel, fine.pixel))
    expected = np.zeros(hidden.shape, bool)
    for area in masks.regions.areas:
        at = SkyCoord(area.ra, area.dec, unit="deg")
        if at.separation(points[128, 128]).deg < 1:
            expected |= points.separation(at).deg <= area.reach
    np.testing.assert_array_equal(hidden, expected)
    assert expected.any() and 1 <= len(cut) < 10


# ---------------------------------------------------------------- catalogues


def catalogue(path: Path, **columns: object) -> Path:
    Table(columns).write(path, overwrite=True)
    return path


def test_points_of_a_catalogue_are_masked_and_clusters_stay(tmp_path: Path) -> None:
    config = CoverageConfig()
    offset = 1.5 / 60
    file = catalogue(
        tmp_path / "c.fits",
        RA=[RA + offset, RA - offset, RA, RA, RA + offset, RA],
        DEC=[DEC, DEC, DEC + offset, DEC - offset, DEC + offset, DEC + 10 / 3600],
        EXT=[0.0, 0.0, 30.0, 0.0, 0.0, 0.0],
        EXT_LIKE=[0.0, 0.0, 50.0, 0.0, 0.0, 0.0],
        ML_CTS_1=[
            config.mask_counts,
            8 * config.mask_counts,
            1e4,
            0.9 * config.mask_counts,
            np.nan,
            1e3,
        ],
    )
    masks = read_masks(sources=file)
    assert masks.sources is not None and len(masks.sources.ra) == 3
    base = config.mask_radius_arcsec
    np.testing.assert_allclose(masks.sources.radius[:2], [base, 2 * base])
    expected = np.zeros((256, 256), bool)
    for ra, radius in ((RA + offset, base), (RA - offset, 2 * base)):
        expected |= sky().separation(SkyCoord(ra, DEC, unit="deg")).arcsec <= radius
    hidden = ~masks.used(FINE)  # the one 10 arcsec from the centre is not told from the cluster
    assert_same(hidden, expected)


def test_holes_grow_with_the_counts_and_the_spare_radius_counts(tmp_path: Path) -> None:
    file = catalogue(tmp_path / "c.fits", RA=[RA], DEC=[DEC + 40 / 3600], ML_CTS_0=[96.0])
    config = CoverageConfig(mask_counts=12, mask_radius_arcsec=30, spare_radius_arcsec=39)
    masks = read_masks(sources=file, config=config)
    assert masks.sources is not None and masks.sources.radius == pytest.approx([60])
    assert (~masks.used(FINE)).sum() * STEP**2 == pytest.approx(np.pi * 60**2, rel=0.02)
    spared = Masks(sources=masks.sources, spare_arcsec=41)
    assert spared.used(FINE).all()


def test_a_hole_that_reaches_in_from_outside_and_across_ra_0(tmp_path: Path) -> None:
    frame = cluster_frame(0.0, DEC, redshift=REDSHIFT, grid=GRID)
    fine = FineGrid(frame, GRID, 8)
    half = 16 * float(frame.wcs.cdelt[1])
    ra = [360 - half - 10 / 3600, half + 10 / 3600, 180.0]
    file = catalogue(tmp_path / "c.fits", RA=ra, DEC=[DEC, DEC, -DEC])
    hidden = ~read_masks(sources=file).used(fine)
    assert hidden[:, :128].any() and hidden[:, 128:].any()
    assert 0.15 * np.pi * 30**2 < hidden.sum() * STEP**2 < 2 * np.pi * 30**2


def test_catalogues_that_cannot_be_used(tmp_path: Path) -> None:
    file = catalogue(tmp_path / "c.fits", LII=[1.0], BII=[2.0])
    with pytest.raises(
        InputError,
        match=r"c.fits: .* columns RA or RA_CORR, DEC or DEC_CORR; the first has LII, BII$",
    ):
        read_masks(sources=file)
    text = catalogue(tmp_path / "d.fits", RA=["a"], DEC=["b"])
    with pytest.raises(InputError, match=r"d.fits: column RA: holds no numbers"):
        read_masks(sources=text)


def test_the_source_catalogue_of_1h0707(data_dir: Path) -> None:
    file = data_dir / "erosita" / "1h0707" / "SourceCatalog.fits.gz"
    masks = read_masks(sources=file)
    with fits.open(file) as hdus:
        table = np.array(hdus[1].data)
    assert masks.sources is not None
    name = next(n for n in module.COUNTS if n in table.dtype.names)
    kept = ~(table["EXT"] > 0) & ~(table["EXT_LIKE"] > 0) & (table[name] >= 12)
    assert len(masks.sources.ra) == kept.sum() > 50
    np.testing.assert_allclose(masks.sources.ra, table["RA"][kept])
    brightest = int(np.argmax(masks.sources.radius))
    assert masks.sources.radius[brightest] > 100
    near = cluster_frame(
        float(masks.sources.ra[brightest]) + 0.01, float(masks.sources.dec[brightest]),
        redshift=REDSHIFT, grid=GRID,
    )  # fmt: skip
    used = masks.used(FineGrid(near, GRID, 4))
    assert 0.2 < used.mean() < 0.95 and not used[64, 40]


# ---------------------------------------------------------------- images and whole pixels


def mask_image(path: Path, values: np.ndarray) -> Path:
    header = FRAME.to_header()
    n = len(values)
    header["CRPIX1"] = header["CRPIX2"] = n / 2 + 0.5
    for key in ("CDELT1", "CDELT2"):
        header[key] *= 32 / n
    fits.writeto(path, values.astype("u1"), header, overwrite=True)
    return path


def test_a_mask_image_is_used_where_it_is_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.random((64, 64)) < 0.7
    used = read_masks(mask_image(tmp_path / "m.fits", values)).used(FINE)
    np.testing.assert_array_equal(used, values.repeat(4, 0).repeat(4, 1))
    small = np.zeros((64, 64))
    small[16:48, 16:48] = 1
    file = mask_image(tmp_path / "s.fits", small)
    with fits.open(file, mode="update") as hdus:
        hdus[0].data = hdus[0].data[16:48, 16:48]
        hdus[0].header["CRPIX1"] = hdus[0].header["CRPIX2"] = 16.5
    outside = ~read_masks(file).used(FINE)
    assert outside.mean() == 0.75  # outside the image nothing is used
    with pytest.raises(InputError, match="neither 0 nor 1"):
        read_masks(mask_image(tmp_path / "m.fits", 2 * values))


def test_half_a_pixel_is_a_pixel(tmp_path: Path) -> None:
    used = np.ones((256, 256), bool)
    used[0:8, 0:4] = False  # half of the first pixel: it stays
    used[0:8, 8:13] = False  # more than half of the second: it goes
    kept = FINE.whole_pixels(used)
    assert kept[:8, :8].all() and not kept[:8, 8:16].any() and kept[8:].all()


def test_photons_exposure_and_background_vanish_together(tmp_path: Path) -> None:
    events = good(3000)
    file = write(tmp_path / "a.fits", events)
    path = tmp_path / "r.reg"
    path.write_text(f'fk5\ncircle({RA + 0.01},{DEC},60")\n', encoding="ascii")
    target = Target("", RA, DEC, REDSHIFT)
    [(_, bare)] = open_events([file], GRID).read([target])
    [(_, found)] = open_events([file], GRID, masks=read_masks(regions=path)).read([target])
    gone = found["mask"] == 0
    assert 10 < gone.sum() < 100
    assert not found["coverage"][gone].any() and (found["coverage"][~gone] > 0).all()
    assert not found["maps"][0][:, gone].any() and not found["background"][:, gone].any()
    np.testing.assert_array_equal(found["maps"][0][:, ~gone], bare["maps"][0][:, ~gone])
    np.testing.assert_allclose(found["background"][:, ~gone], bare["background"][:, ~gone])
    expected = FINE.binned(
        sky().separation(SkyCoord(RA + 0.01, DEC, unit="deg")).arcsec <= 60
    )  # [share of each pixel]
    sure = np.abs(expected - 0.5) > 0.1
    np.testing.assert_array_equal(gone[sure], (expected > 0.5)[sure])
    assert found["visible_fraction_map"] == pytest.approx(1 - gone.mean())


def test_all_masked_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.fits", good(300))
    path = tmp_path / "r.reg"
    path.write_text(f"fk5\ncircle({RA},{DEC},1d)\n", encoding="ascii")
    source = open_events([file], GRID, masks=read_masks(regions=path))
    [(_, found)] = source.read([Target("", RA, DEC, REDSHIFT)])
    assert isinstance(found, InputError)
    assert "only 0.0% of the cluster" in str(found) and "give another mask" in str(found)


def test_a_hidden_cluster_is_told_with_the_files_that_hide_it(
    tmp_path: Path, run_cli: RunCli
) -> None:
    events, regions = write(tmp_path / "e.fits", good(400)), tmp_path / "cut.reg"
    regions.write_text(f'fk5\ncircle({RA},{DEC},600")\n')
    place = ("--ra", RA, "--dec", DEC, "--redshift", REDSHIFT)
    done = run_cli("predict", events, *place, "--regions", regions)
    assert done.returncode == 2 and f"{regions}: only 0.0% of the cluster" in done.stderr
    done = run_cli("predict", events, *place, "--exposure", 1000, "--regions", regions)
    assert f"{regions}: only 0.0% of the cluster" in done.stderr
