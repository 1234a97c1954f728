"""Photon lists: read as they are written by us and by others, refused when they cannot be."""

from __future__ import annotations

import gzip
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from conftest import RunCli
from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.io.fits_stream import FitsStream
from icmass.io.ideal_photons import ListExposure, PhotonTelescope
from icmass.io.photon_lists import (
    ListFacts,
    PhotonList,
    photon_chunks,
    read_photon_list,
)
from icmass.io.simput import parse_reference, read_catalogue, read_simput
from icmass.missions.sixte.reading import is_sixte, sixte_columns
from icmass.observe.spectra import KEV_ERG
from icmass.plasma.absorption import transmission
from icmass.sky.map_grid import MapGrid, cluster_frame
from icmass.sky.tangent import deproject, project, shift
from icmass.survey.catalog import open_survey
from icmass.survey.writers.photon_list import write_photon_list
from icmass.telescope.instrument import load_instrument

AREA, TIME, REDSHIFT = 1e4, 5000.0, 0.2
CENTRE = (359.99, 41.0)
BANDS = ((0.5, 1.2), (1.2, 2.0), (2.0, 7.0))


def photons(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return energies [keV] and directions [deg] about CENTRE, across RA 0."""
    rng = np.random.default_rng(seed)
    ra = np.mod(CENTRE[0] + rng.normal(0, 0.05, n), 360)
    return rng.uniform(0.3, 8, n), ra, CENTRE[1] + rng.normal(0, 0.03, n)


def write(path: Path, n: int = 400, **change: Any) -> Path:
    energy, ra, dec = photons(n)
    known: dict[str, Any] = {"area_cm2": AREA, "time_s": TIME, "ra0": CENTRE[0], "dec0": CENTRE[1]}
    known |= {"primary": {"REDSHIFT": REDSHIFT, "MODE": 3, "SNAPNUM": 128}, "src_name": "one"}
    return write_photon_list(path, energy, ra, dec, **(known | change))


def spoil(file: Path, extension: str | int, change: Any) -> Path:
    with fits.open(file, mode="update") as hdus:
        change(hdus[extension])
    return file


@pytest.fixture
def ingest(run_cli: RunCli) -> RunCli:
    """Run `icmass ingest photons`."""
    return partial(run_cli, "ingest", "photons")


def test_a_list_comes_back_as_it_was_written(tmp_path: Path):
    file = write(tmp_path / "a.fits")
    energy, ra, dec = photons()
    for path in (file, gzipped(file)):
        found = read_simput(path)
        assert np.allclose(found.energy, energy, rtol=1e-6)
        assert np.array_equal(found.ra, ra) and np.array_equal(found.dec, dec)
        assert found.reference == CENTRE
        assert (found.facts.area_cm2, found.facts.time_s) == (AREA, TIME)
        assert (found.facts.redshift, found.facts.snapshot, found.facts.mode) == (0.2, 128, 3)
    assert np.array_equal(read_photon_list(file).energy, found.energy)


def gzipped(file: Path) -> Path:
    path = file.with_name(file.name + ".gz")
    path.write_bytes(gzip.compress(file.read_bytes()))
    return path


def test_what_is_written_is_simput(tmp_path: Path):
    file = write(tmp_path / "a.fits")
    with fits.open(file) as hdus:
        hdus.verify("exception")
        source, listed = hdus["SRC_CAT"], hdus["PHLIST"]
        for hdu, kind in ((source, "SRC_CAT"), (listed, "PHOTONS")):
            assert hdu.header["HDUCLASS"] == "HEASARC/SIMPUT"
            assert (hdu.header["HDUCLAS1"], hdu.header["HDUVERS"]) == (kind, "1.1.0")
        row = source.data[0]
        assert row["SRC_ID"] == 1 and row["SPECTRUM"] == row["IMAGE"] == "[PHLIST,1]"
        flux = photons()[0].sum() * KEV_ERG / (AREA * TIME)
        assert row["FLUX"] == pytest.approx(flux, rel=1e-5)
        assert (listed.header["REFRA"], listed.header["REFDEC"]) == CENTRE
    with pytest.raises(InputError, match="exists already"):
        write(file)
    with pytest.raises(InputError, match="positive energy"):
        write_photon_list(
            tmp_path / "b.fits", [-1.0], [0.0], [0.0], area_cm2=1, time_s=1, primary={}, ra0=0,
            dec0=0, src_name="x",
        )  # fmt: skip
    assert not (tmp_path / "b.fits").exists()


def test_soxs_reads_ours_and_we_read_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    simput = pytest.importorskip("soxs.simput")
    write(tmp_path / "ours.fits")
    monkeypatch.chdir(tmp_path)  # soxs looks for "[PHLIST,1]" in the working folder
    theirs = simput.SimputCatalog.from_file("ours.fits")
    source = theirs.read_source(theirs.spectra[0])
    energy, ra, dec = photons()
    assert np.allclose(source["energy"].value, energy, rtol=1e-6)
    assert np.array_equal(source["ra"].value, ra)
    assert theirs.fluxes[0] == pytest.approx(energy.sum() * KEV_ERG / AREA / TIME, rel=1e-5)

    both = [
        simput.SimputPhotonList(ra[i], dec[i], energy[i], 1e-12) for i in (slice(9), slice(9, 20))
    ]
    catalogue = simput.SimputCatalog.from_source("cat.fits", both[0], src_filename="p.fits")
    catalogue.append(both[1])
    found = read_simput(tmp_path / "cat.fits")
    assert len(read_catalogue("cat.fits").sources) == 2
    assert np.allclose(found.energy, energy[:20]) and np.allclose(found.ra, ra[:20])


def test_texts_of_any_length_and_units_are_read(tmp_path: Path):
    """SIXTE's own catalogues have variable-length texts, old ones radians."""
    file = write(tmp_path / "list.fits")
    spectrum = np.array(["list.fits[PHLIST,1][#row==1]", "list.fits[PHLIST]"], dtype=object)
    columns = [
        fits.Column("SRC_ID", "J", array=[7, 8]),
        fits.Column("RA", "D", "rad", array=np.radians([CENTRE[0]] * 2)),
        fits.Column("DEC", "D", "rad", array=np.radians([CENTRE[1]] * 2)),
        fits.Column("SPECTRUM", "PA()", array=spectrum),
    ]
    fits.HDUList(
        [fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="SRC_CAT")]
    ).writeto(tmp_path / "cat.fits")
    catalogue = read_catalogue(tmp_path / "cat.fits")
    assert [source.src_id for source in catalogue.sources] == [7, 8]
    assert catalogue.facts.area_cm2 == AREA  # of the list, as the catalogue does not say
    found = read_simput(tmp_path / "cat.fits")
    assert len(found) == 800
    assert np.allclose(found.ra[:400], photons()[1]) and np.allclose(found.dec[400:], photons()[2])
    cut = tmp_path / "cut.fits"
    cut.write_bytes((tmp_path / "cat.fits").read_bytes()[:-2880])
    with pytest.raises(InputError, match="truncated"):
        read_catalogue(cut)
    assert len(read_simput(file)) == 400


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e300])
def test_a_source_without_a_number_is_one_line(tmp_path: Path, number: float):
    columns = [
        fits.Column("SRC_ID", "D", array=[number]),
        fits.Column("RA", "D", "deg", array=[CENTRE[0]]),
        fits.Column("DEC", "D", "deg", array=[CENTRE[1]]),
        fits.Column("SPECTRUM", "32A", array=["list.fits[PHLIST,1]"]),
    ]
    hdus = [fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="SRC_CAT")]
    fits.HDUList(hdus).writeto(tmp_path / "cat.fits")
    with pytest.raises(InputError, match=r"cat.fits: .*SRC_ID: .* is no number of a source"):
        read_catalogue(tmp_path / "cat.fits")


