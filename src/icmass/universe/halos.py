"""Halos: what a survey selects, and one halo with its latent physics."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from icmass.parameter import parameter
from icmass.universe.references import HO_2023, MAGNETICUM

#: Redshifts of the eleven snapshots of Ho et al. 2023.
SNAPSHOTS = (
    0.066340,
    0.101143,
    0.137081,
    0.174193,
    0.212516,
    0.252089,
    0.292954,
    0.335153,
    0.378729,
    0.423727,
    0.470194,
)

#: Correlated latents of a halo, in the order of `HaloConfig.correlation`; of unit variance.
LATENTS = (
    "accretion",
    "concentration",
    "temperature",
    "gas_mass",
    "stellar_mass",
    "core_share",
    "disturbance",
    "galaxy_number",
    "velocity",
)

_WECHSLER = "Wechsler et al. 2002, ApJ 568, 52"
_T, _GAS = LATENTS.index("temperature"), LATENTS.index("gas_mass")

#: Latents of a halo that are independent of all others; of unit variance too.
SHAPES = (
    "cusp",
    "cusp_radius",
    "slope",
    "steepening",
    "phases",
    "clumping",
    "abundance",
    "axis_q",
    "axis_s",
)

#: Times over which latents forget their value [Gyr]. Gas mass, temperature, stars, core share and
#: disturbance: rank correlations of 3,292 clusters of Magneticum Box2/hr with themselves 0.4 and
#: 2.05 Gyr later (positions and snapshots of Green et al. 2019, own matching): gas mass 0.92 and
#: 0.75, temperature 0.72 and 0.55, core share 0.51 and 0.10, centroid shift 0.41 and 0.06.
MEMORY_GYR = {
    "accretion": 2.0,
    "concentration": 4.0,
    "temperature": 7.0,
    "gas_mass": 7.0,
    "stellar_mass": 7.0,
    "core_share": 0.85,
    "disturbance": 0.95,
    "galaxy_number": 2.0,
    "velocity": 2.0,
    "cusp": 0.95,
    "cusp_radius": 0.95,
    "slope": 7.0,
    "steepening": 2.0,
    "phases": 0.95,
    "clumping": 7.0,
    "abundance": 7.0,
    "axis_q": 4.0,
    "axis_s": 4.0,
}

#: Part of the variance of a latent that is new at every snapshot (same source).
INSTANT_SHARE = {"temperature": 0.23, "core_share": 0.15, "disturbance": 0.2}


class HaloConfig(BaseModel):
    """Which halos a survey holds, and how they evolve."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    box_mpc_h: float = parameter(
        352.0, "Side of the simulation box.", unit="comoving Mpc/h", source=HO_2023, gt=0
    )
    redshifts: tuple[float, ...] = parameter(
        SNAPSHOTS, "Redshifts of the snapshots of the box, ascending.", unit="1", source=HO_2023
    )
    redshift_range: tuple[float, float] | None = parameter(
        None,
        "Instead of snapshots of a box: halos on a light-cone over this range of redshifts, each "
        "seen once.",
        unit="1",
    )
    redshift_law: Literal["even", "volume"] = parameter(
        "even",
        "On the light-cone: as many halos at every redshift (even), or in every comoving volume "
        "(volume).",
    )
    log_m500c_min: float = parameter(
        13.5,
        "Least log10 M500c of a halo.",
        unit="log10(Msun/h)",
        source=HO_2023,
        ge=12.5,
        le=15,
    )
    log_m500c_max: float = parameter(
        15.1, "Largest log10 M500c of a halo.", unit="log10(Msun/h)", ge=13, le=15.8
    )
    selection: Literal["paper", "mass_function"] = parameter(
        "paper",
        "paper: at most 350 halos per 0.105 dex of all snapshots of one box (flat, then falling); "
        "mass_function: every halo above the threshold alike.",
        source=HO_2023,
    )
    correlation: tuple[tuple[float, ...], ...] = parameter(
        (
            (1.0, -0.5, -0.1, 0.15, 0.0, -0.2, 0.45, 0.0, 0.0),
            (-0.5, 1.0, 0.0, 0.0, 0.0, 0.3, -0.3, 0.0, 0.0),
            (-0.1, 0.0, 1.0, -0.48, 0.32, -0.03, -0.12, 0.0, 0.05),
            (0.15, 0.0, -0.48, 1.0, -0.57, -0.05, 0.22, 0.35, 0.05),
            (0.0, 0.0, 0.32, -0.57, 1.0, 0.17, -0.25, -0.1, 0.05),
            (-0.2, 0.3, -0.03, -0.05, 0.17, 1.0, -0.65, 0.0, 0.0),
            (0.45, -0.3, -0.12, 0.22, -0.25, -0.65, 1.0, 0.0, 0.0),
            (0.0, 0.0, 0.0, 0.35, -0.1, 0.0, 0.0, 1.0, 0.3),
            (0.0, 0.0, 0.05, 0.05, 0.05, 0.0, 0.0, 0.3, 1.0),
        ),
        f"Correlation matrix of the latents {', '.join(LATENTS)}. Those of temperature, gas mass, "
        "stellar mass, core share and disturbance (by the centroid shift) are of residuals at "
        "fixed mass; accretion with temperature and gas mass gives the centroid shifts' "
        "correlations with these.",
        unit="1",
        source=f"{MAGNETICUM}; concentration and accretion: {_WECHSLER}; galaxies: residual "
        f"correlations of {HO_2023}",
    )
    memory_gyr: dict[str, float] = parameter(
        MEMORY_GYR,
        "Time over which each latent forgets its value; those not named keep the default.",
        unit="Gyr",
        source="rank correlations of Magneticum's clusters after 0.4 and 2.05 Gyr, own matching of "
        "Green et al. 2019",
    )
    instant_share: dict[str, float] = parameter(
        INSTANT_SHARE,
        "Fraction of the variance of a correlated latent that is new at every snapshot; those not "
        "named keep the default.",
        unit="1",
        source="as memory_gyr",
    )
    growth_scatter: float = parameter(
        0.25,
        "Random walk of ln n(>M), the abundance rank of a halo, in one square root of a Gyr: the "
        "scatter of ln M(z = 0.47) / M(z = 0.07) is about 0.2.",
        unit="Gyr^(-1/2)",
        source=_WECHSLER,
        ge=0,
        lt=1,
    )

    @field_validator("memory_gyr", mode="before")
    @classmethod
    def _complete_memory(cls, value: Any) -> Any:
        return MEMORY_GYR | value if isinstance(value, dict) else value

    @field_validator("instant_share", mode="before")
    @classmethod
    def _complete_share(cls, value: Any) -> Any:
        return INSTANT_SHARE | value if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        matrix = np.array(self.correlation)
        n = len(LATENTS)
        if matrix.shape != (n, n) or not np.allclose(matrix, matrix.T):
            raise ValueError(f"correlation must be a symmetric {n} x {n} matrix")
        if np.linalg.eigvalsh(matrix).min() < 0 or not np.allclose(np.diag(matrix), 1):
            raise ValueError("correlation is not a correlation matrix")
        self._check_memory()
        if self.log_m500c_max <= self.log_m500c_min:
            raise ValueError("log_m500c_max must exceed log_m500c_min")
        redshifts = self.redshift_range or self.redshifts
        if not redshifts or min(redshifts) < 0.01 or max(redshifts) > 2:
            raise ValueError("redshifts must lie within 0.01 and 2")
        if list(redshifts) != sorted(set(redshifts)):
            raise ValueError("redshifts must ascend")
        return self

    def _check_memory(self) -> None:
        if unknown := set(self.memory_gyr) - {*LATENTS, *SHAPES}:
            raise ValueError(f"memory_gyr names no latent: {', '.join(sorted(unknown))}")
        if min(self.memory_gyr.values()) <= 0:
            raise ValueError("memory_gyr must be positive")
        if unknown := set(self.instant_share) - set(LATENTS[1:]):
            raise ValueError(f"instant_share names no latent: {', '.join(sorted(unknown))}")
        if not all(0 <= share < 1 for share in self.instant_share.values()):
            raise ValueError("instant_share must lie within 0 and 1")
        rate = 1 / np.array([self.memory_gyr[name] for name in LATENTS])
        change = self.component_correlation * (rate[:, None] + rate)
        if np.linalg.eigvalsh(change).min() < -1e-9:
            raise ValueError("correlated latents cannot have memories that differ so much")

    @property
    def instant_shares(self) -> np.ndarray:
        """Part of the variance that is new at every snapshot, in the order of `LATENTS`."""
        return np.array([self.instant_share.get(name, 0.0) for name in LATENTS])

    @property
    def component_correlation(self) -> np.ndarray:
        """Correlation of the slow parts of the latents, and of the instant ones alike.

        Their sum has `correlation`.
        """
        instant = self.instant_shares
        mixed = np.sqrt(np.outer(1 - instant, 1 - instant)) + np.sqrt(np.outer(instant, instant))
        return np.array(self.correlation) / mixed

    @property
    def correlation_factor(self) -> np.ndarray:
        """Cholesky factor of the correlation matrix; the first latent is its own normal."""
        return np.linalg.cholesky(np.array(self.correlation) + 1e-12 * np.eye(len(LATENTS)))


