"""Training by several processes, which run this file as a script, and after a kill."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from conftest import beta_model_survey, ended, forked, save_blank
from icmass.cli import main
from icmass.errors import InputError
from icmass.estimators.registry import load_estimator
from icmass.networks.paper import PaperNetwork
from icmass.report import figures
from icmass.training.checkpoint import CHECKPOINT
from icmass.training.devices import Processes, make_accelerator, seeded
from icmass.training.model_specs import PAPER_TRAINING
from icmass.training.sample import Sample
from icmass.training.trainer import Epoch, Trainer, TrainingConfig

# 49 clusters: the last batch has one, and the second process has none of it
N_TRAIN, N_VALIDATION = 49, 7
PAPER = replace(PAPER_TRAINING, batch_size=16, max_epochs=4)
STILL = replace(PAPER, learning_rate=1e-12, max_epochs=1)
STATEFUL = replace(
    PAPER, schedule="one-cycle", ema_decay=0.9, augmentation="symmetries", weight_decay=0.01
)
RTOL, ATOL = 1e-4, 1e-5  # of weights, two processes against one
KILLED_IN_EPOCH = 2
RUNS = ("paper", "chunks", "still", "stateful", "little", "resumed")
Weights = dict[str, torch.Tensor]


class Stateful(nn.Module):
    """Batch normalisation and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2)
        )
        self.last = nn.Linear(4 * 14**2, 1)

    def forward(self, maps: torch.Tensor, scalars: torch.Tensor) -> torch.Tensor:
        return self.last(self.layers(maps))


class SmallMemory(PaperNetwork):
    """Has no memory for more than three clusters with gradients, in the second process."""

    def forward(self, maps: torch.Tensor, scalars: torch.Tensor) -> torch.Tensor:
        if len(maps) > 3 and self.training and os.environ.get("RANK") == "1":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().forward(maps, scalars)


class Stopping(Trainer):
    """Stops after an epoch, as if it had been killed then."""

    def _finished(self, n_epochs: int) -> bool:
        return len(self.history) == 1


