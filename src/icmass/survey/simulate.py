"""One simulated cluster: from its seed to the variables of the survey."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import numpy as np
import xarray as xr
from pydantic import ValidationError

from icmass.errors import InputError
from icmass.observe.allsky import draw_sightline
from icmass.observe.apertures import photon_counts
from icmass.observe.dynamics import galaxy_proxies
from icmass.observe.photons import Photons, gas_photons
from icmass.survey.config import SurveyConfig
from icmass.survey.observatory import Observatory
from icmass.survey.selection import Selection
from icmass.survey.twins import rows_of, twin_scene, twins_of
from icmass.survey.universes import Universes
from icmass.universe.agn import draw_agn
from icmass.universe.catalogue import draw_excess
from icmass.universe.fluctuations import BrightnessField, draw_brightness_field
from icmass.universe.galaxies import draw_galaxies, ideal_m_star
from icmass.universe.gas import make_gas
from icmass.universe.halos import LATENTS, SHAPES, Halo, latent_correlation, with_temperature
from icmass.universe.population import HaloPopulation
from icmass.universe.scene import Scene, build_scene, luminosities
from icmass.universe.twin_rows import TwinRows

#: What made the gas of the cluster, kept as latents beside those of the halo.
GAS_SHAPE = (
    "core",
    "core_share",
    "cusp_share",
    "cusp_radius",
    "beta",
    "epsilon",
    "cool_core",
    "temperature_drop",
    "phases",
    "ln_clumping",
    "ln_abundance",
    "axis_ratio_q",
    "axis_ratio_s",
    "offset",
)
_MOST_TRIALS = 100_000  # halos tried for one detected cluster
_STREAMS = (
    "halo",
    "surroundings",
    "field",
    "agn",
    "galaxies",
    "exposure",
    "photons",
    "background",
    "catalogue",
)


class Streams(dict[str, np.random.Generator]):
    """The random streams of one cluster by what is drawn from them, each made when asked for."""

    def __init__(self, seed: int, cluster: int) -> None:
        super().__init__()
        self._seed, self._cluster = seed, cluster

    def __missing__(self, name: str) -> np.random.Generator:
        key = (self._cluster, _STREAMS.index(name))
        generator = np.random.Generator(
            np.random.PCG64(np.random.SeedSequence(self._seed, spawn_key=key))
        )
        self[name] = generator
        return generator


class Simulator:
    """Makes clusters of one survey; the same cluster whatever was made before.

    Parameters
    ----------
    config : SurveyConfig
    seed : int
        Seed of the survey.
    rows : TwinRows, optional
        The table whose halos are made, see `icmass.universe.twin_population`.

    Notes
    -----
    Cluster i draws from ``numpy.random.SeedSequence(seed, spawn_key=(i,))``, with one child
    stream for each of halo, surroundings, brightness field, AGN, galaxies, exposure, photons,
    background and catalogue: to change the telescope leaves the universe as it is. Halos with a
    history come from boxes with streams of their own.

    With a prior of the physics (`SurveyConfig.physics`), the n-th new halo of the survey is, at
    all snapshots, in universe n modulo the number of universes. Where all halos are kept, they
    are those of the same survey without the prior, but for their latent temperature.
    """

    def __init__(self, config: SurveyConfig, seed: int, rows: TwinRows | None = None) -> None:
        if (rows is None) != (config.twins is None):
            what = "needs a table of halos" if rows is None else "takes no table of halos"
            raise InputError(what, field="twins", hint="give --catalogue, which sets them")
        self.config, self.seed = config, seed
        self.observatory = Observatory(config)
        self.twins = None if rows is None else twins_of(rows, config, seed)
        self.population = self.twins or HaloPopulation(config.halos, config.cosmology, seed)
        self.universes = None if config.physics is None else Universes(config, seed)
        self.selection = None
        if config.detection is not None:
            self.selection = Selection(config.detection, self.observatory, config.cosmology)

    @property
    def variables(self) -> list[str]:
        """Names of the variables that `cluster` returns."""
        names = ["maps", "m500c", "redshift", "r500c", "exposure", "nh", "halo_id", "snapshot"]
        names += ["position", "T", "L_X", "L_X_outlier", "L_X_ce", "L_X_emitted"]
        names += ["L_X_soft", "M_gas", "M_star", "sigma_v_true"]
        names += ["n_phot", "n_phot_r500", "n_phot_2r500", "N_gal", "sigma_v"]
        names += ["galaxy_offset", "galaxy_x", "galaxy_y", "galaxy_v"]
        names += ["galaxy_m_star", "galaxy_member"]
        names += [f"latent_{name}" for name in (*LATENTS, *SHAPES, *GAS_SHAPE)]
        names += [] if self.universes is None else ["universe"]
        names += [] if self.twins is None else ["L_X_emitted_ce", "L_X_soft_ce"]
        names += ["ra", "dec"] if self.config.observe.sky else []
        names += [] if self.selection is None else ["halos_drawn"]
        names += ["coverage"] if self.observatory.hides else []
        return names

    def universe(self, cluster: int) -> int:
        """Return the universe of a cluster; 0 where there is one."""
        if self.universes is None:
            return 0
        return self.universes.of_halo(self.population.halo_number(cluster))

    def config_of(self, cluster: int) -> SurveyConfig:
        """Return the configuration of the cluster's own universe, without a prior."""
        if self.universes is None:
            return self.config
        return self.universes.config(self.universe(cluster))

    def streams(self, cluster: int) -> Streams:
        """Return the random streams of a cluster, by what is drawn from them."""
        return Streams(self.seed, cluster)

    def scene(self, cluster: int) -> Scene:
        """Return a cluster and its surroundings, without observing them."""
        streams = self.streams(cluster)
        halo, _ = self._target(cluster, streams)
        return self._scene(cluster, halo, streams["surroundings"])

    def halo(self, cluster: int) -> Halo:
        """Return the halo of a cluster."""
        return self._target(cluster, self.streams(cluster))[0]

    def target(self, cluster: int) -> tuple[Halo, dict[str, float]]:
        """Return the halo of a cluster, and its exposure [s], column density and place.

        Where clusters are detected, ``halos_drawn`` besides.
        """
        return self._target(cluster, self.streams(cluster))

    def gas_photons(self, cluster: int, exposure: float) -> tuple[Scene, Photons]:
        """Return a cluster, and the photons of its gas that an ideal detector records.

        Parameters
        ----------
        exposure : float
            [s], with the survey's area and column density, but without PSF and redistribution.
        """
        streams = self.streams(cluster)
        halo, sight = self._target(cluster, streams)
        scene = self._scene(cluster, halo, streams["surroundings"])
        photons = gas_photons(
            scene.atmosphere,
            halo.redshift,
            self.observatory.folder(sight["nh"]),
            self.config.cosmology,
            exposure,
            streams["photons"],
            self._field(scene, streams["field"]),
        )
        return scene, photons

    def _draw(self, cluster: int, rng: np.random.Generator) -> Halo:
        halo = self.population.draw(cluster, rng)
        if self.universes is None:
            return halo
        correlation = latent_correlation(self.config_of(cluster).halos, "temperature", "gas_mass")
        return with_temperature(halo, self.config.halos, correlation)

    def _target(self, cluster: int, streams: Streams) -> tuple[Halo, dict[str, float]]:
        """Return the next halo that is selected, and its exposure, column density and place."""
        config = self.config_of(cluster)
        for tried in range(1, _MOST_TRIALS + 1):
            halo = self._draw(cluster, streams["halo"])
            sight = self._sightline(streams["exposure"])
            if self.selection is None:
                return halo, sight
            gas = make_gas(halo, config.gas, config.cosmology)
            probability = self.selection.probability(
                halo,
                gas,
                exposure=sight["exposure"],
                nh_1e20=sight["nh"],
            )
            if streams["halo"].random() < probability:
                return halo, {**sight, "halos_drawn": tried}
        raise InputError(
            f"finds no cluster among {_MOST_TRIALS} halos",
            field="detection",
            hint="lower its limits, or raise halos.log_m500c_min",
        )

    def _sightline(self, rng: np.random.Generator) -> dict[str, float]:
        observe = self.config.observe
        if observe.sky is None:
            return {
                "exposure": _drawn(rng, observe.exposure_range, observe.exposure_law),
                "nh": observe.nh_1e20
                if observe.nh_range_1e20 is None
                else _two_digits(_drawn(rng, observe.nh_range_1e20, "log-uniform")),
            }
        sight = draw_sightline(observe.sky, rng)
        return {
            "exposure": sight.exposure_s,
            "nh": _two_digits(sight.nh_1e20),
            "ra": sight.ra,
            "dec": sight.dec,
        }

    def cluster(self, cluster: int) -> dict[str, Any]:
        """Simulate one cluster: a value for each of `variables`."""
        config, streams = self.config_of(cluster), self.streams(cluster)
        halo, sight = self._target(cluster, streams)
        scene = self._scene(cluster, halo, streams["surroundings"])
        halo, gas = scene.halo, scene.gas
        sources = draw_agn(
            halo,
            config.agn,
            config.cosmology,
            1.05 * config.observe.half_width_mpc_h,
            streams["agn"],
            cool_core=bool(gas.shape["cool_core"]),
        )
        maps, coverage = self.observatory.observe(
            scene,
            sources,
            self._field(scene, streams["field"]),
            exposure=sight["exposure"],
            nh_1e20=sight["nh"],
            of_exposure=streams["exposure"],
            of_photons=streams["photons"],
            of_background=streams["background"],
        )
        values: dict[str, Any] = {
            "maps": maps,
            "m500c": halo.m500c,
            "redshift": halo.redshift,
            "r500c": halo.r500c,
            **sight,
            "halo_id": halo.halo_id,
            "snapshot": halo.snapshot,
            "position": halo.position,
            "T": gas.t_mass_weighted,
            "M_gas": gas.m_gas,
            **self.luminosities(scene, cluster),
            **self._galaxies(scene, streams["galaxies"]),
        }
        counts = photon_counts(maps[None], halo.r500c, half_width=config.observe.half_width_mpc_h)
        values |= {name: float(count[0]) for name, count in counts.items()}
        values |= {f"latent_{name}": value for name, value in halo.latents.items()}
        values |= {f"latent_{name}": gas.shape[name] for name in GAS_SHAPE}
        values |= {} if self.universes is None else {"universe": self.universe(cluster)}
        values |= {} if self.twins is None else self.twins.catalogue_values(cluster)
        return values if coverage is None else {**values, "coverage": coverage}

    def luminosities(self, scene: Scene, cluster: int) -> dict[str, Any]:
        """Return the luminosities of a cluster as a catalogue has them, and as its photons do.

        Besides `variables`, ``L_X_emitted_ce`` and ``L_X_soft_ce``, both without the core.
        """
        emitted = luminosities(scene, self.observatory.table)
        halo, config = scene.halo, self.config
        efunc = float(config.cosmology.efunc(halo.redshift))
        rng = self.streams(cluster)["catalogue"]
        excess = scene.excess or draw_excess(halo.m500c, efunc, config.catalogue, rng)
        factor = np.exp(excess.ln_luminosity)
        return {
            "L_X": factor * emitted["L_X_emitted"],
            "L_X_outlier": excess.outlier,
            "L_X_ce": factor * emitted["L_X_emitted_ce"],
            **emitted,
        }

    def _galaxies(self, scene: Scene, rng: np.random.Generator) -> dict[str, Any]:
        config, halo = self.config, scene.halo
        galaxies = draw_galaxies(
            halo,
            scene.neighbours,
            config.galaxies,
            config.cosmology,
            config.observe.half_width_mpc_h,
            rng,
        )
        proxies = galaxy_proxies(galaxies, halo.redshift, config.cosmology)
        return {
            "M_star": ideal_m_star(halo, config.galaxies),
            "N_gal": proxies["n_gal"],
            "sigma_v": proxies["sigma_v"],
            "sigma_v_true": proxies["sigma_v_true"],
            "galaxy_offset": len(galaxies.x),
            "galaxy_x": galaxies.x,
            "galaxy_y": galaxies.y,
            "galaxy_v": galaxies.v_los,
            "galaxy_m_star": galaxies.m_star,
            "galaxy_member": galaxies.member,
        }

    def _scene(self, cluster: int, halo: Halo, rng: np.random.Generator) -> Scene:
        config = self.config_of(cluster)
        scene = build_scene(
            halo,
            config.gas,
            config.substructure,
            config.neighbours,
            config.cosmology,
            half_width=config.observe.half_width_mpc_h,
            rng=rng,
        )
        if self.twins is None:
            return scene
        return twin_scene(scene, self.twins, cluster, self.observatory.table)

    def _field(self, scene: Scene, rng: np.random.Generator) -> BrightnessField | None:
        config = self.config
        return draw_brightness_field(
            config.fluctuations,
            disturbance=scene.halo.latents["disturbance"],
            r500c=scene.halo.r500c,
            kpc_per_mpc_h=float(config.cosmology.kpc_per_mpc_h(scene.halo.redshift)),
            half_width=config.observe.half_width_mpc_h,
            rng=rng,
        )


