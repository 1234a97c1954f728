"""Families of models: one for each set of bands, of which the input chooses its own.

A member fits a survey or images whose bands are its own, or add up to its own; it fits event files
that were not cut within its bands. Of several that fit the first in the family's order is taken,
and one whose bands need no adding before one whose bands do. A calibration belongs to the weights
of one member: with it only that member is there to be chosen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from icmass.calibration.result import Calibration
from icmass.errors import InputError
from icmass.estimators.info import TrainingExtent
from icmass.inference.ensemble import Ensemble, MemberChoice, load_ensemble
from icmass.inference.likelihood import another_model, check_model
from icmass.inference.mass_table import weights_sha256
from icmass.io.event_energies import covers, sample_energies
from icmass.io.events import scan_event_file
from icmass.io.fits_images import band_of, parse_bands, read_plane
from icmass.missions.registry import DEFAULT_MISSION
from icmass.run.layout import MODEL_CONFIG, finished_models
from icmass.sky.bands import ENERGY_BANDS, Band, band_labels, find_tiles
from icmass.survey.bands import in_order_of, sum_bands
from icmass.survey.catalog import survey_bands
from icmass.survey.observed.images import how_to_get_bands

TOO_FEW = 100
"""Fewer events than these do not tell where a file was cut: the hardest bands may well be empty."""


@dataclass(frozen=True)
class ModelFamily:
    """Saved models of one kind, for different bands.

    Attributes
    ----------
    name : str
    members : mapping of str to Path
        Their folders by name, from the richest bands to the poorest.
    device : str
        Where they are to run: ``"auto"``, ``"cpu"`` or ``"cuda"``.
    is_calibrated : bool
        Whether these are only the members that a calibration is of.
    """

    name: str
    members: Mapping[str, Path]
    device: str = "auto"
    is_calibrated: bool = False

    @cached_property
    def extents(self) -> dict[str, TrainingExtent]:
        """What each member was trained on, by its name."""
        return {name: _extent(folder) for name, folder in self.members.items()}

    @property
    def bands(self) -> dict[str, tuple[Band, ...]]:
        """The bands of each member [keV], by its name."""
        held = {name: extent.maps for name, extent in self.extents.items()}
        return {name: maps.bands for name, maps in held.items() if maps is not None}

    @property
    def training_survey(self) -> Mapping[str, Any]:
        """Attributes of the first member's training survey: all are of one telescope."""
        return next(iter(self.extents.values())).survey

    def for_calibration(self, scale: Calibration) -> ModelFamily:
        """Return the family with the member alone that a calibration is of.

        Raises
        ------
        InputError
            If it is of none.
        """
        wanted = (scale.document.get("model") or {}).get("sha256")
        own = {
            name: folder
            for name, folder in self.members.items()
            if wanted is not None and weights_sha256(folder) == wanted
        }
        if not own:
            raise another_model(scale, f"the members of {self.name}", same_name=True)
        return replace(self, members=own, is_calibrated=True)

    def for_survey(self, survey: xr.Dataset) -> tuple[Ensemble, xr.Dataset]:
        """Return the member for a survey, and the survey in its bands.

        Raises
        ------
        InputError
            If no member's bands are those of the survey or sums of them.
        """
        given = survey_bands(survey)
        found = self._of_bands(given, "the survey's bands", "bands")
        return found, sum_bands(survey, self._bands_of(found))

    def for_images(self, images: Sequence[Path], bands: str | None = None) -> Ensemble:
        """Return the member for images; `bands` [keV] in place of those that their files name.

        Raises
        ------
        InputError
            If an image cannot be read, or no member's bands are those of the images or sums.
        """
        if bands is None:
            given = [band_of(read_plane(file, without_pixels=True)) for file in images]
        else:
            given = list(parse_bands(bands))
        advice = f"; or {how_to_get_bands(given)}"
        return self._of_bands(given, "the images' bands", "--images", advice)

    def for_events(self, files: Sequence[Path], mission: str = DEFAULT_MISSION) -> Ensemble:
        """Return the member for event files, by the energies of the first that can be read.

        A mock's file that says within which bands its energies are drawn is as a survey of these:
        in narrower ones they are of a mean spectrum, not of the cluster. Where too few events tell
        of no cut, or no file can be read, it is the first member: what is wrong with the files
        shows when they are read for it.

        Raises
        ------
        InputError
            If the file was cut within the bands of every member.
        """
        file, energies, drawn_within = _first_energies(files, mission)
        known = {
            name: bands
            for name, bands in self.bands.items()
            if all(find_tiles(band, drawn_within) is not None for band in bands)
        }
        known = known or self.bands
        for name, bands in known.items():
            if covers(energies, bands):
                return self._load(name, f"events cover its {band_labels(bands)}")
        if energies.size < TOO_FEW:
            told = f"{energies.size} events do not tell of a cut: the richest bands are taken"
            return self._load(next(iter(known)), told)
        seen = f"events of {energies.min():.2g} to {energies.max():.2g} keV"
        raise self._none(f"has {seen}, cut within every member's bands", file.name)

    def _of_bands(self, given: Sequence[Band], what: str, field: str, advice: str = "") -> Ensemble:
        def number_of_tiles(bands: Sequence[Band]) -> int | None:
            tiles = [find_tiles(band, given) for band in bands]
            found = [part for part in tiles if part is not None]
            return sum(map(len, found)) if len(found) == len(tiles) else None

        needed = {name: number_of_tiles(bands) for name, bands in self.bands.items()}
        fitting = {name: n for name, n in needed.items() if n is not None}
        own = [name for name, n in fitting.items() if n == len(self.bands[name])]
        labels = band_labels(sorted(given))
        if own:
            return self._load(own[0], f"{what} are {labels}")
        for name in fitting:
            into = band_labels(self.bands[name])
            return self._load(name, f"{what}, {labels}, add up to its {into}")
        raise self._none(f"{labels} are no member's, nor add up to them", field, advice)

    def _none(self, what: str, field: str, advice: str = "") -> InputError:
        choices = "; or ".join(f"{band_labels(b)} ({name})" for name, b in self.bands.items())
        whose = f"of {self.name}" + " that the calibration is of" * self.is_calibrated
        hint = f"these fit: {choices}{advice}"
        return InputError(f"{what}, {whose}", field=field, hint=hint)

    def _load(self, name: str, reason: str) -> Ensemble:
        ensemble = load_ensemble(self.members[name], device=self.device)
        return replace(ensemble, choice=MemberChoice(self.name, name, reason))

    @staticmethod
    def _bands_of(ensemble: Ensemble) -> tuple[Band, ...]:
        return ensemble.map_grid().bands


