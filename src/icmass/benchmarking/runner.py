"""The benchmark: every estimator on the same folds, scored the same way, resumable by fold."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from icmass.benchmarking.calibration import calibration
from icmass.benchmarking.fit_all import fit_all, noting_failure
from icmass.benchmarking.fits import FitSettings
from icmass.benchmarking.fold_predictions import FoldPredictions
from icmass.benchmarking.model_selection import canonical_names, checked_limit
from icmass.benchmarking.named_surveys import open_truth
from icmass.benchmarking.provenance import about_survey, machine, versions
from icmass.benchmarking.scores import published_network_scatter, scatter_ratio, score
from icmass.benchmarking.state import Bench, Progress
from icmass.benchmarking.tables import write_tables
from icmass.errors import InputError
from icmass.estimators.estimator import EstimatorInfo
from icmass.proxies.names import available, parse_names, read_halos, read_scalar
from icmass.proxies.published import published_sigma
from icmass.proxies.summary import published_scatter, scaling_summary
from icmass.run.config import RunConfig, Scaling
from icmass.run.document import finite
from icmass.run.folder import RunFolder, survey_digest
from icmass.run.results import PairedScatterRatio, Results, Score
from icmass.survey.folds import octant_folds

COMBINATIONS = ("T+M_gas", "T+L_X+M_gas")
"""The paper's combinations also hold stars and galaxies; these are their parts in X-rays."""
DEFAULT_NETWORK = "icm-3band"
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Benchmark:
    """A benchmark that has run: its results, as in ``results.json``, and what failed, by name."""

    path: Path
    results: Results
    failed: dict[str, str]


def default_models(survey: xr.Dataset) -> list[str]:
    """Return the models of a benchmark that names none.

    All proxies of the survey, the combinations whose parts it holds, and the three-band network
    where it has three bands.
    """
    held = available(survey)
    combined = [name for name in COMBINATIONS if set(parse_names(name)) <= set(held)]
    networks = [DEFAULT_NETWORK] if survey.sizes["band"] == 3 else []
    return [*held, *combined, *networks]


def run_benchmark(
    survey_path: str | Path,
    models: Sequence[str] | None,
    folds: int,
    out: str | Path,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    max_epochs: int | None = None,
    fold_limit: Mapping[str, int] | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    command: str | None = None,
) -> Benchmark:
    """Cross-validate estimators on the octant folds of a survey, and write a run folder.

    Parameters
    ----------
    survey_path : path
        A simulated survey.
    models : sequence of str, optional
        Names of estimators; default `default_models`.
    folds : {2, 4, 8}
        Number of folds.
    out : path
        The run's folder; new or empty, unless `resume`.
    seed : int
        Seed of the fits and of the bootstrap errors.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``, for networks.
    resume : bool
        Go on with the run in `out`, whose settings must be the same: finished folds are kept, a
        network's interrupted fold goes on from its checkpoint.
    max_epochs : int, optional
        Train networks for at most this many epochs.
    fold_limit : mapping of str to int, optional
        Estimators, by name, that are fitted on their first folds only: how many. Their scores
        are over the clusters of these folds.
    jobs : int
        Fits side by side, each by a process of its own with its share of the cores; they share
        the GPU where there is one. Scores do not depend on it, but for the rounding of sums that
        a network's layers make in more or fewer threads.
    progress : callable, optional
        Called with a `Step` when something has happened.
    command : str, optional
        The command line, kept with the results.

    Returns
    -------
    Benchmark
        An estimator that failed is in `failed`, and the others are there nonetheless.
    """
    if device not in DEVICES:
        raise InputError(repr(device), field="device", hint=f"give {', '.join(DEVICES)}")
    if jobs < 1 or (jobs > 1 and os.environ.get("WORLD_SIZE", "1") != "1"):
        hint = "give 1 or more, and 1 where a launcher starts several processes"
        raise InputError(str(jobs), field="--jobs", hint=hint)
    survey = open_truth(survey_path)
    masses = read_scalar(survey, "m500c")
    fold = octant_folds(survey, folds)
    names = canonical_names(models or default_models(survey))
    limit = checked_limit(fold_limit or {}, names, folds)
    folder = RunFolder(Path(out))
    config = {
        "survey": str(Path(survey_path).absolute()),
        "survey_attrs": dict(survey.attrs),
        "n_clusters": len(masses),
        "survey_digest": survey_digest(survey),
        "models": names,
        "folds": folds,
        "fold_limit": limit,
        "seed": seed,
        "device": device,
        "max_epochs": max_epochs,
        "command": command,
        "versions": versions(),
    }
    folder.start(RunConfig.of(finite(config)), resume=resume)
    bench = Bench(
        survey=survey,
        folder=folder,
        fold=fold,
        ln_m=np.log(masses),
        halo_id=read_halos(survey),
        redshift=survey["redshift"].values,
        progress=progress or (lambda step: None),
        total=sum(limit.get(name, folds) for name in names),
        fold_limit=limit,
        settings=FitSettings(
            Path(survey_path).absolute(), folder.path, folds, seed, device, max_epochs
        ),
    )
    rows = []
    for name, fitted in fit_all(bench, names, jobs).items():
        if name not in bench.failed:
            with noting_failure(bench, name):
                rows.append(_row(bench, name, fitted.info, fitted.held))
    bench.failed = {name: bench.failed[name] for name in names if name in bench.failed}
    scores = [_with_ratios(bench, row) for row in rows]
    return _write_results(bench, scores, Path(survey_path).name, command)


