"""Active galactic nuclei: central, in the cluster's galaxies, and across the field."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from astropy import units as u
from pydantic import BaseModel, ConfigDict, Field

from icmass.cosmology import Cosmology
from icmass.universe.halos import Halo
from icmass.universe.profiles import nfw_radii

_MPC_CM = (1 * u.Mpc).to_value(u.cm)


class AgnConfig(BaseModel):
    """Abundance and spectra of AGN; luminosities and fluxes are 0.5-2 keV, unabsorbed.

    Parameters
    ----------
    central_duty_cycle, central_duty_cycle_cool : float
        Probability that the central galaxy holds an active nucleus, without and with a cool core
        that feeds it (0.45 over all).
    central_log_l, central_scatter_dex : float
        Median log10 L [erg/s] of an active central nucleus, rest frame, and its scatter.
    satellites, satellites_slope : float
        Mean number above `satellite_log_l_min` at M500c = 1e14 Msun/h, its slope with mass.
    satellite_log_l_min : float
        Faint end of the satellites' luminosity function, log10 L [erg/s].
    log_l_star, gamma1, gamma2 : float
        Break and slopes of the luminosity function: Hasinger et al. 2005, A&A 441, 417.
    concentration : float
        NFW concentration of the satellites, R500c over scale radius.
    extent : float
        Satellites (and infalling galaxies) reach this radius over R500c.
    field_norm_deg2, field_break, field_slope_faint, field_slope_bright : float
        Differential counts dN/dS of the field [deg^-2 per 1e-14 erg/s/cm^2] at the break flux
        [erg/s/cm^2], slopes below and above: after Georgakakis et al. 2008, MNRAS 388, 1205;
        they reproduce the counts of the eFEDS field within its errors.
    field_flux_min, field_flux_max : float
        Range of fluxes drawn [erg/s/cm^2]; fainter ones are part of the unresolved background.
    field_flux_unresolved : float
        What field sources below this [erg/s/cm^2] give is taken out of the sky background: as much
        as was left when it was measured, of sources below the eFEDS catalogue's limit of 6.5e-15
        (Brunner et al. 2022, A&A 661, A1) and of the wings of brighter ones outside their masks.
    photon_index, photon_index_scatter : float
        Mean and scatter of the power law's photon index.
    absorbed_fraction, absorbed_nh_1e20 : float
        Fraction of absorbed nuclei, and their column [1e20 cm^-2] at redshift 0.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    central_duty_cycle: float = Field(0.35, ge=0, le=1)
    central_duty_cycle_cool: float = Field(0.60, ge=0, le=1)
    central_log_l: float = 42.50
    central_scatter_dex: float = Field(0.77, ge=0, lt=2)
    satellites: float = Field(1.35, ge=0)
    satellites_slope: float = 0.8
    satellite_log_l_min: float = 41.5
    log_l_star: float = 43.94
    gamma1: float = 0.87
    gamma2: float = 2.57
    concentration: float = Field(2.5, gt=0)
    extent: float = Field(4.0, gt=0)
    field_norm_deg2: float = Field(151.0, ge=0)
    field_break: float = Field(1e-14, gt=0)
    field_slope_faint: float = 1.58
    field_slope_bright: float = 2.5
    field_flux_min: float = Field(2e-15, gt=0)
    field_flux_max: float = Field(1e-12, gt=0)
    field_flux_unresolved: float = Field(1.1e-14, gt=0)
    photon_index: float = 1.9
    photon_index_scatter: float = Field(0.2, ge=0, lt=1)
    absorbed_fraction: float = Field(0.2, ge=0, le=1)
    absorbed_nh_1e20: float = Field(100.0, ge=0)


@dataclass(frozen=True)
class Sources:
    """Point sources on the sky around a cluster.

    Attributes
    ----------
    x, y : ndarray, shape (n,)
        Offset from the cluster [comoving Mpc/h at its distance].
    flux : ndarray, shape (n,)
        Unabsorbed flux [erg/s/cm^2], observed frame 0.5-2 keV.
    photon_index : ndarray, shape (n,)
    absorbed : ndarray of bool, shape (n,)
    """

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    photon_index: np.ndarray
    absorbed: np.ndarray


def field_counts_above(flux: np.ndarray | float, config: AgnConfig) -> np.ndarray:
    """Return the number of field AGN brighter than `flux` [erg/s/cm^2] per square degree."""
    s = np.asarray(flux) / config.field_break
    scale = config.field_norm_deg2 * config.field_break / 1e-14
    a, b = config.field_slope_faint - 1, config.field_slope_bright - 1
    return scale * np.where(s > 1, np.maximum(s, 1) ** -b / b, 1 / b + (s**-a - 1) / a)


