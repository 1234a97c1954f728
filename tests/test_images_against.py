"""Images of a mock made as Magneticum's: photons of known shape, rows of known samples."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from icmass.observe.image_statistics import ImageStatistics
from icmass.observe.published_images import PATH, PublishedStatistic, published_images
from icmass.survey.presets import resolve_config
from icmass.validation import image_maps
from icmass.validation.image_maps import MORPHOLOGY, STATISTICS, ImageSample, image_sample
from icmass.validation.image_residuals import body_residuals, rank_correlation
from icmass.validation.images import SHOWN, image_findings

R500 = 150.0  # arcsec


def published_sample(n: int = 300) -> ImageSample:
    """A sample with the published distributions, each statistic shuffled by itself."""
    rng = np.random.default_rng(4)
    table = published_images()

    def drawn(statistic: PublishedStatistic) -> np.ndarray:
        values, below = table.cumulative(statistic)
        signed = values[0] < 0
        drawn = np.interp((np.arange(n) + 0.5) / n, below, values if signed else np.log(values))
        return rng.permutation(drawn if signed else np.exp(drawn))

    mass = 1e14 * rng.lognormal(0, 0.5, n)
    return ImageSample(
        cluster=np.arange(n),
        m500c=mass,
        redshift=rng.uniform(0.1, 0.3, n),
        proxies={
            name: mass * rng.lognormal(0, 0.2, n) for name in ("L_X", "L_X_outside", "M_gas", "T")
        },
        deep={name: drawn(table.deep[name]) for name in STATISTICS},
        erosita={name: drawn(table.erosita[name]) for name in STATISTICS},
        core_share=drawn(table.core_share),
        peak_offset=rng.uniform(0, 1, n),
        photons=np.full(n, 1000.0),
        morphology={name: np.geomspace(0.01, 0.1, n) for name in MORPHOLOGY},
        t_spec_ratio=rng.normal(0.87, 0.09, n),
    )


def beta_photons(
    n: int, core: float, x0: float = 0.0, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Photons of (1 + r^2 / core^2)^(-3/2) about (x0, 0) [arcsec], out to a 1000 cores."""
    rng = np.random.default_rng(seed)
    r = core * np.sqrt((1 - rng.random(n) * 0.999) ** -2 - 1)
    phi = 2 * np.pi * rng.random(n)
    return x0 + r * np.cos(phi), r * np.sin(phi)


def test_the_deep_image_of_a_round_cluster_is_known() -> None:
    core = 20.0
    x, y = beta_photons(60_000, core)
    found = image_maps._deep(x, y, R500)

    def within(radius: float) -> float:
        return float(1 - (1 + (radius / core) ** 2) ** -0.5)

    assert found["deep concentration"] == pytest.approx(within(15) / within(R500), rel=0.03)
    assert found["core share"] == pytest.approx(within(22.5) / within(R500), rel=0.02)
    assert found["photons"] == pytest.approx(60_000 * within(R500) / 0.999, rel=0.01)
    assert found["peak offset"] < 0.03 and found["deep centroid_shift"] < 0.01
    assert found["deep axis_ratio"] > 0.95 and found["deep p3"] < 1e-7


def test_a_bright_neighbour_takes_the_peak() -> None:
    """1.4 R500c away; a little one of many photons, within whose R500c lies a part of the other."""
    x, y = beta_photons(20_000, 40.0)
    u, v = beta_photons(6_000, 3.0, 1.4 * R500, seed=2)
    found = image_maps._deep(np.append(x, u), np.append(y, v), R500)
    assert found["peak offset"] == pytest.approx(1.4, abs=0.02)
    assert found["deep concentration"] > found["core share"]
    far = image_maps._deep(np.append(x, u + 300), np.append(y, v), R500)
    assert far["peak offset"] < 0.2, "outside 2 R500c"


def test_the_faint_image_has_a_background() -> None:
    none = np.zeros(0)
    rng = np.random.default_rng(3)
    found = [image_maps._erosita(none, none, 800.0, rng) for _ in range(3)]
    shares = [values["erosita concentration"] for values in found]
    assert 0.01 < np.mean(shares) < 0.022, "the area of the aperture and the peak of the noise"
    x, y = beta_photons(4_000, 10.0)
    sharp = image_maps._deep(x, y, R500)["deep concentration"]
    diluted = image_maps._erosita(x[:400], y[:400], R500, rng)["erosita concentration"]
    assert 0.5 * sharp < diluted < 0.95 * sharp


@pytest.fixture(scope="module")
def few() -> ImageSample:
    config = resolve_config("erosita")
    simulator = image_maps.Simulator(config, 3)
    halos = [simulator.halo(i) for i in range(60)]
    mass, redshift = (np.array([getattr(h, a) for h in halos]) for a in ("m500c", "redshift"))
    return image_sample(config, 3, image_maps.choose_clusters(mass, redshift, 6))


def test_clusters_are_those_of_the_survey_and_again_the_same(few: ImageSample) -> None:
    config = resolve_config("phox")
    again = image_sample(config, 3, few.cluster[:2])
    for name in STATISTICS:
        np.testing.assert_array_equal(again.deep[name], few.deep[name][:2], "whatever the preset")
    halo = image_maps.Simulator(config, 3).halo(int(few.cluster[0]))
    assert (few.m500c[0], few.redshift[0]) == (halo.m500c, halo.redshift)
    made = image_maps.Simulator(config, 3).cluster(int(few.cluster[0]))
    for name in ("L_X", "M_gas", "T"):
        assert few.proxies[name][0] == made[name]
    gas = made["maps"][0].sum()  # phox: 2 ks on axis, no blur
    _, photons = image_maps.Simulator(config, 3).gas_photons(int(few.cluster[0]), 2000.0)
    inside = (np.maximum(np.abs(photons.x), np.abs(photons.y)) < 2.3) & (photons.energy > 0.5)
    assert (inside & (photons.energy < 7)).sum() == gas


