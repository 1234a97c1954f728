"""The phase-space cube against scipy's kernel density, its bound and its limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi, gaussian_kde

from icmass.errors import InputError
from icmass.observe.phase_space import (
    CUTOFF,
    PhaseSpaceGrid,
    phase_space_cube,
    phase_space_cubes,
)

SMALL = PhaseSpaceGrid(n_pixels=24)


def galaxies(n: int, seed: int = 0, tilt: float = 300.0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0, 0.7, (2, n))
    return x, y, rng.normal(0, 700, n) + tilt * x - tilt / 2 * y


def by_scipy(x: np.ndarray, y: np.ndarray, v: np.ndarray, grid: PhaseSpaceGrid) -> np.ndarray:
    inside = (np.abs(x) <= grid.half_width) & (np.abs(y) <= grid.half_width)
    inside &= np.abs(v) <= grid.v_max
    density = gaussian_kde(np.stack([x, y, v])[:, inside], bw_method=grid.bandwidth)
    axes = [grid.start[i] + grid.step[i] * np.arange(grid.n_pixels) for i in range(3)]
    gy, gx, gv = np.meshgrid(axes[1], axes[0], axes[2], indexing="ij")
    cube = density(np.stack([gx.ravel(), gy.ravel(), gv.ravel()])).reshape(gx.shape)
    return cube / cube.sum()


@pytest.mark.parametrize("n", [5, 30, 112])
@pytest.mark.parametrize("tilt", [0.0, 900.0])
def test_cube_is_scipys_within_the_bound(n: int, tilt: float):
    x, y, v = galaxies(n, seed=n, tilt=tilt)
    exact = by_scipy(x, y, v, SMALL)
    cube = phase_space_cube(x, y, v, SMALL)
    inside = np.abs(np.stack([x / 2.3, y / 2.3, v / 3785])).max(0) <= 1
    kernel = SMALL.bandwidth**2 * np.cov(np.stack([x, y, v])[:, inside])
    peak = SMALL.step.prod() / np.sqrt((2 * np.pi) ** 3 * np.linalg.det(kernel))
    in_window = by_scipy_mass(x, y, v, SMALL)
    bound = np.exp(-(CUTOFF**2) / 2) * peak / in_window + 2e-7 * exact
    assert (np.abs(cube - exact) <= bound).all()
    assert exact.max() > 1e3 * bound.max()


def by_scipy_mass(x: np.ndarray, y: np.ndarray, v: np.ndarray, grid: PhaseSpaceGrid) -> float:
    """Sum of the density times the voxel: what the cube is divided by."""
    inside = np.abs(np.stack([x / 2.3, y / 2.3, v / 3785])).max(0) <= 1
    density = gaussian_kde(np.stack([x, y, v])[:, inside], bw_method=grid.bandwidth)
    axes = [grid.start[i] + grid.step[i] * np.arange(grid.n_pixels) for i in range(3)]
    mesh = np.meshgrid(*axes, indexing="ij")
    return float(density(np.stack([m.ravel() for m in mesh])).sum() * grid.step.prod())


def test_stated_cutoff_mass():
    assert chi(3).sf(CUTOFF) == pytest.approx(7.5e-8, rel=0.02)
    assert np.exp(-(CUTOFF**2) / 2) == pytest.approx(1.5e-8, rel=0.02)


def test_full_size_cube_is_scipys():
    x, y, v = galaxies(20)
    grid = PhaseSpaceGrid()
    cube, exact = phase_space_cube(x, y, v), by_scipy(x, y, v, grid)
    assert cube.shape == (64, 64, 64) and cube.dtype == np.float32
    assert np.abs(cube - exact).max() < 3e-7 * exact.max()


def test_axes_are_y_x_v():
    spread = np.array([-0.1, 0.1, -0.1, 0.1, 0.05, -0.05])
    x, y = 1.0 + spread, -1.5 + spread[::-1] * 0.9
    v = 2000 + 500 * np.array([1, -1, -1, 1, 0.5, -0.3])
    cube = phase_space_cube(x, y, v, SMALL)
    iy, ix, iv = np.unravel_index(cube.argmax(), cube.shape)
    centre = SMALL.start + SMALL.step * (ix, iy, iv)
    assert np.abs(centre[0] - 1) < 0.3 and np.abs(centre[1] + 1.5) < 0.3 and centre[2] > 1000


def test_galaxies_outside_the_window_do_not_count():
    x, y, v = galaxies(40)
    alone = phase_space_cube(x, y, v, SMALL)
    more = phase_space_cube(
        np.append(x, [2.31, 0, 0]), np.append(y, [0, -9, 0]), np.append(v, [0, 0, 3786]), SMALL
    )
    assert np.array_equal(alone, more)


def test_few_galaxies_take_the_windows_covariance():
    cube = phase_space_cube(np.zeros(1), np.zeros(1), np.zeros(1), SMALL)
    assert cube.sum() == pytest.approx(1, rel=1e-5)
    profile = cube.sum(axis=(1, 2))
    centre = SMALL.start[1] + SMALL.step[1] * np.arange(24)
    assert np.sqrt((profile * centre**2).sum()) == pytest.approx(0.15 * 2.3 / np.sqrt(3), rel=0.02)
    on_a_line = phase_space_cube(*np.tile(np.linspace(-1, 1, 9), (3, 1)), SMALL)
    assert on_a_line.sum() == pytest.approx(1, rel=1e-5)
    assert phase_space_cube(*np.empty((3, 0)), SMALL).sum() == 0


def test_kernels_narrower_than_a_voxel_still_count():
    rng = np.random.default_rng(1)
    x, y, v = rng.normal(0, 1e-3, (3, 9))
    v *= 1e3
    assert phase_space_cube(x + 0.01, y + 0.01, v + 10, SMALL).sum() == pytest.approx(1, rel=1e-5)
    cube = phase_space_cube(x + 0.15, y - 1.5, v - 1000, SMALL)
    ix, iy, iv = ((np.array([0.15, -1.5, -1000]) / (2.3, 2.3, 3785) + 1) / 2 * 24).astype(int)
    assert cube[iy, ix, iv] == 1


def test_wrong_input_is_refused():
    with pytest.raises(InputError, match="not finite"):
        phase_space_cube(np.array([np.nan]), np.zeros(1), np.zeros(1))
    with pytest.raises(InputError, match="1, 2 and 1 values"):
        phase_space_cube(np.zeros(1), np.zeros(2), np.zeros(1))
    with pytest.raises(InputError, match="bandwidth"):
        PhaseSpaceGrid(bandwidth=0)
    with pytest.raises(InputError, match="n_pixels"):
        PhaseSpaceGrid(n_pixels=6.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="galaxy_offset"):
        list(phase_space_cubes(*galaxies(30), np.array([0, 20, 10, 30])))


def test_ragged_cubes_are_those_of_each_cluster():
    x, y, v = galaxies(60)
    offset = np.array([0, 25, 25, 60])
    cubes = list(phase_space_cubes(x, y, v, offset, SMALL))
    assert len(cubes) == 3 and cubes[1].sum() == 0
    assert np.array_equal(cubes[2], phase_space_cube(x[25:], y[25:], v[25:], SMALL))


@settings(max_examples=25, deadline=None)
@given(n=st.integers(4, 60), seed=st.integers(0, 1000))
def test_sum_is_one_and_order_is_nothing(n: int, seed: int):
    x, y, v = galaxies(n, seed)
    cube = phase_space_cube(x, y, v, SMALL)
    assert cube.sum(dtype=float) == pytest.approx(1, rel=1e-5)
    assert (cube >= 0).all()
    mixed = np.random.default_rng(seed).permutation(n)
    again = phase_space_cube(x[mixed], y[mixed], v[mixed], SMALL)
    assert np.allclose(cube, again, rtol=1e-5, atol=1e-10)


@settings(max_examples=15, deadline=None)
@given(shift=st.integers(-3, 3), seed=st.integers(0, 100))
def test_moved_galaxies_move_the_cube(shift: int, seed: int):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0, 0.25, (2, 20))
    v = rng.normal(0, 300, 20)
    cube = phase_space_cube(x, y, v, SMALL)
    moved = phase_space_cube(x + shift * SMALL.step[0], y, v, SMALL)
    assert np.allclose(np.roll(cube, shift, axis=1), moved, rtol=1e-3, atol=1e-8)
