"""Whose photons a model was trained on, and whose it is given."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from icmass.errors import InputError
from icmass.missions.mission import AREA_WORDS, Mission
from icmass.missions.registry import Telescope, get_mission, mission_of_instrument, telescope_of
from icmass.survey.seen import exposure_area, observe_settings


def _instrument(attrs: Mapping[str, Any]) -> str | None:
    """Return the instrument that a survey's attributes say; None where they say none."""
    named = observe_settings(attrs).get("instrument")
    return named if isinstance(named, str) else None


def mission_of_attrs(attrs: Mapping[str, Any]) -> Mission:
    """Return the mission of a simulated survey's instrument; of an unknown one, the default's."""
    named = _instrument(attrs)
    found = None if named is None else mission_of_instrument(Path(named).stem)
    return found or get_mission()


def mission_of_survey(survey: xr.Dataset) -> Mission:
    """Return the mission that a survey's photons are of, real or simulated."""
    observed = json.loads(survey.attrs.get("observed", "{}"))
    return (
        get_mission(observed["mission"])
        if "mission" in observed
        else mission_of_attrs(survey.attrs)
    )


_OF_DETECTOR = {
    "psf": "point-spread function",
    "redistribution": "energy redistribution",
    "background": "background",
    "agn": "active galactic nuclei",
}
"""What a survey may be simulated without (`icmass.survey.config.ObserveConfig`)."""


def seen_otherwise(attrs: Mapping[str, Any], learnt: Mapping[str, Any]) -> list[str]:
    """Return how a survey was seen otherwise than a model's training survey, a sentence each.

    Parameters
    ----------
    attrs, learnt : mapping
        Attributes of the survey and of the training survey. What neither says is not compared; real
        photons have all that a telescope does to them.
    """
    found = []
    area, known = exposure_area(attrs), exposure_area(learnt)
    if area is not None and known is not None and area != known:
        found.append(
            f"Exposures are {AREA_WORDS[area]}, those that the model was trained on "
            f"{AREA_WORDS[known]}: the masses do not hold."
        )
    have, had = observe_settings(attrs), observe_settings(learnt)
    if not had or not (have or "observed" in attrs):
        return found
    lacks, more = (
        [name for key, name in _OF_DETECTOR.items() if one.get(key, True) < other.get(key, True)]
        for one, other in ((have, had), (had, have))
    )
    if lacks:
        found.append(_without("These photons are", lacks, "the model was trained with"))
    if more:
        found.append(_without("The model was trained", more, "these photons have"))
    return found


def _without(what: str, names: Sequence[str], other: str) -> str:
    return f"{what} without {', '.join(names)}, which {other}: the masses do not hold."


def telescope_for(attrs: Mapping[str, Any], instrument: str | Path | None) -> Telescope:
    """Return what files are read as for a model that was trained on a survey.

    Parameters
    ----------
    attrs : mapping
        Attributes of the training survey.
    instrument : str or path, optional
        What the user says; default: the training survey's mission.

    Raises
    ------
    InputError
        If the user says another mission's than the model was trained on.
    """
    learnt = mission_of_attrs(attrs)
    if instrument is None:
        named = _instrument(attrs) or ""
        is_there = mission_of_instrument(Path(named).stem) is learnt and Path(named).is_file()
        return telescope_of(named if is_there else learnt.instrument)
    given = telescope_of(instrument)
    if given.mission != learnt.name:
        raise InputError(
            f"is {Path(instrument).stem}, the model was trained on photons of {learnt.title}",
            field="--instrument",
            hint="give a model of that telescope",
        )
    return given
