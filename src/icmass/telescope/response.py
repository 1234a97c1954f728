"""Effective area and energy redistribution of a telescope."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtri

from icmass.errors import InputError

N_STEPS = 1024
"""Steps of probability that a row of a redistribution is kept in."""

_LOOKUP_STEP_KEV = 0.001

_MARGIN_KEV = 0.01
"""Photons so little outside the range, drawn from a bin that straddles its end, are taken."""


def quantile_levels(n_q: int = N_STEPS + 1) -> np.ndarray:
    """Return the probabilities of the quantiles, dense in both tails: sin^2 from 0 to 1."""
    return np.sin(np.linspace(0, np.pi / 2, n_q)) ** 2


@dataclass(frozen=True)
class Area:
    """Effective area, linear between nodes and zero outside.

    Attributes
    ----------
    energy_kev : ndarray, shape (n,)
        Photon energy, increasing [keV].
    area_cm2 : ndarray, shape (n,)
        Effective area [cm^2].
    """

    energy_kev: np.ndarray
    area_cm2: np.ndarray

    def __call__(self, energy_kev: np.ndarray | float) -> np.ndarray:
        """Return the effective area [cm^2] at `energy_kev`, of the same shape."""
        return np.interp(energy_kev, self.energy_kev, self.area_cm2, left=0.0, right=0.0)


@dataclass(frozen=True, eq=False)
class Redistribution:
    """Where the energy of a photon is measured: rows of quantiles of PI energy.

    Attributes
    ----------
    energy_edges_kev : ndarray, shape (n + 1,)
        Edges of the bins of photon energy, increasing [keV].
    quantiles_kev : ndarray, shape (n, n_q)
        PI energy at the probabilities `quantile_levels` [keV], linear in the step between them.
    detected : ndarray, shape (n,)
        Probability to be measured at all.
    """

    energy_edges_kev: np.ndarray
    quantiles_kev: np.ndarray
    detected: np.ndarray

    @cached_property
    def _lookup(self) -> np.ndarray:
        low, high = self.energy_edges_kev[[0, -1]]
        grid = np.arange(low + 0.5 * _LOOKUP_STEP_KEV, high + _LOOKUP_STEP_KEV, _LOOKUP_STEP_KEV)
        row = np.searchsorted(self.energy_edges_kev, grid, side="right") - 1
        return np.clip(row, 0, len(self.quantiles_kev) - 1)

    @cached_property
    def _flat(self) -> np.ndarray:
        return np.ascontiguousarray(self.quantiles_kev, dtype=np.float32).ravel()

    def _rows(self, energy_kev: np.ndarray | float) -> np.ndarray:
        energy = np.asarray(energy_kev, dtype=float)
        low, high = self.energy_edges_kev[[0, -1]]
        low_end, high_end = low - _MARGIN_KEV, high + _MARGIN_KEV
        if energy.size and not (energy.min() >= low_end and energy.max() <= high_end):
            raise InputError(
                f"photons must lie within {low:g}-{high:g} keV, the range of the response",
                field="energy_kev",
            )
        cell = ((energy - low) * (1 / _LOOKUP_STEP_KEV)).astype(np.intp)
        return self._lookup[np.clip(cell, 0, self._lookup.size - 1)]

    def sample(self, energy_kev: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the measured energies of photons.

        Parameters
        ----------
        energy_kev : ndarray
            Photon energies in the observer's frame [keV].
        rng : numpy.random.Generator
            The source of randomness.

        Returns
        -------
        ndarray, shape of `energy_kev`
            PI energies [keV]; NaN for a photon that the response loses.
        """
        row = self._rows(energy_kev)
        n_q = self.quantiles_kev.shape[1]
        level = np.arcsin(np.sqrt(rng.random(row.shape))) * ((n_q - 1) * 2 / np.pi)
        below = level.astype(np.intp)
        index = row * n_q + below
        low = self._flat[index]
        pi = low + (level - below) * (self._flat[index + 1] - low)
        if self._loses:
            pi[rng.random(row.shape) >= self.detected[row]] = np.nan
        return pi

    @cached_property
    def _loses(self) -> bool:
        return bool(self.detected.min() < 1 - 1e-4)

    def band_probability(
        self, energy_kev: np.ndarray | float, lo_kev: float, hi_kev: float
    ) -> np.ndarray:
        """Return the probability that a photon is measured in a PI band.

        Parameters
        ----------
        energy_kev : array_like
            Photon energy [keV].
        lo_kev, hi_kev : float
            The band of PI energies [keV].

        Returns
        -------
        ndarray, shape of `energy_kev`
        """
        if not lo_kev < hi_kev:
            raise InputError(f"{lo_kev:g}-{hi_kev:g} keV is no band", field="band")
        row = self._rows(energy_kev)
        return (self.detected * (self._cumulative(hi_kev) - self._cumulative(lo_kev)))[row]

    def _cumulative(self, pi_kev: float) -> np.ndarray:
        """Return the probability of a PI energy below `pi_kev`, shape (n,)."""
        q = self.quantiles_kev
        below = np.clip((q <= pi_kev).sum(axis=1) - 1, 0, q.shape[1] - 2)
        rows = np.arange(len(q))
        low, high = q[rows, below], q[rows, below + 1]
        part = np.clip((pi_kev - low) / np.maximum(high - low, 1e-12), 0, 1)
        return np.sin((below + part) / (q.shape[1] - 1) * (np.pi / 2)) ** 2


