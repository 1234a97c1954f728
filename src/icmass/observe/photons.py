"""Photons of the gas and of the AGN, and what the telescope does to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from astropy import units as u
from numba import njit

from icmass.cosmology import Cosmology
from icmass.observe.spectra import FoldedPlasma, FoldedSpectra
from icmass.telescope.instrument import Instrument
from icmass.universe.agn import Sources
from icmass.universe.atmosphere import Atmosphere
from icmass.universe.fluctuations import BrightnessField

_MPC_CM = (1 * u.Mpc).to_value(u.cm)


@dataclass(frozen=True)
class Photons:
    """A list of photons: observed energy [keV], offset from the cluster [comoving Mpc/h]."""

    energy: np.ndarray
    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.energy)

    def detected(
        self,
        instrument: Instrument,
        arcsec_per_mpc_h: float,
        rng: np.random.Generator,
        *,
        psf: bool = True,
        redistribution: bool = True,
    ) -> Self:
        """Return the photons as recorded: position blurred by the PSF, energy as PI [keV]."""
        x, y, energy = self.x, self.y, self.energy
        if psf:
            dx, dy = instrument.psf.sample(energy, rng)
            x, y = x + dx / arcsec_per_mpc_h, y + dy / arcsec_per_mpc_h
        if redistribution:
            energy = instrument.redistribution.sample(energy, rng)
        return type(self)(energy, x, y)


def gas_photons(
    gas: Atmosphere,
    redshift: float,
    folder: FoldedSpectra,
    cosmology: Cosmology,
    exposure: float,
    rng: np.random.Generator,
    field: BrightnessField | None = None,
) -> Photons:
    """Draw the photons of the gas that the telescope collects in `exposure` seconds.

    Parameters
    ----------
    field : BrightnessField, optional
        Fluctuations of the surface brightness: more photons are drawn, and thinned to it.

    Notes
    -----
    The photon rate at the telescope is the integral of n_e n_H Lambda(E (1+z)) A(E) over
    4 pi D_C^2 (1+z), with D_C the comoving distance: XSPEC's apec normalisation
    1e-14 EM / (4 pi [D_A (1+z)]^2) written out. Each photon falls to one of the two rows of
    the plasma table that bracket its shell's temperature, with the weight of the table's
    own interpolation, so that the spectrum is the interpolated one; temperatures beyond the table
    (below 0.1 keV, far out in groups) take its last row.
    """
    folded, row, expected = _expected(gas, redshift, folder, cosmology)
    relative = np.ones((1, 1)) if field is None else field.factor / field.largest
    largest = 1.0 if field is None else field.largest
    energy, x, y = _shoot(
        rng.poisson(expected * (exposure * largest)),
        row,
        folded.hhe,
        folded.metals,
        folder.table.energy_edges_kev,
        gas.cubes,
        gas.body,
        gas.axes,
        gas.centre,
        relative,
        1 / largest,
        1.0 if field is None else field.half_width,
        rng,
    )
    return Photons(energy / (1 + redshift), x, y)


def _expected(
    gas: Atmosphere, redshift: float, folder: FoldedSpectra, cosmology: Cosmology
) -> tuple[FoldedPlasma, np.ndarray, np.ndarray]:
    """Return folded spectra, their row for each shell, and photons per second (shell, part)."""
    folded = folder.plasma(redshift)
    distance = float(cosmology.comoving_distance(redshift)) / cosmology.h * _MPC_CM
    scale = 1 / (4 * np.pi * distance**2 * (1 + redshift))
    grid = folder.table.kt_kev
    row, upper = folder.table.weights(np.clip(gas.kt_kev, grid[0], grid[-1]))
    weight = scale * gas.emission_measure
    expected = np.stack(
        [
            weight * (1 - upper) * folded.hhe[row, -1],
            weight * upper * folded.hhe[row + 1, -1],
            weight * gas.abundance * (1 - upper) * folded.metals[row, -1],
            weight * gas.abundance * upper * folded.metals[row + 1, -1],
        ],
        axis=1,
    )
    return folded, row, expected


@njit(cache=True)
def _energy(cumulative, edges, rng):  # type: ignore[no-untyped-def]
    u = rng.random() * cumulative[-1]
    lo, hi = 0, len(cumulative) - 1
    while hi - lo > 1:
        middle = (lo + hi) >> 1
        if cumulative[middle] <= u:
            lo = middle
        else:
            hi = middle
    return edges[lo] + rng.random() * (edges[lo + 1] - edges[lo])


@njit(cache=True)
def _shoot(  # type: ignore[no-untyped-def]
    number, row, hhe, metals, edges, cubes, body, axes, centre, factor, outside, half_width, rng
):
    total = number.sum()
    energy, x, y = np.empty(total), np.empty(total), np.empty(total)
    n_field = factor.shape[0]
    scale = n_field / (2 * half_width)
    i = 0
    for shell in range(number.shape[0]):
        inner = cubes[shell, 0]
        width = cubes[shell, 1] - inner
        to_sky = axes[body[shell]]
        for column in range(4):
            rows = hhe if column < 2 else metals
            cumulative = rows[row[shell] + column % 2]
            for _ in range(number[shell, column]):
                r = (inner + width * rng.random()) ** (1 / 3)
                mu = 2 * rng.random() - 1
                phi = 2 * np.pi * rng.random()
                flat = r * np.sqrt(1 - mu * mu)
                px, py, pz = flat * np.cos(phi), flat * np.sin(phi), r * mu
                sx = to_sky[0, 0] * px + to_sky[0, 1] * py + to_sky[0, 2] * pz + centre[shell, 0]
                sy = to_sky[1, 0] * px + to_sky[1, 1] * py + to_sky[1, 2] * pz + centre[shell, 1]
                if n_field > 1:
                    fx, fy = (sx + half_width) * scale, (sy + half_width) * scale
                    inside = 0 <= fx < n_field and 0 <= fy < n_field
                    keep = factor[int(fy), int(fx)] if inside else outside
                    if rng.random() >= keep:
                        continue
                x[i], y[i] = sx, sy
                energy[i] = _energy(cumulative, edges, rng)
                i += 1
    return energy[:i], x[:i], y[:i]


def agn_photons(
    sources: Sources, folder: FoldedSpectra, exposure: float, rng: np.random.Generator
) -> Photons:
    """Draw the photons of point sources that the telescope collects in `exposure` seconds."""
    cumulative, counts = folder.agn
    row = folder.agn_row(sources.photon_index, sources.absorbed)
    number = rng.poisson(sources.flux * counts[row] * exposure)
    energy = _point_energies(number, row, cumulative, folder.edges, rng)
    return Photons(energy, np.repeat(sources.x, number), np.repeat(sources.y, number))


@njit(cache=True)
def _point_energies(number, row, cumulative, edges, rng):  # type: ignore[no-untyped-def]
    energy = np.empty(number.sum())
    i = 0
    for source in range(len(number)):
        for _ in range(number[source]):
            energy[i] = _energy(cumulative[row[source]], edges, rng)
            i += 1
    return energy
