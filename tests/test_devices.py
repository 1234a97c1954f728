"""What happens when the memory runs out: fewer clusters at once, the same step."""

from __future__ import annotations

import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from icmass.errors import InputError
from icmass.main_process import is_main
from icmass.run.config import RunConfig
from icmass.run.folder import RunFolder
from icmass.training.devices import Processes, is_out_of_memory, make_accelerator, retry_on_oom
from icmass.training.sample import Sample
from icmass.training.trainer import Epoch, Trainer, TrainingConfig, apply_network, seeded

RECIPE = TrainingConfig(
    batch_size=16, max_epochs=3, patience=None, learning_rate=1e-2, ema_decay=0.9, kernel_l2=1e-3
)


class Hungry(nn.Module):
    """Batch normalisation and dropout; and memory for so many clusters and no more.

    Parameters
    ----------
    most : int
        Clusters at once in training.
    after : int
        Passes that go well whatever the clusters.
    """

    def __init__(self, most: int = 10**6, after: int = 0) -> None:
        super().__init__()
        self.most, self.after, self.passes = most, after, 0
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2)
        )
        self.last = nn.Linear(4 * 36, 1)

    def forward(self, maps: torch.Tensor, scalars: torch.Tensor) -> torch.Tensor:
        output = self.last(self.layers(maps))
        self.passes += 1
        if self.passes > self.after and len(maps) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return output


