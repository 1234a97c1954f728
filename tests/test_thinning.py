"""Photons of exposures that are longer than a network was trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import icmass
from icmass.training.sample import Sample
from icmass.training.thinning import thinned

LONGEST = 1000.0
MAPS = ("observe.n_pixels=64", "observe.bands=[[0.5,1.2],[1.2,2.0],[2.0,7.0]]")


def sample(counts: np.ndarray, exposure: list[float]) -> Sample:
    nothing = torch.zeros(len(exposure))
    return Sample(torch.from_numpy(counts), None, nothing, torch.tensor(exposure), nothing)


def poisson(n: int, mean: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(mean, (n, 2, 64, 64)).astype("i2")


def test_counts_are_poisson_of_the_shorter_exposure() -> None:
    less = thinned(sample(poisson(20, 3.0), [3000.0] * 20), LONGEST)
    counts = less.counts.numpy().astype(float)
    n = counts.size
    assert counts.mean() == pytest.approx(1.0, abs=4 / np.sqrt(n))
    assert counts.var() == pytest.approx(1.0, abs=4 * np.sqrt(3 / n))  # variance of a variance
    assert less.counts.dtype == torch.int16
    assert less.exposure.tolist() == [LONGEST] * 20


@given(st.lists(st.floats(100, 5000), min_size=1, max_size=4))
def test_what_is_within_stays_and_none_gains(exposure: list[float]) -> None:
    before = sample(poisson(len(exposure), 2.0), exposure)
    after = thinned(before, LONGEST)
    assert (after.counts <= before.counts).all()
    assert (after.exposure <= LONGEST * (1 + 1e-6)).all()
    within = before.exposure <= LONGEST
    assert torch.equal(after.counts[within], before.counts[within])


def test_which_photons_stay_is_the_clusters_own() -> None:
    counts, exposure = poisson(4, 2.0), [2000.0, 500.0, 3000.0, 1500.0]
    batch = thinned(sample(counts, exposure), LONGEST).counts
    alone = [thinned(sample(counts[k : k + 1], exposure[k : k + 1]), LONGEST) for k in range(4)]
    assert torch.equal(batch, torch.cat([one.counts for one in alone]))


def test_filled_counts_of_a_survey_with_coverage_are_thinned_too() -> None:
    less = thinned(sample(poisson(2, 4.0).astype("f4"), [4000.0, 800.0]), LONGEST)
    assert less.counts.dtype == torch.float32
    assert less.counts[0].mean() == pytest.approx(1.0, abs=0.1)


def test_masses_of_a_deep_field_are_those_of_a_shallow_one() -> None:
    """The same clusters and masks of sources with 10,000 s, as trained on, and with 40,000 s."""
    model = icmass.load_model("erass-v2-3band", device="cpu")
    surveys = [
        icmass.simulate(
            "efeds", n=24, seed=4,
            assignments=(
                *MAPS,
                f"observe.exposure_s={seconds}",
                f"observe.coverage.mask_counts={12 * seconds / 10_000}",
            ),
        )
        for seconds in (10_000, 40_000)
    ]  # fmt: skip
    shallow, deep = (model.predict(survey, np.arange(24)) for survey in surveys)
    np.testing.assert_allclose(deep.std, shallow.std, rtol=0.5)
    change = (deep.mean - shallow.mean) / np.hypot(deep.std, shallow.std)
    assert abs(change.mean()) < 3 / np.sqrt(24)
    assert np.median(deep.out_of_domain) < 1
