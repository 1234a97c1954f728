"""A family of models: which member is taken for a survey, for images and for event files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

import event_files
import icmass
from conftest import RunCli, beta_model_survey
from icmass.calibration.likelihood_table import LikelihoodTable
from icmass.errors import InputError
from icmass.estimators.registry import make_estimator
from icmass.inference import bundled
from icmass.inference.family import ModelFamily
from icmass.inference.mass_table import weights_sha256
from icmass.io.event_energies import covers
from icmass.sky.bands import band_label, find_tiles
from icmass.sky.map_grid import MapGrid, cluster_frame
from icmass.survey.bands import add_counts, sum_bands
from icmass.survey.catalog import open_survey
from icmass.survey.counts import counts

MEMBERS = {
    "toy-3band": ((0.5, 1.2), (1.2, 2.0), (2.0, 7.0)),
    "toy-dr1": ((0.2, 0.6), (0.6, 2.3), (2.3, 5.0)),
    "toy-1band": ((0.2, 2.3),),
}
N = 24
CLUSTER = 5
RA, DEC = 150.1, 2.2


def relabelled(survey: xr.Dataset, bands: tuple[tuple[float, float], ...]) -> xr.Dataset:
    """Return a survey whose first bands are called otherwise."""
    few = survey.isel(band=slice(0, len(bands)))
    return few.assign_coords(band=[band_label(band) for band in bands])


@pytest.fixture(scope="module")
def clusters() -> xr.Dataset:
    return beta_model_survey(n=N, n_pixels=32, seed=3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, clusters: xr.Dataset) -> Path:
    """A package folder with the three members, one epoch each, and their list."""
    folder = tmp_path_factory.mktemp("package")
    for name, bands in MEMBERS.items():
        network = "icm-1band" if len(bands) == 1 else "icm-3band"
        estimator = make_estimator(network, seed=1, max_epochs=1, device="cpu")
        estimator.fit(relabelled(clusters, bands), np.arange(N))
        estimator.save(folder / name)
    (folder / "families.json").write_text(json.dumps({"toy": [*MEMBERS], "none": ["absent"]}))
    return folder


@pytest.fixture
def models(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bundled, "bundled_folder", lambda: trained)
    return trained


def member_of(masses: icmass.Masses) -> str:
    return str(masses.document["model"]["member"])


# ---------------------------------------------------------------- bands


def test_bands_are_tiled_by_those_that_add_up_to_them() -> None:
    given = [(2.3, 5.0), (0.6, 2.3), (0.2, 0.6), (0.2, 0.5)]
    assert find_tiles((0.2, 2.3), given) == [2, 1]
    assert find_tiles((0.2, 5.0), given) == [2, 1, 0]
    assert find_tiles((0.5, 2.3), given) is None  # nothing goes on where 0.2-0.5 ends
    assert find_tiles((0.2, 0.55), given) is None


def test_summed_bands_hold_the_photons_of_their_parts(clusters: xr.Dataset, tmp_path: Path) -> None:
    relabelled(clusters, MEMBERS["toy-dr1"]).to_zarr(tmp_path / "x.zarr")
    survey = open_survey(tmp_path / "x.zarr")
    summed = sum_bands(survey, MEMBERS["toy-1band"])
    assert list(summed["band"].values) == ["0.2-2.3"]
    np.testing.assert_array_equal(
        counts(summed, np.array([3, 1]))[:, 0], counts(survey)[[3, 1], :2].sum(1)
    )
    assert sum_bands(survey, MEMBERS["toy-dr1"]) is survey
    with pytest.raises(InputError, match=r"do not add up to 0.5-2 keV: 0.2-0.6, 0.6-2.3, 2.3-5"):
        sum_bands(survey, [(0.5, 2.0)])


def test_a_cut_is_seen_in_the_energies_of_events() -> None:
    rng = np.random.default_rng(1)
    falling = 0.2 + rng.exponential(1.0, 200_000)
    for energies in (rng.uniform(0.2, 9.0, 60), rng.uniform(0.2, 9.0, 100_000), falling):
        assert all(covers(energies, bands) for bands in MEMBERS.values())
    for cut, fitting in (
        ((0.2, 2.3), {"toy-1band"}),
        ((0.2, 5.0), {"toy-1band", "toy-dr1"}),
        ((0.5, 7.0), {"toy-3band"}),
        ((0.6, 2.0), set()),
    ):
        inside = falling[(falling >= cut[0]) & (falling <= cut[1])]
        assert {name for name, bands in MEMBERS.items() if covers(inside, bands)} == fitting
    assert not covers(np.zeros(0), MEMBERS["toy-1band"])


# ---------------------------------------------------------------- surveys


@pytest.mark.parametrize(
    ("bands", "member", "why"),
    [
        (MEMBERS["toy-3band"], "toy-3band", "the survey's bands are 0.5-1.2, 1.2-2, 2-7 keV"),
        (MEMBERS["toy-dr1"], "toy-dr1", "the survey's bands are 0.2-0.6, 0.6-2.3, 2.3-5 keV"),
        (
            MEMBERS["toy-dr1"][:2],
            "toy-1band",
            "the survey's bands, 0.2-0.6, 0.6-2.3 keV, add up to its 0.2-2.3 keV",
        ),
    ],
)
def test_a_survey_chooses_by_its_bands(
    models: Path, clusters: xr.Dataset, bands: Any, member: str, why: str
) -> None:
    survey = relabelled(clusters, bands)
    masses = icmass.predict(survey, model="toy", index=[CLUSTER, 1])
    about = masses.document["model"]
    assert (about["family"], about["member"]) == ("toy", member)
    assert about["chosen_because"] == why and about["folder"] == str(models / member)
    assert masses.survey is not None
    by_name = icmass.predict(masses.survey, model=models / member, index=[CLUSTER, 1])
    np.testing.assert_array_equal(masses.median, by_name.median)
    assert "family" not in by_name.document["model"]


def test_own_bands_come_before_sums(models: Path, clusters: xr.Dataset) -> None:
    names = ("0.2-0.6", "0.6-2.3", "0.2-2.3")
    survey = clusters.assign_coords(band=list(names))
    family = icmass.load_model("toy")
    assert isinstance(family, ModelFamily)
    ensemble, summed = family.for_survey(survey)
    assert ensemble.choice is not None and ensemble.choice.member == "toy-1band"
    # the tiles that begin with the first given band are taken: either choice is the same photons
    assert list(summed["band"].values) == ["0.2-2.3"]


def test_bands_that_fit_no_member_are_named(models: Path, clusters: xr.Dataset) -> None:
    survey = relabelled(clusters, ((0.6, 1.1), (1.1, 2.2), (2.2, 7.0)))
    with pytest.raises(InputError) as refused:
        icmass.predict(survey, model="toy", index=[0])
    told = str(refused.value)
    assert "0.6-1.1, 1.1-2.2, 2.2-7 keV are no member's, nor add up to them, of toy" in told
    for bands in ("0.5-1.2, 1.2-2, 2-7 keV (toy-3band)", "0.2-2.3 keV (toy-1band)"):
        assert bands in told


# ---------------------------------------------------------------- files


def images_of(clusters: xr.Dataset, folder: Path, bands: Any) -> list[Path]:
    """Write a cluster as images on the grid that it was made on, one a band."""
    z = float(clusters["redshift"][CLUSTER])
    header = cluster_frame(RA, DEC, redshift=z, grid=MapGrid(bands=(), n_pixels=32)).to_header()
    header["TELESCOP"] = "eROSITA"
    files = []
    planes = counts(clusters, np.array([CLUSTER]))[0]
    for (lo, hi), plane in zip(bands, planes, strict=False):
        files.append(folder / f"img_{lo * 1e3:04.0f}_{hi * 1e3:04.0f}.fits")
        fits.writeto(files[-1], plane.astype("i4"), header)
    return files


def test_images_choose_by_their_bands(models: Path, clusters: xr.Dataset, tmp_path: Path) -> None:
    at: dict[str, Any] = {"ra": RA, "dec": DEC, "redshift": float(clusters["redshift"][CLUSTER])}
    images = images_of(clusters, tmp_path, MEMBERS["toy-dr1"])
    three = icmass.predict(images=images, model="toy", exposure=2000.0, **at)
    two = icmass.predict(images=images[:2], model="toy", exposure=2000.0, **at)
    assert (member_of(three), member_of(two)) == ("toy-dr1", "toy-1band")
    assert next(iter(two))["photons"] == int(counts(clusters)[CLUSTER, :2].sum())
    named = icmass.predict(
        images=images, image_bands="0.5-1.2,1.2-2,2-7", model="toy", exposure=2000.0, **at
    )
    assert member_of(named) == "toy-3band"
    with pytest.raises(InputError, match=r"images: 0.2-0.6 keV are no member's.*these fit") as no:
        icmass.predict(images=images[:1], model="toy", exposure=2000.0, **at)
    assert "icmass train --preset efeds --n 4000 --bands 0.2-0.6" in str(no.value)


@pytest.mark.parametrize(
    ("cut", "member"),
    [((0.2, 8.0), "toy-3band"), ((0.2, 5.0), "toy-dr1"), ((0.2, 2.3), "toy-1band")],
)
def test_events_choose_the_richest_bands_that_they_cover(
    models: Path, tmp_path: Path, cut: tuple[float, float], member: str
) -> None:
    events = event_files.good(4000)
    rng = np.random.default_rng(2)
    events["PI"] = rng.uniform(1e3 * cut[0], 1e3 * cut[1], 4000).astype("f4")
    file = event_files.write(tmp_path / "events.fits", events)
    at: dict[str, Any] = {"ra": RA, "dec": DEC, "redshift": 0.15}
    masses = icmass.predict(file, model="toy", exposure=2000.0, **at)
    assert member_of(masses) == member
    kev = events["PI"] / 1e3
    bands = MEMBERS[member]
    # the map, 4.6 Mpc/h or 0.6 deg wide, holds all events, which scatter by 0.03 deg
    assert next(iter(masses))["photons"] == np.sum((kev >= bands[0][0]) & (kev < bands[-1][1]))


def test_events_cut_within_every_member(models: Path, tmp_path: Path) -> None:
    events = event_files.good(400)
    events["PI"] = np.random.default_rng(2).uniform(700, 1900, 400).astype("f4")
    file = event_files.write(tmp_path / "events.fits", events)
    with pytest.raises(InputError, match=r"events.fits: has events of 0.7 to 1.9 keV.*these fit"):
        icmass.predict(file, model="toy", exposure=2000.0, ra=RA, dec=DEC, redshift=0.15)


def test_a_file_that_cannot_be_read_leaves_the_choice_to_the_next(
    models: Path, tmp_path: Path
) -> None:
    events = event_files.good(4000)
    events["PI"] = np.random.default_rng(2).uniform(200, 5000, 4000).astype("f4")
    bad = tmp_path / "bad.fits"
    bad.write_bytes(b"nothing")
    files = [bad, event_files.write(tmp_path / "events.fits", events)]
    table = tmp_path / "t.csv"
    table.write_text(f"id,ra,dec,redshift\na,{RA},{DEC},0.15\n", encoding="utf-8")
    at: dict[str, Any] = {"table": table, "nh": 3.0}
    notes: list[str] = []
    masses = icmass.predict(files, model="toy", exposure=2000.0, notes=notes.append, **at)
    assert member_of(masses) == "toy-dr1"
    assert any("passed by" in note and "bad.fits" in note for note in notes)
    with pytest.raises(InputError, match=r"bad.fits: is no FITS file"):
        icmass.predict(bad, model="toy", exposure=2000.0, **at)


def test_few_events_tell_of_no_cut(models: Path, tmp_path: Path) -> None:
    events = event_files.good(40)
    events["PI"] = np.random.default_rng(2).uniform(700, 1900, 40).astype("f4")
    file = event_files.write(tmp_path / "events.fits", events)
    masses = icmass.predict(file, model="toy", exposure=2000.0, ra=RA, dec=DEC, redshift=0.15)
    about = masses.document["model"]
    assert about["member"] == "toy-3band"
    assert about["chosen_because"].startswith("40 events do not tell of a cut")


# ---------------------------------------------------------------- calibration and transfer


def test_a_calibration_chooses_the_member_that_it_is_of(
    models: Path, clusters: xr.Dataset, tmp_path: Path
) -> None:
    survey = relabelled(clusters, MEMBERS["toy-dr1"])
    rows = ["cluster,redshift,m500c_msun_h,ln_error"]
    truth = zip(survey["redshift"].values, survey["m500c"].values, strict=True)
    rows += [f"{i},{z:.4f},{m:.5g},0.2" for i, (z, m) in enumerate(truth)]
    (tmp_path / "wl.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    how: dict[str, Any] = {"population": "training", "max_steps": 100, "device": "cpu"}
    of_family = icmass.calibrate(survey, tmp_path / "wl.csv", model="toy", **how)
    about = of_family.document["model"]
    assert (about["family"], about["member"]) == ("toy", "toy-dr1")
    of_one = icmass.calibrate(
        sum_bands(survey, MEMBERS["toy-1band"]), tmp_path / "wl.csv", model="toy", **how
    )
    assert of_one.document["model"]["member"] == "toy-1band"
    # of its own bands the survey would choose toy-dr1, whose scale is another
    for scale, member in ((of_family, "toy-dr1"), (of_one, "toy-1band")):
        masses = icmass.predict(survey, model="toy", calibration=scale, index=[CLUSTER])
        assert member_of(masses) == member
    other = relabelled(clusters, MEMBERS["toy-3band"])
    with pytest.raises(InputError, match=r"of toy that the calibration is of.*\(toy-1band\)$"):
        icmass.predict(other, model="toy", calibration=of_one, index=[CLUSTER])
    with pytest.raises(InputError, match=r"is of the bundled model toy-1band with other weights"):
        icmass.predict(survey, model="toy-dr1", calibration=of_one, index=[CLUSTER])


def test_a_transfer_scores_on_each_survey_the_member_for_its_bands(
    models: Path, clusters: xr.Dataset, tmp_path: Path
) -> None:
    bands = {"a": MEMBERS["toy-3band"], "b": MEMBERS["toy-dr1"], "odd": ((0.3, 2.0),)}
    for name, edges in bands.items():
        relabelled(clusters, edges).to_zarr(tmp_path / f"{name}.zarr")
    stores = [tmp_path / f"{name}.zarr" for name in bands]
    done = icmass.transfer(test=stores, models=["toy", "toy-dr1"], out=tmp_path / "out")
    assert [(row.model, row.test) for row in done.rows] == [
        ("toy", "a"), ("toy", "b"), ("toy-dr1", "b"),
    ]  # fmt: skip
    of_family, of_member = done.rows[1:]
    assert of_family.rms_lnm == of_member.rms_lnm
    chosen = {key: of["member"] for key, of in done.document["chosen"].items()}
    assert chosen == {"toy on a": "toy-3band", "toy on b": "toy-dr1"}
    assert "these fit" in done.failed["toy on odd"]


def test_pictures_and_likelihoods_are_of_the_member(
    models: Path, clusters: xr.Dataset, tmp_path: Path, run_cli: RunCli
) -> None:
    relabelled(clusters, MEMBERS["toy-dr1"][:2]).to_zarr(tmp_path / "x.zarr")
    pictures, file = tmp_path / "pictures", tmp_path / "like.fits"
    more = ("--index", "3-4", "--pictures", pictures, "--likelihood", file)
    done = run_cli("predict", "toy", tmp_path / "x.zarr", *more)
    assert done.returncode == 0, done.stderr
    assert (pictures / "index.html").is_file() and len(list(pictures.glob("*.png"))) == 2
    table = LikelihoodTable.read(file)
    assert table.sha256 == weights_sha256(models / "toy-1band")
    alone = icmass.predict(
        sum_bands(open_survey(tmp_path / "x.zarr"), MEMBERS["toy-1band"]),
        model=models / "toy-1band",
        index=[3, 4],
        prior="flat",
    )
    assert alone.prediction is not None
    np.testing.assert_allclose(table.likelihood, alone.prediction.tabulated(), atol=1e-9)


# ---------------------------------------------------------------- names and the command


def test_a_member_is_named_by_itself_or_within_its_family(models: Path) -> None:
    for found in (
        icmass.load_model("toy-dr1"),
        icmass.load_model("toy", name="toy-dr1"),
        icmass.load_model(name="toy-dr1"),
    ):
        assert not isinstance(found, ModelFamily) and found.folder == models / "toy-dr1"
    with pytest.raises(InputError, match=r"'icm' isn't in the family toy; it has toy-3band, toy-"):
        icmass.load_model("toy", name="icm")


def test_a_family_without_members_or_with_a_damaged_list(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="bundled family none: has no member in this installation"):
        icmass.load_model("none")
    with pytest.raises(InputError, match=r"a bundled one: toy-1band, toy-3band, toy-dr1, toy$"):
        icmass.load_model("neither")
    damaged = tmp_path / "models"
    shutil.copytree(models, damaged)
    monkeypatch.setattr(bundled, "bundled_folder", lambda: damaged)
    for text in ("{", "[1]", '{"toy": 3}'):
        (damaged / "families.json").write_text(text)
        with pytest.raises(InputError, match=r"families.json: damaged"):
            icmass.load_model("toy")


def test_the_default_may_be_a_family(
    models: Path, clusters: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (bundled, icmass.inference.predict):  # type: ignore[attr-defined]
        monkeypatch.setattr(module, "DEFAULT_MODEL", "toy")
    masses = icmass.predict(clusters, index=[CLUSTER])
    assert masses.document["model"]["family"] == "toy"
    assert member_of(masses) == "toy-3band"


def test_the_command_says_in_a_line_which_member_it_took(
    models: Path, clusters: xr.Dataset, tmp_path: Path, run_cli: RunCli
) -> None:
    store = tmp_path / "x.zarr"
    relabelled(clusters, MEMBERS["toy-dr1"][:2]).to_zarr(store)
    line = "toy-1band of the family toy: the survey's bands, 0.2-0.6, 0.6-2.3 keV, add up to its"
    for args in (["toy", store], [store, "--model", "toy"]):
        done = run_cli("predict", *args, "--index", "3")
        assert done.returncode == 0 and line in done.stdout, done.stderr
    found = run_cli("predict", store, "--model", "toy", "--index", "3", "--json")
    assert json.loads(found.stdout)["model"]["member"] == "toy-1band"
    refused = run_cli("predict", store, "--model", "toy-dr1", "--index", "3")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    relabelled(clusters, ((0.3, 2.0),)).to_zarr(tmp_path / "y.zarr")
    refused = run_cli("predict", "toy", tmp_path / "y.zarr")
    assert refused.returncode == 2 and "these fit: 0.5-1.2, 1.2-2, 2-7 keV" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_counts_too_large_for_their_type_become_wider() -> None:
    counts = xr.DataArray(np.array([[65000, 7], [1000, 8]], "u2"), dims=("band", "x"))
    added = add_counts(counts, "band")
    assert added.dtype == np.uint32 and added.values.tolist() == [66000, 15]
