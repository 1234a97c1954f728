"""What an all-sky survey of the mock detects, beside what the first eROSITA survey detected.

Nothing of it is an input: limits of the detection are calibrated on clusters per square degree of
halos with plain scaling relations (`icmass.observe.detection`), gas knows of no survey.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.observe.allsky import AllSkyConfig, draw_sightline
from icmass.observe.morphology import morphology
from icmass.observe.photons import gas_photons
from icmass.survey.config import SurveyConfig
from icmass.survey.observatory import Observatory
from icmass.survey.selection import Selection
from icmass.survey.selection_grid import halo_at
from icmass.universe.fluctuations import draw_brightness_field
from icmass.universe.gas import make_gas
from icmass.universe.halos import Halo
from icmass.universe.mass_function import LOG_MASS, halo_abundance
from icmass.universe.population import HaloPopulation
from icmass.universe.scene import build_scene
from icmass.validation.check import Check, Target

COSMOLOGY_AREA_DEG2 = 12_791.0
"""Area of the eRASS1 cosmology sample [deg^2] (Bulbul et al. 2024, A&A 685, A106)."""

COSMOLOGY_REDSHIFTS = (0.1, 0.8)
BRIGHT_COUNTS = 100.0
"""Expected counts within R500c, 0.2-2.3 keV, of a bright cluster."""

DISTURBED_SHIFT = 0.01
"""Centroid shift of the disturbed (Weissmann et al. 2013, A&A 549, A19)."""

SZ_MASS_MSUN = 3e14
"""Least M500c of a sample that is selected by mass, as those of Planck and the South Pole Telescope
nearly are [Msun]."""

_EXTENTS = (3.0, 6.0)  # limits of eRASS1's clusters and of its cosmology sample
_NODES = 40
_C_KM_S = 299792.458
_PHOTONS = 50_000
_PIXELS = 256
_BAND_KEV = (0.5, 2.0)


@dataclass(frozen=True)
class LightCone:
    """Halos on a light-cone, drawn uniformly in mass and redshift, with weights.

    Attributes
    ----------
    weight : ndarray, shape (n,)
        Halos that one stands for [1/deg^2].
    m500c, redshift, flux, counts, concentration : ndarray, shape (n,)
        M500c [Msun/h]; flux within R500c in 0.5-2 keV [erg/s/cm^2]; expected counts of the gas
        within R500c in the detection's band; S(<0.1 R500c) / S(<R500c).
    probability : dict of float to ndarray, shape (n,)
        Probability of its detection, by the limit on the likelihood of the extent.
    halos : list of Halo
    """

    weight: np.ndarray
    m500c: np.ndarray
    redshift: np.ndarray
    flux: np.ndarray
    counts: np.ndarray
    concentration: np.ndarray
    probability: dict[float, np.ndarray]
    halos: list[Halo]


def draw_light_cone(config: SurveyConfig, n: int, rng: np.random.Generator) -> LightCone:
    """Draw halos within the masses and redshifts of an all-sky survey, and look at each.

    Parameters
    ----------
    config : SurveyConfig
        Of a survey that detects its clusters on all-sky sightlines, by likelihoods.
    n : int
    rng : numpy.random.Generator
    """
    detection, sky, halo_config = config.detection, config.observe.sky, config.halos
    if (
        detection is None
        or detection.kind != "likelihood"
        or sky is None
        or not halo_config.redshift_range
    ):
        raise InputError("is no all-sky survey that detects", field="config", hint="take erass1")
    cosmology, observatory = config.cosmology, Observatory(config)
    selections = {
        limit: Selection(
            detection.model_copy(update={"extent_likelihood": limit}), observatory, cosmology
        )
        for limit in _EXTENTS
    }
    log_mass = rng.uniform(halo_config.log_m500c_min, halo_config.log_m500c_max, n)
    redshift = rng.uniform(*halo_config.redshift_range, n)
    volume = (
        (halo_config.log_m500c_max - halo_config.log_m500c_min)
        * np.ptp(halo_config.redshift_range)
        / n
    )
    weight = volume * _halos_per_deg2(cosmology, log_mass, redshift, halo_config.redshift_range)
    population = HaloPopulation(halo_config, cosmology)
    halos: list[Halo] = []
    rows: list[list[float]] = []
    for mass, z in zip(10**log_mass, redshift, strict=True):
        halo = halo_at(population.draw(len(halos), rng), float(mass), float(z), cosmology)
        halos.append(halo)
        rows.append(_observe_halo(halo, config, sky, selections, rng))
    flux, counts, concentration, *by_extent = np.array(rows).T
    probability = dict(zip(_EXTENTS, by_extent, strict=True))
    return LightCone(
        weight, 10**log_mass, redshift, flux, counts, concentration, probability, halos
    )


def _observe_halo(
    halo: Halo,
    config: SurveyConfig,
    sky: AllSkyConfig,
    selections: dict[float, Selection],
    rng: np.random.Generator,
) -> list[float]:
    """Return flux, counts, concentration and probabilities of a halo in some direction."""
    sight = draw_sightline(sky, rng)
    nh = float(f"{sight.nh_1e20:.1e}")
    gas = make_gas(halo, config.gas, config.cosmology)
    first = next(iter(selections.values()))
    signal = first.signal(halo, gas, [nh])
    probabilities = [
        float(selection.probabilities([signal], [sight.exposure_s])[0, 0, 0])
        for selection in selections.values()
    ]
    counts = sight.exposure_s * float(signal.rate[0])
    return [signal.flux, counts, signal.concentration, *probabilities]


def _halos_per_deg2(
    cosmology: Cosmology, log_mass: np.ndarray, redshift: np.ndarray, limits: tuple[float, float]
) -> np.ndarray:
    """Return halos per dex of M500c, unit of redshift and deg^2, (n,)."""
    nodes = np.linspace(*limits, _NODES)
    density = halo_abundance(cosmology, tuple(nodes.tolist())).density
    ln_density = RegularGridInterpolator((nodes, LOG_MASS), np.log(np.maximum(density, 1e-300)))
    distance = cosmology.comoving_distance(redshift)
    depth = _C_KM_S / 100 / cosmology.efunc(redshift)  # dD_C/dz [comoving Mpc/h]
    per_sr = np.exp(ln_density(np.stack([redshift, log_mass], -1))) * distance**2 * depth
    return per_sr * np.radians(1) ** 2


def weighted_quantile(values: np.ndarray, weight: np.ndarray, level: float = 0.5) -> float:
    """Return a quantile of weighted values."""
    order = np.argsort(values)
    total = np.cumsum(weight[order]) - weight[order] / 2
    return float(np.interp(level * weight.sum(), total, values[order]))


def half_completeness_flux(cone: LightCone, limit: float) -> float:
    """Return the flux at which half of the halos are detected [erg/s/cm^2].

    Over bins of 0.15 dex, from above: the faintest flux beyond which more than half are found.
    """
    edges = np.arange(-14.0, -11.0, 0.15)
    log_flux = np.log10(cone.flux)
    total, _ = np.histogram(log_flux, edges, weights=cone.weight)
    detected, _ = np.histogram(log_flux, edges, weights=cone.weight * cone.probability[limit])
    share = np.divide(detected, total, out=np.zeros_like(total), where=total > 0)
    filled = total > 0
    middle, share = ((edges[1:] + edges[:-1]) / 2)[filled], share[filled]
    low = np.flatnonzero(share < 0.5)
    if len(low) == 0 or low[-1] + 1 >= len(share):
        return float("nan")
    pair = slice(low[-1], low[-1] + 2)
    return float(10 ** np.interp(0.5, share[pair], middle[pair]))


def cosmology_sample(cone: LightCone) -> tuple[float, float]:
    """Return number and median redshift of the detected within eRASS1's cosmology sample.

    Extent likelihood above 6, 0.1 < z < 0.8, 12,791 deg^2.
    """
    low, high = COSMOLOGY_REDSHIFTS
    inside = (cone.redshift > low) & (cone.redshift < high)
    weight = cone.weight * cone.probability[6.0] * inside
    return float(weight.sum()) * COSMOLOGY_AREA_DEG2, weighted_quantile(cone.redshift, weight)


def concentration_excess(cone: LightCone, limit: float, h: float) -> tuple[float, float]:
    """Return the excess of log concentration of detected clusters [dex].

    Returns
    -------
    above_mass_selected : float
        Median of log c of the detected less that of all above `SZ_MASS_MSUN`.
    at_fixed_mass : float
        Mean over the detected of log c less its mean at their mass and redshift.
    """
    log_c = np.log10(cone.concentration)
    detected = cone.weight * cone.probability[limit]
    heavy = cone.weight * (cone.m500c / h > SZ_MASS_MSUN)
    x, y = np.log(cone.m500c / 2e14), cone.redshift
    terms = np.stack([np.ones_like(x), x, y, x**2, x * y], axis=-1)
    residual = log_c - terms @ np.linalg.lstsq(terms, log_c, rcond=None)[0]
    difference = weighted_quantile(log_c, detected) - weighted_quantile(log_c, heavy)
    return difference, float(np.average(residual, weights=detected))


def disturbed_share(
    config: SurveyConfig, halos: list[Halo], rng: np.random.Generator
) -> tuple[float, float]:
    """Return the share of halos with a centroid shift above `DISTURBED_SHIFT`, and its error.

    Measured on images of 50,000 photons of the gas, its substructures and neighbours, without
    blurring and background, about the halo's centre.
    """
    observatory = Observatory(config)
    shifts = np.array([_centroid_shift(halo, config, observatory, rng) for halo in halos])
    share = float(np.mean(shifts > DISTURBED_SHIFT))
    return share, float(np.sqrt(share * (1 - share) / len(shifts)))


def _centroid_shift(
    halo: Halo, config: SurveyConfig, observatory: Observatory, rng: np.random.Generator
) -> float:
    cosmology, half_width = config.cosmology, config.observe.half_width_mpc_h
    kpc = float(cosmology.kpc_per_mpc_h(halo.redshift))
    scene = build_scene(
        halo,
        config.gas,
        config.substructure,
        config.neighbours,
        cosmology,
        half_width=half_width,
        rng=rng,
    )
    field = draw_brightness_field(
        config.fluctuations,
        disturbance=halo.latents["disturbance"],
        r500c=halo.r500c,
        kpc_per_mpc_h=kpc,
        half_width=half_width,
        rng=rng,
    )
    folder = observatory.folder(config.observe.nh_1e20)
    source = (scene.atmosphere, halo.redshift, folder, cosmology)
    trial = len(gas_photons(*source, 1000.0, rng, field))
    photons = gas_photons(*source, 1000.0 * _PHOTONS / max(trial, 1), rng, field)
    in_band = (photons.energy > _BAND_KEV[0]) & (photons.energy < _BAND_KEV[1])
    frame = [(-half_width, half_width)] * 2
    image, _, _ = np.histogram2d(photons.y[in_band], photons.x[in_band], bins=_PIXELS, range=frame)
    measured = morphology(
        image[None],
        halo.r500c,
        half_width=half_width,
        kpc_per_mpc_h=kpc,
        centre=np.zeros((1, 2)),
    )
    return float(measured.centroid_shift[0])


def selection_checks(
    config: SurveyConfig, *, n: int = 8000, n_images: int = 150, seed: int = 1, n_boot: int = 100
) -> list[Check]:
    """Compare what an all-sky survey like eRASS1 detects with what eRASS1 did.

    Parameters
    ----------
    config : SurveyConfig
        Preset ``erass1``, with whatever physics.
    n : int
        Halos of the light-cone.
    n_images : int
        Bright detected clusters whose morphology is measured; 0 leaves that out.
    seed, n_boot : int
        Errors are standard deviations over `n_boot` bootstrap samples of the halos.
    """
    rng = np.random.default_rng(seed)
    cone = draw_light_cone(config, n, rng)
    values = np.array(_values(cone, config.cosmology.h))
    samples = [rng.integers(n, size=n) for _ in range(n_boot)]
    boot = np.array([_values(_resampled(cone, index), config.cosmology.h) for index in samples])
    rows = list(zip(_ROWS, values, np.nanstd(boot, axis=0), strict=True))
    checks = [
        Check("selection", name, float(value), target, n, error=float(error), unit=unit)
        for (name, unit, target), value, error in rows
    ]
    if n_images:
        bright = cone.counts > BRIGHT_COUNTS
        detected = cone.weight * cone.probability[3.0] * bright
        chosen = rng.choice(n, n_images, p=detected / detected.sum())
        share, error = disturbed_share(config, [cone.halos[i] for i in chosen], rng)
        checks.append(
            Check("selection", "bright detected, disturbed", share, _QUARTER, n_images, error=error)
        )
    return checks


def _values(cone: LightCone, h: float) -> list[float]:
    number, redshift = cosmology_sample(cone)
    above, fixed = concentration_excess(cone, 3.0, h)
    return [half_completeness_flux(cone, 3.0), number, redshift, above, fixed]


def _resampled(cone: LightCone, index: np.ndarray) -> LightCone:
    names = ("weight", "m500c", "redshift", "flux", "counts", "concentration")
    return LightCone(
        **{name: getattr(cone, name)[index] for name in names},
        probability={limit: probability[index] for limit, probability in cone.probability.items()},
        halos=[cone.halos[i] for i in index],
    )


_FLUX = Target(
    2.75e-13,
    1.3,
    "factor",
    "2.5 to 3e-13: Seppi et al. 2022, A&A 665, A78; Clerc et al. 2024, A&A 687, A238",
)
_SANDERS = "Sanders et al. 2025, A&A 695, A160, abstract"
_BULBUL = "5,259 of which 95 per cent are true: Bulbul et al. 2024, A&A 685, A106"
_QUARTER = Target(0.25, 0.10, "absolute", _SANDERS)
_EXCESS = Target(0.3, 0.1, "absolute", _SANDERS)

#: Name, unit and target of what `_values` returns.
_ROWS = (
    ("flux at half completeness", "erg/s/cm^2", _FLUX),
    ("cosmology sample, clusters", "", Target(5000.0, 0.25, "relative", _BULBUL)),
    ("cosmology sample, median redshift", "", Target(0.29, 0.04, "absolute", _BULBUL)),
    ("concentration above mass-selected", "dex", _EXCESS),
    ("concentration above others of the same mass and redshift", "dex", _EXCESS),
)
