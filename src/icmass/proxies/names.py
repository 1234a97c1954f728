"""The mass proxies by name: where a survey keeps them, and how they become logarithms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

from icmass.errors import InputError

REFERENCE_EXPOSURE_S = 2000.0
"""Photon counts are put on this exposure: the one of Ho et al. (2023)."""


@dataclass(frozen=True)
class Proxy:
    """A scalar mass proxy.

    Attributes
    ----------
    variable : str
        The survey's variable that holds it.
    kind : {"ideal", "observed"}
        Known in three dimensions from the simulation, or taken from the photon map.
    counts : bool
        Whether it is a number of photons, zero allowed.
    label : str
        What it is, in words.
    """

    variable: str
    kind: Literal["ideal", "observed"]
    counts: bool
    label: str


PROXIES: dict[str, Proxy] = {
    "T": Proxy("T", "ideal", False, "temperature"),
    "L_X": Proxy("L_X", "ideal", False, "bolometric luminosity"),
    "L_X_soft": Proxy("L_X_soft", "ideal", False, "0.5-2 keV luminosity"),
    "M_gas": Proxy("M_gas", "ideal", False, "gas mass"),
    "N_phot": Proxy("n_phot", "observed", True, "photons in the map"),
    "N_phot_r500": Proxy("n_phot_r500", "observed", True, "photons within R500c"),
    "N_phot_2r500": Proxy("n_phot_2r500", "observed", True, "photons within 2 R500c"),
}
"""In canonical order: combinations are named in this order."""


def parse_names(text: str) -> tuple[str, ...]:
    """Return the proxies of a name such as ``"T+M_gas"``, in canonical order.

    >>> parse_names("M_gas + T")
    ('T', 'M_gas')
    """
    parts = [part.strip() for part in text.split("+")]
    for part in parts:
        if part not in PROXIES:
            known = ", ".join(PROXIES)
            raise InputError(f"no such proxy: {part!r}", field=text, mend=f"known are {known}")
    if len(set(parts)) != len(parts):
        raise InputError("names a proxy twice", field=text, mend="name each proxy once")
    return tuple(name for name in PROXIES if name in parts)


def kind_of(names: Sequence[str]) -> Literal["ideal", "observed"]:
    """Return ``"observed"`` if every proxy is; a set with one ideal proxy is ideal.

    Such a set needs something that only a simulation knows, so it isn't open to an observer.
    """
    return "observed" if all(PROXIES[name].kind == "observed" for name in names) else "ideal"


def available(survey: xr.Dataset) -> tuple[str, ...]:
    """Return the proxies that a survey holds, in canonical order."""
    return tuple(name for name, proxy in PROXIES.items() if proxy.variable in survey)


def read_scalar(survey: xr.Dataset, variable: str, index: np.ndarray | None = None) -> np.ndarray:
    """Return a per-cluster variable of a survey as float64, finite, or say what is wrong."""
    if variable not in survey:
        raise InputError("is missing from the survey", field=f"variable {variable}")
    values = survey[variable].values.astype("f8")
    values = values if index is None else values[index]
    bad = ~np.isfinite(values)
    if bad.any():
        raise InputError(
            f"is not finite for {bad.sum()} of {len(bad)} clusters", field=f"variable {variable}"
        )
    return values


def log_proxies(
    survey: xr.Dataset, names: Sequence[str], index: np.ndarray | None = None
) -> np.ndarray:
    """Return the natural logarithm of proxies, shape (n, len(names)).

    Counts N become ln((N + 1) 2000 s / exposure), so that a cluster without a photon has a value:
    at the few hundred photons of a typical cluster the one added changes less than 1 per cent.
    """
    columns = []
    for name in names:
        proxy = PROXIES[name]
        values = read_scalar(survey, proxy.variable, index)
        low = values < 0 if proxy.counts else values <= 0
        if low.any():
            must = "must not be negative" if proxy.counts else "must be positive"
            raise InputError(
                f"{must}, and isn't for {low.sum()} of {len(low)} clusters",
                field=f"variable {proxy.variable}",
            )
        if proxy.counts:
            values = (values + 1) * REFERENCE_EXPOSURE_S / read_scalar(survey, "exposure", index)
        columns.append(np.log(values))
    return np.stack(columns, axis=1)
