"""Numbers as users give them: plain, with a unit, as text; and paths, one or several."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import Angle, SkyCoord
from astropy.table import Table

import icmass
from event_files import DEC, RA, REDSHIFT, good, write
from icmass.errors import InputError
from icmass.files import as_path, as_paths
from icmass.io.quantities import angle, plain_number, position_degrees

TABLE = Table({"ra": [RA], "dec": [DEC], "z": [REDSHIFT]})


@pytest.mark.parametrize(
    ("given", "unit", "number"),
    [
        (3, "s", 3.0),
        (np.float32(0.5), "", 0.5),
        ([0.3], "", 0.3),
        (2 * u.ks, "s", 2000.0),
        (np.array([2]) * u.ks, "s", 2000.0),
        (3e20 * u.cm**-2, "1e20 cm-2", 3.0),
        (1e7 * u.K, "keV", 0.8617333),
        ("0.3", "", 0.3),
    ],
)
def test_numbers_in_our_unit(given: Any, unit: str, number: float) -> None:
    assert plain_number(given, unit, "--x") == pytest.approx(number, rel=1e-6)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1, 2], "x: has 2 values; give one number in s; many clusters go into a table"),
        (2 * u.m, "x: has another unit (<Quantity 2. m>); give a number in s"),
        ("many", "x: is no number ('many'); give a number in s"),
        (None, "x: is no number (None)"),
        (object(), "x: is no number (<object"),
    ],
)
def test_what_is_no_number_is_refused(given: Any, said: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(said)}"):
        plain_number(given, "s", "--x")


def test_places_on_the_sky() -> None:
    for ra, dec in (
        (150.1, -2.5),
        ("150.1", "-2.5"),
        ("10h00m24s", "-02d30m00s"),
        ("10:00:24", "-2:30:00"),
        (Angle("10h00m24s"), -150 * u.arcmin),
    ):
        assert position_degrees(ra, dec) == pytest.approx((150.1, -2.5))
    place = SkyCoord(150.1, -2.5, unit="deg")
    for position in (place, place.galactic, place.reshape(1)):
        assert position_degrees(None, None, position) == pytest.approx((150.1, -2.5))
    assert position_degrees(None, 2) == (None, 2.0)
    for position, said in (
        (SkyCoord([1, 2], [3, 4], unit="deg"), "position: has 2 values"),
        ((150, 2), "position: is no SkyCoord"),
    ):
        with pytest.raises(InputError, match=said):
            position_degrees(None, None, position)
    for text in ("x", "10h70m00s", ""):
        with pytest.raises(InputError, match=f"^dec: is {text!r}; give degrees, or write -02d30m"):
            angle(text, "--dec", hours=False)


def test_paths_are_one_several_or_none() -> None:
    assert (
        as_paths("a.fits") == as_paths(Path("a.fits")) == as_paths(["a.fits"]) == [Path("a.fits")]
    )
    assert as_paths(None) == [] and as_path(None, "--x") is None
    for given in (TABLE, 3, [3]):
        with pytest.raises(InputError, match=r"x: is of type .*, no path; write it to a file"):
            as_path(given, "--x")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="x: has 2 files; give one"):
        as_path(["a", "b"], "--x")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("quantities") / "e.fits", good(400))


PLACE = {"ra": RA, "dec": DEC, "redshift": REDSHIFT}
NOWHERE = dict.fromkeys(PLACE)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"expmap": "map.fits"}, "map.fits: no such file"),
        ({"novig": "map.fits"}, "map.fits: no such file"),
        ({"background": Path("map.fits")}, "map.fits: no such file"),
        ({"expmap": TABLE}, "expmap: is of type Table, no path"),
        ({"mask": TABLE}, "mask: is of type Table, no path"),
        ({"novig": TABLE}, "novig: is of type Table, no path"),
        ({"exposure": 2 * u.m}, "exposure: has another unit"),
        ({"redshift": [0.2, 0.3]}, "redshift: has 2 values"),
        ({"table": TABLE}, "ra, dec, redshift: each cluster has its own in the table"),
        ({**NOWHERE, "table": 3}, "table: is of type int, no table; give a file's path, an astro"),
        ({**NOWHERE, "table": {"ra": [RA]}}, "table: is of type dict, no table; give"),
        ({**NOWHERE, "table": TABLE["ra", "dec"]}, "the table: has no column BEST_Z or REDSHIFT"),
    ],
)
def test_the_python_face_refuses_in_one_line(
    events: Path, wrong: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"^{said}"):
        icmass.predict(events, **{**PLACE, **wrong})
    with pytest.raises(InputError, match=f"^{said}"):
        icmass.ingest(events, tmp_path / "x.zarr", **{**PLACE, **wrong})
    assert not list(tmp_path.glob("x.zarr*"))


def test_no_file_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="inputs: no file is given; give at least one"):
        icmass.predict([], **PLACE)
    with pytest.raises(InputError, match="images: no file is given"):
        icmass.predict(images=[], **PLACE)
    with pytest.raises(InputError, match="files: no event file; give at least one"):
        icmass.ingest([], tmp_path / "x.zarr", **PLACE)


def test_what_is_neither_a_file_nor_a_table_is_refused() -> None:
    kinds = "give a file's path, an astropy Table, a pandas DataFrame or a structured NumPy array"
    for given in ([3], np.ones((2, 3)), {"ra": [RA]}):
        for field, call in (
            ("catalogue", lambda given=given: icmass.predict(catalogue=given)),
            ("wl", lambda given=given: icmass.calibrate("x.zarr", given)),
        ):
            said = f"^{field}: is of type {type(given).__name__}, no table; {kinds}$"
            with pytest.raises(InputError, match=said):
                call()
    with pytest.raises(InputError, match="is of type Table, no path; write it to a file"):
        icmass.simulate(catalogue=TABLE)  # type: ignore[arg-type]


def test_quantities_and_texts_are_the_same_place(events: Path, tmp_path: Path) -> None:
    plain = icmass.ingest(events, tmp_path / "a.zarr", exposure=2000, nh=3, **PLACE)
    texts = {"ra": "10h00m24s", "dec": "+02:12:00", "redshift": [REDSHIFT]}
    other = icmass.ingest(
        events, tmp_path / "b.zarr", exposure=2 * u.ks, nh=3e20 / u.cm**2, **texts
    )
    one, two = (icmass.open_survey(made.out) for made in (plain, other))
    assert int(one["n_phot"].values[0]) == int(two["n_phot"].values[0]) > 0
    assert one["exposure"].values == two["exposure"].values
    assert two["ra"].values == pytest.approx(RA) and two["dec"].values == pytest.approx(DEC)


def test_a_temperature_in_kelvin() -> None:
    kev = icmass.rate(8.617333, 0.3)
    kelvin = icmass.rate(1e8 * u.K, 0.3)
    assert kelvin.flux_soft == pytest.approx(kev.flux_soft, rel=1e-5)
    with pytest.raises(InputError, match="kt: has another unit"):
        icmass.rate(5 * u.m, 0.3)
