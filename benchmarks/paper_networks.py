"""The three networks of Ho et al. 2023 on both presets, all folds, within a time that is given.

    python benchmarks/paper_networks.py --work DIR [--n 3285] [--deadline 3000] [--jobs 4]
        [--ours phox=RUN erosita=RUN]

Every fit is one of a preset, a network and a fold; so many run side by side, on the cores or on one
GPU. The surveys come first, and their time counts. When time is up a training stops after its
epoch, its best epoch is what counts, and the table says so; what has not begun is left out. The
same command goes on after a kill or with more time: fits that patience or the last epoch ended stay
as they are, others go on from their last epoch. `--ours` names benchmarks of the same surveys and
folds: their networks of the same inputs are compared on the clusters that both predicted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from icmass.benchmarking.fits import take_share, threads_each
from icmass.benchmarking.fold_predictions import FoldPredictions
from icmass.benchmarking.scores import bootstrap_errors, scatter_ratio
from icmass.estimators.estimator import split_predicted
from icmass.files import whole_file, write_text
from icmass.run.layout import RunLayout
from icmass.survey.catalog import open_survey
from icmass.survey.folds import octant_folds
from icmass.survey.presets import resolve_config
from icmass.survey.write import simulate_survey

NETWORKS = ("paper-1band", "paper-3band", "paper-multimodal")
PRESETS = ("erosita", "phox")
OURS = {name: name.replace("paper", "icm") for name in NETWORKS}
PUBLISHED = {"paper-1band": 0.178, "paper-3band": 0.162, "paper-multimodal": 0.159}
SEED = 1
FOLDS = 8


@dataclass(frozen=True)
class Fit:
    """One network on one fold of one survey."""

    work: Path
    preset: str
    network: str
    fold: int
    device: str
    max_epochs: int | None
    threads: int
    jobs: int
    until: float
    precision: str = "no"
    parent: int | None = None  # the process that asked for it

    def is_over(self) -> bool:
        """Whether time is up, or who asked for it is gone."""
        gone = self.parent is not None and os.getppid() != self.parent
        return gone or time.time() > self.until

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.preset}-{self.network}-{self.fold}"

    @property
    def result(self) -> Path:
        """Where its predictions are kept."""
        return self.work / f"{self.name}.npz"

    def is_finished(self) -> bool:
        """Whether there are predictions that more time would not change."""
        if not self.result.exists():
            return False
        with np.load(self.result) as kept:
            return str(kept["ended"]) != "deadline"


def train(fit: Fit) -> str:
    """Train, predict the fold, and keep model and predictions; say how it went."""
    if time.time() > fit.until:
        return "no time left"
    from icmass.estimators.network import NetworkEstimator

    take_share(fit.threads, fit.jobs)
    survey = open_survey(fit.work / f"{fit.preset}.zarr")
    fold = octant_folds(survey, FOLDS)
    fitted, test = split_predicted(fold, fit.fold, survey["redshift"].values)
    estimator = NetworkEstimator(
        fit.network,
        seed=SEED,
        device=fit.device,
        max_epochs=fit.max_epochs,
        checkpoint=fit.work / "checkpoints" / fit.name,
        stop=fit.is_over,
    )
    estimator.training_config = replace(estimator.training_config, precision=fit.precision)
    estimator.fit(survey, fitted)
    history = estimator.history
    best = max(epoch.epoch for epoch in history if epoch.best)
    patience = estimator.training_config.patience
    planned = len(history) >= estimator.training_config.epochs(len(fitted))
    patient = patience is not None and len(history) - best >= patience
    ended = "patience" if patient else "all epochs" if planned else "deadline"
    estimator.save(fit.work / "models" / fit.name)
    mean = estimator.predict(survey, test).mean
    with whole_file(fit.result) as draft, draft.open("wb") as stream:
        np.savez(
            stream,
            mean=mean,
            ln_m=np.log(survey["m500c"].values[test]),
            halo=survey["halo_id"].values[test],
            fold=fit.fold,
            epochs=len(history),
            best=best,
            seconds=sum(epoch.seconds for epoch in history),
            ended=ended,
        )
    return f"{len(history)} epochs, the best {best}, ended by {ended}"


def row(preset: str, network: str, files: list[Path]) -> dict[str, Any]:
    """Return the score of a network over the folds that were fitted."""
    folds = [dict(np.load(file)) for file in files]
    residual = np.concatenate([fold["mean"] - fold["ln_m"] for fold in folds])
    halo = np.concatenate([fold["halo"] for fold in folds])
    error = bootstrap_errors(residual, halo, np.random.default_rng(0))[0]
    return {
        "preset": preset,
        "network": network,
        "folds": [int(fold["fold"]) for fold in folds],
        "n": len(residual),
        "sigma_lnm": float(np.std(residual)),
        "sigma_lnm_error": error,
        "published": PUBLISHED[network],
        "epochs": [int(fold["epochs"]) for fold in folds],
        "best_epoch": [int(fold["best"]) for fold in folds],
        "ended": [str(fold["ended"]) for fold in folds],
        "seconds": [round(float(fold["seconds"])) for fold in folds],
    }


def over(run: Path, network: str, files: list[Path]) -> dict[str, Any] | None:
    """Return the scatter of our network over the paper's, on the clusters that both predicted."""
    ours = FoldPredictions.of_run(RunLayout(run), OURS[network], FOLDS)
    residual, other, halo = [], [], []
    for file in files:
        paper = np.load(file)
        mine = ours.fold == paper["fold"]
        if not mine.any():
            continue
        if not np.allclose(ours.ln_m_true[mine], paper["ln_m"]):
            sys.exit(f"{run}: the clusters of fold {paper['fold']} are not those of {file}")
        residual.append((ours.mean - ours.ln_m_true)[mine])
        other.append(paper["mean"] - paper["ln_m"])
        halo.append(paper["halo"])
    if not halo:
        return None
    both = np.concatenate(residual), np.concatenate(other)
    ratio, error = scatter_ratio(*both, np.concatenate(halo), np.random.default_rng(0))
    return {"network": OURS[network], "ratio": ratio, "error": error, "n": sum(map(len, halo))}


