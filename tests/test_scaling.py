"""Scaling relations, residual covariance and the scatter of sets, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.proxies.names import kind_of, log_proxies, parse_names
from icmass.proxies.scaling import (
    RedshiftNormalisation,
    bootstrap_scaling,
    fit_scaling,
    redshift_groups,
    set_scatter,
)
from icmass.proxies.summary import published_scatter, relation_over_redshift, scaling_summary

SLOPE = np.array([0.64, 1.6, 1.14])
STD = np.array([0.07, 0.35, 0.1])
CORRELATION = np.array([[1, -0.3, -0.55], [-0.3, 1, 0.5], [-0.55, 0.5, 1]])
COVARIANCE = CORRELATION * np.outer(STD, STD)
NAMES = ("T", "L_X", "M_gas")


def clusters(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return ln s, mu, redshift and snapshot with evolving normalisations."""
    rng = np.random.default_rng(seed)
    mu = rng.uniform(-1.9, 1.5, n)
    snapshot = rng.integers(4, size=n)
    z = np.array([0.07, 0.17, 0.25, 0.47])[snapshot]
    ln_s = mu[:, None] * SLOPE + rng.multivariate_normal(np.zeros(3), COVARIANCE, n)
    return ln_s + np.array([1.0, 3.0, 0.0]) * z[:, None], mu, z, snapshot


def test_recovers_slope_covariance_and_scatter() -> None:
    n = 8000
    ln_s, mu, z, snapshot = clusters(n)
    fit = fit_scaling(ln_s, mu, names=NAMES, redshift=z, group=redshift_groups(z, snapshot))
    assert len(fit.groups) == 4
    for i, group in enumerate(fit.groups):
        assert group.n == np.sum(snapshot == i)
        error = STD / (np.std(mu) * np.sqrt(group.n))
        assert (abs(group.slope - SLOPE) < 4 * error).all()
    np.testing.assert_allclose(fit.correlation, CORRELATION, atol=4 / np.sqrt(n))
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), STD, rtol=4 / np.sqrt(2 * n))
    for i, name in enumerate(NAMES):
        assert fit.sigma([name]) == pytest.approx(STD[i] / SLOPE[i], rel=4 / np.sqrt(2 * n))
    expected = 1 / np.sqrt(SLOPE @ np.linalg.inv(COVARIANCE) @ SLOPE)
    assert fit.sigma() == pytest.approx(expected, rel=4 / np.sqrt(2 * n))
    assert fit.sigma() < 0.9 * min(fit.sigma([name]) for name in NAMES)


def test_set_scatter_is_that_of_the_best_linear_estimator() -> None:
    """Of two proxies by hand: weights from the minimum variance of unbiased estimates of mu."""
    one, two = STD[0] / SLOPE[0], STD[2] / SLOPE[2]
    r = CORRELATION[0, 2]
    pick = np.ix_([0, 2], [0, 2])
    by_hand = np.sqrt(
        one**2 * two**2 * (1 - r**2) / (one**2 + two**2 - 2 * r * one * two)
    )  # variance of the optimal mean of two correlated measurements
    assert set_scatter(SLOPE[[0, 2]], COVARIANCE[pick]) == pytest.approx(by_hand)
    assert set_scatter(SLOPE[:1], COVARIANCE[:1, :1]) == pytest.approx(one)
    assert np.isnan(set_scatter(SLOPE[:2], np.zeros((2, 2))))


def test_evolution_inside_a_group_is_not_scatter() -> None:
    ln_s, mu, z, _ = clusters(4000)
    one = np.zeros(len(z), int)
    fit = fit_scaling(ln_s, mu, names=NAMES, redshift=z, group=one)
    assert fit.sigma(["L_X"]) == pytest.approx(STD[1] / SLOPE[1], rel=4 / np.sqrt(2 * 4000))


def test_bootstrap_error_is_the_expected_one() -> None:
    """The relative error of a standard deviation is 1/sqrt(2 n)."""
    n = 2000
    ln_s, mu, z, snapshot = clusters(n)
    group, rng = redshift_groups(z, snapshot), np.random.default_rng(5)
    fits = bootstrap_scaling(
        ln_s, mu, names=NAMES, redshift=z, group=group, halo_id=np.arange(n), rng=rng, n_draws=200
    )
    error = np.std([fit.sigma(["T"]) for fit in fits])
    expected = STD[0] / SLOPE[0] / np.sqrt(2 * n)
    assert error == pytest.approx(expected, rel=0.25)
    correlation_error = np.std([fit.correlation[0, 2] for fit in fits])
    assert correlation_error == pytest.approx((1 - 0.55**2) / np.sqrt(n), rel=0.25)


def test_groups_are_snapshots_and_small_ones_are_joined() -> None:
    z = np.repeat([0.4, 0.1, 0.3, 0.2], [30, 25, 5, 40])
    snapshot = np.repeat([9, 2, 7, 4], [30, 25, 5, 40])
    group = redshift_groups(z, snapshot)
    assert [int(group[z == value][0]) for value in (0.1, 0.2, 0.3, 0.4)] == [0, 1, 2, 2]
    few = redshift_groups(z[:35], snapshot[:35])  # 25 at 0.1, and 10 at 0.4 left over
    assert len(set(few.tolist())) == 1 or np.bincount(few).min() >= 20
    assert (redshift_groups(np.full(7, 0.2), np.arange(7)) == 0).all()


