"""SIMPUT catalogues: sources, and the photon lists that they point to.

A source at (RA, DEC) owns the photons of its list, carried from the list's reference point
(REFRA, REFDEC) to the source (SIMPUT 1.1). Lists lie beside the catalogue or below its folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from icmass.errors import InputError
from icmass.io.fits_stream import FitsStream, Hdu
from icmass.io.photon_lists import (
    ANGLE_UNITS,
    ListFacts,
    PhotonList,
    facts_of,
    is_class,
    list_facts,
    photon_chunks,
    unit_factor,
)
from icmass.io.plugin_files import has_plugin
from icmass.sky.tangent import shift

MAX_SOURCES = 2000
_MAX_BYTES = 2**28
_REFERENCE = re.compile(r"([^\[\]]*)\[\s*(\w+)\s*(?:,\s*(\d+)\s*)?\]")


@dataclass(frozen=True)
class Reference:
    """Where a photon list lies: file, EXTNAME or number of the extension, EXTVER."""

    file: Path
    extension: str | int
    version: int | None = None


@dataclass(frozen=True)
class Source:
    """A source with a photon list.

    Attributes
    ----------
    src_id : int
    name : str
    ra, dec : float
        Position [deg].
    photons : Reference
    """

    src_id: int
    name: str
    ra: float
    dec: float
    photons: Reference


@dataclass(frozen=True)
class Catalogue:
    """The sources of a file, and what its primary header says of the photons."""

    facts: ListFacts
    sources: tuple[Source, ...]


def read_simput(file: str | os.PathLike[str]) -> PhotonList:
    """Read the photons of all sources of a SIMPUT catalogue, where they are on the sky.

    Parameters
    ----------
    file : path
        The catalogue; a photon list without one counts as a source at its reference point.

    Returns
    -------
    PhotonList
        Energies [keV] and directions [deg]; its reference is the first source.

    Raises
    ------
    InputError
        If the catalogue or a list is damaged, or a source has no photon list.
    """
    catalogue = read_catalogue(file)
    parts = [part for source in catalogue.sources for part in source_chunks(source)]
    energy, ra, dec = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("energy", "ra", "dec")
    )
    first = catalogue.sources[0]
    return PhotonList(energy, ra, dec, (first.ra, first.dec), catalogue.facts)


def read_catalogue(file: str | os.PathLike[str]) -> Catalogue:
    """Read the sources of a file, not their photons.

    What the catalogue's primary header does not say is taken from that of the first list.
    """
    if has_plugin(file):
        listed = next(photon_chunks(file))
        ra, dec = listed.reference
        return Catalogue(listed.facts, (Source(0, "", ra, dec, Reference(Path(file), 0)),))
    lists: list[Hdu] = []
    sources: tuple[Source, ...] = ()
    with FitsStream(file) as stream:
        for hdu in stream.hdus():
            if hdu.index == 0:
                facts = facts_of(hdu)
            if is_class(hdu, "SRC_CAT"):
                sources = tuple(_sources(hdu))
                break
            if is_class(hdu, "PHOTONS"):
                lists.append(hdu)
    if not sources:
        if not lists:
            hint = "give a SIMPUT catalogue or photon list"
            raise InputError("holds no SRC_CAT and no PHLIST", file=file, hint=hint)
        sources = tuple(_bare(hdu) for hdu in lists)
    apart = sources[0].photons.file
    if apart != facts.file:
        facts = _completed(facts, list_facts(apart))
    return Catalogue(facts, sources)


def source_chunks(source: Source) -> Iterator[PhotonList]:
    """Yield the photons of a source, some at a time, where they are on the sky."""
    at = source.photons
    place = (source.ra, source.dec)
    for part in photon_chunks(at.file, at.extension, at.version):
        if part.reference == place or not len(part):
            yield part
            continue
        ra, dec = shift(part.ra, part.dec, start=part.reference, end=place)
        if not np.isfinite(ra).all():
            hint = "REFRA and REFDEC must be amid the photons"
            raise InputError("has photons a quarter of the sky away", file=at.file, hint=hint)
        yield replace(part, ra=ra, dec=dec, reference=place)


def parse_reference(text: str, catalogue: Path) -> Reference:
    """Return where a catalogue's SPECTRUM or IMAGE points, ``file.fits[PHLIST,1]``.

    Raises
    ------
    InputError
        If it points nowhere, or out of the catalogue's folder.
    """
    match = _REFERENCE.match(text.strip())
    if match is None:
        raise InputError(
            f"{text!r} is no reference", file=catalogue, field="SRC_CAT, SPECTRUM",
            hint="write file.fits[PHLIST,1]",
        )  # fmt: skip
    name, extension, version = match[1].strip(), match[2], match[3]
    file = catalogue
    if name:
        path = PurePosixPath(name)
        windows = PureWindowsPath(name)
        if path.is_absolute() or windows.anchor or ".." in (*path.parts, *windows.parts):
            raise InputError(
                f"{name!r} leaves the catalogue's folder", file=catalogue,
                field="SRC_CAT, SPECTRUM", hint="put the list beside the catalogue",
            )  # fmt: skip
        file = catalogue.parent / path
    number = int(extension) if extension.isdecimal() else extension.upper()
    return Reference(file, number, int(version) if version else None)


def _sources(hdu: Hdu) -> Iterator[Source]:
    file = hdu.stream.file
    if not 1 <= hdu.n_rows <= MAX_SOURCES:
        what = f"has {hdu.n_rows} sources"
        raise InputError(what, file=file, field=hdu.label, hint=f"give 1 to {MAX_SOURCES}")
    hdu.check_numbers("SRC_ID", "RA", "DEC")
    numbers = hdu.table(["SRC_ID", "RA", "DEC"], max_rows=MAX_SOURCES)
    names = _texts(hdu, "SRC_NAME") if "SRC_NAME" in hdu.columns else [""] * hdu.n_rows
    pointers = _texts(hdu, "SPECTRUM")
    factors = [unit_factor(hdu, name, ANGLE_UNITS, "deg") for name in ("RA", "DEC")]
    for i, pointer in enumerate(pointers):
        ra, dec = (float(numbers[c][i]) * f for c, f in zip(("RA", "DEC"), factors, strict=True))
        if not (abs(ra) <= 720 and abs(dec) <= 90):
            field = f"{hdu.label}, RA, DEC"
            raise InputError(f"{ra:g}, {dec:g} is no direction", file=file, field=field)
        number = float(numbers["SRC_ID"][i])
        if not abs(number) < 2**53:
            field = f"{hdu.label}, SRC_ID"
            raise InputError(f"{number:g} is no number of a source", file=file, field=field)
        yield Source(int(number), names[i], ra, dec, parse_reference(pointer, file))


def _bare(hdu: Hdu) -> Source:
    """Return the source of a photon list that no catalogue names."""
    try:
        ra, dec = float(hdu.header.get("REFRA", 0.0)), float(hdu.header.get("REFDEC", 0.0))
    except (TypeError, ValueError):
        raise hdu.damaged("REFRA") from None
    return Source(0, hdu.name, ra, dec, Reference(hdu.stream.file, hdu.index))


def _texts(hdu: Hdu, name: str) -> list[str]:
    """Return a column of texts, of fixed length or, as SIXTE writes them, of any."""
    column = hdu.columns.get(name)
    if column is None or column.code not in "PQ":
        return [str(text) for text in hdu.table([name], max_rows=MAX_SOURCES)[name]]
    if hdu.data_bytes > _MAX_BYTES:
        raise InputError("is too large a table", file=hdu.stream.file, field=hdu.label)
    hdu.stream.go(hdu.start)
    stored = hdu.stream.read(hdu.data_bytes)
    row, n = int(hdu.header["NAXIS1"]), hdu.n_rows
    whole = ">i4" if column.code == "P" else ">i8"
    dtype = np.dtype(
        {"names": ["at"], "formats": [(whole, (2,))], "offsets": [column.offset], "itemsize": row}
    )
    if len(stored) < hdu.data_bytes:
        raise hdu.truncated(f"{len(stored):,} of {hdu.data_bytes:,} bytes")
    heap = stored[int(hdu.header.get("THEAP", row * n)) :]
    texts = []
    for length, start in np.frombuffer(stored[: row * n], dtype)["at"].tolist():
        if not 0 <= start <= start + length <= len(heap):
            raise hdu.damaged("PCOUNT")
        texts.append(heap[start : start + length].decode("ascii", "replace").strip("\0 "))
    return texts


def _completed(facts: ListFacts, other: ListFacts) -> ListFacts:
    """Fill what is not said with what another header says."""
    missing = [f.name for f in fields(facts) if getattr(facts, f.name) is None]
    return replace(facts, **{name: getattr(other, name) for name in missing})
