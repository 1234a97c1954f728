"""The networks by name: what each reads, its layers, its preprocessing and its training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from icmass.networks.large import LargeNetwork
from icmass.networks.multimodal import MultimodalNetwork
from icmass.networks.paper import PaperNetwork
from icmass.networks.rings import RingNetwork
from icmass.training.config import TrainingConfig
from icmass.training.encodings import (
    N_CELLS,
    SCALAR_FEATURES,
    CompactEncoding,
    GalaxySetEncoding,
    MultimodalEncoding,
    PaperEncoding,
)
from icmass.training.losses import LOSSES
from icmass.training.sample import GALAXY_VARIABLES

MANY_CLUSTERS = 10_000
"""Our networks have no dropout where they are trained on so many: they learn none by heart, and
dropout would move their mean (`RingNetwork`)."""


@dataclass(frozen=True)
class NetworkInputs:
    """What a network is made for.

    Attributes
    ----------
    n_channels, n_pixels : int
        Channels of the maps, and pixels along a side.
    n_scalars : int
        Numbers beside the maps.
    n_clusters : int
        Clusters of the training, those held out too; 0 of a network that is only to predict.
    """

    n_channels: int
    n_pixels: int
    n_scalars: int
    n_clusters: int = 0

    @property
    def dropout(self) -> float:
        """Share of the head's numbers that our networks leave out in training."""
        return 0.2 if self.n_clusters < MANY_CLUSTERS else 0.0


@dataclass(frozen=True)
class ModelSpec:
    """What a network of a given name is: its inputs, layers and training.

    Attributes
    ----------
    summary : str
        One line for the model card.
    inputs : tuple of str
        Variables of the survey that it reads.
    encoding : type
        Preprocessing, fitted on the training clusters.
    layers : callable
        Takes `NetworkInputs` to the untrained network.
    training_config : TrainingConfig
        Training: loss, schedule and augmentation by name.
    sum_bands : bool
        Whether the bands are added.
    max_pixels : int or None
        Maps are binned to this many pixels along a side.
    sees_galaxies : bool
        Whether it is fed with the survey's galaxies.
    sees_stellar_masses : bool
        Whether it is fed with their stellar masses, where the survey has them.
    """

    summary: str
    inputs: tuple[str, ...]
    encoding: (
        type[PaperEncoding]
        | type[MultimodalEncoding]
        | type[CompactEncoding]
        | type[GalaxySetEncoding]
    )
    layers: Callable[[NetworkInputs], nn.Module]
    training_config: TrainingConfig
    sum_bands: bool
    max_pixels: int | None
    sees_galaxies: bool = False
    sees_stellar_masses: bool = False

    @property
    def sees_coverage(self) -> bool:
        """Whether a survey's coverage is a channel of the map."""
        return issubclass(self.encoding, CompactEncoding)

    @property
    def sees_nh(self) -> bool:
        """Whether it is fed with the Galactic column density."""
        return issubclass(self.encoding, CompactEncoding)

    @property
    def has_posterior(self) -> bool:
        """Whether it gives a posterior of any shape and an embedding."""
        return LOSSES[self.training_config.loss].needs_flow

    def reads(self, coverage: bool) -> tuple[str, ...]:
        """Return the variables that it reads of surveys with or without coverage."""
        return (*self.inputs, "coverage") if coverage else self.inputs

    def read_options(self, *, coverage: bool, with_parts: bool) -> dict[str, Any]:
        """Return the keywords of `read_sample` for what it reads."""
        return {
            "sum_bands": self.sum_bands,
            "max_pixels": self.max_pixels,
            "coverage_channel": coverage,
            "with_galaxies": self.sees_galaxies,
            "with_nh": self.sees_nh,
            "with_parts": with_parts,
            "with_stellar_masses": self.sees_stellar_masses,
        }

    @property
    def n_scalars(self) -> int:
        """Numbers beside the maps."""
        return len(SCALAR_FEATURES) + (N_CELLS if self.sees_galaxies else 0)

    def network(self, *, n_pixels: int, n_channels: int, n_clusters: int = 0) -> nn.Module:
        """Return the untrained network, for a training on so many clusters."""
        inputs = NetworkInputs(n_channels, n_pixels, self.n_scalars, n_clusters)
        return self.layers(inputs)


def _paper_1band(of: NetworkInputs) -> nn.Module:
    return PaperNetwork(n_channels=of.n_channels, n_pixels=of.n_pixels)


def _paper_3band(of: NetworkInputs) -> nn.Module:
    return PaperNetwork(n_channels=of.n_channels, n_pixels=of.n_pixels, dropout=0.1)


def _paper_multimodal(of: NetworkInputs) -> nn.Module:
    return MultimodalNetwork(n_channels=of.n_channels, n_pixels=of.n_pixels)


