"""FITS counts images become a survey: photons conserved, geometry right, bad input refused."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.cosmology import FlatLambdaCDM
from astropy.io import fits
from astropy.wcs import WCS

from icmass.errors import InputError
from icmass.io.fits_images import band_of, parse_bands, read_plane
from icmass.missions.registry import telescope_of
from icmass.sky.map_grid import MapGrid, cluster_frame
from icmass.survey.counts import counts
from icmass.survey.observed.images import how_to_get_bands, survey_from_images

RA, DEC, REDSHIFT = 140.0, 3.0, 0.3
SIDE = 320
BANDS = ((0.6, 1.1), (1.1, 2.2))
GRID = MapGrid(bands=BANDS, n_pixels=64)
EFEDS = MapGrid(bands=((0.6, 1.1), (1.1, 2.2), (2.2, 7.0)))


def sky_header(*, ra: float = RA, turn: float = 0.0) -> fits.Header:
    """Return a 4-arcsec SIN grid about (ra, DEC), its reference point 2 degrees off."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.crval = [ra + 2, DEC - 1]
    wcs.wcs.cdelt = [-4 / 3600, 4 / 3600]
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    wcs.wcs.pc = [[c, -s], [s, c]]
    wcs.wcs.crpix = np.round(SIDE / 2 - np.array(wcs.wcs_world2pix(ra, DEC, 0)))
    return wcs.to_header()


@dataclass(frozen=True)
class Field:
    """Images on disk, and how to make a survey of them."""

    folder: Path
    images: tuple[Path, ...]
    expmap: tuple[Path, ...]
    mask: Path | None

    def survey(self, **change: Any) -> xr.Dataset:
        kwargs = {"ra": RA, "dec": DEC, "redshift": REDSHIFT, "grid": GRID, "mask": self.mask}
        images = change.pop("images", self.images)
        expmap = change.pop("expmap", self.expmap)
        return survey_from_images(images, expmap, **(kwargs | change))

    def spoil(self, file: Path, change: Any, **header: Any) -> None:
        """Rewrite an image with its pixels changed."""
        with fits.open(file) as hdus:
            data, old = np.array(hdus[0].data), hdus[0].header
        for key, value in header.items():
            old[key] = value
        fits.writeto(file, change(data), old, overwrite=True)


def write_field(folder: Path, planes: list[np.ndarray], header: fits.Header) -> Field:
    n = planes[0].shape
    names = ["img_0600_1100.fits", "img_1100_1600.fits", "img_1600_2200.fits"]
    for name, plane in zip(names, planes, strict=True):
        fits.writeto(folder / name, plane.astype("i4"), header)
    fits.writeto(folder / "exp.fits", np.full(n, 2000.0, "f4"), header)
    fits.writeto(folder / "mask.fits", np.ones(n, "u1"), header)
    images = tuple(folder / name for name in names)
    return Field(folder, images, (folder / "exp.fits",), folder / "mask.fits")


@pytest.fixture
def field(tmp_path: Path) -> Field:
    rng = np.random.default_rng(1)
    return write_field(tmp_path, list(rng.poisson(0.2, (3, SIDE, SIDE))), sky_header())


# ---------------------------------------------------------------- physics


def test_photons_are_conserved_to_the_photon(field: Field) -> None:
    rng = np.random.default_rng(2)
    planes = []
    for file in field.images:  # all photons well within the map, some masked
        plane = np.zeros((SIDE, SIDE), int)
        plane[120:196, 120:196] = rng.poisson(0.7, (76, 76))
        field.spoil(file, lambda _, p=plane: p.astype("i4"))
        planes.append(plane)
    mask = rng.random((SIDE, SIDE)) < 0.8
    field.spoil(field.mask, lambda _: mask.astype("u1"))
    survey = field.survey()
    maps = counts(survey)[0]
    assert maps[0].sum() == planes[0][mask].sum() > 0
    assert maps[1].sum() == (planes[1] + planes[2])[mask].sum() > 0
    assert survey["n_phot"].item() == sum(p[mask].sum() for p in planes)
    assert list(survey["component"].values) == ["observed"]
    assert "m500c" not in survey and "halo_id" not in survey


