"""What Ctrl-C and SIGTERM leave, and the command that goes on from there."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STATUS = 130
"""Exit status of a command that was interrupted: 128 + SIGINT, as shells have it."""


class Interrupted(Exception):
    """A command was interrupted.

    No KeyboardInterrupt, which the library that reads options would make an exit without a word.

    Parameters
    ----------
    command : str, optional
        The command line that goes on; None: nothing was kept.
    """

    def __init__(self, command: str | None = None) -> None:
        self.command = command
        super().__init__(
            "interrupted; nothing was kept"
            if command is None
            else f"interrupted; what is done is kept, go on with: {command}"
        )


@contextmanager
def resumable(*kept: Path | None, flag: str | None = "--resume") -> Iterator[None]:
    """Have an interruption within say how to go on.

    Parameters
    ----------
    kept : path
        What the work keeps: if none of it exists there is nothing to go on from.
    flag : str, optional
        What the same command needs besides to go on; None: nothing.
    """
    try:
        yield
    except (KeyboardInterrupt, Interrupted):
        is_kept = any(path is not None and path.exists() for path in kept)
        raise Interrupted(command_with(sys.argv[1:], flag) if is_kept else None) from None


def unfinished(out: Path) -> Path:
    """Return the name that a store or model has while it is being made."""
    return out.with_name(out.name + ".partial")


def command_with(arguments: Sequence[str], flag: str | None) -> str:
    """Return the command line of some arguments, with a flag if it isn't among them.

    Examples
    --------
    >>> command_with(["train", "my survey.zarr", "--out", "M"], "--resume")
    "icmass train 'my survey.zarr' --out M --resume"
    >>> command_with(["demo"], None)
    'icmass demo'
    """
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    if flag is not None and flag not in words[:end]:
        words.insert(end, flag)
    return shlex.join(["icmass", *words])


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Have SIGTERM, which batch systems send before they kill, end the work as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
