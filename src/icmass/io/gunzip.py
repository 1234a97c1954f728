"""Gzipped files expanded on the way, once: what they expand to is kept while there is room."""

from __future__ import annotations

import os
import shutil
import tempfile
import zlib
from typing import BinaryIO, ClassVar

MAX_KEPT_BYTES = 2**32
"""Of all expanded files that are kept at once, in temporary files."""
_AT_ONCE = 2**18
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x1f\x9d": "compress (.Z)",
}


def compression_of(start: bytes) -> str | None:
    """Return the name of the program that compressed a file, by its first bytes."""
    return next((name for magic, name in _PACKED.items() if start.startswith(magic)), None)


class Gunzip:
    """A gzipped file, of one member or several, read as what it expands to.

    Parameters
    ----------
    raw : binary file
        The file as it is stored; it is closed by whoever opened it.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._member = zlib.decompressobj(31)

    def read(self, n: int) -> bytes:
        """Read `n` bytes, or what is left.

        Raises
        ------
        EOFError, zlib.error
            If the file is truncated or damaged.
        """
        parts: list[bytes] = []
        while n > 0:
            if self._member.eof and not self._next_member():
                break
            stored = self._member.unconsumed_tail or self._raw.read(_AT_ONCE)
            found = self._member.decompress(stored, n)
            if not (stored or found or self._member.eof):
                raise EOFError("ends within a member")
            parts.append(found)
            n -= len(found)
        return b"".join(parts)

    def rewind(self) -> None:
        """Begin from the start."""
        self._raw.seek(0)
        self._member = zlib.decompressobj(31)

    def _next_member(self) -> bool:
        """Go on to the next member, past padding of zeros; False if there is none."""
        rest = self._member.unused_data.lstrip(b"\0")
        while not rest:
            stored = self._raw.read(_AT_ONCE)
            if not stored:
                return False
            rest = stored.lstrip(b"\0")
        self._raw.seek(-len(rest), os.SEEK_CUR)
        self._member = zlib.decompressobj(31)
        return True


class Expansion:
    """What a gzipped file expands to, in a temporary file without a name.

    It is dropped when there is no room for it: half of what is free, `MAX_KEPT_BYTES` in all.
    Another process has none.
    """

    _kept: ClassVar[int] = 0

    def __init__(self) -> None:
        self.size = 0
        self._file: BinaryIO | None = None
        self._room: int | None = None

    def __del__(self) -> None:
        self.drop()

    def __reduce__(self) -> tuple[type[Expansion], tuple[()]]:
        return Expansion, ()

    def __bool__(self) -> bool:
        return self._file is not None and self.size > 0

    def write(self, at: int, data: bytes) -> None:
        """Add what is at an offset of the expanded file, if it goes on from what is there."""
        if at != self.size or not data:
            return
        try:
            if self._room is None:
                free = shutil.disk_usage(tempfile.gettempdir()).free
                self._room = min(free // 2, MAX_KEPT_BYTES - Expansion._kept)
            if self.size + len(data) > self._room:
                raise OSError
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="icmass-")  # noqa: SIM115
            self._file.write(data)
        except OSError:
            self.drop()
            return
        self.size += len(data)
        Expansion._kept += len(data)

    def open(self) -> BinaryIO:
        """Return the expanded file, at its start."""
        if self._file is None:
            raise ValueError("there is no room for it")
        self._file.flush()
        again = os.fdopen(os.dup(self._file.fileno()), "rb")
        again.seek(0)
        return again

    def drop(self) -> None:
        """Forget it; nothing more is kept."""
        Expansion._kept -= self.size
        self.size = self._room = 0
        if self._file is not None:
            self._file.close()
        self._file = None
