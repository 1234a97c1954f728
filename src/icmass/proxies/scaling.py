"""Scaling relations of mass proxies, their residual covariance, and the mass scatter they imply.

The method of Ho et al. (2023): in every snapshot ln s = pi + alpha mu with mu = ln(M500c / 2e14
Msun/h), by least squares. One proxy has the mass scatter sqrt(C_ii) / alpha_i, a set of them
1 / sqrt(alpha^T C^-1 alpha), with C the covariance of the residuals; quoted is the mean over the
snapshots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PIVOT_MSUN_H = 2e14
MIN_CLUSTERS = 20
"""Fewest clusters that a scaling relation is fitted to."""
PIVOT_COUNTS = 4000.0
"""Counts that a normalised map holds on average (Ho et al. 2023)."""


@dataclass(frozen=True)
class GroupFit:
    """The relations of k proxies in one snapshot (or redshift bin).

    Attributes
    ----------
    redshift : float
        Mean redshift.
    n : int
        Number of clusters.
    intercept, slope : ndarray, shape (k,)
        pi and alpha of ln s = pi + alpha mu.
    covariance : ndarray, shape (k, k)
        Covariance of the residuals in ln s, unbiased.
    dof : int
        Degrees of freedom that it rests on.
    """

    redshift: float
    n: int
    intercept: np.ndarray
    slope: np.ndarray
    covariance: np.ndarray
    dof: int


@dataclass(frozen=True)
class ScalingFit:
    """The relations of the proxies `names` in every snapshot (or redshift bin)."""

    names: tuple[str, ...]
    groups: tuple[GroupFit, ...]

    def sigma(self, names: Sequence[str] | None = None) -> float:
        """Return the scatter of ln M of one proxy or a set, the mean over the snapshots."""
        pick = [self.names.index(name) for name in (names or self.names)]
        each = [set_scatter(g.slope[pick], g.covariance[np.ix_(pick, pick)]) for g in self.groups]
        return float(np.mean(each))

    @property
    def covariance(self) -> np.ndarray:
        """Residual covariance of ln s, pooled over the snapshots by degrees of freedom, (k, k)."""
        dof = np.array([g.dof for g in self.groups])
        return np.tensordot(dof / dof.sum(), [g.covariance for g in self.groups], axes=1)

    @property
    def correlation(self) -> np.ndarray:
        """Correlation matrix of the pooled residuals, shape (k, k)."""
        return correlation_of(self.covariance)


def set_scatter(slope: np.ndarray, covariance: np.ndarray) -> float:
    """Return sigma of ln M = 1 / sqrt(alpha^T C^-1 alpha); for one proxy sqrt(C) / |alpha|.

    NaN where the clusters are too few to invert the covariance.
    """
    try:
        information = slope @ np.linalg.solve(covariance, slope)
    except np.linalg.LinAlgError:
        return float("nan")
    return float(information**-0.5) if information > 0 else float("nan")


def correlation_of(covariance: np.ndarray) -> np.ndarray:
    """Return the correlation matrix of a covariance matrix."""
    std = np.sqrt(np.diag(covariance))
    return covariance / np.outer(std, std)


def redshift_groups(
    redshift: np.ndarray, snapshot: np.ndarray | None = None, *, minimum: int = MIN_CLUSTERS
) -> np.ndarray:
    """Return the group 0, 1, ... (by redshift) in which each cluster's relation is fitted.

    Groups are the snapshots. A survey without snapshots is cut into redshift bins of equal number,
    one per hundred clusters, at least one and at most ten. A group of fewer than `minimum` clusters
    is joined to the next one in redshift, what is left at the end to the one before.

    Parameters
    ----------
    redshift : ndarray, shape (n,)
    snapshot : ndarray of int, shape (n,), optional

    Returns
    -------
    ndarray of int, shape (n,)
    """
    if snapshot is None:
        n_bins = int(np.clip(len(redshift) // 100, 1, 10))
        rank = np.argsort(np.argsort(redshift, kind="stable"), kind="stable")
        label = rank * n_bins // len(redshift)
    else:
        _, label = np.unique(snapshot, return_inverse=True)
    count = np.bincount(label)
    order = np.argsort(np.bincount(label, weights=redshift) / count)
    joined = np.zeros(len(count), int)
    group, n_members = 0, 0
    for position, member in enumerate(order):
        joined[member] = group
        n_members += count[member]
        if n_members >= minimum and count[order[position + 1 :]].sum() >= minimum:
            group, n_members = group + 1, 0
    return joined[label]


def fit_scaling(
    ln_s: np.ndarray,
    mu: np.ndarray,
    *,
    names: Sequence[str],
    redshift: np.ndarray,
    group: np.ndarray,
) -> ScalingFit:
    """Fit ln s = pi + alpha mu in every group.

    A group that spans several redshifts has a further term, linear in the redshift, so that
    evolution inside the group is not taken for scatter.

    Parameters
    ----------
    ln_s : ndarray, shape (n, k)
        Logarithms of the proxies.
    mu : ndarray, shape (n,)
        ln(M500c / 2e14 Msun/h).
    names : sequence of k str
    redshift, group : ndarray, shape (n,)
    """
    fits = []
    for label in np.unique(group):
        member = group == label
        fits.append(_fit_group(ln_s[member], mu[member], redshift[member]))
    return ScalingFit(tuple(names), tuple(fits))


def _fit_group(ln_s: np.ndarray, mu: np.ndarray, redshift: np.ndarray) -> GroupFit:
    mean = redshift.mean()
    columns = [np.ones_like(mu), mu]
    if np.ptp(redshift) > 1e-6:
        columns.append(redshift - mean)
    design = np.stack(columns, axis=1)
    coefficients = np.linalg.lstsq(design, ln_s, rcond=None)[0]
    residual = ln_s - design @ coefficients
    dof = len(mu) - design.shape[1]
    covariance = residual.T @ residual / dof if dof > 0 else np.full(2 * residual.shape[1:], np.nan)
    return GroupFit(float(mean), len(mu), coefficients[0], coefficients[1], covariance, max(dof, 0))


def bootstrap_by_halo(
    halo_id: np.ndarray, n_draws: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return `n_draws` samples of cluster indices: bootstrap clustered by halo."""
    _, halo = np.unique(halo_id, return_inverse=True)
    n_halos = halo.max() + 1
    draws = []
    for _ in range(n_draws):
        times = np.bincount(rng.integers(n_halos, size=n_halos), minlength=n_halos)
        draws.append(np.repeat(np.arange(len(halo)), times[halo]))
    return draws


