"""What a simulation's halo catalogue says of a luminosity, beside what its photons show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from icmass.universe.gas_config import PIVOT


class CatalogueConfig(BaseModel):
    """Light that the catalogue's L_X has and the photons have not; masses in Msun/h.

    Magneticum's catalogue sums over all gas particles, dense cold ones too: at fixed mass and gas
    mass its L_X has an upper tail that grows with mass and outliers of a factor 2 to 40, which are
    neither in the images nor in the photon lists of the same clusters (3,292 clusters of Box2/hr,
    public material of Green et al. 2019, ApJ 884, 33, and 81 of them with fitted photons; own fit).

    Parameters
    ----------
    norm, norm_slope, norm_evolution : float
        The catalogue's L_X over APEC's for the gas that emits the photons, at 2e14 Msun/h and
        redshift 0, median of the body, its exponents of mass and E(z). The 81 clusters have 0.72
        at 1.4e14 and 0.83 at 2.5e14 Msun/h: the catalogue's cooling function is a simpler one.
    excess, excess_slope : float
        Mean of the exponential excess of ln L_X at 2e14 Msun/h, exponent of mass; 0 for none.
    outlier_fraction, outlier_slope : float
        Share of outliers at 2e14 Msun/h, exponent of mass.
    outlier_least, outlier_scale, outlier_most : float
        Their excess of ln L_X: from the least on an exponential of this scale, at most the most.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    norm: float = Field(0.67, gt=0, lt=2)
    norm_slope: float = 0.08
    norm_evolution: float = 0.5
    excess: float = Field(0.08, ge=0, lt=2)
    excess_slope: float = 0.5
    outlier_fraction: float = Field(0.06, ge=0, le=0.5)
    outlier_slope: float = 0.6
    outlier_least: float = Field(0.75, ge=0)
    outlier_scale: float = Field(1.05, gt=0)
    outlier_most: float = Field(3.7, gt=0)


@dataclass(frozen=True)
class CatalogueExcess:
    """ln of a catalogue's L_X over that of the photons, and whether it is an outlier."""

    ln_luminosity: float
    outlier: bool


def draw_excess(
    m500c: float, efunc: float, config: CatalogueConfig, rng: np.random.Generator
) -> CatalogueExcess:
    """Draw ln of a catalogue's L_X over that of the photons, of a halo of mass M500c [Msun/h]."""
    ratio = m500c / PIVOT
    body = np.log(config.norm) + config.norm_slope * np.log(ratio)
    body += config.norm_evolution * np.log(efunc)
    body += config.excess * (ratio**config.excess_slope * rng.standard_exponential() - np.log(2))
    far = config.outlier_least + config.outlier_scale * rng.standard_exponential()
    outlier = rng.random() < config.outlier_fraction * ratio**config.outlier_slope
    return CatalogueExcess(body + outlier * min(far, config.outlier_most), bool(outlier))
