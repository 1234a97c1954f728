"""Columns of a FITS binary table: where they lie, and what their bytes say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WIDTHS = {"L": 1, "B": 1, "A": 1, "I": 2, "J": 4, "K": 8, "E": 4, "D": 8, "C": 8, "M": 16}
WIDTHS |= {"P": 8, "Q": 16}
"""Bytes of a number of each type of a binary table (FITS standard 4.0, table 18)."""
TYPES = {"L": "S1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}


@dataclass(frozen=True)
class Column:
    """Where a column lies in a row, and how its numbers are stored."""

    name: str
    code: str
    repeat: int
    offset: int
    scale: float
    zero: float
    null: int | None
    unit: str = ""

    @property
    def dtype(self) -> np.dtype:
        """Type of the column as it is stored."""
        if self.code == "A":
            return np.dtype(f"S{max(self.repeat, 1)}")
        return np.dtype(TYPES[self.code])

    def decode(self, stored: np.ndarray) -> np.ndarray:
        """Return values in the machine's byte order, scaled (TSCAL, TZERO), NULL as NaN."""
        if self.code == "A":
            return np.char.strip(np.char.decode(stored, "ascii", "replace"))
        if self.code == "L":
            return stored == b"T"
        values = stored.astype(stored.dtype.newbyteorder("="))
        with np.errstate(over="ignore", invalid="ignore"):
            if self.null is not None and self.code in "BIJK":
                return np.where(values == self.null, np.nan, values * self.scale + self.zero)
            if (self.scale, self.zero) == (1, 0):
                return values
            if self.code in "BIJK" and self.scale == 1 and self.zero in (-128, 2**15, 2**31):
                return values.astype("i8") + int(self.zero)
            return values * self.scale + self.zero
