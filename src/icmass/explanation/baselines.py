"""What a cluster's map would hold without the cluster: the maps that attributions start from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from icmass.explanation.model import DifferentiablePredictor
from icmass.survey.catalog import half_width_mpc_h, survey_cosmology

_LEARNED = 512  # clusters that the mean background is taken from, at most
_NEIGHBOURS = 50  # in order of redshift, among which another cluster's background is drawn
_OUTSIDE = 2.0  # R500c
_OUTER = 0.75  # half sides of the map, where R500c is unknown


def has_component(survey: xr.Dataset, name: str) -> bool:
    """Whether a survey's counts are told apart into this component."""
    return name in [str(each) for each in survey["component"].values]


def component_counts(
    survey: xr.Dataset,
    index: np.ndarray,
    components: Sequence[str],
    explained: DifferentiablePredictor,
) -> np.ndarray:
    """Return components' counts as the networks' maps have them.

    Returns
    -------
    ndarray of float32, shape (component, n, channel, y, x)
    """
    maps = survey["maps"].isel(cluster=np.asarray(index)).sel(component=list(components))
    held = maps.transpose("component", "cluster", "band", "y", "x").values.astype("f4")
    if explained.design.sum_bands:
        held = held.sum(2, keepdims=True)
    *shape, side, _ = held.shape
    pixels = explained.config.n_pixels
    return held.reshape(*shape, pixels, side // pixels, pixels, -1).sum((-3, -1))


def radii(survey: xr.Dataset, explained: DifferentiablePredictor) -> np.ndarray:
    """Return the distance of the networks' pixels from the centre [comoving Mpc/h], (y, x)."""
    n = explained.config.n_pixels
    half = half_width_mpc_h(survey)
    offset = (np.arange(n) + 0.5) * 2 * half / n - half
    return np.hypot(offset[:, None], offset)


def expected_background(
    survey: xr.Dataset,
    index: np.ndarray,
    explained: DifferentiablePredictor,
    rate: np.ndarray | None = None,
) -> np.ndarray:
    """Return the background that is expected in each cluster's map, f4 (n, channel, y, x).

    Of a simulated survey: the mean of its background component over clusters, per second and solid
    angle, at each cluster's exposure, redshift (a pixel is a length) and coverage. Of any other:
    the mean of the cluster's own map outside 2 R500c, or where that is unknown, outside three
    quarters of its half side; active galaxies out there are in it.

    Parameters
    ----------
    rate : ndarray, optional
        `background_rate`, where it is known already.
    """
    index = np.asarray(index)
    if rate is None:
        rate = background_rate(survey, explained)
    if rate is not None:
        level = rate * _solid_angle(survey, index)[:, None]
    else:
        level = _outside(survey, index, explained)
    flat = np.ones((len(index), 1, *explained.sample.counts.shape[2:]))
    if explained.sample.coverage is not None:
        flat = explained.sample.coverage.cpu().numpy()
    return (level[:, :, None, None] * flat).astype("f4")


def drawn_backgrounds(
    survey: xr.Dataset, index: np.ndarray, explained: DifferentiablePredictor, n: int, seed: int
) -> np.ndarray:
    """Draw other maps without a cluster for each cluster, f4 (draw, n, channel, y, x).

    Of a simulated survey: the background component of other clusters, among the 50 nearest in
    redshift, at the cluster's exposure and solid angle. Of any other, or where the coverage
    differs from cluster to cluster: Poisson counts of `expected_background`.
    """
    rng = np.random.default_rng([seed, 7])
    index = np.asarray(index)
    if not has_component(survey, "background") or "coverage" in survey:
        expected = expected_background(survey, index, explained)
        return rng.poisson(expected, (n, *expected.shape)).astype("f4")
    order = np.argsort(survey["redshift"].values, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    reach = min(_NEIGHBOURS, len(order) - 1)
    step = rng.integers(1, reach + 1, (n, len(index))) * rng.choice([-1, 1], (n, len(index)))
    partner = order[(place[index] + step) % len(order)]
    angle = _solid_angle(survey, np.arange(len(order)))
    drawn = [component_counts(survey, each, ["background"], explained)[0] for each in partner]
    ratio = (angle[index] / angle[partner])[..., None, None, None]
    return (np.stack(drawn) * ratio).astype("f4")


def _solid_angle(survey: xr.Dataset, index: np.ndarray) -> np.ndarray:
    """Return exposure times the solid angle of a square of 1 comoving Mpc/h [s sr], (n,)."""
    z = survey["redshift"].isel(cluster=index).values
    exposure = survey["exposure"].isel(cluster=index).values
    return exposure / np.asarray(survey_cosmology(survey).comoving_distance(z)) ** 2


def background_rate(survey: xr.Dataset, explained: DifferentiablePredictor) -> np.ndarray | None:
    """Return the mean background in a pixel of the networks, (channel,).

    It is over the exposure times the solid angle of 1 (comoving Mpc/h)^2; None where the survey
    does not tell the background apart.
    """
    if not has_component(survey, "background"):
        return None
    n = survey.sizes["cluster"]
    some = np.unique(np.linspace(0, n - 1, min(n, _LEARNED)).astype(int))
    seen = _solid_angle(survey, some)
    if "coverage" in survey:
        seen = seen * survey["coverage"].isel(cluster=some).mean(("y", "x"), dtype="f8").values
    total = np.zeros(explained.sample.counts.shape[1])
    for part in np.array_split(some, max(len(some) // 64, 1)):
        total += component_counts(survey, part, ["background"], explained).sum(
            (0, 1, 3, 4), dtype="f8"
        )
    return total / (seen.sum() * explained.config.n_pixels**2)


def _outside(
    survey: xr.Dataset, index: np.ndarray, explained: DifferentiablePredictor
) -> np.ndarray:
    """Return the mean counts a pixel of full exposure in the outskirts, (n, channel)."""
    radius, half = radii(survey, explained), half_width_mpc_h(survey)
    limit = np.full(len(index), _OUTER * half)
    if "r500c" in survey:
        limit = np.minimum(limit, _OUTSIDE * survey["r500c"].isel(cluster=index).values)
    outside = torch.from_numpy(radius >= limit[:, None, None])[:, None]
    counts, coverage = explained.sample.counts.cpu(), explained.sample.coverage
    seen = torch.ones_like(counts[:, :1]) if coverage is None else coverage.cpu()
    total = (counts * outside).sum((2, 3))
    return (total / (seen * outside).sum((2, 3)).clamp(min=1e-3)).numpy()
