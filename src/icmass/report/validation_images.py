"""The figure of a mock's images against Magneticum's: distributions of their statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator

from icmass.observe.published_images import PublishedStatistic, published_images
from icmass.report.style import BLUE, VERMILLION, light_grid, log_axis, new_figure
from icmass.validation.image_maps import ImageSample

_COLOURS = {"deep": BLUE, "erosita": VERMILLION}
_NAMES = {"deep": "1 Ms, ideal", "erosita": "2 ks, PSF, background"}

#: Label and span of each panel; a span above a decade is drawn in logarithm.
_PANELS: dict[str, tuple[str, tuple[float, float]]] = {
    "concentration": ("concentration c", (0.02, 0.9)),
    "centroid_shift": ("centroid shift w", (1e-3, 0.5)),
    "p3": ("P3/P0", (1e-10, 1e-3)),
    "axis_ratio": ("axis ratio", (0.45, 1)),
    "asymmetry": ("asymmetry A", (0.9, 2)),
    "smoothness": ("smoothness S", (0.4, 1.75)),
}


def draw_images(images: ImageSample) -> Figure:
    """Draw the part of the clusters above each value of the statistics of both kinds of images."""
    figure = new_figure(7.2)
    panels = figure.subplots(3, 2, sharey=True)
    table = published_images()
    for axes, (statistic, (label, span)) in zip(panels.flat, _PANELS.items(), strict=True):
        for kind, colour in _COLOURS.items():
            _draw_mock(axes, getattr(images, kind)[statistic], span, colour)
            _draw_published(axes, getattr(table, kind)[statistic], colour)
        if _logarithmic(span):
            log_axis(axes.xaxis, np.array(span))
            if span[0] < 1e-3:
                axes.xaxis.set_major_locator(LogLocator(base=100, numticks=12))
            else:
                axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set(xlim=span, ylim=(0, 1))
        axes.set_xlabel(label)
        light_grid(axes)
    for axes in panels[:, 0]:
        axes.set_ylabel("part of the clusters above")
    handles: list[Any] = []
    n = len(images.cluster)
    for kind, colour in _COLOURS.items():
        handles.append(Line2D([], [], color=colour, lw=2, label=f"mock, {_NAMES[kind]}, n = {n}"))
        handles.append(
            Line2D([], [], color=colour, lw=1, ls="--", marker="D", ms=4, mfc="white",
                   label=f"Magneticum, {_NAMES[kind]}")
        )  # fmt: skip
    figure.legend(handles=handles, loc="outside upper center", ncols=1, handlelength=2.4)
    return figure


def _logarithmic(span: tuple[float, float]) -> bool:
    return span[1] > 10 * span[0]


def _draw_mock(axes: Axes, sample: np.ndarray, span: tuple[float, float], colour: str) -> None:
    """Draw the part of a sample above each value, with its binomial error."""
    sample = sample[np.isfinite(sample)]
    at = np.geomspace(*span, 300) if _logarithmic(span) else np.linspace(*span, 300)
    above = (sample[:, None] > at).mean(axis=0)
    error = np.sqrt(above * (1 - above) / len(sample))
    axes.fill_between(at, above - error, above + error, color=colour, alpha=0.25, lw=0)
    axes.plot(at, above, color=colour, lw=2)


def _draw_published(axes: Axes, published: PublishedStatistic, colour: str) -> None:
    values, below = published_images().cumulative(published)
    axes.plot(
        values, 1 - below, color=colour, lw=1, ls="--", marker="D", ms=4, mfc="white", zorder=4
    )
