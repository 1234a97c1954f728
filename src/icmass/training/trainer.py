"""The training loop: small, on accelerate, resumable after every epoch to the same weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from icmass.errors import InputError
from icmass.training.augmentations import AUGMENTATIONS, Plan
from icmass.training.checkpoint import Checkpoint, fingerprint
from icmass.training.config import TrainingConfig
from icmass.training.devices import (
    Processes,
    compiled,
    derive_seed,
    make_accelerator,
    retry_on_oom,
    seeded,
    snapshot_state,
)
from icmass.training.dihedral import dihedral
from icmass.training.freed_memory import keep_freed_memory
from icmass.training.losses import LOSSES
from icmass.training.sample import Sample
from icmass.training.schedules import SCHEDULES
from icmass.training.sources import InMemory, Source

Encode = Callable[[Sample], tuple[torch.Tensor, torch.Tensor]]
Drawn = Callable[[torch.Tensor], Sample]
"""Takes rows of a buffer to its clusters as they are trained on."""


@dataclass(frozen=True)
class Epoch:
    """One line of the training's history; losses include the penalty on the kernels."""

    epoch: int
    train_loss: float
    validation_loss: float
    best: bool
    seconds: float
    n_epochs: int = 0  # how many there are at most; 0: not known, of older checkpoints


Progress = Callable[[Epoch], None]


def kernel_penalty(network: nn.Module) -> torch.Tensor:
    """Sum of squares of all kernels (weights of two and more dimensions, so no bias)."""
    return torch.stack([(p**2).sum() for p in network.parameters() if p.ndim > 1]).sum()


@torch.no_grad()
def apply_network(
    network: nn.Module,
    encode: Encode,
    sample: Sample,
    size: int,
    *,
    symmetries: int = 1,
    bf16: bool = False,
) -> torch.Tensor:
    """Return the network's outputs in evaluation mode, shape (n, output).

    Outputs are means over the first `symmetries` of the square; with `bf16` layers that may
    multiply in bfloat16 do. The clusters pass `size` at a time, or fewer where memory runs out.
    """
    network.eval()

    def of(part: Sample) -> torch.Tensor:
        maps, beside = encode(part)
        with torch.autocast(maps.device.type, torch.bfloat16, enabled=bf16):
            views = [network(dihedral(maps, k), beside) for k in range(symmetries)]
        return torch.stack(views).mean(0)

    def outputs(size: int) -> torch.Tensor:
        return torch.cat([of(part) for part in sample.batches(size)])

    return retry_on_oom(outputs, max(min(size, len(sample)), 1))[0]


def _undrawn(rows: torch.Tensor) -> Sample:
    raise ValueError("a process without clusters draws none")


