"""How low the scatter can go: regressions that are told what no map shows so clearly.

    python benchmarks/floor.py erosita-30k.zarr [--json floor.json]

A bound that no estimator can pass is that of `ideal_observer.py`, which writes to the same file.

Every row is a gradient-boosted regression of ln M500c, trained on most halos of a survey and scored
on the others. The oracles know the redshift and, without any noise, the true shape of the gas (core
radius, core's share of the light, slopes, spread of temperatures, metals, axis ratios; some also
the clumping: emission over that of smooth gas of the same shape and mass); they differ in how they
know its brightness and temperature:

photons    counts of the gas alone, in three bands and four apertures, with their Poisson noise: no
           background, no AGN
noiseless  luminosity without noise, no temperature: an endless exposure in one band
spectrum   luminosity and temperature without noise: an endless exposure with a perfect spectrum
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import xarray as xr
from sklearn.ensemble import HistGradientBoostingRegressor

from icmass.benchmarking.scores import bootstrap_errors
from icmass.survey.catalog import open_survey

SHAPE = (
    "core",
    "core_share",
    "cusp_share",
    "cusp_radius",
    "beta",
    "epsilon",
    "phases",
    "ln_abundance",
    "axis_ratio_q",
    "axis_ratio_s",
    "offset",
)
APERTURES = (0.25, 0.5, 1.0, 2.3)  # comoving Mpc/h
TEST = 0.15  # of the halos


def gas_counts(survey: xr.Dataset, step: int = 512) -> np.ndarray:
    """Photons of the gas in each aperture and band, shape (n, aperture * band)."""
    gas = survey["maps"].sel(component="icm")
    radius = np.hypot(survey["y"].values[:, None], survey["x"].values)
    inside = np.stack([radius < r for r in APERTURES]).reshape(len(APERTURES), -1).astype("f4")
    n, found = survey.sizes["cluster"], []
    for i in range(0, n, step):
        block = gas[i : i + step].values.astype("f4")
        found.append((block.reshape(*block.shape[:2], -1) @ inside.T).reshape(len(block), -1))
    return np.concatenate(found)


def oracles(survey: xr.Dataset) -> dict[str, np.ndarray]:
    """What each oracle is told, shape (n, feature)."""
    known = [survey["redshift"].values, *(survey[f"latent_{name}"].values for name in SHAPE)]
    clumping = survey["latent_ln_clumping"].values
    luminosity, temperature = (np.log(survey[name].values) for name in ("L_X_soft", "T"))
    counts = np.log(gas_counts(survey) + 1.0)
    told = {
        "photons": [*known, *counts.T],
        "photons, clumping": [*known, clumping, *counts.T],
        "noiseless": [*known, luminosity],
        "noiseless, clumping": [*known, clumping, luminosity],
        "spectrum": [*known, luminosity, temperature],
        "spectrum, clumping": [*known, clumping, luminosity, temperature],
    }
    return {name: np.stack(columns, 1) for name, columns in told.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("survey", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    survey = open_survey(given.survey)
    rng = np.random.default_rng(0)
    halo = survey["halo_id"].values
    test = np.isin(halo, rng.permutation(np.unique(halo))[: int(TEST * len(np.unique(halo)))])
    ln_m = np.log(survey["m500c"].values)
    rows = {}
    for name, features in oracles(survey).items():
        model = HistGradientBoostingRegressor(
            max_iter=600, learning_rate=0.04, early_stopping=True, random_state=0
        )
        residual = model.fit(features[~test], ln_m[~test]).predict(features[test]) - ln_m[test]
        error = bootstrap_errors(residual, halo[test], rng)[0]
        rows[name] = {"sigma_lnm": float(residual.std()), "sigma_lnm_error": error}
        print(f"{name:22} {100 * residual.std():.2f} ± {100 * error:.2f} per cent", flush=True)
    if given.json:
        about = {"preset": survey.attrs["preset"], "seed": survey.attrs["seed"]}
        about |= {"n_train": int((~test).sum()), "n_test": int(test.sum())}
        document = json.loads(given.json.read_text()) if given.json.exists() else {}
        document |= about | {"oracles": rows}
        given.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
