"""Clusters in memory, as networks take them: maps, and galaxies where the network sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
import xarray as xr

from icmass.errors import InputError
from icmass.survey.catalog import galaxy_offset, half_width_mpc_h
from icmass.survey.counts import counts as observed_counts
from icmass.survey.counts import read_coverage, read_maps
from icmass.survey.uncovered import fill_uncovered
from icmass.training.dihedral import dihedral, dihedral_points

GALAXY_VARIABLES = ("galaxy_offset", "galaxy_x", "galaxy_y", "galaxy_v")
STELLAR_MASS = "galaxy_m_star"
MEMBER = "galaxy_member"
_READ = 64  # clusters read at once
_NEIGHBOURS = 50  # in order of redshift, among which a background is looked for
_SAME_REDSHIFT = 0.01
_SAME_EXPOSURE = 0.01


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
    galaxies : Tensor of shape (n, galaxy, 3 or 4), or None
        Projected offsets x and y in half sides of the map, and line-of-sight velocity [km/s]; NaN
        after a cluster's last galaxy. Where the network sees stellar masses, these come last
        [Msun/h], NaN if the survey has none. None where the network has no use for galaxies.
    nh : Tensor of shape (n,), or None
        Galactic column density [1e20 cm^-2]; None where the network has no use for it.
    parts : Tensor of shape (n, component, channel, y, x), or None
        The counts by component, to be put together anew in training (`recombine_components`).
    members : Tensor of shape (n, galaxy), or None
        Which galaxies are the cluster's own: 1, those about it 0, NaN after the last; for training
        alone, as `parts` are.
    cubes : Tensor of shape (n, y, x, v), or None
        Density of the galaxies over an even one, where it is kept (`prepared` of the encoding);
        None: it is made of the galaxies when it is needed.
    """

    counts: torch.Tensor
    coverage: torch.Tensor | None
    redshift: torch.Tensor
    exposure: torch.Tensor
    galaxies: torch.Tensor | None = None
    nh: torch.Tensor | None = None
    parts: torch.Tensor | None = None
    members: torch.Tensor | None = None
    cubes: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def n_channels(self) -> int:
        """Channels of the maps: bands, and the coverage where there is one."""
        return self.counts.shape[1] + (self.coverage is not None)

    def tensors(self) -> list[torch.Tensor]:
        """Return all that the sample holds, but for the cubes, which the galaxies decide."""
        held = (getattr(self, field.name) for field in fields(self) if field.name != "cubes")
        return [tensor for tensor in held if tensor is not None]

    def first(self, n: int) -> Sample:
        """Return the first `n` clusters, in the memory of these."""
        return self._map(lambda tensor: tensor[:n])

    def take(self, index: torch.Tensor) -> Sample:
        """Return some of the clusters."""
        return self._map(lambda tensor: tensor[index])

    def to(self, device: torch.device) -> Sample:
        """Return the sample on a device."""
        return self._map(lambda tensor: tensor.to(device))

    def batches(self, size: int) -> Iterator[Sample]:
        """Yield the clusters in order, `size` at a time."""
        for index in torch.arange(len(self), device=self.counts.device).split(size):
            yield self.take(index)

    def d4_transform(self, symmetry: torch.Tensor | int) -> Sample:
        """Return all turned and mirrored, by one of the 8 symmetries (0 to 7) each."""
        coverage = None if self.coverage is None else dihedral(self.coverage, symmetry)
        galaxies = None if self.galaxies is None else dihedral_points(self.galaxies, symmetry)
        return replace(
            self,
            counts=dihedral(self.counts, symmetry),
            coverage=coverage,
            galaxies=galaxies,
            cubes=None,
        )

    def draw_augmentation(self, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw how `recombine_components` puts each cluster together in one epoch.

        Returns
        -------
        symmetry : Tensor of int, shape (n, component)
            Symmetry of the square of each component; the first is that of all where the counts
            are not told apart.
        partner : Tensor of int, shape (n,)
            Cluster at the same redshift and exposure that lends its background and interlopers;
            itself where there is none.
        """
        n_parts = 1 if self.parts is None else self.parts.shape[1]
        symmetry = torch.randint(8, (len(self), n_parts), generator=generator)
        own = torch.arange(len(self))
        redshift, exposure = self.redshift.cpu(), self.exposure.cpu()
        order = torch.from_numpy(np.lexsort((redshift.numpy(), exposure.numpy())))
        place = torch.empty_like(own)
        place[order] = own
        step = torch.randint(-_NEIGHBOURS, _NEIGHBOURS + 1, own.shape, generator=generator)
        partner = order[(place + step).clamp(0, len(self) - 1)]
        near = (redshift[partner] - redshift).abs() <= _SAME_REDSHIFT
        near &= (exposure[partner] / exposure - 1).abs() <= _SAME_EXPOSURE
        return symmetry, torch.where(near, partner, own)

    def recombine_components(
        self, index: torch.Tensor, symmetry: torch.Tensor, partner: torch.Tensor
    ) -> Sample:
        """Return some of the clusters as `draw_augmentation` has drawn them.

        Each component is turned and mirrored by itself, and the background, the last component,
        is another cluster's: as likely a sky as the one that was observed, for background and
        active galaxies know nothing of the gas but its centre. The galaxies that are not members
        are those about the other cluster, too.
        """
        if self.parts is None:
            return self.take(index).d4_transform(symmetry[index, 0])
        partner = partner[index]
        parts = (*self.parts[index, :-1].unbind(1), self.parts[partner, -1])
        turned = [dihedral(part, symmetry[index, k]) for k, part in enumerate(parts)]
        total = torch.stack(turned).sum(0, dtype=torch.int32)
        plain = replace(self, parts=None, members=None).take(index)
        if self.members is None:
            return replace(plain, counts=total)
        galaxies = torch.cat([self._of_kind(index, 1), self._of_kind(partner, 0)], 1)
        return replace(plain, counts=total, galaxies=galaxies, cubes=None)

    def _of_kind(self, index: torch.Tensor, member: int) -> torch.Tensor:
        """Return the galaxies of some clusters, NaN those of the other kind."""
        if self.galaxies is None or self.members is None:
            raise ValueError("a sample that does not know its members")
        of_kind = self.members[index] == member
        return torch.where(of_kind[..., None], self.galaxies[index], torch.nan)

    def _map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Sample:
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{k: function(v) for k, v in held.items() if v is not None})


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
        hint=f"the network takes multiples of {limit}, or {limit // 2} to {limit}",
    )


def read_sample(
    survey: xr.Dataset,
    index: np.ndarray,
    *,
    sum_bands: bool,
    max_pixels: int | None,
    coverage_channel: bool,
    with_galaxies: bool = False,
    with_nh: bool = False,
    with_parts: bool = False,
    with_stellar_masses: bool = False,
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
    with_galaxies : bool
        Whether the network sees the galaxies.
    with_nh : bool
        Whether the network sees the column density.
    with_parts : bool
        Whether the components are kept apart too; never where the survey has a coverage, which
        hides the same pixels of all.
    with_stellar_masses : bool
        Whether the network sees the galaxies' stellar masses too, where the survey has them.

    Raises
    ------
    InputError
        If the survey has no galaxies and the network sees them.
    """
    index = np.asarray(index)
    galaxies = _galaxies(survey, index, with_stellar_masses) if with_galaxies else None
    n_pixels = binned_pixels(survey.sizes["x"], max_pixels)
    has_coverage = "coverage" in survey
    shape = (len(index), 1 if sum_bands else survey.sizes["band"], n_pixels, n_pixels)
    maps = np.zeros(shape, "f4" if has_coverage and not coverage_channel else "i2")
    coverage = np.ones((len(index), 1, n_pixels, n_pixels), "f4") if coverage_channel else None
    apart = with_parts and not has_coverage and survey.sizes["component"] > 1
    parts = np.zeros((len(index), survey.sizes["component"], *shape[1:]), "i2") if apart else None
    told = apart and galaxies is not None and MEMBER in survey
    members = _galaxy_columns(survey, index, [MEMBER])[..., 0] if told else None
    for start in range(0, len(index), _READ):
        part = slice(start, start + _READ)
        if parts is not None:
            by_component = read_maps(survey, index[part])
            block = _of_components(by_component, sum_bands, n_pixels)
            parts = _store(parts, part, block)
            maps = _store(maps, part, block.sum(1, dtype="i4"))
            continue
        block = observed_counts(survey, index[part]).astype("i4")
        if sum_bands:
            block = block.sum(1, keepdims=True)
        if has_coverage:
            seen = read_coverage(survey, index[part])[:, None]
            if coverage is not None:
                coverage[part] = _bin(seen, n_pixels) * (n_pixels / survey.sizes["x"]) ** 2
            else:
                block = fill_uncovered(block, seen, drawn=True)
        maps = _store(maps, part, _bin(block, n_pixels))
    return Sample(
        torch.from_numpy(maps),
        None if coverage is None else torch.from_numpy(coverage),
        _column(survey, "redshift", index),
        _column(survey, "exposure", index),
        galaxies,
        _column(survey, "nh", index) if with_nh else None,
        None if parts is None else torch.from_numpy(parts),
        members,
    )


def reduce_sample(
    sample: Sample,
    *,
    sum_bands: bool,
    max_pixels: int | None,
    coverage_channel: bool = False,
    with_galaxies: bool = False,
    with_nh: bool = False,
    with_parts: bool = False,
    with_stellar_masses: bool = False,
) -> Sample:
    """Return what `read_sample` would have read with these keywords, of a sample that has more.

    Counts are whole numbers and stay where they are, on a GPU too; the sample has no coverage.
    """
    if coverage_channel or sample.coverage is not None:
        raise ValueError("counts with a coverage are not reduced")
    n_pixels = binned_pixels(sample.counts.shape[-1], max_pixels)

    def reduced(counts: torch.Tensor) -> torch.Tensor:
        if sum_bands and counts.shape[-3] > 1:
            counts = counts.sum(-3, keepdim=True, dtype=torch.int32)
        size = counts.shape[-1] // n_pixels
        if size > 1:
            blocks = counts.unflatten(-1, (n_pixels, size)).unflatten(-3, (n_pixels, size))
            counts = blocks.sum((-3, -1), dtype=torch.int32)
        return counts

    galaxies = sample.galaxies if with_galaxies else None
    parts = reduced(sample.parts) if with_parts and sample.parts is not None else None
    return replace(
        sample,
        counts=reduced(sample.counts),
        parts=parts,
        members=sample.members if parts is not None and with_galaxies else None,
        galaxies=galaxies if with_stellar_masses or galaxies is None else galaxies[..., :3],
        nh=sample.nh if with_nh else None,
        cubes=None,
    )


def _store(maps: np.ndarray, part: slice, block: np.ndarray) -> np.ndarray:
    """Put a block of counts into maps, which become 32 bits wide where 16 are too few."""
    if maps.dtype == np.int16 and block.max(initial=0) > np.iinfo(np.int16).max:
        maps = maps.astype("i4")
    maps[part] = block
    return maps


def _of_components(maps: np.ndarray, sum_bands: bool, n_pixels: int) -> np.ndarray:
    """Return counts (n, component, channel, y, x), bands and pixels added."""
    maps = maps.astype("i4")
    if sum_bands:
        maps = maps.sum(2, keepdims=True)
    n, components, *shape = maps.shape
    binned = _bin(maps.reshape(n * components, *shape), n_pixels)
    return binned.reshape(n, components, *binned.shape[1:])


def _galaxies(survey: xr.Dataset, index: np.ndarray, with_masses: bool) -> torch.Tensor:
    """Return the galaxies of clusters, see `Sample.galaxies`."""
    for name in GALAXY_VARIABLES:
        if name not in survey:
            hint = "the network sees galaxies: give a survey that has them"
            raise InputError("is missing", field=f"variable {name}", hint=hint)
    names = [f"galaxy_{axis}" for axis in "xyv"] + [STELLAR_MASS] * with_masses
    points = _galaxy_columns(survey, index, names)
    points[..., :2] /= half_width_mpc_h(survey)
    return points


def _galaxy_columns(survey: xr.Dataset, index: np.ndarray, names: Sequence[str]) -> torch.Tensor:
    """Return variables of the galaxies of clusters, shape (n, galaxy, name).

    NaN after a cluster's last galaxy, and where the survey has no such variable.
    """
    offset = galaxy_offset(survey)
    start, number = offset[index], np.diff(offset)[index]
    first, last = int(start.min(initial=offset[-1])), int((start + number).max(initial=0))
    near = slice(first, max(first, last))
    held = np.arange(number.max(initial=0)) < number[:, None]
    place = (start[:, None] - first + np.arange(held.shape[1]))[held]
    columns = np.full((*held.shape, len(names)), np.nan, "f4")
    for k, name in enumerate(names):
        if name in survey:
            columns[held, k] = survey[name].isel(galaxy=near).values[place]
    return torch.from_numpy(columns)


def _column(survey: xr.Dataset, name: str, index: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(survey[name].isel(cluster=index).values.astype("f4"))


def _bin(maps: np.ndarray, n_pixels: int) -> np.ndarray:
    """Add pixels of (n, channel, y, x) until `n_pixels` are left along a side."""
    if maps.shape[-1] == n_pixels:
        return maps
    size = maps.shape[-1] // n_pixels
    rows = maps[..., ::size, :].copy()
    for k in range(1, size):
        rows += maps[..., k::size, :]
    binned = rows[..., ::size].copy()
    for k in range(1, size):
        binned += rows[..., k::size]
    return binned
