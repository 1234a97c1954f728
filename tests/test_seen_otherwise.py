"""Surveys that were seen otherwise than a model's training survey: what is said of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

import icmass
from icmass.inference.trained_on import seen_otherwise
from icmass.survey.presets import resolve_config
from icmass.survey.seen import exposure_area, observe_settings


def simulated(preset: str = "erosita", *assignments: str) -> dict[str, Any]:
    return {"config": resolve_config(preset, None, assignments).model_dump_json()}


ONAXIS = "observe.vignetting=onaxis"
REAL = {"observed": json.dumps({"mission": "erosita", "exposure_area": "survey"})}


def test_what_is_seen_alike_is_not_spoken_of() -> None:
    for attrs in (simulated(), simulated("erass1"), simulated("efeds"), REAL, {}):
        assert seen_otherwise(attrs, simulated()) == []
    assert seen_otherwise(simulated("phox"), simulated("phox")) == []
    assert seen_otherwise(simulated("phox"), {}) == []
    assert seen_otherwise(simulated("phox"), {"config": "damaged"}) == []


def test_another_area_is_said() -> None:
    [line] = seen_otherwise(simulated("erosita", ONAXIS), simulated())
    assert line == (
        "Exposures are at the area on axis, those that the model was trained on at the "
        "survey-average area: the masses do not hold."
    )
    [line] = seen_otherwise(REAL, simulated("erosita", ONAXIS))
    assert line.startswith("Exposures are at the survey-average area")


@pytest.mark.parametrize("damaged", ["{", "[]", "3", '{"observe": [1]}', '{"observe": null}', 7])
def test_what_is_damaged_says_nothing(damaged: Any) -> None:
    assert exposure_area({"config": damaged}) is None
    assert exposure_area(REAL | {"config": damaged}) == "survey"
    assert observe_settings({"config": damaged}) == {}
    assert exposure_area(simulated() | {"observed": "{"}) is None
    assert exposure_area({"observed": '{"exposure_area": "elsewhere"}'}) is None


def test_an_ideal_telescope_is_said() -> None:
    area, line = seen_otherwise(simulated("phox"), simulated())
    assert area.startswith("Exposures are at the area on axis")
    assert line == (
        "These photons are without point-spread function, energy redistribution, background, "
        "which the model was trained with: the masses do not hold."
    )
    for attrs in (
        simulated("erosita", ONAXIS),
        REAL | {"observed": json.dumps({"kind": "events"})},
    ):
        line = seen_otherwise(attrs, simulated("phox"))[-1]
        assert line.startswith("The model was trained without point-spread function, energy")
        assert line.endswith("background, which these photons have: the masses do not hold.")


@pytest.mark.parametrize(("preset", "words"), [("phox", "without point-spread"), ("demo", "")])
def test_it_is_said_beside_the_masses(preset: str, words: str) -> None:
    assignments = ["observe.n_pixels=128"]
    survey = icmass.simulate(preset, n=1, seed=4, assignments=assignments)
    masses = icmass.predict(survey)
    told = " ".join(masses.warnings)
    assert ("do not hold" in told) == bool(words) and words in told
