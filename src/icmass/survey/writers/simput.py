"""The photons of a simulated cluster without a telescope, for other programs to observe."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.observe.photons import Photons, agn_photons, gas_photons
from icmass.observe.spectra import FoldedSpectra
from icmass.sky.tangent import deproject
from icmass.survey.config import SurveyConfig
from icmass.survey.simulate import Simulator, simulator_of
from icmass.survey.writers.cluster_view import DEFAULT_POSITION
from icmass.survey.writers.photon_list import write_photon_list
from icmass.telescope.response import Area
from icmass.universe.agn import Sources, draw_agn
from icmass.universe.fluctuations import BrightnessField, draw_brightness_field
from icmass.universe.scene import Scene

AREA_CM2 = 1e4
"""Flat area of the ideal telescope [cm^2]: above that of eROSITA at every energy."""
_MODES = {"icm": 1, "agn": 2, "both": 3}
_STREAM = 2**32 - 2
_SAME = 1e-6

Component = Literal["icm", "agn", "both"]


def export_simput(
    survey: xr.Dataset,
    cluster: int,
    path: str | os.PathLike[str],
    *,
    area_cm2: float = AREA_CM2,
    time_s: float | None = None,
    component: Component = "both",
    seed: int = 0,
    overwrite: bool = False,
) -> Path:
    """Write the photons that reach an ideal telescope from a cluster of a simulated survey.

    The scene is made again, as a cluster's content depends on configuration and seed alone: its
    gas, substructures, neighbours and active nuclei, absorbed by the survey's column density. The
    photons are drawn anew; there is no background.

    Parameters
    ----------
    survey : Dataset
        A survey made by `icmass simulate`.
    cluster : int
        Index of the cluster in the whole survey.
    path : path
        The SIMPUT file to write.
    area_cm2 : float
        Flat area [cm^2].
    time_s : float, optional
        Exposure [s]; default: the cluster's in the survey, so that an observation as long can be
        thinned from the list.
    component : {"both", "icm", "agn"}
        Whose photons; MODE of the primary header is 3, 1 or 2.
    seed : int
        Seed of the photons.
    overwrite : bool
        Replace a file of that name.

    Returns
    -------
    Path
        The file. Its primary header has SIMUL, SNAPNUM, CLUSTER, REDSHIFT, NH [1e20 cm^-2], M500C
        [Msun/h], R500C [comoving Mpc/h], MODE, AREA, TIME.

    Raises
    ------
    InputError
        If the survey holds real data, was made by a version with other physics, or has no such
        cluster.
    """
    if component not in _MODES:
        raise InputError(f"is {component!r}", field="component", hint=f"use {', '.join(_MODES)}")
    n = survey.sizes["cluster"]
    if not 0 <= cluster < n:
        raise InputError(f"is {cluster}", field="cluster", hint=f"give 0 to {n - 1}")
    made_by = _simulator(survey)
    one = {
        str(name): float(survey[name][cluster])
        for name in survey.data_vars
        if survey[name].dims == ("cluster",)
    }
    time_s = one["exposure"] if time_s is None else time_s
    photons = _draw(made_by, cluster, one, (area_cm2, time_s), component, seed)
    if not len(photons):
        raise InputError("has no photons", field=f"cluster {cluster}", hint="draw for longer")
    centre = (one.get("ra", DEFAULT_POSITION[0]), one.get("dec", DEFAULT_POSITION[1]))
    ra, dec = deproject(
        photons.x,
        photons.y,
        centre=centre,
        redshift=one["redshift"],
        cosmology=made_by.config.cosmology,
    )
    return write_photon_list(
        path,
        photons.energy,
        ra,
        dec,
        area_cm2=area_cm2,
        time_s=time_s,
        primary={
            "SIMUL": "icmass",
            "SNAPNUM": int(one["snapshot"]),
            "CLUSTER": cluster,
            "REDSHIFT": one["redshift"],
            "NH": one["nh"],
            "M500C": one["m500c"],
            "R500C": one["r500c"],
            "MODE": _MODES[component],
        },
        ra0=centre[0],
        dec0=centre[1],
        src_name=f"cluster {cluster}",
        overwrite=overwrite,
    )


def _simulator(survey: xr.Dataset) -> Simulator:
    """Return what made a simulated survey; refuse real data."""
    if not any(str(name).startswith("latent_") for name in survey.data_vars):
        raise InputError(
            "holds counts of a telescope, not photons of the sky",
            field="survey",
            hint="export events instead",
        )
    return simulator_of(survey)


def _draw(
    made_by: Simulator,
    cluster: int,
    one: dict[str, float],
    ideal: tuple[float, float],
    component: Component,
    seed: int,
) -> Photons:
    """Make the scene again and draw what a flat area [cm^2] collects of it in a time [s]."""
    area_cm2, time_s = ideal
    config, scene = made_by.config_of(cluster), made_by.scene(cluster)
    halo = scene.halo
    if abs(halo.m500c / one["m500c"] - 1) > _SAME or abs(halo.redshift - one["redshift"]) > _SAME:
        raise InputError(
            f"of cluster {cluster} is {one['m500c']:.6g}, now {halo.m500c:.6g} is made of its seed",
            field="variable m500c",
            hint="make the survey again with this version of icmass",
        )
    observatory = made_by.observatory
    flat = Area(np.array([0.01, 100.0]), np.full(2, float(area_cm2)))
    folder = FoldedSpectra(
        observatory.table,
        replace(observatory.instrument, area=flat),
        one["nh"],
        config.agn.absorbed_nh_1e20,
    )
    streams = made_by.streams(cluster)
    key = (cluster, _STREAM, _MODES[component])
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    parts = []
    if component != "agn":
        field = _brightness_field(config, scene, streams["field"])
        parts.append(
            gas_photons(
                scene.atmosphere, halo.redshift, folder, config.cosmology, time_s, rng, field
            )
        )
    if component != "icm" and config.observe.agn:
        sources = _sources(config, scene, streams["agn"])
        parts.append(agn_photons(sources, folder, time_s, rng))
    joined = ([getattr(part, name) for part in parts] for name in ("energy", "x", "y"))
    return Photons(*(np.concatenate([np.zeros(0), *values]) for values in joined))


def _brightness_field(
    config: SurveyConfig, scene: Scene, rng: np.random.Generator
) -> BrightnessField | None:
    halo = scene.halo
    return draw_brightness_field(
        config.fluctuations,
        disturbance=halo.latents["disturbance"],
        r500c=halo.r500c,
        kpc_per_mpc_h=float(config.cosmology.kpc_per_mpc_h(halo.redshift)),
        half_width=config.observe.half_width_mpc_h,
        rng=rng,
    )


def _sources(config: SurveyConfig, scene: Scene, rng: np.random.Generator) -> Sources:
    return draw_agn(
        scene.halo,
        config.agn,
        config.cosmology,
        1.05 * config.observe.half_width_mpc_h,
        rng,
        cool_core=bool(scene.gas.shape["cool_core"]),
    )
