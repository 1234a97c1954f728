"""Omega_m and sigma_8 from likelihoods of the masses of synthetic clusters, and a scale.

    python benchmarks/population.py [--area 4000] [--seed 1]

Clusters are drawn from the mass function of a cosmology in a volume, by a selection in mass; each
has a mass estimate with a scatter of 15 to 35 per cent, as a network would. Their likelihoods, the
prior divided out, give Omega_m, sigma_8 and S8 = sigma_8 sqrt(Omega_m / 0.3) back, h, ns and
Omega_b known, on a grid; then the scale A with the cosmology known. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
from scipy.optimize import minimize
from scipy.special import ndtr

from icmass.calibration.population import ClusterPopulation, volume_slope
from icmass.cosmology import Cosmology
from icmass.estimators.posterior import LNM_GRID, M500C_GRID, normalised

TRUTH = Cosmology()
REDSHIFTS = (0.1, 0.6)


def selection(mass: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """Half of the halos at 2e14 Msun/h (z = 0.3), a width of 0.35 in ln M."""
    return ndtr((np.log(mass / 2e14) - 1.0 * np.log((1 + redshift) / 1.3)) / 0.35)


def draw_sample(area: float, seed: int) -> ClusterPopulation:
    """Draw clusters from halos, Poisson in number, and make their likelihoods."""
    rng = np.random.default_rng(seed)
    z = np.linspace(*REDSHIFTS, 101)
    density = TRUTH.halo_density(M500C_GRID, z) * selection(M500C_GRID[None], z[:, None])
    number = density * volume_slope(TRUTH, z, area)[:, None] * (z[1] - z[0])
    number *= LNM_GRID[1] - LNM_GRID[0]
    number[[0, -1]] /= 2
    rows, nodes = np.nonzero(counts := rng.poisson(number))
    rows, nodes = (np.repeat(a, counts[rows, nodes]) for a in (rows, nodes))
    jitter = rng.random((2, len(rows))) - 0.5
    ln_m = LNM_GRID[nodes] + jitter[0] * (LNM_GRID[1] - LNM_GRID[0])
    redshift = np.clip(z[rows] + jitter[1] * (z[1] - z[0]), *REDSHIFTS)
    width = rng.uniform(0.15, 0.35, len(rows))
    x = ln_m + width * rng.normal(size=len(rows))
    likelihood = normalised(np.exp(-0.5 * ((LNM_GRID - x[:, None]) / width[:, None]) ** 2))
    return ClusterPopulation(likelihood, redshift, area, REDSHIFTS, selection, n_redshifts=12)


def cosmology_of(theta: np.ndarray) -> Cosmology:
    om0, s8 = theta
    return TRUTH.model_copy(update={"om0": om0, "sigma8": s8 / np.sqrt(om0 / 0.3)})


def fit_cosmology(sample: ClusterPopulation, n_grid: int = 9) -> dict[str, float]:
    """Return means and standard deviations of Omega_m, sigma_8 and S8, and their pulls."""

    def log_p(theta: np.ndarray) -> float:
        if not (0.12 < theta[0] < 0.6 and 0.4 < theta[1] < 1.3):
            return -np.inf
        return sample.log_likelihood(cosmology_of(theta))

    truth = np.array([TRUTH.om0, TRUTH.sigma8 * np.sqrt(TRUTH.om0 / 0.3)])
    begin = np.array([0.3, 0.8])
    simplex = begin + np.array([[0, 0], [0.02, 0], [0, 0.02]])
    options = {"xatol": 2e-4, "fatol": 0.02, "maxfev": 60, "initial_simplex": simplex}
    best = minimize(lambda t: -log_p(t), begin, method="Nelder-Mead", options=options).x
    step = np.array([0.01, 0.005])
    here = log_p(best)
    std = np.array([
        (-(log_p(best + d) + log_p(best - d) - 2 * here) / step[i] ** 2) ** -0.5
        for i, d in enumerate(np.diag(step))
    ])  # fmt: skip
    axes = [best[i] + std[i] * np.linspace(-6, 6, n_grid) for i in range(2)]
    log = np.array([[log_p(np.array([a, b])) for b in axes[1]] for a in axes[0]])
    # the log of the posterior is smooth: quadratic in both, fitted, is drawn from
    a, b = np.meshgrid(*[(axis - m) / s for axis, m, s in zip(axes, best, std, strict=True)],
                       indexing="ij")  # fmt: skip
    near = log > log.max() - 12
    powers = [(i, j) for i in range(5) for j in range(5 - i)]
    terms = np.stack([a[near] ** i * b[near] ** j for i, j in powers], 1)
    fit = np.linalg.lstsq(terms, log[near], rcond=None)[0]
    fine = np.meshgrid(*[np.linspace(-6, 6, 241)] * 2, indexing="ij")
    smooth = sum(c * fine[0] ** i * fine[1] ** j for c, (i, j) in zip(fit, powers, strict=True))
    inside = np.hypot(*fine) < 5.9
    weight = np.where(inside, np.exp(np.minimum(smooth - log.max(), 1)), 0)
    weight /= weight.sum()
    om0, s8 = (best[i] + std[i] * fine[i] for i in range(2))
    found: dict[str, float] = {"fit_rms": float((terms @ fit - log[near]).std())}
    values = {
        "om0": (om0, truth[0]), "s8": (s8, truth[1]),
        "sigma8": (s8 / np.sqrt(np.maximum(om0, 0.05) / 0.3), TRUTH.sigma8),
    }  # fmt: skip
    for name, (value, true) in values.items():
        mean = float((weight * value).sum())
        error = float(np.sqrt((weight * (value - mean) ** 2).sum()))
        found |= {name: mean, f"{name}_error": error, f"{name}_pull": (mean - true) / error}
    return found


def fit_scale(sample: ClusterPopulation) -> dict[str, float]:
    """Return the scale A with the cosmology known."""
    nodes = np.linspace(-0.08, 0.08, 9)
    log = np.array([sample.log_likelihood(TRUTH, scale) for scale in nodes])
    bend, slope, _ = np.polyfit(nodes, log, 2)
    return {"scale": float(-slope / (2 * bend)), "scale_error": float((-2 * bend) ** -0.5)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--area", type=float, default=4000.0, help="deg^2")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    begin = time.process_time()
    sample = draw_sample(given.area, given.seed)
    found: dict[str, object] = {
        "clusters": len(sample.redshift),
        "expected": sample.expected(TRUTH),
        "truth": {"om0": TRUTH.om0, "sigma8": TRUTH.sigma8},
        "cosmology": fit_cosmology(sample),
        "scale": fit_scale(sample),
        "seed": given.seed,
    }
    found["cpu_s"] = time.process_time() - begin
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
