"""Files that get their name when they are whole, and are never overwritten unasked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from icmass.errors import InputError
from icmass.files import whole_file


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
        raise InputError("is a folder", file=path, hint="give the name of a file")
    if path.exists() and not overwrite:
        raise InputError("exists already", file=path, hint="choose another name or --overwrite")
    with whole_file(path) as unfinished:
        yield unfinished
