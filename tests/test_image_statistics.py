"""Pixel statistics of images against limits derived by hand."""

from __future__ import annotations

from dataclasses import asdict, astuple

import numpy as np
import pytest

from icmass.errors import InputError
from icmass.observe.image_statistics import (
    count_image,
    image_statistics,
    x_ray_peak,
)

N, MIDDLE, RADIUS = 401, 200, 150.0
CENTRE = (MIDDLE, MIDDLE)


def offsets() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:N, :N] - float(MIDDLE)
    return x, y


def beta_model(core: float, q: float = 1.0) -> np.ndarray:
    """Surface brightness (1 + r^2 / core^2)^(-3/2), squeezed along y by the axis ratio q."""
    x, y = offsets()
    return (1 + (x**2 + (y / q) ** 2) / core**2) ** -1.5


def points(*at: tuple[int, int, float]) -> np.ndarray:
    """Single pixels at (x, y) from the middle with a flux each."""
    image = np.zeros((N, N))
    for x, y, flux in at:
        image[MIDDLE + y, MIDDLE + x] += flux
    return image


def within(core: float, radius: float) -> float:
    return float(1 - (1 + (radius / core) ** 2) ** -0.5)


@pytest.mark.parametrize("core", [15.0, 40.0])
def test_a_round_beta_model_is_concentrated_as_its_integral_and_undisturbed(core: float) -> None:
    found = image_statistics(beta_model(core), CENTRE, RADIUS)
    whole = within(core, RADIUS)
    assert found.concentration == pytest.approx(within(core, 0.1 * RADIUS) / whole, rel=0.01)
    r_20, r_80 = (core * ((1 - share * whole) ** -2 - 1) ** 0.5 for share in (0.2, 0.8))
    assert found.cas_concentration == pytest.approx(5 * np.log10(r_80 / r_20), rel=0.02)
    assert found.centroid_shift < 1e-12 and found.asymmetry < 1e-12
    assert max(found.p1, found.p2, found.p3) < 1e-12
    assert found.axis_ratio == pytest.approx(1)


def test_an_ellipse_has_its_axis_ratio_and_no_odd_power() -> None:
    q, sigma = 0.6, 25.0
    x, y = offsets()
    image = np.exp(-0.5 * (x**2 + (y / q) ** 2) / sigma**2)
    found = image_statistics(image, CENTRE, RADIUS)
    assert found.axis_ratio == pytest.approx(q, rel=1e-3)
    quadrupole = sigma**2 * (1 - q**2)  # <x^2> - <y^2>
    expected = quadrupole**2 / (8 * RADIUS**4 * np.log(RADIUS) ** 2)
    assert found.p2 == pytest.approx(expected, rel=1e-3)
    assert max(found.p1, found.p3, found.centroid_shift) < 1e-12
    turned = image_statistics(image.T, CENTRE, RADIUS)
    assert astuple(turned) == pytest.approx(astuple(found), rel=1e-9, abs=1e-12)


def test_the_axis_ratio_is_about_the_centroid() -> None:
    x, y = offsets()
    beside = np.exp(-0.5 * ((x - 40) ** 2 + ((y + 25) / 0.6) ** 2) / 12**2)
    assert image_statistics(beside, CENTRE, RADIUS).axis_ratio == pytest.approx(0.6, rel=1e-3)


def test_a_point_is_as_concentrated_as_can_be() -> None:
    found = image_statistics(points((0, 0, 9.0)), CENTRE, RADIUS)
    assert (found.concentration, found.centroid_shift, found.asymmetry) == (1, 0, 0)
    assert found.cas_concentration == 0
    assert found.smoothness == pytest.approx(16 / 9)  # 1 - 1/9 in it, 1/9 in eight around it
    assert np.isnan(found.m20)  # no second moment at all


@pytest.mark.parametrize("shift", [30, 75])
def test_powers_of_a_displaced_point_are_those_of_its_distance(shift: int) -> None:
    """P_m / P_0 = (d / R)^(2m) / (2 m^2 ln^2 R); ln R as it is given."""
    image = points((shift, 0, 4.0))
    found = image_statistics(image, CENTRE, RADIUS)
    for m, power in enumerate((found.p1, found.p2, found.p3, found.p4), start=1):
        expected = (shift / RADIUS) ** (2 * m) / (2 * m**2 * np.log(RADIUS) ** 2)
        assert power == pytest.approx(expected, rel=1e-9)
    other = image_statistics(image, CENTRE, RADIUS, 2.0)
    assert other.p1 / found.p1 == pytest.approx((np.log(RADIUS) / 2) ** 2)
    assert found.asymmetry == 2  # nothing is opposite


def test_the_shift_of_two_points_is_worked_out_by_hand() -> None:
    """Flux 3 in the middle, 1 at 0.55 R: centroids at 0 in five apertures, at 0.1375 R in five."""
    x = round(0.55 * RADIUS)
    found = image_statistics(points((0, 0, 3.0), (x, 0, 1.0)), CENTRE, RADIUS)
    d = x / RADIUS / 4
    assert found.centroid_shift == pytest.approx(d * (10 / 36) ** 0.5, rel=1e-9)
    assert found.p1 == pytest.approx(d**2 / (2 * np.log(RADIUS) ** 2), rel=1e-9)
    assert found.asymmetry == pytest.approx(2 / 4)
    assert found.concentration == 0.75
    # The brightest pixel holds more than 20 per cent, at no distance: nothing to take a log of.
    assert np.isnan(found.m20)


