"""What an estimator says of itself: what it reads, and what it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.estimators.prior import TrainingPrior
from icmass.sky.bands import Band, band_label, band_labels, same_bands
from icmass.survey.catalog import half_width_mpc_h

Kind = Literal["ideal", "observed", "features", "network"]
"""What an estimator is fed with: proxies of which one is known in a simulation alone, proxies that
are observed, numbers that are measured on the maps, or the maps themselves."""
_KEPT = ("preset", "seed", "version", "cosmology", "config")
_Pair = tuple[float, float]


@dataclass(frozen=True)
class TrainedMaps:
    """The maps of the training survey: bands [keV], pixels along a side, half side [Mpc/h]."""

    bands: tuple[_Pair, ...]
    n_pixels: int
    half_width_mpc_h: float

    @classmethod
    def of(cls, bands: list[str], n_pixels: int, half_width_mpc_h: float) -> TrainedMaps:
        """Return those of bands as a survey names them, ``0.5-1.2``."""
        pairs = tuple(_pair([float(edge) for edge in str(band).split("-")]) for band in bands)
        return cls(pairs, int(n_pixels), float(half_width_mpc_h))


def check_bands(bands: Sequence[Band], trained: TrainedMaps) -> None:
    """Refuse bands that are not those of the training, or in another order."""
    if not same_bands(bands, trained.bands):
        names = ", ".join(map(band_label, bands))
        raise InputError(f"{names}; trained on {band_labels(trained.bands)}", field="bands")


@dataclass(frozen=True)
class TrainingExtent:
    """What the training clusters were.

    Attributes
    ----------
    redshift_range : (float, float)
    m500c_range_msun_h : (float, float)
        M500c [Msun/h].
    n_train : int
        Number of clusters.
    exposure_range_s : (float, float) or None
        Exposure [s]; None if the estimator does not depend on it, or does not tell.
    nh_range_1e20 : (float, float) or None
        Galactic column density [1e20 cm^-2]; likewise.
    maps : TrainedMaps or None
        None if the survey had no maps.
    survey : mapping
        Attributes of the training survey: preset, seed, version, cosmology.
    """

    redshift_range: _Pair
    m500c_range_msun_h: _Pair
    n_train: int
    exposure_range_s: _Pair | None = None
    nh_range_1e20: _Pair | None = None
    maps: TrainedMaps | None = None
    survey: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> TrainingExtent:
        """Return what a saved model's ``config.json`` says.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it lacks something, or something is not what it should be.
        """
        maps = None
        if "bands" in config:
            maps = TrainedMaps.of(config["bands"], config["n_pixels"], config["half_width_mpc_h"])
        exposure, nh = config.get("exposure_range_s"), config.get("nh_range_1e20")
        return cls(
            redshift_range=_pair(config["redshift_range"]),
            m500c_range_msun_h=_pair(config["m500c_range_msun_h"]),
            n_train=int(config["n_train"]),
            exposure_range_s=_pair(exposure) if exposure else None,
            nh_range_1e20=_pair(nh) if nh else None,
            maps=maps,
            survey=dict(config["survey"]),
        )


@dataclass(frozen=True)
class EstimatorInfo:
    """What the other rooms may know of an estimator.

    Attributes
    ----------
    kind : {"ideal", "observed", "features", "network"}
        What it is fed with, see `Kind`.
    inputs : tuple of str
        The variables of the survey that it reads.
    proxies : tuple of str
        The proxies whose scaling relation with mass it is; empty of anything else.
    is_differentiable : bool
        Whether it is a `icmass.estimators.network.NetworkEstimator`, whose gradients with respect
        to its maps can be taken.
    thins_exposures : bool
        Whether photons of longer exposures than it was trained on are thinned to the longest.
    n_parameters : int
        Number of fitted parameters; 0 before `fit`.
    fit_seconds : float
        Time that the fit says it took [s], with what an interrupted one had taken before; 0 if it
        does not say.
    training : TrainingExtent or None
        What it was trained on; None before `fit`.
    mass_prior : TrainingPrior or None
        Prior of ln M500c that its posteriors have, if it keeps that.
    """

    kind: Kind
    inputs: tuple[str, ...]
    proxies: tuple[str, ...] = ()
    is_differentiable: bool = False
    thins_exposures: bool = False
    n_parameters: int = 0
    fit_seconds: float = 0.0
    training: TrainingExtent | None = None
    mass_prior: TrainingPrior | None = None

    @property
    def reads_maps(self) -> bool:
        """Whether it reads the maps, or photons that are counted on them."""
        return any(name == "maps" or name.startswith("n_phot") for name in self.inputs)


def training_config(survey: xr.Dataset, train: np.ndarray, *, nh: bool = False) -> dict[str, Any]:
    """Return what `TrainingExtent.of_config` reads, of the clusters `train` of a survey."""

    def extent(name: str) -> list[float]:
        values = survey[name].isel(cluster=train).values
        return [float(values.min()), float(values.max())]

    for name in ("m500c", "redshift", "exposure"):
        if name not in survey:
            raise InputError("is missing from the survey", field=f"variable {name}")
    about = {name: survey.attrs[name] for name in _KEPT if name in survey.attrs}
    maps: dict[str, Any] = {}
    if "maps" in survey:
        maps = {
            "bands": [str(band) for band in survey["band"].values],
            "n_pixels": survey.sizes["x"],
            "half_width_mpc_h": half_width_mpc_h(survey),
        }
    return {
        **maps,
        "redshift_range": extent("redshift"),
        "exposure_range_s": extent("exposure"),
        "m500c_range_msun_h": extent("m500c"),
        **({"nh_range_1e20": extent("nh")} if nh and "nh" in survey else {}),
        "n_train": len(train),
        "survey": {key: v.item() if isinstance(v, np.generic) else v for key, v in about.items()},
    }


def _pair(values: Any) -> _Pair:
    low, high = values
    return float(low), float(high)
