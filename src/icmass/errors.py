"""The exception for bad input: one clear line that names the file, the field and the mend."""

from __future__ import annotations

import os


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
    mend : str, optional
        What to do about it.

    Examples
    --------
    >>> print(InputError("no SPECRESP", file="x.arf", field="HDU 1", mend="give an OGIP ARF"))
    x.arf: HDU 1: no SPECRESP; give an OGIP ARF
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | os.PathLike[str] | None = None,
        field: str | None = None,
        mend: str | None = None,
    ) -> None:
        self.problem, self.file, self.field, self.mend = problem, file, field, mend
        where = [os.fspath(file)] if file is not None else []
        where += [field] if field else []
        line = ": ".join([*where, problem])
        super().__init__(" ".join(f"{line}; {mend}".split()) if mend else " ".join(line.split()))
