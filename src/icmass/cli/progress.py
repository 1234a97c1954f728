"""Progress of long work on standard error: a bar on a terminal, two lines at most elsewhere.

On a terminal the bar says how much of how much is done, the rate and the time left. Elsewhere, in
the log of a batch job, one line says after some seconds how long it will take, and one at the end
how long it took.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

_EVERY_S = 10.0


class Report(Protocol):
    """What work calls when more of it is done."""

    def __call__(self, done: int, total: int, said: str = "") -> None:
        """Say how much of how much is done, and in a few words what."""


class StageReport(Protocol):
    """What work of several stages calls when more of one is done."""

    def __call__(self, unit: str, done: int, total: int, said: str = "") -> None:
        """Say of which stage how much of how much is done, and in a few words what."""


class Meter:
    """Rate of work and the time left, of what was done since the first report.

    What an earlier run has done comes with the first report, and makes no rate; one unit alone is
    taken for work of this run, since its beginning.
    """

    def __init__(self) -> None:
        self.begin = time.monotonic()
        self.done = self.total = 0
        self._first: tuple[float, int] | None = None
        self._last = self.begin

    def report(self, done: int, total: int) -> float:
        """Take note of what is done; return the seconds since the beginning."""
        self._last = time.monotonic()
        self.done, self.total = done, total
        if self._first is None:
            self._first = (self.begin, 0) if done == 1 else (self._last, done)
        return self._last - self.begin

    @property
    def rate(self) -> float | None:
        """Units a second; None as long as it is not known."""
        if self._first is None:
            return None
        begin, first = self._first
        if self.done <= first or self._last <= begin:
            return None
        return (self.done - first) / (self._last - begin)

    def left(self, now: float | None = None) -> float | None:
        """Return the seconds left at a time, by default that of the last report."""
        if self.rate is None:
            return None
        waited = 0.0 if now is None else now - self._last
        return max((self.total - self.done) / self.rate - waited, 0.0)

    def pace(self, now: float | None = None) -> str:
        """Return rate and time left in words; nothing as long as they are not known."""
        left = self.left(now)
        if self.rate is None or left is None:
            return ""
        ending = f", {duration(left)} left" if self.done < self.total else ""
        return f"{per_time(self.rate)}{ending}"


@contextmanager
def progress(unit: str, *, patient: bool = False, quiet: bool = False) -> Iterator[Report]:
    """Yield a function of (done, total) that shows progress on standard error, and the time left.

    Parameters
    ----------
    unit : str
        What is counted.
    patient : bool
        Say nothing of what is done at once, where it isn't a terminal.
    quiet : bool
        Say nothing at all.
    """
    if quiet:
        yield lambda done, total, said="": None
        return
    with _bar(unit) if sys.stderr.isatty() else _lines(unit, patient) as report:
        yield report


@contextmanager
def _bar(unit: str) -> Iterator[Report]:
    """Show a bar on a terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
    from rich.table import Column
    from rich.text import Text

    meter = Meter()

    class Pace(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(meter.pace(time.monotonic()), style="progress.remaining")

    def whole() -> Column:
        return Column(no_wrap=True)

    bar = Progress(
        TextColumn("{task.description}", table_column=whole()),
        BarColumn(bar_width=20),
        MofNCompleteColumn(table_column=whole()),
        Pace(table_column=whole()),
        TextColumn("{task.fields[said]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
        console=Console(stderr=True),
    )
    with bar:
        task = bar.add_task(unit, total=None, said="")

        def report(done: int, total: int, said: str = "") -> None:
            meter.report(done, total)
            bar.update(task, completed=done, total=total, said=escape(said))

        yield report


@contextmanager
def _lines(unit: str, patient: bool) -> Iterator[Report]:
    """Print a line when it is known how long the work takes, if it is long, and one at its end."""
    meter = Meter()
    taken = 0.0
    said_begin = said_end = False

    def line(*, last: bool) -> None:
        pace = meter.pace()
        if last and meter.rate is not None:
            pace = per_time(meter.rate)
        text = f"{meter.done}/{meter.total} {unit}, {duration(taken)}"
        print(f"{text}, {pace}" if pace else text, file=sys.stderr, flush=True)

    def report(done: int, total: int, said: str = "") -> None:
        nonlocal taken, said_begin, said_end
        taken = meter.report(done, total)
        if done == total:
            if not said_end and not (patient and taken < _EVERY_S):
                line(last=True)
            said_end = True
        elif not said_begin and taken >= _EVERY_S and meter.rate is not None:
            line(last=False)
            said_begin = True

    yield report
    if said_begin and not said_end:  # it ended before all was done, as training may
        line(last=True)


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


def per_time(rate: float) -> str:
    """Return a rate [1/s] in the unit of time that gives a number above one.

    Examples
    --------
    >>> per_time(12.3), per_time(0.5), per_time(0.001)
    ('12/s', '30/min', '3.6/h')
    """
    for seconds, unit in ((1, "s"), (60, "min")):
        if rate * seconds >= 1:
            return f"{_two_digits(rate * seconds)}/{unit}"
    return f"{_two_digits(rate * 3600)}/h"


def _two_digits(number: float) -> str:
    return f"{number:.1f}" if number < 9.95 else f"{number:.0f}"


@contextmanager
def stages(*, quiet: bool = False) -> Iterator[StageReport]:
    """Yield a function of (unit, done, total) that shows the progress of one unit after another."""
    reports: dict[str, Report] = {}
    with ExitStack() as stack:

        def report(unit: str, done: int, total: int, said: str = "") -> None:
            if unit not in reports:
                stack.close()
                reports[unit] = stack.enter_context(progress(unit, patient=True, quiet=quiet))
            reports[unit](done, total, said)

        yield report
