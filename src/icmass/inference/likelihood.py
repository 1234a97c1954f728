"""Likelihoods of the mass by fitted models: posteriors with the prior taken off, once.

A network's posterior is its likelihood times the prior of its training masses; with a flat prior
in its place it is the likelihood p(x | ln M) of what the network looked at, up to a factor that
does not depend on M. Nothing is known outside of the masses trained on, where it is zero.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from icmass.calibration.apply import calibrate_prediction
from icmass.calibration.result import Calibration
from icmass.errors import InputError
from icmass.estimators.posterior import LNM_GRID, Prediction
from icmass.estimators.prior import Prior
from icmass.inference.bundled import bundled_models
from icmass.inference.ensemble import TRAINED, Ensemble, Progress
from icmass.inference.mass_table import weights_sha256
from icmass.inference.mixture import Mixture
from icmass.survey.catalog import survey_cosmology

FLAT = Prior(kind="flat")


@dataclass(frozen=True)
class Predicted:
    """Predictions of the clusters of a batch that have one.

    Attributes
    ----------
    rows : ndarray of int, shape (n,)
    prediction : Mixture
    failed : dict of str to InputError
        Why the others have none, by name or number.
    std_scale : ndarray of shape (n,), or None
        Of calibrated ones: the part of the error of ln M that is the scale's.
    """

    rows: np.ndarray
    prediction: Mixture
    failed: dict[str, InputError]
    std_scale: np.ndarray | None = None

    def std_scale_or_zeros(self) -> np.ndarray:
        """Return the scale's part of the error, 0 where there is none, shape (n,)."""
        return np.zeros(len(self.rows)) if self.std_scale is None else self.std_scale


def keeps_prior(ensemble: Ensemble) -> bool:
    """Return whether all members keep the prior of their training masses, to be divided out."""
    return all(member.info.mass_prior is not None for member in ensemble.members)


def predict_likelihood(
    ensemble: Ensemble, survey: xr.Dataset, index: np.ndarray, progress: Progress | None = None
) -> Predicted:
    """Return likelihoods of ln M with an integral of 1.

    Of models without a training prior, such as scaling relations, their posteriors as they are.
    `progress` is that of `Ensemble.predict`.
    """
    prior = FLAT if keeps_prior(ensemble) else TRAINED
    return Predicted(*ensemble.predict_all(survey, index, prior, progress))


def training_prior(ensemble: Ensemble, redshift: np.ndarray) -> np.ndarray | None:
    """Return the log of the mean training prior of the members, shape (n, node), if there is."""
    stored = [member.info.mass_prior for member in ensemble.members]
    priors = [prior for prior in stored if prior is not None]
    if len(priors) < len(stored):
        return None
    with np.errstate(divide="ignore"):
        result: np.ndarray | None = np.log(
            np.mean([np.exp(prior.log_density(redshift)) for prior in priors], axis=0)
        )
        return result


def predict_calibrated(
    ensemble: Ensemble,
    survey: xr.Dataset,
    index: np.ndarray,
    prior: Prior,
    scale: Calibration,
    *,
    progress: Progress | None = None,
) -> Predicted:
    """Return posteriors of ln M on the scale of a calibration, marginal over it.

    The prior, that of the training set too, is one of the true mass: it comes in after the scale.

    Raises
    ------
    InputError
        If the calibration is of another model, or blinded.
    """
    check_model(ensemble, scale)
    found = predict_likelihood(ensemble, survey, index, progress)
    redshift = survey["redshift"].isel(cluster=found.rows).values
    log_prior = prior.log_density(redshift, survey_cosmology(survey))
    if log_prior is None:
        log_prior = training_prior(ensemble, redshift)
    draws, names = scale.scale(), _names(survey, found.rows)
    kept, densities, stds, failed = [], [], [], dict(found.failed)
    for k, name in enumerate(names):
        one = np.array([k])
        of_one = None if log_prior is None else log_prior[one]
        try:
            made = calibrate_prediction(found.prediction.take(one), redshift[one], draws, of_one)
        except InputError as error:
            failed[name] = error
            if len(failed) == len(index):
                raise
            continue
        kept.append(k)
        densities.append(made.prediction.tabulated()[0])
        stds.append(made.std_scale[0])
    before = found.prediction.take(np.array(kept))
    after = Prediction.from_density(np.array(densities), before.out_of_domain)
    between = np.minimum(found.prediction.std_between[kept], after.std)
    mixture = Mixture(
        mean=after.mean,
        std=after.std,
        density=after.density,
        out_of_domain=after.out_of_domain,
        std_within=np.sqrt(after.std**2 - between**2),
        std_between=between,
    )
    return Predicted(found.rows[kept], mixture, failed, np.array(stds))


