"""Damage done to files for `fuzz_readers.py`: bytes, FITS cards, HDUs, gzip streams, words."""

from __future__ import annotations

import gzip
import re
import zlib

import numpy as np

BLOCK = 2880
CARD = 80
SCALAR_FEATURES = [
    "0",
    "1",
    "-1",
    "2",
    "3",
    "7",
    "8",
    "-32",
    "-64",
    "16",
    "64",
    "999",
    "1000",
    "65536",
]
SCALAR_FEATURES += [
    "2147483647",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "1" + "0" * 30,
]
SCALAR_FEATURES += [
    "1E308",
    "-1E308",
    "1E-320",
    "1E999",
    "-1E999",
    "NaN",
    "Inf",
    "0.0",
    "1D0",
    "1.5",
    "T",
    "F",
]
WORDS = [
    "",
    " ",
    "NaN",
    "TM9",
    "TM1",
    "EVENTS",
    "GTI1",
    "GTI",
    "BINTABLE",
    "IMAGE",
    "SURVEY",
    "x" * 60,
]
FORMS = ["1D", "0D", "3D", "1E", "1J", "1K", "1I", "1B", "1L", "1X", "16X", "8A", "0A", "1A", "1C"]
FORMS += ["1M", "1P", "PD(5)", "1QE", "D", "99999999D", "Z", "-1D", "1.5D", "1000000000000A", "A10"]
AXES = [
    "RA---TAN",
    "DEC--TAN",
    "RA---ZPN",
    "RA---TAB",
    "GLON-CAR",
    "RA---TPV",
    "RA---TAN-SIP",
    "FREQ",
]
AXES += ["HPXN", "RA---COE", "RA---TSC", "-TAB", "LINEAR", "PIXEL"]
UNITS = ["deg", "rad", "keV", "eV", "s", "m", "arcsec", "1e400 deg", "deg**(1/0)", "furlong", "%"]
KEYS = ["NAXIS1", "NAXIS2", "TFIELDS", "PCOUNT", "GCOUNT", "THEAP", "BITPIX", "NAXIS", "EXPOSURE"]
KEYS += ["BSCALE", "BZERO", "BLANK", "TSCAL1", "TZERO1", "TNULL1", "TSCAL2", "TZERO3", "LIGHTLEA"]
KEYS += ["A_ORDER", "B_ORDER", "AP_ORDER", "PV1_1", "PV2_2", "CRPIX1", "CRVAL2", "CDELT1", "CD1_1"]
KEYS += [
    "WCSAXES",
    "LONPOLE",
    "EMIN1",
    "EMAX1",
    "NENERGY",
    "OBS_MODE",
    "INSTRUME",
    "ZIMAGE",
    "EXTEND",
]
KEYS += ["CPDIS1", "CQDIS1", "DP1", "PS1_0", "EQUINOX", "RADESYS", "CTYPE1", "CUNIT1", "XTENSION"]
KEYS += ["REFRA", "REFDEC", "AREA", "TIME", "REDSHIFT", "MODE", "SNAPNUM", "HDUCLAS1", "EXTVER"]
TOKENS = [
    *SCALAR_FEATURES,
    *WORDS,
    *UNITS,
    "\0",
    "\n",
    '"',
    ",",
    "<",
    "&#0;",
    "é",
    "\ufffd",
    "-circle(1,2,3d)",
]
TOKENS += [
    "{}",
    "[]",
    "null",
    "true",
    "[[[[",
    "!!python/object/apply:os.getcwd []",
    "../../x",
    "1:2:3",
]


def damaged(content: bytes, rng: np.random.Generator, *, text: bool) -> bytes:
    """Return a file's bytes damaged in one to four ways, now and then gzipped and damaged again."""
    for _ in range(int(rng.integers(1, 5))):
        if content[:2] == b"\x1f\x8b" and rng.random() < 0.7:
            content = _within_gzip(content, rng, text=text)
        else:
            content = _once(content, rng, text=text)
    if not text and rng.random() < 0.1:
        content = gzip.compress(content, 1)
        if rng.random() < 0.6:
            content = _bytes(content, rng)
    return content


def _within_gzip(content: bytes, rng: np.random.Generator, *, text: bool) -> bytes:
    try:
        inside = gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return _bytes(content, rng)
    return gzip.compress(_once(inside, rng, text=text), 1)


