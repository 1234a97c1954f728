"""Missions: known by header and instrument; cuts, patterns, exposure and sky pixels of each."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.wcs import WCS

from icmass.errors import InputError
from icmass.io.event_cuts import EventCuts, cuts_of
from icmass.io.exposure_kinds import map_divisors
from icmass.io.fits_images import Plane
from icmass.io.sky_pixels import SkyPixels
from icmass.missions.registry import (
    event_format,
    get_mission,
    known_missions,
    mission_of,
    telescope_of,
)
from icmass.missions.xmm_pn.reading import live_fractions, pixels_of_patterns, stated_exposure
from icmass.telescope.instrument import load_instrument

PN = telescope_of("xmm_pn")


def test_missions_are_told_by_their_headers() -> None:
    assert {"erosita", "magneticum", "sixte", "xmm_pn"} <= set(known_missions())
    names = {"XMM": ("XMM", "EPN"), "SRG": ("eROSITA", "TM1"), "other": ("XMM", "EMOS2")}
    found = {
        name: mission_of({"TELESCOP": telescope, "INSTRUME": of})
        for name, (telescope, of) in names.items()
    }
    assert found["XMM"] is get_mission("xmm_pn") and found["SRG"] is get_mission("erosita")
    assert found["other"] is None and mission_of({}) is None
    with pytest.raises(InputError, match="no such mission: 'rosat'"):
        get_mission("rosat")
    with pytest.raises(InputError, match="magneticum has no event files"):
        event_format("magneticum")


def test_each_mission_has_its_own_cuts() -> None:
    assert cuts_of("erosita") == EventCuts() == EventCuts(0xE000F000, 15, (1, 2, 3, 4, 5, 6, 7))
    with pytest.raises(InputError, match="give some of 1 to 12"):
        cuts_of("xmm_pn", modules=(0,))
    with pytest.raises(InputError, match="give some of 1 to 7"):
        cuts_of("erosita", modules=(12,))


def test_patterns_by_hand() -> None:
    """XMM-Newton Users Handbook: 0 singles, 1-4 doubles, 5-8 triples, 9-12 quadruples."""
    pattern = np.array([0, 1, 4, 5, 8, 9, 12, 13, 29, -1])
    expected = [1, 2, 2, 3, 3, 4, 4, 0, 0, 0]
    np.testing.assert_array_equal(pixels_of_patterns({"PATTERN": pattern}), expected)


def test_exposures_of_chips() -> None:
    keys = {"ONTIME04": 1000.0, "LIVETI04": 900.0, "ONTIME05": 500.0, "LIVETI05": 600.0}
    assert live_fractions(keys) == {4: 0.9}
    assert stated_exposure(keys) == ("LIVETInn", 750.0)
    assert stated_exposure(keys | {"EXPOSU04": 800.0, "EXPOSU01": 0.0}) == ("EXPOSUnn", 800.0)
    assert stated_exposure({"LIVETIME": 77.0}) == ("LIVETIME", 77.0)
    assert stated_exposure({})[1] is None


@pytest.mark.parametrize("projection", ["TAN", "SIN"])
@pytest.mark.parametrize(("ra", "dec"), [(150.1, 2.2), (0.01, -60.0), (83.0, -89.9)])
def test_sky_pixels_are_where_astropy_has_them(projection: str, ra: float, dec: float) -> None:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.crval, wcs.wcs.crpix = [ra, dec], [25921.0, 25920.5]
    wcs.wcs.cdelt = [-0.05 / 3600, 0.05 / 3600]
    x, y = np.random.default_rng(0).uniform(0, 52000, (2, 500))
    expected = wcs.wcs_pix2world(x, y, 1)
    pixels = SkyPixels(ra, dec, (25921.0, 25920.5), (-0.05 / 3600, 0.05 / 3600), projection)
    found = pixels.to_sky(x, y)
    away = np.mod(found[0] - expected[0] + 180, 360) - 180
    assert np.abs(away * np.cos(np.radians(expected[1]))).max() * 3600 < 1e-5
    assert np.abs(found[1] - expected[1]).max() * 3600 < 1e-5
    assert np.isnan(pixels.to_sky(np.array([np.nan]), np.array([1.0]))[0]).all()


@pytest.mark.parametrize(
    ("name", "chip"), [("STDGTI04", 4), ("GTI00012", 12), ("GTI", 0), ("STDGTI", 0)]
)
def test_names_of_good_time_extensions(name: str, chip: int) -> None:
    match = event_format("xmm_pn").good_times.extension.fullmatch(name)
    assert match is not None and int(match[1] or 0) == chip


def test_an_instrument_of_a_file_is_its_missions_by_name(tmp_path: Path) -> None:
    data = resources.files("icmass.telescope") / "data" / "xmm_pn.json"
    facts = json.loads(data.read_text(encoding="utf-8"))
    for name, mission in (("xmm_pn", "xmm_pn"), ("mine", "erosita")):
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(facts | {"name": name}), encoding="utf-8")
        telescope = telescope_of(file)
        assert (telescope.mission, telescope.instrument) == (mission, str(file))
    assert telescope_of() == telescope_of("erosita")
    with pytest.raises(InputError, match="no such instrument: 'rosat'"):
        telescope_of("rosat")


@pytest.mark.parametrize("kind", ["vignetted", "survey"])
def test_seconds_of_pn_are_on_axis(kind: Any) -> None:
    """A vignetted map has seconds at the area on axis, which is the area of reference."""
    plane = Plane(Path("e.fits"), np.ones((1, 1)), WCS(naxis=2), None)
    bands = [(0.5, 2.0), (2.0, 7.0)]
    assert map_divisors([plane] * 2, bands, kind, PN, default="survey")[0] == [1.0, 1.0]
    stated = replace(PN, stated_area="survey")
    onaxis, survey = (
        load_instrument("xmm_pn", vignetting=v).area_cm2(1.0) for v in ("onaxis", "survey")
    )
    [factor], _ = map_divisors([plane], [(0.999, 1.001)], "vignetted", stated, default="survey")
    assert factor == pytest.approx(float(survey / onaxis), rel=1e-3)
