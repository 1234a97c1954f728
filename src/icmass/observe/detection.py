"""Which clusters a survey detects: by counts, by flux, or as a source-finder's likelihoods do."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict
from scipy.special import chdtri, gammainc, ndtr

from icmass.errors import InputError
from icmass.parameter import parameter
from icmass.universe.references import BULBUL_2024, MERLONI_2024


class DetectionConfig(BaseModel):
    """How clusters come into the sample.

    Notes
    -----
    The one calibrated number, `information`, is set by the number of the cosmology sample of eRASS1
    in the cosmology that it gave itself (Omega_m 0.29, sigma_8 0.88; Ghirardini et al. 2024, A&A
    689, A298), with the gas of the preset erass1. With Tinker's mass function in that cosmology,
    the eFEDS luminosities (Liu et al. 2022, A&A 661, A2), cores of 0.2 R500c and the exposures of
    `icmass.observe.allsky`, 0.28 gives, in clusters per deg^2,

    - eRASS1: 0.86; published 0.80 (12,247 in 13,116 deg^2, 86 per cent of them true; Bulbul et al.
      2024; Kluge et al. 2024, A&A 688, A210);
    - eRASS1, extent likelihood 6, 0.1 < z < 0.8: 0.36; published 0.39 (5,259 in 12,791 deg^2, about
      95 per cent true; Bulbul et al. 2024);
    - eFEDS (2.4 ks), extent likelihood 6: 3.7; published 3.1 (542 in 140 deg^2, four fifths true;
      Liu et al. 2022).

    With sigma_8 = 0.81 they are 0.63, 0.25 and 2.9.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["likelihood", "counts", "flux"] = parameter(
        "likelihood",
        "likelihood: significance and extent as in the eROSITA catalogues; counts: net counts "
        "within R500c above a limit, with their Poisson noise; flux: the true flux within R500c "
        "above a limit, without noise.",
    )
    band_kev: tuple[float, float] = parameter(
        (0.2, 2.3),
        "Band of the counts; the default is that of eROSITA's source detection.",
        unit="keV",
        source=MERLONI_2024,
    )
    min_counts: float = parameter(30.0, "Least net counts, of the kind counts.", unit="count", gt=0)
    min_flux: float = parameter(
        1.1e-13,
        "Least flux in 0.5-2 keV, of the kind flux. Pre-launch forecasts took 1.1e-13 for clusters "
        "in the first survey and 3.4e-14 in eight.",
        unit="erg s^-1 cm^-2",
        gt=0,
    )
    detection_likelihood: float = parameter(
        5.0,
        "Least -ln p of the kind likelihood, p the chance that the background looks like a source.",
        unit="1",
        source=MERLONI_2024,
        gt=0,
        le=1000,
    )
    extent_likelihood: float = parameter(
        3.0,
        "Least -ln p of the kind likelihood, p the chance that a point source looks extended; the "
        "cosmology sample of eRASS1 takes 6.",
        unit="1",
        source=BULBUL_2024,
        gt=0,
        le=1000,
    )
    fit_radius_arcsec: float = parameter(
        60.0, "Radius within which the likelihoods are formed.", unit="arcsec", ge=10, le=1200
    )
    information: float = parameter(
        0.28,
        "Fraction of the ideal likelihood that a real source finder gains among asymmetric "
        "clusters, confusing neighbours and an uncertain background.",
        unit="1",
        source=f"calibrated on the cosmology sample of eRASS1, {BULBUL_2024}",
        gt=0,
        le=1,
    )
    psf_core_arcsec: float = parameter(
        8.5,
        "Scale r_c of the point-spread function, (1 + (r/r_c)^2)^-1.5.",
        unit="arcsec",
        source="measured on field AGN of eFEDS",
        gt=0,
        le=120,
    )
    min_core_arcsec: float = parameter(
        0.0,
        "Core radius below which clusters pass for point sources, of the kinds counts and flux; 0 "
        "keeps all.",
        unit="arcsec",
        ge=0,
    )


