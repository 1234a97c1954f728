"""Which events of a mission are used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from icmass.errors import InputError
from icmass.missions.registry import DEFAULT_MISSION, event_format

LightLeak = Literal["exclude", "soft", "keep"]
_STANDARD = event_format()


@dataclass(frozen=True)
class EventCuts:
    """Which events are used; the defaults are those of `DEFAULT_MISSION`, `cuts_of` has others'.

    Parameters
    ----------
    flag : int
        Events with any of these bits of FLAG set are left out.
    pattern : int
        Bit k - 1 keeps patterns of k pixels: 15 is singles to quadruples.
    modules : tuple of int
        Telescope modules or chips to use.
    light_leak : {"exclude", "soft", "keep"}
        What of modules that sunlight leaks into is used (`icmass.missions.mission.LightLeak`).
        ``exclude``: nothing if any band begins below the energy from which they are trusted, so
        that all bands have the same exposure. ``soft``: they are left out of the bands that begin
        there only. ``keep``: they are used like the others. Files that say that they have no leak,
        as our mocks do, are kept whole.
    leak_kev : float
        Energy above which they are trusted [keV].
    gti : bool
        Whether events outside the good time intervals of their module are left out.
    mission : str
        Whose events they are.
    """

    flag: int = _STANDARD.cuts.flag
    pattern: int = _STANDARD.cuts.pattern
    modules: tuple[int, ...] = _STANDARD.modules.numbers
    light_leak: LightLeak = "exclude"
    leak_kev: float = _STANDARD.cuts.light_leak.below_kev if _STANDARD.cuts.light_leak else 0.0
    gti: bool = True
    mission: str = DEFAULT_MISSION

    def __post_init__(self) -> None:
        of_mission = event_format(self.mission)
        known = of_mission.modules.numbers
        if not 0 <= self.flag < 2**32:
            hint = f"give 32 bits, 0x{of_mission.cuts.flag:08X}"
            raise InputError(f"is {self.flag:#x}", field="--flag", hint=hint)
        if not 1 <= self.pattern <= 15:
            raise InputError(f"is {self.pattern}", field="--pattern", hint="give 1 to 15")
        if not self.modules or not set(self.modules) <= set(known):
            hint = f"give some of {min(known)} to {max(known)}"
            raise InputError(f"are {self.modules}", field="--modules", hint=hint)
        if self.light_leak not in ("exclude", "soft", "keep"):
            raise InputError(
                f"is {self.light_leak!r}", field="--light-leak", hint="give exclude, soft or keep"
            )

    def min_pi_ev(self, bands: Sequence[tuple[float, float]], leaks: bool) -> np.ndarray:
        """Return the least energy used of each module [eV], by its number; infinite: none."""
        of_mission = event_format(self.mission)
        least = np.full(of_mission.modules.size, np.inf)
        least[list(self.modules)] = 0.0
        leak = of_mission.cuts.light_leak
        if not leaks or leak is None or self.light_leak == "keep":
            return least
        if min(lo for lo, _ in bands) < self.leak_kev:
            beyond = np.inf
            if self.light_leak == "soft":
                beyond = 1000 * max(hi for lo, hi in bands if lo < self.leak_kev)
            for module in set(leak.modules) & set(self.modules):
                least[module] = beyond
        return least

    @property
    def patterns(self) -> np.ndarray:
        """Which pattern types are used, bool (8,)."""
        return np.array([False, *(bool(self.pattern >> k & 1) for k in range(4)), *[False] * 3])


def cuts_of(
    mission: str,
    *,
    flag: int | None = None,
    pattern: int | None = None,
    modules: tuple[int, ...] | None = None,
    light_leak: LightLeak = "exclude",
    gti: bool = True,
) -> EventCuts:
    """Return the cuts of a mission, its own where nothing is given."""
    standard = event_format(mission)
    leak = standard.cuts.light_leak
    return EventCuts(
        flag=standard.cuts.flag if flag is None else flag,
        pattern=standard.cuts.pattern if pattern is None else pattern,
        modules=standard.modules.numbers if modules is None else modules,
        light_leak=light_leak,
        leak_kev=leak.below_kev if leak else 0.0,
        gti=gti,
        mission=mission,
    )
