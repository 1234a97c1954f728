"""Whether whole posteriors can be believed: coverage at every level, and PIT histograms."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation
from scipy.stats import binom

from icmass.report.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    light_grid,
    new_figure,
)
from icmass.report.style import symbol as label_of
from icmass.run.results import Calibration, Score

_LOOKS = tuple(
    zip((BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY), ("o", "s", "^", "D", "v", "P"), strict=True)
)
_BAND = 0.95
_ROW, _LEAST_HEIGHT = 0.72, 3.9  # inches
_TITLE, _ABOVE = 8.5, 7.0  # points


def calibrated(scores: Sequence[Score]) -> list[tuple[Score, Calibration]]:
    """Return the estimators whose posteriors were checked, in the order of the results."""
    return [(score, score.calibration) for score in scores if score.calibration is not None]


def draw_calibration(scores: Sequence[Score]) -> Figure:
    """Draw coverage against level, and beside it a PIT histogram for each network.

    Raises
    ------
    ValueError
        If no estimator has a calibration.
    """
    rows = calibrated(scores)
    if not rows:
        raise ValueError("no posterior was checked")
    figure = new_figure(max(_LEAST_HEIGHT, _ROW * len(rows) + 1.1))
    left, right = figure.subfigures(1, 2, squeeze=False)[0]
    _coverage(left, rows)
    _histograms(right, rows)
    return figure


def _coverage(part: SubFigure, rows: Sequence[tuple[Score, Calibration]]) -> None:
    upper, lower = part.subplots(2, 1, sharex=True, height_ratios=(1.55, 1))
    upper.plot([0, 100], [0, 100], color=BLACK, lw=0.9, ls="--")
    lower.axhline(0, color=BLACK, lw=0.9, ls="--")
    for n in sorted({held.n for _, held in rows}):
        level = np.linspace(0, 1, 21)
        low, high = (100 * (ends / n - level) for ends in binom.interval(_BAND, n, level))
        lower.fill_between(100 * level, low, high, color=GREY, alpha=0.22, lw=0)
    for (_, held), (colour, marker) in zip(rows, cycle(_LOOKS), strict=False):
        level, found = 100 * np.array(held.levels), 100 * np.array(held.coverage)
        how = {"color": colour, "marker": marker, "ms": 2.8, "lw": 1.0}
        upper.plot(level, found, **how)
        lower.plot(level, found - level, **how)
    upper.set(xlim=(0, 100), ylim=(0, 100), xticks=(0, 50, 100), yticks=(0, 25, 50, 75, 100))
    upper.set_ylabel("truth inside\n[per cent]")
    lower.set_ylabel("inside − level\n[per cent]")
    lower.set_xlabel("level of the central\ninterval [per cent]")
    for axes in (upper, lower):
        light_grid(axes)
    part.align_ylabels()


def _histograms(part: SubFigure, rows: Sequence[tuple[Score, Calibration]]) -> None:
    panels = part.subplots(len(rows), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (score, held), (colour, marker) in zip(panels, rows, cycle(_LOOKS), strict=False):
        _histogram(axes, held, colour)
        axes.set_title(label_of(score.name), loc="left", color=colour, fontsize=_TITLE, pad=3)
        above = axes.transAxes + ScaledTranslation(0, _ABOVE / 72, axes.figure.dpi_scale_trans)
        axes.plot(0.97, 1, marker, ms=4, color=colour, clip_on=False, transform=above)
    highest = max(max(held.pit_histogram) * len(held.pit_histogram) / held.n for _, held in rows)
    panels[0].set(xlim=(0, 1), ylim=(0, 1.08 * max(highest, 1.6)))
    panels[0].set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
    panels[0].yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    panels[-1].set_xlabel("posterior probability\nof less than the truth")
    part.supylabel("clusters / expected", fontsize=9)


def _histogram(axes: Axes, held: Calibration, colour: str) -> None:
    bins = len(held.pit_histogram)
    edges = np.linspace(0, 1, bins + 1)
    expected = held.n / bins
    low, high = (end / expected for end in binom.interval(_BAND, held.n, 1 / bins))
    axes.axhspan(low, high, color=GREY, alpha=0.22, lw=0)
    axes.axhline(1, color=BLACK, lw=0.9, ls="--")
    axes.stairs(np.array(held.pit_histogram) / expected, edges, color=colour, lw=1.3, baseline=None)
    light_grid(axes, "y")
