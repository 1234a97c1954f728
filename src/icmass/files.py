"""Files that are never seen half-written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from icmass.errors import InputError

AnyPath = str | os.PathLike[str]


def as_paths(files: AnyPath | Sequence[AnyPath] | None, field: str | None = None) -> list[Path]:
    """Return one path, several or none as a list; refuse what is no path, as of a `field`.

    Examples
    --------
    >>> as_paths("a.fits") == as_paths(["a.fits"]), as_paths(None)
    (True, [])
    """
    if files is None:
        return []
    given = [files] if isinstance(files, str | os.PathLike) else files
    try:
        return [Path(file) for file in given]
    except TypeError:
        what = f"is of type {type(files).__name__}, no path"
        hint = "write it to a file, and give its name"
        raise InputError(what, field=field, hint=hint) from None


def as_path(file: AnyPath | None, field: str) -> Path | None:
    """Return the path of one file, None for none; refuse what is none, as of a `field`."""
    return None if file is None else one_path(file, field)


def one_path(file: AnyPath | Sequence[AnyPath], field: str) -> Path:
    """Return the path of one file; refuse what is none, or several, as of a `field`."""
    found = as_paths(file, field)
    if len(found) != 1:
        raise InputError(f"has {len(found)} files", field=field, hint="give one")
    return found[0]


def no_file(file: AnyPath, hint: str | None = None) -> InputError:
    """Return what to raise of a path to read that is no file."""
    if Path(file).is_dir():
        return InputError("is a folder", file=file, hint="give the files in it")
    return InputError("no such file", file=file, hint=hint)


@contextmanager
def whole_file(path: str | os.PathLike[str], *, durable: bool = False) -> Iterator[Path]:
    """Yield a name beside `path`, with its suffix; what was written there takes its place.

    If writing fails nothing is left, and a file that was there stays. The folder is made. A
    `durable` file is on the disk before it gets its name, for work that goes on after a power cut.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with whole_file(file) as draft:
    ...     _ = draft.write_text("all of it")
    >>> file.read_text()
    'all of it'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield draft
        if durable:
            with draft.open("rb+") as stream:
                os.fsync(stream.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8")
