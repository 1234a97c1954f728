"""Why a mass is not to be trusted, in words: what is odd about the cluster's map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from icmass.sky.map_grid import APERTURE_MPC_H, is_visible
from icmass.survey.catalog import half_width_mpc_h, survey_bands, survey_cosmology
from icmass.survey.counts import counts, read_coverage

if TYPE_CHECKING:
    from icmass.estimators.posterior import Prediction
    from icmass.inference.ensemble import Ensemble

LEAST_SIGNIFICANCE = 3.0
"""Excess of photons over the local background, in standard deviations, below which there is no
mass but an upper limit."""
RADII_MPC_H = (0.15, 0.3, APERTURE_MPC_H)
"""Circles in which an excess is looked for [comoving Mpc/h]."""
SOFT_KEV = 2.3
"""The excess is that of the bands below this energy, where clusters outshine the particles."""
FIELD_EXCESS, CELL_ARCMIN = 0.13, 3.0
"""Scatter of the background beyond Poisson, in cells of this size (measured in eFEDS)."""
OFF_CENTRE_MPC_H = 0.5
OFF_CENTRE_SIGMA = 5.0
MUCH_HIDDEN, MOST_HIDDEN = 0.3, 0.5
"""Hidden fractions within the aperture that a model has to be told of, and that none makes up for.

