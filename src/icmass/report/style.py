"""One look for every figure: sizes that read on a phone, colours that the colour-blind can tell.

Figures are drawn with matplotlib's object interface alone: no pyplot, no state left behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from icmass.errors import InputError
from icmass.run.results import GROUPS, Group

WIDTH = 4.2  # inches: 9 pt text in a figure this wide is still 10 px tall on a 390 px phone
DPI = 260  # a 4.2 in figure gets 1092 pixels: two a CSS pixel where the page shows it

# Okabe & Ito (2008), a palette for all kinds of colour vision.
BLACK, ORANGE, SKY, GREEN = "#000000", "#e69f00", "#56b4e9", "#009e73"
BLUE, VERMILLION, PURPLE = "#0072b2", "#d55e00", "#cc79a7"
GREY = "#6b7280"

GROUP_COLOURS: dict[Group, str] = {
    "ideal": ORANGE,
    "observed": BLUE,
    "combination": PURPLE,
    "features": SKY,
    "network": GREEN,
}

_LONGEST_NAME = 32
MSUN_H = r"$M_\odot/h$"

_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.direction": "out",
    "ytick.direction": "out",
    "lines.linewidth": 1.4,
    "mathtext.default": "regular",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "icmass",
    "svg.fonttype": "path",
}

_SYMBOLS = {
    "T": "$T$",
    "L_X": "$L_X$",
    "L_X_soft": "$L_{X,soft}$",
    "M_gas": "$M_{gas}$",
    "M_star": "$M_{star}$",
    "sigma_v_true": r"$\sigma_{v,true}$",
    "N_gal": "$N_{gal}$",
    "sigma_v": r"$\sigma_v$",
    "N_phot": "$N_{phot}$",
    "N_phot_r500": "$N_{phot}^{R500}$",
    "N_phot_2r500": "$N_{phot}^{2R500}$",
}


@dataclass(frozen=True)
class Saved:
    """The files of one figure: crisp pixels, and vectors for paper."""

    png: Path
    svg: Path


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the package's style inside this block; what was set before comes back after it."""
    settings: Any = _RC
    with matplotlib.rc_context(settings):
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure whose parts are kept from overlapping; lengths in inches."""
    return Figure(figsize=(width, height), dpi=100, layout="constrained")


def files_of(folder: Path, stem: str) -> Saved:
    """Return the files of a figure in a folder."""
    return Saved(folder / f"{stem}.png", folder / f"{stem}.svg")


def save(figure: Figure, folder: Path, stem: str) -> Saved:
    """Write ``stem.png`` and ``stem.svg`` into a folder; the same figure gives the same bytes."""
    saved = files_of(folder, stem)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with house_style():
            figure.set_dpi(DPI)
            # the canvases' own methods draw once, where `savefig` draws twice
            FigureCanvasAgg(figure).print_png(saved.png, metadata={"Software": None})
            figure.set_layout_engine("none")  # both files share the layout found for the first
            canvas = FigureCanvasSVG(figure)
            canvas.print_svg(saved.svg, metadata={"Date": None, "Creator": None})
    except OSError as error:
        hint = "free some space, or make the folder writable"
        raise InputError(
            f"cannot be written ({error.strerror or error})", file=folder, hint=hint
        ) from None
    return saved


def symbol(name: str) -> str:
    """Return the name of an estimator or proxy as figures print it.

    Proxies get their usual symbols; any other name is printed as it is, never read as markup.

    Examples
    --------
    >>> symbol("T+M_gas")
    '$T$ + $M_{gas}$'
    >>> symbol("icm-3band")
    'icm-3band'
    """
    parts = name.split("+")
    if all(part in _SYMBOLS for part in parts):
        return " + ".join(_SYMBOLS[part] for part in parts)
    short = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
    return short.replace("$", r"\$")


def symbol_html(name: str) -> str:
    """Return the name of an estimator as HTML, escaped.

    Examples
    --------
    >>> symbol_html("T+L_X")
    '<span><i>T</i></span> + <span><i>L</i><sub>X</sub></span>'
    """
    parts = name.split("+")
    if not all(part in _SYMBOLS for part in parts):
        return escape(name)
    return " + ".join(_proxy_html(part) for part in parts)


def _proxy_html(part: str) -> str:
    letter, _, index = part.replace("sigma", "σ").partition("_")
    index = index.replace("_", ", ").replace("r500", "R500c")
    subscript = f"<sub>{index}</sub>" if index else ""
    return f"<span><i>{letter}</i>{subscript}</span>"


def group_heading(group: Group) -> str:
    """Return the heading of a group of estimators in figures and on the page.

    >>> group_heading("ideal")
    'Ideal proxies'
    """
    return GROUPS[group].capitalize()


def log_axis(axis: Any, values: np.ndarray) -> None:
    """Make a logarithmic axis whose labels are plain powers of ten, with 2s and 5s when short.

    Parameters
    ----------
    axis : matplotlib Axis
        ``axes.xaxis`` or ``axes.yaxis``.
    values : ndarray
        What the axis spans.
    """
    name = f"set_{axis.axis_name}scale"
    getattr(axis.axes, name)("log")
    good = values[np.isfinite(values) & (values > 0)]
    decades = np.log10(good.max() / good.min()) if good.size else 1.0
    subs = (1.0, 2.0, 5.0) if decades < 1.6 else (1.0, 3.0) if decades < 2.2 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.set_major_formatter(FuncFormatter(_power_of_ten))
    axis.set_minor_formatter(NullFormatter())


def _power_of_ten(value: float, _position: int | None = None) -> str:
    if value <= 0:
        return ""
    power = int(np.floor(np.log10(value) + 1e-9))
    factor = value / 10.0**power
    if 0 <= power <= 2:
        return f"{value:g}"
    if abs(factor - 1) < 1e-6:
        return f"$10^{{{power}}}$"
    return rf"${factor:g}\times10^{{{power}}}$"


def light_grid(axes: Axes, which: str = "both") -> None:
    """Put a pale grid behind the data."""
    axes.grid(True, axis=which, color="#e5e7eb", linewidth=0.6)  # type: ignore[arg-type]
