"""Training clusters read from stores while the network trains, in an order drawn anew each epoch.

The clusters of each store are cut into blocks of 64 that follow each other. An epoch takes the
blocks of all stores in a random order; those of a buffer, some thousand clusters, are put together
and shuffled by the trainer. Threads read ahead (decompression and NumPy give the interpreter up, so
processes gain nothing and would copy what they read). Counts are kept as bytes where they fit.
What the first epoch has read, later ones find on disk as they want it (`kept_blocks`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr

from icmass.training.config import TrainingConfig
from icmass.training.devices import Processes, derive_seed
from icmass.training.held_out import VALIDATION_SHARE, held_out, training_masses
from icmass.training.kept_blocks import KeptBlocks
from icmass.training.sample import Sample, binned_pixels, read_sample
from icmass.training.sources import Buffer, Target, buffered, concatenated, in_order, narrowed

IN_MEMORY_BYTES = 4 * 2**30
"""Clusters that take less are trained on in memory."""
FITTING, VALIDATION = 4096, 4096
"""Clusters in memory at most: of those trained on, and of those held out."""
BLOCK = 64
"""Clusters read at once, two chunks of a store."""
BUFFER_BYTES = 2**27
_LARGEST_BUFFER = 8192
_READERS = 2
_HALOS_A_SURVEY = 10**12  # halo numbers of one survey lie below
_SCALARS = ("m500c", "redshift", "exposure", "nh", "halo_id")


def cluster_bytes(survey: xr.Dataset, options: dict[str, Any]) -> int:
    """Return what a cluster takes in memory, read with options of `read_sample` [byte]."""
    side = binned_pixels(survey.sizes["x"], options["max_pixels"])
    channels = 1 if options["sum_bands"] else survey.sizes["band"]
    maps = 1 + (survey.sizes["component"] if options.get("with_parts") else 0)
    return int(side**2 * (2 * channels * maps + 4 * bool(options["coverage_channel"])))


@dataclass(frozen=True)
class _Block:
    """Clusters `start` to `stop` of a store, of which `rows` are trained on."""

    store: int
    start: int
    stop: int
    rows: np.ndarray
    lnm: np.ndarray


class StoredClusters:
    """Training clusters of any number of surveys on disk.

    Parameters
    ----------
    surveys : sequence of Dataset
        Opened, of one kind of maps.
    train : sequence of ndarray of int
        Of each, the training clusters, ascending.
    options : dict
        What of them is read: keywords of `read_sample`.
    seed : int
        Seed of what is held out, and of the order.
    block, buffer : int, optional
        Clusters read at once, and shuffled together (default: those of 128 MiB, 8,192 at most).
    """

    def __init__(
        self,
        surveys: Sequence[xr.Dataset],
        train: Sequence[np.ndarray],
        options: dict[str, Any],
        seed: int,
        *,
        block: int = BLOCK,
        buffer: int | None = None,
    ) -> None:
        self.surveys, self.options, self.seed = list(surveys), options, seed
        self.table = scalar_table(surveys, train)
        every = np.arange(self.table.sizes["cluster"])
        self.lnm = training_masses(self.table, every)
        share = min(VALIDATION_SHARE, VALIDATION / len(every))
        held = held_out(self.table, every, seed, share)
        self.n_train, self.n_held = len(every), int(held.sum())
        bytes_each = cluster_bytes(self.surveys[0], options) // 2 + 1
        self.buffer = buffer or min(BUFFER_BYTES // bytes_each + 1, _LARGEST_BUFFER)
        ends = np.cumsum([len(index) for index in train])
        parts = [slice(end - len(index), end) for end, index in zip(ends, train, strict=True)]
        self._blocks: list[_Block] = []
        read: list[Sample] = []
        for k, (part, index) in enumerate(zip(parts, train, strict=True)):
            fitted = ~held[part]
            self._blocks += _blocks(k, index[fitted], self.lnm[part][fitted], block)
            if not fitted.all():
                plain = options | {"with_parts": False}
                read.append(narrowed(read_sample(self.surveys[k], index[held[part]], **plain)))
        self.validation = concatenated(read), self.lnm[held]
        self.fitting = self._fitting()

    def _fitting(self) -> tuple[Sample, np.ndarray]:
        """Read blocks at random until there are enough clusters."""
        order = np.random.default_rng([self.seed, 8]).permutation(len(self._blocks))
        blocks, n = [], 0
        for b in order:
            if n < FITTING:
                blocks.append(self._blocks[b])
                n += len(self._blocks[b].rows)
        found = list(map(self.read, blocks))
        sample = concatenated([sample for sample, _ in found])
        return sample.first(FITTING), np.concatenate([lnm for _, lnm in found])[:FITTING]

    def read(self, block: _Block) -> tuple[Sample, np.ndarray]:
        """Return the clusters of a block that are trained on, and their ln M500c."""
        every = np.arange(block.start, block.stop)
        sample = read_sample(self.surveys[block.store], every, **self.options)
        if len(block.rows) < len(every):
            sample = sample.take(torch.from_numpy(block.rows))
        return narrowed(sample), block.lnm

    def source(self, target: Target) -> StreamSource:
        """Return the clusters as the trainer takes them."""
        return StreamSource(self, self._blocks, target)

    def adapted(self, config: TrainingConfig) -> TrainingConfig:
        """Return how to train on them: as in memory."""
        return config


class StreamSource:
    """The blocks of `StoredClusters` in an order of each epoch's own."""

    is_sharded = True

    def __init__(self, clusters: StoredClusters, blocks: list[_Block], target: Target) -> None:
        self._clusters, self._blocks, self._target = clusters, blocks, target
        self._n = sum(len(block.rows) for block in blocks)
        self._kept = KeptBlocks()
        self._rank, self._number, self._batch_size = 0, 1, 1
        self._device = torch.device("cpu")

    def __len__(self) -> int:
        return self._n

    def epochs(self, config: TrainingConfig) -> int:
        """Return the most epochs."""
        return config.epochs(len(self))

    def steps(self, config: TrainingConfig) -> int:
        """Return the steps of an epoch."""
        return -(-len(self) // config.batch_size)

    def fingerprint(self) -> tuple[list[Any], list[torch.Tensor]]:
        """Return how it is read, and of the clusters their scalars and those that are in memory."""
        clusters = self._clusters
        about = [len(self._blocks), clusters.buffer, clusters.seed]
        scalars = [clusters.table[name].values for name in _SCALARS if name in clusters.table]
        tensors = [torch.from_numpy(np.ascontiguousarray(values)) for values in scalars]
        return ["stream", about], tensors + clusters.fitting[0].tensors()

    def start(self, processes: Processes, device: torch.device, batch_size: int) -> None:
        """Take this process's share of the blocks."""
        self._rank, self._number = processes.rank, processes.number
        self._batch_size, self._device = processes.largest_share(batch_size), device

    def buffers(self, epoch: int) -> Iterator[Buffer]:
        """Yield the clusters of an epoch; all but the last hold a whole number of batches."""
        clusters = self._clusters
        rng = np.random.default_rng(derive_seed(clusters.seed, epoch, 5))
        order = rng.permutation(len(self._blocks))[self._rank :: self._number]
        ahead = max(clusters.buffer // BLOCK, _READERS)
        with ThreadPoolExecutor(_READERS) as pool:
            read = in_order(pool, self._read, order.tolist(), ahead)
            for sample, lnm in buffered(read, clusters.buffer, self._batch_size):
                yield sample.to(self._device), self._target(lnm).to(self._device)

    def _read(self, number: int) -> tuple[Sample, np.ndarray]:
        """Return a block as `StoredClusters.read` does, and keep it for later epochs."""
        block = self._blocks[number]
        kept = self._kept.read(number)
        if kept is not None:
            return kept, block.lnm
        sample, lnm = self._clusters.read(block)
        self._kept.keep(number, sample)
        return sample, lnm


def _blocks(store: int, index: np.ndarray, lnm: np.ndarray, size: int) -> list[_Block]:
    """Cut the training clusters of a store, ascending, into blocks where there are any."""
    blocks = []
    for start in np.unique(index // size) * size:
        first, last = np.searchsorted(index, [start, start + size])
        rows = index[first:last]
        low, high = int(rows[0]), int(rows[-1]) + 1
        blocks.append(_Block(store, low, high, rows - low, lnm[first:last]))
    return blocks


def scalar_table(
    surveys: Sequence[xr.Dataset], index: Sequence[np.ndarray] | None = None
) -> xr.Dataset:
    """Return the scalars of surveys' clusters, halos told apart; coordinates are the first's."""
    first = surveys[0]
    names = [n for n in _SCALARS if n != "halo_id" and all(n in survey for survey in surveys)]
    columns: dict[str, list[np.ndarray]] = {name: [] for name in [*names, "halo_id"]}
    for k, survey in enumerate(surveys):
        rows = slice(None) if index is None else index[k]
        halo = np.arange(survey.sizes["cluster"])
        halo = survey["halo_id"].values if "halo_id" in survey else halo
        columns["halo_id"].append(halo[rows] + k * _HALOS_A_SURVEY)
        for name in names:
            columns[name].append(survey[name].values[rows])
    data = {name: ("cluster", np.concatenate(values)) for name, values in columns.items()}
    return xr.Dataset(data, {c: first[c] for c in ("band", "x", "y")}, first.attrs)


def shared(surveys: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """Return surveys with those variables that all of them have."""
    names = set.intersection(*({str(name) for name in s.data_vars} for s in surveys))
    return [survey[sorted(names)] for survey in surveys]
