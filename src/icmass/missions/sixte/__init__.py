"""SIXTE, the simulator of X-ray telescopes, run with eROSITA's description."""

from __future__ import annotations

from dataclasses import replace

from icmass.missions import erosita
from icmass.missions.mission import Mission
from icmass.missions.sixte.reading import GRADES, own_columns, pixels_of_grades, reads

_COLUMNS = replace(
    erosita.EVENTS.columns, own=own_columns, grades=GRADES, n_pixels=pixels_of_grades
)
MISSION = Mission(
    name="sixte",
    title="SIXTE",
    instrument=erosita.MISSION.instrument,
    events=replace(erosita.EVENTS, reads=reads, columns=_COLUMNS),
)
