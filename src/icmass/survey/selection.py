"""Which halos come into a survey that detects its clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from astropy import units as u
from numpy.typing import ArrayLike

from icmass.cosmology import Cosmology
from icmass.observe.detection import DetectionConfig, detection_probability
from icmass.survey.observatory import Observatory
from icmass.universe.cores import EDGES, equivalent_core, projected_share
from icmass.universe.gas import Gas
from icmass.universe.halos import Halo

_MPC_CM = (1 * u.Mpc).to_value(u.cm)

#: Part of a thin shell that lies within R500c in projection, for the shells of `Gas`.
_PROJECTED = projected_share(EDGES[1:], 1.0)


def cylinder_share(edges: np.ndarray, radius: float) -> np.ndarray:
    """Return the part of spherical shells that lies within a cylinder through their centre.

    Parameters
    ----------
    edges : ndarray, shape (n + 1,)
        Radii of the shells, in any unit.
    radius : float
        Radius of the endless cylinder, in the same unit.

    Returns
    -------
    ndarray, shape (n,)
        Of the volume of each shell: a sphere of radius R > a has ``4 pi / 3 (R^3 - (R^2 -
        a^2)^(3/2))`` within the cylinder of radius a.
    """
    outside = np.maximum(edges**2 - radius**2, 0) ** 1.5
    return np.diff(edges**3 - outside) / np.diff(edges**3)


#: Parts of those shells within 0.1 R500c and within R500c in projection.
_WITHIN_CORE, _WITHIN_R500C = cylinder_share(EDGES, 0.1), cylinder_share(EDGES, 1.0)


@dataclass(frozen=True)
class Signal:
    """What detection knows of one halo, whatever the exposure.

    Attributes
    ----------
    rate : ndarray, shape (n_nh,)
        Count rate within R500c in projection, before blurring, at some column densities [1/s].
    flux : float
        Unabsorbed flux within R500c in projection, 0.5-2 keV [erg/s/cm^2].
    r500c_arcsec, core_arcsec : float
        R500c and the core radius on the sky [arcsec].
    concentration : float
        Share of the flux within R500c that comes from within 0.1 R500c, both in projection, without
        blurring and noise: what `icmass.observe.morphology` measures as ``concentration_01``. It is
        that of the eFEDS clusters (Ghirardini et al. 2022, A&A 661, A12) and of the Planck clusters
        of Lovisari et al. 2017, ApJ 846, 51. Shells are taken for spheres about the halo's centre.
    """

    rate: np.ndarray
    flux: float
    r500c_arcsec: float
    core_arcsec: float
    concentration: float


class Selection:
    """Decides on halos by their own gas: without substructures, neighbours and AGN.

    Parameters
    ----------
    config : DetectionConfig
    observatory : Observatory
    cosmology : Cosmology
    """

    def __init__(
        self, config: DetectionConfig, observatory: Observatory, cosmology: Cosmology
    ) -> None:
        self.config, self.observatory, self.cosmology = config, observatory, cosmology
        self._emissivity = lru_cache(maxsize=64)(self._fold)
        self._cooling = lru_cache(maxsize=64)(self._radiate)

    def probability(self, halo: Halo, gas: Gas, *, exposure: float, nh_1e20: float) -> float:
        """Return the probability that a halo is detected.

        Parameters
        ----------
        halo : Halo
        gas : Gas
        exposure : float
            [s]
        nh_1e20 : float
            [1e20 cm^-2]
        """
        return float(self.probabilities([self.signal(halo, gas, [nh_1e20])], [exposure])[0, 0, 0])

    def probabilities(self, signals: Sequence[Signal], exposure: ArrayLike) -> np.ndarray:
        """Return the probability that each halo is detected at each exposure and column density.

        Parameters
        ----------
        signals : sequence of Signal
            Of n halos, all at the same column densities.
        exposure : array_like, shape (n_exposure,)
            [s]

        Returns
        -------
        ndarray, shape (n, n_exposure, n_nh)
        """
        time = np.asarray(exposure, dtype=float)[:, None]
        rate = np.array([signal.rate for signal in signals])[:, None, :]
        flux, arcsec, core = (
            np.array([getattr(signal, name) for signal in signals])[:, None, None]
            for name in ("flux", "r500c_arcsec", "core_arcsec")
        )
        background = self.observatory.instrument.background
        lo, hi = self.config.band_kev
        sky = sum(background.rate(max(lo, float(background.energy_kev[0])), hi))
        return detection_probability(
            self.config,
            source_counts=time * rate,
            background_counts=time * sky * np.pi * (arcsec / 60) ** 2,
            flux=flux,
            r500c_arcsec=arcsec,
            core_arcsec=core,
        )

    def signal(self, halo: Halo, gas: Gas, nh_1e20: Sequence[float]) -> Signal:
        """Return what detection knows of a halo behind some column densities [1e20 cm^-2].

        Notes
        -----
        The core of the beta model that detection knows is the one of the halo's core share.
        """
        arcsec = 60 * float(self.cosmology.arcmin_per_mpc_h(halo.redshift)) * halo.r500c
        core = equivalent_core(gas.shape["core_share"])
        z, table = halo.redshift, self.observatory.table
        weights = table.weights(np.clip(gas.kt_kev, table.kt_kev[0], table.kt_kev[-1]))
        power = _emission(gas, weights, self._cooling(z))
        shells = [_emission(gas, weights, self._emissivity(nh, z)) for nh in nh_1e20]
        rates = [float(emission @ _PROJECTED) for emission in shells]
        return Signal(
            rate=np.array(rates) / (self._sphere(halo) * (1 + z)),
            flux=float(power @ _PROJECTED) / (self._sphere(halo) * (1 + z) ** 2),
            r500c_arcsec=arcsec,
            core_arcsec=core * arcsec,
            concentration=float((power @ _WITHIN_CORE) / (power @ _WITHIN_R500C)),
        )

    def _sphere(self, halo: Halo) -> float:
        """Return 4 pi D_C^2 [cm^2]."""
        distance = float(self.cosmology.comoving_distance(halo.redshift)) / self.cosmology.h
        return 4 * np.pi * (distance * _MPC_CM) ** 2

    def _fold(self, nh_1e20: float, redshift: float) -> tuple[np.ndarray, np.ndarray]:
        """Return what `FoldedSpectra.band_emissivity` does, in the band of the detection."""
        folder = self.observatory.folder(nh_1e20)
        return folder.band_emissivity(redshift, self.config.band_kev)

    def _radiate(self, redshift: float) -> tuple[np.ndarray, np.ndarray]:
        """Return cooling functions in 0.5-2 keV as observed: H and He, metals [erg cm^3 s^-1]."""
        table, band = self.observatory.table, (0.5 * (1 + redshift), 2.0 * (1 + redshift))
        hhe, solar = (table.cooling_function(table.kt_kev, metals, *band) for metals in (0.0, 1.0))
        return hhe, solar - hhe


def _emission(
    gas: Gas, weights: tuple[np.ndarray, np.ndarray], nodes: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Return what each shell emits, of `PlasmaTable.weights` and emissivities at their nodes."""
    (row, upper), (hhe, metals) = weights, nodes
    lower = hhe[row] + gas.abundance * metals[row]
    higher = hhe[row + 1] + gas.abundance * metals[row + 1]
    return gas.emission_measure * ((1 - upper) * lower + upper * higher)
