"""Progress of long work: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

_EVERY_S = 10.0


@contextmanager
def progress(unit: str, *, patient: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, total) that shows progress on standard error, and the time left.

    Parameters
    ----------
    unit : str
        What is counted.
    patient : bool
        Say nothing of what is done at once, where it isn't a terminal.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

        bar = Progress(
            *Progress.get_default_columns()[:2],
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        with bar:
            task = bar.add_task(unit, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    begin = last = time.monotonic()
    first: int | None = None

    def line(done: int, total: int) -> None:
        nonlocal last, first
        now = time.monotonic()
        first = done if first is None else first
        is_last = done == total and not (patient and now - begin < _EVERY_S)
        if is_last or now - last > _EVERY_S:
            last = now
            left = ""
            if first < done < total:
                left = f", {duration((now - begin) / (done - first) * (total - done))} left"
            text = f"{done}/{total} {unit}, {now - begin:.0f} s{left}"
            print(text, file=sys.stderr, flush=True)

    yield line


def duration(seconds: float) -> str:
    """Return a time as people say it.

    Examples
    --------
    >>> duration(50), duration(1000), duration(10000)
    ('50 s', '17 min', '2.8 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@contextmanager
def stages() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function of (unit, done, total) that shows the progress of one unit after another."""
    reports: dict[str, Callable[[int, int], None]] = {}
    with ExitStack() as stack:

        def report(unit: str, done: int, total: int) -> None:
            if unit not in reports:
                stack.close()
                reports[unit] = stack.enter_context(progress(unit, patient=True))
            reports[unit](done, total)

        yield report
