"""Figures of what the telescope sees of a mock: profiles, count rates, sources of the field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from icmass.proxies.names import PROXIES, read_scalar
from icmass.report.scatter import running_quantiles
from icmass.report.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    MSUN_H,
    ORANGE,
    PURPLE,
    VERMILLION,
    light_grid,
    log_axis,
    new_figure,
    symbol,
)
from icmass.universe.agn import AgnConfig, field_counts_above
from icmass.validation.check import GROUPS, Check
from icmass.validation.count_rates import GasRates, efeds_rates
from icmass.validation.field import MEASURED_COUNTS, moretti_counts_above
from icmass.validation.profiles import Stack

_HEIGHT = 3.5
_REACH = 2.5  # tolerances
_COLOURS = (BLUE, GREEN, VERMILLION)
_PRINTED = {
    "log10 M500c": r"$\log_{10}\,M_{500c}$",
    "log10 N_tot": r"$\log_{10}\,N_{tot}$",
    "N_tot": r"$N_{tot}$",
    "f_gas": "$f_{gas}$",
    "E^-2/3": "$E^{-2/3}$",
    "E^-7/3": "$E^{-7/3}$",
    "E^-2": "$E^{-2}$",
    "2e14 Msun/h": rf"$2\times10^{{14}}$ {MSUN_H}",
}


def draw_deviations(checks: Sequence[Check]) -> Figure:
    """Draw how far every row is off, in units of its tolerance, with its bootstrap error."""
    places: list[tuple[float, Check]] = []
    headings: list[tuple[float, str]] = []
    y = 0.0
    for key, title in GROUPS.items():
        rows = [check for check in checks if check.group == key]
        if rows:
            headings.append((y, title))
            places += [(y + 1 + i, check) for i, check in enumerate(rows)]
            y += len(rows) + 1.3
    figure = new_figure(0.175 * y + 0.6)
    axes = figure.subplots()
    axes.axvspan(-1, 1, color=GREEN, alpha=0.13, lw=0)
    axes.axvline(0, color=GREY, lw=0.9)
    for at, check in places:
        off = check.deviation
        shown = float(np.clip(off, -_REACH, _REACH))
        marker = "o" if shown == off else (">" if off > 0 else "<")
        colour = BLUE if check.ok else VERMILLION
        bars = _in_tolerances(check)
        axes.errorbar(
            shown, at, xerr=bars, fmt=marker, ms=4, color=colour, lw=1, zorder=3, mec="none"
        )
    axes.set_yticks([at for at, _ in places], [_short(c) for _, c in places], fontsize=7)
    for label, (_, check) in zip(axes.get_yticklabels(), places, strict=True):
        label.set_color(BLACK if check.ok else VERMILLION)
    axes.tick_params(axis="y", length=0)
    for at, title in headings:
        axes.annotate(
            title, (-_REACH, at), xytext=(4, 0), textcoords="offset points", va="center",
            fontsize=7.5, fontweight="bold", color=GREY,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    axes.set(xlim=(-_REACH - 0.1, _REACH + 0.1), ylim=(y - 0.6, -0.8))
    axes.set_xlabel("deviation from the target  [tolerances]")
    light_grid(axes, "x")
    return figure


def _short(check: Check) -> str:
    """Return the name of a row as the figure prints it under its group's heading."""
    name = check.name
    for word in ("scatter ", "correlation "):
        if name.startswith(word):
            return ", ".join(symbol(part) for part in name.removeprefix(word).split(" with "))
    for plain, printed in _PRINTED.items():
        name = name.replace(plain, printed)
    return " ".join(symbol(word) if word in PROXIES else word for word in name.split(" "))


def _in_tolerances(check: Check) -> float:
    """Return the error of a value in units of its tolerance, 0 if it has none."""
    if not np.isfinite(check.error):
        return 0.0
    return abs(check.target.deviation(check.value + check.error) - check.deviation)


