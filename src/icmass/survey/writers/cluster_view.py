"""One cluster of a survey as it is put on the sky: its maps, their frame, what a header says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from icmass import __version__
from icmass.errors import InputError
from icmass.missions.event_writing import Card as Card
from icmass.missions.event_writing import EventWriting, MockObservation
from icmass.missions.registry import (
    DEFAULT_MISSION,
    event_format,
    known_instruments,
    mission_of_instrument,
)
from icmass.sky.map_grid import MapGrid, cluster_frame
from icmass.survey.catalog import (
    half_width_mpc_h,
    survey_bands,
    survey_config,
    survey_cosmology,
)
from icmass.survey.config import ObserveConfig
from icmass.survey.seen import exposure_area

if TYPE_CHECKING:
    from astropy.wcs import WCS

DEFAULT_POSITION = (150.0, 2.0)
"""Where clusters of a mock without positions are put: RA, Dec, ICRS [deg]."""


@dataclass(frozen=True)
class ClusterView:
    """A cluster with its place on the sky; masses are M500c, lengths comoving.

    Attributes
    ----------
    survey : Dataset
        The survey.
    cluster : int
        Index of the cluster in it.
    grid : MapGrid
        Bands, geometry and cosmology of its maps.
    ra, dec : float
        Centre of the map, ICRS [deg].
    instrument : str or None
        Whose mission's files are written; None: the survey's.
    """

    survey: xr.Dataset
    cluster: int
    grid: MapGrid
    ra: float
    dec: float
    instrument: str | None = None

    def known(self, name: str) -> float | None:
        """Return a variable of the cluster in the survey's unit; None where it is unknown."""
        if name not in self.survey:
            return None
        value = float(self.survey[name][self.cluster])
        return value if np.isfinite(value) else None

    @property
    def redshift(self) -> float:
        """Redshift of the cluster."""
        return float(self.survey["redshift"][self.cluster])

    @property
    def exposure(self) -> float:
        """Exposure of all modules at the survey's area, the largest of the map [s]."""
        return float(self.survey["exposure"][self.cluster])

    @cached_property
    def frame(self) -> WCS:
        """Tangent plane about the cluster with the pixels of its maps, East left."""
        return cluster_frame(self.ra, self.dec, redshift=self.redshift, grid=self.grid)

    @cached_property
    def maps(self) -> np.ndarray:
        """Counts, int64 (component, band, y, x)."""
        maps = self.survey["maps"].isel(cluster=self.cluster)
        return maps.transpose("component", "band", "y", "x").values.astype(np.int64)

    @cached_property
    def coverage(self) -> np.ndarray:
        """Exposure of each pixel over the cluster's, 0 where masked, float64 (y, x)."""
        seen = np.ones((self.grid.n_pixels,) * 2)
        for name in ("coverage", "mask"):
            if name in self.survey:
                seen = seen * self.survey[name].isel(cluster=self.cluster).values
        return seen

    @property
    def is_covered(self) -> bool:
        """Whether all of the map was seen for the whole exposure."""
        return bool((self.coverage == 1).all())

    @cached_property
    def band_exposure(self) -> np.ndarray:
        """Exposure of each band over the cluster's, float64 (band,)."""
        if "band_exposure" not in self.survey:
            return np.ones(len(self.grid.bands))
        return self.survey["band_exposure"].isel(cluster=self.cluster).values.astype(float)

    @property
    def has_one_exposure(self) -> bool:
        """Whether the exposure is the same in all bands."""
        return bool((self.band_exposure == self.band_exposure[0]).all())

    @cached_property
    def observation(self) -> MockObservation:
        """How the survey saw it."""
        observe = survey_config(self.survey).get("observe", {})
        name = Path(self.instrument or observe.get("instrument", ObserveConfig().instrument)).stem
        area = exposure_area(self.survey.attrs) or ObserveConfig().vignetting
        return MockObservation(name, self.exposure, area, self.ra, self.dec)

    @property
    def writing(self) -> EventWriting:
        """How the mission of the survey's instrument writes files; of others, as the default's."""
        mission = mission_of_instrument(self.observation.instrument)
        return event_format(mission.name if mission else DEFAULT_MISSION).writing

    def cards(self) -> list[Card]:
        """Return the keywords that say what was observed, only those that the survey knows."""
        writing, attrs = self.writing, self.survey.attrs
        names = json.loads(attrs.get("names", "[]"))
        called = str(names[self.cluster]) if names else f"cluster {self.cluster}"
        called = called.encode("ascii", "replace").decode()  # all that a FITS header can hold
        cards: list[Card] = [
            *writing.telescope_cards(self.observation.instrument),
            ("OBJECT", called, "the cluster"),
            ("CREATOR", f"icmass {__version__}", "program that wrote this file"),
            *writing.exposure_cards(self.observation),
            ("RA_OBJ", self.ra, "[deg] right ascension of the cluster"),
            ("DEC_OBJ", self.dec, "[deg] declination of the cluster"),
            ("ICM_Z", self.redshift, "redshift of the cluster"),
        ]
        optional = {
            "ICM_NH": (self.known("nh"), "[1e20 cm-2] Galactic column density"),
            "ICM_M500": (self.known("m500c"), "[Msun/h] true M500c"),
            "ICM_PRES": (attrs.get("preset"), "preset of the survey"),
            "ICM_SEED": (attrs.get("seed"), "seed of the survey"),
        }
        cards += [(key, value, of) for key, (value, of) in optional.items() if value is not None]
        cards.append(("ICM_CLUS", self.cluster, "index of the cluster in the survey"))
        return cards