def encode(sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
    return sample.counts / 5 - 1, torch.zeros(len(sample), 0)


def encode_and_die(sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
    """Kill this process in the second batch of an epoch."""
    encode_and_die.calls += 1  # type: ignore[attr-defined]
    # four batches of training and one of validation in each epoch
    if encode_and_die.calls == 5 * (KILLED_IN_EPOCH - 1) + 2:  # type: ignore[attr-defined]
        os.kill(os.getpid(), signal.SIGKILL)
    return encode(sample)


encode_and_die.calls = 0  # type: ignore[attr-defined]


def data(n: int, seed: int) -> tuple[Sample, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    level = torch.rand(n, generator=generator)
    noise = torch.rand((n, 1, 16, 16), generator=generator)
    counts = (20 * level[:, None, None, None] * noise).to(torch.int16)
    sample = Sample(counts, None, torch.full((n,), 0.1), torch.ones(n))
    return sample, 2 * level - 1


def trainer(
    network: type[nn.Module],
    training_config: TrainingConfig,
    kind: type[Trainer] = Trainer,
    **options: object,
) -> Trainer:
    with seeded(7):
        made = network(n_pixels=16) if issubclass(network, PaperNetwork) else network()
    options = {"seed": 3, "encode": encode, "device": "cpu"} | options
    return kind(made, training_config=training_config, **options)  # type: ignore[arg-type]


def train(
    network: type[nn.Module],
    training_config: TrainingConfig,
    kind: type[Trainer] = Trainer,
    **options: object,
) -> tuple[Weights, list[Epoch]]:
    one = trainer(network, training_config, kind, **options)
    history = one.run(data(N_TRAIN, 0), data(N_VALIDATION, 1))
    return one.network.state_dict(), history


def write_late(file: Path, rank: str) -> None:
    time.sleep(1.0)
    file.write_text(f"by {rank}")


def benchmark_together(folder: Path) -> None:
    """Run `icmass benchmark` as the first thing that this process does; figures stay blank."""
    figures.save = save_blank
    words = ["benchmark", folder / "toy.zarr", "--out", folder / "run", "--folds", 2]
    words += ["--models", "T,paper-1band", "--max-epochs", 1, "--device", "cpu"]
    sys.argv = ["icmass", *map(str, words)]
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise


def work_together(folder: Path) -> None:
    """Train several networks, and write what this process has in the end."""
    rank = os.environ["RANK"]
    seen: list[int] = []
    progress = {"progress": lambda epoch: seen.append(epoch.epoch)}
    runs = {
        "paper": train(PaperNetwork, PAPER),
        "chunks": train(PaperNetwork, replace(PAPER, microbatch_size=3)),
        "stateful": train(Stateful, STATEFUL),
        "still": train(Stateful, STILL),
        "little": train(SmallMemory, PAPER),
    }
    train(PaperNetwork, PAPER, Stopping, checkpoint=folder / "resumed", **progress)
    runs["resumed"] = train(PaperNetwork, PAPER, checkpoint=folder / "resumed", **progress)
    try:
        train(PaperNetwork, PAPER, seed=int(rank))
        refused = ""
    except InputError as error:
        refused = str(error)
    file = folder / "by-main"
    together = Processes(make_accelerator("cpu"))
    together.by_main(lambda: write_late(file, rank))
    found = file.read_text()
    try:
        together.by_main(lambda: (folder / "absent" / "file").write_text(rank))
        failed = ""
    except OSError as error:
        failed = str(error)
    histories = {}
    for name, (weights, history) in runs.items():
        save_file(weights, folder / f"{name}-{rank}.safetensors")
        histories[name] = [[e.train_loss, e.validation_loss] for e in history]
    about = {"histories": histories, "seen": seen, "refused": refused}
    about |= {"found": found, "failed": failed}
    (folder / f"about-{rank}.json").write_text(json.dumps(about))


def run(*command: object) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ACCELERATE")}
    environment["OMP_NUM_THREADS"] = "1"
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def launch(*command: object) -> subprocess.CompletedProcess[str]:
    """Run a script, or a module after ``-m``, in two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--multi_gpu", "--num_processes", 2, "--num_machines", 1, "--mixed_precision", "no"]
    options += ["--dynamo_backend", "no", "--main_process_port", port]
    return run("-m", "accelerate.commands.launch", *options, *command)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes benchmarked and trained, one after the other: they take long to start."""
    folder = tmp_path_factory.mktemp("together")
    beta_model_survey(n=64, n_pixels=16).to_zarr(folder / "toy.zarr")
    (folder / "stderr.txt").write_text(launch(__file__, folder).stderr)
    return folder


@pytest.fixture(scope="module")
def alone() -> tuple[Weights, list[Epoch]]:
    """What one process trains."""
    return train(PaperNetwork, PAPER)


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def same(a: Weights, b: Weights) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def of_ranks(folder: Path, name: str) -> tuple[Weights, Weights]:
    first, second = (load_file(folder / f"{name}-{rank}.safetensors") for rank in range(2))
    return first, second


def abouts(folder: Path) -> list[dict]:
    return [json.loads((folder / f"about-{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("name", RUNS)
def test_all_processes_hold_the_same_network(name: str, together: Path) -> None:
    assert same(*of_ranks(together, name))
    first, second = (about["histories"][name] for about in abouts(together))
    assert first == second
    assert len(first) == (STILL if name == "still" else PAPER).max_epochs


@pytest.mark.parametrize("name", ["paper", "chunks", "little"])
def test_two_processes_train_what_one_does(
    name: str, together: Path, alone: tuple[Weights, list[Epoch]]
) -> None:
    weights, history = alone
    assert history[-1].best
    found = of_ranks(together, name)[0]
    assert all(torch.isfinite(value).all() for value in found.values())
    torch.testing.assert_close(found, weights, rtol=RTOL, atol=ATOL)
    for losses, epoch in zip(abouts(together)[0]["histories"][name], history, strict=True):
        assert losses == pytest.approx([epoch.train_loss, epoch.validation_loss], rel=1e-4)


def test_running_statistics_are_those_of_all_processes(together: Path) -> None:
    first, _ = of_ranks(together, "still")
    one, _ = train(Stateful, STILL)
    mean, var, number = (
        f"layers.1.{k}" for k in ("running_mean", "running_var", "num_batches_tracked")
    )
    torch.testing.assert_close(first[mean], one[mean], rtol=1e-5, atol=1e-6)
    # without the variance between the processes' means, that is little
    torch.testing.assert_close(first[var], one[var], rtol=0.05, atol=0)
    assert int(first[number]) == int(one[number]) == 4


def test_several_processes_resume(together: Path) -> None:
    assert same(of_ranks(together, "resumed")[0], of_ranks(together, "paper")[0])
    assert [path.name for path in (together / "resumed").iterdir()] == [CHECKPOINT]
    # progress is the main process's, of the first run's one epoch and the second's others
    assert [about["seen"] for about in abouts(together)] == [[1, 2, 3, 4], []]


def test_processes_with_different_options_are_refused(together: Path) -> None:
    for about in abouts(together):
        assert "the processes' data, options or checkpoints differ" in about["refused"]


def test_the_main_process_writes_and_the_others_wait(together: Path) -> None:
    assert [about["found"] for about in abouts(together)] == ["by 0", "by 0"]


def test_all_fail_where_the_main_process_cannot_write(together: Path) -> None:
    for about in abouts(together):
        assert about["failed"].startswith("the main process cannot write")


def test_a_benchmark_in_two_processes_is_written_once(together: Path) -> None:
    stderr = (together / "stderr.txt").read_text()
    told = [line for line in stderr.splitlines() if " fits, " in line]
    assert sum(line.startswith("4/4 fits") for line in told) == 1, stderr  # by one process
    results = json.loads((together / "run" / "results.json").read_text())
    assert [row["folds_fitted"] for row in results["estimators"]] == [2, 2]
    assert results["failed"] == {}
    models = sorted(path.parent for path in (together / "run").glob("models/*/*/config.json"))
    assert len(models) == 4
    for model in models:
        load_estimator(model)
    assert (together / "run" / "report.html").exists()
    assert not list((together / "run").rglob("*.partial"))


@pytest.mark.slow
def test_two_processes_train_on_shards_of_stores(tmp_path: Path) -> None:
    """The shares of blocks differ in clusters; the processes take the same steps all the same."""
    stores = [tmp_path / "a.zarr", tmp_path / "b.zarr"]
    for seed, (store, n) in enumerate(zip(stores, (173, 120), strict=True)):
        beta_model_survey(n, n_pixels=32, seed=seed).to_zarr(store)
    words = ["train", *stores, "--stream", "--model", "icm-3band", "--max-epochs", 2]
    done = launch("-m", "icmass", *words, "--out", tmp_path / "model", "--device", "cpu")
    assert done.stdout.count("trained on 264 clusters; of 29 others") == 1  # told by one process
    load_estimator(tmp_path / "model")
    row = json.loads((tmp_path / "model" / "results.json").read_text())["estimators"][0]
    assert row["n"] == 29 and np.isfinite(row["sigma_lnm"])


@pytest.mark.usefixtures("one_thread")
def test_a_run_killed_in_an_epoch_resumes_to_the_same_weights(tmp_path: Path) -> None:
    folder = tmp_path / "work"

    def work() -> None:
        train(Stateful, STATEFUL, checkpoint=folder, encode=encode_and_die)

    with (tmp_path / "said").open("w") as said:
        status = ended(forked(work, stdout=said.fileno(), stderr=said.fileno()))
    assert status == -signal.SIGKILL, (tmp_path / "said").read_text()
    assert [path.name for path in folder.iterdir()] == [CHECKPOINT]
    seen: list[int] = []
    resumed, history = train(
        Stateful, STATEFUL, checkpoint=folder, progress=lambda epoch: seen.append(epoch.epoch)
    )
    assert seen == list(range(KILLED_IN_EPOCH, 5))
    whole, expected = train(Stateful, STATEFUL)
    assert same(resumed, whole)
    assert [replace(e, seconds=0) for e in history] == [replace(e, seconds=0) for e in expected]


if __name__ == "__main__":
    shared = Path(sys.argv[1])
    benchmark_together(shared)
    work_together(shared)
