"""The mass scale by lensing masses: likelihood, sampler, recovery, coverage, application."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import binom, chi2, norm

from icmass.calibration.apply import MassScale, calibrate_prediction
from icmass.calibration.checks import posterior_checks, replicate
from icmass.calibration.model import CalibrationData, CalibrationModel, CalibrationPriors
from icmass.calibration.sampler import Sampling, find_maximum, sample_posterior, split_rhat
from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.estimators.posterior import LNM_GRID, Prediction, normalised
from icmass.estimators.prior import mass_function_prior

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
KNOWN = CalibrationPriors(lensing_bias=(0.0, 0.0), lensing_scatter=(0.0, 0.0))
SHORT = Sampling(walkers=24, max_steps=300, check_every=300)


def sample_of_clusters(
    n: int = 200, *, amplitude: float = 0.0, seed: int = 0, sigma: float = 1.0, limit: float = 5e13
) -> CalibrationData:
    """Draw masses above a limit, network masses and lensing masses of 30 per cent, by hand."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.1, 0.5, n)
    density = np.exp(mass_function_prior(z, Cosmology())) * (np.log(limit) <= LNM_GRID)
    cumulative = np.cumsum(density, axis=1)
    wanted = rng.random(n) * cumulative[:, -1]
    ln_m = np.array([np.interp(u, c, LNM_GRID) for u, c in zip(wanted, cumulative, strict=True)])
    width = rng.uniform(0.15, 0.33, n)
    x = ln_m + amplitude + sigma * width * rng.normal(size=n)
    return CalibrationData(x, width, ln_m + 0.3 * rng.normal(size=n), np.full(n, 0.3), z)


def model_of(data: CalibrationData, priors: CalibrationPriors = KNOWN) -> CalibrationModel:
    return CalibrationModel(data, mass_function_prior(data.redshift, Cosmology()), priors)


THETA = np.array([0.1, -0.08, 0.3, 0.1, 0.12, np.log(7e13), np.log(0.3), 0.4])


def test_the_likelihood_is_the_integral_that_it_says() -> None:
    data = sample_of_clusters(6)
    priors = CalibrationPriors(lensing_bias=(-0.05, 0.02), lensing_bias_evolution=(0.1, 0.0))
    model = model_of(data, priors)
    found = model.log_likelihoods(THETA)
    a, b, c, ln_sigma, scatter, turn_on, ln_width, trend = THETA
    pivot_m, pivot_z = data.pivot
    log_density = mass_function_prior(data.redshift, Cosmology())
    for i in range(len(data)):
        zeta = np.log((1 + data.redshift[i]) / (1 + pivot_z))

        def population(m: float, i: int = i, zeta: float = zeta) -> float:
            log = np.interp(m, LNM_GRID, log_density[i])
            return np.exp(log) * ndtr((m - turn_on - trend * zeta) / np.exp(ln_width))

        def integrand(m: float, i: int = i, zeta: float = zeta) -> float:
            x = norm.pdf(
                data.x[i], m + a + b * (m - pivot_m) + c * zeta, np.exp(ln_sigma) * data.x_error[i]
            )
            w = norm.pdf(data.w[i], m - 0.05 + 0.1 * zeta, np.hypot(data.w_error[i], scatter))
            return x * w * population(m, i, zeta)

        ends, middle = (LNM_GRID[0], LNM_GRID[-1]), data.w[i]
        options = {"limit": 500, "epsrel": 1e-6, "points": [middle - 1, middle, middle + 1]}
        top, bottom = (quad(f, *ends, **options)[0] for f in (integrand, population))
        # the norm is interpolated in redshift and the sums go in steps of 0.04 of ln M
        assert found[i] == pytest.approx(np.log(top / bottom), abs=2e-3)


def test_the_likelihood_of_x_and_w_has_a_norm_of_one() -> None:
    data = sample_of_clusters(1)
    nodes = np.linspace(-2.4, 2.4, 121)
    x, w = (a.ravel() for a in np.meshgrid(np.log(1.5e14) + nodes, np.log(1.5e14) + nodes))
    one = np.ones(len(x))
    grid = CalibrationData(x, 0.3 * one, w, 0.3 * one, data.redshift[0] * one)
    theta = THETA.copy()
    theta[[0, 1, 5]] = 0.05, 0.1, np.log(1.2e14)
    found = np.exp(model_of(grid).log_likelihoods(theta))
    # the square holds all but the rare masses beyond 1e15; steps of 0.04 of Gaussians of 0.3
    assert found.sum() * (nodes[1] - nodes[0]) ** 2 == pytest.approx(1, abs=5e-3)