def _names(survey: xr.Dataset, rows: np.ndarray) -> list[str]:
    """Return what clusters of a survey are called: names, or numbers."""
    known = json.loads(survey.attrs.get("names", "[]"))
    return [known[i] if known else str(i) for i in rows]


def model_facts(ensemble: Ensemble) -> dict[str, str | None]:
    """Return by what a calibration knows its model; of a member of a family, which it is too."""
    facts = {"name": ensemble.name, "sha256": weights_sha256(ensemble.folder)}
    return facts | ({} if ensemble.choice is None else ensemble.choice.facts())


def check_model(ensemble: Ensemble, scale: Calibration) -> None:
    """Refuse a calibration of another model."""
    wanted, have = scale.document.get("model") or {}, model_facts(ensemble)
    if wanted.get("sha256") != have["sha256"] or wanted.get("name") != have["name"]:
        raise another_model(scale, ensemble.name, same_name=wanted.get("name") == have["name"])


def another_model(scale: Calibration, have: str, *, same_name: bool) -> InputError:
    """Return the refusal of a calibration that is not of the model called `have`.

    Of a bundled model it says which: several have networks of one name.
    """
    wanted = scale.document.get("model") or {}
    name, sha256 = wanted.get("name"), wanted.get("sha256")
    hint = "calibrate the model that predicts"
    for known, folder in bundled_models().items():
        if sha256 is not None and weights_sha256(folder) == sha256:
            what = f"is of the bundled model {known} with other weights than {have} here"
            hint = f"predict with {known}, or {hint}"
            return InputError(what, field="--calibration", hint=hint)
    what = f"is of the model {name}, not of {have}"
    if same_name:
        what = f"is of the model {name} with other weights than {have} here"
    return InputError(what, field="--calibration", hint=hint)


def as_calibration(calibration: Calibration | str | Path | None) -> Calibration | None:
    """Return a calibration, of its folder too, or nothing; refuse a blinded one."""
    if calibration is None:
        return None
    found = calibration
    if not isinstance(found, Calibration):
        found = Calibration.open(found)
    found.scale(1)
    return found


def write_likelihoods(
    file: str | Path,
    ensemble: Ensemble,
    survey: xr.Dataset,
    index: np.ndarray,
    *,
    scale: Calibration | None = None,
    overwrite: bool = False,
) -> Path:
    """Write likelihoods of ln M of clusters for a code of number counts, see `likelihood_table`."""
    from icmass.calibration.likelihood_table import LikelihoodTable

    if not keeps_prior(ensemble):
        what = f"model {ensemble.name} keeps no training prior that could be divided out"
        raise InputError(what, field="--likelihood", hint="use a network that keeps one")
    prior = FLAT
    if scale is None:
        found = predict_likelihood(ensemble, survey, index)
    else:
        found = predict_calibrated(ensemble, survey, index, prior, scale)
    names = _names(survey, found.rows)
    facts = model_facts(ensemble)
    return LikelihoodTable(
        cluster=tuple(names),
        redshift=survey["redshift"].isel(cluster=found.rows).values,
        ln_mass=LNM_GRID,
        likelihood=found.prediction.tabulated(),
        cosmology=survey_cosmology(survey),
        model=str(facts["name"]),
        sha256=facts["sha256"],
        is_calibrated=scale is not None,
    ).write(file, overwrite=overwrite)
