"""A network estimator as differentiable functions of its maps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np
import torch
import xarray as xr
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from icmass.errors import InputError
from icmass.estimators.estimator import Estimator
from icmass.estimators.network import NetworkEstimator
from icmass.estimators.posterior import LNM_GRID, LNM_STEP
from icmass.estimators.saved import NetworkConfig, check_fits
from icmass.networks.large import LargeNetwork
from icmass.networks.output import NetworkOutput
from icmass.networks.rings import RingNetwork
from icmass.networks.rqs_flow import log_prob
from icmass.training.augmentations import AUGMENTATIONS
from icmass.training.devices import make_accelerator, multiplies_bf16
from icmass.training.dihedral import dihedral
from icmass.training.freed_memory import keep_freed_memory
from icmass.training.model_specs import ModelSpec
from icmass.training.sample import Sample, read_sample
from icmass.training.thinning import thinned

Quantity = Literal["mean", "width"]
"""What is explained: the mean of the posterior of ln M500c, or its standard deviation."""
Function = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Takes maps (n, channel, y, x) and rows of the sample (n,) to what is explained, (n,)."""


@dataclass(frozen=True)
class DifferentiablePredictor:
    """Clusters in memory, and the networks that read them, as `NetworkEstimator.predict` does.

    What is explained is the estimator's own prediction: the posterior of all its networks
    together, each of them averaged over as many orientations of the map as in `predict` (four for
    networks that are trained on turned maps, else one), and as wide as is calibrated.

    Attributes
    ----------
    config : NetworkConfig
        Preprocessing, and calibration of the width.
    design : Design
        What the networks read.
    networks : tuple of Module
        In evaluation mode, without gradients of their weights.
    sample : Sample
        The clusters, binned as the networks take them.
    n_symmetries : int
        Orientations averaged.
    bf16 : bool
        Whether gradients multiply in bfloat16, as `predict` does where the hardware can; `values`
        never do.
    shift : float
        Taken off every input before it is read, see `shifted`.
    """

    config: NetworkConfig
    design: ModelSpec
    networks: tuple[nn.Module, ...]
    sample: Sample
    n_symmetries: int
    bf16: bool = False
    shift: float = 0.0

    @classmethod
    def of(
        cls, estimator: Estimator, survey: xr.Dataset, index: np.ndarray
    ) -> DifferentiablePredictor:
        """Read the clusters `index` (integers) as an estimator sees them.

        Raises
        ------
        InputError
            If the estimator is no fitted network, or was not trained for such clusters.
        """
        estimator, config = as_network(estimator), network_config(estimator)
        index, design = np.asarray(index), estimator.design
        check_fits(survey, index, config)
        options = design.read_options(coverage=config.coverage_channel, with_parts=False)
        sample = read_sample(survey, index, **options)
        sample = thinned(sample, config.exposure_range_s[1])
        device = make_accelerator(estimator.device).device
        if device.type == "cpu":
            keep_freed_memory()
        sample = replace(sample, counts=sample.counts.float()).to(device)
        networks = tuple(frozen(network).to(device) for network in estimator.networks)
        n_symmetries = AUGMENTATIONS[estimator.training_config.augmentation].n_views
        bf16 = estimator.training_config.precision == "bf16" and multiplies_bf16(
            device.type == "cpu"
        )
        return cls(config, design, networks, sample, n_symmetries, bf16)

    def __len__(self) -> int:
        return len(self.sample)

    def with_networks(self, networks: Sequence[nn.Module]) -> DifferentiablePredictor:
        """Return the same clusters read by other networks of the same design."""
        device = self.sample.counts.device
        return replace(self, networks=tuple(frozen(network).to(device) for network in networks))

    def member(self, i: int) -> DifferentiablePredictor:
        """Return the same clusters read by one of the networks alone."""
        return replace(self, networks=(self.networks[i],))

    def shifted(self, shift: float) -> DifferentiablePredictor:
        """Return the same function of inputs that all are larger by a constant, and these inputs.

        Counts are larger by `shift` where the function is one of counts, standardised pixels where
        it is one of them.
        """
        counts = self.sample.counts + shift
        return replace(self, shift=shift, sample=replace(self.sample, counts=counts))

    @property
    def rows(self) -> torch.Tensor:
        """The clusters' places in the sample, shape (n,)."""
        return torch.arange(len(self), device=self.sample.counts.device)

    @property
    def labels(self) -> list[str]:
        """The channels' bands [keV]; all bands where they are added."""
        bands = self.config.bands
        if not self.design.sum_bands or len(bands) == 1:
            return list(bands)
        return [f"{bands[0].split('-')[0]}-{bands[-1].split('-')[-1]}"]

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What can be explained: the width only where it depends on the map."""
        return ("mean", "width") if self.design.has_posterior else ("mean",)

    @property
    def what(self) -> str:
        """What is explained, in words."""
        n, k = len(self.networks), self.n_symmetries
        turned = f"the average of {k} orientations" if k > 1 else "one orientation"
        return f"{turned} of {n} network{'s' if n > 1 else ''}"

    def encode(self, counts: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the networks are fed with where the maps of `rows` hold `counts`.

        Returns
        -------
        maps : Tensor, shape (n, channel, y, x)
            Standardised; a channel of coverage comes last where there is one.
        beside : Tensor
            Numbers, or cubes of galaxies, that stand beside the maps.
        """
        held = replace(self.sample.take(rows), counts=counts - self.shift)
        return self.config.encoding.encode(held)

    def maps(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the standardised counts of some clusters, shape (n, channel, y, x)."""
        counts = self.sample.counts[rows]
        return self.encode(counts, rows)[0][:, : counts.shape[1]] + self.shift

    def of_counts(self, quantity: Quantity = "mean") -> Function:
        """Return the quantity as a function of counts (n, channel, y, x)."""
        self._check(quantity)

        def function(counts: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
            return self._read(*self.encode(counts, rows), quantity)

        return function

    def of_maps(self, quantity: Quantity = "mean") -> Function:
        """Return the quantity as a function of standardised maps of counts, see `maps`."""
        self._check(quantity)

        def function(maps: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
            held, beside = self.encode(self.sample.counts[rows], rows)
            whole = torch.cat([maps - self.shift, held[:, maps.shape[1] :]], 1)
            return self._read(whole, beside, quantity)

        return function

    @torch.no_grad()
    def values(
        self, counts: torch.Tensor, rows: torch.Tensor, quantity: Quantity = "mean", size: int = 128
    ) -> torch.Tensor:
        """Return the quantity at counts without gradients, `size` clusters at a time, (n,)."""
        function = replace(self, bf16=False).of_counts(quantity)
        parts = zip(counts.split(size), rows.split(size), strict=True)
        return torch.cat([function(*part) for part in parts])

    def _check(self, quantity: Quantity) -> None:
        if quantity not in self.quantities:
            raise InputError(
                f"{quantity!r} does not depend on the map",
                field=f"model {self.config.name}",
                hint=f"explain {', '.join(self.quantities)}",
            )

    def _read(self, maps: torch.Tensor, beside: torch.Tensor, quantity: Quantity) -> torch.Tensor:
        """Return ln M less that of the target's zero, or the width of the posterior, (n,)."""
        views = [dihedral(maps, k) for k in range(self.n_symmetries)]
        with torch.autocast(maps.device.type, torch.bfloat16, enabled=self.bf16):
            seen = [
                torch.stack([network(view, beside) for view in views]).mean(0)
                for network in self.networks
            ]
        pairs = zip(self.networks, seen, strict=True)
        outputs = [whole_gradient(network, each.float()) for network, each in pairs]
        zero, scale = self.config.encoding.lnm_zero, self.config.encoding.lnm_scale
        if not self.design.has_posterior:
            return scale * NetworkOutput(torch.stack(outputs)).mean.mean(0)
        mean, std = flow_moments(outputs, zero, scale)
        return mean if quantity == "mean" else std * self.config.std_scale


def whole_gradient(network: nn.Module, outputs: torch.Tensor) -> torch.Tensor:
    """Return a network's outputs, (n, output), with the gradient of the posterior's shape too.

    Networks of ours detach the embedding where the shape is read off it, for their training. The
    embedding is among the outputs, so that the same linear layer gives the same numbers again.
    """
    if not isinstance(network, RingNetwork | LargeNetwork):
        return outputs
    given = NetworkOutput(outputs)
    return NetworkOutput.pack(given.gaussian, network.shape(given.embedding), given.embedding)


def flow_moments(
    outputs: Sequence[torch.Tensor], zero: float, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean less `zero` and standard deviation of ln M500c of the mean of flows, (n,) each.

    The differentiable part of `icmass.estimators.flow_posterior.flow_posterior`: the density on
    `LNM_GRID` by the trapezoidal rule.
    """
    grid = outputs[0].new_tensor(LNM_GRID - zero)[:, None]
    target = (grid / scale).expand(-1, len(outputs[0]))
    density = torch.stack([torch.exp(log_prob(each, target)) for each in outputs]).mean(0)
    weight = torch.full_like(grid, LNM_STEP)
    weight[[0, -1]] /= 2
    weight = weight * density
    norm = weight.sum(0)
    mean = (weight * grid).sum(0) / norm
    variance = (weight * (grid - mean) ** 2).sum(0) / norm
    return mean, torch.sqrt(variance)


def as_network(estimator: Estimator) -> NetworkEstimator:
    """Return an estimator that is differentiable as what it is; anything else is an error."""
    if not estimator.info.is_differentiable:
        raise InputError(
            "is no network: there are no maps in it to explain",
            field=f"model {estimator.name}",
            hint="choose a network with --model",
        )
    return cast(NetworkEstimator, estimator)


def network_config(estimator: Estimator) -> NetworkConfig:
    """Return the configuration of a fitted network estimator; anything else is an error."""
    network = as_network(estimator)
    if network.config is None or not network.networks:
        raise InputError("not fitted", field=estimator.name, hint="fit it, or load a saved one")
    return network.config


def frozen(network: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode whose weights need no gradients.

    Batch normalisation is folded into the convolution before it: the same function, faster.
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    features = getattr(network, "features", None)
    if isinstance(features, nn.Sequential):
        network.features = _folded(features)
    return network


def _folded(layers: nn.Sequential) -> nn.Sequential:
    kept: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d) and kept and isinstance(kept[-1], nn.Conv2d):
            kept[-1] = fuse_conv_bn_eval(kept[-1], layer)
        else:
            kept.append(layer)
    return nn.Sequential(*kept)