Model = Ensemble | ModelFamily
"""What `load_model` returns."""


def chosen_for_survey(model: Model, survey: xr.Dataset) -> tuple[Ensemble, xr.Dataset]:
    """Return the model for a survey and the survey as it reads it; of a family, a member."""
    if isinstance(model, ModelFamily):
        return model.for_survey(survey)
    grid = model.training.grid
    return model, survey if grid is None else in_order_of(survey, grid.bands)


def chosen(model: Model, choose: Callable[[ModelFamily], Ensemble]) -> Ensemble:
    """Return a model itself, or the member of a family that `choose` returns."""
    return choose(model) if isinstance(model, ModelFamily) else model


def of_calibration(model: Model, scale: Calibration) -> Model:
    """Return a model that a calibration is of; of a family, with that member alone.

    Raises
    ------
    InputError
        If the calibration is of another model.
    """
    if isinstance(model, ModelFamily):
        return model.for_calibration(scale)
    check_model(model, scale)
    return model


def _first_energies(files: Sequence[Path], mission: str) -> tuple[Path, np.ndarray, list[Band]]:
    """Return the first event file that can be read, its energies [keV] and a mock's bands."""
    for file in files:
        try:
            scan = scan_event_file(file, mission)
            energies, told = sample_energies(scan), str(scan.keys.get(ENERGY_BANDS, ""))
        except InputError:
            continue
        with suppress(InputError):
            return file, energies, parse_bands(told, ENERGY_BANDS)
        return file, energies, []
    return files[0], np.zeros(0), []


def _extent(folder: Path) -> TrainingExtent:
    """Return what a member was trained on, without reading its weights."""
    file = finished_models(folder)[0] / MODEL_CONFIG
    try:
        return TrainingExtent.of_config(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"damaged ({type(error).__name__})"
        raise InputError(what, file=file, hint="install the package again") from None
