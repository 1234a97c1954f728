"""Estimators whose fitted state is a few arrays: saving, loading and all checks, once for all."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from pydantic import ValidationError

from icmass import __version__
from icmass.errors import InputError
from icmass.estimators.card import card_metadata, with_metadata
from icmass.estimators.estimator import check_inputs, check_redshifts
from icmass.estimators.info import (
    EstimatorInfo,
    Kind,
    TrainedMaps,
    TrainingExtent,
    check_bands,
    training_config,
)
from icmass.estimators.posterior import Prediction
from icmass.estimators.prior import TrainingPrior
from icmass.files import whole_file, write_text
from icmass.main_process import is_main
from icmass.proxies.names import read_scalar
from icmass.survey.catalog import half_width_mpc_h

Arrays = dict[str, np.ndarray]
_HINT = "give the folder of a saved estimator"


class ArrayEstimator(ABC):
    """Base of estimators that are fitted into named arrays.

    A subclass says what it is in the class attributes and defines `fit_arrays` and
    `predict_arrays`. That suffices for `icmass benchmark`, `train` and `predict`.

    Parameters
    ----------
    name : str
        Name of the estimator.
    seed : int
        Seed of everything random in the fit.

    Attributes
    ----------
    key : str
        ``estimator`` of ``config.json``: the key of its entry in the registry.
    kind : {"ideal", "observed", "features", "network"}
        What it is fed with.
    inputs : tuple of str
        The variables of the survey that it reads.
    summary : str
        What it is, for the model card: half a sentence.
    keeps_prior : bool
        Whether its posteriors have the distribution of the training masses as their prior, which
        is then kept, so that ``predict --prior`` can replace it.
    """

    key: ClassVar[str]
    kind: ClassVar[Kind] = "features"
    inputs: tuple[str, ...] = ("maps", "redshift", "exposure")
    summary: ClassVar[str] = "an estimator"
    keeps_prior: ClassVar[bool] = False

    def __init__(self, name: str, *, seed: int = 0) -> None:
        self.name, self.seed = name, seed
        self._arrays: Arrays = {}
        self._config: dict[str, Any] = {}

    @abstractmethod
    def fit_arrays(self, survey: xr.Dataset, train: np.ndarray) -> Arrays:
        """Fit on the clusters `train` (integer indices) alone; return what is to be kept."""

    @abstractmethod
    def predict_arrays(self, survey: xr.Dataset, index: np.ndarray, arrays: Arrays) -> Prediction:
        """Predict the clusters `index` with what `fit_arrays` returned."""

    @property
    def n_parameters(self) -> int:
        """Number of fitted parameters; 0 before `fit`."""
        return self.count_parameters(self._arrays)

    def count_parameters(self, arrays: Arrays) -> int:
        """Return how many of the numbers in the arrays are parameters; default: all."""
        return sum(values.size for values in arrays.values())

    @property
    def info(self) -> EstimatorInfo:
        """What the estimator says of itself."""
        prior = self._config.get("mass_prior")
        return EstimatorInfo(
            kind=self.kind,
            inputs=self.inputs,
            n_parameters=self.n_parameters,
            training=TrainingExtent.of_config(self._config) if self._config else None,
            mass_prior=None if prior is None else TrainingPrior.model_validate(prior),
        )

    def fit(self, survey: xr.Dataset, train: np.ndarray) -> None:
        """Fit on the clusters `train` alone."""
        train = np.asarray(train)
        if not len(train):
            raise InputError("no clusters", field="train", hint="give one or more")
        check_inputs(survey, self.info, train)
        mass = read_scalar(survey, "m500c", train)
        self._arrays = {
            name: np.ascontiguousarray(values)
            for name, values in self.fit_arrays(survey, train).items()
        }
        self._config = training_config(survey, train, nh="nh" in self.inputs)
        if "maps" not in self.inputs:
            for name in ("bands", "n_pixels", "half_width_mpc_h"):
                self._config.pop(name, None)
        if self.keeps_prior:
            prior = TrainingPrior.fit(np.log(mass), read_scalar(survey, "redshift", train))
            self._config["mass_prior"] = prior.model_dump(mode="json")

    def predict(self, survey: xr.Dataset, index: np.ndarray) -> Prediction:
        """Predict the clusters `index`; such as it was not trained for are refused."""
        if not self._config:
            raise InputError(f"{self.name} has not been fitted", hint="fit or load it first")
        index = np.asarray(index)
        trained = TrainingExtent.of_config(self._config)
        if trained.maps is not None:
            _check_maps(survey, trained.maps)
        check_redshifts(read_scalar(survey, "redshift", index), trained.redshift_range, self.name)
        return self.predict_arrays(survey, index, self._arrays)

    def save(self, directory: Path) -> None:
        """Write ``model.safetensors``, a model card and, last, ``config.json``.

        Of several processes the main one writes.
        """
        from safetensors.numpy import save_file

        if not self._config:
            raise InputError(f"{self.name} has not been fitted", hint="fit or load it first")
        if not is_main():
            return
        directory = Path(directory)
        with whole_file(directory / "model.safetensors") as draft:
            save_file(self._arrays, draft)
        config = {
            "estimator": self.key,
            "format": 1,
            "name": self.name,
            "seed": self.seed,
            **self._config,
            "versions": {"icmass": __version__, "numpy": np.__version__},
        }
        card = with_metadata(self._model_card(), card_metadata(config))
        write_text(directory / "README.md", card)
        write_text(directory / "config.json", json.dumps(config, indent=1) + "\n")

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read an estimator that `save` wrote."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        directory = Path(directory)
        try:
            config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
            if config["estimator"] != cls.key or config["format"] != 1:
                raise ValueError(f"it is {config['estimator']}, format {config['format']}")
            made = cls(config["name"], seed=config["seed"])
            apart = ("estimator", "format", "name", "seed", "versions")
            made._config = {k: v for k, v in config.items() if k not in apart}
            made._arrays = load_file(directory / "model.safetensors")
            made.check_arrays(made._arrays)
            assert made.info.training is not None
        except FileNotFoundError as error:
            raise InputError("is missing", file=error.filename, hint=_HINT) from None
        except (ValueError, KeyError, TypeError, SafetensorError, ValidationError) as error:
            said = " ".join(str(error).split())[:120]
            what = f"is not a saved {cls.key} estimator ({type(error).__name__}: {said})"
            raise InputError(what, file=directory, hint=_HINT) from None
        return made

    def check_arrays(self, arrays: Arrays) -> None:
        """Raise KeyError or ValueError if loaded arrays cannot be those of this estimator."""
        if any(values.dtype.kind == "f" and np.isnan(values).any() for values in arrays.values()):
            raise ValueError("an array holds values that are no numbers")

    def _model_card(self) -> str:
        trained = TrainingExtent.of_config(self._config)
        low, high = np.log10(trained.m500c_range_msun_h)
        z_low, z_high = trained.redshift_range
        about = ", ".join(f"{k} {trained.survey.get(k)}" for k in ("preset", "seed", "version"))
        return f"""# {self.name}

