"""All that is explained of a network of a run, kept with the run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from icmass import __version__
from icmass.benchmarking.run_folder import RunFolder, finite
from icmass.errors import InputError
from icmass.explanation.baselines import background_rate
from icmass.explanation.checks import run_checks
from icmass.explanation.folds import FoldNetworks
from icmass.explanation.methods import METHODS, Settings, Task, attribute
from icmass.explanation.model import DifferentiablePredictor, Quantity
from icmass.explanation.regions import SaliencyRegions, count_proxies
from icmass.explanation.shares import Shares
from icmass.explanation.table import checks_markdown, saliency_markdown, shares_markdown

FOLDER = "explain"
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


def explain_run(
    networks: FoldNetworks,
    *,
    methods: Sequence[str] = tuple(METHODS),
    max_clusters: int | None = None,
    checks: bool = True,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
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

    Returns
    -------
    dict
        Ready for JSON.
    """
    methods = known_methods(methods)
    settings, tell = settings or Settings(), progress or (lambda said: None)
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
            networks, method, "mean", some, settings, rate, tell
        )
    if "width" in one.quantities and "ig" in methods:
        some = _thinned(chosen, min(len(chosen), WIDTH), seed)
        finer = replace(settings, steps=_WIDTH_STEPS * settings.steps)
        document["width"] = _of_method(networks, "ig", "width", some, finer, rate, tell)
    if checks:
        estimator, train, test = networks.train_test()
        document["checks"] = run_checks(
            estimator,
            networks.survey,
            train=_thinned(train, min(len(train), _TRAINED), seed),
            test=_thinned(test, min(len(test), CHECKED), seed),
            methods=methods,
            settings=settings,
            progress=lambda said: tell(f"checks: {said}"),
        )
    return finite(document)


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
    tell: Progress,
) -> dict[str, Any]:
    """Attribute block by block, and keep sums and histograms alone."""
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
        else:
            regions = regions or SaliencyRegions(
                networks.name, explained.labels, count_proxies(networks.survey)
            )
            regions.add(explained, part, index, found.values, block.cluster)
        if found.error is not None and found.change is not None:
            errors.append(found.error)
            changes.append(found.change)
            gaps.append(found.error * np.abs(found.change))
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


def keep(run: Path, document: dict[str, Any]) -> Path:
    """Write ``RUN/explain/<model>.json`` and ``.md``, and the key ``explain`` of the results.

    Raises
    ------
    InputError
        If the run's ``results.json`` is not readable.
    """
    folder, name = RunFolder(run), document["model"]
    file = run / "results.json"
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
        results["explain"] = {**results.get("explain", {}), name: summary(document)}
    except FileNotFoundError:
        results = None  # a benchmark that is not finished
    except (OSError, ValueError, TypeError, AttributeError) as error:
        problem = f"damaged ({type(error).__name__})"
        raise InputError(problem, file=file, hint="run the benchmark with --resume") from None
    folder.write_json(f"{FOLDER}/{name}.json", document)
    folder.write_text(f"{FOLDER}/{name}.md", markdown(document))
    if results is not None:
        folder.write_json("results.json", results)
    return run / FOLDER / f"{name}.json"


def summary(document: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers that ``results.json`` keeps, beside the published ones."""
    found: dict[str, Any] = {"clusters": document["clusters"], "explained": document["explained"]}
    saliency = document["methods"].get("saliency", {}).get("saliency")
    if saliency is not None:
        found["published"] = saliency["published"]
        found |= {key: saliency["regions"][key] for key in saliency["regions"]}
        found["bands"] = saliency["bands"].get("all")
        beside = ("name", "alpha", "crossing_r500c", "core_ratio_dex")
        found["proxies"] = [{key: each[key] for key in beside} for each in saliency["proxies"]]
    found["completeness"] = {
        method: held["completeness"]
        for method, held in document["methods"].items()
        if "completeness" in held
    }
    if document["checks"] is not None:
        verdicts = document["checks"]["verdicts"]
        found["checks_failed"] = [
            f"{row['method']}: {row['check']}" for row in verdicts if row["passed"] is False
        ]
        found["checks_passed"] = sum(row["passed"] is True for row in verdicts)
    return found


def markdown(document: dict[str, Any]) -> str:
    """Return all tables of an explanation."""
    parts = [
        f"# What {document['model']} looks at",
        f"Explained: {document['explained']}; each of {document['clusters']} clusters by the "
        "network that was not trained on its part of the box.",
    ]
    methods = [*document["methods"].values(), *filter(None, [document["width"]])]
    for held in methods:
        what = (
            "ln M500c" if held["quantity"] == "mean" else "the width of the posterior of ln M500c"
        )
        title = held["title"][0].upper() + held["title"][1:]
        parts += [f"## {title} of {what}"]
        if "saliency" in held:
            parts.append(saliency_markdown(held["saliency"]))
        if "completeness" in held:
            parts.append(_completeness_text(held["completeness"]))
        if "shares" in held:
            unit = held["unit"]
            parts.append(f"{held['clusters']} clusters, mean of {unit}, summed over each part.")
            parts.append(shares_markdown(held["shares"]))
    if document["checks"] is not None:
        parts += ["## Sanity checks", checks_markdown(document["checks"])]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _completeness_text(held: dict[str, float]) -> str:
    return (
        f"Completeness: |sum - change| / |change| median {held['median']:.2%}, 84th percentile "
        f"{held['percentile84']:.2%}; of all clusters together {held['pooled']:.2%}; mean change "
        f"{held['mean_change_ln_m']:+.3f}."
    )
