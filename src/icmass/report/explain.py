"""Figures of what a network looks at: those of the paper, and of the attributions in counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from icmass.explanation.curves import SHARES
from icmass.explanation.examples import Example
from icmass.explanation.methods import METHODS
from icmass.report.explain_cluster import plain
from icmass.report.explain_maps import draw_examples, draw_mask
from icmass.report.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    Saved,
    house_style,
    light_grid,
    new_figure,
    save,
    symbol,
)
from icmass.run.explanation import (
    Curve,
    Explanation,
    Profile,
    ProxyProfile,
    Saliency,
    Share,
    Spread,
)
from icmass.run.layout import RunLayout

_S = r"$\log_{10} S$,  S in dex of M a standardised pixel"
_Row = tuple[str, Spread, Spread | None]
_COLOURS = (GREEN, BLUE, VERMILLION, PURPLE, ORANGE)


def write_figures(run: Path, document: Explanation, examples: list[Example]) -> list[Saved]:
    """Draw all figures of an explanation into ``RUN/figures``.

    Parameters
    ----------
    run : path
        The run's folder.
    document : Explanation
        What `icmass.explanation.run.explain_run` returned.
    examples : list of Example
        Clusters to show; the last one with its mask of AGN and gas.
    """
    saliency, name = document.saliency, document.model
    gradients = document.methods.get("ig")
    shares = None if gradients is None else gradients.shares
    plans: list[tuple[str, Callable[[], Figure]]] = []
    if examples:
        plans.append(("examples", lambda: draw_examples(examples)))
        if examples[-1].icm is not None:
            plans.append(("mask", lambda: draw_mask(examples[-1])))
    if saliency is not None and np.isfinite(_floats(saliency.network.median)).any():
        plans.append(("core", lambda: draw_profile(saliency, name)))
    if saliency is not None:
        plans.append(("bands", lambda: draw_bands(saliency, name)))
    if shares is not None:
        plans.append(("shares", lambda: draw_shares(shares, name)))
    if document.checks is not None:
        curves = document.checks.curves
        plans.append(("deletion", lambda: draw_curves(curves)))
    made = []
    for stem, draw in plans:
        with house_style():
            figure = draw()
        made.append(save(figure, RunLayout(run).figures, f"explain-{plain(name)}-{stem}"))
    return made


def _floats(values: list[float | None]) -> np.ndarray:
    return np.array(values, float)  # None becomes NaN


def draw_profile(saliency: Saliency, name: str) -> Figure:
    """Draw the sensitivity of network and photon counts against r/R500c, with 16 to 84 per cent."""
    figure = new_figure(3.4)
    axes = figure.subplots()
    radius = np.array(saliency.radius_r500c)
    _band(axes, radius, saliency.network, symbol(name), GREEN)
    for proxy, colour in zip(saliency.proxies, (BLUE, ORANGE), strict=False):
        label = rf"{symbol(proxy.name)}  ($\alpha$ = {proxy.alpha:.2f})"
        _band(axes, radius, proxy, label, colour)
    published = saliency.published.crossing_r500c
    if published is not None:
        axes.axvline(published, color=GREY, lw=0.9, ls=(0, (4, 3)))
        axes.annotate(
            "Ho et al. 2023: photon count\n10 times the network within",
            (published, 0.03),
            (4, 0),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            fontsize=7.5,
            color=GREY,
        )
    axes.set(xlim=(0, 3), xlabel=r"r / $R_{500c}$", ylabel=_S)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.18 * (high - low), high)
    light_grid(axes)
    axes.legend(loc="upper right")
    return figure


def _band(
    axes: Axes, x: np.ndarray, profile: Profile | ProxyProfile, label: str, colour: str
) -> None:
    low, middle, high = (_floats(part) for part in (profile.low, profile.median, profile.high))
    axes.fill_between(x, low, high, color=colour, alpha=0.18, lw=0)
    axes.plot(x, middle, color=colour, label=label)


def draw_bands(saliency: Saliency, name: str) -> Figure:
    """Draw log10 S of AGN and gas pixels, and of bands, beside the published values."""
    rows = _band_rows(saliency)
    figure = new_figure(0.42 * len(rows) + 1.25)
    axes = figure.subplots()
    at = np.arange(len(rows))
    ours, theirs = [row[1] for row in rows], [row[2] for row in rows]
    for shift, column, colour, marker, label in (
        (-0.13, ours, GREEN, "o", symbol(name)),
        (0.13, theirs, BLACK, "D", "Ho et al. 2023"),
    ):
        held = [(y + shift, each) for y, each in zip(at, column, strict=True) if each]
        if not held:
            continue
        error = [
            [each.minus or 0 for _, each in held],
            [each.plus or 0 for _, each in held],
        ]
        axes.errorbar(
            _floats([each.median for _, each in held]),
            [y for y, _ in held],
            xerr=error,
            fmt=marker,
            color=colour,
            ms=5,
            lw=1.2,
            label=label,
        )
    axes.set(yticks=at, yticklabels=[row[0] for row in rows], xlabel=_S)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    light_grid(axes, "x")
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def _band_rows(saliency: Saliency) -> list[_Row]:
    published, regions = saliency.published, saliency.regions
    rows: list[_Row] = [
        (title, regions[key], published.region(key))
        for key, title in (("agn", "AGN > gas"), ("icm", "gas > AGN"), ("all", "all pixels"))
        if key in regions
    ]
    bands, theirs = saliency.bands.get("all", {}), published.bands
    for i, (label, held) in enumerate(bands.items()):
        beside = (
            Spread(median=theirs[i], minus=None, plus=None) if len(theirs) == len(bands) else None
        )
        rows.append((f"{label} keV", held, beside))
    return rows


def draw_shares(shares: dict[str, dict[str, Share]], name: str) -> Figure:
    """Draw what each annulus adds to ln M, and its share of the photons beyond the background."""
    held = shares["annuli"]
    figure = new_figure(4.4)
    above, beneath = figure.subplots(2, 1, sharex=True)
    at = np.arange(len(held))
    added = np.array([each.ln_m for each in held.values()])
    photons = np.array([each.photons for each in held.values()])
    error = np.array([each.error for each in held.values()])
    above.bar(at - 0.2, added / added.sum(), 0.38, color=GREEN, label="change of ln M")
    above.errorbar(at - 0.2, added / added.sum(), error / abs(added.sum()), fmt="none", color=BLACK)
    above.bar(at + 0.2, photons / photons.sum(), 0.38, color=SKY, label="photons")
    above.set_ylabel("share of the whole map")
    each = _floats([row.ln_m_per_photon for row in held.values()])
    beneath.plot(at, 1e3 * each, "o-", color=GREEN)
    beneath.axhline(0, color=GREY, lw=0.8)
    beneath.set_ylabel(r"ln M a photon  [$10^{-3}$]")
    beneath.set_xticks(at, list(held), rotation=30)
    beneath.set_xlabel(r"annulus  [$R_{500c}$]")
    for axes in (above, beneath):
        light_grid(axes, "y")
    handles, labels = above.get_legend_handles_labels()
    title = f"{symbol(name)}: beyond the expected background"
    figure.legend(handles, labels, loc="outside upper center", ncols=2, title=title)
    return figure


def draw_curves(held: dict[str, Curve]) -> Figure:
    """Draw what is left of the prediction as pixels are deleted, and inserted, by each order."""
    figure = new_figure(4.6)
    panels = figure.subplots(2, 1, sharex=True)
    colours = iter(_COLOURS)
    for name, curve in held.items():
        style: dict[str, Any] = {"label": METHODS[name].title if name in METHODS else name}
        if name in METHODS:
            style["color"] = next(colours)
        else:
            style |= {"color": GREY, "ls": ":" if name == "random" else "--"}
        for axes, left in zip(panels, (curve.deletion, curve.insertion), strict=True):
            axes.plot(100 * np.array(SHARES), _floats(left), **style)
    panels[0].set_ylabel("left after deletion")
    panels[1].set_ylabel("reached by insertion")
    panels[1].set_xlabel("pixels replaced by background, or put into it  [per cent]")
    panels[1].set_xscale("symlog", linthresh=1)
    panels[1].set_xticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    panels[1].set_xlim(0, 100)
    for axes in panels:
        light_grid(axes)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure
