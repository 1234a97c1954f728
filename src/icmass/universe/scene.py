"""A cluster and its surroundings: one halo with gas, substructures and neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from icmass.cosmology import Cosmology
from icmass.plasma.emissivity import PlasmaTable
from icmass.universe.atmosphere import Atmosphere, clump_gas_mass, make_atmosphere
from icmass.universe.gas import Gas, GasConfig, make_gas
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
    """

    halo: Halo
    gas: Gas
    substructures: Clumps
    neighbours: Neighbours
    atmosphere: Atmosphere


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
    own = make_gas(halo, gas, cosmology, clump_gas_mass(clumps, halo, gas))
    atmosphere = make_atmosphere(halo, own, [clumps, others.clumps], gas, cosmology)
    return Scene(halo, own, clumps, others, atmosphere)


def luminosities(atmosphere: Atmosphere, table: PlasmaTable) -> dict[str, float]:
    """Return the luminosity of the gas within R500c, in 3D [1e44 erg/s].

    Returns
    -------
    dict
        ``L_X``, bolometric; ``L_X_soft``, rest-frame 0.5-2 keV.
    """
    inside = atmosphere.in_r500
    kt = np.clip(atmosphere.kt_kev[inside], table.kt_kev[0], table.kt_kev[-1])
    abundance = atmosphere.abundance[inside]
    emission = atmosphere.emission_measure[inside]
    cooling = {
        "L_X": table.bolometric_cooling_function(kt, abundance),
        "L_X_soft": table.cooling_function(kt, abundance, 0.5, 2.0),
    }
    return {name: float(emission @ values) / 1e44 for name, values in cooling.items()}
