"""Training with a teacher: a network that also learns mean and width of another one's posterior.

The teacher is a larger network, or one that sees more of a map. Its answer to a cluster has less
noise than the cluster's true mass, which scatters about what any network can know (Hinton et al.
2015, arXiv:1503.02531).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from icmass.networks.output import NetworkOutput
from icmass.training.checkpoint import fingerprint
from icmass.training.sample import Sample
from icmass.training.sources import Source
from icmass.training.trainer import Encode, Trainer

_LN_STD = (-5.0, 2.0)  # as in the flow


@dataclass(frozen=True)
class Teacher:
    """A trained network, and how its answers become ones to the student's question.

    Attributes
    ----------
    network : Module
        In evaluation mode, on the device of the training; it gives the parameters of a flow.
    encode : callable
        Takes clusters to what it is fed with.
    zero, scale : float
        Mean of the student's target is ``zero + scale * mean`` of the teacher's.
    bf16 : bool
        Whether it multiplies in bfloat16.
    """

    network: nn.Module
    encode: Encode
    zero: float = 0.0
    scale: float = 1.0
    bf16: bool = False

    @torch.no_grad()
    def __call__(self, clusters: Sample) -> torch.Tensor:
        """Return mean and ln standard deviation of the student's target, shape (n, 2)."""
        maps, beside = self.encode(clusters)
        with torch.autocast(maps.device.type, torch.bfloat16, enabled=self.bf16):
            given = NetworkOutput(self.network(maps, beside)).gaussian.float()
        ln_std = given[:, 1].clamp(*_LN_STD) + math.log(self.scale)
        return torch.stack([self.zero + self.scale * given[:, 0], ln_std], 1)


def distillation_loss(output: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
    """Return how far a student is from its teacher, shape (n,); 0 where they agree.

    The squared difference of the means, and the Kullback-Leibler divergence of the student's
    Gaussian from the teacher's with the student's mean held fixed, as the flow's loss has it. The
    width that makes it least is the teacher's and the difference of the means added in square.

    Parameters
    ----------
    output : Tensor, shape (n, output)
        What the student gave.
    told : Tensor, shape (n, 2)
        Mean and ln standard deviation that the teacher gave, in the student's units.
    """
    mean, ln_std = NetworkOutput(output).gaussian.float().unbind(1)
    ln_std = ln_std.clamp(*_LN_STD)
    difference = told[:, 0] - mean
    square = torch.exp(2 * told[:, 1]) + difference.detach() ** 2
    divergence = ln_std - told[:, 1] + (square * torch.exp(-2 * ln_std) - 1) / 2
    return difference**2 + divergence


class DistillationTrainer(Trainer):
    """A trainer whose loss is that of the truth and, times a weight, that of a teacher.

    Each step's clusters, as they were put together for it, are seen by both. Validation is by the
    truth alone.

    Parameters
    ----------
    *args, **kwargs
        As of `Trainer`.
    teacher : Teacher
    reduce : callable
        Takes clusters as the teacher sees them to what the student sees.
    weight : float
        The teacher's part of the loss is multiplied by this.
    """

    def __init__(
        self,
        *args: Any,
        teacher: Teacher,
        reduce: Callable[[Sample], Sample],
        weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.teacher, self.reduce, self.weight = teacher, reduce, weight
        teacher.network.to(self.accelerator.device).eval()

    def _add_gradient(self, part: Sample, target: torch.Tensor, share: float) -> torch.Tensor:
        told = self.teacher(part)
        output = self.passed(*self.encode(self.reduce(part)))
        loss = self.loss(output, target) + self.weight * distillation_loss(output, told)
        self.accelerator.backward(loss.mean() * share)
        return loss.detach().mean()

    def _fingerprint(self, source: Source, sample: Sample, target: torch.Tensor) -> str:
        plain = super()._fingerprint(source, sample, target)
        said = [plain, self.weight, self.teacher.zero, self.teacher.scale]
        return fingerprint(said, self.teacher.network.state_dict().values())