def test_m20_is_the_share_of_the_second_moment_of_the_brightest_fifth() -> None:
    """Flux 2 at distance 50, 8 in ones at distance 100: log10(2 50^2 / (2 50^2 + 8 100^2))."""
    faint = [(100, 0), (-100, 0), (0, 100), (0, -100), (60, 80), (-60, 80), (60, -80), (-60, -80)]
    image = points((50, 0, 2.0), *[(x, y, 1.0) for x, y in faint])
    found = image_statistics(image, CENTRE, RADIUS)
    assert found.m20 == pytest.approx(np.log10(2 * 50**2 / (2 * 50**2 + 8 * 100**2)))
    assert image_statistics(image > 0, CENTRE, RADIUS).m20 == pytest.approx(np.log10(0.2))


def test_shot_noise_rules_asymmetry_and_smoothness() -> None:
    """With mu << 1 counts in every pixel A = 2 (1 - mu), S = 16 / 9 (1 - mu), to first order."""
    mu = 0.02
    image = np.random.default_rng(5).poisson(mu, (N, N))
    found = image_statistics(image, CENTRE, 190.0)
    assert found.asymmetry == pytest.approx(2 * (1 - mu), abs=0.03)
    assert found.smoothness == pytest.approx(16 / 9 * (1 - mu), abs=0.06)
    assert image_statistics(np.ones((N, N)), CENTRE, RADIUS).smoothness == pytest.approx(0)


def test_noise_of_the_powers_is_taken_off() -> None:
    """Of counts of a round source, P_m less its noise is nought on average, P_m is the noise."""
    rng = np.random.default_rng(2)
    expected = beta_model(40.0) * 0.3
    raw, less, quarter = [], [], []
    for _ in range(120):
        image = rng.poisson(expected)
        raw.append(image_statistics(image, CENTRE, RADIUS).p2)
        less.append(image_statistics(image, CENTRE, RADIUS, noise=0.75).p2)
        quarter.append(image_statistics(rng.poisson(4 * expected), CENTRE, RADIUS).p2)
    assert np.mean(less) < 0.6 * np.mean(raw)
    assert np.mean(raw) == pytest.approx(4 * np.mean(quarter), rel=0.35)
    assert min(less) > 0


def test_of_noise_that_is_all_there_is_a_fortieth_is_left() -> None:
    """Two points d apart from the peak: P2/P0 = (d/R)^4 / (8 ln^2 R), noise that over counts."""
    d = 60
    whole = (d / RADIUS) ** 4 / (8 * np.log(RADIUS) ** 2)
    for counts, noise, left in ((2.0, 1.0, 1 - 1 / 2), (0.5, 1.0, 2 / 40), (0.02, 0.75, 1.0)):
        image = points((d, 0, counts / 2), (-d, 0, counts / 2))
        found = image_statistics(image, CENTRE, RADIUS, noise=noise)
        assert found.p2 == pytest.approx(left * whole, rel=1e-9)


def test_pixels_on_the_edge_of_an_aperture_are_in_it() -> None:
    """Flux 1 at 0.1 R and R: centroids at -0.1 R in nine apertures, at 0.45 R in the last."""
    found = image_statistics(points((-15, 0, 1.0), (150, 0, 1.0)), CENTRE, RADIUS)
    assert found.concentration == 0.5
    assert found.centroid_shift == pytest.approx(0.35 * 0.1**0.5, rel=1e-9)


def test_what_lies_beyond_the_edge_is_empty() -> None:
    image = points((-190, 0, 1.0), (-150, 0, 1.0))
    found = image_statistics(image, (MIDDLE, 10), RADIUS)
    assert found.asymmetry == pytest.approx(1.0)  # the middle is its own opposite
    assert found.concentration == pytest.approx(0.5)


def test_an_empty_aperture_has_no_statistics() -> None:
    found = image_statistics(points((190, 190, 1.0)), CENTRE, RADIUS)
    assert all(np.isnan(value) for value in asdict(found).values())


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"image": np.ones(9)}, "image"),
        ({"image": -np.ones((N, N))}, "image"),
        ({"centre": (N, 0)}, "centre"),
        ({"radius": 9.0}, "radius"),
        ({"radius": np.nan}, "radius"),
    ],
)
def test_bad_input_names_its_field(changed: dict[str, object], field: str) -> None:
    good: dict[str, object] = {"image": np.ones((N, N)), "centre": CENTRE, "radius": RADIUS}
    with pytest.raises(InputError) as error:
        image_statistics(**(good | changed))  # type: ignore[arg-type]
    assert error.value.field == field


def test_the_peak_is_that_of_the_smoothed_image() -> None:
    """One pixel of 5 counts against a patch of 3 x 3 with 1 each: smoothing chooses the patch."""
    patch = [(x, y, 1.0) for x in range(49, 52) for y in range(-1, 2)]
    image = points((-50, 20, 5.0), *patch)
    assert x_ray_peak(image, 0.2) == (MIDDLE + 20, MIDDLE - 50)
    assert x_ray_peak(image, 3.0) == (MIDDLE, MIDDLE + 50)


def test_photons_fall_into_their_pixels() -> None:
    image = count_image(np.array([-1.9, 1.9, 5.0, 0.1]), np.array([-1.9, 0.1, 0.0, 1.1]), 2.0, 4)
    wanted = np.zeros((4, 4))
    wanted[0, 0] = wanted[2, 3] = wanted[3, 2] = 1
    np.testing.assert_array_equal(image, wanted)
