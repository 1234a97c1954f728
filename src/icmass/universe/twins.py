"""Twins: the latents of halos of which some quantities are known, the rest drawn given those."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.special import logit, ndtri

from icmass.parameter import parameter
from icmass.universe.galaxies import mean_m_star, satellite_number
from icmass.universe.galaxy_config import GalaxyConfig
from icmass.universe.gas import core_share_width, gas_mass, gas_mass_scatter, gas_temperature
from icmass.universe.gas_config import GasConfig
from icmass.universe.halos import LATENTS, HaloConfig

FEWEST = 30
"""Rows from which on a table's own mean relations are fitted; below, the configuration's hold."""
MOST_SIGMAS = 4.0
"""Residuals count as no larger than this for what they say of other latents."""
SHARES = (0.03, 0.85)
"""Core shares that the gas can have."""
_LN_W = (-3.8, 1.2)  # of the centroid shift over R500c: median and scatter of ln w, few rows


class TwinConfig(BaseModel):
    """How the halos of a user's table are made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    light: Literal["emitted", "catalogue"] = parameter(
        "emitted",
        "What the table's L_X is: of the gas whose photons are drawn (emitted), or of a catalogue "
        "whose relation to it is the section catalogue (Magneticum's).",
    )
    outlier_widths: float = parameter(
        3.0,
        "Widths above its relation from which on an L_X is an outlier of the catalogue, which the "
        "photons do not have.",
        unit="1",
        gt=0,
    )
    outlier_least: float = parameter(
        0.4, "Least residual of ln L_X of an outlier.", unit="ln", ge=0
    )
    match_mpc_h: float = parameter(
        1.5,
        "Largest distance of a progenitor from its halo, where a table has no ids of histories.",
        unit="comoving Mpc/h",
        gt=0,
        le=20,
    )
    match_factor: float = parameter(
        1.5,
        "Largest ratio of the masses of a halo and its progenitor, where a table has no ids.",
        unit="1",
        gt=1,
        le=10,
    )


