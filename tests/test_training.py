"""The training loop: losses, schedule, early stopping, seeds, and resuming after a kill."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from icmass.errors import InputError
from icmass.networks.rqs_flow import N_PARAMETERS, log_prob
from icmass.training.checkpoint import CHECKPOINT, fingerprint
from icmass.training.losses import LOSSES
from icmass.training.sample import Sample
from icmass.training.schedules import SCHEDULES
from icmass.training.trainer import (
    Epoch,
    Trainer,
    TrainingConfig,
    kernel_penalty,
    make_accelerator,
    seeded,
)

N_EMBEDDING = 3
RECIPE = TrainingConfig(batch_size=16, max_epochs=6, patience=None, learning_rate=1e-2)
FULL = replace(
    RECIPE,
    schedule="one-cycle",
    loss="flow",
    weight_decay=0.01,
    ema_decay=0.9,
    augmentation="symmetries",
    precision="bf16",
)


class Small(nn.Module):
    """A small network with everything that has state: kernels, batch norm, dropout.

    It gives what the loss "flow" takes: the parameters of a flow and then an embedding.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2)
        )
        self.last = nn.Linear(4 * 36, N_PARAMETERS + N_EMBEDDING)

    def forward(self, maps: torch.Tensor, scalars: torch.Tensor) -> torch.Tensor:
        return self.last(self.layers(maps))


