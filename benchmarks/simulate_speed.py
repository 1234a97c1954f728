"""Time and memory of `icmass simulate`, per cluster and core.

    python benchmarks/simulate_speed.py [--n 400] [--large 30000 --workers 2]

Exposures are set so that the mean is about 5,000 source photons in the maps. Times per cluster are
processor time, those of whole surveys are on the wall clock. The floor is the time that NumPy takes
for the random numbers alone (seven per source photon, two per background photon). With --large, a
survey of that size is written too, and the peak memory of it and of one of a tenth of the size are
compared.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from icmass.survey.presets import resolve_config
from icmass.survey.simulate import Simulator

EXPOSURES = {"phox": 4250, "erosita": 3050}


def measure(preset: str, n: int) -> None:
    config = resolve_config(preset, assignments=(f"observe.exposure_s={EXPOSURES[preset]}",))
    maker = Simulator(config, 1)
    maker.cluster(n)
    start = time.process_time()
    photons = np.array([maker.cluster(i)["maps"].sum((1, 2, 3)) for i in range(n)])
    took = (time.process_time() - start) / n
    source, background = photons[:, :2].sum(1).mean(), photons[:, 2].mean()
    rng = np.random.default_rng(0)
    start = time.process_time()
    rng.random(int(n * (7 * source + 2 * background)))
    floor = (time.process_time() - start) / n
    print(
        f"{preset:8s} {took * 1e3:6.2f} ms per cluster and core; {source:.0f} source and "
        f"{background:.0f} background photons; random numbers alone {floor * 1e3:.2f} ms"
    )


def write(preset: str, n: int, workers: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "icmass", "simulate", "--preset", preset, "--n", str(n)]
        command += ["--workers", str(workers), "--out", str(Path(folder) / "s.zarr")]
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return took, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--large", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    for preset in EXPOSURES:
        measure(preset, options.n)
    if options.large:
        for n in (options.large // 10, options.large):
            took, peak = write("erosita", n, options.workers)
            rate = took / n * options.workers * 1e3
            print(
                f"erosita, {n} clusters written by {options.workers} workers: {took:.0f} s, "
                f"{rate:.2f} ms per cluster and core, largest process {peak:.0f} MiB"
            )


if __name__ == "__main__":
    main()