def test_photons_are_carried_to_their_source(tmp_path: Path):
    file = write(tmp_path / "a.fits")
    moved = (10.0, -30.0)

    def move(hdu: Any) -> None:
        hdu.data["RA"], hdu.data["DEC"] = moved

    spoil(file, "SRC_CAT", move)
    found, there = read_simput(file), {"redshift": REDSHIFT, "cosmology": Cosmology()}
    _, ra, dec = photons()
    before = project(ra, dec, centre=CENTRE, **there)
    after = project(found.ra, found.dec, centre=moved, **there)
    assert np.allclose(before, after, atol=1e-9)
    with pytest.raises(InputError, match="quarter of the sky"):
        spoil(file, "PHLIST", lambda hdu: hdu.header.set("REFRA", 180.0))
        read_simput(file)


@pytest.mark.parametrize(
    ("text", "extension", "version"),
    [("[PHLIST,1]", "PHLIST", 1), ("sub/b.fits[phlist, 2]", "PHLIST", 2), ("b.fits[3]", 3, None)],
)
def test_references(text: str, extension: str | int, version: int | None):
    found = parse_reference(text, Path("/data/cat.fits"))
    assert (found.extension, found.version) == (extension, version)
    assert found.file.is_relative_to("/data")


@pytest.mark.parametrize(
    "text",
    ["/etc/passwd[PHLIST,1]", "../b.fits[PHLIST,1]", "a/../../b.fits[1]", "..\\b.fits[1]",
     "C:\\b.fits[1]", "NULL", "b.fits", ""],
)  # fmt: skip
def test_references_out_of_the_folder_are_refused(text: str):
    with pytest.raises(InputError, match=r"SPECTRUM"):
        parse_reference(text, Path("/data/cat.fits"))


