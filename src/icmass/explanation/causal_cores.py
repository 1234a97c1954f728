"""Cores of the gas: made anew with another state, and left out of the luminosity.

The simulator draws every cluster from streams of its own, so a cluster of a survey can be made
again with one latent changed: same mass, redshift, shape, substructures, neighbours, fluctuations.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.explanation.interventions import (
    CORE,
    ICM,
    Intervention,
    copied_maps,
    recorded,
    with_maps,
)
from icmass.observe.photons import gas_photons
from icmass.survey.config import SurveyConfig
from icmass.survey.simulate import Simulator, simulator_of
from icmass.universe.atmosphere import clump_gas, make_atmosphere
from icmass.universe.fluctuations import draw_brightness_field
from icmass.universe.gas import make_gas, mirrored_core
from icmass.universe.scene import Scene


def core_interventions() -> list[Intervention]:
    """Return the tests that make the gas anew: same state, then another core at fixed mass.

    In those of the core, every cluster is made twice, first without and then with a cool core. The
    mock's core share changes the density out to the core radius, of 0.16 R500c, at the same gas
    mass and mean temperature within R500c; the stricter test changes gas within `CORE` alone.
    """
    other = partial(resimulate_gas, cool=False)
    return [
        Intervention("photons_anew", "the same gas, its photons drawn anew", resimulate_gas),
        Intervention(
            "cool_core",
            "no cool core -> cool core, gas mass within R500c kept",
            partial(resimulate_gas, cool=True),
            other,
        ),
        Intervention(
            "cool_core_inside",
            f"no cool core -> cool core within {CORE:g} R500c, all gas beyond kept",
            partial(resimulate_gas, cool=True, keep_outside=True),
            other,
        ),
    ]


def resimulate_gas(
    clusters: xr.Dataset,
    rng: np.random.Generator,
    *,
    cool: bool | None = None,
    keep_outside: bool = False,
) -> xr.Dataset:
    """Make the gas of clusters anew and observe it; AGN and background stay as observed.

    Parameters
    ----------
    clusters : Dataset
        Of a simulated survey, with their places in it as the coordinate ``cluster``.
    rng : Generator
        Draws the photons.
    cool : bool or None
        Whether they have a cool core. Those that are otherwise get the core share as far on the
        other side of the limit, which changes density, central temperature and central abundance.
        None: as they are.
    keep_outside : bool
        Keep all gas beyond `CORE` R500c as it is in the same cluster without a cool core, instead
        of the gas mass and the mean temperature within R500c.

    Returns
    -------
    Dataset
        With new counts, ``T`` [keV], ``M_gas`` [Msun/h], ``L_X``, ``L_X_soft`` [1e44 erg/s], and
        ``L_X_ce``, ``L_X_soft_ce`` where the clusters have them.
    """
    sim, maps = simulator_of(clusters), copied_maps(clusters)
    ideal: dict[str, list[float]] = {}
    scalars = (clusters[name].values for name in ("cluster", "m500c", "exposure", "nh"))
    for one, number, mass, exposure, nh in zip(maps, *scalars, strict=True):
        scene = _scene(sim, int(number), mass, cool, keep_outside)
        one[ICM] = _gas_map(sim, scene, int(number), float(exposure), float(nh), rng)
        found = {"T": scene.gas.t_mass_weighted, "M_gas": scene.gas.m_gas}
        found |= sim.luminosities(scene, int(number))
        for name, value in found.items():
            ideal.setdefault(name, []).append(value)
    new = {
        name: xr.Variable("cluster", np.array(values), clusters[name].attrs)
        for name, values in ideal.items()
        if name in clusters
    }
    return with_maps(clusters, maps).assign(new)


def core_excised(survey: xr.Dataset) -> xr.Dataset:
    """Return a simulated survey with its luminosities outside the core.

    Returns
    -------
    Dataset
        With ``L_X_ce`` and ``L_X_soft_ce`` [1e44 erg/s]: `L_X` and `L_X_soft` without what is
        within 0.15 R500c in projection.
    """
    sim = simulator_of(survey)
    numbered = zip(survey["cluster"].values, survey["m500c"].values, strict=True)
    rows = [sim.luminosities(_scene(sim, int(i), mass), int(i)) for i, mass in numbered]
    new = {}
    for name in ("L_X_ce", "L_X_soft_ce"):
        attrs = {"units": "1e44 erg/s", "long_name": f"{name.removesuffix('_ce')} without the core"}
        new[name] = xr.Variable("cluster", np.array([row[name] for row in rows]), attrs)
    return survey.assign(new)


def _scene(
    sim: Simulator, number: int, mass: float, cool: bool | None = None, keep_outside: bool = False
) -> Scene:
    """Return the scene of a cluster of the survey, with a core of the given state."""
    scene = sim.scene(number)
    if not np.isclose(scene.halo.m500c, mass, rtol=1e-6):
        raise InputError(
            f"of cluster {number} cannot be made again",
            field="variable m500c",
            hint="simulate the survey with this version of icmass",
        )
    if cool is None:
        return scene
    config = sim.config_of(number)
    made = _with_core(config, scene, cool)
    return _inside_alone(_with_core(config, scene, False), made, config) if keep_outside else made


def _inside_alone(without: Scene, made: Scene, config: SurveyConfig) -> Scene:
    """Return a scene whose own gas is `made`'s within `CORE` R500c and `without`'s beyond.

    Density and temperature of the core are scaled to be continuous there; the gas of both is
    clumped as `without`'s is.
    """
    old, new = without.gas, made.gas
    inside = old.edges[1:] <= CORE
    edge = int(inside.sum())
    emission, kt, abundance, clumping = (
        np.where(inside, getattr(new, name) * scale, getattr(old, name))
        for name, scale in (
            ("emission_measure", old.emission_measure[edge] / new.emission_measure[edge]),
            ("kt_kev", old.kt_kev[edge] / new.kt_kev[edge]),
            ("abundance", 1.0),
            ("clumping", old.clumping[edge] / new.clumping[edge]),
        )
    )
    volume, within = np.diff(old.edges**3), old.inside_r500
    mass_before, mass = (
        np.sqrt(shells / excess * volume)[within]
        for shells, excess in ((old.emission_measure, old.clumping), (emission, clumping))
    )
    halo = without.halo
    clumps = [made.substructures, made.neighbours.clumps]
    theirs = clump_gas(clumps, halo, config.gas, config.cosmology)
    clumped = theirs.mass_within(len(made.substructures), config.gas)
    smooth = max(old.m_gas - clumped, 0.5 * old.m_gas)
    mean_before = np.average(old.kt_kev[within], weights=mass_before)
    mean = np.average(kt[within], weights=mass)
    gas = replace(
        new,
        emission_measure=emission,
        kt_kev=kt,
        abundance=abundance,
        clumping=clumping,
        m_gas=old.m_gas + smooth * float(mass.sum() / mass_before.sum() - 1),
        t_mass_weighted=old.t_mass_weighted * float(mean / mean_before),
    )
    atmosphere = make_atmosphere(halo, gas, theirs, config.gas)
    return replace(made, gas=gas, atmosphere=atmosphere)


def _with_core(survey: SurveyConfig, scene: Scene, cool: bool) -> Scene:
    """Return a scene with the cluster's own gas in another core state, all else the same."""
    config, cosmology = survey.gas, survey.cosmology
    halo = scene.halo
    if bool(scene.gas.shape["cool_core"]) != cool:
        halo = replace(halo, latents=halo.latents | {"core_share": mirrored_core(halo, config)})
    clumps = [scene.substructures, scene.neighbours.clumps]
    n, theirs = len(scene.substructures), clump_gas(clumps, halo, config, cosmology)
    held, light = theirs.mass_within(n, config), theirs.light_within(n, config)
    gas = make_gas(halo, config, cosmology, held, light)
    atmosphere = make_atmosphere(halo, gas, theirs, config)
    return replace(scene, halo=halo, gas=gas, atmosphere=atmosphere)


def _gas_map(
    sim: Simulator,
    scene: Scene,
    number: int,
    exposure: float,
    nh_1e20: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the counts of the gas of a scene, (band, y, x), with the cluster's fluctuations."""
    halo, cosmology = scene.halo, sim.config.cosmology
    field = draw_brightness_field(
        sim.config.fluctuations,
        disturbance=halo.latents["disturbance"],
        r500c=halo.r500c,
        kpc_per_mpc_h=float(cosmology.kpc_per_mpc_h(halo.redshift)),
        half_width=sim.config.observe.half_width_mpc_h,
        rng=sim.streams(number)["field"],
    )
    folder = sim.observatory.folder(nh_1e20)
    photons = gas_photons(scene.atmosphere, halo.redshift, folder, cosmology, exposure, rng, field)
    return recorded(sim.observatory, photons, halo.redshift, rng)