def unresolved_field_flux(config: AgnConfig) -> float:
    """Return the mean flux of drawn field AGN too faint to be masked [erg/s/cm^2/deg^2]."""
    hi = min(config.field_flux_unresolved, config.field_flux_max)
    if hi <= config.field_flux_min:
        return 0.0
    flux = np.geomspace(config.field_flux_min, hi, 400)
    above = field_counts_above(flux, config)
    return float(np.sum((above[:-1] - above[1:]) * np.sqrt(flux[:-1] * flux[1:])))


def draw_agn(
    halo: Halo,
    config: AgnConfig,
    cosmology: Cosmology,
    half_width: float,
    rng: np.random.Generator,
    *,
    cool_core: bool = False,
) -> Sources:
    """Draw every AGN that can reach a map of half side `half_width` [comoving Mpc/h]."""
    duty = config.central_duty_cycle_cool if cool_core else config.central_duty_cycle
    central = _central_luminosity(config, duty, rng)
    members = _satellite_luminosities(halo, config, rng)
    sx, sy = _satellite_positions(len(members), halo, config, rng)
    flux_field = _field_fluxes(halo, config, cosmology, half_width, rng)
    n_field = len(flux_field)
    distance_cm = cosmology.comoving_distance(halo.redshift) / cosmology.h * _MPC_CM
    flux_per_l = (1 + halo.redshift) ** (-config.photon_index) / (4 * np.pi * distance_cm**2)
    x = np.concatenate([np.zeros(len(central)), sx, rng.uniform(-half_width, half_width, n_field)])
    y = np.concatenate([np.zeros(len(central)), sy, rng.uniform(-half_width, half_width, n_field)])
    flux = np.concatenate([central * flux_per_l, members * flux_per_l, flux_field])
    index = config.photon_index + config.photon_index_scatter * rng.standard_normal(len(flux))
    absorbed = rng.random(len(flux)) < config.absorbed_fraction
    return Sources(x, y, flux, index, absorbed)


def _central_luminosity(
    config: AgnConfig, duty_cycle: float, rng: np.random.Generator
) -> np.ndarray:
    log_l = config.central_log_l + config.central_scatter_dex * rng.standard_normal()
    return np.array([10**log_l]) if rng.random() < duty_cycle else np.empty(0)


@lru_cache(maxsize=1024)
def _luminosity_table(config: AgnConfig) -> tuple[np.ndarray, np.ndarray]:
    log_l = np.linspace(config.satellite_log_l_min, config.satellite_log_l_min + 4.5, 400)
    ratio = 10 ** (log_l - config.log_l_star)
    density = 1 / (ratio**config.gamma1 + ratio**config.gamma2)
    cumulative = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return log_l, cumulative / cumulative[-1]


def _satellite_luminosities(halo: Halo, config: AgnConfig, rng: np.random.Generator) -> np.ndarray:
    mean = config.satellites * (halo.m500c / 1e14) ** config.satellites_slope
    log_l, cumulative = _luminosity_table(config)
    return 10 ** np.interp(rng.random(rng.poisson(mean)), cumulative, log_l)


def _satellite_positions(
    n: int, halo: Halo, config: AgnConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    radius = nfw_radii(rng.random(n), config.concentration, config.extent) * halo.r500c
    mu, phi = rng.uniform(-1, 1, n), rng.uniform(0, 2 * np.pi, n)
    projected = radius * np.sqrt(1 - mu**2)
    return projected * np.cos(phi), projected * np.sin(phi)


@lru_cache(maxsize=1024)
def _flux_table(config: AgnConfig) -> tuple[np.ndarray, np.ndarray, float]:
    flux = np.geomspace(config.field_flux_min, config.field_flux_max, 600)
    above = field_counts_above(flux, config)
    density = float(above[0] - above[-1])
    return np.log(flux), (above[0] - above) / density if density else above, density


def _field_fluxes(
    halo: Halo,
    config: AgnConfig,
    cosmology: Cosmology,
    half_width: float,
    rng: np.random.Generator,
) -> np.ndarray:
    ln_flux, cumulative, per_deg2 = _flux_table(config)
    side_deg = 2 * half_width * float(cosmology.arcmin_per_mpc_h(halo.redshift)) / 60
    n = rng.poisson(per_deg2 * side_deg**2)
    return np.exp(np.interp(rng.random(n), cumulative, ln_flux))
