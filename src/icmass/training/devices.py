"""Where networks run: the device, its memory, its random numbers, and several processes.

Several processes train one network with data parallelism when a script is started by
``accelerate launch --multi_gpu --num_processes N`` or ``torchrun --nproc-per-node N``, on GPUs or,
without them, on CPUs (gloo); ``accelerate launch --cpu`` starts one process whatever N, unless it
is given MPI. Each process takes every N-th cluster of a batch and adds up its part of the
gradient; the parts are summed once a step, when all are sure that their memory sufficed. That is
why the network is not wrapped in `DistributedDataParallel`, which sums within the backward pass:
a process without memory, or without a cluster in a small last batch, would leave the others
waiting there.

Batch normalisation in training sees the clusters that pass at once in one process, as it does in
`DistributedDataParallel` (`SyncBatchNorm` needs GPUs): with more processes, or fewer clusters at
once for lack of memory, its means are over fewer clusters and the trained network is another one,
as good unless they are very few. Networks without it train to the same weights but for rounding.
The running statistics are the processes' means, weighted by clusters, so that all hold the same
network, and the same running mean of its weights, after every step.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import psutil
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast
from torch import nn

from icmass.errors import InputError
from icmass.main_process import is_main

Result = TypeVar("Result")
_SAYS_OUT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "bad_alloc",
    "_STATUS_ALLOC_FAILED",
)


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Seed torch's global generators inside the context, and restore them after it."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(derive_seed(*key))
        yield


def derive_seed(*key: int) -> int:
    """Return one 64-bit seed of several numbers."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])


