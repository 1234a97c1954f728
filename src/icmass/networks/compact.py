"""Our compact network: four conv-norm-pool blocks, then a small head that also sees scalars."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

WIDTHS = (16, 32, 64, 96)


class CompactNetwork(nn.Module):
    """Mean and ln(standard deviation) of the target from a map and a few scalars.

    The first block strides, as the full-size maps are what costs time on a CPU. The cluster is at
    the centre of the map, which convolutions alone do not know: the distance from it is given as
    two more channels, and the last maps are pooled with weights learned for each pixel beside the
    plain mean.

    Parameters
    ----------
    n_channels : int
        Channels of the map: bands, and the coverage where there is one.
    n_scalars : int
        Numbers beside the map.
    n_pixels : int
        Pixels along a side of the map; at least 8.
    widths : sequence of int
        Channels of the four blocks.
    n_hidden : int
        Width of the head.
    """

    distance: torch.Tensor

    def __init__(
        self,
        *,
        n_channels: int,
        n_scalars: int,
        n_pixels: int,
        widths: Sequence[int] = WIDTHS,
        n_hidden: int = 128,
    ) -> None:
        super().__init__()
        self.register_buffer("distance", _distance_channels(n_pixels), persistent=False)
        blocks: list[nn.Module] = []
        previous = n_channels + len(self.distance)
        for i, width in enumerate(widths):
            size, stride = (5, 2) if i == 0 else (3, 1)
            blocks += [
                nn.Conv2d(previous, width, size, stride, size // 2, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            if 0 < i < len(widths) - 1:
                blocks.append(nn.MaxPool2d(2))
            previous = width
        self.features = nn.Sequential(*blocks)
        side = (n_pixels + 1) // 2 // 2 ** (len(widths) - 2)
        self.pooling = nn.Conv2d(previous, previous, side, groups=previous)
        self.head = nn.Sequential(
            nn.Linear(2 * previous + n_scalars, n_hidden),
            nn.ReLU(),
            nn.Linear(n_hidden, n_hidden // 2),
            nn.ReLU(),
            nn.Linear(n_hidden // 2, 2),
        )

    def forward(self, maps: torch.Tensor, scalars: torch.Tensor) -> torch.Tensor:
        """Return mean and ln(standard deviation) of the standardised ln mass, shape (n, 2).

        Parameters
        ----------
        maps : Tensor, shape (n, channel, y, x)
            Encoded counts, and the coverage where there is one.
        scalars : Tensor, shape (n, scalar)
            Standardised redshift and ln exposure.
        """
        maps = torch.cat([maps, self.distance.expand(len(maps), -1, -1, -1)], dim=1)
        last = self.features(maps.contiguous(memory_format=torch.channels_last))
        pooled = torch.cat([self.pooling(last).flatten(1), last.mean((2, 3))], dim=1)
        with torch.autocast(maps.device.type, enabled=False):
            return self.head(torch.cat([pooled.float(), scalars], dim=1))


def _distance_channels(n_pixels: int) -> torch.Tensor:
    """Distance from the centre in half sides, centred on 0, and a peak at it; shape (2, y, x)."""
    offset = (torch.arange(n_pixels) + 0.5) * 2 / n_pixels - 1
    distance = torch.hypot(offset[:, None], offset)
    return torch.stack([2 * distance - 1, torch.exp(-((distance / 0.15) ** 2))])
