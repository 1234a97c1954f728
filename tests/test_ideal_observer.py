"""The lower bound of the scatter: expected maps are those of the mock, information is right."""

from __future__ import annotations

import json
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "ideal_observer.py"
sys.path.insert(0, str(SCRIPT.parent))

from expected_maps import ExpectedMaps, _ball, _project  # noqa: E402
from ideal_observer import (  # noqa: E402
    GAS,
    PARAMETERS,
    expected_members,
    information_without_fluxes,
    interlopers,
    main,
    map_information,
    mass_information,
    poisson_information,
    prior_covariance,
    rms,
    squared_errors,
)

from icmass.estimators.prior import TrainingPrior  # noqa: E402
from icmass.survey.presets import resolve_config  # noqa: E402
from icmass.survey.simulate import Simulator  # noqa: E402
from icmass.universe.agn import Sources  # noqa: E402
from icmass.universe.halos import HaloConfig  # noqa: E402

BRIGHT = 0  # the first cluster of seed 1 has 6,300 photons of gas


@pytest.fixture(scope="module")
def erosita() -> ExpectedMaps:
    config = resolve_config("erosita", assignments=("observe.n_pixels=64",))
    return ExpectedMaps(Simulator(config, seed=1))


def test_projection_of_a_shell_is_the_closed_form() -> None:
    axes = np.array([[[3.0, 0.4, 0.0], [0.0, 2.0, 0.9]]])  # onto the sky [pixels]
    out = np.zeros((1, 128, 128))
    cubes, centre = np.array([[4.0**3, 5.0**3]]), np.array([[0.3, -1.2]])
    weights, body = np.array([[1000.0]]), np.array([0])
    few, many = _ball(256), _ball(1024)
    _project(weights, cubes, body, axes, centre, 1.0, few, many, out)
    assert out.sum() == pytest.approx(1000, rel=3e-3)  # sampled at the centres of pixels
    rows, columns = np.indices(out.shape[1:]) + 0.5
    where = np.stack([columns - 64, rows - 64])
    mean = (out[0] * where).sum((1, 2)) / out.sum()
    np.testing.assert_allclose(mean, centre[0], atol=0.02)
    offset = (where - mean[:, None, None]).reshape(2, -1)
    spread = (out[0].ravel() * offset) @ offset.T / out.sum()
    # <u_i u_j> of a shell is delta_ij <r^2> / 3
    r2 = 3 / 5 * (5.0**5 - 4.0**5) / (5.0**3 - 4.0**3)
    # a rim of infinite slope, sampled: some 0.3 per cent of the largest moment
    np.testing.assert_allclose(spread, axes[0] @ axes[0].T * r2 / 3, atol=0.25)


def test_a_small_shell_keeps_its_counts_and_size() -> None:
    out = np.zeros((2, 64, 64))
    axes, cubes = np.eye(3)[None, :2], np.array([[3.0**3, 4.0**3]])
    weights = np.array([[10.0, 20.0]])
    _project(
        weights, cubes, np.array([0]), axes, np.zeros((1, 2)), 1.0, _ball(256), _ball(1024), out
    )
    np.testing.assert_allclose(out.sum((1, 2)), weights[0])
    x = np.arange(64) - 31.5
    r2 = 3 / 5 * (4.0**5 - 3.0**5) / (4.0**3 - 3.0**3)
    spread = (out[0].sum(0) * x**2).sum() / 10
    assert spread == pytest.approx(r2 / 3, rel=0.05)  # a pixel adds 1/12 to it


@pytest.mark.parametrize("cluster", [BRIGHT, 1])
def test_expected_gas_is_that_of_the_mock(erosita: ExpectedMaps, cluster: int) -> None:
    told = erosita.told(cluster)
    expected = erosita.blurred(erosita.emitted(told, told.halo), told.halo.redshift)
    counts = erosita.simulator.cluster(cluster)["maps"][0].astype(float)
    blocks = [maps.reshape(3, 16, 4, 16, 4).sum((2, 4)).ravel() for maps in (counts, expected)]
    filled = blocks[1] > 3
    squares = (blocks[0] - blocks[1])[filled] ** 2 / blocks[1][filled]
    assert filled.sum() > 40
    # Poisson: a chi^2 of as many degrees of freedom, a little wider at few counts
    assert chi2.sf(squares.sum() / 1.1, filled.sum()) > 1e-4
    assert chi2.cdf(squares.sum() * 1.1, filled.sum()) > 1e-4
    total, mean = counts.sum((1, 2)), expected.sum((1, 2))
    assert (np.abs(total - mean) < 4 * np.sqrt(mean)).all()


