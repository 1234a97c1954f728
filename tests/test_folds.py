"""Octant folds: no halo on both sides."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from icmass.errors import InputError
from icmass.survey.folds import octant_folds, octants, split


def later_selves(n_halos: int = 200, n_snapshots: int = 5, seed: int = 0) -> xr.Dataset:
    """Return halos that drift by about 2 Mpc/h between snapshots, some across octant borders."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 352, (n_halos, 1, 3))
    drift = np.cumsum(rng.normal(0, 2, (n_halos, n_snapshots, 3)), axis=1)
    redshift = np.broadcast_to(np.linspace(0.47, 0.07, n_snapshots), (n_halos, n_snapshots))
    return xr.Dataset(
        {
            "position": (("cluster", "axis"), ((start + drift) % 352).reshape(-1, 3)),
            "halo_id": ("cluster", np.repeat(rng.permutation(n_halos) * 7, n_snapshots)),
            "redshift": ("cluster", redshift.ravel()),
        },
        attrs={"config": json.dumps({"box_mpc_h": 352.0})},
    )


def test_octants_of_corners() -> None:
    corner = np.array([[x, y, z] for x in (1, 351) for y in (1, 351) for z in (1, 351)], float)
    np.testing.assert_array_equal(octants(corner, 352.0), np.arange(8))
    np.testing.assert_array_equal(octants(corner + 352, 352.0), np.arange(8))  # periodic
    assert octants(np.array([[352.0, 0, 176.0]]), 352.0)[0] == 1


@pytest.mark.parametrize("n_folds", [2, 4, 8])
def test_no_halo_on_both_sides(n_folds: int) -> None:
    survey = later_selves()
    halo = survey["halo_id"].values
    fold = octant_folds(survey, n_folds)
    tested = []
    for k in range(n_folds):
        train, test = split(fold, k)
        assert not set(halo[train]) & set(halo[test])
        assert len(train) + len(test) == len(halo)
        tested.append(test)
    np.testing.assert_array_equal(np.sort(np.concatenate(tested)), np.arange(len(halo)))
    counts = np.bincount(fold)
    n_halos = 200 / n_folds
    assert abs(counts / 5 - n_halos).max() < 5 * np.sqrt(n_halos)
    # the rule is needed: by each self's own octant some halos would be on both sides
    own = octants(survey["position"].values, 352.0)
    assert any(len(set(own[halo == h])) > 1 for h in halo)


def test_the_latest_self_decides() -> None:
    survey = later_selves()
    latest = survey["redshift"].values < 0.08
    own = octants(survey["position"].values, 352.0)
    np.testing.assert_array_equal(octant_folds(survey, 8)[latest], own[latest])


def test_fewer_folds_are_groups_of_octants() -> None:
    survey = later_selves()
    eight, four, two = (octant_folds(survey, k) for k in (8, 4, 2))
    np.testing.assert_array_equal(four, eight // 2)
    np.testing.assert_array_equal(two, eight // 4)


@pytest.mark.parametrize("config", [{"box_mpc_h": 704.0}, {"halos": {"box_mpc_h": 704.0}}])
def test_box_of_the_survey_decides(config: dict[str, object]) -> None:
    survey = later_selves()
    survey.attrs["config"] = json.dumps(config)
    with pytest.raises(InputError, match="fold 1 of 8 holds none"):
        octant_folds(survey, 8)


@pytest.mark.parametrize("n_folds", [-2, 0, 1, 3, 5, 16])
def test_other_numbers_of_folds(n_folds: int) -> None:
    with pytest.raises(InputError, match="folds cannot be made"):
        octant_folds(later_selves(), n_folds)


def test_no_positions() -> None:
    with pytest.raises(InputError, match="position"):
        octant_folds(later_selves().drop_vars("position"), 8)
    survey = later_selves()
    survey["position"][3, 1] = np.nan
    with pytest.raises(InputError, match="position"):
        octant_folds(survey, 8)
