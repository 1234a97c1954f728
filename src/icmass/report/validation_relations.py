"""Figures of a mock's proxies against mass, published relations beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from icmass.proxies.names import read_scalar
from icmass.proxies.scaling import PIVOT_MSUN_H
from icmass.report.scatter import running_quantiles
from icmass.report.style import (
    BLACK,
    GREEN,
    GREY,
    MSUN_H,
    ORANGE,
    SKY,
    VERMILLION,
    light_grid,
    log_axis,
    new_figure,
)
from icmass.validation.relations import PUBLISHED, Relation, scaled_proxy

HEIGHT = 3.5
LABELS = {
    "T": r"$T\ E(z)^{-2/3}$  [keV]",
    "L_X": r"$L_{X,bol}\ E(z)^{-7/3}$  [$10^{44}$ erg/s]",
    "L_X_soft": r"$L_{0.5-2\,keV}\ E(z)^{-2}$  [$10^{44}$ erg/s]",
    "f_gas": r"$f_{gas} = M_{gas} / M_{500c}$",
    "M_star": rf"$M_{{star}}$  [{MSUN_H}]",
    "N_gal": r"$N_{gal}$ in the cylinder",
    "sigma_v": r"$\sigma_v$  [km/s]",
    "sigma_v_true": r"$\sigma_{v,true}$  [km/s]",
}
_POWER = {"T": -2 / 3, "L_X": -7 / 3, "L_X_soft": -2.0}
_SIMULATED, _OBSERVED = (BLACK, GREEN), (VERMILLION,)


def draw_relation(survey: xr.Dataset, proxy: str, marks: Sequence[float] = ()) -> Figure:
    """Draw a proxy against M500c: every cluster, the median and 16-84 band, published relations.

    Parameters
    ----------
    survey : Dataset
    proxy : str
        A key of `LABELS`.
    marks : sequence of float
        Published extremes and median, drawn as horizontal dotted lines.
    """
    mass = read_scalar(survey, "m500c")
    values = scaled_proxy(survey, proxy, _POWER.get(proxy, 0.0))
    if values is None:
        raise KeyError(proxy)
    figure = new_figure(HEIGHT)
    axes = figure.subplots()
    size = float(np.clip(4000 / mass.size, 2, 10))
    axes.scatter(mass, values, size, color=SKY, alpha=0.45, lw=0, rasterized=True)
    band = np.exp(running_quantiles(np.log(mass), np.log(values)))
    axes.fill_between(band[0], band[1], band[3], color=ORANGE, alpha=0.35, lw=0)
    axes.plot(band[0], band[2], color=ORANGE, lw=2)
    handles: list[Any] = [
        Line2D([], [], marker="o", ms=3, ls="", color=SKY, label="clusters"),
        Line2D([], [], color=ORANGE, lw=2, label="median, 16-84 %"),
    ]
    handles += _published(axes, proxy, mass)
    for level in marks:
        axes.axhline(level, color=BLACK, lw=0.9, ls=":")
    if marks:
        handles.append(Line2D([], [], color=BLACK, lw=0.9, ls=":", label="Ho et al. 2023"))
    log_axis(axes.xaxis, mass)
    spread = np.concatenate([values, [band[1].min(), band[3].max()], marks])
    log_axis(axes.yaxis, spread)
    axes.set_xlabel(rf"$M_{{500c}}$  [{MSUN_H}]")
    axes.set_ylabel(LABELS[proxy])
    light_grid(axes)
    figure.legend(handles=handles, loc="outside upper center", ncols=2, columnspacing=1.2)
    return figure


def _published(axes: Axes, proxy: str, mass: np.ndarray) -> list[Any]:
    """Draw the published relations of a proxy; return what its legend shows."""
    span = np.geomspace(mass.min(), mass.max(), 20)
    simulated, observed = iter(_SIMULATED), iter(_OBSERVED)
    handles: list[Any] = []
    for relation in (r for r in PUBLISHED if r.proxy == proxy):
        if relation.slope is None:
            handles.append(_point(axes, relation))
            continue
        colour = next(observed if relation.observed else simulated)
        style = "--" if relation.observed else "-"
        line = relation.norm * (span / PIVOT_MSUN_H) ** relation.slope
        handles += axes.plot(span, line, color=colour, ls=style, lw=1.4, label=relation.label)
    return handles


def _point(axes: Axes, relation: Relation) -> Any:
    return axes.plot(
        PIVOT_MSUN_H,
        relation.norm,
        "D",
        ms=5.5,
        mfc="white",
        mec=GREY,
        mew=1.4,
        zorder=5,
        label=relation.label,
    )[0]