def _row(bench: Bench, name: str, info: EstimatorInfo, held: FoldPredictions) -> Score:
    rng = _rng(bench, name)
    scores = score(
        held.ln_m_true,
        held.prediction,
        halo_id=bench.halo_id[held.cluster],
        redshift=bench.redshift[held.cluster],
        rng=rng,
    )
    more: dict[str, Any] = {}
    if info.proxies:
        sigma, sigma_error = published_scatter(bench.survey, info.proxies, rng)
    else:
        sigma = published_network_scatter(held.ln_m_true, held.mean)
        sigma_error = scores.sigma_lnm_error
        drawn = _rng(bench, f"calibration of {name}")
        more["calibration"] = calibration(held.prediction, held.ln_m_true, drawn)
        if (far := held.prediction.out_of_domain) is not None:
            more["flagged"] = float(np.mean(far > 1))
        bench.learned[name] = held
    row = {
        "name": name,
        "kind": info.kind,
        "inputs": list(info.inputs),
        "sigma_paper": sigma,
        "sigma_paper_error": sigma_error,
        "sigma_published": published_sigma(name),
        **scores.as_dict(),
        "n_refused": bench.n_refused(held),
        "n_parameters": held.n_parameters,
        "folds_fitted": held.folds_fitted,
        "train_seconds": float(np.nansum(held.train_seconds)),
        **more,
    }
    return Score.of(finite(row))


def _rng(bench: Bench, purpose: str) -> np.random.Generator:
    return np.random.default_rng([bench.settings.seed, zlib.crc32(purpose.encode())])


def _with_ratios(bench: Bench, score: Score) -> Score:
    """Return a score with the scatter over that of each other estimator but relations."""
    if score.name not in bench.learned:
        return score
    ratios = _paired_scatter_ratios(bench, score.name)
    return score.model_copy(update={"paired_scatter_ratio": ratios})


def _paired_scatter_ratios(bench: Bench, name: str) -> dict[str, PairedScatterRatio]:
    """Return a scatter over that of each other estimator but relations, on common clusters."""
    ours = bench.learned[name]
    found = {}
    for other, theirs in bench.learned.items():
        both, i, j = np.intersect1d(ours.cluster, theirs.cluster, return_indices=True)
        if other == name or len(both) < 2:
            continue
        ratio, error = scatter_ratio(
            (ours.mean - ours.ln_m_true)[i],
            (theirs.mean - theirs.ln_m_true)[j],
            bench.halo_id[both],
            _rng(bench, " beside ".join(sorted((name, other)))),
        )
        if np.isfinite([ratio, error]).all():
            found[other] = PairedScatterRatio(ratio=ratio, error=error, n=len(both))
    return found


def _write_results(
    bench: Bench, scores: list[Score], survey_name: str, command: str | None
) -> Benchmark:
    results = Results(
        survey=about_survey(bench.survey, survey_name),
        folds=bench.settings.folds,
        estimators=scores,
        failed=bench.failed,
        seed=bench.settings.seed,
        machine=machine(bench.settings.device),
        command=command,
        versions=versions(),
    )
    folder = bench.folder
    folder.write(folder.layout.scaling, _scaling(bench.survey, bench.settings.seed))
    write_tables(results, folder)
    folder.write(folder.layout.results, _with_explanations(folder, results))
    return Benchmark(folder.path, results, bench.failed)


def _with_explanations(folder: RunFolder, results: Results) -> Results:
    """Return results with the explanations that the run has already."""
    try:
        explained = folder.read_results().explain
    except InputError:
        return results
    return results.model_copy(update={"explain": explained}) if explained else results


def _scaling(survey: xr.Dataset, seed: int) -> Scaling:
    """Return the relations and correlations of the proxies that a survey holds."""
    try:
        found = scaling_summary(survey, available(survey), np.random.default_rng([seed, 1]))
    except InputError as error:
        return Scaling(names=[], problem=error.command_line)
    return Scaling.of(finite(found))
