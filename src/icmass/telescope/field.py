"""The field of view of a telescope that points: where it sees, and how its area falls off axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from icmass.errors import InputError


@dataclass(frozen=True)
class FieldOfView:
    """A disc about the axis, with the vignetting in it.

    Attributes
    ----------
    radius_arcmin : float
        Radius of the disc [arcmin].
    theta_arcmin : ndarray, shape (n,)
        Angles off axis, increasing from 0 [arcmin].
    factor : ndarray, shape (n,)
        Effective area over that on axis, at the energies where most photons are; linear in
        between, constant beyond the last.
    """

    radius_arcmin: float
    theta_arcmin: np.ndarray
    factor: np.ndarray

    def __post_init__(self) -> None:
        theta, factor = self.theta_arcmin, self.factor
        if not self.radius_arcmin > 0:
            raise InputError("must be positive", field="field_of_view.radius_arcmin")
        if theta.size < 1 or theta[0] != 0 or not (np.diff(theta) > 0).all():
            raise InputError("must increase from 0", field="field_of_view.theta_arcmin")
        good = factor.shape == theta.shape and factor[0] == 1
        if not good or not ((factor > 0) & (factor <= 1)).all():
            raise InputError(
                "must be one value an angle, 1 on axis and 0 to 1 elsewhere",
                field="field_of_view.factor",
            )

    def sees(self, theta_arcmin: np.ndarray) -> np.ndarray:
        """Return whether directions that far off axis [arcmin] are seen, of the same shape."""
        return theta_arcmin <= self.radius_arcmin

    def vignetting(self, theta_arcmin: np.ndarray) -> np.ndarray:
        """Return the area over that on axis, 0 outside the field, of the same shape."""
        factor = np.interp(theta_arcmin, self.theta_arcmin, self.factor)
        return np.where(self.sees(theta_arcmin), factor, 0.0)
