"""The three networks of Ho et al. 2023 on both presets, all folds, within a time that is given.

    python benchmarks/paper_networks.py --work DIR [--n 3285] [--deadline 3000] [--jobs 4]

Every fit is one of a preset, a network and a fold; so many run side by side, on the cores or on one
GPU. When time is up a training stops after its epoch, its best epoch is what counts, and the table
says so. A killed run goes on: fits that are done stay done, others go on from their last epoch.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from icmass.benchmarking.fits import threads_each
from icmass.benchmarking.scores import bootstrap_errors
from icmass.survey.catalog import open_survey
from icmass.survey.folds import octant_folds, split
from icmass.survey.presets import resolve_config
from icmass.survey.write import simulate_survey

NETWORKS = ("paper-1band", "paper-3band", "paper-multimodal")
PRESETS = ("erosita", "phox")
PUBLISHED = {"paper-1band": 0.178, "paper-3band": 0.162, "paper-multimodal": 0.159}
SEED = 1


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
    until: float

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.preset}-{self.network}-{self.fold}"

    @property
    def result(self) -> Path:
        """Where its predictions are kept."""
        return self.work / f"{self.name}.npz"


def train(fit: Fit) -> str:
    """Train, predict the fold, and keep the predictions; say how it went."""
    import torch

    from icmass.estimators.network import NetworkEstimator

    torch.set_num_threads(fit.threads)
    survey = open_survey(fit.work / f"{fit.preset}.zarr")
    fitted, test = split(octant_folds(survey, 8), fit.fold)
    estimator = NetworkEstimator(
        fit.network,
        seed=SEED,
        device=fit.device,
        max_epochs=fit.max_epochs,
        checkpoint=fit.work / "checkpoints" / fit.name,
        stop=lambda: time.time() > fit.until,
    )
    estimator.fit(survey, fitted)
    history = estimator.history
    best = max(epoch.epoch for epoch in history if epoch.best)
    patience = estimator.training_config.patience
    planned = len(history) >= estimator.training_config.epochs(len(fitted))
    patient = patience is not None and len(history) - best >= patience
    np.savez(
        fit.result,
        mean=estimator.predict(survey, test).mean,
        ln_m=np.log(survey["m500c"].values[test]),
        halo=survey["halo_id"].values[test],
        epochs=len(history),
        best=best,
        seconds=sum(epoch.seconds for epoch in history),
        ended="patience" if patient else "all epochs" if planned else "deadline",
    )
    return fit.name


def row(preset: str, network: str, files: list[Path]) -> dict[str, Any]:
    """Return the score of a network over the folds that were fitted."""
    folds = [dict(np.load(file)) for file in files]
    residual = np.concatenate([fold["mean"] - fold["ln_m"] for fold in folds])
    halo = np.concatenate([fold["halo"] for fold in folds])
    error = bootstrap_errors(residual, halo, np.random.default_rng(0))[0]
    return {
        "preset": preset,
        "network": network,
        "folds": len(folds),
        "n": len(residual),
        "sigma_lnm": float(np.std(residual)),
        "sigma_lnm_error": error,
        "published": PUBLISHED[network],
        "epochs": [int(fold["epochs"]) for fold in folds],
        "best_epoch": [int(fold["best"]) for fold in folds],
        "ended": [str(fold["ended"]) for fold in folds],
        "seconds": [round(float(fold["seconds"])) for fold in folds],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--n", type=int, default=3285)
    parser.add_argument("--folds", type=int, default=8, help="the first so many of eight")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--presets", nargs="+", default=PRESETS, choices=PRESETS)
    parser.add_argument("--deadline", type=float, default=1e9, help="seconds from now")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--max-epochs", type=int)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    until = time.time() + given.deadline
    given.work.mkdir(parents=True, exist_ok=True)
    for preset in given.presets:
        store = given.work / f"{preset}.zarr"
        if not store.exists():
            simulate_survey(
                resolve_config(preset),
                n_clusters=given.n,
                seed=SEED,
                out=store,
                workers=given.jobs,
                resume=True,
            )
    threads = threads_each(given.jobs)
    # all first folds before any second one: what time allows is spread over the networks
    fits = [
        Fit(given.work, preset, network, k, given.device, given.max_epochs, threads, until)
        for k, network, preset in product(range(given.folds), given.networks, given.presets)
    ]
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
        left = [pool.submit(train, fit) for fit in fits if not fit.result.exists()]
        for done in as_completed(left):
            print(f"{done.result()}, {until - time.time():.0f} s left", flush=True)
    rows = []
    for preset, network in product(given.presets, given.networks):
        files = [f.result for f in fits if (f.preset, f.network) == (preset, network)]
        rows.append(row(preset, network, files))
        print(json.dumps(rows[-1]), flush=True)
    if given.json:
        about = {"n": given.n, "seed": SEED, "deadline_s": given.deadline, "jobs": given.jobs}
        given.json.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
