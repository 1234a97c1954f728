"""Tables of colossus for the default cosmology, kept: they take seconds in every new process."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np

from icmass.cosmology import Cosmology

FILE = "default_cosmology.npz"


def tabulated(name: str, cosmology: Cosmology) -> np.ndarray | None:
    """Return a table of the default cosmology as `tools/make_cosmology_tables.py` made it.

    Of another cosmology there is none.
    """
    return _tables()[name] if cosmology == Cosmology() else None


@cache
def _tables() -> dict[str, np.ndarray]:
    with (
        files("icmass").joinpath("universe", "data", FILE).open("rb") as file,
        np.load(file, allow_pickle=False) as found,
    ):
        return {name: found[name] for name in found}
