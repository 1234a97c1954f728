"""Training clusters that become more while a network trains, for a time that is given.

A round is what an epoch is elsewhere: some clusters, those that have been seen least first, then
validation and a checkpoint. How many steps a round has is decided once, by the seconds of a step;
how many rounds there are, again at the beginning of each: as many as the time left allows. So the
learning rate is at its end when the time is, whatever else the machine has to do.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from upper_bound_shards import Shards

from icmass import __version__
from icmass.files import write_text
from icmass.survey.blank import blank_survey
from icmass.survey.presets import resolve_config
from icmass.training.config import TrainingConfig
from icmass.training.devices import Processes, derive_seed
from icmass.training.sample import Sample, reduce_sample
from icmass.training.sources import Buffer, Target
from icmass.training.trainer import Epoch

FITTING, VALIDATION = 512, 2048
"""Clusters that preprocessing is fitted on, and that are held out, about."""
BUFFER = 4096
"""Clusters that are shuffled together, and have their maps at once: 2 to 4 GB of three bands."""
ROUND = 32_768
"""Clusters of a round, at most."""
ROUNDS = 12
"""Rounds, at least, if time allows for as many steps."""
_HALOS_A_SHARD = 10**12


class Plan:
    """How far a fit has come, kept in a file beside its checkpoint.

    Parameters
    ----------
    file : Path
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.steps, self.step_seconds = 0, 0.0
        self.rounds, self.seconds, self.drawn = 0, 0.0, 0
        self.used: set[int] = set()
        if file.exists():
            held = json.loads(file.read_text())
            vars(self).update(held | {"used": set(held["used"])})

    def write(self) -> None:
        """Keep it."""
        held = {k: v for k, v in vars(self).items() if k != "file"}
        write_text(self.file, json.dumps(held | {"used": sorted(self.used)}) + "\n")

    def note(self, epoch: Epoch) -> None:
        """Count a round that has been validated and is in the checkpoint."""
        self.rounds, self.seconds = epoch.epoch, self.seconds + epoch.seconds
        self.write()


class TimedClusters:
    """The training clusters of one fit; keeps the protocol `icmass.training.sources.Clusters`.

    Parameters
    ----------
    shards : Shards
        Of a preset; the first few are held out and the next ones fitted on.
    options : dict
        What the network reads: keywords of `read_sample`.
    seen : dict
        The same of what the trainer gets, which is more where a teacher reads too.
    plan : Plan
    until : float
        When the training ends, by `time.time`.
    seed : int
        Of the order.
    """

    def __init__(
        self,
        shards: Shards,
        options: dict[str, Any],
        seen: dict[str, Any],
        plan: Plan,
        *,
        until: float,
        seed: int,
    ) -> None:
        self.shards, self.options, self.seen = shards, options, seen
        self.plan, self.until, self.seed = plan, until, seed
        held = range(n_held(shards))
        self.validation = self._taken([*held], with_parts=False)
        sample, lnm = self._taken([*range(len(held), n_first(shards))], with_parts=True)
        self.fitting = sample.take(torch.arange(min(len(lnm), FITTING))), lnm[:FITTING]
        self.table = self._table()
        self.n_train = sum(map(len, shards.shards))
        self.n_held = sum(len(shards.shards[number]) for number in held)
        self.rounds: TimedRounds | None = None

    def _taken(self, numbers: list[int], *, with_parts: bool) -> tuple[Sample, np.ndarray]:
        sample, lnm = self.shards.sample(numbers)
        sample = reduce_sample(sample, **(self.options | {"with_parts": with_parts}))
        return sample.to(torch.device("cpu")), lnm

    def _table(self) -> xr.Dataset:
        """Return the scalars of the clusters that are there."""
        preset = self.shards.shards[0].preset
        config = resolve_config(preset)
        held = sorted(self.shards.loaded.items())
        blank = blank_survey(
            ["maps"],
            n_clusters=1,
            n_pixels=config.observe.n_pixels,
            half_width=config.observe.half_width_mpc_h,
            bands=list(config.observe.bands),
            attrs={
                "preset": preset,
                "cosmology": config.cosmology.model_dump_json(),
                "config": config.model_dump_json(),
                "seed": self.shards.shards[0].seed,
                "version": __version__,
            },
        )
        columns = {
            name: [shard.others[name].cpu().numpy() for _, shard in held]
            for name in ("redshift", "exposure", "nh")
        }
        columns["m500c"] = [np.exp(shard.lnm) for _, shard in held]
        columns["halo_id"] = [number * _HALOS_A_SHARD + shard.halo_id for number, shard in held]
        data = {name: ("cluster", np.concatenate(values)) for name, values in columns.items()}
        return xr.Dataset(data, {c: blank[c] for c in ("band", "x", "y")}, blank.attrs)

    def source(self, target: Target) -> TimedRounds:
        """Return the clusters as the trainer takes them."""
        self.rounds = TimedRounds(self, target)
        return self.rounds

    def adapted(self, config: TrainingConfig) -> TrainingConfig:
        """Return how to train on them: until time is up."""
        return replace(config, max_epochs=1, min_steps=0, patience=None)


