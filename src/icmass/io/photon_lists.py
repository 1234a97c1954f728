"""Lists of ideal photons, as PHOX, pyXSIM and SOXS write them: SIMPUT's photon extension.

Energies are what would be seen without a detector; an ideal telescope of one flat area (``AREA``,
``TIME`` of the primary header) has collected them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from icmass.errors import InputError
from icmass.io.fits_stream import FitsStream, Hdu
from icmass.io.plugin_files import has_plugin, read_by_plugin

CLASSES = {"PHOTONS": "PHLIST", "SRC_CAT": "SRC_CAT"}
"""HDUCLAS1 of the extensions of SIMPUT, and the EXTNAME that they have."""
ENERGY_UNITS = {"kev": 1.0, "ev": 1e-3}
ANGLE_UNITS = {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "rad": float(np.degrees(1.0))}
MAX_ENERGY_KEV = 1e4


@dataclass(frozen=True)
class ListFacts:
    """What the headers of a file say of its photons; None where they do not.

    Attributes
    ----------
    file : Path
    area_cm2, time_s : float or None
        Area [cm^2] and exposure [s] of the ideal telescope.
    redshift : float or None
    nh : float or None
        Galactic column density that the photons have passed [1e20 cm^-2].
    snapshot, mode : int or None
        Number of the snapshot; 1 gas, 2 active nuclei, 3 both.
    simulation : str or None
    """

    file: Path
    area_cm2: float | None = None
    time_s: float | None = None
    redshift: float | None = None
    nh: float | None = None
    snapshot: int | None = None
    mode: int | None = None
    simulation: str | None = None


@dataclass(frozen=True)
class PhotonList:
    """Photons, n of them, and what their file says of them.

    Attributes
    ----------
    energy : ndarray, shape (n,)
        Observed energy [keV].
    ra, dec : ndarray, shape (n,)
        Direction [deg].
    reference : (float, float)
        Right ascension and declination of the list's reference point [deg].
    facts : ListFacts
    """

    energy: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    reference: tuple[float, float]
    facts: ListFacts

    def __len__(self) -> int:
        return len(self.energy)


def read_photon_list(file: str | os.PathLike[str]) -> PhotonList:
    """Read all the photons of one file as they are listed, whatever source they are of.

    Use `photon_chunks` for lists that may not fit in memory.

    Raises
    ------
    InputError
        If the file is damaged or truncated, or holds no photons or such as cannot be.
    """
    parts = list(photon_chunks(file))
    energy, ra, dec = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("energy", "ra", "dec")
    )
    return PhotonList(energy, ra, dec, parts[0].reference, parts[0].facts)


def photon_chunks(
    file: str | os.PathLike[str], extension: str | int | None = None, version: int | None = None
) -> Iterator[PhotonList]:
    """Yield the photons of a file, some at a time, one list or more.

    Parameters
    ----------
    file : path
        A FITS file, plain or gzipped, or one that a plugin reads.
    extension : str or int, optional
        EXTNAME or number of the one extension to read; default: every photon list in the file.
    version : int, optional
        EXTVER of that extension.
    """
    listed = read_by_plugin(file, PhotonList, "a PhotonList")
    if listed is not None:
        yield _checked(listed, Path(file))
        return
    found = False
    with FitsStream(file) as stream:
        facts = ListFacts(stream.file)
        for hdu in stream.hdus():
            if hdu.index == 0:
                facts = facts_of(hdu)
            if extension is None:
                wanted = is_class(hdu, "PHOTONS")
            else:
                wanted = _is_named(hdu, extension, version)
            if not wanted:
                continue
            if not is_class(hdu, "PHOTONS"):
                hint = "icmass reads photon lists; spectra and images have to be drawn from first"
                raise InputError("is no photon list", file=file, field=hdu.label, hint=hint)
            found = True
            yield from _chunks(hdu, facts)
            if extension is not None:
                return
    if not found:
        what = "photon list (PHLIST)" if extension is None else f"extension {extension}"
        raise InputError(f"holds no {what}", file=file, hint="give a SIMPUT photon list")


def list_facts(file: str | os.PathLike[str]) -> ListFacts:
    """Return what the primary header of a file says, without reading on."""
    if has_plugin(file):
        return next(photon_chunks(file)).facts
    with FitsStream(file) as stream:
        return facts_of(next(stream.hdus()))


def facts_of(hdu: Hdu) -> ListFacts:
    """Return what a primary header says of the photons; words that make no sense are refused."""
    return ListFacts(
        file=hdu.stream.file,
        area_cm2=_number(hdu, "AREA", above=0),
        time_s=_number(hdu, "TIME", above=0),
        redshift=_number(hdu, "REDSHIFT", above=-1e-9),
        nh=_number(hdu, "NH", above=-1e-9),
        snapshot=_whole(hdu, "SNAPNUM"),
        mode=_whole(hdu, "MODE"),
        simulation=str(hdu.header["SIMUL"]).strip() if "SIMUL" in hdu.header else None,
    )


def is_class(hdu: Hdu, name: str) -> bool:
    """Say whether a table is of a class of SIMPUT: ``PHOTONS`` or ``SRC_CAT``.

    Programs differ: the class is in HDUCLAS1, or in HDUCLAS2 below HDUCLAS1 = SIMPUT, or nowhere,
    and then EXTNAME tells.
    """
    if not hdu.is_table:
        return False
    words = [str(hdu.header.get(key, "")).strip().upper() for key in ("HDUCLAS1", "HDUCLAS2")]
    if "SIMPUT" in str(hdu.header.get("HDUCLASS", "")).upper() or words[0] == "SIMPUT":
        known = [word for word in words if word in CLASSES]
        if known:
            return known[0] == name
    return hdu.name == CLASSES[name]


def unit_factor(hdu: Hdu, column: str, units: Mapping[str, float], default: str) -> float:
    """Return what turns a column's numbers into the unit whose factor is 1, by its TUNIT.

    Raises
    ------
    InputError
        If the column has a unit that `units` does not know.
    """
    unit = unit_of(hdu, column) or default
    if unit not in units:
        known = " or ".join(units)
        raise InputError(
            f"has unit {unit!r}", file=hdu.stream.file, field=f"{hdu.label}, {column}",
            hint=f"give {known}",
        )  # fmt: skip
    return units[unit]


def unit_of(hdu: Hdu, column: str) -> str:
    """Return the TUNIT of a column in small letters; empty where there is none."""
    number = list(hdu.columns).index(column) + 1
    return str(hdu.header.get(f"TUNIT{number}", "")).strip().lower()


def _chunks(hdu: Hdu, facts: ListFacts) -> Iterator[PhotonList]:
    names = ("ENERGY", "RA", "DEC")
    reference = (_number(hdu, "REFRA") or 0.0, _number(hdu, "REFDEC") or 0.0)
    empty = np.zeros(0)
    hdu.check_numbers(*names)
    if not hdu.n_rows:
        hdu.table(names)
        yield PhotonList(empty, empty, empty, reference, facts)
        return
    factors: list[float] = []
    for chunk in hdu.chunks(names):
        if not factors:
            factors = [unit_factor(hdu, "ENERGY", ENERGY_UNITS, "kev")]
            factors += [unit_factor(hdu, name, ANGLE_UNITS, "deg") for name in names[1:]]
        energy, ra, dec = (
            np.asarray(chunk[name], float) * by for name, by in zip(names, factors, strict=True)
        )
        _check(hdu.stream.file, hdu.label, energy, ra, dec)
        yield PhotonList(energy, ra, dec, reference, facts)


def _checked(listed: PhotonList, file: Path) -> PhotonList:
    """Return the photons that a plugin has read, as numbers, or refuse them."""
    columns = (np.asarray(column, float) for column in (listed.energy, listed.ra, listed.dec))
    energy, ra, dec = columns
    _check(file, "photons", energy, ra, dec)
    if not energy.shape == ra.shape == dec.shape:
        raise InputError(f"{energy.size}, {ra.size}, {dec.size} values", file=file, field="photons")
    return replace(listed, energy=energy, ra=ra, dec=dec)


def _check(file: Path, label: str, energy: np.ndarray, ra: np.ndarray, dec: np.ndarray) -> None:
    """Refuse photons that cannot be."""
    limits = {
        "ENERGY": (energy, (energy > 0) & (energy < MAX_ENERGY_KEV), "positive energies [keV]"),
        "RA": (ra, np.abs(ra) <= 720, "degrees"),
        "DEC": (dec, np.abs(dec) <= 90, "degrees from -90 to 90"),
    }
    for name, (values, good, what) in limits.items():
        if values.ndim != 1:
            raise InputError("is no column of numbers", file=file, field=name)
        if not good.all():
            bad = values[~good]
            raise InputError(
                f"{bad.size} values such as {bad[0]:g}",
                file=file,
                field=f"{label}, {name}",
                hint=f"give {what}",
            )


def _is_named(hdu: Hdu, extension: str | int, version: int | None) -> bool:
    if isinstance(extension, int):
        return hdu.index == extension
    return hdu.name == extension.upper() and version in (None, hdu.header.get("EXTVER", 1))


def _number(hdu: Hdu, key: str, above: float = -np.inf) -> float | None:
    value = hdu.header.get(key)
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise hdu.damaged(key) from None
    if not np.isfinite(number) or not number > above:
        raise hdu.damaged(key)
    return number


def _whole(hdu: Hdu, key: str) -> int | None:
    """Return the whole number of a keyword; PHOX writes some of them as text, snap_128."""
    value = hdu.header.get(key)
    if value is None:
        return None
    digits = str(value).strip().lower().removeprefix("snap_").removesuffix(".0")
    if not digits.isdecimal():
        raise hdu.damaged(key)
    return int(digits)
