"""The clusters of a sample as number counts need them: masses, detection, lensing masses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from icmass.calibration.population_prior import detection_by_mass
from icmass.errors import InputError
from icmass.estimators.posterior import LNM_GRID, Prediction
from icmass.survey.selection_function import SelectionFunction

N_REDSHIFTS = 30
"""Redshifts at which the mass function is computed; between them ln of its rate is linear."""


@dataclass(frozen=True)
class WidthOfMass:
    """Widths of likelihoods, smooth in the mass: ln s_i = base_i + slope_i u + bend u^2.

    u is the network's ln M less `pivot`, held within `reach`. The width that a cluster happens to
    have goes with its own photons, and so with the noise of its mass: a density of x with such a
    width has no norm of 1. One that depends on the mean mass has.

    Attributes
    ----------
    base, slope : ndarray, shape (n,)
    bend, pivot : float
    reach : (float, float)
    """

    base: np.ndarray
    slope: np.ndarray
    bend: float
    pivot: float
    reach: tuple[float, float]

    @classmethod
    def fit(cls, x: np.ndarray, x_error: np.ndarray, conditions: np.ndarray) -> WidthOfMass:
        """Fit by least squares; `conditions`, shape (n, k), move level and slope."""
        pivot = float(x.mean())
        u = x - pivot
        shift = conditions - conditions.mean(axis=0)
        k = shift.shape[1]
        terms = np.column_stack([np.ones_like(u), u, u**2, shift, shift * u[:, None]])
        found = np.linalg.lstsq(terms, np.log(x_error), rcond=None)[0]
        return cls(
            base=found[0] + shift @ found[3 : 3 + k],
            slope=found[1] + shift @ found[3 + k :],
            bend=float(found[2]),
            pivot=pivot,
            reach=(float(u.min()), float(u.max())),
        )


@dataclass(frozen=True)
class NumberCounts:
    """The clusters of a sample, and where it was looked for them.

    Attributes
    ----------
    x, x_error : ndarray, shape (n,)
        ln M500c [Msun/h] by the network, with a flat prior, and its width.
    redshift : ndarray, shape (n,)
    conditions : ndarray, shape (n, k)
        What `x_error` goes with besides the mass: ln of the exposure and so on.
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

    x: np.ndarray
    x_error: np.ndarray
    redshift: np.ndarray
    conditions: np.ndarray
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
            "x": (n,),
            "x_error": (n,),
            "conditions": (n, self.conditions.shape[-1]),
            "detection": (n, nodes),
            "sky_detection": (len(self.redshifts), nodes),
            "ln_lensing": (n,),
            "lensing_error": (n,),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise InputError(f"shape {getattr(self, name).shape}, not {shape}", field=name)
        for name in ("x", "x_error", "conditions"):
            if not np.isfinite(getattr(self, name)).all():
                raise InputError("is not finite somewhere", field=name)
        for name in ("detection", "sky_detection"):
            values = getattr(self, name)
            if not ((values >= 0) & (values <= 1)).all():
                raise InputError("is no probability somewhere", field=name)
        if not (0 < low < high and self.area_deg2 > 0):
            what = f"redshifts {low:g} to {high:g}, {self.area_deg2:g} deg^2"
            raise InputError(what, field="number counts")
        if ((self.redshift < low) | (self.redshift > high)).any():
            raise InputError("a cluster is outside of it", field="redshift_range")
        for name, errors in (
            ("x_error", self.x_error),
            ("lensing_error", self.lensing_error[self.has_lensing]),
        ):
            if not (errors > 0).all():
                raise InputError("is not positive somewhere", field=name)

    @classmethod
    def of(
        cls,
        likelihood: Prediction,
        redshift: np.ndarray,
        exposure: np.ndarray,
        nh: np.ndarray,
        *,
        selection: SelectionFunction,
        area_deg2: float,
        redshift_range: tuple[float, float],
        sky_exposure: np.ndarray,
        sky_nh: np.ndarray,
        sky_weight: np.ndarray | None = None,
        ln_lensing: np.ndarray | None = None,
        lensing_error: np.ndarray | None = None,
    ) -> NumberCounts:
        """Put a sample together with a table of `icmass selection`.

        Parameters
        ----------
        likelihood : Prediction
            Of the network's mass: posteriors with a flat prior, see `predict_likelihood`. x is
            their median, its error half of their 68 per cent interval.
        redshift, area_deg2, redshift_range, ln_lensing, lensing_error
            See `NumberCounts`.
        exposure, nh : ndarray, shape (n,)
            Of each cluster: unvignetted exposure [s], column density [1e20 cm^-2].
        selection : SelectionFunction
            Below its masses nothing is detected; above them what is at the last.
        sky_exposure, sky_nh : ndarray, shape (place,)
            The same at places of the sky that was looked at. The deepest hold many of the lightest
            clusters: of a thousand random places of eRASS1 the mean is off by 2 per cent.
        sky_weight : ndarray, shape (place,), optional
            Areas of the places, in any unit; default: the same for all.
        """
        redshifts = np.linspace(*redshift_range, N_REDSHIFTS)
        weight = np.ones(len(sky_nh)) if sky_weight is None else sky_weight
        sky = [
            weight @ detection_by_mass(selection, np.full(len(weight), z), sky_exposure, sky_nh)
            for z in redshifts
        ]
        none = np.full(len(redshift), np.nan)
        low, high = likelihood.interval(0.68)
        return cls(
            x=likelihood.median,
            x_error=(high - low) / 2,
            redshift=redshift,
            conditions=np.column_stack([np.log(exposure), np.log1p(redshift), nh]),
            detection=detection_by_mass(selection, redshift, exposure, nh),
            area_deg2=area_deg2,
            redshift_range=redshift_range,
            sky_detection=np.array(sky) / weight.sum(),
            redshifts=redshifts,
            ln_lensing=none if ln_lensing is None else ln_lensing,
            lensing_error=none if lensing_error is None else lensing_error,
        )

    @cached_property
    def has_lensing(self) -> np.ndarray:
        """Whether each cluster has a lensing mass, bool (n,)."""
        result: np.ndarray = np.isfinite(self.ln_lensing)
        return result

    @cached_property
    def width(self) -> WidthOfMass:
        """Widths as they go with the mass."""
        return WidthOfMass.fit(self.x, self.x_error, self.conditions)

    @cached_property
    def pivot(self) -> tuple[float, float]:
        """ln M and redshift about which the scale turns: the means of the sample."""
        return float(self.x.mean()), float(np.expm1(np.log1p(self.redshift).mean()))
