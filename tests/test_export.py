"""A survey in the formats of others: every photon in its own pixel and band, and headers right."""

from __future__ import annotations

import json
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from scipy.stats import ks_2samp, kstest

from conftest import BANDS, RunCli, beta_model_survey
from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.io.target import Target
from icmass.observe.spectra import FoldedSpectra
from icmass.plasma.absorption import transmission
from icmass.plasma.emissivity import load_plasma_table
from icmass.survey.catalog import open_survey
from icmass.survey.counts import counts
from icmass.survey.observed.events import open_events
from icmass.survey.presets import resolve_config
from icmass.survey.write import simulate_survey
from icmass.survey.writers.cluster_view import DEFAULT_POSITION, cluster_view, map_grid
from icmass.survey.writers.events import write_events
from icmass.survey.writers.images import (
    write_image,
)
from icmass.survey.writers.pi_spectra import PI_EDGES_KEV, PiSpectra
from icmass.telescope.instrument import load_instrument

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
    """The same with uneven exposure and a masked source."""
    survey = mock.copy(deep=True)
    n = survey.sizes["x"]
    coverage = np.linspace(0.5, 1, n) * np.ones((4, n, 1))
    coverage[:, 3:6, 20:24] = 0
    survey["coverage"] = (("cluster", "y", "x"), coverage.astype("f2"))
    survey["maps"] = survey["maps"] * (coverage > 0)[:, None, None].astype("u2")
    return survey


@pytest.fixture(scope="module")
def files(mock: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("events")
    return [write_events(mock, i, folder / f"{i}.fits", seed=7) for i in range(4)]


def rebinned(events: fits.FITS_rec, survey: xr.Dataset, cluster: int) -> np.ndarray:
    """Bin events with spherical trigonometry by astropy, nothing of ours: (band, y, x)."""
    cosmology = json.loads(survey.attrs["cosmology"])
    z = float(survey["redshift"][cluster])
    distance = Cosmology(**cosmology).astropy.comoving_distance(z).value * cosmology["h"]
    centre = SkyCoord(*PLACES[cluster], unit="deg")
    plane = SkyCoord(events["RA"], events["DEC"], unit="deg").transform_to(centre.skyoffset_frame())
    # gnomonic: tan of the offsets in the frame about the centre
    east = np.tan(plane.lon.rad) * distance
    north = np.tan(plane.lat.rad) / np.cos(plane.lon.rad) * distance
    edges = np.linspace(-2.3, 2.3, survey.sizes["x"] + 1)
    maps = []
    for lo, hi in BANDS:
        inside = (events["PI"] >= 1000 * lo) & (events["PI"] < 1000 * hi)
        maps.append(np.histogram2d(north[inside], -east[inside], (edges, edges))[0])
    return np.array(maps)


@pytest.mark.parametrize("cluster", range(4))
def test_every_photon_is_in_its_own_pixel_and_band(
    mock: xr.Dataset, files: list[Path], cluster: int
) -> None:
    events = fits.getdata(files[cluster], "EVENTS")
    expected = counts(mock, np.array([cluster]))[0]
    assert len(events) == expected.sum() > 1000
    np.testing.assert_array_equal(rebinned(events, mock, cluster), expected)


def test_event_file_is_read_back_as_the_survey(mock: xr.Dataset, files: list[Path]) -> None:
    for i, file in enumerate(files):
        header = fits.getheader(file, "EVENTS")
        target = Target(
            "it", header["RA_OBJ"], header["DEC_OBJ"], header["ICM_Z"], header["ICM_NH"]
        )
        [(_, found)] = open_events([file], map_grid(mock)).read([target])
        np.testing.assert_array_equal(found["maps"][0], counts(mock, np.array([i]))[0])
        assert (found["coverage"] == 1).all()
        for name in ("exposure", "redshift", "nh", "ra", "dec"):
            assert found[name] == pytest.approx(float(mock[name][i]), rel=1e-12)


def test_uneven_exposure_is_read_back(covered: xr.Dataset, tmp_path: Path) -> None:
    events = write_events(covered, 1, tmp_path / "e.fits")
    expmap = write_image("exposure", covered, 1, tmp_path / "x.fits")
    target = Target("it", *PLACES[1], float(covered["redshift"][1]), 3.0)
    source = open_events([events], map_grid(covered), exposure_maps=[expmap])
    [(_, found)] = source.read([target])
    np.testing.assert_array_equal(found["maps"][0], counts(covered, np.array([1]))[0])
    np.testing.assert_allclose(found["coverage"], covered["coverage"][1], atol=1e-3)
    assert found["exposure"] == pytest.approx(2000)


def test_columns_and_headers(mock: xr.Dataset, files: list[Path]) -> None:
    with fits.open(files[2]) as hdus:
        gtis = [f"GTI{i}" for i in range(1, 8)]
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "EVENTS", *gtis]
        table, header = hdus["EVENTS"].data, hdus["EVENTS"].header
        forms = {column.name: column.format for column in table.columns}
        for name in ("TIME", "RA", "DEC", "X", "Y"):
            assert forms[name] == "D"
        assert (forms["PI"], forms["TM_NR"], forms["FLAG"], forms["PHA"]) == ("E", "B", "J", "I")
        assert table.columns["PI"].unit == "eV" and table.columns["RA"].unit == "deg"
        assert (np.diff(table["TIME"]) > 0).all()
        for gti in hdus[2:]:
            assert gti.data["START"][0] < table["TIME"][0]
            assert gti.data["STOP"][0] > table["TIME"][-1]
            assert gti.data["STOP"][0] - gti.data["START"][0] == 2000
        assert not (table["FLAG"] & header["FLAGSEL"]).any()
        assert set(table["PAT_TYP"]) <= {1, 2, 3, 4}
        modules = np.bincount(table["TM_NR"], minlength=8)
        assert modules[0] == 0 and modules[1:].min() > 0.8 * len(table) / 7
        for of in (header, hdus[0].header):
            assert (of["TELESCOP"], of["INSTRUME"], of["NINST"]) == ("eROSITA", "merged", 7)
            assert (of["EXPOSURE"], of["AREATYPE"], of["LIGHTLEA"]) == (2000, "SURVEY", False)
            assert of["ICM_M500"] == pytest.approx(float(mock["m500c"][2]))
            assert (of["ICM_PRES"], of["ICM_SEED"], of["ICM_CLUS"]) == ("test", 3, 2)


