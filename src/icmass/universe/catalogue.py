"""What a simulation's halo catalogue says of a luminosity, beside what its photons show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from icmass.parameter import parameter
from icmass.universe.gas_config import PIVOT
from icmass.universe.references import MAGNETICUM, MAGNETICUM_PHOTONS


class CatalogueConfig(BaseModel):
    """Light that the catalogue's L_X has and the photons have not; masses in Msun/h.

    Magneticum's catalogue sums over all gas particles, dense cold ones too: at fixed mass and gas
    mass its L_X has an upper tail that grows with mass and outliers of a factor 2 to 40, which are
    neither in the images nor in the photon lists of the same clusters (3,292 clusters of Box2/hr,
    public material of Green et al. 2019, ApJ 884, 33, and 81 of them with fitted photons; own fit).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    norm: float = parameter(
        0.67,
        "The catalogue's L_X over APEC's for the gas that emits the photons, at 2e14 Msun/h and "
        "redshift 0, median of the body: 0.72 at 1.4e14 and 0.83 at 2.5e14 Msun/h as measured, for "
        "the catalogue's cooling function is a simpler one.",
        unit="1",
        source=MAGNETICUM_PHOTONS,
        gt=0,
        lt=2,
    )
    norm_slope: float = parameter(
        0.08, "Exponent of mass in norm.", unit="1", source=MAGNETICUM_PHOTONS
    )
    norm_evolution: float = parameter(
        0.5, "Exponent of E(z) in norm.", unit="1", source=MAGNETICUM_PHOTONS
    )
    excess: float = parameter(
        0.08,
        "Mean of the exponential excess of ln L_X at 2e14 Msun/h; 0 for none.",
        unit="ln",
        source=MAGNETICUM,
        ge=0,
        lt=2,
    )
    excess_slope: float = parameter(
        0.5, "Exponent of mass in the mean excess.", unit="1", source=MAGNETICUM
    )
    outlier_fraction: float = parameter(
        0.06, "Fraction of outliers at 2e14 Msun/h.", unit="1", source=MAGNETICUM, ge=0, le=0.5
    )
    outlier_slope: float = parameter(
        0.6, "Exponent of mass in the fraction of outliers.", unit="1", source=MAGNETICUM
    )
    outlier_least: float = parameter(
        0.75, "Least excess of ln L_X of an outlier.", unit="ln", source=MAGNETICUM, ge=0
    )
    outlier_scale: float = parameter(
        1.05,
        "Mean of the exponential by which outliers exceed the least.",
        unit="ln",
        source=MAGNETICUM,
        gt=0,
    )
    outlier_most: float = parameter(
        3.7, "Largest excess of ln L_X of an outlier.", unit="ln", source=MAGNETICUM, gt=0
    )


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
    outlier_excess = config.outlier_least + config.outlier_scale * rng.standard_exponential()
    outlier = rng.random() < config.outlier_fraction * ratio**config.outlier_slope
    return CatalogueExcess(body + outlier * min(outlier_excess, config.outlier_most), bool(outlier))