def set_column(name: str, row: int, value: float) -> Any:
    def change(hdu: Any) -> None:
        hdu.data[name][row] = value

    return change


@pytest.mark.parametrize(
    ("extension", "change", "message"),
    [
        ("PHLIST", set_column("ENERGY", 3, np.nan), r"ENERGY: 1 values such as nan; give positive"),
        ("PHLIST", set_column("ENERGY", 3, -2.0), r"ENERGY: 1 values such as -2"),
        ("PHLIST", set_column("RA", 3, np.inf), r"RA: 1 values"),
        ("PHLIST", set_column("DEC", 3, 91.0), r"DEC: 1 values such as 91"),
        ("PHLIST", lambda h: h.header.set("TUNIT1", "erg"), r"'erg'; give kev or ev"),
        ("PHLIST", lambda h: h.columns.change_name("ENERGY", "E"), r"has no column ENERGY"),
        ("SRC_CAT", set_column("DEC", 0, np.nan), r"is no direction"),
        (0, lambda h: h.header.set("AREA", -1.0), r"AREA: -1.0 makes no sense"),
        (0, lambda h: h.header.set("MODE", "gas"), r"MODE: 'gas' makes no sense"),
    ],
)
def test_bad_lists_end_in_one_line(tmp_path: Path, extension: str, change: Any, message: str):
    file = spoil(write(tmp_path / "a.fits"), extension, change)
    with pytest.raises(InputError, match=message) as raised:
        read_simput(file)
    assert "a.fits" in str(raised.value) and "\n" not in str(raised.value)


def test_damaged_files_end_in_one_line(tmp_path: Path):
    whole = write(tmp_path / "a.fits", n=5000).read_bytes()
    for name, content in {
        "cut.fits": whole[:-20000],
        "header.fits": whole[:3000],
        "empty.fits": b"",
        "text.fits": b"no FITS file at all" * 400,
        "cut.fits.gz": gzip.compress(whole)[:-5000],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError) as raised:
            read_simput(tmp_path / name)
        assert name in str(raised.value) and "\n" not in str(raised.value)
    fits.HDUList([fits.PrimaryHDU()]).writeto(tmp_path / "bare.fits")
    with pytest.raises(InputError, match="no SRC_CAT and no PHLIST"):
        read_simput(tmp_path / "bare.fits")
    with pytest.raises(InputError, match="holds no photon list"):
        read_photon_list(tmp_path / "bare.fits")
    with pytest.raises(InputError, match="no such file"):
        read_simput(tmp_path / "absent.fits")


def test_a_spectrum_is_no_photon_list(tmp_path: Path):
    file = write(tmp_path / "a.fits")
    spoil(file, "SRC_CAT", lambda hdu: hdu.data["SPECTRUM"].__setitem__(0, "[SRC_CAT,1]"))
    with pytest.raises(InputError, match="is no photon list"):
        read_simput(file)


def test_the_plane_is_that_of_the_maps():
    grid = MapGrid(BANDS, n_pixels=64)
    frame = cluster_frame(*CENTRE, redshift=REDSHIFT, grid=grid)
    _, ra, dec = photons()
    x, y = project(ra, dec, centre=CENTRE, redshift=REDSHIFT, cosmology=grid.cosmology)
    column, row = frame.wcs_world2pix(ra, dec, 0)
    pixel = 2 * grid.half_width / grid.n_pixels
    assert np.allclose(x, (column + 0.5) * pixel - grid.half_width, atol=1e-7)
    assert np.allclose(y, (row + 0.5) * pixel - grid.half_width, atol=1e-7)
    back = deproject(x, y, centre=CENTRE, redshift=REDSHIFT, cosmology=grid.cosmology)
    assert np.allclose(back, (ra, dec), atol=1e-10)
    far = project(np.array([180.0]), np.array([-41.0]), centre=CENTRE, redshift=0.2,
                  cosmology=grid.cosmology)  # fmt: skip
    assert np.isnan(far).all()
    assert np.allclose(shift(ra, dec, start=CENTRE, end=CENTRE), (ra, dec), atol=1e-10)


