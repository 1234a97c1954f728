"""Tasks done one after the other, by processes of this machine, or by those of a Dask scheduler."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import dask

from icmass.arguments import whole_number

#: One thread a worker. Dask would also have the C library give freed memory back at once, which
#: costs more time in page faults than the work takes.
ONE_THREAD = {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1, "OPENBLAS_NUM_THREADS": 1}


@contextmanager
def _without_interruption() -> Iterator[None]:
    """Have processes that are started here ignore SIGINT; the main thread ignores it meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Tasks:
    """Workers that do tasks; use it in a ``with`` statement. They start with the first task.

    Parameters
    ----------
    workers : int
        Processes on this machine; 1: this one.
    scheduler : str, optional
        Address of a Dask scheduler to use instead.
    """

    def __init__(self, workers: int = 1, scheduler: str | None = None) -> None:
        self._workers, self._scheduler = whole_number(workers, "--workers", 1), scheduler
        self._open = ExitStack()
        self._client: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def run(self, function: Callable[..., Any], tasks: Sequence[Any], *fixed: Any) -> Iterator[Any]:
        """Yield ``function(*fixed, task)`` of each task, in the order in which they are done.

        Parameters
        ----------
        function : callable
            Gives errors back instead of raising them, so that Dask does not report them.
        tasks : sequence
            What is sent to the workers; small.
        fixed : object
            What all have in common; small.
        """
        if self._scheduler is None and self._workers == 1:
            for task in tasks:
                yield function(*fixed, task)
            return
        if not tasks:
            return
        from distributed import as_completed

        client = self._start()
        columns = [[value] * len(tasks) for value in fixed]
        futures = client.map(function, *columns, list(tasks), pure=False)
        for future in as_completed(futures):
            yield future.result()
            future.release()

    def _start(self) -> Any:
        if self._client is not None:
            return self._client
        from distributed import Client, LocalCluster

        local = None
        if self._scheduler is None:
            # Ctrl-C in a terminal goes to the workers too: they leave it to this process
            with (
                _without_interruption(),
                dask.config.set({"distributed.nanny.pre-spawn-environ": ONE_THREAD}),
            ):
                local = LocalCluster(
                    n_workers=self._workers,
                    threads_per_worker=1,
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
            self._open.callback(local.close)
        self._client = self._open.enter_context(Client(self._scheduler or local))
        return self._client
