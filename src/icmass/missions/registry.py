"""The missions that there are: every folder beside this file, by name, header and instrument."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from icmass import missions
from icmass.errors import InputError
from icmass.missions.mission import AREA_WORDS, AreaType, EventFormat, EventTable, Mission
from icmass.telescope.instrument import load_instrument

DEFAULT_MISSION = "erosita"
"""Where nobody says another."""


@lru_cache(maxsize=1)
def known_missions() -> dict[str, Mission]:
    """Return all missions by name: what each folder of this room calls MISSION."""
    folders = sorted(m.name for m in pkgutil.iter_modules(missions.__path__) if m.ispkg)
    found = [importlib.import_module(f"icmass.missions.{name}").MISSION for name in folders]
    return {mission.name: mission for mission in found}


def get_mission(name: str = DEFAULT_MISSION) -> Mission:
    """Return a mission by its name.

    Raises
    ------
    InputError
        If there is no such mission.
    """
    found = known_missions().get(name)
    if found is None:
        hint = f"give one of {', '.join(known_missions())}"
        raise InputError(f"no such mission: {name!r}", field="--instrument", hint=hint)
    return found


def event_format(name: str = DEFAULT_MISSION) -> EventFormat:
    """Return how event files of a mission are, or refuse one that has none."""
    found = get_mission(name).events
    if found is None:
        raise InputError(f"{name} has no event files", field="--instrument")
    return found


def mission_of(keys: Mapping[str, Any]) -> Mission | None:
    """Return the mission whose event files have such keywords; None where no known one has.

    Examples
    --------
    >>> mission_of({"TELESCOP": "SRG", "INSTRUME": "FM1"}).name
    'erosita'
    >>> mission_of({"TELESCOP": "CHANDRA"})
    """
    for mission in _with_event_files():
        if mission.events is not None and mission.events.names.stated(keys) == (True, None):
            return mission
    return None


def _with_event_files() -> list[Mission]:
    """Return the missions with event files, without who simulates them."""
    every = known_missions().values()
    return [mission for mission in every if mission.events and mission.events.reads is None]


def mission_of_table(name: str, table: EventTable) -> Mission:
    """Return the mission that reads a table of a mission's files: it, or who simulates it."""
    asked = get_mission(name)
    for mission in known_missions().values():
        reads = mission.events and mission.events.reads
        if reads and mission.instrument == asked.instrument and reads(table):
            return mission
    return asked


def mission_of_instrument(name: str) -> Mission | None:
    """Return the mission whose instrument has that name; None where no known one has."""
    return next((mission for mission in _with_event_files() if mission.instrument == name), None)


def known_instruments() -> list[str]:
    """Return the instruments whose event files are known."""
    return [str(mission.instrument) for mission in _with_event_files()]


@dataclass(frozen=True)
class Telescope:
    """What files are read as: a mission's, seen with an instrument.

    Attributes
    ----------
    mission : str
    instrument : str
        A name or a path, for `icmass.telescope.instrument.load_instrument`.
    stated_area : {"survey", "onaxis"} or None
        The area that files say their exposure is at; None: that of the mission's rule.
    """

    mission: str
    instrument: str
    stated_area: AreaType | None = None

    @property
    def area(self) -> AreaType:
        """The area of reference, which exposures are at."""
        return self.stated_area or event_format(self.mission).exposure.area

    @property
    def area_words(self) -> str:
        """The same in words."""
        return AREA_WORDS[self.area]


def telescope_of(instrument: str | Path | None = None) -> Telescope:
    """Return what files are read as if they are of an instrument.

    Parameters
    ----------
    instrument : str or path, optional
        A built-in instrument, or a JSON file of one. A file whose instrument has the name of no
        mission's is taken for one of the default mission's.

    Raises
    ------
    InputError
        If there is no such instrument.
    """
    if instrument is None:
        return Telescope(DEFAULT_MISSION, str(get_mission().instrument))
    name = load_instrument(str(instrument)).name
    mission = mission_of_instrument(name) or get_mission()
    return Telescope(mission.name, str(instrument))


def check_mission(
    keys: Mapping[str, Any],
    file: str | Path,
    mission: str = DEFAULT_MISSION,
    *,
    field: str = "keyword",
) -> bool:
    """Say whether header keywords name a mission, and refuse a file that names another telescope.

    Parameters
    ----------
    keys : mapping
        Keywords of a header, of which `names.KEYWORDS` are read.
    file : path
        Where they are from.
    mission : str
        The one that is asked for.
    field : str
        What to call their place in a message.

    Returns
    -------
    bool
        False where the file says nothing of its telescope.

    Raises
    ------
    InputError
        If it is another telescope's.
    """
    names = event_format(mission).names
    names_one, other = names.stated(keys)
    if other is None:
        return names_one
    title, known = get_mission(mission).title, mission_of(keys)
    instead = f", or --instrument {known.instrument}" if known else ""
    raise InputError(
        f"is {str(keys[other]).strip()}: icmass reads {names.read}",
        file=file,
        field=f"{field} {other}",
        hint=f"give files of {title}{instead}",
    )


def unknown_note(mission: str = DEFAULT_MISSION) -> str:
    """Return what is said of files that name no telescope."""
    return f"names no telescope (TELESCOP): taken for {get_mission(mission).title}'s"
