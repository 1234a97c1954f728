"""A large network: residual blocks at several scales, pooled in rings and by attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from icmass.errors import InputError
from icmass.networks.galaxy_set import FEATURES, GalaxySet
from icmass.networks.output import NetworkOutput
from icmass.networks.residual import GroupNorm, stage
from icmass.networks.rings import distance_channels, ring_weights
from icmass.networks.rqs_flow import N_PARAMETERS

WIDTHS = (32, 64, 128, 256)
BLOCKS = (1, 2, 3, 2)
N_RINGS = (24, 12, 12, 9, 5)
"""Rings of the map as it comes in, of the core, and of the three scales that are pooled."""
SIDES_OF = 16
"""Sides of maps are multiples of this, for each scale to have half the side of that above."""


class RingPool(nn.Module):
    """Means of maps in rings about the centre, and learned sums over the rings by channel.

    Parameters
    ----------
    n_channels, n_pixels : int
        Channels and side of the maps.
    n_rings, n_means : int
        Rings, and weighted sums over them for each channel.
    """

    rings: torch.Tensor

    def __init__(self, n_channels: int, n_pixels: int, n_rings: int, n_means: int) -> None:
        super().__init__()
        self.register_buffer("rings", ring_weights(n_pixels, n_rings), persistent=False)
        self.mixing = nn.Parameter(0.3 * torch.randn(n_channels, n_rings, n_means))
        self.n_outputs = n_channels * n_means

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return numbers of each cluster, shape (n, n_outputs)."""
        in_rings = maps.flatten(2) @ self.rings
        return torch.einsum("ncr,crm->ncm", in_rings, self.mixing).flatten(1)


