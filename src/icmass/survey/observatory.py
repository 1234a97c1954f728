"""What a survey's telescope makes of a scene: maps of counts, and how much of them is seen."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from icmass.observe.coverage import draw_coverage, off_axis_angle
from icmass.observe.maps import Grid, background_map, bin_photons
from icmass.observe.photons import Photons, agn_photons, gas_photons
from icmass.observe.spectra import SNAPSHOTS_KEPT, FoldedSpectra
from icmass.plasma.emissivity import load_plasma_table
from icmass.survey.config import SurveyConfig
from icmass.telescope.background import Background
from icmass.telescope.instrument import load_instrument
from icmass.universe.agn import Sources, unresolved_field_flux
from icmass.universe.fluctuations import BrightnessField
from icmass.universe.scene import Scene


class Observatory:
    """The telescope of a survey, pointed at one scene after the other.

    Parameters
    ----------
    config : SurveyConfig

    Attributes
    ----------
    table : PlasmaTable
    instrument : Instrument
    grid : Grid
    hides : bool
        Whether maps have a coverage: that of the configuration, or the telescope's field of view.
    """

    def __init__(self, config: SurveyConfig) -> None:
        observe = config.observe
        self.config, self.cosmology = observe, config.cosmology
        self.agn = config.agn
        self._kept = SNAPSHOTS_KEPT if config.halos.redshift_range is None else 1
        self.table = load_plasma_table(config.gas.abundance_table)
        self.instrument = load_instrument(
            observe.instrument, vignetting=observe.vignetting, arf=observe.arf, rmf=observe.rmf
        )
        self.grid = Grid(observe.n_pixels, observe.half_width_mpc_h, observe.bands)
        points = self.instrument.field_of_view is not None
        self.hides = points or observe.coverage is not None
        self.folder = lru_cache(maxsize=64)(self._folder)
        self.unresolved_rates = lru_cache(maxsize=64)(self._unresolved_rates)

    def _folder(self, nh_1e20: float) -> FoldedSpectra:
        return FoldedSpectra(
            self.table, self.instrument, nh_1e20, self.agn.absorbed_nh_1e20, kept=self._kept
        )

    def _unresolved_rates(self, nh_1e20: float) -> np.ndarray:
        """Return the rate of field AGN within the measured sky [1/s/arcmin^2], (band,)."""
        per_flux = self.folder(nh_1e20).agn_band_rates(
            self.agn.photon_index, self.agn.absorbed_fraction, self.config.bands
        )
        return per_flux * unresolved_field_flux(self.agn) / 3600

    def observe(
        self,
        scene: Scene,
        sources: Sources,
        field: BrightnessField | None,
        *,
        exposure: float,
        nh_1e20: float,
        of_exposure: np.random.Generator,
        of_photons: np.random.Generator,
        of_background: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return counts, uint16 (component, band, y, x), and the coverage (y, x) or None."""
        config, grid = self.config, self.grid
        redshift = scene.halo.redshift
        folder = self.folder(nh_1e20)
        arcmin = float(self.cosmology.arcmin_per_mpc_h(redshift))
        coverage = self._coverage(sources, folder, exposure, arcmin, of_exposure)
        maps = np.zeros((3, *grid.shape), np.uint16)
        emitted = [
            gas_photons(
                scene.atmosphere, redshift, folder, self.cosmology, exposure, of_photons, field
            )
        ]
        if config.agn:
            emitted.append(agn_photons(sources, folder, exposure, of_photons))
        for component, photons in enumerate(emitted):
            detected = self._detected(photons, arcmin, of_photons)
            maps[component] = bin_photons(detected, grid, coverage, of_photons)
        if config.background:
            maps[2] = self._background(coverage, exposure, nh_1e20, arcmin, of_background)
        return maps, coverage

    def _detected(self, photons: Photons, arcmin: float, rng: np.random.Generator) -> Photons:
        return photons.detected(
            self.instrument,
            60 * arcmin,
            rng,
            psf=self.config.psf,
            redistribution=self.config.redistribution,
        )

    def _coverage(
        self,
        sources: Sources,
        folder: FoldedSpectra,
        exposure: float,
        arcmin: float,
        rng: np.random.Generator,
    ) -> np.ndarray | None:
        field = self._field(arcmin)
        if self.config.coverage is None:
            return None if field is None else field.astype(np.float16)
        rate = folder.agn[1][folder.agn_row(sources.photon_index, sources.absorbed)]
        drawn = draw_coverage(
            self.config.coverage,
            sources,
            rate * sources.flux * exposure,
            n_pixels=self.grid.n_pixels,
            half_width=self.grid.half_width,
            arcsec_per_mpc_h=60 * arcmin,
            rng=rng,
        )
        return drawn if field is None else (drawn * field).astype(np.float16)

    def _field(self, arcmin: float) -> np.ndarray | None:
        """Return the exposure in the field of view of a pointing at the cluster, (y, x), or None.

        With an area that is the mean of the field it is the same everywhere in it.
        """
        field = self.instrument.field_of_view
        if field is None:
            return None
        theta = off_axis_angle(self.grid.n_pixels, self.grid.half_width, arcmin)
        onaxis = self.config.vignetting == "onaxis"
        return field.vignetting(theta) if onaxis else field.sees(theta).astype(float)

    def _background(
        self,
        coverage: np.ndarray | None,
        exposure: float,
        nh_1e20: float,
        arcmin: float,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Return counts of sky and particles; off axis, particles are not vignetted."""

        def drawn(
            background: Background, seen: np.ndarray | None, resolved: np.ndarray | float
        ) -> np.ndarray:
            return background_map(
                background,
                self.grid,
                exposure=exposure,
                arcmin_per_mpc_h=arcmin,
                coverage=seen,
                rng=rng,
                resolved_rate=resolved,
            )

        resolved = self.unresolved_rates(nh_1e20) if self.config.agn else 0.0
        field = self._field(arcmin)
        if coverage is None or field is None:
            return drawn(self.instrument.background, coverage, resolved)
        sky, particles = self.instrument.background.parts()
        unvignetted = np.divide(coverage, field, out=np.zeros(field.shape), where=field > 0)
        return drawn(sky, coverage, resolved) + drawn(particles, unvignetted, 0.0)
