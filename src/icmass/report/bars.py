"""Every estimator's scatter side by side, and whether its error bars can be believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from icmass.report.style import (
    BLACK,
    GREY,
    GROUP_COLOURS,
    group_heading,
    light_grid,
    new_figure,
)
from icmass.report.style import symbol as label_of
from icmass.run.results import Group, Score, grouped

Published = Callable[[str], float | None]
_ROW = 0.30  # inches a row
NOMINAL68, NOMINAL95 = 0.68, 0.95


def draw_scatter_bars(scores: Sequence[Score], published: Published) -> Figure:
    """Draw both scatters of every estimator, grouped, with the published values beside.

    Parameters
    ----------
    scores : sequence of Score
        Scatters are fractions; they are drawn in per cent.
    published : callable
        From an estimator's name to its published scatter (a fraction), or None.
    """
    groups = grouped(scores)
    figure, axes, rows = _rows_figure(groups)
    widest = 0.0
    for y, score in rows:
        colour = GROUP_COLOURS[score.group]
        reference = published(score.name)
        pairs = [
            (y - 0.2, score.sigma_paper, score.sigma_paper_error, _pale(colour)),
            (y + 0.2, score.sigma_lnm, score.sigma_lnm_error, colour),
        ]
        for place, sigma, error, fill in pairs:
            if sigma is not None:
                axes.barh(place, 100 * sigma, 0.36, color=fill, edgecolor=colour, lw=0.7)
                widest = max(widest, 100 * (sigma + (error or 0)))
            if sigma is not None and error is not None:
                style: dict[str, Any] = {
                    "ecolor": BLACK,
                    "elinewidth": 1,
                    "capsize": 2,
                    "fmt": "none",
                }
                axes.errorbar(100 * sigma, place, xerr=100 * error, **style)
        if reference is not None:
            axes.plot(
                100 * reference, y - 0.2, "D", ms=5, mfc="white", mec=BLACK, mew=1.2, zorder=5
            )
            widest = max(widest, 100 * reference)
    axes.set_xlim(0, 1.06 * widest if widest else 1)
    axes.set_xlabel(r"scatter of $\ln\,M_{500c}$  [per cent]")
    light_grid(axes, "x")
    handles = [
        Patch(facecolor=_pale(GREY), edgecolor=GREY, label=r"$\sigma_{paper}$"),
        Patch(facecolor=GREY, edgecolor=GREY, label=r"$\sigma_{\ln M}$, cross-validated"),
        Line2D([], [], marker="D", ms=5, mfc="white", mec=BLACK, ls="", label="published"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, columnspacing=1, **_KEY)
    return figure


def draw_coverage(scores: Sequence[Score]) -> Figure:
    """Draw how often the truth fell inside the predicted 68 and 95 per cent intervals."""
    figure, axes, rows = _rows_figure(grouped(scores), row=0.22)
    marks = {68: ("o", NOMINAL68), 95: ("s", NOMINAL95)}
    for y, score in rows:
        colour = GROUP_COLOURS[score.group]
        for level, value in ((68, score.coverage68), (95, score.coverage95)):
            if value is None:
                continue
            marker, nominal = marks[level]
            error = np.sqrt(nominal * (1 - nominal) / score.n) if score.n else 0
            axes.errorbar(100 * value, y, xerr=100 * error, fmt=marker, ms=5, color=colour, lw=1)
    for marker, nominal in marks.values():
        axes.axvline(100 * nominal, color=BLACK, lw=0.9, ls="--" if marker == "o" else ":")
    found = [v for _, s in rows for v in (s.coverage68, s.coverage95) if v is not None]
    axes.set_xlim(100 * min([0.55, *(v - 0.03 for v in found)]), 101.5)
    axes.set_xlabel("true mass inside the interval  [per cent of clusters]", fontsize=8.5)
    light_grid(axes, "x")
    handles = [
        Line2D([], [], marker="o", ms=5, color=GREY, ls="--", label="68 % interval"),
        Line2D([], [], marker="s", ms=5, color=GREY, ls=":", label="95 % interval"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, **_KEY)
    return figure


_KEY: dict[str, Any] = {"handletextpad": 0.5, "handlelength": 2.4, "borderpad": 0.2}


def _rows_figure(
    groups: list[tuple[Group, list[Score]]], row: float = _ROW
) -> tuple[Figure, Axes, list[tuple[float, Score]]]:
    """Return a figure with a labelled row for every estimator under its group's heading."""
    rows: list[tuple[float, Score]] = []
    headings: list[tuple[float, Group]] = []
    y = 0.0
    for key, scores in groups:
        headings.append((y, key))
        rows += [(y + 1 + i, score) for i, score in enumerate(scores)]
        y += len(scores) + 1.2
    figure = new_figure(row * y + 0.95)
    axes = figure.subplots()
    axes.set_ylim(y - 0.5, -0.6)
    axes.set_yticks([at for at, _ in rows], [label_of(s.name) for _, s in rows])
    axes.tick_params(axis="y", length=0)
    for at, key in headings:
        axes.annotate(
            group_heading(key), (0, at), xytext=(4, 0), xycoords=("axes fraction", "data"),
            textcoords="offset points", va="center", fontweight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    return figure, axes, rows


def _pale(colour: str) -> tuple[float, float, float]:
    """Return a colour mixed with twice as much white."""
    red, green, blue = ((2 + part) / 3 for part in to_rgb(colour))
    return red, green, blue
