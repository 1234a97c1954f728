"""Statistics of X-ray images pixel by pixel, as catalogues of simulated clusters publish them.

Those of Green et al. 2019 (ApJ 884, 33, arXiv:1908.02765): concentration, centroid shift, power
ratios, axis ratio, and the concentration, asymmetry and smoothness (CAS) and M20 of galaxies. All
are about the X-ray peak, of counts as they are, background included. `icmass.observe.morphology`
has what X-ray surveys publish: centred on the cluster, background subtracted, pixels split.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.ndimage import gaussian_filter

from icmass.errors import InputError

N_APERTURES = 10
"""Apertures of the centroid shift: radii i / 10 of the whole one, i = 1 ... 10."""


@dataclass(frozen=True)
class ImageStatistics:
    """Statistics of one image within an aperture, without unit; NaN where it holds no counts.

    I is the counts of a pixel, r its distance from the peak, R the radius of the aperture, d the
    offset of the centroid from the peak. All sums run over pixels with r <= R.

    Parameters
    ----------
    concentration : float
        c = F(r < 0.1 R) / F(r < R).
    centroid_shift : float
        w = [sum_i (D_i - <D>)^2 / (N - 1)]^(1/2) / R, with D_i the distance from the peak to the
        centroid within i R / N, i = 1 ... N = 10 (Mohr, Fabricant & Geller 1993, ApJ 413, 492).
    p1, p2, p3, p4 : float
        Power ratios P_m / P_0 (Buote & Tsai 1995, ApJ 452, 522) about the **peak**:
        P_m = (a_m^2 + b_m^2) / (2 m^2 R^(2m)), P_0 = [a_0 ln R]^2, with a_m and b_m the sums of
        I r^m cos(m phi) and I r^m sin(m phi), and R in **pixels** within the logarithm. Hence
        p1 = (d / R)^2 / (2 ln^2 R).
    axis_ratio : float
        Square root of the ratio of the eigenvalues, smaller over larger, of the second moments
        about the centroid: 1 if round.
    cas_concentration : float
        C = 5 log10(r_80 / r_20), radii about the peak that hold 80 and 20 per cent of the counts.
    asymmetry : float
        A = sum |I - I_180| / sum I, with I_180 the image turned by 180 degrees about the peak.
    smoothness : float
        S = sum |I - I_S| / sum I, with I_S the image smoothed by a boxcar of 3 x 3 pixels.
    m20 : float
        log10(sum_i M_i / M_tot) with M = I r^2 and i the brightest pixels that together hold 20
        per cent of the counts; of pixels as bright as the faintest of them, the part that is
        needed (Lotz, Primack & Madau 2004, AJ 128, 163). C, A, S: there and in Conselice 2003,
        ApJS 147, 1, neither of which has apertures and a boxcar like these.

    Notes
    -----
    A and S of images with less than about a count in a pixel are measures of the counts in a
    pixel, not of the cluster: if all pixels expect mu << 1 counts, A = 2 (1 - mu) and
    S = 16 / 9 (1 - mu).
    """

    concentration: float
    centroid_shift: float
    p1: float
    p2: float
    p3: float
    p4: float
    axis_ratio: float
    cas_concentration: float
    asymmetry: float
    smoothness: float
    m20: float


def image_statistics(
    image: np.ndarray,
    centre: tuple[int, int],
    radius: float,
    log_radius: float | None = None,
    *,
    noise: float = 0.0,
) -> ImageStatistics:
    """Measure an image about one of its pixels.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Counts, whole or expected, not negative.
    centre : (int, int)
        Row and column of the peak's pixel, to whose middle all distances are measured.
    radius : float
        R [pixels]. What lies beyond the image's edge counts as empty.
    log_radius : float, optional
        ln R of the power ratios, where R is not to be in this image's pixels.
    noise : float
        Part of the mean that photon noise adds to the power ratios, sum I r^(2m) / (2 m^2 R^(2m))
        over P_0, that is taken off them: 0.75 makes them those of four times the photons. At
        least a fortieth of that noise is left, if there was as much.

    Raises
    ------
    InputError
        If the centre is not a pixel, the radius below 10 pixels or a pixel negative.
    """
    image = np.ascontiguousarray(image, float)
    if image.ndim != 2 or image.min(initial=0) < 0 or not np.isfinite(image).all():
        raise InputError("is no map of counts", field="image", hint="give shape (y, x), none < 0")
    row, column = int(centre[0]), int(centre[1])
    if not (0 <= row < image.shape[0] and 0 <= column < image.shape[1]):
        raise InputError(f"{centre} lies outside the image", field="centre")
    if not (np.isfinite(radius) and radius >= N_APERTURES):
        raise InputError(
            f"{radius:g} pixels do not tell ten apertures apart", field="radius",
            hint="give finer pixels",
        )  # fmt: skip
    out = np.full(11, np.nan)
    profile = _moments(image, row, column, float(radius), out)
    if not profile.sum() > 0:
        return ImageStatistics(*np.full(11, np.nan))
    log_r = np.log(radius) if log_radius is None else log_radius
    powers = np.maximum(out[2:6] - noise * out[7:11], np.minimum(out[2:6], out[7:11] / 40))
    powers /= log_r**2
    asymmetry, smoothness = _asymmetry_smoothness(image, row, column, float(radius))
    return ImageStatistics(
        concentration=out[0],
        centroid_shift=out[1],
        p1=powers[0],
        p2=powers[1],
        p3=powers[2],
        p4=powers[3],
        axis_ratio=out[6],
        cas_concentration=_cas_concentration(profile),
        asymmetry=asymmetry,
        smoothness=smoothness,
        m20=_m20(image, row, column, float(radius)),
    )


def x_ray_peak(image: np.ndarray, smoothing: float) -> tuple[int, int]:
    """Return row and column of the brightest pixel of an image smoothed by a Gaussian.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Counts.
    smoothing : float
        Standard deviation [pixels].
    """
    smooth = gaussian_filter(np.asarray(image, np.float32), smoothing, mode="constant", truncate=3)
    row, column = np.unravel_index(np.argmax(smooth), smooth.shape)
    return int(row), int(column)


@njit(cache=True)
def count_image(x, y, half_width, n):  # type: ignore[no-untyped-def]
    """Return photons at offsets (x, y) as counts of n x n pixels over +-half_width, (y, x)."""
    image = np.zeros((n, n))
    scale = n / (2 * half_width)
    for i in range(len(x)):
        u, v = (x[i] + half_width) * scale, (y[i] + half_width) * scale
        if 0 <= u < n and 0 <= v < n:
            image[int(v), int(u)] += 1
    return image


@njit(cache=True)
def _bounds(middle, radius, n):  # type: ignore[no-untyped-def]
    return max(int(middle - radius), 0), min(int(middle + radius) + 1, n)


@njit(cache=True)
def _moments(image, row, column, radius, out):  # type: ignore[no-untyped-def]
    """Fill c, w, P_1 to P_4 (times ln^2 R), axis ratio, noise of P; return counts by r / 20."""
    rings = np.zeros((N_APERTURES, 3))
    profile = np.zeros(int(20 * radius) + 2)
    powers = np.zeros(8)
    spread = np.zeros(4)
    xx = yy = xy = 0.0
    top, bottom = _bounds(row, radius, image.shape[0])
    left, right = _bounds(column, radius, image.shape[1])
    for i in range(top, bottom):
        for j in range(left, right):
            flux = image[i, j]
            if flux == 0:
                continue
            y, x = float(i - row), float(j - column)
            r2 = x * x + y * y
            if r2 > radius * radius:
                continue
            r = np.sqrt(r2)
            profile[int(20 * r + 0.5)] += flux
            ring = min(max(int(np.ceil(r * N_APERTURES / radius)) - 1, 0), N_APERTURES - 1)
            rings[ring, 0] += flux
            rings[ring, 1] += flux * x
            rings[ring, 2] += flux * y
            xx += flux * x * x
            yy += flux * y * y
            xy += flux * x * y
            u, v = x / radius, y / radius
            re, im = u, v
            even = u * u + v * v
            power = even
            for m in range(4):
                spread[m] += flux * power
                power *= even
                powers[2 * m] += flux * re
                powers[2 * m + 1] += flux * im
                re, im = re * u - im * v, re * v + im * u
    for i in range(1, N_APERTURES):
        rings[i] += rings[i - 1]
    total = rings[-1, 0]
    if total > 0:
        out[0] = rings[0, 0] / total
        out[1] = _shift(rings) / radius
        for m in range(4):
            size = powers[2 * m] ** 2 + powers[2 * m + 1] ** 2
            out[2 + m] = size / (2 * (m + 1) ** 2 * total * total)
            out[7 + m] = spread[m] / (2 * (m + 1) ** 2 * total * total)
        x0, y0 = rings[-1, 1] / total, rings[-1, 2] / total
        xx, yy, xy = xx / total - x0 * x0, yy / total - y0 * y0, xy / total - x0 * y0
        split = np.sqrt((xx - yy) ** 2 + 4 * xy * xy)
        if xx + yy > 0:
            out[6] = np.sqrt(max(xx + yy - split, 0.0) / (xx + yy + split))
    return profile


@njit(cache=True)
def _shift(rings):  # type: ignore[no-untyped-def]
    """Return the deviation of the distances of the centroids; an empty aperture has distance 0."""
    distance = np.zeros(len(rings))
    for i in range(len(rings)):
        if rings[i, 0] > 0:
            distance[i] = np.hypot(rings[i, 1], rings[i, 2]) / rings[i, 0]
    return np.sqrt(((distance - distance.mean()) ** 2).sum() / (len(rings) - 1))


def _cas_concentration(profile: np.ndarray) -> float:
    """Return 5 log10(r_80 / r_20); counts of the middle pixel are spread over its half width."""
    enclosed = np.cumsum(profile)
    r = np.arange(len(profile)) / 20
    r[0] = 0.5
    shares = enclosed / enclosed[-1]
    r_20, r_80 = (max(r[np.searchsorted(shares, share)], 0.5) for share in (0.2, 0.8))
    return float(5 * np.log10(r_80 / r_20))


@njit(cache=True)
def _asymmetry_smoothness(image, row, column, radius):  # type: ignore[no-untyped-def]
    n, m = image.shape
    total = unlike = rough = 0.0
    top, bottom = int(np.floor(row - radius)), int(np.ceil(row + radius)) + 1
    left, right = int(np.floor(column - radius)), int(np.ceil(column + radius)) + 1
    for i in range(max(top, 0), min(bottom, n)):
        for j in range(max(left, 0), min(right, m)):
            if (i - row) ** 2 + (j - column) ** 2 > radius * radius:
                continue
            flux = image[i, j]
            total += flux
            p, q = 2 * row - i, 2 * column - j
            if 0 <= p < n and 0 <= q < m:
                unlike += abs(flux - image[p, q])
            else:
                unlike += 2 * flux  # its counterpart, beyond the edge, is empty
            mean = 0.0
            for k in range(max(i - 1, 0), min(i + 2, n)):
                for o in range(max(j - 1, 0), min(j + 2, m)):
                    mean += image[k, o]
            rough += abs(flux - mean / 9)
    if not total > 0:
        return np.nan, np.nan
    return unlike / total, rough / total


def _m20(image: np.ndarray, row: int, column: int, radius: float) -> float:
    (top, bottom), (left, right) = (
        _bounds(centre, radius, n) for centre, n in zip((row, column), image.shape, strict=True)
    )
    cut = image[top:bottom, left:right]
    y, x = np.arange(top, bottom) - row, np.arange(left, right) - column
    r2 = (y * y)[:, None] + (x * x)[None, :]
    inside = (r2 <= radius * radius) & (cut > 0)
    flux, r2 = cut[inside], r2[inside]
    _, level = np.unique(flux, return_inverse=True)
    light = np.bincount(level, flux)[::-1]
    moment = np.bincount(level, flux * r2)[::-1]
    fraction = np.clip((0.2 * light.sum() - (np.cumsum(light) - light)) / light, 0, 1)
    bright = (fraction * moment).sum()
    return float(np.log10(bright / moment.sum())) if bright > 0 else float("nan")
