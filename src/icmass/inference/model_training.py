"""What saved models say of their training, and what holds for all of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.estimators.estimator import EstimatorInfo, check_redshifts
from icmass.estimators.info import TrainedMaps
from icmass.sky.map_grid import MapGrid

MODEL_HINT = "give the folder of a run (`icmass benchmark`) or of a saved model"


@dataclass(frozen=True)
class Training:
    """What a saved model says of its training.

    Attributes
    ----------
    redshift_range : (float, float)
        Redshifts of the training clusters.
    mass_range : (float, float)
        M500c of the training clusters [Msun/h].
    exposure_range : (float, float) or None
        Exposure of the training clusters [s].
    grid : MapGrid or None
        Bands, geometry and cosmology of the training maps; None if the model reads no maps.
    n : int
        Number of training clusters.
    survey : dict
        Attributes of the training survey.
    """

    redshift_range: tuple[float, float]
    mass_range: tuple[float, float]
    exposure_range: tuple[float, float] | None
    grid: MapGrid | None
    n: int
    survey: dict[str, Any]

    @classmethod
    def of(cls, info: EstimatorInfo, path: Path) -> Training:
        """Return that of a model in the folder `path`."""
        trained = info.training
        if trained is None:
            what = "does not say what its model was trained on"
            raise InputError(what, file=path, hint="make the model again")
        return cls(
            redshift_range=trained.redshift_range,
            mass_range=trained.m500c_range_msun_h,
            exposure_range=trained.exposure_range_s,
            grid=None if trained.maps is None else _grid(trained.maps, trained.survey, path),
            n=trained.n_train,
            survey=dict(trained.survey),
        )

    def check_redshift(self, redshift: float) -> None:
        """Refuse a redshift outside the training range."""
        check_redshifts(np.array([redshift]), self.redshift_range)


def _grid(maps: TrainedMaps, survey: Mapping[str, Any], path: Path) -> MapGrid:
    try:
        cosmology = Cosmology.model_validate_json(survey["cosmology"])
    except (KeyError, TypeError, ValueError) as error:
        what = f"damaged ({type(error).__name__})"
        raise InputError(what, file=path, field="cosmology", hint="make the model again") from None
    return MapGrid(
        bands=maps.bands,
        n_pixels=maps.n_pixels,
        half_width=maps.half_width_mpc_h,
        cosmology=cosmology,
    )


def common_training(trainings: Sequence[Training], path: Path) -> Training:
    """Return what holds for every member: same maps, the ranges that all of them cover."""
    first = trainings[0]
    if any(t.grid != first.grid for t in trainings):
        raise InputError(
            "the fold models were trained on different maps", file=path, hint=MODEL_HINT
        )

    def overlap(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
        return max(low for low, _ in pairs), min(high for _, high in pairs)

    exposures = [t.exposure_range for t in trainings if t.exposure_range is not None]
    return Training(
        redshift_range=overlap([t.redshift_range for t in trainings]),
        mass_range=overlap([t.mass_range for t in trainings]),
        exposure_range=overlap(exposures) if exposures else None,
        grid=first.grid,
        n=round(float(np.mean([t.n for t in trainings]))),
        survey=first.survey,
    )