def test_expected_foreground_is_that_of_the_mock(erosita: ExpectedMaps) -> None:
    told = erosita.told(BRIGHT)
    expected = erosita.foreground(told).sum((1, 2))
    counts = erosita.simulator.cluster(BRIGHT)["maps"][1:].sum((0, 2, 3))
    background = erosita.observatory.instrument.background
    side = 2 * erosita.half_width * float(erosita.cosmology.arcmin_per_mpc_h(told.halo.redshift))
    cells = (side / background.cell_arcmin) ** 2
    error = np.sqrt(expected + (background.excess_fraction * expected) ** 2 / cells)
    assert (np.abs(counts - expected) < 4 * error).all()


def test_information_is_the_scatter_of_the_likeliest_mass(erosita: ExpectedMaps) -> None:
    told = erosita.told(1)
    information = map_information(erosita, told)[0, 1, 0, 0]
    steps = np.linspace(-4, 4, 17) / np.sqrt(information)
    foreground, redshift = erosita.foreground(told), told.halo.redshift
    expected = np.array(
        [
            erosita.blurred(erosita.emitted(told, erosita.at(told, step)), redshift) + foreground
            for step in steps
        ]
    ).reshape(len(steps), -1)
    rng, n = np.random.default_rng(0), 300
    counts = rng.poisson(expected[8], (n, expected.shape[1]))
    likelihood = counts @ np.log(expected).T - expected.sum(1)
    best = likelihood.argmax(1).clip(1, len(steps) - 2)
    low, top, high = (likelihood[np.arange(n), best + k] for k in (-1, 0, 1))
    found = steps[best] + (steps[1] - steps[0]) / 2 * (low - high) / (low - 2 * top + high)
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(n)
    # the error of a standard deviation is 1 / sqrt(2 n) of it
    assert found.std() * np.sqrt(information) == pytest.approx(1, abs=4 / np.sqrt(2 * n))


def test_what_is_known_lowers_the_bound(erosita: ExpectedMaps) -> None:
    told = erosita.told(2)
    (one, three), (_, blind) = map_information(erosita, told)
    config = HaloConfig()
    nothing = PARAMETERS[1:-3]
    for matrix in (one, three):
        free = mass_information(matrix, ())
        halo = mass_information(matrix, GAS, prior_covariance(GAS, config))
        gas = mass_information(matrix, nothing, prior_covariance(nothing, config))
        assert 0 < gas < halo < free
    assert mass_information(one, ()) < mass_information(three, ())
    assert 0 < mass_information(blind, ()) < mass_information(three, ())
    # the eighth cluster has substructures, whose places tell if they are known in units of R500c
    three = map_information(erosita, erosita.told(7))[0, 1]
    assert mass_information(three, (), mass="ln_m_scaled") > 1.5 * mass_information(three, ())


def test_an_unknown_brightness_adds_its_variance() -> None:
    """One count of mean mu, d mu = a d ln M + b g, g of variance s^2: I = a^2 / (mu + b^2 s^2)."""
    mu, a, b, s2 = 400.0, 300.0, 120.0, 0.7
    derivatives = np.zeros((len(PARAMETERS), 1))
    derivatives[0], derivatives[1] = a, b
    matrix = poisson_information(np.array([mu]), derivatives)
    found = mass_information(matrix, GAS[:1], np.array([[s2]]))
    assert found == pytest.approx(a**2 / (mu + b**2 * s2), rel=1e-9)
    empty = poisson_information(np.array([mu, 0.0]), np.tile(derivatives, 2))
    np.testing.assert_allclose(empty, matrix)


def test_a_source_of_unknown_flux_takes_its_pixels_away() -> None:
    """Of three pixels one is covered by a source: what is left is the information of the others."""
    expected = np.array([50.0, 60.0, 70.0])
    derivatives, source = np.array([[20.0, 30.0, 40.0]]), np.array([[0.0, 0.0, 1e4]])
    found = information_without_fluxes(expected, derivatives, source)
    assert found[0, 0] == pytest.approx(20**2 / 50 + 30**2 / 60, rel=1e-5)
    none = information_without_fluxes(expected, derivatives, np.zeros((0, 3)))
    np.testing.assert_allclose(none, poisson_information(expected, derivatives))


