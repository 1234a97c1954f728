"""Memory that a training frees, kept for its next step."""

from __future__ import annotations

import ctypes
import os
import platform

# glibc, malloc.h: the parameters of mallopt(3)
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_MOST_FREE = 2**30
_AT_ONCE = 2**26


def keep_freed_memory() -> bool:
    """Have this process keep up to 1 GiB of freed memory; return whether it does.

    Every step of a training frees its activations and allocates them anew. The GNU C library
    (mallopt(3)) gives blocks of more than 32 MiB, and most smaller ones, back to the system, which
    fills each page with zeros when it is wanted again: a half of the time of ``paper-1band`` on a
    CPU, a quarter of that of ``icm-3band`` (`benchmarks/step_speed.py`). Where ``MALLOC_*`` or
    ``GLIBC_TUNABLES`` of the environment say how memory is kept, and where there is another
    library of C, nothing is changed.
    """
    chosen = any(name.startswith("MALLOC_") for name in os.environ)
    if chosen or "GLIBC_TUNABLES" in os.environ or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _MOST_FREE), (_TOP_PAD, _AT_ONCE))
    return all(mallopt(parameter, value) for parameter, value in settings)
