"""A survey written cluster by cluster: whole under its name, or not there at all."""

from __future__ import annotations

import json
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.survey.catalog import (
    galaxies,
    half_width_mpc_h,
    open_survey,
    survey_bands,
    survey_cosmology,
)
from icmass.survey.chosen import checked_index
from icmass.survey.counts import counts, read_coverage
from icmass.survey.presets import resolve_config
from icmass.survey.store import SurveyWriter, check_new_store
from icmass.survey.write import simulate_survey

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


@pytest.mark.parametrize("damaged", [{}, {"cosmology": "{"}, {"cosmology": '{"h": -1}'}])
def test_a_survey_knows_its_cosmology(damaged: dict[str, str]) -> None:
    told = Cosmology(h=0.6774, om0=0.3089)
    survey = xr.Dataset(attrs={"cosmology": told.model_dump_json()})
    assert survey_cosmology(survey) == told
    with pytest.raises(InputError, match="attribute cosmology: is damaged; make it again"):
        survey_cosmology(survey.assign_attrs(damaged) if damaged else xr.Dataset())


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
    with pytest.raises(InputError, match="galaxy_offset: has 4 edges for 2 clusters"):
        galaxies(survey.isel(cluster=slice(1, 3)), 0)


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
    with pytest.raises(InputError, match="exists already; choose another name or overwrite=True"):
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
    with pytest.raises(InputError, match=r"a.fits: out: must end in .zarr"):
        check_new_store(tmp_path / "a.fits")
    (tmp_path / "b.zarr").write_text("a file")
    with pytest.raises(InputError, match="is a file, not a store"):
        check_new_store(tmp_path / "b.zarr", overwrite=True)
    assert (tmp_path / "b.zarr").read_text() == "a file"


@pytest.mark.parametrize(
    ("name", "start", "message"),
    [
        (
            "c.fits",
            b"SIMPLE  = T",
            "c.fits: is a FITS file, not a survey; `icmass predict` takes event",
        ),
        ("c.fits.gz", b"\x1f\x8b\0\0", "is a FITS file, not a survey"),
        ("c.csv", b"ra,dec\n1,2\n", "c.csv: is a file, not a survey; give the folder X.zarr that"),
    ],
)
def test_files_in_the_place_of_a_survey(
    tmp_path: Path, name: str, start: bytes, message: str, run_cli: Any
) -> None:
    (tmp_path / name).write_bytes(start)
    for command in ("info", "validate"):
        done = run_cli(command, tmp_path / name)
        assert done.returncode == 2 and message in done.stderr


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


# ---------------------------------------------------------------- stores that are not whole


