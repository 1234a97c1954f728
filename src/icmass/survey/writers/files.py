"""Files that get their name when they are whole, and are never overwritten unasked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from icmass.errors import InputError


@contextmanager
def new_file(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary name beside `path`, with its suffix; what was written there becomes `path`.

    Parameters
    ----------
    path : path
        The file to make; its folder is made too.
    overwrite : bool
        Replace a file of that name.

    Raises
    ------
    InputError
        If there is such a file, and `overwrite` is not set, or `path` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError("is a folder", file=path, mend="give the name of a file")
    if path.exists() and not overwrite:
        raise InputError("exists already", file=path, mend="choose another name or --overwrite")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
