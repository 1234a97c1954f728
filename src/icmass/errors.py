"""The exception for bad input: one clear line that names the file, the field and what to do."""

from __future__ import annotations

import os
import re
from typing import Any

#: Switches of the command line, which are keywords with a value in Python.
_SWITCHES = ("overwrite", "resume", "skip-bad-regions", "survey-average")
_RENAMED = {
    "set": "assignments",
    "variant": "variants",
    "no-gti": "gti=False",
    "expmap-novig": "novig",
}
_COMMANDS = re.compile(r"(`[^`]*`|icmass [a-z]+ -[^;]*)")
_OPTION = re.compile(r"--([a-z][a-z0-9-]*)")


class InputError(Exception):
    """What the user gave cannot be used; the command line prints it and exits with status 2.

    Parameters
    ----------
    problem : str
        What is wrong, with the values that show it.
    file : path, optional
        The file at fault.
    field : str, optional
        The field, option, header key or variable at fault.
    hint : str, optional
        What to do about it.

    Attributes
    ----------
    parameter : str or None
        The parameter of the Python function at fault.
    command_line : str
        The line as the command line prints it.

    Notes
    -----
    Parameters are written as options of the command line, ``--min-visible``. The exception's own
    text has them as Python does, ``min_visible``, and `command_line` as they are.

    Examples
    --------
    >>> print(InputError("no SPECRESP", file="x.arf", field="HDU 1", hint="give an OGIP ARF"))
    x.arf: HDU 1: no SPECRESP; give an OGIP ARF
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | os.PathLike[str] | None = None,
        field: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.problem, self.file, self.field, self.hint = problem, file, field, hint
        where = [os.fspath(file)] if file is not None else []
        self.command_line = _line([*where, *([field] if field else []), problem], hint)
        python = [*([python_names(field)] if field else []), python_names(problem)]
        super().__init__(_line([*where, *python], python_names(hint) if hint else None))
        options = _OPTION.findall(field or "")
        self.parameter = _parameter(options[0]).partition("=")[0] if options else None

    def __reduce__(self) -> Any:
        return _made_again, (self.problem, self.file, self.field, self.hint)


def one_line(error: Exception) -> str:
    """Return what to say of an error in one line, of one that is no bad input with its kind.

    Examples
    --------
    >>> one_line(ZeroDivisionError("by zero")), one_line(InputError("is missing", field="--out"))
    ('ZeroDivisionError: by zero', '--out: is missing')
    """
    if isinstance(error, InputError):
        return " ".join(error.command_line.split())
    return " ".join(f"{type(error).__name__}: {error}".split())


def _made_again(
    problem: str, file: str | os.PathLike[str] | None, field: str | None, hint: str | None
) -> InputError:
    return InputError(problem, file=file, field=field, hint=hint)


def _line(parts: list[str], hint: str | None) -> str:
    line = ": ".join(parts)
    return " ".join((f"{line}; {hint}" if hint else line).split())


def _parameter(option: str) -> str:
    name = _RENAMED.get(option, option.replace("-", "_"))
    return f"{name}=True" if option in _SWITCHES else name


def python_names(text: str) -> str:
    """Return a text with options of the command line as parameters of Python.

    Whole commands stay.

    Examples
    --------
    >>> python_names("choose another name or --overwrite; see `icmass config --set`")
    'choose another name or overwrite=True; see `icmass config --set`'
    """
    parts = _COMMANDS.split(text)
    parts[::2] = [_OPTION.sub(lambda found: _parameter(found[1]), part) for part in parts[::2]]
    return "".join(parts)
