"""Coverage of maps: holes, field edges and gradients against geometry done again."""

from __future__ import annotations

import numpy as np
import pytest

from icmass.observe.coverage import CoverageConfig, draw_coverage
from icmass.universe.agn import Sources

HALF, N, ARCSEC = 2.3, 92, 200.0  # pixels of 10 arcsec
CENTRES = (np.arange(N) + 0.5) / N * 2 * HALF - HALF
Y, X = np.meshgrid(CENTRES, CENTRES, indexing="ij")


def coverage(
    config: CoverageConfig,
    x: list[float],
    y: list[float],
    counts: list[float],
    rng: np.random.Generator,
) -> np.ndarray:
    n = len(x)
    sources = Sources(np.array(x), np.array(y), np.ones(n), np.full(n, 1.9), np.zeros(n, bool))
    return draw_coverage(
        config, sources, np.array(counts), n_pixels=N, half_width=HALF, arcsec_per_mpc_h=ARCSEC,
        rng=rng,
    ).astype(float)  # fmt: skip


def test_bright_points_are_masked_by_their_counts_but_not_in_the_centre() -> None:
    config = CoverageConfig(edge_probability=0, gradient=0)
    found = coverage(
        config,
        x=[0.8, -1.5, 2.4, 0.1, 1.0],
        y=[-0.4, 1.1, 0.3, 0.0, 1.9],
        counts=[8 * 12.0, 13.0, 1e4, 1e4, 11.9],
        rng=np.random.default_rng(1),
    )
    expected = np.ones((N, N))
    for x, y, arcsec in (
        (0.8, -0.4, 2 * 30),
        (-1.5, 1.1, 30 * (13 / 12) ** (1 / 3)),
        (2.4, 0.3, 30 * (1e4 / 12) ** (1 / 3)),
    ):
        expected[(X - x) ** 2 + (Y - y) ** 2 <= (arcsec / ARCSEC) ** 2] = 0
    np.testing.assert_array_equal(found, expected)


def test_a_quarter_of_the_maps_are_cut_by_an_edge_beside_the_cluster() -> None:
    rng = np.random.default_rng(2)
    maps = [coverage(CoverageConfig(gradient=0), [], [], [], rng) for _ in range(300)]
    cut = [each for each in maps if not each.all()]
    assert abs(len(cut) - 75) < 4 * np.sqrt(300 * 0.25 * 0.75)
    radius, angles = np.hypot(X, Y), []
    for each in cut:
        dark = each == 0
        assert radius[dark].min() >= 0.5
        assert dark.mean() < 0.5
        angles.append(np.arctan2(Y[dark].mean(), X[dark].mean()))
    assert abs(np.exp(1j * np.array(angles)).mean()) < 3 / np.sqrt(len(cut))


def test_the_gradient_is_as_large_as_it_says() -> None:
    """Along x and y g/sqrt(2) times even draws: g/sqrt(6) in the mean square, g at most."""
    rng = np.random.default_rng(3)
    config = CoverageConfig(edge_probability=0, gradient=0.4)
    slopes = []
    for _ in range(400):
        each = coverage(config, [], [], [], rng)
        assert each.max() == 1
        halves = [(each[where].mean() - each[~where].mean()) for where in (X > 0, Y > 0)]
        slopes.append(np.array(halves) / each.mean())  # over half the side: from centre to side
    assert np.hypot(*np.transpose(slopes)).max() < 0.4 + 1e-3
    rms = np.sqrt(np.mean(np.square(slopes), axis=0))
    assert rms == pytest.approx(np.full(2, 0.4 / np.sqrt(6)), rel=0.1)
