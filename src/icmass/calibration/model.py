"""The likelihood of network masses and lensing masses, and the priors of its parameters.

For each cluster, with x the network's ln M500c and s its width, w the lensing ln M500c and e its
error, and M the mass on the scale of the lensing:

    x = ln M + A + B (ln M - ln M_p) + C ln((1 + z) / (1 + z_p)) + N(0, sigma^2 s^2)
    w = ln M + b(z) + N(0, sigma_wl^2 + e^2)
    M ~ mass function at z, times the selection

A, B, C and sigma are what is asked for; sigma_wl and the selection's turn-on are marginalised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numba import njit
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import ndtr

from icmass.errors import InputError
from icmass.estimators.posterior import LNM_GRID, LNM_STEP

SCALE = ("amplitude", "slope", "evolution", "scatter")
"""Parameters of the scale: A, B, C, sigma."""
PARAMETERS = ("amplitude", "slope", "evolution", "ln_scatter", "lensing_scatter")
"""What is sampled; with a free turn-on, `TURN_ON` besides."""
TURN_ON = ("turn_on", "ln_turn_on_width", "turn_on_evolution")
_DEVIATES = np.linspace(-7, 7, 1401)
_PROBIT, _ALL = ndtr(_DEVIATES), np.ones(len(_DEVIATES))
GRID = LNM_GRID[::2]
"""Nodes of ln M that are summed over: a step is 0.04."""
_STEP = 2 * LNM_STEP
_WIDTHS = (-3.5, 2.0)  # ln of the turn-on's width: below a step of the grid it cannot be told
_REACH = 5.5  # standard deviations of M given x and w that are integrated
_MAX_REDSHIFTS = 13  # at which the norm of the selected mass function is computed


class CalibrationPriors(BaseModel):
    """Gaussian priors (mean, standard deviation) of the parameters.

    Parameters
    ----------
    amplitude, slope, evolution : (float, float)
        Of A, B and C: wide.
    ln_scatter : (float, float)
        Of ln sigma; sigma is the factor by which the widths of the network's posteriors are wrong.
    lensing_bias : (float, float)
        Of b, the mean of ln M_wl - ln M. The default error, 5.6 per cent, is the total systematic
        error of the mean mass that Dietrich et al. 2019, MNRAS 483, 2871, find for their Megacam
        masses; give the lensing team's own.
    lensing_bias_evolution : (float, float)
        Of the slope of b with ln((1 + z) / (1 + z_p)).
    lensing_scatter : (float, float)
        Of sigma_wl, the intrinsic scatter of ln M_wl at fixed M (halo shape and environment), cut
        at 0: 0.21 +- 0.04 as in Dietrich et al. 2019; 0.2 is what Becker & Kravtsov 2011, ApJ 740,
        25, find in simulations.
    turn_on : (float, float)
        Of ln M at the pivot redshift where half of the halos are in the sample.
    ln_turn_on_width : (float, float)
        Of the logarithm of its width in ln M.
    turn_on_evolution : (float, float)
        Of its slope with ln((1 + z) / (1 + z_p)).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    amplitude: tuple[float, float] = (0.0, 1.0)
    slope: tuple[float, float] = (0.0, 0.3)
    evolution: tuple[float, float] = (0.0, 2.0)
    ln_scatter: tuple[float, float] = (0.0, 0.5)
    lensing_bias: tuple[float, float] = (0.0, 0.056)
    lensing_bias_evolution: tuple[float, float] = (0.0, 0.0)
    lensing_scatter: tuple[float, float] = (0.21, 0.04)
    turn_on: tuple[float, float] = Field(default=(math.log(1e14), 2.0))
    ln_turn_on_width: tuple[float, float] = (math.log(0.3), 1.0)
    turn_on_evolution: tuple[float, float] = (0.0, 2.0)

    def of(self, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return means and standard deviations of parameters, shape (len(names),) each."""
        pairs = np.array([getattr(self, name) for name in names])
        return pairs[:, 0], pairs[:, 1]


@dataclass(frozen=True)
class CalibrationData:
    """What is known of n clusters with lensing masses.

    Attributes
    ----------
    x, x_error : ndarray, shape (n,)
        ln M500c [Msun/h] by the network, and the width of its posterior.
    w, w_error : ndarray, shape (n,)
        ln M500c [Msun/h] by lensing, and its error.
    redshift : ndarray, shape (n,)
    """

    x: np.ndarray
    x_error: np.ndarray
    w: np.ndarray
    w_error: np.ndarray
    redshift: np.ndarray

    def __post_init__(self) -> None:
        shapes = {getattr(self, name).shape for name in self.__dataclass_fields__}
        if len(shapes) != 1 or len(self.x.shape) != 1:
            raise InputError(f"shapes {sorted(shapes)}", field="calibration data")
        numbers = np.stack([getattr(self, name) for name in self.__dataclass_fields__])
        if not np.isfinite(numbers).all() or min(self.x_error.min(), self.w_error.min()) <= 0:
            raise InputError("holds what is not finite, or no error", field="calibration data")

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def pivot(self) -> tuple[float, float]:
        """Pivots ln M_p and z_p: where A goes least with B and C."""
        weight = 1 / (self.x_error**2 + self.w_error**2)
        ln_m = np.average(self.w, weights=weight)
        ln_1z = np.average(np.log1p(self.redshift), weights=weight)
        return float(ln_m), float(np.expm1(ln_1z))


@dataclass(frozen=True)
class CalibrationModel:
    """The posterior of the scale's parameters for some clusters.

    Parameters
    ----------
    data : CalibrationData
    log_population : ndarray, shape (n, node)
        Log of the distribution of ln M at each cluster's redshift on `LNM_GRID`, of any norm;
        ``-inf`` where there is none.
    priors : CalibrationPriors
    free_turn_on : bool
        Whether a turn-on of unknown place and width multiplies it: the selection where none is
        given.
    """

    data: CalibrationData
    log_population: np.ndarray
    priors: CalibrationPriors = field(default_factory=CalibrationPriors)
    free_turn_on: bool = True

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of what is sampled."""
        return PARAMETERS + (TURN_ON if self.free_turn_on else ())

    @cached_property
    def population(self) -> np.ndarray:
        """The distribution of ln M at `GRID` with an integral of 1, shape (n, node)."""
        log = self.log_population[:, ::2]
        density = np.exp(log - log.max(1, keepdims=True))
        return np.ascontiguousarray(density / (density.sum(1, keepdims=True) * _STEP))

    @cached_property
    def zeta(self) -> np.ndarray:
        """Values of ln((1 + z) / (1 + z_p)), shape (n,)."""
        result: np.ndarray = np.log1p(self.data.redshift) - math.log1p(self.data.pivot[1])
        return result

    @cached_property
    def _norm_rows(self) -> np.ndarray:
        """Clusters at whose redshifts the norm is computed, in order of redshift."""
        order = np.argsort(self.data.redshift, kind="stable")
        _, first = np.unique(self.data.redshift[order], return_index=True)
        rows = order[first]
        if len(rows) > _MAX_REDSHIFTS:
            rows = rows[np.linspace(0, len(rows) - 1, _MAX_REDSHIFTS).round().astype(int)]
        return rows

    @cached_property
    def _norm_population(self) -> np.ndarray:
        return np.ascontiguousarray(self.population[self._norm_rows])

    @cached_property
    def free(self) -> np.ndarray:
        """Whether each parameter is sampled: those whose prior has a width."""
        return self.prior_std > 0

    @property
    def prior_std(self) -> np.ndarray:
        """Standard deviations of the priors of `parameters`."""
        return self.priors.of(self.parameters)[1]

    def guess(self) -> np.ndarray:
        """Return parameters near the maximum, of the masses' weighted mean difference."""
        d = self.data
        guess = self.priors.of(self.parameters)[0].copy()
        guess[0] = np.average(d.x - d.w, weights=1 / (d.x_error**2 + d.w_error**2))
        guess[0] += self.priors.lensing_bias[0]
        if self.free_turn_on:
            guess[5] = np.quantile(d.w, 0.1)
        return guess

    @cached_property
    def _prior(self) -> tuple[np.ndarray, np.ndarray]:
        mean, std = self.priors.of(self.parameters)
        return mean[self.free], std[self.free]

    def log_prior(self, theta: np.ndarray) -> float:
        """Return the log of the prior density, without its norm; ``-inf`` where impossible."""
        a_slope, scatter = theta[1], theta[4]
        if 1 + a_slope < 0.2 or scatter < 0 or abs(theta[3]) > 4:
            return -math.inf
        if self.free_turn_on and not (_WIDTHS[0] < theta[6] < _WIDTHS[1]):
            return -math.inf
        mean, std = self._prior
        return float(-0.5 * (((theta[self.free] - mean) / std) ** 2).sum())

    def log_likelihood(self, theta: np.ndarray) -> float:
        """Return ln p(x, w | theta) of all clusters, with its norm in x and w."""
        return float(self.log_likelihoods(theta).sum())

    def log_likelihoods(self, theta: np.ndarray) -> np.ndarray:
        """Return ln p(x, w | theta) of each cluster, shape (n,)."""
        d, (pivot, _) = self.data, self.data.pivot
        amplitude, slope, evolution, ln_scatter, lensing_scatter = theta[:5]
        shift = amplitude - slope * pivot + evolution * self.zeta
        mean, change = self.priors.lensing_bias[0], self.priors.lensing_bias_evolution[0]
        of_x = (d.x - shift) / (1 + slope)
        var_x = (math.exp(ln_scatter) * d.x_error / (1 + slope)) ** 2
        of_w = d.w - mean - change * self.zeta
        var_w = d.w_error**2 + lensing_scatter**2
        turn_on, width = self._turn_on(theta)
        table = _PROBIT if self.free_turn_on else _ALL
        found = _log_integrals(
            of_x, var_x, of_w, var_w, self.population, GRID[0], _STEP, turn_on, width, table
        )
        result: np.ndarray = found - math.log1p(slope) - self.log_norm(theta)
        return result

    def log_norm(self, theta: np.ndarray) -> np.ndarray:
        """Return ln of the share of the halos that the turn-on leaves, shape (n,)."""
        if not self.free_turn_on:
            return np.zeros(len(self.data))
        turn_on, width = self._turn_on(theta)
        rows = self._norm_rows
        log = _log_shares(self._norm_population, GRID[0], _STEP, turn_on[rows], width, _PROBIT)
        result: np.ndarray = np.interp(self.data.redshift, self.data.redshift[rows], log)
        return result

    def selected(self, theta: np.ndarray) -> np.ndarray:
        """Return the distribution of ln M of the sample at `GRID`, integral 1, (n, node)."""
        if not self.free_turn_on:
            return self.population
        turn_on, width = self._turn_on(theta)
        density = self.population * ndtr((GRID - turn_on[:, None]) / width)
        result: np.ndarray = density / np.maximum(density.sum(1, keepdims=True) * _STEP, 1e-300)
        return result

    def log_posterior(self, theta: np.ndarray) -> float:
        """Return the log of the posterior density, without its norm."""
        prior = self.log_prior(theta)
        if not math.isfinite(prior):
            return -math.inf
        found = prior + self.log_likelihood(theta)
        return found if math.isfinite(found) else -math.inf

    def _turn_on(self, theta: np.ndarray) -> tuple[np.ndarray, float]:
        """Return ln M where half of the halos are selected, at each cluster, and its width."""
        if not self.free_turn_on:
            return np.zeros(len(self.data)), 1.0
        return theta[5] + theta[7] * self.zeta, math.exp(theta[6])


@njit(cache=True, nogil=True, inline="always")
def _at(table: np.ndarray, place: float) -> float:
    """Return a table between its nodes; beyond its ends, what it is there."""
    if place <= 0:
        result: float = table[0]
        return result
    if place >= len(table) - 1:
        result = table[-1]
        return result
    k = int(place)
    result = table[k] + (table[k + 1] - table[k]) * (place - k)
    return result


@njit(cache=True, nogil=True)
def _log_shares(
    population: np.ndarray,
    first: float,
    step: float,
    turn_on: np.ndarray,
    width: float,
    table: np.ndarray,
) -> np.ndarray:
    """Return ln of the integral of population times selection, shape (n,)."""
    n, nodes = population.shape
    low, high = _DEVIATES[0], _DEVIATES[-1]
    per_deviate = (len(table) - 1) / (high - low)
    found = np.empty(n)
    for i in range(n):
        total = 0.0
        for j in range(nodes):
            place = ((first + j * step - turn_on[i]) / width - low) * per_deviate
            total += population[i, j] * _at(table, place)
        found[i] = math.log(max(total * step, 1e-300))
    return found


@njit(cache=True, nogil=True)
def _log_integrals(
    of_x: np.ndarray,
    var_x: np.ndarray,
    of_w: np.ndarray,
    var_w: np.ndarray,
    population: np.ndarray,
    first: float,
    step: float,
    turn_on: np.ndarray,
    width: float,
    table: np.ndarray,
) -> np.ndarray:
    """Return ln of the integral of N(of_x; m, var_x) N(of_w; m, var_w) population selection dm.

    The product of the Gaussians is a Gaussian of m, which is advanced from node to node by its
    ratio; a sum over even nodes is exact to exp(-2 pi^2 (width / step)^2). `table` holds the
    selection at `_DEVIATES`.
    """
    n, nodes = population.shape
    low, high = _DEVIATES[0], _DEVIATES[-1]
    per_deviate = (len(table) - 1) / (high - low)
    advance = step / width * per_deviate
    found = np.empty(n)
    for i in range(n):
        both = var_x[i] + var_w[i]
        var = var_x[i] * var_w[i] / both
        centre = (of_x[i] * var_w[i] + of_w[i] * var_x[i]) / both
        std = math.sqrt(var)
        begin = max(0, math.floor((centre - _REACH * std - first) / step))
        end = min(nodes, math.ceil((centre + _REACH * std - first) / step) + 1)
        offset = first + begin * step - centre
        place = ((first + begin * step - turn_on[i]) / width - low) * per_deviate
        value = math.exp(-0.5 * offset * offset / var)
        ratio = math.exp(-(offset * step + 0.5 * step * step) / var)
        change = math.exp(-step * step / var)
        total = 0.0
        for j in range(begin, end):
            total += value * population[i, j] * _at(table, place)
            place += advance
            value *= ratio
            ratio *= change
        apart = of_x[i] - of_w[i]
        norm = -0.5 * apart * apart / both
        norm -= 0.5 * math.log(4 * math.pi * math.pi * var_x[i] * var_w[i])
        found[i] = norm + (math.log(total * step) if total > 0 else -1e4)
    return found
