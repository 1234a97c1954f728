"""The intracluster gas of a halo: shells of emission measure, temperature and abundance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from icmass.cosmology import Cosmology
from icmass.plasma.abundances import electron_content
from icmass.plasma.emissivity import load_plasma_table
from icmass.universe.cores import EDGES, MIDDLE, N_INSIDE, VOLUME, cusp_that_gives, squared_density
from icmass.universe.gas_config import GROUPS, PIVOT, GasConfig
from icmass.universe.halos import Halo
from icmass.universe.profiles import vikhlinin_temperature

_MPC_CM = 3.0856775814913673e24
_MSUN_G = 1.988409870698051e33
_PROTON_G = 1.67262192369e-24


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
        Temperature [keV] and abundance [solar]; the cold and the hot phase in turns.
    axes : ndarray, shape (3, 3)
        Maps a unit sphere onto the ellipsoid; the third row is the line of sight.
    centres : ndarray, shape (n, 3)
        Offset of the shells' centres over R500c; the third is along the line of sight.
    m_gas : float
        Gas mass inside R500c [Msun/h], with that of the substructures.
    t_mass_weighted : float
        Gas-mass-weighted temperature inside R500c [keV].
    clumping : ndarray, shape (n,)
        Emission measure over that of smooth gas of the same mass.
    shape : dict of float
        Core radius, slopes, core share, clumping, axis ratios, offset: what made the shells.
    """

    edges: np.ndarray
    emission_measure: np.ndarray
    kt_kev: np.ndarray
    abundance: np.ndarray
    axes: np.ndarray
    centres: np.ndarray
    m_gas: float
    t_mass_weighted: float
    clumping: np.ndarray
    shape: dict[str, float]

    @property
    def inside_r500(self) -> np.ndarray:
        """Shells inside R500c, boolean (n,)."""
        return self.edges[1:] <= 1 + 1e-9

    @property
    def mean_kt_kev(self) -> np.ndarray:
        """Temperature of both phases together, by mass [keV], (n,)."""
        spread = self.shape["phases"]
        return self.kt_kev * np.exp(-spread * _PHASE) * np.cosh(spread)


#: Sign of the phase of each shell: cold and hot in turns.
_PHASE = np.where(np.arange(len(MIDDLE)) % 2, 1.0, -1.0)


def gas_mass_scatter(m500c: np.ndarray | float, config: GasConfig) -> np.ndarray:
    """Return the scatter of ln M_gas at a mass [Msun/h], at least 0.01 where there is any."""
    dex = np.log10(np.asarray(m500c) / PIVOT)
    widened = config.f_gas_scatter + config.f_gas_scatter_slope * np.clip(dex, -0.9, 0.9)
    return np.maximum(widened, min(config.f_gas_scatter, 0.01))


def gas_mass(
    m500c: np.ndarray | float,
    efunc: np.ndarray | float,
    config: GasConfig,
    residual: float = 0.0,
) -> np.ndarray:
    """Return the gas mass inside R500c [Msun/h]; `residual` in units of the scatter."""
    mass = np.asarray(m500c)
    exponent = config.f_gas_slope * np.log(mass / PIVOT)
    exponent = exponent + config.group_slope * np.log(np.minimum(mass / GROUPS, 1))
    exponent = exponent + config.f_gas_evolution * np.log(efunc)
    exponent = np.minimum(exponent, np.log(config.f_gas_ceiling / config.f_gas))
    exponent = exponent + gas_mass_scatter(mass, config) * residual
    return config.f_gas * mass * np.exp(exponent)


def gas_temperature(
    m500c: np.ndarray | float,
    efunc: np.ndarray | float,
    config: GasConfig,
    residual: float = 0.0,
) -> np.ndarray:
    """Return the mass-weighted temperature inside R500c [keV]; `residual` as in `gas_mass`."""
    ln_mass = np.log(np.asarray(m500c) / PIVOT)
    exponent = config.t_slope * ln_mass + config.t_scatter * residual
    exponent = exponent + config.t_curvature * np.maximum(ln_mass, 0) ** 2
    return config.t_kev * efunc**config.t_evolution * np.exp(exponent)


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


def mean_clumping(m500c: np.ndarray | float, efunc: float, config: GasConfig) -> np.ndarray:
    """Return the mean ln of the luminosity over that of smooth gas with the mean profile."""
    ln_mass = np.log(np.asarray(m500c) / PIVOT)
    evolution = config.clumping_evolution * np.log(efunc)
    return config.clumping + config.clumping_slope * ln_mass + evolution


