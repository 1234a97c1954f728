"""Out of domain: statistics of maps, maps spoiled on purpose, and the score, on known clouds."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
import torch

from icmass.estimators.ood import FALSE_ALARMS, OODDetector
from icmass.estimators.ood_features import RINGS, corrupted, ood_features
from icmass.training.dihedral import dihedral
from icmass.training.sample import Sample

N_RINGS = len(RINGS) - 1
D = 10


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# statistics ---------------------------------------------------------------------------------


def clusters(n: int = 6, side: int = 64, bands: int = 2, seed: int = 0) -> torch.Tensor:
    """Poisson maps with a lopsided peak at the centre, shape (n, bands, side, side)."""
    axis = (torch.arange(side) + 0.5) * 2 / side - 1
    peak = 30 / (1 + (axis[:, None] ** 2 + (axis - 0.05) ** 2) / 0.02)
    return torch.poisson((0.5 + peak).expand(n, bands, -1, -1), generator=generator(seed))


def ones(n: int) -> torch.Tensor:
    return torch.ones(n, 1, 1, 1)


def profile_columns(bands: int) -> np.ndarray:
    start = np.arange(N_RINGS)[:, None] * (bands + 2)
    return (start + np.arange(bands)).ravel()


def test_statistics_of_a_flat_map_are_known() -> None:
    counts = torch.full((1, 1, 64, 64), 7.0)
    found = ood_features(counts, ones(1))[0].numpy()
    axis = (np.arange(64) + 0.5) / 32 - 1
    radius = np.hypot(axis[:, None], axis)
    rings = found[: 3 * N_RINGS].reshape(N_RINGS, 3)
    inside = [((radius >= a) & (radius < b)).sum() for a, b in pairwise(RINGS)]
    assert rings[:, 0] == pytest.approx(np.sqrt(7 * np.array(inside) + 0.375), rel=1e-5)
    assert rings[:, 1:] == pytest.approx(0, abs=2e-3)  # no sector stands out
    quantiles, brightest, centre, over_far, *over_near = np.split(found[3 * N_RINGS :], range(4, 9))
    block = np.sqrt(7 * 64 + 0.375)  # of 8 x 8 pixels
    assert np.concatenate([quantiles, brightest, centre]) == pytest.approx(block, rel=1e-5)
    assert over_far == pytest.approx(0, abs=1e-4)
    # boxes of 2, 4 and 8 pixels: the inner one less what surrounds it
    roots = [np.sqrt(7 * n + 0.375) for n in (4, 12, 16, 48)]
    expected = [roots[0] - roots[1], roots[2] - roots[3]]
    assert np.concatenate(over_near) == pytest.approx(expected, rel=1e-4)


def test_statistics_do_not_depend_on_the_orientation() -> None:
    counts = clusters()
    found = ood_features(counts, ones(6))
    others = ood_features(clusters(seed=1), ones(6))
    chance = (others - found).pow(2).mean().sqrt()
    for k in range(8):
        turned = ood_features(dihedral(counts, k), ones(6))
        off = (turned - found).pow(2).mean().sqrt()
        # mirrored, pixels on the diagonals change sectors: half of what photons do by chance
        assert off < (1e-4 if k < 4 else 0.6 * chance), k


def test_the_scale_is_that_of_the_profiles_counts() -> None:
    counts = clusters()
    plain, scaled = ood_features(counts, ones(6)), ood_features(counts, 4 * ones(6))
    four = ood_features(4 * counts, ones(6))
    profile = profile_columns(2)
    others = np.setdiff1d(np.arange(plain.shape[1]), profile)
    torch.testing.assert_close(scaled[:, profile], four[:, profile])
    assert torch.equal(scaled[:, others], plain[:, others])
    # roots: four times the counts, twice the numbers
    assert (four[:, profile] / plain[:, profile]).numpy() == pytest.approx(2, rel=0.02)


def test_bands_are_told_apart_in_the_profile_alone() -> None:
    counts = clusters()
    here, there = ood_features(counts, ones(6)), ood_features(counts.flip(1), ones(6))
    profile = profile_columns(2)
    others = np.setdiff1d(np.arange(here.shape[1]), profile)
    assert torch.equal(here[:, others], there[:, others])
    swapped = profile.reshape(-1, 2)[:, ::-1].ravel().copy()
    assert torch.equal(here[:, profile], there[:, swapped])


def test_a_point_source_moves_its_sector_and_not_the_profile() -> None:
    counts = clusters(1)
    with_source = counts.clone()
    with_source[0, 0, 32, 56] += 500  # at 0.77 half sides
    change = (ood_features(with_source, ones(1)) - ood_features(counts, ones(1)))[0].numpy()
    last = change[4 * (N_RINGS - 1) : 4 * N_RINGS]
    assert last[2] > 10
    assert np.abs(last[[0, 1, 3]]).max() < 3
    assert change[: 4 * (N_RINGS - 1)] == pytest.approx(0)
    assert change[4 * N_RINGS + 4] > 3  # the brightest block away from the centre


@pytest.mark.parametrize("side", [32, 48, 64])
def test_statistics_are_finite_at_every_size(side: int) -> None:
    found = ood_features(clusters(side=side), ones(6))
    assert torch.isfinite(found).all()
    assert torch.isfinite(ood_features(torch.zeros(2, 1, side, side), ones(2))).all()
    assert found.shape[1] == ood_features(clusters(), ones(6)).shape[1]


# maps spoiled on purpose --------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample() -> Sample:
    gas, background = clusters(40), torch.poisson(torch.full((40, 2, 64, 64), 2.0))
    parts = torch.stack([gas, torch.zeros_like(gas), background], 1).short()
    z = torch.linspace(0.05, 0.3, 40)
    return Sample(parts.sum(1).short(), None, z, torch.full((40,), 2000.0), parts=parts)


def test_spoiled_maps_are_what_they_say(sample: Sample) -> None:
    assert sample.parts is not None
    made = corrupted(sample, generator())
    assert set(made) == {"shifted", "noise", "blank", "point"}
    assert all(one.parts is None and len(one) == 40 for one in made.values())
    total = sample.counts.sum((2, 3)).float()
    shifted, noise, blank, point = (made[k].counts for k in ("shifted", "noise", "blank", "point"))
    assert torch.equal(shifted.sum((2, 3)), total.long())
    assert torch.equal(blank, sample.parts[:, -1])
    excess = point - blank
    assert (excess >= 0).all()
    for drawn in (noise.sum((2, 3)), point.sum((2, 3))):
        assert (((drawn - total) / total.sqrt()).abs() < 5).all()
    # noise has no centre; of a point most photons are within an eighth of the map's width
    centre = noise[..., 24:40, 24:40].sum() / noise.sum()
    assert float(centre) == pytest.approx(1 / 16, rel=0.02)
    assert float(excess[..., 24:40, 24:40].sum() / excess.sum()) > 0.8


def test_what_is_shifted_leaves_the_centre(sample: Sample) -> None:
    counts = torch.zeros_like(sample.counts)
    counts[:, :, 32, 32] = 9
    one = Sample(counts, None, sample.redshift, sample.exposure)
    made = corrupted(one, generator())
    assert set(made) == {"shifted", "noise"}
    _, _, y, x = made["shifted"].counts.nonzero().T
    assert (torch.maximum((y - 32).abs(), (x - 32).abs()) >= 16).all()
    assert ((y - 32).abs() < 16).any()
    assert ((x - 32).abs() < 16).any()
    assert torch.equal(counts, one.counts)  # the sample itself stays


# the score ----------------------------------------------------------------------------------


def cloud(n: int, seed: int, shift: float = 0.0, redshift: float | None = None) -> np.ndarray:
    """Correlated Gaussian numbers whose mean and scatter follow redshift, shape (n, 2 + D)."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.05, 0.35, n) if redshift is None else np.full(n, redshift)
    exposure = rng.normal(7.6, 0.3, n)
    shared = rng.normal(size=(n, 1))
    noise = 0.6 * shared + 0.8 * rng.normal(size=(n, D)) + shift
    numbers = 20 - 50 * z[:, None] + exposure[:, None] + (0.3 + 3 * z[:, None]) * noise
    return np.column_stack([z, exposure, numbers])


