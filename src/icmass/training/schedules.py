"""Learning rates over a training, by name."""

from __future__ import annotations

import math
from collections.abc import Callable

from icmass.training.named import Named

Schedule = Callable[[int, int], float]
"""Takes a step and the number of steps to the learning rate over the highest."""


def _constant(step: int, n_steps: int) -> float:
    return 1.0


def _one_cycle(step: int, n_steps: int) -> float:
    rise = max(n_steps // 10, 1)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(n_steps - rise, 1)))


SCHEDULES: Named[Schedule] = Named("schedule", {"constant": _constant, "one-cycle": _one_cycle})
"""One cycle: a linear rise over a tenth of the steps, then a half cosine down to zero."""