@pytest.mark.parametrize("cluster", [BRIGHT, 1, 2])
def test_sources_one_by_one_are_the_foreground(erosita: ExpectedMaps, cluster: int) -> None:
    """With the nucleus that a cluster might have, where it has none."""
    told = erosita.told(cluster)
    apart = erosita.source_counts(told)
    none = {field.name: getattr(told.sources, field.name)[:0] for field in fields(Sources)}
    bare = replace(told, sources=Sources(**none))
    together = erosita.foreground(told) - erosita.foreground(bare)
    has_nucleus = bool(np.any((told.sources.x == 0) & (told.sources.y == 0)))
    own = apart if has_nucleus else apart[:-1]
    np.testing.assert_allclose(own.sum(0), together, atol=1e-6)
    nucleus = apart[-1] if not has_nucleus else apart[0]
    row, column = np.indices(nucleus.shape[1:])
    middle = (nucleus.sum(0) * np.stack([row, column])).sum((1, 2)) / nucleus.sum()
    np.testing.assert_allclose(middle, 32, atol=1)  # of 64 pixels


def test_covariance_of_what_is_not_told_is_conditional() -> None:
    config = HaloConfig()
    found = prior_covariance(GAS, config)
    correlation = np.array(config.correlation)
    joint = correlation[np.ix_([3, 2, 0, 1, 5, 6], [3, 2, 0, 1, 5, 6])]  # gas, T; what is told
    np.testing.assert_allclose(found, np.linalg.inv(np.linalg.inv(joint)[:2, :2]))
    assert (np.diag(found) < 1).all()


def test_errors_are_those_of_the_posterior_mean() -> None:
    rng = np.random.default_rng(3)
    ln_m, redshift = rng.uniform(31.5, 34.0, 4000), np.full(4000, 0.2)
    prior = TrainingPrior.fit(ln_m, redshift)
    middle = np.full(5, 32.75)
    narrow = squared_errors(np.full(5, 0.1), middle, redshift[:5], prior)
    np.testing.assert_allclose(np.sqrt(narrow), 0.1, rtol=0.02)
    drawn = rng.choice(ln_m, 300)
    wide = squared_errors(np.full(300, 30.0), drawn, redshift[:300], prior)
    # nothing is seen: the mean of the prior is what is left, and its variance the error
    assert np.sqrt(wide.mean()) == pytest.approx(2.5 / np.sqrt(12), rel=0.1)


def test_error_of_the_rms_is_that_of_halos() -> None:
    rng = np.random.default_rng(4)
    squares = np.repeat(rng.standard_normal(400) ** 2, 3)
    value, error = rms(squares, np.repeat(np.arange(400), 3), rng)
    assert value == pytest.approx(1, abs=4 / np.sqrt(800))
    assert error == pytest.approx(1 / np.sqrt(800), rel=0.25)  # not sqrt(3) smaller


def test_expected_members_are_those_drawn(erosita: ExpectedMaps) -> None:
    told = [erosita.told(cluster) for cluster in range(25)]
    expected = sum(expected_members(erosita, one.halo).number for one in told)
    drawn = sum(interlopers(erosita, one)[0] - 1 for one in told)  # the central is always there
    # 4 sigma of Poisson, and 3 per cent for halos that are not spheres
    assert abs(drawn - expected) < 4 * np.sqrt(expected) + 0.03 * expected
    halo = told[0].halo
    doubled = expected_members(erosita, replace(halo, m500c=8 * halo.m500c))
    slope = np.log(doubled.dispersion / expected_members(erosita, halo).dispersion) / np.log(8)
    assert slope == pytest.approx(0.336, abs=0.01)  # Evrard et al. 2008


def test_bounds_are_written_beside_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "floor.json"
    file.write_text('{"oracles": {"photons": 1}}')
    command = [str(SCRIPT), "phox", "--n", "2", "--pixels", "32", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", command)
    main()
    document = json.loads(file.read_text())
    assert document["oracles"] == {"photons": 1}
    rows = document["ideal_observer"]["phox"]["rows"]
    assert len(rows) == 12
    by = {(row["data"], row["told_all_but"]): row["sigma_fisher"] for row in rows}
    assert by["one band", "photon noise"] > by["maps and galaxies", "photon noise"] > 0
    command[1] = "erass1"
    with pytest.raises(SystemExit) as ended:
        main()
    said = ended.value.code  # a text: Python prints it and ends with status 1
    assert isinstance(said, str) and "\n" not in said
