"""The multimodal network as an estimator: galaxies read, made into cubes, and trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from conftest import beta_model_survey
from icmass.errors import InputError
from icmass.estimators.network import NetworkEstimator
from icmass.estimators.registry import load_estimator
from icmass.observe.phase_space import phase_space_cube
from icmass.survey.catalog import galaxies
from icmass.training.dihedral import dihedral
from icmass.training.encodings import MultimodalEncoding, PaperEncoding, density_cubes
from icmass.training.sample import GALAXY_VARIABLES, Sample, read_sample

TRAIN, TEST = np.arange(12), np.arange(12, 15)


@pytest.fixture(scope="module")
def survey() -> xr.Dataset:
    """Fifteen clusters with 20 to 60 galaxies each, faster in heavier clusters; one has none."""
    rng = np.random.default_rng(4)
    bare = beta_model_survey(15, n_pixels=64)
    number = rng.integers(20, 60, 15)
    number[5] = 0
    sigma = 500 * np.repeat(bare["m500c"].values / 2e14, number) ** (1 / 3)
    total = number.sum()
    flat = {
        "galaxy_x": rng.uniform(-2.3, 2.3, total),
        "galaxy_y": 0.8 * rng.normal(size=total),
        "galaxy_v": sigma * rng.normal(size=total),
    }
    offset = np.concatenate([[0], np.cumsum(number)])
    held = {k: ("galaxy", v.astype("f4")) for k, v in flat.items()}
    return bare.assign(held | {"galaxy_offset": ("cluster_edge", offset)})


def read(survey: xr.Dataset, index: np.ndarray) -> Sample:
    return read_sample(
        survey,
        index,
        sum_bands=False,
        max_pixels=None,
        coverage_channel=False,
        with_galaxies=True,
    )


def lnm(survey: xr.Dataset, index: np.ndarray) -> np.ndarray:
    return np.log(survey["m500c"].values[index])


def estimator(epochs: int = 1, **options: object) -> NetworkEstimator:
    return NetworkEstimator(
        "paper-multimodal",
        seed=3,
        device="cpu",
        max_epochs=epochs,
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def fitted(survey: xr.Dataset) -> NetworkEstimator:
    one = estimator()
    one.fit(survey, TRAIN)
    return one


# galaxies and cubes -------------------------------------------------------------------------


def test_each_cluster_has_its_own_galaxies(survey: xr.Dataset) -> None:
    index = np.array([7, 0, 5])
    sample = read(survey, index)
    assert sample.galaxies is not None
    for points, cluster in zip(sample.galaxies.numpy(), index, strict=True):
        held = galaxies(survey, cluster)
        n = len(held["x"])
        assert points[:n, 0] * 2.3 == pytest.approx(held["x"], rel=1e-6)
        assert points[:n, 1] * 2.3 == pytest.approx(held["y"], rel=1e-6)
        assert np.array_equal(points[:n, 2], held["v"])
        assert np.isnan(points[n:]).all()
    some = sample.take(torch.tensor([1]))
    assert torch.equal(some.galaxies, sample.galaxies[[1]])  # type: ignore[arg-type]
    assert [len(part) for part in sample.batches(2)] == [2, 1]
    assert sample.to(torch.device("cpu")).galaxies is not None


def test_cubes_are_those_of_phase_space(survey: xr.Dataset) -> None:
    sample = read(survey, np.array([3, 5]))
    assert sample.galaxies is not None
    here, empty = density_cubes(sample.galaxies)
    held = galaxies(survey, 3)
    cube = phase_space_cube(held["x"], held["y"], held["v"])
    # the coordinates were rounded to 32 bits in another unit
    np.testing.assert_allclose(here.numpy() / 64**3, cube, rtol=0, atol=1e-4 * cube.max())
    assert float(here.sum()) == pytest.approx(64**3, rel=1e-4)
    assert not empty.any()


def test_kept_cubes_are_those_made_anew(survey: xr.Dataset) -> None:
    sample = read(survey, TRAIN)
    encoding = MultimodalEncoding.fit(sample, lnm(survey, TRAIN))
    kept = encoding.prepared(sample, 12 * 2**20)
    assert kept.cubes is not None and encoding.prepared(sample, 12 * 2**20 - 1).cubes is None
    some = torch.tensor([7, 2])
    for anew, held in zip(
        encoding.encode(sample.take(some)), encoding.encode(kept.take(some)), strict=True
    ):
        assert torch.equal(anew, held)
    assert kept.d4_transform(3).cubes is None  # they would have to turn too
    assert len(kept.tensors()) == len(sample.tensors())  # checkpoints of before go on


def test_training_with_kept_cubes_is_that_without(
    fitted: NetworkEstimator, survey: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, anew = fitted, estimator()
    monkeypatch.setattr("icmass.estimators.network._KEPT_SHARE", 0.0)
    anew.fit(survey, TRAIN)
    assert kept.history[0].train_loss == anew.history[0].train_loss
    np.testing.assert_array_equal(kept.predict(survey, TEST).mean, anew.predict(survey, TEST).mean)


def test_galaxies_turn_with_the_maps(survey: xr.Dataset) -> None:
    sample = read(survey, np.array([2]))
    for k in range(8):
        assert sample.galaxies is not None
        expected = dihedral(density_cubes(sample.galaxies).movedim(3, 1), k)
        turned = sample.d4_transform(k).galaxies
        assert turned is not None
        found = density_cubes(turned).movedim(3, 1)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.max()))
    many = read(survey, np.arange(8))
    each = many.d4_transform(torch.arange(8)).galaxies
    for k in range(8):
        alone = many.take(torch.tensor([k])).d4_transform(k).galaxies
        torch.testing.assert_close(each[[k]], alone, equal_nan=True)  # type: ignore[index]


def test_maps_and_cubes_are_standardised_on_the_training_clusters(survey: xr.Dataset) -> None:
    sample = read(survey, TRAIN)
    encoding = MultimodalEncoding.fit(sample, lnm(survey, TRAIN))
    maps, cubes = encoding.encode(sample)
    assert maps.shape == (12, 3, 64, 64)
    assert cubes.shape == (12, 64, 64, 64)
    assert float(cubes.double().mean()) == pytest.approx(0, abs=1e-5)
    assert float(cubes.double().std()) == pytest.approx(1, rel=1e-4)
    # of twelve cubes one is empty; the others have a mean of one
    assert encoding.cube_mean == pytest.approx(11 / 12, rel=1e-5)
    alone = PaperEncoding.fit(sample, lnm(survey, TRAIN))
    torch.testing.assert_close(maps, alone.encode(sample)[0])


# the estimator ------------------------------------------------------------------------------


def test_it_reads_and_uses_the_galaxies(fitted: NetworkEstimator, survey: xr.Dataset) -> None:
    assert fitted.inputs == ("maps", "redshift", "exposure", *GALAXY_VARIABLES)
    prediction = fitted.predict(survey, TEST)
    assert np.isfinite(prediction.mean).all()
    assert (prediction.std > 0).all()
    order = [2, 0, 1]
    assert fitted.predict(survey, TEST[order]).mean == pytest.approx(prediction.mean[order])
    slower = survey.assign(galaxy_v=survey["galaxy_v"] / 3)
    assert (fitted.predict(slower, TEST).mean != prediction.mean).all()


@pytest.mark.parametrize("name", GALAXY_VARIABLES)
def test_a_survey_without_galaxies_is_refused(
    name: str, fitted: NetworkEstimator, survey: xr.Dataset
) -> None:
    with pytest.raises(InputError, match=f"variable {name}: is missing; the network sees galax"):
        fitted.predict(survey.drop_vars(name), TEST)
    with pytest.raises(InputError, match=f"variable {name}: is missing"):
        estimator().fit(survey.drop_vars(name), TRAIN)


def test_a_cut_survey_has_the_galaxies_of_other_clusters(
    fitted: NetworkEstimator, survey: xr.Dataset
) -> None:
    with pytest.raises(InputError, match=r"variable galaxy_offset: has .* edges for 2 clusters"):
        fitted.predict(survey.isel(cluster=slice(1, 3)), np.arange(2))


def test_saved_and_loaded_it_predicts_the_same(
    fitted: NetworkEstimator, survey: xr.Dataset, tmp_path: Path
) -> None:
    fitted.save(tmp_path)
    loaded = load_estimator(tmp_path, device="cpu")
    here, there = fitted.predict(survey, TEST), loaded.predict(survey, TEST)
    assert np.array_equal(here.mean, there.mean)
    assert np.array_equal(here.std, there.std)
    assert loaded.inputs == fitted.inputs
    encoding = json.loads((tmp_path / "config.json").read_text())["encoding"]
    assert encoding["kind"] == "multimodal"
    assert encoding["cube_std"] > 1
    assert "galaxies in phase space" in (tmp_path / "README.md").read_text()


def test_only_galaxies_of_training_clusters_count(
    fitted: NetworkEstimator, survey: xr.Dataset
) -> None:
    def changed(first: int, last: int) -> xr.Dataset:
        start, stop = survey["galaxy_offset"].values[[first, last]]
        v = survey["galaxy_v"].values.copy()
        v[start:stop] /= 2
        return survey.assign(galaxy_v=("galaxy", v))

    assert fitted.config is not None
    fit = MultimodalEncoding.fit
    of_test = fit(read(changed(12, 15), TRAIN), lnm(survey, TRAIN))
    assert of_test == fitted.config.encoding
    assert fit(read(changed(0, 1), TRAIN), lnm(survey, TRAIN)) != of_test


def test_a_killed_run_resumes_to_the_same_predictions(survey: xr.Dataset, tmp_path: Path) -> None:
    def kill(epoch: object) -> None:
        raise KeyboardInterrupt

    whole = estimator(2)
    whole.fit(survey, TRAIN)
    with pytest.raises(KeyboardInterrupt):
        estimator(2, checkpoint=tmp_path, progress=kill).fit(survey, TRAIN)
    resumed = estimator(2, checkpoint=tmp_path)
    with pytest.raises(InputError, match="checkpoint of another training"):
        resumed.fit(survey.assign(galaxy_v=survey["galaxy_v"] / 2), TRAIN)
    resumed.fit(survey, TRAIN)
    assert [e.epoch for e in resumed.history] == [1, 2]
    assert np.array_equal(whole.predict(survey, TEST).mean, resumed.predict(survey, TEST).mean)
