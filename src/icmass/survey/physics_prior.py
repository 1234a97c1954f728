"""A continuous prior of the physics: ranges from which whole universes are drawn."""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

Range = tuple[float, float]


class Parameter(NamedTuple):
    """A parameter of a universe, and how it is drawn from its range.

    Attributes
    ----------
    name : str
    field : str
        The range of `PhysicsPrior` that it is drawn from.
    law : {"uniform", "log-uniform"}
    least, most : float
        What a range may reach.
    unit : str
    above : str or None
        A parameter that it is not below: its range begins there if that is higher.
    """

    name: str
    field: str
    law: Literal["uniform", "log-uniform"]
    least: float
    most: float
    unit: str = "1"
    above: str | None = None


def _simple(name: str, least: float, most: float, unit: str = "1") -> Parameter:
    return Parameter(name, name, "uniform", least, most, unit)


#: Every parameter of a universe, in the order in which they are drawn; new ones come last.
PARAMETERS: tuple[Parameter, ...] = (
    Parameter("f_gas_groups", "f_gas_groups", "log-uniform", 0.001, 0.25),
    Parameter("f_gas_clusters", "f_gas_clusters", "uniform", 0.001, 0.25, above="f_gas_groups"),
    _simple("f_gas_scatter", 0.0, 0.5),
    _simple("f_gas_evolution", -2.0, 2.0),
    _simple("t_kev", 0.5, 15.0, "keV"),
    _simple("t_tilt", -0.4, 0.5),
    _simple("clumping_scatter", 0.0, 0.5),
    _simple("core_share", -3.0, 1.0),
    _simple("core_share_width", 0.0, 1.5),
    _simple("cusp_share", 0.0, 0.95),
    _simple("abundance", 0.0, 1.5, "solar"),
    _simple("abundance_scatter", 0.0, 0.5),
    _simple("lt_correlation", -0.9, 0.9),
    Parameter("agn_norm", "agn_norm", "log-uniform", 0.01, 100.0),
    _simple("central_duty_cycle", 0.0, 1.0),
    Parameter(
        "central_duty_cycle_cool",
        "central_duty_cycle",
        "uniform",
        0.0,
        1.0,
        above="central_duty_cycle",
    ),
)
NAMES = tuple(parameter.name for parameter in PARAMETERS)


