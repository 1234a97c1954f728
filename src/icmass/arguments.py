"""What is given to functions of Python: whole numbers, one name or several, known names."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from icmass.errors import InputError


def whole_number(value: Any, field: str, least: int = 0) -> int:
    """Return a whole number, or say that it is none or less than `least`.

    Examples
    --------
    >>> whole_number(3.0, "--n")
    3
    """
    is_whole = isinstance(value, float) and value.is_integer()
    try:
        number = int(value) if is_whole else operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least:
        hint = f"give a whole number, {least} or more"
        raise InputError(f"is {value!r}", field=field, hint=hint)
    return number


def as_list(given: str | Iterable[Any] | None) -> list[Any]:
    """Return one name or several as a list; none for None.

    Examples
    --------
    >>> as_list("L_X"), as_list(("L_X", "T")), as_list(None)
    (['L_X'], ['L_X', 'T'], [])
    """
    if given is None:
        return []
    return [given] if isinstance(given, str) else list(given)


def refuse_unknown(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse parameters that a function does not know, with those that they may be."""
    known = list(known)
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"is it {near[0]}?" if near else "leave it out"
            raise InputError("is no parameter", field=name, hint=hint)