def redistribution_from_facts(
    energy_kev: np.ndarray,
    probability: np.ndarray,
    offset_ev: np.ndarray,
    *,
    range_kev: tuple[float, float],
    step_kev: float = 0.01,
) -> Redistribution:
    """Return a redistribution from a short table of quantiles.

    Quantiles are interpolated linearly in energy between the nodes, and between the given
    probabilities linearly on the scale of a normal variate, so that a Gaussian stays one.

    Parameters
    ----------
    energy_kev : ndarray, shape (m,)
        Photon energies of the table [keV].
    probability : ndarray, shape (k,)
        Its probabilities, between 0 and 1, increasing.
    offset_ev : ndarray, shape (m, k)
        PI energy minus photon energy at those probabilities [eV].
    range_kev : tuple of float
        Lowest and highest PI energy [keV].
    step_kev : float
        Width of the bins of photon energy [keV].
    """
    edges = np.arange(energy_kev[0], energy_kev[-1] + step_kev, step_kev)
    centre = 0.5 * (edges[1:] + edges[:-1])
    offset = np.array([np.interp(centre, energy_kev, column) for column in offset_ev.T]).T / 1000
    levels = quantile_levels()
    score = ndtri(np.clip(levels, 0.25 * levels[1], 1 - 0.25 * levels[1]))
    known = ndtri(probability)
    quantiles = np.array([np.interp(score, known, row) for row in offset]) + centre[:, None]
    return Redistribution(edges, np.clip(quantiles, *range_kev), np.ones(centre.size))


def redistribution_from_matrix(
    energy_edges_kev: np.ndarray, channel_edges_kev: np.ndarray, matrix: np.ndarray
) -> Redistribution:
    """Return a redistribution from a matrix of probabilities.

    Parameters
    ----------
    energy_edges_kev : ndarray, shape (n + 1,)
        Edges of the bins of photon energy [keV].
    channel_edges_kev : ndarray, shape (c + 1,)
        Nominal energies of the edges of the channels [keV].
    matrix : ndarray, shape (n, c)
        Probability of each channel.
    """
    detected = matrix.sum(axis=1)
    levels = quantile_levels()
    quantiles = np.empty((len(matrix), levels.size))
    for row, values in enumerate(matrix):
        if detected[row] <= 0:
            quantiles[row] = channel_edges_kev[0]
            continue
        filled = np.flatnonzero(values)
        inside = slice(filled[0], filled[-1] + 1)
        cumulative = np.concatenate([[0], np.cumsum(values[inside])]) / detected[row]
        quantiles[row] = np.interp(
            levels, cumulative, channel_edges_kev[filled[0] : inside.stop + 1]
        )
    return Redistribution(energy_edges_kev, quantiles, np.minimum(detected, 1.0))
