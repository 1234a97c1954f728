"""A survey written cluster by cluster: whole under its name, or not there at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.survey.catalog import galaxies, half_width_mpc_h, open_survey, survey_bands
from icmass.survey.store import SurveyWriter, check_new_store

BANDS = [(0.5, 2.0), (2.0, 7.0)]
NAMES = ["maps", "coverage", "redshift", "exposure", "n_phot"]
ATTRS = {"preset": "test", "cosmology": Cosmology().model_dump_json(), "seed": 3}


def writer(path: Path, names: list[str] = NAMES, **more: Any) -> SurveyWriter:
    return SurveyWriter(
        path, names=names, n_pixels=8, half_width=2.0, bands=BANDS, attrs=ATTRS,
        components=("observed",), **more,
    )  # fmt: skip


def cluster(i: int) -> dict[str, Any]:
    rng = np.random.default_rng(i)
    return {
        "maps": rng.poisson(3, (1, 2, 8, 8)),
        "coverage": np.full((8, 8), 0.5),
        "redshift": 0.1 + 0.001 * i,
        "exposure": 1000.0 + i,
        "n_phot": i,
    }


@pytest.mark.parametrize("n", [1, 31, 32, 33, 70])
def test_what_is_added_is_what_is_read(tmp_path: Path, n: int) -> None:
    with writer(tmp_path / "a.zarr") as out:
        for i in range(n):
            out.add(cluster(i))
        assert not (tmp_path / "a.zarr").exists()
        out.attrs["names"] = json.dumps([str(i) for i in range(n)])
    survey = open_survey(tmp_path / "a.zarr")
    assert survey.sizes["cluster"] == n and survey_bands(survey) == BANDS
    assert half_width_mpc_h(survey) == 2.0
    expected = [cluster(i) for i in range(n)]
    for name in NAMES:
        np.testing.assert_allclose(survey[name], np.array([c[name] for c in expected]), rtol=1e-3)
        assert survey[name].attrs["units"] and survey[name].attrs["long_name"]
    assert json.loads(survey.attrs["names"])[-1] == str(n - 1)
    assert survey.attrs["seed"] == 3 and survey.attrs["preset"] == "test"
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_galaxies_of_each_cluster(tmp_path: Path) -> None:
    names = [*NAMES, "galaxy_offset", "galaxy_x", "galaxy_v"]
    numbers = [3, 0, 2]
    with writer(tmp_path / "a.zarr", names) as out:
        for i, n in enumerate(numbers):
            values = {"galaxy_x": np.full(n, i), "galaxy_v": np.arange(n)}
            out.add(cluster(i) | values)
    survey = open_survey(tmp_path / "a.zarr")
    np.testing.assert_array_equal(survey["galaxy_offset"], [0, 3, 3, 5])
    for i, n in enumerate(numbers):
        found = galaxies(survey, i)
        np.testing.assert_array_equal(found["x"], np.full(n, i))
        np.testing.assert_array_equal(found["v"], np.arange(n))


@pytest.mark.parametrize("n", [0, 5, 40])
@pytest.mark.parametrize("error", [InputError("bad"), KeyboardInterrupt(), RuntimeError("x")])
def test_nothing_is_left_of_an_unfinished_one(tmp_path: Path, n: int, error: BaseException) -> None:
    with pytest.raises(type(error)), writer(tmp_path / "a.zarr") as out:
        for i in range(n):
            out.add(cluster(i))
        raise error
    assert list(tmp_path.iterdir()) == []


def test_nothing_added_nothing_written(tmp_path: Path) -> None:
    with writer(tmp_path / "a.zarr"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_old_one_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    with writer(path) as out:
        out.add(cluster(1))
    with pytest.raises(InputError, match="exists already; choose another name or --overwrite"):
        writer(path)
    with pytest.raises(RuntimeError), writer(path, overwrite=True) as out:
        out.add(cluster(2))
        raise RuntimeError
    assert open_survey(path)["n_phot"].item() == 1
    (tmp_path / "a.zarr.partial").mkdir()
    (tmp_path / "a.zarr.partial" / "rubbish").write_text("of a killed process")
    with writer(path, overwrite=True) as out:
        out.add(cluster(2))
    assert open_survey(path)["n_phot"].item() == 2
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_names_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a.fits: --out: must end in .zarr"):
        check_new_store(tmp_path / "a.fits")
    (tmp_path / "b.zarr").write_text("a file")
    with pytest.raises(InputError, match="is a file, not a store"):
        check_new_store(tmp_path / "b.zarr", overwrite=True)
    assert (tmp_path / "b.zarr").read_text() == "a file"


def test_a_store_that_claims_too_much_is_refused_before_it_is_read(
    tmp_path: Path, toy_survey: xr.Dataset
) -> None:
    path = tmp_path / "vast.zarr"
    toy_survey.to_zarr(path, consolidated=False)
    file = path / "redshift" / "zarr.json"
    about = json.loads(file.read_text())
    about["shape"] = [2**40]
    file.write_text(json.dumps(about))
    with pytest.raises(InputError, match="too large to be read"):
        open_survey(path)
