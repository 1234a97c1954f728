"""M500c of a halo whose M200c is known: NFW, with a relation of concentration and mass."""

from __future__ import annotations

import numpy as np

from icmass.cosmology import Cosmology
from icmass.errors import InputError

CONCENTRATIONS = {
    "diemer19": "Diemer & Joyce 2019, ApJ 871, 168",
    "duffy08": "Duffy et al. 2008, MNRAS 390, L64",
}
"""Relations of concentration and mass, by colossus' name: where they are from."""


def m500c_of_m200c(
    m200c: np.ndarray, redshift: np.ndarray, cosmology: Cosmology, relation: str = "diemer19"
) -> np.ndarray:
    """Return M500c [Msun/h] of halos of M200c.

    Parameters
    ----------
    m200c, redshift : ndarray, shape (n,)
        M200c [Msun/h], and redshift.
    cosmology : Cosmology
        That the critical density and the concentrations are of.
    relation : {"diemer19", "duffy08"}
        Mean relation of c200c and M200c, see `CONCENTRATIONS`.

    Notes
    -----
    The profile is that of Navarro, Frenk & White 1997, ApJ 490, 493; concentrations and the
    change of definition are colossus' (Diemer 2018, ApJS 239, 35). Scatter of the concentrations
    is left out: 0.16 dex of it is 8 per cent of M500c of a halo, 0.8 of the mean of a hundred.
    """
    from colossus.halo import concentration, mass_defs

    if relation not in CONCENTRATIONS:
        known = ", ".join(CONCENTRATIONS)
        raise InputError(f"is {relation!r}", field="--concentration", hint=f"choose of {known}")
    m200c, redshift = np.broadcast_arrays(
        np.atleast_1d(np.asarray(m200c, float)), np.asarray(redshift, float)
    )
    found = np.empty(m200c.shape)
    with cosmology.colossus():
        for z in np.unique(redshift):
            at_z = redshift == z
            c200c = concentration.concentration(m200c[at_z], "200c", float(z), model=relation)
            found[at_z] = mass_defs.changeMassDefinition(
                m200c[at_z], c200c, float(z), "200c", "500c"
            )[0]
    return found