@pytest.mark.parametrize("turn", [0.0, 35.0])
def test_point_source_lands_where_it_is_on_the_sky(tmp_path: Path, turn: float) -> None:
    header = sky_header(turn=turn)
    wcs = WCS(header)
    centre = SkyCoord(RA * u.deg, DEC * u.deg)
    east = centre.directional_offset_by(90 * u.deg, 3 * u.arcmin)
    north = centre.directional_offset_by(0 * u.deg, 3 * u.arcmin)
    planes = np.zeros((3, SIDE, SIDE), int)
    truth = []
    for plane, place in zip(planes, (centre, east, north), strict=True):
        x, y = (round(float(c)) for c in wcs.world_to_pixel(place))
        plane[y, x] = 400
        truth.append(centre.spherical_offsets_to(wcs.pixel_to_world(x, y)))
    bands = ((0.6, 1.1), (1.1, 1.6), (1.6, 2.2))
    field = write_field(tmp_path, list(planes), header)
    distance = FlatLambdaCDM(H0=70.4, Om0=0.272).comoving_distance(REDSHIFT).value * 0.704
    survey = field.survey(grid=MapGrid(bands=bands, n_pixels=512))
    # the mean of 400 photons, uniform in a pixel, to 4 sigma, and of cells half as wide
    tolerance = 4 * np.radians(4 / 3600) * distance / np.sqrt(12 * 400) + 4.6 / 512 / 4
    for found, (to_east, to_north) in zip(counts(survey)[0], truth, strict=True):
        assert found.sum() == 400
        at_x = (found.sum(0) * survey["x"].values).sum() / 400
        at_y = (found.sum(1) * survey["y"].values).sum() / 400
        assert at_x == pytest.approx(-to_east.rad * distance, abs=tolerance)
        assert at_y == pytest.approx(to_north.rad * distance, abs=tolerance)
    assert abs(truth[1][0].arcmin - 3) < 0.1 and abs(truth[2][1].arcmin - 3) < 0.1
    central = counts(field.survey(grid=MapGrid(bands=bands)))[0, 0, 62:66, 62:66]
    assert central.sum() == 400


def test_map_scale_is_the_comoving_one() -> None:
    frame = cluster_frame(RA, DEC, redshift=REDSHIFT, grid=GRID)
    ends = frame.pixel_to_world([-0.5, GRID.n_pixels - 0.5], [(GRID.n_pixels - 1) / 2] * 2)
    angle = ends[0].separation(ends[1]).to_value(u.rad)
    cosmology = FlatLambdaCDM(H0=70.4, Om0=0.272, Tcmb0=0)
    transverse = cosmology.comoving_transverse_distance(REDSHIFT).value * 0.704
    assert angle * transverse == pytest.approx(2 * GRID.half_width, rel=1e-3)
    assert ends[0].ra > ends[1].ra  # East left


def test_coverage_is_exposure_and_mask(field: Field) -> None:
    whole = field.survey()
    assert whole["exposure"].item() == 2000
    np.testing.assert_allclose(whole["coverage"].values, 1, atol=1e-3)

    def left_half(mask: np.ndarray) -> np.ndarray:
        mask[:, 160:] = 0
        return mask

    field.spoil(field.mask, left_half)
    half = field.survey(min_visible=0.4)
    wcs = WCS(fits.getheader(field.mask))
    x, _ = wcs.world_to_pixel(SkyCoord(RA, DEC, unit="deg"))  # about the mask's edge
    side_pixels = 2 * GRID.half_width * GRID.cosmology.arcmin_per_mpc_h(REDSHIFT) * 60 / 4
    expected = 0.5 + (159.5 - x) / side_pixels
    assert expected == pytest.approx(0.5, abs=0.004)
    coverage = half["coverage"].values.astype(float)
    assert coverage.mean() == pytest.approx(expected, abs=3e-4)
    assert coverage[0, :, :31].min() == 1  # East, the image's low columns, is left
    assert coverage[0, :, 33:].max() == 0
    assert half["visible_fraction"].item() == pytest.approx(0.5, abs=0.02)


