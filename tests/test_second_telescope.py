"""A second telescope end to end, XMM-Newton's EPIC-pn: mock, event files, survey, masses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from scipy import ndimage

from conftest import RunCli, beta_model_survey
from event_files import good, write
from icmass.errors import InputError
from icmass.io.event_binning import OUTCOMES
from icmass.io.event_cuts import EventCuts, cuts_of
from icmass.io.events import scan_event_file
from icmass.io.target import Target
from icmass.missions.registry import (
    telescope_of,
)
from icmass.survey.catalog import open_survey
from icmass.survey.counts import counts
from icmass.survey.observed.events import open_events
from icmass.survey.observed.images import survey_from_images
from icmass.survey.writers.cluster_view import map_grid
from icmass.survey.writers.events import write_events

PIXELS, N = 32, 24
PN = telescope_of("xmm_pn")
PLACE = ("--ra", 150, "--dec", 2, "--redshift", 0.2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("xmm")


@pytest.fixture(scope="module")
def mock(folder: Path) -> Path:
    import icmass

    keys = ["observe.vignetting=onaxis", f"observe.n_pixels={PIXELS}"]
    out = folder / "mock.zarr"
    icmass.simulate("demo", n=N, seed=2, out=out, instrument="xmm_pn", assignments=keys)
    return out


@pytest.fixture(scope="module")
def exported(folder: Path, mock: Path) -> list[Path]:
    import icmass

    files = icmass.export(mock, "events", folder / "events", index=[0, 1, 2], seed=4).files
    assert [file.name[14:] for file in files] == ["events.fits", "expmap.fits"] * 3
    return files[::2]


def expmap_of(file: Path) -> Path:
    return file.with_name(file.name.replace("_events", "_expmap"))


def events_of(file: Path) -> tuple[fits.Header, np.ndarray]:
    with fits.open(file) as hdus:
        return hdus["EVENTS"].header.copy(), hdus["EVENTS"].data.copy()


def changed(file: Path, out: Path, column: str, rows: slice, value: Any) -> Path:
    """Write a file again with other values of a column."""
    with fits.open(file) as hdus:
        hdus["EVENTS"].data[column][rows] = value
        hdus.writeto(out, overwrite=True)
    return out


# ---------------------------------------------------------------- end to end


def test_a_mock_is_written_as_sas_writes_it(mock: Path, exported: list[Path]) -> None:
    survey = open_survey(mock)
    with fits.open(exported[1]) as hdus:
        names = [hdu.name for hdu in hdus]
        assert names == ["PRIMARY", "EVENTS", *[f"STDGTI{i:02d}" for i in range(1, 13)]]
        for hdu in hdus[:2]:
            keys = [hdu.header[key] for key in ("TELESCOP", "INSTRUME", "DATAMODE", "MJDREF")]
            assert keys == ["XMM", "EPN", "IMAGING", 50814.0]
            assert hdu.header["EXPOSU04"] == hdu.header["EXPOSURE"] == survey["exposure"][1]
        table = hdus["EVENTS"].data
        assert table["X"].dtype.kind == table["PI"].dtype.kind == "i"
        assert set(table["CCDNR"]) == set(range(1, 13)) and set(table["PATTERN"]) == {0}
        assert "RA" not in table.names and hdus["EVENTS"].header["REFXCTYP"] == "RA---TAN"
    assert len(table) == survey["n_phot"][1]


def test_ingested_counts_are_the_mocks(
    folder: Path, mock: Path, exported: list[Path], run_cli: RunCli
) -> None:
    survey = open_survey(mock)
    for i, file in enumerate(exported):
        out = folder / f"back-{i}.zarr"
        how = ("--instrument", "xmm_pn", "--pixels", PIXELS)
        how += ("--expmap", expmap_of(file), "--expmap-kind", "survey")
        done = run_cli("ingest", "esass", file, *how, "--out", out)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        n = int(survey["n_phot"][i])
        assert done.stdout == f"{out}: 1 clusters; events: {n:,} counted\n"
        found = open_survey(out)
        np.testing.assert_array_equal(counts(found)[0], counts(survey, np.array([i]))[0])
        for name in ("redshift", "nh"):
            assert float(found[name][0]) == pytest.approx(float(survey[name][i]), rel=1e-6)
        coverage = survey["coverage"][i].values
        assert 0 < coverage[coverage > 0].min() < 0.5 and (coverage == 0).any()
        # a mock's exposure is that on the axis, real data's the largest of a pixel
        seconds = [
            float(of["exposure"][k]) * of["coverage"][k].values.astype(float)
            for of, k in ((survey, i), (found, 0))
        ]
        np.testing.assert_allclose(seconds[1], seconds[0], rtol=2e-3)
        facts = json.loads(found.attrs["observed"])
        assert (facts["flag"], facts["pattern"]) == ("0xffffffff", 3)
        assert facts["exposure"] == "exposure maps, in seconds at the area on axis"


def test_masses_of_event_files_are_those_of_the_mock(
    folder: Path, mock: Path, exported: list[Path], run_cli: RunCli
) -> None:
    import icmass

    model = folder / "model"
    done = run_cli(
        "train", mock, "--model", "icm-1band", "--out", model, "--max-epochs", 3, "--device", "cpu"
    )
    assert done.returncode == 0, done.stderr
    of_mock = run_cli("predict", model, mock, "--index", 1, "--json", "--device", "cpu")
    assert of_mock.returncode == 0, of_mock.stderr
    sky = ("--expmap", expmap_of(exported[1]), "--expmap-kind", "survey")
    options = (*sky, "--json", "--device", "cpu")  # the model knows its telescope
    of_events = run_cli("predict", model, exported[1], *options)
    assert of_events.returncode == 0, of_events.stderr
    same = run_cli("predict", model, exported[1], "--instrument", "xmm_pn", *options)
    assert same.stdout == of_events.stdout
    document = json.loads(of_events.stdout)
    masses = [found["clusters"][0] for found in (json.loads(of_mock.stdout), document)]
    assert masses[0]["photons"] == masses[1]["photons"] == int(open_survey(mock)["n_phot"][1])
    # the same seconds a pixel, of which 2 per cent are now in the exposure, now in the coverage
    assert masses[0]["ln_m500c"] == pytest.approx(masses[1]["ln_m500c"], abs=0.02)
    assert 0.1 < masses[0]["ln_m500c_std"] < 5
    other = run_cli("predict", model, exported[1], "--instrument", "erosita", *options)
    assert (other.returncode, other.stdout) == (2, "")
    [line] = other.stderr.splitlines()
    assert "is erosita, the model was trained on photons of XMM-Newton EPIC-pn" in line
    survey = open_survey(mock)
    config = json.loads(survey.attrs["config"])
    config["observe"]["instrument"] = "erosita"
    told_masses = icmass.predict(
        survey.assign_attrs(config=json.dumps(config)), model=model, index=[1], device="cpu"
    )
    [told] = [line for line in told_masses.warnings if "photons of" in line]
    assert told == (
        "These are photons of eROSITA, the model was trained on those of XMM-Newton EPIC-pn: the "
        "masses do not hold."
    )
    assert not any("photons of" in line for line in document["warnings"])


def test_events_that_are_no_good_are_dropped(
    folder: Path, mock: Path, exported: list[Path]
) -> None:
    """Ten each: triples, flagged ones, another chip's, out of good time, outside of the sky."""
    file, grid = exported[2], map_grid(open_survey(mock))
    header, table = events_of(file)
    bad = folder / "bad.fits"
    changed(file, bad, "PATTERN", slice(0, 10), 5)
    changed(bad, bad, "PATTERN", slice(10, 20), 4)
    changed(bad, bad, "FLAG", slice(20, 30), 1)
    changed(bad, bad, "FLAG", slice(30, 40), 0x10000)
    changed(bad, bad, "CCDNR", slice(40, 50), 13)
    changed(bad, bad, "TIME", slice(50, 60), header["TSTOP"] + 1)
    target = Target("it", header["RA_OBJ"], header["DEC_OBJ"], header["ICM_Z"])

    def outcomes(**cuts: Any) -> dict[str, int]:
        source = open_events([bad], grid, telescope=PN, cuts=cuts_of("xmm_pn", **cuts))
        [(_, found)] = source.read([target])
        assert not isinstance(found, InputError) and found["n_phot"] == source.tally[0]
        return {k: int(n) for k, n in zip(OUTCOMES, source.tally, strict=True) if n}

    n = len(table)
    lost = {"flagged": 20, "bad pattern": 10, "other module": 10, "outside the GTIs": 10}
    assert outcomes() == {"counted": n - 50, **lost}
    assert outcomes(pattern=15) == {"counted": n - 40} | {
        key: number for key, number in lost.items() if key != "bad pattern"
    }
    assert outcomes(flag=1)["flagged"] == 10
    assert outcomes(pattern=1)["bad pattern"] == 20


