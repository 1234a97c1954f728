"""The residual correlations of the proxies as a matrix that can be read off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icmass.report.style import WIDTH, new_figure, symbol

_ROOMY = 7  # proxies whose numbers fit their cells in 9 pt
PublishedPair = Callable[[str, str], float | None]


def draw_correlation(names: Sequence[str], matrix: np.ndarray, published: PublishedPair) -> Figure:
    """Draw the lower triangle of a correlation matrix, numbers in the cells.

    Parameters
    ----------
    names : sequence of str
        The n proxies.
    matrix : ndarray, shape (n, n)
        Correlation of their residuals at fixed mass.
    published : callable
        From two names to the published correlation, or None; printed small beneath ours.
    """
    n = len(names)
    figure = new_figure(0.97 * WIDTH)
    axes = figure.subplots()
    shown = np.ma.masked_array(matrix, np.triu(np.ones((n, n), bool), 1))
    image = axes.imshow(shown, cmap="RdBu_r", vmin=-1, vmax=1)
    size = 9.0 if n <= _ROOMY else 7.5
    for i in range(n):
        for j in range(i + 1):
            _write(axes, (i, j), float(matrix[i, j]), published(names[i], names[j]), size)
    labels = [symbol(name) for name in names]
    axes.set_xticks(range(n), labels, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), labels)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(n + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(n + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", lw=1.5)
    axes.tick_params(which="minor", length=0)
    place = axes.inset_axes((0.52, 0.86, 0.46, 0.03))  # the empty corner of the matrix
    ticks = [-1, -0.5, 0, 0.5, 1]
    bar = figure.colorbar(image, cax=place, orientation="horizontal", ticks=ticks, format="%g")
    bar.set_label("correlation of the residuals\n(in brackets: published)")
    return figure


def _write(
    axes: Axes, cell: tuple[int, int], ours: float, theirs: float | None, size: float
) -> None:
    row, column = cell
    on_diagonal = row == column
    colour = "white" if abs(ours) > 0.6 else "black"
    text = "1" if on_diagonal else f"{ours:.2f}".replace("-", "−").replace("nan", "–")
    both = theirs is not None and not on_diagonal
    place: dict[str, Any] = {"ha": "center", "va": "center", "color": colour}
    axes.text(column, row - (0.14 if both else 0), text, fontsize=size, **place)
    if both:
        small = f"({theirs:.2f})".replace("-", "−")
        axes.text(column, row + 0.24, small, fontsize=0.8 * size, **place)
