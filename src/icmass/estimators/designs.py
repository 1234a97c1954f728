"""The networks by name: what each reads, its layers, its preprocessing and its training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from icmass.estimators.encodings import CompactEncoding, MultimodalEncoding, PaperEncoding
from icmass.estimators.sample import GALAXY_VARIABLES
from icmass.estimators.training import Recipe
from icmass.networks.compact import CompactNetwork
from icmass.networks.multimodal import MultimodalNetwork
from icmass.networks.paper import PaperNetwork


@dataclass(frozen=True)
class Design:
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
        Takes channels of the maps and pixels along a side to the untrained network.
    recipe : Recipe
        Training.
    sum_bands : bool
        Whether the bands are added.
    max_pixels : int or None
        Maps are binned to this many pixels along a side.
    """

    summary: str
    inputs: tuple[str, ...]
    encoding: type[PaperEncoding] | type[MultimodalEncoding] | type[CompactEncoding]
    layers: Callable[[int, int], nn.Module]
    recipe: Recipe
    sum_bands: bool
    max_pixels: int | None

    @property
    def sees_coverage(self) -> bool:
        """Whether a survey's coverage is a channel of the map."""
        return self.encoding is CompactEncoding

    @property
    def sees_galaxies(self) -> bool:
        """Whether it is fed with the survey's galaxies."""
        return self.encoding is MultimodalEncoding

    def reads(self, coverage: bool) -> tuple[str, ...]:
        """Return the variables that it reads of surveys with or without coverage."""
        return (*self.inputs, "coverage") if coverage else self.inputs

    def network(self, *, n_pixels: int, n_channels: int) -> nn.Module:
        """Return the untrained network."""
        return self.layers(n_channels, n_pixels)


def _paper_1band(n_channels: int, n_pixels: int) -> nn.Module:
    return PaperNetwork(n_channels=n_channels, n_pixels=n_pixels)


def _paper_3band(n_channels: int, n_pixels: int) -> nn.Module:
    return PaperNetwork(n_channels=n_channels, n_pixels=n_pixels, dropout=0.1)


def _paper_multimodal(n_channels: int, n_pixels: int) -> nn.Module:
    return MultimodalNetwork(n_channels=n_channels, n_pixels=n_pixels)


def _compact(n_channels: int, n_pixels: int) -> nn.Module:
    return CompactNetwork(n_channels=n_channels, n_scalars=2, n_pixels=n_pixels)


PAPER_RECIPE = Recipe(
    batch_size=50,
    max_epochs=200,
    patience=20,
    learning_rate=1e-3,
    kernel_l2=1e-4,
    adam_eps=1e-7,
)
THREE_BAND_RECIPE = replace(PAPER_RECIPE, loss="absolute")
MULTIMODAL_RECIPE = replace(PAPER_RECIPE, batch_size=100, max_epochs=400, chunk=20)
COMPACT_RECIPE = Recipe(
    batch_size=64,
    max_epochs=50,
    min_steps=1000,
    patience=None,
    learning_rate=4e-3,
    schedule="one-cycle",
    loss="gaussian",
    weight_decay=0.02,
    average=0.99,
    augment=True,
    precision="bf16",
)
INPUTS = ("maps", "redshift", "exposure")
DESIGNS = {
    "paper-1band": Design(
        "the one-band network of Ho et al. 2023 (MNRAS 524, 3289)",
        INPUTS,
        PaperEncoding,
        _paper_1band,
        PAPER_RECIPE,
        sum_bands=True,
        max_pixels=None,
    ),
    "paper-3band": Design(
        "the three-band network of Ho et al. 2023 (MNRAS 524, 3289)",
        INPUTS,
        PaperEncoding,
        _paper_3band,
        THREE_BAND_RECIPE,
        sum_bands=False,
        max_pixels=None,
    ),
    "paper-multimodal": Design(
        "the network of X-ray maps and galaxies of Ho et al. 2023 (MNRAS 524, 3289)",
        (*INPUTS, *GALAXY_VARIABLES),
        MultimodalEncoding,
        _paper_multimodal,
        MULTIMODAL_RECIPE,
        sum_bands=False,
        max_pixels=None,
    ),
    "icm-1band": Design(
        "a compact convolutional network on all bands added",
        INPUTS,
        CompactEncoding,
        _compact,
        COMPACT_RECIPE,
        sum_bands=True,
        max_pixels=64,
    ),
    "icm-3band": Design(
        "a compact convolutional network on each band apart",
        INPUTS,
        CompactEncoding,
        _compact,
        COMPACT_RECIPE,
        sum_bands=False,
        max_pixels=64,
    ),
}
