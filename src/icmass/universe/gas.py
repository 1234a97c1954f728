"""The intracluster gas of a halo: shells of emission measure, temperature and abundance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import ndtr

from icmass.cosmology import Cosmology
from icmass.plasma.abundances import electron_content
from icmass.universe.halos import Halo
from icmass.universe.profiles import vikhlinin_density, vikhlinin_temperature

_MPC_CM = 3.0856775814913673e24
_MSUN_G = 1.988409870698051e33
_PROTON_G = 1.67262192369e-24
PIVOT = 2e14  # Msun/h


class GasConfig(BaseModel):
    """Physics of the gas; masses in Msun/h, pivot 2e14 Msun/h.

    Scaling relations are Magneticum's (Box2/hr, measured on 198 of its clusters); profiles follow
    Vikhlinin et al. 2006, ApJ 640, 691; core states Hudson et al. 2010, A&A 513, A37;
    shapes Lau et al. 2011, ApJ 734, 93.

    Parameters
    ----------
    f_gas, f_gas_slope, f_gas_scatter : float
        M_gas / M500c at the pivot, its slope with mass, its scatter in ln.
    hot_fraction : float
        Share of the gas mass hot enough to shine in X-rays; calibrated, with the core radius, on
        Magneticum's luminosity-mass relation.
    t_kev, t_slope, t_scatter : float
        Mass-weighted T500 E(z)^(-2/3) at the pivot [keV], slope with mass, scatter in ln.
    core, core_slope, core_scatter : float
        Core radius over R500c at the pivot, its slope with mass, its scatter in ln.
    beta, beta_slope, beta_scatter : float
        Slope of the beta model at the pivot, its change per unit ln mass, its scatter.
    outer, epsilon, epsilon_scatter : float
        Radius over R500c and strength of the outer steepening, scatter of the strength; the radius
        is set so that the density falls from 0.19 to 1 R500c as in X-COP (Ghirardini et al. 2019,
        A&A 621, A41) and in 93 SZ clusters (Pratt et al. 2022, A&A 665, A24).
    cool_core_fraction, cool_core_sharpness : float
        Fraction of halos with a cool core; how closely relaxation decides it (0 to 1).
    alpha_cool, alpha_other, alpha_scatter : float
        Inner cusp of cool cores and of the others, scatter.
    drop_cool, drop_other : float
        Central temperature drop of cool cores and of the others.
    abundance, abundance_core, abundance_radius : float
        Abundance outside, its central rise in cool cores [solar], radius of the rise over R500c.
    clumping_scatter : float
        Scatter in ln of the emission measure at fixed gas mass.
    axis_q, axis_s, axis_scatter : float
        Mean intermediate and minor axis over the major one, and their scatter.
    lopsidedness : float
        Median offset of the shell at R500c from the centre, over R500c. It grows with radius as
        r / (r + 0.3 R500c) and lies along the longest axis, that of infall; centroid shifts of
        observed clusters are of this size (Lovisari et al. 2017, ApJ 846, 51).
    lopsidedness_scatter : float
        Scatter in ln of that offset; the disturbed have the larger ones.
    abundance_table : {"angr", "lodd", "aspl"}
        Solar abundances: Anders & Grevesse 1989, Lodders 2003, Asplund et al. 2009.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    f_gas: float = Field(0.097, gt=0, lt=0.3)
    f_gas_slope: float = 0.14
    f_gas_scatter: float = Field(0.100, ge=0, lt=1)
    hot_fraction: float = Field(0.93, gt=0, le=1)
    t_kev: float = Field(3.24, gt=0.2, lt=20)
    t_slope: float = 0.643
    t_scatter: float = Field(0.075, ge=0, lt=1)
    core: float = Field(0.25, gt=0.005, lt=1)
    core_slope: float = -0.15
    core_scatter: float = Field(0.48, ge=0, lt=1.5)
    beta: float = Field(0.57, gt=0.3, lt=1.2)
    beta_slope: float = 0.04
    beta_scatter: float = Field(0.05, ge=0, lt=0.3)
    outer: float = Field(0.8, gt=0.1, lt=5)
    epsilon: float = Field(2.5, ge=0, lt=6)
    epsilon_scatter: float = Field(0.5, ge=0, lt=2)
    cool_core_fraction: float = Field(0.40, ge=0, le=1)
    cool_core_sharpness: float = Field(0.7, ge=0, le=1)
    alpha_cool: float = Field(1.5, ge=0, lt=2.5)
    alpha_other: float = Field(0.1, ge=0, lt=2.5)
    alpha_scatter: float = Field(0.2, ge=0, lt=1)
    drop_cool: float = Field(0.45, gt=0.1, le=1.2)
    drop_other: float = Field(0.95, gt=0.1, le=1.2)
    abundance: float = Field(0.27, ge=0, lt=2)
    abundance_core: float = Field(0.35, ge=0, lt=2)
    abundance_radius: float = Field(0.08, gt=0, lt=1)
    clumping_scatter: float = Field(0.14, ge=0, lt=1)
    axis_q: float = Field(0.85, gt=0.3, le=1)
    axis_s: float = Field(0.75, gt=0.3, le=1)
    axis_scatter: float = Field(0.07, ge=0, lt=0.3)
    lopsidedness: float = Field(0.06, ge=0, lt=0.5)
    lopsidedness_scatter: float = Field(0.6, ge=0, lt=2)
    abundance_table: Literal["angr", "lodd", "aspl"] = "angr"


