"""What networks are fed with: counts read from a survey, and encodings fitted on training data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import torch
import xarray as xr
from pydantic import BaseModel, ConfigDict

from icmass.errors import InputError
from icmass.survey.catalog import counts as observed_counts

PAPER_PHOTONS = 4000.0  # every map is scaled to this total on average (Ho et al. 2023)
_READ = 64  # clusters read at once


@dataclass(frozen=True)
class Sample:
    """Clusters in memory, as a network's preprocessing takes them.

    Attributes
    ----------
    counts : Tensor, shape (n, channel, y, x)
        Photon counts, summed over components, and over bands where the network has one band.
    coverage : Tensor of shape (n, 1, y, x), or None
        Fraction of the exposure; None where the network has no use for it.
    redshift, exposure : Tensor, shape (n,)
        Redshift and exposure [s].
    """

    counts: torch.Tensor
    coverage: torch.Tensor | None
    redshift: torch.Tensor
    exposure: torch.Tensor

    def __len__(self) -> int:
        return len(self.counts)

    def take(self, index: torch.Tensor) -> Sample:
        """Return some of the clusters."""
        coverage = None if self.coverage is None else self.coverage[index]
        return Sample(self.counts[index], coverage, self.redshift[index], self.exposure[index])

    def to(self, device: torch.device) -> Sample:
        """Return the sample on a device."""
        coverage = None if self.coverage is None else self.coverage.to(device)
        return Sample(
            self.counts.to(device), coverage, self.redshift.to(device), self.exposure.to(device)
        )

    def batches(self, size: int) -> Iterator[Sample]:
        """Yield the clusters in order, `size` at a time."""
        for index in torch.arange(len(self), device=self.counts.device).split(size):
            yield self.take(index)

    def turned(self, symmetry: torch.Tensor | int) -> Sample:
        """Return the maps turned and mirrored, by one of the 8 symmetries (0 to 7) each."""
        coverage = None if self.coverage is None else dihedral(self.coverage, symmetry)
        return replace(self, counts=dihedral(self.counts, symmetry), coverage=coverage)


def dihedral(maps: torch.Tensor, symmetry: torch.Tensor | int) -> torch.Tensor:
    """Apply one of the 8 symmetries of the square to each map, shape (n, channel, y, x)."""
    if isinstance(symmetry, int):
        turned = torch.rot90(maps, symmetry % 4, (2, 3))
        return turned.flip(3) if symmetry >= 4 else turned
    out = torch.empty_like(maps)
    for k in range(8):
        chosen = symmetry == k
        out[chosen] = dihedral(maps[chosen], k)
    return out


def binned_pixels(n_pixels: int, limit: int | None) -> int:
    """Return the pixels along a side after binning to at most `limit` (None: no binning)."""
    if limit is None or n_pixels == limit:
        return n_pixels
    if n_pixels > limit and n_pixels % limit == 0:
        return limit
    if limit // 2 <= n_pixels < limit:
        return n_pixels
    raise InputError(
        f"{n_pixels} x {n_pixels} pixels",
        field="variable maps",
        mend=f"the network takes multiples of {limit}, or {limit // 2} to {limit}",
    )


def read_sample(
    survey: xr.Dataset,
    index: np.ndarray,
    *,
    sum_bands: bool,
    max_pixels: int | None,
    coverage_channel: bool,
) -> Sample:
    """Read clusters, a few at a time, adding bands and pixels as the network wants them.

    Parameters
    ----------
    survey : Dataset
        The survey.
    index : ndarray of int, shape (n,)
        The clusters.
    sum_bands : bool
        Whether to add the bands.
    max_pixels : int or None
        Bin the maps to this many pixels along a side.
    coverage_channel : bool
        Whether the network sees the coverage. If not, counts of a survey that has one are
        corrected for it, see `fill_uncovered`.
    """
    index = np.asarray(index)
    n_pixels = binned_pixels(survey.sizes["x"], max_pixels)
    has_coverage = "coverage" in survey
    shape = (len(index), 1 if sum_bands else survey.sizes["band"], n_pixels, n_pixels)
    maps = np.zeros(shape, "f4" if has_coverage and not coverage_channel else "i2")
    coverage = np.ones((len(index), 1, n_pixels, n_pixels), "f4") if coverage_channel else None
    for start in range(0, len(index), _READ):
        part = slice(start, start + _READ)
        block = observed_counts(survey, index[part]).astype("i4")
        if sum_bands:
            block = block.sum(1, keepdims=True)
        if has_coverage:
            seen = survey["coverage"].isel(cluster=index[part]).values[:, None].astype("f4")
            if coverage is not None:
                coverage[part] = _bin(seen, n_pixels) * (n_pixels / survey.sizes["x"]) ** 2
            else:
                block = fill_uncovered(block, seen)
        block = _bin(block, n_pixels)
        if maps.dtype == np.int16 and block.max(initial=0) > np.iinfo(np.int16).max:
            maps = maps.astype("i4")
        maps[part] = block
    return Sample(
        torch.from_numpy(maps),
        None if coverage is None else torch.from_numpy(coverage),
        _column(survey, "redshift", index),
        _column(survey, "exposure", index),
    )


def _column(survey: xr.Dataset, name: str, index: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(survey[name].isel(cluster=index).values.astype("f4"))


def _bin(maps: np.ndarray, n_pixels: int) -> np.ndarray:
    """Add pixels of (n, channel, y, x) until `n_pixels` are left along a side."""
    if maps.shape[-1] == n_pixels:
        return maps
    n, channels, side, _ = maps.shape
    size = side // n_pixels
    return maps.reshape(n, channels, n_pixels, size, n_pixels, size).sum((3, 5))


def fill_uncovered(counts: np.ndarray, coverage: np.ndarray, least: float = 0.2) -> np.ndarray:
    """Return counts as at full exposure; pixels that saw too little take their ring's mean.

    Parameters
    ----------
    counts : ndarray, shape (n, channel, y, x)
        Photon counts.
    coverage : ndarray, shape (n, 1, y, x)
        Exposure of the pixel over the cluster's exposure.
    least : float
        Pixels with less coverage than this are filled.
    """
    side = counts.shape[-1]
    offset = np.arange(side) - (side - 1) / 2
    ring = np.hypot(offset[:, None], offset).astype(int)
    n_rings = ring.max() + 1
    filled = counts.astype("f4")
    for cluster, seen in zip(filled, coverage[:, 0], strict=True):
        good = seen >= least
        if not good.any():
            raise InputError(
                "0 everywhere", field="variable coverage", mend="check the mask and the position"
            )
        exposure = np.bincount(ring[good], seen[good], n_rings)
        for channel in cluster:
            total = np.bincount(ring[good], channel[good], n_rings)
            lone = exposure == 0
            rate = np.where(lone, total.sum() / exposure.sum(), total / np.where(lone, 1, exposure))
            channel[good] /= seen[good]
            channel[~good] = rate[ring[~good]]
    return filled


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


def _redshift_fit(sample: Sample) -> tuple[float, float, float]:
    """Fit log10 N_tot = a z + b, with counts at the mean exposure: that exposure, a and b."""
    exposure = float(sample.exposure.mean())
    total = torch.cat([part.counts.sum((1, 2, 3)) for part in sample.batches(_READ)]).double()
    total = torch.clamp(total, min=1.0) * exposure / sample.exposure
    z, y = sample.redshift.double().numpy(), torch.log10(total).numpy()
    slope = np.cov(z, y)[0, 1] / np.var(z, ddof=1) if np.ptp(z) > 0 else 0.0
    zero = y.mean() - slope * z.mean()
    return exposure, float(slope), float(zero)


def _moments(parts: Iterator[torch.Tensor], dims: tuple[int, ...]) -> tuple[list[float], ...]:
    """Mean and standard deviation over `dims`, with no more than one part in memory."""
    n, total, square = 0, torch.zeros(1), torch.zeros(1)
    for part in parts:
        values = part.double()
        kept = values.sum(dims)
        n += values.numel() // max(kept.numel(), 1)
        total, square = total + kept, square + (values**2).sum(dims)
    mean = total / n
    std = torch.sqrt(torch.clamp(square / n - mean**2, min=1e-12))
    return mean.reshape(-1).tolist(), std.reshape(-1).tolist()


class PaperEncoding(_Encoding):
    """The paper's: normalised by redshift, log10(x + 1), standardised; log mass in [-1, 1]."""

    kind: Literal["paper"] = "paper"
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
        parts = (bare.encode(part)[0] for part in sample.batches(_READ))
        (mean,), (std,) = _moments(parts, (0, 1, 2, 3))
        return bare.model_copy(update={"log_mean": mean, "log_std": std})

    def encode(self, sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the network is fed with: maps (n, 1, y, x), scalars (n, 0)."""
        log = torch.log10(sample.counts * self.scale(sample) + 1)
        return (log - self.log_mean) / self.log_std, log.new_empty(len(sample), 0)

    @property
    def n_scalars(self) -> int:
        """Number of scalars beside the map."""
        return 0

    @property
    def lnm_scale(self) -> float:
        """Change of ln M per unit of the network's output."""
        return 0.5 * (self.log10_mass_high - self.log10_mass_low) * math.log(10)

    @property
    def lnm_zero(self) -> float:
        """Value of ln M where the network's output is zero."""
        return 0.5 * (self.log10_mass_high + self.log10_mass_low) * math.log(10)


class CompactEncoding(_Encoding):
    """Ours: variance-stabilised counts, normalised by redshift and exposure; standardised ln M."""

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
        scalars = torch.stack([sample.redshift, torch.log(sample.exposure)], 1)
        scalar_mean, scalar_std = _moments(iter([scalars]), (0,))
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
        parts = (bare._stabilised(part) for part in sample.batches(_READ))
        mean, std = _moments(parts, (0, 2, 3))
        return bare.model_copy(update={"channel_mean": tuple(mean), "channel_std": tuple(std)})

    def _stabilised(self, sample: Sample) -> torch.Tensor:
        root = torch.sqrt(sample.counts + 0.375) - math.sqrt(0.375)  # Anscombe 1948
        return root * torch.sqrt(self.scale(sample))

    def encode(self, sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the network is fed with: maps (n, channel, y, x), scalars (n, 2)."""
        maps = self._stabilised(sample)
        mean, std = maps.new_tensor(self.channel_mean), maps.new_tensor(self.channel_std)
        maps = (maps - mean[:, None, None]) / std[:, None, None]
        if sample.coverage is not None:
            maps = torch.cat([maps, sample.coverage - 1], 1)
        scalars = torch.stack([sample.redshift, torch.log(sample.exposure)], 1)
        mean, std = scalars.new_tensor(self.scalar_mean), scalars.new_tensor(self.scalar_std)
        return maps, torch.where(std > 0, (scalars - mean) / std.clamp(min=1e-4), 0.0)

    @property
    def n_scalars(self) -> int:
        """Number of scalars beside the map."""
        return 2
