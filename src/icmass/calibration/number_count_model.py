"""Omega_m and sigma_8 from clusters' number, likelihoods and lensing masses, and the mass scale.

With p_i(x | ln M) the likelihoods of the network, the scale of `icmass.calibration.model` between
its masses and the true ones, P the probability that a halo is detected, n the halos per ln M,
redshift and square degree, and w lensing masses where there are some,

    ln p = sum_i ln int n(ln M, z_i) p_i(x, detected | ln M) p(w_i | ln M) d ln M - N
    p_i(x, detected | ln M) = p_i(x | ln M) Phi[(d + rho r) / sqrt(1 - rho^2)]
    d = Phi^-1[P(ln M, z_i, exposure_i, N_H,i)],   r = (x - <x | ln M>) / (sigma s_i),
    ln sigma = ln sigma_p + D (ln M - ln M_p)
    N = area int int n P d ln M dz

the Poisson likelihood of `icmass.calibration.population` with a detection that sees some of the
same photons as x: rho is the correlation, at a mass, of x with what is detected by. It is 0 where
halos are chosen by anything else, and 1 where by x itself. Such correlated scatter is what biases
scaling relations of X-ray samples (Mantz et al. 2010, MNRAS 406, 1773, sect. 3; Allen, Evrard &
Mantz 2011, ARA&A 49, 409, sect. 4.4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numba import njit
from pydantic import BaseModel, ConfigDict
from scipy.special import ndtr, ndtri

from icmass.calibration.halo_rates import HaloRates
from icmass.calibration.model import CalibrationPriors
from icmass.calibration.number_counts import NumberCounts
from icmass.cosmology import Cosmology
from icmass.estimators.posterior import LNM_GRID, LNM_STEP

PARAMETERS = (
    "om0",
    "sigma8",
    "amplitude",
    "slope",
    "curvature",
    "evolution",
    "ln_scatter",
    "scatter_slope",
    "correlation",
    "lensing_scatter",
)
"""What is sampled; `lensing_scatter` is fixed if its prior has no width."""
_DEVIATES = np.linspace(-8, 8, 3201)
_PROBIT = ndtr(_DEVIATES)
_UNSEEN = -8.0  # deviate of a probability that counts for nothing
_NOTHING = 1e-7  # density per ln M likewise
_EVERY = 2  # nodes of LNM_GRID to one that is summed over


class NumberCountPriors(BaseModel):
    """Priors of the parameters.

    Parameters
    ----------
    om0, sigma8 : (float, float)
        Between these, evenly.
    correlation : (float, float)
        Of rho, likewise; equal numbers fix it.
    scatter_slope : (float, float)
        Gaussian, of the slope of ln sigma with ln M: networks that are marginal over the physics
        have intervals too wide by what is common to all clusters, the more so the more photons.
    curvature : (float, float)
        Gaussian, of the factor of (ln M - ln M_p)^2 in the mean of x: what a network trained on
        few of the heaviest halos says of them is too low.
    scale : CalibrationPriors
        Of the scale, and of bias and scatter of the lensing; its turn-on is not used.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    om0: tuple[float, float] = (0.16, 0.5)
    sigma8: tuple[float, float] = (0.6, 1.1)
    correlation: tuple[float, float] = (0.0, 0.98)
    scatter_slope: tuple[float, float] = (0.0, 0.5)
    curvature: tuple[float, float] = (0.0, 0.2)
    scale: CalibrationPriors = CalibrationPriors()