@dataclass(frozen=True)
class Halo:
    """One halo at one time.

    Attributes
    ----------
    halo_id : int
        Identity: the same for the same halo in several snapshots.
    m500c : float
        [Msun/h]
    redshift : float
    r500c : float
        [comoving Mpc/h]
    snapshot : int
        Index of the snapshot; -1 on a light-cone.
    position : ndarray, shape (3,)
        In the box [comoving Mpc/h].
    latents : dict of float
        `LATENTS` and `SHAPES`, each of unit variance.
    orientation : ndarray, shape (3, 3)
        Rotation whose columns are the halo's axes, longest first; row 3 is the line of sight. It
        keeps to the halo through its history.
    """

    halo_id: int
    m500c: float
    redshift: float
    r500c: float
    snapshot: int
    position: np.ndarray
    latents: dict[str, float]
    orientation: np.ndarray


def latent_correlation(config: HaloConfig, first: str, second: str) -> float:
    """Return the correlation of two latents of `LATENTS`."""
    return config.correlation[LATENTS.index(first)][LATENTS.index(second)]


def temperature_follows_gas(
    correlation: tuple[tuple[float, ...], ...], target: float
) -> tuple[tuple[float, ...], ...]:
    """Return a correlation matrix of latents with another one of temperature and gas mass.

    What temperature shares with other latents and not with the gas mass keeps its proportions, so
    any value within -1 and 1 gives a correlation matrix; see `with_temperature`.
    """
    matrix = np.array(correlation)
    gas_weight, temperature_weight = temperature_weights(float(matrix[_T, _GAS]), target)
    row = temperature_weight * matrix[_T] + gas_weight * matrix[_GAS]
    matrix[_T] = matrix[:, _T] = row
    matrix[_T, _T] = 1.0
    return tuple(tuple(line) for line in matrix.tolist())


def with_temperature(halo: Halo, config: HaloConfig, target: float) -> Halo:
    """Return a halo, drawn with one correlation of temperature and gas mass, with another.

    The latent temperature alone changes: it is mixed with that of the gas mass.
    """
    gas_weight, temperature_weight = temperature_weights(config.correlation[_T][_GAS], target)
    latents = halo.latents
    mixed = temperature_weight * latents["temperature"] + gas_weight * latents["gas_mass"]
    return replace(halo, latents=latents | {"temperature": mixed})


def temperature_weights(before: float, target: float) -> tuple[float, float]:
    """Return how much of the latents of gas mass and temperature the new temperature has.

    Parameters
    ----------
    before, target : float
        Correlation of temperature and gas mass, before and after.
    """
    temperature_weight = math.sqrt((1 - target**2) / max(1 - before**2, 1e-12))
    return target - temperature_weight * before, temperature_weight


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Return a uniformly distributed rotation or rotoreflection, (3, 3)."""
    rotation, upper = np.linalg.qr(rng.standard_normal((3, 3)))
    return rotation * np.sign(np.diag(upper))
