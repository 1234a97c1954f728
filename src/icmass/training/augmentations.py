"""What is done to the training clusters anew in every epoch, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from icmass.training.named import Named
from icmass.training.sample import Sample

Plan = list[torch.Tensor]


@dataclass(frozen=True)
class Augmentation:
    """How clusters are varied in training.

    Attributes
    ----------
    draw : callable
        Takes the training sample and a generator to what is drawn for an epoch: tensors with a row
        for each cluster.
    apply : callable
        Takes the sample, rows of it and what was drawn to these clusters as they are trained on.
    needs_parts : bool
        Whether the sample has to hold the components of the counts by themselves.
    n_views : int
        Orientations of the map, of 8, that a prediction is the mean of.
    """

    draw: Callable[[Sample, torch.Generator], Plan]
    apply: Callable[[Sample, torch.Tensor, Plan], Sample]
    needs_parts: bool = False
    n_views: int = 1


def _nothing(sample: Sample, generator: torch.Generator) -> Plan:
    return []


def _as_they_are(sample: Sample, rows: torch.Tensor, plan: Plan) -> Sample:
    return sample.take(rows)


def _draw(sample: Sample, generator: torch.Generator) -> Plan:
    return list(sample.draw_augmentation(generator))


def _recombine(sample: Sample, rows: torch.Tensor, plan: Plan) -> Sample:
    symmetry, partner = plan
    return sample.recombine_components(rows, symmetry, partner)


AUGMENTATIONS: Named[Augmentation] = Named(
    "augmentation",
    {
        "none": Augmentation(_nothing, _as_they_are),
        "symmetries": Augmentation(_draw, _recombine, n_views=4),
        "components": Augmentation(_draw, _recombine, needs_parts=True, n_views=4),
    },
)
"""Maps turned and mirrored at random; or each component of the counts by itself, with another
cluster's background (`Sample.recombine_components`)."""
