"""Emission of a hot, optically thin plasma in collisional equilibrium (APEC, AtomDB 3.0.3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources

import numpy as np
from astropy import units as u

from icmass.errors import InputError
from icmass.plasma.abundances import SOLAR_ABUNDANCES

ERG_PER_KEV = float(u.keV.to(u.erg))


@dataclass(frozen=True)
class PlasmaTable:
    """Photon emissivity on a grid of temperatures, in rest-frame energy bins.

    The spectrum of a plasma of metal abundance Z is ``hhe + Z * metals``, interpolated linearly in
    kT between the rows, as XSPEC does. Lines fall whole into the bin of their energy; their thermal
    width (3 eV for Fe K at 5 keV, rest frame) is neglected.

    Attributes
    ----------
    energy_edges_kev : ndarray, shape (n_e + 1,)
        Edges of the rest-frame energy bins [keV].
    kt_kev : ndarray, shape (n_t,)
        Temperatures of the rows, AtomDB's own [keV].
    hhe, metals : ndarray, shape (n_t, n_e)
        Emissivity [photons cm^3 s^-1 per bin] for n_e = n_H = 1 cm^-3 at solar abundances:
        hydrogen, helium and, as in XSPEC, the trace elements that stay solar; and C, N, O, Ne, Mg,
        Al, Si, S, Ar, Ca, Fe, Ni.
    bolometric_hhe, bolometric_metals : ndarray, shape (n_t,)
        Energy radiated in 0.01-99 keV [erg cm^3 s^-1].

    Notes
    -----
    Source: AtomDB 3.0.3 (Smith et al. 2001, ApJ 556, L91; Foster et al. 2012, ApJ 756, 128).
    What is solar, He/H included, is for `load_plasma_table` to say.
    """

    energy_edges_kev: np.ndarray
    kt_kev: np.ndarray
    hhe: np.ndarray
    metals: np.ndarray
    bolometric_hhe: np.ndarray
    bolometric_metals: np.ndarray

    @cached_property
    def _bands(self) -> dict[tuple[float, float], tuple[np.ndarray, np.ndarray]]:
        return {}

    @cached_property
    def energy_kev(self) -> np.ndarray:
        """Centres of the rest-frame energy bins [keV], shape (n_e,)."""
        return 0.5 * (self.energy_edges_kev[1:] + self.energy_edges_kev[:-1])

    def weights(self, kt: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower row and the weight of the row above it, linear in kT.

        Parameters
        ----------
        kt : array_like
            Temperature [keV].

        Returns
        -------
        row : ndarray of int, shape of `kt`
        weight : ndarray, shape of `kt`
            ``(1 - weight) * table[row] + weight * table[row + 1]`` is the table at `kt`.
        """
        kt = np.asarray(kt, dtype=float)
        low, high = self.kt_kev[0], self.kt_kev[-1]
        wrong = ~((kt >= low) & (kt <= high))
        if wrong.any():
            raise InputError(
                f"{kt[wrong].flat[0]:g} keV is outside the plasma table, {low:.3f}-{high:.2f} keV",
                field="kt",
            )
        grid = self.kt_kev
        row = np.minimum(np.searchsorted(grid, kt, side="right") - 1, grid.size - 2)
        return row, (kt - grid[row]) / (grid[row + 1] - grid[row])

    def spectrum(self, kt: float, abundance: float) -> np.ndarray:
        """Return the emissivity [photons cm^3 s^-1 per bin], shape (n_e,).

        Parameters
        ----------
        kt : float
            Temperature [keV].
        abundance : float
            Metal abundance [solar units of the table].
        """
        row, weight = self.weights(float(kt))
        pair = slice(int(row), int(row) + 2)
        mixed = self.hhe[pair] + float(_checked_abundance(abundance)) * self.metals[pair]
        return (1 - weight) * mixed[0] + weight * mixed[1]

    def cooling_function(
        self, kt: np.ndarray | float, abundance: np.ndarray | float, lo_kev: float, hi_kev: float
    ) -> np.ndarray:
        """Return the energy radiated in a rest-frame band, per n_e n_H [erg cm^3 s^-1].

        Parameters
        ----------
        kt, abundance : array_like
            Temperature [keV] and metal abundance [solar]; they broadcast.
        lo_kev, hi_kev : float
            The band [keV]; bins that it cuts count in part.
        """
        return self._interpolate(kt, abundance, *self._in_band(lo_kev, hi_kev))

    def _in_band(self, lo_kev: float, hi_kev: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the energy of the rows in a band, kept between calls [erg cm^3 s^-1]."""
        cached = self._bands.get((lo_kev, hi_kev))
        if cached is not None:
            return cached
        edges = self.energy_edges_kev
        if not edges[0] <= lo_kev < hi_kev <= edges[-1]:
            raise InputError(
                f"{lo_kev:g}-{hi_kev:g} keV is not a band within {edges[0]:g}-{edges[-1]:g} keV",
                field="band",
            )
        inside = np.clip(edges, lo_kev, hi_kev)
        fraction = np.diff(inside) / np.diff(edges)
        erg = fraction * 0.5 * (inside[1:] + inside[:-1]) * ERG_PER_KEV
        self._bands[lo_kev, hi_kev] = self.hhe @ erg, self.metals @ erg
        return self._bands[lo_kev, hi_kev]

    def bolometric_cooling_function(
        self, kt: np.ndarray | float, abundance: np.ndarray | float
    ) -> np.ndarray:
        """Return the energy radiated in 0.01-99 keV, per n_e n_H [erg cm^3 s^-1].

        Parameters
        ----------
        kt, abundance : array_like
            Temperature [keV] and metal abundance [solar]; they broadcast.
        """
        return self._interpolate(kt, abundance, self.bolometric_hhe, self.bolometric_metals)

    def _interpolate(
        self,
        kt: np.ndarray | float,
        abundance: np.ndarray | float,
        hhe: np.ndarray,
        metals: np.ndarray,
    ) -> np.ndarray:
        row, weight = self.weights(kt)
        z = _checked_abundance(abundance)
        return (1 - weight) * (hhe[row] + z * metals[row]) + weight * (
            hhe[row + 1] + z * metals[row + 1]
        )


def _checked_abundance(abundance: np.ndarray | float) -> np.ndarray:
    z = np.asarray(abundance, dtype=float)
    if not (np.isfinite(z) & (z >= 0)).all():
        raise InputError("must be zero or more (solar units)", field="abundance")
    return z


def load_plasma_table(abundances: str = "angr") -> PlasmaTable:
    """Return a table of the package (AtomDB 3.0.3, made by tools/make_plasma_table.py).

    Parameters
    ----------
    abundances : {"angr", "lodd", "aspl"}
        What is solar, by XSPEC's names: Anders & Grevesse (1989), Lodders (2003) or Asplund et al.
        (2009); the numbers are in `icmass.plasma.abundances`. He/H and the trace elements follow
        the table too, and are independent of the metal abundance.

    Notes
    -----
    A table is read once; later calls return the same object.
    """
    if abundances not in SOLAR_ABUNDANCES:
        raise InputError(
            f"{abundances!r} is not a table of solar abundances",
            field="abundances",
            hint=f"choose one of {', '.join(SOLAR_ABUNDANCES)}",
        )
    return _read_table(abundances)


@lru_cache
def _read_table(abundances: str) -> PlasmaTable:
    source = resources.files("icmass.plasma") / "data" / f"apec_v3.0.3_{abundances}.npz"
    with source.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
        names = [n for n in PlasmaTable.__dataclass_fields__ if n in data]
        return PlasmaTable(**{name: data[name].astype(float) for name in names})
