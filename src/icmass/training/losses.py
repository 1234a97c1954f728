"""Losses by name: what is made small in training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from icmass.networks import rqs_flow
from icmass.networks.output import NetworkOutput
from icmass.training.named import Named

Output = NetworkOutput[torch.Tensor]


@dataclass(frozen=True)
class Loss:
    """A loss.

    Attributes
    ----------
    of_examples : callable
        Takes the network's output and targets, shape (n,), to the loss of each example, (n,).
    needs_flow : bool
        Whether the network has to give the parameters of a flow; it then has a posterior of any
        shape, and an embedding.
    """

    of_examples: Callable[[Output, torch.Tensor], torch.Tensor]
    needs_flow: bool = False

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of each example, shape (n,), of what a network returned."""
        return self.of_examples(NetworkOutput(output), target)


def _squared(output: Output, target: torch.Tensor) -> torch.Tensor:
    return (output.mean - target) ** 2


def _absolute(output: Output, target: torch.Tensor) -> torch.Tensor:
    return (output.mean - target).abs()


def _flow(output: Output, target: torch.Tensor) -> torch.Tensor:
    flow = output.flow
    held = torch.cat([flow[:, :1].detach(), flow[:, 1:]], 1)
    return _squared(output, target) - rqs_flow.log_prob(held, target)


LOSSES: Named[Loss] = Named(
    "loss",
    {
        "squared": Loss(_squared),
        "absolute": Loss(_absolute),
        "flow": Loss(_flow, needs_flow=True),
    },
)
"""Squared and absolute error of the mean; or, of networks that give the parameters of a flow,
squared error of the mean plus the negative log likelihood with that mean held fixed: the mean stays
the posterior's whatever the shape."""
