"""Time the networks' training: seconds to read, per epoch, per fold, and to predict.

    python benchmarks/train_speed.py [--survey X.zarr] [--clusters 2600] [--epochs 3] [--threads 2]

Without a survey, maps of pure Poisson noise do: the time does not depend on what is in them.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import time

import numpy as np
import torch
import xarray as xr

from icmass.cosmology import Cosmology
from icmass.estimators.network import NetworkEstimator
from icmass.survey.blank import blank_survey
from icmass.survey.catalog import open_survey
from icmass.training.model_specs import MODEL_SPECS

BANDS = [(0.5, 1.2), (1.2, 2.0), (2.0, 7.0)]


def noise_survey(n_clusters: int, n_pixels: int = 128) -> xr.Dataset:
    rng = np.random.default_rng(0)
    survey = blank_survey(
        ["maps", "m500c", "redshift", "exposure", "nh", "halo_id"],
        n_clusters=n_clusters,
        n_pixels=n_pixels,
        half_width=2.3,
        bands=BANDS,
        attrs={
            "preset": "noise",
            "cosmology": Cosmology().model_dump_json(),
            "seed": 0,
            "version": "benchmark",
        },
    )
    for i in range(n_clusters):
        survey["maps"][i, 0] = rng.poisson(0.1, (len(BANDS), n_pixels, n_pixels))
    survey["m500c"][:] = 10 ** rng.uniform(13.5, 15, n_clusters)
    survey["redshift"][:] = rng.uniform(0.07, 0.47, n_clusters)
    survey["exposure"][:] = 2000.0
    survey["halo_id"][:] = np.arange(n_clusters)
    return survey


def measure(name: str, survey: xr.Dataset, n_clusters: int, n_epochs: int) -> dict[str, object]:
    index = np.arange(n_clusters)
    seconds: list[float] = []
    estimator = NetworkEstimator(
        name, max_epochs=n_epochs, progress=lambda e: seconds.append(e.seconds)
    )
    start = time.perf_counter()
    estimator.fit(survey, index)
    fit = time.perf_counter() - start
    start = time.perf_counter()
    estimator.predict(survey, index[:300])
    predict = time.perf_counter() - start
    epoch = float(np.median(seconds))
    epochs = MODEL_SPECS[name].training_config.epochs(round(0.9 * n_clusters))
    return {
        "name": name,
        "n_parameters": estimator.n_parameters,
        "n_clusters": n_clusters,
        "seconds_per_epoch": round(epoch, 3),
        "seconds_reading_and_rest": round(fit - sum(seconds), 1),
        "epochs_at_most": epochs,
        "minutes_per_fold_at_most": round((fit - sum(seconds) + epoch * epochs) / 60, 2),
        "ms_per_prediction": round(1e3 * predict / 300, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--survey")
    parser.add_argument("--clusters", type=int, default=2600)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    blind = [name for name, design in MODEL_SPECS.items() if not design.sees_galaxies]
    parser.add_argument(
        "--models", default=",".join(blind), help="paper-multimodal needs a --survey with galaxies"
    )
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    survey = open_survey(given.survey) if given.survey else noise_survey(given.clusters)
    n_clusters = min(given.clusters, survey.sizes["cluster"])
    rows = [measure(m, survey, n_clusters, given.epochs) for m in given.models.split(",")]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    about = {
        "machine": platform.machine(),
        "threads": given.threads,
        "torch": torch.__version__,
        "peak_memory_gib": round(peak, 2),
    }
    print(json.dumps(about | {"networks": rows}, indent=1))


if __name__ == "__main__":
    main()
