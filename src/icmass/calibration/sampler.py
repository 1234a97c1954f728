"""Draws from the posterior of a scale: emcee, begun at the maximum, with how well it converged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.optimize import minimize

_ENOUGH_TIMES = 50
"""So many autocorrelation times a chain must be long (Foreman-Mackey+13, PASP 125, 306)."""
MAX_RHAT = 1.05


class Posterior(Protocol):
    """What can be sampled: a posterior of some parameters, a few of them fixed."""

    @property
    def free(self) -> np.ndarray:
        """Whether each parameter is sampled."""

    @property
    def prior_std(self) -> np.ndarray:
        """Standard deviations of the priors, shape (parameter,)."""

    def guess(self) -> np.ndarray:
        """Return where a search for the maximum begins, shape (parameter,)."""

    def log_posterior(self, theta: np.ndarray) -> float:
        """Return the log of the posterior density; ``-inf`` where it is none."""


@dataclass(frozen=True)
class Sampling:
    """How long the chains are.

    Attributes
    ----------
    walkers : int
    max_steps : int
        Steps at most; the chains end once they are 50 autocorrelation times long.
    check_every : int
        Steps between looks at that.
    """

    walkers: int = 32
    max_steps: int = 5000
    check_every: int = 500


@dataclass(frozen=True)
class Chains:
    """Draws from a posterior.

    Attributes
    ----------
    draws : ndarray, shape (n_draws, parameter)
    best : ndarray, shape (parameter,)
        The maximum of the posterior.
    convergence : dict
        ``autocorrelation_time`` (largest of all parameters, steps), ``steps``, ``burn_in``,
        ``walkers``, ``effective_samples``, ``rhat`` (split chains, largest), ``acceptance`` and
        ``converged``.
    """

    draws: np.ndarray
    best: np.ndarray
    convergence: dict[str, Any]


def sample_posterior(
    model: Posterior,
    *,
    seed: int,
    sampling: Sampling | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Chains:
    """Draw from the posterior of a model; the same seed gives the same draws.

    Walkers start from a Gaussian about the maximum. Moves by differential evolution (ter Braak
    2006, Stat. Comput. 16, 239; Nelson et al. 2014, ApJS 210, 11), which go well where parameters
    are correlated.
    """
    import emcee

    sampling = sampling or Sampling()
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    best, covariance = find_maximum(model)
    log_posterior = _of_free(model)
    start = _start(log_posterior, best[model.free], covariance, sampling.walkers, rng)
    moves = [(emcee.moves.DEMove(), 0.8), (emcee.moves.DESnookerMove(), 0.2)]
    sampler = emcee.EnsembleSampler(sampling.walkers, start.shape[1], log_posterior, moves=moves)
    sampler.random_state = np.random.RandomState(rng.integers(2**32)).get_state()
    state: Any = start
    done, time = 0, np.inf
    while done < sampling.max_steps:
        steps = min(sampling.check_every, sampling.max_steps - done)
        state = sampler.run_mcmc(state, steps, progress=False, skip_initial_state_check=True)
        done += steps
        time = float(np.max(sampler.get_autocorr_time(tol=0)))
        if progress is not None:
            progress(done, sampling.max_steps)
        if np.isfinite(time) and done > _ENOUGH_TIMES * time:
            break
    burn = int(min(done // 4, max(np.ceil(3 * time) if np.isfinite(time) else done // 4, 10)))
    chain = sampler.get_chain(discard=burn)
    rhat = float(split_rhat(chain).max())
    enough = bool(done > _ENOUGH_TIMES * time)
    convergence = {
        "autocorrelation_time": time,
        "steps": done,
        "burn_in": burn,
        "walkers": sampling.walkers,
        "effective_samples": float(chain.shape[0] * chain.shape[1] / time),
        "rhat": rhat,
        "acceptance": float(np.mean(sampler.acceptance_fraction)),
        "converged": enough and rhat < MAX_RHAT,
    }
    thin = max(1, int(time / 2)) if np.isfinite(time) else 1
    kept = chain[::thin].reshape(-1, start.shape[1])
    draws = np.tile(best, (len(kept), 1))
    draws[:, model.free] = kept
    return Chains(draws, best, convergence)


def find_maximum(model: Posterior) -> tuple[np.ndarray, np.ndarray]:
    """Return the maximum of the posterior, and the covariance of a Gaussian about it.

    Returns
    -------
    best : ndarray, shape (parameter,)
    covariance : ndarray, shape (free, free)
        Of the parameters that are free.
    """
    log_posterior = _of_free(model)

    def loss(theta: np.ndarray) -> float:
        value = -log_posterior(theta)
        return value if np.isfinite(value) else 1e10

    best = model.guess()
    start = best[model.free]
    width = np.minimum(0.1, 0.5 * model.prior_std[model.free])
    options = {
        "maxfev": 1500,
        "xatol": 5e-3,
        "fatol": 5e-3,
        "adaptive": True,
        "initial_simplex": np.vstack([start, start + np.diag(width)]),
    }
    found = minimize(loss, start, method="Nelder-Mead", options=options)
    best[model.free] = found.x
    return best, _covariance(loss, found.x, model)


def _of_free(model: Posterior) -> Callable[[np.ndarray], float]:
    """Return the log posterior of the free parameters."""
    whole, free = model.guess(), model.free

    def log_posterior(theta: np.ndarray) -> float:
        of_all = whole.copy()
        of_all[free] = theta
        return model.log_posterior(of_all)

    return log_posterior


def _covariance(
    loss: Callable[[np.ndarray], float], at: np.ndarray, model: Posterior
) -> np.ndarray:
    """Return the inverse of the curvature of a loss; the prior's where that is none."""
    prior_std = model.prior_std[model.free]
    step = np.minimum(0.02, np.maximum(0.2 * prior_std, 1e-4))
    n = len(at)
    centre, eye = loss(at), np.eye(n) * step
    curvature = np.empty((n, n))
    single = np.array([[loss(at + s * e) for e in eye] for s in (1, -1)])
    for i in range(n):
        curvature[i, i] = (single[0, i] + single[1, i] - 2 * centre) / step[i] ** 2
        for j in range(i):
            pair = loss(at + eye[i] + eye[j]) + loss(at - eye[i] - eye[j])
            mixed = pair - single[:, i].sum() - single[:, j].sum() + 2 * centre
            curvature[i, j] = curvature[j, i] = mixed / (2 * step[i] * step[j])
    scale = prior_std[:, None] * prior_std
    values, vectors = np.linalg.eigh(curvature * scale)  # in units of the prior's widths
    result: np.ndarray = scale * ((vectors / np.clip(values, 1.0, 1e8)) @ vectors.T)
    return result


