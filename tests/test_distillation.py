"""Training with a teacher: its loss, whose units its answers are in, and what a student learns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from conftest import beta_model_survey, with_galaxies
from icmass.networks.output import NetworkOutput
from icmass.networks.rqs_flow import N_PARAMETERS
from icmass.training.config import TrainingConfig
from icmass.training.distillation import DistillationTrainer, Teacher, distillation_loss
from icmass.training.model_specs import MODEL_SPECS
from icmass.training.sample import Sample, read_sample, reduce_sample
from icmass.training.trainer import Trainer


def packed(mean: torch.Tensor, ln_std: torch.Tensor) -> torch.Tensor:
    rest = torch.zeros(len(mean), N_PARAMETERS - 2)
    return NetworkOutput.pack(torch.stack([mean, ln_std], 1), rest, torch.zeros(len(mean), 1))


def test_the_loss_is_a_squared_difference_and_a_divergence():
    torch.manual_seed(0)
    mean, ln_std, told = torch.randn(6), torch.randn(6), torch.randn(6, 2)
    found = distillation_loss(packed(mean, ln_std), told)
    theirs, ours = Normal(told[:, 0], told[:, 1].exp()), Normal(mean, ln_std.exp())
    expected = (mean - told[:, 0]) ** 2 + kl_divergence(theirs, ours)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    agreed = distillation_loss(packed(*told.unbind(1)), told)
    torch.testing.assert_close(agreed, torch.zeros(6), atol=1e-6, rtol=0)


def test_the_mean_is_pulled_by_the_squared_difference_alone():
    mean = torch.tensor([0.3], requires_grad=True)
    told = torch.tensor([[1.0, -1.0]])
    loss = distillation_loss(packed(mean, torch.tensor([0.2])), told)
    assert torch.autograd.grad(loss.sum(), mean)[0].item() == pytest.approx(2 * (0.3 - 1.0))


class Slope(nn.Module):
    """Mean and width as they are: the flow's two first parameters, the same for all maps."""

    def __init__(self, mean: float, ln_std: float) -> None:
        super().__init__()
        self.gaussian = nn.Parameter(torch.tensor([mean, ln_std]))

    def forward(self, maps: torch.Tensor, scalars: torch.Tensor) -> torch.Tensor:
        return packed(*self.gaussian.expand(len(maps), 2).unbind(1))


def encode(sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
    return sample.counts.float(), sample.redshift[:, None]


def clusters(n: int) -> Sample:
    return Sample(
        torch.ones(n, 1, 4, 4, dtype=torch.int32), None, torch.full((n,), 0.1), torch.ones(n)
    )


def test_a_teachers_answers_are_in_the_students_units():
    """The same ln M whether standardised by 33 and 0.5 or by 32 and 0.8."""
    teacher = Teacher(Slope(1.2, -0.4), encode, zero=(33 - 32) / 0.8, scale=0.5 / 0.8)
    mean, ln_std = teacher(clusters(3))[0].tolist()
    assert 32 + 0.8 * mean == pytest.approx(33 + 0.5 * 1.2, rel=1e-6)
    assert 0.8 * math.exp(ln_std) == pytest.approx(0.5 * math.exp(-0.4), rel=1e-6)


CONFIG = TrainingConfig(
    batch_size=4,
    max_epochs=60,
    patience=None,
    learning_rate=0.1,
    loss="flow",
    schedule="one-cycle",
)


def test_a_student_comes_between_truth_and_teacher():
    """Squared errors of weight 1 each: the mean that makes them least is halfway."""
    seen: list[tuple[int, ...]] = []

    def reduce(sample: Sample) -> Sample:
        seen.append(tuple(sample.counts.shape))
        return replace(sample, counts=sample.counts[..., ::2, ::2])

    def last_mean(make: Callable[..., Trainer], **options: Any) -> float:
        network, means = Slope(0.0, 0.0), []
        config = {"encode": encode, "training_config": CONFIG, "seed": 0, "device": "cpu"}
        config |= {"progress": lambda epoch: means.append(network.gaussian[0].item())}
        make(network, **config, **options).run(data, data)
        return means[-1]

    data = clusters(8), torch.full((8,), 2.0)
    teacher = Teacher(Slope(1.0, -1.0), encode)
    taught = last_mean(DistillationTrainer, teacher=teacher, reduce=reduce)
    assert taught == pytest.approx(1.5, abs=0.02)
    assert set(seen) == {(4, 1, 4, 4)}
    assert last_mean(Trainer) == pytest.approx(2.0, abs=0.02)


@pytest.mark.parametrize("name", ["icm-1band", "icm-3band", "icm-multimodal", "icm-large-1band"])
def test_a_reduced_sample_is_what_would_have_been_read(name: str):
    survey, index = with_galaxies(beta_model_survey(6, n_pixels=128)), np.array([4, 1, 3])
    whole = {"sum_bands": False, "max_pixels": None, "coverage_channel": False}
    whole |= dict.fromkeys(("with_galaxies", "with_nh", "with_parts", "with_stellar_masses"), True)
    sample = read_sample(survey, index, **whole)  # type: ignore[arg-type]
    for with_parts in (True, False):
        options = MODEL_SPECS[name].read_options(coverage=False, with_parts=with_parts)
        found, expected = reduce_sample(sample, **options), read_sample(survey, index, **options)
        for one, other in zip(found.tensors(), expected.tensors(), strict=True):
            torch.testing.assert_close(one, other.to(one.dtype), equal_nan=True, rtol=0, atol=0)