def _once(content: bytes, rng: np.random.Generator, *, text: bool) -> bytes:
    if not content:
        return rng.bytes(int(rng.integers(0, 100)))
    if content[:6] == b"SIMPLE" and rng.random() < 0.75:
        return _hdus(content, rng) if rng.random() < 0.15 else _cards(content, rng)
    if text and rng.random() < 0.7:
        return _words(content, rng)
    return _bytes(content, rng)


def _bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip, put in, take out, repeat or cut bytes."""
    data = bytearray(content)
    at, n = int(rng.integers(len(data) + 1)), int(2 ** rng.uniform(0, 12))
    kind = int(rng.integers(7))
    if kind == 0:
        for place in rng.integers(len(data), size=int(rng.integers(1, 20))) if data else ():
            data[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        data[at:at] = rng.bytes(n)
    elif kind == 2:
        del data[at : at + n]
    elif kind == 3:
        return bytes(data[:at])
    elif kind == 4:
        data[at:at] = data[at : at + n]
    elif kind == 5:
        odd = np.array([0, -1, np.nan, np.inf, 1e300, -1e300, 720.0, 90.0], ">f8").tobytes()
        data[at : at + 8] = odd[8 * (kind := int(rng.integers(8))) : 8 * kind + 8]
    else:
        data[at : at + n] = bytes([int(rng.choice([0, 255, 32, 78]))]) * n
    return bytes(data)


def _cards(content: bytes, rng: np.random.Generator) -> bytes:
    """Give a card of a header another value, take one out, or put one in."""
    data = bytearray(content)
    known = [at for at in range(0, len(data) - CARD, CARD) if _is_card(data, at)]
    if not known:
        return _bytes(content, rng)
    for _ in range(int(rng.integers(1, 4))):
        at = known[int(rng.integers(len(known)))]
        key = bytes(data[at : at + 8]).decode("ascii", "replace").strip()
        kind = rng.random()
        if kind < 0.1:
            data[at : at + CARD] = b"COMMENT".ljust(CARD)
        elif kind < 0.3:
            other = KEYS[int(rng.integers(len(KEYS)))]
            data[at : at + CARD] = _card(other, rng)
        elif kind < 0.35:
            data[at : at + CARD] = rng.bytes(CARD)
        else:
            data[at : at + CARD] = _card(key, rng)
    return bytes(data)


def _is_card(data: bytearray, at: int) -> bool:
    return (
        data[at + 8 : at + 10] == b"= "
        and re.fullmatch(rb"[A-Z0-9_-]+ *", data[at : at + 8]) is not None
    )


def _card(key: str, rng: np.random.Generator) -> bytes:
    def one(of: list[str]) -> str:
        return of[int(rng.integers(len(of)))]

    if rng.random() < 0.5 and key.startswith("TFORM"):
        value = f"'{one(FORMS)}'"
    elif rng.random() < 0.5 and key.startswith("CTYPE"):
        value = f"'{one(AXES)}'"
    elif rng.random() < 0.5 and key.startswith(("TUNIT", "CUNIT")):
        value = f"'{one(UNITS)}'"
    elif rng.random() < 0.75:
        value = one(SCALAR_FEATURES)
    else:
        value = f"'{one(WORDS)}'"
    return f"{key:8s}= {value:>20s}".encode("ascii", "replace")[:CARD].ljust(CARD)


def _hdus(content: bytes, rng: np.random.Generator) -> bytes:
    """Swap, drop or repeat the pieces of a file that begin with XTENSION."""
    cuts = [m.start() for m in re.finditer(rb"XTENSION= ", content) if m.start() % BLOCK == 0]
    pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    i, j = (int(k) for k in rng.integers(len(pieces), size=2))
    kind = int(rng.integers(4))
    if kind == 0:
        pieces[i], pieces[j] = pieces[j], pieces[i]
    elif kind == 1:
        del pieces[i]
    elif kind == 2:
        pieces.insert(i, pieces[j])
    else:
        pieces[i] *= int(rng.integers(2, 300))
    return b"".join(pieces)


def _words(content: bytes, rng: np.random.Generator) -> bytes:
    """Put hostile words in the place of words and numbers, or double a line."""
    parts = re.split(rb"([\s,;:()<>\"'={}\[\]]+)", content)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(parts)))
        if rng.random() < 0.15:
            end = int(rng.integers(at, len(parts)) + 1)
            parts[at:at] = parts[at:end]
        else:
            parts[at] = TOKENS[int(rng.integers(len(TOKENS)))].encode("utf-8", "surrogatepass")
    return b"".join(parts)
