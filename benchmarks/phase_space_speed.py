"""Time the phase-space cube against scipy.

    python benchmarks/phase_space_speed.py [--repeats 20] [--no-scipy]

Galaxies are spread as around a mock cluster: a concentrated third, the rest over the window.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.stats import gaussian_kde

from icmass.observe.phase_space import PhaseSpaceGrid, phase_space_cube


def galaxies(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    core = n // 3
    x, y = np.concatenate([rng.normal(0, 0.5, (core, 2)), rng.uniform(-2.3, 2.3, (n - core, 2))]).T
    v = np.concatenate([rng.normal(0, 600, core), rng.normal(0, 1200, n - core).clip(-3700, 3700)])
    return x, y, v


def by_scipy(x: np.ndarray, y: np.ndarray, v: np.ndarray) -> np.ndarray:
    grid = PhaseSpaceGrid()
    axes = [grid.start[i] + grid.step[i] * np.arange(grid.n_pixels) for i in range(3)]
    gy, gx, gv = np.meshgrid(axes[1], axes[0], axes[2], indexing="ij")
    at = np.stack([gx.ravel(), gy.ravel(), gv.ravel()])
    cube = gaussian_kde(np.stack([x, y, v]), bw_method=grid.bandwidth)(at).reshape(gx.shape)
    return cube / cube.sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--no-scipy", action="store_true")
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    phase_space_cube(*galaxies(20, rng))
    print("galaxies   ours [ms]   scipy [ms]   largest difference / peak")
    for n in (50, 112, 250, 520, 800):
        x, y, v = galaxies(n, rng)
        begin = time.perf_counter()
        for _ in range(asked.repeats):
            cube = phase_space_cube(x, y, v)
        ours = (time.perf_counter() - begin) / asked.repeats
        if asked.no_scipy:
            print(f"{n:8d} {1e3 * ours:11.1f}")
            continue
        begin = time.perf_counter()
        exact = by_scipy(x, y, v)
        theirs = time.perf_counter() - begin
        off = np.abs(cube - exact).max() / exact.max()
        print(f"{n:8d} {1e3 * ours:11.1f} {1e3 * theirs:12.0f} {off:12.1e}")


if __name__ == "__main__":
    main()
