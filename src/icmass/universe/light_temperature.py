"""How luminosity and temperature of halos of one mass go together."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, ndtri

from icmass.universe.gas_config import GasConfig
from icmass.universe.halos import LATENTS, HaloConfig, temperature_follows_gas

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
    matrix = np.array(halos.correlation)
    of_gas = 2 * gas.f_gas_scatter
    share = np.clip(expit(gas.core_share + gas.core_share_width * _NORMALS), 0.03, 0.85)
    ln_light = gas.core_emission * np.log(share)
    of_core = float(np.mean(ln_light * _NORMALS))
    variance = of_gas**2 + float(ln_light.var()) + 2 * of_gas * of_core * matrix[_GAS, _CORE]
    variance += gas.slope_emission**2 + gas.clumping_scatter**2
    common = of_gas * matrix[_T, _GAS] + of_core * matrix[_T, _CORE]
    return float(common / np.sqrt(variance)) if variance > 0 else 0.0


def gas_temperature_correlation(gas: GasConfig, halos: HaloConfig, wanted: float) -> float:
    """Return the correlation of temperature and gas mass that gives one of L_X and T.

    Parameters
    ----------
    gas : GasConfig
    halos : HaloConfig
        With the correlations of all else.
    wanted : float
        Correlation of ln L_X and ln T at fixed mass.

    Returns
    -------
    float
        At most `MOST` in size, also where that is not enough.
    """

    def excess(correlation: float) -> float:
        changed = temperature_follows_gas(halos.correlation, correlation)
        mixed = halos.model_copy(update={"correlation": changed})
        return light_temperature_correlation(gas, mixed) - wanted

    if excess(-MOST) >= 0:
        return -MOST
    if excess(MOST) <= 0:
        return MOST
    return float(brentq(excess, -MOST, MOST, xtol=1e-6))
