"""One simulated cluster: from its seed to the variables of the survey."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from icmass.observe.apertures import photon_counts
from icmass.observe.coverage import draw_coverage
from icmass.observe.maps import Grid, background_map, bin_photons
from icmass.observe.photons import agn_photons, gas_photons
from icmass.observe.spectra import Folder
from icmass.plasma.emissivity import load_plasma_table
from icmass.survey.config import SurveyConfig
from icmass.telescope.instrument import load_instrument
from icmass.universe.agn import draw_agn, unresolved_field_flux
from icmass.universe.gas import Gas, make_gas
from icmass.universe.halos import LATENTS, Halo, HaloPopulation

_SHAPE_LATENTS = (
    "core",
    "alpha",
    "beta",
    "epsilon",
    "cool_core",
    "temperature_drop",
    "ln_clumping",
    "axis_q",
    "axis_s",
)


class Simulator:
    """Makes clusters of one survey; the same cluster whatever was made before.

    Parameters
    ----------
    config : SurveyConfig
    seed : int
        Seed of the survey.

    Notes
    -----
    Cluster i draws from ``numpy.random.SeedSequence(seed, spawn_key=(i,))``, with one child
    stream for each of halo, gas, AGN, exposure, photons and background: to change the telescope
    leaves the universe as it is.
    """

    def __init__(self, config: SurveyConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        observe = config.observe
        self.table = load_plasma_table()
        self.instrument = load_instrument(
            observe.instrument, vignetting=observe.vignetting, arf=observe.arf, rmf=observe.rmf
        )
        self.folder = Folder(
            self.table, self.instrument, observe.nh_1e20, config.agn.absorbed_nh_1e20
        )
        self.population = HaloPopulation(config.halos, config.cosmology)
        self.grid = Grid(observe.n_pixels, observe.half_width_mpc_h, observe.bands)
        per_flux = self.folder.agn_band_rates(
            config.agn.photon_index, config.agn.absorbed_fraction, observe.bands
        )
        self._field_rates = per_flux * unresolved_field_flux(config.agn) / 3600

    @property
    def variables(self) -> list[str]:
        """Names of the variables that `cluster` returns."""
        names = ["maps", "m500c", "redshift", "r500c", "exposure", "nh", "halo_id", "snapshot"]
        names += ["position", "T", "L_X", "L_X_soft", "M_gas"]
        names += ["n_phot", "n_phot_r500", "n_phot_2r500"]
        names += [f"latent_{name}" for name in (*LATENTS, *_SHAPE_LATENTS)]
        return names if self.config.observe.coverage is None else [*names, "coverage"]

    def streams(self, cluster: int) -> list[np.random.Generator]:
        """Return the random streams of a cluster: halo, gas, AGN, exposure, photons, background."""
        children = np.random.SeedSequence(self.seed, spawn_key=(cluster,)).spawn(6)
        return [np.random.Generator(np.random.PCG64(child)) for child in children]

    def universe(self, cluster: int) -> tuple[Halo, Gas]:
        """Return the halo of a cluster and its gas, without observing them."""
        of_halo, of_gas, *_ = self.streams(cluster)
        halo = self.population.draw(cluster, of_halo)
        return halo, make_gas(halo, self.config.gas, self.config.cosmology, of_gas)

    def cluster(self, cluster: int) -> dict[str, Any]:
        """Simulate one cluster: a value for each of `variables`."""
        streams = self.streams(cluster)
        halo = self.population.draw(cluster, streams[0])
        gas = make_gas(halo, self.config.gas, self.config.cosmology, streams[1])
        exposure = float(streams[3].uniform(*self.config.observe.exposure_range))
        maps, coverage = self._observe(halo, gas, exposure, streams)
        values: dict[str, Any] = {
            "maps": maps,
            "m500c": halo.m500c,
            "redshift": halo.redshift,
            "r500c": halo.r500c,
            "exposure": exposure,
            "nh": self.config.observe.nh_1e20,
            "halo_id": halo.halo_id,
            "snapshot": halo.snapshot,
            "position": halo.position,
            "T": gas.t_mass_weighted,
            "M_gas": gas.m_gas,
            **self._luminosities(gas),
        }
        found = photon_counts(maps[None], halo.r500c, half_width=self.grid.half_width)
        values |= {name: float(count[0]) for name, count in found.items()}
        values |= {f"latent_{name}": value for name, value in halo.latents.items()}
        values |= {f"latent_{name}": gas.latents[name] for name in _SHAPE_LATENTS}
        return values if coverage is None else {**values, "coverage": coverage}

    def _luminosities(self, gas: Gas) -> dict[str, float]:
        inside = gas.inside_r500
        kt, abundance = gas.kt_kev[inside], gas.abundance[inside]
        cooling = {
            "L_X": self.table.bolometric_cooling_function(kt, abundance),
            "L_X_soft": self.table.cooling_function(kt, abundance, 0.5, 2.0),
        }
        emission = gas.emission_measure[inside]
        return {name: float(emission @ values) / 1e44 for name, values in cooling.items()}

    def _observe(
        self, halo: Halo, gas: Gas, exposure: float, streams: list[np.random.Generator]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        config, grid, cosmology = self.config.observe, self.grid, self.config.cosmology
        of_agn, of_exposure, of_photons, of_background = streams[2:]
        arcmin = float(cosmology.arcmin_per_mpc_h(halo.redshift))
        sources = draw_agn(halo, self.config.agn, cosmology, 1.05 * grid.half_width, of_agn)
        coverage = None
        if config.coverage is not None:
            rate = self.folder.agn[1][self.folder.agn_row(sources.photon_index, sources.absorbed)]
            coverage = draw_coverage(
                config.coverage,
                sources,
                rate * sources.flux * exposure,
                n_pixels=grid.n_pixels,
                half_width=grid.half_width,
                arcsec_per_mpc_h=60 * arcmin,
                rng=of_exposure,
            )
        maps = np.zeros((3, *grid.shape), np.uint16)
        emitted = [gas_photons(gas, halo, self.folder, cosmology, exposure, of_photons)]
        if config.agn:
            emitted.append(agn_photons(sources, self.folder, exposure, of_photons))
        for component, photons in enumerate(emitted):
            seen = photons.detected(
                self.instrument,
                60 * arcmin,
                of_photons,
                psf=config.psf,
                redistribution=config.redistribution,
            )
            maps[component] = bin_photons(seen, grid, coverage, of_photons)
        if config.background:
            maps[2] = background_map(
                self.instrument.background,
                grid,
                exposure=exposure,
                arcmin_per_mpc_h=arcmin,
                coverage=coverage,
                rng=of_background,
                apart=self._field_rates if config.agn else 0.0,
            )
        return maps, coverage


@lru_cache(maxsize=2)
def simulator(config_json: str, seed: int) -> Simulator:
    """Return the simulator of a configuration, kept between the chunks that a worker makes."""
    return Simulator(SurveyConfig.model_validate_json(config_json), seed)
