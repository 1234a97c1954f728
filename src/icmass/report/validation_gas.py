"""Figures of a mock's gas beside published clusters: profiles in 3D, morphology in projection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from icmass.observe.published_morphology import FRACTIONS, QUANTILES
from icmass.plasma.abundances import electron_content
from icmass.report.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    MSUN_H,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    light_grid,
    log_axis,
    new_figure,
)
from icmass.survey.config import SurveyConfig
from icmass.validation.gas_profiles import (
    TRANSITION,
    GasProfiles,
    sz_density,
    xcop_density,
    xcop_temperature,
)

_SPAN = (0.02, 1.6)  # radii shown, over R500c
_COLOURS = (SKY, VERMILLION)
_DARK = (BLUE, "#8a3c00")  # the same hues for published lines upon the bands


def draw_gas_profiles(groups: Sequence[GasProfiles], config: SurveyConfig) -> Figure:
    """Draw electron density and temperature against radius, with published mean profiles."""
    figure = new_figure(5.9)
    density, temperature = figure.subplots(2, 1, sharex=True, height_ratios=(1.25, 1))
    x = np.geomspace(*_SPAN, 80)
    gas = config.gas
    mass_per_electron = electron_content(gas.abundance_table, gas.abundance)[0]
    for group, colour, dark in zip(groups, _COLOURS, _DARK, strict=True):
        shown = (group.radius > 0.97 * _SPAN[0]) & (group.radius < 1.1 * _SPAN[1])
        for axes, (low, middle, high) in (
            (density, group.density[:, shown]),
            (temperature, group.temperature[:, shown]),
        ):
            axes.fill_between(group.radius[shown], low, high, color=colour, alpha=0.3, lw=0)
            axes.plot(group.radius[shown], middle, color=colour, lw=2)
        published = sz_density(x, group.m500c, group.redshift, config.cosmology, mass_per_electron)
        density.plot(x, published, color=dark, lw=1.3, ls=":")
    density.plot(x, xcop_density(x), color=BLACK, lw=1.3, ls="--")
    temperature.plot(x, xcop_temperature(x), color=BLACK, lw=1.3, ls="--")
    at, at_error, level, level_error = TRANSITION
    density.errorbar(at, level, level_error, at_error, fmt="o", ms=3, color=BLACK, lw=1.3)
    for axes in (density, temperature):
        axes.axvline(1, color=GREY, lw=0.9, ls=":")
        light_grid(axes)
    _plain_log_axis(density, np.array(_SPAN))
    log_axis(density.yaxis, np.concatenate([g.density[1] for g in groups]))
    density.set(xlim=_SPAN, ylim=(1e-5, 3e-2))
    density.set_ylabel(r"$n_e\ E(z)^{-2}$, hot gas  [cm$^{-3}$]")
    temperature.set(ylim=(0, 1.6))
    temperature.set_ylabel(r"$kT\ /\ kT_{500}$")
    temperature.set_xlabel(r"radius  [$R_{500c}$]")
    figure.legend(handles=_profile_handles(groups), loc="outside upper center", ncols=1)
    return figure


def _profile_handles(groups: Sequence[GasProfiles]) -> list[Any]:
    handles: list[Any] = []
    for group, colour in zip(groups, _COLOURS, strict=True):
        low, high = (10 ** (log - 14) for log in group.log10_m500c)
        label = rf"mock, {low:.1f}-{high:.1f} $\times10^{{14}}$ {MSUN_H}, n = {group.n}"
        handles.append(Line2D([], [], color=colour, lw=2, label=label))
    dashed: dict[str, Any] = {"color": BLACK, "lw": 1.3}
    return [
        *handles,
        Line2D([], [], **dashed, ls="--", label="X-COP, 12 massive clusters"),
        Line2D([], [], **dashed, marker="o", ms=3, ls="", label="X-COP, end of the core"),
        Line2D([], [], **dashed, ls=":", label="93 SZ clusters, scaled to the mock's masses"),
    ]


_PANELS: dict[str, tuple[str, tuple[float, float]]] = {
    "concentration_kpc": ("concentration\n40 / 400 kpc", (0.007, 0.5)),
    "concentration_015": (r"concentration" + "\n" + r"0.15 / 1 $R_{500c}$", (0.08, 1.0)),
    "centroid_shift": (r"centroid shift $w$  [$R_{500c}$]", (1e-3, 0.2)),
    "p3_p0": (r"power ratio $P_3/P_0$", (2e-9, 5e-6)),
}
#: Marker, colour and name of each published sample.
_SAMPLES: dict[str, tuple[str, str, str]] = {
    "subsample of the Planck SZ catalogue": ("o", GREEN, "Rossetti+17, SZ"),
    "Planck early SZ sample, Chandra": ("s", GREEN, "Andrade-Santos+17, SZ"),
    "MACS: X-ray selected": ("o", VERMILLION, "Rossetti+17, X-ray"),
    "X-ray flux limited, Chandra": ("s", VERMILLION, "Andrade-Santos+17, X-ray"),
    "archive of XMM-Newton": ("^", BLACK, "Weissmann+13, XMM"),
    "CCCP: X-ray luminous clusters, Chandra and XMM-Newton": ("D", PURPLE, "Mahdavi+13, X-ray"),
}
_APART = 1.07  # factor between points at the same threshold


def draw_morphology(values: Mapping[str, np.ndarray]) -> Figure:
    """Draw the part of the clusters above each value of the morphological statistics.

    Parameters
    ----------
    values : mapping of str to ndarray
        `icmass.validation.image_maps.ImageSample.morphology`.
    """
    figure = new_figure(5.6)
    panels = figure.subplots(2, 2, sharey=True)
    for axes, (statistic, (label, span)) in zip(panels.flat, _PANELS.items(), strict=True):
        _draw_above(axes, values[statistic], span)
        _draw_published(axes, statistic)
        axes.set_xlim(span)
        axes.set_xlabel(label)
        light_grid(axes)
    panels[0, 0].set_ylim(0, 1)
    for axes in panels[:, 0]:
        axes.set_ylabel("part of the clusters above")
    n = len(next(iter(values.values())))
    handles: list[Any] = [Line2D([], [], color=ORANGE, lw=2, label=f"mock, n = {n}")]
    for marker, colour, name in _SAMPLES.values():
        handles.append(Line2D([], [], color=colour, marker=marker, ms=4.5, ls="", label=name))
    figure.legend(
        handles=handles, loc="outside upper center", ncols=2, columnspacing=1, handletextpad=0.4
    )
    return figure


def _draw_above(axes: Axes, sample: np.ndarray, span: tuple[float, float]) -> None:
    """Draw the part of a sample above each value, with its binomial error."""
    at = np.geomspace(*span, 300)
    above = (sample[:, None] > at).mean(axis=0)
    error = np.sqrt(above * (1 - above) / len(sample))
    axes.fill_between(at, above - error, above + error, color=ORANGE, alpha=0.35, lw=0)
    axes.plot(at, above, color=ORANGE, lw=2)
    if span[0] < 1e-4:
        log_axis(axes.xaxis, np.array(span))
    else:
        _plain_log_axis(axes, np.array(span))


def _plain_log_axis(axes: Axes, span: np.ndarray) -> None:
    """Make the horizontal axis logarithmic, its labels decimals."""
    log_axis(axes.xaxis, span)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _draw_published(axes: Axes, statistic: str) -> None:
    rows = [fraction for fraction in FRACTIONS if fraction.statistic == statistic]
    for threshold in {row.threshold for row in rows}:
        axes.axvline(threshold, color=GREY, lw=0.9, ls=":")
    for place, row in enumerate(rows):
        marker, colour, _ = _SAMPLES[row.sample]
        apart = _APART ** (place - (len(rows) - 1) / 2)
        axes.errorbar(
            row.threshold * apart, row.fraction, row.error or 0.0,
            fmt=marker, ms=4.5, color=colour, lw=1.2, zorder=4,
        )  # fmt: skip
    for quantiles in (q for q in QUANTILES if q.statistic == statistic):
        marker, colour, _ = _SAMPLES[quantiles.sample]
        found = (quantiles.p16, quantiles.median, quantiles.p84)
        axes.plot(found, (0.84, 0.5, 0.16), marker=marker, ms=4.5, color=colour, lw=1, ls="--")
