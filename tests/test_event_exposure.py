"""How long events were collected, and what background is expected with them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from conftest import RunCli
from event_files import BANDS, DEC, RA, REDSHIFT, good, part, read_one, write
from icmass.errors import InputError
from icmass.io.events import EventCuts, scan_event_file
from icmass.io.exposure import (
    Exposure,
    header_exposure,
    read_exposure_maps,
)
from icmass.io.exposure_kinds import survey_factor
from icmass.io.modules import exposure_of_bands, module_share
from icmass.io.sky_background import Backgrounds
from icmass.io.target import Target
from icmass.sky.map_grid import FineGrid, MapGrid, cluster_frame
from icmass.survey.observed.events import open_events
from icmass.telescope.instrument import load_instrument

GRID = MapGrid(BANDS, 32)


# ---------------------------------------------------------------- exposure


def test_exposure_of_good_times_over_seven_and_dead_time(tmp_path: Path) -> None:
    live = dict.fromkeys(range(1, 8), 0.9) | {1: 0.5}
    file = write(tmp_path / "a.fits", good(50), live=live)
    source = open_events([file], GRID)
    assert read_one(source)["exposure"] == pytest.approx(1000 * (0.5 + 4 * 0.9) / 7, rel=1e-6)
    assert "good time intervals" in source.facts["exposure"]


@pytest.mark.parametrize("mode", ["SURVEY", "scan ", "SLEW"])
def test_a_scan_needs_a_map(tmp_path: Path, mode: str) -> None:
    file = write(tmp_path / "a.fits", good(50), OBS_MODE=mode, EXPOSURE=500.0)
    with pytest.raises(InputError, match=r"a.fits: keyword OBS_MODE: is .* give expmap"):
        open_events([file], GRID)
    assert read_one(open_events([file], GRID, seconds=140.0))["exposure"] == pytest.approx(100)


@pytest.mark.parametrize("mode", ["String", " ", "none", None])
@pytest.mark.parametrize("gtis", [True, False])
def test_a_scan_that_does_not_say_so(tmp_path: Path, mode: str | None, gtis: bool) -> None:
    """Fifteen passes of 90 s, four hours apart, as in a survey by SIXTE: no pointing of 1,350 s."""
    events = good(75)
    passes = 14400.0 * np.arange(15)
    events["TIME"] = np.repeat(passes, 5) + 45
    times = {0: [(start, start + 90) for start in passes]} if gtis else {}
    span = {"TSTART": 0.0, "TSTOP": 201_690.0}
    file = write(
        tmp_path / "a.fits",
        events,
        form="sixte",
        gtis=times,
        OBS_MODE=mode,
        EXPOSURE=1350.0,
        **span,
    )
    says = r"OBS_MODE: is not stated, and 1,350 s of good time in 201,690 s are those of a scan"
    with pytest.raises(InputError, match=says + ".* give expmap MAP or exposure"):
        open_events([file], GRID)
    assert read_one(open_events([file], GRID, seconds=7.0))["exposure"] == pytest.approx(5.0)


@pytest.mark.parametrize("mode", ["String", None])
def test_a_pointing_that_does_not_say_so(tmp_path: Path, mode: str | None) -> None:
    file = write(tmp_path / "a.fits", good(50), gtis={m: [(0, 900)] for m in range(1, 8)})
    stated = read_one(open_events([file], GRID))["exposure"]
    write(file, good(50), OBS_MODE=mode, gtis={m: [(0, 900)] for m in range(1, 8)})
    source = open_events([file], GRID)
    assert read_one(source)["exposure"] == stated
    assert source.notes == [f"{file}: OBS_MODE is not stated: taken for a pointing"]


def test_exposure_of_headers(tmp_path: Path) -> None:
    events = good(50)
    stated = write(tmp_path / "a.fits", events, EXPOSURE=700.0, AREATYPE="SURVEY", LIGHTLEA=False)
    source = open_events([stated], GRID)
    assert read_one(source)["exposure"] == 700
    assert source.facts["exposure"].startswith("keyword EXPOSURE, at the survey-average area,")
    each = []
    for module in (1, 2):
        chosen = events["TM_NR"] == module
        none = {f"INSTRUM{m}": None for m in range(1, 8)}
        each.append(
            write(
                tmp_path / f"{module}.fits",
                part(events, chosen),
                gtis={0: [(0, 1000)]},
                EXPOSURE=350.0,
                INSTRUME=f"TM{module}",
                **none,
            )
        )
    found = [scan_event_file(file) for file in each]
    assert [file.module for file in found] == [1, 2] and set(found[1].gtis) == {2}
    exposure = header_exposure(found, 1.0)
    assert exposure is not None and exposure.seconds == pytest.approx(2 * 350 / 7)
    assert module_share(found, EventCuts(), BANDS) == 1
    assert module_share(found, EventCuts(modules=(2,)), BANDS) == 0.5


@pytest.mark.parametrize(("shift", "said"), [(0.02, False), (0.5, True)])
def test_pointings_that_lie_apart_are_said(tmp_path: Path, shift: float, said: bool) -> None:
    files = [
        write(tmp_path / f"{i}.fits", good(50, i), RA_PNT=RA, DEC_PNT=DEC + i * shift)
        for i in range(2)
    ]
    found = [note for note in open_events(files, GRID).notes if "arcmin apart" in note]
    assert len(found) == said
    if said:
        assert (
            "0.fits and 1 more: their pointings (RA_PNT, DEC_PNT) lie up to 30 arcmin" in found[0]
        )
        assert found[0].endswith("--expmap MAP knows better")
    flat = expmap(tmp_path / "e.fits", 600.0)
    for known in ({"exposure_maps": [flat]}, {"seconds": 600.0}):
        assert not any("apart" in note for note in open_events(files, GRID, **known).notes)


def halves(**keys: Any) -> dict[str, Any]:
    """Return what is to be written for modules that looked for half of 1000 s, or not at all."""
    return {"gtis": {m: [(0, 500)] for m in (1, 2, 3, 4, 6)} | {5: [], 7: []}, **keys}


def test_the_smaller_of_header_and_good_times_holds(tmp_path: Path, run_cli: Any) -> None:
    events = good(4000)
    file = write(tmp_path / "a.fits", events, **halves(EXPOSURE=2000.0))
    source = open_events([file], GRID)
    found = read_one(source)
    assert found["exposure"] == pytest.approx(500 * 5 / 7)
    assert found["n_phot"] == pytest.approx((events["TIME"] < 500).sum(), rel=0.05)
    note = (
        f"{file}: keyword EXPOSURE makes 1429 s of the modules used over seven, "
        "the good time intervals 357.1 s: the smaller is used"
    )
    assert source.notes == [note] and "good time intervals" in source.facts["exposure"]
    place = ["--ra", RA, "--dec", DEC, "--redshift", REDSHIFT, "--pixels", 16]
    done = run_cli("ingest", "esass", file, *place, "--out", tmp_path / "X.zarr")
    assert done.returncode == 0 and done.stderr == f"icmass: {note}\n"
    short = write(tmp_path / "b.fits", events, **halves(EXPOSURE=100.0))
    source = open_events([short], GRID)
    assert read_one(source)["exposure"] == pytest.approx(100 * 5 / 7)
    assert len(source.notes) == 1 and source.facts["exposure"].startswith("keyword EXPOSURE")


@pytest.mark.parametrize(("seconds", "said"), [(504.0, False), (496.0, False), (506.0, True)])
def test_one_per_cent_is_no_contradiction(tmp_path: Path, seconds: float, said: bool) -> None:
    source = open_events([write(tmp_path / "a.fits", good(50), **halves(EXPOSURE=seconds))], GRID)
    assert bool(source.notes) == said
    expected = 500 if said else seconds
    assert read_one(source)["exposure"] == pytest.approx(expected * 5 / 7)


@pytest.mark.parametrize("absent", [True, False])
def test_a_module_without_good_time_counts_nothing(tmp_path: Path, absent: bool) -> None:
    events = good(1000, spread=1e-3)
    gtis: dict[int, Any] = {m: [(0, 1000)] for m in (1, 2, 4)}
    if not absent:
        gtis |= {m: [] for m in (3, 5, 6, 7)}
    source = open_events([write(tmp_path / "a.fits", events, gtis=gtis, EXPOSURE=1000.0)], GRID)
    found = read_one(source)
    assert found["n_phot"] == np.isin(events["TM_NR"], [1, 2, 4]).sum() == 600
    assert found["exposure"] == pytest.approx(3000 / 7) and not source.notes
    assert source.tally.sum() == 1000 and "400 outside the GTIs" in source.outcomes


def test_no_good_time_at_all_is_said_whatever_the_exposure(tmp_path: Path) -> None:
    file = write(tmp_path / "a.fits", good(50), gtis={m: [] for m in range(1, 8)})
    with pytest.raises(InputError, match=r"50 outside the GTIs; check the cuts .*gti=False"):
        read_one(open_events([file], GRID, seconds=300.0))


def test_shares_are_of_time(tmp_path: Path) -> None:
    gtis = {m: [(0, 1000)] for m in (1, 2, 3, 4, 6)} | {m: [(0, 250)] for m in (5, 7)}
    file = write(tmp_path / "a.fits", good(50), gtis=gtis)
    soft = EventCuts(light_leak="soft")
    source = open_events([file], GRID, cuts=soft)
    found = read_one(source)
    np.testing.assert_allclose(found["band_exposure"], [5000 / 5500, 1, 1])
    assert found["exposure"] == pytest.approx(5500 / 7)
    scanned = [scan_event_file(file)]
    assert module_share(scanned, EventCuts(modules=(5, 7)), ((2.0, 7.0),)) == pytest.approx(1 / 11)
    no_gti = EventCuts(modules=(5, 7), gti=False)
    assert module_share(scanned, no_gti, ((2.0, 7.0),)) == pytest.approx(2 / 7)


def test_what_the_good_times_leave_no_room_for_is_said(tmp_path: Path) -> None:
    file = write(tmp_path / "a.fits", good(50))
    assert not open_events([file], GRID, seconds=1500.0).notes  # on the axis one sees more
    [note] = open_events([file], GRID, seconds=2000.0).notes
    assert (
        "the exposure given is 1429 s" in note and "the good time intervals leave at most" in note
    )
    long = expmap(tmp_path / "e.fits", 2000.0)
    assert open_events([file], GRID, exposure_maps=[long]).notes
    assert not open_events([file], GRID, seconds=2000.0, cuts=EventCuts(gti=False)).notes
    [note] = open_events([file], GRID, cuts=EventCuts(gti=False)).notes
    assert "--no-gti counts events at other times too" in note


def test_events_without_times_are_not_cut_and_it_is_said(tmp_path: Path) -> None:
    events = good(100, spread=1e-3)
    file = write(tmp_path / "a.fits", events, gtis={m: [(0, 1)] for m in range(1, 8)})
    with fits.open(file) as hdus:
        kept = [c for c in hdus["EVENTS"].columns if c.name not in ("TIME", "FLAG")]
        table = fits.BinTableHDU.from_columns(kept, name="EVENTS")
        table.header.update({"TELESCOP": "eROSITA", "OBS_MODE": "POINTING"})
        fits.HDUList([hdus[0], table, *hdus[2:]]).writeto(tmp_path / "b.fits")
    source = open_events([tmp_path / "b.fits"], GRID, seconds=300.0)
    assert read_one(source)["n_phot"] == 100
    [note] = source.notes
    assert note.endswith("has no column TIME: events are not cut by the good time intervals")


def test_light_does_not_leak_above_0_8_kev(tmp_path: Path) -> None:
    file = scan_event_file(write(tmp_path / "a.fits", good(10)))
    for policy in ("exclude", "soft", "keep"):
        cuts = EventCuts(light_leak=policy)  # type: ignore[arg-type]
        assert module_share([file], cuts, ((0.8, 2.0),)) == 1
    soft = EventCuts(light_leak="soft")
    assert module_share([file], soft, ((0.5, 2.0),)) == pytest.approx(5 / 7)
    assert exposure_of_bands([file], soft, ((0.5, 2.0),)) == 1
    with pytest.raises(InputError, match=r"leave no module in the band 0.5-1.2 keV"):
        exposure_of_bands([file], EventCuts(light_leak="soft", modules=(5, 7)), BANDS)
    with pytest.raises(InputError, match=r"leave none of the files' modules"):
        module_share([file], EventCuts(modules=(5, 7)), BANDS)


def test_modules_are_found_file_by_file(tmp_path: Path) -> None:
    with_gti = write(tmp_path / "a.fits", good(9), gtis={1: [(0, 9)]}, INSTRUME="TM1")
    none = {f"INSTRUM{m}": None for m in range(1, 8)}
    without = write(tmp_path / "b.fits", good(9), gtis={}, INSTRUME="TM2", **none)
    files = [scan_event_file(with_gti), scan_event_file(without)]
    assert module_share(files, EventCuts(modules=(2,)), BANDS) == 0.5


def test_survey_factor_is_the_measured_ratio() -> None:
    measured = {0.5: (1089, 592), 1.0: (2188, 1219), 1.5: (2504, 1353), 2.0: (1987, 1008)}
    measured |= {3.0: (684, 276), 5.0: (432, 139)}
    for energy, (onaxis, survey) in measured.items():
        found = survey_factor((energy - 0.02, energy + 0.02))
        assert found == pytest.approx(survey / onaxis, rel=0.04), energy
    assert 0.54 < survey_factor((0.5, 2.0)) < 0.56


def expmap(path: Path, values: float | np.ndarray, shift: float = 0.0, **keys: Any) -> Path:
    """Write an exposure map of 1 degree in 60-arcsec pixels about the cluster."""
    header = fits.Header()
    header.update({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CUNIT1": "deg", "CUNIT2": "deg"})
    header.update({"CRVAL1": RA + shift, "CRVAL2": DEC, "CRPIX1": 30.5, "CRPIX2": 30.5})
    header.update({"CDELT1": -1 / 60, "CDELT2": 1 / 60, **keys})
    fits.writeto(path, np.broadcast_to(values, (60, 60)).astype("f4"), header, overwrite=True)
    return path


def test_kinds_of_exposure_maps(tmp_path: Path) -> None:
    file = write(tmp_path / "a.fits", good(50), LIGHTLEA=False)
    soft = expmap(tmp_path / "e.fits", 600.0, EMIN1=0.9, EMAX1=1.1, NENERGY=1)
    seconds = {
        kind: read_one(open_events([file], GRID, exposure_maps=[soft], exposure_kind=kind))[
            "exposure"
        ]
        for kind in ("vignetted", "unvignetted", "survey")
    }
    assert seconds["survey"] == seconds["unvignetted"] == pytest.approx(600)
    assert seconds["vignetted"] == pytest.approx(600 * 2188 / 1219, rel=0.03)
    with pytest.raises(InputError, match="expmap_kind"):
        read_exposure_maps([soft], "other")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="give one of them"):
        open_events([file], GRID, exposure_maps=[soft], seconds=3.0)


def seconds_of(file: Path, expmap: Path, **how: Any) -> float:
    return float(read_one(open_events([file], GRID, exposure_maps=[expmap], **how))["exposure"])


def test_a_map_that_states_its_area_is_taken_at_its_word(tmp_path: Path) -> None:
    file = write(tmp_path / "a.fits", good(50), LIGHTLEA=False)
    bare, survey, onaxis = (
        expmap(tmp_path / f"{area}.fits", 600.0, AREATYPE=area) for area in ("", "SURVEY", "ONAXIS")
    )
    assert seconds_of(file, survey) == seconds_of(file, survey, exposure_kind="survey") == 600
    assert (
        seconds_of(file, onaxis) == seconds_of(file, bare) == pytest.approx(600 / 0.545, rel=0.01)
    )
    told = read_exposure_maps([survey]).assumption
    assert told == "exposure maps, in seconds at the survey-average area, as AREATYPE states"
    assert read_exposure_maps([onaxis, survey]).assumption.count("as AREATYPE states") == 2
    assert "is assumed without AREATYPE: --expmap-kind" in read_exposure_maps([bare]).assumption
    assert "assumed" not in read_exposure_maps([bare], "vignetted").assumption
    for stated, kind, words in (
        (survey, "vignetted", "is SURVEY, expmap_kind vignetted takes it at the area on axis"),
        (onaxis, "survey", "is ONAXIS, expmap_kind survey takes it at the survey-average area"),
        (onaxis, "unvignetted", "is ONAXIS, expmap_kind unvignetted takes it for unvignetted"),
    ):
        with pytest.raises(InputError, match=rf"{stated.name}: keyword AREATYPE: {words}; leave"):
            seconds_of(file, stated, exposure_kind=kind)
    assert seconds_of(file, survey, exposure_kind="unvignetted") == 600
    events = write(tmp_path / "on.fits", good(50), LIGHTLEA=False, AREATYPE="ONAXIS")
    assert seconds_of(events, onaxis) == 600
    assert seconds_of(events, survey) == pytest.approx(600 * 0.545, rel=0.01)


@pytest.mark.parametrize(
    ("unit", "seconds"),
    [("", 1), ("s", 1), ("sec", 1), ("SECONDS", 1), ("second", 1), ("ks", 1000), ("min", 60)],
)
def test_units_of_exposure_maps(tmp_path: Path, unit: str, seconds: float) -> None:
    file = write(tmp_path / "a.fits", good(50), LIGHTLEA=False)
    times = expmap(tmp_path / "e.fits", 2.0, AREATYPE="SURVEY", BUNIT=unit)
    assert seconds_of(file, times) == pytest.approx(2 * seconds)


@pytest.mark.parametrize("unit", ["cm^2 s", "cm**2 s", "count", "log(s)", "Exposure"])
def test_an_exposure_map_that_is_no_time_is_refused(tmp_path: Path, unit: str) -> None:
    map_ = expmap(tmp_path / "e.fits", 2e6, BUNIT=unit)
    with pytest.raises(InputError, match=rf"BUNIT: is {re.escape(unit)}, not a time; give"):
        read_exposure_maps([map_])


def test_tiles_of_exposure_and_the_share_of_modules(tmp_path: Path) -> None:
    file = write(tmp_path / "a.fits", good(50))
    maps = [expmap(tmp_path / "w.fits", 300.0, 0.45), expmap(tmp_path / "e.fits", 210.0, -0.45)]
    found = read_one(open_events([file], GRID, exposure_maps=maps, exposure_kind="survey"))
    seconds = found["coverage"] * found["exposure"]
    assert found["exposure"] == pytest.approx(300 * 5 / 7)
    assert seconds[16, 0] == pytest.approx(300 * 5 / 7)  # East is left
    assert seconds[16, -1] == pytest.approx(210 * 5 / 7)
    assert found["visible_fraction_map"] == 1
    away = expmap(tmp_path / "away.fits", 300.0, 5.0)
    with pytest.raises(InputError, match="outside the exposure maps"):
        read_one(open_events([file], GRID, exposure_maps=[away]))


def test_hardly_exposed_is_not_visible(tmp_path: Path) -> None:
    file = write(tmp_path / "a.fits", good(50))
    values = np.full((60, 60), 2000.0)
    values[:, 30:] = 1.0  # the western half
    half = expmap(tmp_path / "e.fits", values)
    how: dict[str, Any] = {"exposure_maps": [half], "exposure_kind": "survey"}
    found = read_one(open_events([file], GRID, **how, min_visible=0.4))
    assert found["visible_fraction"] == pytest.approx(0.5, abs=0.02)
    assert found["visible_fraction_map"] == pytest.approx(0.5, abs=0.02)
    assert found["exposure_aperture"] == pytest.approx(found["exposure"]) == 2000 * 5 / 7
    with pytest.raises(InputError, match=r"only 5\d.\d% .* less than 20% of the largest exposure"):
        read_one(open_events([file], GRID, **how, min_visible=0.6))
    for share, visible in ((0.19, 0.5), (0.21, 1.0)):
        values[:, 30:] = share * 2000
        expmap(tmp_path / "e.fits", values)
        found = read_one(open_events([file], GRID, **how, min_visible=0.4))
        assert found["visible_fraction_map"] == pytest.approx(visible, abs=0.02)


def test_exposure_maps_of_other_telescopes(tmp_path: Path) -> None:
    other = expmap(tmp_path / "e.fits", 2000.0, TELESCOP="XMM")
    with pytest.raises(InputError, match=r"e.fits: keyword TELESCOP: is XMM"):
        read_exposure_maps([other], "survey")


# ---------------------------------------------------------------- background


def test_expected_background_by_hand(tmp_path: Path) -> None:
    file = write(tmp_path / "a.fits", good(50), LIGHTLEA=False)
    vignetted = expmap(tmp_path / "v.fits", 400.0)
    flat = expmap(tmp_path / "n.fits", 500.0)
    source = open_events(
        [file], GRID, exposure_maps=[vignetted], exposure_kind="survey", unvignetted_maps=[flat]
    )
    found = read_one(source)
    side = 60 * cluster_frame(RA, DEC, redshift=REDSHIFT, grid=GRID).wcs.cdelt[1]
    background = load_instrument("erosita").background
    for k, (lo, hi) in enumerate(BANDS):
        sky, particles = background.rate(lo, hi)
        expected = (sky * 400 + particles * 500) * side**2
        np.testing.assert_allclose(found["background"][k], expected, rtol=1e-5)
    soft = write(tmp_path / "s.fits", good(50))
    how = {"seconds": 400.0, "cuts": EventCuts(light_leak="soft")}
    found = read_one(open_events([soft], GRID, **how))
    for k, (band, share) in enumerate(zip(BANDS, (5 / 7, 1, 1), strict=True)):
        expected = sum(background.rate(*band)) * 400 * share * side**2
        np.testing.assert_allclose(found["background"][k], expected, rtol=1e-5)
    alone = read_one(open_events([file], GRID, seconds=400.0))["background"]
    np.testing.assert_allclose(alone[0], sum(background.rate(*BANDS[0])) * 400 * side**2, rtol=1e-5)


def test_background_maps_of_the_user(tmp_path: Path) -> None:
    file = write(tmp_path / "a.fits", good(50))
    maps = [expmap(tmp_path / f"b{k}.fits", 0.5 * (k + 1)) for k in range(3)]
    found = read_one(open_events([file], GRID, seconds=400.0, background_maps=maps))
    side = 60 * cluster_frame(RA, DEC, redshift=REDSHIFT, grid=GRID).wcs.cdelt[1]
    expected = np.array([0.5, 1.0, 1.5]) * side**2  # the maps' pixels are 1 arcmin^2
    np.testing.assert_allclose(found["background"].mean((1, 2)), expected, rtol=1e-3)
    with pytest.raises(InputError, match="2 background maps for 3 bands"):
        open_events([file], GRID, seconds=400.0, background_maps=maps[:2])


def test_masked_points_expect_no_background() -> None:
    frame = cluster_frame(RA, DEC, redshift=REDSHIFT, grid=GRID)
    fine = FineGrid(frame, GRID, 2)
    used = np.ones((64, 64), bool)
    used[:, :32] = False
    found = Backgrounds().expected(fine, 100.0 * used, used, np.array([1.0, 1.0, 0.5]))
    assert not found[:, :, :16].any() and (found[:, :, 16:] > 0).all()
    of_particles = Backgrounds(unvignetted=Exposure(seconds=100.0))
    found = of_particles.expected(fine, 100.0 * used, used, np.ones(3))
    assert not found[:, :, :16].any() and (found[:, :, 16:] > 0).all()


# ---------------------------------------------------------------- real data


def test_exported_events_with_the_maps_of_efeds(
    tmp_path: Path, data_dir: Path, toy_survey: Any
) -> None:
    from icmass.survey.counts import counts
    from icmass.survey.writers.cluster_view import map_grid
    from icmass.survey.writers.events import write_events

    ra, dec, z = 140.3384, 3.2906, float(toy_survey["redshift"][5])
    file = write_events(toy_survey, 5, tmp_path / "a.fits", ra=ra, dec=dec)
    folder = data_dir / "erosita" / "efeds"
    maps = [folder / "expmap_norm_0600_1100.fits.gz"]
    flat = [folder / "expmap_norm_novig_0600_1100.fits.gz"]
    target = Target("efeds", ra, dec, z)
    grid = map_grid(toy_survey)
    source = open_events(
        [file], grid, exposure_maps=maps, exposure_kind="survey", unvignetted_maps=flat,
        min_visible=0.2,
    )  # fmt: skip
    found = read_one(source, target)
    seen = found["coverage"] > 0
    expected = counts(toy_survey, np.array([5]))[0] * seen
    np.testing.assert_array_equal(found["maps"][0], expected)
    with fits.open(maps[0]) as hdus:
        assert found["exposure"] <= hdus[0].data.max()
    assert 2000 < found["exposure_aperture"] < 3200
    assert (found["background"] >= 0).all() and found["background"][0][seen].min() > 0


def test_an_unexposed_position_is_told_with_the_map(tmp_path: Path, run_cli: RunCli) -> None:
    events = write(tmp_path / "e.fits", good(400))
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": RA + 5})
    header.update({"CRVAL2": DEC, "CRPIX1": 8.5, "CRPIX2": 8.5, "CDELT1": -0.01, "CDELT2": 0.01})
    exposed = tmp_path / "map.fits"
    fits.writeto(exposed, np.full((16, 16), 1000.0), header)
    place = ("--ra", RA, "--dec", DEC, "--redshift", REDSHIFT)
    done = run_cli("predict", events, *place, "--expmap", exposed)
    assert done.returncode == 2 and f"{exposed}: " in done.stderr, done.stderr
    done = run_cli("predict", tmp_path)
    assert f"{tmp_path}: input: is taken for a model, and no input follows" in done.stderr
    assert f"{tmp_path}/*.fits" in done.stderr
    done = run_cli("ingest", "esass", tmp_path, *place, "--out", tmp_path / "x.zarr")
    assert f"{tmp_path}: is a folder; give the files in it" in done.stderr