@pytest.mark.parametrize("shift", [-0.2, 0.2])
def test_an_injected_scale_is_recovered(shift: float) -> None:
    hidden = np.log1p(shift)
    data = sample_of_clusters(200, amplitude=hidden, seed=11)
    drawn = sample_posterior(model_of(data), seed=3, sampling=SHORT).draws[:, 0]
    floor = np.sqrt(0.24**2 + 0.3**2) / np.sqrt(200)
    assert floor * 0.75 < drawn.std() <= 0.03
    assert abs(np.median(drawn) - hidden) <= 2 * drawn.std()


def test_slope_evolution_and_scatter_are_recovered() -> None:
    rng = np.random.default_rng(5)
    like = sample_of_clusters(800, seed=2)
    truth = np.array([0.15, -0.12, 0.5, np.log(1.3), 0.0, np.log(6e13), np.log(0.2), 0.0])
    data = replicate(model_of(like), truth, rng)
    model = model_of(data)
    chains = sample_posterior(model, seed=1, sampling=SHORT)
    change = data.pivot[0] - like.pivot[0], np.log((1 + data.pivot[1]) / (1 + like.pivot[1]))
    truth[0] += truth[1] * change[0] + truth[2] * change[1]
    pulls = (chains.draws.mean(0) - truth)[:4] / chains.draws.std(0)[:4]
    assert (np.abs(pulls) < 3).all() and (chains.draws.std(0)[:4] < [0.02, 0.05, 0.2, 0.1]).all()


def hits(n_repeats: int, first: int) -> tuple[int, np.ndarray]:
    """Return how many 68 per cent intervals of A hold the hidden one, and the pulls."""
    held, pulls = 0, []
    short = Sampling(walkers=24, max_steps=160, check_every=160)
    for k in range(first, first + n_repeats):
        rng = np.random.default_rng(k)
        hidden, sigma = rng.uniform(-0.3, 0.3), rng.uniform(0.8, 1.25)
        limit = rng.uniform(5e13, 1.5e14)
        data = sample_of_clusters(200, amplitude=hidden, seed=k, sigma=sigma, limit=limit)
        drawn = sample_posterior(model_of(data), seed=k, sampling=short).draws[:, 0]
        low, high = np.percentile(drawn, [16, 84])
        held += low <= hidden <= high
        pulls.append((np.median(drawn) - hidden) / drawn.std())
    return held, np.array(pulls)


def test_stated_errors_are_those_of_a_few_repeats() -> None:
    held, pulls = hits(8, 100)
    low, high = binom.interval(0.998, 8, 0.68)
    assert low <= held <= high
    low, high = np.sqrt(chi2.ppf([0.001, 0.999], 8) / 8)
    assert low < np.sqrt((pulls**2).mean()) < high


@pytest.mark.slow
def test_intervals_of_the_amplitude_hold_it_in_68_of_100_repeats() -> None:
    from calibration import repeat

    rows = [repeat(200, 1000 + k) for k in range(200)]
    assert 0.63 <= np.mean([row["in68"] for row in rows]) <= 0.73
    assert abs(np.mean([row["pull"] for row in rows])) < 3.3 / np.sqrt(200)
    assert np.mean([row["error"] for row in rows]) <= 0.03


def test_a_selection_that_is_given_takes_the_place_of_the_turn_on() -> None:
    data = sample_of_clusters(150, amplitude=0.1, seed=4, limit=8e13)
    with np.errstate(divide="ignore"):
        log = mass_function_prior(data.redshift, Cosmology()) + np.log(np.log(8e13) <= LNM_GRID)
    model = CalibrationModel(data, log, KNOWN, free_turn_on=False)
    assert model.parameters == ("amplitude", "slope", "evolution", "ln_scatter", "lensing_scatter")
    best, covariance = find_maximum(model)
    assert covariance.shape == (4, 4)  # the lensing scatter is known
    error = np.sqrt(covariance[0, 0])
    assert error < 0.035 and abs(best[0] - 0.1) < 3 * error


def test_the_same_seed_gives_the_same_draws() -> None:
    model = model_of(sample_of_clusters(20))
    few = Sampling(walkers=20, max_steps=30, check_every=30)
    a, b, c = (sample_posterior(model, seed=s, sampling=few).draws for s in (1, 1, 2))
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_chains_that_are_too_short_say_so() -> None:
    model = model_of(sample_of_clusters(20))
    few = sample_posterior(model, seed=1, sampling=Sampling(20, 40, 40)).convergence
    assert not few["converged"] and few["steps"] == 40


