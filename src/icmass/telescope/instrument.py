"""An instrument: area, redistribution, point spread function and background, loaded from data."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Tag,
    ValidationError,
    model_validator,
)

from icmass.errors import InputError
from icmass.plugins import INSTRUMENTS, load_plugin, plugin_failed, plugin_names
from icmass.telescope.background import Background
from icmass.telescope.field import FieldOfView
from icmass.telescope.ogip import read_arf, read_rmf
from icmass.telescope.psf import PSF, KingPSF, TabulatedPSF
from icmass.telescope.psf_file import read_psf
from icmass.telescope.response import Area, Redistribution, redistribution_from_facts

Vignetting = Literal["survey", "onaxis"]


@dataclass(frozen=True, eq=False)
class Instrument:
    """A telescope with its detector.

    Attributes
    ----------
    name : str
        Its name.
    area : Area
        Effective area of all modules.
    redistribution : Redistribution
        From photon energy to PI energy.
    psf : PSF
        Point spread function.
    background : Background
        Sky and particle background.
    vignetting : {"survey", "onaxis"}
        Whether area and sky background are averaged over a scanned field of view or on axis.
    sources : dict
        Where the numbers come from, by part.
    field_of_view : FieldOfView or None
        What one pointing sees; None for a scanning telescope, which sees all of a map.
    """

    name: str
    area: Area
    redistribution: Redistribution
    psf: PSF
    background: Background
    vignetting: Vignetting
    sources: dict[str, str]
    field_of_view: FieldOfView | None = None

    def __post_init__(self) -> None:
        low, high = self.energy_range_kev
        if not low < high:
            area, rows = self.area.energy_kev, self.redistribution.energy_edges_kev
            raise InputError(
                f"the area covers {area[0]:g}-{area[-1]:g} keV, "
                f"the redistribution {rows[0]:g}-{rows[-1]:g} keV: no overlap",
                field="ENERG_LO",
                hint="give an ARF and an RMF of the same instrument",
            )

    @property
    def energy_range_kev(self) -> tuple[float, float]:
        """Photon energies that both the area and the redistribution cover [keV]."""
        area, rows = self.area.energy_kev, self.redistribution.energy_edges_kev
        return float(max(area[0], rows[0])), float(min(area[-1], rows[-1]))

    def area_cm2(self, energy_kev: np.ndarray | float) -> np.ndarray:
        """Return the effective area [cm^2], zero outside `energy_range_kev`.

        Parameters
        ----------
        energy_kev : array_like
            Photon energy in the observer's frame [keV].
        """
        energy = np.asarray(energy_kev, dtype=float)
        low, high = self.energy_range_kev
        return np.where((energy >= low) & (energy <= high), self.area(energy), 0.0)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


_OTHER_AXES = ("probability", "radius_arcsec")
"""Lists of a table that do not go with its energies."""


class _Table(_Part):
    """Columns of equal length beside an increasing energy."""

    energy_kev: list[float]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        n = len(self.energy_kev)
        if n < 2 or not (np.diff(self.energy_kev) > 0).all():
            raise ValueError("energy_kev must increase over two values or more")
        for name in type(self).model_fields:
            column = getattr(self, name)
            if isinstance(column, list) and name not in _OTHER_AXES and len(column) != n:
                raise ValueError(f"{name} has {len(column)} values, energy_kev has {n}")
        return self


class _AreaFacts(_Table):
    onaxis_cm2: list[float]


class _VignettingFacts(_Table):
    survey: list[float]


class _RedistributionFacts(_Table):
    probability: list[float]
    offset_ev: list[list[float]]
    channel_range_kev: tuple[float, float]

    @model_validator(mode="after")
    def _one_offset_a_probability(self) -> Self:
        p = self.probability
        if not (np.diff([0.0, *p, 1.0]) > 0).all():
            raise ValueError("probability must increase between 0 and 1")
        if any(len(row) != len(p) for row in self.offset_ev):
            raise ValueError(f"every row of offset_ev must have {len(p)} values")
        return self


class _KingFacts(_Table):
    kind: Literal["king"] = "king"
    core_arcsec: list[float]
    slope: float | list[float]
    max_radius_arcsec: float


class _EncircledFacts(_Table):
    kind: Literal["table"]
    radius_arcsec: list[float]
    encircled: list[list[float]]


class _PSFFile(_Part):
    kind: Literal["file"]
    file: str


def _psf_kind(facts: Any) -> str | None:
    return facts.get("kind", "king") if isinstance(facts, dict) else None


_PSFFacts = Annotated[
    Annotated[_KingFacts, Tag("king")]
    | Annotated[_EncircledFacts, Tag("table")]
    | Annotated[_PSFFile, Tag("file")],
    Discriminator(
        _psf_kind,
        custom_error_type="psf_kind",
        custom_error_message="kind must be king, table or file",
    ),
]


class _BackgroundFacts(_Table):
    sky_1e4: list[float]
    particles_1e4: list[float]
    excess_fraction: float
    cell_arcmin: float


class _FieldFacts(_Part):
    radius_arcmin: float
    theta_arcmin: list[float]
    factor: list[float]


class _Facts(_Part):
    """The file of an instrument."""

    name: str
    description: str
    sources: dict[str, str]
    area: _AreaFacts
    vignetting: _VignettingFacts
    redistribution: _RedistributionFacts
    psf: _PSFFacts
    background: _BackgroundFacts
    field_of_view: _FieldFacts | None = None


def load_instrument(
    name: str = "erosita",
    *,
    vignetting: Vignetting = "survey",
    arf: str | os.PathLike[str] | None = None,
    rmf: str | os.PathLike[str] | None = None,
) -> Instrument:
    """Load an instrument.

    Parameters
    ----------
    name : str
        A built-in instrument (``"erosita"``, ``"xmm_pn"``), one that a plugin adds, or the path of
        a JSON file of the same form.
    vignetting : {"survey", "onaxis"}
        Average over the scanned field of view, or on axis.
    arf, rmf : path, optional
        OGIP files that replace the built-in area and redistribution. An ARF is taken as it is:
        vignetting then acts on the background of the sky only.

    Returns
    -------
    Instrument
        A built-in one is loaded once; files are read every time.
    """
    if vignetting not in ("survey", "onaxis"):
        raise InputError(f"{vignetting!r} is not survey or onaxis", field="vignetting")
    if name.endswith(".json"):
        instrument = _from_facts(_read_file(name), vignetting, Path(name).parent)
    else:
        instrument = _built_in(name, vignetting)
    if arf is None and rmf is None:
        return instrument
    return replace(
        instrument,
        area=instrument.area if arf is None else read_arf(arf),
        redistribution=instrument.redistribution if rmf is None else read_rmf(rmf),
    )


@lru_cache(maxsize=8)
def _built_in(name: str, vignetting: Vignetting) -> Instrument:
    folder = resources.files("icmass.telescope") / "data"
    known = sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".json"))
    if name not in known:
        added = _plugin_file(name)
        if added is not None:
            return _from_facts(_read_file(added), vignetting, Path(added).parent)
        hint = f"use {', '.join([*known, *plugin_names(INSTRUMENTS)])}"
        raise InputError(f"no such instrument: {name!r}", field="instrument", hint=hint)
    text = (folder / f"{name}.json").read_text(encoding="utf-8")
    return _from_facts(_Facts.model_validate_json(text), vignetting)


def _plugin_file(name: str) -> str | None:
    """Return the JSON file of an instrument that another package adds, if there is one."""
    found = load_plugin(INSTRUMENTS, name)
    try:
        return None if found is None else os.fspath(found() if callable(found) else found)
    except Exception as error:  # whatever another package does
        plugin_failed(INSTRUMENTS, name, f"{type(error).__name__}: {error}")
        return None


def _from_facts(facts: _Facts, vignetting: Vignetting, folder: Path | None = None) -> Instrument:
    factor_energy = np.array(facts.vignetting.energy_kev)
    factor = np.array(facts.vignetting.survey)
    area = Area(np.array(facts.area.energy_kev), np.array(facts.area.onaxis_cm2))
    if vignetting == "survey":
        grid = np.union1d(area.energy_kev, factor_energy)
        area = Area(grid, area(grid) * np.interp(grid, factor_energy, factor))
    table = facts.redistribution
    return Instrument(
        name=facts.name,
        area=area,
        redistribution=redistribution_from_facts(
            np.array(table.energy_kev),
            np.array(table.probability),
            np.array(table.offset_ev),
            range_kev=table.channel_range_kev,
        ),
        psf=_psf(facts.psf, folder),
        background=_background(facts.background, vignetting, factor_energy, factor),
        vignetting=vignetting,
        sources=facts.sources,
        field_of_view=_field(facts.field_of_view),
    )


def _field(facts: _FieldFacts | None) -> FieldOfView | None:
    if facts is None:
        return None
    theta, factor = np.array(facts.theta_arcmin), np.array(facts.factor)
    return FieldOfView(facts.radius_arcmin, theta, factor)


def _psf(facts: _KingFacts | _EncircledFacts | _PSFFile, folder: Path | None) -> PSF:
    if isinstance(facts, _PSFFile):
        return read_psf(facts.file if folder is None else folder / facts.file)
    energy = np.array(facts.energy_kev)
    if isinstance(facts, _EncircledFacts):
        if len({len(row) for row in facts.encircled} | {len(facts.radius_arcsec)}) > 1:
            raise InputError("every row must have one value a radius", field="psf.encircled")
        return TabulatedPSF(energy, np.array(facts.radius_arcsec), np.array(facts.encircled))
    slope = np.array(facts.slope) if isinstance(facts.slope, list) else facts.slope
    return KingPSF(energy, np.array(facts.core_arcsec), slope, facts.max_radius_arcsec)


def _background(
    facts: _BackgroundFacts,
    vignetting: Vignetting,
    factor_energy: np.ndarray,
    factor: np.ndarray,
) -> Background:
    energy = np.array(facts.energy_kev)
    sky = 1e-4 * np.array(facts.sky_1e4)
    if vignetting == "onaxis":
        centre = 0.5 * (energy[1:] + energy[:-1])
        onaxis = np.diff(sky) / np.interp(centre, factor_energy, factor)
        sky = np.concatenate([[0.0], np.cumsum(onaxis)])
    particles = 1e-4 * np.array(facts.particles_1e4)
    return Background(energy, sky, particles, facts.excess_fraction, facts.cell_arcmin)


def _read_file(name: str) -> _Facts:
    if not os.path.isfile(name):
        raise InputError("no such file", file=name, field="instrument")
    with open(name, encoding="utf-8") as stream:
        text = stream.read()
    try:
        return _Facts.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"]]
        if path[:1] == ["psf"]:
            del path[1:2]  # the kind, which pydantic names too
        field = ".".join(path) or "JSON"
        raise InputError(first["msg"], file=name, field=field) from None
