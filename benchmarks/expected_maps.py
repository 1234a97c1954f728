"""The expected counts of a mock cluster: what its maps would be without Poisson noise.

The mock draws photons one by one and never has an expectation. Here the same shells of gas are
projected in closed form, folded with the same spectra and areas, and blurred by the mean point
spread function of each band, so that expectations can be compared at two masses, all else equal.
`benchmarks/ideal_observer.py` makes use of it, `tests/test_ideal_observer.py` compares with maps.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
from numba import njit
from scipy import fft

from icmass.errors import InputError
from icmass.observe.photons import _expected
from icmass.observe.spectra import ENERGY_RANGE, FoldedSpectra
from icmass.survey.simulate import Simulator
from icmass.universe.agn import Sources, draw_agn, flux_per_luminosity
from icmass.universe.atmosphere import Atmosphere, ClumpGas, clump_gas, make_atmosphere
from icmass.universe.fluctuations import BrightnessField, draw_brightness_field
from icmass.universe.gas import make_gas
from icmass.universe.halos import Halo
from icmass.universe.neighbours import Neighbours
from icmass.universe.substructure import draw_substructures

_SMALL = 6.0  # shells of a smaller radius in pixels are sums of points, not samples of a formula
_TINY = 2.0  # as `_SMALL`, for fewer points
_POINTS = (256, 1024)  # points of tiny and of small shells
_SUB = 4  # cells along a pixel in which points are spread linearly
_PSF_ENERGIES = 9  # nodes of the spectrum over which a band's point spread function is averaged
_PSF_KT = 3.0  # temperature of that spectrum [keV]
_NEAR = 10  # pixels from its centre within which a point spread function is integrated
_FINE = 19  # nodes a pixel side of that integral


@dataclass(frozen=True)
class Told:
    """A mock cluster and all that is told of it but its mass.

    Attributes
    ----------
    cluster : int
    halo : Halo
        With the true mass.
    clumps : ClumpGas
        Substructures, then neighbours.
    n_own : int
        How many of them are substructures.
    neighbours : Neighbours
    field : BrightnessField or None
    sources : Sources
        Active galactic nuclei.
    """

    cluster: int
    halo: Halo
    clumps: ClumpGas
    n_own: int
    neighbours: Neighbours
    field: BrightnessField | None
    sources: Sources


class ExpectedMaps:
    """Expected counts of the clusters of a simulator.

    Parameters
    ----------
    simulator : Simulator
        Of a survey with one exposure and column density, one universe and no coverage.
    """

    def __init__(self, simulator: Simulator) -> None:
        config, observe = simulator.config, simulator.config.observe
        low, high = observe.exposure_range
        plain = observe.sky is None and low == high and config.detection is None
        if not plain or simulator.universes is not None or simulator.observatory.hides:
            raise InputError("is not one of plain maps", field="preset", hint="give erosita or so")
        self.simulator, self.config, self.exposure = simulator, config, low
        self.observatory, self.cosmology = simulator.observatory, config.cosmology
        self.folder = simulator.observatory.folder(observe.nh_1e20)
        self.n_pixels, self.half_width = observe.n_pixels, observe.half_width_mpc_h
        self.n_grid = 2 * observe.n_pixels  # what is blurred into the map lies around it
        self.kernels = lru_cache(maxsize=16)(self._kernels)
        self.band_rates = lru_cache(maxsize=16)(self._band_rates)

    def told(self, cluster: int) -> Told:
        """Return a cluster of the survey as it is, drawn from the same streams."""
        config, streams = self.config, self.simulator.streams(cluster)
        scene = self.simulator.scene(cluster)
        halo = scene.halo
        field = draw_brightness_field(
            config.fluctuations,
            disturbance=halo.latents["disturbance"],
            r500c=halo.r500c,
            kpc_per_mpc_h=float(self.cosmology.kpc_per_mpc_h(halo.redshift)),
            half_width=self.half_width,
            rng=streams["field"],
        )
        cool = bool(scene.gas.shape["cool_core"])
        reach = 1.05 * self.half_width
        sources = draw_agn(halo, config.agn, self.cosmology, reach, streams["agn"], cool_core=cool)
        clumps = [scene.substructures, scene.neighbours.clumps]
        shells = clump_gas(clumps, halo, config.gas, self.cosmology)
        n_own = len(scene.substructures)
        return Told(cluster, halo, shells, n_own, scene.neighbours, field, sources)

    def at(self, told: Told, d_ln_m: float = 0.0, **d_latents: float) -> Halo:
        """Return a halo of another mass or other latents, all else the same."""
        halo = told.halo
        mass = halo.m500c * float(np.exp(d_ln_m))
        latents = halo.latents | {k: halo.latents[k] + v for k, v in d_latents.items()}
        r500c = float(self.cosmology.r500c(mass, halo.redshift))
        return replace(halo, m500c=mass, r500c=r500c, latents=latents)

    def emitted(
        self, told: Told, halo: Halo, *, alone: bool = False, scaled: bool = False
    ) -> np.ndarray:
        """Return counts of the gas before they are blurred, shape (band, n_grid, n_grid).

        Parameters
        ----------
        told : Told
        halo : Halo
            What is assumed of its own gas.
        alone : bool
            Leave out the light of substructures and neighbours, which stay what they are.
        scaled : bool
            Substructures follow the halo: they keep their share of its mass and their place in
            units of R500c, as if these were told. Otherwise they stay as they are on the sky.
        """
        shells = told.clumps
        if scaled:
            rng = self.simulator.streams(told.cluster)["surroundings"]
            clumps = draw_substructures(halo, self.config.substructure, rng)
            shells = clump_gas(
                [clumps, told.neighbours.clumps], halo, self.config.gas, self.cosmology
            )
        gas_config = self.config.gas
        own = (
            shells.mass_within(told.n_own, gas_config),
            shells.light_within(told.n_own, gas_config),
        )
        gas = make_gas(halo, gas_config, self.cosmology, *own)
        atmosphere = make_atmosphere(halo, gas, shells, gas_config)
        if alone:
            atmosphere = _first_body(atmosphere)
        weights = self._shell_counts(atmosphere, halo.redshift)
        out = np.zeros((weights.shape[1], self.n_grid, self.n_grid))
        pixel = 2 * self.half_width / self.n_pixels
        _project(
            weights, atmosphere.cubes, atmosphere.body, atmosphere.axes, atmosphere.centre,
            pixel, _ball(_POINTS[0]), _ball(_POINTS[1]), out,
        )  # fmt: skip
        return out if told.field is None else out * self._on_grid(told.field)

    def _shell_counts(self, atmosphere: Atmosphere, redshift: float) -> np.ndarray:
        """Return the expected counts of each shell, shape (shell, band)."""
        _, row, expected = _expected(atmosphere, redshift, self.folder, self.cosmology)
        hhe, metals = self.band_rates(redshift)
        parts = (hhe[row], hhe[row + 1], metals[row], metals[row + 1])
        rates = sum(expected[:, k, None] * part for k, part in enumerate(parts))
        return np.asarray(rates) * self.exposure

    def _band_rates(self, redshift: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the probability of each band by row of the plasma table, two of (n_kt, band)."""
        folded, edges = self.folder.plasma(redshift), self.folder.table.energy_edges_kev
        chance = self._band_chance(edges / (1 + redshift))
        found = []
        for cumulative in (folded.hhe, folded.metals):
            total = np.maximum(cumulative[:, -1:], 1e-300)
            found.append(np.diff(cumulative, axis=1) @ chance / total)
        return found[0], found[1]

    def _band_chance(self, edges_kev: np.ndarray) -> np.ndarray:
        """Return the probability that a photon of a bin is counted in a band, (bin, band)."""
        observe = self.config.observe
        if not observe.redistribution:
            width = np.diff(edges_kev)
            return np.stack(
                [np.diff(np.clip(edges_kev, lo, hi)) / width for lo, hi in observe.bands], 1
            )
        middle = np.clip((edges_kev[1:] + edges_kev[:-1]) / 2, *ENERGY_RANGE)
        chance = self.observatory.instrument.redistribution.band_probability
        return np.stack([chance(middle, lo, hi) for lo, hi in observe.bands], 1)

    def foreground(self, told: Told) -> np.ndarray:
        """Return the blurred counts of AGN and the mean background, (band, y, x)."""
        observe, redshift = self.config.observe, told.halo.redshift
        out = np.zeros((len(observe.bands), self.n_grid, self.n_grid))
        if observe.agn:
            self._add_sources(told.sources, out)
        maps = self.blurred(out, redshift)
        if observe.background:
            arcmin = float(self.cosmology.arcmin_per_mpc_h(redshift))
            area = (2 * self.half_width / self.n_pixels * arcmin) ** 2
            background = self.observatory.instrument.background
            rates = np.array([sum(background.rate(lo, hi)) for lo, hi in observe.bands])
            if observe.agn:
                rates = rates - self.observatory.unresolved_rates(observe.nh_1e20)
            maps += (rates * area * self.exposure)[:, None, None]
        return maps

    def _add_sources(self, sources: Sources, out: np.ndarray) -> None:
        row, column, weights = self._placed(sources)
        np.add.at(out.transpose(1, 2, 0), (row, column), weights)

    def _placed(self, sources: Sources) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return row and column of the sources on the grid, and their counts (source, band)."""
        cumulative, counts = self.folder.agn
        kind = FoldedSpectra.agn_row(sources.photon_index, sources.absorbed)
        spectra = np.diff(cumulative[kind], axis=1) @ self._band_chance(self.folder.edges)
        weights = spectra * (sources.flux * counts[kind] * self.exposure)[:, None]
        pixel = 2 * self.half_width / self.n_pixels
        column = (sources.x / pixel + self.n_pixels).astype(int)
        row = (sources.y / pixel + self.n_pixels).astype(int)
        inside = (np.minimum(column, row) >= 0) & (np.maximum(column, row) < self.n_grid)
        return row[inside], column[inside], weights[inside]

    def source_counts(self, told: Told) -> np.ndarray:
        """Return the blurred counts of each AGN by itself, shape (source, band, y, x).

        A central galaxy without an active nucleus has one of the median luminosity of those.
        """
        sources, agn = told.sources, self.config.agn
        if not np.any((sources.x == 0) & (sources.y == 0)):
            redshift = told.halo.redshift
            flux = 10**agn.central_log_l * flux_per_luminosity(redshift, agn, self.cosmology)
            nucleus = (0.0, 0.0, flux, agn.photon_index, False)
            held = (getattr(sources, field.name) for field in fields(Sources))
            sources = Sources(
                *(np.append(old, new) for old, new in zip(held, nucleus, strict=True))
            )
        row, column, weights = self._placed(sources)
        out = np.zeros((len(row), weights.shape[1], self.n_grid, self.n_grid))
        out[np.arange(len(row)), :, row, column] = weights
        return np.stack([self.blurred(of_one, told.halo.redshift) for of_one in out])

    def blurred(self, emitted: np.ndarray, redshift: float) -> np.ndarray:
        """Return counts in the map, (..., band, y, x), of counts emitted on the grid."""
        margin = slice(self.n_pixels // 2, self.n_pixels // 2 + self.n_pixels)
        if not self.config.observe.psf:
            return emitted[..., margin, margin].copy()
        spectrum = fft.rfft2(emitted) * self.kernels(redshift)
        blurred = fft.irfft2(spectrum, s=emitted.shape[-2:])[..., margin, margin]
        return np.maximum(blurred, 0) if (emitted >= 0).all() else blurred

    def _kernels(self, redshift: float) -> np.ndarray:
        """Return the transform of each band's point spread function, (band, n_grid, frequency)."""
        pixel = 2 * self.half_width / self.n_pixels
        arcsec = 60 * float(self.cosmology.arcmin_per_mpc_h(redshift)) * pixel
        folded = self.folder.plasma(redshift)
        edges = self.folder.table.energy_edges_kev / (1 + redshift)
        row = int(np.abs(self.folder.table.kt_kev - _PSF_KT).argmin())
        spectrum = np.diff(folded.hhe[row])[:, None] * self._band_chance(edges)
        kernels = []
        for of_band in spectrum.T:
            share = np.cumsum(of_band) / of_band.sum()
            levels = (np.arange(_PSF_ENERGIES) + 0.5) / _PSF_ENERGIES
            energies = np.interp(levels, share, edges[1:])
            kernels.append(self._kernel(energies, arcsec))
        return fft.rfft2(np.array(kernels))

    def _kernel(self, energies_kev: np.ndarray, arcsec: float) -> np.ndarray:
        """Return the point spread function of pixels to pixels, centred on (0, 0)."""
        psf, n = self.observatory.instrument.psf, self.n_grid
        radius = np.concatenate([[0], np.geomspace(0.3, psf.max_radius_arcsec, 1500)])
        encircled = psf.encircled_energy(radius[:, None], energies_kev).mean(axis=1)
        middle = np.sqrt((radius[1:] ** 2 + radius[:-1] ** 2) / 2)
        brightness = np.diff(encircled) / (np.pi * np.diff(radius**2)) * arcsec**2

        def at(dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
            return np.interp(np.hypot(dx, dy) * arcsec, middle, brightness, right=0)

        offset = fft.fftfreq(n, 1 / n)
        kernel = at(offset[:, None], offset)
        inner = (np.arange(_FINE) + 0.5) / _FINE * 2 - 1
        weight = np.outer(1 - np.abs(inner), 1 - np.abs(inner))
        near = np.arange(-_NEAR, _NEAR + 1)
        fine = near[:, None] + inner
        values = at(fine[:, None, :, None], fine[None, :, None, :])
        kernel[np.ix_(near, near)] = (values * weight).sum((2, 3)) / weight.sum()
        return kernel / kernel.sum()

    def _on_grid(self, field: BrightnessField) -> np.ndarray:
        """Return the fluctuations in the pixels of the grid, 1 outside the map."""
        out = np.ones((self.n_grid, self.n_grid))
        n, side = len(field.factor), self.n_pixels
        cell = (np.arange(side) * n) // side
        margin = slice(side // 2, side // 2 + side)
        out[margin, margin] = field.factor[np.ix_(cell, cell)]
        return out


def _first_body(gas: Atmosphere) -> Atmosphere:
    """Return the cluster's own shells."""
    own = gas.body == 0
    return replace(
        gas,
        emission_measure=gas.emission_measure[own],
        kt_kev=gas.kt_kev[own],
        abundance=gas.abundance[own],
        cubes=gas.cubes[own],
        body=gas.body[own],
        centre=gas.centre[own],
        in_r500=gas.in_r500[own],
    )


@lru_cache(maxsize=2)
def _ball(n: int) -> np.ndarray:
    """Return even directions and radii: unit vectors times the quantile of the volume, (n, 4)."""
    i = np.arange(n) + 0.5
    mu, phi = 1 - 2 * i / n, np.pi * (1 + np.sqrt(5)) * i  # Fibonacci's spiral
    flat = np.sqrt(1 - mu**2)
    quantile = np.mod(i * np.sqrt(2), 1)
    return np.stack([flat * np.cos(phi), flat * np.sin(phi), mu, quantile], 1)


@njit(cache=True)
def _spread(fx, fy, weight, out):  # type: ignore[no-untyped-def]
    """Add counts at a place in pixels, linearly to the four nearest of the cells of pixels."""
    n = out.shape[1]
    gx, gy = fx * _SUB - 0.5, fy * _SUB - 0.5
    ix, iy = int(np.floor(gx)), int(np.floor(gy))
    for jy in range(2):
        for jx in range(2):
            px, py = (ix + jx) // _SUB, (iy + jy) // _SUB
            if 0 <= px < n and 0 <= py < n:
                part = (jx + (1 - 2 * jx) * (1 - gx + ix)) * (jy + (1 - 2 * jy) * (1 - gy + iy))
                for band in range(len(weight)):
                    out[band, py, px] += part * weight[band]


@njit(cache=True)
def _project(  # type: ignore[no-untyped-def]
    weights, cubes, body, axes, centre, pixel, few, many, out
):
    """Add the counts of ellipsoidal shells, seen in projection, to the pixels of a grid.

    A uniform ball, mapped by the 2 x 3 matrix A, has the column 2 sqrt(r^2 - s^2) / sqrt(det C)
    with C = A A^T and s^2 = p C^-1 p. Shells of few pixels are sums of points.
    """
    n = out.shape[1]
    bands = weights.shape[1]
    for shell in range(len(weights)):
        a = axes[body[shell]] / pixel
        cx, cy = centre[shell, 0] / pixel + n / 2, centre[shell, 1] / pixel + n / 2
        inner, outer = cubes[shell, 0], cubes[shell, 1]
        c00, c01, c11 = (a[0] ** 2).sum(), (a[0] * a[1]).sum(), (a[1] ** 2).sum()
        det = c00 * c11 - c01**2
        r2, q2 = outer ** (2 / 3), inner ** (2 / 3)
        size = np.sqrt(r2 * np.sqrt(det))
        if size < _SMALL:
            ball = few if size < _TINY else many
            part = weights[shell] / len(ball)
            for k in range(len(ball)):
                r = (inner + (outer - inner) * ball[k, 3]) ** (1 / 3)
                x = a[0, 0] * ball[k, 0] + a[0, 1] * ball[k, 1] + a[0, 2] * ball[k, 2]
                y = a[1, 0] * ball[k, 0] + a[1, 1] * ball[k, 1] + a[1, 2] * ball[k, 2]
                _spread(cx + r * x, cy + r * y, part, out)
            continue
        norm = 2 / (4 * np.pi / 3 * (outer - inner) * np.sqrt(det))
        reach_x, reach_y = np.sqrt(c00 * r2), np.sqrt(c11 * r2)
        for py in range(max(0, int(cy - reach_y)), min(n, int(cy + reach_y) + 1)):
            dy = py + 0.5 - cy
            for px in range(max(0, int(cx - reach_x)), min(n, int(cx + reach_x) + 1)):
                dx = px + 0.5 - cx
                s2 = (c11 * dx * dx - 2 * c01 * dx * dy + c00 * dy * dy) / det
                if s2 < r2:
                    column = np.sqrt(r2 - s2) - (np.sqrt(q2 - s2) if s2 < q2 else 0.0)
                    for band in range(bands):
                        out[band, py, px] += norm * column * weights[shell, band]
