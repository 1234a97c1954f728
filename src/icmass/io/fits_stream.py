"""FITS files read from front to back in bounded memory, whatever they claim to hold.

Event lists of any size pass chunk by chunk; gzipped files are expanded on the way and never as a
whole. A damaged, truncated or oversized file ends in one clear line.
"""

from __future__ import annotations

import math
import os
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

import numpy as np

from icmass.errors import InputError
from icmass.files import no_file
from icmass.io.fits_columns import TYPES, WIDTHS, Column
from icmass.io.gunzip import Expansion, Gunzip, compression_of

if TYPE_CHECKING:
    from astropy.io.fits import Header

BLOCK = 2880
CHUNK_BYTES = 2**24
"""Bytes of a table that are read at once."""
MAX_HEADER_BLOCKS = 2000
MAX_ROW_BYTES = 2**24
MAX_TABLE_BYTES = 2**28
"""Of the columns of a table that is read as a whole, as they are stored."""
MAX_HDUS = 10_000
MAX_EXPANDED = 2**31, 200
"""A gzipped file may expand to so many bytes, or else to so many times its own size."""


@dataclass(frozen=True)
class Hdu:
    """One header with the data after it; they can be read until the next one is asked for.

    Attributes
    ----------
    stream : FitsStream
        The file.
    index : int
        Number in the file, from 0.
    header : astropy.io.fits.Header
        Its keywords.
    start : int
        Offset of the data in the expanded file.
    """

    stream: FitsStream
    index: int
    header: Header
    start: int

    @property
    def name(self) -> str:
        """EXTNAME in capitals; empty where there is none."""
        return str(self.header.get("EXTNAME", "")).strip().upper()

    @property
    def file(self) -> Path:
        """Where it is."""
        return self.stream.file

    @property
    def kind(self) -> str:
        """XTENSION; empty of the first HDU."""
        return str(self.header.get("XTENSION", "")).strip()

    @property
    def is_table(self) -> bool:
        """Whether it is a binary table."""
        return self.kind == "BINTABLE"

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis, NAXIS1 last."""
        return self.sizes("NAXIS")

    def sizes(self, key: str) -> tuple[int, ...]:
        """Return the lengths that ``NAXIS``, or another keyword like it, announces."""
        n = self._integer(key, most=999)
        return tuple(self._integer(f"{key}{i}") for i in range(n, 0, -1))

    @property
    def data_bytes(self) -> int:
        """Bytes of data that the header announces, without padding."""
        if not self.shape:
            return 0
        size = abs(self._integer("BITPIX", least=-64, most=64)) // 8
        extra = self._integer("PCOUNT", 0)
        n_bytes = size * self._integer("GCOUNT", 1) * (extra + math.prod(self.shape))
        if n_bytes > 2**62:
            raise self.damaged("NAXIS1")
        return n_bytes

    @property
    def n_rows(self) -> int:
        """Rows of the table."""
        return self._integer("NAXIS2")

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Columns of the table by their names in capitals."""
        columns, offset = {}, 0
        for i in range(1, self._integer("TFIELDS", most=999) + 1):
            form = re.fullmatch(r"\s*(\d*)([LXBIJKAEDCMPQ]).*", str(self.header.get(f"TFORM{i}")))
            if form is None:
                raise self.damaged(f"TFORM{i}")
            repeat, code = int(form[1] or 1), form[2]
            name = str(self.header.get(f"TTYPE{i}", f"COL{i}")).strip().upper()
            scale, zero = self._real(f"TSCAL{i}", 1.0), self._real(f"TZERO{i}", 0.0)
            null = self.header.get(f"TNULL{i}")
            null = null if isinstance(null, int) else None
            unit = str(self.header.get(f"TUNIT{i}", "")).strip().lower()
            columns[name] = Column(name, code, repeat, offset, scale, zero, null, unit)
            offset += -(-repeat // 8) if code == "X" else repeat * WIDTHS[code]
        if offset != self._integer("NAXIS1"):
            raise self.damaged("NAXIS1")
        return columns

    def chunks(self, names: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        """Yield the columns named, some rows at a time.

        Raises
        ------
        InputError
            If a column is absent or holds no plain numbers or text, or the file ends too early.
        """
        row = self._integer("NAXIS1")
        if not 0 < row <= MAX_ROW_BYTES:
            raise self.damaged("NAXIS1")
        wanted = [self._column(name) for name in names]
        dtype = np.dtype(
            {
                "names": [c.name for c in wanted],
                "formats": [c.dtype for c in wanted],
                "offsets": [c.offset for c in wanted],
                "itemsize": row,
            }
        )
        at_once = max(CHUNK_BYTES // row, 1)
        self.stream.go(self.start)
        for done in range(0, self.n_rows, at_once):
            n = min(at_once, self.n_rows - done)
            stored = self.stream.read(n * row)
            if len(stored) < n * row:
                whole = done + len(stored) // row
                raise self.truncated(f"{whole} of {self.n_rows} rows")
            rows = np.frombuffer(stored, dtype)
            yield {c.name: c.decode(rows[c.name]) for c in wanted}

    def table(self, names: Sequence[str], *, max_rows: int = 10**6) -> dict[str, np.ndarray]:
        """Return the columns named of a small table as a whole."""
        n_bytes = self.n_rows * sum(self._column(name).dtype.itemsize for name in names)
        if self.n_rows > max_rows or n_bytes > MAX_TABLE_BYTES:
            what = f"is a table of {self.n_rows} rows and {n_bytes >> 20} MiB, more than "
            what += f"{max_rows} or {MAX_TABLE_BYTES >> 20}"
            raise InputError(what, file=self.stream.file, field=self.label)
        parts = list(self.chunks(names))
        if not parts:
            return {n: self._column(n).decode(np.zeros(0, self._column(n).dtype)) for n in names}
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def data(self) -> bytes:
        """Return all of the data; the caller has seen to it that they are not too many."""
        self.stream.go(self.start)
        found = self.stream.read(self.data_bytes)
        if len(found) < self.data_bytes:
            raise self.truncated(f"{len(found):,} of {self.data_bytes:,} bytes")
        return found

    def check_numbers(self, *names: str) -> None:
        """Refuse columns of text, which `chunks` would read as such; absent ones pass."""
        for name in names:
            if name in self.columns and self.columns[name].code not in "BIJKED":
                raise InputError(
                    f"column {name} holds no numbers", file=self.stream.file, field=self.label
                )

    @property
    def label(self) -> str:
        """What to call it in a message."""
        return f"extension {self.name}" if self.name else f"HDU {self.index}"

    def damaged(self, key: str) -> InputError:
        """Return the error of a keyword that makes no sense."""
        found = self.header.get(key)
        return InputError(
            f"{found!r} makes no sense", file=self.stream.file, field=f"{self.label}, {key}"
        )

    def truncated(self, what: str) -> InputError:
        """Return the error of a file that ends too early."""
        return InputError(
            f"ends after {what}: truncated",
            file=self.stream.file,
            field=self.label,
            hint="get the file again",
        )

    def _column(self, name: str) -> Column:
        column = self.columns.get(name)
        if column is None:
            have = ", ".join(list(self.columns)[:30])
            raise InputError(
                f"has no column {name}",
                file=self.stream.file,
                field=self.label,
                hint=f"it has {have}",
            )
        if column.code != "A" and (column.code not in TYPES or column.repeat != 1):
            raise InputError(
                f"column {name} holds no plain numbers, one a row",
                file=self.stream.file,
                field=self.label,
            )
        return column

    def _integer(
        self, key: str, default: int | None = None, least: int = 0, most: int = 2**62
    ) -> int:
        value = self.header.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.damaged(key)
        return value

    def _real(self, key: str, default: float) -> float:
        value = self.header.get(key, default)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            raise self.damaged(key)
        return float(value)


class FitsStream:
    """A FITS file, plain or gzipped, read from front to back; use it in a ``with`` statement.

    Parameters
    ----------
    file : path
    expansion : Expansion, optional
        What a gzipped file expands to: kept by the first that reads all of it, read by the next.
    kinds : str
        What to give where it is no FITS file.

    Raises
    ------
    InputError
        If there is no such file.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        expansion: Expansion | None = None,
        *,
        kinds: str = "a FITS file",
    ) -> None:
        self.file, self._kinds = Path(file), kinds
        if not self.file.is_file():
            raise no_file(self.file, "give the path of a FITS file")
        self.stored_bytes = self.file.stat().st_size
        raw: BinaryIO = self.file.open("rb")
        self.gzipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        self._expansion = None
        if self.gzipped and expansion:
            raw.close()
            raw, self.stored_bytes, self.gzipped = expansion.open(), expansion.size, False
        elif self.gzipped:
            self._expansion = expansion
        self._raw = raw
        self._gunzip = Gunzip(raw)
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._raw.close()
        if kind is not None and self._expansion is not None:
            self._expansion.drop()

    def read(self, n: int) -> bytes:
        """Read `n` bytes, or what is left."""
        most, times = MAX_EXPANDED
        if self.gzipped and self._at + n > max(most, times * self.stored_bytes):
            raise InputError(
                f"expands to more than {most / 2**30:g} GiB and {times} times its size",
                file=self.file,
                hint="expand it yourself (gunzip) if you trust it",
            )
        try:
            found = (self._gunzip if self.gzipped else self._raw).read(n)
        except (EOFError, zlib.error) as error:
            raise InputError(
                f"damaged or truncated gzip file ({type(error).__name__})",
                file=self.file,
                hint="get the file again",
            ) from None
        if self._expansion is not None:
            self._expansion.write(self._at, found)
        self._at += len(found)
        return found

    def go(self, offset: int) -> None:
        """Move to an offset of the expanded file."""
        if not self.gzipped:
            self._raw.seek(offset)
            self._at = offset
            return
        if offset < self._at:
            self._gunzip.rewind()
            self._at = 0
        while self._at < offset:
            if not self.read(min(offset - self._at, 2**20)):
                return

    def hdus(self) -> Iterator[Hdu]:
        """Yield the HDUs, in order.

        Raises
        ------
        InputError
            If the file is empty, damaged, truncated or no FITS file.
        """
        start = index = end = 0
        hdu: Hdu | None = None
        while index < MAX_HDUS:
            self.go(start)
            if hdu is not None and self._at < end:
                raise hdu.truncated(f"{self._at:,} of {end:,} bytes")
            header = self._header(index)
            if header is None:
                while self.gzipped and self.read(2**20):  # to its checksum
                    pass
                return
            hdu = Hdu(self, index, header, self._at)
            end = hdu.start + hdu.data_bytes
            if not self.gzipped and end > self.stored_bytes:
                raise hdu.truncated(f"{self.stored_bytes:,} of {end:,} bytes")
            yield hdu
            start, index = end + -end % BLOCK, index + 1
        raise InputError(f"has more than {MAX_HDUS} HDUs", file=self.file)

    def _no_fits(self, start: bytes) -> InputError:
        packed = compression_of(start)
        if packed:
            hint = "expand it, or compress it by gzip"
            return InputError(f"is compressed by {packed}", file=self.file, hint=hint)
        what = "is empty" if not start else "is no FITS file"
        return InputError(what, file=self.file, hint=f"give {self._kinds}")

    def _header(self, index: int) -> Header | None:
        """Return the header that starts here; None at the end of the file."""
        from astropy.io.fits import Header
        from astropy.io.fits.verify import VerifyError

        blocks: list[bytes] = []
        while len(blocks) < MAX_HEADER_BLOCKS:
            block = self.read(BLOCK)
            if not blocks and index and block[:8] != b"XTENSION":
                return None  # the end, or what FITS calls special records
            if not blocks and block[:9] != b"SIMPLE  =" and not index:
                raise self._no_fits(block)
            if len(block) < BLOCK:
                raise InputError(
                    "ends within a header: truncated", file=self.file, field=f"HDU {index}"
                )
            blocks.append(block)
            if any(block[i : i + 80].rstrip() == b"END" for i in range(0, BLOCK, 80)):
                break
        else:
            raise InputError("has a header without END", file=self.file, field=f"HDU {index}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                header = Header.fromstring(b"".join(blocks))
                for card in header.cards:
                    _ = card.value, card.comment
            except (VerifyError, ValueError, UnicodeDecodeError) as error:
                what = f"has a damaged header ({type(error).__name__})"
                raise InputError(what, file=self.file, field=f"HDU {index}") from None
        return header
