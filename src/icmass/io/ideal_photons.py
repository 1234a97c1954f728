"""Ideal photons seen by our telescope: thinned to its area, blurred, binned, background added."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from icmass.errors import InputError
from icmass.io.photon_lists import PhotonList
from icmass.observe.maps import Grid, background_map, bin_photons
from icmass.observe.photons import Photons
from icmass.plasma.absorption import transmission
from icmass.sky.map_grid import MapGrid
from icmass.sky.tangent import project
from icmass.telescope.instrument import Instrument


@dataclass(frozen=True)
class ListExposure:
    """Where a list's photons are to be seen from.

    Attributes
    ----------
    area_cm2, time_s : float
        Flat area [cm^2] and exposure [s] of the ideal telescope that collected them.
    centre : (float, float)
        Right ascension and declination of the map's centre [deg].
    redshift : float
    """

    area_cm2: float
    time_s: float
    centre: tuple[float, float]
    redshift: float


@dataclass(frozen=True)
class PhotonTelescope:
    """A telescope for photons that are given, not simulated.

    Attributes
    ----------
    grid : MapGrid
        Maps to make, and the cosmology that turns angles into comoving lengths.
    instrument : Instrument
    exposure : float
        Exposure to be seen [s].
    psf, redistribution, background : bool
        Whether to blur positions, to blur energies, to add the background of sky and particles.
    absorb_nh_1e20 : float
        Galactic column density to absorb the photons with [1e20 cm^-2]; 0 where they are already.
    """

    grid: MapGrid
    instrument: Instrument
    exposure: float
    psf: bool = True
    redistribution: bool = True
    background: bool = True
    absorb_nh_1e20: float = 0.0

    @property
    def maps_grid(self) -> Grid:
        """The pixels of the maps."""
        return Grid(self.grid.n_pixels, self.grid.half_width, self.grid.bands)

    def area_cm2(self, energy_kev: np.ndarray) -> np.ndarray:
        """Return effective area times absorption [cm^2], shape of `energy_kev`."""
        area = self.instrument.area_cm2(energy_kev)
        if self.absorb_nh_1e20:
            seen = area > 0
            area[seen] *= transmission(energy_kev[seen], self.absorb_nh_1e20)
        return area

    def check_exposure(self, listed: ListExposure) -> None:
        """Refuse a list with fewer photons than the telescope would see.

        A photon is kept with probability A(E) t / (AREA TIME), which must not exceed 1 at any
        energy: with a response, all energies that the telescope sees reach the bands.
        """
        energy = np.union1d(np.arange(0.1, 12, 0.01), self.instrument.area.energy_kev)
        largest = listed.area_cm2 * listed.time_s / float(self.area_cm2(energy).max())
        if self.exposure > largest:
            raise InputError(
                f"{self.exposure:g} s is more than a list of {listed.area_cm2:g} cm^2 times "
                f"{listed.time_s:g} s has photons for",
                field="--exposure",
                hint=f"give at most {np.floor(largest):g} s",
            )

    def thin(
        self, chunks: Iterable[PhotonList], listed: ListExposure, rng: np.random.Generator
    ) -> Photons:
        """Return the photons that the mirrors collect, at their comoving offsets.

        Parameters
        ----------
        chunks : iterable of PhotonList
            The list, some photons at a time; it is read once and not kept.
        listed : Listed
        rng : numpy.random.Generator

        Raises
        ------
        InputError
            If the list has fewer photons than the telescope would see.
        """
        self.check_exposure(listed)
        scale = self.exposure / (listed.area_cm2 * listed.time_s)
        parts = [np.zeros((3, 0))]
        for chunk in chunks:
            kept = rng.random(len(chunk)) < self.area_cm2(chunk.energy) * scale
            x, y = project(
                chunk.ra[kept],
                chunk.dec[kept],
                centre=listed.centre,
                redshift=listed.redshift,
                cosmology=self.grid.cosmology,
            )
            parts.append(np.stack([chunk.energy[kept], x, y])[:, np.isfinite(x)])
        return Photons(*np.concatenate(parts, axis=1))

    def sees(self, photons: Photons) -> bool:
        """Say whether any of the photons falls within the map."""
        half = self.grid.half_width
        return bool(((np.abs(photons.x) < half) & (np.abs(photons.y) < half)).any())

    def counts(self, photons: Photons, redshift: float, rng: np.random.Generator) -> np.ndarray:
        """Return the maps of thinned photons as recorded, uint16 (band, y, x), 65535 at most."""
        arcsec = 60 * float(self.grid.cosmology.arcmin_per_mpc_h(redshift))
        recorded = photons.detected(
            self.instrument, arcsec, rng, psf=self.psf, redistribution=self.redistribution
        )
        return bin_photons(recorded, self.maps_grid, None, rng)

    def background_counts(self, redshift: float, rng: np.random.Generator) -> np.ndarray:
        """Return maps of the background, uint16 (band, y, x); zeros without background.

        It is the whole measured background, with the active nuclei that are not resolved.
        """
        if not self.background:
            return np.zeros(self.maps_grid.shape, np.uint16)
        return background_map(
            self.instrument.background,
            self.maps_grid,
            exposure=self.exposure,
            arcmin_per_mpc_h=float(self.grid.cosmology.arcmin_per_mpc_h(redshift)),
            coverage=None,
            rng=rng,
        )