def test_without_a_map_the_field_of_view_is_the_instruments(
    mock: Path, exported: list[Path], tmp_path: Path
) -> None:
    """Seconds and expected background of a pointing are those of the mock, which draws them."""
    survey = open_survey(mock)
    header, _ = events_of(exported[1])
    target = Target("it", header["RA_OBJ"], header["DEC_OBJ"], header["ICM_Z"], header["ICM_NH"])
    source = open_events([exported[1]], map_grid(survey), telescope=PN)
    [(_, found)] = source.read([target])
    assert not isinstance(found, InputError) and source.notes == []
    assert "area on axis, falling off the axis (RA_PNT" in source.facts["exposure"]
    np.testing.assert_array_equal(found["maps"][0], counts(survey, np.array([1]))[0])
    coverage = survey["coverage"][1].values.astype(float)
    inside = ndimage.minimum_filter(coverage, 3) > 0  # the edge of the field cuts through pixels
    seconds = found["exposure"] * found["coverage"]
    np.testing.assert_allclose(seconds[inside], 2000 * coverage[inside], rtol=0.01)
    assert (seconds[ndimage.maximum_filter(coverage, 3) == 0] == 0).all()
    drawn = survey["maps"][1].sel(component="background").values.sum((1, 2))
    expected = found["background"].sum((1, 2))
    # the mock's background is scattered by 8 per cent from pointing to pointing; of the sky it has
    # the sources that it draws as AGN apart
    assert (drawn / expected > 0.7).all() and (drawn / expected < 1.25).all()
    with fits.open(exported[1]) as hdus:
        for hdu in hdus[:2]:
            del hdu.header["RA_PNT"]
        hdus.writeto(tmp_path / "a.fits")
    source = open_events([tmp_path / "a.fits"], map_grid(survey), telescope=PN)
    [note] = source.notes
    assert "RA_PNT and DEC_PNT tell no single pointing" in note
    [(_, found)] = source.read([target])
    assert (found["coverage"] == 1).all()


