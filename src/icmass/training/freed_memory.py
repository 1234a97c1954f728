"""Memory that a training frees, kept for its next step."""

from __future__ import annotations

import ctypes
import os
import platform

# glibc, malloc.h: the parameters of mallopt(3)
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_MOST_FREE = 2**30
_LARGEST = 2**25  # what glibc takes at most
_AT_ONCE = 2**26


def keep_freed_memory() -> bool:
    """Have this process keep up to 1 GiB of freed memory; return whether it does.

    Every step of a training frees its activations and allocates them anew. The GNU C library
    (mallopt(3)) gives most of them back to the system, which fills each page with zeros when it is
    wanted again: up to a third of the time of a step on a CPU (`benchmarks/step_speed.py`). Now it
    keeps blocks of up to 32 MiB; larger ones, such as a survey's maps, go back as before. Where
    ``MALLOC_*`` or ``GLIBC_TUNABLES`` of the environment say how memory is kept, and where there is
    another library of C, nothing is changed.
    """
    chosen = any(name.startswith("MALLOC_") for name in os.environ)
    if chosen or "GLIBC_TUNABLES" in os.environ or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_MMAP_THRESHOLD, _LARGEST), (_TRIM_THRESHOLD, _MOST_FREE), (_TOP_PAD, _AT_ONCE))
    return all(mallopt(parameter, value) for parameter, value in settings)
