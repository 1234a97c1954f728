"""Residual blocks with group normalisation, laid out for channels-last memory."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

GROUP = 8
"""Channels that are normalised together."""


class GroupNorm(nn.GroupNorm):
    """Group normalisation (Wu & He 2018, arXiv:1803.08494) that keeps channels last on a GPU.

    On CUDA torch's own copies maps of channels last to channels first, in single precision, and
    the convolution after it copies them back. There it is made of moments in single precision and
    one multiplication and addition in the precision of the maps; elsewhere it is torch's.
    """

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the normalised maps, shape (n, channel, y, x)."""
        if maps.is_cuda:
            return self.by_moments(maps)
        return super().forward(maps)

    def by_moments(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the same from mean and mean square of each group, without a copy of the maps."""
        n, channels = maps.shape[:2]
        with torch.autocast(maps.device.type, enabled=False):
            grouped = maps.unflatten(1, (self.num_groups, -1))
            size = grouped[0, 0].numel()
            mean = grouped.mean((2, 3, 4), dtype=torch.float32)
            norm = torch.linalg.vector_norm(grouped, 2, (2, 3, 4), dtype=torch.float32)
            variance = (norm**2 / size - mean**2).clamp(min=0)
            rate = torch.rsqrt(variance + self.eps)
            each = channels // self.num_groups
            factor = self.weight * rate.repeat_interleave(each, 1)
            shift = self.bias - factor * mean.repeat_interleave(each, 1)
            factor, shift = (v.to(maps.dtype).view(n, channels, 1, 1) for v in (factor, shift))
            return torch.addcmul(shift, maps, factor)


class ResidualBlock(nn.Module):
    """Two convolutions after normalisation and activation, added to what came in.

    The pre-activation form of He et al. 2016 (arXiv:1603.05027): what is added up is never
    normalised, so that the brightness of a map, which a normalisation takes out, stays in it. The
    second convolution starts at zero, and the block as a plain way through.

    Parameters
    ----------
    n_inputs, n_outputs : int
        Channels; multiples of `GROUP`.
    stride : {1, 2}
        2 halves the maps' sides.
    """

    def __init__(self, n_inputs: int, n_outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first_norm = GroupNorm(n_inputs // GROUP, n_inputs)
        self.first = nn.Conv2d(n_inputs, n_outputs, 3, stride, 1, bias=False)
        self.second_norm = GroupNorm(n_outputs // GROUP, n_outputs)
        self.second = nn.Conv2d(n_outputs, n_outputs, 3, 1, 1, bias=False)
        nn.init.zeros_(self.second.weight)
        self.stride = stride
        self.way: nn.Conv2d | None = None
        if n_inputs != n_outputs:
            self.way = nn.Conv2d(n_inputs, n_outputs, 1, bias=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return maps of shape (n, n_outputs, y / stride, x / stride)."""
        way = functional.avg_pool2d(maps, 2) if self.stride == 2 else maps
        if self.way is not None:
            way = self.way(way)
        found = self.first(functional.silu(self.first_norm(maps)))
        return way + self.second(functional.silu(self.second_norm(found)))


def stage(n_inputs: int, n_outputs: int, n_blocks: int, *, stride: int = 2) -> nn.Sequential:
    """Return so many blocks one after the other, the first of which strides."""
    blocks = [ResidualBlock(n_inputs, n_outputs, stride)]
    blocks += [ResidualBlock(n_outputs, n_outputs) for _ in range(n_blocks - 1)]
    return nn.Sequential(*blocks)