def test_coverage_follows_the_exposure_gradient_and_the_field_edge(field: Field) -> None:
    def ramp(_: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.linspace(3000, 1000, SIDE), (SIDE, SIDE)).astype("f4")

    field.spoil(field.expmap[0], ramp)
    wcs = WCS(fits.getheader(field.images[0]))
    sky = wcs.pixel_to_world(40, 160)  # 160 arcsec from the edge, 2.6 Mpc/h wide at its left
    survey = field.survey(ra=sky.ra, dec=sky.dec)
    seconds = (survey["coverage"] * survey["exposure"]).values[0]
    frame = cluster_frame(sky.ra.deg, sky.dec.deg, redshift=REDSHIFT, grid=GRID)
    grid_x, grid_y = np.meshgrid(np.arange(64), np.arange(64))
    image_x, _ = wcs.world_to_pixel(frame.pixel_to_world(grid_x, grid_y))
    inside = image_x > 3
    expected = np.interp(image_x, np.arange(SIDE), np.linspace(3000, 1000, SIDE))
    np.testing.assert_allclose(seconds[inside], expected[inside], rtol=4e-3)
    assert (seconds[image_x < -4] == 0).all() and (image_x < -4).any()


def test_same_seed_same_photons(field: Field) -> None:
    first, again, other = (field.survey(seed=s)["maps"].values for s in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()


def test_one_exposure_map_or_one_each(field: Field) -> None:
    maps = [field.folder / f"exp{i}.fits" for i in range(3)]
    header = fits.getheader(field.images[0])
    for seconds, file in zip((1000, 2000, 3000), maps, strict=True):
        fits.writeto(file, np.full((SIDE, SIDE), seconds, "f4"), header)
    survey = field.survey(expmap=maps)
    assert survey["exposure"].item() == 2000
    assert json.loads(survey.attrs["observed"])["exposure_maps_differ"] == 2
    assert field.survey(expmap=maps, grid=replace(GRID, bands=BANDS[:1]))["exposure"].item() == 1000


# ---------------------------------------------------------------- bands


def test_bands_from_header_name_or_option(field: Field) -> None:
    file = field.images[0]
    assert band_of(read_plane(file)) == (0.6, 1.1)
    field.spoil(file, lambda d: d, EMIN1=0.5000000029, EMAX1=2.0, NENERGY=1)
    assert band_of(read_plane(file)) == (0.5, 2.0)
    assert parse_bands("0.6-1.1, 2-7") == [(0.6, 1.1), (2.0, 7.0)]
    field.spoil(file, lambda d: d, NENERGY=3)
    given = [(1.6, 2.2), (1.1, 1.6), (0.6, 1.1)]
    survey = field.survey(image_bands=given)
    notes = json.loads(survey.attrs["observed"])["notes"]
    said = "its name tells 0.6-1.1 keV, --image-bands 1.6-2.2 keV: that is taken"
    assert f"{file}: {said}" in notes and len(notes) == 3
    swapped = counts(survey)[0, 0].sum()
    assert (
        swapped
        == counts(field.survey(images=field.images[::-1], image_bands=given[::-1]))[0, 0].sum()
    )


def test_given_bands_may_not_contradict_headers(field: Field) -> None:
    for file, (lo, hi) in zip(field.images, ((0.6, 1.1), (1.1, 1.6), (1.6, 2.2)), strict=True):
        field.spoil(file, lambda d: d, EMIN1=lo, EMAX1=hi)
    message = (
        r"img_0600_1100.fits: keywords EMIN1, EMAX1: is of 0.6-1.1 keV, image_bands says "
        r"1.6-2.2 keV; give the bands in the order of the images"
    )
    with pytest.raises(InputError, match=message):
        field.survey(image_bands=[(1.6, 2.2), (1.1, 1.6), (0.6, 1.1)])
    same = field.survey(image_bands=[(0.6, 1.1), (1.1, 1.6), (1.6, 2.2)])
    assert (same["maps"].values == field.survey()["maps"].values).all()


@pytest.mark.parametrize(
    ("name", "band"),
    [
        ("em01_138087_020_0600_1100.fits.gz", (0.6, 1.1)),
        ("img_0.2-2.3keV.fits", (0.2, 2.3)),
        ("cluster_2021-10-22_2200_10000.fits", (2.2, 10.0)),
    ],
)
def test_band_in_a_file_name(field: Field, name: str, band: tuple[float, float]) -> None:
    assert band_of(replace(read_plane(field.images[0]), file=Path(name))) == band


@pytest.mark.parametrize("name", ["img.fits", "img_1100_0600.fits", "0600_1100_1100_1600.fits"])
def test_a_name_that_tells_no_band(field: Field, name: str) -> None:
    with pytest.raises(InputError, match="image_bands"):
        band_of(replace(read_plane(field.images[0]), file=Path(name)))


def test_band_that_is_not_there(field: Field) -> None:
    grid = replace(GRID, bands=((0.5, 1.2),))
    message = r"band 0.5-1.2 keV isn't there: images give 0.6-1.1, 1.1-1.6, 1.6-2.2"
    with pytest.raises(InputError, match=message) as raised:
        field.survey(grid=grid)
    assert "--bands 0.6-1.1,1.1-1.6,1.6-2.2 --model icm-3band --out MODEL" in str(raised.value)
    with pytest.raises(InputError, match=r"band 1.1-2.2 keV isn't there"):  # a hole in it
        field.survey(images=field.images[:2])
    with pytest.raises(InputError, match="given twice"):
        field.survey(images=[*field.images, field.images[0]])
    with pytest.raises(InputError, match="2-1"):
        parse_bands("0.6-1.1,2-1")


# ---------------------------------------------------------------- refusals


def test_missing_damaged_and_foreign_files(field: Field) -> None:
    file = field.images[0]
    whole = file.read_bytes()
    packed = file.with_suffix(".fits.gz")
    packed.write_bytes(gzip.compress(whole)[:-2000])
    table = field.folder / "table_0600_1100.fits"
    fits.BinTableHDU.from_columns([fits.Column("x", "E", array=np.zeros(3))]).writeto(table)
    cut, text = field.folder / "cut_0600_1100.fits", field.folder / "text_0600_1100.fits"
    cut.write_bytes(whole[:50000])
    text.write_text("not an image\n" * 500)
    for bad, message in [
        (field.folder / "gone.fits", "no such file"),
        (field.folder, "is a folder"),
        (packed, "not a readable FITS"),
        (cut, "not a readable FITS"),
        (text, "not a readable FITS"),
        (table, "no two-dimensional image"),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            field.survey(images=[bad, *field.images[1:]])
        assert str(bad) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "2 of 102400 pixels are not finite"),
        (-1, "2 of 102400 pixels are negative"),
        (0.5, "2 of 102400 pixels are not integer"),
    ],
)
def test_pixels_that_counts_cannot_be(field: Field, value: float, message: str) -> None:
    def spoiled(data: np.ndarray) -> np.ndarray:
        data = data.astype("f4")
        data[3, 5] = data[100, 7] = value
        return data

    field.spoil(field.images[1], spoiled)
    with pytest.raises(InputError, match=message) as caught:
        field.survey()
    assert field.images[1].name in str(caught.value)


