"""Spectra folded with the effective area: what photons are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from icmass.plasma.absorption import transmission
from icmass.plasma.emissivity import PlasmaTable
from icmass.telescope.instrument import Instrument

KEV_ERG = 1.602176634e-9
ENERGY_RANGE = (0.15, 12.0)  # observed photon energies that are drawn [keV]
SNAPSHOTS_KEPT = 12  # redshifts whose foldings are kept: as many as a box has
_INDEX_NODES = np.arange(0.9, 2.95, 0.1)


@dataclass(frozen=True)
class FoldedPlasma:
    """Plasma spectra times effective area at one redshift and column density.

    Attributes
    ----------
    hhe, metals : ndarray, shape (n_kt, n_e + 1)
        Cumulative over energy of emissivity times area [photons cm^5 s^-1], from 0.
    """

    hhe: np.ndarray
    metals: np.ndarray


class FoldedSpectra:
    """Folds spectra with one instrument and column density; keeps what it can reuse.

    Parameters
    ----------
    table : PlasmaTable
    instrument : Instrument
    nh_1e20 : float
        Galactic column density [1e20 cm^-2].
    agn_nh_1e20 : float
        Column density of absorbed AGN at redshift 0 [1e20 cm^-2].
    kept : int
        Redshifts whose foldings are kept, 1.3 MB each; on a light-cone none is used again.
    """

    def __init__(
        self,
        table: PlasmaTable,
        instrument: Instrument,
        nh_1e20: float,
        agn_nh_1e20: float,
        kept: int = SNAPSHOTS_KEPT,
    ) -> None:
        self.table, self.instrument, self.nh_1e20 = table, instrument, nh_1e20
        self.agn_nh_1e20 = agn_nh_1e20
        self.edges = np.arange(ENERGY_RANGE[0], ENERGY_RANGE[1] + 1e-9, 0.005)
        middle = (self.edges[1:] + self.edges[:-1]) / 2
        self._middle = middle
        self._response = instrument.area_cm2(middle) * transmission(middle, nh_1e20)
        self._plasma: dict[float, FoldedPlasma] = {}  # an lru_cache would make a reference cycle
        self._kept = kept
        self._rest_middle = (table.energy_edges_kev[1:] + table.energy_edges_kev[:-1]) / 2

    def plasma(self, redshift: float) -> FoldedPlasma:
        """Fold the plasma table at a redshift; the last ones are kept."""
        folded = self._plasma.pop(redshift, None) or self._fold(redshift)
        self._plasma[redshift] = folded
        if len(self._plasma) > self._kept:
            del self._plasma[next(iter(self._plasma))]
        return folded

    def band_emissivity(
        self, redshift: float, band_kev: tuple[float, float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return emissivity times area in a band of true photon energies, as observed.

        Returns
        -------
        hhe, metals : ndarray, shape (n_kt,)
            [photons cm^5 s^-1], at the temperatures of the plasma table.
        """
        response = self._response_at(redshift)
        edges = self.table.energy_edges_kev / (1 + redshift)
        fraction = np.diff(np.clip(edges, *band_kev)) / np.diff(edges)
        overlapping = np.flatnonzero(fraction)
        within = slice(overlapping[0], overlapping[-1] + 1)
        weight = (response * fraction)[within]
        return self.table.hhe[:, within] @ weight, self.table.metals[:, within] @ weight

    def _response_at(self, redshift: float) -> np.ndarray:
        observed = self._rest_middle / (1 + redshift)
        return np.interp(observed, self._middle, self._response, left=0, right=0)

    def _fold(self, redshift: float) -> FoldedPlasma:
        response = self._response_at(redshift)
        return FoldedPlasma(
            _cumulate(self.table.hhe * response), _cumulate(self.table.metals * response)
        )

    @cached_property
    def agn(self) -> tuple[np.ndarray, np.ndarray]:
        """Power laws folded with the area.

        Returns
        -------
        cumulative : ndarray, shape (2 * nodes, n_e + 1)
            Normalised cumulative spectra: unabsorbed ones of every photon index, then absorbed.
        counts : ndarray, shape (2 * nodes,)
            Count rate per unabsorbed 0.5-2 keV flux [counts/s per erg/s/cm^2].
        """
        e = self._middle
        power = e ** -_INDEX_NODES[:, None]
        band = (e > 0.5) & (e < 2)
        power /= (power[:, band] * e[band]).sum(1, keepdims=True) * KEV_ERG
        rows = np.concatenate([power, power * transmission(e, self.agn_nh_1e20)])
        folded = _cumulate(rows * self._response)
        counts = folded[:, -1].copy()
        return folded / counts[:, None], counts

    def agn_band_rates(
        self, photon_index: float, absorbed_fraction: float, bands: tuple[tuple[float, float], ...]
    ) -> np.ndarray:
        """Return the mean count rate of AGN per unit 0.5-2 keV flux in PI bands, (band,)."""
        cumulative, counts = self.agn
        rows = self.agn_row(np.full(2, photon_index), np.array([False, True]))
        mix = np.array([1 - absorbed_fraction, absorbed_fraction])
        spectrum = mix @ (np.diff(cumulative[rows], axis=1) * counts[rows, None])
        band_probability = self.instrument.redistribution.band_probability
        return np.array([spectrum @ band_probability(self._middle, lo, hi) for lo, hi in bands])

    @staticmethod
    def agn_row(photon_index: np.ndarray, absorbed: np.ndarray) -> np.ndarray:
        """Return the row of `agn` for each source."""
        step = _INDEX_NODES[1] - _INDEX_NODES[0]
        node = np.rint((photon_index - _INDEX_NODES[0]) / step).astype(np.int64)
        return np.clip(node, 0, len(_INDEX_NODES) - 1) + len(_INDEX_NODES) * absorbed


def _cumulate(rows: np.ndarray) -> np.ndarray:
    cumulative = np.zeros((rows.shape[0], rows.shape[1] + 1))
    np.cumsum(rows, axis=1, out=cumulative[:, 1:])
    return cumulative
