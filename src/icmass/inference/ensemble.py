"""The fold models of a benchmark run as one estimator, and what they were trained on.

A run keeps its models as ``RUN/models/<name>/fold-<k>/``. For a cluster that none of them saw they
are an ensemble: an equal mixture of posteriors, each with the same prior of the mass. Of Gaussians
in ln M500c the mixture's mean and variance are given, of tabulated posteriors its density.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.estimators.estimator import Estimator, EstimatorInfo, Prediction, check_redshifts
from icmass.estimators.info import TrainedMaps
from icmass.estimators.prior import Prior, TrainingPrior
from icmass.estimators.registry import load_estimator
from icmass.inference.aperture import needs_aperture, solved_with_aperture
from icmass.inference.mixture import Mixture, mix
from icmass.run.layout import (
    RESULTS,
    RunLayout,
    finished_models,
    fold_folders,
    run_of_model,
)
from icmass.run.results import ModelResults, Score
from icmass.sky.map_grid import MapGrid
from icmass.survey.catalog import survey_cosmology

Progress = Callable[[int, int], None]
TRAINED = Prior()
"""The prior that a model was trained with."""
_HINT = "give the folder of a run (`icmass benchmark`) or of a saved model"


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


@dataclass(frozen=True)
class MemberChoice:
    """Which member of a family of models was chosen for an input.

    Attributes
    ----------
    family, member : str
        Their names.
    reason : str
        Why, in a sentence's part: what of the input fits the member's bands.
    """

    family: str
    member: str
    reason: str


@dataclass(frozen=True)
class Ensemble:
    """The models of one name as one estimator for clusters that none of them saw.

    Attributes
    ----------
    name : str
        Name of the estimator.
    members : list of Estimator
        The fitted models, one a fold.
    training : Training
        What all of them were trained on: ranges that every member covers.
    folder : Path
        Where they were read from.
    scatter : float or None
        Cross-validated standard deviation of ln M_pred - ln M_true in the run.
    unfinished : tuple of str
        Folds without a finished model, left out.
    choice : MemberChoice or None
        Why it was chosen of a family; None of a model that was named itself.
    """

    name: str
    members: list[Estimator]
    training: Training
    folder: Path
    scatter: float | None = None
    unfinished: tuple[str, ...] = field(default=())
    choice: MemberChoice | None = None

    def predict(
        self,
        survey: xr.Dataset,
        index: np.ndarray,
        prior: Prior = TRAINED,
        progress: Progress | None = None,
    ) -> Mixture:
        """Predict the clusters `index` of a survey (integer indices).

        Parameters
        ----------
        prior : Prior
            Which prior of the mass the posteriors have. But for ``training``, each member's own
            training prior, the ``mass_prior`` of its configuration, is divided out.
        progress : callable, optional
            Called with how many members of how many have predicted.

        Raises
        ------
        InputError
            If the survey lacks what the models read, or a member keeps no training prior.
        """
        if needs_aperture(self.members[0].info.inputs, survey):
            cosmology = survey_cosmology(survey)
            return solved_with_aperture(
                lambda few: self.predict(few, np.arange(few.sizes["cluster"]), prior),
                survey,
                index,
                cosmology,
            )
        needed = [name for name in self.members[0].info.inputs if name not in survey]
        if missing := [name for name in needed if name != "coverage"]:
            raise InputError(
                f"the input has no {', '.join(missing)}",
                field=f"model {self.name}",
                hint="choose a model with --model that reads what is there",
            )
        kept = [self._training_prior(member, prior) for member in self.members]
        found = []
        for member in self.members:
            found.append(member.predict(survey, index))
            if progress is not None:
                progress(len(found), len(self.members))
        redshift = survey["redshift"].isel(cluster=np.asarray(index)).values
        new = prior.log_density(redshift, survey_cosmology(survey))
        if new is None:
            return mix(found)
        return mix(
            [
                _swapped(prediction, old.log_density(redshift), new, index)
                for prediction, old in zip(found, kept, strict=True)
                if old is not None
            ]
        )

    def predict_all(
        self,
        survey: xr.Dataset,
        index: np.ndarray,
        prior: Prior = TRAINED,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, Mixture, dict[str, InputError]]:
        """Predict what can be predicted of a batch.

        Returns
        -------
        index : ndarray of int
            The clusters that were predicted.
        prediction : Mixture
            Theirs.
        failed : dict of str to InputError
            What is wrong with each of the others, by name or number.

        Raises
        ------
        InputError
            If no cluster can be predicted.
        """
        index = np.asarray(index)
        try:
            return index, self.predict(survey, index, prior, progress), {}
        except InputError as error:
            if len(index) == 1:
                raise
            whole = error
        names = json.loads(survey.attrs.get("names", "[]"))
        good, failed = [], {}
        for i in index:
            try:
                self.predict(survey, np.array([i]), prior)
                good.append(i)
            except InputError as error:
                failed[names[i] if names else str(i)] = error
        if not good:
            raise whole
        kept = np.array(good)
        return kept, self.predict(survey, kept, prior), failed

    def map_grid(self) -> MapGrid:
        """Return the maps that the models were trained on, or say that they read none."""
        if self.training.grid is None:
            raise InputError(
                "reads no maps, hence no images or event files",
                field=f"model {self.name}",
                hint="choose a network with --model",
            )
        return self.training.grid

    def choice_facts(self) -> dict[str, str]:
        """Return of which family this is a member and why it was chosen; nothing of any other."""
        if self.choice is None:
            return {}
        return {
            "family": self.choice.family,
            "member": self.choice.member,
            "chosen_because": self.choice.reason,
        }

    @property
    def nh_range(self) -> tuple[float, float] | None:
        """Range of N_H of the training survey [1e20 cm^-2], if it is known."""
        trained = [member.info.training for member in self.members]
        known = [nh for extent in trained if extent and (nh := extent.nh_range_1e20)]
        if known:
            return min(low for low, _ in known), max(high for _, high in known)
        config = json.loads(self.training.survey.get("config", "{}"))
        nh = config.get("observe", {}).get("nh_1e20")
        return (float(nh), float(nh)) if isinstance(nh, int | float) else None

    def _training_prior(self, member: Estimator, prior: Prior) -> TrainingPrior | None:
        """Return what a member keeps of its training masses, once it's sure that it is enough."""
        kept = member.info.mass_prior
        if kept is None and prior.kind != "training":
            raise InputError(
                f"keeps no training prior, so --prior {prior.kind} cannot replace it",
                field=f"model {self.name}",
                hint="leave --prior out, or use a network that keeps one",
            )
        return kept


