"""The bundled model on gas physics that is not its own, before and after a calibration.

    python benchmarks/calibration_variants.py [--variants tng strong-feedback] [--n 100] [--seed 77]

Of each variant's survey a half has lensing masses with errors of 35 per cent (no bias, no further
scatter, and the priors say so); the other half is predicted with and without the calibration.
Prints JSON: bias and rms of ln M (predicted median over true), share of truths within the 68 per
cent intervals, and by how many of its stated errors (the scale's, and that of the mean of the half)
the bias after calibration is off.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

import icmass
from icmass.calibration.model import CalibrationPriors

KNOWN = CalibrationPriors(lensing_bias=(0.0, 0.0), lensing_scatter=(0.0, 0.0))


def scores(masses: icmass.Masses, truth: np.ndarray) -> dict[str, float]:
    assert masses.prediction is not None
    off = masses.prediction.median - np.log(truth[masses.rows])
    level = masses.prediction.cdf(np.log(truth[masses.rows]))
    return {
        "bias": float(off.mean()),
        "rms": float(np.sqrt((off**2).mean())),
        "coverage68": float(np.mean(np.abs(level - 0.5) < 0.34)),
        "error_of_mean": float(off.std() / np.sqrt(len(off))),
    }


def run(variant: str, n: int, seed: int, folder: Path) -> dict[str, object]:
    survey = icmass.simulate("erosita", n=n, seed=seed, variants=[variant],
                             out=folder / f"{variant}.zarr")  # fmt: skip
    truth, z = survey["m500c"].values, survey["redshift"].values
    rng = np.random.default_rng(seed)
    half = np.arange(n // 2)
    lensing = truth[half] * np.exp(0.35 * rng.normal(size=len(half)))
    rows = [f"{i},{z[i]:.5f},{lensing[i]:.6g},0.35" for i in half]
    table = folder / f"{variant}.csv"
    table.write_text("\n".join(["cluster,redshift,m500c_msun_h,ln_error", *rows]), encoding="utf-8")
    model = icmass.load_model("erosita-v1")
    found = icmass.calibrate(survey, table, model=model, priors=KNOWN, seed=seed, max_steps=1500)
    rest = np.arange(n // 2, n)
    before, after = (
        scores(icmass.predict(survey, model=model, index=rest, calibration=scale), truth)
        for scale in (None, found)
    )
    stated = np.hypot(found.document["amplitude"]["std"], after["error_of_mean"])
    document = found.document
    values = {key: document[key] for key in ("amplitude", "slope", "evolution", "scatter")}
    values["p_values"] = document["checks"]["p_values"]
    in_errors = float(after["bias"] / stated)
    return {
        "variant": variant, "before": before, "after": after, "bias_in_errors": in_errors
    } | values  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", nargs="+", default=["tng", "strong-feedback"])
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--seed", type=int, default=77)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for variant in given.variants:
            print(json.dumps(run(variant, given.n, given.seed, Path(folder)), indent=1), flush=True)


if __name__ == "__main__":
    main()
