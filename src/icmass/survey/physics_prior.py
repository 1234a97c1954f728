"""A continuous prior of the physics: ranges from which whole universes are drawn."""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from icmass.parameter import parameter
from icmass.universe.references import BULBUL_2019, GHIZZARDI_2021

Range = tuple[float, float]

_ALJAMAL = "Aljamal et al. 2025"
_MIGKAS = "Migkas et al. 2024"


class PriorParameter(NamedTuple):
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


def _simple(name: str, least: float, most: float, unit: str = "1") -> PriorParameter:
    return PriorParameter(name, name, "uniform", least, most, unit)


#: Every parameter of a universe, in the order in which they are drawn; new ones come last.
PARAMETERS: tuple[PriorParameter, ...] = (
    PriorParameter("f_gas_groups", "f_gas_groups", "log-uniform", 0.001, 0.25),
    PriorParameter(
        "f_gas_clusters", "f_gas_clusters", "uniform", 0.001, 0.25, above="f_gas_groups"
    ),
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
    PriorParameter("agn_norm", "agn_norm", "log-uniform", 0.01, 100.0),
    _simple("central_duty_cycle", 0.0, 1.0),
    PriorParameter(
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
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    universes: int = parameter(
        1,
        "Number of universes; universe u of a seed is the same however many there are.",
        unit="1",
        ge=1,
        le=1_000_000,
    )
    f_gas_groups: Range = parameter(
        (0.025, 0.085),
        "M_gas / M500c at 10^13.5 Msun/h and redshift 0, uniform in the log. Magneticum has 0.065, "
        "FLAMINGO 0.068, XXL 0.046, eFEDS stacks 0.045, whose groups hold 20 to 40 per cent of the "
        "cosmic fraction, 0.034 to 0.067; eROSITA sees half of FLAMINGO's. IllustrisTNG's 0.10 is "
        "beyond.",
        unit="1",
        source=f"{_ALJAMAL}; Eckert et al. 2016; Popesso et al. 2024; Siegel et al. 2025",
    )
    f_gas_clusters: Range = parameter(
        (0.08, 0.135),
        "M_gas / M500c at 10^14.3 Msun/h and redshift 0, not below that of groups. Magneticum "
        "0.092, FLAMINGO 0.108, SPT clusters 0.115; IllustrisTNG's 0.138 and XXL's 0.068 are "
        "beyond.",
        unit="1",
        source=f"{_ALJAMAL}; {BULBUL_2019}",
    )
    f_gas_ceiling: float = parameter(
        0.15,
        "Largest mean gas fraction, at whatever mass and redshift: the cosmic fraction of baryons, "
        "0.168, less a tenth for stars.",
        unit="1",
        gt=0,
        le=1,
    )
    f_gas_scatter: Range = parameter(
        (0.06, 0.20),
        "Scatter of ln M_gas at 2e14 Msun/h; gas.f_gas_scatter_slope stays. IllustrisTNG 0.06 to "
        "0.09, FLAMINGO 0.07 to 0.11, Magneticum 0.066 to 0.134.",
        unit="ln",
        source=_ALJAMAL,
    )
    f_gas_evolution: Range = parameter(
        (0.0, 0.8), "Exponent of E(z) in M_gas at fixed mass: none, to Magneticum's 0.74.", unit="1"
    )
    t_kev: Range = parameter(
        (2.67, 4.01),
        "Mass-weighted T500 at 2e14 Msun/h and redshift 0: Magneticum's within 20 per cent. eFEDS "
        "2.7, IllustrisTNG 2.9, XXL 3.4; hydrostatic masses give 4.2. eROSITA reads 3 keV lower "
        "than Chandra by 20 per cent and than XMM-Newton by 14.",
        unit="keV",
        source=f"Bahar et al. 2022, A&A 661, A7; Lieu et al. 2016; Arnaud et al. 2005; {_MIGKAS}",
    )
    t_tilt: Range = parameter(
        (-0.20, 0.0),
        "T at 10^15 Msun/h over the power law through lower masses, less 1; ln T bends above 2e14 "
        "Msun/h with the square of ln M. eROSITA reads 10 keV lower than Chandra by 38 and than "
        "XMM-Newton by 32 per cent: a fifth more than at 3 keV.",
        unit="1",
        source=_MIGKAS,
    )
    clumping_scatter: Range = parameter(
        (0.02, 0.12),
        "Scatter of ln L_X at fixed mass, gas mass, core share and slope; at most 0.06 is inferred "
        "from clumping factors.",
        unit="ln",
        source="Eckert et al. 2015; Zhuravleva et al. 2013",
    )
    core_share: Range = parameter(
        (-1.4, -0.5),
        "Mean logit of the share of L_X from within 0.15 R500c. Magneticum -0.80; SPT clusters "
        "-0.78 below and -1.39 above redshift 0.41; X-ray samples more.",
        unit="logit",
        source=BULBUL_2019,
    )
    core_share_width: Range = parameter(
        (0.45, 0.9),
        "Scatter of the core share's logit at 2e14 Msun/h; gas.core_share_width_slope stays. "
        "Magneticum 0.45 to 0.68; the SPT clusters 0.65 and 0.93.",
        unit="logit",
        source=BULBUL_2019,
    )
    cusp_share: Range = parameter(
        (0.1, 0.95),
        "Fraction of the core's share that a narrow cusp gives, median over halos; at most 0.95, "
        "where nothing is left of the main component's core.",
        unit="1",
    )
    abundance: Range = parameter(
        (0.2, 0.4), "Mean metal abundance outside the cores.", unit="solar"
    )
    abundance_scatter: Range = parameter(
        (0.10, 0.35),
        "Scatter of ln abundance between halos at 2e14 Msun/h: below 0.15 within R500 of clusters, "
        "about 0.3 in groups.",
        unit="ln",
        source=GHIZZARDI_2021,
    )
    lt_correlation: Range = parameter(
        (-0.4, 0.4),
        "Correlation of ln L_X and ln T at 2e14 Msun/h, made by that of temperature and gas mass; "
        "Magneticum's body has -0.36.",
        unit="1",
    )
    agn_norm: Range = parameter(
        (0.5, 2.0),
        "Luminosity of AGN in clusters over the configuration's, uniform in the log: number of "
        "satellite AGN, luminosity of central ones. The field, whose counts are measured, stays.",
        unit="1",
    )
    central_duty_cycle: Range = parameter(
        (0.05, 0.45),
        "Probability of an active nucleus in the central galaxy, without cool core; with one, at "
        "least that and within the same range. A tenth of eFEDS clusters taken for point sources "
        "have one.",
        unit="1",
        source="Bulbul et al. 2022",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for entry in PARAMETERS:
            lo, hi = getattr(self, entry.field)
            if not entry.least <= lo <= hi <= entry.most:
                raise ValueError(
                    f"{entry.field} must ascend within {entry.least:g} and "
                    f"{entry.most:g}, is {lo:g} to {hi:g}"
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
        for entry, u in zip(PARAMETERS, rng.random(len(PARAMETERS)).tolist(), strict=True):
            lo, hi = getattr(self, entry.field)
            if entry.above is not None:
                lo = max(lo, drawn[entry.above])
            if entry.law == "log-uniform":
                value = float(np.exp(np.log(lo) + u * (np.log(hi) - np.log(lo))))
            else:
                value = lo + u * (hi - lo)
            drawn[entry.name] = min(max(value, lo), hi)
        return drawn