@pytest.mark.parametrize("told", ["config", "observed"])
def test_exposures_on_axis_are_said_and_read_as_that(
    mock: xr.Dataset, tmp_path: Path, told: str
) -> None:
    survey = mock.copy()
    facts = {
        "config": {"observe": {"vignetting": "onaxis"}},
        "observed": {"exposure_area": "onaxis"},
    }
    survey.attrs[told] = json.dumps(facts[told])
    events = write_events(survey, 1, tmp_path / "e.fits")
    expmap = write_image("exposure", survey, 1, tmp_path / "x.fits")
    for header in (fits.getheader(events, "EVENTS"), fits.getheader(expmap)):
        assert (
            header["AREATYPE"] == "ONAXIS" and "at the area on axis" in header.comments["EXPOSURE"]
        )
    assert "at the area on axis" in fits.getheader(expmap).comments["BUNIT"]
    target = Target("it", *PLACES[1], float(survey["redshift"][1]), 3.0)
    source = open_events([events], map_grid(survey), exposure_maps=[expmap])
    [(_, found)] = source.read([target])
    assert found["exposure"] == pytest.approx(2000)
    assert source.facts["exposure_area"] == "onaxis"


def test_header_says_only_what_the_survey_knows(mock: xr.Dataset, tmp_path: Path) -> None:
    blind = mock.drop_vars(["m500c", "nh", "ra", "dec"])
    header = fits.getheader(write_events(blind, 0, tmp_path / "e.fits"), "EVENTS")
    assert "ICM_M500" not in header and "ICM_NH" not in header
    assert (header["RA_OBJ"], header["DEC_OBJ"]) == DEFAULT_POSITION
    placed = write_events(blind, 0, tmp_path / "p.fits", ra=20.0, dec=-10.0)
    assert fits.getheader(placed, "EVENTS")["RA_PNT"] == 20.0


