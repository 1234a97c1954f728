"""Density and temperature of the mock's hot gas in 3D, with what is published of clusters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.plasma.abundances import electron_content
from icmass.proxies.names import read_scalar
from icmass.survey.config import SurveyConfig
from icmass.survey.simulate import Simulator
from icmass.survey.twins import rows_of
from icmass.universe.gas import Gas, r500c_cm
from icmass.universe.halos import Halo
from icmass.universe.profiles import vikhlinin_density

GROUPS_BELOW, CLUSTERS_ABOVE = 1e14, 3e14
"""M500c that bounds the two mass groups [Msun/h]."""
N_OF_GROUP = 75
"""Most clusters of a mass group that are made again."""
_FEWEST = 10
_PROTON_G = 1.67262192369e-24

TRANSITION = (0.19, 0.04, 1.91e-3, 0.21e-3)
"""Radius over R500c where the gas of the X-COP clusters leaves its core behaviour and its error,
n_e E(z)^-2 there [cm^-3] and its error: Ghirardini et al. 2019, A&A 627, A19, abstract."""


@dataclass(frozen=True)
class GasProfiles:
    """Profiles of the hot gas of the clusters of one mass group.

    Attributes
    ----------
    log10_m500c : (float, float)
        Least and largest mass in it [log10 Msun/h].
    m500c, redshift : float
        Medians of mass [Msun/h] and redshift.
    n : int
    radius : ndarray, shape (k,)
        Over R500c, ascending.
    density : ndarray, shape (3, k)
        16th, 50th and 84th percentile of n_e E(z)^-2 [cm^-3].
    temperature : ndarray, shape (3, k)
        The same of kT over kT500 of `t500_kev`.
    """

    log10_m500c: tuple[float, float]
    m500c: float
    redshift: float
    n: int
    radius: np.ndarray
    density: np.ndarray
    temperature: np.ndarray


def electron_density(gas: Gas, r500_cm: float, electrons_per_hydrogen: float) -> np.ndarray:
    """Return the electron density of the shells' hot gas, clumping taken out [cm^-3].

    Parameters
    ----------
    gas : Gas
        Its emission measures, integrals of n_e n_H dV, tell the density of the gas that shines:
        `GasConfig.hot_fraction` of all.
    r500_cm : float
        R500c [physical cm].
    electrons_per_hydrogen : float

    Returns
    -------
    ndarray, shape (n,)
    """
    volume = 4 * np.pi / 3 * np.diff(gas.edges**3) * r500_cm**3
    smooth = gas.emission_measure / gas.clumping
    return np.sqrt(smooth * electrons_per_hydrogen / volume)


def t500_kev(m500c: np.ndarray | float, efunc: np.ndarray | float) -> np.ndarray:
    """Return kT500 = mu m_p G M500c / (2 R500c) with mu 0.6 [keV].

    8.85 keV (M500c / 1e15 h70^-1 Msun)^(2/3) E(z)^(2/3), as Ghirardini et al. 2019, A&A 621, A41
    have it.

    Parameters
    ----------
    m500c : ndarray or float
        [Msun/h]; h70 = h / 0.7.
    efunc : ndarray or float
        E(z).
    """
    return 8.85 * (np.asarray(m500c) / 0.7e15 * np.asarray(efunc)) ** (2 / 3)


def profiles_of(
    scenes: Iterable[tuple[Halo, Gas]], config: SurveyConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the scaled profiles of some clusters.

    Returns
    -------
    radius : ndarray, shape (k,)
        Geometric middle of the shells over R500c.
    density : ndarray, shape (n, k)
        n_e E(z)^-2 [cm^-3].
    temperature : ndarray, shape (n, k)
        kT / kT500.
    """
    per_hydrogen = electron_content(config.gas.abundance_table, config.gas.abundance)[1]
    radius, density, temperature = np.empty(0), [], []
    for halo, gas in scenes:
        efunc = config.cosmology.efunc(halo.redshift)
        r500_cm = float(r500c_cm(halo.r500c, halo.redshift, config.cosmology.h))
        radius = np.sqrt(gas.edges[1:] * gas.edges[:-1])
        density.append(electron_density(gas, r500_cm, per_hydrogen) / efunc**2)
        temperature.append(gas.mean_kt_kev / t500_kev(halo.m500c, efunc))
    return radius, np.array(density), np.array(temperature)


