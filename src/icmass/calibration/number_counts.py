"""The clusters of a sample as number counts need them: likelihoods, detection, lensing masses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from icmass.calibration.population_prior import detection_by_mass
from icmass.errors import InputError
from icmass.estimators.posterior import LNM_GRID, LNM_STEP
from icmass.survey.selection_function import SelectionFunction

N_REDSHIFTS = 30
"""Redshifts at which the mass function is computed; between them ln of its rate is linear."""


@dataclass(frozen=True)
class NumberCounts:
    """The clusters of a sample, and where it was looked for them.

    Attributes
    ----------
    likelihood : ndarray, shape (n, node)
        p(x | ln M500c) at `LNM_GRID` with an integral of 1: `predict_likelihood`, or a
        `likelihood_table.LikelihoodTable` without calibration.
    redshift : ndarray, shape (n,)
    detection : ndarray, shape (n, node)
        Probability that a halo of that mass is detected at each cluster's redshift, exposure and
        column density.
    area_deg2 : float
    redshift_range : (float, float)
    sky_detection : ndarray, shape (n_z, node)
        The same, the mean over the sky that was looked at, at `redshifts`.
    redshifts : ndarray, shape (n_z,)
        Even, from one end of the range to the other.
    ln_lensing, lensing_error : ndarray, shape (n,)
        ln M500c [Msun/h] by lensing and its error; NaN where there is none.
    """

    likelihood: np.ndarray
    redshift: np.ndarray
    detection: np.ndarray
    area_deg2: float
    redshift_range: tuple[float, float]
    sky_detection: np.ndarray
    redshifts: np.ndarray
    ln_lensing: np.ndarray
    lensing_error: np.ndarray

    def __post_init__(self) -> None:
        n, nodes = len(self.redshift), len(LNM_GRID)
        low, high = self.redshift_range
        shapes = {
            "likelihood": (n, nodes),
            "detection": (n, nodes),
            "sky_detection": (len(self.redshifts), nodes),
            "ln_lensing": (n,),
            "lensing_error": (n,),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise InputError(f"shape {getattr(self, name).shape}, not {shape}", field=name)
        if not (np.isfinite(self.likelihood).all() and (self.likelihood >= 0).all()):
            raise InputError("is negative or not finite somewhere", field="likelihood")
        for name in ("detection", "sky_detection"):
            values = getattr(self, name)
            if not ((values >= 0) & (values <= 1)).all():
                raise InputError("is no probability somewhere", field=name)
        if not (0 < low < high and self.area_deg2 > 0):
            what = f"redshifts {low:g} to {high:g}, {self.area_deg2:g} deg^2"
            raise InputError(what, field="number counts")
        if ((self.redshift < low) | (self.redshift > high)).any():
            raise InputError("a cluster is outside of it", field="redshift_range")
        if not (self.lensing_error[self.has_lensing] > 0).all():
            raise InputError("is not positive somewhere", field="lensing_error")

    @classmethod
    def of(
        cls,
        likelihood: np.ndarray,
        redshift: np.ndarray,
        exposure: np.ndarray,
        nh: np.ndarray,
        *,
        selection: SelectionFunction,
        area_deg2: float,
        redshift_range: tuple[float, float],
        sky_exposure: np.ndarray,
        sky_nh: np.ndarray,
        ln_lensing: np.ndarray | None = None,
        lensing_error: np.ndarray | None = None,
    ) -> NumberCounts:
        """Put a sample together with a table of `icmass selection`.

        Parameters
        ----------
        likelihood, redshift, area_deg2, redshift_range, ln_lensing, lensing_error
            See `NumberCounts`.
        exposure, nh : ndarray, shape (n,)
            Of each cluster: unvignetted exposure [s], column density [1e20 cm^-2].
        selection : SelectionFunction
            Below its masses nothing is detected; above them what is at the last.
        sky_exposure, sky_nh : ndarray, shape (place,)
            The same at places drawn evenly over the area, some hundreds of them.
        """
        redshifts = np.linspace(*redshift_range, N_REDSHIFTS)
        sky = [
            detection_by_mass(selection, np.full(len(sky_nh), z), sky_exposure, sky_nh).mean(axis=0)
            for z in redshifts
        ]
        none = np.full(len(redshift), np.nan)
        return cls(
            likelihood,
            redshift,
            detection_by_mass(selection, redshift, exposure, nh),
            area_deg2,
            redshift_range,
            np.array(sky),
            redshifts,
            none if ln_lensing is None else ln_lensing,
            none if lensing_error is None else lensing_error,
        )

    @cached_property
    def has_lensing(self) -> np.ndarray:
        """Whether each cluster has a lensing mass, bool (n,)."""
        result: np.ndarray = np.isfinite(self.ln_lensing)
        return result

    @cached_property
    def x(self) -> np.ndarray:
        """Median ln M of the likelihoods, and half of their 68 per cent interval, (2, n)."""
        cumulative = np.cumsum(self.likelihood, axis=1)
        cumulative /= cumulative[:, -1:]
        levels = (0.5, 0.16, 0.84)
        median, low, high = (
            np.array([np.interp(level, row, LNM_GRID + LNM_STEP / 2) for row in cumulative])
            for level in levels
        )
        return np.stack([median, (high - low) / 2])

    @cached_property
    def pivot(self) -> tuple[float, float]:
        """ln M and redshift about which the scale turns: the means of the sample."""
        return float(self.x[0].mean()), float(np.expm1(np.log1p(self.redshift).mean()))