# ---------------------------------------------------------------- who is who


def test_pn_is_refused_where_erosita_is_asked_for(
    exported: list[Path], tmp_path: Path, run_cli: RunCli
) -> None:
    file, out = exported[0], tmp_path / "x.zarr"
    for command in (["ingest", "esass", file, "--out", out], ["predict", file]):
        done = run_cli(*command, *PLACE)
        assert (done.returncode, done.stdout) == (2, "")
        [line] = done.stderr.splitlines()
        assert "keyword TELESCOP: is XMM: icmass reads eROSITA" in line
        assert line.endswith("give files of eROSITA, or --instrument xmm_pn")
    assert not (tmp_path / "x.zarr").exists()


def test_erosita_is_refused_where_pn_is_asked_for(tmp_path: Path, run_cli: RunCli) -> None:
    file = write(tmp_path / "e.fits", good(20))
    how = ("--instrument", "xmm_pn", "--out", tmp_path / "x.zarr")
    done = run_cli("ingest", "esass", file, *PLACE, *how)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "keyword TELESCOP: is eROSITA: icmass reads XMM-Newton EPIC-pn" in line
    assert "or --instrument erosita" in line


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("INSTRUME", "EMOS1", "keyword INSTRUME: is EMOS1"),
        ("DATAMODE", "TIMING", "keyword DATAMODE: is TIMING: its events have no place on the sky"),
        ("FILTER", "CalClosed", "keyword FILTER: is CALCLOSED"),
        ("RADECSYS", "FK4", "keyword RADECSYS: is FK4"),
        ("TCTYP4", "GLON-CAR", "columns X, Y are GLON-CAR, DEC--TAN; give RA---TAN"),
        ("TCDLT5", 0.0, "TCRVL, TCDLT: makes no sense"),
        ("TCRVL4", "here", "TCRVL4 or REFXCRVL: is here"),
    ],
)
def test_files_that_cannot_be_used(
    exported: list[Path], tmp_path: Path, key: str, value: Any, message: str
) -> None:
    with fits.open(exported[0]) as hdus:
        for hdu in hdus[:2]:
            if key == "RADECSYS":
                del hdu.header["RADESYS"]
            hdu.header[key] = value
        hdus.writeto(tmp_path / "a.fits")
    with pytest.raises(InputError, match=re.escape(message)):
        scan_event_file(tmp_path / "a.fits", "xmm_pn")


