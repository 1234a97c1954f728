"""Morphology of the mock's gas beside that of observed clusters."""

from __future__ import annotations

import numpy as np

from icmass.observe.published_morphology import FRACTIONS, QUANTILES
from icmass.validation.check import Check, Findings, Target
from icmass.validation.image_maps import ImageSample

#: Names of the statistics on the page and in the rows.
LABELS = {
    "concentration_kpc": "concentration 40/400 kpc",
    "concentration_015": "concentration 0.15 R500c",
    "centroid_shift": "centroid shift w",
    "p3_p0": "power ratio P3/P0",
}
#: Samples that the rows take: chosen by mass as nearly as any, not by X-ray brightness.
_SAMPLES = ("Planck early SZ sample, Chandra", "archive of XMM-Newton")
_FRACTION_TOLERANCE = 0.15
MAGNETICUM_GAS = "measured on observed clusters; this gas is Magneticum's, compared by its images"


def morphology_findings(images: ImageSample | str, rng: np.random.Generator) -> Findings:
    """Compare concentrations, centroid shifts and power ratios with published distributions.

    Parameters
    ----------
    images : ImageSample or str
        Or the reason why there is none.
    rng : numpy.random.Generator
        Of the bootstrap.
    """
    findings = Findings()
    rows = [(fraction, f"part with {LABELS[fraction.statistic]} above {fraction.threshold:g}")
            for fraction in FRACTIONS if fraction.sample in _SAMPLES]  # fmt: skip
    names = [name for _, name in rows] + [f"median {LABELS[q.statistic]}" for q in QUANTILES]
    if isinstance(images, str):
        findings.leave_out(images, names)
        return findings
    values = images.morphology
    for fraction, name in rows:
        above = values[fraction.statistic] > fraction.threshold
        target = Target(fraction.fraction, _FRACTION_TOLERANCE, "absolute", fraction.source)
        error = float(np.sqrt(above.mean() * (1 - above.mean()) / len(above)))
        findings.checks.append(
            Check("morphology", name, float(above.mean()), target, len(above), error=error)
        )
    for published, name in zip(QUANTILES, names[len(rows) :], strict=True):
        sample = values[published.statistic]
        spread = float(np.sqrt(published.p84 / published.p16))
        target = Target(published.median, spread, "factor", published.source)
        draws = np.median(rng.choice(sample, (200, len(sample))), axis=1)
        findings.checks.append(
            Check(
                "morphology", name, float(np.median(sample)), target, len(sample),
                error=float(draws.std()),
            )
        )  # fmt: skip
    return findings
