"""Maximum mean discrepancy against closed forms, and a trainer that makes it small."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from icmass.errors import InputError
from icmass.estimators.network import NetworkEstimator
from icmass.networks.output import NetworkOutput
from icmass.networks.rqs_flow import N_PARAMETERS
from icmass.training.config import TrainingConfig
from icmass.training.domain_adaptation import AdaptedTrainer, maximum_mean_discrepancy
from icmass.training.sample import Sample, read_sample
from icmass.training.trainer import Epoch, Trainer

CONFIG = TrainingConfig(
    batch_size=50, max_epochs=20, patience=None, learning_rate=1e-2, loss="flow"
)


def normal(n: int, k: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, k, generator=generator, dtype=torch.float64) + shift / math.sqrt(k)


def of_normals(k: int, distance: float, width: float) -> float:
    """Squared discrepancy of two normals of unit variance whose means are `distance` apart.

    The difference of two points is normal with variance 2 in each of k dimensions, of which
    exp(-d^2 / b) has the mean (1 + 4 / b)^(-k / 2) exp(-distance^2 / (b + 4)).
    """
    return 2 * (1 + 4 / width) ** (-k / 2) * (1 - math.exp(-(distance**2) / (width + 4)))


@pytest.mark.parametrize("distance", [0.0, 1.5])
def test_the_discrepancy_of_normals_is_the_closed_form(distance: float):
    k, width = 3, 4.0
    pairs = ((normal(200, k, s), normal(150, k, 10**4 + s, distance)) for s in range(60))
    found = [float(maximum_mean_discrepancy(*pair, (width,))) for pair in pairs]
    error = np.std(found, ddof=1) / math.sqrt(len(found))
    assert error < 0.005  # of 0.17 at distance 1.5
    assert abs(np.mean(found) - of_normals(k, distance, width)) < 4 * error


def test_small_samples_of_one_distribution_do_not_differ_in_the_mean():
    found = [
        float(maximum_mean_discrepancy(normal(6, 4, s), normal(6, 4, 10**4 + s)))
        for s in range(600)
    ]
    error = np.std(found, ddof=1) / math.sqrt(len(found))
    # with the points' kernels with themselves, 1 each, it would be some 0.1
    assert error < 0.01 and abs(np.mean(found)) < 4 * error


def test_the_scale_of_all_points_does_not_matter_where_widths_are_not_given():
    first, second = normal(40, 5, 0), normal(30, 5, 1, 2.0)
    base = maximum_mean_discrepancy(first, second)
    assert torch.allclose(maximum_mean_discrepancy(1e3 * first, 1e3 * second), base)
    assert base > 0.05
    assert not torch.allclose(
        maximum_mean_discrepancy(first, second, (1.0,)),
        maximum_mean_discrepancy(10 * first, 10 * second, (1.0,)),
    )


def test_one_point_is_too_few_and_equal_points_are_finite():
    with pytest.raises(ValueError, match="two of each"):
        maximum_mean_discrepancy(torch.zeros(1, 2), torch.zeros(5, 2))
    same = torch.zeros(4, 2, requires_grad=True)
    value = maximum_mean_discrepancy(same, torch.zeros(3, 2))
    value.backward()
    assert float(value.detach()) == 0 and torch.isfinite(same.grad).all()


class Embedded(nn.Module):
    """A flow read off an embedding of the scalars."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Linear(2, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, maps: torch.Tensor, scalars: torch.Tensor) -> torch.Tensor:
        embedding = self.embedding(scalars)
        spline = torch.zeros(len(maps), N_PARAMETERS - 2)
        return NetworkOutput.pack(self.head(embedding), spline, embedding)


