"""The configuration of a simulated survey: one closed tree."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from icmass.cosmology import Cosmology
from icmass.observe.allsky import AllSkyConfig
from icmass.observe.coverage import CoverageConfig
from icmass.observe.detection import DetectionConfig
from icmass.parameter import parameter
from icmass.plasma.absorption import DEFAULT_NH_1E20
from icmass.survey.physics_prior import PhysicsPrior
from icmass.universe.agn import AgnConfig
from icmass.universe.catalogue import CatalogueConfig
from icmass.universe.fluctuations import FluctuationConfig
from icmass.universe.galaxy_config import GalaxyConfig
from icmass.universe.gas_config import GasConfig
from icmass.universe.halos import HaloConfig
from icmass.universe.neighbours import NeighbourConfig
from icmass.universe.substructure import SubstructureConfig
from icmass.universe.twins import TwinConfig


class ObserveConfig(BaseModel):
    """How the sky is observed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instrument: str = parameter(
        "erosita",
        "Name of a built-in instrument (erosita, xmm_pn), or path of a JSON file of one. "
        "One that points sees a disc about the cluster; the rest of the map has coverage 0.",
    )
    vignetting: Literal["survey", "onaxis"] = parameter(
        "survey",
        "Effective area averaged over the field of view by the scan (survey), or on axis (onaxis); "
        "of an instrument that points, on-axis coverage falls with radius as the area does.",
    )
    arf: str | None = parameter(None, "OGIP file that replaces the built-in effective area.")
    rmf: str | None = parameter(None, "OGIP file that replaces the built-in energy redistribution.")
    exposure_s: float | tuple[float, float] = parameter(
        2000.0,
        "Unvignetted exposure, or the range from which each cluster's is drawn.",
        unit="s",
    )
    exposure_law: Literal["uniform", "log-uniform"] = parameter(
        "uniform", "How exposures are drawn from their range: evenly, or evenly in the log."
    )
    half_width_mpc_h: float = parameter(
        2.3, "Half the side of a map.", unit="comoving Mpc/h", gt=0.2, le=20
    )
    n_pixels: int = parameter(128, "Pixels along a side of a map.", unit="pixel", ge=16, le=1024)
    bands: tuple[tuple[float, float], ...] = parameter(
        ((0.5, 1.2), (1.2, 2.0), (2.0, 7.0)),
        "Energy bands in PI, in ascending order, not overlapping.",
        unit="keV",
    )
    nh_1e20: float = parameter(
        DEFAULT_NH_1E20, "Galactic column density of hydrogen.", unit="1e20 cm^-2", ge=0, le=1000
    )
    nh_range_1e20: tuple[float, float] | None = parameter(
        None,
        "Range from which each cluster's column density is drawn, evenly in the log and to two "
        "digits, instead of nh_1e20; null: all have that.",
        unit="1e20 cm^-2",
    )
    sky: AllSkyConfig | None = parameter(
        None,
        "Sightlines all over the sky: exposure and column density are then theirs; null: none.",
    )
    psf: bool = parameter(True, "Whether the point-spread function blurs positions.")
    redistribution: bool = parameter(
        True, "Whether the energy redistribution of the detector blurs energies."
    )
    background: bool = parameter(True, "Whether sky and particle background are added.")
    agn: bool = parameter(True, "Whether active galactic nuclei are added.")
    coverage: CoverageConfig | None = parameter(
        None,
        "Field edges, exposure gradients and masked sources; null: the whole map is seen.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        flat = [edge for band in self.bands for edge in band]
        if not flat or flat != sorted(flat) or any(lo >= hi for lo, hi in self.bands):
            raise ValueError("bands must be ascending and must not overlap")
        if flat[0] < 0.2 or flat[-1] > 10:
            raise ValueError("bands must lie within 0.2-10 keV")
        lo, hi = self.exposure_range
        if not 0 < lo <= hi <= 1e7:
            raise ValueError("exposure_s must be positive (at most 1e7), the range ascending")
        if self.nh_range_1e20 is not None:
            least, most = self.nh_range_1e20
            if not 0 < least <= most <= 1000:
                raise ValueError("nh_range_1e20 must be positive (at most 1000) and ascending")
        return self

    @property
    def exposure_range(self) -> tuple[float, float]:
        """Shortest and longest exposure [s]."""
        e = self.exposure_s
        return e if isinstance(e, tuple) else (e, e)


class SurveyConfig(BaseModel):
    """Everything that decides what a simulated survey holds, but its size and seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: str = parameter("erosita", "Preset that the configuration started from.")
    variants: tuple[str, ...] = parameter(
        (), "Physics variants that were applied to the preset, in this order."
    )
    cosmology: Cosmology = parameter(Cosmology(), "Flat Lambda-CDM cosmology.")
    halos: HaloConfig = parameter(HaloConfig(), "Which halos are drawn, and how they evolve.")
    gas: GasConfig = parameter(
        GasConfig(), "Intracluster gas; pivot 2e14 Msun/h, E(z) = 1 at redshift 0."
    )
    substructure: SubstructureConfig = parameter(SubstructureConfig(), "Subhalos with gas.")
    neighbours: NeighbourConfig = parameter(
        NeighbourConfig(), "Other halos around the cluster and along the line of sight."
    )
    fluctuations: FluctuationConfig = parameter(
        FluctuationConfig(), "Fluctuations of the gas density, hence of the surface brightness."
    )
    catalogue: CatalogueConfig = parameter(
        CatalogueConfig(), "L_X of a halo catalogue beyond what is in the photons."
    )
    agn: AgnConfig = parameter(
        AgnConfig(), "Active galactic nuclei; luminosities and fluxes in 0.5-2 keV, unabsorbed."
    )
    galaxies: GalaxyConfig = parameter(GalaxyConfig(), "Galaxies in and around clusters.")
    observe: ObserveConfig = parameter(ObserveConfig(), "How the sky is observed.")
    detection: DetectionConfig | None = parameter(
        None,
        "Only detected clusters, of a light-cone (halos.redshift_range); null: all halos.",
    )
    physics: PhysicsPrior | None = parameter(
        None,
        "Universes of different physics: of gas and AGN, what the prior draws is then that of each "
        "cluster's universe, not what stands here; null: one universe, with the physics given "
        "here.",
    )
    twins: TwinConfig | None = parameter(
        None,
        "The halos are those of a table (icmass simulate --catalogue), which the survey keeps; "
        "null: they are drawn.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.detection is not None and self.halos.redshift_range is None:
            raise ValueError("detection needs a light-cone: set halos.redshift_range")
        if self.twins is not None and (self.detection is not None or self.physics is not None):
            raise ValueError("twins of a table allow neither detection nor a prior of the physics")
        return self


#: Gas whose L(0.5-2 keV)/E^2 = 0.43e44 (M/2e14 Msun/h)^1.55 erg/s is that of the eFEDS clusters
#: (Liu et al. 2022, A&A 661, A2) at the masses of Chiu et al. 2023, MNRAS 522, 1601, and whose
#: T E^(-2/3) = 2.7 keV, slope 0.60, is Bahar et al. 2022, A&A 661, A7. The gas fraction follows.
#: Cores are less compact than Magneticum's: a third of Planck's clusters have a concentration
#: above 0.075 within 40 of 400 kpc (Andrade-Santos et al. 2017, ApJ 843, 76). The mean logit of the
#: core's share of SPT clusters is -0.78 below and -1.39 above z 0.41, its width 0.65 to 0.93
#: (Bulbul et al. 2019, ApJ 871, 50).
EFEDS_GAS = {
    "f_gas": 0.087,
    "f_gas_slope": 0.27,
    "f_gas_evolution": 0.0,
    "hot_fraction": 0.914,
    "clumping": 0.005,
    "clumping_slope": 0.121,
    "t_kev": 2.7,
    "t_slope": 0.60,
    "t_evolution": 0.667,
    "core_share": -1.0,
    "core_share_width": 0.7,
    "cusp_share": 0.05,
    "cusp_radius": 0.08,
}
