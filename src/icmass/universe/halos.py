"""Halos: masses and redshifts from the mass function, positions in the box, correlated latents."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from icmass.cosmology import Cosmology
from icmass.errors import InputError

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

#: Latents of a halo, in the order of `HaloConfig.correlation`; each has unit variance.
LATENTS = ("concentration", "accretion", "temperature", "gas_mass", "stellar_mass", "core_radius")

_DEX = 0.105  # width of the mass bins in which the paper's catalogue is flat


class HaloConfig(BaseModel):
    """Which halos a survey holds.

    Parameters
    ----------
    box_mpc_h : float
        Side of the simulation box [comoving Mpc/h].
    redshifts : tuple of float
        Redshifts of the snapshots (Ho et al. 2023).
    redshift_range : (float, float) or None
        Instead of snapshots: redshifts spread evenly over this range.
    log_m500c_min, log_m500c_max : float
        Range of log10 M500c [Msun/h].
    selection : {"paper", "mass_function"}
        ``paper``: at most 350 halos per 0.105 dex of all snapshots of one box (flat, then
        falling; Ho et al. 2023); ``mass_function``: every halo above the threshold alike.
    correlation : tuple of tuple of float
        Correlation matrix of the latents (`LATENTS`). Temperature, gas mass and stellar mass:
        residual correlations of Ho et al. 2023 at z = 0.174; concentration against recent
        accretion: Wechsler et al. 2002, ApJ 568, 52.
    concentration_scatter_dex : float
        Scatter of log10 c at fixed mass (Diemer & Joyce 2019, ApJ 871, 168).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    box_mpc_h: float = Field(352.0, gt=0)
    redshifts: tuple[float, ...] = SNAPSHOTS
    redshift_range: tuple[float, float] | None = None
    log_m500c_min: float = Field(13.5, ge=12.5, le=15)
    log_m500c_max: float = Field(15.1, ge=13, le=15.8)
    selection: Literal["paper", "mass_function"] = "paper"
    correlation: tuple[tuple[float, ...], ...] = (
        (1.0, -0.5, 0.0, 0.0, 0.0, -0.3),
        (-0.5, 1.0, 0.0, 0.0, 0.0, 0.2),
        (0.0, 0.0, 1.0, -0.55, 0.30, 0.15),
        (0.0, 0.0, -0.55, 1.0, -0.55, 0.0),
        (0.0, 0.0, 0.30, -0.55, 1.0, 0.0),
        (-0.3, 0.2, 0.15, 0.0, 0.0, 1.0),
    )
    concentration_scatter_dex: float = Field(0.16, ge=0, lt=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        matrix = np.array(self.correlation)
        n = len(LATENTS)
        if matrix.shape != (n, n) or not np.allclose(matrix, matrix.T):
            raise ValueError(f"correlation must be a symmetric {n} x {n} matrix")
        if np.linalg.eigvalsh(matrix).min() < 0 or not np.allclose(np.diag(matrix), 1):
            raise ValueError("correlation is not a correlation matrix")
        if self.log_m500c_max <= self.log_m500c_min:
            raise ValueError("log_m500c_max must exceed log_m500c_min")
        lo = min(self.redshift_range or self.redshifts, default=0)
        if lo < 0.01:
            raise ValueError("redshifts must be at least 0.01")
        return self


@dataclass(frozen=True)
class Halo:
    """One halo: M500c [Msun/h], R500c [comoving Mpc/h], position [comoving Mpc/h], latents."""

    halo_id: int
    m500c: float
    redshift: float
    r500c: float
    snapshot: int
    position: np.ndarray
    latents: dict[str, float]


class HaloPopulation:
    """Halos drawn from the Tinker et al. 2008 mass function of 500c masses.

    Parameters
    ----------
    config : HaloConfig
    cosmology : Cosmology

    Notes
    -----
    The mass function is colossus' (Diemer 2018, ApJS 239, 35) of Tinker et al. 2008,
    ApJ 688, 709. Cluster after cluster is an independent draw, so a survey of any size is the
    beginning of every larger one.
    """

    def __init__(self, config: HaloConfig, cosmology: Cosmology) -> None:
        self.config, self.cosmology = config, cosmology
        self.log_mass = np.linspace(config.log_m500c_min, config.log_m500c_max, 321)
        if config.redshift_range is None:
            self.redshift_nodes = np.array(config.redshifts)
        else:
            edges = np.linspace(*config.redshift_range, 49)
            self.redshift_nodes = (edges[1:] + edges[:-1]) / 2
        self._factor = np.linalg.cholesky(np.array(config.correlation) + 1e-12 * np.eye(6))

    @cached_property
    def density(self) -> np.ndarray:
        """Selected halos of one box per dex of mass, shape (redshift, mass)."""
        from colossus.lss import mass_function

        mass = 10**self.log_mass
        with self.cosmology.colossus():
            rows = [
                mass_function.massFunction(
                    mass, z, mdef="500c", model="tinker08", q_in="M", q_out="dndlnM"
                )
                for z in self.redshift_nodes
            ]
        dn = np.array(rows) * np.log(10) * self.config.box_mpc_h**3
        if self.config.selection == "paper":
            dn = dn * np.minimum(1, 350 / _DEX / dn.sum(0))
        return dn

    @cached_property
    def _cumulative(self) -> tuple[np.ndarray, np.ndarray]:
        step = np.diff(self.log_mass)
        pieces = (self.density[:, 1:] + self.density[:, :-1]) / 2 * step
        mass = np.concatenate([np.zeros((len(pieces), 1)), np.cumsum(pieces, 1)], 1)
        totals = mass[:, -1]
        if not totals.sum() > 0:
            raise InputError("no halo fits", field="universe.halos", mend="lower log_m500c_min")
        redshift = np.concatenate([[0], np.cumsum(totals)]) / totals.sum()
        return redshift, mass / totals[:, None]

    def draw(self, halo_id: int, rng: np.random.Generator) -> Halo:
        """Draw one halo."""
        in_redshift, in_mass = self._cumulative
        u = rng.random(6)
        node = min(np.searchsorted(in_redshift, u[0], side="right") - 1, len(in_mass) - 1)
        mass = float(10 ** np.interp(u[1], in_mass[node], self.log_mass))
        redshift = float(self.redshift_nodes[node])
        snapshot = int(node)
        if self.config.redshift_range is not None:
            width = self.redshift_nodes[1] - self.redshift_nodes[0]
            redshift, snapshot = redshift + (u[2] - 0.5) * width, -1
        latents = self._factor @ rng.standard_normal(len(LATENTS))
        return Halo(
            halo_id=halo_id,
            m500c=mass,
            redshift=redshift,
            r500c=float(self.cosmology.r500c(mass, redshift)),
            snapshot=snapshot,
            position=u[3:] * self.config.box_mpc_h,
            latents=dict(zip(LATENTS, latents.tolist(), strict=True)),
        )