def encode(sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
    return sample.counts.float(), torch.stack([sample.redshift, sample.exposure], 1)


def clusters(n: int, seed: int, shift: float = 0.0) -> tuple[Sample, torch.Tensor]:
    """Clusters whose target is seen in two numbers, one of which another domain moves."""
    rng = torch.Generator().manual_seed(seed)
    target = torch.randn(n, generator=rng)
    first, second = (target + 0.1 * torch.randn(n, generator=rng) for _ in "ab")
    return Sample(torch.zeros(n, 1, 4, 4), None, first, second + shift), target


def trained(cls: type[Trainer], **kwargs: object) -> nn.Module:
    network = Embedded()
    options = {"encode": encode, "training_config": CONFIG, "seed": 3, "device": "cpu"}
    cls(network, **options, **kwargs).run(clusters(400, 0), clusters(100, 1))
    return network


def embeddings_apart(network: nn.Module) -> float:
    parts = [clusters(300, 5)[0], clusters(300, 6, shift=3.0)[0]]
    with torch.no_grad():
        first, second = (NetworkOutput(network(*encode(part))).embedding for part in parts)
    return float(maximum_mean_discrepancy(first, second))


def test_adaptation_brings_the_embeddings_of_another_domain_near_and_removes_its_bias():
    unlabelled = clusters(300, 7, shift=3.0)[0]
    plain = trained(Trainer)
    adapted = trained(AdaptedTrainer, unlabelled=unlabelled, weight=3.0)
    assert embeddings_apart(plain) > 0.1
    assert embeddings_apart(adapted) < 0.3 * embeddings_apart(plain)
    sample, target = clusters(300, 6, shift=3.0)
    with torch.no_grad():
        bias = [float((n(*encode(sample))[:, 0] - target).mean()) for n in (plain, adapted)]
    assert bias[0] > 1 and abs(bias[1]) < 0.5 * bias[0]


def test_without_weight_the_discrepancy_changes_nothing():
    """Of a network that normalises no batch, to rounding: batches are twice as large."""
    plain = trained(Trainer).state_dict()
    found = trained(AdaptedTrainer, unlabelled=clusters(50, 7)[0], weight=0.0).state_dict()
    for key, value in plain.items():
        torch.testing.assert_close(found[key], value, atol=1e-4, rtol=1e-4)


def test_an_adapted_run_that_was_killed_ends_with_the_same_weights(tmp_path: Path):
    unlabelled = clusters(60, 7, shift=1.0)[0]
    config = replace(CONFIG, max_epochs=4)

    def trainer(**kwargs: object) -> AdaptedTrainer:
        options = {"encode": encode, "training_config": config, "seed": 3, "device": "cpu"}
        options |= {"unlabelled": unlabelled, "weight": 1.0, **kwargs}
        return AdaptedTrainer(Embedded(), **options)

    class Killed(Exception):
        pass

    def kill(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise Killed

    data = clusters(100, 0), clusters(40, 1)
    whole = trainer()
    whole.run(*data)
    with pytest.raises(Killed):
        trainer(checkpoint=tmp_path, progress=kill).run(*data)
    resumed = trainer(checkpoint=tmp_path)
    assert len(resumed.run(*data)) == 4
    for key, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[key])
    for other in ({"weight": 2.0}, {"unlabelled": clusters(60, 8)[0]}):
        with pytest.raises(InputError, match="checkpoint of another training"):
            trainer(checkpoint=tmp_path, **other).run(*data)


def test_an_estimator_takes_another_trainer(toy_survey: xr.Dataset, tmp_path: Path):
    train, test = np.arange(64), np.arange(64, 96)
    plain, adapted = (
        NetworkEstimator("icm-3band", device="cpu", max_epochs=1, seed=1) for _ in "ab"
    )
    others = read_sample(
        toy_survey, test, sum_bands=False, max_pixels=64, coverage_channel=False, with_nh=True
    )
    adapted.trainer = partial(AdaptedTrainer, unlabelled=others, weight=5.0)
    for estimator in (plain, adapted):
        estimator.fit(toy_survey, train)
    means = [estimator.predict(toy_survey, test).mean for estimator in (plain, adapted)]
    assert np.isfinite(means[1]).all() and not np.allclose(*means)
    adapted.save(tmp_path / "model")  # saved as any network
    again = NetworkEstimator.load(tmp_path / "model", device="cpu")
    np.testing.assert_allclose(again.predict(toy_survey, test).mean, means[1], rtol=1e-6)