def test_rhat_tells_chains_that_disagree() -> None:
    rng = np.random.default_rng(0)
    chain = rng.normal(size=(2000, 8, 1))
    # of 16 halves of 1000 independent draws R-hat - 1 is about 1 / 2000
    assert abs(split_rhat(chain)[0] - 1) < 3e-3
    chain[:, 0] += 2
    assert split_rhat(chain)[0] > 1.1


def test_checks_are_content_with_the_model_and_not_with_another() -> None:
    data = sample_of_clusters(200, seed=8)
    model = model_of(data)
    draws = sample_posterior(model, seed=1, sampling=SHORT).draws
    checks = posterior_checks(model, draws, seed=1)
    # of the masses' own distribution a sample of 200 may be odd by chance: its fit is looked at
    assert all(0.01 < checks["p_values"][name] < 0.99 for name in ("chi2", "slope", "evolution"))
    quantiles = checks["residual_quantiles"]["84"]
    assert quantiles["observed"] == pytest.approx(quantiles["predicted"], abs=0.3)
    tight = draws.copy()
    tight[:, 3] -= 1.5  # network widths too small by a factor 4.5
    tight[:, 5] += 1.0  # and a sample of more massive clusters
    found = posterior_checks(model, tight, seed=1)
    assert any("scatter" in words for words in found["doubtful"])
    assert any("mean lensing mass" in words for words in found["doubtful"])


def test_data_that_make_no_sense_are_refused() -> None:
    one = np.ones(3)
    with pytest.raises(InputError, match="not finite, or no error"):
        CalibrationData(one, 0 * one, one, one, one)
    with pytest.raises(InputError, match="shapes"):
        CalibrationData(one, one, one[:2], one, one)


def fixed_scale(n: int = 50, **values: float) -> MassScale:
    given = {"amplitude": 0.0, "slope": 0.0, "evolution": 0.0, "scatter": 1.0} | values
    return MassScale(
        **{k: np.full(n, v) for k, v in given.items()},
        pivot_ln_mass=np.log(2e14),
        pivot_redshift=0.3,
    )


def gaussian(mean: float, std: float) -> Prediction:
    density = np.exp(-0.5 * ((LNM_GRID - mean) / std) ** 2)
    return Prediction.from_density(normalised(density[None]))


def test_a_known_scale_moves_and_widens() -> None:
    z = np.array([0.5])
    scale = fixed_scale(amplitude=0.2, slope=-0.1, evolution=0.5, scatter=1.4)
    x = np.log(3e14)
    made = calibrate_prediction(gaussian(x, 0.2), z, scale)
    shift = 0.2 + 0.5 * np.log(1.5 / 1.3)
    expected = np.log(2e14) + (x - np.log(2e14) - shift) / 0.9
    assert made.prediction.mean[0] == pytest.approx(expected, abs=1e-3)
    assert made.prediction.std[0] == pytest.approx(1.4 * 0.2 / 0.9, rel=0.01)
    assert made.std_scale[0] == pytest.approx(0, abs=1e-9)


def test_the_error_of_the_scale_is_added_and_the_prior_comes_in_once() -> None:
    amplitude = 0.15 * np.random.default_rng(1).normal(size=2000)
    scale = fixed_scale(2000)
    scale = MassScale(**{**scale.__dict__, "amplitude": amplitude})
    z, x = np.array([0.3]), np.log(2e14)
    made = calibrate_prediction(gaussian(x, 0.2), z, scale)
    assert made.prediction.std[0] == pytest.approx(np.hypot(0.2, amplitude.std()), rel=0.01)
    assert made.std_scale[0] == pytest.approx(amplitude.std(), rel=0.01)
    slope = -2.0  # a power law as prior moves a Gaussian by slope * variance
    steep = calibrate_prediction(gaussian(x, 0.2), z, fixed_scale(), slope * LNM_GRID[None])
    assert steep.prediction.mean[0] == pytest.approx(x - 2 * 0.04, abs=1e-3)


def test_a_posterior_that_leaves_the_grid_is_refused() -> None:
    nothing_heavy = np.where(np.log(1e14) > LNM_GRID, 0.0, -np.inf)[None]
    with pytest.raises(InputError, match="outside the masses trained on"):
        calibrate_prediction(gaussian(35.8, 0.05), np.array([0.3]), fixed_scale(), nothing_heavy)
