"""Omega_m and sigma_8 from the number and masses of clusters, the network's mass scale free.

With x the network's ln M500c of a cluster and s its width, P the probability that a halo is
detected, n the halos per ln M, redshift and square degree, w lensing masses where there are some,
m = ln M - ln M_p and zeta = ln((1 + z) / (1 + z_p)),

    ln p = sum_i ln int n(ln M, z_i) p(x_i, detected | ln M) p(w_i | ln M) d ln M - N
    p(x, detected | ln M) = N(x; mu, (sigma s)^2) Phi[(d + rho r) / sqrt(1 - rho^2)]
    mu = ln M + A + B m + E m^2 + C zeta,   ln sigma = ln sigma_p + D m,   r = (x - mu) / (sigma s)
    d = Phi^-1[P(ln M, z_i, exposure_i, N_H,i)]
    N = area int int n P d ln M dz

the Poisson likelihood of `icmass.calibration.population` with the scale of
`icmass.calibration.model` between x and the truth, and a detection that sees some of the same
photons as x: rho is the correlation, at a mass, of x with what is detected by. It is 0 where halos
are chosen by anything else, and 1 where by x itself. Such correlated scatter is what biases scaling
relations of X-ray samples (Mantz et al. 2010, MNRAS 406, 1773, sect. 3; Allen, Evrard & Mantz 2011,
ARA&A 49, 409, sect. 4.4). s is taken at mu, see `number_counts.WidthOfMass`.
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

_EVEN = ("om0", "sigma8", "correlation")
_OWN = ("curvature", "scatter_slope")
_SCALE = ("amplitude", "slope", "evolution", "ln_scatter", "lensing_scatter")
PARAMETERS = (*_EVEN, *_OWN, *_SCALE)
"""What is sampled: what of them has a prior with a width."""
_DEVIATES = np.linspace(-8, 8, 3201)
_PROBIT = ndtr(_DEVIATES)
_UNSEEN = -8.0  # deviate of a probability that counts for nothing
_REACH = 6.5  # standard deviations of x that are summed over
_EVERY = 2  # nodes of LNM_GRID to one that is summed over


class NumberCountPriors(BaseModel):
    """Priors of the parameters.

    Parameters
    ----------
    om0, sigma8 : (float, float)
        Between these, evenly.
    correlation : (float, float)
        Of rho, likewise; equal numbers fix it.
    curvature : (float, float)
        Gaussian, of E: of the heaviest halos a network has seen few, and says too little.
    scatter_slope : (float, float)
        Gaussian, of D: the intervals of networks that are marginal over the physics are too wide by
        what is common to all clusters, the more so the more photons there are.
    scale : CalibrationPriors
        Of A, B, C, sigma, and of bias and scatter of the lensing; its turn-on is not used.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    om0: tuple[float, float] = (0.16, 0.5)
    sigma8: tuple[float, float] = (0.6, 1.1)
    correlation: tuple[float, float] = (0.0, 0.95)
    curvature: tuple[float, float] = (0.0, 0.2)
    scatter_slope: tuple[float, float] = (0.0, 0.5)
    scale: CalibrationPriors = CalibrationPriors()


