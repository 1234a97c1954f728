"""What other people's packages add: entry points, looked up and loaded only when asked for.

A package adds an estimator, a reader, an instrument or a variant of the physics by an entry point
in one of the groups below. Its name says when it is used; what it points to is told at each group.
One that cannot be loaded is said in one line of the log ``icmass``, which is printed on standard
error where nobody has set up logging, and is then as if it were not there.
"""

from __future__ import annotations

import logging
import sys
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

ESTIMATORS = "icmass.estimators"
"""Name: the estimator's, or a pattern of names as of files (``tng-*``), and the ``estimator`` of
its saved ``config.json``. Value: see `icmass.estimators.registry.of_class`."""
READERS = "icmass.readers"
"""Name: a pattern of names of files (``*.npz``). Value: a function that takes the path to a
`icmass.io.photon_lists.PhotonList`, or to a table of astropy."""
INSTRUMENTS = "icmass.instruments"
"""Name: the instrument's. Value: the path of its JSON file, or a function that returns it."""
VARIANTS = "icmass.variants"
"""Name: the variant's. Value: a `icmass.survey.variants.Variant`."""

_LOG = logging.getLogger("icmass")
_SAID: set[str] = set()


def plugin_names(group: str) -> tuple[str, ...]:
    """Return the names in a group, in order; nothing is imported."""
    return tuple(_found(group))


def matching_plugin(group: str, name: str) -> str | None:
    """Return the first entry of a group whose name, read as a pattern, fits; None if none does.

    Letters are told apart by case, except in patterns of names of files, which begin with ``*.``.
    """
    for pattern in _found(group):
        low = pattern.startswith("*.")
        if fnmatchcase(name.lower() if low else name, pattern.lower() if low else pattern):
            return pattern
    return None


def load_plugin(group: str, name: str) -> Any | None:
    """Return what an entry point holds; None, and a line in the log, if it cannot be loaded."""
    entry = _found(group).get(name)
    if entry is None:
        return None
    try:
        return entry.load()
    except Exception as error:  # whatever another package does when it is imported
        plugin_failed(group, name, f"{type(error).__name__}: {error}")
        return None


def plugin_failed(group: str, name: str, why: str) -> None:
    """Say, once, that a plugin cannot be used."""
    entry = _found(group).get(name)
    of = f" of {entry.dist.name}" if entry is not None and entry.dist is not None else ""
    _say(f"plugin {name}{of} ({group}) cannot be used: {why}")


def _found(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name; of two with one name the first is taken."""
    return _found_on(group, tuple(sys.path))


@lru_cache(maxsize=16)
def _found_on(group: str, path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """Do it once for each search path of Python: looking takes some milliseconds."""
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        known = found.setdefault(entry.name, entry)
        if known.value != entry.value:
            _say(f"plugin {entry.name} ({group}) is there twice: {known.value} is used")
    return found


def _say(line: str) -> None:
    line = " ".join(line.split())
    if line not in _SAID:
        _SAID.add(line)
        _LOG.warning("icmass: %s", line)
