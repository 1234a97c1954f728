"""Correlation of luminosity and temperature at fixed mass."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, ndtri

from icmass.universe.gas_config import GasConfig
from icmass.universe.halos import LATENTS, HaloConfig, temperature_weights

MOST = 0.95
"""Largest correlation of temperature and gas mass, either sign."""
_NORMALS = ndtri((np.arange(2000) + 0.5) / 2000)
_T, _GAS, _CORE = (LATENTS.index(name) for name in ("temperature", "gas_mass", "core_share"))


def light_temperature_correlation(gas: GasConfig, halos: HaloConfig) -> float:
    """Return the correlation of ln L_X and ln T at fixed mass, at the pivot mass.

    Notes
    -----
    Of the gas of halos, without substructures: ln L_X follows twice the gas mass, the core share,
    the slope and the clumping (`icmass.universe.gas.make_gas`); what it has in common with the
    temperature comes from gas mass and core share.
    """
    of_gas, of_core, scatter = _light(gas, halos)
    row = halos.correlation[_T]
    return (of_gas * row[_GAS] + of_core * row[_CORE]) / scatter


def _light(gas: GasConfig, halos: HaloConfig) -> tuple[float, float, float]:
    """Return the slopes of ln L_X with the latents of gas mass and core share, and its scatter."""
    of_gas = 2 * gas.f_gas_scatter
    share = np.clip(expit(gas.core_share + gas.core_share_width * _NORMALS), 0.03, 0.85)
    ln_light = gas.core_emission * np.log(share)
    of_core = float(np.mean(ln_light * _NORMALS))
    variance = of_gas**2 + float(ln_light.var())
    variance += 2 * of_gas * of_core * halos.correlation[_GAS][_CORE]
    variance += gas.slope_emission**2 + gas.clumping_scatter**2
    return of_gas, of_core, float(np.sqrt(max(variance, 1e-12)))


def gas_temperature_correlation(gas: GasConfig, halos: HaloConfig, target: float) -> float:
    """Return the correlation of temperature and gas mass that gives one of L_X and T.

    Parameters
    ----------
    gas : GasConfig
    halos : HaloConfig
        With the correlations of all else.
    target : float
        Correlation of ln L_X and ln T at fixed mass.

    Returns
    -------
    float
        At most `MOST` in size, also where that is not enough.
    """

    of_gas, of_core, scatter = _light(gas, halos)
    matrix = halos.correlation

    def excess(correlation: float) -> float:
        gas_weight, temperature_weight = temperature_weights(matrix[_T][_GAS], correlation)
        core = temperature_weight * matrix[_T][_CORE] + gas_weight * matrix[_GAS][_CORE]
        return of_gas * correlation + of_core * core - target * scatter

    if excess(-MOST) >= 0:
        return -MOST
    if excess(MOST) <= 0:
        return MOST
    return float(brentq(excess, -MOST, MOST, xtol=1e-6))
