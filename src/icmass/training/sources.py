"""Where a training's clusters come from: memory, stores on disk, or a simulator.

The trainer asks a `Source` for buffers of clusters, epoch by epoch, and shuffles those within each.
In memory there is one buffer, of all clusters. What is read or simulated on the way comes in
blocks, which are put together to buffers of a whole number of batches; of several processes each
gets blocks of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import fields, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
import xarray as xr
from torch.nn import functional

from icmass.training.config import TrainingConfig
from icmass.training.devices import Processes
from icmass.training.sample import Sample

Buffer = tuple[Sample, torch.Tensor]
"""Clusters, and the targets of the network, shape (n,)."""
Target = Callable[[np.ndarray], torch.Tensor]
"""Takes ln M500c to the targets of the network."""
Item = TypeVar("Item")
Result = TypeVar("Result")


@runtime_checkable
class Source(Protocol):
    """Clusters to train on.

    Attributes
    ----------
    is_sharded : bool
        Whether each of several processes gets clusters of its own, and not all of them all.
    """

    is_sharded: bool

    def __len__(self) -> int:
        """Return the number of clusters of an epoch, at most."""

    def epochs(self, config: TrainingConfig) -> int:
        """Return the most epochs."""

    def steps(self, config: TrainingConfig) -> int:
        """Return the steps of an epoch, at most."""

    def fingerprint(self) -> tuple[list[Any], list[torch.Tensor]]:
        """Return all that decides the clusters: a JSON document, and tensors."""

    def start(self, processes: Processes, device: torch.device, batch_size: int) -> None:
        """Get ready for training on a device; called once before `buffers`."""

    def buffers(self, epoch: int) -> Iterator[Buffer]:
        """Yield the clusters of an epoch, which the trainer shuffles within each buffer.

        But for the last, a sharded source's buffers hold a whole number of the process's batches.
        """


class Clusters(Protocol):
    """The training clusters of a network that are not all in memory, and parts of them that are.

    Attributes
    ----------
    table : Dataset
        Scalars of the training clusters, with coordinates and attributes of the survey.
    fitting, validation : (Sample, ndarray of shape (n,))
        A bounded random part of the clusters that are trained on, for what is fitted to them
        beside the network; clusters of other halos, held out. With their ln M500c.
    n_train, n_held : int
        Training clusters, those held out among them; how many are held out.
    """

    table: xr.Dataset
    fitting: tuple[Sample, np.ndarray]
    validation: tuple[Sample, np.ndarray]
    n_train: int
    n_held: int

    def source(self, target: Target) -> Source:
        """Return the clusters as the trainer takes them."""

    def adapted(self, config: TrainingConfig) -> TrainingConfig:
        """Return how to train on them."""


class InMemory:
    """All clusters at once, in one buffer on the device."""

    is_sharded = False

    def __init__(self, sample: Sample, target: torch.Tensor) -> None:
        self.sample, self.target = sample, target

    def __len__(self) -> int:
        return len(self.sample)

    def epochs(self, config: TrainingConfig) -> int:
        """Return the most epochs."""
        return config.epochs(len(self))

    def steps(self, config: TrainingConfig) -> int:
        """Return the steps of an epoch."""
        return -(-len(self) // config.batch_size)

    def fingerprint(self) -> tuple[list[Any], list[torch.Tensor]]:
        """Return nothing but the clusters."""
        return [], [*self.sample.tensors(), self.target]

    def start(self, processes: Processes, device: torch.device, batch_size: int) -> None:
        """Move the clusters to the device."""
        self.sample, self.target = self.sample.to(device), self.target.to(device)

    def buffers(self, epoch: int) -> Iterator[Buffer]:
        """Yield all clusters."""
        yield self.sample, self.target


def narrowed(sample: Sample) -> Sample:
    """Return a sample whose counts are bytes where none is above 255."""

    def narrow(counts: torch.Tensor | None) -> torch.Tensor | None:
        if counts is None or counts.is_floating_point() or not len(counts) or counts.max() > 255:
            return counts
        return counts.to(torch.uint8)

    counts = narrow(sample.counts)
    return replace(sample, counts=sample.counts if counts is None else counts,
                   parts=narrow(sample.parts))  # fmt: skip


def concatenated(samples: list[Sample]) -> Sample:
    """Return samples as one, counts as wide as the widest of them.

    Members are known where all samples know theirs.
    """
    if len(samples) == 1:
        return samples[0]
    joined: dict[str, Any] = {"coverage": None}
    for field in fields(Sample):
        tensors = [getattr(sample, field.name) for sample in samples]
        unknown = field.name == "members" and any(tensor is None for tensor in tensors)
        if tensors[0] is None or unknown:
            continue
        if field.name in ("galaxies", "members"):
            most = max(tensor.shape[1] for tensor in tensors)
            beyond = (0,) * (2 * tensors[0].ndim - 4)  # of the axes after that of the galaxies
            tensors = [
                functional.pad(t, (*beyond, 0, most - t.shape[1]), value=float("nan"))
                for t in tensors
            ]
        joined[field.name] = torch.cat(tensors)
    return Sample(**joined)


def buffered(
    blocks: Iterable[tuple[Sample, np.ndarray]], size: int, batch_size: int
) -> Iterator[tuple[Sample, np.ndarray]]:
    """Put blocks together to buffers of at least `size` clusters; the last one has what is left.

    Each but the last holds a whole number of batches; clusters over go to the next.
    """
    samples: list[Sample] = []
    masses: list[np.ndarray] = []
    n = 0
    for sample, lnm in blocks:
        samples.append(sample)
        masses.append(lnm)
        n += len(lnm)
        if n < max(size, batch_size):
            continue
        sample, lnm = concatenated(samples), np.concatenate(masses)
        n_whole = n // batch_size * batch_size
        over = torch.arange(n_whole, n)
        samples, masses, n = [sample.take(over)], [lnm[n_whole:]], n - n_whole
        yield sample.first(n_whole), lnm[:n_whole]
    if n:
        yield concatenated(samples), np.concatenate(masses)


def in_order(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Yield what a function gives of items, in their order, computed up to `ahead` in advance."""
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
