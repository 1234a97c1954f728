"""Histories: the halos of a simulation box, grown from snapshot to snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from icmass.cosmology import Cosmology
from icmass.universe.halos import LATENTS, SHAPES, HaloConfig
from icmass.universe.mass_function import LOG_MASS, halo_abundance

PER_BIN = 350  # most halos of all snapshots of a box in one bin of mass, and
BIN_DEX = 0.105  # the width of the bin: Ho et al. 2023
_SIGMAS = 4.5  # halos rise above the threshold from this far below, in scatters of the walk


@dataclass(frozen=True)
class Box:
    """The selected halos of one box, in a random order; n of them, counting every snapshot.

    Attributes
    ----------
    halo : ndarray of int, shape (n,)
        Number of the halo within the box.
    snapshot : ndarray of int, shape (n,)
    m500c : ndarray, shape (n,)
        [Msun/h]
    position : ndarray, shape (n, 3)
        [comoving Mpc/h]
    latents : ndarray, shape (n, len(LATENTS) + len(SHAPES))
    """

    halo: np.ndarray
    snapshot: np.ndarray
    m500c: np.ndarray
    position: np.ndarray
    latents: np.ndarray

    def __len__(self) -> int:
        return len(self.halo)

    @cached_property
    def rank(self) -> np.ndarray:
        """Which new halo of the box each one is, counted as they first appear, (n,)."""
        _, first, row = np.unique(self.halo, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[row]


def within(log_mass: np.ndarray, config: HaloConfig) -> np.ndarray:
    """Return whether log10 M500c [Msun/h] is in the range of the survey."""
    return (log_mass >= config.log_m500c_min) & (log_mass <= config.log_m500c_max)


def selected_fraction(config: HaloConfig, cosmology: Cosmology) -> np.ndarray:
    """Return the part of the halos that the selection keeps, at `LOG_MASS`."""
    inside = within(LOG_MASS, config)
    if config.selection == "mass_function":
        return inside.astype(float)
    density = halo_abundance(cosmology, config.redshifts).density.sum(0)
    in_bin = density * BIN_DEX * config.box_mpc_h**3
    return inside * np.minimum(1, PER_BIN / np.maximum(in_bin, 1e-9))


def grow_box(config: HaloConfig, cosmology: Cosmology, rng: np.random.Generator) -> Box:
    """Draw the halos of a box and follow them through its snapshots.

    Notes
    -----
    A halo is carried by its abundance rank N, the number of halos of the box that are expected to
    be more massive. ln N walks at random from snapshot to snapshot, by a normal step of variance
    s^2 and mean s^2 / 2: this leaves the uniform distribution of N, hence every snapshot's mass
    function, as it is. The step's normal is also the innovation of the latent ``accretion``
    (Ornstein-Uhlenbeck, as all latents are), less the mean that it has at fixed mass. Halos keep
    their comoving position.
    """
    times = cosmology.astropy.lookback_time(np.array(config.redshifts)).to_value("Gyr")
    log_mass, innovations = _grow(config, cosmology, times, rng)
    probability = np.interp(log_mass, LOG_MASS, selected_fraction(config, cosmology))
    probability *= within(log_mass, config)
    halo, snapshot = np.nonzero(rng.random(probability.shape) < probability)
    shuffled = rng.permutation(len(halo))
    halo, snapshot = halo[shuffled], snapshot[shuffled]
    numbers, row = np.unique(halo, return_inverse=True)
    position = rng.random((len(numbers), 3)) * config.box_mpc_h
    latents = evolve(innovations[numbers], times, config, rng)
    return Box(
        halo=halo,
        snapshot=snapshot,
        m500c=10 ** log_mass[halo, snapshot],
        position=position[row],
        latents=latents[row, snapshot],
    )


def _grow(
    config: HaloConfig, cosmology: Cosmology, times: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return log10 M500c [Msun/h] and the normals of the steps, both (halo, snapshot)."""
    above = halo_abundance(cosmology, config.redshifts).above * config.box_mpc_h**3
    ln_above = np.log(np.maximum(above, 1e-300))[:, ::-1]
    scatter = config.growth_scatter * np.sqrt(times[-1] - times[0])
    threshold = max(np.interp(config.log_m500c_min, LOG_MASS, row) for row in above)
    deepest = min(threshold * np.exp(_SIGMAS * scatter + scatter**2), above[:, 0].min())
    n_halos = rng.poisson(deepest)
    ln_rank = np.log(rng.random(n_halos) * deepest)
    log_mass, normals = np.empty((2, n_halos, len(times)))
    for snapshot in range(len(times) - 1, -1, -1):
        normal = rng.standard_normal(n_halos)
        step = 0.0
        if snapshot < len(times) - 1:
            step = config.growth_scatter * np.sqrt(times[snapshot + 1] - times[snapshot])
            ln_rank = ln_rank - step * normal + step**2 / 2
        normals[:, snapshot] = normal - step
        log_mass[:, snapshot] = np.interp(ln_rank, ln_above[snapshot], LOG_MASS[::-1])
    return log_mass, normals


def evolve(
    innovations: np.ndarray, times: np.ndarray, config: HaloConfig, rng: np.random.Generator
) -> np.ndarray:
    """Return the latents (halo, snapshot, latent), stationary in time.

    Each is the sum of an Ornstein-Uhlenbeck walk with its own memory and of a part that is new at
    every snapshot (`HaloConfig.instant_share`). Steps of walks that forget at rates k_i and k_j are
    correlated so that the walks are, at any time: their covariance is R_ij (1 - k_i k_j).
    """
    n_halos, n_times = innovations.shape
    n = len(LATENTS)
    memory = np.array([config.memory_gyr[name] for name in (*LATENTS, *SHAPES)])
    correlation = np.eye(len(memory))
    correlation[:n, :n] = config.component_correlation
    normals = rng.standard_normal((n_times, n_halos, len(memory)))
    normals[:, :, 0] = innovations.T
    values = np.empty_like(normals)
    values[-1] = normals[-1] @ _factor(correlation).T
    for snapshot in range(n_times - 2, -1, -1):
        decay = np.exp((times[snapshot] - times[snapshot + 1]) / memory)
        step = _factor(correlation * (1 - np.outer(decay, decay)))
        values[snapshot] = decay * values[snapshot + 1] + normals[snapshot] @ step.T
    share = config.instant_shares
    instant = rng.standard_normal((n_times, n_halos, n)) @ _factor(correlation[:n, :n]).T
    values[..., :n] = np.sqrt(1 - share) * values[..., :n] + np.sqrt(share) * instant
    return values.transpose(1, 0, 2)


def _factor(covariance: np.ndarray) -> np.ndarray:
    return np.linalg.cholesky(covariance + 1e-12 * np.eye(len(covariance)))