def _swapped(
    prediction: Prediction, old: np.ndarray, new: np.ndarray, index: np.ndarray
) -> Prediction:
    with np.errstate(invalid="ignore"):
        found = prediction.with_prior(old, new)
    lost = ~np.isfinite(found.mean)
    if lost.any():
        raise InputError(
            f"{np.asarray(index)[lost][0]} has its posterior outside the masses trained on",
            field="cluster",
            hint="leave --prior out for it",
        )
    return found


def load_ensemble(path: str | Path, *, model: str | None = None, device: str = "auto") -> Ensemble:
    """Read the models of a run, of one estimator of a run, or a single saved model.

    Parameters
    ----------
    path : path
        ``RUN``, ``RUN/models/<name>`` or a folder with a saved model.
    model : str, optional
        Which estimator of a run; default: its network of the least scatter.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Raises
    ------
    InputError
        If there is no such folder or model, or a model is damaged.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError("no such folder", file=path, hint=_HINT)
    if RunLayout(path).models.is_dir():
        path = RunLayout(path).models / _choose(path, model)
    folders = finished_models(path)
    if not folders:
        raise InputError("holds no finished model", file=path, hint=_HINT)
    members = [load_estimator(folder, device=device) for folder in folders]
    name = members[0].name
    if model is not None and model != name:
        raise InputError(f"{model!r}: this is {name}", file=path, field="--model", hint=_HINT)
    unfinished = [folder.name for folder in fold_folders(path) if folder not in folders]
    return Ensemble(
        name=name,
        members=members,
        training=_common([Training.of(member.info, path) for member in members], path),
        folder=path,
        scatter=_scatter(path, name),
        unfinished=tuple(unfinished),
    )


def _scores(file: Path) -> dict[str, Score]:
    """Return the estimators of a ``results.json`` by name; none if it isn't there."""
    if not file.is_file():
        return {}
    return ModelResults.read(file, "run the benchmark again with --resume").by_name


def _scatter(path: Path, name: str) -> float | None:
    """Return an estimator's cross-validated scatter from the run that a model folder is in.

    A bundled model has a ``results.json`` of its own beside its members.
    """
    file = path / RESULTS
    if not file.is_file() and (run := run_of_model(path)) is not None:
        file = run.results
    score = _scores(file).get(name)
    return None if score is None else score.sigma_lnm


def _choose(path: Path, model: str | None) -> str:
    """Return the estimator of a run to use: the one asked for, or the best network."""
    run = RunLayout(path)
    names = run.model_names()
    if not names:
        raise InputError("holds no finished model", file=path, hint=_HINT)
    if model is not None and model not in names:
        what = f"{model!r} isn't in this run"
        raise InputError(what, file=path, field="--model", hint=f"it has {', '.join(names)}")
    if model is not None or len(names) == 1:
        return model or names[0]
    scatter = {
        name: score.sigma_lnm
        for name, score in _scores(run.results).items()
        if name in names and score.kind == "network" and score.sigma_lnm is not None
    }
    if not scatter:
        raise InputError(
            "has several models and no scores of a network to choose by",
            file=path,
            hint=f"choose with --model: {', '.join(names)}",
        )
    return min(scatter, key=lambda name: scatter[name])


def _common(trainings: Sequence[Training], path: Path) -> Training:
    """Return what holds for every member: same maps, the ranges that all of them cover."""
    first = trainings[0]
    if any(t.grid != first.grid for t in trainings):
        raise InputError("the fold models were trained on different maps", file=path, hint=_HINT)

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
