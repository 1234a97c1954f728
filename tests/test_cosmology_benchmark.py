"""Parts of `benchmarks/cosmology.py`: cells of the sky, what is said of chains, the figure."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from icmass.calibration.number_count_model import PARAMETERS, NumberCountModel
from icmass.calibration.sampler import Chains, find_maximum
from icmass.cosmology import Cosmology
from icmass.observe.allsky import AllSkyConfig, draw_sightline
from icmass.survey.presets import resolve_config
from test_number_counts import TRUTH, draw, model_of

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import cosmology


def test_cells_of_the_sky_have_its_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cosmology, "PLACES", 20_000)
    exposure, nh, share = cosmology.sky_cells(resolve_config("erass1"), np.random.default_rng(1))
    assert share.sum() == pytest.approx(1)
    rng = np.random.default_rng(2)
    drawn = [draw_sightline(AllSkyConfig(), rng) for _ in range(20_000)]
    for values, of_cells in (
        ([place.exposure_s for place in drawn], exposure),
        ([place.nh_1e20 for place in drawn], nh),
    ):
        ln = np.log(values)
        error = ln.std() * np.sqrt(2 / len(ln))
        assert share @ np.log(of_cells) == pytest.approx(ln.mean(), abs=4 * error)
        low, high = np.percentile(values, [0.5, 99.5])
        assert low < np.average(of_cells, weights=share) < high
    assert exposure.max() > 20 * np.median(exposure), "the poles have cells of their own"


def chains_of(centre: tuple[float, float], seed: int) -> Chains:
    rng = np.random.default_rng(seed)
    draws = np.zeros((2000, len(PARAMETERS)))
    draws[:, 0] = centre[0] + 0.01 * rng.normal(size=2000)
    draws[:, 1] = centre[1] - (draws[:, 0] - centre[0]) + 0.004 * rng.normal(size=2000)
    draws[:, 2:] = 0.1 * rng.normal(size=(2000, len(PARAMETERS) - 2))
    return Chains(draws, draws.mean(axis=0), {"converged": True})


def test_what_is_said_of_chains_and_drawn(tmp_path: Path) -> None:
    from matplotlib.image import imread

    model = model_of(draw(60.0, 6), om0=(0.26, 0.29))
    kept = {name: chains_of((0.27 + 0.02 * k, 0.81), k) for k, name in enumerate(cosmology.CASES)}
    cosmology.keep_chains(kept["whole"], tmp_path / "chains.npz")
    again = cosmology.kept_chains(tmp_path / "chains.npz")
    assert again is not None and (again.draws == kept["whole"].draws).all()
    assert cosmology.kept_chains(tmp_path / "none.npz") is None
    found = cosmology.summary(model, again)
    assert found["convergence"] == {"converged": True}
    assert found["om0"]["truth"] == TRUTH.om0 and found["om0"]["std"] == pytest.approx(
        0.01, rel=0.1
    )
    assert found["om0"]["pull"] == pytest.approx((found["om0"]["mean"] - TRUTH.om0) / 0.01, rel=0.1)
    s8 = TRUTH.sigma8 * np.sqrt(TRUTH.om0 / 0.3)
    assert found["s8"]["truth"] == pytest.approx(s8) and found["expected_at_truth"] > 0
    document = {"cases": {"whole": found}, "clusters": 60, "area_deg2": 60.0, "lensing_masses": 9}
    cosmology.draw(kept, document, tmp_path / "a.png")
    assert imread(tmp_path / "a.png")[..., :3].std() > 0.02


@pytest.mark.slow
def test_pulls_of_synthetic_samples_are_of_order_one() -> None:
    """Eight samples of a correlated detection, the scale and the cosmology free together."""
    pulls = []
    for seed in range(8):
        model: NumberCountModel = model_of(
            draw(1500.0, 40 + seed, rho=0.4, n_wl=150), om0=(0.18, 0.4), sigma8=(0.65, 1.0)
        )
        best, covariance = find_maximum(model)
        error = np.sqrt(np.diag(covariance))[:2]
        pulls.append((best[:2] - [TRUTH.om0, TRUTH.sigma8]) / error)
    of_both = np.array(pulls)
    assert (np.abs(of_both.mean(axis=0)) < 1.5).all()  # four errors of a mean of eight
    assert (np.sqrt((of_both**2).mean(axis=0)) < 2.0).all()


def test_the_universe_of_the_example_is_the_presets() -> None:
    config = resolve_config("erass1", assignments=cosmology.LIMIT)
    assert config.cosmology == Cosmology() and config.detection is not None
    assert config.detection.extent_likelihood == 6
    low, high = config.halos.redshift_range or (0, 0)
    assert low <= cosmology.REDSHIFTS[0] < cosmology.REDSHIFTS[1] <= high
