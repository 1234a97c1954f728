"""A prediction as people read it: masses, radii and photons, what it assumes, and what to doubt."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from icmass.cosmology import Cosmology
from icmass.estimators.posterior import LNM_GRID, M500C_GRID, Prediction
from icmass.estimators.prior import Prior
from icmass.inference.ensemble import TRAINED, Ensemble
from icmass.inference.mixture import Mixture
from icmass.inference.quality_flags import (
    EXPOSURE_SLACK,
    central_photons,
    is_nh_outside,
    is_upper_limit,
    reasons,
    score_text,
)
from icmass.inference.scale_error import ScaleError
from icmass.inference.trained_on import mission_of_attrs, mission_of_survey, seen_otherwise
from icmass.io.event_binning import BROKEN, OUTCOMES
from icmass.sky.map_grid import APERTURE_MPC_H
from icmass.survey.catalog import survey_cosmology
from icmass.survey.counts import counts
from icmass.survey.observed.clusters import MIN_VISIBLE
from icmass.survey.observed.events import describe_tally

_SEEN = {
    "exposure_aperture": "exposure_aperture_s",
    "visible_fraction": "visible_fraction",
    "visible_fraction_map": "visible_fraction_map",
}
LEVELS = {"median": 0.5, "p16": 0.16, "p84": 0.84, "p2.5": 0.025, "p97.5": 0.975}
_AT_ONCE = 256
MAX_NAMED = 20
"""Flagged clusters that a warning lists."""
MAPS_ALIKE = 0.05
"""Exposure maps of several bands are taken for one if their medians agree to this fraction."""


def describe(
    survey: xr.Dataset,
    index: np.ndarray,
    prediction: Mixture,
    samples: np.ndarray | None = None,
    ensemble: Ensemble | None = None,
) -> list[dict[str, Any]]:
    """Return the facts of each predicted cluster, ready for JSON.

    Parameters
    ----------
    survey : Dataset
        What was predicted from.
    index : ndarray of int, shape (n,)
        The clusters.
    prediction : Mixture
        Their prediction.
    samples : ndarray, shape (n, n_draws), optional
        Draws of ln(M500c / (Msun/h)) from each posterior, to be given with it.
    ensemble : Ensemble, optional
        The model, which knows what it was trained on: for the reasons.

    Returns
    -------
    list of dict
        Masses in 1e14 Msun/h and 1e14 Msun (`LEVELS`, and the mean of the mass); R500c of the
        median mass; photons of all components and bands; ``out_of_domain``, None of models that do
        not tell; ``reasons`` not to trust the mass, and ``flagged`` if there are any. Where there
        are too few photons for a mass it is None, and ``m500c_below_1e14_msun_h`` its 97.5 per cent
        limit.
    """
    redshifts, exposures = (survey[name].values[index] for name in ("redshift", "exposure"))
    of_mass = mass_facts(prediction, redshifts, survey_cosmology(survey))
    scalars = {
        _SEEN.get(name, name): survey[name].values[index]
        for name in ("ra", "dec", "nh", "m500c", *_SEEN)
        if name in survey
    }
    names = json.loads(survey.attrs.get("names", "[]"))
    photons = central_photons(survey, index)
    in_map, in_aperture = _numbers(survey, np.asarray(index))
    why = None if ensemble is None else reasons(ensemble, survey, index, prediction, photons)
    rows = []
    for k, i in enumerate(np.asarray(index)):
        row = {
            "cluster": int(i),
            **({"id": names[i]} if names else {}),
            "redshift": float(redshifts[k]),
            "exposure_s": float(exposures[k]),
            **{name: float(values[k]) for name, values in scalars.items()},
            **of_mass[k],
            "photons": int(in_map[k]),
            "photons_0.5_mpc_h": int(in_aperture[k]),
            "excess_sigma": photons[k].significance,
            **_domain(prediction, k),
        }
        if samples is not None:
            row["ln_m500c_samples"] = samples[k].tolist()
        if why is not None:
            row |= {"reasons": why[k], "flagged": bool(why[k])}
            row = _as_limit(row) if is_upper_limit(photons[k]) else row
        rows.append(row | observed_facts(survey))
    return rows


def mass_facts(
    prediction: Mixture, redshift: np.ndarray, cosmology: Cosmology
) -> list[dict[str, Any]]:
    """Return what is told of the masses of n clusters at their redshifts (n,), ready for JSON.

    Masses in 1e14 Msun/h and Msun; R500c in comoving Mpc/h and arcmin.
    """
    masses = {name: np.exp(prediction.quantile(level)) for name, level in LEVELS.items()}
    masses = {"median": masses.pop("median"), "mean": mean_mass(prediction), **masses}
    median = prediction.median
    r500c = cosmology.r500c(masses["median"], redshift)
    arcmin = r500c * cosmology.arcmin_per_mpc_h(redshift)
    facts = []
    for k in range(len(redshift)):
        mass = {name: float(values[k]) for name, values in masses.items()}
        facts.append(
            {
                "ln_m500c": float(prediction.mean[k]),
                "ln_m500c_median": float(median[k]),
                "ln_m500c_std": float(prediction.std[k]),
                "ln_m500c_std_within": float(prediction.std_within[k]),
                "ln_m500c_std_between": float(prediction.std_between[k]),
                "m500c_1e14_msun_h": {name: m / 1e14 for name, m in mass.items()},
                "m500c_1e14_msun": {name: m / 1e14 / cosmology.h for name, m in mass.items()},
                "r500c_mpc_h_comoving": float(r500c[k]),
                "r500c_arcmin": float(arcmin[k]),
            }
        )
    return facts


def _numbers(survey: xr.Dataset, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the photons of all bands in each map and within `APERTURE_MPC_H`, shape (n,) each."""
    within = np.hypot(survey["y"].values[:, None], survey["x"].values) <= APERTURE_MPC_H
    found = np.zeros((2, len(index)), int)
    for start in range(0, len(index), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        images = counts(survey, index[some]).sum(1, dtype=int)
        found[:, some] = images.sum((1, 2)), images[:, within].sum(1)
    return found[0], found[1]


def _as_limit(row: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of a cluster with an upper limit in place of its mass."""
    limit = row["m500c_1e14_msun_h"]["p97.5"]
    nothing = {key: None for key in row if key.startswith(("ln_m500c", "m500c_1e14", "r500c"))}
    return row | nothing | {"m500c_below_1e14_msun_h": limit}


def mean_mass(prediction: Prediction) -> np.ndarray:
    """Return the mean of M500c itself [Msun/h], shape (n,): above the median if skewed."""
    if prediction.density is None:
        return np.exp(prediction.mean + prediction.std**2 / 2)
    result: np.ndarray = np.trapezoid(prediction.density * M500C_GRID, LNM_GRID, axis=1)
    return result


def _domain(prediction: Prediction, k: int) -> dict[str, Any]:
    """Return how far out of the models' domain a cluster is; None where they don't tell."""
    if prediction.out_of_domain is None or not np.isfinite(prediction.out_of_domain[k]):
        return {"out_of_domain": None, "flagged": None}
    score = float(prediction.out_of_domain[k])
    return {"out_of_domain": score, "flagged": score > 1}


def observed_facts(survey: xr.Dataset) -> dict[str, Any]:
    """Return how a survey was made of real data; nothing for a mock."""
    result: dict[str, Any] = json.loads(survey.attrs.get("observed", "{}"))
    return result


def assumptions(
    ensemble: Ensemble,
    survey: xr.Dataset,
    index: np.ndarray,
    prediction: Prediction,
    prior: Prior = TRAINED,
    scale: str | None = None,
) -> list[str]:
    """Return in plain words what a predicted mass, with a prior, takes for granted.

    `scale` says where the mass scale is from if it is not the mock survey's.
    """
    training = ensemble.training
    preset = training.survey.get("preset", "unknown")
    low, high = training.mass_range
    scatter = "is not recorded in this folder"
    if ensemble.scatter is not None:
        scatter = f"is {ensemble.scatter:.3f} in ln M, on mocks that it was not trained on"
    shape = "Gaussian in ln M" if prediction.density is None else "as a whole posterior of ln M"
    drawn = "masses are drawn towards its mean"
    if prior.kind != "training":
        drawn = "of its masses only the range counts, another prior is in place of theirs"
    lines = [
        scale
        or f"Mass scale: that of the mock survey (preset {preset}, {training.n} clusters, M500c "
        f"{low / 1e14:.2f}-{high / 1e14:.1f}e14 Msun/h); {drawn}.",
        f"Scatter: the model's {scatter}; the error given is {_whose(len(ensemble.members))}, "
        f"{shape}.",
    ]
    lines[1:1] = ScaleError.of(ensemble, is_calibrated=scale is not None).lines()
    lines += _thinned(ensemble, survey, index)
    facts = observed_facts(survey)
    if not facts:
        return lines
    cosmology = survey_cosmology(survey)
    mask = "masked and unexposed pixels are" if facts["masked"] else "unexposed pixels are"
    told = "takes them as at the mean of their radius"
    if "coverage" in ensemble.members[0].info.inputs:
        told = "is told so by the coverage of each pixel"
    seen = survey["visible_fraction_map"].values
    visible = (
        f"{seen.min():.0%}" if np.ptp(seen) < 0.005 else f"{seen.min():.0%} to {seen.max():.0%}"
    )
    return [
        f"Position and redshift are exact; cosmology of the training survey: flat, "
        f"h = {cosmology.h:g}, Om = {cosmology.om0:g}.",
        f"Exposure: {facts['exposure']}{_of_maps(facts)}.",
        *_events(facts),
        "Background, point sources and PSF are as in the mock; no background is subtracted.",
        f"Hidden: {mask} left out, {visible} of the map is visible; the model {told}.",
        f"Galactic N_H is near the training survey's{_training_nh(ensemble)}.",
        *lines,
    ]


def _thinned(ensemble: Ensemble, survey: xr.Dataset, index: np.ndarray) -> list[str]:
    """Return a line on the exposures that are longer than trained on, if any is."""
    exposure = survey["exposure"].values[np.asarray(index)]
    used = ensemble.used_exposure(exposure)
    n = int(np.sum(exposure > used * (1 + EXPOSURE_SLACK)))
    if not n:
        return []
    return [
        f"Exposures longer than the {used.max():.4g} s trained on ({n} of {len(index)} clusters): "
        "photons are thinned at random to that exposure, the same ones each time."
    ]


def _events(facts: dict[str, Any]) -> list[str]:
    """Return a line on what became of all events of the files, where it is known."""
    told = describe_tally(facts.get("events", {}))
    return [f"Events of all files: {told}."] if told else []


def _of_maps(facts: dict[str, Any]) -> str:
    """Return what to say of the seconds of exposure maps."""
    if facts.get("exposure_area", "survey") != "survey":
        return ""
    return (
        " (a vignetted map, relative to the on-axis area, is about half of the seconds at the "
        "survey-average area)"
    )


def _whose(n: int) -> str:
    """Return whose error is given, of n models."""
    if n == 1:
        return "the model's own, calibrated in training"
    return f"the models' own, calibrated in training, and the spread between {n} fold models"


def _training_nh(ensemble: Ensemble) -> str:
    nh = ensemble.nh_range
    return "" if nh is None else f", {_span(*nh)}e20 cm^-2"


def _span(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def warnings(
    ensemble: Ensemble, survey: xr.Dataset, index: np.ndarray, prediction: Mixture
) -> list[str]:
    """Return what makes a predicted mass doubtful."""
    training = ensemble.training
    found = []
    if ensemble.unfinished:
        found.append(f"Left out as unfinished: {', '.join(ensemble.unfinished)}.")
    same = all(
        survey.attrs.get(key) == training.survey.get(key) for key in ("preset", "seed", "config")
    )
    if same and len(ensemble.members) > 1 and "observed" not in survey.attrs:
        found.append(
            "This is the training survey: most fold models have seen these clusters, so the "
            "masses are better than on new ones; results.json has the honest scores."
        )
    found += _flagged(index, prediction)
    if (seen := mission_of_survey(survey)) != (learnt := mission_of_attrs(training.survey)):
        found.append(
            f"These are photons of {seen.title}, the model was trained on those of {learnt.title}: "
            "the masses do not hold."
        )
    else:
        found += seen_otherwise(survey.attrs, training.survey)
    found += _outside("mass", np.exp(prediction.mean) / 1e14, np.array(training.mass_range) / 1e14)
    if training.exposure_range is not None:
        exposure = ensemble.used_exposure(survey["exposure"].isel(cluster=index).values)
        found += _outside("exposure", exposure, np.array(training.exposure_range))
    return found + _observed_warnings(ensemble, survey, index)


def _flagged(index: np.ndarray, prediction: Prediction) -> list[str]:
    if prediction.out_of_domain is None:
        return []
    which = np.asarray(index)[prediction.out_of_domain > 1]
    if not len(which):
        return []
    unlike = "unlike all that the model was trained on (out_of_domain above 1): don't rely on"
    if len(index) == 1:
        score = score_text(float(prediction.out_of_domain[0]))
        return [f"Flagged: this cluster, at {score}, is {unlike} its mass."]
    named = ", ".join(map(str, which[:MAX_NAMED])) + (", ..." if len(which) > MAX_NAMED else "")
    return [f"Flagged: {len(which)} of {len(index)} clusters are {unlike} their masses: {named}."]


_UNITS = {"mass": "e14 Msun/h", "exposure": " s"}


def _outside(name: str, values: np.ndarray, limits: np.ndarray) -> list[str]:
    low, high = limits * (1 - EXPOSURE_SLACK, 1 + EXPOSURE_SLACK)
    n_out = int(np.count_nonzero((values < low) | (values > high)))
    if not n_out:
        return []
    which = f"{values[0]:.4g}{_UNITS[name]}" if len(values) == 1 else f"of {n_out} clusters"
    return [
        f"The {name} {which} is outside the training range, "
        f"{limits[0]:.4g} to {limits[1]:.4g}{_UNITS[name]}."
    ]


def _observed_warnings(ensemble: Ensemble, survey: xr.Dataset, index: np.ndarray) -> list[str]:
    facts = observed_facts(survey)
    if not facts:
        return []
    found = [str(note) for note in facts.get("notes", [])]
    found += _broken_events(facts.get("events", {}))
    visible = float(survey["visible_fraction"].values[index].min())
    if visible < MIN_VISIBLE:
        found.append(
            f"Only {visible:.0%} of the cluster within {APERTURE_MPC_H} Mpc/h is visible (accepted "
            f"with --min-visible {facts['min_visible']:g}). The model was not trained on clusters "
            "hidden like this: neither the mass nor its error can be relied on."
        )
    if facts["exposure_maps_differ"] > MAPS_ALIKE:
        found.append(
            f"The exposure of the bands differs by up to {facts['exposure_maps_differ']:.0%}; one "
            "is used for all bands."
        )
    if facts["bands_not_used"]:
        found.append(f"Bands not used: {', '.join(facts['bands_not_used'])} keV.")
    return found + _nh_warnings(ensemble, survey["nh"].values[index])


def _broken_events(events: dict[str, int]) -> list[str]:
    """Return a warning of events that are lost because a number of theirs is none."""
    broken, all_events = events.get(OUTCOMES[BROKEN], 0), sum(events.values())
    if not broken:
        return []
    return [
        f"{broken:,} of {all_events:,} events are left out: their position, energy or time is not "
        "finite; the mass is that of the others."
    ]


def _nh_warnings(ensemble: Ensemble, nh_1e20: np.ndarray) -> list[str]:
    outside = nh_1e20[is_nh_outside(ensemble, nh_1e20)]
    if not len(outside) or ensemble.nh_range is None:
        return []
    which = f"N_H {_span(outside.min(), outside.max())}e20 cm^-2"
    if len(nh_1e20) > 1:
        which += f" of {len(outside)} of {len(nh_1e20)} clusters"
    return [
        f"{which} is not the training survey's {_span(*ensemble.nh_range)}e20, and the model "
        "doesn't correct for it."
    ]