class Plain(nn.Module):
    """One dense layer: no state but its kernel, nothing random."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(64, 1)

    def forward(self, maps: torch.Tensor, scalars: torch.Tensor) -> torch.Tensor:
        return self.last(maps.flatten(1))


def encode(sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
    return sample.counts / 5 - 1, sample.redshift[:, None]


def data(n: int, seed: int) -> tuple[Sample, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(10, (n, 1, 8, 8), generator=generator, dtype=torch.int16)
    ones = torch.ones(n)
    return Sample(counts, None, ones, ones), counts.float().mean((1, 2, 3)) - 4.5


def trainer(training_config: TrainingConfig = RECIPE, seed: int = 0, **options: object) -> Trainer:
    with seeded(seed):
        network = Small()
    return Trainer(
        network,
        encode=encode,
        training_config=training_config,
        seed=seed,
        device="cpu",
        **options,  # type: ignore[arg-type]
    )


def weights(one: Trainer) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in one.network.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_it_learns() -> None:
    one = trainer(replace(RECIPE, max_epochs=30))
    history = one.run(data(200, 0), data(50, 1))
    assert len(history) == 30
    # a network that knew nothing would have the variance of the targets
    assert min(e.validation_loss for e in history) < 0.3 * float(data(50, 1)[1].var())


@pytest.mark.parametrize(
    "training_config",
    [
        RECIPE,
        FULL,
        replace(RECIPE, kernel_l2=1e-3),
        replace(RECIPE, loss="absolute", microbatch_size=6),
    ],
)
@pytest.mark.parametrize("killed_after", [1, 4])
def test_a_killed_run_resumes_to_the_same_weights(
    training_config: TrainingConfig, killed_after: int, tmp_path: Path
) -> None:
    whole = trainer(training_config)
    history = whole.run(data(50, 0), data(20, 1))

    def kill(epoch: Epoch) -> None:
        if epoch.epoch == killed_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(training_config, checkpoint=tmp_path, progress=kill).run(data(50, 0), data(20, 1))
    seen: list[Epoch] = []
    resumed = trainer(training_config, checkpoint=tmp_path, progress=seen.append)
    resumed_history = resumed.run(data(50, 0), data(20, 1))
    assert [e.epoch for e in seen] == list(range(killed_after + 1, 7))
    assert [replace(e, seconds=0) for e in history] == [
        replace(e, seconds=0) for e in resumed_history
    ]
    assert same(weights(whole), weights(resumed))
    assert [f.name for f in tmp_path.iterdir()] == [CHECKPOINT]


def test_a_kill_while_the_checkpoint_is_written_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trainer()
    whole.run(data(50, 0), data(20, 1))
    one = trainer(checkpoint=tmp_path)
    calls = []

    def kill(*args: object) -> None:
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        Path(str(args[0])).rename(str(args[1]))

    with monkeypatch.context() as patch:
        patch.setattr("icmass.files.os.replace", kill)
        with pytest.raises(KeyboardInterrupt):
            one.run(data(50, 0), data(20, 1))
    resumed = trainer(checkpoint=tmp_path)
    resumed.run(data(50, 0), data(20, 1))
    assert same(weights(whole), weights(resumed))


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = trainer(checkpoint=tmp_path)
    first.run(data(50, 0), data(20, 1))
    seen: list[Epoch] = []
    again = trainer(checkpoint=tmp_path, progress=seen.append)
    again.run(data(50, 0), data(20, 1))
    assert not seen
    assert same(weights(first), weights(again))


def test_a_checkpoint_of_other_data_or_options_is_refused(tmp_path: Path) -> None:
    trainer(checkpoint=tmp_path).run(data(50, 0), data(20, 1))
    with pytest.raises(InputError, match="checkpoint of another training"):
        trainer(checkpoint=tmp_path).run(data(50, 2), data(20, 1))
    with pytest.raises(InputError, match="checkpoint of another training"):
        trainer(checkpoint=tmp_path, seed=1).run(data(50, 0), data(20, 1))
    (tmp_path / CHECKPOINT).write_bytes(b"not safetensors")
    with pytest.raises(InputError, match="not a readable checkpoint"):
        trainer(checkpoint=tmp_path).run(data(50, 0), data(20, 1))


def test_the_mark_of_a_checkpoint_stays_what_it_was() -> None:
    # else the checkpoints that exist could not be resumed
    tensors = [torch.tensor([1.5, -2.0]), torch.tensor([[3, 4]], dtype=torch.int16)]
    said = b'[{"batch_size": 4, "chunk": null}, 7]'
    expected = hashlib.sha256(said + b"".join(t.numpy().tobytes() for t in tensors))
    found = fingerprint([{"batch_size": 4, "chunk": None}, 7], tensors)
    assert found == expected.hexdigest()


def test_what_a_checkpoint_holds_stays_what_it_was(tmp_path: Path) -> None:
    one = trainer(FULL, checkpoint=tmp_path)
    one.run(data(50, 0), data(20, 1))
    network = set(one.network.state_dict())
    expected = {f"{part}.{k}" for part in ("network", "best", "average.module") for k in network}
    n = len(list(one.network.parameters()))
    state = ("step", "exp_avg", "exp_avg_sq")
    expected |= {f"optimizer.{i}.{k}" for i in range(n) for k in state}
    with safe_open(tmp_path / "checkpoint.safetensors", "pt") as stored:
        assert set(stored.keys()) == expected | {"average.n_averaged"}
        about = json.loads(stored.metadata()["icmass"])
    assert set(about) == {"mark", "history"}
    assert [Epoch(**line) for line in about["history"]] == one.history


def test_seeds_decide_and_the_global_state_is_untouched() -> None:
    before = torch.get_rng_state()
    one, two, other = trainer(FULL), trainer(FULL), trainer(FULL, seed=1)
    for each in (one, two, other):
        torch.rand(3)  # what others draw does not matter
        torch.set_rng_state(before)
        each.run(data(50, 0), data(20, 1))
        assert torch.equal(torch.get_rng_state(), before)
    assert same(weights(one), weights(two))
    assert not same(weights(one), weights(other))


def test_it_stops_after_the_patience_and_restores_the_best() -> None:
    # the validation targets are noise, so that training longer soon makes it worse
    sample, target = data(40, 1)
    noise = torch.randn(len(target), generator=torch.Generator().manual_seed(5))
    one = trainer(replace(RECIPE, max_epochs=100, patience=4))
    history = one.run(data(50, 0), (sample, noise))
    best = min(history, key=lambda e: e.validation_loss)
    assert len(history) == best.epoch + 4 < 100
    one.network.eval()
    with torch.no_grad():
        loss = LOSSES["squared"](one.network(*encode(sample)), noise).mean()
    assert float(loss) == pytest.approx(best.validation_loss, rel=1e-6)
    assert float(loss) < history[-1].validation_loss


def flow_outputs(n: int) -> torch.Tensor:
    """Return parameters of flows whose splines bend, and then embeddings."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(n, N_PARAMETERS + N_EMBEDDING, generator=generator)


