"""The physics of the intracluster gas as numbers, each with its unit and source."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from icmass.parameter import parameter
from icmass.universe.references import (
    GHIZZARDI_2021,
    MAGNETICUM,
    MAGNETICUM_IMAGES,
    MAGNETICUM_PHOTONS,
)

PIVOT = 2e14
"""Mass at which relations are normalised [Msun/h]."""
GROUPS = 10**13.5
"""M500c below which halos lose more of their gas [Msun/h]; the least of a survey of clusters."""

_VIKHLININ = "Vikhlinin et al. 2006, ApJ 640, 691"
_LAU = "Lau et al. 2011, ApJ 734, 93"
_OUTSKIRTS = "X-COP, Ghirardini et al. 2019, A&A 621, A41; Pratt et al. 2022, A&A 665, A24"


class GasConfig(BaseModel):
    """Physics of the gas; masses in Msun/h, pivot 2e14 Msun/h, E(z) normalised at redshift 0.

    Notes
    -----
    Relations, scatters and core shares are those of 3,292 clusters of Magneticum Box2/hr (public
    material of Green et al. 2019, ApJ 884, 33), own fits; the body of the distribution of L_X,
    without the 3.5 per cent of outliers of the catalogue (`icmass.universe.catalogue`). Photons of
    81 clusters set the normalisation and the slope of the luminosity. Profiles follow
    Vikhlinin et al. 2006, ApJ 640, 691; shapes Lau et al. 2011, ApJ 734, 93.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    f_gas: float = parameter(
        0.0923,
        "M_gas / M500c at the pivot mass and redshift 0.",
        unit="1",
        source=MAGNETICUM,
        gt=0,
        lt=0.3,
    )
    f_gas_slope: float = parameter(
        0.193, "Exponent of mass in the gas fraction.", unit="1", source=MAGNETICUM
    )
    f_gas_evolution: float = parameter(
        0.73, "Exponent of E(z) in the gas fraction.", unit="1", source=MAGNETICUM
    )
    f_gas_scatter: float = parameter(
        0.083, "Scatter of ln M_gas at the pivot mass.", unit="ln", source=MAGNETICUM, ge=0, lt=1
    )
    f_gas_scatter_slope: float = parameter(
        -0.065,
        "Change of the scatter of ln M_gas per dex of mass: 0.134 at 10^13.5 Msun/h, 0.066 at "
        "10^14.5.",
        unit="ln/dex",
        source=MAGNETICUM,
    )
    group_slope: float = parameter(
        0.40,
        "Exponent of mass that the gas fraction gains below 10^13.5 Msun/h: groups of 10^13 Msun/h "
        "hold 3 per cent of gas.",
        unit="1",
        source="stacks of eFEDS groups, Popesso et al. 2024, arXiv:2411.16555",
        ge=0,
        lt=3,
    )
    f_gas_ceiling: float = parameter(
        1.0, "Largest mean gas fraction, at whatever mass and redshift.", unit="1", gt=0, le=1
    )
    hot_fraction: float = parameter(
        0.93, "Share of the gas mass that is hot enough to emit X-rays.", unit="1", gt=0, le=1
    )
    t_kev: float = parameter(
        3.34,
        "Mass-weighted T500 at the pivot mass and redshift 0.",
        unit="keV",
        source=MAGNETICUM,
        gt=0.2,
        lt=20,
    )
    t_slope: float = parameter(
        0.631, "Exponent of mass in the temperature.", unit="1", source=MAGNETICUM
    )
    t_evolution: float = parameter(
        0.31, "Exponent of E(z) in the temperature.", unit="1", source=MAGNETICUM
    )
    t_scatter: float = parameter(
        0.075, "Scatter of ln T at fixed mass.", unit="ln", source=MAGNETICUM, ge=0, lt=1
    )
    t_curvature: float = parameter(
        0.0,
        "Curvature of the T-M relation: ln T gains t_curvature (ln M/pivot)^2 above the pivot.",
        unit="1",
        ge=-0.2,
        le=0.2,
    )
    phases: float = parameter(
        0.28,
        "Half the difference of ln T of the two phases of equal mass and pressure in every shell, "
        "median over halos: spectroscopic temperatures are 13 +- 9 per cent below mass-weighted.",
        unit="ln",
        source=MAGNETICUM_PHOTONS,
        ge=0,
        lt=1,
    )
    phases_scatter: float = parameter(
        0.20,
        "Scatter of ln phases between halos, larger for the disturbed.",
        unit="ln",
        source=MAGNETICUM_PHOTONS,
        ge=0,
        lt=1.5,
    )
    core_share: float = parameter(
        -0.78,
        "Mean logit of the share of L_X from within 0.15 R500c in projection.",
        unit="logit",
        source=MAGNETICUM,
        gt=-4,
        lt=3,
    )
    core_share_width: float = parameter(
        0.465,
        "Scatter of the logit of the core share at the pivot mass; the share's median is 0.31, 16 "
        "to 84 per cent 0.20 to 0.45.",
        unit="logit",
        source=MAGNETICUM,
        ge=0,
        lt=2,
    )
    core_share_width_slope: float = parameter(
        -0.14, "Change of core_share_width per dex of mass.", unit="logit/dex", source=MAGNETICUM
    )
    cusp_share: float = parameter(
        0.30,
        "Fraction of the core's share that a second, narrow beta model gives, median over halos; "
        "the core radius of the main one follows.",
        unit="1",
        source=f"equation 3 of {_VIKHLININ}",
        ge=0,
        le=1,
    )
    cusp_share_scatter: float = parameter(
        0.25, "Scatter of ln cusp_share between halos.", unit="ln", ge=0, lt=2
    )
    cusp_radius: float = parameter(
        0.04,
        "Core radius of the narrow beta model, median over halos.",
        unit="R500c",
        gt=0.005,
        lt=0.5,
    )
    cusp_radius_scatter: float = parameter(
        0.3, "Scatter of ln cusp_radius between halos.", unit="ln", ge=0, lt=1.5
    )
    clump_cusp_share: float = parameter(
        0.95,
        "As cusp_share, of substructures and neighbours: in 30 per cent of the images the "
        "brightest pixel is a satellite's or a neighbour's.",
        unit="1",
        source=MAGNETICUM_IMAGES,
        ge=0,
        le=0.95,
    )
    clump_cusp_radius: float = parameter(
        0.008,
        "As cusp_radius, of substructures and neighbours.",
        unit="R500c",
        source=MAGNETICUM_IMAGES,
        gt=0.002,
        lt=0.5,
    )
    cool_core_share: float = parameter(
        0.35,
        "Core share of L_X above which a core is cool: colder and metal-richer.",
        unit="1",
        gt=0,
        lt=1,
    )
    beta: float = parameter(
        0.57,
        "Slope beta of the density at the pivot mass and the mean core share.",
        unit="1",
        gt=0.3,
        lt=1.2,
    )
    beta_slope: float = parameter(0.04, "Change of beta per unit of ln mass.", unit="1")
    beta_core: float = parameter(
        -0.25,
        "Change of beta per unit of ln core share: small cores go with flat slopes.",
        unit="1",
    )
    beta_scatter: float = parameter(
        0.045, "Scatter of beta at fixed mass and core share.", unit="1", ge=0, lt=0.3
    )
    outer: float = parameter(
        0.8,
        "Radius of the outer steepening, set so that the density falls from 0.19 to 1 R500c as "
        "observed.",
        unit="R500c",
        source=_OUTSKIRTS,
        gt=0.1,
        lt=5,
    )
    epsilon: float = parameter(
        2.5,
        "Strength of the outer steepening, mean over halos.",
        unit="1",
        source=f"form: equation 3 of {_VIKHLININ}",
        ge=0,
        lt=6,
    )
    epsilon_scatter: float = parameter(
        0.8, "Scatter of epsilon between halos.", unit="1", ge=0, lt=2
    )
    drop_cool: float = parameter(
        0.45,
        "Central temperature of the coolest cores over that without a cool core.",
        unit="1",
        source=_VIKHLININ,
        gt=0.1,
        le=1.2,
    )
    drop_other: float = parameter(
        0.95,
        "Central temperature of halos without any cool core over that of the outer profile.",
        unit="1",
        gt=0.1,
        le=1.2,
    )
    abundance: float = parameter(
        0.27, "Metal abundance outside the core.", unit="solar", ge=0, lt=2
    )
    abundance_core: float = parameter(
        0.35, "Central excess of the abundance of cool cores.", unit="solar", ge=0, lt=2
    )
    abundance_radius: float = parameter(
        0.08, "Radius of the central excess of the abundance.", unit="R500c", gt=0, lt=1
    )
    abundance_scatter: float = parameter(
        0.17,
        "Scatter of ln abundance between halos at the pivot mass.",
        unit="ln",
        source=GHIZZARDI_2021,
        ge=0,
        lt=1,
    )
    abundance_scatter_slope: float = parameter(
        -0.18,
        "Change of abundance_scatter per dex of mass: below 15 per cent within R500 of clusters, "
        "30 per cent in groups.",
        unit="ln/dex",
        source=GHIZZARDI_2021,
    )
    clumping: float = parameter(
        0.20,
        "Mean of ln C at the pivot mass and redshift 0, C the luminosity over that of smooth hot "
        "gas of the same mass with the mean profile.",
        unit="ln",
        source=MAGNETICUM_PHOTONS,
        gt=-2,
        lt=2,
    )
    clumping_slope: float = parameter(
        0.03, "Change of ln C per unit of ln mass.", unit="1", source=MAGNETICUM_PHOTONS
    )
    clumping_evolution: float = parameter(0.0, "Change of ln C per unit of ln E(z).", unit="1")
    core_emission: float = parameter(
        0.165,
        "d ln L_X / d ln (core share) at fixed mass and gas mass.",
        unit="1",
        source=MAGNETICUM,
        gt=-2,
        lt=2,
    )
    slope_emission: float = parameter(
        0.045,
        "Change of ln L_X at fixed mass, gas mass and core share when beta is steeper by "
        "beta_scatter.",
        unit="ln",
        source=MAGNETICUM_PHOTONS,
        ge=0,
        lt=0.5,
    )
    clumping_scatter: float = parameter(
        0.04,
        "Scatter of ln L_X at fixed mass, gas mass, core share and slope: unresolved clumps. With "
        "slope_emission it is 0.06 (0.086 at fixed gas mass, with projections).",
        unit="ln",
        source=MAGNETICUM_PHOTONS,
        ge=0,
        lt=1,
    )
    axis_q: float = parameter(
        0.85, "Mean intermediate over major axis of the gas.", unit="1", source=_LAU, gt=0.3, le=1
    )
    axis_s: float = parameter(
        0.75, "Mean minor over major axis of the gas.", unit="1", source=_LAU, gt=0.3, le=1
    )
    axis_scatter: float = parameter(
        0.11, "Scatter of both axis ratios between halos.", unit="1", source=_LAU, ge=0, lt=0.3
    )
    lopsidedness: float = parameter(
        0.09,
        "Median offset of the shell at R500c from the centre. It grows with radius as "
        "r / (r + 0.15 R500c) and lies along the longest axis, that of infall.",
        unit="R500c",
        source=f"centroid shifts of {MAGNETICUM_IMAGES}",
        ge=0,
        lt=0.5,
    )
    lopsidedness_scatter: float = parameter(
        1.0,
        "Scatter of ln lopsidedness between halos, along the latent disturbance.",
        unit="ln",
        ge=0,
        lt=2,
    )
    abundance_table: Literal["angr", "lodd", "aspl"] = parameter(
        "angr",
        "Solar abundances: angr, Anders & Grevesse 1989; lodd, Lodders 2003; aspl, Asplund et al. "
        "2009.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.drop_cool > self.drop_other:
            raise ValueError("drop_cool must not exceed drop_other")
        return self
