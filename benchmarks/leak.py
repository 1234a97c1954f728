"""How much random folds flatter an estimator when halos appear in several snapshots.

    python benchmarks/leak.py X.zarr [--folds 4] [--model icm-1band] [--epochs 50] [--json]

Every cluster is predicted once with folds that are octants of the box, grouped, and once with
folds that part clusters at random, so that a halo's other selves are among the training clusters.
Two estimators: a nearest neighbour in the latent shapes of the gas, which know nothing of the mass
but do know the halo; and a network on the maps.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import xarray as xr
from scipy.spatial import cKDTree

from icmass.estimators.registry import make_estimator
from icmass.survey.catalog import open_survey
from icmass.survey.folds import octant_folds, split
from icmass.universe.halos import LATENTS, SHAPES


def by_neighbour(survey: xr.Dataset, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    latents = np.stack([survey[f"latent_{name}"].values for name in (*LATENTS, *SHAPES)], axis=1)
    _, nearest = cKDTree(latents[train]).query(latents[test])
    return np.log(survey["m500c"].values[train][nearest])


def by_network(
    survey: xr.Dataset, train: np.ndarray, test: np.ndarray, model: str, epochs: int
) -> np.ndarray:
    estimator = make_estimator(model, seed=0, max_epochs=epochs)
    estimator.fit(survey, train)
    return estimator.predict(survey, test).mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("survey")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--model", default="icm-1band", help="a network, or none")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    survey = open_survey(asked.survey)
    ln_mass = np.log(survey["m500c"].values)
    n = len(ln_mass)
    folds = {
        "octants": octant_folds(survey, asked.folds),
        "random": np.random.default_rng(0).integers(asked.folds, size=n),
    }
    halos = len(np.unique(survey["halo_id"].values))
    found: dict[str, float] = {"clusters": n, "halos": halos, "std ln M": float(ln_mass.std())}
    for kind, fold in folds.items():
        residual = {"neighbour": np.empty(n), asked.model: np.empty(n)}
        for k in range(asked.folds):
            train, test = split(fold, k)
            residual["neighbour"][test] = by_neighbour(survey, train, test) - ln_mass[test]
            if asked.model != "none":
                predicted = by_network(survey, train, test, asked.model, asked.epochs)
                residual[asked.model][test] = predicted - ln_mass[test]
        for name, values in residual.items():
            if name != "none":
                found[f"{name}, {kind} folds"] = float(values.std())
    if asked.json:
        print(json.dumps(found, indent=1))
        return
    for name, value in found.items():
        print(f"{name:28s} {value:.4g}")


if __name__ == "__main__":
    main()
