"""The mass proxies by name: where a survey keeps them, and how they become logarithms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.plasma.absorption import MOST_NH_1E20
from icmass.proxies.observables import (
    APERTURES,
    aperture_areas,
    net_photon_counts,
    photon_counts,
)
from icmass.survey.catalog import half_width_mpc_h, survey_config
from icmass.survey.counts import read_coverage

REFERENCE_EXPOSURE_S = 2000.0
"""Photon counts are put on this exposure: the one of Ho et al. (2023)."""
SOFTENING = 20.0
"""Photons at which a net number is softened: about the background's noise within R500c in 2 ks."""

POSITIVE = ("m500c", "exposure")
"""Variables of clusters that cannot be 0 or less."""
_NAMED = 5  # clusters named in an error


@dataclass(frozen=True)
class Proxy:
    """A scalar mass proxy.

    Attributes
    ----------
    variable : str
        The survey's variable that holds it.
    kind : {"ideal", "observed"}
        Known in three dimensions from the simulation, or taken from photon map or galaxy survey.
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
    "M_star": Proxy("M_star", "ideal", False, "stellar mass"),
    "sigma_v_true": Proxy(
        "sigma_v_true", "ideal", False, "velocity dispersion of the galaxies around, in 3D"
    ),
    "N_gal": Proxy("N_gal", "observed", False, "galaxies in the cylinder"),
    "sigma_v": Proxy("sigma_v", "observed", False, "velocity dispersion of those galaxies"),
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
    parts = [name.strip() for name in text.split("+")]
    for name in parts:
        if name not in PROXIES:
            choices = ", ".join(PROXIES)
            raise InputError(f"no such proxy: {name!r}", field=text, hint=f"known are {choices}")
    if len(set(parts)) != len(parts):
        raise InputError("names a proxy twice", field=text, hint="name each proxy once")
    return tuple(name for name in PROXIES if name in parts)


def kind_of(names: Sequence[str]) -> Literal["ideal", "observed"]:
    """Return ``"observed"`` if every proxy is; a set with one ideal proxy is ideal.

    Such a set needs something that only a simulation knows, so it isn't open to an observer.
    """
    return "observed" if all(PROXIES[name].kind == "observed" for name in names) else "ideal"


def available(survey: xr.Dataset) -> tuple[str, ...]:
    """Return the proxies that a survey holds, in canonical order."""
    return tuple(name for name, proxy in PROXIES.items() if proxy.variable in survey)


def read_halos(survey: xr.Dataset) -> np.ndarray:
    """Return the halo that each cluster is of, (n,); one each where none are named."""
    if "halo_id" in survey:
        return np.asarray(survey["halo_id"].values)
    return np.arange(survey.sizes["cluster"])


def read_scalar(
    survey: xr.Dataset,
    variable: str,
    index: np.ndarray | None = None,
    *,
    file: str | Path | None = None,
) -> np.ndarray:
    """Return a per-cluster variable of a survey as float64, finite, or say what is wrong.

    Masses and exposures are positive too, and N_H is one that there is.
    """
    if variable not in survey:
        raise InputError("is missing from the survey", file=file, field=f"variable {variable}")
    values = survey[variable].values.astype("f8")
    values = values if index is None else values[index]
    for bad, wrong, must in _wrong(variable, values):
        if bad.any():
            clusters = np.flatnonzero(bad) if index is None else np.asarray(index)[bad]
            what = f"is {wrong} for {_told(clusters, len(bad))}"
            if len(bad) == 1:
                what = f"is {values[0]:g}{must}"
            raise InputError(what, file=file, field=f"variable {variable}")
    return values


def _wrong(variable: str, values: np.ndarray) -> list[tuple[np.ndarray, str, str]]:
    """Return which values cannot be, what they are, and what they must be."""
    wrong = [(~np.isfinite(values), "not finite", "")]
    if variable in POSITIVE:
        wrong.append((values <= 0, "not positive", ", and must be positive"))
    if variable == "nh":
        limits = f"0 to {MOST_NH_1E20:g}e20 cm^-2"
        wrong.append(((values < 0) | (values > MOST_NH_1E20), f"not {limits}", f", not {limits}"))
    return wrong


def _told(clusters: np.ndarray, n: int) -> str:
    """Return how many clusters of how many, and the first of them.

    >>> _told(np.array([3, 4]), 9)
    '2 of 9 clusters (3, 4)'
    """
    first = [str(cluster) for cluster in clusters[:_NAMED]]
    more = ["..."] if len(clusters) > _NAMED else []
    return f"{len(clusters)} of {n} clusters ({', '.join(first + more)})"


def has_background(survey: xr.Dataset) -> bool:
    """Say whether a survey's maps hold background: they do unless its configuration says no."""
    return bool(survey_config(survey).get("observe", {}).get("background", True))