@pytest.fixture(scope="module")
def domain() -> OODDetector:
    return OODDetector.fit(cloud(2000, 0), cloud(2000, 1, shift=8.0), cloud(3000, 2), seed=0)


def test_each_threshold_leaves_the_stated_share_above(domain: OODDetector) -> None:
    flagged = domain.score(cloud(6000, 3)) > 1
    # two thresholds, which may flag the same or others: 30 to 60 of 6000, and noise of both
    assert 0.5 * FALSE_ALARMS < flagged.mean() < 2.8 * FALSE_ALARMS
    held = domain.score(cloud(3000, 2)) > 1
    assert FALSE_ALARMS * 0.9 <= held.mean() <= 2 * FALSE_ALARMS + 1e-3


def test_a_shifted_cloud_is_flagged(domain: OODDetector) -> None:
    for shift in (8.0, -8.0):  # one the classifier has seen, the other it has not
        assert (domain.score(cloud(300, 4, shift)) > 1).mean() > 0.99
    near, far = (domain.score(cloud(300, 4, shift)).mean() for shift in (-10.0, -30.0))
    assert far > 2 * near  # nor is there a limit to how far out


def test_an_unusual_combination_of_usual_numbers_is_flagged(domain: OODDetector) -> None:
    torn = cloud(300, 5)
    scatter = 0.3 + 3 * torn[:, :1]
    torn[:, 2::2] += 2.5 * scatter
    torn[:, 3::2] -= 2.5 * scatter  # each within three deviations, but they go together
    assert (domain.score(torn) > 1).mean() > 0.9


