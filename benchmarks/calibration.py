"""How well a mass scale is calibrated: coverage of A over repeats, and the time of 1,000 clusters.

    python benchmarks/calibration.py [--repeats 200] [--n 200] [--seed 1]

Each repeat hides A, B, C, sigma and the mass limit of its sample: masses from the mass function
above the limit, network masses with widths of 15 to 33 per cent, lensing masses with errors of 30
per cent (the lensing's own bias and scatter known to be 0). Prints JSON: the share of the repeats
whose 68 and 95 per cent intervals hold A, the mean stated error, the rms of the pulls; and the
convergence, stated error and processor time of one sample of 1,000 clusters, default priors.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

from icmass.calibration.model import CalibrationData, CalibrationModel, CalibrationPriors
from icmass.calibration.sampler import Sampling, sample_posterior
from icmass.cosmology import Cosmology
from icmass.estimators.posterior import LNM_GRID
from icmass.estimators.prior import mass_function_prior

PIVOT = np.log(1e14), 0.3
KNOWN = CalibrationPriors(lensing_bias=(0.0, 0.0), lensing_scatter=(0.0, 0.0))
SHORT = Sampling(walkers=24, max_steps=140, check_every=140)


def draw_masses(redshift: np.ndarray, limit: float, rng: np.random.Generator) -> np.ndarray:
    """Draw ln M from the mass function above a limit."""
    density = np.exp(mass_function_prior(redshift, Cosmology())) * (limit <= LNM_GRID)
    cumulative = np.cumsum(density, axis=1)
    wanted = rng.random(len(redshift)) * cumulative[:, -1]
    return np.array([np.interp(u, c, LNM_GRID) for u, c in zip(wanted, cumulative, strict=True)])


def draw_data(
    n: int, seed: int, truth: tuple[float, float, float, float], limit: float, scatter: float = 0.0
) -> CalibrationData:
    """Draw a sample; `truth` is A, B, C at `PIVOT`, and sigma."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(9,)))
    amplitude, slope, evolution, sigma = truth
    z = rng.uniform(0.1, 0.5, n)
    ln_m = draw_masses(z, limit, rng)
    width, error = rng.uniform(0.15, 0.33, n), np.full(n, 0.3)
    x = ln_m + amplitude + slope * (ln_m - PIVOT[0]) + evolution * np.log((1 + z) / (1 + PIVOT[1]))
    x += sigma * width * rng.normal(size=n)
    w = ln_m + np.hypot(error, scatter) * rng.normal(size=n)
    return CalibrationData(x, width, w, error, z)


def at_pivot(truth: tuple[float, float, float, float], data: CalibrationData) -> float:
    """Return A at the pivot of a sample."""
    ln_m, z = data.pivot
    change = np.log((1 + z) / (1 + PIVOT[1]))
    return float(truth[0] + truth[1] * (ln_m - PIVOT[0]) + truth[2] * change)


def repeat(n: int, seed: int) -> dict[str, float]:
    """Return the pull of A, its stated error, and whether intervals hold it, of one repeat."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(8,)))
    truth = (rng.uniform(-0.3, 0.3), rng.normal(0, 0.1), rng.normal(0, 0.4), rng.uniform(0.8, 1.25))
    data = draw_data(n, seed, truth, rng.uniform(np.log(5e13), np.log(1.5e14)))
    prior = mass_function_prior(data.redshift, Cosmology())
    draws = sample_posterior(CalibrationModel(data, prior, KNOWN), seed=seed, sampling=SHORT).draws
    found, hidden = draws[:, 0], at_pivot(truth, data)
    level = float(np.mean(found < hidden))
    return {
        "pull": float((np.median(found) - hidden) / found.std()),
        "error": float(found.std()),
        "in68": float(abs(level - 0.5) < 0.34),
        "in95": float(abs(level - 0.5) < 0.475),
    }


def speed(n: int, seed: int) -> dict[str, Any]:
    """Return how long a sample takes with the default priors, and how it converged."""
    truth = (0.1, 0.05, 0.0, 1.0)
    data = draw_data(n, seed, truth, np.log(8e13), scatter=0.21)
    begin = time.process_time(), time.monotonic()
    prior = mass_function_prior(data.redshift, Cosmology())
    chains = sample_posterior(CalibrationModel(data, prior), seed=seed)
    spent = time.process_time() - begin[0], time.monotonic() - begin[1]
    a = chains.draws[:, 0]
    return {
        "clusters": n, "cpu_s": spent[0], "wall_s": spent[1],
        "amplitude_true": at_pivot(truth, data), "amplitude": float(np.median(a)),
        "amplitude_error": float(a.std()), "convergence": chains.convergence,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    begin = time.process_time()
    rows = [repeat(given.n, 1000 * given.seed + k) for k in range(given.repeats)]
    found: dict[str, Any] = {
        "repeats": given.repeats,
        "clusters": given.n,
        "coverage68": float(np.mean([row["in68"] for row in rows])),
        "coverage95": float(np.mean([row["in95"] for row in rows])),
        "mean_error": float(np.mean([row["error"] for row in rows])),
        "mean_pull": float(np.mean([row["pull"] for row in rows])),
        "rms_pull": float(np.sqrt(np.mean([row["pull"] ** 2 for row in rows]))),
        "cpu_s": time.process_time() - begin,
    }
    found["speed"] = speed(1000, given.seed)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
