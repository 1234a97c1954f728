"""Attribution: what each pixel of a cluster's map adds to its predicted mass, or its width.

The methods are captum's. Those in counts start from a map without a cluster (`baselines`) and say
how much each pixel's photons add to ln M500c; those at the networks' input say how steeply
log10 M500c changes with a standardised pixel.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr
from captum.attr import FeatureAblation, IntegratedGradients, NoiseTunnel, Saliency

from icmass.errors import InputError
from icmass.explanation.baselines import drawn_backgrounds, expected_background, radii
from icmass.explanation.model import DifferentiablePredictor, Quantity
from icmass.survey.catalog import half_width_mpc_h
from icmass.training.devices import seeded

PER_COUNT = "ln M per pixel"
PER_INPUT = "dex of M per standardised pixel"
ANNULI = (0.15, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Edges of annuli [R500c]; what lies beyond the last is one more."""


@dataclass(frozen=True)
class Settings:
    """How attributions are computed.

    Attributes
    ----------
    steps : int
        Points of the Gauss-Legendre rule on the path of integrated gradients.
    draws : int
        Baselines of expected gradients, each with `draw_steps` points.
    draw_steps : int
        Points on each of these paths.
    noisy : int
        Noisy maps of SmoothGrad.
    noise : float
        Standard deviation of its noise, in standardised pixels.
    clusters, maps : int
        Clusters, and maps, that pass the networks at once: what bounds the memory.
    seed : int
        Seed of the baselines drawn and of the noise.
    """

    steps: int = 20
    draws: int = 4
    draw_steps: int = 10
    noisy: int = 8
    noise: float = 0.15
    clusters: int = 32
    maps: int = 128
    seed: int = 0


@dataclass(frozen=True)
class Attribution:
    """What the pixels of n clusters do, by one method.

    Attributes
    ----------
    method : str
        Key of `METHODS`.
    values : ndarray of float32, shape (n, channel, y, x)
        `PER_COUNT` with a sign, or `PER_INPUT` without.
    unit : str
        The unit of `values`.
    error : ndarray of shape (n,), or None
        |sum of values - (f(x) - f(baseline))| / |f(x) - f(baseline)|, of methods that are complete.
    change : ndarray of shape (n,), or None
        f(x) - f(baseline), of ln M or its width; the mean over the baselines where there are more.
    seconds : float
        How long it took.
    """

    method: str
    values: np.ndarray
    unit: str
    error: np.ndarray | None = None
    change: np.ndarray | None = None
    seconds: float = 0.0

    @property
    def signed(self) -> bool:
        """Whether the values have a sign."""
        return self.unit == PER_COUNT


