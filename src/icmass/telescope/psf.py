"""Point spread function: how far from its source a photon lands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from icmass.errors import InputError


@dataclass(frozen=True)
class PSF:
    """A circular beta profile, (1 + (r / rc)^2)^-slope, whose core radius depends on energy.

    The wings end at `max_radius_arcsec`; what lies beyond is spread over the inside, so that no
    photon is lost.

    Attributes
    ----------
    energy_kev : ndarray, shape (n,)
        Energies of the table [keV].
    core_arcsec : ndarray, shape (n,)
        Core radius rc; linear in between and constant beyond [arcsec].
    slope : float
        Slope of the surface brightness, above 1.
    max_radius_arcsec : float
        Where the wings end [arcsec].
    """

    energy_kev: np.ndarray
    core_arcsec: np.ndarray
    slope: float
    max_radius_arcsec: float

    def __post_init__(self) -> None:
        if not (self.core_arcsec > 0).all() or not self.slope > 1:
            raise InputError("core radius must be positive and the slope above 1", field="psf")
        if not self.max_radius_arcsec > self.core_arcsec.max():
            raise InputError("the wings must end beyond the core", field="psf.max_radius_arcsec")

    def core_radius(self, energy_kev: np.ndarray | float) -> np.ndarray:
        """Return the core radius [arcsec] at `energy_kev`, of the same shape."""
        return np.interp(energy_kev, self.energy_kev, self.core_arcsec)

    def _untruncated(self, radius_arcsec: np.ndarray, core_arcsec: np.ndarray) -> np.ndarray:
        return 1 - (1 + (radius_arcsec / core_arcsec) ** 2) ** (1 - self.slope)

    def _radius(self, fraction: np.ndarray | float, core_arcsec: np.ndarray) -> np.ndarray:
        """Return the radius [arcsec] that encircles `fraction`."""
        inside = fraction * self._untruncated(np.asarray(self.max_radius_arcsec), core_arcsec)
        return core_arcsec * np.sqrt((1 - inside) ** (1 / (1 - self.slope)) - 1)

    def sample(
        self, energy_kev: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw the offsets of photons from their source.

        Parameters
        ----------
        energy_kev : ndarray
            Photon energies [keV].
        rng : numpy.random.Generator
            The source of randomness.

        Returns
        -------
        dx, dy : ndarray, shape of `energy_kev`
            Offsets on the sky [arcsec].
        """
        core = self.core_radius(energy_kev)
        radius = self._radius(rng.random(core.shape), core)
        angle = 2 * np.pi * rng.random(core.shape)
        return radius * np.cos(angle), radius * np.sin(angle)

    def encircled_energy(
        self, radius_arcsec: np.ndarray | float, energy_kev: np.ndarray | float
    ) -> np.ndarray:
        """Return the fraction of photons within a radius; the arguments broadcast.

        Parameters
        ----------
        radius_arcsec : array_like
            Radius [arcsec].
        energy_kev : array_like
            Photon energy [keV].
        """
        core = self.core_radius(energy_kev)
        inside = np.clip(radius_arcsec, 0, self.max_radius_arcsec)
        whole = self._untruncated(np.asarray(self.max_radius_arcsec), core)
        return self._untruncated(inside, core) / whole

    def half_energy_width(self, energy_kev: np.ndarray | float) -> np.ndarray:
        """Return the diameter that holds half the photons [arcsec].

        Parameters
        ----------
        energy_kev : array_like
            Photon energy [keV].
        """
        return 2 * self._radius(0.5, self.core_radius(energy_kev))