def conditional_normal(
    covariance: np.ndarray,
    observe: np.ndarray,
    values: np.ndarray,
    noise: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of a normal of mean 0, given linear combinations of it.

    Parameters
    ----------
    covariance : ndarray, shape (n, n)
    observe : ndarray, shape (m, n)
        The combinations.
    values : ndarray, shape (m,)
        What they came to.
    noise : ndarray, shape (m,), or float
        Variance of what was added to each.
    """
    weights = gain(covariance, observe, noise)
    return weights @ values, covariance - weights @ observe @ covariance


def gain(
    covariance: np.ndarray, observe: np.ndarray, noise: np.ndarray | float = 0.0
) -> np.ndarray:
    """Return the gain of a normal's mean for each deviation of `observe`, (n, m)."""
    cross_covariance = covariance @ observe.T
    observed_covariance = observe @ cross_covariance
    observed_covariance[np.diag_indices_from(observed_covariance)] += noise + 1e-9
    return np.linalg.solve(observed_covariance, cross_covariance.T).T


def conditioned(
    drawn: np.ndarray,
    covariance: np.ndarray,
    observe: np.ndarray,
    values: np.ndarray,
    noise: np.ndarray | float = 0.0,
    noise_drawn: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Return a draw of the conditional normal, made of a draw of the unconditional one.

    Parameters
    ----------
    drawn : ndarray, shape (n,)
        Of the normal of mean 0 and this covariance.
    covariance, observe, values, noise
        As `conditional_normal` takes them.
    noise_drawn : ndarray, shape (m,), or float
        A draw of what is added to the combinations.

    Notes
    -----
    ``x + K (y - H x - e)`` has the conditional mean and covariance exactly (Matheron's rule;
    Hoffman & Ribak 1991, ApJ 380, L5).
    """
    innovation = values - observe @ drawn - noise_drawn
    return drawn + gain(covariance, observe, noise) @ innovation


def history_covariance(config: HaloConfig, times: np.ndarray) -> np.ndarray:
    """Return the covariance of a halo's latents at several times, (time * latent, same).

    Parameters
    ----------
    config : HaloConfig
    times : ndarray, shape (n,)
        Lookback times [Gyr].

    Notes
    -----
    That of `icmass.universe.histories.evolve`: of two times, each latent of the later one has kept
    its own share of all that the earlier ones were correlated with.
    """
    memory = np.array([config.memory_gyr[name] for name in LATENTS])
    instant, correlation = config.instant_shares, config.component_correlation
    slow = np.sqrt(np.outer(1 - instant, 1 - instant)) * correlation
    n, size = len(times), len(LATENTS)
    covariance = np.empty((n, size, n, size))
    for i in range(n):
        for j in range(n):
            gap = times[j] - times[i]  # positive where j is the earlier one
            decay = np.exp(-abs(gap) / memory)
            covariance[i, :, j] = slow * (decay[:, None] if gap > 0 else decay)
        covariance[i, :, i] = slow + np.sqrt(np.outer(instant, instant)) * correlation
    return covariance.reshape(n * size, n * size)


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Return standard normal quantiles of the ranks of values, NaN where they are."""
    finite = np.isfinite(values)
    scores = np.full(len(values), np.nan)
    rank = np.argsort(np.argsort(values[finite], kind="stable"), kind="stable")
    scores[finite] = ndtri((rank + 0.5) / max(len(rank), 1))
    return scores


def body_trend(values: np.ndarray, design: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the mean relation of the body of a distribution, and the body's width.

    Parameters
    ----------
    values : ndarray, shape (n,)
        NaN where nothing is known.
    design : ndarray, shape (n, k)

    Returns
    -------
    trend : ndarray, shape (n,)
        Linear in the columns of `design`, for every row; rows beyond three widths do not count.
    width : float
        Half the distance of the 16th and the 84th percentile.
    """
    finite = np.flatnonzero(np.isfinite(values))
    body, trend, width = finite, np.zeros(len(values)), 0.0
    for _ in range(8):
        fit = np.linalg.lstsq(design[body], values[body], rcond=None)[0]
        trend = design @ fit
        residual = (values - trend)[finite]
        low, middle, high = np.percentile(residual, [16, 50, 84])
        width = float(high - low) / 2
        body = finite[np.abs(residual - middle) <= 3 * width + 1e-12]
    return trend, width


def own_relation(latents: np.ndarray, design: np.ndarray) -> tuple[np.ndarray, float]:
    """Return mean relation (n,) and width of what a table gives; 0 and 1 of fewer than `FEWEST`.

    Parameters
    ----------
    latents : ndarray, shape (n,)
        Residuals about the configuration's relation over its scatter; NaN where missing.
    design : ndarray, shape (n, k)
    """
    if np.isfinite(latents).sum() < FEWEST:
        return np.zeros(len(latents)), 1.0
    trend, width = body_trend(latents, design)
    return trend, max(width, 1e-6)


def measured_latents(
    quantities: dict[str, np.ndarray],
    m500c: np.ndarray,
    redshift: np.ndarray,
    efunc: np.ndarray,
    *,
    halos: HaloConfig,
    gas: GasConfig,
    galaxies: GalaxyConfig,
) -> np.ndarray:
    """Return the latents that make the quantities of a table, (n, latent); NaN where missing.

    Parameters
    ----------
    quantities : dict of ndarray, shape (n,)
        ``M_gas``, ``M_star`` [Msun/h], ``T`` [keV], ``core_share``, ``w`` [R500c], ``disturbance``
        and ``n_sat``, each with NaN where a row has none.
    m500c, redshift, efunc : ndarray, shape (n,)
        [Msun/h]; H(z) / H0.
    """
    latents = np.full((len(m500c), len(LATENTS)), np.nan)

    def assign(name: str, ln_residual: np.ndarray, scatter: np.ndarray | float) -> None:
        latents[:, LATENTS.index(name)] = ln_residual / np.maximum(scatter, 1e-6)

    ln_m_gas = np.log(gas_mass(m500c, efunc, gas))
    assign("gas_mass", np.log(quantities["M_gas"]) - ln_m_gas, gas_mass_scatter(m500c, gas))
    ln_t = np.log(gas_temperature(m500c, efunc, gas))
    assign("temperature", np.log(quantities["T"]) - ln_t, gas.t_scatter)
    ln_star = np.log(mean_m_star(m500c, redshift, galaxies))
    assign("stellar_mass", np.log(quantities["M_star"]) - ln_star, galaxies.m_star_scatter)
    share = logit(np.clip(quantities["core_share"], *SHARES))
    width = np.array([core_share_width(m, gas) for m in m500c])
    assign("core_share", share - gas.core_share, width)
    ln_number = np.log(satellite_number(m500c, galaxies))
    assign("galaxy_number", np.log(quantities["n_sat"]) - ln_number, galaxies.number_scatter)
    shift = disturbance_of(quantities["w"], np.log(m500c), np.log(efunc))
    disturbance = quantities["disturbance"]
    latents[:, LATENTS.index("disturbance")] = np.where(
        np.isfinite(disturbance), disturbance, shift
    )
    return latents


def disturbance_of(w: np.ndarray, ln_mass: np.ndarray, ln_efunc: np.ndarray) -> np.ndarray:
    """Return the latent disturbance of halos by their centroid shifts, NaN where they have none.

    Parameters
    ----------
    w : ndarray, shape (n,)
        [R500c]
    ln_mass, ln_efunc : ndarray, shape (n,)

    Notes
    -----
    By rank: the residuals of ln w at fixed mass and redshift become those of a standard normal. Of
    fewer than `FEWEST` values, ln w is taken as normal with the median and scatter of Magneticum's.
    """
    ln_w = np.log(w)
    if np.isfinite(ln_w).sum() < FEWEST:
        return np.clip((ln_w - _LN_W[0]) / _LN_W[1], -MOST_SIGMAS, MOST_SIGMAS)
    design = np.stack([np.ones_like(ln_mass), ln_mass, ln_efunc], axis=1)
    return normal_scores(ln_w - body_trend(ln_w, design)[0])
