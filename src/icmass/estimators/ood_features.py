"""Plain statistics of maps, and maps corrupted on purpose: what `OODDetector` is made from."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import torch
from torch.nn import functional

from icmass.training.sample import Sample

RINGS = (0.0, 0.06, 0.12, 0.2, 0.32, 0.5, 0.75, 1.0)
"""Edges of the annuli in which counts are summed, in half sides of the map."""
SECTORS = 8
_ROOT = 0.375  # Anscombe 1948
_FAR = 0.45  # half sides from the centre beyond which a block of pixels is away from the cluster


def ood_features(counts: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return plain statistics of maps, all of them roots of counts, shape (n, statistic).

    Parameters
    ----------
    counts : Tensor, shape (n, channel, y, x)
        Photon counts.
    scale : Tensor, shape (n, 1, 1, 1)
        Factor to the mean counts at a cluster's redshift and exposure.

    Notes
    -----
    In each annulus: counts by channel in its middling sectors, which point sources leave alone;
    how far the brightest and the faintest sector are from them. Then of blocks of pixels an eighth
    of the map across: quantiles and the brightest away from the centre, the central one, and how
    much the centre stands out from them and from its own surroundings.
    """
    rings = [_of_ring(counts, scale, *edges) for edges in pairwise(RINGS)]
    return torch.cat([*rings, _of_blocks(counts)], 1)


def _root(counts: torch.Tensor) -> torch.Tensor:
    return torch.sqrt(counts + _ROOT)


def _axis(side: int, device: torch.device) -> torch.Tensor:
    return (torch.arange(side, device=device) + 0.5) * 2 / side - 1


def _of_ring(counts: torch.Tensor, scale: torch.Tensor, inner: float, outer: float) -> torch.Tensor:
    axis = _axis(counts.shape[-1], counts.device)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    radius, angle = torch.hypot(x, y).flatten(), torch.atan2(y, x).flatten()
    sector = ((angle / torch.pi + 1) / 2 * SECTORS).long().clamp(0, SECTORS - 1)
    inside = (radius >= inner) & (radius < outer)
    of_sector = torch.stack([(inside & (sector == k)).float() for k in range(SECTORS)], 1)
    of_sector *= inside.sum() / of_sector.sum(0).clamp(min=1)  # as if each were the whole ring
    number = counts.flatten(2).float() @ of_sector
    middling = slice(SECTORS // 4, SECTORS - SECTORS // 4)
    profile = number.sort(-1).values[..., middling].mean(-1) * scale[:, :, 0, 0]
    ordered = _root(number.sum(1)).sort(-1).values
    middle = ordered[:, middling].mean(1, keepdim=True)
    return torch.cat([_root(profile), ordered[:, -1:] - middle, middle - ordered[:, :1]], 1)


def _of_blocks(counts: torch.Tensor) -> torch.Tensor:
    added = counts.sum(1, keepdim=True).float()
    side = added.shape[-1]
    size = max(side // 8, 2)
    blocks = functional.avg_pool2d(added, size, size // 2) * size**2
    step = torch.arange(1, blocks.shape[-1] + 1, device=counts.device)
    axis = step * (size // 2) * 2 / side - 1
    away = torch.hypot(axis[:, None], axis).flatten() > _FAR
    far = blocks.flatten(1)[:, away]
    levels = torch.tensor([0.1, 0.25, 0.5, 0.75], device=counts.device)
    brightest = _root(far.amax(1, keepdim=True))
    boxes = [_central(added, half) for half in (max(side // 64, 1), max(side // 32, 2), size // 2)]
    peaks = [_root(a) - _root(b - a) for a, b in pairwise(boxes)]
    centre = _root(boxes[-1])
    quantiles = _root(torch.quantile(far, levels, dim=1).T)
    return torch.cat([quantiles, brightest, centre, centre - brightest, *peaks], 1)


def _central(added: torch.Tensor, half: int) -> torch.Tensor:
    middle = added.shape[-1] // 2
    box = added[:, 0, middle - half : middle + half, middle - half : middle + half]
    return box.sum((1, 2))[:, None]


def corrupted(sample: Sample, generator: torch.Generator) -> dict[str, Sample]:
    """Return clusters made into what is none, by kind.

    - ``shifted``: moved by a quarter of the map's width or more; what leaves it comes in again.
    - ``noise``: as many photons, evenly over the map.
    - ``blank``: the background alone; where the components are known.
    - ``point``: background, and all other photons from one blurred point at the centre; likewise.
    """
    counts, made = sample.counts.float(), {}
    made["shifted"] = _shifted(sample.counts, generator)
    mean = counts.mean((2, 3), keepdim=True).expand_as(counts)
    made["noise"] = torch.poisson(mean, generator=generator)
    if sample.parts is not None:
        made["blank"] = sample.parts[:, -1]
        number = sample.parts[:, :-1].sum((1, 3, 4)).float()
        blurred = number[..., None, None] * _blurred_points(counts, generator)[:, None]
        made["point"] = made["blank"] + torch.poisson(blurred, generator=generator)
    return {kind: replace(sample, counts=maps, parts=None) for kind, maps in made.items()}


def _shifted(counts: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    side, n = counts.shape[-1], len(counts)
    along = torch.randint(side // 4, side - side // 4, (n,), generator=generator)
    across = torch.randint(0, side, (n,), generator=generator)
    turned = torch.randint(2, (n,), generator=generator)
    moves = zip(along.tolist(), across.tolist(), turned.tolist(), strict=True)
    rolled = [
        torch.roll(one, (across, along) if turn else (along, across), (1, 2))
        for one, (along, across, turn) in zip(counts, moves, strict=True)
    ]
    return torch.stack(rolled)


def _blurred_points(counts: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return King profiles with cores of 0.3 to 2.7 per cent of the map's width, shape (n, y, x).

    That is 12 to 100 kpc/h: what a telescope's blurring, of some arcseconds, is at redshifts from
    0.05 up.
    """
    side = counts.shape[-1]
    core = (0.003 + 0.024 * torch.rand(len(counts), generator=generator)) * side
    axis = torch.arange(side) - (side - 1) / 2
    square = axis[:, None] ** 2 + axis**2
    profile = (1 + square / core[:, None, None] ** 2) ** -1.7
    return profile / profile.sum((1, 2), keepdim=True)
