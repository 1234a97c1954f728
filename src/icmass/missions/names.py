"""How headers name a telescope, whatever they write between its letters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

KEYWORDS = ("TELESCOP", "MISSION", "INSTRUME", "INSTRUM1")
_SILENT = {"", "NONE", "UNKNOWN", "UNDEFINED", "NA", "STRING", "MERGED", "NOTSET"}


@dataclass(frozen=True)
class Names:
    """How headers name a mission.

    Attributes
    ----------
    observatory : frozenset of str
        Values of TELESCOP and MISSION, letters and digits alone, in capitals.
    is_other_instrument : callable
        Says of a value of INSTRUME, likewise, whether it is another instrument; its second argument
        tells whether the header names the observatory.
    settled_by : str or None
        What TELESCOP holds where the instrument need not be looked at.
    read : str
        What is read, for messages.
    """

    observatory: frozenset[str]
    is_other_instrument: Callable[[str, bool], bool]
    settled_by: str | None
    read: str

    def stated(self, keys: Mapping[str, Any]) -> tuple[bool, str | None]:
        """Say whether keywords name a telescope, and which of `KEYWORDS` names another one."""
        words = {key: _word(keys.get(key)) for key in KEYWORDS}
        words = {key: word for key, word in words.items() if word not in _SILENT}
        observatory = {key: word for key, word in words.items() if key in ("TELESCOP", "MISSION")}
        others = {key for key, word in observatory.items() if word not in self.observatory}
        settled = self.settled_by is not None
        if not (settled and str(self.settled_by) in observatory.get("TELESCOP", "")):
            others |= {
                key
                for key, word in words.items()
                if key not in observatory and self.is_other_instrument(word, bool(observatory))
            }
        return bool(words), next((key for key in KEYWORDS if key in others), None)


def _word(value: object) -> str:
    return re.sub(r"[^A-Z0-9]", "", value.upper()) if isinstance(value, str) else ""
