"""Our compact network: four conv-norm-pool blocks, then a small head that also sees scalars."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

WIDTHS = (16, 32, 64, 96)


class CompactNetwork(nn.Module):
    """Mean and ln(standard deviation) of the target from a map and a few scalars.

    The first block strides, as the full-size maps are what costs time on a CPU. The features are
    averaged over the map, so any map of at least 32 x 32 pixels fits.

    Parameters
    ----------
    n_channels : int
        Channels of the map: bands, and the coverage where there is one.
    n_scalars : int
        Numbers beside the map.
    widths : sequence of int
        Channels of the four blocks.
    n_hidden : int
        Width of the head.
    """

    def __init__(
        self,
        *,
        n_channels: int,
        n_scalars: int,
        widths: Sequence[int] = WIDTHS,
        n_hidden: int = 128,
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        previous = n_channels
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
        self.features = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Sequential(
            nn.Linear(previous + n_scalars, n_hidden),
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
        pooled = self.features(maps.contiguous(memory_format=torch.channels_last))
        with torch.autocast(maps.device.type, enabled=False):
            return self.head(torch.cat([pooled.float(), scalars], dim=1))
