"""The halos of a user's table, one twin for each row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import expit, ndtr, ndtri

from icmass.cosmology import Cosmology
from icmass.plasma.emissivity import load_plasma_table
from icmass.universe.catalogue import CatalogueConfig
from icmass.universe.cores import INSIDE
from icmass.universe.galaxy_config import GalaxyConfig
from icmass.universe.gas import core_share_width, gas_mass, gas_mass_scatter, make_gas
from icmass.universe.gas_config import PIVOT, GasConfig
from icmass.universe.halos import LATENTS, SHAPES, Halo, HaloConfig, random_rotation
from icmass.universe.histories import evolve
from icmass.universe.twin_light import LightTarget, gas_light
from icmass.universe.twin_rows import TwinRows
from icmass.universe.twins import (
    FEWEST,
    MOST_SIGMAS,
    SHARES,
    TwinConfig,
    body_trend,
    conditioned,
    history_covariance,
    measured_latents,
    own_relation,
)

_NAMES = (*LATENTS, *SHAPES)
_TWINS = 0xFFFFFFFD  # spawn key of the twins, apart from those of clusters, boxes and universes
_GAS, _CORE = LATENTS.index("gas_mass"), LATENTS.index("core_share")
_FAR = 8.0  # scatters below the mean at which a cut normal is all at its cut
_SLOPE, _CLUMPING = _NAMES.index("slope"), _NAMES.index("clumping")


@dataclass(frozen=True)
class _History:
    """One halo at its m snapshots, by ascending redshift."""

    rows: np.ndarray
    latents: np.ndarray
    excess: np.ndarray
    orientation: np.ndarray
    position: np.ndarray


class TwinPopulation:
    """The halos of a table, in its order.

    Latents of a row's measured quantities follow from these; the others are drawn from their
    distribution conditional on them, for all snapshots of the halo at once. Measured quantities are
    compared with the table's own mean relations where it has `icmass.universe.twins.FEWEST`
    values, with the configuration's where not.

    Parameters
    ----------
    rows : TwinRows
    twins : TwinConfig
    halos, gas, galaxies, catalogue
        Sections of the configuration.
    cosmology : Cosmology
    seed : int
        Seed of the survey; halo n draws from ``SeedSequence(seed, spawn_key=(2**32 - 3, n))``.
    """

    def __init__(
        self,
        rows: TwinRows,
        twins: TwinConfig,
        *,
        halos: HaloConfig,
        gas: GasConfig,
        galaxies: GalaxyConfig,
        catalogue: CatalogueConfig,
        cosmology: Cosmology,
        seed: int = 0,
    ) -> None:
        self.rows, self.twins, self.config = rows, twins, halos
        self.gas, self.catalogue = gas, catalogue
        self.cosmology, self.seed = cosmology, seed
        m500c, redshift = rows["m500c"], rows["redshift"]
        efunc = cosmology.efunc(redshift)
        self._design = np.stack([np.ones(len(rows)), np.log(m500c / PIVOT), np.log(efunc)], axis=1)
        quantities = {name: rows[name] for name in
                 ("M_gas", "T", "M_star", "core_share", "w", "disturbance", "n_sat")}  # fmt: skip
        self.given = measured_latents(
            quantities, m500c, redshift, efunc, halos=halos, gas=gas, galaxies=galaxies
        )
        relations = [own_relation(latent, self._design) for latent in self.given.T]
        self._centre = np.stack([trend for trend, _ in relations], axis=1)
        self._width = np.array([width for _, width in relations])
        residuals = (self.given - self._centre) / self._width
        self._residuals = np.clip(residuals, -MOST_SIGMAS, MOST_SIGMAS)
        self._history_rows = _grouped(rows["history"].astype(int), redshift)
        self._history = lru_cache(maxsize=8192)(self._draw_history)
        self.soft = rows.has("L_X_soft") and not rows.has("L_X")
        self._set_light(m500c, efunc)

    def draw(self, cluster: int, rng: np.random.Generator | None = None) -> Halo:
        """Return the halo of a row, before its light is settled; `rng` is not drawn from."""
        rows, history, at = self.rows, *self._find(cluster)
        mass, redshift = float(rows["m500c"][cluster]), float(rows["redshift"][cluster])
        place = np.array([rows[name][cluster] for name in "xyz"])
        return Halo(
            halo_id=int(rows["halo_id"][cluster]),
            m500c=mass,
            redshift=redshift,
            r500c=float(self.cosmology.r500c(mass, redshift)),
            snapshot=int(rows["snapshot"][cluster]),
            position=place if np.isfinite(place).all() else history.position,
            latents=dict(zip(_NAMES, history.latents[at].tolist(), strict=True)),
            orientation=history.orientation,
        )

    def halo_number(self, cluster: int) -> int:
        """Return the number of a row's halo, the same at all of its snapshots."""
        return int(self.rows["history"][cluster])

    def target(self, cluster: int) -> LightTarget:
        """Return what the light of a row's halo has to be."""
        share = float(self.rows["core_share"][cluster])
        if not self.soft and not self.has_light:
            return LightTarget(np.nan, False, share)
        history, at = self._find(cluster)
        ln_mean = self._ln_mean(cluster, history.latents[at])
        return LightTarget(ln_mean + float(history.excess[at]), self.soft, share)

    def catalogue_values(self, cluster: int) -> dict[str, float]:
        """Return what a survey holds of a row as the table has it, whatever the photons show."""
        names = ("L_X", "L_X_ce")
        values = {name: float(self.rows[name][cluster]) for name in names}
        return {name: value for name, value in values.items() if np.isfinite(value)}

    def light_of_row(self, cluster: int) -> float:
        """Return the L_X of a row, of the band that the table has [1e44 erg/s]; NaN without."""
        return float(self.rows["L_X_soft" if self.soft else "L_X"][cluster])

    def _find(self, cluster: int) -> tuple[_History, int]:
        history = self._history(self.halo_number(cluster))
        return history, int(np.flatnonzero(history.rows == cluster)[0])

    def _set_light(self, m500c: np.ndarray, efunc: np.ndarray) -> None:
        """Set the residual of each row's ln L_X about its relation, and which are outliers."""
        light = self.rows["L_X_soft" if self.soft else "L_X"]
        self.has_light = bool(np.isfinite(light).any())
        ratio = m500c / PIVOT
        in_catalogue = self.twins.light == "catalogue"
        config = self.catalogue
        self._tail = config.excess * ratio**config.excess_slope * in_catalogue
        ln_norm = np.log(config.norm) + config.norm_slope * np.log(ratio)
        ln_norm = (ln_norm + config.norm_evolution * np.log(efunc)) * in_catalogue
        ln_light = np.log(light) - ln_norm - self._tail * (1 - np.log(2))
        latents = np.where(np.isfinite(self.given), self.given, self._centre)
        self._base = self._ln_gas_light(m500c, efunc, latents[:, _GAS], latents[:, _CORE])
        self.excess = ln_light - self._base
        self._trend = np.zeros(len(m500c))
        self.outlier = np.zeros(len(m500c), bool)
        if not self.has_light:
            return
        width = 0.0
        if np.isfinite(light).sum() >= FEWEST:
            self._trend, width = body_trend(self.excess, self._design)
        else:
            self._trend = np.full(len(m500c), np.nan)
            for row in np.flatnonzero(np.isfinite(light)):
                self._trend[row] = self._model(float(m500c[row]), float(self.rows["redshift"][row]))
        self.excess = self.excess - self._trend
        limit = max(self.twins.outlier_widths * width, self.twins.outlier_least)
        self.outlier = np.nan_to_num(self.excess, nan=-np.inf) > limit

    def _ln_gas_light(
        self, m500c: np.ndarray, efunc: np.ndarray, of_gas: np.ndarray, of_core: np.ndarray
    ) -> np.ndarray:
        """Return the part of ln L_X that follows gas mass and core share."""
        gas = self.gas
        width = np.array([core_share_width(m, gas) for m in m500c])
        share = np.clip(expit(gas.core_share + width * of_core), *SHARES)
        ln_mass = np.log(gas_mass(m500c, efunc, gas)) + gas_mass_scatter(m500c, gas) * of_gas
        return 2 * (ln_mass - np.log(PIVOT)) + gas.core_emission * np.log(share)

    def _model(self, m500c: float, redshift: float) -> float:
        """Return ln L_X of the mean halo of the configuration, less `_ln_gas_light`."""
        mean = Halo(0, m500c, redshift, float(self.cosmology.r500c(m500c, redshift)), 0,
                    np.zeros(3), dict.fromkeys(_NAMES, 0.0), np.eye(3))  # fmt: skip
        table = load_plasma_table(self.gas.abundance_table)
        shells = gas_light(make_gas(mean, self.gas, self.cosmology), table, self.soft)
        mass, efunc = np.array([m500c]), self.cosmology.efunc(np.array([redshift]))
        zero = np.zeros(1)
        return float(np.log(shells[INSIDE].sum()) - self._ln_gas_light(mass, efunc, zero, zero)[0])

    def _ln_mean(self, cluster: int, latents: np.ndarray) -> float:
        """Return ln L_X of a row's gas mass and core share on the table's relation."""
        row = slice(cluster, cluster + 1)
        mass, efunc = self.rows["m500c"][row], self.cosmology.efunc(self.rows["redshift"][row])
        of_gas, of_core = latents[[_GAS]], latents[[_CORE]]
        return float(self._ln_gas_light(mass, efunc, of_gas, of_core)[0] + self._trend[cluster])

    def _draw_history(self, number: int) -> _History:
        rows = self._history_rows[number]
        seeds = np.random.SeedSequence(self.seed, spawn_key=(_TWINS, number))
        rng = np.random.default_rng(seeds)
        orientation, position = random_rotation(rng), rng.random(3) * self.config.box_mpc_h
        times = self.cosmology.astropy.lookback_time(self.rows["redshift"][rows]).to_value("Gyr")
        innovations = rng.standard_normal((1, len(rows)))
        latents = evolve(innovations, np.atleast_1d(times), self.config, rng)[0]
        uniform, exponential = rng.random(len(rows)), rng.standard_exponential(len(rows))
        tail = self._tail[rows] * (exponential - 1)
        excess = latents[:, [_SLOPE, _CLUMPING]] @ self._weights
        latents[:, : len(LATENTS)] = self._condition(
            rows, np.atleast_1d(times), latents[:, : len(LATENTS)], excess + tail
        )
        measured = self.given[rows]
        conditional = self._centre[rows] + self._width * latents[:, : len(LATENTS)]
        latents[:, : len(LATENTS)] = np.where(np.isfinite(measured), measured, conditional)
        for i, row in enumerate(rows):
            if np.isfinite(self.excess[row]) and not self.outlier[row]:
                residual = self._residual_excess(row, latents[i])
                excess[i] = self._without_tail(residual, self._tail[row], uniform[i])
        return _History(rows, latents, excess, orientation, position)

    @property
    def _weights(self) -> np.ndarray:
        return np.array([self.gas.slope_emission, self.gas.clumping_scatter])

    def _condition(
        self,
        rows: np.ndarray,
        times: np.ndarray,
        unconditional: np.ndarray,
        noise_drawn: np.ndarray,
    ) -> np.ndarray:
        """Return a draw of the latents (snapshot, latent), conditional on what is measured."""
        residuals = self._residuals[rows]
        n = residuals.size
        measured = np.flatnonzero(np.isfinite(residuals.ravel()))
        observe, values = [np.eye(n)[measured]], [residuals.ravel()[measured]]
        noise, noise_draws = [np.zeros(len(measured))], [np.zeros(len(measured))]
        for i, row in enumerate(rows):
            weights = self._light_weights(row) * ~np.isfinite(residuals[i])
            if not np.isfinite(self.excess[row]) or self.outlier[row] or not weights.any():
                continue
            line = np.zeros(residuals.shape)
            line[i] = weights
            observe.append(line.reshape(1, n))
            values.append(self.excess[[row]])
            noise.append(np.array([self._weights @ self._weights + self._tail[row] ** 2]))
            noise_draws.append(noise_drawn[[i]])
        matrix = np.concatenate(observe)
        if not len(matrix):
            return unconditional
        conditional = conditioned(
            unconditional.ravel(), history_covariance(self.config, times), matrix,
            np.concatenate(values), np.concatenate(noise), np.concatenate(noise_draws),
        )  # fmt: skip
        return conditional.reshape(residuals.shape)

    def _light_weights(self, row: int) -> np.ndarray:
        """Return d ln L_X / d latent, (latent,)."""
        mass, gas = float(self.rows["m500c"][row]), self.gas
        weights = np.zeros(len(LATENTS))
        weights[_GAS] = 2 * gas_mass_scatter(mass, gas)
        inwards = 1 - expit(gas.core_share)
        weights[_CORE] = gas.core_emission * core_share_width(mass, gas) * inwards
        return weights * self._width

    def _residual_excess(self, row: int, latents: np.ndarray) -> float:
        """Return the residual of ln L_X at the drawn gas mass and core share."""
        at = slice(row, row + 1)
        mass, efunc = self.rows["m500c"][at], self.cosmology.efunc(self.rows["redshift"][at])
        ln_light = self._ln_gas_light(mass, efunc, latents[[_GAS]], latents[[_CORE]])[0]
        return float(self.excess[row] + self._base[row] - ln_light)

    def _without_tail(self, excess: float, tail: float, uniform: float) -> float:
        """Return a draw of the excess of the photons, of that of a catalogue with a tail.

        The first is normal, the tail exponential: given their sum, the first is a normal cut above.
        """
        variance = float(self._weights @ self._weights)
        if not tail or not variance:
            return excess
        scatter, mean = np.sqrt(variance), variance / tail
        cut = (excess + tail - mean) / scatter
        if cut < -_FAR:
            return excess + tail
        return float(mean + scatter * ndtri(uniform * ndtr(cut)))


def _grouped(history: np.ndarray, redshift: np.ndarray) -> dict[int, np.ndarray]:
    """Return the rows of each history, by ascending redshift."""
    order = np.lexsort((redshift, history))
    numbers, first = np.unique(history[order], return_index=True)
    return dict(zip(numbers.tolist(), np.split(order, first[1:]), strict=True))