@dataclass(frozen=True)
class Gas:
    """The gas of one halo in n ellipsoidal shells, without its substructures.

    Attributes
    ----------
    edges : ndarray, shape (n + 1,)
        Edges of the shells over R500c (geometric mean of the axes).
    emission_measure : ndarray, shape (n,)
        Integral of n_e n_H dV [cm^-3].
    kt_kev, abundance : ndarray, shape (n,)
        Temperature [keV] and abundance [solar].
    axes : ndarray, shape (3, 3)
        Maps a unit sphere onto the ellipsoid; the third row is the line of sight.
    centres : ndarray, shape (n, 3)
        Offset of the shells' centres over R500c; the third is along the line of sight.
    m_gas : float
        Gas mass inside R500c [Msun/h], with that of the substructures.
    t_mass_weighted : float
        Gas-mass-weighted temperature inside R500c [keV].
    shape : dict of float
        Core radius, slopes, core state, clumping, axis ratios, offset: what made the shells.
    """

    edges: np.ndarray
    emission_measure: np.ndarray
    kt_kev: np.ndarray
    abundance: np.ndarray
    axes: np.ndarray
    centres: np.ndarray
    m_gas: float
    t_mass_weighted: float
    shape: dict[str, float]

    @property
    def inside_r500(self) -> np.ndarray:
        """Shells inside R500c, boolean (n,)."""
        return self.edges[1:] <= 1 + 1e-9


#: Shell edges over R500c; 1 is an edge.
EDGES = np.concatenate([np.geomspace(2e-3, 1, 81), np.geomspace(1, 5, 25)[1:]])
_MIDDLE = np.sqrt(EDGES[1:] * EDGES[:-1])
_VOLUME = 4 * np.pi / 3 * np.diff(EDGES**3)
_INSIDE = EDGES[1:] <= 1 + 1e-9


def gas_mass(m500c: np.ndarray | float, config: GasConfig, residual: float = 0.0) -> np.ndarray:
    """Return the gas mass inside R500c [Msun/h]; `residual` in units of the scatter."""
    ln_mass = np.log(np.asarray(m500c) / PIVOT)
    exponent = config.f_gas_slope * ln_mass + config.f_gas_scatter * residual
    return config.f_gas * np.asarray(m500c) * np.exp(exponent)


def gas_temperature(
    m500c: np.ndarray | float, efunc: float, config: GasConfig, residual: float = 0.0
) -> np.ndarray:
    """Return the mass-weighted temperature inside R500c [keV]; `residual` as in `gas_mass`."""
    ln_mass = np.log(np.asarray(m500c) / PIVOT)
    exponent = config.t_slope * ln_mass + config.t_scatter * residual
    return config.t_kev * efunc ** (2 / 3) * np.exp(exponent)


def density_squared(
    m_gas: np.ndarray | float,
    r500_cm: np.ndarray | float,
    weight: float,
    config: GasConfig,
    h: float,
) -> np.ndarray:
    """Return n_e n_H of the hot gas where the density profile is 1 [cm^-6].

    Parameters
    ----------
    m_gas : ndarray or float
        Gas mass [Msun/h].
    r500_cm : ndarray or float
        R500c [physical cm].
    weight : float
        Integral of the profile over the volume that holds `m_gas` [R500c^3].
    config : GasConfig
    h : float
        Hubble constant in units of 100 km/s/Mpc.
    """
    mass_per_electron, per_hydrogen = electron_content(config.abundance_table, config.abundance)
    grams = config.hot_fraction * np.asarray(m_gas) / h * _MSUN_G
    volume = weight * np.asarray(r500_cm) ** 3
    return (grams / (volume * mass_per_electron * _PROTON_G)) ** 2 / per_hydrogen


