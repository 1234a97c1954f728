"""What this process is and has: whether it is the one that writes, its cores; without torch."""

from __future__ import annotations

import os


def is_main() -> bool:
    """Whether this is the main process, or the only one.

    ``accelerate launch`` and ``torchrun`` say so to each of several processes with ``RANK`` and
    ``WORLD_SIZE``.
    """
    several = os.environ.get("WORLD_SIZE", "1") != "1"
    return not several or os.environ.get("RANK", "0") == "0"


def usable_cores() -> int:
    """Return the cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
