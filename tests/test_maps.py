"""Maps: photons in bands and pixels, and the background, against counts by another route."""

from __future__ import annotations

import numpy as np
import pytest

from icmass.observe.maps import Grid, background_map, bin_photons
from icmass.observe.photons import Photons
from icmass.telescope.instrument import load_instrument

BANDS = ((0.5, 1.2), (1.2, 2.0), (2.0, 7.0))


def test_binning_counts_every_photon_once():
    rng = np.random.default_rng(1)
    grid = Grid(16, 2.0, BANDS)
    photons = Photons(rng.uniform(0.3, 8, 5000), *rng.uniform(-2.5, 2.5, (2, 5000)))
    found = bin_photons(photons, grid, None, rng)
    edges = np.linspace(-2, 2, 17)
    for i, (lo, hi) in enumerate(BANDS):
        inside = (photons.energy >= lo) & (photons.energy < hi)
        image, *_ = np.histogram2d(photons.y[inside], photons.x[inside], bins=[edges, edges])
        np.testing.assert_array_equal(found[i], image)


def test_binning_leaves_out_nan_energies_and_far_photons():
    grid = Grid(4, 1.0, BANDS)
    photons = Photons(np.array([np.nan, 1.0, 1.0]), np.array([0.0, 9.0, np.nan]), np.zeros(3))
    assert bin_photons(photons, grid, None, np.random.default_rng(0)).sum() == 0


def test_bands_hold_their_lower_edge_and_pixels_no_more_than_fits():
    rng = np.random.default_rng(0)
    grid = Grid(2, 1.0, BANDS)
    edges = np.array([0.5, 1.2, 1.2, 7.0])
    photons = Photons(edges, np.full(4, 0.5), np.full(4, -0.5))
    assert bin_photons(photons, grid, None, rng)[:, 0, 1].tolist() == [1, 2, 0]
    many = Photons(np.ones(70_000), np.full(70_000, 0.5), np.full(70_000, -0.5))
    assert bin_photons(many, grid, None, rng)[0].tolist() == [[0, 65535], [0, 0]]


def test_unseen_pixels_are_dark_and_half_seen_ones_half_bright():
    """A coverage that is not its own transpose, of photons and of the background."""
    rng = np.random.default_rng(18)
    grid = Grid(2, 1.0, BANDS)
    coverage = np.array([[1.0, 0.5], [0.0, 0.25]])
    photons = Photons(np.ones(40_000), *rng.uniform(-1, 1, (2, 40_000)))
    seen = bin_photons(photons, grid, coverage, rng)[0]
    expected = 10_000 * coverage
    assert (np.abs(seen - expected) <= 5 * np.sqrt(expected)).all()
    options = {"exposure": 1e4, "arcmin_per_mpc_h": 15.0, "rng": rng}
    sky = background_map(load_instrument().background, grid, coverage=coverage, **options)
    whole = background_map(load_instrument().background, grid, coverage=None, **options)
    np.testing.assert_allclose(sky.sum(0) / whole.sum((0, 1, 2)) * 4, coverage, atol=0.12)


def test_background_reaches_every_edge():
    """A strip of a cell's width at each edge is as bright as the rest, whatever the start."""
    background = load_instrument().background
    n = 40
    arcmin = 10 * background.cell_arcmin / 4.6
    rng = np.random.default_rng(19)
    options = {"exposure": 1e4, "arcmin_per_mpc_h": arcmin, "coverage": None, "rng": rng}
    grid = Grid(n, 2.3, ((0.5, 1.2),))
    total = np.sum([background_map(background, grid, **options)[0] for _ in range(60)], axis=0)
    for strip in (total[:4], total[-4:], total[:, :4], total[:, -4:]):
        spread = background.excess_fraction / np.sqrt(60 * 10) + 1 / np.sqrt(strip.sum())
        assert strip.mean() == pytest.approx(total.mean(), rel=4 * spread)


def test_background_has_the_measured_rate_and_excess_variance():
    background = load_instrument().background
    grid, arcmin, exposure = Grid(64, 2.3, BANDS), 6.0, 2000.0
    area = (4.6 * arcmin) ** 2
    rng = np.random.default_rng(2)
    options = {"exposure": exposure, "arcmin_per_mpc_h": arcmin, "coverage": None, "rng": rng}
    maps = np.array([background_map(background, grid, **options) for _ in range(150)])
    cells = area / background.cell_arcmin**2
    for i, band in enumerate(BANDS):
        expected = sum(background.rate(*band)) * area * exposure
        totals = maps[:, i].sum((1, 2))
        spread = np.hypot(1 / np.sqrt(expected), background.excess_fraction / np.sqrt(cells))
        assert totals.mean() == pytest.approx(expected, rel=4 * spread / np.sqrt(150))
        assert totals.std() / expected == pytest.approx(spread, rel=0.25)


def test_cells_of_the_background_begin_anywhere():
    background = load_instrument().background
    grid, arcmin = Grid(40, 2.3, ((0.5, 1.2),)), 10 * background.cell_arcmin / 4.6
    firsts = set()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        options = {"exposure": 1e6, "arcmin_per_mpc_h": arcmin, "coverage": None, "rng": rng}
        profile = background_map(background, grid, **options)[0].sum(0, dtype=float)
        jumps = np.abs(np.diff(profile))
        firsts.add(int(np.argmax([jumps[k::4].sum() for k in range(4)])))  # cells of 4 pixels
    assert len(firsts) > 1
