"""A survey made by a Dask scheduler with two worker processes, one of which is killed on the way.

    python benchmarks/dask_shards.py [--n 100000] [--work DIR] [--json results/dask-shards.json]

Each worker writes the shards (chunks of the store) that the scheduler hands to it. When `--kill-at`
of the clusters are made, one worker's process gets SIGKILL; its nanny starts another. Then the
store must be whole, and every `--check-every`-th cluster the same as made here by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import dask
import numpy as np
from distributed import Client, LocalCluster

from icmass import __version__
from icmass.survey.catalog import open_survey
from icmass.survey.presets import resolve_config
from icmass.survey.simulate import Simulator
from icmass.survey.write import simulate_survey

# patience: a machine with other work starts a process slowly. No trimming of freed memory, which
# costs more time in page faults than the work takes.
PATIENT = {
    "distributed.comm.timeouts.connect": "300s",
    "distributed.comm.timeouts.tcp": "300s",
    "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1},
}
COMPARED = ("maps", "m500c", "redshift", "exposure", "L_X", "halo_id", "position")


class Killer:
    """Kills a worker of a cluster once; called with the clusters made and in all."""

    def __init__(self, address: str, share: float) -> None:
        self.address, self.share = address, share
        self.killed: int | None = None
        self.n_done = 0

    def __call__(self, done: int, n: int) -> None:
        if self.killed is not None or done < self.share * n:
            return
        with Client(self.address, set_as_default=False) as client:
            pids = client.run(os.getpid)
        self.killed, self.n_done = next(iter(pids.values())), done
        os.kill(self.killed, signal.SIGKILL)


def make(out: Path, given: argparse.Namespace) -> dict[str, Any]:
    config = resolve_config(given.preset)
    start = time.perf_counter()
    with (
        dask.config.set(PATIENT),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        killer = Killer(cluster.scheduler_address, given.kill_at)
        simulate_survey(
            config,
            n_clusters=given.n,
            seed=given.seed,
            out=out,
            scheduler=cluster.scheduler_address,
            progress=killer,
        )
        with Client(cluster.scheduler_address, set_as_default=False) as client:
            left = sorted(client.run(os.getpid).values())
    took = time.perf_counter() - start
    if killer.killed is None or killer.killed in left:
        raise SystemExit("no worker was killed")
    return {"seconds": round(took, 1), "killed_after_clusters": killer.n_done}


def compare(out: Path, given: argparse.Namespace) -> int:
    """Return the number of clusters that were compared; stop at the first that differs."""
    survey = open_survey(out)  # refuses a store that lacks a chunk
    if survey.sizes["cluster"] != given.n:
        raise SystemExit(f"{survey.sizes['cluster']} clusters instead of {given.n}")
    maker = Simulator(resolve_config(given.preset), given.seed)
    index = range(0, given.n, given.check_every)
    for i in index:
        cluster = maker.cluster(i)
        for name in COMPARED:
            stored = survey[name].isel(cluster=i).values
            if not np.array_equal(stored, np.asarray(cluster[name], stored.dtype)):
                raise SystemExit(f"{name} of cluster {i} differs")
    return len(index)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--preset", default="erosita")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--kill-at", type=float, default=0.3)
    parser.add_argument("--check-every", type=int, default=97)
    parser.add_argument("--work", type=Path, help="folder of the store, kept")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    folder = given.work or Path(tempfile.mkdtemp())
    try:
        out = folder / "shards.zarr"
        found = make(out, given)
        found |= {
            "n_clusters": given.n,
            "preset": given.preset,
            "workers": 2,
            "ms_per_cluster_and_worker": round(2e3 * found["seconds"] / given.n, 2),
            "clusters_compared": compare(out, given),
            "different": 0,
            "store_mib": round(
                sum(f.stat().st_size for f in out.rglob("*") if f.is_file()) / 2**20
            ),
            "peak_mib_of_this_process": round(
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            ),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores that did other work too",
            "version": __version__,
        }
    finally:
        if given.work is None:
            shutil.rmtree(folder)
    print(json.dumps(found, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
