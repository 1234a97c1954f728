"""Point spread functions: how far from its source a photon lands.

An instrument has one of two kinds, both round: `KingPSF`, a formula whose core radius and slope
depend on energy, and `TabulatedPSF`, encircled energies at radii and energies. Both are a `PSF`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from icmass.errors import InputError


@runtime_checkable
class PSF(Protocol):
    """What the rest of the package asks of a point spread function."""

    @property
    def max_radius_arcsec(self) -> float:
        """Where the wings end [arcsec]; no photon lands beyond."""

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

    def half_energy_width(self, energy_kev: np.ndarray | float) -> np.ndarray:
        """Return the diameter that holds half the photons [arcsec].

        Parameters
        ----------
        energy_kev : array_like
            Photon energy [keV].
        """


@dataclass(frozen=True)
class KingPSF:
    """A King (or beta) profile, (1 + (r / rc)^2)^-slope, that depends on energy.

    The wings end at `max_radius_arcsec`; what lies beyond is spread over the inside, so that no
    photon is lost.

    Attributes
    ----------
    energy_kev : ndarray, shape (n,)
        Energies of the table [keV].
    core_arcsec : ndarray, shape (n,)
        Core radius rc; linear in between and constant beyond [arcsec].
    slope : float or ndarray, shape (n,)
        Slope of the surface brightness, above 1; one for all energies, or interpolated likewise.
    max_radius_arcsec : float
        Where the wings end [arcsec].
    """

    energy_kev: np.ndarray
    core_arcsec: np.ndarray
    slope: float | np.ndarray
    max_radius_arcsec: float

    def __post_init__(self) -> None:
        if not (self.core_arcsec > 0).all() or not np.all(np.asarray(self.slope) > 1):
            raise InputError("core radius must be positive and the slope above 1", field="psf")
        if not self.max_radius_arcsec > self.core_arcsec.max():
            raise InputError("the wings must end beyond the core", field="psf.max_radius_arcsec")

    def core_radius(self, energy_kev: np.ndarray | float) -> np.ndarray:
        """Return the core radius [arcsec] at `energy_kev`, of the same shape."""
        return np.interp(energy_kev, self.energy_kev, self.core_arcsec)

    def _slope(self, energy_kev: np.ndarray | float) -> np.ndarray | float:
        # One slope stays a number: powers of an array may differ in the last bit.
        if isinstance(self.slope, np.ndarray):
            return np.interp(energy_kev, self.energy_kev, self.slope)
        return self.slope

    def _untruncated(
        self, radius_arcsec: np.ndarray, core_arcsec: np.ndarray, slope: np.ndarray | float
    ) -> np.ndarray:
        return 1 - (1 + (radius_arcsec / core_arcsec) ** 2) ** (1 - slope)

    def _radius(
        self, fraction: np.ndarray | float, core_arcsec: np.ndarray, slope: np.ndarray | float
    ) -> np.ndarray:
        """Return the radius [arcsec] that encircles `fraction`."""
        whole = self._untruncated(np.asarray(self.max_radius_arcsec), core_arcsec, slope)
        return core_arcsec * np.sqrt((1 - fraction * whole) ** (1 / (1 - slope)) - 1)

    def sample(
        self, energy_kev: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw the offsets of photons from their source, see `PSF.sample`."""
        core = self.core_radius(energy_kev)
        radius = self._radius(rng.random(core.shape), core, self._slope(energy_kev))
        angle = 2 * np.pi * rng.random(core.shape)
        return radius * np.cos(angle), radius * np.sin(angle)

    def encircled_energy(
        self, radius_arcsec: np.ndarray | float, energy_kev: np.ndarray | float
    ) -> np.ndarray:
        """Return the fraction of photons within a radius, see `PSF.encircled_energy`."""
        core, slope = self.core_radius(energy_kev), self._slope(energy_kev)
        inside = np.clip(radius_arcsec, 0, self.max_radius_arcsec)
        whole = self._untruncated(np.asarray(self.max_radius_arcsec), core, slope)
        return self._untruncated(inside, core, slope) / whole

    def half_energy_width(self, energy_kev: np.ndarray | float) -> np.ndarray:
        """Return the diameter that holds half the photons [arcsec], see `PSF`."""
        return 2 * self._radius(0.5, self.core_radius(energy_kev), self._slope(energy_kev))


