"""Images of a mock's clusters made and measured as those of Magneticum's and of surveys were.

Green et al. 2019 (ApJ 884, 33) measured two series of images of clusters of Magneticum Box2/hr:
ideal ones of Chandra, 1 Ms in pixels of 0.49 arcsec, and ones of eROSITA, 2 ks in pixels of 9.65
arcsec with PSF and background. Pixels, fields, normalisations and numbers of photons are read off
their public tables: see `icmass.observe.published_images`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import xarray as xr
from pydantic import ValidationError

from icmass.observe.image_statistics import (
    ImageStatistics,
    count_image,
    image_statistics,
    x_ray_peak,
)
from icmass.observe.morphology import Morphology, morphology
from icmass.observe.published_images import published_images
from icmass.observe.spectral_temperature import spectral_temperature
from icmass.proxies.names import read_scalar
from icmass.survey.catalog import survey_config
from icmass.survey.config import SurveyConfig
from icmass.survey.simulate import Simulator
from icmass.survey.twins import rows_of
from icmass.telescope.instrument import load_instrument
from icmass.universe.halos import Halo
from icmass.universe.twin_rows import TwinRows

N_CLUSTERS = 200
REDSHIFTS = (0.09, 0.30)
"""Range of the clusters that are taken: Magneticum's images are of z = 0.10 to 0.29."""

BAND = (0.5, 2.0)
"""Photons of the images [keV]; 24e-4 background counts/s/arcmin^2 point to this band."""

EXPOSURE = 88e3
"""Exposure of the deep images [s] on eROSITA's axis: a quarter of their photons."""

_DEEP_PIXEL = 2 * 0.4896
"""Pixel of the deep images [arcsec]: twice theirs, so that as many photons fall into one."""

_FIELD_ARCSEC = 507.0
"""Half the side of the detector of the deep images [arcsec]."""

_FIELD_R500 = 2.0
"""Half the side of all images, in units of R500c: so far the peak is sought."""

_DEEP_SMOOTHING = 0.01
"""Smoothing in which the peak of a deep image is sought, in units of R500c: an assumption."""

_EROSITA_EXPOSURE = 2000.0
_EROSITA_PIXEL = 9.654
"""[arcsec]; also the smoothing in which the peak of these images is sought: an assumption."""

_EROSITA_BACKGROUND = 0.1134
"""Background counts in a pixel."""

_ENERGY_OF_AREA = 1.0  # keV, where the ratio of survey to on-axis area is taken

STATISTICS = tuple(each.name for each in fields(ImageStatistics))
MORPHOLOGY = ("concentration_kpc", "concentration_015", "centroid_shift", "p3_p0")
"""Statistics of surveys, fields of `Morphology`, that are measured too."""

_MORPHOLOGY_PIXELS = 256


@dataclass(frozen=True)
class ImageSample:
    """Statistics of both kinds of images of some clusters.

    Attributes
    ----------
    cluster : ndarray of int, shape (n,)
    m500c, redshift : ndarray, shape (n,)
        [Msun/h], -.
    proxies : dict of str to ndarray, shape (n,)
        ``L_X``, ``M_gas``, ``T`` and ``L_X_outside``, which is L_X times 1 - `core_share`.
    deep, erosita : dict of str to ndarray, shape (n,)
        The fields of `ImageStatistics`.
    core_share : ndarray, shape (n,)
        F(r < 0.15 R500c) / F(r < R500c) about the cluster's centre in the deep image.
    peak_offset : ndarray, shape (n,)
        Distance of the deep image's peak from the centre, in units of R500c.
    photons : ndarray, shape (n,)
        Of the deep image within R500c of the centre.
    morphology : dict of str to ndarray, shape (n,)
        The statistics of `MORPHOLOGY` about the centre of a map of the same photons in 256 pixels
        over the survey's maps; P3/P0 less its noise.
    t_spec_ratio : ndarray, shape (n,)
        Temperature of a fit to the spectrum of the gas within R500c over the mass-weighted one.
    """

    cluster: np.ndarray
    m500c: np.ndarray
    redshift: np.ndarray
    proxies: dict[str, np.ndarray]
    deep: dict[str, np.ndarray]
    erosita: dict[str, np.ndarray]
    core_share: np.ndarray
    peak_offset: np.ndarray
    photons: np.ndarray
    morphology: dict[str, np.ndarray]
    t_spec_ratio: np.ndarray

    @property
    def outshone(self) -> np.ndarray:
        """Whether the peak's 0.1 R500c outshines the centre's 0.15 R500c, each over its total."""
        return self.deep["concentration"] > self.core_share


