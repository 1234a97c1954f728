"""Training clusters that are simulated while the network trains, and stored nowhere.

Block b is clusters [256 b, 256 (b + 1)) of the survey of a configuration and a seed. Processes
simulate the blocks ahead of the training, which gets them in their order, so that their number
changes nothing. 16 blocks are a round, which is shuffled, trained on once (or a few times) and
forgotten. A round is what an epoch is elsewhere: after it the network is validated and its
checkpoint written. The first 32 blocks are the head: of its halos a tenth is scored on, a tenth of
the rest is held out for validation, and what is fitted beside the network is fitted on what is
left. Later clusters of the halos that are scored on or held out are left out.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
import xarray as xr

from icmass.survey.blocks import simulate_block
from icmass.survey.tasks import ONE_THREAD
from icmass.training.config import TrainingConfig
from icmass.training.devices import Processes
from icmass.training.held_out import held_out, hold_out
from icmass.training.sample import Sample, read_sample
from icmass.training.sources import Buffer, Target, buffered, concatenated, narrowed
from icmass.training.streaming import FITTING, scalar_table

BLOCK = 256
"""Clusters simulated by one process at a time."""
ROUND = 16
"""Blocks of a round."""
HEAD = 32
"""Blocks of which halos are held out."""
SCORED_SHARE = 0.1
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Plan:
    """Which clusters are simulated, and how they come.

    Attributes
    ----------
    config : str
        A `SurveyConfig`, as JSON.
    seed, n : int
        Seed and size of the survey.
    reuse : int
        How often each cluster is trained on.
    block, round, head : int
        Clusters of a block, blocks of a round and of the head.
    """

    config: str
    seed: int
    n: int
    reuse: int = 1
    block: int = BLOCK
    round: int = ROUND
    head: int = HEAD

    @property
    def n_blocks(self) -> int:
        """Number of blocks; the last may be smaller."""
        return -(-self.n // self.block)

    @property
    def n_rounds(self) -> int:
        """Number of rounds; the last may be smaller."""
        return -(-self.n_blocks // self.round)

    @property
    def n_head(self) -> int:
        """Number of blocks of the head."""
        return min(self.head, self.n_blocks)

    def clusters(self, block: int) -> tuple[int, int]:
        """Return the first cluster of a block, and the one after its last."""
        return block * self.block, min((block + 1) * self.block, self.n)


@dataclass(frozen=True)
class Block:
    """Simulated clusters: what the network reads, as arrays, and their scalars."""

    arrays: dict[str, np.ndarray]
    table: xr.Dataset

    @property
    def sample(self) -> Sample:
        """The clusters as networks take them."""
        held: dict[str, Any] = {name: torch.from_numpy(a) for name, a in self.arrays.items()}
        return Sample(**({"coverage": None} | held))


def make_block(plan: Plan, options: dict[str, Any], number: int) -> Block:
    """Simulate one block; `options` are keywords of `read_sample`."""
    survey = simulate_block(plan.config, plan.seed, *plan.clusters(number))
    options = options | {"coverage_channel": options["coverage_channel"] and "coverage" in survey}
    sample = narrowed(read_sample(survey, np.arange(survey.sizes["cluster"]), **options))
    tensors = {field.name: getattr(sample, field.name) for field in fields(sample)}
    # arrays, because torch would hand tensors to other processes by open files, of which few may be
    arrays = {name: tensor.numpy() for name, tensor in tensors.items() if tensor is not None}
    return Block(arrays, scalar_table([survey]))


class Simulators:
    """Processes that simulate blocks in order, some ahead of what is asked for.

    Parameters
    ----------
    plan : Plan
    options : dict
        Keywords of `read_sample`.
    workers : int
        Processes.
    """

    def __init__(self, plan: Plan, options: dict[str, Any], workers: int) -> None:
        self.plan, self.options, self.workers = plan, options, workers
        self._pool: ProcessPoolExecutor | None = None
        self._numbers: list[int] = []
        self._waiting: deque[tuple[int, Future[Block]]] = deque()

    def ask_for(self, numbers: list[int]) -> None:
        """Say which blocks are wanted next, in their order; others are given up."""
        waiting = [number for number, _ in self._waiting]
        if numbers[: len(waiting)] == waiting:
            self._numbers = numbers[len(waiting) :]
        else:
            self._clear()
            self._numbers = list(numbers)
        self._submit()

    def next(self) -> Block:
        """Return the next block that was asked for.

        Raises
        ------
        OSError
            If a process was killed.
        """
        _, future = self._waiting.popleft()
        try:
            self._submit()
            return future.result()
        except BrokenProcessPool:
            what = "a process that simulates was killed, for lack of memory it may be"
            raise OSError(f"{what}: use fewer --workers, and --resume") from None

    def close(self) -> None:
        """End the processes."""
        self._clear()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _clear(self) -> None:
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()

    def _submit(self) -> None:
        if self._pool is None:
            self._pool = _pool(self.workers)
        while self._numbers and len(self._waiting) < self.plan.round + self.workers:
            number = self._numbers.pop(0)
            future = self._pool.submit(make_block, self.plan, self.options, number)
            self._waiting.append((number, future))


def _pool(workers: int) -> ProcessPoolExecutor:
    """Return processes of one thread each."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update({name: str(n) for name, n in ONE_THREAD.items()})
    try:
        # "spawn": a fork of a process with torch's threads may hang
        pool = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=signal.signal,  # the main process alone answers to an interrupt
            initargs=(signal.SIGINT, signal.SIG_IGN),
        )
        pool.submit(os.getpid).result()  # starts all of them
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
    return pool


