"""A catalogue's luminosity beside that of the photons: its tail, its outliers, nothing in maps."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import spearmanr

from icmass.survey.presets import resolve_config
from icmass.survey.simulate import Simulator
from icmass.universe.catalogue import CatalogueConfig, draw_excess

PLAIN = {"norm": 1, "norm_slope": 0, "norm_evolution": 0}
N = 40_000


def draw(config: CatalogueConfig, m500c: float, efunc: float = 1.0, n: int = N) -> np.ndarray:
    """Return ln of the excess and whether it is an outlier, (2, n)."""
    rng = np.random.default_rng(3)
    drawn = [draw_excess(m500c, efunc, config, rng) for _ in range(n)]
    return np.array([[one.ln_luminosity, one.outlier] for one in drawn]).T


@pytest.mark.parametrize("ratio", [0.2, 1.0, 4.0])
def test_the_body_is_an_exponential_of_its_mean(ratio: float):
    """Less ln 2 of the excess at the pivot: there the median is that of the norm."""
    config = CatalogueConfig(**PLAIN, excess=0.1, excess_slope=0.5, outlier_fraction=0)
    excess, outlier = draw(config, ratio * 2e14)
    mean = 0.1 * ratio**0.5
    error = mean / np.sqrt(N)
    assert not outlier.any()
    assert excess.mean() == pytest.approx(mean - 0.1 * np.log(2), abs=4 * error)
    assert excess.std() == pytest.approx(mean, rel=0.05)
    assert excess.min() == pytest.approx(-0.1 * np.log(2), abs=20 * mean / N)
    if ratio == 1:
        assert np.median(excess) == pytest.approx(0, abs=4 * error)


def test_norm_follows_mass_and_redshift():
    config = CatalogueConfig(
        norm=0.8, norm_slope=0.2, norm_evolution=0.5, excess=0, outlier_fraction=0
    )
    for ratio, efunc in ((1, 1), (3, 1), (1, 1.3)):
        excess, _ = draw(config, ratio * 2e14, efunc, 2)
        assert np.exp(excess) == pytest.approx([0.8 * ratio**0.2 * efunc**0.5] * 2)


@pytest.mark.parametrize("ratio", [0.2, 1.0, 4.0])
def test_outliers_are_more_among_the_massive(ratio: float):
    config = CatalogueConfig(**PLAIN, excess=0)
    excess, outlier = draw(config, ratio * 2e14)
    share = config.outlier_fraction * ratio**config.outlier_slope
    assert outlier.mean() == pytest.approx(share, abs=4 * np.sqrt(share / N))
    assert not excess[outlier == 0].any()
    far = excess[outlier == 1]
    assert far.min() >= config.outlier_least and far.max() <= config.outlier_most
    # an exponential cut at its most: by hand
    cut = (config.outlier_most - config.outlier_least) / config.outlier_scale
    mean = config.outlier_least + config.outlier_scale * (1 - np.exp(-cut))
    error = config.outlier_scale / np.sqrt(len(far))
    assert far.mean() == pytest.approx(mean, abs=4 * error)


def test_outliers_are_as_many_as_in_magneticum():
    """3.5 per cent in Green et al. 2019, by factors of 2 to 40, and more of the massive."""
    config = CatalogueConfig()
    assert 1.7 < np.exp(config.outlier_least) < np.exp(config.outlier_most) < 45
    rows = [(mass, draw(config, 10**mass, n=8000)[1].mean()) for mass in (13.5, 13.9, 14.5)]
    few, typical, many = (share for _, share in rows)
    assert few < typical < many
    assert typical == pytest.approx(0.035, abs=0.015)


def test_the_catalogue_is_nothing_in_the_photons():
    """Outliers or none: the same maps and counts; only the catalogue's luminosities differ."""
    small = ("observe.n_pixels=32",)
    none, many = (
        Simulator(resolve_config("erosita", assignments=(*small, *more)), 4)
        for more in (
            ("catalogue.outlier_fraction=0", "catalogue.excess=0"),
            ("catalogue.outlier_fraction=0.5",),
        )
    )
    outliers = 0
    for i in range(8):
        plain, other = none.cluster(i), many.cluster(i)
        for name, value in plain.items():
            if name not in ("L_X", "L_X_ce", "L_X_outlier"):
                np.testing.assert_array_equal(value, other[name], err_msg=name)
        assert not plain["L_X_outlier"]
        outliers += other["L_X_outlier"]
        ratio = other["L_X"] / plain["L_X"]
        assert other["L_X_ce"] / plain["L_X_ce"] == pytest.approx(ratio)
        assert (ratio > 1.7) == other["L_X_outlier"]
    assert 0 < outliers < 8


def test_photons_do_not_tell_the_excess():
    """Independent of all of the halo, at its mass."""
    simulator = Simulator(resolve_config("erosita"), 6)
    rows = []
    for i in range(300):
        scene = simulator.scene(i)
        found = simulator.luminosities(scene, i)
        config = simulator.config.catalogue
        body = config.norm_slope * np.log(scene.halo.m500c)
        body += config.norm_evolution * np.log(
            simulator.config.cosmology.efunc(scene.halo.redshift)
        )
        excess = np.log(found["L_X"] / found["L_X_emitted"]) - body
        rows.append((excess, scene.gas.shape["core_share"], *scene.halo.latents.values()))
    excess, *others = np.array(rows).T
    correlation = [spearmanr(excess, other).statistic for other in others]
    assert np.abs(correlation).max() < 4 / np.sqrt(300)


@pytest.mark.parametrize(
    "wrong",
    [{"norm": 0}, {"excess": -0.1}, {"outlier_fraction": 0.6}, {"outlier_scale": 0}, {"tail": 1}],
)
def test_wrong_catalogues_are_refused(wrong: dict[str, float]):
    with pytest.raises(ValidationError):
        CatalogueConfig(**wrong)
