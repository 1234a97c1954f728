"""Priors of ln M: fitted, from the mass function, and swapped, against known answers."""

from __future__ import annotations

import re

import numpy as np
import pytest
from colossus.lss import mass_function
from pydantic import ValidationError
from scipy import stats

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.estimators.posterior import LNM_GRID, LNM_STEP, M500C_GRID, Prediction, normalised
from icmass.estimators.prior import (
    Prior,
    TrainingPrior,
    flat_prior,
    mass_function_prior,
    parse_prior,
)

LOW, HIGH = 13.5 * np.log(10), 14.8 * np.log(10)
WIDTH = 0.35  # of the simulated measurement of ln M


def known(redshift: np.ndarray) -> np.ndarray:
    """Return a training set's log density: an exponential, steeper with redshift, within limits."""
    slope = 0.5 + 2 * redshift
    log = -slope[:, None] * (LNM_GRID - LOW)
    inside = (LOW <= LNM_GRID) & (HIGH >= LNM_GRID)
    return np.log(normalised(np.where(inside, np.exp(log), 0)) + 1e-300) + np.where(
        inside, 0, -np.inf
    )


def draw(log_density: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return Prediction.from_density(np.exp(log_density)).sample(1, rng)[:, 0]


def drawn_known(redshift: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw exactly from `known` by its inverse cumulative distribution."""
    slope, u = 0.5 + 2 * redshift, rng.random(len(redshift))
    return LOW - np.log(1 - u * (1 - np.exp(-slope * (HIGH - LOW)))) / slope


def likelihood(measured: np.ndarray) -> np.ndarray:
    return np.exp(-(((LNM_GRID - measured[:, None]) / WIDTH) ** 2) / 2)


def posterior(measured: np.ndarray, log_prior: np.ndarray) -> Prediction:
    return Prediction.from_density(likelihood(measured) * np.exp(log_prior))


# ---------------------------------------------------------------- the training set's prior


@pytest.mark.parametrize(("n", "tolerance"), [(3_000, 0.15), (30_000, 0.07)])
def test_training_prior_gets_back_what_it_was_drawn_from(n: int, tolerance: float) -> None:
    rng = np.random.default_rng(1)
    z = rng.uniform(0.05, 0.5, n)
    prior = TrainingPrior.fit(drawn_known(z, rng), z)
    at = np.array([0.06, 0.2, 0.35, 0.5])
    truth, found = known(at), prior.log_density(at)
    both = np.isfinite(truth) & np.isfinite(found)
    change = np.where(both, found, 0) - np.where(both, truth, 0)
    rms = np.sqrt((np.exp(truth) * both * change**2).sum(1) * LNM_STEP)
    assert rms.max() < tolerance
    np.testing.assert_allclose(np.exp(found).sum(1) * LNM_STEP, 1, rtol=1e-6)
    assert np.isneginf(found[:, LNM_GRID < LOW - 0.02]).all()
    assert np.isneginf(found[:, LNM_GRID > HIGH + 0.05]).all()
    assert np.isfinite(found[:, (LNM_GRID > LOW + 0.03) & (LNM_GRID < HIGH - 0.3)]).all()


def test_the_mass_limits_follow_the_redshift() -> None:
    rng = np.random.default_rng(2)
    z = rng.uniform(0.1, 0.7, 4_000)
    low = LOW + 2 * (z - 0.1)
    prior = TrainingPrior.fit(rng.uniform(low, HIGH), z)
    for redshift in (0.1, 0.4, 0.7):
        inside = np.isfinite(prior.log_density(np.array([redshift]))[0])
        assert LNM_GRID[inside][0] == pytest.approx(LOW + 2 * (redshift - 0.1), abs=0.2)
        assert LNM_GRID[inside][-1] == pytest.approx(HIGH, abs=0.05)


def test_training_prior_of_snapshots_is_small_and_comes_back_from_json() -> None:
    rng = np.random.default_rng(3)
    z = rng.choice([0.066, 0.137, 0.213, 0.293, 0.379, 0.470], 600)
    prior = TrainingPrior.fit(drawn_known(z, rng), z)
    text = prior.model_dump_json(indent=1)
    assert len(text) < 30_000
    again = TrainingPrior.model_validate_json(text)
    assert again == prior
    outside = prior.log_density(np.array([0.02, 0.066, 0.47, 0.9]))
    np.testing.assert_allclose(outside[[0, 3]], outside[[1, 2]])


def test_training_prior_of_few_clusters_at_one_redshift() -> None:
    prior = TrainingPrior.fit(np.linspace(32, 33, 12), np.full(12, 0.2))
    log = prior.log_density(np.array([0.2, 0.5]))
    inside = (LNM_GRID > 32.05) & (LNM_GRID < 32.95)
    np.testing.assert_allclose(log[0, inside], 0, atol=0.25)  # density 1 per unit of ln M
    np.testing.assert_allclose(log[0], log[1])
    alike = TrainingPrior.fit(np.full(12, 32.0), np.linspace(0.1, 0.2, 12))
    assert np.exp(alike.log_density(np.array([0.15]))) @ LNM_GRID * LNM_STEP == pytest.approx(
        [32.0], abs=LNM_STEP
    )


@pytest.mark.parametrize(
    ("ln_m", "redshift", "message"),
    [
        (np.full(12, 32.0), np.full(11, 0.2), "12 masses and 11 redshifts"),
        (np.full(3, 32.0), np.full(3, 0.2), "give 10 or more"),
        (np.array([32.0] * 11 + [np.nan]), np.full(12, 0.2), "not finite"),
        (np.full(12, 20.0), np.full(12, 0.2), "masses outside 4e\\+12 to 6.3e\\+15 Msun/h"),
    ],
)
def test_bad_training_sets(ln_m: np.ndarray, redshift: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TrainingPrior.fit(ln_m, redshift)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("low", (31.0,)),
        ("low", (35.0, 35.0)),
        ("redshift", (0.5, 0.1)),
        ("table", ((0.0, 1.0), (0.0,))),
        ("high", (34.0, np.inf)),
    ],
)
def test_a_damaged_training_prior_is_refused(field: str, value: tuple) -> None:
    good = {
        "redshift": (0.1, 0.5),
        "low": (31.0, 31.0),
        "high": (34.0, 34.0),
        "ln_m": (31.0, 34.0),
        "table": ((0.0, 1.0), (0.0, 1.0)),
    }
    TrainingPrior.model_validate(good)
    with pytest.raises(ValidationError):
        TrainingPrior.model_validate(good | {field: value})


# ---------------------------------------------------------------- the mass function


@pytest.mark.parametrize("cosmology", [Cosmology(), Cosmology(om0=0.3, sigma8=0.75, h=0.68)])
def test_mass_function_is_that_of_colossus(cosmology: Cosmology) -> None:
    z = np.array([0.0, 0.1034, 0.4251])
    found = mass_function_prior(z, cosmology)
    mass = M500C_GRID
    for row, redshift in zip(found, z, strict=True):
        with cosmology.colossus():  # per volume, of m and mass^2 / rho_m: another of its units
            scaled = mass_function.massFunction(
                mass, redshift, mdef="500c", model="tinker08", q_in="M", q_out="M2dndM"
            )
        log = np.log(scaled / mass)
        log -= np.log(np.trapezoid(np.exp(log), LNM_GRID))
        np.testing.assert_allclose(row, log, atol=5e-3)
    np.testing.assert_allclose(np.trapezoid(np.exp(found), LNM_GRID, axis=1), 1)


def test_mass_function_has_a_power_law_end_and_an_exponential_one() -> None:
    z = np.array([0.1, 0.5])
    slope = np.gradient(mass_function_prior(z, Cosmology()), LNM_GRID, axis=1)
    np.testing.assert_allclose(slope[:, 5], -1, atol=0.25)  # dn/dlnM goes as about M^-1
    assert (np.diff(slope[:, 5:-5], axis=1) < 0.01).all()
    assert slope[1, 300] < slope[0, 300] < -4
    rich = np.gradient(mass_function_prior(z, Cosmology(sigma8=0.9)), LNM_GRID, axis=1)
    assert (rich[:, 250] > slope[:, 250]).all()


def test_mass_function_outside_its_range() -> None:
    with pytest.raises(InputError, match=r"no halos of 500c at om0 = 0\.06"):
        mass_function_prior(np.array([0.05]), Cosmology(om0=0.06))
    for redshift in (-0.1, np.nan):
        with pytest.raises(InputError, match="redshift: must lie within 0 and 10"):
            mass_function_prior(np.array([redshift]), Cosmology())


# ---------------------------------------------------------------- swapped priors


def test_swapped_to_flat_is_the_likelihood_within_the_masses_trained_on() -> None:
    z = np.array([0.1, 0.2, 0.4])
    measured = np.array([32.4, 32.6, 32.7])
    swapped = posterior(measured, known(z)).with_prior(known(z), flat_prior(z))
    inside = (LOW <= LNM_GRID) & (HIGH >= LNM_GRID)
    exact = normalised(likelihood(measured) * inside)
    np.testing.assert_allclose(swapped.density, exact, atol=1e-12)
    np.testing.assert_allclose(swapped.mean, measured, atol=5e-3)
    np.testing.assert_allclose(swapped.std, WIDTH, rtol=0.03)


def test_swapped_to_the_mass_function_is_the_exact_posterior() -> None:
    """A prior of slope a moves the mean of a Gaussian by about a width^2."""
    z = np.array([0.1, 0.2, 0.4])
    measured = np.array([32.6, 32.9, 33.2])
    new = mass_function_prior(z, Cosmology())
    swapped = posterior(measured, known(z)).with_prior(known(z), new)
    inside = (LOW <= LNM_GRID) & (HIGH >= LNM_GRID)
    exact = normalised(likelihood(measured) * np.exp(new) * inside)
    np.testing.assert_allclose(swapped.density, exact, atol=1e-12)
    slope = [
        np.interp(m, LNM_GRID, np.gradient(row, LNM_GRID))
        for m, row in zip(measured, new, strict=True)
    ]
    np.testing.assert_allclose(swapped.mean, measured + np.array(slope) * WIDTH**2, atol=0.05)


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("new", ["flat", "mass-function"])
def test_swapped_posteriors_are_calibrated_on_draws_from_the_new_prior(
    new: str, fitted: bool
) -> None:
    """PIT even for masses drawn from the new prior; with the old one it's far from it."""
    rng = np.random.default_rng(5)
    n = 3_000
    z = rng.uniform(0.05, 0.5, n)
    old = known(z)
    divided = TrainingPrior.fit(drawn_known(z, rng), z).log_density(z) if fitted else old
    wanted = parse_prior(new).log_density(z, Cosmology())
    true = draw(np.where(np.isfinite(old), wanted, -np.inf), rng)
    measured = true + WIDTH * rng.standard_normal(n)
    before = posterior(measured, old)
    after = before.with_prior(divided, wanted)
    distance = {k: stats.kstest(p.cdf(true), "uniform") for k, p in ((0, before), (1, after))}
    assert distance[0].pvalue < 1e-6
    if fitted:
        assert distance[1].statistic < min(0.04, distance[0].statistic / 1.5)
    else:
        assert distance[1].pvalue > 0.01


def test_a_prior_fitted_on_3000_draws_gives_the_likelihood_back() -> None:
    """As a network does it: its posterior holds the true training prior, a fitted one goes out.

    Tolerance: a tenth of the measurement's width, of its mean and of its width.
    """
    rng = np.random.default_rng(6)
    z = rng.uniform(0.05, 0.5, 3_000)
    fitted = TrainingPrior.fit(drawn_known(z, rng), z)
    at = rng.uniform(0.05, 0.5, 300)
    measured = rng.uniform(LOW + 3 * WIDTH, HIGH - 3 * WIDTH, 300)
    found = posterior(measured, known(at)).with_prior(fitted.log_density(at), flat_prior(at))
    assert np.abs(found.mean - measured).max() < 0.1 * WIDTH
    assert np.abs(found.std - WIDTH).max() < 0.1 * WIDTH


# ---------------------------------------------------------------- the text of --prior


def test_parse_prior() -> None:
    survey = Cosmology(h=0.68)
    assert parse_prior("training").log_density(np.array([0.1]), survey) is None
    assert parse_prior("flat") == Prior(kind="flat")
    assert parse_prior("mass-function").cosmology(survey) == survey
    chosen = parse_prior("mass-function:om0=0.3, sigma8=0.8,h=0.7")
    assert chosen.cosmology(survey) == Cosmology(om0=0.3, sigma8=0.8, h=0.7)
    assert "om0 = 0.3, sigma8 = 0.8, h = 0.7" in chosen.describe(survey)
    expected = mass_function_prior(np.array([0.1]), chosen.cosmology(survey))
    np.testing.assert_array_equal(chosen.log_density(np.array([0.1]), survey), expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is no prior; choose training, flat"),
        ("jeffreys", "'jeffreys' is no prior"),
        ("flat:om0=0.3", "'flat:om0=0.3' is no prior"),
        ("mass-function:", "'' is no key=value"),
        ("mass-function:om0", "'om0' is no key=value"),
        ("mass-function:w=-1", "'w=-1' is no key=value; keys: h, om0, ob0, sigma8, ns"),
        ("mass-function:om0=0.3,om0=0.4", "'om0=0.4' is no key=value"),
        ("mass-function:om0=x", "--prior om0: 'x' is no number"),
        ("mass-function:om0=3", "om0: Input should be less than 1 \\(given 3.0\\)"),
        ("mass-function:om0=nan", "om0: "),
        ("mass-function:om0=0.1,ob0=0.15", "ob0 = 0.15 is not below om0 = 0.1"),
    ],
)
def test_bad_priors_are_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_prior(text)
    assert re.search(message, raised.value.command_line)
    assert "\n" not in str(raised.value)