def test_without_snapshots_bins_of_equal_number() -> None:
    z = np.random.default_rng(1).uniform(0.05, 0.5, 730)
    group = redshift_groups(z)
    assert np.ptp(np.bincount(group)) <= 1
    assert len(np.bincount(group)) == 7
    assert (np.diff(group[np.argsort(z)]) >= 0).all()


def test_redshift_normalisation() -> None:
    z = np.linspace(0.07, 0.3, 50)
    norm = RedshiftNormalisation.fit(z, np.log(10) * (-5.9 * z + 4.33))
    assert norm.a == pytest.approx(-5.9)
    assert norm.b == pytest.approx(4.33)
    total = 10 ** (-5.9 * z + 4.33) * np.exp(norm.ln_factor(z))
    np.testing.assert_allclose(total, 4000)
    flat = RedshiftNormalisation.fit(np.full(9, 0.2), np.log(np.full(9, 500.0)))
    assert flat.a == 0
    assert np.exp(flat.ln_factor(np.array([0.2])))[0] == pytest.approx(8)


def evolving_survey(n: int = 3000, seed: int = 3) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    _, mu, z, snapshot = clusters(n, seed + 1000)
    ln_e = np.log(Cosmology().efunc(z))
    temperature = 3.24 * np.exp(0.643 * mu + 0.667 * ln_e + rng.normal(0, 0.072, n))
    return xr.Dataset(
        {
            "T": ("cluster", temperature, {"units": "keV"}),
            "m500c": ("cluster", 2e14 * np.exp(mu)),
            "redshift": ("cluster", z),
            "snapshot": ("cluster", snapshot),
            "halo_id": ("cluster", np.arange(n)),
        },
        attrs={"cosmology": Cosmology().model_dump_json()},
    )


def test_relation_over_redshift() -> None:
    survey = evolving_survey()
    found = relation_over_redshift(survey, "T", np.random.default_rng(0))
    assert abs(np.log(found.norm / 3.24)) < 4 * found.norm_error
    assert abs(found.slope - 0.643) < 4 * found.slope_error
    assert abs(found.ez_power - 0.667) < 4 * found.ez_power_error
    assert abs(found.scatter - 0.072) < 4 * found.scatter_error
    assert found.slope_error < 0.01
    assert found.ez_power_error < 0.05
    assert found(np.array([2e14]), 1.0)[0] == found.norm
    assert found.units == "keV"


def test_published_scatter_of_the_toy(toy_survey: xr.Dataset) -> None:
    n = toy_survey.sizes["cluster"]
    sigma, error = published_scatter(toy_survey, ["T"], np.random.default_rng(0))
    assert abs(sigma - 0.07 / 0.64) < 4 * error
    assert error == pytest.approx(sigma / np.sqrt(2 * n), rel=0.4)


def test_summary_is_complete(toy_survey: xr.Dataset) -> None:
    found = scaling_summary(toy_survey, ["T", "M_gas", "N_phot"], np.random.default_rng(0))
    assert [relation["proxy"] for relation in found["relations"]] == ["T", "M_gas"]
    assert np.shape(found["correlation"]) == np.shape(found["correlation_error"]) == (3, 3)
    assert sum(group["n"] for group in found["snapshots"]) == toy_survey.sizes["cluster"]


def test_names() -> None:
    assert parse_names("N_phot+T + L_X") == ("T", "L_X", "N_phot")
    assert kind_of(["T", "N_phot"]) == "ideal"
    assert kind_of(["N_phot_r500", "N_phot"]) == "observed"
    assert parse_names("sigma_v+N_gal+M_star") == ("M_star", "N_gal", "sigma_v")
    assert kind_of(["N_gal", "sigma_v", "N_phot"]) == "observed"
    assert kind_of(["sigma_v_true"]) == kind_of(["M_star"]) == "ideal"
    with pytest.raises(InputError, match="known are T, L_X"):
        parse_names("T+Y_X")
    with pytest.raises(InputError, match="twice"):
        parse_names("T+T")
    with pytest.raises(InputError, match="no such proxy"):
        parse_names("T+")


def test_velocities_and_galaxy_counts_are_logarithms_without_the_exposure(
    toy_survey: xr.Dataset,
) -> None:
    survey = toy_survey.assign(dict.fromkeys(("N_gal", "sigma_v"), 2 * toy_survey["T"]))
    survey["exposure"] = 2 * survey["exposure"]
    found = log_proxies(survey, ["N_gal", "sigma_v"])
    np.testing.assert_allclose(np.exp(found), 2 * survey["T"].values[:, None] * np.ones(2))


def test_counts_take_zero_and_any_exposure(toy_survey: xr.Dataset) -> None:
    survey = toy_survey.copy(deep=True)
    survey["n_phot"][:] = 0
    survey["exposure"][0] = 1000.0
    ln_n = log_proxies(survey, ["N_phot"])[:, 0]
    assert ln_n[0] == pytest.approx(np.log(2))
    assert (ln_n[1:] == 0).all()


def test_values_that_are_no_proxy(toy_survey: xr.Dataset) -> None:
    survey = toy_survey.copy(deep=True)
    survey["T"][3] = 0
    survey["M_gas"][:2] = np.nan
    survey["n_phot"][5] = -1
    for name, said in (("T", "positive.* 1 of"), ("M_gas", "2 of"), ("N_phot", "negative")):
        with pytest.raises(InputError, match=said):
            log_proxies(survey, [name])
    with pytest.raises(InputError, match="variable L_X"):
        log_proxies(survey.drop_vars("L_X"), ["L_X"])