def simulated_images(survey: xr.Dataset, n_clusters: int = N_CLUSTERS) -> ImageSample | str:
    """Return images of some clusters of a survey, or the reason why there can be none.

    Parameters
    ----------
    survey : Dataset
        A simulated one.
    n_clusters : int
        How many at most: with masses as those of Magneticum's images.
    """
    try:
        config = SurveyConfig.model_validate(survey_config(survey))
    except ValidationError:
        return "its configuration is not of this version"
    if config.detection is not None:
        return "its clusters are detected ones, brighter than most"
    chosen = choose_clusters(
        read_scalar(survey, "m500c"), read_scalar(survey, "redshift"), n_clusters
    )
    if len(chosen) < 30:
        return f"fewer than 30 of its clusters are at redshifts {REDSHIFTS[0]} to {REDSHIFTS[1]}"
    return image_sample(config, int(survey.attrs["seed"]), chosen, rows_of(survey))


def choose_clusters(m500c: np.ndarray, redshift: np.ndarray, n: int) -> np.ndarray:
    """Return indices of up to n clusters whose masses are distributed as Magneticum's.

    For each of n equally spaced quantiles of the published masses, from the lowest to the highest,
    the cluster within `REDSHIFTS` that is nearest in ln M500c and not taken yet.
    """
    table = published_images()
    free = np.flatnonzero((redshift > REDSHIFTS[0]) & (redshift < REDSHIFTS[1]))
    log_mass = np.log10(m500c[free])
    levels = 100 * (np.arange(min(n, len(free))) + 0.5) / min(n, len(free) or 1)
    chosen = []
    for target in np.interp(levels, table.mass_levels, table.log10_m500c):
        nearest = int(np.argmin(np.abs(log_mass - target)))
        chosen.append(int(free[nearest]))
        log_mass[nearest] = np.inf
    return np.sort(np.array(chosen, int))


def image_sample(
    config: SurveyConfig, seed: int, clusters: Iterable[int], rows: TwinRows | None = None
) -> ImageSample:
    """Simulate the gas of some clusters again, deep, and measure images of it.

    Parameters
    ----------
    config : SurveyConfig
    seed : int
        Seed of the survey.
    clusters : iterable of int
        Which of its clusters.
    rows : TwinRows, optional
        The table whose halos they are.
    """
    ideal: dict[str, Any] = dict.fromkeys(("arf", "rmf", "sky", "coverage"))
    ideal |= {"instrument": "erosita", "vignetting": "onaxis", "exposure_s": EXPOSURE}
    observe = config.observe.model_copy(update=ideal)
    simulator = Simulator(config.model_copy(update={"observe": observe}), seed, rows)
    survey, onaxis = (load_instrument("erosita", vignetting=v) for v in ("survey", "onaxis"))
    ratio = float(survey.area_cm2(_ENERGY_OF_AREA) / onaxis.area_cm2(_ENERGY_OF_AREA))
    fraction = ratio * _EROSITA_EXPOSURE / EXPOSURE
    columns: dict[str, list[float]] = {}
    for cluster in clusters:
        scene, photons = simulator.gas_photons(int(cluster), EXPOSURE)
        halo = scene.halo
        folder = simulator.observatory.folder(config.observe.nh_1e20)
        t_spec = spectral_temperature(scene.atmosphere, halo.redshift, folder)
        arcsec = 60 * float(config.cosmology.arcmin_per_mpc_h(halo.redshift))
        soft = (photons.energy >= BAND[0]) & (photons.energy < BAND[1])
        x, y = photons.x[soft] * arcsec, photons.y[soft] * arcsec
        rng = np.random.default_rng([seed, int(cluster)])
        selected = rng.random(len(x)) < fraction
        measured = {
            "cluster": int(cluster),
            "m500c": halo.m500c,
            "redshift": halo.redshift,
            "T": scene.gas.t_mass_weighted,
            "T_spec": t_spec,
            "M_gas": scene.gas.m_gas,
            "L_X": simulator.luminosities(scene, int(cluster))["L_X"],
            **_deep(x, y, halo.r500c * arcsec),
            **_surveyed(photons.x[soft], photons.y[soft], halo, config),
            **_erosita(x[selected], y[selected], halo.r500c * arcsec, rng),
        }
        for name, value in measured.items():
            columns.setdefault(name, []).append(value)
    arrays = {name: np.array(values) for name, values in columns.items()}
    return ImageSample(
        cluster=arrays["cluster"],
        m500c=arrays["m500c"],
        redshift=arrays["redshift"],
        proxies={
            **{name: arrays[name] for name in ("L_X", "M_gas", "T")},
            "L_X_outside": arrays["L_X"] * (1 - arrays["core share"]),
        },
        deep={name: arrays[f"deep {name}"] for name in STATISTICS},
        erosita={name: arrays[f"erosita {name}"] for name in STATISTICS},
        core_share=arrays["core share"],
        peak_offset=arrays["peak offset"],
        photons=arrays["photons"],
        morphology={name: arrays[f"survey {name}"] for name in MORPHOLOGY},
        t_spec_ratio=arrays["T_spec"] / arrays["T"],
    )