def make_gas(
    halo: Halo,
    config: GasConfig,
    cosmology: Cosmology,
    substructure_gas: float = 0.0,
    substructure_light: float = 0.0,
) -> Gas:
    """Return the gas of a halo, as its latents have it.

    Parameters
    ----------
    halo : Halo
    config : GasConfig
    cosmology : Cosmology
    substructure_gas : float
        Gas mass inside R500c that belongs to substructures [Msun/h]; the shells hold the rest.
    substructure_light : float
        Bolometric luminosity of those [erg/s]; the shells shine with the rest.

    Returns
    -------
    Gas
        Normalised so that the gas mass inside R500c is f_gas M500c and the mass-weighted
        temperature inside R500c that of the T-M relation, each with the halo's residual.
    """
    efunc = float(cosmology.efunc(halo.redshift))
    shape = _shape(halo, config)
    squared, shape["core"] = squared_density(
        shape["core_share"], shape["cusp_share"], shape["cusp_radius"], shape["beta"],
        shape["epsilon"], config,
    )  # fmt: skip
    mass_weight = np.sqrt(squared) * VOLUME
    total = mass_weight[:N_INSIDE].sum()
    m_gas = float(gas_mass(halo.m500c, efunc, config, halo.latents["gas_mass"]))
    smooth = max(m_gas - substructure_gas, 0.5 * m_gas)
    r500_cm = float(r500c_cm(halo.r500c, halo.redshift, cosmology.h))
    squared *= density_squared(smooth, r500_cm, total, config, cosmology.h)

    t500 = float(gas_temperature(halo.m500c, efunc, config, halo.latents["temperature"]))
    kt = _temperature(t500, mass_weight, shape["temperature_drop"], shape["phases"])
    abundance = _abundance(shape, config)
    emission = squared * VOLUME * r500_cm**3
    phased = emission * np.exp(-shape["phases"] * _PHASE) / math.cosh(shape["phases"])
    luminosity = math.exp(_emission_excess(halo, shape, config, efunc))
    luminosity *= _mean_light(halo.m500c, efunc, m_gas, r500_cm, config, cosmology.h)
    luminosity = max(luminosity - substructure_light, 0.3 * luminosity)
    shape["ln_clumping"] = math.log(luminosity / _light(phased, kt, abundance, config))
    phased *= math.exp(shape["ln_clumping"])
    return Gas(
        edges=EDGES,
        emission_measure=phased,
        kt_kev=kt,
        abundance=abundance,
        axes=_axes(halo, shape),
        centres=1.15
        * shape["offset"]
        * (MIDDLE / (MIDDLE + 0.15))[:, None]
        * halo.orientation[:, 0],
        m_gas=m_gas,
        t_mass_weighted=t500,
        clumping=phased / emission,
        shape=shape,
    )


def _emission_excess(halo: Halo, shape: dict[str, float], config: GasConfig, efunc: float) -> float:
    """Return ln of a halo's luminosity over that of smooth gas with the mean profile."""
    excess = float(mean_clumping(halo.m500c, efunc, config))
    excess += config.core_emission * math.log(shape["core_share"] / expit(config.core_share))
    excess += config.slope_emission * halo.latents["slope"]
    return excess + config.clumping_scatter * halo.latents["clumping"]


def _mean_light(
    m500c: float, efunc: float, m_gas: float, r500_cm: float, config: GasConfig, h: float
) -> float:
    """Return the luminosity of smooth gas with the mean profile and temperature [erg/s]."""
    squared, _ = squared_density(
        float(expit(config.core_share)), config.cusp_share, config.cusp_radius,
        config.beta + config.beta_slope * float(np.log(m500c / PIVOT)), config.epsilon, config,
    )  # fmt: skip
    mass_weight = np.sqrt(squared) * VOLUME
    squared *= density_squared(m_gas, r500_cm, mass_weight[:N_INSIDE].sum(), config, h)
    t500 = float(gas_temperature(m500c, efunc, config))
    drop = config.drop_other - (config.drop_other - config.drop_cool) * _coolness(
        float(expit(config.core_share)), config
    )
    kt = _temperature(t500, mass_weight, drop, 0.0)
    metals = np.full(len(kt), config.abundance)
    return _light(squared * VOLUME * r500_cm**3, kt, metals, config)


def _clip(value: float, low: float, high: float) -> float:
    return float(min(max(value, low), high))


