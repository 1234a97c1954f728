"""The likelihood of a population of clusters with uncertain masses."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from scipy.special import ndtr

from icmass.calibration.population import (
    ClusterPopulation,
    population_log_likelihood,
    volume_slope,
)
from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.estimators.posterior import LNM_GRID, LNM_STEP, M500C_GRID, normalised

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
COSMOLOGY = Cosmology()
RANGE = (0.2, 0.4)


def above(mass: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    return ndtr((np.log(mass) - np.log(3e14)) / 0.3) + 0 * redshift


def gaussians(ln_m: np.ndarray, width: float) -> np.ndarray:
    return normalised(np.exp(-0.5 * ((LNM_GRID - ln_m[:, None]) / width) ** 2))


def test_the_volume_is_astropys() -> None:
    z = np.array([0.1, 0.5])
    per_sr = COSMOLOGY.astropy.differential_comoving_volume(z).to_value(u.Mpc**3 / u.sr)
    area = (100 * u.deg**2).to_value(u.sr)
    assert volume_slope(COSMOLOGY, z, 100.0) == pytest.approx(
        per_sr * area * COSMOLOGY.h**3, rel=1e-6
    )


def test_the_volume_of_a_changed_cosmology_is_its_own() -> None:
    COSMOLOGY.comoving_distance(np.array([0.3]))  # what it has computed must not go along
    changed = COSMOLOGY.model_copy(update={"om0": 0.4})
    new, z = Cosmology(om0=0.4), np.array([0.3])
    assert volume_slope(changed, z, 10.0) == pytest.approx(volume_slope(new, z, 10.0), rel=1e-12)
    assert volume_slope(changed, z, 10.0)[0] < 0.95 * volume_slope(COSMOLOGY, z, 10.0)[0]


def test_the_expected_number_is_the_integral() -> None:
    sample = ClusterPopulation(
        gaussians(np.array([33.3]), 0.2), np.array([0.3]), 500.0, RANGE, above
    )
    z = np.linspace(*RANGE, 201)
    of_z = (COSMOLOGY.halo_density(M500C_GRID, z) * above(M500C_GRID[None], z[:, None])).sum(1)
    wanted = np.trapezoid(of_z * LNM_STEP * volume_slope(COSMOLOGY, z, 500.0), z)
    assert sample.expected(COSMOLOGY) == pytest.approx(wanted, rel=1e-3)


def test_exact_masses_give_the_poisson_likelihood_of_points() -> None:
    ln_m, z = LNM_GRID[[250, 260]], np.array([0.25, 0.33])
    exact = np.zeros((2, len(LNM_GRID)))
    exact[[0, 1], [250, 260]] = 1 / LNM_STEP
    given = {"area_deg2": 500.0, "redshift_range": RANGE, "selection": above}
    found = population_log_likelihood(exact, z, COSMOLOGY, **given)
    density = np.array(
        [COSMOLOGY.halo_density(M500C_GRID, z)[i, n] for i, n in enumerate((250, 260))]
    )
    rate = density * above(np.exp(ln_m), z) * volume_slope(COSMOLOGY, z, 500.0)
    number = ClusterPopulation(exact, z, 500.0, RANGE, above).expected(COSMOLOGY)
    assert found == pytest.approx(np.log(rate).sum() - number, abs=2e-3)
    by_x = population_log_likelihood(exact, z, COSMOLOGY, selected_by_x=True, **given)
    assert by_x - found == pytest.approx(-np.log(above(np.exp(ln_m), z)).sum(), abs=1e-6)


def test_a_norm_of_the_likelihoods_changes_nothing_but_a_constant() -> None:
    z = np.array([0.25, 0.3])
    likelihood = gaussians(np.log([3e14, 4e14]), 0.2)
    other = Cosmology(sigma8=0.85)
    given = {"area_deg2": 500.0, "redshift_range": RANGE, "selection": above}
    ratio = [
        population_log_likelihood(factor * likelihood, z, COSMOLOGY, **given)
        - population_log_likelihood(factor * likelihood, z, other, **given)
        for factor in (1.0, 7.0)
    ]
    assert ratio[0] == pytest.approx(ratio[1], abs=1e-9)


def test_sigma_8_and_the_scale_come_back_within_their_errors() -> None:
    from population import TRUTH, draw_sample, fit_scale

    sample = draw_sample(1500.0, 3)
    expected = sample.expected(TRUTH)
    assert abs(len(sample.redshift) - expected) < 3.5 * np.sqrt(expected)
    scale = fit_scale(sample)
    assert abs(scale["scale"]) < 3 * scale["scale_error"] < 0.12
    change = np.array([-0.02, 0.0, 0.02])
    log = [
        sample.log_likelihood(TRUTH.model_copy(update={"sigma8": TRUTH.sigma8 + d})) for d in change
    ]
    bend, slope, _ = np.polyfit(change, log, 2)
    error = (-2 * bend) ** -0.5
    assert abs(-slope / (2 * bend)) < 3 * error < 0.06


@pytest.mark.slow
def test_omega_m_and_sigma_8_come_back_within_their_errors() -> None:
    from population import draw_sample, fit_cosmology

    found = fit_cosmology(draw_sample(1500.0, 3), n_grid=7)
    for name in ("om0", "sigma8", "s8"):
        assert abs(found[f"{name}_pull"]) < 3
    assert found["s8_error"] < 0.02 and found["om0_error"] < 0.04


def test_a_cosmology_without_a_mass_function_is_named() -> None:
    """Tinker et al. fit up to 3200 times the mean density: 500 / Omega_m(z) is beyond."""
    with pytest.raises(InputError, match=r"no halos of 500c at om0 = 0\.1"):
        Cosmology(om0=0.1, ob0=0.04).halo_density(M500C_GRID, np.array([0.1]))


def test_a_population_that_makes_no_sense_is_refused() -> None:
    likelihood, z = gaussians(np.array([33.0]), 0.2), np.array([0.3])
    with pytest.raises(InputError, match="a cluster is outside of it"):
        ClusterPopulation(likelihood, z + 1, 500.0, RANGE)
    with pytest.raises(InputError, match="negative or not finite"):
        ClusterPopulation(-likelihood, z, 500.0, RANGE)
    with pytest.raises(InputError, match="has shape"):
        ClusterPopulation(likelihood[:, :5], z, 500.0, RANGE)
    with pytest.raises(InputError, match="is no probability"):
        ClusterPopulation(likelihood, z, 500.0, RANGE, lambda m, z: 2 + 0 * m).expected(COSMOLOGY)
