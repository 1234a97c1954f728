"""What an explorer shows: clusters of one or several surveys, and what estimators say of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from icmass.estimators.posterior import Prediction
from icmass.survey.catalog import variable_of

_UNITS = {
    "1": "",
    "count": "photons",
    "1e20 cm-2": "10²⁰ cm⁻²",
    "1e44 erg/s": "10⁴⁴ erg/s",
    "Mpc/h comoving": "comoving Mpc/h",
}
_LABELS = {
    "m500c": "true M500c",
    "redshift": "redshift",
    "r500c": "true R500c",
    "exposure": "exposure",
    "nh": "N_H",
    "n_phot": "photons in the map",
    "n_phot_r500": "photons within R500c",
    "n_phot_2r500": "photons within 2 R500c",
    "visible_fraction": "visible fraction within 0.5 Mpc/h",
    "visible_fraction_map": "visible fraction of the map",
    "exposure_aperture": "exposure within 0.5 Mpc/h",
    "ra": "right ascension",
    "dec": "declination",
}
_NOT_SHOWN = {"halo_id"}
_FIRST = ("m500c", "redshift", "r500c", "exposure", "nh", "n_phot", "n_phot_r500", "n_phot_2r500")


@dataclass(frozen=True)
class Property:
    """A number of each cluster that can be an axis.

    Attributes
    ----------
    key, label, unit, title : str
        Name in the survey, name and unit on an axis, and what it is in a sentence.
    values : ndarray, shape (n,)
        NaN where it is not known.
    """

    key: str
    label: str
    unit: str
    title: str
    values: np.ndarray


@dataclass(frozen=True)
class Estimates:
    """What one estimator says of the clusters.

    Attributes
    ----------
    name : str
        As the page prints it.
    rows : ndarray of int, shape (k,)
        The clusters that it predicted, as rows of the explorer.
    prediction : Prediction
        Their posteriors of ln(M500c / (Msun/h)), k of them.
    limits : ndarray of bool, shape (k,), or None
        Where the mass is an upper limit alone.
    """

    name: str
    rows: np.ndarray
    prediction: Prediction
    limits: np.ndarray | None = None


@dataclass(frozen=True)
class Attributions:
    """What the pixels of some clusters add to one estimator's ln M500c, all bands added.

    Attributes
    ----------
    name : str
        The estimator.
    rows : ndarray of int, shape (k,)
        The clusters, as rows of the explorer.
    maps : ndarray, shape (k, y, x)
        Over the expected background [ln M per pixel].
    """

    name: str
    rows: np.ndarray
    maps: np.ndarray


@dataclass(frozen=True)
class Part:
    """Clusters of one survey; parts follow each other in the explorer.

    Attributes
    ----------
    label : str
        What the survey is called.
    survey : Dataset
    index : ndarray of int, shape (n,)
        The clusters shown.
    """

    label: str
    survey: xr.Dataset
    index: np.ndarray

    @property
    def observed(self) -> bool:
        """Whether the clusters are real ones."""
        return "observed" in self.survey.attrs

    def names(self) -> list[str]:
        """Return what the clusters are called: their names, or their numbers in the survey."""
        held = json.loads(self.survey.attrs.get("names", "[]"))
        return [str(held[i]) if held else f"cluster {i}" for i in self.index]


@dataclass(frozen=True)
class Contents:
    """All that an explorer shows, n clusters.

    Attributes
    ----------
    parts : sequence of Part
    properties : sequence of Property
    estimates : sequence of Estimates
        In the order in which they are offered; `first` is shown.
    reasons : sequence of sequence of str, length n
        Why each cluster's masses are not to be trusted; nothing where all is well.
    attributions : sequence of Attributions
    first : str
        The estimator that is shown at the beginning.
    """

    parts: Sequence[Part]
    properties: Sequence[Property]
    estimates: Sequence[Estimates]
    reasons: Sequence[Sequence[str]]
    attributions: Sequence[Attributions] = field(default_factory=tuple)
    first: str = ""

    def __len__(self) -> int:
        return sum(len(part.index) for part in self.parts)

    @property
    def names(self) -> list[str]:
        """What the clusters are called; with the survey if there are several."""
        several = len(self.parts) > 1
        found = []
        for part in self.parts:
            tail = f" of {part.label}" if several else ""
            found += [name + tail for name in part.names()]
        return found

    @property
    def ln_m_true(self) -> np.ndarray | None:
        """True ln(M500c / (Msun/h)), NaN where not known; None if it is of no cluster."""
        return self._joined("m500c", np.log)

    def _joined(self, name: str, change: np.ufunc) -> np.ndarray | None:
        if not any(name in part.survey for part in self.parts):
            return None
        nothing = np.nan
        return np.concatenate(
            [
                change(part.survey[name].values[part.index])
                if name in part.survey
                else np.full(len(part.index), nothing)
                for part in self.parts
            ]
        )


def survey_properties(
    parts: Sequence[Part], more: Mapping[str, Property] | None = None
) -> list[Property]:
    """Return the numbers that surveys hold of each cluster.

    Parameters
    ----------
    parts : sequence of Part
    more : mapping of str to Property, optional
        Others, by key, which replace the survey's.
    """
    names: list[str] = []
    for part in parts:
        names += [
            str(name)
            for name, held in part.survey.data_vars.items()
            if held.dims == ("cluster",) and held.dtype.kind in "iuf"
        ]
    known = [name for name in _FIRST if name in names]
    rest = sorted(set(names) - set(known) - _NOT_SHOWN, key=lambda s: (s.startswith("latent"), s))
    found: dict[str, Property] = {name: _property(parts, name) for name in (*known, *rest)}
    found |= more or {}
    return [each for each in found.values() if np.isfinite(each.values).any()]


def _property(parts: Sequence[Part], name: str) -> Property:
    values = [
        part.survey[name].values[part.index].astype("f8")
        if name in part.survey
        else np.full(len(part.index), np.nan)
        for part in parts
    ]
    attrs = next(part.survey[name].attrs for part in parts if name in part.survey)
    try:
        told = variable_of(name)
        unit, title = told.units, told.long_name
    except KeyError:
        unit, title = "1", name
    unit = str(attrs.get("units", unit))
    title = str(attrs.get("long_name", title))
    label = _LABELS.get(name, name.removeprefix("latent_").replace("_", " "))
    if name.startswith("latent_"):
        label += " (latent)"
    elif name not in _LABELS:
        label = name
    return Property(name, label, _UNITS.get(unit, unit), title, np.concatenate(values))
