"""The fold models of a benchmark run as one estimator, and what they were trained on.

A run keeps its models as ``RUN/models/<name>/fold-<k>/``. For a cluster that none of them saw they
are an ensemble: an equal mixture of posteriors, each with the same prior of the mass. Of Gaussians
in ln M500c the mixture's mean and variance are given, of tabulated posteriors its density.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.estimators.estimator import Estimator, Prediction
from icmass.estimators.prior import Prior, TrainingPrior
from icmass.estimators.registry import load_estimator
from icmass.inference.aperture import needs_aperture, solved_with_aperture
from icmass.inference.mixture import Mixture, mix
from icmass.inference.model_training import MODEL_HINT, Training, common_training
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
from icmass.survey.seen import observe_settings

Progress = Callable[[int, int], None]
TRAINED = Prior()
"""The prior that a model was trained with."""


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

    def facts(self) -> dict[str, str]:
        """Return it as documents have it, ready for JSON."""
        return {"family": self.family, "member": self.member, "chosen_because": self.reason}


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
            if len(index) <= 1:
                raise
            whole = error
        refused: dict[int, InputError] = {}
        for part in np.array_split(index, 2):
            refused |= self._refused(survey, part, prior)
        kept = index[~np.isin(index, list(refused))]
        if not len(kept):
            raise whole
        names = json.loads(survey.attrs.get("names", "[]"))
        failed = {names[i] if names else str(i): error for i, error in refused.items()}
        return kept, self.predict(survey, kept, prior, progress), failed

    def _refused(
        self, survey: xr.Dataset, index: np.ndarray, prior: Prior
    ) -> dict[int, InputError]:
        """Return which clusters cannot be predicted, and why: what fails is halved."""
        try:
            self.predict(survey, index, prior)
        except InputError as error:
            if len(index) == 1:
                return {int(index[0]): error}
            first, second = np.array_split(index, 2)
            return self._refused(survey, first, prior) | self._refused(survey, second, prior)
        return {}

    def map_grid(self) -> MapGrid:
        """Return the maps that the models were trained on, or say that they read none."""
        if self.training.grid is None:
            raise InputError(
                "reads no maps, hence no images or event files",
                field=f"model {self.name}",
                hint="choose a network with --model",
            )
        return self.training.grid

    def facts(self) -> dict[str, Any]:
        """Return what is told of the model, ready for JSON; of a member of a family which it is."""
        told = {
            "name": self.name,
            "folder": str(self.folder),
            "members": len(self.members),
            "sigma_lnm": self.scatter,
            "preset": self.training.survey.get("preset"),
            "n_train": self.training.n,
        }
        return told if self.choice is None else told | self.choice.facts()

    @property
    def nh_range(self) -> tuple[float, float] | None:
        """Range of N_H of the training survey [1e20 cm^-2], if it is known."""
        trained = [member.info.training for member in self.members]
        known = [nh for extent in trained if extent and (nh := extent.nh_range_1e20)]
        if known:
            return min(low for low, _ in known), max(high for _, high in known)
        nh = observe_settings(self.training.survey).get("nh_1e20")
        return (float(nh), float(nh)) if isinstance(nh, int | float) else None

    def used_exposure(self, exposure_s: np.ndarray) -> np.ndarray:
        """Return exposures as they are after thinning [s]: the longest trained on at most.

        Those of models that do not thin are returned as they are.
        """
        limits = self.training.exposure_range
        if limits is None or not all(member.info.thins_exposures for member in self.members):
            return exposure_s
        used: np.ndarray = np.minimum(exposure_s, limits[1])
        return used

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
        raise InputError("no such folder", file=path, hint=MODEL_HINT)
    if RunLayout(path).models.is_dir():
        path = RunLayout(path).models / _choose(path, model)
    folders = finished_models(path)
    if not folders:
        raise InputError("holds no finished model", file=path, hint=MODEL_HINT)
    members = [load_estimator(folder, device=device) for folder in folders]
    name = members[0].name
    if model is not None and model != name:
        raise InputError(f"{model!r}: this is {name}", file=path, field="--model", hint=MODEL_HINT)
    unfinished = [folder.name for folder in fold_folders(path) if folder not in folders]
    return Ensemble(
        name=name,
        members=members,
        training=common_training([Training.of(member.info, path) for member in members], path),
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
        raise InputError("holds no finished model", file=path, hint=MODEL_HINT)
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
