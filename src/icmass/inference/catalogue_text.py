"""What is told of masses from a catalogue: facts of each row, assumptions, doubts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from icmass.estimators.prior import Prior
from icmass.inference.description import mass_facts
from icmass.inference.ensemble import Ensemble
from icmass.inference.mixture import Mixture
from icmass.inference.physics_bias import PhysicsBias
from icmass.inference.quality_flags import (
    LEAST_SIGNIFICANCE,
    NH_SLACK_1E20,
    score_text,
)
from icmass.io.source_catalogue import SourceRows
from icmass.survey.catalog import survey_cosmology

LEAST_LIKELIHOOD = 6.6
"""-ln p of `LEAST_SIGNIFICANCE`: a detection likelihood below which there is an upper limit."""
_KEYS = {
    "rate": "count_rate",
    "rate_300kpc": "count_rate_300kpc",
    "rate_r500c": "count_rate_r500c",
    "exposure": "vignetted_exposure_s",
    "extent": "extent_arcsec",
    "extent_likelihood": "extent_likelihood",
    "detection_likelihood": "detection_likelihood",
    "nh": "nh",
}


def row_facts(
    ensemble: Ensemble,
    survey: xr.Dataset,
    table: SourceRows,
    rows: np.ndarray,
    prediction: Mixture,
    samples: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """Return the facts of each row with a mass, ready for JSON.

    Keys are those of `icmass.inference.description.describe` as far as a catalogue has them;
    ``cluster`` is the number of the row among the extended sources.
    """
    redshift = survey["redshift"].values[rows]
    of_mass = mass_facts(prediction, redshift, survey_cosmology(survey))
    known = {key: survey[name].values[rows] for name, key in _KEYS.items()}
    where = {name: table.columns[name][rows] for name in ("ra", "dec") if name in table.columns}
    score = prediction.out_of_domain
    limits = _is_limit(known)
    why = _reasons(ensemble, known, limits, score)
    found = []
    for k, row in enumerate(rows):
        facts: dict[str, Any] = {
            "cluster": int(row),
            "id": table.names[row],
            "redshift": float(redshift[k]),
            **{name: float(values[k]) for name, values in where.items()},
            **{name: _number(values[k]) for name, values in known.items()},
            **of_mass[k],
            "out_of_domain": None if score is None else float(score[k]),
            "reasons": why[k],
            "flagged": bool(why[k]),
        }
        if samples is not None:
            facts["ln_m500c_samples"] = samples[k].tolist()
        if limits[k]:
            gone = {
                key: None for key in facts if key.startswith(("ln_m500c", "m500c_1e14", "r500c"))
            }
            facts |= gone | {"m500c_below_1e14_msun_h": of_mass[k]["m500c_1e14_msun_h"]["p97.5"]}
        found.append(facts)
    return found


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _is_limit(known: dict[str, np.ndarray]) -> np.ndarray:
    """Return which rows are too faint for a mass: by likelihood, or counts against their noise."""
    with np.errstate(invalid="ignore"):
        counts = known["count_rate"] * known["vignetted_exposure_s"]
        few = counts < LEAST_SIGNIFICANCE**2  # with no background at all
        result: np.ndarray = (known["detection_likelihood"] < LEAST_LIKELIHOOD) | few
    rates = [known[name] for name in ("count_rate", "count_rate_r500c", "count_rate_300kpc")]
    nothing: np.ndarray = np.all([~(rate > 0) for rate in rates], axis=0)
    limits: np.ndarray = result | nothing
    return limits


def _reasons(
    ensemble: Ensemble, known: dict[str, np.ndarray], limits: np.ndarray, score: np.ndarray | None
) -> list[list[str]]:
    """Return of each row why its mass is not to be trusted."""
    words: list[list[str]] = [[] for _ in limits]
    for k in np.flatnonzero(limits):
        words[k].append("counts too few: detection below 3 sigma")
    ranges = {"vignetted_exposure_s": ("exposure", ensemble.training.exposure_range, 0.0, " s")}
    ranges["nh"] = ("N_H", ensemble.nh_range, NH_SLACK_1E20, "e20 cm^-2")
    for key, (name, limit, slack, unit) in ranges.items():
        low, high = limit or (-np.inf, np.inf)
        values = known[key]
        with np.errstate(invalid="ignore"):
            outside = (values < low * (1 - 1e-3) - slack) | (values > high * (1 + 1e-3) + slack)
        for k in np.flatnonzero(outside):
            words[k].append(f"{name} {values[k]:.4g}{unit} outside {low:.4g} to {high:.4g}")
    if score is not None:
        for k in np.flatnonzero(score > 1):
            told = score_text(float(score[k]))
            words[k].append(f"unlike the training rows: out-of-domain score {told} above 1")
    return words


def assumptions(ensemble: Ensemble, survey: xr.Dataset, rate_is: str, prior: Prior) -> list[str]:
    """Return in plain words what masses from a catalogue take for granted."""
    cosmology = survey_cosmology(survey)
    low, high = ensemble.training.mass_range
    drawn = "masses are drawn towards its mean"
    if prior.kind != "training":
        drawn = "of its masses only the range counts, another prior is in place of theirs"
    scatter = "is not recorded in this folder"
    if ensemble.scatter is not None:
        scatter = f"is {ensemble.scatter:.3f} in ln M, on mock rows that it was not trained on"
    lines = [
        "Every row is a cluster, at the redshift that is given: other sources' light is not "
        "told from its.",
        f"Count rates are {rate_is}.",
        f"Cosmology: flat, h = {cosmology.h:g}, Om = {cosmology.om0:g}.",
        f"Mass scale: that of the mock rows (preset {ensemble.training.survey.get('preset')}, "
        f"{ensemble.training.n} clusters, M500c {low / 1e14:.2f}-{high / 1e14:.1f}e14 Msun/h); "
        f"{drawn}.",
        f"Scatter: the model's {scatter}; the error given is the model's own, as a whole posterior "
        "of ln M.",
    ]
    if not np.isfinite(survey["nh"].values).all():
        lines.append(
            "Galactic N_H is unknown where the table does not say: --nh gives one for all."
        )
    if (bias := PhysicsBias.of_model(ensemble.folder)) is not None:
        lines.append(bias.sentence())
    return lines


def warnings(
    ensemble: Ensemble,
    rows: np.ndarray,
    prediction: Mixture,
    without: Iterable[str] = (),
) -> list[str]:
    """Return what makes masses from a catalogue doubtful; `without` is said of rows with none."""
    found = [f"{line[0].upper()}{line[1:]}." for line in without]
    score = prediction.out_of_domain
    if score is not None and (n := int((score > 1).sum())):
        found.append(
            f"Flagged: {n} of {len(rows)} rows are unlike all that the model was trained on "
            "(out_of_domain above 1): don't rely on their masses."
        )
    low, high = np.log(ensemble.training.mass_range)
    if n := int(((prediction.mean < low) | (prediction.mean > high)).sum()):
        found.append(f"The mass of {n} of {len(rows)} rows is outside the training range.")
    return found