def encode(sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
    return sample.counts / 5 - 1, sample.redshift[:, None]


def data(n: int, seed: int) -> tuple[Sample, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(10, (n, 1, 8, 8), generator=generator, dtype=torch.int16)
    return Sample(counts, None, torch.ones(n), torch.ones(n)), counts.float().mean((1, 2, 3)) - 4.5


def train(
    training_config: TrainingConfig, most: int = 10**6, after: int = 0
) -> tuple[nn.Module, list[Epoch]]:
    with seeded(0):
        network = Hungry(most, after)
    one = Trainer(network, encode=encode, training_config=training_config, seed=0, device="cpu")
    # 50 clusters: the last batch has two
    return network, one.run(data(50, 0), data(20, 1))


def test_errors_of_memory_are_told_from_others() -> None:
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(2**55)
    with pytest.raises(MemoryError) as of_numpy:
        np.empty(2**50)
    assert is_out_of_memory(of_torch.value)
    assert is_out_of_memory(of_numpy.value)
    for said in (
        "CUDA out of memory. Tried to allocate 20.00 MiB",
        "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory",
        "[enforce fail] data. DefaultCPUAllocator: not enough memory: you tried to allocate 4 B",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "std::bad_alloc",
    ):
        assert is_out_of_memory(RuntimeError(said))
    assert is_out_of_memory(torch.OutOfMemoryError("no more"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_the_number_at_once_is_halved_until_it_fits() -> None:
    tried = []

    def attempt(size: int) -> str:
        tried.append(size)
        if size > 7:
            raise MemoryError
        return f"{size} fit"

    with pytest.warns(RuntimeWarning) as warned:
        assert retry_on_oom(attempt, 50) == ("6 fit", 6)
    assert tried == [50, 25, 12, 6]
    said = ["out of memory with 50 clusters at once; going on with 6"]
    assert [str(each.message) for each in warned] == said


def test_other_errors_are_raised_as_they_are() -> None:
    def attempt(size: int) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        retry_on_oom(attempt, 50)


def test_what_another_process_lacks_is_lacked_here() -> None:
    tried = []
    with pytest.warns(RuntimeWarning):
        found = retry_on_oom(lambda size: tried.append(size), 8, lambda here: len(tried) < 3)
    assert found == (None, 2)
    assert tried == [8, 4, 2]


# the memory fails in the first step, or in the second part of the second step
@pytest.mark.parametrize(("chunk", "after"), [(None, 0), (8, 3)])
def test_a_step_is_repeated_with_fewer_clusters_as_if_it_had_not_been_tried(
    chunk: int | None, after: int
) -> None:
    with pytest.warns(RuntimeWarning, match="going on with 4") as warned:
        hungry, history = train(replace(RECIPE, microbatch_size=chunk), most=4, after=after)
    assert len(warned) == 1
    if after == 0:
        modest, expected = train(replace(RECIPE, microbatch_size=4))
    else:
        modest, expected = first_step_in_eights()
    assert [replace(e, seconds=0) for e in history] == [replace(e, seconds=0) for e in expected]
    for key, value in modest.state_dict().items():
        assert torch.equal(value, hungry.state_dict()[key]), key


def first_step_in_eights() -> tuple[nn.Module, list[Epoch]]:
    class Changing(Trainer):
        def _step(self, *arguments: object) -> torch.Tensor:
            self.microbatch_size = 4 if hasattr(self, "stepped") else 8
            self.stepped = True
            return super()._step(*arguments)  # type: ignore[arg-type]

    with seeded(0):
        network = Hungry()
    one = Changing(network, encode=encode, training_config=RECIPE, seed=0, device="cpu")
    return network, one.run(data(50, 0), data(20, 1))


def test_no_memory_for_one_cluster_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="out of memory with one cluster at once; use a device"):
        train(RECIPE, most=0)


def test_prediction_takes_fewer_clusters_at_once() -> None:
    with seeded(0):
        network = Hungry(most=5)
    sample, _ = data(20, 1)
    with pytest.warns(RuntimeWarning, match="going on with 4"):
        output = apply_network(network, encode, sample, 16)
    assert network.passes == 2 + 5  # of 16 and 8, which failed, and of 4
    network.most = 20
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = apply_network(network, encode, sample, 20)
    torch.testing.assert_close(output, whole)


def test_one_process_has_all() -> None:
    one = Processes(make_accelerator("cpu"))
    index = torch.arange(5)
    assert torch.equal(one.share(index), index)
    assert one.largest_share(5) == 5
    assert one.any_rank(True)
    assert not one.any_rank(False)
    one.check_alike("nothing to compare it with")


def test_shares_are_disjoint_and_complete() -> None:
    processes = [Processes(make_accelerator("cpu")) for _ in range(3)]
    for rank, one in enumerate(processes):
        one.number, one.rank = 3, rank
    for n in (1, 2, 3, 7):
        shares = [one.share(torch.arange(n)) for one in processes]
        assert sorted(torch.cat(shares).tolist()) == list(range(n))
        assert max(map(len, shares)) == len(shares[0]) == processes[0].largest_share(n)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, True),
        ({"RANK": "0", "WORLD_SIZE": "2"}, True),
        ({"RANK": "1", "WORLD_SIZE": "2"}, False),
        # not of a launcher, or of one with a single process
        ({"RANK": "3"}, True),
        ({"RANK": "0", "WORLD_SIZE": "1"}, True),
    ],
)
def test_the_main_process_is_known_from_the_environment(
    environment: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_main() is expected


def test_processes_beside_the_main_one_write_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    folder = RunFolder(tmp_path / "run")
    folder.start(RunConfig(), resume=False)
    folder.write(folder.layout.config, RunConfig())
    folder.write_text(tmp_path / "file", "text")
    assert list(tmp_path.iterdir()) == []


def test_a_benchmark_of_proxies_loads_no_torch() -> None:
    script = "import sys, icmass.benchmarking.runner, icmass.estimators.relation as _; "
    script += "assert 'torch' not in sys.modules and 'accelerate' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_one_process_writes_and_its_errors_are_as_they_are() -> None:
    written: list[int] = []
    one = Processes(make_accelerator("cpu"))
    one.by_main(lambda: written.append(1))
    assert written == [1]
    with pytest.raises(ZeroDivisionError):
        one.by_main(lambda: written.append(1 // 0))
