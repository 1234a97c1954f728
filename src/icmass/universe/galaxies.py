"""Galaxies around a cluster: members, those of neighbouring halos, and the field between."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from icmass.cosmology import Cosmology
from icmass.universe.dynamics import (
    concentration_500c,
    dispersion_200c,
    dispersion_profile,
    nfw_mass,
    r200c_over_r500c,
)
from icmass.universe.galaxy_config import GalaxyConfig
from icmass.universe.halos import Halo
from icmass.universe.interlopers import draw_field
from icmass.universe.neighbours import Neighbours
from icmass.universe.profiles import nfw_radii
from icmass.universe.velocity_field import hubble_flow

VELOCITY_WINDOW = 3785.0
"""Galaxies within this line-of-sight velocity of the cluster are kept [km/s] (Ho et al. 2023)."""

_PIVOT_NUMBER = 1e14  # Msun/h, of the halo occupation
_PIVOT_STARS = 2e14  # Msun/h, of the stellar mass inside R500c
_M200_OVER_M500 = 1 / 0.665  # mean of Magneticum's clusters
_NEIGHBOUR_C500 = 2.4  # concentration of the galaxies of neighbours


@dataclass(frozen=True)
class Galaxies:
    """The galaxies in a cluster's map and velocity window, n of them.

    Attributes
    ----------
    x, y, z : ndarray, shape (n,)
        Offset from the cluster [comoving Mpc/h]; z along the line of sight.
    v_los : ndarray, shape (n,)
        Velocity along the line of sight relative to the cluster [km/s], as observed: peculiar
        velocity and Hubble flow.
    m_star : ndarray, shape (n,)
        Stellar mass [Msun/h].
    member : ndarray of bool, shape (n,)
        Whether the galaxy is in the cluster's own halo.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    v_los: np.ndarray
    m_star: np.ndarray
    member: np.ndarray

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class _Part:
    """Galaxies before they are cut: offsets (n, 3), peculiar velocities and stellar masses (n,)."""

    offset: np.ndarray
    velocity: np.ndarray
    m_star: np.ndarray


def ideal_m_star(halo: Halo, config: GalaxyConfig) -> float:
    """Return the stellar mass inside R500c [Msun/h], of galaxies and the light between them.

    It follows the halo's mass, redshift and latent ``stellar_mass``; the galaxies of
    `draw_galaxies` are drawn independently of it and do not add up to it.
    """
    mean = mean_m_star(halo.m500c, halo.redshift, config)
    return float(mean * np.exp(config.m_star_scatter * halo.latents["stellar_mass"]))


def mean_m_star(
    m500c: np.ndarray | float, redshift: np.ndarray | float, config: GalaxyConfig
) -> np.ndarray:
    """Return the stellar mass inside R500c at a mass, both [Msun/h], at latent 0."""
    exponent = config.m_star_slope * np.log(np.asarray(m500c) / _PIVOT_STARS)
    exponent = exponent + config.m_star_evolution * (np.asarray(redshift) - 0.2)
    return config.m_star_fraction * _PIVOT_STARS * np.exp(exponent)


def satellite_number(
    m500c: np.ndarray | float, config: GalaxyConfig, residual: np.ndarray | float = 0.0
) -> np.ndarray:
    """Return the expected satellites within R500c; `residual` in units of the scatter."""
    cut = 10**config.log_m500c_cut * (1 / np.asarray(m500c) - 1 / _PIVOT_NUMBER)
    mean = config.number * (np.asarray(m500c) / _PIVOT_NUMBER) ** config.number_slope
    return mean * np.exp(config.number_scatter * np.asarray(residual) - cut)


def draw_galaxies(
    halo: Halo,
    neighbours: Neighbours,
    config: GalaxyConfig,
    cosmology: Cosmology,
    half_width: float,
    rng: np.random.Generator,
) -> Galaxies:
    """Draw the galaxies in a map of half side `half_width` [comoving Mpc/h].

    Parameters
    ----------
    halo : Halo
    neighbours : Neighbours
        The halos around it, whose galaxies are interlopers.
    config : GalaxyConfig
    cosmology : Cosmology
    half_width : float
        Half the side of the map [comoving Mpc/h].
    rng : Generator

    Returns
    -------
    Galaxies
        Those with |x|, |y| <= `half_width` and \\|v_los\\| <= `VELOCITY_WINDOW`.
    """
    members = _draw_members(halo, config, cosmology, rng)
    others = _draw_neighbour_galaxies(halo, neighbours, config, cosmology, rng)
    place, velocity = draw_field(
        halo,
        cosmology,
        half_width,
        rng,
        density=config.field_density,
        bias=config.field_bias,
        scatter=config.field_velocity,
        exclusion=config.extent,
    )
    field = _Part(place, velocity, _stellar_masses(len(velocity), config, rng))
    parts = (members, others, field)
    x, y, z = np.concatenate([p.offset for p in parts]).T
    v_los = np.concatenate([p.velocity for p in parts])
    v_los += hubble_flow(halo.redshift, cosmology) * z
    m_star = np.concatenate([p.m_star for p in parts])
    member = np.arange(len(x)) < len(members.velocity)
    inside = (np.abs(x) <= half_width) & (np.abs(y) <= half_width)
    inside &= np.abs(v_los) <= VELOCITY_WINDOW
    return Galaxies(x[inside], y[inside], z[inside], v_los[inside], m_star[inside], member[inside])