M500c of a galaxy cluster by {self.summary} ({self.n_parameters:,} parameters).

- Reads {", ".join(self.inputs)}.
- Trained on {trained.n_train} mock clusters ({about}), icmass {__version__}.
- Valid for redshifts {z_low:.3f} to {z_high:.3f}, log10 M500c [Msun/h] {low:.2f} to {high:.2f}.
  Predictions are drawn towards the masses of the training clusters.
- Read it with `icmass.estimators.registry.load_estimator`.
"""


def _check_maps(survey: xr.Dataset, trained: TrainedMaps) -> None:
    """Refuse maps that are not like those of the training."""
    seen = TrainedMaps.of(
        [str(band) for band in survey["band"].values], survey.sizes["x"], half_width_mpc_h(survey)
    )
    check_bands(seen.bands, trained)
    if not math.isclose(seen.half_width_mpc_h, trained.half_width_mpc_h, rel_tol=1e-3):
        sides = f"+-{seen.half_width_mpc_h:g} Mpc/h; trained on +-{trained.half_width_mpc_h:g}"
        raise InputError(f"{sides} Mpc/h", field="maps")
    if seen.n_pixels != trained.n_pixels:
        pixels = f"{seen.n_pixels} pixels a side; trained on {trained.n_pixels}"
        raise InputError(pixels, field="maps")
