"""What a training configuration names: losses, schedules, augmentations; and a network's output."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from icmass.errors import InputError
from icmass.networks.output import NetworkOutput
from icmass.networks.rqs_flow import N_PARAMETERS
from icmass.training.augmentations import AUGMENTATIONS, Augmentation
from icmass.training.config import TrainingConfig
from icmass.training.devices import compiled
from icmass.training.losses import LOSSES, Loss
from icmass.training.model_specs import ICM_TRAINING, MODEL_SPECS, PAPER_TRAINING
from icmass.training.sample import Sample
from icmass.training.schedules import SCHEDULES
from icmass.training.trainer import Trainer

PLAIN = TrainingConfig(batch_size=5, max_epochs=2, patience=None, learning_rate=1e-2)


class Mean(nn.Module):
    """The mean of the map times a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1))

    def forward(self, maps: torch.Tensor, scalars: torch.Tensor) -> torch.Tensor:
        return maps.flatten(1).mean(1, keepdim=True) @ self.weight


def encode(sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
    return sample.counts.float(), sample.redshift[:, None]


def data(n: int) -> tuple[Sample, torch.Tensor]:
    counts = torch.arange(n * 16).reshape(n, 1, 4, 4) % 7
    return Sample(counts, None, torch.full((n,), 0.1), torch.full((n,), 2e3)), torch.ones(n)


def test_names_that_are_not_there_are_bad_input():
    for field, name in (("loss", "cubic"), ("schedule", "weekly"), ("augmentation", "mirror")):
        config = replace(PLAIN, **{field: name})
        with pytest.raises(InputError, match=rf"{field}: '{name}'; known: "):
            Trainer(Mean(), encode=encode, training_config=config, seed=0, device="cpu")


def test_every_model_names_what_is_there():
    for spec in MODEL_SPECS.values():
        config = spec.training_config
        assert config.loss in LOSSES and config.schedule in SCHEDULES
        assert config.augmentation in AUGMENTATIONS
        assert spec.has_posterior == LOSSES[config.loss].needs_flow


def test_others_can_be_added(monkeypatch: pytest.MonkeyPatch):
    for named in (LOSSES, SCHEDULES, AUGMENTATIONS):
        monkeypatch.setattr(named, "_held", dict(named._held))
    steps: list[tuple[int, int]] = []
    rows: list[torch.Tensor] = []

    def falling(step: int, n_steps: int) -> float:
        steps.append((step, n_steps))
        return 1 - step / n_steps

    def twice(sample: Sample, index: torch.Tensor, plan: list[torch.Tensor]) -> Sample:
        rows.append(plan[0][index])
        return replace(sample.take(index), counts=2 * sample.counts[index])

    SCHEDULES.register("falling", falling)
    LOSSES.register("quartic", Loss(lambda output, target: (output.mean - target) ** 4))
    drawn = Augmentation(lambda sample, generator: [torch.arange(len(sample))], twice)
    AUGMENTATIONS.register("twice", drawn)
    with pytest.raises(ValueError, match="augmentation 'twice' is there already"):
        AUGMENTATIONS.register("twice", drawn)
    config = replace(PLAIN, loss="quartic", schedule="falling", augmentation="twice")
    network = Mean()
    trainer = Trainer(network, encode=encode, training_config=config, seed=0, device="cpu")
    history = trainer.run(data(12), data(4))
    assert steps == [(i, 6) for i in range(6)]  # 2 epochs of 3 steps
    assert [len(part) for part in rows] == [5, 5, 2, 5, 5, 2]
    assert sorted(torch.cat(rows[:3]).tolist()) == list(range(12))
    # before the first step the output is 0: quartic losses of 1; the weight only grows
    assert 0 < history[-1].validation_loss < 1
    assert config.document()["augmentation"] == "twice"


def test_a_long_gradient_is_shortened(monkeypatch: pytest.MonkeyPatch):
    """The gradient of the squared error at weight 0 is -2 mean(map) = -6; Adam hides its size."""
    seen: list[float] = []
    for most, expected in ((0.0, 6.0), (1.5, 1.5)):
        network = Mean()
        config = replace(PLAIN, batch_size=4, max_epochs=1, max_gradient=most)
        trainer = Trainer(network, encode=encode, training_config=config, seed=0, device="cpu")
        monkeypatch.setattr(
            trainer.optimizer, "step", lambda of=network: seen.append(float(of.weight.grad))
        )
        flat = Sample(
            torch.full((4, 1, 4, 4), 3), None, torch.full((4,), 0.1), torch.full((4,), 2e3)
        )
        trainer.run((flat, torch.ones(4)), data(4))
        assert seen.pop() == pytest.approx(-expected, rel=1e-4)
    assert not seen


def test_what_cannot_be_compiled_goes_on_as_it_is(monkeypatch: pytest.MonkeyPatch):
    def broken(network: nn.Module, **options: object):
        def fail(*inputs: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no compiler\nand more")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    network = Mean()
    forward = compiled(network)
    maps, scalars = torch.ones(2, 1, 4, 4), torch.ones(2, 1)
    with pytest.warns(RuntimeWarning, match="not compiled: no compiler$"):
        assert torch.equal(forward(maps, scalars), network(maps, scalars))
    assert torch.equal(forward(maps, scalars), network(maps, scalars))  # and asks no more


def test_stored_configurations_are_as_they_were():
    """Keys and their order decide whether the checkpoint of an older version is one of this."""
    keys = ["batch_size", "max_epochs", "patience", "learning_rate", "microbatch_size", "min_steps"]
    keys += ["schedule", "loss", "kernel_l2", "weight_decay", "ema_decay", "augment", "redraw"]
    keys += ["precision", "adam_eps"]
    ours, paper = ICM_TRAINING.document(), PAPER_TRAINING.document()
    assert list(ours) == list(paper) == keys
    assert (ours["augment"], ours["redraw"]) == (True, True)
    assert (paper["augment"], paper["redraw"]) == (False, False)
    assert list(replace(ICM_TRAINING, compiled=True).document()) == keys
    clipped = replace(ICM_TRAINING, max_gradient=1.0).document()
    assert list(clipped) == [*keys, "max_gradient"]
    turned = replace(PAPER_TRAINING, augmentation="symmetries").document()
    assert (turned["augment"], turned["redraw"]) == (True, False)


def test_the_parts_of_an_output():
    gaussian, spline, embedding = (
        torch.rand(4, 2),
        torch.rand(4, N_PARAMETERS - 2),
        torch.rand(4, 7),
    )
    packed = NetworkOutput.pack(gaussian, spline, embedding)
    found = NetworkOutput(packed)
    assert torch.equal(found.gaussian, gaussian) and torch.equal(found.mean, gaussian[:, 0])
    assert torch.equal(found.flow, torch.cat([gaussian, spline], 1))
    assert torch.equal(found.embedding, embedding) and found.has_flow
    stacked = NetworkOutput(np.stack([packed.numpy()] * 3))
    assert stacked.mean.shape == (3, 4) and stacked.embedding.shape == (3, 4, 7)


def test_an_output_of_another_shape_is_refused():
    for shape in ((4,), (4, 2), (4, N_PARAMETERS - 1), (4, 0)):
        with pytest.raises(ValueError, match="the mean alone, or"):
            NetworkOutput(torch.zeros(shape))
    alone = NetworkOutput(torch.zeros(4, 1))
    assert not alone.has_flow and alone.mean.shape == (4,)
    with pytest.raises(ValueError, match="no flow and no embedding"):
        _ = alone.embedding
    with pytest.raises(ValueError, match="make no flow"):
        NetworkOutput.pack(torch.zeros(4, 3), torch.zeros(4, N_PARAMETERS - 2), torch.zeros(4, 1))
    with pytest.raises(ValueError, match="no flow"):
        LOSSES["flow"](torch.zeros(4, 1), torch.zeros(4))