def draw_profiles(stacks: Sequence[Stack]) -> Figure:
    """Draw the stacked surface-brightness profiles of the mass bins."""
    figure = new_figure(_HEIGHT)
    axes = figure.subplots()
    for stack, colour in zip(stacks, _COLOURS, strict=False):
        low, middle, high = stack.quantiles
        label = (
            rf"$\log_{{10}} M_{{500c}}$ {stack.log10_m500c[0]:.2f}-{stack.log10_m500c[1]:.2f}"
            f", n = {stack.n}"
        )
        axes.fill_between(stack.radius, low, high, color=colour, alpha=0.18, lw=0)
        axes.plot(stack.radius, middle, "o-", ms=3.5, color=colour, label=label)
    axes.axvline(1, color=GREY, lw=0.9, ls=":")
    log_axis(axes.xaxis, np.array([0.07, 2.0]))
    log_axis(axes.yaxis, np.concatenate([s.quantiles[1] for s in stacks]))
    axes.set_xlabel(r"projected radius  [$R_{500c}$]")
    axes.set_ylabel(r"gas brightness / mean in $R_{500c}$")
    light_grid(axes)
    figure.legend(loc="outside upper center", ncols=1)
    return figure


def draw_count_rates(survey: xr.Dataset, rates: GasRates) -> Figure:
    """Draw count rates of the gas against mass at three redshifts, with those of eFEDS."""
    mass, z = read_scalar(survey, "m500c"), read_scalar(survey, "redshift")
    figure = new_figure(_HEIGHT + 0.25)
    axes = figure.subplots()
    handles: list[Any] = []
    shown = []
    span = np.geomspace(mass.min(), mass.max(), 15)
    for at, colour in zip(_three_redshifts(z), (PURPLE, ORANGE, GREEN), strict=False):
        near = (np.abs(z - at) < 0.021) & (rates.rate > 0)
        shown.append(rates.rate[near])
        axes.scatter(mass[near], rates.rate[near], 9, color=colour, alpha=0.55, lw=0)
        if near.sum() >= 40:
            band = np.exp(running_quantiles(np.log(mass[near]), np.log(rates.rate[near])))
            axes.plot(band[0], band[2], color=colour, lw=2)
        axes.plot(span, efeds_rates(survey, span, float(at)), color=colour, lw=1.3, ls="--")
        handles.append(Line2D([], [], color=colour, lw=2, label=f"z = {at:.2f}"))
    handles.append(Line2D([], [], color=BLACK, lw=1.3, ls="--", label="eFEDS luminosities"))
    log_axis(axes.xaxis, mass)
    log_axis(axes.yaxis, np.concatenate(shown))
    low, high = np.percentile(np.concatenate(shown), [0, 100])
    axes.set_ylim(0.6 * low, 1.6 * high)
    axes.set_xlabel(rf"$M_{{500c}}$  [{MSUN_H}]")
    axes.set_ylabel(
        rf"gas within $R_{{500c}}$, {rates.band[0]:g}-{rates.band[1]:g} keV  [counts/s]"
    )
    light_grid(axes)
    figure.legend(handles=handles, loc="outside upper center", ncols=2)  # fmt: skip
    return figure


def _three_redshifts(z: np.ndarray) -> np.ndarray:
    return np.unique(np.quantile(z, [0.08, 0.5, 0.92], method="nearest"))


def draw_field_counts(config: AgnConfig) -> Figure:
    """Draw the number of field AGN above a flux: drawn, measured, published."""
    flux = np.geomspace(config.field_flux_min, 3e-13, 100)
    figure = new_figure(_HEIGHT)
    axes = figure.subplots()
    axes.plot(flux, field_counts_above(flux, config), color=BLUE, lw=2, label="drawn in the mock")
    axes.plot(flux, moretti_counts_above(flux), color=BLACK, ls="--", lw=1.3,
              label="Moretti et al. 2003, fit")  # fmt: skip
    limits, number, error = np.array(MEASURED_COUNTS).T
    axes.errorbar(limits, number, yerr=error, fmt="D", ms=5, color=VERMILLION, lw=1.2,
                  label="eFEDS field, counted")  # fmt: skip
    axes.axvline(config.field_flux_unresolved, color=GREY, lw=0.9, ls=":")
    axes.text(0.93 * config.field_flux_unresolved, 1.0, "eFEDS limit", rotation=90, ha="right",
              va="bottom", fontsize=8, color=GREY)  # fmt: skip
    log_axis(axes.xaxis, flux)
    log_axis(axes.yaxis, field_counts_above(flux, config))
    axes.set_xlabel(r"flux $S$, 0.5-2 keV  [erg s$^{-1}$ cm$^{-2}$]")
    axes.set_ylabel(r"$N(>S)$  [deg$^{-2}$]")
    light_grid(axes)
    axes.legend(loc="upper right")
    return figure
