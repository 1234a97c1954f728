"""Predicted against true mass, with residuals, for one estimator."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icmass.report.style import (
    BLACK,
    GREY,
    GROUP_COLOURS,
    MSUN_H,
    light_grid,
    log_axis,
    new_figure,
)
from icmass.report.style import symbol as label_of
from icmass.run.predictions import Predictions
from icmass.run.results import Score

PANEL_WIDTH, PANEL_HEIGHT = 3.4, 4.0
_LEAST_IN_BIN = 8


def running_quantiles(
    x: np.ndarray, y: np.ndarray, *, n_bins: int = 9, least: int = _LEAST_IN_BIN
) -> np.ndarray:
    """Return the median and the 16-84 band of `y` in even bins of `x`.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Abscissa and ordinate.
    n_bins : int
        Number of bins between the least and the greatest `x`.
    least : int
        A bin with fewer entries is left out.

    Returns
    -------
    ndarray, shape (4, m)
        Median of `x`, and the 16th, 50th and 84th percentile of `y`, in each bin kept.
    """
    edges = np.linspace(x.min(), x.max(), n_bins + 1)
    which = np.clip(np.digitize(x, edges) - 1, 0, n_bins - 1)
    kept = [which == i for i in range(n_bins) if np.count_nonzero(which == i) >= least]
    rows = [(np.median(x[k]), *np.percentile(y[k], [16, 50, 84])) for k in kept]
    return np.array(rows).reshape(-1, 4).T


def draw_predicted(score: Score, predicted: Predictions) -> Figure:
    """Draw predicted against true M500c [Msun/h] above the residuals [ln].

    The axes span the true masses and the central 99.8 per cent of the predictions; a prediction
    beyond is drawn at the edge, so that one failure does not flatten the rest.
    """
    colour = GROUP_COLOURS[score.group]
    figure = new_figure(PANEL_HEIGHT, PANEL_WIDTH)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, 1))
    true, residual = predicted.ln_m_true, predicted.mean - predicted.ln_m_true
    size = float(np.clip(6000 / true.size, 3, 14))
    dots = {"s": size, "alpha": float(np.clip(900 / true.size, 0.3, 0.6)), "color": colour}
    band = running_quantiles(true, residual)
    low, high = _range(true, predicted.mean)
    shown = np.clip(predicted.mean, low, high)
    for axes, y in ((upper, np.exp(shown)), (lower, residual)):
        axes.scatter(np.exp(true), y, lw=0, rasterized=True, **dots)
    _band(upper, np.exp(band[0]), np.exp(band[1:] + band[0]))
    _band(lower, np.exp(band[0]), band[1:])
    edges = np.exp([low, high])
    upper.plot(edges, edges, color=BLACK, lw=0.9, ls="--")
    lower.axhline(0, color=BLACK, lw=0.9, ls="--")
    _finish(upper, lower, edges, residual)
    upper.set_title(label_of(score.name), loc="left", fontweight="bold", fontsize=10)
    upper.text(0.04, 0.96, _corner(score, residual), transform=upper.transAxes, va="top")
    upper.text(
        0.97, 0.04, "line: median\nband: 16-84 %", transform=upper.transAxes,
        va="bottom", ha="right", fontsize=8, color=GREY,
    )  # fmt: skip
    return figure


def _range(true: np.ndarray, mean: np.ndarray) -> tuple[float, float]:
    inner = np.percentile(mean, [0.1, 99.9])
    low, high = min(true.min(), inner[0]), max(true.max(), inner[1])
    pad = 0.04 * max(high - low, 0.1)
    return float(low - pad), float(high + pad)


def _band(axes: Axes, x: np.ndarray, quantiles: np.ndarray) -> None:
    axes.fill_between(x, quantiles[0], quantiles[2], color=BLACK, alpha=0.22, lw=0)
    axes.plot(x, quantiles[1], color=BLACK, lw=1.6)


def _finish(upper: Axes, lower: Axes, edges: np.ndarray, residual: np.ndarray) -> None:
    for axis in (upper.xaxis, upper.yaxis):
        log_axis(axis, edges)
    upper.set(xlim=edges, ylim=edges, ylabel=rf"predicted $M_{{500c}}$  [{MSUN_H}]")
    reach = 1.1 * max(float(np.percentile(np.abs(residual), 99.8)), 0.05)
    lower.set(
        ylim=(-reach, reach),
        xlabel=rf"true $M_{{500c}}$  [{MSUN_H}]",
        ylabel=r"$\Delta\,\ln M_{500c}$",
    )
    for axes in (upper, lower):
        light_grid(axes)


def _corner(score: Score, residual: np.ndarray) -> str:
    sigma, error = score.sigma_lnm, score.sigma_lnm_error
    if sigma is None:
        sigma, error = float(residual.std()), None
    text = rf"$\sigma_{{\ln M}}$ = {100 * sigma:.1f}"
    text += rf" $\pm$ {100 * error:.1f} %" if error is not None else " %"
    return f"{text}\nn = {residual.size:,}"
