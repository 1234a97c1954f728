"""Memory that a training frees is its own at the next step."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from icmass.training.freed_memory import keep_freed_memory

ALLOCATE = """
import resource
import numpy as np
from icmass.training.freed_memory import keep_freed_memory
kept = keep_freed_memory() if {keep} else False
for _ in range(3):
    [np.ones(2_500_000) for _ in range(8)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    [np.ones(2_500_000) for _ in range(8)]
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(*, keep: bool) -> tuple[bool, int]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    code = [sys.executable, "-c", ALLOCATE.format(keep=keep)]
    said = subprocess.run(code, env=env, check=True, capture_output=True, text=True).stdout
    kept, faults = said.split()
    return kept == "1", int(faults)


def test_pages_are_not_filled_anew() -> None:
    """Ten times eight blocks of 20 MB are 390,000 pages of 4 KiB, fewer where they are huge."""
    kept, faults = run(keep=True)
    if not kept:
        pytest.skip("not the GNU C library")
    _, before = run(keep=False)
    assert before >= 80 * 20_000_000 / 2**21 / 2
    assert faults < 0.05 * before + 10


@pytest.mark.parametrize("name", ["MALLOC_MMAP_MAX_", "GLIBC_TUNABLES"])
def test_what_the_environment_says_holds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "0")
    assert not keep_freed_memory()