def telescope(exposure: float = 2000.0, **change: Any) -> PhotonTelescope:
    instrument = load_instrument("erosita")
    return PhotonTelescope(MapGrid(BANDS, n_pixels=32), instrument, exposure, **change)


@pytest.mark.parametrize("nh", [0.0, 20.0])
def test_photons_are_thinned_to_our_area(nh: float):
    """Of photons of one energy, A t / (AREA TIME) are left."""
    n = 40_000
    seen = telescope(absorb_nh_1e20=nh)
    listed = ListExposure(AREA, TIME, CENTRE, REDSHIFT)
    for energy in (0.6, 1.5, 4.5):
        part = PhotonList(np.full(n, energy), np.full(n, CENTRE[0]), np.full(n, CENTRE[1]), CENTRE,
                          ListFacts(Path("x")))  # fmt: skip
        kept = len(seen.thin([part], listed, np.random.default_rng(1)))
        area = float(seen.instrument.area_cm2(energy)) * float(transmission(np.array(energy), nh))
        expected = n * area * 2000 / (AREA * TIME)
        assert kept == pytest.approx(expected, abs=4 * np.sqrt(expected))


def test_thinning_does_not_depend_on_the_chunks(tmp_path: Path):
    whole = next(iter(photon_chunks(write(tmp_path / "a.fits", n=5000))))
    pieces = [
        PhotonList(whole.energy[i : i + 77], whole.ra[i : i + 77], whole.dec[i : i + 77], CENTRE,
                   whole.facts)
        for i in range(0, 5000, 77)
    ]  # fmt: skip
    listed = ListExposure(AREA, TIME, CENTRE, REDSHIFT)
    once, in_parts = (
        telescope().thin(chunks, listed, np.random.default_rng(5)) for chunks in ([whole], pieces)
    )
    assert 0 < len(once) < 5000
    assert np.array_equal(once.energy, in_parts.energy) and np.array_equal(once.x, in_parts.x)


def events(path: Path, **columns: tuple[str, str, Any]) -> Path:
    table = [fits.Column(n, form, unit, array=v) for n, (form, unit, v) in columns.items()]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(table, name="EVENTS")]).writeto(
        path, overwrite=True
    )
    return path


def test_events_of_sixte(tmp_path: Path):
    sky = {"RA": ("D", "deg", [1.0]), "DEC": ("D", "deg", [2.0]), "TIME": ("D", "s", [3.0])}
    path = tmp_path / "evt.fits"

    def columns(**more: tuple[str, str, Any]) -> dict[str, tuple[str, float]]:
        with FitsStream(events(path, **(sky | more))) as stream:
            hdu = list(stream.hdus())[1]
            assert is_sixte(hdu) == ("SIGNAL" in more)
            return sixte_columns(hdu)

    ra_dec = {"RA": ("RA", 1.0), "DEC": ("DEC", 1.0), "TIME": ("TIME", 1.0)}
    both = {"SIGNAL": ("E", "keV", [1.0]), "PI": ("J", "ADU", [70])}
    assert columns(**both) == ra_dec | {"PI": ("SIGNAL", 1000.0)}
    assert columns(ENERGY=("E", "eV", [900.0]))["PI"] == ("ENERGY", 1.0)
    assert columns(PI=("E", "eV", [900.0]))["PI"] == ("PI", 1.0)
    with pytest.raises(InputError, match="PI of channels alone"):
        columns(PI=("J", "ADU", [70]))
    del sky["DEC"]
    with pytest.raises(InputError, match="has no column DEC"):
        columns(**both)


def test_a_file_becomes_a_survey(tmp_path: Path, ingest: RunCli):
    file, out = write(tmp_path / "a.fits", n=50_000), tmp_path / "x.zarr"
    done = ingest(file, "--out", out, "--no-background", "--pixels", 32, "--nh", 1.5)
    assert done.returncode == 0, done.stderr
    survey = open_survey(out)
    assert list(survey["component"].values) == ["observed", "background"]
    assert float(survey["nh"][0]) == 1.5 and float(survey["redshift"][0]) == REDSHIFT
    area = load_instrument("erosita").area_cm2(photons(50_000)[0]).sum()
    expected = area * 2000 / (AREA * TIME)
    assert 0.5 * expected < float(survey["n_phot"][0]) < 1.05 * expected
    assert survey["maps"].sel(component="background").sum() == 0