def test_a_survey_is_written_as_what_it_was_seen_with(tmp_path: Path, run_cli: RunCli) -> None:
    """The toy survey names no instrument: --instrument does; one that names another is refused."""
    survey: xr.Dataset = beta_model_survey(2)
    survey.to_zarr(tmp_path / "toy.zarr", consolidated=True)
    out = ("--format", "events", "--index", 0, "--out", tmp_path / "e.fits")
    done = run_cli("export", tmp_path / "toy.zarr", *out, "--instrument", "xmm_pn")
    assert done.returncode == 0, done.stderr
    assert fits.getheader(tmp_path / "e.fits")["INSTRUME"] == "EPN"
    done = run_cli("export", tmp_path / "toy.zarr", *out, "--instrument", "xmm", "--overwrite")
    assert done.returncode == 2 and "is of no mission: 'xmm'; give one of" in done.stderr
    seen = json.loads(survey.attrs["config"]) | {"observe": {"instrument": "erosita"}}
    survey.attrs["config"] = json.dumps(seen)
    with pytest.raises(InputError, match="is xmm_pn, the survey was seen with erosita"):
        write_events(survey, 0, tmp_path / "f.fits", instrument="xmm_pn")


# ---------------------------------------------------------------- what files say


def test_the_exposure_is_the_chips_mean_and_not_their_sum(
    exported: list[Path], tmp_path: Path, mock: Path
) -> None:
    """No keyword but of dead time: half of the good time in two chips of twelve, 0.9 live."""
    grid = map_grid(open_survey(mock))
    with fits.open(exported[0]) as hdus:
        total = float(hdus["EVENTS"].header["EXPOSURE"])
        for hdu in hdus[:2]:
            for key in [key for key in hdu.header if key.startswith(("EXPOSU", "LIVET", "AREAT"))]:
                del hdu.header[key]
        for chip in range(1, 13):
            hdus[1].header[f"LIVETI{chip:02d}"] = 0.9 * total
        for chip in (1, 2):
            hdus[f"STDGTI{chip:02d}"].data["STOP"] /= 2
        hdus.writeto(tmp_path / "a.fits")
    header, table = events_of(exported[0])
    target = Target("it", header["RA_OBJ"], header["DEC_OBJ"], header["ICM_Z"])
    late = (table["TIME"] > total / 2) & np.isin(table["CCDNR"], (1, 2))
    source = open_events([tmp_path / "a.fits"], grid, telescope=PN)
    [(_, found)] = source.read([target])
    assert not isinstance(found, InputError)
    mean = 0.9 * total * (10 + 2 * 0.5) / 12
    assert source.exposure.seconds == pytest.approx(mean, rel=1e-6)
    assert found["exposure"] == pytest.approx(mean, rel=0.01)  # of the point nearest to the axis
    assert found["n_phot"] == len(table) - late.sum() < len(table)
    [note] = source.notes
    assert "keyword LIVETInn makes" in note and "the smaller is used" in note
    assert "at the area on axis (assumed: the cluster is on the axis" in source.facts["exposure"]
    few = open_events([tmp_path / "a.fits"], grid, telescope=PN, cuts=EventCuts(
        0xFFFFFFFF, 3, (1, 2), mission="xmm_pn"))  # fmt: skip
    assert few.exposure.seconds == pytest.approx(0.45 * total, rel=1e-6)


def test_positions_of_old_keywords_are_the_same(exported: list[Path], tmp_path: Path) -> None:
    with fits.open(exported[0]) as hdus:
        for key in [key for key in hdus["EVENTS"].header if re.match(r"TC(TYP|RPX|RVL|DLT)", key)]:
            del hdus["EVENTS"].header[key]
        hdus.writeto(tmp_path / "a.fits")
    new, old = (scan_event_file(f, "xmm_pn") for f in (exported[0], tmp_path / "a.fits"))
    assert new.sky == old.sky is not None


# ---------------------------------------------------------------- images


def test_images_of_pn_are_the_maps(mock: Path, tmp_path: Path) -> None:
    import icmass

    images = icmass.export(mock, "images", tmp_path, index=[1]).files
    expmap, mask = (next(f for f in images if name in f.name) for name in ("expmap", "mask"))
    assert fits.getheader(images[0])["INSTRUME"] == "EPN"
    survey = open_survey(mock)
    bands = images[: survey.sizes["band"]]
    place = {"ra": 150.0, "dec": 2.0, "redshift": float(survey["redshift"][1])}
    how = {**place, "grid": map_grid(survey), "mask": mask}
    found = survey_from_images(bands, [expmap], telescope=PN, **how)
    np.testing.assert_array_equal(counts(found)[0], counts(survey, np.array([1]))[0])
    facts = json.loads(found.attrs["observed"])
    assert (facts["mission"], facts["exposure_area"]) == ("xmm_pn", "onaxis")
    assert facts["exposure"] == "exposure maps, in seconds at the area on axis, as AREATYPE states"
    with pytest.raises(InputError, match="TELESCOP: is XMM: icmass reads eROSITA"):
        survey_from_images(bands, [expmap], **how)
