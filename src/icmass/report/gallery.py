"""Galleries of maps: mass across, redshift down, R500c dashed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from scipy.ndimage import gaussian_filter

from icmass.report.style import MSUN_H, ORANGE, SKY, WIDTH, new_figure
from icmass.survey.catalog import half_width_mpc_h
from icmass.survey.counts import counts

N_COLUMNS, N_ROWS = 4, 3
SMOOTHING_PIXELS = 2.5  # of 128 a side; scaled with the map's size
_COMPONENT_COLOURS = {"icm": ORANGE, "agn": SKY, "background": "#9ca3af"}
_CORNERS = rf"top left: $\log_{{10}}\,M_{{500c}}$ [{MSUN_H}]   bottom right: redshift"


@dataclass(frozen=True)
class Choice:
    """Which clusters a gallery shows: their indices, and their mass and redshift."""

    cluster: np.ndarray  # (rows, columns)
    log10_m500c: np.ndarray  # (rows, columns), log10 of M500c [Msun/h]
    redshift: np.ndarray  # (rows, columns)


def choose_clusters(survey: xr.Dataset, rows: int = N_ROWS, columns: int = N_COLUMNS) -> Choice:
    """Pick the clusters nearest to a grid of masses and redshifts: no eye is involved.

    Masses are evenly spaced in log between the 2nd and the 98th percentile; redshifts are the
    lowest, the middle and the highest (by rank) of the survey.
    """
    log_m = np.log10(survey["m500c"].values)
    z = survey["redshift"].values
    rows, columns = min(rows, len(z)), min(columns, max(1, len(z) // rows))
    low, high = np.percentile(log_m, [2, 98])
    masses = np.linspace(low, high, columns)
    redshifts = np.quantile(z, np.linspace(0, 1, rows), method="nearest")
    cost_z = max(float(np.ptp(z)) / 20, 1e-6)
    cost_m = max(float(np.ptp(log_m)) / 20, 1e-6)
    free = np.ones(len(z), bool)
    chosen = np.zeros((rows, columns), int)
    for i, j in np.ndindex(rows, columns):
        far = ((log_m - masses[j]) / cost_m) ** 2 + ((z - redshifts[i]) / cost_z) ** 2
        chosen[i, j] = np.argmin(np.where(free, far, np.inf))
        free[chosen[i, j]] = False
    return Choice(chosen, log_m[chosen], z[chosen])


def draw_gallery(survey: xr.Dataset, choice: Choice) -> Figure:
    """Draw the photon counts of the chosen clusters, all bands, on one asinh stretch."""
    maps = _counts_of(survey, choice).sum(2)
    top = max(float(np.percentile(maps[maps > 0], 99.7)) if maps.any() else 1.0, 3.0)
    norm = AsinhNorm(linear_width=0.5, vmin=0, vmax=top)
    figure, panels = _panels(choice, spare=1.15)
    for (i, j), axes in np.ndenumerate(panels):
        image = axes.imshow(
            maps[i, j], origin="lower", extent=_extent(survey), cmap="inferno", norm=norm
        )
        _decorate(axes, survey, choice, (i, j))
    ticks = [t for t in (0, 1, 2, 5, 10, 20, 50, 100, 200, 500) if t <= top]
    place: dict[str, Any] = {"ax": list(panels.flat), "location": "top", "aspect": 45, "pad": 0.02}
    bar = figure.colorbar(image, **place, extend="max", ticks=ticks, format="%d")
    bar.minorticks_off()
    bands = survey["band"].values
    low, high = str(bands[0]).split("-")[0], str(bands[-1]).split("-")[-1]
    bar.set_label(f"counts per pixel, {low}-{high} keV (asinh scale)")
    return figure


def draw_colour_gallery(survey: xr.Dataset, choice: Choice) -> Figure:
    """Draw the same clusters in colour: soft band red, medium green, hard blue.

    Each band is smoothed; its median over the map and twice its noise are subtracted. Divided by
    what is left of it within R500c of all clusters shown, white is their mean spectrum. Each map
    is asinh-stretched up to its own peak.
    """
    bands = _counts_of(survey, choice).astype(float)
    sigma = SMOOTHING_PIXELS * bands.shape[-1] / 128
    net = gaussian_filter(bands, (0, 0, 0, sigma, sigma))
    net -= np.median(net, axis=(-2, -1), keepdims=True)
    noise = 1.4826 * np.median(np.abs(net), axis=(-2, -1), keepdims=True)
    seen = np.maximum(net - 2 * noise, 0)
    weight = _sum_in_r500c(survey, choice, seen)
    seen, noise = seen / weight, noise / weight
    brightness = seen.mean(2, keepdims=True)
    peak = np.percentile(brightness, 99.8, axis=(-2, -1), keepdims=True)
    knee = np.maximum(noise.mean(2, keepdims=True), 1e-3 * peak)
    knee = np.where(knee > 0, knee, 1.0)
    stretched = np.arcsinh(brightness / knee) / np.arcsinh(np.maximum(peak / knee, 4))
    colour = seen * stretched / np.where(brightness > 0, brightness, 1)
    colour = np.clip(np.moveaxis(colour, 2, -1), 0, 1)
    figure, panels = _panels(choice, spare=0.6)
    for (i, j), axes in np.ndenumerate(panels):
        axes.imshow(colour[i, j], origin="lower", extent=_extent(survey))
        _decorate(axes, survey, choice, (i, j))
    return figure


def _sum_in_r500c(survey: xr.Dataset, choice: Choice, bands: np.ndarray) -> np.ndarray:
    """Return the sum of each band within R500c over all clusters chosen, (1, 1, band, 1, 1)."""
    y, x = np.meshgrid(survey["y"].values, survey["x"].values, indexing="ij")
    radius = survey["r500c"].values[choice.cluster] if "r500c" in survey else np.array(0.5)
    inside = np.hypot(x, y) < np.broadcast_to(radius, choice.cluster.shape)[..., None, None]
    total = (bands * inside[:, :, None]).sum(axis=(0, 1, 3, 4), keepdims=True)
    return np.where(total > 0, total, np.abs(total).max() or 1.0)


def _counts_of(survey: xr.Dataset, choice: Choice) -> np.ndarray:
    """Return counts (rows, columns, band, y, x)."""
    flat = choice.cluster.ravel()
    order = np.argsort(flat)
    found = counts(survey, flat[order])
    back = np.empty_like(found)
    back[order] = found
    return back.reshape(*choice.cluster.shape, *found.shape[1:])


def _extent(survey: xr.Dataset) -> tuple[float, float, float, float]:
    half = half_width_mpc_h(survey)
    return (-half, half, -half, half)


def _panels(choice: Choice, spare: float) -> tuple[Figure, np.ndarray]:
    """Return a figure and its panels; `spare` inches of its height are not for maps."""
    rows, columns = choice.cluster.shape
    figure = new_figure(rows * (WIDTH - 0.5) / columns + spare)
    figure.set_layout_engine("constrained", w_pad=0.015, h_pad=0.015, wspace=0, hspace=0)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    figure.supxlabel("projected offset  [comoving Mpc/h]", fontsize=9)
    figure.supylabel("projected offset  [comoving Mpc/h]", fontsize=9)
    figure.suptitle(_CORNERS, fontsize=8.5)
    return figure, panels


def _decorate(axes: Axes, survey: xr.Dataset, choice: Choice, place: tuple[int, int]) -> None:
    """Write mass and redshift into a map, draw R500c, and keep ticks to the outer edge."""
    half = _extent(survey)[1]
    edge = [withStroke(linewidth=2, foreground="black")]
    label: dict[str, Any] = {
        "color": "white",
        "fontsize": 7.5,
        "path_effects": edge,
        "transform": axes.transAxes,
    }
    axes.text(0.05, 0.95, f"{choice.log10_m500c[place]:.2f}", ha="left", va="top", **label)
    axes.text(0.95, 0.05, f"z {choice.redshift[place]:.2f}", ha="right", va="bottom", **label)
    if "r500c" in survey:
        radius = float(survey["r500c"][choice.cluster[place]])
        circle = Circle((0, 0), radius, fill=False, ls=(0, (4, 3)), lw=0.9, color="white")
        axes.add_patch(circle)
    step = 1 if half < 2 else 2
    axes.set(xticks=[-step, 0, step], yticks=[-step, 0, step], xlim=(-half, half))
    axes.set_ylim(-half, half)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=2, pad=1.5)
    axes.label_outer()


def draw_component_gallery(survey: xr.Dataset, choice: Choice) -> Figure:
    """Draw the same clusters by what sent the photons: gas orange, AGN blue, background grey.

    Each component is smoothed; the colour of a pixel is the mean of the components' colours,
    weighted with their counts, its brightness the asinh of all counts up to the map's own peak.
    """
    flat = choice.cluster.ravel()
    order = np.argsort(flat)
    maps = survey["maps"].isel(cluster=flat[order]).sel(component=list(_COMPONENT_COLOURS))
    held = maps.transpose("cluster", "component", "band", "y", "x").values.sum(2, dtype="f8")
    parts = np.empty_like(held)
    parts[order] = held
    sigma = SMOOTHING_PIXELS / 2 * parts.shape[-1] / 128
    parts = gaussian_filter(parts, (0, 0, sigma, sigma)).reshape(
        *choice.cluster.shape, *parts.shape[1:]
    )
    total = parts.sum(2)
    peak = np.percentile(total, 99.8, axis=(-2, -1), keepdims=True)
    knee = np.maximum(0.05 * peak, 1e-6)
    brightness = np.clip(np.arcsinh(total / knee) / np.arcsinh(peak / knee), 0, 1)
    hues = np.array([to_rgb(colour) for colour in _COMPONENT_COLOURS.values()])
    share = parts / np.where(total > 0, total, 1)[:, :, None]
    colour = np.clip(np.einsum("rcpyx,pk->rcyxk", share, hues) * brightness[..., None], 0, 1)
    figure, panels = _panels(choice, spare=0.75)
    for (i, j), axes in np.ndenumerate(panels):
        axes.imshow(colour[i, j], origin="lower", extent=_extent(survey))
        _decorate(axes, survey, choice, (i, j))
    figure.suptitle(f"orange: gas   blue: AGN   grey: background\n{_CORNERS}", fontsize=8.5)
    return figure
