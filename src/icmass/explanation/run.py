"""All that is explained of a network of a run, kept with the run."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from icmass import __version__
from icmass.errors import InputError
from icmass.explanation.baselines import background_rate
from icmass.explanation.checks import FIXED_STEPS, run_checks
from icmass.explanation.folds import FoldNetworks
from icmass.explanation.methods import METHODS, Settings, Task, attribute
from icmass.explanation.model import DifferentiablePredictor, Quantity
from icmass.explanation.regions import SaliencyRegions, count_proxies
from icmass.explanation.shares import Shares
from icmass.explanation.table import PUBLISHED, checks_table, saliency_table, shares_table
from icmass.main_process import is_main
from icmass.run.attributions import AttributionMaps
from icmass.run.document import finite
from icmass.run.explanation import Completeness, Explanation, ExplanationSummary, ProxySummary
from icmass.run.folder import RunFolder

SLOW = 512
"""Clusters, at most, of the methods that take longer than saliency and integrated gradients."""
WIDTH = 256
"""Clusters, at most, whose posterior widths are attributed."""
CHECKED = 64
"""Clusters, at most, on which the sanity checks are made."""
_QUICK = ("saliency", "ig")
_WIDTH_STEPS = 4  # times as many steps: a width hardly changes, and not monotonically
_TRAINED = 1024  # clusters, at most, that the network of shuffled masses is trained on

Progress = Callable[[str], None]
Count = Callable[[str, int, int], None]


def explain_run(
    networks: FoldNetworks,
    *,
    methods: Sequence[str] = tuple(METHODS),
    max_clusters: int | None = None,
    checks: bool = True,
    settings: Settings | None = None,
    progress: Progress | None = None,
    count: Count | None = None,
    maps: list[AttributionMaps] | None = None,
) -> Explanation:
    """Explain a network of a run: each cluster by the fold that has not seen it.

    Parameters
    ----------
    networks : FoldNetworks
        See `icmass.explanation.folds.open_run`.
    methods : sequence of str
        Keys of `METHODS`.
    max_clusters : int, optional
        At random as many; default: all with saliency and integrated gradients, `SLOW` with others.
    checks : bool
        Whether to make the sanity checks, on `CHECKED` clusters of the first fold.
    settings : Settings, optional
        Steps, draws, sizes and seed.
    progress : callable, optional
        Called with a few words when something is done.
    count : callable, optional
        Called with what is being done, how much of it is done, and how much there is.
    maps : list of AttributionMaps, optional
        The maps of integrated gradients are appended to it, a block of clusters at a time.

    Returns
    -------
    Explanation
    """
    methods = known_methods(methods)
    settings, tell = settings or Settings(), progress or (lambda said: None)
    count = count or (lambda what, done, total: None)
    seed = settings.seed
    chosen = networks.clusters(max_clusters, seed)
    one = DifferentiablePredictor.of(
        next(iter(networks.members.values())), networks.survey, chosen[:1]
    )
    rate = background_rate(networks.survey, one)
    document: dict[str, Any] = {
        "model": networks.name,
        "survey": str(networks.survey_path),
        "explained": f"posterior mean of ln M500c, {one.what}",
        "clusters": len(chosen),
        "folds": len(networks.members),
        "seed": seed,
        "version": __version__,
        "methods": {},
        "width": None,
        "checks": None,
    }
    for method in methods:
        limit = len(chosen) if method in _QUICK else min(len(chosen), SLOW)
        some = _thinned(chosen, limit, seed)
        document["methods"][method] = _of_method(
            networks,
            method,
            "mean",
            some,
            settings,
            rate,
            (tell, count),
            maps if method == "ig" else None,
        )
    if "width" in one.quantities and "ig" in methods:
        some = _thinned(chosen, min(len(chosen), WIDTH), seed)
        finer = replace(settings, steps=_WIDTH_STEPS * settings.steps)
        document["width"] = _of_method(networks, "ig", "width", some, finer, rate, (tell, count))
    if checks:
        estimator, train, test = networks.train_test()
        document["checks"] = run_checks(
            estimator,
            networks.survey,
            train=_thinned(train, min(len(train), _TRAINED), seed),
            test=_thinned(test, min(len(test), CHECKED), seed),
            methods=methods,
            settings=settings,
            progress=_counted_checks(tell, count, len(methods) + FIXED_STEPS),
        )
        count("checks", len(methods) + FIXED_STEPS, len(methods) + FIXED_STEPS)
    return Explanation.of(finite(document))


def _counted_checks(tell: Progress, count: Count, total: int) -> Progress:
    """Return what takes the beginning of each step of the checks to words and to a count."""
    steps = itertools.count()

    def begun(said: str) -> None:
        tell(f"checks: {said}")
        count("checks", next(steps), total)

    return begun


def known_methods(methods: Sequence[str]) -> list[str]:
    """Return the methods, each once; an unknown one is an error."""
    for method in methods:
        if method not in METHODS:
            raise InputError(repr(method), field="methods", hint=f"known: {', '.join(METHODS)}")
    return list(dict.fromkeys(methods))


def _thinned(chosen: np.ndarray, n: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng([seed, 29]).choice(chosen, n, replace=False))


def _of_method(
    networks: FoldNetworks,
    method: str,
    quantity: Quantity,
    chosen: np.ndarray,
    settings: Settings,
    rate: np.ndarray | None,
    tellers: tuple[Progress, Count],
    maps: list[AttributionMaps] | None = None,
) -> dict[str, Any]:
    """Attribute block by block, and keep sums and histograms; `maps` takes the maps themselves."""
    tell, count = tellers
    done, unit = 0, f"clusters, {method} of the {quantity}"
    count(unit, done, len(chosen))
    start, start_cpu = time.perf_counter(), time.process_time()
    regions: SaliencyRegions | None = None
    shares: Shares | None = None
    errors, changes, gaps = [], [], []
    for block in networks.blocks(chosen):
        part, index = block.survey, block.index
        explained = DifferentiablePredictor.of(block.estimator, part, index)
        task = Task.of(explained, part, index, methods=(method,), settings=settings, rate=rate)
        found = attribute(task, method, quantity, settings)
        if found.signed:
            shares = shares or Shares(explained.labels)
            shares.add(task, part, index, found)
            if maps is not None:
                maps.append(AttributionMaps.of(block.cluster, found.values))
        else:
            regions = regions or SaliencyRegions(
                networks.name, explained.labels, count_proxies(networks.survey)
            )
            regions.add(explained, part, index, found.values, block.cluster)
        if found.error is not None and found.change is not None:
            errors.append(found.error)
            changes.append(found.change)
            gaps.append(found.error * np.abs(found.change))
        done += len(index)
        count(unit, done, len(chosen))
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    taken = f"{seconds:.1f} s, of all cores {cpu_seconds:.1f} s"
    tell(f"{method} of the {quantity}: {len(chosen)} clusters, {taken}")
    document: dict[str, Any] = {
        "title": METHODS[method].title,
        "quantity": quantity,
        "unit": METHODS[method].unit,
        "clusters": len(chosen),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
    }
    if errors:
        document["completeness"] = _completeness(*map(np.concatenate, (errors, changes, gaps)))
    if regions is not None:
        document["saliency"] = regions.document()
    if shares is not None:
        document["shares"] = shares.document()
    return document


def _completeness(error: np.ndarray, change: np.ndarray, gap: np.ndarray) -> dict[str, float]:
    """Return how well attributions add up to f(x) - f(baseline)."""
    return {
        "median": float(np.median(error)),
        "percentile84": float(np.percentile(error, 84)),
        "pooled": float(gap.sum() / np.abs(change).sum()),
        "median_gap_ln_m": float(np.median(gap)),
        "mean_change_ln_m": float(change.mean()),
        "median_abs_change_ln_m": float(np.median(np.abs(change))),
    }


def keep(run: Path, document: Explanation, maps: Sequence[AttributionMaps] | None = None) -> Path:
    """Write ``RUN/explain/<model>.json`` and ``.md``, and the key ``explain`` of the results.

    Of `maps`, what the explanation appended to its list, ``<model>-maps.npz`` is made.

    Raises
    ------
    InputError
        If the run's ``results.json`` is not readable.
    """
    folder = RunFolder(run)
    file = folder.layout.explanation(document.model)
    results = folder.read_results() if folder.layout.results.exists() else None
    folder.write(file, document)
    folder.write_text(file.with_suffix(".md"), markdown(document))
    if maps and is_main():
        AttributionMaps.join(list(maps)).write(folder.layout.attributions(document.model))
    if results is not None:  # not of a benchmark that is not finished
        explained = {**results.explain, document.model: summary(document)}
        folder.write(folder.layout.results, results.model_copy(update={"explain": explained}))
    return file


def summary(document: Explanation) -> ExplanationSummary:
    """Return the numbers that ``results.json`` keeps, beside the published ones."""
    found: dict[str, Any] = {"clusters": document.clusters, "explained": document.explained}
    if (saliency := document.saliency) is not None:
        found |= {"published": saliency.published, **saliency.regions}
        found["bands"] = saliency.bands.get("all")
        kept = tuple(ProxySummary.model_fields)
        found["proxies"] = [
            ProxySummary(**{key: getattr(proxy, key) for key in kept}) for proxy in saliency.proxies
        ]
    found["completeness"] = {
        name: method.completeness
        for name, method in document.methods.items()
        if method.completeness is not None
    }
    if document.checks is not None:
        verdicts = document.checks.verdicts
        found["checks_failed"] = [
            f"{each.method}: {each.check}" for each in verdicts if each.passed is False
        ]
        found["checks_passed"] = sum(each.passed is True for each in verdicts)
    return ExplanationSummary(**found)


def markdown(document: Explanation) -> str:
    """Return all tables of an explanation."""
    parts = [
        f"# What {document.model} looks at",
        f"Explained: {document.explained}; each of {document.clusters} clusters by the "
        "network that was not trained on its part of the box.",
    ]
    for method in (*document.methods.values(), *filter(None, [document.width])):
        what = "ln M500c" if method.quantity == "mean" else "the width of the posterior of ln M500c"
        parts.append(f"## {method.title[0].upper()}{method.title[1:]} of {what}")
        if method.saliency is not None:
            table = saliency_table(method.saliency)
            parts += [*table.notes, table.to_markdown(), PUBLISHED]
        if method.completeness is not None:
            parts.append(_completeness_text(method.completeness))
        if method.shares is not None:
            told = f"mean of {method.unit}, summed over each part."
            parts += [f"{method.clusters} clusters, {told}"]
            parts.append(shares_table(method.shares).to_markdown())
    if document.checks is not None:
        table = checks_table(document.checks)
        parts += ["## Sanity checks", *table.notes, table.to_markdown()]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _completeness_text(found: Completeness) -> str:
    return (
        f"Completeness: |sum - change| / |change| median {found.median:.2%}, 84th percentile "
        f"{found.percentile84:.2%}; of all clusters together {found.pooled:.2%}; mean change "
        f"{found.mean_change_ln_m:+.3f}."
    )
