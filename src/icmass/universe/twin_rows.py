"""The rows of a user's table of halos, as a survey keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

COLUMNS: dict[str, str] = {
    "row": "1",
    "halo_id": "1",
    "history": "1",
    "snapshot": "1",
    "m500c": "Msun/h",
    "redshift": "1",
    "x": "Mpc/h comoving",
    "y": "Mpc/h comoving",
    "z": "Mpc/h comoving",
    "M_gas": "Msun/h",
    "T": "keV",
    "M_star": "Msun/h",
    "n_sat": "1",
    "L_X": "1e44 erg/s",
    "L_X_soft": "1e44 erg/s",
    "L_X_ce": "1e44 erg/s",
    "core_share": "1",
    "w": "R500c",
    "disturbance": "1",
}
"""Columns and their units. ``row``: its number in the file, from 1; ``history``: halos of one
number are one halo; ``n_sat``: satellites expected within R500c; the others as a survey has."""
NEEDED = ("row", "halo_id", "history", "snapshot", "m500c", "redshift")
"""Columns that every row has."""
GIVEN = tuple(name for name in COLUMNS if name not in NEEDED)
"""Columns of which a row may have some; NaN where it has none."""


@dataclass(frozen=True)
class TwinRows:
    """Usable rows of a table, in its order; n of them. Equal and hashable by content.

    Attributes
    ----------
    content : bytes
        Float64 (n, len(COLUMNS)).
    """

    content: bytes

    @classmethod
    def of(cls, values: Mapping[str, np.ndarray]) -> TwinRows:
        """Make them of arrays (n,) by `COLUMNS`; those of `GIVEN` may be absent."""
        nothing = np.full(len(values["m500c"]), np.nan)
        columns = [np.asarray(values.get(name, nothing), "f8") for name in COLUMNS]
        return cls(np.stack(columns, axis=1).tobytes())

    @classmethod
    def from_table(cls, table: np.ndarray) -> TwinRows:
        """Make them of an array (n, len(COLUMNS))."""
        return cls(np.ascontiguousarray(table, "f8").tobytes())

    @cached_property
    def table(self) -> np.ndarray:
        """All of it, read-only, (n, len(COLUMNS))."""
        return np.frombuffer(self.content).reshape(-1, len(COLUMNS))

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.table[:, list(COLUMNS).index(name)]

    def has(self, name: str) -> bool:
        """Return whether any row has a column."""
        return bool(np.isfinite(self[name]).any())