class SimulatedClusters:
    """Training clusters that are simulated as they are needed; use it in a ``with`` statement.

    Parameters
    ----------
    plan : Plan
    options : dict
        What of the clusters is read: keywords of `read_sample`.
    seed : int
        Seed of what is held out.
    workers : int
        Processes that simulate.
    progress : callable, optional
        Called with the number of clusters of which blocks have come, and in all.
    """

    def __init__(
        self,
        plan: Plan,
        options: dict[str, Any],
        seed: int,
        *,
        workers: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.plan, self._progress = plan, progress
        self.simulators = Simulators(plan, options, workers)
        try:
            self._simulate_head(seed)
        except BaseException:
            self.simulators.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.simulators.close()

    def _simulate_head(self, seed: int) -> None:
        """Make the head, and share it out."""
        plan = self.plan
        self.simulators.ask_for(list(range(plan.n_blocks)))
        blocks = [self.next_block(number) for number in range(plan.n_head)]
        samples = [block.sample for block in blocks]
        head = xr.concat([block.table for block in blocks], "cluster", combine_attrs="override")
        halo, sizes = head["halo_id"].values, [len(sample) for sample in samples]
        train, test = hold_out(halo, SCORED_SHARE, seed)
        held = held_out(head, train, seed)
        self.left_out = np.unique(halo[np.concatenate([test, train[held]])])
        self.head = [self.trained(block) for block in blocks]
        self.table, self.scored_table = head.isel(cluster=train), head.isel(cluster=test)
        lnm = np.log(head["m500c"].values)

        def taken(rows: np.ndarray, with_parts: bool) -> tuple[Sample, np.ndarray]:
            parts = np.split(rows, np.searchsorted(rows, np.cumsum(sizes)[:-1]))
            starts = np.cumsum([0, *sizes[:-1]])
            found = [
                (sample if with_parts else replace(sample, parts=None)).take(
                    torch.from_numpy(part - start)
                )
                for sample, part, start in zip(samples, parts, starts, strict=True)
            ]
            return concatenated(found), lnm[rows]

        self.scored, _ = taken(test, with_parts=False)
        self.validation = taken(train[held], with_parts=False)
        rng = np.random.default_rng([seed, 8])
        self.fitting = taken(np.sort(rng.permutation(train[~held])[:FITTING]), with_parts=True)
        self.n_held = int(held.sum())
        self.n_train = plan.n - len(test)

    def next_block(self, number: int) -> Block:
        """Return the next block that was asked for, which has this number."""
        block = self.simulators.next()
        if self._progress is not None:
            self._progress(self.plan.clusters(number)[1], self.plan.n)
        return block

    def trained(self, block: Block) -> tuple[Sample, np.ndarray]:
        """Return the clusters of a block that are trained on, and their ln M500c."""
        kept = np.flatnonzero(~np.isin(block.table["halo_id"].values, self.left_out))
        sample, lnm = block.sample, np.log(block.table["m500c"].values)
        if len(kept) < len(lnm):
            sample = sample.take(torch.from_numpy(kept))
        return sample, lnm[kept]

    def source(self, target: Target) -> OnlineSource:
        """Return the clusters as the trainer takes them."""
        return OnlineSource(self, target)

    def adapted(self, config: TrainingConfig) -> TrainingConfig:
        """Return how to train on them: to the end, which is where the clusters end."""
        return replace(config, max_epochs=self.plan.n_rounds, min_steps=0, patience=None)


class OnlineSource:
    """The rounds of `SimulatedClusters`."""

    is_sharded = True

    def __init__(self, clusters: SimulatedClusters, target: Target) -> None:
        self._clusters, self._target = clusters, target
        self._rank, self._number, self._batch_size, self._device = 0, 1, 1, _CPU

    def __len__(self) -> int:
        plan = self._clusters.plan
        return min(plan.round * plan.block, plan.n) * plan.reuse

    def epochs(self, config: TrainingConfig) -> int:
        """Return the number of rounds."""
        return self._clusters.plan.n_rounds

    def steps(self, config: TrainingConfig) -> int:
        """Return the steps of a round, at most."""
        reuse = self._clusters.plan.reuse
        return reuse * -(-len(self) // reuse // config.batch_size)

    def fingerprint(self) -> tuple[list[Any], list[torch.Tensor]]:
        """Return the plan, and the clusters that are in memory."""
        plan = self._clusters.plan
        return ["online", vars(plan)], self._clusters.fitting[0].tensors()

    def start(self, processes: Processes, device: torch.device, batch_size: int) -> None:
        """Take this process's share of the blocks."""
        self._rank, self._number = processes.rank, processes.number
        self._batch_size, self._device = processes.largest_share(batch_size), device

    def buffers(self, epoch: int) -> Iterator[Buffer]:
        """Yield the clusters of a round, as often as they are trained on."""
        plan, clusters = self._clusters.plan, self._clusters
        first, end = epoch * plan.round, (epoch + 1) * plan.round
        own = range(first + self._rank, plan.n_blocks, self._number)
        clusters.simulators.ask_for([number for number in own if number >= plan.n_head])
        blocks = (
            clusters.head[number]
            if number < plan.n_head
            else clusters.trained(clusters.next_block(number))
            for number in own
            if number < end
        )
        size = plan.round * plan.block
        for sample, lnm in list(buffered(blocks, size, self._batch_size)):
            held = sample.to(self._device), self._target(lnm).to(self._device)
            for _ in range(plan.reuse):
                yield held
