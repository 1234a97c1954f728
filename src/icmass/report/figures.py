"""All figures of a report: drawn from a run, saved into it, each with its caption."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from icmass.errors import InputError
from icmass.proxies.published import published_correlation, published_sigma
from icmass.report.bars import draw_coverage, draw_scatter_bars
from icmass.report.calibration import calibrated, draw_calibration
from icmass.report.correlation import draw_correlation
from icmass.report.gallery import choose_clusters, draw_colour_gallery, draw_gallery
from icmass.report.overview import draw_overview
from icmass.report.scatter import draw_predicted
from icmass.report.source import Run
from icmass.report.style import Saved, files_of, house_style, save
from icmass.run.layout import RunLayout
from icmass.run.results import grouped


@dataclass(frozen=True)
class Plate:
    """A figure of the page: its files and caption, or why there is none.

    Attributes
    ----------
    key : str
        Part of the page it belongs to, e.g. ``"gallery"`` or ``"predicted"``.
    title : str
        What it shows, in a few plain words (also the text for who cannot see it).
    caption : str
        What is plotted, with units.
    saved : Saved or None
        The files, when it could be drawn.
    problem : str
        Why it could not.
    """

    key: str
    title: str
    caption: str = ""
    saved: Saved | None = None
    problem: str = ""


@dataclass(frozen=True)
class _Plan:
    key: str
    stem: str
    title: str
    caption: str
    draw: Callable[[], Figure]


def make_figures(run: Run, *, keep: bool = False) -> list[Plate]:
    """Draw every figure that the run can give into ``RUN/figures``.

    With `keep` those stay that the run's page was made with, if the scores have not changed since.
    """
    plans = [*_survey_plans(run), *_benchmark_plans(run)]
    return [(_kept(run, plan) if keep else None) or _make(run, plan) for plan in plans]


def _kept(run: Run, plan: _Plan) -> Plate | None:
    layout = RunLayout(run.path)
    saved = files_of(layout.figures, plan.stem)
    times = [
        file.stat().st_mtime_ns if file.is_file() else None
        for file in (layout.results, saved.png, saved.svg, layout.page)
    ]
    known = [time for time in times if time is not None]
    if len(known) < len(times) or known != sorted(known):
        return None
    return Plate(plan.key, plan.title, plan.caption, saved)


def _make(run: Run, plan: _Plan) -> Plate:
    try:
        with house_style():
            figure = plan.draw()
    except _Absent as reason:
        return Plate(plan.key, plan.title, problem=str(reason))
    except (InputError, KeyError, ValueError, IndexError) as error:
        problem = f"could not be drawn from this run ({type(error).__name__}: {error})"
        return Plate(plan.key, plan.title, problem=problem)
    return Plate(
        plan.key, plan.title, plan.caption, save(figure, RunLayout(run.path).figures, plan.stem)
    )


class _Absent(Exception):
    """What a figure needs is not in the run."""


def _need(run: Run, *variables: str) -> xr.Dataset:
    if run.survey is None:
        raise _Absent(f"The survey could not be opened: {run.missing['survey']}.")
    absent = [name for name in variables if name not in run.survey]
    if absent:
        raise _Absent(f"The survey holds no {', '.join(absent)}.")
    return run.survey


def _survey_plans(run: Run) -> Iterator[_Plan]:
    where = (
        "Mass grows to the right, redshift downwards. Top left of each map: log10 of "
        "M500c [Msun/h]; bottom right: redshift. Dashed: projected R500c. The clusters are those "
        "nearest to an even grid of masses at the lowest, middle and highest redshift."
    )

    def gallery() -> Figure:
        survey = _need(run, "maps", "m500c", "redshift")
        return draw_gallery(survey, choose_clusters(survey))

    def colours() -> Figure:
        survey = _need(run, "maps", "m500c", "redshift")
        if survey.sizes["band"] != 3:
            raise _Absent(f"The survey has {survey.sizes['band']} band(s); colour needs three.")
        return draw_colour_gallery(survey, choose_clusters(survey))

    yield _Plan(
        "gallery", "gallery", "Photon maps by mass and redshift",
        f"Observed counts (gas, AGN and background) per pixel, one stretch for all. {where}",
        gallery,
    )  # fmt: skip
    yield _Plan(
        "gallery", "gallery-colour", "The same clusters in colour",
        "Soft band red, medium green, hard blue, each smoothed, less its median over the map and "
        "twice its noise. White is the mean spectrum within R500c of these clusters, blue is "
        "harder, red is softer. Brightness is stretched to the peak of each map (asinh).",
        colours,
    )  # fmt: skip
    yield _Plan(
        "overview", "overview", "Masses, redshifts and counts of the survey",
        "Top: number of clusters in even bins of log M500c [Msun/h], and in redshift. Bottom: "
        "observed counts (all components) within the projected R500c against M500c [Msun/h], "
        "coloured by redshift.",
        lambda: draw_overview(_need(run, "m500c", "redshift", "n_phot_r500")),
    )  # fmt: skip


def _benchmark_plans(run: Run) -> Iterator[_Plan]:
    scores = run.results.estimators
    yield _Plan(
        "bars", "scatter-bars", "Scatter of every estimator beside the published values",
        "Scatter of ln M500c in per cent: pale bars the estimator of Ho et al. (2023) for each "
        "kind, full bars one cross-validated estimator for all, with bootstrap errors (1 sigma). "
        "Diamonds: values published by Ho et al. (2023), to be compared with the pale bars.",
        lambda: draw_scatter_bars(scores, published_sigma),
    )  # fmt: skip
    for _, rows in reversed(grouped(scores)):
        for score in rows:
            yield _predicted_plan(run, score.name)
    yield _Plan(
        "calibration", "coverage", "Coverage of the predicted intervals",
        "Per cent of the clusters whose true mass lies inside the predicted central 68 per cent "
        "(circles) and 95 per cent (squares) interval; lines mark what a calibrated estimator "
        "reaches; error bars are binomial (1 sigma).",
        lambda: draw_coverage(scores),
    )  # fmt: skip
    if calibrated(scores):
        yield _Plan(
            "calibration", "calibration", "Calibration of the posteriors",
            "Left: per cent of the clusters whose true mass lies inside the central interval of "
            "each level, and beneath, that less the level. Right: for each estimator the histogram "
            "of the posterior probability of less than the true mass (PIT) in 20 bins, over the "
            "number expected: flat if calibrated, high at the ends where posteriors are too "
            "narrow, high in the middle where they are too wide, tilted where they are biased. "
            "Grey: 95 per cent binomial band of calibrated posteriors, one for each number of "
            "clusters.",
            lambda: draw_calibration(scores),
        )  # fmt: skip
    yield _Plan(
        "correlation", "residual-correlation", "Residual correlations of the proxies",
        "Correlation of the residuals of ln proxy about its power law in M500c, fitted snapshot by "
        "snapshot, all snapshots pooled. In brackets: Ho et al. (2023) at z = 0.174, read off "
        "their figure to about 0.1.",
        lambda: _correlation(run),
    )  # fmt: skip


def _predicted_plan(run: Run, name: str) -> _Plan:
    (score,) = [s for s in run.results.estimators if s.name == name][:1]

    def draw() -> Figure:
        if name not in run.predictions:
            raise _Absent(f"No predictions: {run.missing[name]}.")
        return draw_predicted(score, run.predictions[name])

    stem = "predicted-" + "".join(c if c.isalnum() or c in "-_" else "-" for c in name)[:80]
    return _Plan("predicted", stem, name, "", draw)


def _correlation(run: Run) -> Figure:
    if run.scaling is None:
        raise _Absent(f"{run.missing['scaling']}.")
    matrix = np.array(run.scaling.correlation, float)  # None becomes NaN
    return draw_correlation(run.scaling.names, matrix, published_correlation)


def data_uri(file: Path) -> str:
    """Return a figure's file as a data URI."""
    kind = {".png": "image/png", ".svg": "image/svg+xml"}[file.suffix]
    return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode('ascii')}"
