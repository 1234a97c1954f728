"""Photons of longer exposures than a network was trained on, thinned to the longest of those."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from icmass.training.sample import Sample

_ROUNDING = 1e-6


def thinned(sample: Sample, longest: float) -> Sample:
    """Return a sample whose exposures are no longer than `longest` [s].

    Each photon of a longer one is kept with the probability ``longest / exposure``. Counts that
    are Poisson, of source and background alike, are then Poisson again, with the means of the
    shorter exposure: to a network they are what it was trained on, and the posterior is that of
    what is left. Which photons stay follows from the cluster's own, whatever else is in the batch.

    Parameters
    ----------
    sample : Sample
    longest : float
        The longest exposure trained on [s].

    Examples
    --------
    >>> counts = torch.full((1, 1, 8, 8), 100, dtype=torch.int32)
    >>> nothing = torch.zeros(1)
    >>> sample = Sample(counts, None, nothing, torch.tensor([4000.0]), nothing)
    >>> less = thinned(sample, 1000.0)
    >>> float(less.exposure), bool(abs(less.counts.sum() / counts.sum() - 0.25) < 0.02)
    (1000.0, True)
    """
    exposure = sample.exposure.cpu().numpy()
    deep = np.flatnonzero(exposure > longest * (1 + _ROUNDING))
    if not len(deep):
        return sample
    counts = sample.counts.clone()
    for row in deep:
        photons = counts[row].cpu().numpy().astype(np.int64)
        rng = np.random.default_rng(np.bincount(photons.ravel()))
        kept = rng.binomial(photons, longest / exposure[row])
        counts[row] = torch.from_numpy(kept).to(counts)
    return replace(sample, counts=counts, exposure=sample.exposure.clamp(max=longest))
