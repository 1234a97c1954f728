"""Memory of the gas: correlation of a halo's residuals between snapshots."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.stats import spearmanr

from icmass.proxies.names import read_scalar
from icmass.survey.catalog import survey_cosmology
from icmass.validation.check import Check, Findings, Target
from icmass.validation.gas_statistics import SOURCE, GasSample, residuals
from icmass.validation.proxies import DETECTED, NOT_HELD, is_detected
from icmass.validation.relations import is_observed

LAGS_GYR = (0.4, 2.05)
MEMORY = {
    "M_gas": (0.92, 0.75),
    "L_X": (0.76, 0.64),
    "T": (0.72, 0.55),
    "core": (0.51, 0.10),
}
"""Rank correlation of the residuals of a halo with its own after `LAGS_GYR`, body of L_X."""
_TOLERANCE = 0.10
_WINDOW_GYR = 0.12
_FEWEST = 60
_ONCE = "every halo is seen once, or at times other than 0.4 and 2.05 Gyr apart"
_NEEDED = ("L_X", "L_X_ce", "L_X_emitted", "T", "M_gas", "M_star", "halo_id")


def memory_findings(survey: xr.Dataset) -> Findings:
    """Compare rank correlations of residuals between snapshots with those of Magneticum's halos."""
    findings = Findings()
    names = [_row(name, lag) for name in MEMORY for lag in LAGS_GYR]
    if is_detected(survey) or is_observed(survey):
        findings.leave_out(DETECTED if is_detected(survey) else "another gas by choice", names)
        return findings
    if any(name not in survey for name in _NEEDED):
        findings.leave_out(NOT_HELD, names)
        return findings
    sample = GasSample.of(survey)
    body = sample.body()
    residual = {name: residuals(sample, name) for name in MEMORY}
    for i, lag in enumerate(LAGS_GYR):
        early, late = _pairs(survey, lag)
        in_body = body[early] & body[late]
        early, late = early[in_body], late[in_body]
        if len(early) < _FEWEST:
            findings.leave_out(_ONCE, [_row(name, lag) for name in MEMORY])
            continue
        for name, published in MEMORY.items():
            value = float(spearmanr(residual[name][early], residual[name][late]).statistic)
            target = Target(published[i], _TOLERANCE, "absolute", f"{SOURCE}; halos matched")
            error = float((1 - value**2) / np.sqrt(len(early)))
            findings.checks.append(
                Check("gas", _row(name, lag), value, target, len(early), error=error)
            )
    return findings


def _row(name: str, lag: float) -> str:
    return f"memory of {'core share' if name == 'core' else name} after {lag:g} Gyr"


def _pairs(survey: xr.Dataset, lag: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of halos at a snapshot and about `lag` Gyr later, each (n,)."""
    cosmology = survey_cosmology(survey)
    redshift, inverse = np.unique(read_scalar(survey, "redshift"), return_inverse=True)
    time = cosmology.astropy.age(redshift).to_value("Gyr")[inverse]
    halo = survey["halo_id"].values
    order = np.lexsort((time, halo))
    first, last = [], []
    for step in range(1, min(len(redshift), len(order))):
        a, b = order[:-step], order[step:]
        matched = (halo[a] == halo[b]) & (np.abs(time[b] - time[a] - lag) < _WINDOW_GYR)
        first.append(a[matched])
        last.append(b[matched])
    return np.concatenate(first or [order[:0]]), np.concatenate(last or [order[:0]])
