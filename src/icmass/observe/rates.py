"""Count rates of a hot plasma: spectrum, absorption, area and redistribution folded together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from icmass.errors import InputError
from icmass.plasma.absorption import transmission
from icmass.plasma.emissivity import ERG_PER_KEV, PlasmaTable, load_plasma_table
from icmass.sky.bands import Band
from icmass.telescope.instrument import Instrument

FLUX_BAND_KEV: Band = (0.5, 2.0)
"""Observed band of the energy flux."""


@dataclass(frozen=True)
class Rates:
    """What one unit of XSPEC's apec norm gives.

    Attributes
    ----------
    counts : dict of (lo, hi) to float
        Count rate in each band of PI energies [counts/s].
    flux_soft : float
        Energy flux in the observer's 0.5-2 keV above the Galactic absorber [erg/s/cm^2].
    flux_soft_absorbed : float
        The same below it, as it reaches the telescope [erg/s/cm^2].
    lambda_bol : float
        Energy radiated in 0.01-99 keV (rest frame) per n_e n_H [erg cm^3/s].
    """

    counts: dict[Band, float]
    flux_soft: float
    flux_soft_absorbed: float
    lambda_bol: float


def photon_flux(
    kt_kev: float, abundance: float, redshift: float, table: PlasmaTable | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the photon flux per unit norm above the absorber.

    The norm is XSPEC's, ``1e-14 / (4 pi [D_A (1 + z)]^2) * int n_e n_H dV`` in cgs units, so that
    the flux in the bin of rest-frame energy E is ``1e14 * Lambda(E) / (1 + z)``.

    Parameters
    ----------
    kt_kev : float
        Temperature [keV].
    abundance : float
        Metal abundance [solar, Anders & Grevesse 1989].
    redshift : float
        Redshift.
    table : PlasmaTable, optional
        The emissivities; those of the package by default.

    Returns
    -------
    edges_kev : ndarray, shape (n_e + 1,)
        Edges of the bins in the observer's frame [keV].
    flux : ndarray, shape (n_e,)
        Photon flux in each bin [photons/s/cm^2].
    """
    if not (np.isfinite(redshift) and redshift >= 0):
        raise InputError(f"{redshift:g} is not a redshift of zero or more", field="redshift")
    table = table or load_plasma_table()
    edges_kev = table.energy_edges_kev / (1 + redshift)
    return edges_kev, 1e14 * table.spectrum(kt_kev, abundance) / (1 + redshift)


def count_rates(
    kt_kev: float,
    abundance: float,
    redshift: float,
    nh_1e20: float,
    instrument: Instrument,
    bands: Sequence[Band],
) -> Rates:
    """Return count rates and conversion factors per unit norm of an absorbed apec model.

    Parameters
    ----------
    kt_kev : float
        Temperature [keV].
    abundance : float
        Metal abundance [solar, Anders & Grevesse 1989].
    redshift : float
        Redshift; the table ends at 15 keV in the rest frame, which must lie above every band.
    nh_1e20 : float
        Galactic column density [1e20 cm^-2].
    instrument : Instrument
        The telescope.
    bands : sequence of (lo, hi)
        Bands of PI energies [keV].

    Returns
    -------
    Rates
    """
    table = load_plasma_table()
    edges, flux = photon_flux(kt_kev, abundance, redshift, table)
    highest = max(hi for _, hi in (*bands, FLUX_BAND_KEV))
    if highest > edges[-1]:
        raise InputError(
            f"{highest:g} keV is {highest * (1 + redshift):.3g} keV at redshift {redshift:g}, "
            f"beyond the plasma table's {table.energy_edges_kev[-1]:g} keV",
            field="redshift",
        )
    energy = 0.5 * (edges[1:] + edges[:-1])
    absorbed = flux * transmission(energy, nh_1e20)
    low, high = instrument.energy_range_kev
    in_range = (energy >= low) & (energy <= high)
    detected = absorbed[in_range] * instrument.area_cm2(energy[in_range])
    redistribution = instrument.redistribution
    counts = {
        band: float(detected @ redistribution.band_probability(energy[in_range], *band))
        for band in bands
    }
    return Rates(
        counts=counts,
        flux_soft=energy_flux(edges, flux, *FLUX_BAND_KEV),
        flux_soft_absorbed=energy_flux(edges, absorbed, *FLUX_BAND_KEV),
        lambda_bol=float(table.bolometric_cooling_function(kt_kev, abundance)),
    )


def energy_flux(edges_kev: np.ndarray, flux: np.ndarray, lo_kev: float, hi_kev: float) -> float:
    """Return the energy flux in a band [erg/s/cm^2]; bins that it cuts count in part.

    Parameters
    ----------
    edges_kev : ndarray, shape (n_e + 1,)
        Edges of the bins [keV].
    flux : ndarray, shape (n_e,)
        Photon flux in each bin [photons/s/cm^2].
    lo_kev, hi_kev : float
        The band [keV].
    """
    inside = np.clip(edges_kev, lo_kev, hi_kev)
    fraction = np.diff(inside) / np.diff(edges_kev)
    return float(flux @ (fraction * 0.5 * (inside[1:] + inside[:-1])) * ERG_PER_KEV)
