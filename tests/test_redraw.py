"""Training sets put together anew: what is turned, what is exchanged, and what never is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import icmass
from icmass.survey.chosen import as_slice
from icmass.survey.counts import counts
from icmass.training.dihedral import dihedral
from icmass.training.sample import Sample, read_sample

quick = settings(max_examples=30, deadline=None)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made(redshift: torch.Tensor, exposure: torch.Tensor, seed: int = 0) -> Sample:
    """Three components of two channels; each cluster's background has a total of its own."""
    n = len(redshift)
    parts = torch.randint(50, (n, 3, 2, 8, 8), generator=generator(seed), dtype=torch.int16)
    parts[:, 2] = 0
    parts[:, 2, :, 1, 2] = torch.arange(1, n + 1, dtype=torch.int16)[:, None]
    total = parts.sum(1, dtype=torch.int16)
    return Sample(total, None, redshift, exposure, parts=parts)


def alike(n: int, seed: int = 0) -> Sample:
    return made(torch.full((n,), 0.1), torch.full((n,), 2000.0), seed)


def read(survey: xr.Dataset, index: np.ndarray, **options: object) -> Sample:
    given = {"sum_bands": False, "max_pixels": None, "coverage_channel": False} | options
    return read_sample(survey, index, **given)  # type: ignore[arg-type]


# the plan -----------------------------------------------------------------------------------


@quick
@given(
    clusters=st.lists(
        st.tuples(
            st.sampled_from([0.05, 0.058, 0.0605, 0.1, 0.3]),
            st.sampled_from([2000.0, 2015.0, 2100.0, 5e4]),
        ),
        min_size=1,
        max_size=80,
    ),
    seed=st.integers(0, 2**31),
)
def test_partners_share_redshift_and_exposure(
    clusters: list[tuple[float, float]], seed: int
) -> None:
    redshift, exposure = torch.tensor(clusters).T
    _, partner = made(redshift, exposure).draw_augmentation(generator(seed))
    assert ((partner >= 0) & (partner < len(clusters))).all()
    assert ((redshift[partner] - redshift).abs() <= 0.01).all()
    assert ((exposure[partner] / exposure - 1).abs() <= 0.01).all()


def test_no_partner_where_exposures_or_redshifts_differ() -> None:
    n = torch.arange(60)
    _, of_exposure = made(torch.full((60,), 0.1), 1000 * 1.02**n).draw_augmentation(generator())
    _, of_redshift = made(0.02 * (n + 1), torch.full((60,), 2000.0)).draw_augmentation(generator())
    assert torch.equal(of_exposure, n)
    assert torch.equal(of_redshift, n)


def test_partners_are_found_however_the_clusters_are_ordered() -> None:
    shuffled = torch.randperm(200, generator=generator(1))
    redshift = torch.tensor([0.1, 0.2, 0.3, 0.4]).repeat_interleave(50)[shuffled]
    exposure = torch.tensor([2000.0, 5000.0]).repeat(100)[shuffled]
    _, partner = made(redshift, exposure).draw_augmentation(generator())
    # 25 alike of each kind, among 101 neighbours: many find one, and not always the same
    assert (partner != torch.arange(200)).float().mean() > 0.1
    assert len(partner.unique()) > 50


def test_most_of_a_uniform_survey_is_exchanged() -> None:
    sample = alike(1000)
    first, second = (sample.draw_augmentation(generator(seed))[1] for seed in (0, 1))
    assert (first != torch.arange(1000)).float().mean() > 0.95
    assert (first != second).float().mean() > 0.9
    assert len(first.unique()) > 500


def test_components_are_turned_independently_and_evenly() -> None:
    symmetry, _ = alike(4000).draw_augmentation(generator())
    assert symmetry.shape == (4000, 3)
    pairs = torch.bincount(8 * symmetry[:, 0] + symmetry[:, 1], minlength=64)
    assert pairs.min() > 30  # of 62.5 +- 7.8
    again, _ = alike(4000).draw_augmentation(generator())
    assert torch.equal(symmetry, again)


# putting together ---------------------------------------------------------------------------


