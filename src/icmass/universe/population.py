"""The halos of a survey, one after the other: from simulation boxes, or along a light-cone."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.universe.halos import LATENTS, SHAPES, Halo, HaloConfig, random_rotation
from icmass.universe.histories import Box, grow_box, within
from icmass.universe.mass_function import LOG_MASS, halo_abundance

_NAMES = (*LATENTS, *SHAPES)
_BOX = 0xFFFFFFFF  # spawn key of the boxes, apart from those of the clusters
_IDS_PER_BOX = 10_000_000
_CONE_NODES = 48


class HaloPopulation:
    """The halos that a survey holds.

    A survey of any size is the beginning of every larger one. From snapshots: the selected halos
    of a first box in a random order, then those of a second box, and so on. On a light-cone:
    independent draws.

    Parameters
    ----------
    config : HaloConfig
    cosmology : Cosmology
    seed : int
        Seed of the survey; the boxes draw from ``SeedSequence(seed, spawn_key=(2**32 - 1, box))``.
    """

    def __init__(self, config: HaloConfig, cosmology: Cosmology, seed: int = 0) -> None:
        self.config, self.cosmology, self.seed = config, cosmology, seed
        self._sizes: list[int] = []
        self._halos: list[int] = []
        self._box = lru_cache(maxsize=2)(self._grow)
        self._cone = _LightCone(config, cosmology) if config.redshift_range else None

    def draw(self, cluster: int, rng: np.random.Generator) -> Halo:
        """Return the halo of a cluster; `rng` is drawn from on a light-cone alone."""
        if self._cone is not None:
            return self._cone.draw(cluster, rng)
        number, entry = self._find(cluster)
        box = self._box(number)
        halo = int(box.halo[entry])
        redshift = self.config.redshifts[box.snapshot[entry]]
        mass = float(box.m500c[entry])
        return Halo(
            halo_id=number * _IDS_PER_BOX + halo,
            m500c=mass,
            redshift=redshift,
            r500c=float(self.cosmology.r500c(mass, redshift)),
            snapshot=int(box.snapshot[entry]),
            position=box.position[entry],
            latents=dict(zip(_NAMES, box.latents[entry].tolist(), strict=True)),
            orientation=random_rotation(self._stream(number, halo)),
        )

    def halo_number(self, cluster: int) -> int:
        """Return which new halo of the survey a cluster's is, counted as they first appear.

        The same for a halo at all snapshots; 0, 1, 2... along the survey, however large it is.
        """
        if self._cone is not None:
            return cluster
        number, entry = self._find(cluster)
        return sum(self._halos[:number]) + int(self._box(number).rank[entry])

    @property
    def halos_per_deg2(self) -> float:
        """Halos of the light-cone on a square degree of the sky.

        NaN where the halos are not those of a volume by the mass function.
        """
        return math.nan if self._cone is None else self._cone.per_deg2

    def _stream(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(_BOX, *key)))

    def _grow(self, number: int) -> Box:
        box = grow_box(self.config, self.cosmology, self._stream(number))
        if not len(box):
            raise InputError("no halo fits", field="halos", hint="lower halos.log_m500c_min")
        return box

    def _find(self, cluster: int) -> tuple[int, int]:
        """Return the box of a cluster and its place within it."""
        number = 0
        while True:
            if number == len(self._sizes):
                box = self._box(number)
                self._sizes.append(len(box))
                self._halos.append(int(box.rank.max()) + 1)
            if cluster < self._sizes[number]:
                return number, cluster
            cluster -= self._sizes[number]
            number += 1


class _LightCone:
    """Independent halos over a range of redshifts."""

    def __init__(self, config: HaloConfig, cosmology: Cosmology) -> None:
        self.config, self.cosmology = config, cosmology
        lo, hi = config.redshift_range or (0.0, 0.0)
        self.edges = np.linspace(lo, hi, _CONE_NODES + 1)
        nodes = (self.edges[1:] + self.edges[:-1]) / 2
        density = halo_abundance(cosmology, tuple(nodes.tolist())).density
        inside = within(LOG_MASS, config)
        density = density * inside
        if config.selection == "paper":
            density = density * _flatten(density.sum(0))
        cumulative = np.cumsum((density[:, 1:] + density[:, :-1]) / 2, axis=1)
        if not cumulative[-1, -1] > 0:
            raise InputError("no halo fits", field="halos", hint="lower halos.log_m500c_min")
        self.cumulative = np.pad(cumulative, ((0, 0), (1, 0)))
        weight = np.ones(_CONE_NODES)
        self.per_deg2 = math.nan
        if config.redshift_law == "volume":
            distance = cosmology.comoving_distance(nodes)
            weight = self.cumulative[:, -1] * distance**2 * np.gradient(distance)
            if config.selection == "mass_function":
                step = LOG_MASS[1] - LOG_MASS[0]
                self.per_deg2 = float(weight.sum()) * step * math.radians(1) ** 2
        self.weight = np.concatenate([[0], np.cumsum(weight)]) / weight.sum()

    def draw(self, cluster: int, rng: np.random.Generator) -> Halo:
        u = rng.random(6)
        node = min(int(np.searchsorted(self.weight, u[0], side="right")) - 1, _CONE_NODES - 1)
        row = self.cumulative[node]
        mass = float(10 ** np.interp(u[1] * row[-1], row, LOG_MASS))
        redshift = float(self.edges[node] + u[2] * (self.edges[node + 1] - self.edges[node]))
        normals = rng.standard_normal(len(_NAMES))
        n = len(LATENTS)
        normals[:n] = self.config.correlation_factor @ normals[:n]
        return Halo(
            halo_id=cluster,
            m500c=mass,
            redshift=redshift,
            r500c=float(self.cosmology.r500c(mass, redshift)),
            snapshot=-1,
            position=u[3:] * self.config.box_mpc_h,
            latents=dict(zip(_NAMES, normals.tolist(), strict=True)),
            orientation=random_rotation(rng),
        )


def _flatten(density: np.ndarray) -> np.ndarray:
    """Weights that make a falling mass function flat below 10^14.3 Msun/h."""
    pivot = np.interp(14.3, LOG_MASS, density)
    return np.minimum(1, pivot / np.maximum(density, 1e-300))
