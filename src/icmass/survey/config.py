"""The configuration of a simulated survey: one closed tree."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from icmass.cosmology import Cosmology
from icmass.observe.allsky import AllSkyConfig
from icmass.observe.coverage import CoverageConfig
from icmass.observe.detection import DetectionConfig
from icmass.plasma.absorption import DEFAULT_NH_1E20
from icmass.survey.physics_prior import PhysicsPrior
from icmass.universe.agn import AgnConfig
from icmass.universe.catalogue import CatalogueConfig
from icmass.universe.fluctuations import FluctuationConfig
from icmass.universe.galaxies import GalaxyConfig
from icmass.universe.gas_config import GasConfig
from icmass.universe.halos import HaloConfig
from icmass.universe.neighbours import NeighbourConfig
from icmass.universe.substructure import SubstructureConfig
from icmass.universe.twins import TwinConfig


class ObserveConfig(BaseModel):
    """How the sky is observed.

    Parameters
    ----------
    instrument : str
        A built-in instrument (``erosita``, ``xmm_pn``) or a JSON file of the same form. One that
        points, as ``xmm_pn``, sees a disc about the cluster; the rest of the map has coverage 0.
        With ``vignetting: onaxis`` the coverage falls off axis as the effective area does.
    vignetting : {"survey", "onaxis"}
        Effective area averaged over the field of view by the scan, or on axis.
    arf, rmf : str or None
        OGIP files that replace the built-in area and redistribution.
    exposure_s : float or (float, float)
        Exposure [s], or the range from which each cluster's is drawn evenly.
    half_width_mpc_h : float
        Half the side of a map [comoving Mpc/h].
    n_pixels : int
        Pixels along a side.
    bands : tuple of (float, float)
        PI energy bands [keV], in ascending order, not overlapping.
    nh_1e20 : float
        Galactic column density [1e20 cm^-2].
    sky : AllSkyConfig or None
        Sightlines all over the sky: exposure and column density are then theirs.
    psf, redistribution, background, agn : bool
        Whether to blur positions, blur energies, add background, add AGN.
    coverage : CoverageConfig or None
        Field edges, gradients and masked sources; None: the whole map is seen.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    instrument: str = "erosita"
    vignetting: Literal["survey", "onaxis"] = "survey"
    arf: str | None = None
    rmf: str | None = None
    exposure_s: float | tuple[float, float] = 2000.0
    half_width_mpc_h: float = Field(2.3, gt=0.2, le=20)
    n_pixels: int = Field(128, ge=16, le=1024)
    bands: tuple[tuple[float, float], ...] = ((0.5, 1.2), (1.2, 2.0), (2.0, 7.0))
    nh_1e20: float = Field(DEFAULT_NH_1E20, ge=0, le=1000)
    sky: AllSkyConfig | None = None
    psf: bool = True
    redistribution: bool = True
    background: bool = True
    agn: bool = True
    coverage: CoverageConfig | None = None

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
        return self

    @property
    def exposure_range(self) -> tuple[float, float]:
        """Shortest and longest exposure [s]."""
        e = self.exposure_s
        return e if isinstance(e, tuple) else (e, e)


class SurveyConfig(BaseModel):
    """Everything that decides what a simulated survey holds, but its size and seed.

    Parameters
    ----------
    preset : str
        The preset that it started from.
    variants : tuple of str
        Physics variants that were applied to it.
    detection : DetectionConfig or None
        Only detected clusters, of a light-cone (``halos.redshift_range``); None: all halos.
    physics : PhysicsPrior or None
        Universes of different physics: of gas and AGN, what the prior draws is then that of each
        cluster's universe, not what stands here. None: one universe, with the physics given here.
    twins : TwinConfig or None
        The halos are those of a table (``icmass simulate --catalogue``), which the survey keeps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: str = "erosita"
    variants: tuple[str, ...] = ()
    cosmology: Cosmology = Cosmology()
    halos: HaloConfig = HaloConfig()
    gas: GasConfig = GasConfig()
    substructure: SubstructureConfig = SubstructureConfig()
    neighbours: NeighbourConfig = NeighbourConfig()
    fluctuations: FluctuationConfig = FluctuationConfig()
    catalogue: CatalogueConfig = CatalogueConfig()
    agn: AgnConfig = AgnConfig()
    galaxies: GalaxyConfig = GalaxyConfig()
    observe: ObserveConfig = ObserveConfig()
    detection: DetectionConfig | None = None
    physics: PhysicsPrior | None = None
    twins: TwinConfig | None = None

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
