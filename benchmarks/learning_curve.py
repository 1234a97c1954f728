"""Scatter of a network against the number of clusters that it is trained on.

    icmass simulate --preset erosita --n 30000 --seed 7 --workers 2 --out erosita-30k.zarr
    python benchmarks/learning_curve.py erosita-30k.zarr --models icm-3band --json curve.json

All sizes are scored on the same halos, which none was trained on; they are taken of the first
`--first` clusters, so that surveys of one seed and other lengths have the same. The number of steps
is that of the network's recipe up to `--most-steps`: larger sets are seen fewer times, not longer.
Those that take more than 4 GiB are read from the store as they are needed.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from icmass.benchmarking.scores import bootstrap_errors
from icmass.estimators.network import NetworkEstimator
from icmass.survey.catalog import open_survey

TEST = 3000  # clusters at the least
SIZES = (300, 1000, 3000, 10_000, 30_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("survey", type=Path)
    parser.add_argument("--models", default="icm-3band")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--first", type=int, help="clusters that the test is of; default: all")
    parser.add_argument("--checkpoints", type=Path, help="go on from here after a kill")
    parser.add_argument("--most-steps", type=int, default=4000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    survey = open_survey(given.survey)
    halo, ln_m = survey["halo_id"].values, np.log(survey["m500c"].values)
    rng = np.random.default_rng(0)
    first = halo[: given.first]
    kept = rng.permutation(np.unique(first))
    number = np.cumsum([np.sum(first == h) for h in kept[: TEST // 2]])
    chosen = np.isin(halo, kept[: int(np.searchsorted(number, TEST)) + 1])
    test = np.flatnonzero(chosen[: given.first])
    pool = np.flatnonzero(~chosen)
    rows = []
    for name in given.models.split(","):
        for size in sorted({min(size, len(pool)) for size in given.sizes}):
            train = pool[:size]
            kept_in = given.checkpoints and given.checkpoints / f"{name}-{size}"
            estimator = NetworkEstimator(name, seed=0, device="cpu", checkpoint=kept_in)
            training_config = estimator.training_config
            most = math.ceil(given.most_steps * training_config.batch_size / (0.9 * size))
            epochs = max(1, min(training_config.epochs(round(0.9 * size)), most))
            estimator.training_config = replace(training_config, max_epochs=epochs, min_steps=0)
            start = time.perf_counter()
            estimator.fit(survey, train)
            seconds = time.perf_counter() - start
            residual = estimator.predict(survey, test).mean - ln_m[test]
            error = bootstrap_errors(residual, halo[test], np.random.default_rng(1))[0]
            row = {
                "name": name,
                "bands": 1 if estimator.design.sum_bands else survey.sizes["band"],
                "n_train": int(size),
                "epochs": epochs,
                "sigma_lnm": float(residual.std()),
                "sigma_lnm_error": error,
                "train_seconds": round(seconds, 1),
            }
            rows.append(row)
            print(json.dumps(row), flush=True)
    if given.json:
        about = {"preset": survey.attrs["preset"], "seed": survey.attrs["seed"]}
        about |= {"n_test": len(test), "threads": given.threads}
        given.json.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
