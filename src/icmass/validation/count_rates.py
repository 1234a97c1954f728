"""Count rates of the gas within R500c, of the survey and as observed luminosities make them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from astropy import units as u

from icmass.observe.apertures import photon_counts
from icmass.observe.rates import count_rates
from icmass.plasma.emissivity import load_plasma_table
from icmass.proxies.names import read_scalar
from icmass.proxies.scaling import PIVOT_MSUN_H
from icmass.survey.catalog import half_width_mpc_h, survey_bands, survey_config
from icmass.survey.config import SurveyConfig
from icmass.survey.observatory import Observatory
from icmass.validation.relations import PUBLISHED

ABUNDANCE = 0.3
HIGHEST_KEV = 2.3
"""Bands up to here are added: beyond, the background leaves little of a cluster."""
_MPC_CM = (1 * u.Mpc).to_value(u.cm)


@dataclass(frozen=True)
class GasRates:
    """Count rates of the gas within the projected R500c.

    Attributes
    ----------
    band : (float, float)
        PI energies [keV].
    rate : ndarray, shape (n,)
        [counts/s]
    """

    band: tuple[float, float]
    rate: np.ndarray


def soft_bands(survey: xr.Dataset) -> list[int]:
    """Return the indices of the survey's bands below 2.3 keV."""
    return [i for i, (_, high) in enumerate(survey_bands(survey)) if high <= HIGHEST_KEV]


def gas_rates(survey: xr.Dataset) -> GasRates:
    """Count the gas photons of the soft bands within R500c of every cluster."""
    chosen = soft_bands(survey)
    bands = survey_bands(survey)
    gas = survey["maps"].sel(component="icm").isel(band=chosen)
    r500c, half_width = read_scalar(survey, "r500c"), half_width_mpc_h(survey)
    chunks = [
        photon_counts(gas.isel(cluster=rows).values, r500c[rows], half_width=half_width)
        for rows in np.array_split(np.arange(len(r500c)), max(len(r500c) // 128, 1))
    ]
    counts = np.concatenate([chunk["n_phot_r500"] for chunk in chunks])
    band = (bands[chosen[0]][0], bands[chosen[-1]][1])
    return GasRates(band, counts / read_scalar(survey, "exposure"))


def efeds_rates(survey: xr.Dataset, m500c: np.ndarray, redshift: float) -> np.ndarray:
    """Return the count rates that the luminosities of eFEDS clusters give this telescope.

    The luminosity-mass and temperature-mass relations of `icmass.validation.relations.PUBLISHED`,
    a plasma of 0.3 solar, and the survey's own area, redistribution and absorption.

    Parameters
    ----------
    m500c : ndarray, shape (n,)
        [Msun/h]
    redshift : float

    Returns
    -------
    ndarray, shape (n,)
        In the bands of `gas_rates` [counts/s].
    """
    config = SurveyConfig.model_validate(survey_config(survey))
    observatory, cosmology = Observatory(config), config.cosmology
    bands = [survey_bands(survey)[i] for i in soft_bands(survey)]
    efunc = float(cosmology.efunc(redshift))
    relation = {r.proxy: r for r in PUBLISHED if r.label == "eFEDS"}

    def of(proxy: str) -> np.ndarray:
        r = relation[proxy]
        return r.norm * (m500c / PIVOT_MSUN_H) ** (r.slope or 0.0) * efunc**-r.ez_power

    distance_cm = float(cosmology.comoving_distance(redshift)) / cosmology.h * _MPC_CM
    table = load_plasma_table()
    rates = []
    for kt, luminosity in zip(of("T"), of("L_X_soft"), strict=True):
        measure = luminosity * 1e44 / float(table.cooling_function(kt, ABUNDANCE, 0.5, 2.0))
        norm = 1e-14 * measure / (4 * np.pi * distance_cm**2)
        per_norm = count_rates(
            float(kt), ABUNDANCE, redshift, config.observe.nh_1e20, observatory.instrument, bands
        )
        rates.append(norm * sum(per_norm.counts.values()))
    return np.array(rates)
