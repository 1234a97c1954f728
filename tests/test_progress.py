"""Progress: a bar with rate and time left on a terminal, two lines at most elsewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from conftest import ended, forked_command
from icmass.cli import progress
from icmass.cli.progress import Meter, duration, per_time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """A clock that a test sets: the last of the list is the time."""
    times = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: times[-1])
    yield times


def told(clock: list[float], work: Sequence[tuple[float, int]], total: int, **how: Any) -> None:
    with progress.progress("clusters", **how) as report:
        for seconds, done in work:
            clock.append(seconds)
            report(done, total)


def test_two_lines_at_most_of_long_work(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    told(clock, [(1, 0), (6, 10), (21, 40), (31, 60), (51, 100)], 100)
    assert capsys.readouterr().err.splitlines() == [
        "40/100 clusters, 21 s, 2.0/s, 30 s left",
        "100/100 clusters, 51 s, 2.0/s",
    ]


def test_one_line_of_short_work_and_none_where_it_is_one_of_many(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    told(clock, [(0, 0), (2, 4)], 4)
    assert capsys.readouterr().err == "4/4 clusters, 2 s, 2.0/s\n"
    told(clock, [(2, 0), (4, 4)], 4, patient=True)
    told(clock, [(4, 0), (40, 2), (80, 4)], 4, quiet=True)
    assert capsys.readouterr().err == ""


def test_what_an_earlier_run_has_done_makes_no_rate(clock: list[float]) -> None:
    meter = Meter()
    clock.append(5.0)
    meter.report(900, 1000)
    assert meter.rate is None and meter.pace() == ""
    clock.append(25.0)
    meter.report(910, 1000)
    assert meter.rate == pytest.approx(0.5)
    assert meter.left() == pytest.approx(180.0)
    assert meter.left(now=65.0) == pytest.approx(140.0), "it counts down between reports"
    assert meter.pace() == "30/min, 3 min left"


def test_work_that_ends_early_is_said(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    """As training, which stops when the validation loss no longer falls."""
    told(clock, [(0, 0), (30, 30), (40, 40)], 300)
    assert capsys.readouterr().err.splitlines() == [
        "30/300 clusters, 30 s, 1.0/s, 4 min left",
        "40/300 clusters, 40 s, 1.0/s",
    ]


def test_numbers_are_said_as_people_say_them() -> None:
    assert (duration(99.6), duration(3600), duration(36_000)) == ("100 s", "60 min", "10.0 h")
    assert (per_time(250.0), per_time(9.96), per_time(1 / 60)) == ("250/s", "10/s", "1.0/min")


def terminal(
    words: Sequence[object], cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, str]:
    """Run a command whose standard error is a terminal; return its status and what it showed."""
    pty = pytest.importorskip("pty", reason="no pseudo-terminals here")
    ours, theirs = pty.openpty()
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with open(os.devnull, "w") as nothing:
        child = forked_command(*words, cwd=cwd, stdout=nothing.fileno(), stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    return ended(child), shown.decode()


SIMULATE = ["simulate", "--preset", "demo", "--n", 60, "--chunk", 1]
SIMULATE += ["--set", "observe.n_pixels=32", "--out"]


def test_a_terminal_shows_a_bar_with_rate_and_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, shown = terminal([*SIMULATE, "a.zarr"], tmp_path, monkeypatch)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert status == 0, text
    assert re.search(r"clusters\s+\S+\s+60/60\s+[\d.]+/(s|min)", text), text
    assert re.search(r"\b[1-5]?\d/60\s+[\d.]+/(s|min), \d+ s left", text), text


def test_a_quiet_terminal_stays_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert terminal([*SIMULATE, "b.zarr", "--quiet"], tmp_path, monkeypatch) == (0, "")


def test_a_log_has_one_line(run_cli: Any, tmp_path: Path) -> None:
    done = run_cli(*SIMULATE, tmp_path / "c.zarr")
    assert done.returncode == 0
    *_, last = lines = done.stderr.splitlines()
    assert last.startswith("60/60 clusters, ")
    assert len(lines) <= 2  # one more where it took over ten seconds
