"""One picture a cluster: its bands, what is masked, R500c, the posterior of its mass."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm, ListedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator
from scipy.ndimage import gaussian_filter

from icmass.estimators.posterior import LNM_GRID, Prediction
from icmass.explanation.cluster import ClusterExplanation
from icmass.report.style import BLUE, GREY, MSUN_H, VERMILLION, house_style, save
from icmass.survey.catalog import half_width_mpc_h
from icmass.survey.counts import counts

SMOOTHING_MPC_H = 0.06
"""Width of the Gaussian that bands are shown with [comoving Mpc/h]."""
_PANEL = 2.5  # inches
_HIDDEN = ListedColormap(["#9ca3af"])
_LONGEST_REASON = 88


def draw_clusters(
    survey: xr.Dataset,
    rows: Sequence[dict[str, Any]],
    prediction: Prediction,
    folder: Path,
    *,
    attribution: Sequence[ClusterExplanation] | None = None,
) -> Iterator[Path]:
    """Draw each predicted cluster to a file of its own.

    Parameters
    ----------
    survey : Dataset
        The maps.
    rows : sequence of dict
        What `icmass.inference.description.describe` says of each.
    prediction : Prediction
        Their posteriors.
    folder : path
        Where the pictures go: ``<id>.png`` and ``<id>.svg``.
    attribution : sequence of ClusterExplanation, optional
        What each pixel adds to ln M500c; all bands are added.

    Yields
    ------
    Path
        Each picture.
    """
    for k, row in enumerate(rows):
        carried = None if attribution is None else attribution[k].attribution.sum(0)
        with house_style():
            figure = draw_cluster(survey, row, prediction.take(np.array([k])), carried)
        name = str(row.get("id", f"cluster-{row['cluster']:05d}"))
        stem = re.sub(r"[^A-Za-z0-9.+_-]+", "_", name).strip("._") or f"cluster-{row['cluster']}"
        yield save(figure, folder, stem).png


def draw_cluster(
    survey: xr.Dataset,
    row: dict[str, Any],
    prediction: Prediction,
    attribution: np.ndarray | None = None,
) -> Figure:
    """Draw one cluster: a panel a band, where asked for the attribution, and the posterior."""
    i = int(row["cluster"])
    maps = counts(survey, np.array([i]))[0].astype(float)
    hidden = None
    if "coverage" in survey:
        hidden = survey["coverage"].values[i] <= 0
    labels = [f"{band} keV" for band in survey["band"].values]
    n_panels = len(labels) + 1 + (attribution is not None)
    figure = Figure(figsize=(_PANEL * n_panels, 3.3), dpi=100, layout="constrained")
    panels = figure.subplots(1, n_panels)
    half_width = half_width_mpc_h(survey)
    for axes, image, label in zip(panels, maps, labels, strict=False):
        _draw_band(axes, image, hidden, half_width)
        axes.set_title(f"{label}\n{int(image.sum()):,} photons")
    if attribution is not None:
        _draw_attribution(figure, panels[-2], attribution, half_width)
    for axes in panels[:-1]:
        _decorate(axes, row)
    panels[0].set_ylabel("comoving Mpc/h")
    _draw_posterior(panels[-1], row, prediction)
    figure.suptitle(_title(row), fontsize=9)
    return figure


def _draw_band(axes: Axes, image: np.ndarray, hidden: np.ndarray | None, half_width: float) -> None:
    extent = (-half_width, half_width, -half_width, half_width)
    width = SMOOTHING_MPC_H / (2 * half_width / len(image))
    smooth = gaussian_filter(image, width, mode="nearest")
    top = max(float(np.percentile(smooth, 99.8)), 1e-3)
    norm = AsinhNorm(linear_width=top / 8, vmin=0, vmax=top)
    axes.imshow(smooth, origin="lower", extent=extent, cmap="inferno", norm=norm)
    if hidden is not None and hidden.any():
        shown = np.ma.masked_where(~hidden, np.ones(hidden.shape))
        axes.imshow(shown, origin="lower", extent=extent, cmap=_HIDDEN)


def _draw_attribution(
    figure: Figure, axes: Axes, attribution: np.ndarray, half_width: float
) -> None:
    extent = (-half_width, half_width, -half_width, half_width)
    top = max(float(np.percentile(np.abs(attribution), 99.8)), 1e-12)
    norm = TwoSlopeNorm(0, -top, top)
    image = axes.imshow(attribution, origin="lower", extent=extent, cmap="RdBu_r", norm=norm)
    axes.set_title("what carries the mass\nintegrated gradients")
    bar = figure.colorbar(image, ax=axes, location="right", shrink=0.8, aspect=22, pad=0.03)
    bar.set_label(r"$\Delta \ln M_{500c}$ per pixel")
    bar.ax.yaxis.set_major_locator(MaxNLocator(3))


def _decorate(axes: Axes, row: dict[str, Any]) -> None:
    axes.plot(0, 0, "+", color="white", markersize=6, markeredgewidth=0.8)
    radius = row.get("r500c_mpc_h_comoving")
    if radius is not None:
        circle = Circle((0, 0), radius, fill=False, color="#67e8f9", linestyle="--", linewidth=1)
        axes.add_patch(circle)
    axes.set_xticks([-2, 0, 2])
    axes.set_yticks([-2, 0, 2])
    axes.spines[["top", "right"]].set_visible(True)


def _draw_posterior(axes: Axes, row: dict[str, Any], prediction: Prediction) -> None:
    ln_m = LNM_GRID
    if prediction.density is not None:
        density = prediction.density[0]
    else:
        density = np.exp(-((ln_m - prediction.mean[0]) ** 2) / 2 / prediction.std[0] ** 2)
    mass = np.exp(ln_m) / 1e14
    density = density / density.max()
    is_limit = row["m500c_1e14_msun_h"] is None
    colour = GREY if is_limit else BLUE
    axes.plot(mass, density, color=colour)
    low, high = np.exp(prediction.interval(0.68)[0][0]), np.exp(prediction.interval(0.68)[1][0])
    if not is_limit:
        inside = (mass * 1e14 >= low) & (mass * 1e14 <= high)
        axes.fill_between(mass, density, where=inside, color=colour, alpha=0.25, linewidth=0)
    if row.get("m500c"):
        axes.axvline(row["m500c"] / 1e14, color=VERMILLION, linewidth=1.2, label="true")
        axes.legend(loc="upper right")
    kept = mass[density > 1e-3]
    axes.set_xscale("log")
    axes.set_xlim(kept.min(), kept.max())
    steps = (1, 2, 5) if kept.max() > 5 * kept.min() else (1, 1.5, 2, 3, 4, 5, 7)
    ticks = [t * p for p in (0.1, 1, 10) for t in steps if kept.min() <= t * p <= kept.max()]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.set_xticks([], minor=True)
    axes.set_ylim(0, 1.25)
    axes.set_yticks([])
    axes.set_xlabel(rf"$M_{{500c}}$ [$10^{{14}}$ {MSUN_H}]")
    axes.set_title(_mass_words(row))


def _mass_words(row: dict[str, Any]) -> str:
    mass = row["m500c_1e14_msun_h"]
    if mass is None:
        return f"no mass: too few photons\n(97.5 % below {row['m500c_below_1e14_msun_h']:.2f})"
    up, down = mass["p84"] - mass["median"], mass["median"] - mass["p16"]
    per_msun = row["m500c_1e14_msun"]["median"]
    value = rf"${mass['median']:.2f}^{{+{up:.2f}}}_{{-{down:.2f}}}$"
    return value + rf" $10^{{14}}$ {MSUN_H}" + "\n" + rf"({per_msun:.2f} $10^{{14}}$ $M_\odot$)"


def _title(row: dict[str, Any]) -> str:
    name = str(row.get("id", f"cluster {row['cluster']}")).replace("$", r"\$")
    words = f"{name}   z = {row['redshift']:.3f}"
    if "ra" in row:
        words += f"   RA {row['ra']:.4f} Dec {row['dec']:+.4f}"
    words += f"   {row['exposure_s']:,.0f} s"
    if row.get("r500c_mpc_h_comoving") is not None:
        words += "   dashed: R500c of the median mass"
    if "visible_fraction" in row and row["visible_fraction_map"] < 1:
        words += "   grey: masked or unexposed"
    reasons = row.get("reasons") or []
    for reason in reasons[:3]:
        short = reason if len(reason) <= _LONGEST_REASON else reason[:_LONGEST_REASON] + "…"
        words += f"\nflagged: {short}"
    return words
