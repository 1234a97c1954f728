"""The one-band network of Ho et al. 2023 (MNRAS 524, 3289), layer by layer."""

from __future__ import annotations

import torch
from torch import nn


class PaperNetwork(nn.Module):
    """Two rounds of convolutions and pooling, then four dense layers; 363,629 parameters at 128.

    All convolutions keep the map's size: only then are 2,560 numbers flattened from a map of
    128 x 128 pixels. Kernels start Glorot-uniform and biases at zero, as Keras does.

    Parameters
    ----------
    n_pixels : int
        Pixels along a side of the map; at least 8.
    """

    def __init__(self, *, n_pixels: int = 128) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 24, 5, padding="same"),
            nn.ReLU(),
            nn.Conv2d(24, 10, 3, padding="same"),
            nn.ReLU(),
            nn.MaxPool2d(4),
            nn.Conv2d(10, 24, 5, padding="same"),
            nn.ReLU(),
            nn.Conv2d(24, 10, 3, padding="same"),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.head = nn.Sequential(
            nn.Linear(10 * (n_pixels // 4 // 2) ** 2, 128),
            nn.ReLU(),
            nn.Linear(128, 128),
            nn.ReLU(),
            nn.Linear(128, 64),
            nn.ReLU(),
            nn.Linear(64, 1),
        )
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)

    def forward(self, maps: torch.Tensor, scalars: torch.Tensor) -> torch.Tensor:
        """Return the scaled log mass, shape (n, 1).

        Parameters
        ----------
        maps : Tensor, shape (n, 1, y, x)
            Standardised log counts.
        scalars : Tensor, shape (n, 0)
            Nothing: the redshift enters through the normalisation of the map.
        """
        # channels last changes nothing but the speed: three times that on a CPU
        return self.head(self.features(maps.contiguous(memory_format=torch.channels_last)))
