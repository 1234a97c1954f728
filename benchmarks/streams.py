"""Training on clusters read as they are needed, against all in memory: peak memory and speed.

    python benchmarks/streams.py [--base 2000] [--sizes 10000 100000] [--json results/streams.json]

A survey of `--base` clusters is simulated and its store linked to under many names until there are
enough clusters. A process of its own reads what a network's preprocessing is fitted on, and trains
for an epoch of `--steps` batches at most, on one thread; then it goes through a whole epoch without
a network, and trains once more: a stream has kept what it read. Of a whole training by the recipe,
which reads all clusters once either way, the speed follows. In memory the sizes above
`--most-in-memory` are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from icmass import __version__
from icmass.survey.catalog import open_survey
from icmass.survey.presets import resolve_config
from icmass.survey.write import simulate_survey
from icmass.training.augmentations import AUGMENTATIONS
from icmass.training.config import TrainingConfig
from icmass.training.devices import Processes
from icmass.training.held_out import held_out
from icmass.training.model_specs import MODEL_SPECS
from icmass.training.sample import read_sample
from icmass.training.sources import Buffer, InMemory, Source, concatenated
from icmass.training.streaming import StoredClusters, scalar_table
from icmass.training.trainer import Trainer


class Beginning:
    """The first clusters of a source's epochs, timed from the first buffer's coming, in
    processor time, that of the reading threads too, which other work does not touch."""

    def __init__(self, source: Source, most: int, epoch: int = 0) -> None:
        self.source, self.most, self.is_sharded = source, most, source.is_sharded
        self.epoch = epoch
        self.n, self.seconds = 0, 0.0

    def __len__(self) -> int:
        return min(len(self.source), self.most)

    def epochs(self, config: TrainingConfig) -> int:
        return 1

    def steps(self, config: TrainingConfig) -> int:
        return -(-len(self) // config.batch_size)

    def fingerprint(self) -> tuple[list[Any], list[torch.Tensor]]:
        return [], []

    def start(self, processes: Processes, device: torch.device, batch_size: int) -> None:
        self.source.start(processes, device, batch_size)

    def buffers(self, epoch: int) -> Iterator[Buffer]:
        start = None
        for sample, target in self.source.buffers(self.epoch + epoch):
            start = start or time.process_time()
            rows = torch.arange(min(len(target), self.most - self.n))
            self.n += len(rows)
            yield sample.take(rows) if len(rows) < len(target) else sample, target[rows]
            self.seconds = time.process_time() - start
            if self.n >= self.most:
                return


def measure(
    stores: list[Path], kind: str, model: str, steps: int, most_read: int
) -> dict[str, Any]:
    """Train in this process on clusters of stores, and say how fast and in how much memory."""
    torch.set_num_threads(1)
    design = MODEL_SPECS[model]
    config = design.training_config
    options: dict[str, Any] = {
        "sum_bands": design.sum_bands,
        "max_pixels": design.max_pixels,
        "coverage_channel": False,
        "with_nh": design.sees_nh,
        "with_parts": AUGMENTATIONS[config.augmentation].needs_parts,
    }
    surveys = [open_survey(path) for path in stores]
    index = [np.arange(survey.sizes["cluster"]) for survey in surveys]
    start = time.process_time()

    def target(lnm: np.ndarray) -> torch.Tensor:
        return torch.from_numpy((lnm - encoding.lnm_zero) / encoding.lnm_scale).float()

    if kind == "stream":
        clusters = StoredClusters(surveys, index, options, 1)
        encoding = design.encoding.fit(*clusters.fitting)
        source: Source = clusters.source(target)
        validation = clusters.validation[0], target(clusters.validation[1])
    else:  # as `NetworkEstimator.fit` does
        table = scalar_table(surveys)
        lnm = np.log(table["m500c"].values)
        parts = [read_sample(s, i, **options) for s, i in zip(surveys, index, strict=True)]
        sample = concatenated(parts)
        del parts
        encoding = design.encoding.fit(sample, lnm)
        held = held_out(table, np.arange(len(lnm)), 1)
        kept, fitted = (torch.from_numpy(np.flatnonzero(part)) for part in (held, ~held))
        source = InMemory(sample.take(fitted), target(lnm[~held]))
        validation = sample.take(kept), target(lnm[held])
    found: dict[str, Any] = {
        "processor_seconds_before_training": round(time.process_time() - start, 1)
    }
    n_pixels, n_channels = validation[0].counts.shape[-1], validation[0].counts.shape[1]
    network = design.network(n_pixels=n_pixels, n_channels=n_channels)

    def trained(epoch: int) -> Beginning:
        beginning = Beginning(source, steps * config.batch_size, epoch)
        trainer = Trainer(
            network, encode=encoding.encode, training_config=config, seed=1, device="cpu"
        )
        trainer.run(beginning, validation)
        return beginning

    first = trained(0)
    found["trained_per_s_of_processor"] = round(first.n / first.seconds)
    found["clusters_trained"] = first.n
    if kind == "stream":
        found |= read_whole(source, most_read)
        later = trained(2)
        found["trained_later_per_s_of_processor"] = round(later.n / later.seconds)
    found["whole_training_per_s_of_processor"] = round(whole_training(found, len(source), config))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found | {"peak_mib": round(peak)}


def whole_training(found: dict[str, Any], n: int, config: TrainingConfig) -> float:
    """Return clusters trained on per second of a training by the recipe, with all that is read."""
    first, epochs = found["trained_per_s_of_processor"], config.epochs(n)
    later = found.get("trained_later_per_s_of_processor", first)
    seconds = found["processor_seconds_before_training"] + n / first + n * (epochs - 1) / later
    return n * epochs / seconds


def read_whole(source: Source, most: int) -> dict[str, Any]:
    """Go through an epoch, or its first clusters, without a network."""
    wall, processor, n = time.perf_counter(), time.process_time(), 0
    for buffer, _ in source.buffers(1):
        n += len(buffer)
        if n >= most:
            break
    speeds = n / (time.perf_counter() - wall), n / (time.process_time() - processor)
    return {"read_per_s": round(speeds[0]), "read_per_s_of_processor": round(speeds[1]), "epoch": n}


def stores_of(base: Path, n: int, folder: Path) -> list[Path]:
    """Return as many links to the store as have `n` clusters together."""
    made = [folder / f"{k:04d}.zarr" for k in range(-(-n // open_survey(base).sizes["cluster"]))]
    for path in made:
        path.unlink(missing_ok=True)
        path.symlink_to(base.resolve())
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=int, default=2000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--most-in-memory", type=int, default=10_000)
    parser.add_argument("--model", default="icm-3band")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--most-read", type=int, default=200_000, help="without a network")
    parser.add_argument("--work", type=Path, help="folder of the stores, kept")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("KIND", "N"), help="one, in this process")
    given = parser.parse_args()
    folder = given.work or Path(tempfile.mkdtemp())
    folder.mkdir(exist_ok=True, parents=True)
    base = folder / f"base-{given.base}.zarr"
    if given.one:
        kind, n = given.one
        stores = stores_of(base, int(n), folder)
        found = measure(stores, kind, given.model, given.steps, given.most_read)
        print(json.dumps(found))
        return
    rows = []
    try:
        config = resolve_config("erosita")
        simulate_survey(config, n_clusters=given.base, seed=11, out=base, resume=True)
        for n in given.sizes:
            for kind in ("memory", "stream") if n <= given.most_in_memory else ("stream",):
                command = [sys.executable, __file__, "--one", kind, str(n), "--work", str(folder)]
                command += ["--base", str(given.base), "--model", given.model]
                command += ["--steps", str(given.steps), "--most-read", str(given.most_read)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                rows.append({"kind": kind, "n": n, **json.loads(done.stdout)})
                print(json.dumps(rows[-1]), flush=True)
    finally:
        if given.work is None:
            shutil.rmtree(folder)
    about = {
        "model": given.model,
        "torch_threads": 1,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores that did other work too",
        "load": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "version": __version__,
        "rows": rows,
    }
    if given.json is not None:
        given.json.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
