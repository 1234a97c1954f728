"""The large networks: their layers, what they are blind to, and how they do as estimators."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from conftest import beta_model_survey, with_galaxies
from icmass.errors import InputError
from icmass.estimators.network import NetworkEstimator
from icmass.estimators.registry import load_estimator
from icmass.explanation.model import DifferentiablePredictor
from icmass.networks import rqs_flow
from icmass.networks.galaxy_set import FEATURES, GalaxySet
from icmass.networks.large import LargeNetwork
from icmass.networks.residual import GroupNorm, ResidualBlock
from icmass.training.dihedral import (
    dihedral,
    dihedral_by_masks,
    dihedral_points,
    dihedral_points_by_masks,
)
from icmass.training.encodings import GalaxySetEncoding
from icmass.training.losses import LOSSES
from icmass.training.model_specs import MODEL_SPECS
from icmass.training.sample import read_sample

N, TRAIN, TEST = 24, np.arange(18), np.arange(18, 24)


def network(**options: object) -> LargeNetwork:
    given = {"n_channels": 2, "n_scalars": 3, "n_pixels": 64} | options
    return LargeNetwork(**given)  # type: ignore[arg-type]


def started(module: nn.Module) -> nn.Module:
    """Blocks as they are after some training: none of them is the plain way through."""
    for block in module.modules():
        if isinstance(block, ResidualBlock):
            nn.init.normal_(block.second.weight, std=0.05)
    return module


# layers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_channels", "n_pixels"), [(1, 128), (3, 64), (4, 96)])
def test_maps_of_several_sides_give_posterior_and_embedding(n_channels: int, n_pixels: int):
    found = network(n_channels=n_channels, n_pixels=n_pixels)
    output = found(torch.zeros(2, n_channels, n_pixels, n_pixels), torch.zeros(2, 3))
    assert output.shape == (2, rqs_flow.N_PARAMETERS + 64)
    assert 2e6 < sum(p.numel() for p in found.parameters()) < 1e7


@pytest.mark.parametrize("n_pixels", [72, 16, 100])
def test_sides_that_cannot_be_halved_are_refused(n_pixels: int):
    with pytest.raises(InputError, match=f"{n_pixels} x {n_pixels} pixels; .*multiples of 16"):
        network(n_pixels=n_pixels)


def test_gradient_reaches_every_parameter():
    torch.manual_seed(0)
    found = started(network(has_galaxies=True))
    galaxies = torch.rand(4, 10, FEATURES)
    galaxies[..., 0] = 1
    beside = torch.cat([torch.randn(4, 3), galaxies.flatten(1)], 1)
    output = found(torch.randn(4, 2, 64, 64), beside)
    LOSSES["flow"](output, torch.randn(4)).mean().backward()
    for name, parameter in found.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.abs().sum() > 0), name


def test_the_core_keeps_its_pixels_and_the_outskirts_are_seen():
    """Photons that change places within 2 x 2 pixels, and one far from the centre."""
    torch.manual_seed(0)
    found = started(network(n_channels=1)).eval()
    maps = torch.zeros(3, 1, 64, 64)
    maps[0, 0, 30, 30] = maps[1, 0, 31, 30] = maps[2, 0, 30, 30] = 20.0
    maps[2, 0, 2, 60] = 20.0
    with torch.no_grad():
        one, moved, more = found(maps, torch.zeros(3, 3))[:, 0].tolist()
        core = found.scales(maps)[0]
    assert abs(one - moved) > 1e-5 and abs(one - more) > 1e-5
    assert torch.equal(core[0], core[2]) and not torch.equal(core[0], core[1])


def test_the_core_is_added_where_it_lies():
    found = started(network(n_channels=1)).eval()
    maps = torch.zeros(2, 1, 64, 64)
    maps[1, 0, 34:38, 20:24] = 30.0  # y and x of the quarter-size map: 8 or 9, and 5
    with torch.no_grad():
        joined = found.scales(maps)[1]
    change = (joined[1] - joined[0]).abs().sum(0)
    # group normalisation tells all pixels of it a little; the place itself stands out
    y, x = divmod(int(change.argmax()), 16)
    assert (y, x) in {(8, 5), (9, 5)}


def test_brightness_is_not_normalised_away():
    """What is added up grows with the maps; with normalised maps it would stay as it is."""
    torch.manual_seed(0)
    found = started(network(n_channels=1)).eval()
    maps = 100 * torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        for fainter, brighter in zip(found.scales(maps), found.scales(10 * maps), strict=True):
            assert float(brighter.abs().mean()) > 3 * float(fainter.abs().mean())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_group_norm_by_moments_is_torchs(dtype: torch.dtype):
    torch.manual_seed(0)
    norm = GroupNorm(4, 32)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    maps = (3 * torch.randn(4, 32, 8, 8) + 5).to(dtype)
    maps = maps.contiguous(memory_format=torch.channels_last).requires_grad_()
    ours, theirs = norm.by_moments(maps), nn.GroupNorm.forward(norm, maps.float())
    # in bfloat16 the shift is rounded too: 2^-8 of some ten
    close = 1e-4 if dtype == torch.float32 else 0.1
    torch.testing.assert_close(ours.float(), theirs, atol=close, rtol=close / 10)
    assert ours.dtype == dtype and ours.is_contiguous(memory_format=torch.channels_last)
    (slope,) = torch.autograd.grad(ours.float().pow(3).mean(), maps)
    (expected,) = torch.autograd.grad(theirs.pow(3).mean(), maps)
    scale = float(expected.abs().max())
    close = 1e-4 if dtype == torch.float32 else 0.05
    assert float((slope - expected).abs().max()) < close * scale


def test_the_order_of_galaxies_and_padding_are_nothing_to_a_set():
    torch.manual_seed(0)
    found = GalaxySet().eval()
    galaxies = torch.rand(2, 7, FEATURES)
    galaxies[..., 0] = 1
    galaxies[1, 4:] = 0  # four galaxies, the rest is padding
    with torch.no_grad():
        whole = found(galaxies)
        torch.testing.assert_close(found(galaxies[:, torch.randperm(7)]), whole)
        torch.testing.assert_close(found(galaxies[1:, :4]), whole[1:])
        assert not torch.allclose(found(galaxies[1:, :3]), whole[1:])
        assert found(galaxies[:, :0]).shape == whole.shape
        assert torch.equal(found(galaxies[:, :0]), found(torch.zeros(2, 3, FEATURES)))


def test_symmetries_by_masks_are_the_symmetries():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(100, (24, 2, 6, 6), generator=generator)
    symmetry = torch.arange(24) % 8
    assert torch.equal(dihedral_by_masks(maps, symmetry), dihedral(maps, symmetry))
    points = torch.randn(24, 5, 4, generator=generator)
    found = dihedral_points_by_masks(points, symmetry)
    assert torch.equal(found, dihedral_points(points, symmetry))
    assert len({tuple(found[k, 0].tolist()) for k in range(8)}) == 8


# as estimators ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def survey() -> xr.Dataset:
    """Toy clusters of 64 pixels with galaxies and their stellar masses."""
    return with_galaxies(beta_model_survey(N, n_pixels=64))


NAMES = ("icm-large-1band", "icm-large-3band", "icm-large-multimodal")


def fit(name: str, survey: xr.Dataset, **options: object) -> NetworkEstimator:
    given = {"seed": 3, "device": "cpu", "max_epochs": 2} | options
    estimator = NetworkEstimator(name, **given)  # type: ignore[arg-type]
    estimator.fit(survey, TRAIN)
    return estimator


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_it_predicts_the_same(name: str, survey: xr.Dataset, tmp_path: Path):
    estimator = fit(name, survey)
    here = estimator.predict(survey, TEST)
    assert np.isfinite(here.mean).all() and (here.std > 0).all()
    estimator.save(tmp_path)
    loaded = load_estimator(tmp_path, device="cpu")
    there = loaded.predict(survey, TEST)
    assert np.array_equal(here.density, there.density)  # type: ignore[arg-type]
    assert np.array_equal(here.out_of_domain, there.out_of_domain)  # type: ignore[arg-type]
    assert loaded.name == name and loaded.info.is_differentiable
    card = (tmp_path / "README.md").read_text()
    assert name in card and "64 x 64 pixels" in card
    assert ("stellar mass of each" in card) == (name == "icm-large-multimodal")


@pytest.mark.usefixtures("narrow")
def test_it_goes_on_from_its_checkpoint(survey: xr.Dataset, tmp_path: Path):
    def kill(epoch: object) -> None:
        raise KeyboardInterrupt

    whole = fit("icm-large-multimodal", survey)
    with pytest.raises(KeyboardInterrupt):
        fit("icm-large-multimodal", survey, checkpoint=tmp_path, progress=kill)
    seen: list[int] = []
    resumed = fit(
        "icm-large-multimodal",
        survey,
        checkpoint=tmp_path,
        progress=lambda epoch: seen.append(epoch.epoch),
    )
    assert seen == [2]
    one, other = (each.networks[0].state_dict() for each in (whole, resumed))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.usefixtures("narrow")
def test_predictions_do_not_depend_on_orientation_or_order(survey: xr.Dataset):
    """Quarter turns of map and galaxies, which are the views that a prediction averages."""
    estimator = fit("icm-large-multimodal", survey, max_epochs=1)
    turned = survey.copy(deep=True)
    turned["maps"][:] = np.rot90(survey["maps"].values, axes=(3, 4))
    turned["galaxy_x"], turned["galaxy_y"] = survey["galaxy_y"], -survey["galaxy_x"]
    here, there = estimator.predict(survey, TEST), estimator.predict(turned, TEST)
    assert there.mean == pytest.approx(here.mean, abs=1e-4)
    first, last = survey["galaxy_offset"].values[[TEST[0], TEST[0] + 1]]
    order = np.arange(survey.sizes["galaxy"])
    order[first:last] = order[first:last][::-1]
    shuffled = survey.isel(galaxy=order)
    assert estimator.predict(shuffled, TEST).mean == pytest.approx(here.mean, abs=1e-4)


@pytest.mark.usefixtures("narrow")
def test_stellar_masses_are_seen_where_there_are_any(survey: xr.Dataset):
    estimator = fit("icm-large-multimodal", survey, max_epochs=1)
    heavier = survey.assign(galaxy_m_star=3 * survey["galaxy_m_star"])
    here = estimator.predict(survey, TEST).mean
    assert (estimator.predict(heavier, TEST).mean != here).all()
    without = estimator.predict(survey.drop_vars("galaxy_m_star"), TEST).mean
    assert np.isfinite(without).all() and (without != here).all()
    fitted_without = fit("icm-large-multimodal", survey.drop_vars("galaxy_m_star"), max_epochs=1)
    assert np.isfinite(fitted_without.predict(survey, TEST).mean).all()


@pytest.mark.usefixtures("narrow")
def test_coverage_is_seen(survey: xr.Dataset):
    coverage = np.ones((N, 64, 64), "f2")
    coverage[:, :, :32] = 0.5
    covered = survey.assign(coverage=(("cluster", "y", "x"), coverage))
    estimator = fit("icm-large-1band", covered, max_epochs=1)
    assert estimator.inputs[-1] == "coverage"
    found = estimator.predict(covered, TEST).mean
    assert not np.allclose(found, estimator.predict(survey, TEST).mean)


def test_features_of_galaxies(survey: xr.Dataset):
    options = MODEL_SPECS["icm-large-multimodal"].read_options(coverage=False, with_parts=False)
    sample = read_sample(survey, np.arange(N), **options)
    encoding = GalaxySetEncoding.fit(sample, np.log(survey["m500c"].values))
    _, beside = encoding.encode(sample)
    n = MODEL_SPECS["icm-large-multimodal"].n_scalars
    galaxies = beside[:, n:].reshape(N, -1, FEATURES)
    first, last = survey["galaxy_offset"].values[[7, 8]]
    held = {k: survey[f"galaxy_{k}"].values[first:last] for k in ("x", "y", "v", "m_star")}
    expected = np.stack(
        [
            np.ones(last - first),
            np.hypot(held["x"], held["y"]) / 2.3,
            np.abs(held["v"]) / 4000,
            np.log(held["m_star"] / 1e10),
            np.ones(last - first),
        ],
        1,
    )
    assert galaxies[7, : last - first].numpy() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert not galaxies[7, last - first :].any() and not galaxies[N // 2].any()
    for k in range(8):
        turned = encoding.encode(sample.d4_transform(k))[1]
        torch.testing.assert_close(turned, beside)
    bare = replace(sample, galaxies=sample.galaxies[..., :3])  # type: ignore[index]
    unknown = encoding.encode(bare)[1][:, n:].reshape(N, -1, FEATURES)
    assert torch.equal(unknown[..., :3], galaxies[..., :3]) and not unknown[..., 3:].any()


@pytest.mark.usefixtures("narrow")
def test_every_photon_has_a_part_in_an_explanation(survey: xr.Dataset):
    estimator = fit("icm-large-3band", survey, max_epochs=1)
    explained = DifferentiablePredictor.of(estimator, survey, TEST[:2])
    for quantity in ("mean", "width"):
        for function, at in (
            (explained.of_counts(quantity), explained.sample.counts),
            (explained.of_maps(quantity), explained.maps(explained.rows)),
        ):
            given = at.clone().requires_grad_()
            (slope,) = torch.autograd.grad(function(given, explained.rows).sum(), given)
            assert bool((slope != 0).float().mean() > 0.99)
    zero = estimator.config.encoding.lnm_zero  # type: ignore[union-attr]
    mean = explained.values(explained.sample.counts, explained.rows).numpy() + zero
    assert mean == pytest.approx(estimator.predict(survey, TEST[:2]).mean, abs=2e-3)