@pytest.mark.parametrize("unit", ["count", "counts", "ct", "photons", "count/pixel", "any text"])
def test_units_of_counts(field: Field, unit: str) -> None:
    field.spoil(field.images[1], lambda data: data, BUNIT=unit)
    assert field.survey()["exposure"].item() == 2000


@pytest.mark.parametrize("unit", ["count/s", "cts sec-1", "photon/cm**2/s", "Counts per second"])
def test_an_image_whose_unit_is_a_rate_is_refused(field: Field, unit: str) -> None:
    field.spoil(field.images[1], lambda data: data, BUNIT=unit)
    with pytest.raises(InputError, match=r"img_1100_1600.fits: keyword BUNIT: is .*give counts"):
        field.survey()


def test_images_of_other_telescopes(field: Field) -> None:
    notes = json.loads(field.survey().attrs["observed"])["notes"]
    more = f" and {len(field.images) - 1} more"
    assert notes == [f"{field.images[0]}{more}: names no telescope (TELESCOP): taken for eROSITA's"]
    field.spoil(field.expmap[0], lambda data: data, TELESCOP="Chandra")
    with pytest.raises(InputError, match=r"keyword TELESCOP: is Chandra: icmass reads eROSITA"):
        field.survey()
    field.spoil(field.expmap[0], lambda data: data, TELESCOP="eROSITA")
    for file in field.images:
        field.spoil(file, lambda data: data, TELESCOP="eROSITA")
    assert json.loads(field.survey().attrs["observed"])["notes"] == []
    field.spoil(field.images[1], lambda data: data, TELESCOP="XMM")
    with pytest.raises(InputError, match=rf"{field.images[1].name}: keyword TELESCOP: is XMM"):
        field.survey()


