"""Gas that emits a given luminosity and has a given share of it in the core."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logit

from icmass.cosmology import Cosmology
from icmass.plasma.emissivity import PlasmaTable
from icmass.universe.atmosphere import clump_gas, make_atmosphere
from icmass.universe.cores import INSIDE, core_light_share
from icmass.universe.gas import Gas, core_share_width, make_gas
from icmass.universe.gas_config import GasConfig
from icmass.universe.halos import Halo
from icmass.universe.scene import Scene, luminosities
from icmass.universe.twins import SHARES

MOST_EXCESS = 1.5
"""The gas emits at most a factor exp(1.5) more or less than its mass, core and slope say."""
MOST_SLOPE = 3.0
"""Largest latent slope that a luminosity makes; the rest is clumping."""
LEAST_OWN = 0.3
"""Least part of the luminosity that is the cluster's own, not its substructures'."""
_ROUNDS = 8
_CLOSE = 1e-4


@dataclass(frozen=True)
class LightTarget:
    """What the light within R500c of a halo has to be; NaN where it is free.

    Attributes
    ----------
    ln_light : float
        ln of the luminosity [1e44 erg/s].
    soft : bool
        Whether that is 0.5-2 keV in the rest frame; bolometric otherwise.
    core_share : float
        Share of it within 0.15 R500c in projection.
    """

    ln_light: float
    soft: bool
    core_share: float


def gas_light(gas: Gas, table: PlasmaTable, soft: bool) -> np.ndarray:
    """Return the luminosity of each shell of a halo's own gas [1e44 erg/s], (shell,)."""
    kt = np.clip(gas.kt_kev, table.kt_kev[0], table.kt_kev[-1])
    if soft:
        cooling = table.cooling_function(kt, gas.abundance, 0.5, 2.0)
    else:
        cooling = table.bolometric_cooling_function(kt, gas.abundance)
    return gas.emission_measure * cooling / 1e44


def split_excess(
    excess: float, slope: float, clumping: float, config: GasConfig
) -> tuple[float, float]:
    """Return latents ``slope`` and ``clumping`` that together make an excess of ln L_X.

    Parameters
    ----------
    excess : float
        At fixed mass, gas mass and core share.
    slope, clumping : float
        Draws of both, independent standard normals.
    config : GasConfig

    Notes
    -----
    Given the excess, two standard normals lie on a line; the draws are moved onto it along its
    normal, which leaves their conditional distribution as it is. So each takes of the excess in
    proportion to its variance. `MOST_EXCESS` and `MOST_SLOPE` bound them.
    """
    weight = np.array([config.slope_emission, config.clumping_scatter])
    variance = float(weight @ weight)
    if not variance:
        return slope, clumping
    excess = float(np.clip(excess, -MOST_EXCESS, MOST_EXCESS))
    moved = np.array([slope, clumping])
    moved += weight * (excess - float(weight @ moved)) / variance
    if not config.clumping_scatter:
        return float(moved[0]), clumping
    steep = float(np.clip(moved[0], -MOST_SLOPE, MOST_SLOPE))
    return steep, (excess - config.slope_emission * steep) / config.clumping_scatter


def with_target_light(
    scene: Scene,
    target: LightTarget,
    config: GasConfig,
    cosmology: Cosmology,
    table: PlasmaTable,
) -> Scene:
    """Return a scene with a target luminosity and core share, within what the gas can give.

    The cluster's own gas is simulated again with other latents ``core_share``, ``slope`` and
    ``clumping``; mass, gas mass, temperature and surroundings stay.
    """
    wants_light, wants_core = np.isfinite([target.ln_light, target.core_share])
    if not wants_light and not wants_core:
        return scene
    others, others_core = _light_of_others(scene, table, target.soft)
    halo, track = scene.halo, _Track()
    for _ in range(_ROUNDS):
        shells = gas_light(make_gas(halo, config, cosmology), table, target.soft)
        own_light = float(shells[INSIDE].sum())
        changed: dict[str, float] = {}
        if wants_light:
            total = float(np.exp(target.ln_light))
            ln_ratio = np.log(max(total - others, LEAST_OWN * total) / own_light)
            changed |= _with_excess(halo, ln_ratio, config)
        if wants_core:
            own_share = (target.core_share * (own_light + others) - others_core) / own_light
            rise = logit(np.clip(own_share, *SHARES)) - logit(core_light_share(shells))
            changed["core_share"] = track.next(halo, float(rise), config)
        largest_change = max(abs(changed[name] - halo.latents[name]) for name in changed)
        if largest_change < _CLOSE:
            break
        halo = replace(halo, latents=halo.latents | changed)
    clumps = [scene.substructures, scene.neighbours.clumps]
    clump_shells = clump_gas(clumps, halo, config, cosmology)
    clump_mass = clump_shells.mass_within(len(scene.substructures), config)
    gas = make_gas(halo, config, cosmology, clump_mass)
    atmosphere = make_atmosphere(halo, gas, clump_shells, config)
    return replace(scene, halo=halo, gas=gas, atmosphere=atmosphere)


class _Track:
    """Root of the latent core share for a target share of the light, by the secant method."""

    def __init__(self) -> None:
        self.before: tuple[float, float] | None = None

    def next(self, halo: Halo, off: float, config: GasConfig) -> float:
        """Return the next latent to try; `off` is how much the logit of the share has to rise."""
        now, width = halo.latents["core_share"], core_share_width(halo.m500c, config)
        if not width:
            return now
        rise = width
        if self.before is not None and abs(now - self.before[0]) > _CLOSE:
            rise = (self.before[1] - off) / (now - self.before[0])
            rise = float(np.clip(rise, width / 3, width * 3))
        self.before = (now, off)
        low, high = (logit(np.array(SHARES)) - config.core_share) / width
        return float(np.clip(now + off / rise, low, high))


def _light_of_others(scene: Scene, table: PlasmaTable, soft: bool) -> tuple[float, float]:
    """Return the luminosity of substructures within R500c, and within the core [1e44 erg/s]."""
    luminosity = luminosities(scene, table)
    name = "L_X_soft" if soft else "L_X_emitted"
    shells = gas_light(scene.gas, table, soft)
    own_light = float(shells[INSIDE].sum())
    in_core = luminosity[name] - luminosity[f"{name}_ce"] - own_light * core_light_share(shells)
    return max(luminosity[name] - own_light, 0.0), max(in_core, 0.0)


def _with_excess(halo: Halo, off: float, config: GasConfig) -> dict[str, float]:
    """Return the latents that change ln of the own light by `off`."""
    slope, clumping = halo.latents["slope"], halo.latents["clumping"]
    now = config.slope_emission * slope + config.clumping_scatter * clumping
    slope, clumping = split_excess(now + off, slope, clumping, config)
    return {"slope": slope, "clumping": clumping}