class Trainer:
    """Trains one network on clusters in memory, or on those of any other `Source`.

    Every epoch draws its order and its symmetries from (seed, epoch), so a run that was killed
    and goes on from its checkpoint ends with the weights of one that was not. Where several
    processes run the same script they train one network together, each on its part of every
    batch; where memory runs out, fewer clusters pass at once. See `icmass.training.devices` on
    both, and on what they mean for batch normalisation.

    Parameters
    ----------
    network : Module
        Called with what `encode` returns; holds the best weights after `run`.
    encode : callable
        Takes a `Sample` to maps, and scalars or cubes.
    training_config : TrainingConfig
        How to train.
    seed : int
        Seed of order and augmentation.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    checkpoint : Path, optional
        Directory for the checkpoint; training goes on from one that is there. The main process
        writes it, and all must see it.
    progress : callable, optional
        Called after every epoch, by the main process.
    stop : callable, optional
        Asked before every epoch but the first whether time is up.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        encode: Encode,
        training_config: TrainingConfig,
        seed: int,
        device: str = "auto",
        checkpoint: Path | None = None,
        progress: Progress | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        self.stop = stop
        self.training_config, self.encode = training_config, encode
        self.seed, self.progress = seed, progress
        self.loss = LOSSES[training_config.loss]
        self.schedule = SCHEDULES[training_config.schedule]
        self.augmentation = AUGMENTATIONS[training_config.augmentation]
        self.accelerator = make_accelerator(device, training_config.precision)
        if self.accelerator.device.type == "cpu":
            keep_freed_memory()
        self.processes = Processes(self.accelerator)
        self.microbatch_size = self.processes.largest_share(training_config.batch_size)
        if training_config.microbatch_size is not None:
            self.microbatch_size = min(self.microbatch_size, training_config.microbatch_size)
        self.validated_at_once = training_config.microbatch_size or 256
        self.network = network.to(self.accelerator.device)
        self.processes.broadcast_parameters(self.network)
        self.average: AveragedModel | None = None
        if training_config.ema_decay:
            decayed = get_ema_multi_avg_fn(training_config.ema_decay)
            self.average = AveragedModel(self.network, multi_avg_fn=decayed, use_buffers=True)
        optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=training_config.learning_rate,
            weight_decay=training_config.weight_decay,
            eps=training_config.adam_eps,
        )
        # "evaluation": mixed precision, and no DistributedDataParallel, see devices.py
        self.wrapped = self.accelerator.prepare_model(self.network, evaluation_mode=True)
        self.passed = compiled(self.wrapped) if self._compiles() else self.wrapped
        self.optimizer = self.accelerator.prepare_optimizer(optimizer)
        self.checkpoint: Checkpoint | None = None
        if checkpoint is not None:
            self.checkpoint = Checkpoint(checkpoint, self.network, self.average, self.optimizer)
        self.history: list[Epoch] = []
        self.best: dict[str, torch.Tensor] = {}

    def _compiles(self) -> bool:
        return self.training_config.compiled and self.accelerator.device.type == "cuda"

    @property
    def eval_model(self) -> nn.Module:
        """The network that is validated and kept."""
        return self.network if self.average is None else self.average.module

    def run(
        self, train: Source | tuple[Sample, torch.Tensor], validation: tuple[Sample, torch.Tensor]
    ) -> list[Epoch]:
        """Train until the epochs or the patience are used up, then restore the best weights.

        Parameters
        ----------
        train, validation : (Sample, Tensor of shape (n,))
            Clusters, and the targets of the network; to train on, any `Source` of them.
        """
        device, together = self.accelerator.device, self.processes
        source = train if isinstance(train, Source) else InMemory(*train)
        digest = self._fingerprint(source, *validation)
        self._resume(digest)
        together.check_alike(digest, len(self.history))
        rows = together.share(torch.arange(len(validation[0])))
        mine = validation[0].take(rows), validation[1][rows]
        held = mine[0].to(device), mine[1].to(device)
        source.start(together, device, self.training_config.batch_size)
        own_seed = () if together.rank == 0 else (4, together.rank)
        while not self._finished(n_epochs := source.epochs(self.training_config)):
            start, epoch = time.perf_counter(), len(self.history)
            with seeded(self.seed, epoch, *own_seed):
                train_loss = self._train_epoch(source, epoch)
            loss = self._validation_loss(*held)
            best = loss < min((e.validation_loss for e in self.history), default=math.inf)
            if best or not self.best:
                self.best = {k: v.clone() for k, v in self.eval_model.state_dict().items()}
            if not math.isfinite(train_loss + loss):
                raise InputError(
                    f"loss {train_loss:g} in epoch {epoch + 1}",
                    field="training",
                    hint="check the survey's maps and masses for values that are not finite",
                )
            seconds = time.perf_counter() - start
            self.history.append(Epoch(epoch + 1, train_loss, loss, best, seconds, n_epochs))
            if not self.accelerator.is_main_process:
                continue
            if self.checkpoint is not None:
                self.checkpoint.write(digest, [asdict(e) for e in self.history], self.best)
            if self.progress is not None:
                self.progress(self.history[-1])
        self.accelerator.wait_for_everyone()
        # undoes accelerate's mixed-precision forward: what is kept predicts in full precision
        self.accelerator.unwrap_model(self.wrapped, keep_fp32_wrapper=False)
        self.network.load_state_dict(self.best)
        self.network.eval()
        return self.history

    def _finished(self, n_epochs: int) -> bool:
        n = len(self.history)
        last_best = max((e.epoch for e in self.history if e.best), default=0)
        patience = self.training_config.patience
        stopped = patience is not None and n - last_best >= patience
        if n >= n_epochs or stopped:
            return True
        return n > 0 and self.processes.any_rank(self.stop is not None and self.stop())

    def _train_epoch(self, source: Source, epoch: int) -> float:
        training_config, device = self.training_config, self.accelerator.device
        total, n_seen = torch.zeros((), device=device), 0
        self.wrapped.train()
        first = epoch * source.steps(training_config)
        n_steps = source.epochs(training_config) * source.steps(training_config)
        for step, (drawn, target, own, n) in enumerate(self._batches(source, epoch), start=first):
            for group in self.optimizer.param_groups:
                rate = self.schedule(min(step, n_steps - 1), n_steps)
                group["lr"] = training_config.learning_rate * rate
            total += self._step(drawn, target, own, n)
            n_seen += n
            if self.average is not None:
                self.average.update_parameters(self.network)
        return float(self.processes.sum(total)) / max(n_seen, 1)

    def _batches(
        self, source: Source, epoch: int
    ) -> Iterator[tuple[Drawn, torch.Tensor, torch.Tensor, int]]:
        """Yield the steps: clusters and targets, rows of this process, clusters of all."""
        together, device = self.processes, self.accelerator.device
        size = self.training_config.batch_size
        size = together.largest_share(size) if source.is_sharded else size
        for i, (sample, target) in enumerate(source.buffers(epoch)):
            place = (i,) if i else ()
            generator = torch.Generator().manual_seed(derive_seed(self.seed, epoch, 1, *place))
            order = torch.randperm(len(sample), generator=generator)
            plan = [part.to(device) for part in self.augmentation.draw(sample, generator)]
            drawn = partial(self._drawn, sample, plan)
            for index in order.to(device).split(size):
                if source.is_sharded:
                    yield drawn, target, index, together.count(len(index))
                else:
                    yield drawn, target, together.share(index), len(index)
        if source.is_sharded and together.number > 1:  # others may have some left
            nothing = torch.arange(0, device=device)
            while n := together.count(0):
                yield _undrawn, nothing, nothing, n

    def _drawn(self, sample: Sample, plan: Plan, rows: torch.Tensor) -> Sample:
        return self.augmentation.apply(sample, rows, plan)

    def _step(self, drawn: Drawn, target: torch.Tensor, own: torch.Tensor, n: int) -> torch.Tensor:
        """Make one step on the `n` clusters of all processes; the summed loss of this one's."""
        restore = snapshot_state(self.network, target.device)

        def accumulated(size: int) -> torch.Tensor:
            restore()
            self.optimizer.zero_grad()
            total = torch.zeros((), device=target.device)
            for rows in own.split(size) if len(own) else ():
                loss = self._add_gradient(drawn(rows), target[rows], len(rows) / n)
                total += loss * len(rows)
            return total

        most = min(self.microbatch_size, self.processes.largest_share(n))
        total, size = retry_on_oom(accumulated, most, self.processes.any_rank)
        if size < most:
            self.microbatch_size = self.validated_at_once = size
        self.processes.all_reduce_gradients(self.network, len(own) / n)
        if self.training_config.max_gradient:
            clip_grad_norm_(self.network.parameters(), self.training_config.max_gradient)
        self.optimizer.step()
        return total

    def _add_gradient(self, part: Sample, target: torch.Tensor, share: float) -> torch.Tensor:
        """Add the gradient of some clusters' loss times their share of the step; that loss."""
        loss = self.loss(self.passed(*self.encode(part)), target).mean()
        if self.training_config.kernel_l2:
            loss = loss + self.training_config.kernel_l2 * kernel_penalty(self.network)
        self.accelerator.backward(loss * share)
        return loss.detach()

    def _validation_loss(self, sample: Sample, target: torch.Tensor) -> float:
        """Return the mean loss over the clusters of all processes, of which this one has some."""
        total = torch.zeros(2, device=target.device)
        if len(sample):
            output = apply_network(self.eval_model, self.encode, sample, self.validated_at_once)
            total[0] = self.loss(output, target).sum()
            total[1] = len(sample)
        total = self.processes.sum(total)
        loss = total[0] / total[1]
        if self.training_config.kernel_l2:
            loss = loss + self.training_config.kernel_l2 * kernel_penalty(self.eval_model).detach()
        return float(loss)

    def _fingerprint(self, source: Source, sample: Sample, target: torch.Tensor) -> str:
        """Fingerprint of all that decides the weights: recipe, seed, data, starting weights."""
        said, tensors = source.fingerprint()
        tensors = [*self.network.state_dict().values(), *tensors, *sample.tensors(), target]
        return fingerprint([self.training_config.document(), self.seed, *said], tensors)

    def _resume(self, digest: str) -> None:
        found = None if self.checkpoint is None else self.checkpoint.restore(digest)
        if found is not None:
            history, self.best = found
            self.history = [Epoch(**line) for line in history]
