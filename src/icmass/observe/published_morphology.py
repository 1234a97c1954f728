"""Published distributions of the statistics in `icmass.observe.morphology`, to compare with.

Selection rules them: X-ray surveys find more concentrated clusters than Sunyaev-Zeldovich surveys.
The first all-sky survey of eROSITA has concentrations about 0.3 dex above those of the Planck,
South Pole Telescope and eFEDS samples (Sanders et al. 2025, A&A 695, A160). All samples here are of
massive clusters, observed with better angular resolution than eROSITA's.
"""

from __future__ import annotations

from dataclasses import dataclass

_MAHDAVI = "Mahdavi et al. 2013, ApJ 767, 116, arXiv:1210.3689, table 2"
_ROSSETTI = "Rossetti et al. 2017, MNRAS 468, 1917, doi 10.1093/mnras/stx493, abstract"
_ANDRADE = "Andrade-Santos et al. 2017, ApJ 843, 76, arXiv:1703.08690, abstract"
_WEISSMANN = "Weissmann et al. 2013, A&A 549, A19, arXiv:1210.6445, abstract"

_CCCP = "CCCP: X-ray luminous clusters, Chandra and XMM-Newton"
_PLANCK = "subsample of the Planck SZ catalogue"
_MACS = "MACS: X-ray selected"
_ESZ = "Planck early SZ sample, Chandra"
_FLUX = "X-ray flux limited, Chandra"
_XMM = "archive of XMM-Newton"


@dataclass(frozen=True)
class PublishedQuantiles:
    """Quantiles of a statistic over a sample.

    Parameters
    ----------
    statistic : str
        Field of `icmass.observe.morphology.Morphology`.
    sample : str
    n : int
        Clusters with a measured value.
    redshift : tuple of float
        Range.
    m500c_1e14msun : tuple of float
        Range of M500c from weak lensing [1e14 Msun].
    p16, median, p84 : float
        Quantiles of the measured values, computed here from the table in `source`.
    source : str
    note : str
        What keeps it from being the same measurement as ours.
    """

    statistic: str
    sample: str
    n: int
    redshift: tuple[float, float]
    m500c_1e14msun: tuple[float, float]
    p16: float
    median: float
    p84: float
    source: str
    note: str


@dataclass(frozen=True)
class PublishedFraction:
    """Fraction of a sample with a statistic above a threshold.

    Parameters
    ----------
    statistic : str
        Field of `icmass.observe.morphology.Morphology`.
    sample : str
    n : int or None
        Clusters; None where the text that was read does not say.
    redshift : tuple of float, or None
        Range, 0 where there is no lower limit; None where the text does not say.
    threshold : float
    fraction, error : float, float or None
        Part of the clusters above `threshold` and its published error.
    source : str
    """

    statistic: str
    sample: str
    n: int | None
    redshift: tuple[float, float] | None
    threshold: float
    fraction: float
    error: float | None
    source: str


QUANTILES: tuple[PublishedQuantiles, ...] = (
    PublishedQuantiles(
        "centroid_shift", _CCCP, 46, (0.152, 0.55), (0.6, 21.9),
        0.0059, 0.0151, 0.0418, _MAHDAVI, "the two halves of Abell 1758 count once",
    ),
    PublishedQuantiles(
        "p3_p0", _CCCP, 44, (0.152, 0.55), (0.6, 21.9),
        0.33e-7, 1.3e-7, 6.6e-7, _MAHDAVI, "the two halves of Abell 1758 count once",
    ),
)  # fmt: skip
"""Noise is part of the scatter: half of the clusters have errors of P3/P0 above 70 per cent."""

FRACTIONS: tuple[PublishedFraction, ...] = (
    PublishedFraction("concentration_kpc", _PLANCK, None, None, 0.075, 0.29, 0.04, _ROSSETTI),
    PublishedFraction("concentration_kpc", _MACS, None, None, 0.075, 0.59, 0.05, _ROSSETTI),
    PublishedFraction("concentration_kpc", _ESZ, 164, (0, 0.35), 0.075, 0.36, 0.05, _ANDRADE),
    PublishedFraction("concentration_kpc", _FLUX, 100, (0, 0.3), 0.075, 0.61, 0.08, _ANDRADE),
    PublishedFraction("concentration_015", _ESZ, 164, (0, 0.35), 0.4, 0.28, 0.04, _ANDRADE),
    PublishedFraction("concentration_015", _FLUX, 100, (0, 0.3), 0.4, 0.44, 0.07, _ANDRADE),
    PublishedFraction("centroid_shift", _XMM, 80, None, 0.01, 0.47, None, _WEISSMANN),
    PublishedFraction("p3_p0", _XMM, 80, None, 1e-7, 0.41, None, _WEISSMANN),
)
"""Cool cores by their concentration, disturbed clusters by centroid shift and P3/P0."""