def _drawn(
    rng: np.random.Generator, limits: tuple[float, float], law: Literal["uniform", "log-uniform"]
) -> float:
    if law == "uniform":
        return float(rng.uniform(*limits))
    return float(np.exp(rng.uniform(*np.log(limits))))


def _two_digits(nh_1e20: float) -> float:
    """Return a column density to two digits: its folded spectra are then used again."""
    return float(f"{nh_1e20:.1e}")


@lru_cache(maxsize=2)
def simulator(config_json: str, seed: int, rows: TwinRows | None = None) -> Simulator:
    """Return the simulator of a configuration, kept between the chunks that a worker makes."""
    return Simulator(SurveyConfig.model_validate_json(config_json), seed, rows)


def simulator_of(survey: xr.Dataset) -> Simulator:
    """Return the simulator that made a survey.

    Raises
    ------
    InputError
        If the survey was not simulated, or by a version whose configuration is another.
    """
    if not any(str(name).startswith("latent_") for name in survey.data_vars):
        raise InputError("was not simulated", field="survey", hint="give one of `icmass simulate`")
    try:
        rows = rows_of(survey)
        return simulator(str(survey.attrs["config"]), int(survey.attrs["seed"]), rows)
    except (ValidationError, KeyError) as error:
        field = "attribute config"
        if isinstance(error, ValidationError):
            field += ", " + ".".join(str(part) for part in error.errors()[0]["loc"])
        raise InputError(
            "is not known to this version", field=field, hint="make the survey again"
        ) from None