def test_grids_that_differ(field: Field) -> None:
    other = field.folder / "other_0600_1100.fits"
    data = fits.getdata(field.images[0])
    fits.writeto(other, data[:200], fits.getheader(field.images[0]))
    with pytest.raises(InputError, match="320x200 pixels"):
        field.survey(images=[*field.images[1:], other])
    fits.writeto(other, data, sky_header(ra=RA + 0.01), overwrite=True)
    with pytest.raises(InputError, match=r"WCS: is up to 8.9. pixels off"):
        field.survey(mask=other)
    fits.writeto(other, data, overwrite=True)
    with pytest.raises(InputError, match="not celestial"):
        field.survey(expmap=[other])


def test_exposure_that_cannot_be(field: Field) -> None:
    expmap = field.expmap[0]
    with pytest.raises(InputError, match="2 exposure maps for 3 images"):
        field.survey(expmap=[expmap, expmap])
    field.spoil(expmap, lambda d: -d)
    with pytest.raises(InputError, match=r"exp.fits: 102400 of 102400 pixels are negative"):
        field.survey()
    field.spoil(expmap, lambda d: 0 * d)
    with pytest.raises(InputError, match=r"exp.fits: exposure is zero everywhere"):
        field.survey()


def test_what_an_exposure_map_states(field: Field) -> None:
    """The unit and the area are the map's; kinds are assumed of what states none, and said so."""
    expmap = field.expmap[0]

    def exposure(**change: Any) -> tuple[float, str]:
        survey = field.survey(**change)
        told = json.loads(survey.attrs["observed"])["exposure"]
        return survey["exposure"].item(), told

    seconds, told = exposure()
    assert seconds == 2000 and told.endswith(
        "assumed without AREATYPE: --expmap-kind tells otherwise"
    )
    assert "assumed" not in exposure(exposure_kind="survey")[1]
    field.spoil(expmap, lambda data: data / 1000, BUNIT="ks", AREATYPE="SURVEY")
    seconds, told = exposure()
    assert seconds == pytest.approx(2000) and told.endswith("as AREATYPE states")
    with pytest.raises(InputError, match="AREATYPE: is SURVEY, expmap_kind vignetted takes"):
        exposure(exposure_kind="vignetted")
    field.spoil(expmap, lambda data: data, AREATYPE="ONAXIS")
    assert exposure()[0] == pytest.approx(2000 / 0.54, rel=0.02)
    onaxis = replace(telescope_of(), stated_area="onaxis")
    assert exposure(telescope=onaxis)[0] == pytest.approx(2000)
    field.spoil(expmap, lambda data: data, BUNIT="cm^2 s")
    with pytest.raises(InputError, match=r"exp.fits: keyword BUNIT: is cm\^2 s, not a time"):
        exposure()