def test_a_table_of_files_becomes_a_survey(tmp_path: Path, ingest: RunCli):
    (tmp_path / "sub").mkdir()
    for name in ("a.fits", "sub/b.fits"):
        write(tmp_path / name, n=20_000, primary={})
    table = tmp_path / "t.csv"
    table.write_text(
        "file,redshift,cluster_id,M500_msun_h,x,y,z\n"
        "a.fits,0.2,4,2e14,1000,2000,3000\nsub/b.fits,0.3,9,1e14,1000,2000,300000\n"
        "absent.fits,0.3,10,1e14,1,2,3\n"
    )
    out = tmp_path / "x.zarr"
    done = ingest("--table", table, "--out", out, "--pixels", 32)
    assert done.returncode == 0 and "absent.fits: no such file" in done.stderr
    survey = open_survey(out)
    assert survey["halo_id"].values.tolist() == [4, 9]
    assert survey["redshift"].values.tolist() == [0.2, 0.3]
    assert survey["position"].values[1].tolist() == [1.0, 2.0, 300.0]
    assert survey["r500c"].values[0] == pytest.approx(float(Cosmology().r500c(2e14, 0.2)))
    table.write_text("file,redshift\n../a.fits,0.2\n")
    assert "leaves the table's folder" in ingest("--table", table, "--out", out).stderr


@pytest.mark.parametrize(
    ("column", "factor"),
    [("m500c_msun_h", 1.0), ("m500c_msun", 0.7), ("M500_1e14_msun", 0.7e14), ("m500c", None)],
)
def test_masses_of_tables_are_read_as_everywhere(
    tmp_path: Path, column: str, factor: float | None, ingest: RunCli
):
    write(tmp_path / "a.fits", n=20_000)
    table, out = tmp_path / "t.csv", tmp_path / "x.zarr"
    given = "2" if "1e14" in column else "2e14"
    table.write_text(f"file,{column}\na.fits,{given}\n")
    done = ingest("--table", table, "--out", out, "--pixels", 32, "--h", 0.7)
    if factor is None:
        assert done.returncode == 2 and "column m500c: has no unit; call it m5" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert float(open_survey(out)["m500c"][0]) == pytest.approx(float(given) * factor)


def test_a_redshift_that_cannot_be_is_not_the_headers(tmp_path: Path, ingest: RunCli):
    write(tmp_path / "a.fits", n=20_000)
    table, out = tmp_path / "t.csv", tmp_path / "x.zarr"
    table.write_text("file,redshift\na.fits,-1\na.fits,\n")
    done = ingest("--table", table, "--out", out, "--pixels", 32)
    assert "t.csv: row 1, redshift: is -1; leave it empty where" in done.stderr
    assert open_survey(out)["redshift"].values.tolist() == [REDSHIFT]


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({"AREA": None}, (), "primary header: has no AREA; give it"),
        ({"TIME": None}, (), "has no TIME"),
        ({"REDSHIFT": None}, (), "has no REDSHIFT"),
        ({}, ("--exposure", 1e6), "--exposure: 1e+06 s is more than"),
        ({}, ("--ra", 20, "--dec", 0), "is within the map about RA 20 Dec 0"),
        ({}, ("--ra", 20), "give both or none"),
        ({}, ("--bands", "2-7,0.5-2"), "--bands"),
        ({}, ("--absorb",), "needs --nh"),
        ({}, ("--h", 9), "--h"),
        ({}, ("--vignetting", "none"), "vignetting"),
        ({}, ("--table", "t.csv"), "give a FILE or --table"),
    ],
)
def test_what_cannot_be_ingested(
    tmp_path: Path,
    change: dict[str, None],
    arguments: tuple[object, ...],
    message: str,
    ingest: RunCli,
):
    file = write(tmp_path / "a.fits")
    for key in change:
        spoil(file, 0, lambda hdu, key=key: hdu.header.remove(key))
    done = ingest(file, "--out", tmp_path / "x.zarr", *arguments)
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("x.zarr*"))
    given = {"AREA": ("--area", AREA), "TIME": ("--time", TIME), "REDSHIFT": ("--redshift", 0.2)}
    if change:
        option = given[next(iter(change))]
        assert ingest(file, "--out", tmp_path / "x.zarr", *option).returncode == 0


def test_text_in_the_place_of_numbers_is_refused(tmp_path: Path) -> None:
    energy, ra, dec = (np.ones(3), np.array(["1.0", "x", "\x01"]), np.zeros(3))
    columns = [
        fits.Column("ENERGY", "D", "keV", array=energy),
        fits.Column("RA", "8A", "deg", array=ra),
        fits.Column("DEC", "D", "deg", array=dec),
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="PHLIST")
    hdu.header["HDUCLAS1"] = "PHOTONS"
    hdu.writeto(tmp_path / "text.fits")
    with pytest.raises(InputError, match="column RA holds no numbers"):
        read_photon_list(tmp_path / "text.fits")
