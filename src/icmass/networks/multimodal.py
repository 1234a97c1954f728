"""The network of X-ray maps and galaxies of Ho et al. 2023 (MNRAS 524, 3289), layer by layer."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from icmass.errors import InputError
from icmass.networks.paper import hidden, start_as_keras

N_VOXELS = 64  # along each side of the cube
DROPOUT = 0.1


class MultimodalNetwork(nn.Module):
    """One branch of convolutions in x, y and v, one in the maps' x and y, and a head on both.

    432,557 parameters with three bands of 128 x 128 pixels. The convolutions of the cube are valid:
    64 voxels become 60, 30, 28, 14 and 7. For those of the maps the paper gives no padding. With
    none, 128 pixels become 62, 30, 7 and 2, too few for the last kernel of 3; as in its X-ray
    networks we keep the size, that is half of it at a stride of two, as Keras does ("same"): 64,
    32, 8, 4 and 2. Kernels start Glorot-uniform and biases at zero.

    Parameters
    ----------
    n_channels : int
        Bands.
    n_pixels : int
        Pixels along a side of the maps; at least 64, and averaged to 64 for the cube's branch.
    """

    def __init__(self, *, n_channels: int = 3, n_pixels: int = 128) -> None:
        super().__init__()
        side = _side_after_maps(n_pixels)
        if side == 0:
            raise InputError(
                f"{n_pixels} x {n_pixels} pixels",
                field="variable maps",
                hint="the multimodal network takes 64 or more along a side",
            )
        self.first = nn.Conv3d(n_channels + 1, 24, 5)
        self.cube_features = nn.Sequential(  # a pool before its ReLU gives the same from less
            nn.MaxPool3d(2),
            nn.ReLU(),
            nn.Conv3d(24, 16, 3),
            nn.MaxPool3d(2),
            nn.ReLU(),
            nn.Conv3d(16, 8, 1),
            nn.MaxPool3d(2),
            nn.ReLU(),
            nn.Flatten(),
            *hidden(8 * 7**3, 128, DROPOUT),
        )
        self.map_features = nn.Sequential(
            *_halving(n_channels, 24, 5),
            nn.ReLU(),
            *_halving(24, 10, 3),
            nn.ReLU(),
            nn.MaxPool2d(4),
            *_halving(10, 24, 5),
            nn.ReLU(),
            nn.Conv2d(24, 10, 3, padding="same"),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            *hidden(10 * side**2, 128, DROPOUT),
        )
        self.head = nn.Sequential(
            *hidden(256, 128, DROPOUT), *hidden(128, 64, DROPOUT), nn.Linear(64, 1)
        )
        start_as_keras(self)

    def forward(self, maps: torch.Tensor, cubes: torch.Tensor) -> torch.Tensor:
        """Return the scaled log mass, shape (n, 1).

        Parameters
        ----------
        maps : Tensor, shape (n, band, y, x)
            Standardised log counts.
        cubes : Tensor, shape (n, y, x, v)
            Standardised density of the galaxies.
        """
        pooled = functional.adaptive_avg_pool2d(maps, N_VOXELS)
        from_cube = self.cube_features(self.first_layer(pooled, cubes))
        flat = maps.contiguous(memory_format=torch.channels_last)
        return self.head(torch.cat([from_cube, self.map_features(flat)], 1))

    def first_layer(self, pooled: torch.Tensor, cubes: torch.Tensor) -> torch.Tensor:
        """Convolve the cubes and, repeated along v, the maps, shape (n, 24, y, x, v).

        What is the same along v needs no convolution along v: the kernels' sum over v does. It is
        the same sum in another order, with one channel in three dimensions in place of four.

        Parameters
        ----------
        pooled : Tensor, shape (n, band, y, x)
            Maps of as many pixels as the cubes have voxels.
        cubes : Tensor, shape (n, y, x, v)
            Standardised density of the galaxies.
        """
        kernel = self.first.weight
        volume = cubes[..., None].movedim(-1, 1)  # the channel last in memory, for speed alone
        of_cubes = functional.conv3d(volume, kernel[:, :1], self.first.bias)
        return of_cubes.add_(functional.conv2d(pooled, kernel[:, 1:].sum(-1))[..., None])


def _halving(n_inputs: int, n_outputs: int, kernel: int) -> list[nn.Module]:
    """Return a convolution at a stride of two; of an even side the zeros are as Keras' "same"."""
    before = (kernel - 2) // 2
    after = kernel - 2 - before
    pad = nn.ZeroPad2d((before, after, before, after))
    return [pad, nn.Conv2d(n_inputs, n_outputs, kernel, 2)]


def _side_after_maps(n_pixels: int) -> int:
    """Return the pixels along a side after the convolutions and pools of the maps' branch."""
    side = n_pixels // 2 // 2 // 4
    return side // 2 // 2