def _rings(of: NetworkInputs) -> nn.Module:
    return RingNetwork(
        n_channels=of.n_channels,
        n_scalars=of.n_scalars,
        n_pixels=of.n_pixels,
        dropout=of.dropout,
    )


def _rings_with_galaxies(of: NetworkInputs) -> nn.Module:
    return RingNetwork(
        n_channels=of.n_channels, n_scalars=of.n_scalars, n_pixels=of.n_pixels, n_cells=N_CELLS
    )


def _large(of: NetworkInputs, has_galaxies: bool = False) -> nn.Module:
    return LargeNetwork(
        n_channels=of.n_channels,
        n_scalars=of.n_scalars,
        n_pixels=of.n_pixels,
        has_galaxies=has_galaxies,
        dropout=of.dropout,
    )


def _large_with_galaxies(of: NetworkInputs) -> nn.Module:
    return _large(of, has_galaxies=True)


PAPER_TRAINING = TrainingConfig(
    batch_size=50,
    max_epochs=200,
    patience=20,
    learning_rate=1e-3,
    kernel_l2=1e-4,
    adam_eps=1e-7,
)
THREE_BAND_TRAINING = replace(PAPER_TRAINING, loss="absolute")
MULTIMODAL_TRAINING = replace(PAPER_TRAINING, batch_size=100, max_epochs=400, microbatch_size=20)
ICM_TRAINING = TrainingConfig(
    batch_size=64,
    max_epochs=40,
    min_steps=1000,
    patience=None,
    learning_rate=3e-3,
    schedule="one-cycle",
    loss="flow",
    weight_decay=0.02,
    ema_decay=0.99,
    augmentation="components",
    precision="bf16",
)
LARGE_TRAINING = replace(ICM_TRAINING, learning_rate=1e-3, weight_decay=0.05, max_gradient=1.0)
INPUTS = ("maps", "redshift", "exposure")
ICM_INPUTS = (*INPUTS, "nh")
MODEL_SPECS = {
    "paper-1band": ModelSpec(
        "the one-band network of Ho et al. 2023 (MNRAS 524, 3289)",
        INPUTS,
        PaperEncoding,
        _paper_1band,
        PAPER_TRAINING,
        sum_bands=True,
        max_pixels=None,
    ),
    "paper-3band": ModelSpec(
        "the three-band network of Ho et al. 2023 (MNRAS 524, 3289)",
        INPUTS,
        PaperEncoding,
        _paper_3band,
        THREE_BAND_TRAINING,
        sum_bands=False,
        max_pixels=None,
    ),
    "paper-multimodal": ModelSpec(
        "the network of X-ray maps and galaxies of Ho et al. 2023 (MNRAS 524, 3289)",
        (*INPUTS, *GALAXY_VARIABLES),
        MultimodalEncoding,
        _paper_multimodal,
        MULTIMODAL_TRAINING,
        sum_bands=False,
        max_pixels=None,
        sees_galaxies=True,
    ),
    "icm-1band": ModelSpec(
        "a small convolutional network with means in rings, on all bands added",
        ICM_INPUTS,
        CompactEncoding,
        _rings,
        ICM_TRAINING,
        sum_bands=True,
        max_pixels=64,
    ),
    "icm-3band": ModelSpec(
        "a small convolutional network with means in rings, on each band apart",
        ICM_INPUTS,
        CompactEncoding,
        _rings,
        ICM_TRAINING,
        sum_bands=False,
        max_pixels=64,
    ),
    "icm-multimodal": ModelSpec(
        "a small convolutional network with means in rings, on each band and on galaxies in cells",
        (*ICM_INPUTS, *GALAXY_VARIABLES),
        CompactEncoding,
        _rings_with_galaxies,
        ICM_TRAINING,
        sum_bands=False,
        max_pixels=64,
        sees_galaxies=True,
    ),
    "icm-large-1band": ModelSpec(
        "a large residual network of several scales, on all bands added",
        ICM_INPUTS,
        CompactEncoding,
        _large,
        LARGE_TRAINING,
        sum_bands=True,
        max_pixels=128,
    ),
    "icm-large-3band": ModelSpec(
        "a large residual network of several scales, on each band apart",
        ICM_INPUTS,
        CompactEncoding,
        _large,
        LARGE_TRAINING,
        sum_bands=False,
        max_pixels=128,
    ),
    "icm-large-multimodal": ModelSpec(
        "a large residual network of several scales, on each band and on galaxies one by one",
        (*ICM_INPUTS, *GALAXY_VARIABLES),
        GalaxySetEncoding,
        _large_with_galaxies,
        LARGE_TRAINING,
        sum_bands=False,
        max_pixels=128,
        sees_galaxies=True,
        sees_stellar_masses=True,
    ),
}
