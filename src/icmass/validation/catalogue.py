"""Masses, redshifts and galaxy numbers of the catalogue beside the published ones."""

from __future__ import annotations

import numpy as np
import xarray as xr

from icmass.proxies.names import read_scalar
from icmass.proxies.published import SOURCE
from icmass.survey.catalog import survey_config
from icmass.validation.check import Check, Findings, Target
from icmass.validation.proxies import NOT_HELD

MASS = Target(13.94, 0.10, "absolute", f"{SOURCE}; tolerance: a bin of its mass function")
REDSHIFT = Target(0.2125, 0.04, "absolute", f"{SOURCE}; tolerance: a step between its snapshots")
LIGHT_CONE = "published for the snapshots of a box; this survey is of a light-cone"
GALAXIES = {
    "least": Target(28.0, 1.6, "factor", f"{SOURCE}; tolerance: an extreme depends on the sample"),
    "median": Target(112.0, 0.20, "relative", SOURCE),
    "most": Target(520.0, 1.6, "factor", f"{SOURCE}; tolerance: an extreme depends on the sample"),
}


def catalogue_findings(survey: xr.Dataset, rng: np.random.Generator) -> Findings:
    """Compare medians of mass and redshift, and the range of N_gal."""
    findings = Findings()
    rows = [f"{which} N_gal" for which in GALAXIES]
    if survey_config(survey).get("halos", {}).get("redshift_range") is not None:
        findings.leave_out(LIGHT_CONE, ["median log10 M500c", "median redshift", *rows])
        return findings
    columns = {
        "median log10 M500c": (np.log10(read_scalar(survey, "m500c")), MASS, "log10 Msun/h"),
        "median redshift": (read_scalar(survey, "redshift"), REDSHIFT, ""),
    }
    for name, (values, target, unit) in columns.items():
        error = _median_error(values, rng)
        median = float(np.median(values))
        findings.checks.append(Check("catalogue", name, median, target, len(values), unit, error))
    if "N_gal" not in survey:
        findings.leave_out(NOT_HELD, rows)
        return findings
    number = read_scalar(survey, "N_gal")
    values_of = {
        "least": (float(number.min()), float("nan")),
        "median": (float(np.median(number)), _median_error(number, rng)),
        "most": (float(number.max()), float("nan")),
    }
    for row, (which, target) in zip(rows, GALAXIES.items(), strict=True):
        value, error = values_of[which]
        findings.checks.append(Check("catalogue", row, value, target, len(number), "", error))
    return findings


def _median_error(values: np.ndarray, rng: np.random.Generator) -> float:
    draws = rng.choice(values, (100, len(values)))
    return float(np.std(np.median(draws, axis=1), ddof=1))