def cluster_view(
    survey: xr.Dataset,
    cluster: int,
    *,
    ra: float | None = None,
    dec: float | None = None,
    instrument: str | None = None,
) -> ClusterView:
    """Return a cluster of a survey with its place on the sky.

    Parameters
    ----------
    ra, dec : float, optional
        Where to put it, ICRS [deg]; default: where the survey has it, else `DEFAULT_POSITION`.
    instrument : str, optional
        Whose mission's files are to be written, of a survey whose instrument is none that we know.

    Raises
    ------
    InputError
        If there is no such cluster, no such place, or the survey has another instrument.
    """
    if instrument is not None:
        _check_instrument(survey, instrument)
    n = survey.sizes["cluster"]
    if not 0 <= cluster < n:
        raise InputError(f"{cluster}: the survey has clusters 0 to {n - 1}", field="--index")
    view = ClusterView(survey, int(cluster), map_grid(survey), *DEFAULT_POSITION)
    if ra is None and dec is None:
        ra, dec = view.known("ra"), view.known("dec")
        if ra is None or dec is None:
            ra, dec = DEFAULT_POSITION
    if ra is None or dec is None or not (-180 <= ra <= 360 and -90 <= dec <= 90):
        raise InputError(
            f"is {ra}, {dec}", field="ra, dec", hint="give -180 to 360 and -90 to 90 deg, or none"
        )
    return ClusterView(survey, int(cluster), view.grid, float(ra), float(dec), instrument)


def _check_instrument(survey: xr.Dataset, instrument: str) -> None:
    """Refuse an instrument of no mission, and one that the survey was not seen with."""
    if mission_of_instrument(instrument) is None:
        known = ", ".join(known_instruments())
        raise InputError(
            f"is of no mission: {instrument!r}", field="--instrument", hint=f"give one of {known}"
        )
    seen = survey_config(survey).get("observe", {}).get("instrument")
    name = None if seen is None else Path(seen).stem
    if name not in (None, instrument) and mission_of_instrument(str(name)) is not None:
        raise InputError(
            f"is {instrument}, the survey was seen with {name}",
            field="--instrument",
            hint="leave it out",
        )


def map_grid(survey: xr.Dataset) -> MapGrid:
    """Return bands [keV], geometry [comoving Mpc/h] and cosmology of a survey's maps."""
    return MapGrid(
        bands=tuple(survey_bands(survey)),
        n_pixels=survey.sizes["x"],
        half_width=half_width_mpc_h(survey),
        cosmology=survey_cosmology(survey),
    )