def r500c_cm(r500c: np.ndarray | float, redshift: float, h: float) -> np.ndarray:
    """Return a length given in comoving Mpc/h in physical cm."""
    return np.asarray(r500c) / (1 + redshift) / h * _MPC_CM


def make_gas(
    halo: Halo, config: GasConfig, cosmology: Cosmology, substructure_gas: float = 0.0
) -> Gas:
    """Return the gas of a halo, as its latents have it.

    Parameters
    ----------
    halo : Halo
    config : GasConfig
    cosmology : Cosmology
    substructure_gas : float
        Gas mass inside R500c that belongs to substructures [Msun/h]; the shells hold the rest.

    Returns
    -------
    Gas
        Normalised so that the gas mass inside R500c is f_gas M500c and the mass-weighted
        temperature inside R500c that of the T-M relation, each with the halo's residual.
    """
    shape = _shape(halo, config)
    profile = {key: shape[key] for key in ("core", "alpha", "beta", "epsilon")}
    density = vikhlinin_density(_MIDDLE, outer=config.outer, **profile)
    mass_weight = density * _VOLUME
    m_gas = float(gas_mass(halo.m500c, config, halo.latents["gas_mass"]))
    smooth = max(m_gas - substructure_gas, 0.5 * m_gas)
    r500_cm = float(r500c_cm(halo.r500c, halo.redshift, cosmology.h))
    squared = density**2 * density_squared(
        smooth, r500_cm, mass_weight[_INSIDE].sum(), config, cosmology.h
    )

    efunc = float(cosmology.efunc(halo.redshift))
    t500 = float(gas_temperature(halo.m500c, efunc, config, halo.latents["temperature"]))
    kt = vikhlinin_temperature(_MIDDLE, drop=shape["temperature_drop"])
    kt *= t500 / np.average(kt[_INSIDE], weights=mass_weight[_INSIDE])

    rise = config.abundance_core * shape["cool_core"]
    abundance = config.abundance + rise / (1 + (_MIDDLE / config.abundance_radius) ** 2)
    emission = squared * _VOLUME * r500_cm**3 * np.exp(shape["ln_clumping"])
    axes = halo.orientation * np.array([1.0, shape["axis_ratio_q"], shape["axis_ratio_s"]])
    axes /= np.cbrt(shape["axis_ratio_q"] * shape["axis_ratio_s"])
    reach = 1.3 * shape["offset"] * _MIDDLE / (_MIDDLE + 0.3)
    centres = reach[:, None] * halo.orientation[:, 0]
    return Gas(EDGES, emission, kt, abundance, axes, centres, m_gas, t500, shape)


def disturbance(halo: Halo) -> float:
    """Return how disturbed a halo is, of unit variance: recent accretion and chance."""
    return 0.6 * halo.latents["accretion"] + 0.8 * halo.latents["sloshing"]


def _shape(halo: Halo, config: GasConfig) -> dict[str, float]:
    latents = halo.latents
    ln_mass = np.log(halo.m500c / PIVOT)
    relaxed = (latents["concentration"] - latents["accretion"]) / np.sqrt(3)
    s = config.cool_core_sharpness
    rank = ndtr(s * relaxed + np.sqrt(1 - s**2) * latents["core_state"])
    cool = bool(rank > 1 - config.cool_core_fraction)
    alpha = config.alpha_cool if cool else config.alpha_other
    beta = config.beta + config.beta_slope * ln_mass + config.beta_scatter * latents["slope"]
    core = config.core_slope * ln_mass + config.core_scatter * latents["core_radius"]
    epsilon = config.epsilon + config.epsilon_scatter * latents["steepening"]
    axis_q = np.clip(config.axis_q + config.axis_scatter * latents["axis_q"], 0.45, 1)
    axis_s = np.clip(config.axis_s + config.axis_scatter * latents["axis_s"], 0.4, axis_q)
    offset = config.lopsidedness * np.exp(config.lopsidedness_scatter * disturbance(halo))
    return {
        "core": float(np.clip(config.core * np.exp(core), 0.02, 0.8)),
        "alpha": float(np.clip(alpha + config.alpha_scatter * latents["cusp"], 0, 1.9)),
        "beta": float(np.clip(beta, 0.42, 0.9)),
        "epsilon": float(np.clip(epsilon, 0, 5)),
        "cool_core": float(cool),
        "temperature_drop": config.drop_cool if cool else config.drop_other,
        "ln_clumping": config.clumping_scatter * latents["clumping"],
        "axis_ratio_q": float(axis_q),
        "axis_ratio_s": float(axis_s),
        "offset": float(min(offset, 0.4)),
    }