def test_seconds_in_place_of_a_map(field: Field) -> None:
    """A number is a flat map of it, in seconds at the survey-average area."""
    given, mapped = field.survey(expmap=[], seconds=2000.0), field.survey()
    for name in given.data_vars:
        np.testing.assert_array_equal(given[name], mapped[name])
    vignetted = field.survey(expmap=[], seconds=2000.0, exposure_kind="vignetted")
    assert vignetted["exposure"].item() == given["exposure"].item()
    assert json.loads(given.attrs["observed"])["exposure"].startswith("as given, at the survey-av")
    for change, message in (
        ({"expmap": []}, "expmap: is missing; give exposure maps, or exposure SECONDS"),
        ({"seconds": 2000.0}, "exposure, expmap: give one of them"),
        ({"expmap": [], "seconds": 0.0}, "exposure: is 0; give seconds above 0"),
        ({"expmap": [], "seconds": np.nan}, "exposure: is nan; give seconds above 0"),
    ):
        with pytest.raises(InputError, match=message):
            field.survey(**change)


@pytest.mark.parametrize(
    ("bands", "edges", "model"),
    [
        ([(0.2, 2.3)], "0.2-2.3", "icm-1band"),
        ([(0.2, 2.3), (0.2, 0.6), (0.6, 2.3)], "0.2-2.3", "icm-1band"),
        ([(2.3, 5), (0.2, 0.6), (0.6, 2.3)], "0.2-0.6,0.6-2.3,2.3-5", "icm-3band"),
    ],
)
def test_the_way_to_a_model_of_other_bands(
    bands: list[tuple[float, float]], edges: str, model: str
) -> None:
    told = how_to_get_bands(bands)
    assert f"--bands {edges} --model {model}" in told


