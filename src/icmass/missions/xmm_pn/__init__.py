"""EPIC-pn aboard XMM-Newton, imaging modes: calibrated event lists of SAS (epproc, evselect)."""

from icmass.missions.mission import EventFormat, Mission
from icmass.missions.xmm_pn.reading import COLUMNS, CUTS, EXPOSURE, GOOD_TIMES, MODULES, NAMES
from icmass.missions.xmm_pn.reading import refused as _refused
from icmass.missions.xmm_pn.writing import WRITING

__all__ = ["MISSION"]

MISSION = Mission(
    name="xmm_pn",
    title="XMM-Newton EPIC-pn",
    instrument="xmm_pn",
    events=EventFormat(
        names=NAMES,
        columns=COLUMNS,
        modules=MODULES,
        cuts=CUTS,
        good_times=GOOD_TIMES,
        exposure=EXPOSURE,
        writing=WRITING,
        refused=_refused,
    ),
)
