"""The study of networks that are marginal over the physics: its surveys, neighbours and bars."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import xarray as xr

from conftest import beta_model_survey
from icmass.survey.presets import resolve_config
from icmass.survey.universes import Universes

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not BENCHMARKS.is_dir():
        pytest.skip("no benchmarks beside the tests")
    monkeypatch.syspath_prepend(BENCHMARKS)
    import physics_marginal

    return physics_marginal


def test_the_configuration_kept_aside_is_as_it_is_described(study: ModuleType):
    usual = resolve_config()
    aside = resolve_config(assignments=study.KEPT_ASIDE)
    assert aside.gas.f_gas == pytest.approx(0.8 * usual.gas.f_gas, rel=1e-3)
    assert aside.gas.f_gas_slope == pytest.approx(usual.gas.f_gas_slope + 0.15)
    assert aside.gas.t_kev == pytest.approx(0.88 * usual.gas.t_kev, rel=1e-3)
    assert aside.gas.cusp_share > usual.gas.cusp_share
    assert aside.agn.satellites == pytest.approx(1.7 * usual.agn.satellites)
    assert 10 ** (aside.agn.central_log_l - usual.agn.central_log_l) == pytest.approx(1.7, rel=0.01)


def test_no_halo_is_trained_on_and_tested_and_nothing_but_the_physics_differs(study: ModuleType):
    tested = {part.seed for part in study.TESTS}
    others = [study.PRIOR, study.DEFAULT, *study.MIXTURE, *study.UNLABELLED]
    assert tested.isdisjoint(part.seed for part in others) and len(tested) == 1
    assert len({part.seed for part in others}) == len(others)
    first = study.TESTS[0].config
    for part in [*study.TESTS, *others]:
        config = part.config
        assert config.observe == first.observe
        kept = {"correlation"}  # of temperature and gas mass, which is physics
        assert config.halos.model_dump(exclude=kept) == first.halos.model_dump(exclude=kept)


def test_the_gas_of_a_model_is_that_of_its_source(study: ModuleType):
    """XXL's fraction at 10^13.5 is h(z)-free 0.046, IllustrisTNG's at 2e14 Msun/h 0.138."""
    assert np.exp(study.gas_of(resolve_config(variants=("xxl",)))[0]) == pytest.approx(
        0.046, abs=5e-4
    )
    tng = np.exp(study.gas_of(resolve_config(variants=("tng",))))
    assert tng[1:] == pytest.approx([0.138, 2.93], rel=1e-3)


def test_the_neighbours_of_a_model_are_the_universes_like_it(study: ModuleType):
    universes = Universes(resolve_config(physics="prior", universes=200), seed=3)
    from icmass.survey.physics_prior import NAMES

    physics = xr.DataArray(
        universes.table(), dims=("universes", "parameter"), coords={"parameter": list(NAMES)}
    )
    names = ["f_gas_groups", "f_gas_clusters", "t_kev"]
    flamingo = np.array([0.0677, 0.1084, 3.36])
    near = study.neighbours(physics, "flamingo")
    away = np.log(physics.sel(parameter=names).values / flamingo)
    squares = ((away / away.std(0)) ** 2).sum(1)
    assert 20 < len(near) < 180
    assert squares[near].max() < study.NEIGHBOURHOOD**2 + 0.05
    assert np.delete(squares, near).min() > study.NEIGHBOURHOOD**2 - 0.05
    # the poorest gas is at the edge of the prior, and has fewer neighbours
    assert 0 < len(study.neighbours(physics, "strong-feedback")) < len(near)


def test_fits_have_names_of_their_own_and_surveys_that_are_there(study: ModuleType):
    fits = study.fits()
    assert len({fit.name for fit in fits}) == len(fits)
    unlabelled = {part.name for part in study.UNLABELLED}
    assert {fit.adapt for fit in fits} <= {None, *unlabelled}
    assert {fit.left_out for fit in fits if fit.left_out} == set(study.LEFT_OUT)
    assert {fit.train for fit in fits} == {"default", "mixed", "prior", "saved", "tested"}


def test_no_halo_is_predicted_by_a_fit_that_has_seen_it(study: ModuleType):
    survey = beta_model_survey(n=80)
    survey["halo_id"][:] = np.arange(80) // 2
    folds = study.HaloFolds(survey, "L_X")
    index = np.arange(10, 70)
    before = folds.predict(survey, index).mean
    assert np.std(before - np.log(survey["m500c"].values[index])) < 0.5
    changed = survey.copy(deep=True)
    changed["m500c"][40:42] *= 50  # one halo's clusters, which only other halos' fits feel
    after = study.HaloFolds(changed, "L_X").predict(changed, index).mean
    moved = np.abs(after - before) > 1e-9
    same_part = folds.part[index] == folds.part[40]
    assert not moved[same_part].any() and moved[~same_part].all()
    with pytest.raises(ValueError, match="same halos"):
        folds.predict(survey.isel(cluster=slice(4, 60)), np.arange(5))


def row(fit: str, test: str, **numbers: float) -> dict[str, Any]:
    keys = ("rms_lnm", "bias_lnm", "sigma_lnm", "coverage68")
    filled = {"rms_lnm": 0.3, "bias_lnm": 0.1, "sigma_lnm": 0.28, "coverage68": 0.68, **numbers}
    errors = {f"{key}_error": 0.01 for key in keys}
    return {"train": fit, "test": test, **filled, **errors, "crps": 0.15, "flagged": None}


def document(study: ModuleType, **numbers: float) -> dict[str, Any]:
    from physics_marginal_table import TESTS

    fit = {"name": "prior-without-tng", "left_out": "tng", "part": "left-out", "model": "icm-3band"}
    rows = [row("prior", test, **numbers) for test in TESTS]
    rows += [row("prior-3000", test, **numbers) for test in TESTS]
    rows += [row("N_phot_r500 on default", test, rms_lnm=0.4) for test in TESTS]
    rows += [row("N_gal on default", test, rms_lnm=0.33) for test in TESTS]
    rows.append(row("prior-without-tng", "tng", **numbers))
    return {
        "rows": rows,
        "fits": [{"fit": fit, "n_train": 900, "universes_left_out": 12}],
    }


def test_bars_hold_where_they_should_and_not_elsewhere(study: ModuleType):
    from physics_marginal_table import bars

    assert all(one["holds"] for one in bars(document(study)))
    assert len(bars(document(study))) == 2 * 2 * 7 + 2
    too_narrow = bars(document(study, coverage68=0.59))
    assert [b["holds"] for b in too_narrow if "60 to 78" in b["bar"]] == [False]
    assert all(b["holds"] for b in too_narrow if "58 to 78" in b["bar"])
    too_wide = bars(document(study, coverage68=0.79))
    assert not any(b["holds"] for b in too_wide if "intervals" in b["bar"])
    worse = bars(document(study, rms_lnm=0.36))  # than N_gal, not than N_phot_r500
    assert {b["holds"] for b in worse if "N_phot_r500" in b["bar"]} == {True}
    assert [b["holds"] for b in worse if "best scalar" in b["bar"]] == [False]


def test_tables_say_what_the_rows_do(study: ModuleType):
    from physics_marginal_table import markdown

    text = markdown(document(study, rms_lnm=0.254, bias_lnm=-0.061))
    assert (
        "| kept-aside | 25.4 ± 1.0 (-6, 68) | 25.4 ± 1.0 (-6, 68) | 40.0 ± 1.0 (+10, 68) |" in text
    )
    assert "| tng | icm-3band | 12 | 900 | 25.4 ± 1.0 (-6, 68) | 25.4 ± 1.0 (-6, 68) |" in text
    assert "N_gal: 33.0" in text and "| no |" not in text
