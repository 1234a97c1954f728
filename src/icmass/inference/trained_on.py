"""Whose photons a model was trained on, and whose it is given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from icmass.errors import InputError
from icmass.missions.mission import Mission
from icmass.missions.registry import Telescope, get_mission, mission_of_instrument, telescope_of


def _instrument(attrs: Mapping[str, Any]) -> str | None:
    """Return the instrument that a survey's attributes say; None where they say none."""
    try:
        named = json.loads(attrs.get("config", "{}")).get("observe", {}).get("instrument")
    except (ValueError, AttributeError, TypeError):
        return None
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
