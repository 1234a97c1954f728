"""Unsupervised domain adaptation: a network that cannot tell training clusters from other ones.

Clusters of another physics, whose masses nobody knows, pass the network beside the labelled ones,
and the distance of the two distributions of the embedding is added to the loss.
"""

from __future__ import annotations

from typing import Any

import torch

from icmass.networks.output import NetworkOutput
from icmass.training.checkpoint import fingerprint
from icmass.training.sample import Sample
from icmass.training.sources import Source
from icmass.training.trainer import Trainer, kernel_penalty

BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Widths of the kernels, over the mean squared distance of the points."""


def maximum_mean_discrepancy(
    first: torch.Tensor, second: torch.Tensor, bandwidths: tuple[float, ...] | None = None
) -> torch.Tensor:
    """Return the squared maximum mean discrepancy of two samples of points, unbiased.

    Gretton et al. 2012, JMLR 13, 723, equation 3, with the mean of several Gaussian kernels
    exp(-d^2 / b) as in Long et al. 2015 (arXiv:1502.02791). Unbiased, it may be below 0.

    Parameters
    ----------
    first : Tensor, shape (n, k)
        At least two points.
    second : Tensor, shape (m, k)
        At least two points.
    bandwidths : tuple of float, optional
        The b of each kernel. Otherwise `BANDWIDTHS` times the mean d^2 of all pairs of points,
        which is not differentiated: a common scale of all points then changes nothing.

    Returns
    -------
    Tensor, shape ()

    Examples
    --------
    >>> same = torch.tensor([[0.0], [1.0]])
    >>> float(maximum_mean_discrepancy(same, same + 50, (1.0,))) > 0.5
    True
    """
    n, m = len(first), len(second)
    if min(n, m) < 2:
        raise ValueError(f"{n} and {m} points: the discrepancy needs two of each")
    points = torch.cat([first, second])
    squared = (points[:, None] - points[None]).pow(2).sum(2)
    if bandwidths is None:
        mean = squared.detach().sum() / ((n + m) * (n + m - 1))
        mean = mean.clamp(min=torch.finfo(mean.dtype).tiny)
        kernels = [torch.exp(-squared / (width * mean)) for width in BANDWIDTHS]
    else:
        kernels = [torch.exp(-squared / width) for width in bandwidths]
    kernel = torch.stack(kernels).mean(0)
    within_first = (kernel[:n, :n].sum() - n) / (n * (n - 1))  # less the diagonal, which is 1
    within_second = (kernel[n:, n:].sum() - m) / (m * (m - 1))
    return within_first + within_second - 2 * kernel[:n, n:].mean()


class AdaptedTrainer(Trainer):
    """A trainer that also draws embeddings of labelled and unlabelled clusters together.

    Each step takes as many unlabelled clusters as labelled ones, drawn with replacement and turned
    or mirrored at random, through the network in one pass, so that layers that normalise a batch
    see both. Validation is of labelled clusters alone, and without the discrepancy.

    Parameters
    ----------
    *args, **kwargs
        As of `Trainer`.
    unlabelled : Sample
        Clusters of the physics that is adapted to.
    weight : float
        The discrepancy times this is added to the loss of each step.
    """

    def __init__(self, *args: Any, unlabelled: Sample, weight: float = 1.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unlabelled, self.weight = unlabelled.to(self.accelerator.device), weight

    def _add_gradient(self, part: Sample, target: torch.Tensor, share: float) -> torch.Tensor:
        n = len(part)
        if n < 2:  # the discrepancy needs two
            return super()._add_gradient(part, target, share)
        device = target.device
        rows = torch.randint(len(self.unlabelled), (n,)).to(device)
        symmetry = torch.randint(8, (n,)).to(device)
        others = self.unlabelled.take(rows).d4_transform(symmetry)
        pairs = zip(self.encode(part), self.encode(others), strict=True)
        output = self.wrapped(*(torch.cat(pair) for pair in pairs))
        loss = self.loss(output[:n], target).mean()
        embedding = NetworkOutput(output).embedding.float()
        loss = loss + self.weight * maximum_mean_discrepancy(embedding[:n], embedding[n:])
        if self.training_config.kernel_l2:
            loss = loss + self.training_config.kernel_l2 * kernel_penalty(self.network)
        self.accelerator.backward(loss * share)
        return loss.detach()

    def _fingerprint(self, source: Source, sample: Sample, target: torch.Tensor) -> str:
        plain = super()._fingerprint(source, sample, target)
        return fingerprint([plain, self.weight], self.unlabelled.tensors())
