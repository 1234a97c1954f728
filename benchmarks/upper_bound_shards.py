"""Clusters in shards that are simulated side by side, kept as the photons of each pixel.

A shard is some clusters of a survey: of a seed of its own to train on, of seed 1 to be scored on.
Processes simulate shards one after the other and write each whole or not at all; what is there is
read when somebody looks. In a file are the pixels that hold photons, 6 bytes each: 75 kB a cluster
of the preset erosita and 10 of phox, beside 10 kB of galaxies, where maps of components take 300.
So 100,000 clusters lie on a GPU in 8 GB, and become maps there.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from icmass.errors import InputError
from icmass.files import whole_file
from icmass.survey.presets import resolve_config
from icmass.survey.tasks import ONE_THREAD
from icmass.training.sample import Sample
from icmass.training.sources import concatenated

TEST_SEED = 1
TRAIN_SEED = 7_300_000
"""Seed of the first shard that is trained on; the others' follow."""
_FIELDS = ("redshift", "exposure", "nh", "galaxies", "members")
_LARGEST_BYTE = 255


@dataclass(frozen=True)
class Shard:
    """Clusters `start` to `stop` of the survey of a preset and a seed."""

    preset: str
    kind: str
    number: int
    seed: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Name of its file; what it holds decides it."""
        return f"{self.preset}-{self.kind}-{self.seed}-{self.start}-{self.stop}.npz"

    def __len__(self) -> int:
        return self.stop - self.start


def shards_of(preset: str, kind: str, n: int, size: int) -> list[Shard]:
    """Return the shards of `n` clusters to train on (``train``) or to score on (``test``)."""
    found = []
    for number, start in enumerate(range(0, n, size)):
        length = min(size, n - start)
        if kind == "train":
            found.append(Shard(preset, kind, number, TRAIN_SEED + number, 0, length))
        else:
            found.append(Shard(preset, kind, number, TEST_SEED, start, start + length))
    return found


def make_shard(folder: Path, shard: Shard) -> None:
    """Simulate a shard and write its file."""
    from icmass.survey.blocks import simulate_block
    from icmass.training.sample import read_sample

    config = resolve_config(shard.preset).model_dump_json()
    survey = simulate_block(config, shard.seed, shard.start, shard.stop)
    if "coverage" in survey:
        raise InputError("has a coverage", field=f"preset {shard.preset}", hint="choose another")
    sample = read_sample(
        survey,
        np.arange(len(shard)),
        sum_bands=False,
        max_pixels=None,
        coverage_channel=False,
        with_galaxies=True,
        with_nh=True,
        with_parts=True,
        with_stellar_masses=True,
    )
    assert sample.parts is not None
    parts = sample.parts.numpy().reshape(len(shard), -1)
    cluster, place = np.nonzero(parts)
    count = parts[cluster, place]
    held = ((name, getattr(sample, name)) for name in _FIELDS)
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in held if tensor is not None}
    arrays |= {"place": place.astype("i4"), "count": count, "shape": np.array(sample.parts.shape)}
    arrays |= {"number": np.bincount(cluster, minlength=len(shard))}
    arrays |= {"lnm": np.log(survey["m500c"].values), "halo_id": survey["halo_id"].values}
    with whole_file(folder / shard.name) as draft, draft.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def simulate_shards(folder: Path, shards: Sequence[Shard], parent: int) -> None:
    """Make what is missing of some shards, as long as the process that asked for them lives."""
    for shard in shards:
        if os.getppid() != parent:
            return
        if not (folder / shard.name).exists():
            make_shard(folder, shard)


class Simulation:
    """Processes that make shards in their order; use it in a ``with`` statement.

    Parameters
    ----------
    folder : Path
        Where their files are.
    shards : sequence of Shard
        All that is wanted, first things first.
    workers : int
        Processes, of one thread each.
    """

    def __init__(self, folder: Path, shards: Sequence[Shard], workers: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        missing = [shard for shard in shards if not (folder / shard.name).exists()]
        context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        self.processes = [
            context.Process(
                target=simulate_shards, args=(folder, missing[k::workers], os.getpid()), daemon=True
            )
            for k in range(min(workers, len(missing)))
        ]
        with _environment({name: str(n) for name, n in ONE_THREAD.items()}):
            for process in self.processes:
                process.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join()

    def check(self) -> None:
        """Raise an `OSError` if a process has failed, which says by itself why."""
        if any(process.exitcode not in (None, 0) for process in self.processes):
            raise OSError("a process that simulates failed: see above, or use fewer --workers")


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@dataclass(frozen=True)
class Loaded:
    """A shard in memory: where photons are, and what else is known of its clusters.

    Attributes
    ----------
    place, count : Tensor, shape (pixel,)
        Pixels that hold photons in maps (component, band, y, x), flat, and how many; those of the
        first cluster first.
    number : Tensor, shape (n,)
        How many pixels are each cluster's.
    shape : tuple of int
        Shape of all maps, (n, component, band, y, x).
    others : dict of Tensor
        Further fields of `Sample`.
    lnm, halo_id : ndarray, shape (n,)
        ln M500c [Msun/h], and the halos' numbers.
    """

    place: torch.Tensor
    count: torch.Tensor
    number: torch.Tensor
    shape: tuple[int, ...]
    others: dict[str, torch.Tensor]
    lnm: np.ndarray
    halo_id: np.ndarray

    @classmethod
    def read(cls, file: Path, device: torch.device, *, stellar_masses: bool) -> Self:
        """Read a shard's file, with or without the galaxies' stellar masses."""
        with np.load(file, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
        if not stellar_masses:
            arrays["galaxies"][..., 3] = np.nan
        count = torch.from_numpy(arrays["count"])
        if arrays["count"].max(initial=0) <= _LARGEST_BYTE:
            count = count.to(torch.uint8)
        return cls(
            torch.from_numpy(arrays["place"]).to(device),
            count.to(device),
            torch.from_numpy(arrays["number"]).to(device),
            tuple(arrays["shape"].tolist()),
            {name: torch.from_numpy(arrays[name]).to(device) for name in _FIELDS if name in arrays},
            arrays["lnm"],
            arrays["halo_id"],
        )

    def __len__(self) -> int:
        return len(self.lnm)

    def sample(self) -> Sample:
        """Return the clusters with their maps, by component and added."""
        size = int(np.prod(self.shape[1:]))
        first = torch.arange(len(self), device=self.place.device) * size
        n_pixels = len(self.place)
        place = first.repeat_interleave(self.number, output_size=n_pixels) + self.place
        parts = self.count.new_zeros(len(self) * size)
        parts[place] = self.count
        parts = parts.view(self.shape)
        return Sample(parts.sum(1, dtype=torch.int32), None, parts=parts, **self.others)


class Shards:
    """The shards of one kind of a preset, as far as they are there.

    Parameters
    ----------
    folder : Path
    shards : sequence of Shard
        All that there will be.
    device : device
        Where they are kept.
    stellar_masses : bool
        Whether galaxies have their stellar masses.
    """

    def __init__(
        self, folder: Path, shards: Sequence[Shard], device: torch.device, *, stellar_masses: bool
    ) -> None:
        self.folder, self.shards, self.device = folder, list(shards), device
        self.stellar_masses = stellar_masses
        self.loaded: dict[int, Loaded] = {}

    def poll(self) -> None:
        """Read what has been simulated since."""
        for shard in self.shards:
            file = self.folder / shard.name
            if shard.number not in self.loaded and file.exists():
                self.loaded[shard.number] = Loaded.read(
                    file, self.device, stellar_masses=self.stellar_masses
                )

    def wait(self, n: int, check: Callable[[], None], until: float) -> bool:
        """Wait until the first `n` shards are there; False where time is up before."""
        while True:
            self.poll()
            if all(number in self.loaded for number in range(n)):
                return True
            check()
            if time.time() > until:
                return False
            time.sleep(0.2)

    def sample(self, numbers: Sequence[int]) -> tuple[Sample, np.ndarray]:
        """Return the clusters of some shards, and their ln M500c."""
        held = [self.loaded[number] for number in numbers]
        lnm = np.concatenate([shard.lnm for shard in held])
        return concatenated([shard.sample() for shard in held]), lnm