@dataclass(frozen=True)
class NumberCountModel:
    """The posterior of a cosmology and of the mass scale.

    Parameters
    ----------
    data : NumberCounts
    cosmology : Cosmology
        With h, n_s and Omega_b, which stay as they are. Sizes and distances by which x was made are
        those of its own cosmology.
    priors : NumberCountPriors
    """

    data: NumberCounts
    cosmology: Cosmology
    priors: NumberCountPriors = field(default_factory=NumberCountPriors)

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
    def _even(self) -> np.ndarray:
        """Limits of the even priors, shape (2, parameter)."""
        return np.array([getattr(self.priors, name) for name in _EVEN]).T

    @cached_property
    def _gaussian(self) -> np.ndarray:
        """Means and standard deviations of the others, shape (2, parameter)."""
        own = np.array([getattr(self.priors, name) for name in _OWN]).T
        return np.concatenate([own, np.stack(self.priors.scale.of(_SCALE))], axis=1)

    @cached_property
    def prior_std(self) -> np.ndarray:
        """Standard deviations of the priors of `parameters`."""
        return np.append(np.ptp(self._even, axis=0) / math.sqrt(12), self._gaussian[1])

    @property
    def free(self) -> np.ndarray:
        """Whether each parameter is sampled: those whose prior has a width."""
        return self.prior_std > 0

    def guess(self) -> np.ndarray:
        """Return the middle of the priors, and the amplitude that the lensing masses suggest."""
        found = dict(zip(PARAMETERS, np.append(self._even.mean(axis=0), self._gaussian[0]),
                         strict=True))  # fmt: skip
        d = self.data
        if (some := d.has_lensing).any() and self.priors.scale.amplitude[1] > 0:
            found["amplitude"] = np.median(d.x[some] - d.ln_lensing[some])
        return np.array(list(found.values()))

    def log_prior(self, theta: np.ndarray) -> float:
        """Return the log of the prior density, without its norm; ``-inf`` where impossible."""
        even, others = np.split(theta, [len(_EVEN)])
        low, high = self._even
        if ((even < low) | (even > high)).any():
            return -math.inf
        named = dict(zip(PARAMETERS, theta.tolist(), strict=True))
        if 1 + named["slope"] < 0.2 or named["lensing_scatter"] < 0:
            return -math.inf
        if abs(named["ln_scatter"]) > 4 or abs(named["scatter_slope"]) > 2:
            return -math.inf
        mean, std = self._gaussian
        wide = std > 0
        return float(-0.5 * (((others - mean)[wide] / std[wide]) ** 2).sum())

    @cached_property
    def _deviates(self) -> np.ndarray:
        """The probability of each cluster's detection as a deviate, at the nodes summed over."""
        clipped = np.clip(self.data.detection[:, ::_EVERY], 1e-300, 1 - 1e-16)
        return np.ascontiguousarray(ndtri(clipped))

    def expected(self, log_rate: np.ndarray) -> float:
        """Return N, the clusters that are expected, of what `rates` returns."""
        nodes = self.data.redshifts
        of_z = (np.exp(log_rate) * self.data.sky_detection).sum(axis=1) * LNM_STEP
        fine = np.linspace(*self.data.redshift_range, 10 * len(nodes))
        log = np.interp(fine, nodes, np.log(np.maximum(of_z, 1e-300)))
        return float(np.trapezoid(np.exp(log), fine)) * self.data.area_deg2

    def log_likelihood(self, theta: np.ndarray) -> float:
        """Return ln p of the sample, up to a constant."""
        log_rate = self.rates(*theta[:2])
        return float(self._log_integrals(theta, log_rate).sum()) - self.expected(log_rate)

    def _log_integrals(self, theta: np.ndarray, log_rate: np.ndarray) -> np.ndarray:
        d, (pivot, pivot_z) = self.data, self.data.pivot
        at = dict(zip(PARAMETERS, theta.tolist(), strict=True))
        zeta = np.log1p(d.redshift) - math.log1p(pivot_z)
        lensing = self.priors.scale
        ln_m = LNM_GRID[::_EVERY]
        m = ln_m - pivot
        return _log_integrals(
            ln_m,
            ln_m + at["amplitude"] + at["slope"] * m + at["curvature"] * m**2,
            at["ln_scatter"] + at["scatter_slope"] * m,
            at["correlation"],
            np.ascontiguousarray(log_rate[:, ::_EVERY]),
            np.interp(d.redshift, d.redshifts, np.arange(len(d.redshifts))),
            self._deviates,
            d.x - at["evolution"] * zeta,
            d.width.base,
            d.width.slope,
            d.width.bend,
            d.width.pivot,
            d.width.reach,
            d.ln_lensing - lensing.lensing_bias[0] - lensing.lensing_bias_evolution[0] * zeta,
            np.sqrt(d.lensing_error**2 + at["lensing_scatter"] ** 2),
            _PROBIT,
        )

    def log_posterior(self, theta: np.ndarray) -> float:
        """Return the log of the posterior density, without its norm."""
        prior = self.log_prior(theta)
        if not math.isfinite(prior):
            return -math.inf
        found = prior + self.log_likelihood(theta)
        return found if math.isfinite(found) else -math.inf


@njit(cache=True, nogil=True)
def _log_integrals(
    ln_m: np.ndarray,
    mean: np.ndarray,
    ln_scatter: np.ndarray,
    correlation: float,
    log_rate: np.ndarray,
    place: np.ndarray,
    deviate: np.ndarray,
    x: np.ndarray,
    base: np.ndarray,
    slope: np.ndarray,
    bend: float,
    pivot: float,
    reach: tuple[float, float],
    of_w: np.ndarray,
    error_w: np.ndarray,
    probit: np.ndarray,
) -> np.ndarray:
    """Return ln of the integral over ln M of each cluster, shape (n,)."""
    n, nodes = deviate.shape
    rest = 1 / math.sqrt(1 - correlation * correlation)
    found = np.empty(n)
    for i in range(n):
        below = min(int(place[i]), len(log_rate) - 2)
        part = place[i] - below
        total = 0.0
        for j in range(nodes):
            if deviate[i, j] < _UNSEEN:
                continue
            u = min(max(mean[j] - pivot, reach[0]), reach[1])
            ln_width = base[i] + (slope[i] + bend * u) * u + ln_scatter[j]
            r = (x[i] - mean[j]) * math.exp(-ln_width)
            if abs(r) > _REACH:
                continue
            log = log_rate[below, j] * (1 - part) + log_rate[below + 1, j] * part
            log -= 0.5 * r * r + ln_width
            if not math.isnan(of_w[i]):
                apart = (of_w[i] - ln_m[j]) / error_w[i]
                log -= 0.5 * apart * apart + math.log(error_w[i])
            seen = (deviate[i, j] + correlation * r) * rest
            seen = (min(max(seen, -7.99), 7.99) + 8) * 200
            k = int(seen)
            total += math.exp(log) * (probit[k] + (probit[k + 1] - probit[k]) * (seen - k))
        found[i] = math.log(total) if total > 0 else -1e4
    return found