def _draw_members(
    halo: Halo, config: GalaxyConfig, cosmology: Cosmology, rng: np.random.Generator
) -> _Part:
    """Draw the central and the satellites of the cluster's own halo."""
    scatter = 10 ** (config.concentration_scatter_dex * halo.latents["concentration"])
    c500 = concentration_500c(halo.m500c, halo.redshift, cosmology) * scatter
    c_galaxies = max(round(config.concentration_ratio * c500, 1), 0.1)
    mean = satellite_number(halo.m500c, config, halo.latents["galaxy_number"])
    n = rng.poisson(mean * nfw_mass(c_galaxies * config.extent) / nfw_mass(c_galaxies))
    radius = nfw_radii(rng.random(n), c_galaxies, config.extent)
    direction = rng.standard_normal((n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)

    axes = np.array([1.0, config.axis_q, config.axis_s])
    ellipsoid = halo.orientation * (axes / np.cbrt(axes.prod()))
    offset = np.zeros((n + 1, 3))
    offset[1:] = (radius * halo.r500c)[:, None] * (direction @ ellipsoid.T)

    shape = dispersion_profile(
        radius, c500, tracer_ratio=config.concentration_ratio, anisotropy=config.anisotropy
    )
    distance = np.maximum(np.linalg.norm(offset[1:], axis=1), 1e-12)
    tangential = 1 - (offset[1:, 2] / distance) ** 2
    velocity = np.zeros(n + 1)
    velocity[1:] = (
        _dispersion(halo, c500, config, cosmology)
        * shape
        * np.sqrt(1 - config.anisotropy * tangential)
    )
    velocity[1:] *= rng.standard_normal(n)
    m_star = np.empty(n + 1)
    m_star[:1] = _central_masses(np.array([halo.m500c]), config, cosmology, rng)
    m_star[1:] = _stellar_masses(n, config, rng)
    return _Part(offset, velocity, m_star)


def _dispersion(halo: Halo, c500: float, config: GalaxyConfig, cosmology: Cosmology) -> float:
    """Return a halo's velocity dispersion within R200c along the line of sight [km/s]."""
    m200c = 0.4 * r200c_over_r500c(c500) ** 3 * halo.m500c
    sigma = dispersion_200c(m200c, float(cosmology.efunc(halo.redshift))) * config.velocity_bias
    squares = np.array([1.0, config.axis_q, config.axis_s]) ** (2 * config.velocity_axis)
    along = halo.orientation[2] ** 2 @ squares / squares.mean()
    return float(
        sigma * np.sqrt(along) * np.exp(config.velocity_scatter * halo.latents["velocity"])
    )


def _draw_neighbour_galaxies(
    halo: Halo,
    neighbours: Neighbours,
    config: GalaxyConfig,
    cosmology: Cosmology,
    rng: np.random.Generator,
) -> _Part:
    """Draw the central and the satellites of each of the neighbours."""
    n_halos = len(neighbours.m500c)
    per_r500 = nfw_mass(_NEIGHBOUR_C500 * config.extent) / nfw_mass(_NEIGHBOUR_C500)
    mean = satellite_number(neighbours.m500c, config, rng.standard_normal(n_halos)) * per_r500
    host = np.repeat(np.arange(n_halos), rng.poisson(mean))
    n = len(host)
    r500c = cosmology.r500c(neighbours.m500c, halo.redshift)
    radius = nfw_radii(rng.random(n), _NEIGHBOUR_C500, config.extent) * r500c[host]
    direction = rng.standard_normal((n, 3))
    direction *= (radius / np.linalg.norm(direction, axis=1))[:, None]
    efunc = float(cosmology.efunc(halo.redshift))
    sigma = dispersion_200c(neighbours.m500c * _M200_OVER_M500, efunc) * config.velocity_bias
    centre = np.stack([neighbours.x, neighbours.y, neighbours.z], axis=1)
    return _Part(
        np.concatenate([centre, centre[host] + direction]),
        np.concatenate(
            [neighbours.v_los, neighbours.v_los[host] + sigma[host] * rng.standard_normal(n)]
        ),
        np.concatenate(
            [
                _central_masses(neighbours.m500c, config, cosmology, rng),
                _stellar_masses(n, config, rng),
            ]
        ),
    )


@lru_cache(maxsize=8)
def _stellar_mass_table(config: GalaxyConfig) -> tuple[np.ndarray, np.ndarray]:
    log_mass = np.linspace(config.log_m_star_min, config.log_m_star_break + 1.2, 300)
    ratio = 10 ** (log_mass - config.log_m_star_break)
    density = ratio ** (1 + config.alpha1) + config.second * ratio ** (1 + config.alpha2)
    density *= np.exp(-ratio)
    cumulative = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return log_mass, cumulative / cumulative[-1]


def _stellar_masses(n: int, config: GalaxyConfig, rng: np.random.Generator) -> np.ndarray:
    log_mass, cumulative = _stellar_mass_table(config)
    return 10 ** np.interp(rng.random(n), cumulative, log_mass)


def _central_masses(
    m500c: np.ndarray, config: GalaxyConfig, cosmology: Cosmology, rng: np.random.Generator
) -> np.ndarray:
    mean = config.central_log_m_star + config.central_slope * (np.log10(m500c / cosmology.h) - 14.5)
    log_mass = mean + config.central_scatter_dex * rng.standard_normal(len(m500c))
    return 10 ** np.maximum(log_mass, config.log_m_star_min)
