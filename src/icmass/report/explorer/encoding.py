"""Numbers of an explorer as text that a page holds: arrays, deflated, in base64.

Every array of the table lies at a multiple of eight bytes of one gzip stream. Maps are deflated
cluster by cluster, each padded to a multiple of three bytes: the base64 of any of them is then a
piece of the whole text, and a page decodes the one that is looked at.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import Any

import numpy as np

_TYPES = {"f4", "u1", "u2", "u4", "i1"}
_ALIGN = 8


class Table:
    """Named arrays, one behind the other."""

    def __init__(self) -> None:
        self.arrays: dict[str, tuple[str, int, int]] = {}
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, name: str, values: np.ndarray, kind: str) -> None:
        """Add an array of a `kind` (``"f4"``, ``"u1"``, ...), flat in C order, under a name."""
        if kind not in _TYPES or name in self.arrays:
            raise ValueError(f"{name}: {kind}")
        flat = np.ascontiguousarray(values).astype(f"<{kind}").ravel()
        raw = flat.tobytes()
        raw += bytes(-len(raw) % _ALIGN)
        self.arrays[name] = (kind, self._size, flat.size)
        self._parts.append(raw)
        self._size += len(raw)

    def text(self) -> str:
        """Return the arrays, gzipped, as base64."""
        return packed_text(b"".join(self._parts))


def packed_text(raw: bytes) -> str:
    """Return bytes, gzipped, as base64; the same bytes give the same text."""
    return base64.b64encode(gzip.compress(raw, 9, mtime=0)).decode("ascii")


def packed_json(document: Any) -> str:
    """Return a document as JSON, gzipped, as base64: nothing in it can be taken for markup."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return packed_text(text.encode("utf-8"))


def deflated(raw: bytes) -> bytes:
    """Return a raw deflate stream (RFC 1951).

    Runs alone are looked for: of Poisson counts that is both smaller and ten times as quick as
    looking for strings that come again.
    """
    press = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_RLE)
    return press.compress(raw) + press.flush()


class Pieces:
    """Deflated pieces, one behind the other; a piece may be absent."""

    def __init__(self) -> None:
        self._starts = [0]
        self._lengths: list[int] = []
        self._parts: list[bytes] = []

    def add(self, raw: bytes | None) -> None:
        """Add the next piece, None for an absent one."""
        held = b"" if raw is None else deflated(raw)
        padded = held + bytes(-len(held) % 3)
        self._parts.append(padded)
        self._lengths.append(len(held))
        self._starts.append(self._starts[-1] + len(padded))

    @property
    def size(self) -> int:
        """Characters of `text`."""
        return self._starts[-1] // 3 * 4

    @property
    def starts(self) -> np.ndarray:
        """First byte of each piece, uint32 (n,)."""
        return np.array(self._starts[:-1], "u4")

    @property
    def lengths(self) -> np.ndarray:
        """Bytes of each deflate stream without its padding, uint32 (n,); 0: absent."""
        return np.array(self._lengths, "u4")

    def text(self) -> str:
        """Return the pieces as base64."""
        return base64.b64encode(b"".join(self._parts)).decode("ascii")