def test_photons_of_each_component_are_conserved() -> None:
    sample = alike(40)
    assert sample.parts is not None
    symmetry, partner = sample.draw_augmentation(generator(3))
    index = torch.tensor([7, 0, 31, 31, 12])
    drawn = sample.recombine_components(index, symmetry, partner)
    assert drawn.parts is None
    own = sample.parts[index, :2].sum((1, 3, 4))
    lent = sample.parts[partner[index], 2].sum((2, 3))
    assert torch.equal(drawn.counts.sum((2, 3)), own + lent)
    assert not torch.equal(drawn.counts.sum((2, 3)), sample.counts[index].sum((2, 3)))
    assert torch.equal(drawn.redshift, sample.redshift[index])


def test_each_component_is_turned_by_its_own_symmetry() -> None:
    sample = alike(8)
    assert sample.parts is not None
    symmetry = torch.stack([torch.arange(8), torch.arange(8).flip(0), torch.full((8,), 5)], 1)
    partner = torch.tensor([3, 2, 1, 0, 7, 6, 5, 4])
    index = torch.tensor([6, 1, 4])
    drawn = sample.recombine_components(index, symmetry, partner)
    for counts_, i in zip(drawn.counts, index.tolist(), strict=True):
        gas, agn = sample.parts[i : i + 1, 0], sample.parts[i : i + 1, 1]
        lender = int(partner[i])
        background = sample.parts[lender : lender + 1, 2]
        expected = dihedral(gas, i) + dihedral(agn, 7 - i) + dihedral(background, 5)
        assert torch.equal(counts_, expected[0].int())


def test_nothing_turned_and_nothing_lent_is_what_was_observed() -> None:
    sample = alike(10)
    still, own = torch.zeros(10, 3, dtype=torch.int64), torch.arange(10)
    assert torch.equal(sample.recombine_components(own, still, own).counts, sample.counts.int())


def test_a_bright_pixel_does_not_overflow_with_another_background() -> None:
    sample = alike(2)
    assert sample.parts is not None
    sample.parts[:] = 0
    sample.parts[0, 0], sample.parts[1, 2] = 32_000, 1_000
    whole = Sample(
        sample.parts.sum(1, dtype=torch.int16),
        None,
        sample.redshift,
        sample.exposure,
        parts=sample.parts,
    )
    still = torch.zeros(2, 3, dtype=torch.int64)
    drawn = whole.recombine_components(torch.tensor([0]), still, torch.tensor([1, 0]))
    assert (drawn.counts.long() == 33_000).all()


def test_without_components_all_turns_as_one() -> None:
    apart = alike(30)
    sample = Sample(apart.counts, None, apart.redshift, apart.exposure)
    symmetry, partner = sample.draw_augmentation(generator())
    assert symmetry.shape == (30, 1)
    index = torch.tensor([4, 20, 9])
    drawn = sample.recombine_components(index, symmetry, partner)
    assert torch.equal(drawn.counts, dihedral(sample.counts[index], symmetry[index, 0]))


# galaxies -----------------------------------------------------------------------------------


def with_galaxies(n: int) -> Sample:
    """Clusters at one redshift; cluster k has its number as the velocity of all its galaxies."""
    number = torch.randint(9, (n, 2), generator=generator(5))  # members and interlopers
    place = torch.arange(20).expand(n, 20)
    members = torch.where(place < number[:, :1], 1.0, 0.0)
    members[place >= number.sum(1, keepdim=True)] = torch.nan
    own = torch.arange(n, dtype=torch.float32)[:, None].expand(n, 20)
    galaxies = torch.stack([0.1 * place, 0.2 * members, own], -1)
    galaxies[members.isnan()] = torch.nan
    return replace(alike(n), galaxies=galaxies, members=members)


def test_interlopers_are_those_about_the_cluster_that_lends_its_background() -> None:
    sample = with_galaxies(40)
    symmetry, partner = sample.draw_augmentation(generator())
    index = torch.tensor([7, 31, 7])
    drawn = sample.recombine_components(index, symmetry, partner)
    assert drawn.members is None and drawn.galaxies is not None and sample.galaxies is not None
    assert sample.members is not None
    for k, found in zip(index.tolist(), drawn.galaxies, strict=True):
        other = int(partner[k])
        expected = [
            sample.galaxies[k][sample.members[k] == 1],
            sample.galaxies[other][sample.members[other] == 0],
        ]
        assert torch.equal(found[found[:, 0].isfinite()], torch.cat(expected))


