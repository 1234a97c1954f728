"""A cluster and its surroundings: one halo with gas, substructures and neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from icmass.cosmology import Cosmology
from icmass.plasma.emissivity import PlasmaTable
from icmass.universe.atmosphere import Atmosphere, clump_gas, make_atmosphere
from icmass.universe.catalogue import CatalogueExcess
from icmass.universe.cores import CORE, MIDDLE, projected_share
from icmass.universe.gas import Gas, make_gas
from icmass.universe.gas_config import GasConfig
from icmass.universe.halos import Halo
from icmass.universe.neighbours import NeighbourConfig, Neighbours, draw_neighbours
from icmass.universe.substructure import Clumps, SubstructureConfig, draw_substructures


@dataclass(frozen=True)
class Scene:
    """What is out there in the direction of a cluster, AGN and galaxies apart.

    Attributes
    ----------
    halo : Halo
    gas : Gas
        The cluster's own, smooth gas.
    substructures : Clumps
    neighbours : Neighbours
    atmosphere : Atmosphere
        All the gas.
    excess : CatalogueExcess or None
        What a given catalogue says of the luminosity, over what is emitted; None: none is given.
    """

    halo: Halo
    gas: Gas
    substructures: Clumps
    neighbours: Neighbours
    atmosphere: Atmosphere
    excess: CatalogueExcess | None = None


def build_scene(
    halo: Halo,
    gas: GasConfig,
    substructure: SubstructureConfig,
    neighbours: NeighbourConfig,
    cosmology: Cosmology,
    *,
    half_width: float,
    rng: np.random.Generator,
) -> Scene:
    """Draw the surroundings of a halo and fill all with gas.

    Parameters
    ----------
    half_width : float
        Half the side of the map [comoving Mpc/h].
    """
    clumps = draw_substructures(halo, substructure, rng)
    others = draw_neighbours(halo, neighbours, cosmology, half_width, rng)
    n = len(clumps)
    clump_shells = clump_gas([clumps, others.clumps], halo, gas, cosmology)
    cluster_gas = make_gas(
        halo, gas, cosmology, clump_shells.mass_within(n, gas), clump_shells.light_within(n, gas)
    )
    atmosphere = make_atmosphere(halo, cluster_gas, clump_shells, gas)
    return Scene(halo, cluster_gas, clumps, others, atmosphere)


def luminosities(scene: Scene, table: PlasmaTable) -> dict[str, float]:
    """Return the luminosity of the gas within R500c [1e44 erg/s].

    Returns
    -------
    dict
        ``L_X_emitted``, bolometric, and ``L_X_soft``, rest-frame 0.5-2 keV, within R500c in 3D;
        ``L_X_emitted_ce`` and ``L_X_soft_ce``: without what is within 0.15 R500c in projection.
    """
    gas = scene.atmosphere
    inside = gas.in_r500
    kt = np.clip(gas.kt_kev[inside], table.kt_kev[0], table.kt_kev[-1])
    abundance, emission = gas.abundance[inside], gas.emission_measure[inside]
    outside = 1 - _share_in_core(scene)[inside]
    values = {}
    for name, cooling in (
        ("L_X_emitted", table.bolometric_cooling_function(kt, abundance)),
        ("L_X_soft", table.cooling_function(kt, abundance, 0.5, 2.0)),
    ):
        light = emission * cooling / 1e44
        values[name] = float(light.sum())
        values[f"{name}_ce"] = float(light @ outside)
    return values


def _share_in_core(scene: Scene) -> np.ndarray:
    """Return the part of each shell within `CORE` R500c of the centre in projection, (n,).

    The cluster's own shells count as spheres about it, other bodies whole by their centres.
    """
    gas = scene.atmosphere
    offset = np.concatenate([scene.substructures.offset, scene.neighbours.clumps.offset])
    central = np.hypot(offset[:, 0], offset[:, 1]) < CORE * scene.halo.r500c
    share = np.append(0.0, central)[gas.body]
    of_cluster = gas.body == 0
    share[of_cluster] = projected_share(MIDDLE)
    return share