def test_mask_that_hides_the_cluster(field: Field) -> None:
    field.spoil(field.mask, lambda d: 0 * d)
    with pytest.raises(InputError, match=r"mask.fits: only 0.0% of the cluster"):
        field.survey(min_visible=0)

    def strip(mask: np.ndarray) -> np.ndarray:
        mask[:, 172:] = 1
        return mask

    field.spoil(field.mask, strip)
    with pytest.raises(InputError, match="min_visible"):
        field.survey()
    assert field.survey(min_visible=0.1)["coverage"].values.mean() > 0.3
    field.spoil(field.mask, lambda d: 2 * d)
    with pytest.raises(InputError, match="neither 0 nor 1"):
        field.survey()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ra": RA + 1}, r"outside: pixel \(-?\d+, 1\d\d\) of 320x320"),
        ({"dec": -89}, "outside"),
        ({"dec": 100}, "dec: is 100"),
        ({"redshift": 0}, "redshift: has no redshift \\(0\\)"),
        ({"redshift": np.nan}, "redshift: has no redshift"),
        ({"min_visible": 2}, "min_visible: is 2"),
        ({"image_bands": [(0.6, 1.1)]}, "1 bands for 3 images"),
        ({"images": []}, "no counts image"),
    ],
)
def test_what_makes_no_sense(field: Field, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        field.survey(**change)


# ---------------------------------------------------------------- the real field


def efeds(data_dir: Path, **change: Any) -> xr.Dataset:
    folder = data_dir / "erosita" / "efeds"
    names = ["0600_1100", "1100_1600", "1600_2200", "2200_3500", "3500_5000", "5000_7000"]
    kwargs = {"ra": 140.3384, "dec": 3.2906, "redshift": 0.33, "grid": EFEDS}
    return survey_from_images(
        [folder / f"img_{name}.fits.gz" for name in names],
        [folder / f"expmap_norm_{name}.fits.gz" for name in names],
        **(kwargs | {"mask": folder / "mask.fits.gz"} | change),
    )


def test_efeds_rich_cluster(data_dir: Path) -> None:
    """The raw image has 517 photons of 0.6-1.1 keV within 2 arcmin of the cluster."""
    folder = data_dir / "erosita" / "efeds"
    image = read_plane(folder / "img_0600_1100.fits.gz")
    centre = SkyCoord(140.3384, 3.2906, unit="deg")
    y, x = np.indices(image.values.shape)
    x0, y0 = image.wcs.world_to_pixel(centre)
    assert image.values[np.hypot(x - x0, y - y0) < 30].sum() == 517  # pixels of 4 arcsec nominally
    within = image.wcs.pixel_to_world(x, y).separation(centre) < 2 * u.arcmin
    visible = read_plane(folder / "mask.fits.gz").values == 1
    for mask, expected in [
        (None, image.values[within].sum()),
        (folder / "mask.fits.gz", image.values[within & visible].sum()),
    ]:
        survey = efeds(data_dir, mask=mask)
        radius = np.hypot(*np.meshgrid(survey["x"], survey["y"]))
        arcmin = radius * EFEDS.cosmology.arcmin_per_mpc_h(0.33)
        found = counts(survey)[0, 0][arcmin < 2].sum()
        # the circle cuts through cells of 8 arcsec and through pixels: 1 photon per arcsec there
        assert found == pytest.approx(expected, abs=12)
    assert survey["coverage"].values.max() <= 1
    assert survey["visible_fraction"].item() > 0.95
    assert survey["exposure_aperture"].item() == pytest.approx(2699, rel=0.005)


def test_efeds_cluster_at_the_edge_is_refused(data_dir: Path) -> None:
    second = {"ra": 140.0918, "dec": 3.0185, "redshift": 0.48}
    with pytest.raises(InputError, match=r"only 13\.\d% of the cluster") as caught:
        efeds(data_dir, **second)
    assert "mask.fits.gz" in str(caught.value)
    survey = efeds(data_dir, **second, min_visible=0.1)
    assert survey["visible_fraction"].item() == pytest.approx(0.13, abs=0.01)


def test_efeds_background_rates(data_dir: Path) -> None:
    """Rates far from the clusters are the published field rates (unvignetted exposure)."""
    folder = data_dir / "erosita" / "efeds"
    visible = read_plane(folder / "mask.fits.gz").values == 1
    wcs = read_plane(folder / "mask.fits.gz").wcs
    y, x = np.indices(visible.shape)
    sky = wcs.pixel_to_world(x, y)
    for ra, dec, arcmin in [(140.3384, 3.2906, 8), (140.0918, 3.0185, 4)]:
        visible &= sky.separation(SkyCoord(ra, dec, unit="deg")) > arcmin * u.arcmin
    measured = {"0600_1100": 8.9, "1100_1600": 5.8, "1600_2200": 4.6, "2200_3500": 6.4}
    measured |= {"3500_5000": 6.9, "5000_7000": 8.6}
    for name, rate in measured.items():
        photons = read_plane(folder / f"img_{name}.fits.gz").values[visible].sum()
        seconds = read_plane(folder / f"expmap_norm_novig_{name}.fits.gz").values[visible].sum()
        found = photons / (seconds * (4 / 60) ** 2) * 1e4
        assert found == pytest.approx(rate, rel=3 / np.sqrt(photons) + 0.01)