def test_masses_are_chosen_as_magneticum_has_them() -> None:
    rng = np.random.default_rng(0)
    mass = 10 ** rng.uniform(13.5, 14.9, 4000)
    redshift = rng.uniform(0.05, 0.5, 4000)
    chosen = image_maps.choose_clusters(mass, redshift, 200)
    assert len(set(chosen)) == 200 and (np.diff(chosen) > 0).all()
    assert redshift[chosen].min() > 0.09 and redshift[chosen].max() < 0.3
    table = published_images()
    for level in (20, 50, 80):
        wanted = np.interp(level, table.mass_levels, table.log10_m500c)
        assert np.percentile(np.log10(mass[chosen]), level) == pytest.approx(wanted, abs=0.01)
    assert len(image_maps.choose_clusters(mass[:50], redshift[:50], 200)) < 50
    assert len(image_maps.choose_clusters(mass[:9], np.full(9, 0.5), 200)) == 0


def test_rows_of_a_sample_like_the_published_one_hold() -> None:
    found = image_findings(published_sample(), np.random.default_rng(0))
    assert len(found.checks) == 2 * (2 * len(SHOWN) + 1) + 5 + 20 + 2
    rows = [c for c in found.checks if c.name.startswith(("median", "half width"))]
    assert all(check.ok and abs(check.deviation) < 0.6 for check in rows)
    tails = {c.name: c for c in found.checks if c.name.startswith("part with w")}
    assert len(tails) == 2 and all(check.ok for check in tails.values())
    ranks = [c for c in found.checks if c.name.startswith("rank of")]
    assert all(abs(check.value) < 0.2 for check in ranks)
    absent = image_findings("a reason", np.random.default_rng(0))
    assert not absent.checks and list(absent.absent) == ["a reason"]


def test_a_rank_correlation_is_given_mass_and_redshift() -> None:
    rng = np.random.default_rng(1)
    n = 4000
    mass, z = 1e14 * rng.lognormal(0, 0.5, n), rng.uniform(0.1, 0.3, n)
    common, own = rng.standard_normal((2, n))
    light = np.exp(1.7 * np.log(mass / 1e14) + 0.2 * common)
    residuals, body = body_residuals({"L_X": light, "T": np.sqrt(mass)}, mass, z)
    assert body.mean() > 0.999
    np.testing.assert_allclose(residuals["L_X"], 0.2 * common, atol=0.03)
    np.testing.assert_allclose(residuals["T"], 0, atol=1e-10)
    statistic = (mass / 1e14) ** 3 * np.exp(0.6 * common + 0.8 * own)
    found = rank_correlation(statistic, residuals["L_X"], body, mass, z)
    expected = 6 / np.pi * np.arcsin(0.6 / 2)  # Spearman's of a Gaussian pair
    assert found == pytest.approx(expected, abs=0.05)
    statistic[::2] = np.nan
    assert rank_correlation(statistic, residuals["L_X"], body, mass, z) == pytest.approx(
        expected, abs=0.07
    )
    light[:40] *= np.exp(3.0)
    residuals, body = body_residuals({"L_X": light}, mass, z)
    assert not body[:40].any() and body[40:].mean() > 0.999


def test_the_table_is_of_our_statistics() -> None:
    table = published_images()
    names = set(ImageStatistics.__dataclass_fields__)
    assert set(table.deep) == set(table.erosita) == names
    for statistic in (*table.deep.values(), *table.erosita.values(), table.core_share):
        for values in (statistic.all, statistic.low, statistic.high):
            assert len(values) == len(table.levels) and (np.diff(values) > 0).all()
        assert all(-1 < rho < 1 for rho in statistic.rank_correlation.values())
    assert table.quantiles(table.deep["concentration"])[1] == 0.25
    below = np.interp(np.log([0.05, 0.1]), *_ln_cumulative(table.deep["centroid_shift"]))
    published = table.off_centre.w_above_005, table.off_centre.w_above_01
    np.testing.assert_allclose(1 - below, published, atol=0.01)


def _ln_cumulative(statistic: PublishedStatistic) -> tuple[np.ndarray, np.ndarray]:
    values, below = published_images().cumulative(statistic)
    return np.log(values), below


def test_the_table_is_that_of_the_catalogue(data_dir: Path, tmp_path: Path) -> None:
    catalogue = data_dir / "magneticum" / "box2_3292.csv.gz"
    if not catalogue.exists():
        pytest.skip(f"absent: {catalogue}")
    place = Path(__file__).parents[1] / "tools" / "make_images_table.py"
    spec = importlib.util.spec_from_file_location("make_images_table", place)
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    columns = tool.read(catalogue)
    assert len(columns["redshift"]) == 3292
    tool.write(tool.make(columns), tmp_path / "table.json")
    again = json.loads((tmp_path / "table.json").read_text())
    assert again == json.loads(PATH.read_text())
    # What the docstring of the published images states of p1: an offset squared, 0.2 R500c here.
    p1, w = columns["deep_P1"], columns["deep_w"]
    assert np.corrcoef(np.log(p1), np.log(w))[0, 1] > 0.9
