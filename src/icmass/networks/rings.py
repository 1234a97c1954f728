"""Our network: a few convolutions, means in rings about the centre, and a small head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from icmass.networks.output import NetworkOutput
from icmass.networks.rqs_flow import N_PARAMETERS

WIDTHS = (16, 24, 24)
N_RINGS = 9
N_OF_GALAXIES = 4
"""Numbers that the cells of the galaxies are brought down to."""


class RingNetwork(nn.Module):
    """Posterior of the target from a map and some numbers, with the embedding that it is read off.

    Convolutions see structure up to some 0.6 Mpc/h across in maps of 4.6 Mpc/h. What they find is
    averaged in rings about the centre, where the cluster is known to be, and over the rings with
    weights that are learned for each channel: a cluster looks alike from all sides, and masses are
    read off profiles. The first convolution strides, as the full-size maps are what costs time on
    a CPU. The distance from the centre is given as two more channels.

    The embedding is trained for the mean and the width of the posterior alone; its further shape
    is a linear function of the embedding as it is.

    Parameters
    ----------
    n_channels : int
        Channels of the map: bands, and the coverage where there is one.
    n_scalars : int
        Numbers beside the map: redshift, exposure, column density, and last the cells.
    n_cells : int
        How many of them are numbers of galaxies in cells of phase space. A layer of
        `N_OF_GALAXIES` units stands before them: a head that sees each cell learns the Poisson
        noise of a few thousand clusters by heart.
    n_pixels : int
        Pixels along a side of the map; at least 8.
    widths : sequence of int
        Channels of the convolutions.
    n_means : int
        Weighted means over the rings for each channel.
    n_hidden, n_embedding : int
        Widths of the head's two layers; the second is the embedding.
    dropout : float
        Share of the first layer's numbers that are left out in training. What is left has the same
        mean and a larger scatter, which the second layer's ReLU makes a larger mean: after long
        trainings a prediction, with all numbers, is off by it (0.08 in ln M after 6,000 steps on
        97,000 clusters).
    """

    distance: torch.Tensor
    rings: torch.Tensor

    def __init__(
        self,
        *,
        n_channels: int,
        n_scalars: int,
        n_pixels: int,
        n_cells: int = 0,
        widths: Sequence[int] = WIDTHS,
        n_means: int = 8,
        n_hidden: int = 128,
        n_embedding: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("distance", distance_channels(n_pixels), persistent=False)
        self.register_buffer("rings", ring_weights((n_pixels + 1) // 2), persistent=False)
        blocks: list[nn.Module] = []
        previous = n_channels + len(self.distance)
        for i, width in enumerate(widths):
            size, stride = (5, 2) if i == 0 else (3, 1)
            blocks += [
                nn.Conv2d(previous, width, size, stride, size // 2, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            previous = width
        self.features = nn.Sequential(*blocks)
        self.mixing = nn.Parameter(0.3 * torch.randn(previous, N_RINGS, n_means))
        self.norm = nn.LayerNorm(previous * n_means)
        self.n_cells = n_cells
        if n_cells:
            self.galaxies = nn.Sequential(nn.Linear(n_cells, N_OF_GALAXIES), nn.Tanh())
            n_scalars += N_OF_GALAXIES - n_cells
        self.head = nn.Sequential(
            nn.Linear(previous * n_means + n_scalars, n_hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(n_hidden, n_embedding),
            nn.ReLU(),
        )
        self.gaussian = nn.Linear(n_embedding, 2)
        self.shape = nn.Linear(n_embedding, N_PARAMETERS - 2)
        with torch.no_grad():  # starts as a Gaussian
            self.shape.weight *= 0.1
            self.shape.bias.zero_()

    def forward(self, maps: torch.Tensor, scalars: torch.Tensor) -> torch.Tensor:
        """Return the parameters of the flow and then the embedding, shape (n, output).

        Parameters
        ----------
        maps : Tensor, shape (n, channel, y, x)
            Encoded counts, and the coverage where there is one.
        scalars : Tensor, shape (n, scalar)
            Standardised numbers beside the map.
        """
        maps = torch.cat([maps, self.distance.expand(len(maps), -1, -1, -1)], dim=1)
        found = self.features(maps.contiguous(memory_format=torch.channels_last))
        with torch.autocast(maps.device.type, enabled=False):
            in_rings = found.float().flatten(2) @ self.rings
            means = torch.einsum("ncr,crm->ncm", in_rings, self.mixing).flatten(1)
            if self.n_cells:
                cells = self.galaxies(scalars[:, -self.n_cells :])
                scalars = torch.cat([scalars[:, : -self.n_cells], cells], dim=1)
            embedding = self.head(torch.cat([self.norm(means), scalars], dim=1))
            of_shape = self.shape(embedding.detach())
            return NetworkOutput.pack(self.gaussian(embedding), of_shape, embedding)


def distance_channels(n_pixels: int) -> torch.Tensor:
    """Return the distance from the centre in half sides, less 1/2, and a peak there, (2, y, x).

    The distance is doubled, so that it lies about 0.
    """
    distance = _radius(n_pixels)
    return torch.stack([2 * distance - 1, torch.exp(-((distance / 0.15) ** 2))])


def _radius(n_pixels: int) -> torch.Tensor:
    offset = (torch.arange(n_pixels) + 0.5) * 2 / n_pixels - 1
    return torch.hypot(offset[:, None], offset)


def ring_weights(n_pixels: int, n_rings: int = N_RINGS) -> torch.Tensor:
    """Return weights that average pixels in rings, shape (pixel, ring); narrow ones within.

    A ring that is narrower than a pixel and holds none has no weight.
    """
    distance = _radius(n_pixels).flatten()
    edges = 1.2 * torch.linspace(0, 1, n_rings + 2) ** 1.5
    edges = edges[edges != edges[1]]  # the first would hold no pixel
    inside = ((distance >= edges[:-1, None]) & (distance < edges[1:, None])).float()
    return (inside / inside.sum(1, keepdim=True).clamp(min=1)).T.contiguous()
