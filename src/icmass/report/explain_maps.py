"""Maps of example clusters: photons, sensitivity, attribution; pixels of AGN and of gas."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from icmass.explanation.examples import Example
from icmass.report.explain_cluster import (
    counts_norm,
    label_counts,
    label_signed,
    show_map,
    signed_norm,
)
from icmass.report.style import MSUN_H, ORANGE, SKY, WIDTH, new_figure

_PALE = "#f3f4f6"


def draw_examples(examples: list[Example]) -> Figure:
    """Draw photons, log10 S and attribution of clusters, all bands together, R500c dashed."""
    n = len(examples)
    figure = new_figure(n * (WIDTH - 0.6) / 3 + 1.35)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    panels = figure.subplots(n, 3, sharex=True, sharey=True, squeeze=False)
    norms: list[Any] = [
        counts_norm(np.stack([each.counts.sum(0) for each in examples])),
        _log_norm(np.stack([_log_saliency(each) for each in examples])),
        signed_norm(np.stack([each.attribution.sum(0) for each in examples])),
    ]
    styles = (("inferno", "white"), ("viridis", "white"), ("RdBu_r", "black"))
    for row, each in zip(panels, examples, strict=True):
        maps = (each.counts.sum(0), _log_saliency(each), each.attribution.sum(0))
        images = [
            show_map(axes, held, each.half_width, each.r500c, norm, *style)
            for axes, held, norm, style in zip(row, maps, norms, styles, strict=True)
        ]
        row[0].text(
            0.05,
            0.94,
            each.label,
            color="white",
            fontsize=7,
            va="top",
            transform=row[0].transAxes,
        )
    labels = ("counts per pixel", r"$\log_{10} S$", "ln M per pixel")
    for column, image, label in zip(panels.T, images, labels, strict=True):
        bar = figure.colorbar(image, ax=list(column), location="top", aspect=16, pad=0.01)
        bar.set_label(label)
        _label(bar, label)
    figure.supxlabel("projected offset  [comoving Mpc/h]", fontsize=9)
    figure.supylabel("projected offset  [comoving Mpc/h]", fontsize=9)
    figure.suptitle(rf"top left: $\log_{{10}}\,M_{{500c}}$ [{MSUN_H}], true; z", fontsize=8.5)
    return figure


def draw_mask(example: Example) -> Figure:
    """Draw a cluster's photons, which pixels hold more of AGN than of gas, and log10 S in both."""
    figure = new_figure(2.35)
    figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.02, wspace=0, hspace=0)
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    assert example.icm is not None and example.agn is not None
    icm, agn = example.icm.sum(0), example.agn.sum(0)
    kind = np.where(agn > icm, 2, np.where(icm > agn, 1, 0))
    colours = ListedColormap([_PALE, ORANGE, SKY])
    photons, saliency = example.counts.sum(0), _log_saliency(example)
    shown = (
        (photons, counts_norm(photons), "inferno", "white"),
        (kind, Normalize(-0.5, 2.5), colours, "black"),
        (saliency, _log_norm(saliency), "viridis", "white"),
    )
    images = [
        show_map(axes, held, example.half_width, example.r500c, norm, cmap, circle)
        for axes, (held, norm, cmap, circle) in zip(panels, shown, strict=True)
    ]
    labels = ("counts per pixel", "most counts", r"$\log_{10} S$")
    for axes, image, label in zip(panels, images, labels, strict=True):
        bar = figure.colorbar(image, ax=axes, location="top", aspect=14, pad=0.03)
        bar.set_label(label)
        _label(bar, label)
        if axes is panels[1]:
            bar.set_ticks([0, 1, 2], labels=["equal", "gas", "AGN"])
    figure.supxlabel("projected offset  [comoving Mpc/h]", fontsize=8.5)
    figure.suptitle(_heading(example), fontsize=8.5)
    return figure


def _heading(example: Example) -> str:
    mass, _, z = example.label.rpartition("\n")
    return rf"$\log_{{10}}\,M_{{500c}}$ [{MSUN_H}] {mass}, {z}" if mass else z


def _label(bar: Colorbar, label: str) -> None:
    if label.startswith("counts"):
        label_counts(bar)
    elif label.startswith("ln"):
        label_signed(bar)
    bar.ax.tick_params(labelsize=7, pad=1)


def _log_saliency(example: Example) -> np.ndarray:
    """Return log10 of the mean of S over bands, floored far below all that is seen."""
    return np.log10(np.maximum(example.saliency.mean(0), 1e-8))


def _log_norm(log: np.ndarray) -> Normalize:
    return Normalize(*np.percentile(log, [2, 99.8]))