def test_where_members_are_not_known_galaxies_stay_as_they_are() -> None:
    sample = replace(with_galaxies(40), members=None)
    symmetry, partner = sample.draw_augmentation(generator())
    index = torch.arange(3)
    drawn = sample.recombine_components(index, symmetry, partner)
    assert drawn.galaxies is not None and sample.galaxies is not None
    np.testing.assert_array_equal(drawn.galaxies, sample.galaxies[index])


def test_members_are_those_of_the_survey() -> None:
    survey = icmass.simulate("phox", n=3, seed=4)
    options = {"with_galaxies": True, "with_parts": True}
    sample = read(survey, np.array([2, 0]), **options)
    assert sample.members is not None and sample.galaxies is not None
    assert torch.equal(sample.members.isnan(), sample.galaxies[..., 0].isnan())
    for k, i in enumerate((2, 0)):
        own = slice(*survey["galaxy_offset"].values[i : i + 2])
        is_member = survey["galaxy_member"].values[own]
        assert 0 < is_member.sum() < len(is_member)
        np.testing.assert_array_equal(sample.members[k, : len(is_member)], is_member)
    assert read(survey, np.arange(2), with_galaxies=True).members is None
    assert read(survey, np.arange(2), with_parts=True).members is None
    nobody_knows = survey.drop_vars("galaxy_member")
    assert read(nobody_knows, np.arange(2), **options).members is None


# reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"sum_bands": True}, {"max_pixels": 16}])
def test_components_add_up_to_the_counts(
    options: dict[str, object], toy_survey: xr.Dataset
) -> None:
    index = np.array([70, 3, 95, 12])
    sample = read(toy_survey, index, with_parts=True, **options)
    assert sample.parts is not None
    assert torch.equal(sample.parts.sum(1), sample.counts.long())
    assert torch.equal(sample.counts, read(toy_survey, index, **options).counts)
    background = toy_survey["maps"].values[index, 2].sum((1, 2, 3))
    assert np.array_equal(sample.parts[:, 2].sum((1, 2, 3)).numpy(), background)
    assert read(toy_survey, index, **options).parts is None


def test_with_a_coverage_nothing_is_taken_apart(toy_survey: xr.Dataset) -> None:
    n, side = toy_survey.sizes["cluster"], toy_survey.sizes["x"]
    seen = toy_survey.assign(coverage=(("cluster", "y", "x"), np.ones((n, side, side), "f2")))
    index = np.arange(20)
    for channel in (True, False):
        sample = read(seen, index, with_parts=True, coverage_channel=channel)
        assert sample.parts is None
        symmetry, partner = sample.draw_augmentation(generator())
        drawn = sample.recombine_components(torch.arange(20), symmetry, partner)
        assert torch.equal(drawn.counts, dihedral(sample.counts, symmetry[:, 0]))
    one = toy_survey.isel(component=[0])
    assert read(one, index, with_parts=True).parts is None


def test_components_of_bright_clusters_do_not_overflow(toy_survey: xr.Dataset) -> None:
    survey = toy_survey.isel(cluster=slice(2)).copy(deep=True)
    survey["maps"][1, 0, :, 5, 5] = 20_000
    sample = read(survey, np.arange(2), sum_bands=True, with_parts=True)
    assert sample.parts is not None
    assert sample.parts[1, 0, 0, 5, 5] == 60_000


@quick
@given(
    index=st.lists(st.integers(0, 95), max_size=12)
    | st.tuples(st.integers(0, 80), st.integers(0, 15)).map(lambda p: list(range(p[0], sum(p))))
)
def test_a_run_reads_what_its_indices_do(index: list[int], toy_survey: xr.Dataset) -> None:
    chosen = np.array(index, dtype=int)
    expected = toy_survey["redshift"].values[chosen]
    assert np.array_equal(toy_survey["redshift"].isel(cluster=as_slice(chosen)).values, expected)
    is_run = len(index) > 0 and index == list(range(index[0], index[0] + len(index)))
    assert isinstance(as_slice(chosen), slice) == is_run


def test_counts_are_those_of_the_chosen_clusters(toy_survey: xr.Dataset) -> None:
    expected = toy_survey["maps"].values.sum(1)
    for index in (np.arange(5, 9), np.array([9, 5, 5]), np.array([95])):
        assert np.array_equal(counts(toy_survey, index), expected[index])
