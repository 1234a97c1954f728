"""Preprocessing fitted on training clusters: how a network's inputs and target are scaled."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from icmass.observe.phase_space import PhaseSpaceGrid, phase_space_cube
from icmass.training.sample import Sample

PAPER_PHOTONS = 4000.0  # every map is scaled to this total on average (Ho et al. 2023)
_AT_ONCE = 64  # clusters encoded at once while fitting
_GRID = PhaseSpaceGrid(half_width=1.0)  # that of the paper; x and y in half sides of the map


class _Encoding(BaseModel):
    """Numbers fitted on training data, as they stand in a saved model's configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    exposure_s: float
    redshift_slope: float
    redshift_zero: float

    def scale(self, sample: Sample) -> torch.Tensor:
        """Factor that takes each map to the mean total at its redshift and exposure, (n, 1, 1, 1).

        Ho et al. 2023: log10 N_tot = a z + b over clusters, map times 10^(log10 4000 - a z - b).
        """
        exponent = self.redshift_slope * sample.redshift + self.redshift_zero
        factor = PAPER_PHOTONS * 10**-exponent * self.exposure_s / sample.exposure
        return factor[:, None, None, None]

    def prepared(self, sample: Sample, room: int) -> Sample:
        """Return a sample that keeps what it can, in `room` bytes, of what every epoch needs."""
        return sample


def _redshift_fit(sample: Sample) -> tuple[float, float, float]:
    """Fit log10 N_tot = a z + b, with counts at the mean exposure: that exposure, a and b."""
    exposure = float(sample.exposure.mean())
    total = torch.cat([part.counts.sum((1, 2, 3)) for part in sample.batches(_AT_ONCE)]).double()
    total = torch.clamp(total, min=1.0) * exposure / sample.exposure
    z, y = sample.redshift.double().numpy(), torch.log10(total).numpy()
    slope = np.cov(z, y)[0, 1] / np.var(z, ddof=1) if np.ptp(z) > 0 else 0.0
    zero = y.mean() - slope * z.mean()
    return exposure, float(slope), float(zero)


def _moments(parts: Iterator[torch.Tensor], dims: tuple[int, ...]) -> tuple[list[float], ...]:
    """Mean and standard deviation over `dims`, with no more than one part in memory."""
    n, total, square = 0, torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for part in parts:
        values = part.double()
        kept = values.sum(dims)
        n += values.numel() // max(kept.numel(), 1)
        total, square = total + kept, square + (values**2).sum(dims)
    mean = total / n
    std = torch.sqrt(torch.clamp(square / n - mean**2, min=1e-12))
    return mean.reshape(-1).tolist(), std.reshape(-1).tolist()


class _PaperScaling(_Encoding):
    """The paper's maps and target: log10(x + 1), standardised as one; log mass in [-1, 1]."""

    log_mean: float = 0.0
    log_std: float = 1.0
    log10_mass_low: float
    log10_mass_high: float

    @classmethod
    def fit(cls, sample: Sample, lnm: np.ndarray) -> Self:
        """Fit on training clusters and their ln M500c."""
        log10_mass = lnm / math.log(10)
        exposure, slope, zero = _redshift_fit(sample)
        bare = cls(
            exposure_s=exposure,
            redshift_slope=slope,
            redshift_zero=zero,
            log10_mass_low=float(log10_mass.min()),
            log10_mass_high=float(log10_mass.max()),
        )
        parts = (bare.maps(part) for part in sample.batches(_AT_ONCE))
        (mean,), (std,) = _moments(parts, (0, 1, 2, 3))
        return bare.model_copy(update={"log_mean": mean, "log_std": std})

    def maps(self, sample: Sample) -> torch.Tensor:
        """Return the standardised log counts, shape (n, channel, y, x)."""
        log = torch.log10(sample.counts * self.scale(sample) + 1)
        return (log - self.log_mean) / self.log_std

    @property
    def lnm_scale(self) -> float:
        """Change of ln M per unit of the network's output."""
        return 0.5 * (self.log10_mass_high - self.log10_mass_low) * math.log(10)

    @property
    def lnm_zero(self) -> float:
        """Value of ln M where the network's output is zero."""
        return 0.5 * (self.log10_mass_high + self.log10_mass_low) * math.log(10)


