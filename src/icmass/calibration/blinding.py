"""A hidden offset of the amplitude: sealed when made, checked when revealed.

The offset is drawn from the system's entropy, not from the seed, so that nobody can make it again.
``calibration.json`` keeps the commitment SHA-256(salt | offset); ``sealed.json`` holds salt and
offset, encoded lest they be read by accident. Who reads it by intent can: blinding keeps people
from fooling themselves, not from fooling others.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icmass.errors import InputError
from icmass.files import write_text

SEALED = "sealed.json"
LARGEST_OFFSET = 0.5
"""Offsets are even in ln M within plus and minus this: more than what the gas physics may do."""


@dataclass(frozen=True)
class Seal:
    """An offset of the amplitude and what commits to it.

    Attributes
    ----------
    offset : float
        What is added to ln M of the network.
    salt : str
        Hexadecimal, 32 bytes.
    """

    offset: float
    salt: str

    @classmethod
    def new(cls) -> Seal:
        """Draw an offset that nobody knows."""
        offset = LARGEST_OFFSET * (2 * secrets.randbits(53) / 2**53 - 1)
        return cls(offset, secrets.token_hex(32))

    @property
    def commitment(self) -> str:
        """SHA-256 of salt and offset, hexadecimal."""
        return hashlib.sha256(f"{self.salt}|{self.offset!r}".encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Write the sealed file."""
        plain = json.dumps({"offset": self.offset, "salt": self.salt})
        sealed = base64.b64encode(plain.encode()).decode()
        about = "the hidden offset of a blinded calibration: icmass calibrate --reveal"
        write_text(folder / SEALED, json.dumps({"about": about, "sealed": sealed}, indent=1))

    @classmethod
    def read(cls, folder: Path, commitment: str) -> Seal:
        """Read a sealed file and check it against its commitment.

        Raises
        ------
        InputError
            If it is missing, damaged, or not the one that was committed to.
        """
        file = folder / SEALED
        try:
            sealed = json.loads(file.read_text(encoding="utf-8"))["sealed"]
            plain = json.loads(base64.b64decode(sealed))
            seal = cls(float(plain["offset"]), str(plain["salt"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            what = f"cannot be read ({type(error).__name__})"
            raise InputError(what, file=file, hint="without it nothing is revealed") from None
        if not secrets.compare_digest(seal.commitment, commitment):
            what = "is not what calibration.json commits to"
            hint = "one of both files was changed; calibrate again"
            raise InputError(what, file=file, field="SHA-256", hint=hint)
        if not np.isfinite(seal.offset):
            raise InputError("is no number", file=file, field="offset")
        return seal
