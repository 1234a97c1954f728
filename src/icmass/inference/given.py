"""What goes with a survey, with event files and with images, and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any, Literal

import numpy as np
import xarray as xr

from icmass.arguments import whole_number
from icmass.errors import InputError
from icmass.files import as_paths
from icmass.survey.catalog import is_store
from icmass.survey.observed.reading import Files, event_reading

Kind = Literal["survey", "events", "images"]
READING: dict[str, Any] = {
    name: parameter.default for name, parameter in signature(event_reading).parameters.items()
}
"""How event files are read, with the defaults."""
_WORK: dict[str, Any] = {"store": None, "scheduler": None, "resume": False, "workers": 1}
_PLACE = ("ra", "dec", "redshift", "position", "table", "name", "nh")
_OF_IMAGES = ("exposure", "expmap", "expmap_kind", "mask", "min_visible", "instrument")
_OPTIONS = {"novig": "--expmap-novig", "gti": "--no-gti", "position": "position"}


def kind_of(inputs: Files | xr.Dataset | None, images: Files | None) -> Kind:
    """Return what masses are asked of.

    Raises
    ------
    InputError
        If it is nothing, or more than one of them.
    """
    kind: Kind = "events" if images is None else "images"
    several = False
    if isinstance(inputs, xr.Dataset):
        kind = "survey"
    elif inputs is not None:
        files = as_paths(inputs, "inputs")
        stores = [file for file in files if is_store(file)]
        several = bool(stores) and len(files) > 1
        kind = "survey" if stores else "events"
    if (inputs is None) == (images is None) or several:
        raise InputError("give one survey, event files, or --images", field="inputs")
    if kind != "survey" and not as_paths(images if inputs is None else inputs):
        field = "inputs" if images is None else "images"
        raise InputError("no file is given", field=field, hint="give at least one")
    return kind


def refuse_what_does_not_go(kind: Kind, given: Mapping[str, Any]) -> None:
    """Refuse parameters, by name, that have no part in masses of a kind of input."""
    events_only = [name for name in READING if name not in _OF_IMAGES]
    why = "goes with event files"
    if kind == "survey":
        own = (*_PLACE, *READING, "image_bands")
        _refuse(given, own, "a SURVEY has its own; it goes with event files and --images")
        _refuse(given, _WORK, why)
        return
    _refuse(given, ["index"], "only a SURVEY has an index")
    if _is_given("exposure", given.get("exposure")):
        _refuse(given, ["expmap_kind"], "says what --expmap holds, not --exposure")
    if kind == "images":
        _refuse(given, ["table", *events_only], "goes with event files, not with --images")
        _refuse(given, _WORK, why)
    else:
        _refuse(given, ["image_bands"], "goes with --images")


def check_draws(samples: int | None, seed: int) -> None:
    """Refuse a number of draws, or a seed of theirs, that is none."""
    if samples is not None:
        whole_number(samples, "--samples", 1)
    whole_number(seed, "--seed")


def _refuse(given: Mapping[str, Any], names: Any, why: str) -> None:
    wrong = [name for name in given if name in names and _is_given(name, given[name])]
    if wrong:
        fields = [_OPTIONS.get(name, "--" + name.replace("_", "-")) for name in wrong]
        raise InputError(why, field=", ".join(fields), hint="leave it out")


def _is_given(name: str, value: Any) -> bool:
    """Return whether a parameter is given, and not what it is by default."""
    if value is None or (isinstance(value, list | tuple) and not value):
        return False
    default = {**READING, **_WORK}.get(name)
    plain = isinstance(value, str | bool | int | float | np.generic)
    return not (plain and default is not None and value == default)