def bootstrap_scaling(
    ln_s: np.ndarray,
    mu: np.ndarray,
    *,
    names: Sequence[str],
    redshift: np.ndarray,
    group: np.ndarray,
    halo_id: np.ndarray,
    rng: np.random.Generator,
    n_draws: int = 100,
) -> list[ScalingFit]:
    """Return the fits to `n_draws` bootstrap samples of the halos; arguments as `fit_scaling`."""
    return [
        fit_scaling(ln_s[i], mu[i], names=names, redshift=redshift[i], group=group[i])
        for i in bootstrap_by_halo(halo_id, n_draws, rng)
    ]


@dataclass(frozen=True)
class RedshiftNormalisation:
    """log10 N_tot = a z + b: how photon counts fall with redshift (Ho et al. 2023)."""

    a: float
    b: float

    @classmethod
    def fit(cls, redshift: np.ndarray, ln_counts: np.ndarray) -> RedshiftNormalisation:
        """Fit to the redshift and ln N_tot of clusters; flat if they share one redshift."""
        log10_counts = ln_counts / np.log(10)
        if np.ptp(redshift) < 1e-6:
            return cls(0.0, float(log10_counts.mean()))
        a, b = np.polyfit(redshift, log10_counts, 1)
        return cls(float(a), float(b))

    def ln_factor(self, redshift: np.ndarray) -> np.ndarray:
        """Return ln of the factor 10^(log10 4000 - (a z + b)) that the counts are scaled by."""
        return np.log(PIVOT_COUNTS) - np.log(10) * (self.a * redshift + self.b)
