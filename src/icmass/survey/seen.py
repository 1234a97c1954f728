"""How a survey was seen, as its attributes say, or those that a model keeps of its training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from icmass.missions.mission import AREA_WORDS, AreaType


def observe_settings(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a survey was simulated to be seen; empty if that isn't said, or damaged.

    Parameters
    ----------
    attrs : mapping
        The survey's attributes.

    Returns
    -------
    dict
        What is given of `icmass.survey.config.ObserveConfig`.
    """
    try:
        found = json.loads(attrs.get("config", "{}")).get("observe", {})
    except (ValueError, AttributeError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def exposure_area(attrs: Mapping[str, Any]) -> AreaType | None:
    """Return the area that a survey's exposures are at, real or simulated.

    Parameters
    ----------
    attrs : mapping
        The survey's attributes.

    Returns
    -------
    str or None
        None if it isn't said, or damaged.
    """
    try:
        area = json.loads(attrs.get("observed", "{}")).get("exposure_area")
    except (ValueError, AttributeError, TypeError):
        return None
    if not area and (observe := observe_settings(attrs)):
        area = observe.get("vignetting", "survey")
    return next((known for known in AREA_WORDS if known == area), None)
