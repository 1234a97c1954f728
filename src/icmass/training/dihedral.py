"""The eight symmetries of the square, of maps and of points."""

from __future__ import annotations

from collections.abc import Callable

import torch


def dihedral(maps: torch.Tensor, symmetry: torch.Tensor | int) -> torch.Tensor:
    """Apply one of the 8 symmetries of the square to each map, shape (n, channel, y, x)."""
    if isinstance(symmetry, int):
        turned = torch.rot90(maps, symmetry % 4, (2, 3))
        return turned.flip(3) if symmetry >= 4 else turned
    if maps.is_cuda:
        return dihedral_by_masks(maps, symmetry)
    return _one_by_one(dihedral, maps, symmetry)


def dihedral_by_masks(maps: torch.Tensor, symmetry: torch.Tensor) -> torch.Tensor:
    """Return what `dihedral` does, in three passes over all maps.

    Picking the maps of each symmetry, a GPU would wait for the numbers of them eight times.
    """
    turns, mirrored = symmetry % 4, symmetry >= 4

    def where(chosen: torch.Tensor, changed: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        return torch.where(chosen[:, None, None, None], changed, maps)

    maps = where(turns % 2 == 1, maps.transpose(2, 3), maps)  # a quarter turn, but for flips
    maps = where((turns == 1) | (turns == 2), maps.flip(2), maps)
    return where((turns >= 2) ^ mirrored, maps.flip(3), maps)


def dihedral_points(points: torch.Tensor, symmetry: torch.Tensor | int) -> torch.Tensor:
    """Turn and mirror x and y of points, shape (n, point, 3 or more), as `dihedral` does maps."""
    if isinstance(symmetry, int):
        x, y, *others = points.unbind(-1)
        for _ in range(symmetry % 4):
            x, y = y, -x
        return torch.stack([-x if symmetry >= 4 else x, y, *others], -1)
    if points.is_cuda:
        return dihedral_points_by_masks(points, symmetry)
    return _one_by_one(dihedral_points, points, symmetry)


def dihedral_points_by_masks(points: torch.Tensor, symmetry: torch.Tensor) -> torch.Tensor:
    """Return what `dihedral_points` does without picking points; see `dihedral_by_masks`."""
    symmetry = symmetry[:, None]
    x, y, *others = points.unbind(-1)
    for k in range(3):
        turned = symmetry % 4 > k
        x, y = torch.where(turned, y, x), torch.where(turned, -x, y)
    return torch.stack([torch.where(symmetry >= 4, -x, x), y, *others], -1)


def _one_by_one(
    turned: Callable[[torch.Tensor, int], torch.Tensor],
    values: torch.Tensor,
    symmetry: torch.Tensor,
) -> torch.Tensor:
    """Return clusters turned by a symmetry each, those of one symmetry at a time."""
    out = torch.empty_like(values)
    for k in range(8):
        chosen = symmetry == k
        out[chosen] = turned(values[chosen], k)
    return out
