"""Whether a cluster is of the kind that a network was trained on.

A cluster is described by what the network makes of it (its embedding) and by plain statistics of
its counts, which see what an embedding trained on masses may overlook: their profile, lopsidedness
and brightest pixels. Its distance from the training clusters is measured in that space, in
standard deviations along its principal axes (Lee et al. 2018, arXiv:1807.03888), and its score is
that distance over the one that few of the clusters held out exceed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from icmass.estimators.sample import Sample

FALSE_ALARMS = 0.01
"""Fraction of the clusters held out that the threshold leaves above it."""
RINGS = (0.0, 0.06, 0.12, 0.2, 0.32, 0.5, 0.75, 1.0, 1.5)
"""Edges of the annuli in which counts are summed, in half sides of the map."""
_LEAST_VARIANCE = 1e-3  # of the standardised numbers; axes that hardly vary tell nothing
_FEWEST = 4  # photons within an annulus to speak of its lopsidedness


def statistics(counts: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return plain statistics of maps, shape (n, statistic).

    Parameters
    ----------
    counts : Tensor, shape (n, channel, y, x)
        Photon counts.
    scale : Tensor, shape (n, 1, 1, 1)
        Factor to the mean counts at a cluster's redshift and exposure.

    Notes
    -----
    Square roots of the counts in annuli by channel; then of all channels together: lopsidedness of
    each annulus (length of its first harmonic times the root of its counts, about 1 for noise
    alone), and the root of its brightest pixel.
    """
    side = counts.shape[-1]
    axis = (torch.arange(side, device=counts.device) + 0.5) * 2 / side - 1
    radius = torch.hypot(axis[:, None], axis).flatten()
    edges = radius.new_tensor(RINGS)
    rings = ((radius >= edges[:-1, None]) & (radius < edges[1:, None])).float()
    flat = counts.flatten(2).float()
    profile = torch.sqrt(torch.einsum("ncp,rp->ncr", flat, rings) + 0.375)
    profile = profile * torch.sqrt(scale[:, 0])
    added = flat.sum(1)
    number = added @ rings.T
    x = axis.expand(side, -1).flatten() / radius
    y = axis[:, None].expand(-1, side).flatten() / radius
    first = torch.hypot((added * x) @ rings.T, (added * y) @ rings.T)
    lopsided = torch.sqrt(first / torch.sqrt(number + _FEWEST))
    brightest = torch.stack([(added * ring).amax(1) for ring in rings], 1)
    return torch.cat([profile.flatten(1), lopsided, torch.sqrt(brightest + 0.375)], 1)


@dataclass(frozen=True)
class Domain:
    """The training clusters as a cloud, and how far out of it is too far.

    Attributes
    ----------
    centre, spread : ndarray, shape (d,)
        Mean and standard deviation of each number that describes a cluster.
    axes : ndarray, shape (d, k)
        Principal axes of the standardised numbers, over the standard deviation along them.
    threshold : float
        Distance beyond which a cluster is out of the domain.
    """

    centre: np.ndarray
    spread: np.ndarray
    axes: np.ndarray
    threshold: float

    @classmethod
    def fit(cls, train: np.ndarray, held: np.ndarray) -> Domain:
        """Fit to descriptions of training clusters, and set the threshold on others.

        Parameters
        ----------
        train, held : ndarray, shape (n, d)
            Descriptions of clusters that the network was fitted on, and of others.
        """
        centre, spread = train.mean(0), train.std(0) + 1e-6
        variance, axes = np.linalg.eigh(np.cov(((train - centre) / spread).T))
        kept = variance > _LEAST_VARIANCE
        axes = axes[:, kept] / np.sqrt(variance[kept])
        cloud = cls(centre, spread, axes, 1.0)
        return cls(centre, spread, axes, float(np.quantile(cloud.score(held), 1 - FALSE_ALARMS)))

    def score(self, described: np.ndarray) -> np.ndarray:
        """Return distances over the threshold, shape (n,)."""
        along = ((described - self.centre) / self.spread) @ self.axes
        return np.sqrt((along**2).sum(1) / self.axes.shape[1]) / self.threshold

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return what is stored of it."""
        return {key: torch.from_numpy(np.asarray(v, "f4")) for key, v in vars(self).items()}

    @classmethod
    def of_tensors(cls, tensors: dict[str, torch.Tensor]) -> Domain:
        """Return what `tensors` has stored."""
        centre, spread, axes = (tensors[k].double().numpy() for k in ("centre", "spread", "axes"))
        return cls(centre, spread, axes, float(tensors["threshold"]))


def told(sample: Sample, scale: torch.Tensor) -> torch.Tensor:
    """Return what describes clusters beside their embedding, shape (n, d); see `statistics`."""
    observed = torch.stack([sample.redshift, torch.log(sample.exposure)], 1)
    return torch.cat([observed, statistics(sample.counts, scale)], 1)
