"""Files that get their name when they are whole; nothing is lost that was there, unasked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
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
    path = check_new_file(path, overwrite=overwrite)
    with whole_file(path) as unfinished:
        yield unfinished


def check_new_file(
    path: str | os.PathLike[str], *, overwrite: bool = False, inputs: Sequence[Path] = ()
) -> Path:
    """Return the path of a file to write, or refuse it; `inputs` are files that are read for it.

    Raises
    ------
    InputError
        As in `new_file`, and if it is one of the inputs.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError("is a folder", file=path, hint="give the name of a file")
    check_replaced(path, overwrite=overwrite, inputs=inputs)
    check_folder(path.parent)
    return path


def check_replaced(path: Path, *, overwrite: bool, inputs: Sequence[Path] = ()) -> None:
    """Refuse to write a file or folder over one that is there unasked, and ever over an input.

    An input is lost by any of its names, and within a folder that is replaced.
    """
    if not path.exists():
        return
    whole = path.resolve()
    for file in inputs:
        if file.exists() and (path.samefile(file) or whole in file.resolve().parents):
            what = "would be written over an input"
            if not path.samefile(file):
                what += f", {file}"
            raise InputError(what, file=path, hint="choose another name")
    if not overwrite:
        raise InputError("exists already", file=path, hint="choose another name or --overwrite")


def check_folder(folder: str | os.PathLike[str], field: str | None = None) -> Path:
    """Return a folder to write files into, which may have to be made, or refuse it."""
    folder = Path(folder)
    there = next((place for place in (folder, *folder.parents) if place.exists()), None)
    if there is not None and not there.is_dir():
        hint = "give a folder" if field and there == folder else "choose another name"
        raise InputError("is a file, no folder", file=there, field=field, hint=hint)
    return folder
