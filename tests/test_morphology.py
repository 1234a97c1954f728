"""Morphology statistics against limits derived by hand."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icmass.errors import InputError
from icmass.observe.morphology import Morphology, morphology
from icmass.observe.published_morphology import FRACTIONS, QUANTILES

HALF_WIDTH = 2.3
KPC = 1000 / (0.704 * 1.2)
R500C = 0.9
LOG2 = np.log(R500C * KPC) ** 2
INVARIANT = [each.name for each in fields(Morphology) if each.name != "peak"]


def radii(n: int, x0: float = 0.0, y0: float = 0.0) -> np.ndarray:
    at = (np.arange(n) + 0.5) * (2 * HALF_WIDTH / n) - HALF_WIDTH
    return np.hypot(at[:, None] - y0, at[None, :] - x0)


def beta_model(n: int, core: float, x0: float = 0.0, y0: float = 0.0) -> np.ndarray:
    return (1 + (radii(n, x0, y0) / core) ** 2) ** -1.5


def blobs(n: int, *at: tuple[float, float], flux: tuple[float, ...] | None = None) -> np.ndarray:
    """Gaussians of equal width, of flux 1 or `flux`, at (x, y) in units of R500c."""
    image = np.zeros((n, n))
    for (x, y), total in zip(at, flux or (1.0,) * len(at), strict=True):
        blob = np.exp(-0.5 * (radii(n, x * R500C, y * R500C) / (0.012 * R500C)) ** 2)
        image += total * blob / blob.sum()
    return image


def measure(images: np.ndarray, **options: Any) -> Morphology:
    images = images if images.ndim == 3 else images[None]
    return morphology(images, R500C, half_width=HALF_WIDTH, kpc_per_mpc_h=KPC, **options)


def within(core: float, radius: float) -> float:
    """Flux of a beta-model of beta = 2/3 within a radius: the integral of (1 + r^2)^(-3/2) r dr."""
    return 1 - (1 + (radius / core) ** 2) ** -0.5


@pytest.mark.parametrize("core", [0.05, 0.2])
def test_concentration_of_a_beta_model_is_analytic(core: float) -> None:
    found = measure(beta_model(512, core) + 0.3, background=0.3)
    whole = within(core, R500C)
    assert found.concentration_01[0] == pytest.approx(within(core, 0.1 * R500C) / whole, rel=3e-3)
    assert found.concentration_015[0] == pytest.approx(within(core, 0.15 * R500C) / whole, rel=3e-3)
    fixed = within(core, 40 / KPC) / within(core, 400 / KPC)
    assert found.concentration_kpc[0] == pytest.approx(fixed, rel=6e-3)


@given(x=st.floats(-0.3, 0.3), y=st.floats(-0.3, 0.3))
@settings(max_examples=15, deadline=None)
def test_a_round_cluster_has_no_shift_wherever_it_is(x: float, y: float) -> None:
    found = measure(beta_model(128, 0.15, x, y))
    np.testing.assert_allclose(found.peak[0], (x, y), rtol=0, atol=0.004)  # a ninth of a pixel
    assert found.centroid_shift[0] < 1e-3
    assert found.p2_p0[0] < 1e-9
    assert found.p3_p0[0] < 1e-11


def test_centroid_shift_of_two_blobs() -> None:
    """Centroids: 0 in five apertures, d f / (1 + f) in the five that hold the second blob."""
    found = measure(blobs(512, (0, 0), (0.33, 0.44), flux=(1.0, 0.25)), centre=np.zeros((1, 2)))
    step = np.hypot(0.33, 0.44) * 0.25 / 1.25
    assert found.centroid_shift[0] == pytest.approx(step * np.sqrt(10 / 4 / 9), rel=2e-3)


def test_third_power_ratio_of_three_blobs() -> None:
    """a_3 = 3 d^3 and a_0 = 3, since r^m cos(m phi) is harmonic: blobs act as points."""
    angle = 0.4 + np.arange(3) * 2 * np.pi / 3
    found = measure(blobs(512, *zip(0.5 * np.cos(angle), 0.5 * np.sin(angle), strict=True)))
    assert found.p3_p0[0] == pytest.approx(0.5**6 / (18 * LOG2), rel=1e-4)
    assert found.p2_p0[0] < 1e-6 * found.p3_p0[0]


def test_second_power_ratio_of_two_blobs_is_about_their_centroid() -> None:
    found = measure(blobs(512, (0.1, 0.6), (0.1, -0.2)))
    assert found.p2_p0[0] == pytest.approx(0.4**4 / (8 * LOG2), rel=1e-4)
    assert found.p3_p0[0] < 1e-6 * found.p2_p0[0]


def test_noise_of_a_uniform_disc_is_analytic() -> None:
    """<r^6> = R^6 / 4 and <r^4> = R^4 / 3 in a disc; N photons at (1 + s) times the net flux."""
    n, level = 256, 2.0
    found = measure(np.full((n, n), 3 * level), background=level, centre=np.zeros((1, 2)))
    net = 2 * level * np.pi * R500C**2 / (2 * HALF_WIDTH / n) ** 2
    assert found.p3_p0_noise[0] == pytest.approx(1.5 / (72 * net * LOG2), rel=2e-3)
    assert found.p2_p0_noise[0] == pytest.approx(1.5 / (24 * net * LOG2), rel=2e-3)


def test_photon_noise_is_what_is_predicted() -> None:
    """Of 600 draws of 1,000 photons of a disturbed cluster on a background."""
    image = beta_model(64, 0.2) + 0.5 * beta_model(64, 0.2, 0.35, 0.25)
    image *= 1000 / image[radii(64) < R500C].sum()
    level = 0.3
    drawn = np.random.default_rng(5).poisson(image + level, (600, 64, 64))
    options: dict[str, Any] = {"background": level, "centre": np.zeros((1, 2))}
    truth = measure(image + level, **options)
    found = measure(drawn, **options | {"centre": np.zeros((600, 2))})
    for name in ("p2_p0", "p3_p0"):
        value, noise = getattr(found, name), getattr(found, f"{name}_noise")
        error = value.std() / np.sqrt(len(value))
        assert value.mean() - getattr(truth, name)[0] > 3 * error, "noise biases upwards"
        assert (value - noise).mean() == pytest.approx(getattr(truth, name)[0], abs=4 * error)
        assert noise.mean() == pytest.approx(getattr(truth, f"{name}_noise")[0], rel=0.05)
    assert found.centroid_shift.mean() == pytest.approx(truth.centroid_shift[0], rel=0.05)
    for name in ("concentration_01", "concentration_015"):
        value = getattr(found, name)
        assert value.mean() == pytest.approx(getattr(truth, name)[0], rel=0.01)


def test_floor_of_the_centroid_shift() -> None:
    image = beta_model(64, 0.2)
    image *= 1000 / image[radii(64) < R500C].sum()
    drawn = np.random.default_rng(6).poisson(image + 0.3, (400, 64, 64))
    found = measure(drawn, background=0.3, centre=np.zeros((400, 2)))
    floor = measure(image + 0.3, background=0.3).centroid_shift_noise[0]
    assert found.centroid_shift_noise.mean() == pytest.approx(floor, rel=0.03)
    assert 0.8 < np.sqrt((found.centroid_shift**2).mean()) / floor < 1.05


@given(
    seed=st.integers(0, 2**32 - 1),
    turns=st.integers(0, 3),
    flip=st.booleans(),
    brighter=st.floats(0.01, 100),
)
@settings(max_examples=25, deadline=None)
def test_orientation_and_brightness_do_not_matter(
    seed: int, turns: int, flip: bool, brighter: float
) -> None:
    rng = np.random.default_rng(seed)
    image = beta_model(64, 0.2)
    for x, y, size in rng.uniform((-0.5, -0.5, 0.05), (0.5, 0.5, 0.3), (3, 3)):
        image += 0.3 * rng.random() * beta_model(64, size, x, y)
    other = brighter * np.rot90(image[:, ::-1] if flip else image, turns)
    first, second = (measure(each, background=0.01 * each.max()) for each in (image, other))
    for name in INVARIANT:
        scale = {"p2_p0_noise": 1, "p3_p0_noise": 1, "centroid_shift_noise": 0.5}.get(name, 0)
        value = getattr(second, name) * brighter**scale
        np.testing.assert_allclose(value, getattr(first, name), rtol=1e-6, atol=1e-12)


def test_a_batch_is_its_members() -> None:
    images = np.stack([blobs(128, (0, 0), (0.3, y)) + 1e-4 for y in (0.1, 0.3, 0.5)])
    radius, kpc = np.array([0.8, 0.9, 1.0]), np.array([1000.0, 1100.0, 1200.0])
    level = np.array([0.0, 1e-5, 5e-5])
    whole = morphology(images, radius, half_width=HALF_WIDTH, kpc_per_mpc_h=kpc, background=level)
    for i in range(3):
        one = morphology(
            images[[i]], radius[i], half_width=HALF_WIDTH, kpc_per_mpc_h=kpc[i], background=level[i]
        )
        for each in fields(Morphology):
            np.testing.assert_array_equal(getattr(whole, each.name)[i], getattr(one, each.name)[0])


def test_nothing_is_measured_without_net_flux() -> None:
    found = measure(np.ones((2, 32, 32)), background=np.array([1.5, 0.0]))
    for name in INVARIANT:
        assert np.isnan(getattr(found, name)).tolist() == [True, False]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"images": np.ones((8, 8))}, "images"),
        ({"images": np.ones((1, 8, 9))}, "images"),
        ({"r500c": np.ones(2)}, "r500c"),
        ({"r500c": -1.0}, "r500c"),
        ({"r500c": 2.4}, "r500c"),
        ({"kpc_per_mpc_h": 0.0}, "kpc_per_mpc_h"),
        ({"kpc_per_mpc_h": 100.0}, "r500c"),
        ({"background": np.nan}, "background"),
        ({"centre": np.zeros((2, 2))}, "centre"),
    ],
)
def test_bad_input_names_its_field(changed: dict[str, Any], field: str) -> None:
    good: dict[str, Any] = {"images": np.ones((1, 8, 8)), "r500c": 0.9, "kpc_per_mpc_h": KPC}
    with pytest.raises(InputError) as error:
        morphology(**good | changed, half_width=HALF_WIDTH)
    assert error.value.field == field


def test_published_values_are_of_our_statistics() -> None:
    for row in QUANTILES:
        assert row.statistic in INVARIANT
        assert 0 < row.p16 < row.median < row.p84 < 1
    for each in FRACTIONS:
        assert each.statistic in INVARIANT
        assert 0 < each.threshold < 1
        assert 0 < each.fraction < 1