@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
@pytest.mark.parametrize("cluster", range(4))
def test_sky_pixels_agree_with_ra_and_dec(files: list[Path], cluster: int) -> None:
    with fits.open(files[cluster]) as hdus:
        table, header = hdus["EVENTS"].data, hdus["EVENTS"].header
        wcs = WCS(header, keysel=["pixel"], colsel=[2, 3])
        assert list(wcs.wcs.ctype) == ["RA---SIN", "DEC--SIN"]
        sky = wcs.pixel_to_world(table["X"] - 1, table["Y"] - 1)
        there = SkyCoord(table["RA"], table["DEC"], unit="deg")
        assert sky.icrs.separation(there).arcsec.max() < 1e-4
        assert abs(3600 * header["TCDLT3"]) == pytest.approx(0.05)
        assert header["REFXCRPX"] == header["TCRPX2"]
        for axis, column in (("X", 2), ("Y", 3)):
            assert table[axis].min() > header[f"TLMIN{column}"]
            assert table[axis].max() < header[f"TLMAX{column}"]


def test_soxs_reads_and_images_it(mock: xr.Dataset, files: list[Path], tmp_path: Path) -> None:
    soxs = pytest.importorskip("soxs")
    soxs.write_image(str(files[0]), str(tmp_path / "s.fits"), emin=0.5, emax=1.2, reblock=160)
    image, header = fits.getdata(tmp_path / "s.fits", header=True)
    soft = counts(mock, np.array([0]))[0, 0]
    assert image.sum() == soft.sum()
    y, x = np.unravel_index(image.argmax(), image.shape)
    peak = WCS(header).pixel_to_world(x, y).separation(SkyCoord(*PLACES[0], unit="deg"))
    y, x = np.unravel_index(soft.argmax(), soft.shape)
    ours = cluster_view(mock, 0).frame.pixel_to_world(x, y)
    assert abs(peak - ours.separation(SkyCoord(*PLACES[0], unit="deg"))) < 3 * u.arcmin


def test_same_seed_same_file_other_seed_other_places(
    mock: xr.Dataset, files: list[Path], tmp_path: Path
) -> None:
    again = write_events(mock, 1, tmp_path / "a.fits", seed=7)
    other = write_events(mock, 1, tmp_path / "b.fits", seed=8)
    assert again.read_bytes() == files[1].read_bytes()
    there, here = (fits.getdata(file, "EVENTS") for file in (other, again))
    assert not np.array_equal(there["RA"], here["RA"])
    np.testing.assert_array_equal(rebinned(there, mock, 1), rebinned(here, mock, 1))


def test_events_are_not_written_over_or_of_nothing(mock: xr.Dataset, tmp_path: Path) -> None:
    file = write_events(mock, 0, tmp_path / "e.fits")
    before = file.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        write_events(mock, 0, file, seed=1)
    assert file.read_bytes() == before
    write_events(mock, 0, file, seed=1, overwrite=True)
    assert file.read_bytes() != before
    empty = mock.copy(deep=True)
    empty["maps"][:] = 0
    with pytest.raises(InputError, match="no photon"):
        write_events(empty, 0, tmp_path / "none.fits")
    with pytest.raises(InputError, match="clusters 0 to 3"):
        write_events(mock, 4, tmp_path / "none.fits")
    with pytest.raises(InputError, match="ra, dec"):
        write_events(mock, 0, tmp_path / "none.fits", ra=10.0)
    assert [path.name for path in tmp_path.iterdir()] == ["e.fits"]


def monte_carlo(edges: np.ndarray, below: np.ndarray, band: tuple[float, float]) -> np.ndarray:
    """Draw photons, measure them one by one, keep those of the band [eV]."""
    rng = np.random.default_rng(5)
    energy = np.interp(rng.uniform(0, below[-1], 400_000), below, edges)
    pi = load_instrument().redistribution.sample(energy, rng)
    return 1000 * pi[(pi >= band[0]) & (pi < band[1])]