def make_accelerator(device: str, precision: str = "no") -> Accelerator:
    """Return an accelerator on a device: ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Mixed precision in bfloat16 is used only where the hardware multiplies it.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(repr(device), field="device", hint="give auto, cpu or cuda")
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise InputError("no CUDA device", field="device", hint="give auto or cpu")
    on_cpu = device == "cpu" or not has_cuda
    if precision == "bf16" and not multiplies_bf16(on_cpu):
        precision = "no"
    if AcceleratorState._shared_state:  # another precision or device may have been used before
        alone = AcceleratorState().num_processes == 1
        AcceleratorState._reset_state(reset_partial_state=alone)
    return Accelerator(cpu=on_cpu, mixed_precision=precision)


_sharers = 1  # processes that fit side by side


def share_memory(processes: int) -> None:
    """Have `free_bytes` leave room for so many processes alike, this one among them."""
    global _sharers
    _sharers = processes


def free_bytes(device: torch.device) -> int:
    """Return this process's part of what is free on the machine and, if it is a GPU, on the device.

    All of it, but where several processes fit side by side, see `share_memory`.
    """
    free = int(psutil.virtual_memory().available)
    if device.type == "cuda":
        free = min(free, torch.cuda.mem_get_info(device)[0])
    return free // _sharers


def multiplies_bf16(on_cpu: bool) -> bool:
    """Whether the hardware, CPU or GPU, multiplies bfloat16 and does not emulate it."""
    if not on_cpu:
        result: bool = torch.cuda.is_bf16_supported(including_emulation=False)
        return result
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(supported())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of the device, or of the machine, is used up."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(s in str(error) for s in _SAYS_OUT_OF_MEMORY)


def retry_on_oom(
    attempt: Callable[[int], Result], size: int, any_rank: Callable[[bool], bool] = bool
) -> tuple[Result, int]:
    """Call with a number of clusters at once, and with half of it while the memory is too small.

    Parameters
    ----------
    attempt : callable
        Takes the number of clusters at once to the result; called anew, it begins anew.
    size : int
        The number of clusters to begin with.
    any_rank : callable
        Whether something is so in any process, from whether it is so in this one; all call it
        equally often.

    Returns
    -------
    result : object
        What `attempt` returned.
    size : int
        The number with which it did.

    Raises
    ------
    InputError
        If there is no memory for one cluster.
    """
    asked = size
    while True:
        results = []
        try:
            results.append(attempt(size))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # out of the except clause, for its traceback holds what the attempt has allocated
        if not any_rank(not results):
            break
        results.clear()
        if size == 1:
            raise InputError(
                "out of memory with one cluster at once",
                field="device",
                hint="use a device with more memory, or fewer pixels",
            )
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        size //= 2
    if size < asked:
        said = f"out of memory with {asked} clusters at once; going on with {size}"
        warnings.warn(said, RuntimeWarning, stacklevel=2)
    return results[0], size


def snapshot_state(network: nn.Module, device: torch.device) -> Callable[[], None]:
    """Return a function that undoes what passes do: to buffers and to random numbers.

    So a step that is repeated with fewer clusters at once begins as if it had not been tried.
    """
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    on_cuda = device.type == "cuda"
    generators = torch.get_rng_state(), torch.cuda.get_rng_state(device) if on_cuda else None

    def restore() -> None:
        for buffer, value in buffers:
            buffer.copy_(value)
        torch.set_rng_state(generators[0])
        if generators[1] is not None:
            torch.cuda.set_rng_state(generators[1], device)

    return restore


def compiled(network: nn.Module) -> Callable[..., torch.Tensor]:
    """Return a network's forward pass through ``torch.compile``; as it is where that fails.

    Parameters, buffers and mode (training or evaluation) are the network's own.
    """
    faster = torch.compile(network, dynamic=True)
    usable = True

    def forward(*inputs: torch.Tensor) -> torch.Tensor:
        nonlocal usable
        if usable:
            try:
                result: torch.Tensor = faster(*inputs)
                return result
            except Exception as error:  # whatever the compiler lacks, training goes on
                if is_out_of_memory(error):
                    raise
                usable = False
                said = str(error).strip().partition("\n")[0]
                warnings.warn(f"not compiled: {said}", RuntimeWarning, stacklevel=2)
        found: torch.Tensor = network(*inputs)
        return found

    return forward


class Processes:
    """What the processes of one training do together; with one process, nothing.

    Parameters
    ----------
    accelerator : Accelerator
        One that `make_accelerator` made.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.number, self.rank = accelerator.num_processes, accelerator.process_index

    def share(self, index: torch.Tensor) -> torch.Tensor:
        """Return this process's part of an index; it may be empty, but for the main process."""
        return index[self.rank :: self.number]

    def largest_share(self, n: int) -> int:
        """Return the size of the largest part of `n`."""
        result: int = -(-n // self.number)
        return result

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the sum over processes."""
        result: torch.Tensor = self.accelerator.reduce(tensor, "sum")
        return result

    def count(self, here: int) -> int:
        """Return the sum over processes of a number of clusters."""
        if self.number == 1:
            return here
        return round(float(self.sum(torch.tensor(float(here), device=self.accelerator.device))))

    def any_rank(self, here: bool) -> bool:
        """Whether something is so in any process."""
        if self.number == 1:
            return here
        return bool(self.sum(torch.tensor(float(here), device=self.accelerator.device)) > 0)

    def by_main(self, write: Callable[[], None]) -> None:
        """Write in the main process alone; all processes call this, and wait until it is done.

        Raises
        ------
        OSError
            In all processes, where the main one of several failed, for whatever reason.
        """
        failed: list[Exception] = []
        if is_main():
            try:
                write()
            except Exception as error:
                if self.number == 1:
                    raise
                failed.append(error)
        if self.any_rank(bool(failed)):
            said = str(failed[0]) if failed else "see there"
            raise OSError(f"the main process cannot write: {said}")

    def check_alike(self, *said: object) -> None:
        """Raise an `InputError` unless all processes say the same."""
        if self.number == 1:
            return
        digest = hashlib.sha256(repr(said).encode()).digest()
        number = torch.tensor([int.from_bytes(digest[:7], "big")], device=self.accelerator.device)
        if len(set(self.accelerator.gather(number).tolist())) > 1:
            raise InputError(
                "the processes' data, options or checkpoints differ",
                field="training",
                hint="give all the same, and a checkpoint in a folder that all see",
            )

    def broadcast_parameters(self, network: nn.Module) -> None:
        """Give all processes the main one's weights and buffers."""
        if self.number > 1:
            for tensor in network.state_dict().values():
                tensor.copy_(broadcast(tensor.clone()))

    @torch.no_grad()
    def all_reduce_gradients(self, network: nn.Module, weight: float) -> None:
        """Sum the gradients over processes, and take the mean of the running statistics.

        Parameters
        ----------
        network : Module
            Its gradients are this process's part of the step's. Parameters that no loss depends
            on get a gradient of zero.
        weight : float
            Part of the step's clusters that this process had.
        """
        if self.number == 1:
            return
        trained = [p for p in network.parameters() if p.requires_grad]
        means, numbers = _running_statistics(network)
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        parts += [mean * weight for mean in means]
        parts += [number.float() * (self.rank == 0) for number in numbers]
        flat = self.sum(torch.cat([part.flatten() for part in parts]))
        sums = iter(flat.split([part.numel() for part in parts]))
        for parameter, total in zip(trained, sums, strict=False):
            parameter.grad = total.view_as(parameter)
        for buffer, total in zip([*means, *numbers], sums, strict=True):
            buffer.copy_(total.view_as(buffer))


def _running_statistics(network: nn.Module) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the running means and variances of normalisations, and their numbers of batches."""
    buffers = list(network.named_buffers())

    def called(*endings: str) -> list[torch.Tensor]:
        return [buffer for name, buffer in buffers if name.endswith(endings)]

    return called("running_mean", "running_var"), called("num_batches_tracked")
