"""The figure of a mass scale: network against lensing masses, residuals, and the posterior."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from icmass.calibration.result import Calibration
from icmass.report.style import (
    BLUE,
    GREY,
    MSUN_H,
    VERMILLION,
    house_style,
    light_grid,
    log_axis,
    new_figure,
)

FIGURE = "calibration.png"
_LABELS = ("A", "B", "C", r"$\sigma$")
_NAMES = ("amplitude", "slope", "evolution", "ln_scatter")


def draw_calibration(calibration: Calibration, folder: str | Path) -> Path:
    """Draw ``calibration.png`` into a folder.

    Above, the network's masses against those by lensing with the relation's 68 per cent, and
    their residuals; below, the posterior of A, B, C and sigma two by two, with contours of 68 and
    95 per cent. Of a blinded calibration masses and amplitude have its hidden offset.
    """
    path = Path(folder) / FIGURE
    with house_style():
        figure = new_figure(9.0, 6.4)
        grid = figure.add_gridspec(2, 1, height_ratios=(1, 1.15))
        above, below = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
        masses, rest = above.subplots(1, 2)
        _draw_masses(masses, calibration)
        _draw_residuals(rest, calibration)
        _draw_corner(below, calibration)
        if calibration.is_blinded:
            above.suptitle("blinded: a hidden offset of the amplitude")
        figure.savefig(path, dpi=160, metadata={"Software": None})
    return path


def _relation(calibration: Calibration, ln_m: np.ndarray) -> np.ndarray:
    """Return the network's ln M at the pivot redshift, of draws, shape (draw, len(ln_m))."""
    draws = calibration.draws[:: max(1, len(calibration.draws) // 500)]
    pivot = calibration.document["pivot"]["ln_m500c_msun_h"]
    return ln_m + draws[:, :1] + draws[:, 1:2] * (ln_m - pivot)


def _draw_masses(axes: Axes, calibration: Calibration) -> None:
    d = calibration.data
    first, last = min(d.w.min(), d.x.min()) - 0.2, max(d.w.max(), d.x.max()) + 0.2
    ln_m = np.linspace(first, last, 60)
    low, mid, high = np.exp(np.percentile(_relation(calibration, ln_m), [16, 50, 84], axis=0))
    axes.errorbar(
        np.exp(d.w),
        np.exp(d.x),
        xerr=[np.exp(d.w) - np.exp(d.w - d.w_error), np.exp(d.w + d.w_error) - np.exp(d.w)],
        yerr=[np.exp(d.x) - np.exp(d.x - d.x_error), np.exp(d.x + d.x_error) - np.exp(d.x)],
        fmt="o",
        ms=2.5,
        lw=0.5,
        color=BLUE,
        alpha=0.6,
    )
    axes.plot(np.exp(ln_m), np.exp(ln_m), color=GREY, lw=0.8, ls="--")
    axes.fill_between(np.exp(ln_m), low, high, color=VERMILLION, alpha=0.3, lw=0)
    axes.plot(np.exp(ln_m), mid, color=VERMILLION)
    for axis in (axes.xaxis, axes.yaxis):
        log_axis(axis, np.exp(ln_m))
    axes.set_xlabel(f"lensing $M_{{500c}}$ [{MSUN_H}]")
    axes.set_ylabel(f"network $M_{{500c}}$ [{MSUN_H}]")
    light_grid(axes)


def _draw_residuals(axes: Axes, calibration: Calibration) -> None:
    d = calibration.data
    error = np.hypot(d.x_error, d.w_error)
    axes.errorbar(d.redshift, d.x - d.w, yerr=error, fmt="o", ms=2.5, lw=0.5, color=BLUE, alpha=0.6)
    z = np.linspace(d.redshift.min(), d.redshift.max(), 50)
    zeta = np.log1p(z) - np.log1p(calibration.document["pivot"]["redshift"])
    draws = calibration.draws
    low, mid, high = np.percentile(draws[:, :1] + draws[:, 2:3] * zeta, [16, 50, 84], axis=0)
    axes.fill_between(z, low, high, color=VERMILLION, alpha=0.3, lw=0)
    axes.plot(z, mid, color=VERMILLION)
    axes.axhline(0, color=GREY, lw=0.8, ls="--")
    axes.set_xlabel("redshift")
    axes.set_ylabel("ln (network / lensing)")
    light_grid(axes)


def _draw_corner(figure: SubFigure, calibration: Calibration) -> None:
    parameters = list(calibration.document["parameters"])
    chosen = calibration.draws[:, [parameters.index(name) for name in _NAMES]].copy()
    chosen[:, -1] = np.exp(chosen[:, -1])
    panels = figure.subplots(len(_LABELS), len(_LABELS))
    for i, row in enumerate(panels):
        for j, axes in enumerate(row):
            if j > i:
                axes.set_axis_off()
                continue
            if i == j:
                axes.hist(chosen[:, i], bins=40, histtype="step", color=BLUE)
                axes.set_yticks([])
            else:
                _draw_contours(axes, chosen[:, j], chosen[:, i])
            axes.tick_params(labelsize=7)
            axes.locator_params(nbins=3)
            if i == len(_LABELS) - 1:
                axes.set_xlabel(_LABELS[j])
            else:
                axes.set_xticklabels([])
            if j == 0 and i:
                axes.set_ylabel(_LABELS[i])
            elif j:
                axes.set_yticklabels([])


def _draw_contours(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draw contours that hold 68 and 95 per cent of draws."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        axes.plot(x[:1], y[:1], "o", color=BLUE)
        return
    counts, x_edges, y_edges = np.histogram2d(x, y, bins=24)
    ranked = np.sort(counts.ravel())[::-1]
    held = np.cumsum(ranked) / ranked.sum()
    levels = np.unique([ranked[np.searchsorted(held, share)] for share in (0.95, 0.68)])
    centres = [(edges[1:] + edges[:-1]) / 2 for edges in (x_edges, y_edges)]
    axes.contour(*centres, counts.T, levels=levels, colors=BLUE, linewidths=0.9)
