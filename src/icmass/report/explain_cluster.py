"""Pictures of clusters: their photons, and which of them carry the mass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from icmass.explanation.cluster import ClusterExplanation
from icmass.report.style import Saved, house_style, new_figure, save, symbol

_DIVERGING = "RdBu_r"
_SIDE = 1.95  # inches of a map with its share of the labels


def draw_cluster(found: ClusterExplanation) -> Figure:
    """Draw a cluster's bands above, and the attribution of ln M500c to their pixels beneath.

    R500c is dashed. Photons are on one asinh scale, attributions on another, symmetric about zero:
    red pixels raise the predicted ln M500c (or the width of its posterior) over that of a map
    without the cluster, blue ones lower it.
    """
    n = len(found.bands)
    figure = new_figure(2 * _SIDE + 0.75, max(n * _SIDE + 0.9, 3.6))
    panels = figure.subplots(2, n, sharex=True, sharey=True, squeeze=False)
    photons = [found.counts[i] for i in range(n)]
    images = [
        _row(figure, list(panels[0]), photons, counts_norm(found.counts), "inferno", found),
        _row(
            figure,
            list(panels[1]),
            [found.attribution[i] for i in range(n)],
            signed_norm(found.attribution),
            _DIVERGING,
            found,
        ),
    ]
    for axes, band in zip(panels[0], found.bands, strict=True):
        axes.set_title(f"{band} keV")
    units = ("counts per pixel", f"{_what(found)} per pixel")
    labellers = (label_counts, label_signed)
    for image, row, unit, label in zip(images, panels, units, labellers, strict=True):
        bar = figure.colorbar(image, ax=list(row), aspect=25, pad=0.02)
        bar.set_label(f"{unit} (asinh)")
        label(bar)
    figure.supxlabel("projected offset  [comoving Mpc/h]", fontsize=9)
    figure.supylabel("projected offset  [comoving Mpc/h]", fontsize=9)
    figure.suptitle(_title(found), fontsize=8.5)
    return figure


def _title(found: ClusterExplanation) -> str:
    said = f"cluster {found.cluster}, z {found.redshift:.3f}, {symbol(found.model)}: "
    if found.quantity == "mean":
        log_m = found.value / np.log(10)
        said += rf"$\log_{{10}}\,M_{{500c}}$ {log_m:.2f},  ln M {found.change:+.2f} over background"
    else:
        said += f"width of ln M {found.value:.2f}, {found.change:+.2f} over background"
    return said


def _what(found: ClusterExplanation) -> str:
    return "ln M" if found.quantity == "mean" else "width of ln M"


def _row(
    figure: Figure,
    panels: list[Axes],
    maps: list[np.ndarray],
    norm: AsinhNorm,
    colours: str,
    found: ClusterExplanation,
) -> Any:
    for axes, held in zip(panels, maps, strict=True):
        colour = "white" if colours == "inferno" else "black"
        image = show_map(axes, held, found.half_width, found.r500c, norm, colours, colour)
    return image


def show_map(
    axes: Axes,
    values: np.ndarray,
    half_width: float,
    r500c: float | None,
    norm: Any,
    colours: Any,
    circle: str = "white",
) -> Any:
    """Show a map (y, x) with R500c dashed; lengths in comoving Mpc/h. Return the image."""
    extent = (-half_width, half_width, -half_width, half_width)
    image = axes.imshow(values, origin="lower", extent=extent, cmap=colours, norm=norm)
    if r500c is not None:
        axes.add_patch(Circle((0, 0), r500c, fill=False, ls=(0, (4, 3)), lw=0.9, color=circle))
    step = 1 if half_width < 2 else 2
    axes.set(xticks=[-step, 0, step], yticks=[-step, 0, step])
    axes.set(xlim=(-half_width, half_width), ylim=(-half_width, half_width))
    axes.tick_params(length=2, pad=1.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.label_outer()
    return image


def counts_norm(counts: np.ndarray) -> AsinhNorm:
    """Return the stretch of photon counts."""
    bright = counts[counts > 0]
    top = max(float(np.percentile(bright, 99.7)) if bright.size else 1.0, 3.0)
    return AsinhNorm(linear_width=max(0.1 * top, 0.5), vmin=0, vmax=top)


def label_counts(bar: Colorbar) -> None:
    """Give the colour bar of an asinh stretch of counts ticks that stand apart."""
    norm: Any = bar.norm
    ticks = [0.0]
    for value in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000):
        if value <= norm.vmax and norm(value) - norm(ticks[-1]) > 0.16:
            ticks.append(value)
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    bar.minorticks_off()


def label_signed(bar: Colorbar) -> None:
    """Give the colour bar of a symmetric stretch the ticks of its ends, rounded down, and 0."""
    top = float(bar.norm.vmax or 1)
    power = 10.0 ** np.floor(np.log10(top))
    top = float(np.floor(top / power) * power)
    bar.set_ticks([-top, 0, top], labels=[f"{-top:g}", "0", f"{top:g}"])
    bar.minorticks_off()


def signed_norm(values: np.ndarray) -> AsinhNorm:
    """Return a stretch that is symmetric about zero."""
    top = max(float(np.percentile(np.abs(values), 99.8)), 1e-6)
    return AsinhNorm(linear_width=0.1 * top, vmin=-top, vmax=top)


def save_cluster(found: ClusterExplanation, folder: Path) -> Saved:
    """Draw a cluster into ``explain-<model>-cluster-<i>.png`` and ``.svg`` in a folder."""
    with house_style():
        figure = draw_cluster(found)
    what = "" if found.quantity == "mean" else "-width"
    return save(figure, folder, f"explain-{plain(found.model)}-cluster-{found.cluster}{what}")


def plain(name: str) -> str:
    """Return a name that is safe in file names."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)[:80]
