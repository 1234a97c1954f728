"""Energies for photons of which only the band is known: PI drawn from the component's spectrum."""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
from pydantic import ValidationError

from icmass.errors import InputError
from icmass.survey.catalog import survey_config
from icmass.survey.config import SurveyConfig
from icmass.survey.observatory import Observatory
from icmass.survey.writers.cluster_view import ClusterView
from icmass.telescope.response import quantile_levels

MARGIN_EV = 1.0
"""Energies drawn keep so far from the edges of their band [eV]."""
PI_EDGES_KEV = np.arange(0.05, 12.5, 0.005)
"""Bins of PI energy that spectra are tabulated in [keV]."""


class PiSpectra:
    """PI spectra of the components of a cluster's maps.

    Gas is an APEC plasma of the cluster's true mean temperature at its redshift, behind the
    Galactic column density; AGN have the mean power law of the configuration, a part of them
    absorbed; both are folded with area and redistribution. All else, and gas of unknown
    temperature, has the spectrum of sky and particles that the instrument's background table gives.

    Parameters
    ----------
    view : ClusterView
        The cluster. What its survey does not say of the telescope is that of the preset erosita.
    """

    def __init__(self, view: ClusterView) -> None:
        config = survey_config(view.survey)
        text = json.dumps(config) if "observe" in config else "{}"
        self.view, self.config, self.observatory = view, _parsed(text), _observatory(text)

    def cumulative(self, component: str) -> np.ndarray:
        """Return the spectrum of a component below each of `PI_EDGES_KEV`, in any unit."""
        kt = self.view.known("T")
        if component == "icm" and kt is not None:
            return self._measured(*self._gas(kt))
        if component == "agn":
            return self._measured(*self._agn())
        background = self.observatory.instrument.background
        total = background.sky + background.particles
        return np.interp(PI_EDGES_KEV, background.energy_kev, total)

    def draw(
        self, cumulative: np.ndarray, band: tuple[float, float], n: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw PI energies inside a band [eV], shape (n,); evenly where the spectrum is 0."""
        lo, hi = band[0] + MARGIN_EV / 1000, band[1] - MARGIN_EV / 1000
        inside = PI_EDGES_KEV[slice(*np.searchsorted(PI_EDGES_KEV, [lo, hi]))]
        edges = np.concatenate([[lo], inside, [hi]])
        below = np.interp(edges, PI_EDGES_KEV, cumulative)
        if not below[-1] > below[0]:
            below = edges
        return 1000 * np.interp(rng.uniform(below[0], below[-1], n), below, edges)

    def _gas(self, kt_kev: float) -> tuple[np.ndarray, np.ndarray]:
        """Return edges of observed photon energy [keV] and the folded gas spectrum below them."""
        seen, redshift = self.observatory, self.view.redshift
        folded, grid = seen.folder(self._nh()).plasma(redshift), seen.table.kt_kev
        row, upper = seen.table.weights(float(np.clip(kt_kev, grid[0], grid[-1])))
        pair = slice(int(row), int(row) + 2)
        mixed = folded.hhe[pair] + self.config.gas.abundance * folded.metals[pair]
        below = (1 - upper) * mixed[0] + upper * mixed[1]
        return seen.table.energy_edges_kev / (1 + redshift), below

    def _agn(self) -> tuple[np.ndarray, np.ndarray]:
        """Return edges of photon energy [keV] and the folded mean AGN spectrum below them."""
        agn, folder = self.observatory.agn, self.observatory.folder(self._nh())
        cumulative, counts = folder.agn
        rows = folder.agn_row(np.full(2, agn.photon_index), np.array([False, True]))
        mix = np.array([1 - agn.absorbed_fraction, agn.absorbed_fraction]) * counts[rows]
        return folder.edges, mix @ cumulative[rows]

    def _measured(self, edges: np.ndarray, below: np.ndarray) -> np.ndarray:
        """Return what the redistribution makes of a spectrum: it, below each of `PI_EDGES_KEV`."""
        if not self.observatory.config.redistribution:
            return np.interp(PI_EDGES_KEV, edges, below)
        response = self.observatory.instrument.redistribution
        row = np.diff(np.interp(response.energy_edges_kev, edges, below)) * response.detected
        step = np.diff(quantile_levels(response.quantiles_kev.shape[1]))
        bins = _pi_bins(self.observatory)
        spectrum = np.bincount(bins, (row[:, None] * step).ravel(), len(PI_EDGES_KEV))
        return np.cumsum(spectrum)

    def _nh(self) -> float:
        nh = self.view.known("nh")
        return self.observatory.config.nh_1e20 if nh is None else nh


@lru_cache(maxsize=2)
def _parsed(config_json: str) -> SurveyConfig:
    try:
        return SurveyConfig.model_validate_json(config_json)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{where}: {first['msg']}", field="attribute config of the survey", hint="make it again"
        ) from None


@lru_cache(maxsize=2)
def _observatory(config_json: str) -> Observatory:
    return Observatory(_parsed(config_json))


@lru_cache(maxsize=2)
def _pi_bins(observatory: Observatory) -> np.ndarray:
    """Return the edge of `PI_EDGES_KEV` above each step of quantiles, flat (n * (n_q - 1),)."""
    quantiles = observatory.instrument.redistribution.quantiles_kev
    middle = 0.5 * (quantiles[:, 1:] + quantiles[:, :-1])
    return np.minimum(np.searchsorted(PI_EDGES_KEV, middle.ravel()), len(PI_EDGES_KEV) - 1)