def fit_all(fits: Sequence[Fit], jobs: int) -> dict[str, str]:
    """Train what is not finished, so many fits side by side; return what failed, by name."""
    failed: dict[str, str] = {}
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(train, fit): fit for fit in fits if not fit.is_finished()}
        for done in as_completed(running):
            fit = running[done]
            try:
                said = done.result()
            except Exception as error:  # one that fails does not stop the others
                said = failed[fit.name] = f"failed: {type(error).__name__}: {error}"
            print(f"{fit.name}: {said}; {fit.until - time.time():.0f} s left", flush=True)
    return failed


def table(fits: Sequence[Fit], ours: Mapping[str, Path] | None = None) -> list[dict[str, Any]]:
    """Return a row for each preset and network that has a fold, beside our runs by preset."""
    files: dict[tuple[str, str], list[Path]] = {}
    for fit in fits:
        if fit.result.exists():
            files.setdefault((fit.preset, fit.network), []).append(fit.result)
    rows = []
    for (preset, network), held in sorted(files.items()):
        rows.append(row(preset, network, held))
        run = (ours or {}).get(preset)
        if run is not None:
            rows[-1]["ours_over"] = over(run, network, held)
    return rows


def simulate(work: Path, preset: str, n: int, workers: int) -> None:
    """Simulate a survey, or see that the one that is there has as many clusters."""
    store = work / f"{preset}.zarr"
    if not store.exists():
        config = resolve_config(preset)
        simulate_survey(config, n_clusters=n, seed=SEED, out=store, workers=workers, resume=True)
    found = open_survey(store).sizes["cluster"]
    if found != n:
        sys.exit(f"{store} has {found} clusters: give --n {found}, or another --work")


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--n", type=int, default=3285)
    folds = range(1, FOLDS + 1)
    parser.add_argument("--folds", type=int, default=FOLDS, choices=folds, help="the first so many")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--presets", nargs="+", default=PRESETS, choices=PRESETS)
    parser.add_argument("--deadline", type=float, default=1e9, help="seconds from now")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="no", choices=("no", "bf16"), help="mixed")
    parser.add_argument("--max-epochs", type=int)
    parser.add_argument("--ours", nargs="+", default=[], metavar="PRESET=RUN")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    until = time.time() + given.deadline
    given.work.mkdir(parents=True, exist_ok=True)
    for preset in given.presets:
        simulate(given.work, preset, given.n, given.jobs)
    threads = threads_each(given.jobs)
    how = (given.device, given.max_epochs, threads, given.jobs, until, given.precision, os.getpid())
    # all first folds before any second one: what time allows is spread over the networks
    fits = [
        Fit(given.work, preset, network, k, *how)
        for k, network, preset in product(range(given.folds), given.networks, given.presets)
    ]
    failed = fit_all(fits, given.jobs)
    rows = table(fits, {k: Path(v) for k, _, v in (pair.partition("=") for pair in given.ours)})
    for line in rows:
        print(json.dumps(line), flush=True)
    if given.json:
        about = {"n": given.n, "seed": SEED, "deadline_s": given.deadline, "jobs": given.jobs}
        about["precision"] = given.precision
        left = [fit.name for fit in fits if not fit.result.exists() and fit.name not in failed]
        about |= {"failed": failed, "not_begun": left, "rows": rows}
        write_text(given.json, json.dumps(about, indent=1) + "\n")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
