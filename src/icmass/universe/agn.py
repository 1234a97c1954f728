"""Active galactic nuclei: central, in the cluster's galaxies, and across the field."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from astropy import units as u
from pydantic import BaseModel, ConfigDict

from icmass.cosmology import Cosmology
from icmass.parameter import parameter
from icmass.universe.halos import Halo
from icmass.universe.profiles import nfw_radii

_MPC_CM = (1 * u.Mpc).to_value(u.cm)
_HASINGER = "Hasinger et al. 2005, A&A 441, 417"
_GEORGAKAKIS = "after Georgakakis et al. 2008, MNRAS 388, 1205"


class AgnConfig(BaseModel):
    """Abundance and spectra of AGN; luminosities and fluxes are 0.5-2 keV, unabsorbed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    central_duty_cycle: float = parameter(
        0.35,
        "Probability that the central galaxy has an active nucleus, without a cool core.",
        unit="1",
        ge=0,
        le=1,
    )
    central_duty_cycle_cool: float = parameter(
        0.60,
        "Probability that the central galaxy of a cool core, which feeds it, has an active "
        "nucleus; 0.45 over all clusters.",
        unit="1",
        ge=0,
        le=1,
    )
    central_log_l: float = parameter(
        42.50,
        "Median log10 luminosity of an active central nucleus, rest frame.",
        unit="log10(erg/s)",
    )
    central_scatter_dex: float = parameter(
        0.77, "Scatter of the central nuclei's log10 luminosity.", unit="dex", ge=0, lt=2
    )
    satellites: float = parameter(
        1.35,
        "Mean number of satellite AGN above satellite_log_l_min at M500c = 1e14 Msun/h.",
        unit="1",
        ge=0,
    )
    satellites_slope: float = parameter(
        0.8, "Exponent of mass in the number of satellite AGN.", unit="1"
    )
    satellite_log_l_min: float = parameter(
        41.5,
        "Faint end of the satellites' luminosity function, log10 luminosity.",
        unit="log10(erg/s)",
    )
    log_l_star: float = parameter(
        43.94,
        "Break of the luminosity function, log10 luminosity.",
        unit="log10(erg/s)",
        source=_HASINGER,
    )
    gamma1: float = parameter(
        0.87, "Slope of the luminosity function below the break.", unit="1", source=_HASINGER
    )
    gamma2: float = parameter(
        2.57, "Slope of the luminosity function above the break.", unit="1", source=_HASINGER
    )
    concentration: float = parameter(
        2.5, "NFW concentration of the satellites, R500c over scale radius.", unit="1", gt=0
    )
    extent: float = parameter(
        4.0, "Radius that satellites and infalling galaxies with AGN reach.", unit="R500c", gt=0
    )
    field_norm_deg2: float = parameter(
        151.0,
        "Differential counts dN/dS of the field at the break flux; they give the counts of the "
        "eFEDS field within its errors.",
        unit="deg^-2 per 1e-14 erg/s/cm^2",
        source=_GEORGAKAKIS,
        ge=0,
    )
    field_break: float = parameter(
        1e-14,
        "Flux at the break of the field's counts.",
        unit="erg s^-1 cm^-2",
        source=_GEORGAKAKIS,
        gt=0,
    )
    field_slope_faint: float = parameter(
        1.58,
        "Slope of the field's differential counts below the break.",
        unit="1",
        source=_GEORGAKAKIS,
    )
    field_slope_bright: float = parameter(
        2.5,
        "Slope of the field's differential counts above the break.",
        unit="1",
        source=_GEORGAKAKIS,
    )
    field_flux_min: float = parameter(
        2e-15,
        "Faintest flux drawn; fainter AGN are part of the unresolved background.",
        unit="erg s^-1 cm^-2",
        gt=0,
    )
    field_flux_max: float = parameter(1e-12, "Brightest flux drawn.", unit="erg s^-1 cm^-2", gt=0)
    field_flux_unresolved: float = parameter(
        1.1e-14,
        "What field AGN below this flux emit is subtracted from the sky background: as much as was "
        "left in it when it was measured, of sources below the catalogue's limit of 6.5e-15 and of "
        "the wings of brighter ones outside their masks.",
        unit="erg s^-1 cm^-2",
        source="eFEDS, Brunner et al. 2022, A&A 661, A1",
        gt=0,
    )
    photon_index: float = parameter(1.9, "Mean photon index of the power law.", unit="1")
    photon_index_scatter: float = parameter(
        0.2, "Scatter of the photon index.", unit="1", ge=0, lt=1
    )
    absorbed_fraction: float = parameter(0.2, "Fraction of absorbed nuclei.", unit="1", ge=0, le=1)
    absorbed_nh_1e20: float = parameter(
        100.0, "Column density of the absorbed nuclei, at redshift 0.", unit="1e20 cm^-2", ge=0
    )


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
    flux_per_l = flux_per_luminosity(halo.redshift, config, cosmology)
    x = np.concatenate([np.zeros(len(central)), sx, rng.uniform(-half_width, half_width, n_field)])
    y = np.concatenate([np.zeros(len(central)), sy, rng.uniform(-half_width, half_width, n_field)])
    flux = np.concatenate([central * flux_per_l, members * flux_per_l, flux_field])
    index = config.photon_index + config.photon_index_scatter * rng.standard_normal(len(flux))
    absorbed = rng.random(len(flux)) < config.absorbed_fraction
    return Sources(x, y, flux, index, absorbed)


def flux_per_luminosity(redshift: float, config: AgnConfig, cosmology: Cosmology) -> float:
    """Return the observed 0.5-2 keV flux of a unit of luminosity in that band at rest [cm^-2]."""
    distance_cm = cosmology.comoving_distance(redshift) / cosmology.h * _MPC_CM
    return float((1 + redshift) ** (-config.photon_index) / (4 * np.pi * distance_cm**2))


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