@dataclass(frozen=True)
class Task:
    """What a method explains: clusters with their networks, and their maps without a cluster.

    Attributes
    ----------
    explained : Explained
        n clusters.
    baseline : Tensor, shape (n, channel, y, x)
        Expected background [counts].
    drawn : Tensor of shape (draw, n, channel, y, x), or None
        Other backgrounds, for expected gradients.
    annulus : Tensor of int, shape (n, 1, y, x)
        Annulus of each pixel, see `ANNULI`.
    """

    explained: DifferentiablePredictor
    baseline: torch.Tensor
    drawn: torch.Tensor | None
    annulus: torch.Tensor

    @classmethod
    def of(
        cls,
        explained: DifferentiablePredictor,
        survey: xr.Dataset,
        index: np.ndarray,
        *,
        methods: tuple[str, ...] = ("ig",),
        settings: Settings | None = None,
        rate: np.ndarray | None = None,
    ) -> Task:
        """Make the baselines that methods need for the clusters `index` of `explained`.

        `rate` is `background_rate` of the survey, where it is known already.
        """
        settings = settings or Settings()
        device = explained.sample.counts.device

        def tensor(values: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(values).to(device)

        drawn = None
        if "eg" in methods:
            found = drawn_backgrounds(survey, index, explained, settings.draws, settings.seed)
            drawn = tensor(found)
        return cls(
            explained,
            tensor(expected_background(survey, index, explained, rate)),
            drawn,
            tensor(annulus_of(survey, index, explained))[:, None],
        )

    def of_networks(self, explained: DifferentiablePredictor) -> Task:
        """Return the same clusters and baselines with other networks."""
        return replace(self, explained=explained)

    def shifted(self, shift: float) -> Task:
        """Return the same task with maps and baselines larger by a constant that is taken off."""
        drawn = None if self.drawn is None else self.drawn + shift
        return Task(self.explained.shifted(shift), self.baseline + shift, drawn, self.annulus)

    def brighter(self, counts: torch.Tensor) -> Task:
        """Return the same clusters under a brighter sky: maps and baselines hold more counts."""
        sample = self.explained.sample
        held = replace(self.explained, sample=replace(sample, counts=sample.counts + counts))
        drawn = None if self.drawn is None else self.drawn + counts
        return Task(held, self.baseline + counts, drawn, self.annulus)


def annulus_of(
    survey: xr.Dataset, index: np.ndarray, explained: DifferentiablePredictor
) -> np.ndarray:
    """Return the annulus of each pixel, int64 (n, y, x); in thirds of the half side if need be.

    Where a survey has no R500c (real data), a third of the map's half side stands for it.
    """
    radius = radii(survey, explained)
    unit = np.full(len(index), half_width_mpc_h(survey) / 3)
    if "r500c" in survey:
        unit = survey["r500c"].isel(cluster=np.asarray(index)).values
    return np.digitize(radius / unit[:, None, None], ANNULI)


def attribute(
    task: Task, method: str, quantity: Quantity = "mean", settings: Settings | None = None
) -> Attribution:
    """Attribute a quantity to the pixels of all clusters of a task, a few clusters at a time.

    Parameters
    ----------
    task : Task
        The clusters; its baselines are those that `method` needs.
    method : str
        A key of `METHODS`.
    quantity : {"mean", "width"}
        Mean of the posterior of ln M500c, or its standard deviation.
    settings : Settings, optional
        Steps, draws and sizes.

    Raises
    ------
    InputError
        If there is no such method, or the networks have no such quantity.
    """
    if method not in METHODS:
        raise InputError(repr(method), field="methods", hint=f"known: {', '.join(METHODS)}")
    settings = settings or Settings()
    start = time.perf_counter()
    with seeded(settings.seed, 11):
        found = METHODS[method].function(task, quantity, settings)
    values = found.cpu().numpy().astype("f4")
    unit = METHODS[method].unit
    seconds = time.perf_counter() - start
    if not METHODS[method].complete:
        return Attribution(method, values, unit, seconds=seconds)
    change = _change(task, method, quantity)
    error = np.abs(values.sum((1, 2, 3), dtype="f8") - change) / np.abs(change)
    return Attribution(method, values, unit, error, change, seconds)


def _change(task: Task, method: str, quantity: Quantity) -> np.ndarray:
    """Return f(x) - f(baseline), the mean over baselines, (n,)."""
    explained = task.explained
    rows = explained.rows
    whole = explained.values(explained.sample.counts, rows, quantity)
    starts = [task.baseline] if method == "ig" or task.drawn is None else list(task.drawn)
    bare = torch.stack([explained.values(start, rows, quantity) for start in starts]).mean(0)
    return (whole - bare).cpu().double().numpy()


def _saliency(task: Task, quantity: Quantity, settings: Settings) -> torch.Tensor:
    """|d log10 M / d x| at the standardised map x."""
    saliency = Saliency(task.explained.of_maps(quantity))

    def of(rows: torch.Tensor) -> torch.Tensor:
        maps = task.explained.maps(rows).requires_grad_()
        return saliency.attribute(maps, additional_forward_args=(rows,)) / math.log(10)

    return _in_parts(task, of, settings.maps)


def _smoothgrad(task: Task, quantity: Quantity, settings: Settings) -> torch.Tensor:
    """|mean of d log10 M / d x over noisy maps| (Smilkov et al. 2017, arXiv:1706.03825)."""
    tunnel = NoiseTunnel(Saliency(task.explained.of_maps(quantity)))

    def of(rows: torch.Tensor) -> torch.Tensor:
        found = tunnel.attribute(
            task.explained.maps(rows),
            nt_type="smoothgrad",
            nt_samples=settings.noisy,
            nt_samples_batch_size=1,
            stdevs=settings.noise,
            additional_forward_args=(rows,),
            abs=False,
        )
        return found.abs() / math.log(10)

    return _in_parts(task, of, settings.maps)


def _integrated(task: Task, quantity: Quantity, settings: Settings) -> torch.Tensor:
    """Integrated gradients in counts from the expected background (Sundararajan et al. 2017)."""
    return _from_baseline(task, task.baseline, quantity, settings, settings.steps)


def _expected(task: Task, quantity: Quantity, settings: Settings) -> torch.Tensor:
    """Mean of integrated gradients over drawn backgrounds (Erion et al. 2021)."""
    if task.drawn is None:
        raise ValueError("a task without drawn backgrounds")
    total = torch.zeros_like(task.baseline)
    for drawn in task.drawn:
        total += _from_baseline(task, drawn, quantity, settings, settings.draw_steps)
    return total / len(task.drawn)


def _from_baseline(
    task: Task, baseline: torch.Tensor, quantity: Quantity, settings: Settings, steps: int
) -> torch.Tensor:
    integrated = IntegratedGradients(task.explained.of_counts(quantity))

    def of(rows: torch.Tensor) -> torch.Tensor:
        return integrated.attribute(
            task.explained.sample.counts[rows],
            baselines=baseline[rows],
            additional_forward_args=(rows,),
            n_steps=steps,
            method="gausslegendre",
            internal_batch_size=max(settings.maps, len(rows)),
        )

    return _in_parts(task, of, settings.clusters)


def _occlusion(task: Task, quantity: Quantity, settings: Settings) -> torch.Tensor:
    """Change when an annulus is replaced by the expected background, spread over its pixels."""
    ablation = FeatureAblation(task.explained.of_counts(quantity))

    def of(rows: torch.Tensor) -> torch.Tensor:
        counts, annulus = task.explained.sample.counts[rows], task.annulus[rows]
        found = ablation.attribute(
            counts,
            baselines=task.baseline[rows],
            additional_forward_args=(rows,),
            feature_mask=annulus.expand_as(counts),
        )
        pixels = torch.nn.functional.one_hot(annulus, len(ANNULI) + 1).sum((1, 2, 3))
        share = pixels.gather(1, annulus.flatten(1)).view_as(annulus) * counts.shape[1]
        return found / share

    return _in_parts(task, of, settings.maps)


def _in_parts(task: Task, of: Callable[[torch.Tensor], torch.Tensor], size: int) -> torch.Tensor:
    return torch.cat([of(rows).detach() for rows in task.explained.rows.split(size)])


@dataclass(frozen=True)
class Method:
    """One way to attribute.

    Attributes
    ----------
    title : str
        Its name for people.
    function : callable
        Takes a task, a quantity and settings to values (n, channel, y, x).
    unit : str
        `PER_COUNT` or `PER_INPUT`.
    complete : bool
        Whether its values add up to f(x) - f(baseline).
    by_pixel : bool
        Whether it tells pixels of an annulus, and bands, apart.
    """

    title: str
    function: Callable[[Task, Quantity, Settings], torch.Tensor]
    unit: str
    complete: bool = False
    by_pixel: bool = True


METHODS = {
    "saliency": Method("saliency", _saliency, PER_INPUT),
    "ig": Method("integrated gradients", _integrated, PER_COUNT, complete=True),
    "eg": Method("expected gradients", _expected, PER_COUNT, complete=True),
    "smoothgrad": Method("SmoothGrad", _smoothgrad, PER_INPUT),
    "occlusion": Method("occlusion by annulus", _occlusion, PER_COUNT, by_pixel=False),
}
