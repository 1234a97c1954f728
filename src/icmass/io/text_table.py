"""Tables of text as people keep them: CSV of spreadsheets, ECSV and VOTable, gzipped or not."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from icmass.errors import InputError
from icmass.files import no_file
from icmass.io.gunzip import compression_of

if TYPE_CHECKING:
    from astropy.table import Table

FORMATS = {
    ".ecsv": "ascii.ecsv",
    ".csv": "ascii.csv",
    ".tsv": "ascii.csv",
    ".vot": "votable",
    ".xml": "votable",
}
MAX_TEXT_BYTES = 2**26
MAX_ROWS = 10**6
DELIMITERS = ",;\t|"
_COMMA_NUMBER = re.compile(r"\s*[+-]?\d*,\d+(?:[eE][+-]?\d+)?\s*")


def text_format(file: Path) -> str | None:
    """Return astropy's name of a text table's format by the file's name; None of other files."""
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    return FORMATS.get(suffixes[-1]) if suffixes else None


def read_text_table(file: Path) -> Table:
    """Read a table of text; see `FORMATS`.

    Raises
    ------
    InputError
        If it is missing or too large, or fetches its data from elsewhere. A damaged one raises
        whatever astropy does.
    """
    from astropy.table import Table

    kind = text_format(file)
    content = _content(file)
    if kind == "votable":
        _refuse_links(content, file)
        return Table.read(io.BytesIO(content), format=kind)
    lines = _decoded(content).splitlines()
    if kind == "ascii.ecsv":
        return Table.read(lines, format=kind)
    lines, delimiter = _csv_lines(lines)
    table = Table.read(lines, format=kind, delimiter=delimiter)
    return _with_decimal_points(table) if delimiter != "," else table


def _content(file: Path) -> bytes:
    """Return the bytes of a file, expanded, if they are not too many."""
    if not file.is_file():
        raise no_file(file, "give the path of a table")
    too_large = InputError(f"is larger than {MAX_TEXT_BYTES >> 20} MiB", file=file)
    if file.stat().st_size > MAX_TEXT_BYTES:
        raise too_large
    content = file.read_bytes()
    packed = compression_of(content)
    if packed == "gzip":
        try:
            with gzip.open(file) as stream:
                content = stream.read(MAX_TEXT_BYTES + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            what = f"damaged or truncated gzip file ({type(error).__name__})"
            raise InputError(what, file=file, hint="get the file again") from None
        if len(content) > MAX_TEXT_BYTES:
            raise too_large
    elif packed:
        raise InputError(f"is compressed by {packed}", file=file, hint="expand it, or use gzip")
    return content


def _decoded(content: bytes) -> str:
    """Return text without its byte-order mark, in whatever encoding spreadsheets save it."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _csv_lines(lines: list[str]) -> tuple[list[str], str]:
    """Return the lines of a CSV from its header on, without comments, and what separates cells.

    A header in the last comment (``# ra,dec,z``) counts where the first line after it is numbers.
    """
    separator = None
    if lines and (named := re.fullmatch(r'"?sep=(.)"?', lines[0].strip())):
        separator, lines = named[1], lines[1:]
    kept: list[str] = []
    comment = ""
    for line in lines:
        if line.lstrip().startswith("#") and not kept:
            comment = line.lstrip().lstrip("#").strip()
        elif line.strip() and not line.lstrip().startswith("#"):
            kept.append(line)
    if not kept:
        return kept, separator or ","
    first = re.sub(r'"[^"]*"', "", kept[0])
    found = separator or max(DELIMITERS, key=first.count)
    cells = kept[0].count(found)
    if comment.count(found) == cells and not re.search(r"[A-Za-z]{2}", kept[0]) and cells:
        kept.insert(0, comment)
    return kept, found


def _with_decimal_points(table: Table) -> Table:
    """Return a table whose numbers with decimal commas have points."""
    for name in table.colnames:
        column = table[name]
        if column.dtype.kind == "U":
            texts = [str(text) for text in np.ma.filled(np.ma.asarray(column), "")]
            table[name] = [
                text.replace(",", ".") if _COMMA_NUMBER.fullmatch(text) else text for text in texts
            ]
    return table


def _refuse_links(content: bytes, file: Path) -> None:
    """Refuse VOTables that would have astropy fetch their data, or make room for any number."""
    if re.search(rb"<(\w+:)?STREAM[^>]*\shref", content, re.IGNORECASE):
        raise InputError(
            "has its data in another file", file=file, hint="put them into the VOTable"
        )
    for number in re.findall(rb"\snrows\s*=\s*[\"']\s*(\d+)", content):
        if int(number[:20]) > MAX_ROWS:
            raise InputError(f"has more than {MAX_ROWS} rows", file=file, field="nrows")