@pytest.mark.parametrize("band", BANDS)
@pytest.mark.parametrize("component", ["icm", "agn"])
def test_energies_follow_the_folded_spectrum(
    mock: xr.Dataset, component: str, band: tuple[float, float]
) -> None:
    view = cluster_view(mock, 3)
    spectra = PiSpectra(view)
    rng = np.random.default_rng(1)
    found = spectra.draw(spectra.cumulative(component), band, 20_000, rng)
    assert found.min() > 1000 * band[0] and found.max() < 1000 * band[1]
    folder = FoldedSpectra(load_plasma_table(), load_instrument(), 20.0, 100.0)
    if component == "icm":
        kt, z = view.known("T"), view.redshift
        table = load_plasma_table()
        middle = (table.energy_edges_kev[1:] + table.energy_edges_kev[:-1]) / 2 / (1 + z)
        area = load_instrument().area_cm2(middle)
        emitted = table.spectrum(kt, 0.27) * area * transmission(middle, 20.0)
        edges = table.energy_edges_kev / (1 + z)
        seen = (middle > 0.15) & (middle < 12)
        below = np.concatenate([[0], np.cumsum(emitted * seen)])
    else:
        cumulative, rate = folder.agn
        rows = folder.agn_row(np.full(2, 1.9), np.array([False, True]))
        edges, below = folder.edges, np.array([0.8, 0.2]) * rate[rows] @ cumulative[rows]
    expected = monte_carlo(edges, below, band)
    assert len(expected) > 5000
    assert ks_2samp(found, expected).statistic < 0.02
    assert kstest(found / 1000, "uniform", args=(band[0], band[1] - band[0])).statistic > 0.05


@pytest.mark.parametrize("component", ["background", "observed"])
def test_background_energies_follow_the_instruments_table(mock: xr.Dataset, component: str) -> None:
    spectra = PiSpectra(cluster_view(mock, 0))
    cumulative = spectra.cumulative(component)
    rng = np.random.default_rng(1)
    found = spectra.draw(cumulative, (0.5, 7.0), 40_000, rng) / 1000
    background = load_instrument().background
    rate = [sum(background.rate(0.5, edge)) for edge in (1.2, 2.0, 7.0)]
    below = [np.mean(found < edge) for edge in (1.2, 2.0)]
    np.testing.assert_allclose(below, np.array(rate[:2]) / rate[2], atol=0.01)


def test_gas_of_unknown_temperature_has_the_background_spectrum(mock: xr.Dataset) -> None:
    unknown = PiSpectra(cluster_view(mock.drop_vars("T"), 0))
    np.testing.assert_array_equal(unknown.cumulative("icm"), unknown.cumulative("background"))


def test_hotter_gas_is_harder_and_a_null_spectrum_is_even(mock: xr.Dataset) -> None:
    hot, cool = (mock.copy(deep=True) for _ in range(2))
    hot["T"][0], cool["T"][0] = 9.0, 1.0
    medians = []
    for survey in (hot, cool):
        spectra = PiSpectra(cluster_view(survey, 0))
        below = spectra.cumulative("icm")
        rng = np.random.default_rng(0)
        medians.append(np.median(spectra.draw(below, (2.0, 7.0), 4000, rng)))
    assert medians[0] > medians[1] + 200
    none = spectra.draw(np.zeros(len(PI_EDGES_KEV)), (2.0, 7.0), 4000, rng)
    assert kstest(none / 1000, "uniform", args=(2, 5)).pvalue > 1e-3


def test_damaged_configuration_is_refused(mock: xr.Dataset) -> None:
    broken = mock.assign_attrs(config=json.dumps({"observe": {"bands": "none"}}))
    with pytest.raises(InputError, match=r"attribute config.*observe"):
        PiSpectra(cluster_view(broken, 0))


