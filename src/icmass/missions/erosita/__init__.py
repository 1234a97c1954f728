"""eROSITA aboard SRG: calibrated event lists of its early and first data releases."""

from icmass.missions.erosita.reading import EVENTS, MISSION

__all__ = ["EVENTS", "MISSION"]