def chunk_files(store: Path, name: str) -> list[Path]:
    return sorted(path for path in (store / name / "c").rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that its writer says is whole, with variables that are zero."""
    path = tmp_path_factory.mktemp("whole") / "a.zarr"
    with writer(path, [*NAMES, "nh", "halo_id", "snapshot"]) as out:
        for i in range(70):
            out.add({**cluster(i), "nh": 0.0, "halo_id": 0, "snapshot": 0, "n_phot": photons(i)})
    return path


def photons(i: int) -> int:
    return int(cluster(i)["maps"].sum())


@pytest.mark.parametrize("how", ["lost", "empty"])
@pytest.mark.parametrize(
    ("name", "number", "message"),
    [
        ("maps", 1, r"variable maps: chunk 2 of 3 is missing \(clusters 32 to 63\); the store is"),
        ("coverage", 2, r"variable coverage: chunk 3 of 3 is missing \(clusters 64 to 69\)"),
        ("snapshot", 0, r"variable snapshot: chunk 1 of 1 is missing \(clusters 0 to 69\)"),
        ("nh", 0, r"variable nh: chunk 1 of 1"),
        ("band", 0, r"variable band: chunk 1 of 1 is missing;"),
    ],
)
def test_a_half_copied_store_is_refused(
    whole: Path, tmp_path: Path, name: str, number: int, message: str, how: str
) -> None:
    copy = shutil.copytree(whole, tmp_path / "b.zarr")
    assert counts(open_survey(copy)).sum() == sum(photons(i) for i in range(70))
    file = chunk_files(copy, name)[number]
    file.write_bytes(b"") if how == "empty" else file.unlink()
    with pytest.raises(InputError, match=message):
        open_survey(copy)


def test_a_variable_that_is_lost_as_a_whole_is_named(whole: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(whole, tmp_path / "b.zarr")
    shutil.rmtree(copy / "coverage")
    with pytest.raises(InputError, match="variable coverage: chunk 1 of 3 is missing"):
        open_survey(copy)


def test_a_chunk_that_is_cut_short_is_named(whole: Path, tmp_path: Path) -> None:
    for name, number, share in (("redshift", 0, 0.5), ("maps", 1, 0.5), ("maps", 2, 0.01)):
        copy = shutil.copytree(whole, tmp_path / f"{name}{number}.zarr")
        file = chunk_files(copy, name)[number]
        file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
        what = rf"{name}{number}.zarr: variable {name}: (chunk . of 3 is cut short|not a readable)"
        with pytest.raises(InputError, match=what):
            open_survey(copy)


def test_a_chunk_that_is_damaged_is_named(whole: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(whole, tmp_path / "b.zarr")
    file = chunk_files(copy, "maps")[1]
    file.write_bytes(file.read_bytes()[:16] + bytes(file.stat().st_size - 16))
    with pytest.raises(InputError, match=r"b.zarr: variable maps: cannot be read"):
        counts(open_survey(copy))


@pytest.mark.parametrize("name", ["maps", "redshift", "exposure", "m500c", "x", "band"])
def test_an_older_store_that_is_not_whole_is_refused(
    tmp_path: Path, toy_survey: xr.Dataset, name: str
) -> None:
    """Chunks without anything were not written then: n_phot tells those of the maps."""
    path = tmp_path / "old.zarr"
    toy_survey.chunk(cluster=32).to_zarr(path, consolidated=False)
    assert not chunk_files(path, "snapshot")[2:] or open_survey(path) is not None
    chunk_files(path, name)[-1].unlink()
    with pytest.raises(InputError, match=f"variable {name}: chunk . of . is missing"):
        open_survey(path)


def test_an_older_store_may_leave_out_what_is_empty(tmp_path: Path, toy_survey: xr.Dataset) -> None:
    few = toy_survey.isel(cluster=slice(0, 3)).copy(deep=True)
    few["snapshot"][:], few["halo_id"][:] = 0, 0
    few["maps"][1], few["n_phot"][1] = 0, 0.0
    with zarr.config.set({"array.write_empty_chunks": True}):
        few.chunk(cluster=1).to_zarr(tmp_path / "old.zarr", consolidated=False)
    empty = [*chunk_files(tmp_path / "old.zarr", "snapshot")]
    empty += [*chunk_files(tmp_path / "old.zarr", "halo_id")]
    empty += [f for f in chunk_files(tmp_path / "old.zarr", "maps") if f.parts[-5] == "1"]
    for file in empty:  # versions of zarr differ in whether they write these
        file.unlink()
    assert len(chunk_files(tmp_path / "old.zarr", "maps")) == 2
    assert open_survey(tmp_path / "old.zarr")["maps"][0].sum() > 0


def test_simulated_stores_have_every_chunk(tmp_path: Path) -> None:
    config = resolve_config("demo", None, ("observe.n_pixels=16", "observe.nh_1e20=0"))
    simulate_survey(config, n_clusters=3, seed=1, out=tmp_path / "s.zarr", chunk=2)
    survey = open_survey(tmp_path / "s.zarr")
    assert zarr.open_group(tmp_path / "s.zarr").attrs["every_chunk_stored"] == 1
    for name in ("maps", "nh", "snapshot", "T", "galaxy_x", "latent_velocity"):
        files = chunk_files(tmp_path / "s.zarr", name)
        assert files or not survey[name].size
        for file in files:
            file.rename(tmp_path / "away")
            with pytest.raises(InputError, match=f"s.zarr: variable {name}: chunk"):
                open_survey(tmp_path / "s.zarr")
            (tmp_path / "away").rename(file)


def test_a_changed_copy_may_leave_out_what_is_empty(tmp_path: Path) -> None:
    config = resolve_config("demo", None, ("observe.n_pixels=16",))
    simulate_survey(config, n_clusters=3, seed=1, out=tmp_path / "s.zarr", chunk=1)
    survey = open_survey(tmp_path / "s.zarr").load()
    for name in ("maps", "n_phot", "snapshot", "L_X_outlier"):
        survey[name][1:] = 0
    survey = survey.assign(universe=("cluster", np.zeros(3, "i4")))
    survey.to_zarr(tmp_path / "copy.zarr", consolidated=False)
    assert len(chunk_files(tmp_path / "copy.zarr", "maps")) == 1
    xr.testing.assert_identical(open_survey(tmp_path / "copy.zarr").load(), survey)
    chunk_files(tmp_path / "copy.zarr", "maps")[0].unlink()
    with pytest.raises(InputError, match="variable maps: chunk 1 of 3 is missing"):
        open_survey(tmp_path / "copy.zarr")


def test_clusters_are_chosen_by_numbers_a_mask_or_a_text() -> None:
    chosen = partial(checked_index, n=6, name="x.zarr")
    assert chosen(None).tolist() == [0, 1, 2, 3, 4, 5]
    for index in ([4, 1], np.array([4, 1], "u2"), np.array([4.0, 1.0]), "4,1"):
        assert chosen(index).tolist() == [4, 1]
    assert chosen(np.arange(6) < 2).tolist() == [0, 1] and chosen(3).tolist() == [3]
    assert chosen("0-2,5").tolist() == [0, 1, 2, 5]


@pytest.mark.parametrize(
    ("index", "said"),
    [
        (np.arange(5) < 2, "index: is a mask of 5 values: x.zarr has 6 clusters; give a value for"),
        (np.zeros(6, bool), "index: none: x.zarr has 6 clusters"),
        ([0.9, 4.7], "index: is no list of whole numbers; give numbers such as"),
        ([np.nan], "whole numbers"),
        ([1e30], "whole numbers"),
        ([np.inf], "whole numbers"),
        (["1"], "whole numbers"),
        ([None], "whole numbers"),
        ([[1, 2], [3]], "whole numbers"),
        ("0-x", "'0-x' is no cluster"),
        ([-1, 2], "index: -1: x.zarr has 6 clusters"),
        ([], "none: x.zarr"),
    ],
)
def test_what_chooses_no_cluster_is_refused(index: Any, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        checked_index(index, 6, "x.zarr")


def with_maps(survey: xr.Dataset, dtype: str, pixel: float) -> xr.Dataset:
    maps = survey["maps"].values.astype(dtype)
    maps[2, 0, 0, 3, 3] = pixel
    return survey.assign(maps=(survey["maps"].dims, maps))


def test_counts_are_added_without_wrapping(toy_survey: xr.Dataset) -> None:
    survey = toy_survey.copy(deep=True)
    survey["maps"][1, :, 0, 4, 4] = 65535
    found = counts(survey)
    assert found[1, 0, 4, 4] == survey.sizes["component"] * 65535
    assert counts(survey, np.array([0])).dtype == np.uint16
    assert counts(with_maps(toy_survey, "i8", 70_000), np.array([2]))[0, 0, 3, 3] >= 70_000


@pytest.mark.parametrize(
    ("dtype", "pixel", "said"),
    [
        ("f4", np.nan, "variable maps: are float32, no counts"),
        ("i4", -3, "variable maps: a pixel of cluster 2 is negative: -3"),
        ("i8", 2**33, "variable maps: a pixel of cluster 2 is above 16777216 photons"),
    ],
)
def test_what_is_no_count_is_refused(
    toy_survey: xr.Dataset, dtype: str, pixel: float, said: str
) -> None:
    survey = with_maps(toy_survey, dtype, pixel)
    for index in (slice(None), slice(1, 5), np.array([5, 2])):
        with pytest.raises(InputError, match=said):
            counts(survey, index)


@pytest.mark.parametrize("wrong", [np.nan, -0.5, 1.5])
def test_a_coverage_is_a_fraction(toy_survey: xr.Dataset, wrong: float) -> None:
    maps = toy_survey["maps"]
    seen = np.ones((maps.sizes["cluster"], *maps.shape[-2:]), "f2")
    seen[3, 1, 1] = wrong
    survey = toy_survey.assign(coverage=(("cluster", "y", "x"), seen))
    assert (read_coverage(survey, np.array([0, 1])) == 1).all()
    with pytest.raises(InputError, match="variable coverage: a pixel of cluster 3 is outside 0 to"):
        read_coverage(survey, np.array([2, 3]))