@dataclass(frozen=True)
class TabulatedPSF:
    """Encircled energies at radii and energies.

    Between two radii the surface brightness is constant (the encircled energy linear in the radius
    squared), between two energies the profile is the mean of theirs, weighted by the distance.
    Beyond the first and last energy it is theirs. The last radius holds all photons.

    Attributes
    ----------
    energy_kev : ndarray, shape (n,)
        Energies, increasing [keV].
    radius_arcsec : ndarray, shape (m,)
        Radii, increasing from 0 [arcsec].
    encircled : ndarray, shape (n, m)
        Fraction of the photons within each radius, 0 at the first; scaled to 1 at the last.
    """

    energy_kev: np.ndarray
    radius_arcsec: np.ndarray
    encircled: np.ndarray

    def __post_init__(self) -> None:
        energy, radius, inside = self.energy_kev, self.radius_arcsec, self.encircled
        if not energy.size or not np.isfinite(energy).all() or not (np.diff(energy) > 0).all():
            raise InputError("must increase", field="psf.energy_kev")
        if radius.size < 2 or radius[0] != 0 or not (np.diff(radius) > 0).all():
            raise InputError("must increase from 0", field="psf.radius_arcsec")
        if inside.shape != (energy.size, radius.size):
            raise InputError(
                f"has the shape {inside.shape}, not {(energy.size, radius.size)}",
                field="psf.encircled",
                hint="give one row an energy, one value a radius",
            )
        good = np.isfinite(inside).all() and (inside[:, 0] == 0).all()
        if not good or (np.diff(inside, axis=1) < 0).any() or not (inside[:, -1] > 0).all():
            raise InputError("must increase from 0 with the radius", field="psf.encircled")
        object.__setattr__(self, "encircled", inside / inside[:, -1:])

    @property
    def max_radius_arcsec(self) -> float:
        """Where the table ends [arcsec]."""
        return float(self.radius_arcsec[-1])

    def _row(self, energy_kev: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Return the row of the energy below, and the weight of the one above."""
        at = np.interp(energy_kev, self.energy_kev, np.arange(self.energy_kev.size))
        row = np.minimum(at.astype(np.intp), max(self.energy_kev.size - 2, 0))
        return row, at - row

    def sample(
        self, energy_kev: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw the offsets of photons from their source, see `PSF.sample`."""
        row, upper = self._row(energy_kev)
        row = row + (rng.random(row.shape) < upper)
        fraction = rng.random(row.shape)
        squared = np.empty(row.shape)
        for i in np.unique(row):
            of_row = row == i
            squared[of_row] = np.interp(fraction[of_row], self.encircled[i], self.radius_arcsec**2)
        radius = np.sqrt(squared)
        angle = 2 * np.pi * rng.random(row.shape)
        return radius * np.cos(angle), radius * np.sin(angle)

    def encircled_energy(
        self, radius_arcsec: np.ndarray | float, energy_kev: np.ndarray | float
    ) -> np.ndarray:
        """Return the fraction of photons within a radius, see `PSF.encircled_energy`."""
        radius, energy = np.broadcast_arrays(radius_arcsec, energy_kev)
        row, upper = self._row(energy)
        low = np.empty(radius.shape)
        high = np.empty(radius.shape)
        for i in np.unique(row):
            of_row = row == i
            above = min(i + 1, self.energy_kev.size - 1)
            for inside, values in ((low, self.encircled[i]), (high, self.encircled[above])):
                inside[of_row] = np.interp(radius[of_row] ** 2, self.radius_arcsec**2, values)
        return (1 - upper) * low + upper * high

    def half_energy_width(self, energy_kev: np.ndarray | float) -> np.ndarray:
        """Return the diameter that holds half the photons [arcsec], see `PSF`."""
        energy = np.asarray(energy_kev, dtype=float)
        row, upper = self._row(energy.ravel())
        above = np.minimum(row + 1, self.energy_kev.size - 1)
        mixed = (1 - upper)[:, None] * self.encircled[row] + upper[:, None] * self.encircled[above]
        squared = [np.interp(0.5, inside, self.radius_arcsec**2) for inside in mixed]
        return 2 * np.sqrt(np.array(squared)).reshape(energy.shape)
