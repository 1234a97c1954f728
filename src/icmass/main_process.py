"""Whether this process is the one that writes; of the environment alone, without torch."""

from __future__ import annotations

import os


def is_main() -> bool:
    """Whether this is the main process, or the only one.

    ``accelerate launch`` and ``torchrun`` say so to each of several processes with ``RANK`` and
    ``WORLD_SIZE``.
    """
    several = os.environ.get("WORLD_SIZE", "1") != "1"
    return not several or os.environ.get("RANK", "0") == "0"
