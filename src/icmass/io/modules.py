"""Telescope modules or chips: which ones files are of, which are used, how long each looked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from icmass.errors import InputError
from icmass.io.event_cuts import EventCuts
from icmass.io.events import EventFile, merged
from icmass.sky.bands import Band


def modules_of(files: Sequence[EventFile]) -> tuple[int, ...]:
    """Return the modules that event files are of: by good times, else by their header, else all."""
    modules: set[int] = set()
    known = files[0].format.modules
    for file in files:
        words = [value for key, value in file.keys.items() if key.startswith("INSTRUM")]
        named = {module for module in map(known.named, words) if module is not None}
        modules |= {m for m in known.numbers if len(file.gtis.get(m, ()))} or named
    return tuple(sorted(modules)) or known.numbers


def know_good_times(files: Sequence[EventFile]) -> bool:
    """Say whether the events of all files can be cut by good time intervals."""
    return all(file.has_good_times for file in files)


def good_seconds(files: Sequence[EventFile]) -> np.ndarray:
    """Return the good time of each module less its dead time [s], by number; 0 is no module."""
    known = files[0].format.modules
    seconds = np.zeros(known.size)
    for module in known.numbers:
        times = merged(np.concatenate([file.gti_of(module) for file in files]))
        live = [file.live[module] for file in files if module in file.live]
        seconds[module] = (times[:, 1] - times[:, 0]).sum() * (np.mean(live) if live else 1.0)
    return seconds


def _weights(files: Sequence[EventFile], cuts: EventCuts) -> np.ndarray:
    """Return how long each module looked, by number: its good time if known, else all alike."""
    present = list(modules_of(files))
    weights = np.zeros(files[0].format.modules.size)
    if cuts.gti and know_good_times(files):
        weights[present] = good_seconds(files)[present]
    if not weights.any():
        weights[present] = 1.0
    return weights


def module_share(files: Sequence[EventFile], cuts: EventCuts, bands: Sequence[Band]) -> float:
    """Return the fraction of the modules' time whose events are used in the highest band.

    It is 1 of chips, of which each place on the sky is on one.
    """
    used = list(modules_used(files, cuts, bands))
    if not files[0].format.modules.are_telescopes:
        return 1.0
    weights = _weights(files, cuts)
    return float(weights[used].sum() / weights.sum())


def good_exposure(files: Sequence[EventFile], cuts: EventCuts, bands: Sequence[Band]) -> float:
    """Return the exposure that the good time of the modules used makes [s].

    Of telescopes, their sum over the number of all that the mission has; of chips, the mean of
    those that looked at all.
    """
    modules = files[0].format.modules
    seconds = good_seconds(files)[list(modules_used(files, cuts, bands))]
    if modules.are_telescopes:
        return float(seconds.sum()) / len(modules.numbers)
    return float(seconds[seconds > 0].mean()) if seconds.any() else 0.0


def modules_used(
    files: Sequence[EventFile], cuts: EventCuts, bands: Sequence[Band]
) -> tuple[int, ...]:
    """Return the modules whose events are used in some band, which is the highest one."""
    leaks = any(file.leaks for file in files)
    least = cuts.min_pi_ev(bands, leaks)
    highest = 1000 * max(lo for lo, _ in bands)
    used = tuple(m for m in modules_of(files) if least[m] <= highest)
    if not used:
        raise InputError(
            "leave none of the files' modules",
            field="--modules, --light-leak",
            hint="use other modules",
        )
    return used


def exposure_of_bands(
    files: Sequence[EventFile], cuts: EventCuts, bands: Sequence[Band]
) -> np.ndarray:
    """Return the exposure of each band over that of all modules used, (band,).

    Raises
    ------
    InputError
        If a band has no module.
    """
    used = modules_used(files, cuts, bands)
    if not files[0].format.modules.are_telescopes:
        return np.ones(len(bands))
    least = cuts.min_pi_ev(bands, any(file.leaks for file in files)) / 1000
    weights = _weights(files, cuts)
    time = np.array([sum(weights[m] for m in used if least[m] <= lo) for lo, _ in bands], float)
    if not time.all():
        lo, hi = bands[int(np.argmin(time))]
        raise InputError(
            f"leave no module in the band {lo:g}-{hi:g} keV",
            field="--modules, --light-leak",
            hint="use other modules",
        )
    return time / weights[list(used)].sum()