class PaperEncoding(_PaperScaling):
    """That of the paper's networks of X-ray maps alone, of one band or several."""

    kind: Literal["paper"] = "paper"

    def encode(self, sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the network is fed with: maps (n, channel, y, x), scalars (n, 0)."""
        maps = self.maps(sample)
        return maps, maps.new_empty(len(sample), 0)


class MultimodalEncoding(_PaperScaling):
    """The paper's maps, and its phase-space cubes of the galaxies, standardised.

    Mean and standard deviation are those of the cubes over an even distribution: of a sum that is
    the number of voxels. A cube takes some milliseconds and a MiB: where there is room a sample
    keeps them (`prepared`), else every use makes them anew.
    """

    kind: Literal["multimodal"] = "multimodal"
    cube_mean: float = 0.0
    cube_std: float = 1.0

    @classmethod
    def fit(cls, sample: Sample, lnm: np.ndarray) -> Self:
        """Fit on training clusters and their ln M500c."""
        bare = super().fit(sample, lnm)
        parts = (bare.cubes(part) for part in sample.batches(_AT_ONCE))
        (mean,), (std,) = _moments(parts, (0, 1, 2, 3))
        return bare.model_copy(update={"cube_mean": mean, "cube_std": std})

    def cubes(self, sample: Sample) -> torch.Tensor:
        """Return the standardised density of the galaxies, shape (n, y, x, v)."""
        if sample.galaxies is None:
            raise ValueError("a sample without galaxies")
        relative = sample.cubes
        if relative is None:
            relative = density_cubes(sample.galaxies).to(sample.galaxies.device)
        return (relative - self.cube_mean) / self.cube_std

    def encode(self, sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the network is fed with: maps (n, band, y, x), cubes (n, y, x, v)."""
        return self.maps(sample), self.cubes(sample)

    def prepared(self, sample: Sample, room: int) -> Sample:
        """Return a sample that keeps its cubes, if they take no more than `room` bytes."""
        if not len(sample) or sample.galaxies is None or len(sample) * CUBE_BYTES > room:
            return sample
        cubes = torch.empty(len(sample), *3 * (_GRID.n_pixels,))  # never twice in memory
        for part, made in zip(cubes.split(_AT_ONCE), sample.galaxies.split(_AT_ONCE), strict=True):
            part.copy_(density_cubes(made))
        return replace(sample, cubes=cubes)


CUBE_BYTES = 4 * _GRID.n_pixels**3
"""What a cluster's cube takes."""


def density_cubes(galaxies: torch.Tensor) -> torch.Tensor:
    """Return the density of galaxies over an even one, shape (n, y, x, v); see `Sample.galaxies`.

    They are made by as many threads as torch has.
    """

    def cube(points: np.ndarray) -> torch.Tensor:
        x, y, v = points[np.isfinite(points[:, 0]), :3].T
        return torch.from_numpy(phase_space_cube(x, y, v, _GRID))

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return torch.stack(list(pool.map(cube, galaxies.cpu().numpy()))) * _GRID.n_pixels**3


def _like(tensor: torch.Tensor, values: tuple[float, ...]) -> torch.Tensor:
    """Return numbers beside a tensor, in its precision, without waiting for a GPU's work."""
    return torch.tensor(values, dtype=tensor.dtype).to(tensor.device, non_blocking=True)


class CompactEncoding(_Encoding):
    """Ours: variance-stabilised counts, normalised by redshift and exposure; standardised ln M.

    Beside the maps: redshift, ln exposure, N_H and, with galaxies, the number of them in cells of
    projected distance and line-of-sight velocity.
    """

    kind: Literal["compact"] = "compact"
    channel_mean: tuple[float, ...] = ()
    channel_std: tuple[float, ...] = ()
    scalar_mean: tuple[float, ...]
    scalar_std: tuple[float, ...]
    lnm_zero: float
    lnm_scale: float

    @classmethod
    def fit(cls, sample: Sample, lnm: np.ndarray) -> Self:
        """Fit on training clusters and their ln M500c."""
        scalar_mean, scalar_std = _moments((_numbers(p) for p in sample.batches(_AT_ONCE)), (0,))
        exposure, slope, zero = _redshift_fit(sample)
        bare = cls(
            exposure_s=exposure,
            redshift_slope=slope,
            redshift_zero=zero,
            scalar_mean=tuple(scalar_mean),
            scalar_std=tuple(s if s > 1e-4 else 0.0 for s in scalar_std),
            lnm_zero=float(lnm.mean()),
            lnm_scale=float(lnm.std()),
        )
        parts = (bare._stabilised(part) for part in sample.batches(_AT_ONCE))
        mean, std = _moments(parts, (0, 2, 3))
        return bare.model_copy(update={"channel_mean": tuple(mean), "channel_std": tuple(std)})

    def _stabilised(self, sample: Sample) -> torch.Tensor:
        root = torch.sqrt(sample.counts + 0.375) - math.sqrt(0.375)  # Anscombe 1948
        return root * torch.sqrt(self.scale(sample))

    def encode(self, sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the network is fed with: maps (n, channel, y, x), numbers (n, scalar)."""
        maps = self._stabilised(sample)
        mean, std = _like(maps, self.channel_mean), _like(maps, self.channel_std)
        maps = (maps - mean[:, None, None]) / std[:, None, None]
        if sample.coverage is not None:
            maps = torch.cat([maps, sample.coverage - 1], 1)
        numbers = _numbers(sample)
        mean, std = _like(numbers, self.scalar_mean), _like(numbers, self.scalar_std)
        return maps, torch.where(std > 0, (numbers - mean) / std.clamp(min=1e-4), 0.0)


class GalaxySetEncoding(CompactEncoding):
    """That of the compact networks, and each galaxy by itself after the numbers.

    Of a galaxy: whether there is one, projected distance from the centre in half sides of the map,
    absolute line-of-sight velocity, ln of the stellar mass and whether that is known
    (`icmass.networks.galaxy_set.FEATURES`). None of these knows an orientation, and the order of
    galaxies is nothing to the network.
    """

    kind: Literal["galaxy-set"] = "galaxy-set"  # type: ignore[assignment]

    def encode(self, sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
        """Return maps (n, channel, y, x); numbers and galaxies (n, scalar + FEATURES galaxy)."""
        maps, numbers = super().encode(sample)
        if sample.galaxies is None:
            raise ValueError("a sample without galaxies")
        return maps, torch.cat([numbers, _galaxy_features(sample.galaxies).flatten(1)], 1)


_FASTEST = 4000.0  # km/s; velocities within +-3785 km/s are kept
_TYPICAL_STELLAR_MASS = 1e10  # Msun/h; all above 10^9.5 are kept


def _galaxy_features(galaxies: torch.Tensor) -> torch.Tensor:
    """Return the features of `GalaxySetEncoding`, shape (n, galaxy, feature); 0 for padding."""
    x, y, v, *masses = galaxies.unbind(-1)
    mass = masses[0] if masses else torch.full_like(x, math.nan)
    there = x.isfinite()
    known = there & (mass > 0)
    ln_mass = torch.log(torch.where(known, mass, _TYPICAL_STELLAR_MASS) / _TYPICAL_STELLAR_MASS)
    features = [there, torch.hypot(x, y), v.abs() / _FASTEST, ln_mass, known]
    return torch.stack([torch.where(there, f.to(x.dtype), 0.0) for f in features], -1)


DISTANCES = (0.05, 0.12, 0.2, 0.3, 0.43, 0.57, 0.75, 1.0)
VELOCITIES = (250.0, 500.0, 750.0, 1000.0, 1500.0, 2000.0, 3000.0, 4000.0)
"""Upper edges of cells in phase space: half sides of the map, and km/s."""
N_CELLS = len(DISTANCES) * len(VELOCITIES)
SCALAR_FEATURES = ("redshift", "exposure", "nh")
"""What our networks see beside the map, always."""


def _numbers(sample: Sample) -> torch.Tensor:
    """Return what stands beside the maps, not yet standardised, shape (n, scalar)."""
    nh = torch.zeros_like(sample.redshift) if sample.nh is None else sample.nh
    numbers = torch.stack([sample.redshift, torch.log(sample.exposure), nh], 1)
    if sample.galaxies is None:
        return numbers
    return torch.cat([numbers, torch.sqrt(phase_space_counts(sample.galaxies))], 1)


def phase_space_counts(galaxies: torch.Tensor) -> torch.Tensor:
    """Count galaxies in cells of projected distance and velocity, shape (n, cell).

    Cells are those between `DISTANCES` and `VELOCITIES`; see `Sample.galaxies`. A count of the
    plane in which caustics are found (Diaferio & Geller 1997, ApJ 481, 633).
    """
    x, y, v = galaxies[..., :3].unbind(-1)
    edges = _like(galaxies, DISTANCES), _like(galaxies, VELOCITIES)
    row = torch.bucketize(torch.hypot(x, y), edges[0])
    column = torch.bucketize(v.abs(), edges[1])
    inside = (row < len(DISTANCES)) & (column < len(VELOCITIES)) & x.isfinite()
    cell = torch.where(inside, row * len(VELOCITIES) + column, 0)
    counts = galaxies.new_zeros(len(galaxies), N_CELLS)
    return counts.scatter_add_(1, cell, inside.to(counts.dtype))
