"""Statistics of the images of Magneticum's clusters, to compare a mock's images with.

The rounded table ``data/magneticum_images.json`` is made by ``tools/make_images_table.py`` from the
public tables of Green et al. 2019 (ApJ 884, 33, arXiv:1908.02765): 3,292 clusters and groups of
10^13.5 to 10^14.8 Msun/h at z = 0.10 to 0.29, each in an ideal image of Chandra (1 Ms; ``deep``),
2,342 of them in one of eROSITA (2 ks with PSF and background; ``erosita``).

How the images were made and measured is nowhere published in full, but the tables give it away:

- Each table lists the pixels of the peak and of the centroid within R500c. Peaks lie all over the
  square of +-2 R500c (at z = 0.1, the detector): in the deep images of z > 0.16, 30 per cent are
  beyond 0.2 R500c and 14 per cent beyond R500c. In a third of the clusters the brightest point is
  that of a satellite or of a neighbour, and all statistics are about it.
- p1 = (d / R)^2 / (2 ln^2 R) holds to six digits with d the distance of peak and centroid and R
  in pixels; p2 tends to the quadrupole of a displaced point, (d / R)^4 / (8 ln^2 R), where d is
  large: all power ratios are about the peak.
- The statistics of the faintest eROSITA images are ratios of whole numbers, c and A over the
  counts, S over nine times the counts: background is not subtracted, the boxcar is 3 x 3 pixels.
- Counts found so, and from the errors of c: the faint images hold 0.003 times the photons of the
  deep ones, at every mass and redshift if the background is 0.113 counts in a pixel of 9.65
  arcsec, as a public code that adds it to the same images has it. A cluster of 10^13.94 Msun/h at
  z = 0.21 has 76,000 photons in the deep image and 230 in the faint one.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

PEAK_BEYOND = {0.2: 0.30, 1.0: 0.14}
"""Part of the deep images of z > 0.16 whose peak is further from the centre, by R500c."""

PATH = Path(__file__).parent / "data" / "magneticum_images.json"


class PublishedStatistic(BaseModel):
    """Distribution of a statistic.

    Parameters
    ----------
    n : int
        Clusters.
    all, low, high : tuple of float
        Percentiles at the table's levels, of all clusters and of the halves by mass; those of
        ``erosita`` weighted as if every cluster had such an image.
    rank_correlation : dict of str to float
        Partial rank correlation, given mass and redshift, with the residual of ``L_X``,
        ``L_X_outside`` (less the projected inner 0.15 R500c), ``M_gas`` and ``T``; in the body
        of ln L_X.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    n: int
    all: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    rank_correlation: dict[str, float]


class OffCentre(BaseModel):
    """Shares of deep images.

    Parameters
    ----------
    outshone : float
        Where c, of the peak, is above `core_share`, of the centre.
    w_above_005, w_above_01 : float
        With a centroid shift above 0.05 and 0.1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    outshone: float
    w_above_005: float
    w_above_01: float


class PublishedImages(BaseModel):
    """The table.

    Parameters
    ----------
    source : str
    levels : tuple of float
        Of the percentiles.
    redshift : (float, float)
        Range.
    log10_m500c : tuple of float
        Percentiles of the masses [Msun/h] at `mass_levels`; the halves by mass meet at the median.
    mass_levels : tuple of float
    body : float
        Share of clusters in the body of ln L_X.
    core_share : PublishedStatistic
        F(r < 0.15 R500c) / F(r < R500c) about the centre.
    deep, erosita : dict of str to PublishedStatistic
        By the fields of `icmass.observe.image_statistics.ImageStatistics`.
    off_centre : OffCentre
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    levels: tuple[float, ...]
    redshift: tuple[float, float]
    log10_m500c: tuple[float, ...]
    mass_levels: tuple[float, ...]
    body: float
    core_share: PublishedStatistic
    deep: dict[str, PublishedStatistic]
    erosita: dict[str, PublishedStatistic]
    off_centre: OffCentre

    def quantiles(self, statistic: PublishedStatistic) -> tuple[float, float, float]:
        """Return the 16th, 50th and 84th percentile of all clusters."""
        low, middle, high = (statistic.all[self.levels.index(level)] for level in (16, 50, 84))
        return low, middle, high

    def cumulative(self, statistic: PublishedStatistic) -> tuple[np.ndarray, np.ndarray]:
        """Return the percentiles of all clusters, and the share of clusters below each."""
        return np.array(statistic.all), np.array(self.levels) / 100


@cache
def published_images() -> PublishedImages:
    """Return the table of Magneticum's image statistics."""
    return PublishedImages.model_validate(json.loads(PATH.read_text()))
