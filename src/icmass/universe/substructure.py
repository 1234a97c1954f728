"""Substructures: subhalos that still hold some gas of their own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from pydantic import BaseModel, ConfigDict

from icmass.parameter import parameter
from icmass.universe.halos import Halo
from icmass.universe.profiles import nfw_radii
from icmass.universe.references import MAGNETICUM_IMAGES

_VAN_DEN_BOSCH = "van den Bosch & Jiang 2016, MNRAS 458, 2870"


class SubstructureConfig(BaseModel):
    """Subhalos with gas; masses at infall over that of the host.

    The mass function is that of evolved subhalos of van den Bosch & Jiang 2016, MNRAS 458, 2870:
    dN/dln m = 0.31 f_s m^slope exp(-50 m^4) with f_s the mass fraction in subhalos.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mass_fraction: float = parameter(
        0.30,
        "Fraction f_s of the mass that is in subhalos, median over halos; 0 for none. With scatter "
        "and concentration it gives the images' peaks off the centre and large centroid shifts.",
        unit="1",
        source=MAGNETICUM_IMAGES,
        ge=0,
        lt=1,
    )
    mass_fraction_scatter: float = parameter(
        0.9,
        "Scatter of ln f_s between halos, along the latent accretion.",
        unit="ln",
        source=f"{MAGNETICUM_IMAGES}; accretion: van den Bosch, Tormen & Giocoli 2005, MNRAS 359, "
        "1029",
        ge=0,
        lt=2,
    )
    mass_fraction_most: float = parameter(0.7, "Largest f_s.", unit="1", gt=0, le=1)
    slope: float = parameter(
        -0.82, "Slope of the subhalo mass function.", unit="1", source=_VAN_DEN_BOSCH, gt=-2, lt=0
    )
    mass_min: float = parameter(
        0.01, "Least subhalo mass at infall over the host's.", unit="1", gt=1e-4, lt=1
    )
    mass_max: float = parameter(
        0.5, "Largest subhalo mass at infall over the host's.", unit="1", gt=1e-3, le=1
    )
    concentration: float = parameter(
        4.5,
        "NFW concentration of the subhalos' distribution, R500c over scale radius.",
        unit="1",
        source=MAGNETICUM_IMAGES,
        gt=0,
    )
    extent: float = parameter(2.0, "Radius that the subhalos reach.", unit="R500c", gt=0.2, le=5)
    stripping: float = parameter(
        0.2,
        "A subhalo at r < R500c holds (r/R500c)^stripping of its gas, and none outside r/R500c of "
        "its own R500c: tides and ram pressure.",
        unit="1",
        ge=0,
    )
    gas_scatter: float = parameter(
        0.8,
        "Scatter of ln of the gas density that a subhalo retains.",
        unit="ln",
        source=MAGNETICUM_IMAGES,
        ge=0,
        lt=2,
    )
    gas_most: float = parameter(
        4.0,
        "Largest retained gas density over that of halos of the same mass: dense cores are the "
        "brightest pixel of 30 per cent of the deep images.",
        unit="1",
        source=MAGNETICUM_IMAGES,
        gt=0,
    )


@dataclass(frozen=True)
class Clumps:
    """Halos other than the main one, whose gas shines in the same map; n of them.

    Attributes
    ----------
    offset : ndarray, shape (n, 3)
        From the cluster [comoving Mpc/h]; the third is along the line of sight.
    m500c : ndarray, shape (n,)
        [Msun/h]; of subhalos, at infall.
    gas_kept : ndarray, shape (n,)
        Their gas density over that of halos of their mass.
    reach : ndarray, shape (n,)
        Radius over their own R500c to which they have gas.
    """

    offset: np.ndarray
    m500c: np.ndarray
    gas_kept: np.ndarray
    reach: np.ndarray

    def __len__(self) -> int:
        return len(self.m500c)


def draw_substructures(halo: Halo, config: SubstructureConfig, rng: np.random.Generator) -> Clumps:
    """Draw the subhalos of a halo."""
    ln_mass, cumulative, per_fraction = _mass_table(config)
    fraction = config.mass_fraction * np.exp(
        config.mass_fraction_scatter * halo.latents["accretion"]
    )
    n = rng.poisson(per_fraction * min(fraction, config.mass_fraction_most))
    mass = halo.m500c * np.exp(np.interp(rng.random(n), cumulative, ln_mass))
    radius = nfw_radii(rng.random(n), config.concentration, config.extent)
    direction = rng.standard_normal((n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    depth = np.minimum(radius, 1)
    retained = np.minimum(np.exp(config.gas_scatter * rng.standard_normal(n)), config.gas_most)
    return Clumps(
        offset=direction * (radius * halo.r500c)[:, None],
        m500c=mass,
        gas_kept=retained * depth**config.stripping,
        reach=np.maximum(depth, 0.15),
    )


@lru_cache(maxsize=8)
def _mass_table(config: SubstructureConfig) -> tuple[np.ndarray, np.ndarray, float]:
    ln_mass = np.linspace(np.log(config.mass_min), np.log(config.mass_max), 300)
    m = np.exp(ln_mass)
    density = 0.31 * m**config.slope * np.exp(-50 * m**4)
    pieces = (density[1:] + density[:-1]) / 2 * np.diff(ln_mass)
    cumulative = np.concatenate([[0], np.cumsum(pieces)])
    return ln_mass, cumulative / cumulative[-1], float(cumulative[-1])