def test_what_is_usual_at_one_redshift_is_not_at_another(domain: OODDetector) -> None:
    near, far = cloud(300, 6, redshift=0.1), cloud(300, 7, redshift=0.3)
    assert (domain.score(near) > 1).mean() < 0.05
    assert (domain.score(far) > 1).mean() < 0.05
    near[:, 0], far[:, 0] = 0.3, 0.1
    assert (domain.score(near) > 1).mean() > 0.95
    assert (domain.score(far) > 1).mean() > 0.95


def test_the_classifier_flags_what_the_distance_does_not() -> None:
    shift = 1.5  # little, but along an axis that it was shown
    spoilt = OODDetector.fit(cloud(2000, 0), cloud(2000, 1, shift), cloud(3000, 2), seed=0)
    elsewhere = OODDetector.fit(cloud(2000, 0), cloud(2000, 1, -shift), cloud(3000, 2), seed=0)
    there = cloud(500, 8, shift)
    assert (spoilt.score(there) > 1).mean() > 2 * (elsewhere.score(there) > 1).mean()


def test_clusters_are_scored_one_by_one(domain: OODDetector) -> None:
    features = cloud(50, 9, 2.0)
    order = np.random.default_rng(0).permutation(50)[:20]
    assert domain.score(features[order]) == pytest.approx(domain.score(features)[order])


def test_the_same_fit_twice_is_the_same(domain: OODDetector) -> None:
    again = OODDetector.fit(cloud(2000, 0), cloud(2000, 1, shift=8.0), cloud(3000, 2), seed=0)
    for field in fields(OODDetector):
        assert np.array_equal(getattr(domain, field.name), getattr(again, field.name))


def test_stored_and_restored_it_scores_the_same(domain: OODDetector) -> None:
    restored = OODDetector.of_tensors(domain.tensors())
    features = cloud(200, 10, 1.0)
    assert np.array_equal(restored.score(features), domain.score(features))


def test_constant_numbers_and_few_redshifts_do_no_harm() -> None:
    def flat(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
        made = cloud(n, seed, shift, redshift=0.1)
        made[:, 1] = np.float32(np.log(2000.0))
        made[:, 5] = 3.0
        made[: n // 2, 0] = 0.2
        return made

    few = OODDetector.fit(flat(300, 0), flat(300, 1, 8.0), flat(300, 2), seed=0)
    scores = few.score(flat(500, 3))
    assert np.isfinite(scores).all()
    assert (scores > 1).mean() < 0.1
    assert (few.score(flat(200, 4, -9.0)) > 1).mean() > 0.9
