"""Which telescope a file says it is of: events and images of another are refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icmass.errors import InputError

SUPPORTED = "eROSITA"
UNKNOWN = f"names no telescope (TELESCOP): taken for {SUPPORTED}'s"
"""What is said of files that name no telescope."""
KEYWORDS = ("TELESCOP", "MISSION", "INSTRUME", "INSTRUM1")
_NAMES = {"EROSITA", "SRG", "SRGEROSITA", "EROSITASRG", "SPECTRUMRG"}
_SILENT = {"", "NONE", "UNKNOWN", "UNDEFINED", "NA", "STRING", "MERGED", "NOTSET"}
_MODULE = re.compile(r"[TF]M[0-7]")


def check_mission(keys: Mapping[str, Any], file: str | Path, *, field: str = "keyword") -> bool:
    """Say whether header keywords name eROSITA, and refuse a file that names another telescope.

    Parameters
    ----------
    keys : mapping
        Keywords of a header, of which `KEYWORDS` are read.
    file : path
        Where they are from.
    field : str
        What to call their place in a message.

    Returns
    -------
    bool
        False where the file says nothing of its telescope.

    Raises
    ------
    InputError
        If it is another telescope's.
    """
    stated = {key: _word(keys.get(key)) for key in KEYWORDS}
    stated = {key: word for key, word in stated.items() if word not in _SILENT}
    observatory = {key: word for key, word in stated.items() if key in ("TELESCOP", "MISSION")}
    instrument = {key: word for key, word in stated.items() if key not in observatory}
    others = {key for key, word in observatory.items() if word not in _NAMES}
    if "EROSITA" not in observatory.get("TELESCOP", ""):
        others |= {key for key, word in instrument.items() if _is_another(word, observatory)}
    for key in KEYWORDS:
        if key in others:
            raise InputError(
                f"is {str(keys[key]).strip()}: icmass reads {SUPPORTED}, real or by SIXTE",
                file=file,
                field=f"{field} {key}",
                hint=f"give files of {SUPPORTED}",
            )
    return bool(stated)


def _word(value: object) -> str:
    return re.sub(r"[^A-Z0-9]", "", value.upper()) if isinstance(value, str) else ""


def _is_another(instrument: str, observatory: Mapping[str, str]) -> bool:
    """Say whether an instrument is not one of eROSITA's; of SRG, ART-XC is the other one."""
    if _MODULE.fullmatch(instrument) or "EROSITA" in instrument:
        return False
    return not observatory or instrument.startswith("ART")
