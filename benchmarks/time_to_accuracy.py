"""Seconds of training until our network is as good as the paper's, on one fold of a survey.

    python benchmarks/time_to_accuracy.py X.zarr RUN [--paper paper-3band] [--ours icm-3band]

RUN is a benchmark folder that holds the paper network: its scatter on the fold is the mark, and
its training time the measure. Ours is trained anew with ever more epochs (each a whole schedule of
its own) until it reaches the mark. Both times are of one core where `--threads 1` was used for RUN.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from icmass.estimators.estimator import split_predicted
from icmass.estimators.network import NetworkEstimator
from icmass.run.folder import RunFolder
from icmass.run.predictions import Predictions
from icmass.survey.catalog import open_survey
from icmass.survey.folds import octant_folds

EPOCHS = (4, 6, 8, 12, 16, 24, 40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("survey", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--paper", default="paper-3band")
    parser.add_argument("--ours", default="icm-3band")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    survey = open_survey(given.survey)
    run = RunFolder(given.run)
    n_folds = run.read_folded_config().folds
    held = Predictions.read(run.layout.predictions(given.paper))
    of_fold = held.fold == given.fold
    mark = float(np.std((held.mean - held.ln_m_true)[of_fold]))
    paper_seconds = float(held.train_seconds[given.fold])
    print(f"{given.paper}: {mark:.4f} in {paper_seconds:.0f} s", flush=True)
    fold = octant_folds(survey, n_folds)
    train, test = split_predicted(fold, given.fold, survey["redshift"].values)
    ln_m = np.log(survey["m500c"].values[test])
    rows = []
    for epochs in EPOCHS:
        estimator = NetworkEstimator(given.ours, seed=0, device="cpu", max_epochs=epochs)
        start = time.perf_counter()
        estimator.fit(survey, train)
        fit = time.perf_counter() - start
        scatter = float(np.std(estimator.predict(survey, test).mean - ln_m))
        steps = sum(epoch.seconds for epoch in estimator.history)
        row = {"epochs": epochs, "sigma_lnm": scatter, "steps_s": steps, "fit_s": fit}
        rows.append(row)
        print(json.dumps(row), flush=True)
        if scatter <= mark:
            break
    if given.json:
        about = {"paper": given.paper, "sigma_lnm": mark, "seconds": paper_seconds}
        about |= {"ours": given.ours, "threads": given.threads, "fold": given.fold}
        given.json.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
