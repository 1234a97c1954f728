"""Which halos come into a survey that detects its clusters."""

from __future__ import annotations

import numpy as np
from astropy import units as u

from icmass.cosmology import Cosmology
from icmass.observe.detection import DetectionConfig, detection_probability
from icmass.survey.observatory import Observatory
from icmass.universe.cores import EDGES, equivalent_core, projected_share
from icmass.universe.gas import Gas
from icmass.universe.halos import Halo

_MPC_CM = (1 * u.Mpc).to_value(u.cm)

#: Part of a thin shell that lies within R500c in projection, for the shells of `Gas`.
_PROJECTED = projected_share(EDGES[1:], 1.0)


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

        Notes
        -----
        The core of the beta model that detection knows is the one of the halo's core share.
        """
        arcsec = 60 * float(self.cosmology.arcmin_per_mpc_h(halo.redshift)) * halo.r500c
        background = self.observatory.instrument.background
        lo, hi = self.config.band_kev
        sky = sum(background.rate(max(lo, float(background.energy_kev[0])), hi))
        core = equivalent_core(gas.shape["core_share"])
        found = detection_probability(
            self.config,
            source_counts=exposure * self._rate(halo, gas, nh_1e20),
            background_counts=exposure * sky * np.pi * (arcsec / 60) ** 2,
            flux=self._flux(halo, gas),
            r500c_arcsec=arcsec,
            core_arcsec=core * arcsec,
        )
        return float(found)

    def _rate(self, halo: Halo, gas: Gas, nh_1e20: float) -> float:
        """Return the count rate within R500c in projection, before blurring [1/s]."""
        folder, table = self.observatory.folder(nh_1e20), self.observatory.table
        hhe, metals = folder.band_emissivity(halo.redshift, self.config.band_kev)
        row, upper = table.weights(np.clip(gas.kt_kev, table.kt_kev[0], table.kt_kev[-1]))
        lower = hhe[row] + gas.abundance * metals[row]
        higher = hhe[row + 1] + gas.abundance * metals[row + 1]
        emission = gas.emission_measure * ((1 - upper) * lower + upper * higher)
        return float(emission @ _PROJECTED) / (self._sphere(halo) * (1 + halo.redshift))

    def _sphere(self, halo: Halo) -> float:
        """Return 4 pi D_C^2 [cm^2]."""
        distance = float(self.cosmology.comoving_distance(halo.redshift)) / self.cosmology.h
        return 4 * np.pi * (distance * _MPC_CM) ** 2

    def _flux(self, halo: Halo, gas: Gas) -> float:
        """Return the unabsorbed flux within R500c in projection, 0.5-2 keV [erg/s/cm^2]."""
        table, z = self.observatory.table, halo.redshift
        kt = np.clip(gas.kt_kev, table.kt_kev[0], table.kt_kev[-1])
        cooling = table.cooling_function(kt, gas.abundance, 0.5 * (1 + z), 2.0 * (1 + z))
        power = float((gas.emission_measure * cooling) @ _PROJECTED)
        return power / (self._sphere(halo) * (1 + z) ** 2)
