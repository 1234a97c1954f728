"""The survey at a glance: masses, redshifts, and how counts follow mass."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icmass.report.style import BLUE, GREY, MSUN_H, SKY, light_grid, log_axis, new_figure


def draw_overview(survey: xr.Dataset) -> Figure:
    """Draw the mass and redshift histograms, and the photon counts against mass."""
    figure = new_figure(4.5)
    mosaic = figure.subplot_mosaic(
        [["mass", "redshift"], ["counts", "counts"]], height_ratios=[1, 1.5]
    )
    mass, redshift = survey["m500c"].values, survey["redshift"].values
    _mass_histogram(mosaic["mass"], mass)
    _redshift_histogram(mosaic["redshift"], redshift)
    _counts_against_mass(mosaic["counts"], mass, redshift, survey["n_phot_r500"].values)
    return figure


def _mass_histogram(axes: Axes, mass: np.ndarray) -> None:
    n_bins = int(np.clip(np.sqrt(mass.size), 6, 24))
    axes.hist(np.log10(mass), n_bins, color=SKY, edgecolor=BLUE, lw=0.6)
    axes.set_xlabel(rf"$\log_{{10}}\,M_{{500c}}$  [{MSUN_H}]")
    axes.set_ylabel("clusters per bin")
    light_grid(axes, "y")


def _redshift_histogram(axes: Axes, redshift: np.ndarray) -> None:
    values, number = np.unique(redshift.round(4), return_counts=True)
    if values.size <= 24:  # snapshots: a bar each, at its redshift
        gap = np.diff(values).min() if values.size > 1 else 0.05
        axes.bar(values, number, 0.7 * gap, color=SKY, edgecolor=BLUE, lw=0.6)
        axes.set_ylabel("clusters per snapshot")
    else:
        axes.hist(redshift, 16, color=SKY, edgecolor=BLUE, lw=0.6)
        axes.set_ylabel("clusters per bin")
    axes.set_xlabel("redshift")
    light_grid(axes, "y")


def _counts_against_mass(
    axes: Axes, mass: np.ndarray, redshift: np.ndarray, photons: np.ndarray
) -> None:
    seen = photons > 0
    size = float(np.clip(6000 / mass.size, 2, 12))
    dots = axes.scatter(
        mass[seen], photons[seen], size, redshift[seen], cmap="viridis", lw=0, rasterized=True
    )
    log_axis(axes.xaxis, mass)
    log_axis(axes.yaxis, photons[seen])
    axes.set_xlabel(rf"$M_{{500c}}$  [{MSUN_H}]")
    axes.set_ylabel(r"counts within $R_{500c}$")
    light_grid(axes)
    bar = axes.figure.colorbar(dots, ax=axes, aspect=20, pad=0.02)
    bar.set_label("redshift")
    if not seen.all():
        note = f"{np.count_nonzero(~seen)} without a photon not shown"
        axes.text(0.98, 0.03, note, transform=axes.transAxes, ha="right", color=GREY, fontsize=8)
