"""Background of a telescope: sky and particles, in counts of PI energy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from icmass.errors import InputError


@dataclass(frozen=True)
class Background:
    """Count rates per solid angle, cumulated over PI energy, and how unevenly they are spread.

    Attributes
    ----------
    energy_kev : ndarray, shape (n,)
        PI energies of the table [keV].
    sky, particles : ndarray, shape (n,)
        Rate below each energy, zero at the first [counts/s/arcmin^2]. The sky is seen through the
        mirrors (vignetted, absorbed by their area), the particles are not.
    excess_fraction : float
        Rms of the true rate over its mean, beyond Poisson, from cell to cell.
    cell_arcmin : float
        Size of those cells [arcmin].
    """

    energy_kev: np.ndarray
    sky: np.ndarray
    particles: np.ndarray
    excess_fraction: float
    cell_arcmin: float

    def __post_init__(self) -> None:
        for name in ("energy_kev", "sky", "particles"):
            values = getattr(self, name)
            if not np.isfinite(values).all() or (np.diff(values) < 0).any():
                raise InputError("must increase", field=f"background.{name}")
        if not 0 <= self.excess_fraction < 1 or not self.cell_arcmin > 0:
            raise InputError("not a fraction of a cell", field="background.excess_fraction")

    def parts(self) -> tuple[Self, Self]:
        """Return the sky alone, and the particles alone."""
        nothing = np.zeros_like(self.sky)
        return replace(self, particles=nothing), replace(self, sky=nothing)

    def rate(self, lo_kev: float, hi_kev: float) -> tuple[float, float]:
        """Return the rates in a PI band.

        Parameters
        ----------
        lo_kev, hi_kev : float
            The band [keV], within the table.

        Returns
        -------
        sky, particles : float
            [counts/s/arcmin^2].
        """
        low, high = self.energy_kev[[0, -1]]
        if not low <= lo_kev < hi_kev <= high:
            raise InputError(
                f"{lo_kev:g}-{hi_kev:g} keV is not a band within {low:g}-{high:g} keV",
                field="band",
            )
        sky = np.interp([lo_kev, hi_kev], self.energy_kev, self.sky)
        particles = np.interp([lo_kev, hi_kev], self.energy_kev, self.particles)
        return float(sky[1] - sky[0]), float(particles[1] - particles[0])
