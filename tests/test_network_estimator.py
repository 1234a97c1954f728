"""Networks as estimators: preprocessing, the protocol, what is fitted on what, models on disk."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from conftest import beta_model_survey
from icmass.errors import InputError
from icmass.estimators.estimator import Estimator
from icmass.estimators.flow_posterior import flow_posterior
from icmass.estimators.network import NetworkEstimator
from icmass.estimators.prior import TrainingPrior
from icmass.estimators.registry import NETWORKS, known_names, load_estimator, make_estimator
from icmass.survey.uncovered import fill_uncovered
from icmass.training.checkpoint import CHECKPOINT
from icmass.training.encodings import (
    DISTANCES,
    VELOCITIES,
    CompactEncoding,
    PaperEncoding,
    phase_space_counts,
)
from icmass.training.held_out import held_out
from icmass.training.model_specs import MODEL_SPECS
from icmass.training.names import is_network, parse_network
from icmass.training.sample import (
    GALAXY_VARIABLES,
    Sample,
    dihedral,
    dihedral_points,
    read_sample,
)
from icmass.training.trainer import Epoch

TRAIN, TEST = np.arange(72), np.arange(72, 96)
SMALL = tuple(name for name in NETWORKS if "large" not in name)  # of 32 pixels
OF_MAPS = tuple(name for name in SMALL if not MODEL_SPECS[name].sees_galaxies)


@pytest.fixture(scope="module", params=OF_MAPS)
def fitted(request: pytest.FixtureRequest, toy_survey: xr.Dataset) -> NetworkEstimator:
    estimator = make_estimator(request.param, seed=3, device="cpu", max_epochs=3)
    estimator.fit(toy_survey, TRAIN)
    assert isinstance(estimator, NetworkEstimator)
    return estimator


def read(survey: xr.Dataset, index: np.ndarray, **options: object) -> Sample:
    given = {"sum_bands": False, "max_pixels": None, "coverage_channel": False} | options
    return read_sample(survey, index, **given)  # type: ignore[arg-type]


def with_coverage(survey: xr.Dataset) -> xr.Dataset:
    """Half the exposure on one side, and a hole."""
    n, side = survey.sizes["cluster"], survey.sizes["x"]
    coverage = np.ones((n, side, side), "f2")
    coverage[:, :, : side // 2] = 0.5
    coverage[:, 4:8, 20:24] = 0
    return survey.assign(coverage=(("cluster", "y", "x"), coverage))


# preprocessing ------------------------------------------------------------------------------


def test_counts_are_summed_over_components_and_bands(toy_survey: xr.Dataset) -> None:
    index = np.array([70, 3, 95])
    maps = toy_survey["maps"].values[index].astype(int).sum(1)
    assert np.array_equal(read(toy_survey, index).counts.numpy(), maps)
    added = read(toy_survey, index, sum_bands=True).counts.numpy()
    assert np.array_equal(added, maps.sum(1, keepdims=True))


def test_large_maps_are_binned_and_keep_their_photons() -> None:
    survey = beta_model_survey(3, n_pixels=128)
    index = np.arange(3)
    full, binned = read(survey, index).counts, read(survey, index, max_pixels=64).counts
    assert binned.shape == (3, 3, 64, 64)
    assert torch.equal(binned[..., 5, 7], full[..., 10:12, 14:16].sum((2, 3)))
    with pytest.raises(InputError, match="96 x 96 pixels"):
        read(beta_model_survey(1, n_pixels=96), np.arange(1), max_pixels=64)


def test_many_photons_in_a_pixel_do_not_overflow(toy_survey: xr.Dataset) -> None:
    survey = toy_survey.isel(cluster=slice(2)).copy(deep=True)
    survey["maps"][0, 0, :, 5, 5] = 60_000
    assert read(survey, np.arange(2), sum_bands=True).counts[0, 0, 5, 5] >= 180_000


def test_the_eight_symmetries_differ_and_keep_the_photons() -> None:
    generator = torch.Generator().manual_seed(0)
    one = torch.randint(100, (1, 2, 6, 6), generator=generator)
    turned = torch.cat([dihedral(one, k) for k in range(8)])
    assert len({tuple(t.flatten().tolist()) for t in turned}) == 8
    assert (turned.sum((2, 3)) == one.sum((2, 3))).all()
    assert torch.equal(dihedral(one.expand(8, -1, -1, -1), torch.arange(8)), turned)
    # a symmetry of the square keeps distances: the four corners stay corners
    assert {int(t[0, 0, 0]) for t in turned} == {
        int(one[0, 0, i, j]) for i in (0, 5) for j in (0, 5)
    }


def test_paper_encoding_is_the_papers() -> None:
    # two redshifts, totals 10^3 and 10^2: a z + b goes through both, so every map becomes 4000
    counts = torch.zeros(4, 1, 10, 10, dtype=torch.int16)
    counts[:2], counts[2:] = 10, 1
    z = torch.tensor([0.1, 0.1, 0.3, 0.3])
    lnm = np.log(10.0) * np.array([13.5, 14.0, 14.5, 15.0])
    encoding = PaperEncoding.fit(Sample(counts, None, z, torch.full((4,), 2000.0)), lnm)
    assert encoding.redshift_slope == pytest.approx(-5.0, rel=1e-5)
    assert encoding.redshift_zero == pytest.approx(3.5, rel=1e-5)
    bright = counts.clone()
    bright[:, 0, 0, 0] += 100
    sample = Sample(bright, None, z, torch.full((4,), 2000.0))
    maps, scalars = encoding.encode(sample)
    raw = maps * encoding.log_std + encoding.log_mean
    assert float(raw[3, 0, 0, 0]) == pytest.approx(math.log10(101 * 40 + 1), rel=1e-4)
    assert float(raw[3, 0, 1, 1]) == pytest.approx(math.log10(1 * 40 + 1), rel=1e-4)
    assert scalars.shape == (4, 0)
    scaled = (lnm - encoding.lnm_zero) / encoding.lnm_scale
    assert scaled == pytest.approx([-1, -1 / 3, 1 / 3, 1])


def test_three_bands_share_the_papers_normalisation(toy_survey: xr.Dataset) -> None:
    lnm = np.log(toy_survey["m500c"].values)
    three = read(toy_survey, np.arange(96))
    one = PaperEncoding.fit(read(toy_survey, np.arange(96), sum_bands=True), lnm)
    encoding = PaperEncoding.fit(three, lnm)
    # one fit of the total counts: that of the bands added
    assert encoding.redshift_slope == pytest.approx(one.redshift_slope)
    assert encoding.redshift_zero == pytest.approx(one.redshift_zero)
    maps, _ = encoding.encode(three)
    assert float(maps.mean()) == pytest.approx(0, abs=1e-5)
    assert float(maps.std()) == pytest.approx(1, rel=1e-4)
    # one mean and deviation: the hard band, with fewer photons, stays below the soft one
    assert float(maps[:, 0].mean()) > 0.1 > -0.1 > float(maps[:, 2].mean())


@pytest.mark.parametrize("kind", [PaperEncoding, CompactEncoding])
def test_encoded_training_maps_are_standardised(
    kind: type[PaperEncoding] | type[CompactEncoding], toy_survey: xr.Dataset
) -> None:
    sample = read(toy_survey, np.arange(96), sum_bands=kind is PaperEncoding)
    encoding = kind.fit(sample, np.log(toy_survey["m500c"].values))
    maps, scalars = encoding.encode(sample)
    assert maps.mean((0, 2, 3)).numpy() == pytest.approx(0, abs=1e-4)
    assert maps.std((0, 2, 3)).numpy() == pytest.approx(1, rel=1e-3)
    if kind is CompactEncoding:  # redshift is standardised, the constant exposure zero
        assert float(scalars[:, 0].std()) == pytest.approx(1, rel=0.02)
        assert (scalars[:, 1] == 0).all()


def test_exposure_is_scaled_away(toy_survey: xr.Dataset) -> None:
    sample = read(toy_survey, np.arange(96), sum_bands=True)
    encoding = PaperEncoding.fit(sample, np.log(toy_survey["m500c"].values))
    longer = Sample(sample.counts * 2, None, sample.redshift, sample.exposure * 2)
    torch.testing.assert_close(encoding.encode(longer)[0], encoding.encode(sample)[0])


def test_uncovered_pixels_take_the_mean_of_their_ring() -> None:
    rng = np.random.default_rng(0)
    offset = np.arange(64) - 31.5
    truth = 200 / (1 + np.hypot(offset[:, None], offset) / 5)
    coverage = np.ones((1, 1, 64, 64), "f4")
    coverage[..., :32] = 0.5
    coverage[..., 40:50, 20:45] = 0
    counts = rng.poisson(truth * coverage)
    filled = fill_uncovered(counts, coverage)[0, 0]
    hole = coverage[0, 0] == 0
    assert counts[0, 0][hole].sum() == 0
    # some 5,000 photons: the ring means scatter by well under 2 per cent
    assert filled[hole].sum() == pytest.approx(truth[hole].sum(), rel=0.03)
    assert filled[~hole].sum() == pytest.approx(truth[~hole].sum(), rel=0.01)
    drawn = fill_uncovered(counts, coverage, drawn=True)[0, 0]
    np.testing.assert_array_equal(drawn, fill_uncovered(counts, coverage, drawn=True)[0, 0])
    np.testing.assert_array_equal(drawn[~hole], filled[~hole])
    assert (drawn == np.rint(drawn))[hole].all()
    # Poisson: the sum within 4 sigma, and the scatter about the means that of photons
    assert abs(drawn[hole].sum() - filled[hole].sum()) < 4 * np.sqrt(filled[hole].sum())
    chi2 = ((drawn - filled)[hole] ** 2).sum() / filled[hole].sum()
    assert chi2 == pytest.approx(1, abs=6 / np.sqrt(hole.sum()))
    with pytest.raises(InputError, match="coverage"):
        fill_uncovered(counts, np.zeros_like(coverage))


# the protocol -------------------------------------------------------------------------------


def test_it_meets_the_protocol(fitted: NetworkEstimator, toy_survey: xr.Dataset) -> None:
    assert isinstance(fitted, Estimator)
    seen = ("maps", "redshift", "exposure", *(("nh",) if "icm" in fitted.name else ()))
    assert (fitted.kind, fitted.inputs) == ("network", seen)
    assert fitted.n_parameters > 10_000
    prediction = fitted.predict(toy_survey, TEST)
    assert prediction.mean.shape == prediction.std.shape == TEST.shape
    assert np.isfinite(prediction.mean).all()
    assert (prediction.std > 0).all()
    order = np.random.default_rng(0).permutation(len(TEST))
    shuffled = fitted.predict(toy_survey, TEST[order])
    assert shuffled.mean == pytest.approx(prediction.mean[order], rel=1e-6)


@pytest.mark.parametrize("name", OF_MAPS)
def test_the_test_clusters_cannot_change_the_fit(name: str, toy_survey: xr.Dataset) -> None:
    def weights(survey: xr.Dataset, train: np.ndarray) -> tuple[list[torch.Tensor], str]:
        estimator = NetworkEstimator(name, seed=3, device="cpu", max_epochs=2)
        estimator.fit(survey, train)
        assert estimator.config is not None
        said = estimator.config.model_dump_json()
        return list(estimator.networks[0].state_dict().values()), said

    other = toy_survey.copy(deep=True)
    other["maps"][72:] = 7
    other["m500c"][72:] = 1e16
    other["redshift"][72:] = 3.0
    other["exposure"][72:] = 1.0
    other["halo_id"][72:] = 0
    (a, said_a), (b, said_b) = weights(toy_survey, TRAIN), weights(other, TRAIN)
    assert said_a == said_b
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    # and the comparison can fail: one training cluster does change it
    other["maps"][0] = 7
    c, said_c = weights(other, TRAIN)
    assert said_a != said_c
    assert not all(torch.equal(x, y) for x, y in zip(a, c, strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_no_halo_is_both_fitted_andheld_out(seed: int, toy_survey: xr.Dataset) -> None:
    survey = toy_survey.copy(deep=True)
    survey["halo_id"][:] = np.random.default_rng(seed).integers(40, size=96) * 1000
    held = held_out(survey, TRAIN, seed)
    halo = survey["halo_id"].values[TRAIN]
    assert not set(halo[held]) & set(halo[~held])
    assert 0.1 * len(TRAIN) <= held.sum() < 0.25 * len(TRAIN)


def test_the_paper_networks_std_is_that_of_the_held_out_residuals(toy_survey: xr.Dataset) -> None:
    estimator = NetworkEstimator("paper-1band", seed=3, device="cpu", max_epochs=2)
    estimator.fit(toy_survey, TRAIN)
    held = TRAIN[held_out(toy_survey, TRAIN, 3)]
    prediction = estimator.predict(toy_survey, held)
    residual = prediction.mean - np.log(toy_survey["m500c"].values[held])
    assert prediction.std == pytest.approx(np.sqrt(np.mean(residual**2)), rel=1e-6)


def test_prediction_does_not_depend_on_the_orientation(toy_survey: xr.Dataset) -> None:
    estimator = NetworkEstimator("icm-3band", device="cpu", max_epochs=1)
    estimator.fit(toy_survey, TRAIN)
    turned = toy_survey.copy(deep=True)
    turned["maps"][:] = np.rot90(toy_survey["maps"].values, axes=(3, 4))
    here, there = estimator.predict(toy_survey, TEST), estimator.predict(turned, TEST)
    assert there.mean == pytest.approx(here.mean, abs=1e-4)
    assert there.out_of_domain == pytest.approx(here.out_of_domain, rel=1e-3)


def test_coverage_is_seen_or_filled(toy_survey: xr.Dataset) -> None:
    survey = with_coverage(toy_survey)
    ours = NetworkEstimator("icm-1band", device="cpu", max_epochs=1)
    ours.fit(survey, TRAIN)
    assert ours.inputs[-1] == "coverage"
    with_hole = ours.predict(survey, TEST).mean
    assert not np.allclose(with_hole, ours.predict(toy_survey, TEST).mean)
    paper = NetworkEstimator("paper-1band", device="cpu", max_epochs=1)
    paper.fit(toy_survey, TRAIN)  # trained where all is covered, used where it is not
    assert np.isfinite(paper.predict(survey, TEST).mean).all()


@pytest.mark.parametrize("name", ["paper-3band", "icm-1band"])  # dropout; augmentation
def test_it_goes_on_from_its_checkpoint(name: str, toy_survey: xr.Dataset, tmp_path: Path) -> None:
    def kill(epoch: object) -> None:
        raise KeyboardInterrupt

    whole = NetworkEstimator(name, device="cpu", max_epochs=3)
    whole.fit(toy_survey, TRAIN)
    killed = NetworkEstimator(name, device="cpu", max_epochs=3, checkpoint=tmp_path, progress=kill)
    with pytest.raises(KeyboardInterrupt):
        killed.fit(toy_survey, TRAIN)
    seen: list[int] = []
    resumed = NetworkEstimator(
        name,
        device="cpu",
        max_epochs=3,
        checkpoint=tmp_path,
        progress=lambda e: seen.append(e.epoch),
    )
    resumed.fit(toy_survey, TRAIN)
    assert seen == [2, 3]
    assert np.array_equal(
        whole.predict(toy_survey, TEST).mean, resumed.predict(toy_survey, TEST).mean
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_MAPS)
def test_it_comes_near_the_scatter_of_the_toy(name: str) -> None:
    # Counts alone (scatter 0.35, slope 1.3, prior 0.87 wide) give 0.26. The toy's profiles also
    # follow R500c without scatter, so a network that sees their size may go below, but not below
    # what some 2000 photons tell of the size: 2 per cent of the radius, 0.06 of the mass.
    survey = beta_model_survey(800, n_pixels=64)
    estimator = NetworkEstimator(name, seed=1)
    estimator.fit(survey, np.arange(600))
    test = np.arange(600, 800)
    prediction = estimator.predict(survey, test)
    residual = prediction.mean - np.log(survey["m500c"].values[test])
    assert 0.06 < residual.std() < 0.33
    assert 0.75 < (residual / prediction.std).std() < 1.3


# several networks in one --------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(toy_survey: xr.Dataset) -> NetworkEstimator:
    estimator = NetworkEstimator("icm-3band@2", seed=3, device="cpu", max_epochs=2)
    estimator.fit(toy_survey, TRAIN)
    return estimator


def test_members_are_averaged_as_densities(pair: NetworkEstimator, toy_survey: xr.Dataset) -> None:
    assert pair.config is not None
    sample = read_sample(toy_survey, TEST, **pair.read_options(False, fitting=False))
    outputs = pair._outputs(sample)
    assert len(outputs) == len(pair.networks) == 2
    encoding = pair.config.encoding
    alone = [flow_posterior(one[None], encoding.lnm_zero, encoding.lnm_scale) for one in outputs]
    assert not np.allclose(alone[0].mean, alone[1].mean)
    mean = np.mean([one.density for one in alone], 0)
    found = pair.predict(toy_survey, TEST)
    expected = flow_posterior(outputs, encoding.lnm_zero, encoding.lnm_scale)
    np.testing.assert_allclose(expected.density, mean, rtol=0.01, atol=1e-4)
    stretched = expected.scale_width(pair.config.std_scale)
    np.testing.assert_allclose(found.density, stretched.density, rtol=1e-6, atol=1e-12)
    assert pair.config.std_scale != pytest.approx(1, abs=1e-4)


def test_the_first_member_is_the_network_alone(
    pair: NetworkEstimator, toy_survey: xr.Dataset
) -> None:
    alone = NetworkEstimator("icm-3band", seed=3, device="cpu", max_epochs=2)
    alone.fit(toy_survey, TRAIN)
    first, second, one = (n.state_dict() for n in (*pair.networks, *alone.networks))
    assert all(torch.equal(first[key], one[key]) for key in one)
    assert not all(torch.equal(second[key], one[key]) for key in one)
    assert pair.n_parameters == 2 * alone.n_parameters
    assert len(pair.history) == 2 * len(alone.history)


def test_members_are_saved_and_loaded(
    pair: NetworkEstimator, toy_survey: xr.Dataset, tmp_path: Path
) -> None:
    pair.save(tmp_path)
    loaded = load_estimator(tmp_path, device="cpu")
    assert loaded.name == "icm-3band@2"
    here, there = pair.predict(toy_survey, TEST), loaded.predict(toy_survey, TEST)
    assert np.array_equal(here.density, there.density)  # type: ignore[arg-type]
    assert np.array_equal(here.out_of_domain, there.out_of_domain)  # type: ignore[arg-type]
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace("icm-3band@2", "icm-3band@3"))
    with pytest.raises(InputError, match=r"model\.safetensors: damaged"):
        load_estimator(tmp_path)


def test_members_have_checkpoints_of_their_own(
    pair: NetworkEstimator, toy_survey: xr.Dataset, tmp_path: Path
) -> None:
    seen: list[int] = []

    def kill_the_third(epoch: Epoch) -> None:
        seen.append(epoch.epoch)
        if len(seen) == 3:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"seed": 3, "device": "cpu", "max_epochs": 2, "checkpoint": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        NetworkEstimator("icm-3band@2", progress=kill_the_third, **options).fit(toy_survey, TRAIN)
    assert {f.parent.name for f in tmp_path.rglob(CHECKPOINT)} == {"member-0", "member-1"}
    assert not (tmp_path / CHECKPOINT).exists()
    resumed = NetworkEstimator("icm-3band@2", progress=lambda e: seen.append(e.epoch), **options)
    resumed.fit(toy_survey, TRAIN)
    assert seen == [1, 2, 1, 2]  # the first member is not trained again
    whole, found = pair.predict(toy_survey, TEST), resumed.predict(toy_survey, TEST)
    assert np.array_equal(whole.density, found.density)  # type: ignore[arg-type]
    assert np.array_equal(whole.out_of_domain, found.out_of_domain)  # type: ignore[arg-type]


def test_noise_is_out_of_the_domain(pair: NetworkEstimator, toy_survey: xr.Dataset) -> None:
    usual = pair.predict(toy_survey, TEST).out_of_domain
    noisy = toy_survey.isel(cluster=TEST).copy(deep=True)
    total = noisy["maps"].values.sum((1, 3, 4)) / 32**2
    rng = np.random.default_rng(0)
    noisy["maps"][:] = 0
    noisy["maps"][:, 2] = rng.poisson(10 * total[..., None, None], noisy["maps"][:, 2].shape)
    found = pair.predict(noisy, np.arange(len(TEST))).out_of_domain
    assert usual is not None
    assert found is not None
    assert (found > 1).all()
    assert np.median(usual) < 1
    assert np.median(found) > 2 * np.median(usual)


def test_names_say_how_many() -> None:
    assert parse_network("icm-3band@4") == ("icm-3band", 4)
    assert parse_network("paper-1band") == ("paper-1band", 1)
    for wrong in ("icm-3band@", "icm-3band@0", "icm-3band@-2", "icm-3band@2@2", "@2", "T@2", ""):
        with pytest.raises(InputError, match="network"):
            parse_network(wrong)
    with pytest.raises(InputError, match="at most 64"):
        parse_network("icm-3band@65")
    assert is_network("icm-1band@7")
    assert not is_network("T+M_gas")
    assert make_estimator("icm-1band@2").name == "icm-1band@2"


# galaxies -----------------------------------------------------------------------------------


def test_galaxies_are_counted_in_cells_of_phase_space() -> None:
    nan = math.nan
    one = [[0.01, 0.0, -100.0], [0.0, -0.5, 900.0], [0.3, 0.4, -900.0], [0.0, 0.0, 4100.0]]
    two = [[0.9, 0.9, 10.0], [-0.04, 0.0, 240.0], [nan, nan, nan], [nan, nan, nan]]
    galaxies = torch.tensor([one, two])
    expected = np.zeros((2, len(DISTANCES), len(VELOCITIES)))
    expected[0, 0, 0] = 1
    expected[0, 5, 3] = 2  # 0.43 to 0.57 half sides, 750 to 1000 km/s
    expected[1, 0, 0] = 1
    found = phase_space_counts(galaxies)
    assert np.array_equal(found.numpy(), expected.reshape(2, -1))
    assert not phase_space_counts(torch.full((3, 0, 3), nan)).any()
    for k in range(8):
        assert torch.equal(phase_space_counts(dihedral_points(galaxies, k)), found)
    assert torch.equal(phase_space_counts(galaxies.flip(1)), found)


def test_our_network_sees_galaxies(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    bare = beta_model_survey(20, n_pixels=32)
    number = rng.integers(20, 60, 20)
    number[5] = 0
    sigma = 500 * np.repeat(bare["m500c"].values / 2e14, number) ** (1 / 3)
    flat = {"x": rng.uniform(-2.3, 2.3, number.sum()), "y": 0.8 * rng.normal(size=number.sum())}
    flat["v"] = sigma * rng.normal(size=number.sum())
    held = {f"galaxy_{k}": ("galaxy", v.astype("f4")) for k, v in flat.items()}
    offset = np.concatenate([[0], np.cumsum(number)])
    survey = bare.assign(held | {"galaxy_offset": ("cluster_edge", offset)})
    estimator = NetworkEstimator("icm-multimodal", seed=3, device="cpu", max_epochs=2)
    estimator.fit(survey, np.arange(16))
    assert estimator.inputs == ("maps", "redshift", "exposure", "nh", *GALAXY_VARIABLES)
    test = np.arange(16, 20)
    prediction = estimator.predict(survey, test)
    assert np.isfinite(prediction.mean).all()
    assert prediction.density is not None
    slower = estimator.predict(survey.assign(galaxy_v=survey["galaxy_v"] / 3), test)
    assert (slower.mean != prediction.mean).all()
    mirrored = estimator.predict(survey.assign(galaxy_x=-survey["galaxy_x"]), test)
    assert mirrored.mean == pytest.approx(prediction.mean, abs=1e-6)
    with pytest.raises(InputError, match="variable galaxy_v: is missing"):
        estimator.predict(survey.drop_vars("galaxy_v"), test)
    estimator.save(tmp_path)
    there = load_estimator(tmp_path, device="cpu").predict(survey, test)
    assert np.array_equal(there.density, prediction.density)  # type: ignore[arg-type]
    assert np.array_equal(there.out_of_domain, prediction.out_of_domain)  # type: ignore[arg-type]


# models on disk -----------------------------------------------------------------------------


def test_saved_and_loaded_it_predicts_the_same(
    fitted: NetworkEstimator, toy_survey: xr.Dataset, tmp_path: Path
) -> None:
    fitted.save(tmp_path)
    assert {f.name for f in tmp_path.iterdir()} == {
        "model.safetensors",
        "config.json",
        "README.md",
    }
    loaded = load_estimator(tmp_path, device="cpu")
    here, there = fitted.predict(toy_survey, TEST), loaded.predict(toy_survey, TEST)
    assert np.array_equal(here.mean, there.mean)
    assert np.array_equal(here.std, there.std)
    assert (loaded.name, loaded.kind, loaded.inputs) == (fitted.name, fitted.kind, fitted.inputs)
    assert loaded.n_parameters == fitted.n_parameters
    assert loaded.info == replace(fitted.info, fit_seconds=0.0)
    assert fitted.info.is_differentiable and fitted.info.reads_maps and fitted.info.fit_seconds > 0
    trained = loaded.info.training
    assert trained is not None and trained.maps is not None
    assert trained.maps.bands == ((0.5, 1.2), (1.2, 2.0), (2.0, 7.0))
    assert loaded.info.mass_prior == (fitted.config.mass_prior if fitted.config else None)
    assert (here.density is None) == (here.out_of_domain is None) == ("paper" in fitted.name)
    if here.density is not None:
        assert np.array_equal(here.density, there.density)
        assert np.array_equal(here.out_of_domain, there.out_of_domain)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["estimator"] == "network"
    assert config["bands"] == ["0.5-1.2", "1.2-2", "2-7"]
    assert config["n_train"] == 72
    if "paper" in fitted.name:
        assert config["mass_prior"] is None
    else:
        train = toy_survey.isel(cluster=TRAIN)
        prior = TrainingPrior.fit(np.log(train["m500c"].values), train["redshift"].values)
        assert TrainingPrior.model_validate(config["mass_prior"]) == prior
    assert fitted.name in (tmp_path / "README.md").read_text()


def test_a_damaged_model_is_refused_with_the_file_named(
    fitted: NetworkEstimator, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"config\.json: no such file"):
        load_estimator(tmp_path)
    fitted.save(tmp_path)
    config, model = tmp_path / "config.json", tmp_path / "model.safetensors"
    text, weights = config.read_text(), model.read_bytes()
    model.write_bytes(weights[: len(weights) // 2])
    with pytest.raises(InputError, match=r"model\.safetensors: damaged"):
        load_estimator(tmp_path)
    model.unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: is missing"):
        load_estimator(tmp_path)
    model.write_bytes(weights)
    for broken in ("{", "[]", '{"estimator": "oracle"}', text.replace('"bands"', '"brands"')):
        config.write_text(broken)
        with pytest.raises(InputError, match=r"config\.json"):
            load_estimator(tmp_path)
    config.write_text(text.replace(f'"name": "{fitted.name}"', '"name": "icm-9band"'))
    with pytest.raises(InputError, match="icm-9band"):
        load_estimator(tmp_path)


def test_clusters_it_was_not_trained_for_are_refused(
    fitted: NetworkEstimator, toy_survey: xr.Dataset
) -> None:
    far = toy_survey.copy(deep=True)
    far["redshift"][80] = 0.9
    with pytest.raises(
        InputError, match=r"redshift: 0\.9 is outside the training range 0\.066-0\.21"
    ):
        fitted.predict(far, TEST)
    with pytest.raises(InputError, match=r"bands: 0\.5-1\.2, 1\.2-2; trained on"):
        fitted.predict(toy_survey.isel(band=slice(2)), TEST)
    wide = toy_survey.assign_coords(x=toy_survey["x"] * 2, y=toy_survey["y"] * 2)
    with pytest.raises(InputError, match=r"maps: \+-4\.6 Mpc/h; trained on \+-2\.3"):
        fitted.predict(wide, TEST)
    with pytest.raises(InputError, match="48 pixels a side; trained on 32"):
        fitted.predict(beta_model_survey(2, n_pixels=48), np.arange(2))


def test_what_cannot_be_trained_on_is_refused(toy_survey: xr.Dataset) -> None:
    estimator = NetworkEstimator("icm-1band", device="cpu", max_epochs=1)
    with pytest.raises(InputError, match="not fitted"):
        estimator.predict(toy_survey, TEST)
    with pytest.raises(InputError, match="3 clusters"):
        estimator.fit(toy_survey, np.arange(3))
    with pytest.raises(InputError, match="m500c: is missing"):
        estimator.fit(toy_survey.drop_vars("m500c"), TRAIN)
    with pytest.raises(InputError, match="one halo only"):
        estimator.fit(toy_survey.assign(halo_id=toy_survey["halo_id"] * 0), TRAIN)
    with pytest.raises(InputError, match="max_epochs"):
        NetworkEstimator("icm-1band", max_epochs=0)


def test_the_registry_knows_the_names(toy_survey: xr.Dataset) -> None:
    assert tuple(MODEL_SPECS) == NETWORKS
    assert set(NETWORKS) < set(known_names())
    assert make_estimator("T+M_gas").kind == "ideal"
    with pytest.raises(InputError, match="icm-9band"):
        make_estimator("icm-9band")


def test_training_stops_when_time_is_up_and_keeps_the_best_epoch() -> None:
    survey = beta_model_survey(n=60, n_pixels=32, seed=8)
    asked: list[int] = []

    def stop() -> bool:
        asked.append(len(asked))
        return len(asked) == 3

    estimator = NetworkEstimator("icm-1band", device="cpu", max_epochs=9, stop=stop)
    estimator.fit(survey, np.arange(50))
    assert len(estimator.history) == 3
    assert np.isfinite(estimator.predict(survey, np.arange(50, 60)).mean).all()
