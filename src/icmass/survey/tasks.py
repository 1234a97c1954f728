"""Tasks done one after the other, by processes of this machine, or by those of a Dask scheduler."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dask

#: One thread a worker. Dask would also have the C library give freed memory back at once, which
#: costs more time in page faults than the work takes.
_WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1, "OPENBLAS_NUM_THREADS": 1}


def run_tasks(
    function: Callable[..., Any],
    tasks: Sequence[Any],
    *fixed: Any,
    workers: int = 1,
    scheduler: str | None = None,
) -> Iterator[Any]:
    """Yield ``function(*fixed, task)`` of each task, in the order in which they are done.

    Parameters
    ----------
    function : callable
        Gives errors back instead of raising them, so that Dask does not report them.
    tasks : sequence
        What is sent to the workers; small.
    fixed : object
        What all have in common; small.
    workers : int
        Processes on this machine; 1: this one.
    scheduler : str, optional
        Address of a Dask scheduler to use instead.
    """
    if not tasks:
        return
    if scheduler is None and workers == 1:
        for task in tasks:
            yield function(*fixed, task)
        return
    from distributed import Client, LocalCluster, as_completed

    local = None
    if scheduler is None:
        with dask.config.set({"distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT}):
            local = LocalCluster(
                n_workers=min(workers, len(tasks)),
                threads_per_worker=1,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
    try:
        with Client(scheduler or local) as client:
            columns = [[value] * len(tasks) for value in fixed]
            futures = client.map(function, *columns, list(tasks), pure=False)
            for future in as_completed(futures):
                yield future.result()
                future.release()
    finally:
        if local is not None:
            local.close()
