"""What a source-detection chain measures of a cluster: a beta model through the point spread.

eROSITA's chain (ermldet of eSASS; Brunner et al. 2022, A&A 661, A1, section 4) fits each source
within a small circle with a beta model of 2/3 convolved with the point spread function, and gives
counts, core radius and two likelihoods. Here the same fit is made on photons counted in rings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

FIT_RADIUS_ARCSEC = 60.0
"""Radius of the fit: ermldet's cut radius and search radius of 15 pixels of 4 arcsec."""
RING_EDGES_ARCSEC = np.arange(0.0, FIT_RADIUS_ARCSEC + 1, 4.0)
"""Edges of the rings [arcsec]: a pixel of the detection images each."""
EXTENT_LIMITS_ARCSEC = (8.0, 60.0)
"""Least and largest core radius [arcsec]: 2 and 15 pixels, between which all of eFEDS' lie."""
N_EXTENTS = 41
DETECTION_PARAMETERS, EXTENT_PARAMETERS = 4, 1
"""Fitted of an extended source (position, counts, extent), and of its extent alone."""
_STEPS = 40
_AT_ONCE = 256


@dataclass(frozen=True)
class SourceFit:
    """Extended sources as the catalogues have them, shape (n,) each.

    Attributes
    ----------
    counts : ndarray
        Counts of the whole model, beyond the circle of the fit too (ML_CTS).
    extent : ndarray
        Core radius [arcsec], within `EXTENT_LIMITS_ARCSEC` (EXT).
    extent_likelihood : ndarray
        -ln p that a point source fits as much better as an extended one (EXT_LIKE).
    detection_likelihood : ndarray
        -ln p that the background does so by chance (DET_LIKE).
    """

    counts: np.ndarray
    extent: np.ndarray
    extent_likelihood: np.ndarray
    detection_likelihood: np.ndarray


def ring_shares(scale: np.ndarray, edges: np.ndarray = RING_EDGES_ARCSEC) -> np.ndarray:
    """Return the share of a (1 + (r/scale)^2)^-1.5 profile in each ring, shape (..., ring).

    A beta model of 2/3 and the point spread function are both that profile, and so is one blurred
    by the other: the scales add (see `icmass.observe.detection.expected_likelihoods`).

    Parameters
    ----------
    scale : ndarray
        Core radius plus the scale of the point spread function [arcsec].
    """
    a = np.asarray(scale, float)[..., None]
    return np.diff(1 - a / np.hypot(a, edges), axis=-1)


def ring_areas(edges: np.ndarray = RING_EDGES_ARCSEC) -> np.ndarray:
    """Return the areas of the rings [arcmin^2]."""
    result: np.ndarray = np.pi * np.diff(edges**2) / 3600
    return result


def fit_extended(rings: np.ndarray, background: np.ndarray, psf_core: float) -> SourceFit:
    """Fit sources by maximum likelihood (Cash 1979, ApJ 228, 939), the extent on a grid.

    Parameters
    ----------
    rings : ndarray, shape (n, ring)
        Counts between `RING_EDGES_ARCSEC` about the source.
    background : ndarray, shape (n,)
        What the background map says there [counts/arcmin^2], more than 0.
    psf_core : float
        Scale of the point spread function, (1 + (r/r_c)^2)^-1.5 [arcsec].
    """
    parts = [
        _fit(rings[i : i + _AT_ONCE], background[i : i + _AT_ONCE], psf_core)
        for i in range(0, len(rings), _AT_ONCE)
    ]
    return SourceFit(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _fit(rings: np.ndarray, background: np.ndarray, psf_core: float) -> tuple[np.ndarray, ...]:
    extents = np.concatenate([[0.0], np.geomspace(*EXTENT_LIMITS_ARCSEC, N_EXTENTS)])
    shares = ring_shares(extents + psf_core)
    sky = background[:, None] * ring_areas()
    counts, gain = scale_model(rings[:, None], shares[None], sky[:, None])
    best = 1 + np.argmax(gain[:, 1:], axis=1)
    rows = np.arange(len(rings))
    found = gain[rows, best]
    return (
        counts[rows, best],
        extents[best],
        chance_likelihood(found - gain[:, 0], EXTENT_PARAMETERS),
        chance_likelihood(found, DETECTION_PARAMETERS),
    )


def scale_model(
    rings: np.ndarray, shares: np.ndarray, sky: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts, 0 or more, of the model that fits best, and its gain in log likelihood.

    Parameters
    ----------
    rings, shares, sky : ndarray, broadcast to shape (..., ring)
        Counts, the model of one count, and the expected background.

    Notes
    -----
    The likelihood is concave in the counts; its slope is convex, so that Newton's steps from the
    left of the maximum never overshoot.
    """
    rings, shares, sky = np.broadcast_arrays(rings, shares, sky)
    within = shares.sum(-1)
    counts = np.zeros(rings.shape[:-1])
    for _ in range(_STEPS):
        ratio = shares / (counts[..., None] * shares + sky)
        slope = (rings * ratio).sum(-1) - within
        curvature = (rings * ratio**2).sum(-1)
        step = np.where(curvature > 0, slope / np.maximum(curvature, 1e-300), 0.0)
        counts = np.maximum(counts + step, 0.0)
        if (np.abs(step) <= 1e-6 * counts + 1e-9).all():
            break
    model = counts[..., None] * shares
    gain = (rings * np.log1p(model / sky) - model).sum(-1)
    return counts, gain


def chance_likelihood(gain: np.ndarray, parameters: int) -> np.ndarray:
    """Return -ln p of a gain in log likelihood with some parameters (Wilks 1938), 0 or more.

    Twice the gain is chi^2-distributed; where p cannot be told from 0 its asymptotic form holds.
    """
    from scipy.stats import chi2  # slow to import, and most who import this file do without

    gain = np.maximum(gain, 0.0)
    exact = -np.asarray(chi2.logsf(2 * np.minimum(gain, 300), parameters))
    half = parameters / 2
    far = gain - (half - 1) * np.log(np.maximum(gain, 1)) + gammaln(half)
    result: np.ndarray = np.maximum(np.where(gain < 300, exact, far), 0.0)
    return result
