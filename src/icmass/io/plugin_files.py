"""Files of kinds that other packages read: entry points of the group ``icmass.readers``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from icmass.errors import InputError
from icmass.plugins import READERS, load_plugin, matching_plugin


def has_plugin(file: str | os.PathLike[str]) -> bool:
    """Say whether a plugin reads files of such a name."""
    return _reader(file)[1] is not None


def _reader(file: str | os.PathLike[str]) -> tuple[str | None, Any | None]:
    """Return the pattern and the function of the plugin for a file, None where there is none."""
    pattern = matching_plugin(READERS, Path(file).name)
    return pattern, None if pattern is None else load_plugin(READERS, pattern)


def read_by_plugin(file: str | os.PathLike[str], kind: type, what: str) -> Any | None:
    """Return what a plugin makes of a file; None if none reads files of such a name.

    Parameters
    ----------
    file : path
    kind : type
        What the plugin has to return.
    what : str
        That in words.

    Raises
    ------
    InputError
        If the file is not there, the plugin fails, or it returns something else.
    """
    path = Path(file)
    pattern, read = _reader(path)
    if read is None:
        return None
    if not path.is_file():
        raise InputError("no such file", file=path)
    try:
        found = read(path)
    except (InputError, OSError):
        raise
    except Exception as error:  # whatever another package raises
        problem = f"the reader of {pattern} fails ({type(error).__name__}: {error})"
        raise InputError(problem, file=path) from error
    if not isinstance(found, kind):
        problem = f"the reader of {pattern} returns {type(found).__name__}, not {what}"
        raise InputError(problem, file=path)
    return found