def _coolness(share: float, config: GasConfig) -> float:
    """Return how cool a core is, 0 to 1, by its share of the light."""
    return float(expit((share - config.cool_core_share) / 0.05))


def _temperature(t500: float, mass_weight: np.ndarray, drop: float, phases: float) -> np.ndarray:
    kt = vikhlinin_temperature(MIDDLE, drop=drop) * np.exp(phases * _PHASE)
    inside = mass_weight[:N_INSIDE]
    return kt * (t500 * inside.sum() / (kt[:N_INSIDE] @ inside))


def _light(emission: np.ndarray, kt: np.ndarray, abundance: np.ndarray, config: GasConfig) -> float:
    """Return the bolometric luminosity within R500c, of emission measures [erg/s for cm^-3]."""
    table, n = load_plasma_table(config.abundance_table), N_INSIDE
    warm = np.minimum(np.maximum(kt[:n], table.kt_kev[0]), table.kt_kev[-1])
    return float(emission[:n] @ table.bolometric_cooling_function(warm, abundance[:n]))


def _abundance(shape: dict[str, float], config: GasConfig) -> np.ndarray:
    rise = config.abundance_core * shape["coolness"]
    profile = config.abundance + rise / (1 + (MIDDLE / config.abundance_radius) ** 2)
    return profile * np.exp(shape["ln_abundance"])


def _axes(halo: Halo, shape: dict[str, float]) -> np.ndarray:
    q, s = shape["axis_ratio_q"], shape["axis_ratio_s"]
    return halo.orientation * np.array([1.0, q, s]) / np.cbrt(q * s)


def core_share_width(m500c: float, config: GasConfig) -> float:
    """Return the scatter of the logit of the core share at a mass [Msun/h]."""
    dex = _clip(math.log10(m500c / PIVOT), -0.9, 0.9)
    return max(config.core_share_width + config.core_share_width_slope * dex, 0.0)


def mirrored_core(halo: Halo, config: GasConfig) -> float:
    """Return the latent core share as far on the other side of the limit of cool cores."""
    limit = logit(config.cool_core_share) - config.core_share
    width = core_share_width(halo.m500c, config)
    return float(2 * limit / width - halo.latents["core_share"])


def core_share(halo: Halo, config: GasConfig) -> float:
    """Return the share of the light from within 0.15 R500c in projection, as the latent has it."""
    width = core_share_width(halo.m500c, config)
    return _clip(expit(config.core_share + width * halo.latents["core_share"]), 0.03, 0.85)


def _shape(halo: Halo, config: GasConfig) -> dict[str, float]:
    latents = halo.latents
    ln_mass = math.log(halo.m500c / PIVOT)
    share = core_share(halo, config)
    coolness = _coolness(share, config)
    drop = config.drop_other - (config.drop_other - config.drop_cool) * coolness
    cusp = config.cusp_share * math.exp(config.cusp_share_scatter * latents["cusp"])
    radius = config.cusp_radius * math.exp(config.cusp_radius_scatter * latents["cusp_radius"])
    beta = config.beta + config.beta_slope * ln_mass + config.beta_scatter * latents["slope"]
    beta += config.beta_core * math.log(share / expit(config.core_share))
    epsilon = config.epsilon + config.epsilon_scatter * latents["steepening"]
    axis_q = _clip(config.axis_q + config.axis_scatter * latents["axis_q"], 0.45, 1)
    axis_s = _clip(config.axis_s + config.axis_scatter * latents["axis_s"], 0.4, axis_q)
    offset = config.lopsidedness * math.exp(config.lopsidedness_scatter * latents["disturbance"])
    mixed = 0.5 * latents["disturbance"] + math.sqrt(0.75) * latents["phases"]
    metals = config.abundance_scatter + config.abundance_scatter_slope * ln_mass / math.log(10)
    return {
        "core_share": share,
        "cusp_share": _clip(cusp, 0, 0.95),
        "cusp_radius": cusp_that_gives(share, _clip(radius, 0.01, 0.5)),
        "beta": _clip(beta, 0.42, 0.9),
        "epsilon": _clip(epsilon, 0, 5),
        "cool_core": float(share > config.cool_core_share),
        "coolness": coolness,
        "temperature_drop": drop,
        "phases": min(config.phases * math.exp(config.phases_scatter * mixed), 0.9),
        "ln_abundance": _clip(metals, 0, 0.5) * latents["abundance"],
        "axis_ratio_q": axis_q,
        "axis_ratio_s": axis_s,
        "offset": min(offset, 0.5),
    }
