"""Distances, densities and radii in a flat Lambda-CDM cosmology."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import constants
from astropy import units as u
from pydantic import BaseModel, ConfigDict

from icmass.errors import InputError
from icmass.parameter import parameter

if TYPE_CHECKING:
    from astropy.cosmology import FlatLambdaCDM

_DENSEST = 3200.0  # times the mean density: the range of Tinker et al. 2008
_KOMATSU = "WMAP7, Komatsu et al. 2011, ApJS 192, 18"


class Cosmology(BaseModel):
    """A flat Lambda-CDM cosmology; the default is Magneticum's (WMAP7, Komatsu et al. 2011)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    h: float = parameter(
        0.704,
        "Hubble constant in units of 100 km/s/Mpc.",
        unit="1",
        source=_KOMATSU,
        gt=0.3,
        lt=1.5,
    )
    om0: float = parameter(
        0.272,
        "Matter density today in units of the critical density.",
        unit="1",
        source=_KOMATSU,
        gt=0.05,
        lt=1,
    )
    ob0: float = parameter(
        0.0456,
        "Baryon density today in units of the critical density.",
        unit="1",
        source=_KOMATSU,
        gt=0,
        lt=0.2,
    )
    sigma8: float = parameter(
        0.809,
        "Amplitude of the linear power spectrum: rms fluctuation of matter in spheres of 8 Mpc/h "
        "today.",
        unit="1",
        source=_KOMATSU,
        gt=0.3,
        lt=2,
    )
    ns: float = parameter(
        0.963,
        "Spectral index of the primordial power spectrum.",
        unit="1",
        source=_KOMATSU,
        gt=0.5,
        lt=1.5,
    )

    @property
    def astropy(self) -> FlatLambdaCDM:
        """The same cosmology as an `astropy.cosmology.FlatLambdaCDM` (no radiation)."""
        return _astropy(self)

    def efunc(self, redshift: np.ndarray | float) -> np.ndarray:
        """Return E(z) = H(z)/H0."""
        return np.sqrt(self.om0 * (1 + np.asarray(redshift)) ** 3 + 1 - self.om0)

    def comoving_distance(self, redshift: np.ndarray | float) -> np.ndarray:
        """Return the line-of-sight comoving distance [comoving Mpc/h]."""
        if isinstance(redshift, float):
            return _distance_mpc(self, redshift) * self.h
        return self.astropy.comoving_distance(redshift).to_value(u.Mpc) * self.h

    def arcmin_per_mpc_h(self, redshift: np.ndarray | float) -> np.ndarray:
        """Return the angle that one comoving Mpc/h subtends [arcmin]."""
        return np.degrees(1 / self.comoving_distance(redshift)) * 60

    def kpc_per_mpc_h(self, redshift: np.ndarray | float) -> np.ndarray:
        """Return the physical kpc in one comoving Mpc/h."""
        return 1000 / self.h / (1 + np.asarray(redshift))

    def critical_density(self, redshift: np.ndarray | float) -> np.ndarray:
        """Return the critical density [h^2 Msun / physical Mpc^3]."""
        return _critical_density_today() * self.efunc(redshift) ** 2

    def r500c(self, m500c: np.ndarray | float, redshift: np.ndarray | float) -> np.ndarray:
        """Return R500c [comoving Mpc/h] of a halo of M500c [Msun/h]."""
        rho = 500 * self.critical_density(redshift)
        physical = (3 * np.asarray(m500c) / (4 * np.pi * rho)) ** (1 / 3)
        return physical * (1 + np.asarray(redshift))

    def halo_density(self, m500c: np.ndarray, redshift: np.ndarray | float) -> np.ndarray:
        """Return dn / dlnM500c [comoving (Mpc/h)^-3], shape (redshift, mass).

        Tinker et al. 2008, ApJ 688, 709, for 500c, with colossus (Diemer 2018, ApJS 239, 35).

        Parameters
        ----------
        m500c : ndarray, shape (mass,)
            [Msun/h].
        redshift : ndarray, shape (redshift,)

        Raises
        ------
        InputError
            If 500 times the critical density is beyond the densities of their fit, or there is no
            such thing for this cosmology.
        """
        from colossus.lss import mass_function

        options = {"mdef": "500c", "model": "tinker08", "q_in": "M", "q_out": "dndlnM"}
        redshift = np.atleast_1d(np.asarray(redshift, float))
        matter = self.om0 * (1 + redshift) ** 3 / self.efunc(redshift) ** 2
        if (500 / matter > _DENSEST).any():
            what = f"Tinker et al. 2008 have no halos of 500c at om0 = {self.om0:g}"
            raise InputError(what, field="mass function", hint="give a larger om0")
        with self.colossus(), np.errstate(all="ignore"):
            rows = [mass_function.massFunction(m500c, z, **options) for z in redshift.tolist()]
        density = np.array(rows)
        lost = ~(np.isfinite(density).all(1) & (density[:, 0] > 0))
        if lost.any():
            what = f"cannot be computed at redshift {redshift[lost][0]:g} for {self!r}"
            raise InputError(what, field="mass function")
        return density

    @contextmanager
    def colossus(self) -> Iterator[Any]:
        """Make this the current cosmology of colossus, and restore what was current before.

        Yields
        ------
        colossus.cosmology.cosmology.Cosmology
        """
        from colossus.cosmology import cosmology as col

        before = col.current_cosmo
        col.current_cosmo = _colossus(self)
        try:
            yield col.current_cosmo
        finally:
            col.current_cosmo = before


@lru_cache(maxsize=64)
def _astropy(cosmology: Cosmology) -> FlatLambdaCDM:
    """Build astropy's cosmology once. Kept on the model itself, `model_copy` would carry it on."""
    from astropy.cosmology import FlatLambdaCDM

    return FlatLambdaCDM(H0=100 * cosmology.h, Om0=cosmology.om0, Ob0=cosmology.ob0, Tcmb0=0)


@lru_cache(maxsize=8)
def _colossus(cosmology: Cosmology) -> Any:
    """Build colossus' cosmology once: its tables of the power spectrum are kept with it."""
    from colossus.cosmology import cosmology as col

    before = col.current_cosmo
    c = cosmology
    try:
        return col.setCosmology(
            f"icmass-{c.h}-{c.om0}-{c.ob0}-{c.sigma8}-{c.ns}",
            flat=True,
            H0=100 * c.h,
            Om0=c.om0,
            Ob0=c.ob0,
            sigma8=c.sigma8,
            ns=c.ns,
            persistence="",
        )
    finally:
        col.current_cosmo = before


@lru_cache(maxsize=4096)
def _distance_mpc(cosmology: Cosmology, redshift: float) -> np.ndarray:
    return cosmology.astropy.comoving_distance(redshift).to_value(u.Mpc)


@lru_cache(maxsize=1)
def _critical_density_today() -> float:
    hubble = 100 * u.km / u.s / u.Mpc
    return float((3 * hubble**2 / (8 * np.pi * constants.G)).to_value(u.Msun / u.Mpc**3))
