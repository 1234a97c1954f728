"""The galaxies in and around clusters as numbers, each with its unit and source."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from icmass.parameter import parameter
from icmass.universe.references import HO_2023

_BALDRY = "Baldry et al. 2012, MNRAS 421, 621"
_KRAVTSOV_2018 = "Kravtsov, Vikhlinin & Meshcheryakov 2018, AstL 44, 8"
_AXES = "dark matter: Jing & Suto 2002, ApJ 574, 538; Allgood et al. 2006, MNRAS 367, 1781"
_STARS = "170 clusters of Magneticum Box2/hr above 10^13.5 Msun/h, own fit"


class GalaxyConfig(BaseModel):
    """Galaxies in and around clusters; stellar masses in Msun/h."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: float = parameter(
        53.0,
        "Satellites within R500c of a halo of M500c = 1e14 Msun/h.",
        unit="1",
        source=f"galaxy numbers of {HO_2023}",
        ge=0,
        lt=1e3,
    )
    number_slope: float = parameter(
        0.75,
        "Exponent of M500c in the number of satellites.",
        unit="1",
        source=f"galaxy numbers of {HO_2023}",
        gt=0,
        lt=2,
    )
    number_scatter: float = parameter(
        0.165,
        "Scatter of ln number at fixed mass besides Poisson noise.",
        unit="ln",
        source=f"galaxy numbers of {HO_2023}",
        ge=0,
        lt=1,
    )
    log_m500c_cut: float = parameter(
        12.15,
        "log10 of the mass M_cut below which halos have few satellites: their number falls by "
        "exp(-M_cut/M).",
        unit="log10(Msun/h)",
        source="Kravtsov et al. 2004, ApJ 609, 35; Zehavi et al. 2005, ApJ 630, 1",
        gt=10,
        lt=14,
    )
    concentration_ratio: float = parameter(
        0.6,
        "Concentration of the galaxies over that of the mass: c200c of 2.6 to 3.6 in observed "
        "clusters, and 5 in mass.",
        unit="1",
        source="Budzynski et al. 2012, MNRAS 423, 104; Hennig et al. 2017, MNRAS 467, 4015",
        gt=0.1,
        lt=3,
    )
    concentration_scatter_dex: float = parameter(
        0.16,
        "Scatter of log10 concentration at fixed mass, along the latent concentration.",
        unit="dex",
        source="Diemer & Joyce 2019, ApJ 871, 168",
        ge=0,
        lt=1,
    )
    extent: float = parameter(
        2.0,
        "Radius that members reach: 1.3 R200c, where neighbours begin; beyond are the neighbours' "
        "galaxies and the field.",
        unit="R500c",
        gt=1,
        le=5,
    )
    axis_q: float = parameter(
        0.75,
        "Intermediate over major axis of the members' distribution.",
        unit="1",
        source=_AXES,
        gt=0.3,
        le=1,
    )
    axis_s: float = parameter(
        0.62,
        "Minor over major axis of the members' distribution.",
        unit="1",
        source=_AXES,
        gt=0.3,
        le=1,
    )
    velocity_axis: float = parameter(
        0.5,
        "Exponent of an axis' length in the velocity dispersion along it: velocity ellipsoids are "
        "rounder than halos and aligned.",
        unit="1",
        source="Kasun & Evrard 2005, ApJ 629, 781",
        ge=0,
        le=1,
    )
    anisotropy: float = parameter(
        0.2,
        "Velocity anisotropy beta of members.",
        unit="1",
        source="mean of Mamon & Lokas 2005, MNRAS 363, 705",
        gt=-2,
        lt=0.5,
    )
    velocity_bias: float = parameter(
        1.0,
        "Velocity dispersion of galaxies over that of dark matter: 1 for galaxies selected by "
        "stellar mass.",
        unit="1",
        source="Lau, Nagai & Kravtsov 2010, ApJ 708, 1419",
        gt=0.5,
        lt=2,
    )
    velocity_scatter: float = parameter(
        0.075,
        "Scatter of ln of a halo's velocity dispersion at fixed mass, along the latent velocity.",
        unit="ln",
        source=f"sigma_v_true of {HO_2023}",
        ge=0,
        lt=1,
    )
    field_density: float = parameter(
        0.0075,
        "Mean density of galaxies outside halos above 10^12.3 Msun/h; with those inside it is the "
        "measured one.",
        unit="comoving (Mpc/h)^-3",
        source=_BALDRY,
        ge=0,
        lt=1,
    )
    field_bias: float = parameter(
        0.9,
        "Linear bias of the galaxies outside halos: that of halos of 10^11.4 to 10^12.3 Msun/h.",
        unit="1",
        source="Tinker et al. 2010, ApJ 724, 878",
        ge=0,
        lt=5,
    )
    field_velocity: float = parameter(
        300.0,
        "Scatter of line-of-sight velocities of galaxies outside halos about the mean infall.",
        unit="km/s",
        ge=0,
        lt=2e3,
    )
    log_m_star_min: float = parameter(
        9.5, "Least log10 stellar mass of a galaxy.", unit="log10(Msun/h)", gt=6, lt=11
    )
    log_m_star_break: float = parameter(
        10.51,
        "Break of the stellar mass function, a double Schechter function, log10 mass.",
        unit="log10(Msun/h)",
        source=_BALDRY,
        gt=9,
        lt=12,
    )
    alpha1: float = parameter(
        -0.35,
        "Slope of the first component of the stellar mass function.",
        unit="1",
        source=_BALDRY,
        gt=-2,
        lt=2,
    )
    alpha2: float = parameter(
        -1.47,
        "Slope of the second component of the stellar mass function.",
        unit="1",
        source=_BALDRY,
        gt=-2,
        lt=2,
    )
    second: float = parameter(
        0.2,
        "Norm of the second component over that of the first.",
        unit="1",
        source=_BALDRY,
        ge=0,
    )
    central_log_m_star: float = parameter(
        12.0,
        "Mean log10 stellar mass of the central galaxy at M500c = 10^14.5 Msun.",
        unit="log10(Msun/h)",
        source=_KRAVTSOV_2018,
        gt=9,
        lt=14,
    )
    central_slope: float = parameter(
        0.39,
        "Exponent of M500c in the central galaxy's stellar mass.",
        unit="1",
        source=_KRAVTSOV_2018,
        ge=0,
        lt=2,
    )
    central_scatter_dex: float = parameter(
        0.17,
        "Scatter of the central galaxy's log10 stellar mass.",
        unit="dex",
        source=_KRAVTSOV_2018,
        ge=0,
        lt=1,
    )
    m_star_fraction: float = parameter(
        0.0298,
        "Stellar mass inside R500c over M500c at 2e14 Msun/h and redshift 0.2.",
        unit="1",
        source=_STARS,
        gt=0,
        lt=0.2,
    )
    m_star_slope: float = parameter(
        0.98,
        "Exponent of M500c in the stellar mass inside R500c.",
        unit="1",
        source=_STARS,
        gt=0,
        lt=2,
    )
    m_star_evolution: float = parameter(
        0.22,
        "Change of ln stellar mass inside R500c per unit of redshift.",
        unit="ln",
        source=_STARS,
        gt=-2,
        lt=2,
    )
    m_star_scatter: float = parameter(
        0.115,
        "Scatter of ln stellar mass inside R500c at fixed mass and redshift.",
        unit="ln",
        source=_STARS,
        ge=0,
        lt=1,
    )