@dataclass(frozen=True)
class NumberCountModel:
    """The posterior of a cosmology and of the mass scale.

    Parameters
    ----------
    data : NumberCounts
    cosmology : Cosmology
        With h, n_s and Omega_b, which stay as they are. Sizes and distances by which the
        likelihoods were made are those of their own cosmology.
    priors : NumberCountPriors
    """

    data: NumberCounts
    cosmology: Cosmology
    priors: NumberCountPriors = field(default_factory=NumberCountPriors)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return PARAMETERS

    @cached_property
    def rates(self) -> HaloRates:
        """Halos on a square degree, for any cosmology within the priors."""
        return HaloRates.of(
            self.cosmology,
            self.data.redshifts,
            om0_range=self.priors.om0,
            sigma8_range=self.priors.sigma8,
        )

    @cached_property
    def _gaussian(self) -> tuple[np.ndarray, np.ndarray]:
        names = ("amplitude", "slope", "evolution", "ln_scatter", "lensing_scatter")
        mean, std = self.priors.scale.of(names)
        own = np.array([self.priors.curvature, self.priors.scatter_slope])
        return np.insert(mean, [2, 4], own[:, 0]), np.insert(std, [2, 4], own[:, 1])

    @property
    def _even(self) -> np.ndarray:
        p = self.priors
        return np.array([p.om0, p.sigma8, p.correlation])

    @property
    def prior_std(self) -> np.ndarray:
        """Standard deviations of the priors of `parameters`."""
        even = np.ptp(self._even, axis=1) / math.sqrt(12)
        gaussian = self._gaussian[1]
        result: np.ndarray = np.concatenate([even[:2], gaussian[:6], even[2:], gaussian[6:]])
        return result

    @property
    def free(self) -> np.ndarray:
        """Whether each parameter is sampled: those whose prior has a width."""
        return self.prior_std > 0

    def guess(self) -> np.ndarray:
        """Return the middle of the priors, and the amplitude that the lensing masses suggest."""
        even, gaussian = self._even.mean(axis=1), self._gaussian[0]
        found = np.concatenate([even[:2], gaussian[:6], even[2:], gaussian[6:]])
        d = self.data
        if (some := d.has_lensing).any():
            found[2] = np.median(d.x[0][some] - d.ln_lensing[some])
        return found

    def log_prior(self, theta: np.ndarray) -> float:
        """Return the log of the prior density, without its norm; ``-inf`` where impossible."""
        even = theta[[0, 1, 8]]
        low, high = self._even.T
        if (
            ((even < low) | (even > high)).any()
            or 1 + theta[3] < 0.2
            or abs(theta[5]) > 4
            or abs(theta[6]) > 2
        ):
            return -math.inf
        if theta[9] < 0:
            return -math.inf
        mean, std = self._gaussian
        wide = std > 0
        off = (theta[[2, 3, 4, 5, 6, 7, 9]] - mean)[wide] / std[wide]
        return float(-0.5 * (off**2).sum())

    @cached_property
    def _clusters(self) -> tuple[np.ndarray, ...]:
        """Rows at the nodes that are summed over: likelihoods whole, deviates of detection."""
        least = 1e-300
        deviate = ndtri(np.clip(self.data.detection[:, ::_EVERY], least, 1 - 1e-16))
        place = np.interp(self.data.redshift, self.data.redshifts, np.arange(len(self._nodes)))
        return np.ascontiguousarray(self.data.likelihood), np.ascontiguousarray(deviate), place

    @property
    def _nodes(self) -> np.ndarray:
        return self.data.redshifts

    def expected(self, log_rate: np.ndarray) -> float:
        """Return N, the clusters that are expected, of what `rates` returns."""
        of_z = (np.exp(log_rate) * self.data.sky_detection).sum(axis=1) * LNM_STEP
        fine = np.linspace(*self.data.redshift_range, 10 * len(self._nodes))
        log = np.interp(fine, self._nodes, np.log(np.maximum(of_z, 1e-300)))
        return float(np.trapezoid(np.exp(log), fine)) * self.data.area_deg2

    def log_likelihood(self, theta: np.ndarray) -> float:
        """Return ln p of the sample, up to a constant."""
        om0, sigma8, amplitude, slope, curvature, evolution, *scatter, correlation, wl_scatter = (
            theta
        )
        log_rate = self.rates(om0, sigma8)
        d, (pivot, pivot_z) = self.data, self.data.pivot
        zeta = np.log1p(d.redshift) - math.log1p(pivot_z)
        bias = self.priors.scale
        of_w = d.ln_lensing - bias.lensing_bias[0] - bias.lensing_bias_evolution[0] * zeta
        likelihood, deviate, place = self._clusters
        nodes = LNM_GRID[::_EVERY]
        found = _log_integrals(
            likelihood,
            deviate,
            place,
            np.ascontiguousarray(log_rate[:, ::_EVERY]),
            amplitude + evolution * zeta,
            nodes + slope * (nodes - pivot) + curvature * (nodes - pivot) ** 2,
            np.exp(scatter[0] + scatter[1] * (nodes - pivot)),
            correlation,
            d.x[0],
            d.x[1],
            of_w,
            np.sqrt(d.lensing_error**2 + wl_scatter**2),
            LNM_GRID[0],
            LNM_STEP,
            _EVERY,
            _PROBIT,
        )
        return float(found.sum()) - self.expected(log_rate)

    def log_posterior(self, theta: np.ndarray) -> float:
        """Return the log of the posterior density, without its norm."""
        prior = self.log_prior(theta)
        if not math.isfinite(prior):
            return -math.inf
        found = prior + self.log_likelihood(theta)
        return found if math.isfinite(found) else -math.inf


@njit(cache=True, nogil=True)
def _log_integrals(
    likelihood: np.ndarray,
    deviate: np.ndarray,
    place: np.ndarray,
    log_rate: np.ndarray,
    shift: np.ndarray,
    of_mass: np.ndarray,
    scatter: np.ndarray,
    correlation: float,
    median: np.ndarray,
    width: np.ndarray,
    of_w: np.ndarray,
    error_w: np.ndarray,
    first: float,
    step: float,
    every: int,
    probit: np.ndarray,
) -> np.ndarray:
    """Return ln of the integral over ln M of each cluster, shape (n,)."""
    n, nodes = deviate.shape
    last = likelihood.shape[1] - 1
    rest = 1 / math.sqrt(1 - correlation * correlation)
    found = np.empty(n)
    for i in range(n):
        below = min(int(place[i]), len(log_rate) - 2)
        part = place[i] - below
        total = 0.0
        for j in range(nodes):
            ln_m = first + j * every * step
            off = (shift[i] + of_mass[j] - median[i]) / scatter[j]
            at = (median[i] + off - first) / step
            if at <= 0 or at >= last or deviate[i, j] < _UNSEEN:
                continue
            k = int(at)
            value = likelihood[i, k] + (likelihood[i, k + 1] - likelihood[i, k]) * (at - k)
            if value <= _NOTHING:
                continue
            seen = (deviate[i, j] - correlation * off / width[i]) * rest
            seen = (min(max(seen, -7.99), 7.99) + 8) * 200
            k = int(seen)
            value *= probit[k] + (probit[k + 1] - probit[k]) * (seen - k)
            rate = log_rate[below, j] * (1 - part) + log_rate[below + 1, j] * part
            if not math.isnan(of_w[i]):
                apart = (of_w[i] - ln_m) / error_w[i]
                rate -= 0.5 * apart * apart + math.log(error_w[i])
            total += value / scatter[j] * math.exp(rate)
        found[i] = math.log(total * every * step) if total > 0 else -1e4
    return found