def gas_profiles(survey: xr.Dataset, config: SurveyConfig) -> list[GasProfiles]:
    """Return the profiles of groups and of clusters, whose halos and gas are simulated again.

    Groups are below 1e14 Msun/h, clusters above 3e14 Msun/h; where fewer than ten are, the
    tenth of the survey at that end. Up to `N_OF_GROUP` of each, equally spaced in rank.

    Parameters
    ----------
    survey : Dataset
    config : SurveyConfig
        The survey's.

    Raises
    ------
    InputError
        If configuration and seed do not give the survey's clusters, as for a part of a survey.
    """
    mass, redshift = read_scalar(survey, "m500c"), read_scalar(survey, "redshift")
    simulator = Simulator(config, int(survey.attrs["seed"]), rows_of(survey))
    groups = []
    for chosen in mass_groups(mass):
        scenes = [simulator.scene(int(cluster)) for cluster in chosen]
        simulated = np.array([scene.halo.m500c for scene in scenes])
        if not np.allclose(simulated, mass[chosen], rtol=1e-4):
            raise InputError(
                "do not make the clusters it holds",
                field="configuration and seed",
                hint="give the whole survey, as `icmass simulate` wrote it",
            )
        radius, density, kt = profiles_of([(s.halo, s.gas) for s in scenes], config)
        logs = np.log10(mass[chosen])
        groups.append(
            GasProfiles(
                (float(logs.min()), float(logs.max())),
                float(np.median(mass[chosen])),
                float(np.median(redshift[chosen])),
                len(chosen),
                radius,
                np.percentile(density, [16, 50, 84], axis=0),
                np.percentile(kt, [16, 50, 84], axis=0),
            )
        )
    return groups


def mass_groups(mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the groups and of the clusters among masses [Msun/h]."""
    order = np.argsort(mass, kind="stable")
    tenth = max(len(mass) // 10, 1)
    low, high = order[mass[order] < GROUPS_BELOW], order[mass[order] > CLUSTERS_ABOVE]
    low = low if len(low) >= _FEWEST else order[:tenth]
    high = high if len(high) >= _FEWEST else order[-tenth:]
    return _thinned(low), _thinned(high)


def _thinned(chosen: np.ndarray) -> np.ndarray:
    ranks = np.linspace(0, len(chosen) - 1, min(len(chosen), N_OF_GROUP))
    return chosen[ranks.round().astype(int)]


def xcop_density(x: np.ndarray) -> np.ndarray:
    """Return the mean n_e E(z)^-2 of the twelve X-COP clusters [cm^-3].

    Functional form of Ghirardini et al. 2019, A&A 621, A41, all clusters; parameters as public
    codes quote them.

    Parameters
    ----------
    x : ndarray
        Radius over R500.
    """
    shape = vikhlinin_density(
        x, core=np.exp(-3.0), alpha=0.89, beta=0.43, outer=np.exp(-0.29), epsilon=2.86
    )
    return np.exp(-4.4) * shape


def xcop_temperature(x: np.ndarray) -> np.ndarray:
    """Return the mean kT / kT500 of the twelve X-COP clusters; source as `xcop_density`."""
    core = (x / np.exp(-2.78)) ** 1.03
    return 1.21 * (0.50 + core) / (1 + core) / (1 + (x / 0.34) ** 2) ** 0.27


def sz_density(
    x: np.ndarray, m500c: float, redshift: float, cosmology: Cosmology, mass_per_electron: float
) -> np.ndarray:
    """Return the mean n_e E(z)^-2 of 93 clusters selected by their Sunyaev-Zeldovich effect.

    Pratt et al. 2022, A&A 665, A24 (M500 0.5 to 20 1e14 Msun, z 0.05 to 1.13): exponents of mass
    and E(z) from the abstract, the shape as public codes quote it.

    Parameters
    ----------
    x : ndarray
        Radius over R500.
    m500c, redshift : float
        [Msun/h].
    cosmology : Cosmology
    mass_per_electron : float
        [proton masses].

    Returns
    -------
    ndarray
        [cm^-3].
    """
    efunc = float(cosmology.efunc(redshift))
    rho500 = 500 * cosmology.astropy.critical_density0.to_value("g / cm3")  # times E(z)^2
    scale = 1.20 * efunc**0.09 * (m500c / 0.7 / 5e14) ** 0.22
    u = x / 0.28
    shape = u**-0.42 / (1 + u**1.52) ** ((3 * 0.78 - 0.42) / 1.52)
    return scale * shape * rho500 / (mass_per_electron * _PROTON_G)