def detection_probability(
    config: DetectionConfig,
    *,
    source_counts: ArrayLike,
    background_counts: ArrayLike,
    flux: ArrayLike,
    r500c_arcsec: ArrayLike,
    core_arcsec: ArrayLike,
) -> np.ndarray:
    """Return the probability that each cluster is in the sample; the arguments broadcast.

    Parameters
    ----------
    source_counts : array_like
        Expected counts of the gas in `config.band_kev` within R500c in projection, unblurred.
    background_counts : array_like
        Expected counts of the background in the same band and circle; more than 0.
    flux : array_like
        Flux in 0.5-2 keV within R500c [erg/s/cm^2].
    r500c_arcsec : array_like
        R500c on the sky [arcsec].
    core_arcsec : array_like
        Core radius of a beta model of 2/3 on the sky [arcsec]; 0 is a point source.
    """
    expected = {
        "source_counts": source_counts,
        "background_counts": background_counts,
        "flux": flux,
        "r500c_arcsec": r500c_arcsec,
        "core_arcsec": core_arcsec,
    }
    source, background, flux, r500c, core = _checked(expected)
    if config.kind == "flux":
        return np.where((flux >= config.min_flux) & (core >= config.min_core_arcsec), 1.0, 0.0)
    if config.kind == "counts":
        # P(N >= k) for N of mean mu is the regularised gamma function P(k, mu)
        probability = gammainc(config.min_counts + background, source + background)
        return np.where(core >= config.min_core_arcsec, probability, 0.0)
    detected, extended = expected_likelihoods(
        source,
        background,
        r500c,
        core,
        fit_radius=config.fit_radius_arcsec,
        psf_core=config.psf_core_arcsec,
    )
    share = config.information
    probability = _above(share * detected, config.detection_likelihood)
    return probability * _above(share * extended, config.extent_likelihood)


def expected_likelihoods(
    source_counts: np.ndarray,
    background_counts: np.ndarray,
    r500c: np.ndarray,
    core: np.ndarray,
    *,
    fit_radius: float,
    psf_core: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the expected gain in log-likelihood of a source over none, and of its extent.

    Parameters
    ----------
    source_counts, background_counts, r500c, core : ndarray, shape (n,)
        As in `detection_probability`; angles in arcsec.
    fit_radius, psf_core : float
        [arcsec].

    Returns
    -------
    detected, extended : ndarray, shape (n,)
        ``sum mu ln(mu / b) - (mu - b)`` of the true model mu = s + b over the background b; and the
        same over the best-fitting point source p + b instead of b.

    Notes
    -----
    A beta model of 2/3 and the point-spread function are both (1 + (r/a)^2)^-1.5, the bivariate
    Cauchy law, which is stable: blurring adds the scales, ``a = core + psf_core``. The likelihood
    is Cash's (1979, ApJ 228, 939) on the expected counts in rings.
    """
    edges = np.concatenate([[0.0], np.geomspace(fit_radius / 40, fit_radius, 40)])
    total = source_counts / (1 - core / np.hypot(core, r500c))
    sky = (background_counts / r500c**2)[..., None] * np.diff(edges**2)
    blurred = total[..., None] * _ring_shares(edges, core + psf_core)
    truth = blurred + sky
    detected = (truth * np.log(truth / sky) - blurred).sum(-1)
    point = _ring_shares(edges, np.full(np.shape(core), psf_core))
    fitted = point * _point_counts(truth, point, sky)[..., None]
    extended = (truth * np.log(truth / (fitted + sky)) - (blurred - fitted)).sum(-1)
    return detected, np.maximum(extended, 0)


def _ring_shares(edges: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the share of a (1 + (r/scale)^2)^-1.5 profile between the edges, (n, ring)."""
    enclosed = 1 - scale[..., None] / np.hypot(scale[..., None], edges)
    return np.diff(enclosed, axis=-1)


def _point_counts(truth: np.ndarray, point: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """Return the counts of the point source that fits best, by Newton from below.

    The derivative of the likelihood falls and is convex, so that the steps never overshoot.
    """
    counts = np.zeros(truth.shape[:-1])
    share = point.sum(-1)
    for _ in range(40):
        ratio = point / (counts[..., None] * point + sky)
        slope = (truth * ratio).sum(-1) - share
        step = slope / (truth * ratio**2).sum(-1)
        counts = counts + np.maximum(step, 0)
        if (step <= 1e-9 * counts + 1e-12).all():
            break
    return counts


def _above(expected: np.ndarray, limit: float) -> np.ndarray:
    """Return the probability that a likelihood gain of known expectation passes -ln p = limit.

    Twice the gain is a non-central chi^2 of one degree of freedom: its root is a normal deviate
    about the root of twice the expectation (Wald 1943). What would pass without any source is
    not that source's detection and is taken off, so that nothing expected is never detected.
    """
    threshold = np.sqrt(chdtri(1, np.exp(-limit)))
    chance = ndtr(-threshold)
    return (ndtr(np.sqrt(2 * expected) - threshold) - chance) / (1 - chance)


def _checked(expected: dict[str, ArrayLike]) -> list[np.ndarray]:
    for name, value in expected.items():
        array = np.asarray(value, dtype=float)
        positive = name in ("background_counts", "r500c_arcsec")
        if not np.isfinite(array).all() or (array < 0).any() or (positive and (array == 0).any()):
            requirement = "more than 0" if positive else "0 or more"
            raise InputError(f"must be finite and {requirement}", field=name)
    return [np.asarray(a, dtype=float) for a in np.broadcast_arrays(*expected.values())]
