"""Numbers of point sources in the field, as measured and as published."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import ValidationError

from icmass.survey.catalog import survey_config
from icmass.universe.agn import AgnConfig, field_counts_above
from icmass.validation.check import Check, Findings, Target

_SOURCE = "eFEDS images, seven bands: point sources, complete above 5e-15 erg/s/cm^2"
_TOLERANCE = 0.25
MEASURED_COUNTS = ((5e-15, 193.0, 15.0), (1e-14, 99.0, 11.0), (2e-14, 44.0, 7.0))
"""Flux 0.5-2 keV [erg/s/cm^2], sources above it and their error [deg^-2], in the eFEDS images."""


def moretti_counts_above(flux: np.ndarray | float) -> np.ndarray:
    """Return the number of point sources brighter than `flux` (0.5-2 keV) per square degree.

    Moretti et al. 2003, ApJ 588, 696: N_S (2e-15)^a1 / (S^a1 + S_0^(a1 - a2) S^a2) with N_S 6150
    deg^-2, a1 1.82, a2 0.60, S_0 1.48e-14 erg/s/cm^2; all point sources, a few stars among them.
    """
    s, steep, flat, bend = np.asarray(flux, float), 1.82, 0.60, 1.48e-14
    return 6150 * 2e-15**steep / (s**steep + bend ** (steep - flat) * s**flat)


def field_findings(survey: xr.Dataset) -> Findings:
    """Compare the numbers of field AGN, as drawn from, with those measured in eFEDS."""
    findings = Findings()
    names = [f"field AGN above {flux:g} erg/s/cm^2" for flux, _, _ in MEASURED_COUNTS]
    try:
        agn = AgnConfig.model_validate(survey_config(survey).get("agn", {}))
    except ValidationError:
        findings.leave_out("its configuration is not of this version", names)
        return findings
    if not agn.field_norm_deg2:
        findings.leave_out("the survey has no field AGN", names)
        return findings
    for name, (flux, number, _) in zip(names, MEASURED_COUNTS, strict=True):
        target = Target(number, _TOLERANCE, "relative", _SOURCE)
        value = float(field_counts_above(flux, agn))
        findings.checks.append(Check("agn", name, value, target, 0, "deg^-2"))
    return findings
