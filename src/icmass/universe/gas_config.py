"""The physics of the intracluster gas as numbers, each with its source."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

PIVOT = 2e14
"""Mass at which relations are normalised [Msun/h]."""
GROUPS = 10**13.5
"""M500c below which halos lose more of their gas [Msun/h]; the least of a survey of clusters."""


class GasConfig(BaseModel):
    """Physics of the gas; masses in Msun/h, pivot 2e14 Msun/h, E(z) normalised at redshift 0.

    Relations, scatters and core shares are those of 3,292 clusters of Magneticum Box2/hr (public
    material of Green et al. 2019, ApJ 884, 33), own fits; the body of the distribution of L_X,
    without the 3.5 per cent of outliers of the catalogue (`icmass.universe.catalogue`). Photons of
    81 clusters set the normalisation and the slope of the luminosity. Profiles follow
    Vikhlinin et al. 2006, ApJ 640, 691; shapes Lau et al. 2011, ApJ 734, 93.

    Parameters
    ----------
    f_gas, f_gas_slope, f_gas_evolution : float
        M_gas / M500c at the pivot and redshift 0, slope with mass, exponent of E(z).
    f_gas_scatter, f_gas_scatter_slope : float
        Scatter of ln M_gas at the pivot, its change per dex of mass: 0.134 at 10^13.5 Msun/h and
        0.066 at 10^14.5.
    group_slope : float
        More slope with mass of the gas fraction below 10^13.5 Msun/h: groups of 10^13 Msun/h then
        hold 3 per cent of gas, as those stacked in eFEDS (Popesso et al. 2024, arXiv:2411.16555).
    f_gas_ceiling : float
        The mean gas fraction rises with mass and redshift no further than this.
    hot_fraction : float
        Share of the gas mass hot enough to shine in X-rays.
    t_kev, t_slope, t_evolution, t_scatter : float
        Mass-weighted T500 at the pivot and redshift 0 [keV], slope with mass, exponent of E(z),
        scatter in ln.
    t_curvature : float
        Bend of the relation above the pivot: ln T gains t_curvature (ln M / pivot)^2.
    phases, phases_scatter : float
        Half the spread of ln T between the two phases of equal mass and pressure that share every
        shell, median and scatter in ln: what makes spectroscopic temperatures lower than
        mass-weighted ones, by 13 +- 9 per cent in Magneticum's photons. The disturbed have the
        larger ones.
    core_share : float
        Mean logit of the share of L_X that comes from within 0.15 R500c in projection.
    core_share_width, core_share_width_slope : float
        Its scatter at the pivot, change per dex of mass; Magneticum's medians of the share are
        0.31 (16 to 84 per cent: 0.20 to 0.45).
    cusp_share : float
        Part of the core's share that is a second, narrow component (the second beta model of
        Vikhlinin et al. 2006, equation 3), median over halos; the rest is the core radius.
    cusp_share_scatter : float
        Its scatter in ln.
    cusp_radius, cusp_radius_scatter : float
        Core radius over R500c of that component, its scatter in ln.
    clump_cusp_share, clump_cusp_radius : float
        The same for substructures and neighbours: in 30 per cent of Magneticum's deep images the
        brightest pixel is a satellite's or a neighbour's.
    cool_core_share : float
        Halos whose core has more than this share of L_X have a cool core: colder and metal-richer.
    beta, beta_slope, beta_core, beta_scatter : float
        Slope of the beta model at the pivot and the mean core share, its change per unit ln mass
        and per unit ln of the core share (small cores go with flat slopes), its scatter.
    outer, epsilon, epsilon_scatter : float
        Radius over R500c and strength of the outer steepening, scatter of the strength; the radius
        is set so that the density falls from 0.19 to 1 R500c as in X-COP (Ghirardini et al. 2019,
        A&A 621, A41) and in 93 SZ clusters (Pratt et al. 2022, A&A 665, A24).
    drop_cool, drop_other : float
        Central temperature drop of the coolest cores and of halos without any.
    abundance, abundance_core, abundance_radius : float
        Abundance outside, its central rise in cool cores [solar], radius of the rise over R500c.
    abundance_scatter, abundance_scatter_slope : float
        Scatter of ln abundance between halos at the pivot, its change per dex of mass: below 15 per
        cent within R500 of clusters (Ghizzardi et al. 2021, A&A 646, A92), 30 per cent in groups.
    clumping, clumping_slope, clumping_evolution : float
        Mean of ln C at the pivot and redshift 0, C the luminosity over that of smooth hot gas of
        the same mass with the mean profile; its change per unit ln mass and ln E(z).
    core_emission : float
        d ln L_X / d ln (core share) at fixed mass and gas mass.
    slope_emission : float
        Change of ln L_X at fixed mass, gas mass and core share for a slope steeper by
        `beta_scatter`: gas nearer to the centre shines more.
    clumping_scatter : float
        Scatter of ln L_X at fixed mass, gas mass, core share and slope: clumps too small to be
        seen. With `slope_emission` 0.06, as 81 clusters of Magneticum have it in their photons
        (0.086 at fixed gas mass, with projections).
    axis_q, axis_s, axis_scatter : float
        Mean intermediate and minor axis over the major one, and their scatter.
    lopsidedness : float
        Median offset of the shell at R500c from the centre, over R500c. It grows with radius as
        r / (r + 0.15 R500c) and lies along the longest axis, that of infall; calibrated on the
        centroid shifts of Green et al. 2019.
    lopsidedness_scatter : float
        Scatter in ln of that offset; the disturbed have the larger ones.
    abundance_table : {"angr", "lodd", "aspl"}
        Solar abundances: Anders & Grevesse 1989, Lodders 2003, Asplund et al. 2009.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    f_gas: float = Field(0.0923, gt=0, lt=0.3)
    f_gas_slope: float = 0.193
    f_gas_evolution: float = 0.73
    f_gas_scatter: float = Field(0.083, ge=0, lt=1)
    f_gas_scatter_slope: float = -0.065
    group_slope: float = Field(0.40, ge=0, lt=3)
    f_gas_ceiling: float = Field(1.0, gt=0, le=1)
    hot_fraction: float = Field(0.93, gt=0, le=1)
    t_kev: float = Field(3.34, gt=0.2, lt=20)
    t_slope: float = 0.631
    t_evolution: float = 0.31
    t_scatter: float = Field(0.075, ge=0, lt=1)
    t_curvature: float = Field(0.0, ge=-0.2, le=0.2)
    phases: float = Field(0.28, ge=0, lt=1)
    phases_scatter: float = Field(0.20, ge=0, lt=1.5)
    core_share: float = Field(-0.78, gt=-4, lt=3)
    core_share_width: float = Field(0.465, ge=0, lt=2)
    core_share_width_slope: float = -0.14
    cusp_share: float = Field(0.30, ge=0, le=1)
    cusp_share_scatter: float = Field(0.25, ge=0, lt=2)
    cusp_radius: float = Field(0.04, gt=0.005, lt=0.5)
    cusp_radius_scatter: float = Field(0.3, ge=0, lt=1.5)
    clump_cusp_share: float = Field(0.95, ge=0, le=0.95)
    clump_cusp_radius: float = Field(0.008, gt=0.002, lt=0.5)
    cool_core_share: float = Field(0.35, gt=0, lt=1)
    beta: float = Field(0.57, gt=0.3, lt=1.2)
    beta_slope: float = 0.04
    beta_core: float = -0.25
    beta_scatter: float = Field(0.045, ge=0, lt=0.3)
    outer: float = Field(0.8, gt=0.1, lt=5)
    epsilon: float = Field(2.5, ge=0, lt=6)
    epsilon_scatter: float = Field(0.8, ge=0, lt=2)
    drop_cool: float = Field(0.45, gt=0.1, le=1.2)
    drop_other: float = Field(0.95, gt=0.1, le=1.2)
    abundance: float = Field(0.27, ge=0, lt=2)
    abundance_core: float = Field(0.35, ge=0, lt=2)
    abundance_radius: float = Field(0.08, gt=0, lt=1)
    abundance_scatter: float = Field(0.17, ge=0, lt=1)
    abundance_scatter_slope: float = -0.18
    clumping: float = Field(0.20, gt=-2, lt=2)
    clumping_slope: float = 0.03
    clumping_evolution: float = 0.0
    core_emission: float = Field(0.165, gt=-2, lt=2)
    slope_emission: float = Field(0.045, ge=0, lt=0.5)
    clumping_scatter: float = Field(0.04, ge=0, lt=1)
    axis_q: float = Field(0.85, gt=0.3, le=1)
    axis_s: float = Field(0.75, gt=0.3, le=1)
    axis_scatter: float = Field(0.11, ge=0, lt=0.3)
    lopsidedness: float = Field(0.09, ge=0, lt=0.5)
    lopsidedness_scatter: float = Field(1.0, ge=0, lt=2)
    abundance_table: Literal["angr", "lodd", "aspl"] = "angr"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.drop_cool > self.drop_other:
            raise ValueError("drop_cool must not exceed drop_other")
        return self
