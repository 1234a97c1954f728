"""Omega_m, sigma_8 and the mass scale from number counts with a detection that sees x."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr

from icmass.calibration.halo_rates import HaloRates, barycentric, chebyshev_nodes
from icmass.calibration.model import CalibrationPriors
from icmass.calibration.number_count_model import (
    PARAMETERS,
    NumberCountModel,
    NumberCountPriors,
)
from icmass.calibration.number_counts import NumberCounts, WidthOfMass
from icmass.calibration.population import ClusterPopulation, volume_slope
from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.estimators.posterior import LNM_GRID, LNM_STEP, M500C_GRID, normalised

TRUTH = Cosmology()
RANGE = (0.15, 0.5)
EXACT = CalibrationPriors(lensing_bias=(0.0, 0.0), lensing_scatter=(0.0, 0.0))


def detected(ln_m: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """Half of the halos at 2e14 Msun/h (z = 0.3), a width of 0.4 in ln M."""
    return ndtr(_deviate(ln_m, redshift))


def _deviate(ln_m: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    return (ln_m - np.log(2e14) - 1.2 * np.log((1 + redshift) / 1.3)) / 0.4


def gaussians(x: np.ndarray, width: np.ndarray) -> np.ndarray:
    return normalised(np.exp(-0.5 * ((LNM_GRID - x[:, None]) / width[:, None]) ** 2))


def draw(
    area: float,
    seed: int,
    *,
    rho: float = 0.0,
    scale: float = 0.1,
    n_wl: int = 0,
    widths: tuple[float, float] = (0.2, 0.4),
) -> NumberCounts:
    """Draw halos of the mass function, detect them by what goes with x, and keep x."""
    rng = np.random.default_rng(seed)
    z = np.linspace(*RANGE, 71)
    number = TRUTH.halo_density(M500C_GRID, z) * volume_slope(TRUTH, z, area)[:, None]
    number *= (
        LNM_STEP * np.gradient(z)[:, None] * np.where(np.arange(71) % 70 == 0, 0.5, 1)[:, None]
    )
    number[:, np.log(3e13) > LNM_GRID] = 0
    rows, nodes = np.nonzero(counts := rng.poisson(number))
    rows, nodes = (np.repeat(a, counts[rows, nodes]) for a in (rows, nodes))
    ln_m = LNM_GRID[nodes] + (rng.random(len(rows)) - 0.5) * LNM_STEP
    redshift = np.clip(z[rows] + (rng.random(len(rows)) - 0.5) * (z[1] - z[0]), *RANGE)
    deviates = rng.normal(size=(2, len(rows)))
    of_x, width = deviates[0], rng.uniform(*widths, len(rows))
    of_detection = rho * of_x + math.sqrt(1 - rho**2) * deviates[1]
    kept = _deviate(ln_m, redshift) + of_detection > 0
    ln_m, redshift, of_x, width = (a[kept] for a in (ln_m, redshift, of_x, width))
    x = ln_m + scale + width * of_x
    lensing, error = np.full((2, len(x)), np.nan)
    some = slice(0, n_wl)
    error[some] = 0.35
    lensing[some] = (ln_m + 0.35 * rng.normal(size=len(ln_m)))[some]
    nodes_z = np.linspace(*RANGE, 20)
    of_halo = np.where(np.log(3e13) > LNM_GRID, 0.0, 1.0)
    return NumberCounts(
        x=x,
        x_error=width,
        redshift=redshift,
        conditions=np.log(width)[:, None],
        detection=detected(LNM_GRID, redshift[:, None]) * of_halo,
        area_deg2=area,
        redshift_range=RANGE,
        sky_detection=detected(LNM_GRID, nodes_z[:, None]) * of_halo,
        redshifts=nodes_z,
        ln_lensing=lensing,
        lensing_error=error,
    )


def model_of(sample: NumberCounts, **priors: tuple[float, float]) -> NumberCountModel:
    given = {"scale": EXACT, "om0": (0.22, 0.34), "sigma8": (0.7, 0.95)}
    return NumberCountModel(sample, TRUTH, NumberCountPriors(**(given | priors)))


def theta(**changes: float) -> np.ndarray:
    values = dict.fromkeys(PARAMETERS, 0.0) | {"om0": TRUTH.om0, "sigma8": TRUTH.sigma8}
    return np.array(list((values | changes).values()))


def rows(sample: NumberCounts) -> np.ndarray:
    return gaussians(sample.x, sample.x_error)


@pytest.fixture(scope="module")
def rates() -> HaloRates:
    return HaloRates.of(
        TRUTH, np.linspace(*RANGE, 20), om0_range=(0.22, 0.34), sigma8_range=(0.7, 0.95)
    )


def test_interpolated_rates_are_those_computed(rates: HaloRates) -> None:
    for om0, sigma8 in ((0.235, 0.93), (0.31, 0.75)):
        cosmology = TRUTH.model_copy(update={"om0": om0, "sigma8": sigma8})
        inside = (np.log(3e13) < LNM_GRID) & (np.log(2e15) > LNM_GRID)
        z = rates.redshift
        wanted = np.log(
            cosmology.halo_density(M500C_GRID, z) * volume_slope(cosmology, z, 1.0)[:, None]
        )
        assert np.abs(rates(om0, sigma8) - wanted)[:, inside].max() < 3e-3
    with pytest.raises(InputError, match="outside of the table"):
        rates(0.7, 0.8)


def test_polynomials_are_interpolated_exactly() -> None:
    nodes = chebyshev_nodes(-1.0, 2.0, 8)
    for at in (-0.7, 1.3, float(nodes[2])):
        assert barycentric(nodes, at) @ (nodes**6 - nodes**3) == pytest.approx(at**6 - at**3)


def test_without_correlation_it_is_the_population_likelihood() -> None:
    sample = draw(150.0, 2)
    model = model_of(sample)
    plain = ClusterPopulation(
        rows(sample), sample.redshift, 150.0, RANGE,
        lambda m, z: detected(np.log(m), z) * (m >= 3e13), n_redshifts=20,
    )  # fmt: skip
    for changes in ({}, {"sigma8": 0.85}, {"om0": 0.3}):
        found = model.log_likelihood(theta(**changes)) - model.log_likelihood(theta(sigma8=0.78))
        wanted = plain.log_likelihood(TRUTH.model_copy(update=changes))
        wanted -= plain.log_likelihood(TRUTH.model_copy(update={"sigma8": 0.78}))
        assert found == pytest.approx(wanted, abs=0.05)


def test_a_detection_by_x_itself_is_a_threshold_on_x() -> None:
    """As rho goes to 1, with the widths of the turn-on, p(detected | M, x) goes by x alone."""
    sample = draw(150.0, 4, rho=0.9999, widths=(0.4, 0.4))
    model = model_of(sample, correlation=(0.0, 0.9999))
    plain = ClusterPopulation(
        rows(sample), sample.redshift, 150.0, RANGE,
        lambda m, z: detected(np.log(m), z) * (m >= 3e13), selected_by_x=True, n_redshifts=20,
    )  # fmt: skip
    of = {s8: model.log_likelihood(theta(sigma8=s8, amplitude=0.1, correlation=0.9999))
          - plain.log_likelihood(TRUTH.model_copy(update={"sigma8": s8}), scale=0.1)
          for s8 in (0.78, 0.809, 0.83)}  # fmt: skip
    assert np.ptp(list(of.values())) < 1.5


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_the_truth_is_near_the_maximum_of_each_parameter(rho: float) -> None:
    """Each parameter alone, the others known, comes back within three of its errors."""
    sample = draw(900.0, 5, rho=rho, n_wl=150)
    model = model_of(sample)
    truth = theta(amplitude=0.1, correlation=rho)
    steps = {"om0": 0.01, "sigma8": 0.008, "amplitude": 0.02, "slope": 0.03, "evolution": 0.3,
             "curvature": 0.05,
             "ln_scatter": 0.04, "scatter_slope": 0.15, "correlation": 0.1}  # fmt: skip
    if rho == 0:
        steps.pop("correlation")
    for name, step in steps.items():
        k = PARAMETERS.index(name)
        at = truth[k] + step * np.arange(-1, 2)
        log = []
        for value in at:
            changed = truth.copy()
            changed[k] = value
            log.append(model.log_likelihood(changed))
        bend, slope, _ = np.polyfit(at - truth[k], log, 2)
        error = (-2 * bend) ** -0.5
        assert abs(-slope / (2 * bend)) < 3 * error < 9 * step, name


def test_a_width_that_goes_with_the_noise_is_told_by_the_mean_mass() -> None:
    """s = 0.3 exp(-0.3 (x - 33)) at one exposure, 0.2 exp(...) at another."""
    rng = np.random.default_rng(3)
    x, other = rng.normal(33.0, 0.5, 500), rng.integers(0, 2, 500)
    s = np.where(other, 0.2, 0.3) * np.exp(-0.3 * (x - 33.0))
    found = WidthOfMass.fit(x, s, other[:, None].astype(float))
    assert np.exp(found.base + found.slope * (33.0 - found.pivot)) == pytest.approx(
        np.where(other, 0.2, 0.3), rel=1e-6
    )
    assert found.slope == pytest.approx(-0.3) and found.bend == pytest.approx(0, abs=1e-9)
    assert found.reach == pytest.approx((x.min() - x.mean(), x.max() - x.mean()))


def test_what_makes_no_sense_is_refused() -> None:
    sample = draw(60.0, 6)
    values = {name: getattr(sample, name) for name in sample.__dataclass_fields__}
    for changes, said in (
        ({"detection": sample.detection * 2}, "no probability"),
        ({"redshift": sample.redshift + 1}, "a cluster is outside of it"),
        ({"x": sample.x * np.nan}, "not finite"),
        ({"x_error": -sample.x_error}, "not positive"),
        ({"redshifts": sample.redshifts[:4]}, "shape"),
        ({"area_deg2": -1.0}, "deg"),
    ):
        with pytest.raises(InputError, match=said):
            NumberCounts(**(values | changes))