def log_proxies(
    survey: xr.Dataset, names: Sequence[str], index: np.ndarray | None = None
) -> np.ndarray:
    """Return the natural logarithm of proxies, shape (n, len(names)).

    Photons N become ln((N + 1) 2000 s / exposure), so that a cluster without a photon has a value:
    at the few hundred photons of a typical cluster the one added changes less than 1 per cent.
    Where the survey has background, the photons in apertures are net of the local background, see
    `net_photon_counts`, and softened: (N + sqrt(N^2 + 4 20^2))/2 stands for N + 1, which is N
    where it is much more than the 20 photons of the background's noise, and never negative.
    """
    photons = {}
    if any(PROXIES[name].counts for name in names):
        photons = _photons(survey, names, index)
    columns = []
    for name in names:
        if PROXIES[name].counts:
            columns.append(np.log(photons[PROXIES[name].variable]))
            continue
        values = read_scalar(survey, PROXIES[name].variable, index)
        if (values <= 0).any():
            raise InputError(
                f"must be positive, and isn't for {np.sum(values <= 0)} of {len(values)} clusters",
                field=f"variable {PROXIES[name].variable}",
            )
        columns.append(np.log(values))
    return np.stack(columns, axis=1)


def _photons(
    survey: xr.Dataset, names: Sequence[str], index: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Return the photons of the named proxies in 2 ks by variable, all positive."""
    variables = [PROXIES[name].variable for name in names if PROXIES[name].counts]
    net = has_background(survey) and any(variable in APERTURES for variable in variables)
    if net:
        variables = [*{*variables, *APERTURES, "n_phot"}]
    counts = {variable: read_scalar(survey, variable, index) for variable in variables}
    for variable, values in counts.items():
        if (values < 0).any():
            raise InputError(
                f"is negative for {np.sum(values < 0)} of {len(values)} clusters",
                field=f"variable {variable}",
            )
    positive = {variable: values + 1 for variable, values in counts.items()}
    if net:
        total, visible = _areas(survey, index)
        for variable, values in net_photon_counts(counts, total=total, visible=visible).items():
            positive[variable] = (values + np.sqrt(values**2 + 4 * SOFTENING**2)) / 2
    scale = REFERENCE_EXPOSURE_S / read_scalar(survey, "exposure", index)
    return {variable: values * scale for variable, values in positive.items()}


def _areas(
    survey: xr.Dataset, index: np.ndarray | None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the pixels of the map and its apertures: all, and those seen."""
    r500c = read_scalar(survey, "r500c", index)
    half_width = half_width_mpc_h(survey)
    total = aperture_areas(r500c, n_pixels=survey.sizes["x"], half_width=half_width)
    if "coverage" not in survey:
        return total, total
    members = np.arange(survey.sizes["cluster"]) if index is None else np.asarray(index)
    chunks = []
    for rows in np.array_split(np.arange(len(members)), max(len(members) // 256, 1)):
        coverage = read_coverage(survey, members[rows])
        chunks.append(photon_counts(coverage, r500c[rows], half_width=half_width))
    return total, {name: np.concatenate([chunk[name] for chunk in chunks]) for name in total}
