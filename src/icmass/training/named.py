"""Small objects that a training configuration names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from icmass.errors import InputError

Kept = TypeVar("Kept")


class Named(Mapping[str, Kept]):
    """Things by name, to which others can be added; an unknown name is bad input.

    Parameters
    ----------
    what : str
        What they are, for the error.
    held : mapping
    """

    def __init__(self, what: str, held: Mapping[str, Kept]) -> None:
        self.what, self._held = what, dict(held)

    def __getitem__(self, name: str) -> Kept:
        if name not in self._held:
            raise InputError(repr(name), field=self.what, hint=f"known: {', '.join(self._held)}")
        return self._held[name]

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def register(self, name: str, kept: Kept) -> Kept:
        """Add one; its name must be new."""
        if name in self._held:
            raise ValueError(f"{self.what} {name!r} is there already")
        self._held[name] = kept
        return kept
