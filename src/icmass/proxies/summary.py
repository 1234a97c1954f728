"""Summary of a survey's proxies: relations over redshift, scatter, residual correlations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr

from icmass.proxies.names import PROXIES, log_proxies, read_halos, read_scalar
from icmass.proxies.scaling import (
    PIVOT_MSUN_H,
    ScalingFit,
    bootstrap_by_halo,
    bootstrap_scaling,
    correlation_of,
    fit_scaling,
    redshift_groups,
)
from icmass.survey.catalog import survey_cosmology


@dataclass(frozen=True)
class ScalingRelation:
    """s = norm (M500c / pivot)^slope E(z)^ez_power, with a log-normal scatter in s at fixed mass.

    Attributes
    ----------
    proxy, units : str
        The proxy, and the unit of `norm`.
    norm, slope, ez_power, scatter : float
        `scatter` in ln s.
    norm_error, slope_error, ez_power_error, scatter_error : float
        Bootstrap standard deviations, halos drawn; `norm_error` is relative.
    pivot_msun_h : float
        Mass pivot [Msun/h].
    redshift_range, ln_mass_range : (float, float)
        What it was fitted on.
    n : int
        Number of clusters.
    """

    proxy: str
    units: str
    norm: float
    slope: float
    ez_power: float
    scatter: float
    norm_error: float
    slope_error: float
    ez_power_error: float
    scatter_error: float
    pivot_msun_h: float
    redshift_range: tuple[float, float]
    ln_mass_range: tuple[float, float]
    n: int

    def __call__(self, m500c: np.ndarray, efunc: np.ndarray | float) -> np.ndarray:
        """Return the proxy at M500c [Msun/h] and E(z)."""
        return self.norm * (m500c / self.pivot_msun_h) ** self.slope * efunc**self.ez_power


@dataclass(frozen=True)
class ProxyTable:
    """The proxies `names` of a survey and all that their relations are fitted to, n clusters."""

    names: tuple[str, ...]
    ln_s: np.ndarray
    mu: np.ndarray
    redshift: np.ndarray
    group: np.ndarray
    halo_id: np.ndarray

    @classmethod
    def of(cls, survey: xr.Dataset, names: Sequence[str]) -> ProxyTable:
        """Read the table from a survey."""
        redshift = read_scalar(survey, "redshift")
        snapshot = survey["snapshot"].values if "snapshot" in survey else None
        return cls(
            names=tuple(names),
            ln_s=log_proxies(survey, names),
            mu=np.log(read_scalar(survey, "m500c") / PIVOT_MSUN_H),
            redshift=redshift,
            group=redshift_groups(redshift, snapshot),
            halo_id=read_halos(survey),
        )

    def fit(self) -> ScalingFit:
        """Fit the relations snapshot by snapshot, as Ho et al. (2023)."""
        return fit_scaling(
            self.ln_s, self.mu, names=self.names, redshift=self.redshift, group=self.group
        )

    def bootstrap(self, rng: np.random.Generator, n_draws: int = 100) -> list[ScalingFit]:
        """Fit bootstrap samples of the halos."""
        return bootstrap_scaling(
            self.ln_s,
            self.mu,
            names=self.names,
            redshift=self.redshift,
            group=self.group,
            halo_id=self.halo_id,
            rng=rng,
            n_draws=n_draws,
        )


def published_scatter(
    survey: xr.Dataset, names: Sequence[str], rng: np.random.Generator
) -> tuple[float, float]:
    """Return sigma of ln M by the method of Ho et al. (2023), in-sample, and its bootstrap error.

    Parameters
    ----------
    survey : Dataset
    names : sequence of str
        The proxies of the set.
    rng : Generator
        Draws the halos of the bootstrap.
    """
    table = ProxyTable.of(survey, names)
    return table.fit().sigma(), half_width([fit.sigma() for fit in table.bootstrap(rng)])


def half_width(draws: Sequence[float] | np.ndarray) -> float:
    """Return half the width of the central 68 per cent of bootstrap draws.

    A slope near zero in one draw makes its scatter huge, and with it a standard deviation.
    """
    low, high = np.nanpercentile(draws, [15.87, 84.13])
    return float(high - low) / 2


def relation_over_redshift(
    survey: xr.Dataset, name: str, rng: np.random.Generator, n_draws: int = 100
) -> ScalingRelation:
    """Fit one relation ln s = ln norm + slope mu + ez_power ln E(z) to all redshifts.

    Where all clusters share one redshift, the power of E(z) is 0 and its error NaN.
    """
    table = ProxyTable.of(survey, [name])
    cosmology = survey_cosmology(survey)
    evolves = np.ptp(table.redshift) > 1e-6
    columns = [np.ones_like(table.mu), table.mu]
    columns += [np.log(cosmology.efunc(table.redshift))] if evolves else []
    design = np.stack(columns, axis=1)

    def fitted(index: np.ndarray | slice) -> np.ndarray:
        coefficients, residues, _, _ = np.linalg.lstsq(
            design[index], table.ln_s[index, 0], rcond=None
        )
        dof = len(design[index]) - design.shape[1]
        scatter = np.sqrt(residues[0] / dof) if dof > 0 and len(residues) else np.nan
        return np.array(
            [coefficients[0], coefficients[1], coefficients[2] if evolves else 0.0, scatter]
        )

    best = fitted(slice(None))
    error = np.std(
        [fitted(i) for i in bootstrap_by_halo(table.halo_id, n_draws, rng)], axis=0, ddof=1
    )
    return ScalingRelation(
        proxy=name,
        units=str(survey[PROXIES[name].variable].attrs.get("units", "")),
        norm=float(np.exp(best[0])),
        slope=float(best[1]),
        ez_power=float(best[2]),
        scatter=float(best[3]),
        norm_error=float(error[0]),
        slope_error=float(error[1]),
        ez_power_error=float(error[2]) if evolves else float("nan"),
        scatter_error=float(error[3]),
        pivot_msun_h=PIVOT_MSUN_H,
        redshift_range=(float(table.redshift.min()), float(table.redshift.max())),
        ln_mass_range=(
            float(table.mu.min() + np.log(PIVOT_MSUN_H)),
            float(table.mu.max() + np.log(PIVOT_MSUN_H)),
        ),
        n=len(table.mu),
    )


def scaling_summary(
    survey: xr.Dataset, names: Sequence[str], rng: np.random.Generator
) -> dict[str, Any]:
    """Return the relations and residual correlations of proxies, ready for JSON.

    Returns
    -------
    dict
        ``names``; ``relations`` (of the ideal proxies, over redshift); ``sigma``, ``sigma_error``
        per proxy; ``correlation`` and ``correlation_error`` (pooled, k x k); ``snapshots``, each
        with ``redshift``, ``n``, ``intercept``, ``slope``, ``covariance``, ``correlation``.
    """
    table = ProxyTable.of(survey, names)
    fit = table.fit()
    draws = table.bootstrap(rng)
    from_draws = {name: half_width([d.sigma([name]) for d in draws]) for name in names}
    ideal = [name for name in names if PROXIES[name].kind == "ideal"]
    return {
        "names": list(names),
        "relations": [asdict(relation_over_redshift(survey, name, rng)) for name in ideal],
        "sigma": {name: fit.sigma([name]) for name in names},
        "sigma_error": from_draws,
        "correlation": fit.correlation.tolist(),
        "correlation_error": np.std([d.correlation for d in draws], axis=0, ddof=1).tolist(),
        "snapshots": [
            {
                "redshift": group.redshift,
                "n": group.n,
                "intercept": group.intercept.tolist(),
                "slope": group.slope.tolist(),
                "covariance": group.covariance.tolist(),
                "correlation": correlation_of(group.covariance).tolist(),
            }
            for group in fit.groups
        ],
    }