Filled up from around, masses of a model that saw no masks were right within 0.05 in ln M at up to
0.5 in 1,500 mocks of the eFEDS field, 0.35 low beyond; their scatter grew from 0.21 of those with
nothing hidden to 0.26 at 0.2 to 0.3. Told of it, those of `erass-v2-9band` were right within 0.06,
at 0.3 to 0.5 within 0.07 +- 0.06; their scatter grew from 0.21 to 0.25 and 0.28."""
EXPOSURE_SLACK = 1e-3
"""Share by which an exposure may lie outside of those trained on."""
NH_SLACK_1E20 = 1.0
"""N_H this far beyond the training range is near it [1e20 cm^-2]: 4 per cent of the counts of a
cluster in 0.5-1.2 keV."""
_OUTSIDE = 0.75  # of the half width: where the local background is taken
_SECTORS = 16
_STEP = 0.25  # comoving Mpc/h between places where a brighter source is looked for
_PIXELS = 64  # along a side, at most, of the maps that are looked at
_CAP = 3.0  # times the background: more photons in a pixel don't make an extended source
_AT_ONCE = 256
_FACTS = ("exposure", "nh", "visible_fraction", "band_exposure")


@dataclass(frozen=True)
class CentralExcess:
    """Soft photons of a cluster's centre against the background around it.

    Attributes
    ----------
    number, expected : float
        Photons within `APERTURE_MPC_H`, and what the outskirts of the map let expect there.
    significance : float
        Excess in standard deviations of Poisson noise and `FIELD_EXCESS`, the highest of
        `RADII_MPC_H`.
    offset : float or None
        Distance of a place that is brighter by `OFF_CENTRE_SIGMA` than the centre, if there is one
        [comoving Mpc/h].
    visible : float or None
        Visible fraction of the area within `APERTURE_MPC_H`; None without a coverage.
    """

    number: float
    expected: float
    significance: float
    offset: float | None
    visible: float | None = None


def central_photons(survey: xr.Dataset, index: np.ndarray) -> list[CentralExcess]:
    """Return the photons of each cluster's centre against the outskirts of its map."""
    index = np.asarray(index)
    soft = [hi <= SOFT_KEV for _, hi in survey_bands(survey)]
    bands = np.flatnonzero(soft if any(soft) else [True] * len(soft))
    n = survey.sizes["x"]
    size = next((k for k in range(1, n + 1) if n % k == 0 and n // k <= _PIXELS), 1)
    x = survey["x"].values.reshape(-1, size).mean(1)
    circles = _Circles(x, half_width_mpc_h(survey))
    cosmology = survey_cosmology(survey)
    arcmin = cosmology.arcmin_per_mpc_h(survey["redshift"].values[index])
    near = np.hypot(survey["y"].values[:, None], survey["x"].values) <= APERTURE_MPC_H
    found = []
    for start in range(0, len(index), _AT_ONCE):
        some = index[start : start + _AT_ONCE]
        images = counts(survey, some)[:, bands].sum(1, dtype="f8")
        seen, visible = np.ones_like(images), [None] * len(some)
        if "coverage" in survey:
            coverage = read_coverage(survey, some)
            seen, visible = coverage.astype("f8"), is_visible(coverage)[:, near].mean(1).tolist()
        images, seen = _added(images, size), _added(seen, size)
        part = circles.photons(images, seen, arcmin[start : start + _AT_ONCE])
        found += [replace(one, visible=v) for one, v in zip(part, visible, strict=True)]
    return found


def _added(maps: np.ndarray, size: int) -> np.ndarray:
    """Return maps (n, y, x) with squares of pixels added, flat (n, pixel)."""
    n, side, _ = maps.shape
    small = side // size
    result: np.ndarray = maps.reshape(n, small, size, small, size).sum((2, 4)).reshape(n, -1)
    return result


class _Circles:
    """Circles about the centre of a map and about places all over it."""

    def __init__(self, x: np.ndarray, half_width: float) -> None:
        most = np.floor((half_width - APERTURE_MPC_H) / _STEP)
        steps = np.arange(-most, most + 1) * _STEP
        places = np.array([(a, b) for a in steps for b in steps])
        self.far = np.hypot(*places.T) > OFF_CENTRE_MPC_H
        self.distance = np.hypot(*places.T)
        self.places = _discs(x, places, APERTURE_MPC_H)
        self.centre = np.concatenate([_discs(x, np.zeros((1, 2)), r) for r in RADII_MPC_H], 1)
        radius = np.hypot(x[:, None], x).ravel()
        angle = np.arctan2(*np.meshgrid(x, x, indexing="ij")).ravel()
        sector = ((angle / np.pi + 1) / 2 * _SECTORS).astype(int) % _SECTORS
        outside = radius > _OUTSIDE * half_width
        self.sectors = ((sector[:, None] == np.arange(_SECTORS)) & outside[:, None]).astype("f8")

    def photons(
        self, images: np.ndarray, seen: np.ndarray, arcmin: np.ndarray
    ) -> list[CentralExcess]:
        rate = _middling_rate(images @ self.sectors, seen @ self.sectors, self.sectors.sum(0))
        number, covered = images @ self.centre, seen @ self.centre
        expected = rate[:, None] * covered
        cells = np.pi * (np.array(RADII_MPC_H) * arcmin[:, None] / CELL_ARCMIN) ** 2
        uneven = FIELD_EXCESS / np.sqrt(np.maximum(cells, 1))
        noise = np.sqrt(np.maximum(expected + (uneven * expected) ** 2, 1))
        significance = ((number - expected) / noise).max(1)
        capped = np.minimum(images, _CAP * np.maximum(rate, 1)[:, None])
        offsets = self._offsets(capped @ self.places, seen @ self.places, rate, uneven[:, -1])
        rows = zip(number[:, -1], expected[:, -1], significance, offsets, strict=True)
        return [CentralExcess(float(n), float(e), float(s), o) for n, e, s, o in rows]

    def _offsets(
        self, number: np.ndarray, covered: np.ndarray, rate: np.ndarray, uneven: np.ndarray
    ) -> list[float | None]:
        expected = rate[:, None] * covered
        excess = number - expected
        own = excess[:, np.argmin(self.distance)]
        looked = self.far & (covered > 0.5 * self.places.sum(0))
        brightest = np.where(looked, excess, -np.inf).argmax(1)
        row = np.arange(len(number))
        more = excess[row, brightest] - own
        noise = number[row, brightest] + number[:, np.argmin(self.distance)]
        noise += 2 * (uneven * expected[row, brightest]) ** 2
        is_off = (more > OFF_CENTRE_SIGMA * np.sqrt(np.maximum(noise, 1))) & looked.any(1)
        return [
            float(self.distance[b]) if o else None for b, o in zip(brightest, is_off, strict=True)
        ]


def _discs(x: np.ndarray, places: np.ndarray, radius: float) -> np.ndarray:
    """Return which pixels lie in circles about places (n, 2), float (pixel, n)."""
    across, along = x[None, None] - places[:, :1, None], x[None, :, None] - places[:, 1:, None]
    result: np.ndarray = (np.hypot(across, along) <= radius).reshape(len(places), -1).astype("f8").T
    return result


def _middling_rate(number: np.ndarray, seen: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return photons per covered pixel, the median over sectors: sources count little."""
    rates = np.where(seen > 0.2 * whole, number / np.maximum(seen, 1e-9), np.nan)
    rates[np.isnan(rates).all(1)] = 0.0
    return np.nanmedian(rates, axis=1)


def reasons(
    ensemble: Ensemble,
    survey: xr.Dataset,
    index: np.ndarray,
    prediction: Prediction,
    photons: list[CentralExcess],
) -> list[list[str]]:
    """Return for each cluster why its mass is not to be trusted; nothing if all is well."""
    found = []
    facts = {name: survey[name].values[np.asarray(index)] for name in _FACTS if name in survey}
    if "visible_fraction" not in facts and "coverage" in survey:
        facts["visible_fraction"] = np.array([each.visible for each in photons])
    for k in range(len(index)):
        cluster = {name: values[k] for name, values in facts.items()}
        words = photon_reasons(photons[k])
        words += _of_ranges(ensemble, cluster)
        words += _of_hidden(ensemble, cluster)
        score = prediction.out_of_domain
        if score is not None and score[k] > 1:
            told = score_text(float(score[k]))
            words.append(f"unlike the training maps: out-of-domain score {told} above 1")
        found.append(words)
    return found


def score_text(score: float) -> str:
    """Return an out-of-domain score as it is printed; of a cluster far out, its order.

    Examples
    --------
    >>> score_text(0.913), score_text(4.2e37)
    ('0.91', '4e+37')
    """
    return f"{score:.2f}" if abs(score) < 1000 else f"{score:.0e}"


def is_upper_limit(photons: CentralExcess) -> bool:
    """Return whether there are too few photons for a mass."""
    return photons.significance < LEAST_SIGNIFICANCE


def photon_reasons(photons: CentralExcess) -> list[str]:
    """Return what is odd about a cluster's photons, whatever the model; nothing if all is well."""
    words = []
    if is_upper_limit(photons):
        words.append(
            f"photons too few: {photons.number:.0f} within {APERTURE_MPC_H} Mpc/h, "
            f"{photons.expected:.0f} of them background ({photons.significance:.1f} sigma)"
        )
    if photons.offset is not None:
        words.append(f"off-centre: a brighter source {photons.offset:.1f} Mpc/h from the centre")
    return words


def is_nh_outside(ensemble: Ensemble, nh_1e20: np.ndarray) -> np.ndarray:
    """Return where N_H [1e20 cm^-2] is far from that of the training; nowhere if it's unknown."""
    low, high = ensemble.nh_range or (-np.inf, np.inf)
    return ~((nh_1e20 >= low - NH_SLACK_1E20) & (nh_1e20 <= high + NH_SLACK_1E20))


def _of_ranges(ensemble: Ensemble, cluster: dict[str, np.ndarray]) -> list[str]:
    """Return what of exposure and column density the model was not trained on."""
    words = []
    limits = ensemble.training.exposure_range
    if limits is not None and "exposure" in cluster:
        seconds, (low, high) = float(ensemble.used_exposure(cluster["exposure"])), limits
        if not low * (1 - EXPOSURE_SLACK) <= seconds <= high * (1 + EXPOSURE_SLACK):
            words.append(f"exposure {seconds:.4g} s outside {low:.4g} to {high:.4g}")
    if "nh" in cluster and ensemble.nh_range and is_nh_outside(ensemble, cluster["nh"]):
        low, high = ensemble.nh_range
        nh = float(cluster["nh"])
        words.append(f"N_H {nh:.4g}e20 cm^-2 outside {low:.4g} to {high:.4g}")
    return words


def _of_hidden(ensemble: Ensemble, cluster: dict[str, np.ndarray]) -> list[str]:
    words = []
    if "visible_fraction" in cluster:
        hidden = 1 - float(cluster["visible_fraction"])
        told = "coverage" in ensemble.members[0].info.inputs
        if hidden > (MOST_HIDDEN if told else MUCH_HIDDEN):
            untold = "" if told else ", and the model was not trained on masks"
            words.append(f"masked: {hidden:.0%} hidden within {APERTURE_MPC_H} Mpc/h{untold}")
    if "band_exposure" in cluster:
        least = float(cluster["band_exposure"].min() / cluster["band_exposure"].max())
        if least < 0.95:
            words.append(f"bands of unequal exposure: down to {least:.0%} of the most exposed")
    return words