class AttentionPool(nn.Module):
    """Means of maps with weights that the maps themselves decide, one of each head.

    Parameters
    ----------
    n_channels, n_pixels : int
        Channels and side of the maps.
    n_heads : int
        Weights; each head takes the mean of as large a part of the channels.
    """

    place: torch.Tensor

    def __init__(self, n_channels: int, n_pixels: int, n_heads: int) -> None:
        super().__init__()
        self.register_buffer("place", distance_channels(n_pixels), persistent=False)
        self.norm = GroupNorm(n_heads, n_channels)
        self.query = nn.Conv2d(n_channels + len(self.place), n_heads, 1)
        self.n_heads, self.n_outputs = n_heads, n_channels

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return numbers of each cluster, shape (n, n_channels)."""
        place = self.place.expand(len(maps), -1, -1, -1)
        score = self.query(torch.cat([self.norm(maps), place], 1))
        weight = score.flatten(2).softmax(2)
        parts = maps.flatten(2).unflatten(1, (self.n_heads, -1))
        return torch.einsum("nhp,nhcp->nhc", weight, parts).flatten(1)


class LargeNetwork(nn.Module):
    """Posterior of the target from maps of 128 pixels, some numbers and, where asked, galaxies.

    Two stems: the core, the inner quarter of the map, keeps its pixels; a strided one sees the
    whole map at half as many along a side. Each goes through residual blocks and is halved twice
    and once; then a pixel is as large in both, and the core is added where it lies. The trunk
    halves twice more. The core, the joined maps and both further scales are averaged in rings, as
    `RingNetwork` does, and by attention. What the blocks add up is not normalised
    (`ResidualBlock`), and the maps as they come in are averaged in rings too, so that no brightness
    is lost. The distance from the centre is given as two more channels.

    With the default widths and maps of three bands 4.8 million parameters, 5.0 with galaxies. What
    a training step keeps for its backward pass is 12 MB a cluster with bfloat16 (22 MB in single
    precision), counted tensor by tensor: 3 GB for a batch of 256, some 5 GB at the peak of the
    backward pass; weights, their running mean, gradients and the optimiser are 0.1 GB. So 256
    clusters pass at once on a GPU of 8 GB, beside what the training clusters themselves take.

    Parameters
    ----------
    n_channels : int
        Channels of the map: bands, and the coverage where there is one.
    n_scalars : int
        Numbers beside the map.
    n_pixels : int
        Pixels along a side of the map; a multiple of 16.
    has_galaxies : bool
        Whether galaxies follow the numbers beside the map.
    widths, blocks : sequence of int
        Channels and residual blocks of the four scales: half, a quarter, an eighth and a
        sixteenth of the map's side.
    n_means : int
        Weighted means over the rings for each channel.
    n_hidden, n_embedding : int
        Widths of the head; the embedding is its last layer.
    dropout : float
        Share of the first layer's numbers that are left out in training.
    """

    distance: torch.Tensor
    profile: torch.Tensor

    def __init__(
        self,
        *,
        n_channels: int,
        n_scalars: int,
        n_pixels: int,
        has_galaxies: bool = False,
        widths: Sequence[int] = WIDTHS,
        blocks: Sequence[int] = BLOCKS,
        n_means: int = 4,
        n_hidden: int = 512,
        n_embedding: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_side(n_pixels)
        half, quarter = n_pixels // 2, n_pixels // 4
        self.n_scalars, self.quarter = n_scalars, quarter
        self.register_buffer("distance", distance_channels(n_pixels), persistent=False)
        self.register_buffer("profile", ring_weights(n_pixels, N_RINGS[0]), persistent=False)
        n_inputs = n_channels + len(self.distance)
        first, second, third, fourth = widths
        self.core_stem = nn.Conv2d(n_inputs, first, 5, 1, 2)
        self.core_full = stage(first, first, blocks[0], stride=1)
        self.core_half = stage(first, second, 1)
        self.core_quarter = stage(second, second, 1)
        self.whole_stem = nn.Conv2d(n_inputs, first, 6, 2, 2)
        self.whole_half = stage(first, first, blocks[0], stride=1)
        self.joined = stage(second, second, blocks[1], stride=1)
        self.whole_quarter = stage(first, second, 1)
        self.eighth = stage(second, third, blocks[2])
        self.sixteenth = stage(third, fourth, blocks[3])
        scales = ((second, quarter), (second, quarter), (third, half // 4), (fourth, half // 8))
        self.ring_pools = nn.ModuleList(
            RingPool(n, side, rings, n_means)
            for (n, side), rings in zip(scales, N_RINGS[1:], strict=True)
        )
        self.attention_pools = nn.ModuleList(AttentionPool(n, side, 4) for n, side in scales)
        self.galaxies = GalaxySet() if has_galaxies else None
        n_pooled = sum(pool.n_outputs for pool in (*self.ring_pools, *self.attention_pools))
        self.norm = nn.LayerNorm(n_pooled)
        n_beside = n_scalars + n_channels * N_RINGS[0]
        n_beside += 0 if self.galaxies is None else self.galaxies.n_outputs
        self.head = nn.Sequential(
            nn.Linear(n_pooled + n_beside, n_hidden),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(n_hidden, n_hidden // 2),
            nn.SiLU(),
            nn.Linear(n_hidden // 2, n_embedding),
            nn.ReLU(),
        )
        self.gaussian = nn.Linear(n_embedding, 2)
        self.shape = nn.Linear(n_embedding, N_PARAMETERS - 2)
        with torch.no_grad():  # starts as a Gaussian
            self.shape.weight *= 0.1
            self.shape.bias.zero_()

    def forward(self, maps: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
        """Return the parameters of the flow and then the embedding, shape (n, output).

        Parameters
        ----------
        maps : Tensor, shape (n, channel, y, x)
            Encoded counts, and the coverage where there is one.
        beside : Tensor, shape (n, scalar) or (n, scalar + FEATURES galaxy)
            Standardised numbers beside the map; then the galaxies, one after the other.
        """
        scales = self.scales(maps)
        with torch.autocast(maps.device.type, enabled=False):
            pooled = [
                pool(found.float())
                for pools in (self.ring_pools, self.attention_pools)
                for pool, found in zip(pools, scales, strict=True)
            ]
            told = [(maps.float().flatten(2) @ self.profile).flatten(1)]
            told.append(beside[:, : self.n_scalars])
            if self.galaxies is not None:
                n_galaxies = (beside.shape[1] - self.n_scalars) // FEATURES
                listed = beside[:, self.n_scalars :]
                told.append(self.galaxies(listed.reshape(len(maps), n_galaxies, FEATURES)))
            embedding = self.head(torch.cat([self.norm(torch.cat(pooled, 1)), *told], 1))
            of_shape = self.shape(embedding.detach())
            return NetworkOutput.pack(self.gaussian(embedding), of_shape, embedding)

    def scales(self, maps: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return what is pooled: core, joined maps and two further scales, (n, channel, y, x)."""
        maps = torch.cat([maps, self.distance.expand(len(maps), -1, -1, -1)], dim=1)
        maps = maps.contiguous(memory_format=torch.channels_last)
        q = self.quarter
        inner = maps[:, :, q:-q, q:-q].contiguous(memory_format=torch.channels_last)
        core = self.core_half(self.core_full(self.core_stem(inner)))
        whole = self.whole_quarter(self.whole_half(self.whole_stem(maps)))
        edge = q // 4
        core_in_whole = functional.pad(self.core_quarter(core), (edge, edge, edge, edge))
        joined = self.joined(whole + core_in_whole)
        eighth = self.eighth(joined)
        return core, joined, eighth, self.sixteenth(eighth)


def check_side(n_pixels: int) -> None:
    """Refuse maps whose sides cannot be halved at every scale."""
    if n_pixels % SIDES_OF or n_pixels < 2 * SIDES_OF:
        raise InputError(
            f"{n_pixels} x {n_pixels} pixels",
            field="variable maps",
            hint=f"the large networks take multiples of {SIDES_OF} along a side",
        )