class PhysicsPrior(BaseModel):
    """Universes of one survey, each with physics of its own, even within these ranges.

    The ranges are a judgement: what simulations and observations say by 2026, with some room. A
    range of one value, ``[0.05, 0.05]``, fixes a parameter, and leaves the others as they are
    drawn. Masses in Msun/h.

    Parameters
    ----------
    universes : int
        How many. Universe u of a seed is the same however many there are.
    f_gas_groups : (float, float)
        M_gas / M500c at 10^13.5 and redshift 0, even in the log. Magneticum has 0.065, FLAMINGO
        0.068 (Aljamal et al. 2025), XXL 0.046 (Eckert et al. 2016), eFEDS stacks 0.045 (Popesso et
        al. 2024), who find groups to hold 20 to 40 per cent of the cosmic share, 0.034 to 0.067;
        eROSITA sees half of FLAMINGO's (Siegel et al. 2025). IllustrisTNG's 0.10 is beyond.
    f_gas_clusters : (float, float)
        The same at 10^14.3, not below that of groups. Magneticum 0.092, FLAMINGO 0.108, SPT
        clusters 0.115 (Bulbul et al. 2019); IllustrisTNG's 0.138 and XXL's 0.068 are beyond.
    f_gas_ceiling : float
        The mean gas fraction rises no further, neither with mass nor with redshift: the cosmic
        share of baryons, 0.168, less a tenth for stars.
    f_gas_scatter : (float, float)
        Scatter of ln M_gas at 2e14; `gas.f_gas_scatter_slope` stays. IllustrisTNG 0.06 to 0.09,
        FLAMINGO 0.07 to 0.11 (Aljamal et al. 2025), Magneticum 0.066 to 0.134.
    f_gas_evolution : (float, float)
        Exponent of E(z) in M_gas at fixed mass: none, to Magneticum's 0.74.
    t_kev : (float, float)
        Mass-weighted T500 at 2e14 and redshift 0 [keV]: Magneticum's within 20 per cent. eFEDS 2.7
        (Bahar et al. 2022), IllustrisTNG 2.9, XXL 3.4 (Lieu et al. 2016); hydrostatic masses give
        4.2 (Arnaud et al. 2005). eROSITA reads 3 keV lower than Chandra by 20 per cent and than
        XMM-Newton by 14 (Migkas et al. 2024).
    t_tilt : (float, float)
        T at 10^15 over the power law through lower masses, less 1; ln T bends above 2e14 with the
        square of ln M. eROSITA reads 10 keV lower than Chandra by 38 and than XMM-Newton by 32 per
        cent (Migkas et al. 2024): a fifth more than at 3 keV.
    clumping_scatter : (float, float)
        Scatter of ln L_X at fixed mass, gas mass, core share and slope. At most 0.06 is inferred
        from clumping factors (Eckert et al. 2015, Zhuravleva et al. 2013).
    core_share : (float, float)
        Mean logit of the light's share from within 0.15 R500c. Magneticum -0.80; SPT clusters -0.78
        below and -1.39 above redshift 0.41 (Bulbul et al. 2019); X-ray samples more.
    core_share_width : (float, float)
        Its scatter at 2e14; `gas.core_share_width_slope` stays. Magneticum 0.45 to 0.68; the SPT
        clusters 0.65 and 0.93.
    cusp_share : (float, float)
        Part of the core's share that is a narrow cusp, median over halos; at most 0.95, where
        nothing is left of the main component's core.
    abundance, abundance_scatter : (float, float)
        Abundance [solar] and its scatter in ln at 2e14: below 0.15 within R500 of clusters
        (Ghizzardi et al. 2021), about 0.3 in groups.
    lt_correlation : (float, float)
        Correlation of ln L_X and ln T at 2e14, by that of temperature and gas mass. Magneticum's
        body has -0.36.
    agn_norm : (float, float)
        Light of AGN in clusters over the configuration's, even in the log: number of satellite
        AGN, luminosity of central ones. The field, whose counts are measured, stays.
    central_duty_cycle : (float, float)
        Probability of an active nucleus in the central galaxy, without cool core; with one, at
        least that and within the same range. A tenth of eFEDS clusters taken for points have one
        (Bulbul et al. 2022).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    universes: int = Field(1, ge=1, le=1_000_000)
    f_gas_groups: Range = (0.025, 0.085)
    f_gas_clusters: Range = (0.08, 0.135)
    f_gas_ceiling: float = Field(0.15, gt=0, le=1)
    f_gas_scatter: Range = (0.06, 0.20)
    f_gas_evolution: Range = (0.0, 0.8)
    t_kev: Range = (2.67, 4.01)
    t_tilt: Range = (-0.20, 0.0)
    clumping_scatter: Range = (0.02, 0.12)
    core_share: Range = (-1.4, -0.5)
    core_share_width: Range = (0.45, 0.9)
    cusp_share: Range = (0.1, 0.95)
    abundance: Range = (0.2, 0.4)
    abundance_scatter: Range = (0.10, 0.35)
    lt_correlation: Range = (-0.4, 0.4)
    agn_norm: Range = (0.5, 2.0)
    central_duty_cycle: Range = (0.05, 0.45)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for parameter in PARAMETERS:
            lo, hi = getattr(self, parameter.field)
            if not parameter.least <= lo <= hi <= parameter.most:
                raise ValueError(
                    f"{parameter.field} must ascend within {parameter.least:g} and "
                    f"{parameter.most:g}, is {lo:g} to {hi:g}"
                )
        if self.f_gas_clusters[1] < self.f_gas_groups[1]:
            raise ValueError("f_gas_clusters must reach as high as f_gas_groups")
        if self.f_gas_ceiling < self.f_gas_clusters[1]:
            raise ValueError("f_gas_ceiling must not be below f_gas_clusters")
        return self

    def draw(self, rng: np.random.Generator) -> dict[str, float]:
        """Return the parameters of one universe, by `NAMES`.

        One uniform number is drawn for each, so that another range changes its own parameter alone
        (and what must not be below it).
        """
        drawn: dict[str, float] = {}
        for parameter, u in zip(PARAMETERS, rng.random(len(PARAMETERS)).tolist(), strict=True):
            lo, hi = getattr(self, parameter.field)
            if parameter.above is not None:
                lo = max(lo, drawn[parameter.above])
            if parameter.law == "log-uniform":
                value = float(np.exp(np.log(lo) + u * (np.log(hi) - np.log(lo))))
            else:
                value = lo + u * (hi - lo)
            drawn[parameter.name] = min(max(value, lo), hi)
        return drawn
