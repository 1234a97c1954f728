"""Images and tables of a survey: on the sky where they belong, in the units that they state."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.io.votable import parse, validate
from astropy.io.votable.ucd import parse_ucd
from astropy.table import Table
from astropy.wcs import WCS

from conftest import BANDS, beta_model_survey
from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.sky.map_grid import MapGrid
from icmass.survey.counts import counts
from icmass.survey.observed.images import survey_from_images
from icmass.survey.writers.cluster_view import map_grid
from icmass.survey.writers.images import (
    write_image,
    write_images,
)
from icmass.survey.writers.tables import SUFFIXES, survey_table, write_table

PLACES = [(10.0, -35.0), (359.99, 61.0), (150.1, 2.2), (83.0, -89.0)]


@pytest.fixture(scope="module")
def mock() -> xr.Dataset:
    """Four clusters of a toy survey with photons of AGN, and places on the sky."""
    survey = beta_model_survey(4, seed=3)
    rng = np.random.default_rng(0)
    survey["maps"][:, 1] = rng.poisson(0.1, survey["maps"][:, 1].shape)
    survey["ra"] = ("cluster", np.array([ra for ra, _ in PLACES]))
    survey["dec"] = ("cluster", np.array([dec for _, dec in PLACES]))
    survey["nh"][:] = [1.0, 3.0, 5.0, 20.0]
    return survey


@pytest.fixture(scope="module")
def covered(mock: xr.Dataset) -> xr.Dataset:
    """The same with uneven exposure, a masked source, and an expected background."""
    survey = mock.copy(deep=True)
    n = survey.sizes["x"]
    coverage = np.linspace(0.5, 1, n) * np.ones((4, n, 1))
    coverage[:, 3:6, 20:24] = 0
    survey["coverage"] = (("cluster", "y", "x"), coverage.astype("f2"))
    survey["maps"] = survey["maps"] * (coverage > 0)[:, None, None].astype("u2")
    shape = (4, len(BANDS), n, n)
    expected = np.arange(np.prod(shape), dtype="f4").reshape(shape)
    survey["background"] = (("cluster", "band", "y", "x"), expected)
    return survey


# ---------------------------------------------------------------- images


def test_images_are_read_back_as_the_survey(covered: xr.Dataset, tmp_path: Path) -> None:
    files = {path.name: path for path in write_images(covered, 2, tmp_path)}
    images = [files[f"cluster-00002_{name}.fits"] for name in ("0500_1200", "1200_2000")]
    images.append(files["cluster-00002_2000_7000.fits"])
    survey = survey_from_images(
        images,
        [files["cluster-00002_expmap.fits"]],
        mask=files["cluster-00002_mask.fits"],
        ra=PLACES[2][0],
        dec=PLACES[2][1],
        redshift=float(covered["redshift"][2]),
        grid=map_grid(covered),
    )
    np.testing.assert_array_equal(counts(survey)[0], counts(covered, np.array([2]))[0])
    np.testing.assert_allclose(survey["coverage"][0], covered["coverage"][2], atol=1e-3)
    assert float(survey["exposure"][0]) == pytest.approx(2000)


def test_image_headers(covered: xr.Dataset, tmp_path: Path) -> None:
    file = write_image("counts", covered, 0, tmp_path / "all.fits")
    whole, header = fits.getdata(file, header=True)
    assert whole.sum() == counts(covered, np.array([0])).sum()
    assert (header["EMIN1"], header["EMAX1"], header["BUNIT"]) == (0.5, 7.0, "count")
    wcs = WCS(header)
    n = covered.sizes["x"]
    centre = wcs.pixel_to_world(n / 2 - 0.5, n / 2 - 0.5)
    assert centre.separation(SkyCoord(*PLACES[0], unit="deg")) < 1e-6 * u.arcsec
    west = wcs.pixel_to_world(n - 1, n / 2 - 0.5)
    assert centre.position_angle(west).wrap_at(360 * u.deg).deg == pytest.approx(270, abs=1)
    z = float(covered["redshift"][0])
    side = n * abs(header["CDELT1"]) * 60
    assert side == pytest.approx(4.6 * Cosmology().arcmin_per_mpc_h(z))
    background = write_image("background", covered, 3, tmp_path / "b.fits", band=1)
    np.testing.assert_array_equal(fits.getdata(background), covered["background"][3, 1])


def test_bands_with_gaps_or_exposures_of_their_own(mock: xr.Dataset, tmp_path: Path) -> None:
    gap = mock.isel(band=[0, 2]).copy(deep=True)
    header = fits.getheader(write_image("counts", gap, 0, tmp_path / "gap.fits"))
    assert "EMIN1" not in header and header["NENERGY"] == 2
    gap["band_exposure"] = (("cluster", "band"), np.tile([0.5, 1.0], (4, 1)))
    files = write_images(gap, 0, tmp_path)
    maps = [path for path in files if "expmap" in path.name]
    assert [fits.getdata(path).max() for path in maps] == [1000, 2000]
    with pytest.raises(InputError, match="bands 0 to 1"):
        write_image("counts", gap, 0, tmp_path / "no.fits", band=2)
    with pytest.raises(InputError, match="variable background"):
        write_image("background", gap, 0, tmp_path / "no.fits")


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_table_round_trip(mock: xr.Dataset, tmp_path: Path, suffix: str) -> None:
    path = write_table(survey_table(mock, np.array([1, 3])), tmp_path / f"t{suffix}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = Table.read(path)
    assert list(read["cluster"]) == [1, 3]
    true = mock["m500c"].values[[1, 3]]
    np.testing.assert_allclose(read["m500c_msun_h"], true)
    np.testing.assert_allclose(read["m500c_msun"].quantity.to_value("solMass"), true / 0.704)
    assert read["m500c_msun_h"].unit is None
    np.testing.assert_allclose(
        read["L_X"].quantity.to_value("erg/s"), 1e44 * mock["L_X"].values[[1, 3]]
    )
    np.testing.assert_allclose(read["nh"].quantity.to_value("cm-2"), [3e20, 20e20])
    z = mock["redshift"].values[[1, 3]]
    comoving = read["r500c_mpc"].quantity.to_value("Mpc") * (1 + z) * 0.704
    np.testing.assert_allclose(comoving, mock["r500c"].values[[1, 3]])
    angle = read["r500c_mpc"].quantity / Cosmology().astropy.angular_diameter_distance(z)
    np.testing.assert_allclose(
        read["r500c_arcmin"].quantity.to_value("arcmin"), np.degrees(angle.value) * 60
    )
    for name in ("ra", "dec"):
        np.testing.assert_allclose(read[name].quantity.to_value("deg"), mock[name][[1, 3]])


def test_table_says_what_it_holds(mock: xr.Dataset, tmp_path: Path) -> None:
    table = survey_table(mock)
    for name in table.colnames:
        parse_ucd(table[name].meta["ucd"], check_controlled_vocabulary=True)
        assert table[name].description
    assert "Msun/h, h = 0.704" in table["m500c_msun_h"].description
    assert (table.meta["preset"], table.meta["seed"], table.meta["om0"]) == ("test", 3, 0.272)
    ecsv = Table.read(write_table(table, tmp_path / "t.ecsv"))
    assert ecsv.meta == table.meta
    assert ecsv["T"].meta["ucd"] == "phys.temperature"
    header = fits.getheader(write_table(table, tmp_path / "t.fits"), 1)
    i = table.colnames.index("T") + 1
    assert (header[f"TUCD{i}"], header[f"TUNIT{i}"]) == ("phys.temperature", "keV")
    assert (header["H"], header["PRESET"]) == (0.704, "test")
    assert json.loads(header["CONFIG"]) == json.loads(mock.attrs["config"])


def test_votable_is_valid(mock: xr.Dataset, tmp_path: Path) -> None:
    path = write_table(survey_table(mock), tmp_path / "t.vot")
    assert "found no violations" in validate(str(path), output=None)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The unit 'erg' has been deprecated")
        inside = parse(str(path), verify="exception").get_first_table()
    assert {info.name: info.value for info in inside.infos}["h"] == "0.704"
    fields = {field.name: field for field in inside.fields}
    assert fields["ra"].ref == "icrs" and fields["ra"].ucd == "pos.eq.ra;meta.main"


def test_table_of_what_real_data_know(tmp_path: Path, mock: xr.Dataset) -> None:
    real = mock[["maps", "redshift", "exposure", "nh", "ra", "dec", "n_phot"]]
    real = real.assign_attrs(names=json.dumps(["A1", "A2", "A3", "A4"]))
    assert list(survey_table(real, np.array([1, 3]))["id"]) == ["A2", "A4"]
    assert survey_table(real).colnames == [
        "cluster",
        "id",
        "ra",
        "dec",
        "redshift",
        "exposure",
        "nh",
        "n_phot",
    ]
    with pytest.raises(InputError, match="is no table"):
        write_table(survey_table(real), tmp_path / "t.txt")
    path = write_table(survey_table(real), tmp_path / "t.ecsv")
    with pytest.raises(InputError, match="exists already"):
        write_table(survey_table(real), path)


def test_grid_of_a_survey(mock: xr.Dataset) -> None:
    assert map_grid(mock) == MapGrid(bands=tuple(BANDS), n_pixels=32)
