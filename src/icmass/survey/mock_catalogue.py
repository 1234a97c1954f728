"""Mock clusters as rows of a source catalogue: what a source-detection chain measures of each.

A row has what eROSITA's catalogues have of an extended source: count rates in 0.2-2.3 keV and in
sub-bands, core radius, likelihoods, exposure, column density; and the rates within 300 kpc and
R500c that the cluster catalogues add. Photons are taken from the simulator one by one: a map's
pixels are too coarse for the core radius.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import xarray as xr
from astropy import units as u

from icmass import __version__
from icmass.cosmology import Cosmology
from icmass.observe.detection import DetectionConfig
from icmass.observe.photons import Photons, agn_photons
from icmass.observe.source_fit import (
    RING_EDGES_ARCSEC,
    fit_extended,
    ring_areas,
    ring_shares,
    scale_model,
)
from icmass.plasma.absorption import DEFAULT_NH_1E20
from icmass.survey.catalogue_rows import CATALOGUE, RATE_BANDS, blank_rows
from icmass.survey.config import SurveyConfig
from icmass.survey.simulate import Simulator
from icmass.telescope.instrument import load_instrument
from icmass.universe.agn import Sources, draw_agn, unresolved_field_flux
from icmass.universe.halos import Halo

EXPOSURE_S = (120.0, 8000.0)
"""Exposures that are drawn, evenly in the logarithm [s at the area averaged over the field]: eRASS1
has 200 at the ecliptic equator, eFEDS 2,400; eRASS:3 thousands towards the poles."""
BACKGROUND_ARCSEC = (240.0, 600.0)
"""Ring in which the background is measured about each source [arcsec]."""
MIN_EXPECTED, MARGIN = 8.0, 2.5
"""Counts of a halo, less than which no source is looked for, and the factor by which its gas may
outshine the mean relation in this."""
LUMINOSITY, LUMINOSITY_SLOPE = 0.43e44, 1.55
"""L(0.5-2 keV) / E^2 at 2e14 Msun/h [erg/s] and its slope (Liu et al. 2022, A&A 661, A2, with the
masses of Chiu et al. 2022, A&A 661, A11)."""
COUNTS_PER_FLUX = 1.6e12
"""Counts in 0.2-2.3 keV on axis of a flux in 0.5-2 keV [cm^2/erg], at most."""
DEBLENDED_COUNTS, DEBLENDED_ARCSEC = 15.0, 25.0
"""Point sources with more counts, farther from the cluster, are sources of their own: left out."""
R500C_ERROR, SKY_ERROR = 0.1, 0.03
"""Scatter of ln R500c as catalogues know it, from a mass of count rates; and of the background of
the counts within 300 kpc and R500c, which is measured over many arcmin about the cluster."""
_MPC_CM = (1 * u.Mpc).to_value(u.cm)
_CENTRE_ARCSEC, _CENTRE_STEPS = 20.0, 12
_FINE_KEV = (0.2, 0.3, 0.5, 1.0, 2.0, 2.3, 5.0)
_STREAM = 0xCA7  # beside those of a cluster


@dataclass
class _Drawn:
    """What was counted of the sources that were looked for."""

    rows: list[int] = field(default_factory=list)
    rings: list[np.ndarray] = field(default_factory=list)
    background: list[np.ndarray] = field(default_factory=list)
    within: list[tuple[float, float]] = field(default_factory=list)


class CatalogueSimulator:
    """Makes rows of a catalogue; the same row whatever was made before.

    Parameters
    ----------
    config : SurveyConfig
        Without detection: what is detected is decided on the rows.
    seed : int
    exposure_s : (float, float)
        Least and largest exposure, see `EXPOSURE_S`.
    """

    def __init__(
        self, config: SurveyConfig, seed: int, *, exposure_s: tuple[float, float] = EXPOSURE_S
    ) -> None:
        self.simulator = Simulator(config.model_copy(update={"detection": None}), seed)
        self.config, self.seed, self.exposure_s = config, seed, exposure_s
        self.cosmology: Cosmology = config.cosmology
        self.limits = config.detection or DetectionConfig()
        self.exposure_ratio = exposure_ratios(config)
        background = self.simulator.observatory.instrument.background
        lo, hi = RATE_BANDS["rate"]
        self._sky_rates = self._unresolved_sky()
        self._mean_sky = sum(background.rate(max(lo, float(background.energy_kev[0])), hi))

    def rows(self, n: int, first: int = 0) -> xr.Dataset:
        """Return the rows of clusters `first` to `first + n`, see `icmass.survey.catalogue_rows`.

        Besides the columns, ``m500c`` [Msun/h], ``halo_id`` and ``detected``: whether the row's
        likelihoods pass the limits of `DetectionConfig`. Rows too faint to be looked for have no
        counts and are not detected.
        """
        columns = {name: np.full(n, np.nan) for name in CATALOGUE}
        truth = {"m500c": np.empty(n), "halo_id": np.arange(first, first + n)}
        drawn = _Drawn()
        for row in range(n):
            sight, halo = self._look(first + row, row, drawn)
            seconds = sight["exposure"] * self.exposure_ratio["rate"]
            columns["redshift"][row], truth["m500c"][row] = halo.redshift, halo.m500c
            columns["nh"][row], columns["exposure"][row] = sight["nh"], seconds
        self._measure(columns, drawn)
        detected = columns["detection_likelihood"] >= self.limits.detection_likelihood
        detected &= columns["extent_likelihood"] >= self.limits.extent_likelihood
        survey = blank_rows(columns, self.cosmology)
        survey["m500c"] = ("cluster", truth["m500c"])
        survey["halo_id"] = ("cluster", truth["halo_id"])
        survey["detected"] = ("cluster", detected)
        survey.attrs |= {
            "preset": self.config.preset,
            "seed": self.seed,
            "version": __version__,
            "config": self.config.model_dump_json(),
        }
        return survey

    def _look(self, cluster: int, row: int, drawn: _Drawn) -> tuple[dict[str, float], Halo]:
        """Count the photons of a cluster, if there may be enough; return its sightline and halo."""
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(cluster, _STREAM)))
        lo, hi = np.log(self.exposure_s)
        halo, sight = self.simulator.target(cluster)
        sight = sight | {"exposure": float(np.exp(rng.uniform(lo, hi)))}
        config = self.simulator.config_of(cluster)
        if self._expected(halo, sight["exposure"]) < MIN_EXPECTED:
            return sight, halo
        scene, gas = self.simulator.gas_photons(cluster, sight["exposure"])
        arcsec = 60 * float(self.cosmology.arcmin_per_mpc_h(halo.redshift))
        reach = max(BACKGROUND_ARCSEC[1], 1.5 * halo.r500c * arcsec)
        sources = draw_agn(
            halo,
            config.agn,
            self.cosmology,
            1.05 * reach / arcsec,
            rng,
            cool_core=bool(scene.gas.shape["cool_core"]),
        )
        photons = self._recorded(gas, sources, sight, arcsec, reach, rng)
        drawn.rows.append(row)
        radii = halo.r500c * arcsec, self._kpc_arcsec(halo.redshift)
        self._count(photons, *radii, sight["exposure"], rng, drawn)
        return sight, halo

    def _expected(self, halo: Halo, exposure: float) -> float:
        """Return a generous guess at the counts of a halo: `MARGIN` times those of its mass."""
        e2 = float(self.cosmology.efunc(halo.redshift)) ** 2
        luminosity = LUMINOSITY * (halo.m500c / 2e14) ** LUMINOSITY_SLOPE * e2
        distance = (1 + halo.redshift) * float(self.cosmology.comoving_distance(halo.redshift))
        flux = luminosity / (4 * np.pi * (distance / self.cosmology.h * _MPC_CM) ** 2)
        seconds = exposure * self.exposure_ratio["rate"]
        return float(MARGIN * flux * COUNTS_PER_FLUX * seconds)

    def _kpc_arcsec(self, redshift: float) -> float:
        """Return the angle of 300 physical kpc [arcsec]."""
        per_mpc_h = 60 * float(self.cosmology.arcmin_per_mpc_h(redshift))
        return 300 * per_mpc_h / float(self.cosmology.kpc_per_mpc_h(redshift))

    def _recorded(
        self,
        gas: Photons,
        sources: Sources,
        sight: dict[str, float],
        arcsec: float,
        reach: float,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return energy [keV] and offsets [arcsec] of all photons within `reach` of the halo."""
        observatory, seconds = self.simulator.observatory, sight["exposure"]
        folder = observatory.folder(sight["nh"])
        number = (
            sources.flux * folder.agn[1][folder.agn_row(sources.photon_index, sources.absorbed)]
        )
        apart = np.hypot(sources.x, sources.y) * arcsec > DEBLENDED_ARCSEC
        kept = ~((number * seconds > DEBLENDED_COUNTS) & apart)
        blended = Sources(*(getattr(sources, name)[kept] for name in Sources.__annotations__))
        parts = list(self._background(reach, sight, rng))
        for photons in (gas, agn_photons(blended, folder, seconds, rng)):
            near = np.hypot(photons.x, photons.y) * arcsec < reach + 120
            some = Photons(photons.energy[near], photons.x[near], photons.y[near])
            seen = some.detected(observatory.instrument, arcsec, rng)
            parts.append((seen.energy, seen.x * arcsec, seen.y * arcsec))
        energy, x, y = (np.concatenate(column) for column in zip(*parts, strict=True))
        return energy, x, y

    def _unresolved_sky(self) -> np.ndarray:
        """Return sky and particles without the AGN that are drawn [1/s/arcmin^2], `_FINE_KEV`.

        The column density is the same for all: a tenth of the soft sky is theirs.
        """
        observatory = self.simulator.observatory
        model, agn = observatory.instrument.background, observatory.agn
        bands = tuple(pairwise(_FINE_KEV))
        resolved = observatory.folder(DEFAULT_NH_1E20).agn_band_rates(
            agn.photon_index, agn.absorbed_fraction, bands
        )
        resolved = resolved * unresolved_field_flux(agn) / 3600
        whole = np.array([sum(model.rate(*band)) for band in bands])
        result: np.ndarray = np.maximum(whole - resolved, 0)
        return result

    def _background(
        self, reach: float, sight: dict[str, float], rng: np.random.Generator
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield sky and particles, uneven from cell to cell as `background_map` has them."""
        observatory, seconds = self.simulator.observatory, sight["exposure"]
        model = observatory.instrument.background
        bands = tuple(pairwise(_FINE_KEV))
        rates = self._sky_rates
        cell = 60 * model.cell_arcmin
        side = int(np.ceil(2 * reach / cell)) + 1
        sigma = np.sqrt(np.log1p(model.excess_fraction**2))
        level = np.exp(sigma * rng.standard_normal(side * side) - sigma**2 / 2)
        corner = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) * cell
        corner = corner - reach - rng.random(2) * cell
        for band, rate in zip(bands, rates, strict=True):
            number = rng.poisson(rate * seconds * level * (cell / 60) ** 2)
            where = np.repeat(corner, number, 0) + cell * rng.random((number.sum(), 2))
            near = np.hypot(*where.T) < reach
            energy = rng.uniform(*band, int(near.sum()))
            yield energy, where[near, 0], where[near, 1]

    def _count(
        self,
        photons: tuple[np.ndarray, np.ndarray, np.ndarray],
        r500c: float,
        r300: float,
        seconds: float,
        rng: np.random.Generator,
        drawn: _Drawn,
    ) -> None:
        energy, x, y = photons
        soft = _in_band(energy, RATE_BANDS["rate"])
        cx, cy = _centre(x[soft], y[soft])
        radius = np.hypot(x - cx, y - cy)
        inner, outer = BACKGROUND_ARCSEC
        area = np.pi * (outer**2 - inner**2) / 3600
        beside = (radius >= inner) & (radius < outer)
        chosen = [_in_band(energy, band) for band in RATE_BANDS.values()]
        drawn.rings.append(
            np.stack([np.histogram(radius[some], RING_EDGES_ARCSEC)[0] for some in chosen])
        )
        sky = np.array([max((some & beside).sum(), 1) / area for some in chosen])
        drawn.background.append(sky)
        around = self._mean_sky * seconds * np.exp(SKY_ERROR * rng.standard_normal())
        radii = (r300, r500c * np.exp(R500C_ERROR * rng.standard_normal()))
        inside = [(soft & (radius < r)).sum() - around * np.pi * r**2 / 3600 for r in radii]
        drawn.within.append((inside[0], inside[1]))

    def _measure(self, columns: dict[str, np.ndarray], drawn: _Drawn) -> None:
        """Fit the sources that were counted, and put what comes out into the columns."""
        if not drawn.rows:
            return
        rows, rings = np.array(drawn.rows), np.stack(drawn.rings).astype(float)
        sky, within = np.stack(drawn.background), np.array(drawn.within)
        psf = self.limits.psf_core_arcsec
        fit = fit_extended(rings[:, 0], sky[:, 0], psf)
        seconds = columns["exposure"][rows]
        columns["rate"][rows] = fit.counts / seconds
        columns["extent"][rows] = fit.extent
        columns["extent_likelihood"][rows] = fit.extent_likelihood
        columns["detection_likelihood"][rows] = fit.detection_likelihood
        for name, net in zip(("rate_300kpc", "rate_r500c"), within.T, strict=True):
            columns[name][rows] = net / seconds
        shares = ring_shares(fit.extent + psf)
        ratio = self.exposure_ratio
        for band, name in enumerate(RATE_BANDS):
            if band:
                counts, _ = scale_model(rings[:, band], shares, sky[:, band, None] * ring_areas())
                columns[name][rows] = counts / (seconds * ratio[name] / ratio["rate"])


def exposure_ratios(config: SurveyConfig) -> dict[str, float]:
    """Return the catalogues' seconds over those of the mock, of each band of `RATE_BANDS`.

    Catalogues state vignetted exposures: a rate is what the area on axis would record, whichever
    way the source was scanned. The mock's second is at the area averaged over the field of view. An
    area is the mean over a power law of photon index 2, as in the catalogues' energy conversion.
    """
    name = config.observe.instrument
    averaged, onaxis = (load_instrument(name, vignetting=kind) for kind in ("survey", "onaxis"))
    ratios = {}
    for key, (lo, hi) in RATE_BANDS.items():
        energy = np.linspace(max(lo, averaged.energy_range_kev[0]), hi, 200)
        weight = energy**-2.0
        ratios[key] = float(
            (weight * averaged.area_cm2(energy)).sum() / (weight * onaxis.area_cm2(energy)).sum()
        )
    return ratios


def _in_band(energy: np.ndarray, band: tuple[float, float]) -> np.ndarray:
    result: np.ndarray = (energy >= band[0]) & (energy < band[1])
    return result


def _centre(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return where a source is found that is looked for at the origin [arcsec]: mean shift."""
    cx = cy = 0.0
    for _ in range(_CENTRE_STEPS):
        squared = (x - cx) ** 2 + (y - cy) ** 2
        near = squared < (3 * _CENTRE_ARCSEC) ** 2
        weight = np.exp(-squared[near] / (2 * _CENTRE_ARCSEC**2))
        if weight.sum() < 1e-6:
            break
        cx, cy = float(weight @ x[near] / weight.sum()), float(weight @ y[near] / weight.sum())
    return cx, cy