def gradient(loss: str, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    output = output.clone().requires_grad_()
    LOSSES[loss](output, target).sum().backward()
    assert output.grad is not None
    return output.grad


def test_losses_by_hand() -> None:
    output = torch.zeros(1, N_PARAMETERS + N_EMBEDDING)
    output[0, 0], output[0, 1], target = 1.0, math.log(2.0), torch.tensor([4.0])
    assert LOSSES["squared"](output, target).item() == 9.0
    assert LOSSES["absolute"](output, target).item() == 3.0
    # without a spline the flow is a Gaussian
    likelihood = math.log(2.0) + 0.5 * math.log(2 * math.pi) + 0.5 * 9.0 / 4.0
    found = LOSSES["flow"](output, target).item()
    assert found == pytest.approx(9.0 + likelihood, rel=1e-5)


def test_the_width_and_the_shape_leave_the_mean_alone() -> None:
    output, target = flow_outputs(20), torch.linspace(-2, 2, 20)
    squared, flow = (gradient(loss, output, target) for loss in ("squared", "flow"))
    assert torch.equal(squared[:, 0], flow[:, 0])


def test_the_width_and_the_shape_are_of_the_likelihood_at_that_mean() -> None:
    output, target = flow_outputs(20), torch.linspace(-2, 2, 20)
    found = gradient("flow", output, target)[:, 1:N_PARAMETERS]
    rest = output[:, 1:N_PARAMETERS].clone().requires_grad_()
    (-log_prob(torch.cat([output[:, :1], rest], 1), target)).sum().backward()
    assert rest.grad is not None
    torch.testing.assert_close(found, rest.grad)
    assert (found != 0).any(0).all()  # all of them are trained


def test_the_embedding_is_no_part_of_the_loss() -> None:
    found = gradient("flow", flow_outputs(20), torch.linspace(-2, 2, 20))
    assert not found[:, N_PARAMETERS:].any()


def test_the_penalty_counts_kernels_and_no_biases() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(4, 1))
    for p in network.parameters():
        nn.init.constant_(p, 2.0)
    assert kernel_penalty(network).item() == 4.0 * (2 * 9 + 4)


def test_the_penalty_enters_training_and_validation_losses() -> None:
    histories = []
    for l2 in (0.0, 1e-2):
        one = trainer(replace(RECIPE, kernel_l2=l2, learning_rate=1e-12, max_epochs=1))
        histories.append(one.run(data(50, 0), data(20, 1))[0])
        penalty = kernel_penalty(one.network).item()
    gained = histories[1].validation_loss - histories[0].validation_loss
    assert gained == pytest.approx(1e-2 * penalty, rel=1e-3)


def test_a_step_in_chunks_is_the_step() -> None:
    def trained(microbatch_size: int | None) -> tuple[Epoch, torch.Tensor]:
        training_config = replace(
            RECIPE, kernel_l2=1e-2, max_epochs=2, microbatch_size=microbatch_size
        )
        with seeded(0):
            network = Plain()
        one = Trainer(network, encode=encode, training_config=training_config, seed=0, device="cpu")
        return one.run(data(50, 0), data(20, 1))[-1], network.last.weight.detach()

    (whole, expected), (chunked, weight) = trained(None), trained(7)
    # steps of 16, 16, 16 and 2 clusters, each in up to three unequal chunks
    assert chunked.train_loss == pytest.approx(whole.train_loss, rel=1e-5)
    assert chunked.validation_loss == pytest.approx(whole.validation_loss, rel=1e-5)
    torch.testing.assert_close(weight, expected, rtol=1e-4, atol=1e-5)


def test_one_cycle_rises_then_falls_to_zero() -> None:
    factors = [SCHEDULES["one-cycle"](step, 200) for step in range(200)]
    assert max(factors) == factors[19] == 1.0
    assert factors[0] == pytest.approx(0.05)
    assert factors[19:] == sorted(factors[19:], reverse=True)
    assert 0 < factors[-1] < 1e-3
    assert {SCHEDULES["constant"](step, 200) for step in range(200)} == {1.0}


def test_small_surveys_are_passed_more_often() -> None:
    training_config = replace(RECIPE, batch_size=64, max_epochs=50, min_steps=1000)
    assert training_config.epochs(2560) == 50
    assert training_config.epochs(300) == 200
    one = trainer(replace(RECIPE, max_epochs=1, min_steps=9))
    assert len(one.run(data(50, 0), data(20, 1))) == 3


def test_precision_may_change_within_a_process() -> None:
    assert make_accelerator("cpu", "no").mixed_precision == "no"
    assert make_accelerator("cpu", "bf16").mixed_precision in ("no", "bf16")
    assert make_accelerator("auto", "no").mixed_precision == "no"


def test_devices_are_checked() -> None:
    with pytest.raises(InputError, match="auto, cpu or cuda"):
        make_accelerator("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device"):
            make_accelerator("cuda")
