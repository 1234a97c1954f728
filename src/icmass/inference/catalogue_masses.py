"""Masses of a catalogue's rows, which are written beside the rows that have none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icmass.errors import InputError
from icmass.files import write_text
from icmass.inference.mass_table import mass_table
from icmass.inference.masses import Masses
from icmass.survey.writers.files import check_new_file, new_file
from icmass.survey.writers.tables import SUFFIXES, write_table

if TYPE_CHECKING:
    from astropy.table import Table

MORE_SUFFIXES = (".csv", ".json")
"""Suffixes of the files that are written besides tables."""


@dataclass(frozen=True)
class CatalogueMasses(Masses):
    """Posteriors of M500c of the rows of a catalogue.

    As `Masses`; the files hold a row for each extended source of the catalogue, in its order: those
    without a mass with NaN and the reason.

    Attributes
    ----------
    without_mass : list of dict
        Facts of the rows without a mass.
    """

    without_mass: list[dict[str, Any]] = field(default_factory=list)

    def to_table(self) -> Table:
        """Return a table with units, see `Masses.to_table`, of all extended sources."""
        rows = sorted([*self.document["clusters"], *self.without_mass], key=lambda r: r["cluster"])
        return mass_table(self.document | {"clusters": rows, "failed": []})

    def write(self, file: str | Path, *, overwrite: bool = False) -> Path:
        """Write the masses to a file: ``.fits``, ``.ecsv``, ``.vot``, ``.csv`` or ``.json``."""
        file = check_new_file(file, overwrite=overwrite, inputs=self.inputs)
        suffix = file.suffix.lower()
        if suffix not in MORE_SUFFIXES:
            return write_table(self.to_table(), file, overwrite=overwrite)
        with new_file(file, overwrite=overwrite) as unfinished:
            if suffix == ".json":
                write_text(unfinished, self.to_json() + "\n")
            else:
                self.to_table().write(unfinished, format="ascii.csv")
        return file


def check_out(path: Path, *, overwrite: bool, inputs: Sequence[Path] = ()) -> None:
    """Refuse the name of a file of masses before the work is done."""
    known = (*SUFFIXES, *MORE_SUFFIXES)
    if (suffix := path.suffix.lower()) not in known:
        what = f"{suffix or 'no suffix'} is no table"
        raise InputError(what, file=path, field="--out", hint=f"use {', '.join(known)}")
    check_new_file(path, overwrite=overwrite, inputs=inputs)