def _deep(x: np.ndarray, y: np.ndarray, r500: float) -> dict[str, float]:
    """Measure photons at offsets [arcsec] in an ideal image."""
    n = int(2 * min(_FIELD_R500 * r500, _FIELD_ARCSEC) / _DEEP_PIXEL)
    half = n * _DEEP_PIXEL / 2
    coarse = max(int(_DEEP_SMOOTHING * r500 / _DEEP_PIXEL), 1)
    blocks = n // coarse
    edge = blocks * coarse * _DEEP_PIXEL / 2
    smoothing = _DEEP_SMOOTHING * r500 / (coarse * _DEEP_PIXEL)
    peak = x_ray_peak(count_image(x, y, edge, blocks), smoothing)
    py, px = ((i + 0.5) * coarse * _DEEP_PIXEL - edge for i in peak)
    centre = (int((py + half) / _DEEP_PIXEL), int((px + half) / _DEEP_PIXEL))
    radius = r500 / _DEEP_PIXEL
    image = count_image(x, y, half, n)
    statistics = image_statistics(image, centre, radius, np.log(2 * radius), noise=0.75)
    r = np.hypot(x, y)
    within = np.count_nonzero(r < r500)
    return {
        **{f"deep {name}": getattr(statistics, name) for name in STATISTICS},
        "core share": np.count_nonzero(r < 0.15 * r500) / within if within else np.nan,
        "peak offset": float(np.hypot(px, py) / r500),
        "photons": within,
    }


def _erosita(
    x: np.ndarray,
    y: np.ndarray,
    r500: float,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Measure photons at offsets [arcsec] with a background.

    Without blurring: theirs have none, for their median concentration of 0.16 is that of the deep
    images, 0.25, with the background of 140 counts beside 230 photons within R500c.
    """
    n = int(2 * _FIELD_R500 * r500 / _EROSITA_PIXEL)
    image = count_image(x, y, n * _EROSITA_PIXEL / 2, n)
    image += rng.poisson(_EROSITA_BACKGROUND, image.shape)
    statistics = image_statistics(image, x_ray_peak(image, 1.0), r500 / _EROSITA_PIXEL)
    return {f"erosita {name}": getattr(statistics, name) for name in STATISTICS}


def _surveyed(x: np.ndarray, y: np.ndarray, halo: Halo, config: SurveyConfig) -> dict[str, float]:
    """Measure photons at offsets [comoving Mpc/h] as X-ray surveys do, about the centre."""
    half = config.observe.half_width_mpc_h
    measured: Morphology = morphology(
        count_image(x, y, half, _MORPHOLOGY_PIXELS)[None],
        np.array([halo.r500c]),
        half_width=half,
        kpc_per_mpc_h=config.cosmology.kpc_per_mpc_h(np.array([halo.redshift])),
        centre=np.zeros((1, 2)),
    )
    values = {f"survey {name}": float(getattr(measured, name)[0]) for name in MORPHOLOGY}
    values["survey p3_p0"] -= float(measured.p3_p0_noise[0])
    return values