def n_held(shards: Shards) -> int:
    """Return how many of the first shards are held out: an eighth of the clusters at most."""
    return _shards_with(min(VALIDATION, sum(map(len, shards.shards)) // 8), shards)


def n_first(shards: Shards) -> int:
    """Return how many shards have to be there before a training begins."""
    return n_held(shards) + _shards_with(min(FITTING, sum(map(len, shards.shards)) // 4), shards)


def _shards_with(n: int, shards: Shards) -> int:
    return max(n // len(shards.shards[0]), 1)


class TimedRounds:
    """The rounds of `TimedClusters`; keeps the protocol `icmass.training.sources.Source`."""

    is_sharded = False

    def __init__(self, clusters: TimedClusters, target: Target) -> None:
        self._clusters, self._target = clusters, target
        self._batch_size, self._device = 1, clusters.shards.device
        self._uses = dict.fromkeys(clusters.plan.used, 1)
        self._last: list[float] = []

    def __len__(self) -> int:
        return self._clusters.plan.steps * self._batch_size

    def decide(self, step_seconds: float, batch_size: int) -> None:
        """Decide how many steps a round has, from the seconds of one."""
        clusters, plan = self._clusters, self._clusters.plan
        left = max(clusters.until - time.time(), 0.0)
        most = min(ROUND, clusters.n_train - clusters.n_held)
        steps = round(left / step_seconds / ROUNDS)
        plan.steps = min(max(steps, 1), max(most // batch_size, 1))
        plan.step_seconds = step_seconds
        plan.write()

    def epochs(self, config: TrainingConfig) -> int:
        """Return the rounds that are done, and those that there is time for; one at least."""
        plan = self._clusters.plan
        recent = self._last[-3:]
        seconds = float(np.mean(recent)) if recent else plan.steps * plan.step_seconds
        left = (self._clusters.until - time.time()) / max(seconds, 1e-9)
        return max(plan.rounds + max(round(left), 0), 1)

    def steps(self, config: TrainingConfig) -> int:
        """Return the steps of a round."""
        return self._clusters.plan.steps

    def fingerprint(self) -> tuple[list[Any], list[torch.Tensor]]:
        """Return what the first clusters are; which others there are the clock decides."""
        clusters = self._clusters
        return ["timed", clusters.seed, clusters.plan.steps], clusters.fitting[0].tensors()

    def start(self, processes: Processes, device: torch.device, batch_size: int) -> None:
        """Learn how large a batch is."""
        self._batch_size, self._device = batch_size, device

    def few(self, n: int) -> tuple[Buffer, Buffer]:
        """Return `n` clusters as they are trained on and one held out, to measure steps with."""
        sample, lnm = self._seen([n_held(self._clusters.shards)])
        rows = torch.arange(n, device=sample.counts.device) % len(sample)
        train = sample.take(rows), self._target(lnm).to(rows.device)[rows]
        held, lnm = self._clusters.validation
        return train, (held.take(torch.arange(1)), self._target(lnm[:1]))

    def buffers(self, epoch: int) -> Iterator[Buffer]:
        """Yield the clusters of a round."""
        start = time.time()
        clusters, plan = self._clusters, self._clusters.plan
        clusters.shards.poll()
        rng = np.random.default_rng(derive_seed(clusters.seed, epoch, 5))
        left = len(self)
        while left > 0:
            numbers = self._least_used(min(left, BUFFER), rng)
            sample, lnm = self._seen(numbers)
            target = self._target(lnm).to(self._device)
            if len(sample) > left:
                rows = torch.from_numpy(rng.permutation(len(sample))[:left]).to(self._device)
                sample, target = sample.take(rows), target[rows]
            left -= len(sample)
            plan.drawn += len(sample)
            plan.used.update(numbers)
            yield sample, target
        self._last.append(time.time() - start)

    def _least_used(self, n: int, rng: np.random.Generator) -> list[int]:
        """Return shards of at least `n` clusters if there are so many, the least used first."""
        shards = self._clusters.shards
        there = [k for k in sorted(shards.loaded) if k >= n_held(shards)]
        order = sorted(there, key=lambda k: (self._uses.get(k, 0), rng.random()))
        numbers: list[int] = []
        for number in order:
            if n <= 0:
                break
            numbers.append(number)
            self._uses[number] = self._uses.get(number, 0) + 1
            n -= len(shards.loaded[number])
        return numbers

    def _seen(self, numbers: list[int]) -> tuple[Sample, np.ndarray]:
        sample, lnm = self._clusters.shards.sample(numbers)
        return reduce_sample(sample, **self._clusters.seen), lnm


def test_sample(
    shards: Shards, options: dict[str, Any], wait: Callable[[], None]
) -> tuple[Sample, dict[str, np.ndarray]]:
    """Return the clusters to score on as a network reads them, and their truths.

    Parameters
    ----------
    wait : callable
        Called before the shards are read: returns when all are there.
    """
    wait()
    numbers = list(range(len(shards.shards)))
    sample, lnm = shards.sample(numbers)
    halo = np.concatenate([shards.loaded[number].halo_id for number in numbers])
    sample = reduce_sample(sample, **(options | {"with_parts": False}))
    truths = {"lnm": lnm, "halo_id": halo, "redshift": sample.redshift.cpu().numpy()}
    return sample.to(torch.device("cpu")), truths