def _start(
    log_posterior: Callable[[np.ndarray], float],
    best: np.ndarray,
    covariance: np.ndarray,
    walkers: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return where the walkers begin, all of them where the posterior is not zero."""
    spread = np.linalg.cholesky(covariance + 1e-12 * np.eye(len(best)))
    start = np.empty((walkers, len(best)))
    for k in range(walkers):
        for shrink in 0.8 ** np.arange(40):
            start[k] = best + shrink * spread @ rng.normal(size=len(best))
            if np.isfinite(log_posterior(start[k])):
                break
    return start


def split_rhat(chain: np.ndarray) -> np.ndarray:
    """Return the potential scale reduction of halves of chains, shape (parameter,).

    Vehtari et al. 2021, Bayesian Anal. 16, 667, eq. 1 to 4, without ranks. Walkers of an ensemble
    are not independent of each other, so that it is a check, no proof.

    Parameters
    ----------
    chain : ndarray, shape (step, walker, parameter)
    """
    half = len(chain) // 2
    parts = np.concatenate([chain[:half], chain[half : 2 * half]], axis=1)
    within = parts.var(axis=0, ddof=1).mean(axis=0)
    between = parts.mean(axis=0).var(axis=0, ddof=1)
    result: np.ndarray = np.sqrt((half - 1) / half + between / np.maximum(within, 1e-300))
    return result