@pytest.fixture(scope="module")
def stored(mock: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("survey") / "mock.zarr"
    survey = mock.copy(deep=True)
    survey["maps"][2] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        survey.to_zarr(path, consolidated=True)
    return path


@pytest.fixture
def call(run_cli: RunCli) -> RunCli:
    """Run `icmass export`."""
    return partial(run_cli, "export")


def test_one_cluster_becomes_a_file(
    stored: Path, tmp_path: Path, mock: xr.Dataset, call: RunCli
) -> None:
    out = tmp_path / "one.fits"
    done = call(stored, "--format", "events", "--out", out, "--index", 1, "--seed", 7)
    assert (done.returncode, done.stdout.split()) == (0, [str(out)])
    events = fits.getdata(out, "EVENTS")
    np.testing.assert_array_equal(rebinned(events, mock, 1), counts(mock, np.array([1]))[0])
    again = call(stored, "--format", "events", "--out", out, "--index", 1)
    assert again.returncode == 2


def test_several_become_a_folder_and_a_bad_one_is_left_out(
    stored: Path, tmp_path: Path, call: RunCli
) -> None:
    done = call(stored, "--format", "events", "--out", tmp_path / "out", "--index", 0, "2-3")
    assert done.returncode == 0
    names = [Path(line).name for line in done.stdout.split()]
    assert names == ["cluster-00000_events.fits", "cluster-00003_events.fits"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert "cluster 2 left out" in done.stderr and "no photon" in done.stderr
    again = call(stored, "--format", "events", "--out", tmp_path / "out", "--index", 0, "2-3")
    assert again.returncode == 2 and "none of the clusters" in again.stderr
    more = call(stored, "--format", "events", "--out", tmp_path / "out", "--overwrite")
    assert len(more.stdout.split()) == 3


def test_images_exposure_maps_and_tables(stored: Path, tmp_path: Path, call: RunCli) -> None:
    done = call(stored, "--format", "images", "--out", tmp_path / "i", "--index", "0,1")
    assert len(done.stdout.split()) == 2 * 5
    done = call(stored, "--format", "expmap", "--out", tmp_path / "e.fits", "--index", "0")
    assert fits.getdata(tmp_path / "e.fits").min() == 2000
    done = call(stored, "--format", "table", "--out", tmp_path / "t.ecsv")
    assert len(Table.read(tmp_path / "t.ecsv")) == 4 and done.returncode == 0


def test_wrong_use_is_refused(stored: Path, tmp_path: Path, call: RunCli) -> None:
    many = call(stored, "--format", "events", "--out", tmp_path / "x.fits")
    assert "several files do not fit" in many.stderr
    beyond = call(stored, "--format", "events", "--out", tmp_path, "--index", 9)
    assert "0 to 3" in beyond.stderr
    (tmp_path / "file").write_text("")
    there = call(stored, "--format", "images", "--out", tmp_path / "file")
    assert "is a file" in there.stderr
    assert call(stored, "--format", "jpeg", "--out", tmp_path).returncode == 2


def test_uneven_exposure_goes_beside_the_events(
    covered: xr.Dataset, tmp_path: Path, call: RunCli
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        covered.to_zarr(tmp_path / "c.zarr", consolidated=True)
    done = call(tmp_path / "c.zarr", "--format", "events", "--out", tmp_path, "--index", 0)
    names = [Path(line).name for line in done.stdout.split()]
    assert names == ["cluster-00000_events.fits", "cluster-00000_expmap.fits"]
    assert fits.getdata(tmp_path / names[1]).min() == 0


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = resolve_config("erosita", assignments=("observe.n_pixels=32",))
    out = tmp_path_factory.mktemp("simulated") / "s.zarr"
    return simulate_survey(config, n_clusters=2, seed=3, out=out)


def test_a_simulated_survey_is_exported_and_read_back(
    simulated: Path, tmp_path: Path, call: RunCli
) -> None:
    done = call(simulated, "--format", "events", "--out", tmp_path / "e.fits", "--index", 1)
    survey = open_survey(simulated)
    z, nh = float(survey["redshift"][1]), float(survey["nh"][1])
    target = Target("it", *DEFAULT_POSITION, z, nh)
    [(_, found)] = open_events(done.stdout.split(), map_grid(survey)).read([target])
    np.testing.assert_array_equal(found["maps"][0], counts(survey, np.array([1]))[0])


def test_photons_of_the_sky(simulated: Path, stored: Path, tmp_path: Path, call: RunCli) -> None:
    out = tmp_path / "deep" / "s.fits"
    done = call(simulated, "--format", "simput", "--out", out, "--index", 0)
    assert done.stdout.split() == [str(out)]
    with fits.open(out) as hdus:
        assert {"SRC_CAT", "PHLIST"} <= {hdu.name for hdu in hdus}
        assert len(hdus["PHLIST"].data) > 100
    again = call(simulated, "--format", "simput", "--out", out, "--index", 0)
    assert "exists already" in again.stderr
    real = call(stored, "--format", "simput", "--out", tmp_path / "r.fits", "--index", 0)
    assert real.returncode == 2 and not (tmp_path / "r.fits").exists()
